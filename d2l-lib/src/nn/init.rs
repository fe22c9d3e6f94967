//! Initialisers: first values for parameters, written in place.
//!
//! ```
//! use d2l::{nn::init, prelude::*};
//!
//! let net = sequential![nn::Linear::new(4, 8), nn::Relu, nn::Linear::new(8, 1)];
//! for (name, parameter) in net.parameters() {
//!     if name.ends_with("weight") {
//!         init::normal(&parameter, 0.0, 0.01);
//!     } else {
//!         init::zeros(&parameter);
//!     }
//! }
//! assert_eq!(net.parameters()["0.bias"].to_vec(), [0.0; 8]);
//! ```

use super::Parameter;
use crate::{Shape, Tensor, Value, autograd::Pause};

#[track_caller]
fn write<'a>(parameter: &Tensor, value: impl Into<Value<'a>>) {
    let _pause = Pause::begin();
    parameter.fill_(value);
}

/// Writes zeros to all elements.
///
/// # Panics
/// If the parameter is an expanded view, whose elements are one memory.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::zeros(&w);
/// assert_eq!(w.abs().max().item(), 0.0);
/// ```
#[track_caller]
pub fn zeros(parameter: &Tensor) {
    constant(parameter, 0.0);
}

/// Writes ones to all elements.
///
/// # Panics
/// If the parameter is an expanded view, whose elements are one memory.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::zeros([40, 50]);
/// init::ones(&w);
/// assert_eq!(w.mean().item(), 1.0);
/// ```
#[track_caller]
pub fn ones(parameter: &Tensor) {
    constant(parameter, 1.0);
}

/// Writes `value` to all elements.
///
/// # Panics
/// If the parameter is an expanded view, whose elements are one memory.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::constant(&w, 0.5);
/// assert_eq!(w.mean().item(), 0.5);
/// ```
#[track_caller]
pub fn constant(parameter: &Tensor, value: f64) {
    write(parameter, value);
}

/// Writes numbers from the normal distribution with this mean and this standard deviation to
/// all elements.
///
/// # Panics
/// If the parameter is an expanded view, whose elements are one memory.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::normal(&w, 0.0, 0.01);
/// assert!((w.std().item() - 0.01).abs() < 0.001);
/// ```
#[track_caller]
pub fn normal(parameter: &Tensor, mean: f64, std: f64) {
    write(parameter, Tensor::normal(mean, std, parameter.shape()));
}

/// Writes numbers evenly spread over `low..high` to all elements.
///
/// # Panics
/// If the parameter is an expanded view, whose elements are one memory.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::uniform(&w, -0.5, 0.5);
/// assert!(w.abs().max().item() <= 0.5 && w.std().item() > 0.25);
/// ```
#[track_caller]
pub fn uniform(parameter: &Tensor, low: f64, high: f64) {
    write(parameter, Tensor::rand(parameter.shape()) * (high - low) + low);
}

/// Writes numbers evenly spread over ±√(6 / (fan in + fan out)), which keeps the variance of
/// values and of gradients from layer to layer (Glorot and Bengio, 2010).
///
/// Of a weight `(out, in, …)` the fan in is `in`, the fan out `out`, each times the lengths of
/// the further axes, a kernel's.
///
/// # Panics
/// If there are fewer than two axes, or the parameter is an expanded view.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::xavier_uniform(&w);
/// assert!(w.abs().max().item() <= (6.0_f64 / 90.0).sqrt());
/// ```
#[track_caller]
pub fn xavier_uniform(parameter: &Tensor) {
    let (fan_in, fan_out) = fans(parameter);
    let bound = (6.0 / (fan_in + fan_out)).sqrt();
    uniform(parameter, -bound, bound);
}

