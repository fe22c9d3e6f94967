//! Convolution as products of matrices: what the kernel sees of an image, one column for each
//! place, times the kernels.

use std::sync::{Mutex, PoisonError};

use super::{
    float::Float,
    matmul::{Factor, Matrix},
    window::Window,
    winograd::{self, Turned},
};
use crate::device::threads;

/// The sizes of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Convolution {
    pub(crate) window: Window,
    /// How many images.
    pub(crate) images: usize,
    /// Channels of the input and of the output.
    pub(crate) channels: [usize; 2],
    /// Height and width of the input.
    pub(crate) image: [usize; 2],
    /// Height and width of the output.
    pub(crate) places: [usize; 2],
}

impl Convolution {
    fn input(&self) -> usize {
        self.channels[0] * self.image[0] * self.image[1]
    }

    fn output(&self) -> usize {
        self.channels[1] * self.seen()
    }

    /// The places of the window over one image.
    fn seen(&self) -> usize {
        self.places[0] * self.places[1]
    }

    /// The elements under the window.
    fn rows(&self) -> usize {
        self.channels[0] * self.window.kernel[0] * self.window.kernel[1]
    }

    /// Whether the columns are the image itself.
    fn is_plain(&self) -> bool {
        self.window.kernel == [1, 1]
            && self.window.stride == [1, 1]
            && self.window.padding == [0, 0]
    }

    fn is_empty(&self) -> bool {
        self.images * self.input() * self.output() * self.rows() == 0
    }

    /// The columns of one image, in `room` unless the image itself is they.
    fn columns<'a, T: Float>(&self, image: &'a [T], room: &'a mut Vec<T>) -> &'a [T] {
        if self.is_plain() {
            return image;
        }
        room.resize(self.rows() * self.seen(), T::default());
        self.window.unfold(image, self.image, self.places, room);
        room
    }

    /// The output of every image; `bias` is one number for each channel, or nothing.
    pub(crate) fn forward<T: Float + Factor>(
        &self,
        x: &[T],
        weight: &[T],
        bias: &[T],
        out: &mut [T],
    ) {
        if self.is_empty() {
            let channels = out.chunks_exact_mut(self.seen().max(1));
            let biases = bias.iter().cycle();
            out_fill(channels, biases.copied(), bias.is_empty());
            return;
        }
        let sizes = winograd::Sizes {
            channels: self.channels,
            image: self.image,
            padding: self.window.padding,
        };
        if sizes.suits(self.window.kernel, self.window.stride)
            && T::winograd(sizes, x, weight, Turned::No, bias, out)
        {
            return;
        }
        let weight = Matrix::rows(weight, [self.channels[1], self.rows()]);
        threads::rows_mut(out, self.output(), 1, &|first, out| {
            let mut room = Vec::new();
            let images = x[first * self.input()..].chunks_exact(self.input());
            for (image, out) in images.zip(out.chunks_exact_mut(self.output())) {
                let columns = self.columns(image, &mut room);
                let columns = Matrix::rows(columns, [self.rows(), self.seen()]);
                T::product(weight, columns, out, self.seen(), false);
                for (out, &bias) in out.chunks_exact_mut(self.seen()).zip(bias) {
                    out.iter_mut().for_each(|out| *out += bias);
                }
            }
        });
    }

    /// The gradient with respect to the input.
    pub(crate) fn to_input<T: Float + Factor>(
        &self,
        g: &[T],
        weight: &[T],
        out: &mut [T],
    ) {
        if self.is_empty() {
            return out.fill(T::default());
        }
        // With stride 1, that is the convolution of the gradient with the kernels turned by
        // half a circle.
        let sizes = winograd::Sizes {
            channels: [self.channels[1], self.channels[0]],
            image: self.places,
            padding: self.window.padding.map(|padding| 2_usize.saturating_sub(padding)),
        };
        if self.window.padding.iter().all(|&padding| padding <= 2)
            && sizes.suits(self.window.kernel, self.window.stride)
            && T::winograd(sizes, g, weight, Turned::Yes, &[], out)
        {
            return;
        }
        let weight = Matrix::rows(weight, [self.channels[1], self.rows()]).t();
        threads::rows_mut(out, self.input(), 1, &|first, out| {
            let mut room = vec![T::default(); self.rows() * self.seen()];
            let gradients = g[first * self.output()..].chunks_exact(self.output());
            for (g, out) in gradients.zip(out.chunks_exact_mut(self.input())) {
                let g = Matrix::rows(g, [self.channels[1], self.seen()]);
                if self.is_plain() {
                    T::product(weight, g, out, self.seen(), false);
                    continue;
                }
                T::product(weight, g, &mut room, self.seen(), false);
                out.fill(T::default());
                self.window.fold(&room, self.image, self.places, out);
            }
        });
    }

    /// The gradient with respect to the kernels.
    pub(crate) fn to_weight<T: Float + Factor>(&self, x: &[T], g: &[T], out: &mut [T]) {
        out.fill(T::default());
        if self.is_empty() {
            return;
        }
        // Each part adds up some images. How many parts depends on the sizes only, so that
        // the sum does too.
        const PARTS: usize = 8;
        const ROOM: usize = 4 << 20;
        let parts = PARTS.min(ROOM / out.len()).clamp(2, PARTS).min(self.images);
        let sums = Mutex::new(vec![Vec::new(); parts]);
        let (rows, seen) = (self.rows(), self.seen());
        threads::run(parts, &|i| {
            let (from, to) = (self.images * i / parts, self.images * (i + 1) / parts);
            let mut room = Vec::new();
            let mut sum = vec![T::default(); self.channels[1] * rows];
            for image in from..to {
                let x = &x[image * self.input()..(image + 1) * self.input()];
                let g = &g[image * self.output()..(image + 1) * self.output()];
                let g = Matrix::rows(g, [self.channels[1], seen]);
                let columns = Matrix::rows(self.columns(x, &mut room), [rows, seen]);
                T::product(g, columns.t(), &mut sum, rows, true);
            }
            sums.lock().unwrap_or_else(PoisonError::into_inner)[i] = sum;
        });
        for sum in sums.into_inner().unwrap_or_else(PoisonError::into_inner) {
            out.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum);
        }
    }
}

fn out_fill<'a, T: Float>(
    channels: impl Iterator<Item = &'a mut [T]>,
    mut biases: impl Iterator<Item = T>,
    none: bool,
) {
    for channel in channels {
        channel.fill(if none { T::default() } else { biases.next().unwrap_or_default() });
    }
}
