//! Convolution as products of matrices: what the kernel sees of an image, one column for each
//! place, times the kernels. Images that have few places share a product. Where the kernel
//! moves by one, there are faster ways for many sizes.

#[cfg(target_arch = "x86_64")]
use super::direct;
use super::{
    elementwise::GRAIN,
    float::Float,
    matmul::{Factor, Matrix, Onto},
    window::{SLACK, Window},
    winograd,
};
use crate::device::{
    Buffer,
    threads::{self, Shared},
};

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

/// The sizes of a convolution whose kernel moves by one.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Channels of the input and of the output.
    pub(crate) channels: [usize; 2],
    /// Height and width of the input.
    pub(crate) image: [usize; 2],
    /// The zeros around it.
    pub(crate) padding: [usize; 2],
    /// Height and width of the kernel.
    pub(crate) kernel: [usize; 2],
}

impl Sizes {
    /// Height and width of the output.
    pub(super) fn places(&self) -> [usize; 2] {
        std::array::from_fn(|i| {
            (self.image[i] + 2 * self.padding[i] + 1).saturating_sub(self.kernel[i])
        })
    }

    /// The elements of an image.
    pub(super) fn input(&self) -> usize {
        self.channels[0] * self.image[0] * self.image[1]
    }

    /// The elements of a result.
    pub(super) fn output(&self) -> usize {
        self.channels[1] * self.places()[0] * self.places()[1]
    }
}

/// Whether the kernels are turned by half a circle, and their channels exchanged.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Turned {
    No,
    Yes,
}

/// Columns that are worth laying out the kernels for a product.
const COLUMNS: usize = 1024;

