//! Layers that shift and scale their inputs to mean 0 and variance 1.

use super::{Mode, Parameter, module::module};
use crate::{Shape, Tensor, no_grad};

/// Batch normalisation (Ioffe and Szegedy, 2015): of features `(n, c)`, or of the channels
/// of images `(n, c, h, w)` and of sequences `(n, c, t)`.
///
/// In training by the mean and variance of the batch, over all axes but the second; in use by
/// their running means. The result has the shape of the input.
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::BatchNorm::lazy();
/// let y = layer.forward(&tensor([[1.0], [3.0]]));
/// assert!(y.allclose(&(tensor([[-1.0], [1.0]]) / (1.0_f64 + 1e-5).sqrt())));
/// layer.eval();
/// assert!((layer.running_mean.item() - 0.2).abs() < 1e-6);
/// ```
#[derive(Debug)]
pub struct BatchNorm {
    /// The scale, `(c)`, 1 at first.
    pub weight: Parameter,
    /// The shift, `(c)`, 0 at first.
    pub bias: Parameter,
    /// A buffer: the running mean, `(c)`.
    pub running_mean: Parameter,
    /// A buffer: the running variance, `(c)`.
    pub running_var: Parameter,
    eps: f64,
    momentum: f64,
    mode: Mode,
}

impl BatchNorm {
    /// A layer for `num_features` features or channels.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(nn::BatchNorm::new(3).running_var.to_vec(), [1.0; 3]);
    /// ```
    pub fn new(num_features: usize) -> BatchNorm {
        let layer = BatchNorm::lazy();
        layer.meet(num_features);
        layer
    }

    /// A layer that finds the number of features when it meets the first input.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::BatchNorm::lazy();
    /// layer.forward(&Tensor::rand([4, 3, 5, 5]));
    /// assert_eq!(layer.weight.shape(), [3]);
    /// ```
    pub fn lazy() -> BatchNorm {
        BatchNorm {
            weight: Parameter::lazy(),
            bias: Parameter::lazy(),
            running_mean: Parameter::lazy_buffer(),
            running_var: Parameter::lazy_buffer(),
            eps: 1e-5,
            momentum: 0.1,
            mode: Mode::new(),
        }
    }

    /// What is added to the variance; 1e-5 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::BatchNorm::new(1).eps(3.0).forward(&tensor([[-1.0], [1.0]]));
    /// assert_eq!(y.to_vec(), [-0.5, 0.5]);
    /// ```
    pub fn eps(mut self, eps: f64) -> BatchNorm {
        self.eps = eps;
        self
    }

    /// The share of the newest batch in the running means; 0.1 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::BatchNorm::new(1).momentum(1.0);
    /// layer.forward(&tensor([[2.0], [4.0]]));
    /// assert_eq!(layer.running_mean.to_vec(), [3.0]);
    /// ```
    pub fn momentum(mut self, momentum: f64) -> BatchNorm {
        self.momentum = momentum;
        self
    }

    fn meet(&self, num_features: usize) {
        self.weight.get_or_init(|| Tensor::ones(num_features));
        self.bias.get_or_init(|| Tensor::zeros(num_features));
        self.running_mean.get_or_init(|| Tensor::zeros(num_features));
        self.running_var.get_or_init(|| Tensor::ones(num_features));
    }

    /// The input `(n, c, …)`, normalised, in the same shape.
    ///
    /// # Panics
    /// If there is no axis of features or one of another length, or in training only one value
    /// for each.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::BatchNorm::new(2).forward(&Tensor::rand([8, 2, 3, 3]));
    /// assert!(y.mean_axis([0, 2, 3]).abs().max().item() < 1e-5);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(
            x.ndim() >= 2,
            "BatchNorm: an input of shape {:?} has no features (n, c, …)",
            x.shape()
        );
        let c = x.len_of(1);
        self.meet(c);
        if self.mode.is_training() {
            let count = x.numel() / c.max(1);
            assert!(
                count > 1,
                "BatchNorm: training needs more than one value for each of {c} features, \
                 not shape {:?}",
                x.shape()
            );
            let (y, mean, variance) =
                x.batch_norm(Some(&self.weight), Some(&self.bias), self.eps);
            no_grad(|| {
                let unbiased = variance * (count as f64 / (count as f64 - 1.0));
                for (running, new) in
                    [(&self.running_mean, mean), (&self.running_var, unbiased)]
                {
                    running.mul_(1.0 - self.momentum);
                    running.add_(new * self.momentum);
                }
            });
            return y;
        }
        let mut along = vec![1; x.ndim()];
        along[1] = c;
        let along = |statistic: &Tensor| statistic.reshape(&along[..]);
        let scale = &self.weight / (self.running_var.tensor() + self.eps).sqrt();
        let shift = &self.bias - self.running_mean.tensor() * &scale;
        x * along(&scale) + along(&shift)
    }
}

module!(BatchNorm: weight, bias, running_mean, running_var, mode);

/// Layer normalisation (Ba, Kiros and Hinton, 2016): of every example on its own, over its
/// last axes. The result has the shape of the input.
///
/// ```
/// use d2l::prelude::*;
///
/// let y = nn::LayerNorm::new(4).forward(&Tensor::rand([2, 3, 4]));
/// assert!(y.mean_axis(-1).abs().max().item() < 1e-6);
/// ```
#[derive(Debug)]
pub struct LayerNorm {
    /// The scale, of the normalised shape, 1 at first.
    pub weight: Parameter,
    /// The shift, of the normalised shape, 0 at first.
    pub bias: Parameter,
    shape: Shape,
    eps: f64,
}

impl LayerNorm {
    /// Normalises over the last axes, which must have this shape.
    ///
    /// # Panics
    /// Where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(nn::LayerNorm::new([3, 4]).weight.shape(), [3, 4]);
    /// ```
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> LayerNorm {
        LayerNorm::of(shape.into())
    }

    #[track_caller]
    fn of(shape: Shape) -> LayerNorm {
        LayerNorm {
            weight: Parameter::new(Tensor::ones(shape)),
            bias: Parameter::new(Tensor::zeros(shape)),
            shape,
            eps: 1e-5,
        }
    }

    /// What is added to the variance; 1e-5 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::LayerNorm::new(2).eps(3.0).forward(&tensor([-1.0, 1.0]));
    /// assert_eq!(y.to_vec(), [-0.5, 0.5]);
    /// ```
    pub fn eps(mut self, eps: f64) -> LayerNorm {
        self.eps = eps;
        self
    }

    /// The input, normalised, in the same shape.
    ///
    /// # Panics
    /// If the last axes have another shape than the layer.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::LayerNorm::new([2, 3]).forward(&Tensor::rand([8, 2, 3]));
    /// assert!(y.mean_axis([1, 2]).abs().max().item() < 1e-5);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(
            x.shape().ends_with(&self.shape),
            "LayerNorm: an input of shape {:?} does not end in {:?}",
            x.shape(),
            self.shape
        );
        x.layer_norm(self.shape, Some(&self.weight), Some(&self.bias), self.eps)
    }
}

module!(LayerNorm: weight, bias);
