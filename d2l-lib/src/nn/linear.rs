//! Affine maps, and the reshaping before them.

use super::{Parameter, init, module::module};
use crate::Tensor;

/// `(…, in) → (…, out)`: `x · weightᵀ + bias`.
///
/// Both parameters start evenly spread over ±1/√in.
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::Linear::new(2, 1);
/// layer.weight.assign(tensor([[2.0, 3.0]]));
/// layer.bias.as_ref().unwrap().assign(0.5);
/// assert_eq!(layer.forward(&tensor([[1.0, 10.0]])).to_vec(), [32.5]);
/// ```
#[derive(Debug)]
pub struct Linear {
    /// `(out, in)`.
    pub weight: Parameter,
    /// `(out)`, unless the layer was made [`without_bias`](Linear::without_bias).
    pub bias: Option<Parameter>,
    num_outputs: usize,
}

impl Linear {
    /// A layer from `num_inputs` to `num_outputs` features.
    #[track_caller]
    pub fn new(num_inputs: usize, num_outputs: usize) -> Linear {
        let layer = Linear::lazy(num_outputs);
        layer.meet(num_inputs);
        layer
    }

    /// A layer that finds the number of its inputs when it meets the first one.
    pub fn lazy(num_outputs: usize) -> Linear {
        Linear { weight: Parameter::lazy(), bias: Some(Parameter::lazy()), num_outputs }
    }

    /// The layer without a bias.
    pub fn without_bias(mut self) -> Linear {
        self.bias = None;
        self
    }

    /// Makes the parameters that are not there yet.
    #[track_caller]
    fn meet(&self, num_inputs: usize) {
        let (bias, shape) = (self.bias.as_ref(), [self.num_outputs, num_inputs]);
        init::affine(&self.weight, bias, num_inputs, shape, self.num_outputs);
    }

    /// `x · weightᵀ + bias`.
    ///
    /// # Panics
    /// If the last axis of `x` has another length than the layer has inputs.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(
            x.ndim() > 0,
            "Linear: a number has no features; the shape must be […, in]"
        );
        let num_inputs = x.len_of(-1);
        self.meet(num_inputs);
        assert!(
            self.weight.len_of(1) == num_inputs,
            "Linear: an input of shape {:?} for a layer of {} inputs",
            x.shape(),
            self.weight.len_of(1)
        );
        x.linear(&self.weight, self.bias.as_ref().map(Parameter::tensor))
    }
}

module!(Linear: weight, bias);

/// `(n, …) → (n, product of …)`: each example as one row.
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Flatten {
    /// Each example as one row.
    ///
    /// # Panics
    /// If there is no axis.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(x.ndim() > 0, "Flatten: the first axis must count the examples");
        let rest: usize = x.shape()[1..].iter().product();
        x.reshape([x.shape()[0], rest])
    }
}

module!(Flatten);
