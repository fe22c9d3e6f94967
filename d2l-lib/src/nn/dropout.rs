//! Dropout.

use super::{Mode, module::module};
use crate::{DType, Device, Tensor};

/// In training, sets every element to 0 with probability `p` and divides the others by
/// `1 - p`, so that the expectation stays; in use, changes nothing.
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::Dropout::new(0.5);
/// let y = layer.forward(&Tensor::ones(1000));
/// assert_eq!(y.max().item(), 2.0);
/// assert!((y.mean().item() - 1.0).abs() < 0.2);
/// layer.eval();
/// assert_eq!(layer.forward(&Tensor::ones(3)).to_vec(), [1.0; 3]);
/// ```
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    mode: Mode,
}

impl Dropout {
    /// Dropout with probability `p`.
    ///
    /// # Panics
    /// If `p` is no probability.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let zeros = nn::Dropout::new(1.0).forward(&Tensor::ones(3));
    /// assert_eq!(zeros.to_vec(), [0.0; 3]);
    /// ```
    #[track_caller]
    pub fn new(p: f64) -> Dropout {
        assert!((0.0..=1.0).contains(&p), "Dropout: {p} is no probability");
        Dropout { p, mode: Mode::new() }
    }

    /// The input, in training with some elements dropped and the others scaled.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::Dropout::new(0.5);
    /// layer.eval();
    /// assert_eq!(layer.forward(&tensor([1.0, 2.0])).to_vec(), [1.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if !self.mode.is_training() || self.p == 0.0 {
            return x.clone();
        }
        if self.p == 1.0 {
            return x * 0.0;
        }
        x * factors(self.p, x.shape(), x.dtype(), x.device())
    }
}

/// Zeros with probability `p`, below 1, else `1 / (1 - p)`.
#[track_caller]
pub(super) fn factors(p: f64, shape: &[usize], dtype: DType, device: Device) -> Tensor {
    Tensor::rand_on(device, shape.into()).ge(p).to_dtype(dtype) / (1.0 - p)
}

module!(Dropout: mode);
