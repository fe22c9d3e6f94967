//! Pooling: one number for each window of an image.

use super::Tensor;
use crate::{
    autograd::record,
    device::threads,
    dtype::with_float,
    ops::{
        cuda::Sliding,
        elementwise::GRAIN,
        pool,
        window::{Window, lengths},
    },
    shape::Shape,
};

impl Tensor {
    /// The greatest element under a window that slides over every channel; NaN if there is
    /// one.
    ///
    /// `(n, c, h, w) → (n, c, oh, ow)` with
    /// `oh = (h + 2·padding[0] - kernel[0]) / stride[0] + 1`, rounded down, `ow` likewise. What
    /// lies outside the image is never chosen; of equal elements the first gets the gradient.
    ///
    /// # Panics
    /// If this is no float tensor with four axes, the window does not fit, a stride is 0, or
    /// the padding is more than half the window.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..9.0).reshape([1, 1, 3, 3]);
    /// assert_eq!(x.max_pool2d([2, 2], [1, 1], [0, 0]).to_vec(), [4.0, 5.0, 7.0, 8.0]);
    /// ```
    #[track_caller]
    pub fn max_pool2d(
        &self,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Tensor {
        let (window, places) = place("max_pool2d", self, kernel, stride, padding);
        let [n, c, h, w] = lengths(self);
        let shape = Shape::new(&[n, c, places[0], places[1]]);
        let size = places[0] * places[1];
        let x = self.to_dtype(self.dtype().wide()).contiguous();
        if let Some(out) = sliding(&window, &x, places).greatest(&x) {
            return out.rounded_to("max_pool2d", self.dtype());
        }
        let mut chosen = vec![0_u32; shape.numel()];
        let out = with_float!(x.dtype(), T => {
            let values = x.storage.read::<T>();
            let values = &values[x.layout.offset..];
            Tensor::filled(shape, |out: &mut [T]| {
                let grain = GRAIN.div_ceil(h * w + 1);
                threads::rows_mut_2((out, &mut chosen), size, grain, &|first, out, chosen| {
                    let outs = out.chunks_exact_mut(size).zip(chosen.chunks_exact_mut(size));
                    for (i, (out, chosen)) in (first..).zip(outs) {
                        let plane = &values[i * h * w..(i + 1) * h * w];
                        pool::greatest(&window, plane, [h, w], places, out, chosen);
                    }
                });
            })
        });
        let out = record("max_pool2d", out, &[&x], |tape, _| {
            tape.edge(&x, || {
                move |g: &Tensor| {
                    let g = g.contiguous();
                    with_float!(g.dtype(), T => {
                        let gradients = g.storage.read::<T>();
                        let gradients = &gradients[g.layout.offset..];
                        Tensor::filled(Shape::new(&[n, c, h, w]), |out: &mut [T]| {
                            let grain = GRAIN.div_ceil(h * w + 1);
                            threads::rows_mut(out, h * w, grain, &|first, out| {
                                out.fill(T::default());
                                for (i, out) in (first..).zip(out.chunks_exact_mut(h * w)) {
                                    let range = i * size..(i + 1) * size;
                                    let pairs = gradients[range.clone()].iter().zip(&chosen[range]);
                                    pairs.for_each(|(g, &at)| out[at as usize] += g);
                                }
                            });
                        })
                    })
                }
            });
        });
        out.rounded_to("max_pool2d", self.dtype())
    }

    /// The mean under a window that slides over every channel; zeros outside the image count.
    ///
    /// `(n, c, h, w) → (n, c, oh, ow)` with
    /// `oh = (h + 2·padding[0] - kernel[0]) / stride[0] + 1`, rounded down, `ow` likewise.
    ///
    /// # Panics
    /// If this is no float tensor with four axes, the window does not fit, a stride is 0, or
    /// the padding is more than half the window.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..9.0).reshape([1, 1, 3, 3]);
    /// assert_eq!(x.avg_pool2d([2, 2], [1, 1], [0, 0]).to_vec(), [2.0, 3.0, 5.0, 6.0]);
    /// ```
    #[track_caller]
    pub fn avg_pool2d(
        &self,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Tensor {
        let (window, places) = place("avg_pool2d", self, kernel, stride, padding);
        let [n, c, h, w] = lengths(self);
        let shape = Shape::new(&[n, c, places[0], places[1]]);
        let size = places[0] * places[1];
        let x = self.to_dtype(self.dtype().wide()).contiguous();
        if let Some(out) = sliding(&window, &x, places).means(&x) {
            return out.rounded_to("avg_pool2d", self.dtype());
        }
        let out = with_float!(x.dtype(), T => {
            let values = x.storage.read::<T>();
            let values = &values[x.layout.offset..];
            Tensor::filled(shape, |out: &mut [T]| {
                threads::rows_mut(out, size, GRAIN.div_ceil(h * w + 1), &|first, out| {
                    for (i, out) in (first..).zip(out.chunks_exact_mut(size)) {
                        let plane = &values[i * h * w..(i + 1) * h * w];
                        pool::means(&window, plane, [h, w], places, out);
                    }
                });
            })
        });
        let out = record("avg_pool2d", out, &[&x], |tape, _| {
            tape.edge(&x, || {
                move |g: &Tensor| {
                    let g = g.contiguous();
                    with_float!(g.dtype(), T => {
                        let values = g.storage.read::<T>();
                        let values = &values[g.layout.offset..];
                        Tensor::filled(Shape::new(&[n, c, h, w]), |out: &mut [T]| {
                            threads::rows_mut(out, h * w, GRAIN.div_ceil(h * w + 1), &|first, out| {
                                for (i, out) in (first..).zip(out.chunks_exact_mut(h * w)) {
                                    let g = &values[i * size..(i + 1) * size];
                                    pool::means_gradient(&window, g, [h, w], places, out);
                                }
                            });
                        })
                    })
                }
            });
        });
        out.rounded_to("avg_pool2d", self.dtype())
    }
}

/// The window's places over the images of `x`, for a GPU.
pub(super) fn sliding(window: &Window, x: &Tensor, places: [usize; 2]) -> Sliding {
    let Window { kernel, stride, padding } = *window;
    Sliding { images: lengths(x), places, kernel, stride, padding }
}

/// The window, and how many places it has over the images of `x`.
#[track_caller]
fn place(
    op: &str,
    x: &Tensor,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> (Window, [usize; 2]) {
    assert!(
        x.ndim() == 4 && x.dtype().is_float(),
        "{op}: needs float images with four axes, not {} of shape {:?}",
        x.dtype(),
        x.shape()
    );
    assert!(stride[0] > 0 && stride[1] > 0, "{op}: a stride of {stride:?} never ends");
    assert!(
        2 * padding[0] <= kernel[0] && 2 * padding[1] <= kernel[1],
        "{op}: a padding of {padding:?} is more than half a window of {kernel:?}"
    );
    let window = Window { kernel, stride, padding };
    let places = window.places([x.shape()[2], x.shape()[3]]);
    match places.filter(|_| kernel[0] > 0 && kernel[1] > 0) {
        Some(places) => (window, places),
        None => panic!(
            "{op}: a window of {kernel:?} does not fit on images of shape {:?} padded by \
             {padding:?}",
            x.shape()
        ),
    }
}
