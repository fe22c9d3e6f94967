//! Softmax, and the loss that goes with it.

use super::{Tensor, create::constant};
use crate::{
    DType,
    autograd::record,
    dtype::with_float,
    ops::{
        cuda::{self, Wanted},
        softmax as rows,
    },
    shape::{Shape, axis_of},
    tensor::Value,
};

/// What is made of every row.
#[derive(Clone, Copy)]
enum Rows {
    Softmax,
    Log,
}

impl Rows {
    /// The same for a GPU.
    fn wanted(self) -> Wanted {
        match self {
            Rows::Softmax => Wanted::Softmax,
            Rows::Log => Wanted::Logarithm,
        }
    }
}

impl Tensor {
    /// Numbers between 0 and 1 that add up to 1 along `axis`: `exp(x) / Σ exp(x)`, without
    /// overflow, in this shape; of integers as `f32`.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = tensor([1000.0, 1000.0]).softmax(0);
    /// assert_eq!(y.to_vec(), [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: i64) -> Tensor {
        self.by_rows("softmax", axis, Rows::Softmax)
    }

    /// The logarithm of [`softmax`](Tensor::softmax), in this shape, computed without losing
    /// small probabilities.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = tensor([0.0, 1000.0]).log_softmax(0);
    /// assert_eq!(y.to_vec(), [-1000.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn log_softmax(&self, axis: i64) -> Tensor {
        self.by_rows("log_softmax", axis, Rows::Log)
    }

    /// A function of the rows along `axis`, whose gradient needs only its result.
    #[track_caller]
    fn by_rows(&self, op: &'static str, axis: i64, rows: Rows) -> Tensor {
        let axis = axis_of(op, axis, self.ndim());
        // A GPU computes with halves as they are.
        if self.dtype().is_half() && self.storage.is_host() {
            return self.in_wide(op, |x| x.by_rows(op, axis as i64, rows));
        }
        let x = self.with_last(axis);
        let length = x.shape()[x.ndim() - 1];
        if let Some((out, sums)) = cuda::rows(op, &x, rows.wanted()) {
            let out = record(op, out, &[&x], |tape, y| {
                tape.edge(&x, || {
                    // Halves are rounded in the result, so it is made again.
                    let known = if sums.is_some() { x.saved() } else { y.saved() };
                    move |g: &Tensor| {
                        let (g, sums) = (g.contiguous(), sums.as_ref());
                        cuda::rows_back(op, &known, sums, &g, rows.wanted())
                            .expect("on the GPU of `x`")
                    }
                });
            });
            return out.without_last(axis);
        }
        let out = with_float!(x.dtype(), T => {
            let values = x.storage.read::<T>();
            let values = &values[x.layout.offset..];
            Tensor::filled(x.layout.shape, |out| match rows {
                Rows::Softmax => rows::softmax::<T>(values, length, out),
                Rows::Log => rows::log_softmax::<T>(values, length, out),
            })
        });
        let out = record(op, out, &[&x], |tape, y| {
            tape.edge(&x, || {
                let y = y.saved();
                move |g: &Tensor| {
                    let g = g.contiguous();
                    with_float!(g.dtype(), T => {
                        let (y, g_values) = (y.storage.read::<T>(), g.storage.read::<T>());
                        let g_values = &g_values[g.layout.offset..];
                        Tensor::filled(g.layout.shape, |out| match rows {
                            Rows::Softmax => rows::softmax_gradient::<T>(&y, g_values, length, out),
                            Rows::Log => rows::log_softmax_gradient::<T>(&y, g_values, length, out),
                        })
                    })
                }
            });
        });
        out.without_last(axis)
    }

    /// Floats with `axis` exchanged for the last one, in rows one behind the other.
    #[track_caller]
    fn with_last(&self, axis: usize) -> Tensor {
        let x = self.to_dtype(self.dtype().to_float());
        if axis + 1 == x.ndim() {
            return x.contiguous();
        }
        x.transpose(axis as i64, -1).contiguous()
    }

    #[track_caller]
    fn without_last(self, axis: usize) -> Tensor {
        if axis + 1 == self.ndim() {
            return self;
        }
        self.transpose(axis as i64, -1)
    }

    /// The mean cross-entropy of logits against classes: how surprised the softmax of each
    /// row is by its target.
    ///
    /// `(n, c)` and integer targets `(n)` give a tensor without axes.
    ///
    /// # Panics
    /// If the shapes do not fit, or the targets are floats or one is no class. (Targets on a GPU
    /// are not looked at: one that is no class makes the loss NaN.)
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let logits = tensor([[0.0, 0.0], [0.0, 0.0]]);
    /// let loss = logits.cross_entropy(&tensor([0, 1]));
    /// assert!(loss.allclose(&tensor(2.0).ln()));
    /// ```
    #[track_caller]
    pub fn cross_entropy(&self, targets: &Tensor) -> Tensor {
        assert!(
            self.ndim() == 2 && targets.shape() == &self.shape()[..1],
            "cross_entropy: targets of shape {:?} for logits of shape {:?}",
            targets.shape(),
            self.shape()
        );
        assert!(
            !targets.dtype().is_float(),
            "cross_entropy: targets are the numbers of classes, not {}",
            targets.dtype()
        );
        let (n, c) = (self.shape()[0], self.shape()[1]);
        let targets = targets.to_dtype(DType::I64).contiguous();
        let dtype = self.dtype().to_float();
        let x = self.to_dtype(dtype).contiguous();
        if let Some((out, sums)) = cuda::cross_entropy(&x, &targets) {
            let out = record("cross_entropy", out, &[&x], |tape, _| {
                tape.edge(&x, || {
                    let (x, targets) = (x.saved(), targets.saved());
                    move |g: &Tensor| cuda::cross_entropy_back(&x, &targets, &sums, g)
                });
            });
            return out.rounded_to("cross_entropy", dtype);
        }
        let x = x.to_dtype(dtype.wide());
        let classes = targets.storage.read::<i64>();
        let classes = &classes[targets.layout.offset..][..n];
        if let Some(wrong) = classes.iter().find(|&&at| at < 0 || at >= c as i64) {
            panic!("cross_entropy: target {wrong} is none of the {c} classes");
        }
        let mut loss = 0.0;
        // The gradient falls off on the way, so it is made now.
        let gradient = with_float!(x.dtype(), T => {
            let values = x.storage.read::<T>();
            Tensor::filled(x.layout.shape, |out| {
                let values = &values[x.layout.offset..];
                loss = rows::cross_entropy::<T>(values, classes, c, (1.0 / n as f64) as T, out);
            })
        });
        let loss = Value::Float(loss / n as f64);
        let out = constant(Shape::new(&[]), x.dtype(), loss);
        let out = record("cross_entropy", out, &[&x], |tape, _| {
            tape.edge(&x, || move |g: &Tensor| gradient * g);
        });
        out.rounded_to("cross_entropy", dtype)
    }
}
