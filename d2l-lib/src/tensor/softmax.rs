//! Softmax, and the loss that goes with it.

use super::Tensor;
use crate::{DType, shape::axis_of};

impl Tensor {
    /// Numbers between 0 and 1 that add up to 1 along `axis`: `exp(x) / Σ exp(x)`, without
    /// overflow.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = tensor([1000.0, 1000.0]).softmax(0);
    /// assert_eq!(y.to_vec(), [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: i64) -> Tensor {
        axis_of("softmax", axis, self.ndim());
        if self.numel() == 0 {
            return self.to_dtype(self.dtype().to_float());
        }
        // Shift by the maximum, so that no exponential overflows.
        let e = (self - self.detach().max_keepdim(axis)).exp();
        &e / e.sum_keepdim(axis)
    }

    /// The logarithm of [`softmax`](Tensor::softmax), computed without losing small
    /// probabilities.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = tensor([0.0, 1000.0]).log_softmax(0);
    /// assert_eq!(y.to_vec(), [-1000.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn log_softmax(&self, axis: i64) -> Tensor {
        axis_of("log_softmax", axis, self.ndim());
        if self.numel() == 0 {
            return self.to_dtype(self.dtype().to_float());
        }
        let shifted = self - self.detach().max_keepdim(axis);
        &shifted - shifted.exp().sum_keepdim(axis).ln()
    }

    /// The mean cross-entropy of logits against classes: how surprised the softmax of each
    /// row is by its target.
    ///
    /// `(n, c)` and integer targets `(n)` give a tensor without axes.
    ///
    /// # Panics
    /// If the shapes do not fit, or a target is no class.
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
        let targets = targets.to_dtype(DType::I64);
        if let Some(wrong) =
            targets.to_vec_i64().into_iter().find(|&at| at < 0 || at >= c as i64)
        {
            panic!("cross_entropy: target {wrong} is none of the {c} classes");
        }
        -self.log_softmax(1).i((Tensor::arange(0..n), targets)).mean()
    }
}
