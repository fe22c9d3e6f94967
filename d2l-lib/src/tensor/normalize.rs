//! Normalisation of layers and batches.

use super::Tensor;
use crate::{
    autograd::record,
    dtype::{DType, with_float},
    ops::{
        cuda::{
            self,
            Weights::{OfChannels, OfElements},
        },
        normalize::{Channels, Moments},
    },
    shape::Shape,
};

impl Tensor {
    /// Every part over the last axes, of shape `shape`, shifted and scaled to mean 0 and
    /// variance 1, then multiplied by `weight` and shifted by `bias`, both of shape `shape`.
    ///
    /// `(…, shape)` gives a tensor of the same shape. `eps` is added to the variance, so that
    /// equal elements give 0.
    ///
    /// # Panics
    /// If the last axes, `weight` and `bias` do not have the shape `shape`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 3.0], [10.0, 30.0]]);
    /// assert_eq!(x.layer_norm(2, None, None, 0.0).to_vec(), [-1.0, 1.0, -1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn layer_norm(
        &self,
        shape: impl Into<Shape>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Tensor {
        layer_norm(self, shape.into(), weight, bias, eps)
    }

    /// Every channel (axis 1) shifted and scaled to mean 0 and variance 1 over all other axes,
    /// then multiplied by its element of `weight` and shifted by that of `bias`; with the
    /// mean and the (biased) variance of each channel, which are constants.
    ///
    /// `(n, c, …)` gives `(n, c, …)`, `(c)` and `(c)`. `eps` is added to the variance.
    ///
    /// # Panics
    /// If there are fewer than two axes, or `weight` or `bias` have another shape than
    /// `(channels)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 10.0], [3.0, 30.0]]);
    /// let (y, mean, var) = x.batch_norm(None, None, 0.0);
    /// assert_eq!(y.to_vec(), [-1.0, -1.0, 1.0, 1.0]);
    /// assert_eq!((mean.to_vec(), var.to_vec()), (vec![2.0, 20.0], vec![1.0, 100.0]));
    /// ```
    #[track_caller]
    pub fn batch_norm(
        &self,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> (Tensor, Tensor, Tensor) {
        let shape = self.shape();
        assert!(self.ndim() >= 2, "batch_norm: shape {shape:?} has no channels");
        let channels = Channels([shape[0], shape[1], shape[2..].iter().product()]);
        for part in [weight, bias].into_iter().flatten() {
            assert!(
                part.shape() == &shape[1..2],
                "batch_norm: a weight or bias of shape {:?} for the channels of shape {shape:?}",
                part.shape()
            );
        }
        // Computed in f32 up to the end if these are halves; mean and variance stay so.
        let x = self.to_dtype(self.dtype().to_float());
        let fused = cuda::normalize(
            "batch_norm",
            &x,
            [weight, bias],
            OfChannels,
            channels.0,
            eps,
        );
        if let Some((y, moments)) = fused {
            let moment = |number| moments.i((.., number)).to_dtype(x.dtype().wide());
            return (y, moment(0), moment(1));
        }
        let [weight, bias] = [weight, bias].map(|part| part.map(wide));
        let (y, moments) = standardize("batch_norm", &wide(self), channels, eps);
        let moment = |of: fn(&Moments) -> f64, number: usize| match &moments {
            Kept::OnGpu(moments) => moments.i((.., number)).to_dtype(y.dtype()),
            Kept::Here(moments) => {
                let values: Vec<f64> = moments.iter().map(of).collect();
                let shape = Shape::new(&[values.len()]);
                Tensor::new(values, shape).to_dtype(y.dtype())
            }
        };
        let (mean, variance) = (moment(|m| m.0, 0), moment(|m| m.1, 1));
        let mut across = Shape::new(&vec![1; self.ndim() - 1]);
        across.as_mut()[0] = shape[1];
        let across = |x: Tensor| x.reshape_to(across);
        let y = scaled(y, weight.map(across), bias.map(across));
        (y.rounded_to("batch_norm", self.dtype()), mean, variance)
    }
}

#[track_caller]
fn layer_norm(
    x: &Tensor,
    shape: Shape,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Tensor {
    assert!(
        x.shape().ends_with(&shape),
        "layer_norm: shape {:?} does not end with {shape:?}",
        x.shape()
    );
    for part in [weight, bias].into_iter().flatten() {
        assert!(
            *part.shape() == *shape,
            "layer_norm: a weight or bias of shape {:?}, not {shape:?}",
            part.shape()
        );
    }
    let rows = x.shape()[..x.ndim() - shape.len()].iter().product();
    let channels = Channels([1, rows, shape.numel()]);
    let floats = x.to_dtype(x.dtype().to_float());
    let fused = cuda::normalize(
        "layer_norm",
        &floats,
        [weight, bias],
        OfElements,
        channels.0,
        eps,
    );
    if let Some((y, _)) = fused {
        return y;
    }
    let (y, _) = standardize("layer_norm", &wide(x), channels, eps);
    scaled(y, weight.map(wide), bias.map(wide)).rounded_to("layer_norm", x.dtype())
}

/// `x` in the type to compute in.
#[track_caller]
fn wide(x: &Tensor) -> Tensor {
    x.to_dtype(x.dtype().wide())
}

#[track_caller]
fn scaled(y: Tensor, weight: Option<Tensor>, bias: Option<Tensor>) -> Tensor {
    let y = match weight {
        Some(weight) => y * weight,
        None => y,
    };
    match bias {
        Some(bias) => y + bias,
        None => y,
    }
}

/// Mean and variance of every channel.
enum Kept {
    Here(Vec<Moments>),
    /// A row for each channel.
    OnGpu(Tensor),
}

#[track_caller]
fn standardize(
    op: &'static str,
    x: &Tensor,
    channels: Channels,
    eps: f64,
) -> (Tensor, Kept) {
    let dtype: DType = x.dtype().to_float();
    let x = &x.to_dtype(dtype).contiguous();
    let alone = cuda::normalize(op, x, [None; 2], OfChannels, channels.0, eps);
    if let Some((out, moments)) = alone {
        return (out, Kept::OnGpu(moments));
    }
    let (out, moments) = with_float!(dtype, T => {
        let values = x.storage.read::<T>();
        let values = &values[x.layout.offset..];
        let moments = channels.moments::<T>(values);
        let out = Tensor::filled(x.layout.shape, |out| {
            channels.standardize::<T>(values, &moments, eps, out)
        });
        (out, moments)
    });
    let out = record(op, out, &[x], |tape, y| {
        tape.edge(x, || {
            let (y, moments) = (y.saved(), moments.clone());
            move |g: &Tensor| {
                let g = g.contiguous();
                with_float!(dtype, T => {
                    let (y, values) = (y.storage.read::<T>(), g.storage.read::<T>());
                    let values = &values[g.layout.offset..];
                    Tensor::filled(g.layout.shape, |out| {
                        channels.gradient::<T>(&y, values, &moments, eps, out)
                    })
                })
            }
        });
    });
    (out, Kept::Here(moments))
}
