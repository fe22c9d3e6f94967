//! A window that slides over the last two axes of `(n, c, h, w)`.

use std::ops::Range;

use super::{number::Number, vector::vectorised};
use crate::{device::Buffer, dtype::Element, tensor::Tensor};

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

    /// Copies images `(n, c, h, w)` to their columns `(c·kh·kw, n·oh·ow)`: what the window
    /// sees, one column for each place. `columns` has [`SLACK`] elements more.
    pub(crate) fn unfold<T: Element + Default>(
        &self,
        images: &[T],
        channels: usize,
        image: [usize; 2],
        places: [usize; 2],
        columns: &mut [T],
    ) {
        // With the zeros around the images in memory, every row of columns is a part of a row.
        let [h, w] = image;
        let [high, wide] = [h + 2 * self.padding[0], w + 2 * self.padding[1]];
        let mut padded = Buffer::new(images.len() / (h * w) * high * wide + SLACK);
        padded.fill(T::default());
        for (plane, from) in
            padded.chunks_exact_mut(high * wide).zip(images.chunks_exact(h * w))
        {
            let lines = plane.chunks_exact_mut(wide).skip(self.padding[0]);
            for (line, from) in lines.zip(from.chunks_exact(w)) {
                line[self.padding[1]..][..w].copy_from_slice(from);
            }
        }
        let count = images.len() / (channels * h * w);
        unfold_padded(self, &padded, [count, channels], [high, wide], places, columns);
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
                    add_apart(&mut line[first..], self.stride[1], &column[left..right]);
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

/// Elements beyond its end that a copy of a short run may touch.
pub(crate) const SLACK: usize = 16;

vectorised! {
    /// [`Window::unfold`] of `[count, channels]` planes, zeros around them included. Short runs
    /// are copied as whole vectors: what is too much is written again, or is slack.
    fn unfold_padded[T: Element][T](
        window: &Window,
        padded: &[T],
        numbers: [usize; 2],
        plane: [usize; 2],
        places: [usize; 2],
        columns: &mut [T],
    ) {
        let ([count, channels], [high, wide], [oh, ow]) = (numbers, plane, places);
        let [kh, kw] = window.kernel;
        let mut at = 0;
        for row in 0..channels * kh * kw {
            let (channel, ky, kx) = (row / (kh * kw), row / kw % kh, row % kw);
            for image in 0..count {
                let plane = (image * channels + channel) * high * wide;
                for oy in 0..oh {
                    let from = plane + (oy * window.stride[0] + ky) * wide + kx;
                    if window.stride[1] == 1 {
                        for done in (0..ow).step_by(SLACK) {
                            let run: [T; SLACK] = *padded[from + done..]
                                .first_chunk()
                                .expect("there is slack behind the last plane");
                            *columns[at + done..].first_chunk_mut().expect("there is slack") = run;
                        }
                    } else {
                        let seen = padded[from..].iter().step_by(window.stride[1]);
                        columns[at..at + ow].iter_mut().zip(seen).for_each(|(to, &v)| *to = v);
                    }
                    at += ow;
                }
            }
        }
    }
}

vectorised! {
    /// Adds to every `step`th element.
    fn add_apart[T: Number][T](sums: &mut [T], step: usize, more: &[T]) {
        if step == 1 {
            for (sum, &more) in sums.iter_mut().zip(more) {
                *sum = sum.plus(more);
            }
        } else {
            for (sum, &more) in sums.iter_mut().step_by(step).zip(more) {
                *sum = sum.plus(more);
            }
        }
    }
}

/// The lengths of the four axes.
pub(crate) fn lengths(x: &Tensor) -> [usize; 4] {
    std::array::from_fn(|axis| x.shape()[axis])
}
