//! Pooling: one number for each window of an image.

use super::Tensor;
use crate::{
    autograd::record,
    dtype::{Element, with_float},
    ops::{
        number::is_nan,
        window::{Window, lengths},
    },
    shape::Shape,
};

impl Tensor {
    /// The greatest element under a window that slides over every channel; NaN if there is
    /// one.
    ///
    /// `(n, c, h, w) → (n, c, oh, ow)` with
    /// `oh = (h + 2·padding[0] - kernel[0]) / stride[0] + 1`. What lies outside the image is
    /// never chosen; of equal elements the first gets the gradient.
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
        let mut chosen: Vec<u32> = Vec::with_capacity(shape.numel());
        let out = with_float!(self.dtype(), T => {
            let values = self.to_vec_of::<T>();
            let mut out: Vec<T> = Vec::with_capacity(shape.numel());
            for plane in 0..n * c {
                for_each_place(places, |place| {
                    let [rows, columns] = window.seen(place, [h, w]);
                    let mut best = plane * h * w + rows.start * w + columns.start;
                    for y in rows {
                        for x in columns.clone() {
                            let at = plane * h * w + y * w + x;
                            if values[at] > values[best] || (is_nan(values[at]) && !is_nan(values[best])) {
                                best = at;
                            }
                        }
                    }
                    out.push(values[best]);
                    chosen.push((best - plane * h * w) as u32);
                });
            }
            Tensor::new(out, shape)
        });
        let size = places[0] * places[1];
        record("max_pool2d", out, &[self], |tape, _| {
            tape.edge(self, || {
                move |g: &Tensor| {
                    with_float!(g.dtype(), T => {
                        let mut out = vec![T::default(); n * c * h * w];
                        for (i, (g, at)) in g.to_vec_of::<T>().into_iter().zip(chosen).enumerate() {
                            out[i / size * h * w + at as usize] += g;
                        }
                        Tensor::new(out, Shape::new(&[n, c, h, w]))
                    })
                }
            });
        })
    }

    /// The mean under a window that slides over every channel; zeros outside the image count.
    ///
    /// `(n, c, h, w) → (n, c, oh, ow)` with
    /// `oh = (h + 2·padding[0] - kernel[0]) / stride[0] + 1`.
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
        let share = 1.0 / (kernel[0] * kernel[1]) as f64;
        let out = with_float!(self.dtype(), T => {
            let values = self.to_vec_of::<T>();
            let mut out: Vec<T> = Vec::with_capacity(shape.numel());
            for plane in 0..n * c {
                for_each_place(places, |place| {
                    let [rows, columns] = window.seen(place, [h, w]);
                    let mut total = T::default();
                    for y in rows {
                        let row = &values[plane * h * w + y * w..][columns.clone()];
                        row.iter().for_each(|value| total += value);
                    }
                    out.push(total * T::from_f64(share));
                });
            }
            Tensor::new(out, shape)
        });
        record("avg_pool2d", out, &[self], |tape, _| {
            tape.edge(self, || {
                move |g: &Tensor| {
                    with_float!(g.dtype(), T => {
                        let mut out = vec![T::default(); n * c * h * w];
                        let mut gradients = g.to_vec_of::<T>().into_iter();
                        for plane in 0..n * c {
                            for_each_place(places, |place| {
                                let g = gradients.next().expect("one for each place");
                                let [rows, columns] = window.seen(place, [h, w]);
                                for y in rows {
                                    let row = &mut out[plane * h * w + y * w..][columns.clone()];
                                    row.iter_mut().for_each(|sum| *sum += g * T::from_f64(share));
                                }
                            });
                        }
                        Tensor::new(out, Shape::new(&[n, c, h, w]))
                    })
                }
            });
        })
    }
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

fn for_each_place([rows, columns]: [usize; 2], mut each: impl FnMut([usize; 2])) {
    for y in 0..rows {
        for x in 0..columns {
            each([y, x]);
        }
    }
}