/// Elements of columns that are in memory at once, for each thread.
const ROOM: usize = 2 << 20;

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

    /// These sizes, if the kernel moves by one.
    fn ahead(&self) -> Sizes {
        Sizes {
            channels: self.channels,
            image: self.image,
            padding: self.window.padding,
            kernel: self.window.kernel,
        }
    }

    /// The convolution that the gradient of the input is: of the gradient with the kernels
    /// turned by half a circle. If the kernel moves by one, and no padding is seen alone.
    fn back(&self) -> Option<Sizes> {
        let ([ph, pw], [kh, kw]) = (self.window.padding, self.window.kernel);
        (ph < kh && pw < kw).then(|| Sizes {
            channels: [self.channels[1], self.channels[0]],
            image: self.places,
            padding: [kh - 1 - ph, kw - 1 - pw],
            kernel: [kh, kw],
        })
    }

    /// How many of `images` images share a product.
    fn group(&self, images: usize) -> usize {
        let room = ROOM / (self.rows() * self.seen());
        COLUMNS.div_ceil(self.seen()).min(room).min(images).max(1)
    }

    /// The columns of some images, side by side, in `room` unless one image itself is they.
    fn columns<'a, T: Float>(&self, images: &'a [T], room: &'a mut [T]) -> &'a [T] {
        let count = images.len() / self.input();
        if self.is_plain() && count == 1 {
            return images;
        }
        self.window.unfold(images, self.channels[0], self.image, self.places, room);
        &room[..self.rows() * count * self.seen()]
    }

    /// The results (or their gradients) of some images as one matrix, a row for each channel;
    /// in `room` unless there is only one.
    fn side_by_side<'a, T: Float>(&self, g: &'a [T], room: &'a mut [T]) -> &'a [T] {
        let count = g.len() / self.output();
        if count == 1 {
            return g;
        }
        let seen = self.seen();
        for (i, g) in g.chunks_exact(self.output()).enumerate() {
            for (channel, g) in g.chunks_exact(seen).enumerate() {
                room[(channel * count + i) * seen..][..seen].copy_from_slice(g);
            }
        }
        &room[..g.len()]
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
        if self.by_one(self.ahead(), x, weight, Turned::No, bias, out) {
            return;
        }
        let (seen, rows, outputs) = (self.seen(), self.rows(), self.channels[1]);
        let weight = Matrix::rows(weight, [outputs, rows]);
        let group = self.group(self.images.div_ceil(threads::num_threads()));
        threads::rows_mut(out, self.output(), group, &|first, out| {
            let in_place = self.is_plain() && group == 1;
            let mut room =
                Buffer::new(if in_place { 0 } else { rows * seen * group + SLACK });
            let mut results =
                Buffer::new(if group == 1 { 0 } else { outputs * seen * group });
            for (i, out) in out.chunks_mut(group * self.output()).enumerate() {
                let count = out.len() / self.output();
                let images =
                    &x[(first + i * group) * self.input()..][..count * self.input()];
                let columns = self.columns(images, &mut room);
                let columns = Matrix::rows(columns, [rows, count * seen]);
                if count == 1 {
                    T::product(weight, columns, Onto::Nothing, out, seen);
                } else {
                    T::product(
                        weight,
                        columns,
                        Onto::Nothing,
                        &mut results,
                        count * seen,
                    );
                    for (i, out) in out.chunks_exact_mut(self.output()).enumerate() {
                        for (channel, out) in out.chunks_exact_mut(seen).enumerate() {
                            let at = (channel * count + i) * seen;
                            out.copy_from_slice(&results[at..at + seen]);
                        }
                    }
                }
                for out in out.chunks_exact_mut(self.output()) {
                    for (out, &bias) in out.chunks_exact_mut(seen).zip(bias) {
                        out.iter_mut().for_each(|out| *out += bias);
                    }
                }
            }
        });
    }

    /// The gradient with respect to the input.
    pub(crate) fn input_gradient<T: Float + Factor>(
        &self,
        g: &[T],
        weight: &[T],
        out: &mut [T],
    ) {
        if self.is_empty() {
            return out.fill(T::default());
        }
        if let Some(sizes) = self.back()
            && self.by_one(sizes, g, weight, Turned::Yes, &[], out)
        {
            return;
        }
        let (seen, rows) = (self.seen(), self.rows());
        let weight = Matrix::rows(weight, [self.channels[1], rows]).t();
        let group = self.group(self.images.div_ceil(threads::num_threads()));
        threads::rows_mut(out, self.input(), group, &|first, out| {
            let mut room = Buffer::new(rows * seen * group);
            let mut g_room =
                Buffer::new(if group == 1 { 0 } else { self.output() * group });
            for (i, out) in out.chunks_mut(group * self.input()).enumerate() {
                let count = out.len() / self.input();
                let g =
                    &g[(first + i * group) * self.output()..][..count * self.output()];
                let g = self.side_by_side(g, &mut g_room);
                let g = Matrix::rows(g, [self.channels[1], count * seen]);
                if self.is_plain() && count == 1 {
                    T::product(weight, g, Onto::Nothing, out, seen);
                    continue;
                }
                T::product(weight, g, Onto::Nothing, &mut room, count * seen);
                out.fill(T::default());
                for (i, out) in out.chunks_exact_mut(self.input()).enumerate() {
                    let columns = &room[i * seen..];
                    self.window.fold(columns, count * seen, self.image, self.places, out);
                }
            }
        });
    }

    /// Convolves without copying columns, if that is possible and faster.
    fn by_one<T: Float>(
        &self,
        sizes: Sizes,
        x: &[T],
        weight: &[T],
        turned: Turned,
        bias: &[T],
        out: &mut [T],
    ) -> bool {
        let stride = self.window.stride;
        let (Some(x), Some(weight), Some(bias), Some(out)) =
            (T::as_f32(x), T::as_f32(weight), T::as_f32(bias), T::as_f32_mut(out))
        else {
            return false;
        };
        if sizes.suits_winograd(stride, self.images) {
            winograd::convolve(sizes, x, weight, turned, bias, out);
            return true;
        }
        #[cfg(target_arch = "x86_64")]
        if sizes.suits_direct(stride) {
            direct::convolve(sizes, x, weight, turned, bias, out);
            return true;
        }
        false
    }

    /// Adds the gradient of some images without copying columns, if that is possible and
    /// faster.
    fn weight_gradient_by_one<T: Float>(&self, x: &[T], g: &[T], sum: &mut [T]) -> bool {
        let (sizes, stride) = (self.ahead(), self.window.stride);
        let (Some(x), Some(g), Some(sum)) =
            (T::as_f32(x), T::as_f32(g), T::as_f32_mut(sum))
        else {
            return false;
        };
        #[cfg(target_arch = "x86_64")]
        if sizes.suits_direct(stride) {
            direct::to_weight(sizes, x, g, sum);
            return true;
        }
        if sizes.suits_winograd(stride, self.images) {
            winograd::to_weight(sizes, x, g, sum);
            return true;
        }
        false
    }

    /// The gradient with respect to the kernels.
    pub(crate) fn weight_gradient<T: Float + Factor>(
        &self,
        x: &[T],
        g: &[T],
        out: &mut [T],
    ) {
        if self.is_empty() {
            return out.fill(T::default());
        }
        // Each part adds up some images. How many parts depends on the sizes only, so that
        // the sum does too.
        const PARTS: usize = 8;
        let length = out.len();
        let parts = PARTS.min(ROOM / length).clamp(2, PARTS);
        let parts = match self.ahead() {
            sizes if sizes.suits_winograd(self.window.stride, self.images) => {
                parts.min(sizes.shares(self.images))
            }
            _ => parts.min(self.images),
        };
        let (rows, seen, outputs) = (self.rows(), self.seen(), self.channels[1]);
        // The first part adds up where the result will be.
        let mut others = Buffer::new((parts - 1) * length);
        let (first, rest) = (Shared::new(out), Shared::new(&mut others));
        threads::run(parts, &|i| {
            let (from, to) = (self.images * i / parts, self.images * (i + 1) / parts);
            // SAFETY: each number is one part's, and nobody reads before all have ended.
            let sum = unsafe {
                match i.checked_sub(1) {
                    Some(other) => rest.part(other * length, length),
                    None => first.part(0, length),
                }
            };
            sum.fill(T::default());
            let x = &x[from * self.input()..to * self.input()];
            let g = &g[from * self.output()..to * self.output()];
            if self.weight_gradient_by_one(x, g, sum) {
                return;
            }
            let group = self.group(to - from);
            let mut room = Buffer::new(rows * seen * group + SLACK);
            let mut g_room = Buffer::new(outputs * seen * group);
            let images = x.chunks(group * self.input());
            for (x, g) in images.zip(g.chunks(group * self.output())) {
                let wide = x.len() / self.input() * seen;
                let columns = Matrix::rows(self.columns(x, &mut room), [rows, wide]);
                let g = Matrix::rows(self.side_by_side(g, &mut g_room), [outputs, wide]);
                T::product(g, columns.t(), Onto::Itself, sum, rows);
            }
        });
        threads::rows_mut(out, 1, GRAIN, &|from, out| {
            for sum in others.chunks_exact(length) {
                out.iter_mut().zip(&sum[from..]).for_each(|(out, &sum)| *out += sum);
            }
        });
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
