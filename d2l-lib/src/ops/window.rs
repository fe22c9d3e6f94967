//! A window that slides over the last two axes of `(n, c, h, w)`.

use std::ops::Range;

use super::number::Number;
use crate::{dtype::Element, tensor::Tensor};

/// The window's lengths, its steps, and the zeros around the image; rows first.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
}

impl Window {
    /// How many places the window has over an image of these lengths; none if it does not
    /// fit.
    pub(crate) fn places(&self, image: [usize; 2]) -> Option<[usize; 2]> {
        let along = |i: usize| {
            let room = (image[i] + 2 * self.padding[i]).checked_sub(self.kernel[i])?;
            Some(room / self.stride[i] + 1)
        };
        Some([along(0)?, along(1)?])
    }

    /// The places `from..to` along axis `i` at which element `k` of the window is inside an
    /// image of this length.
    pub(crate) fn inside(
        &self,
        i: usize,
        k: usize,
        image: usize,
        places: usize,
    ) -> (usize, usize) {
        let (stride, padding) = (self.stride[i], self.padding[i]);
        let from = padding.saturating_sub(k).div_ceil(stride);
        let to = (image + padding).saturating_sub(k).div_ceil(stride).min(places);
        (from.min(to), to)
    }

    /// Copies one image `(c, h, w)` to its columns `(c·kh·kw, oh·ow)`: what the window sees,
    /// one column for each place. Rows of columns are `step` apart.
    pub(crate) fn unfold<T: Element + Default>(
        &self,
        image: &[T],
        [h, w]: [usize; 2],
        [oh, ow]: [usize; 2],
        columns: &mut [T],
        step: usize,
    ) {
        let [kh, kw] = self.kernel;
        for row in 0..image.len() / (h * w) * kh * kw {
            let out = &mut columns[row * step..][..oh * ow];
            let (channel, ky, kx) = (row / (kh * kw), row / kw % kh, row % kw);
            let plane = &image[channel * h * w..(channel + 1) * h * w];
            let (top, bottom) = self.inside(0, ky, h, oh);
            let (left, right) = self.inside(1, kx, w, ow);
            out[..top * ow].fill(T::default());
            out[bottom * ow..].fill(T::default());
            for oy in top..bottom {
                let line =
                    &plane[(oy * self.stride[0] + ky - self.padding[0]) * w..][..w];
                let out = &mut out[oy * ow..(oy + 1) * ow];
                out[..left].fill(T::default());
                out[right..].fill(T::default());
                if left < right {
                    let first = left * self.stride[1] + kx - self.padding[1];
                    if self.stride[1] == 1 {
                        out[left..right]
                            .copy_from_slice(&line[first..first + right - left]);
                    } else {
                        let seen = line[first..].iter().step_by(self.stride[1]);
                        out[left..right].iter_mut().zip(seen).for_each(|(o, &v)| *o = v);
                    }
                }
            }
        }
    }

    /// Adds columns `(c·kh·kw, oh·ow)` back to where [`unfold`](Window::unfold) took them.
    pub(crate) fn fold<T: Number>(
        &self,
        columns: &[T],
        step: usize,
        [h, w]: [usize; 2],
        [oh, ow]: [usize; 2],
        image: &mut [T],
    ) {
        let [kh, kw] = self.kernel;
        for row in 0..image.len() / (h * w) * kh * kw {
            let columns = &columns[row * step..][..oh * ow];
            let (channel, ky, kx) = (row / (kh * kw), row / kw % kh, row % kw);
            let plane = &mut image[channel * h * w..(channel + 1) * h * w];
            let (top, bottom) = self.inside(0, ky, h, oh);
            let (left, right) = self.inside(1, kx, w, ow);
            for oy in top..bottom {
                let line =
                    &mut plane[(oy * self.stride[0] + ky - self.padding[0]) * w..][..w];
                let column = &columns[oy * ow..(oy + 1) * ow];
                if left < right {
                    let first = left * self.stride[1] + kx - self.padding[1];
                    let seen = line[first..].iter_mut().step_by(self.stride[1]);
                    let pairs = seen.zip(&column[left..right]);
                    pairs.for_each(|(sum, &value)| *sum = sum.plus(value));
                }
            }
        }
    }

    /// What the window sees of axis `i`, which has this length, at place `o`.
    pub(crate) fn range(&self, i: usize, o: usize, length: usize) -> Range<usize> {
        let start = o * self.stride[i];
        let from = start.saturating_sub(self.padding[i]);
        let to = (start + self.kernel[i]).saturating_sub(self.padding[i]).min(length);
        from..to.max(from)
    }

    /// Whether windows of 2 lie side by side along axis `i`.
    pub(crate) fn in_pairs(&self, i: usize) -> bool {
        self.kernel[i] == 2 && self.stride[i] == 2 && self.padding[i] == 0
    }
}

/// The lengths of the four axes.
pub(crate) fn lengths(x: &Tensor) -> [usize; 4] {
    std::array::from_fn(|axis| x.shape()[axis])
}