/// Writes normal numbers of variance 2 / (fan in + fan out), with the fans of
/// [`xavier_uniform`], to a weight `(out, in, …)`.
///
/// # Panics
/// If there are fewer than two axes, or the parameter is an expanded view.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::xavier_normal(&w);
/// assert!((w.std().item() - (2.0_f64 / 90.0).sqrt()).abs() < 0.02);
/// ```
#[track_caller]
pub fn xavier_normal(parameter: &Tensor) {
    let (fan_in, fan_out) = fans(parameter);
    normal(parameter, 0.0, (2.0 / (fan_in + fan_out)).sqrt());
}

/// Writes numbers evenly spread over ±√(6 / fan in), with the fan in of [`xavier_uniform`], to
/// a weight `(out, in, …)`, which keeps the variance of values through layers of ReLU (He et
/// al., 2015).
///
/// # Panics
/// If there are fewer than two axes, or the parameter is an expanded view.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::kaiming_uniform(&w);
/// assert!(w.abs().max().item() <= (6.0_f64 / 50.0).sqrt());
/// ```
#[track_caller]
pub fn kaiming_uniform(parameter: &Tensor) {
    let bound = (6.0 / fans(parameter).0).sqrt();
    uniform(parameter, -bound, bound);
}

/// Writes normal numbers of variance 2 / fan in, with the fan in of [`xavier_uniform`], to a
/// weight `(out, in, …)`.
///
/// # Panics
/// If there are fewer than two axes, or the parameter is an expanded view.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let w = Tensor::ones([40, 50]);
/// init::kaiming_normal(&w);
/// assert!((w.std().item() - (2.0_f64 / 50.0).sqrt()).abs() < 0.03);
/// ```
#[track_caller]
pub fn kaiming_normal(parameter: &Tensor) {
    normal(parameter, 0.0, (2.0 / fans(parameter).0).sqrt());
}

/// How many inputs each output of a weight `(out, in, …)` depends on, and how many outputs
/// each input reaches; a kernel's further axes count for both.
#[track_caller]
fn fans(weight: &Tensor) -> (f64, f64) {
    let shape = weight.shape();
    assert!(shape.len() >= 2, "a parameter of shape {shape:?} has no inputs and outputs");
    let window: usize = shape[2..].iter().product();
    ((shape[1] * window) as f64, (shape[0] * window) as f64)
}

/// Numbers evenly spread over ±`bound`.
#[track_caller]
pub(super) fn drawn_uniform(bound: f64, shape: impl Into<Shape>) -> Tensor {
    Tensor::rand(shape) * (2.0 * bound) - bound
}

/// Makes the parameters of an affine map that are not there yet: a weight of this shape, and a bias
/// for each output, both evenly spread over ±1/√`fan`.
#[track_caller]
pub(super) fn affine(
    weight: &Parameter,
    bias: Option<&Parameter>,
    fan: usize,
    shape: impl Into<Shape>,
    num_outputs: usize,
) {
    let bound = (fan.max(1) as f64).sqrt().recip();
    weight.get_or_init(|| drawn_uniform(bound, shape));
    if let Some(bias) = bias {
        bias.get_or_init(|| drawn_uniform(bound, num_outputs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_are_those_of_the_papers() {
        crate::seed(3);
        // (out, in) = (300, 200): the standard error of a variance of 60,000 numbers is 0.6 %.
        let weight = Tensor::zeros([300, 200]);
        for (init, variance) in [
            (xavier_uniform as fn(&Tensor), 2.0 / 500.0),
            (xavier_normal, 2.0 / 500.0),
            (kaiming_uniform, 2.0 / 200.0),
            (kaiming_normal, 2.0 / 200.0),
        ] {
            init(&weight);
            let ratio = weight.var().item() / variance;
            assert!((ratio - 1.0).abs() < 0.03, "{ratio}");
            assert!(weight.mean().item().abs() < 0.05 * variance.sqrt());
        }
    }

    #[test]
    fn a_kernels_window_counts_for_both_fans() {
        assert_eq!(fans(&Tensor::zeros([8, 3, 5, 2])), (30.0, 80.0));
    }
}
