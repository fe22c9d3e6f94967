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
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(nn::Linear::new(3, 2).weight.shape(), [2, 3]);
    /// ```
    #[track_caller]
    pub fn new(num_inputs: usize, num_outputs: usize) -> Linear {
        let layer = Linear::lazy(num_outputs);
        layer.meet(num_inputs);
        layer
    }

    /// A layer that finds the number of its inputs when it meets the first one.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::Linear::lazy(2);
    /// layer.forward(&Tensor::rand([5, 3]));
    /// assert_eq!(layer.weight.shape(), [2, 3]);
    /// ```
    pub fn lazy(num_outputs: usize) -> Linear {
        Linear { weight: Parameter::lazy(), bias: Some(Parameter::lazy()), num_outputs }
    }

    /// The layer without a bias.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(nn::Linear::new(3, 2).without_bias().parameters().len(), 1);
    /// ```
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

    /// `x · weightᵀ + bias`: `(…, in) → (…, out)`.
    ///
    /// # Panics
    /// If `x` has no axis, or its last one another length than the layer has inputs.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::Linear::new(3, 2);
    /// let x = Tensor::rand([5, 3]);
    /// let y = x.matmul(&layer.weight.t()) + layer.bias.as_ref().unwrap();
    /// assert!(layer.forward(&x).allclose(&y));
    /// ```
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
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(nn::Flatten.forward(&Tensor::rand([2, 3, 4])).shape(), [2, 12]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl Flatten {
    /// Each example as one row: `(n, …) → (n, product of …)`.
    ///
    /// # Panics
    /// If there is no axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(nn::Flatten.forward(&Tensor::rand([5, 1, 4, 6])).shape(), [5, 24]);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(x.ndim() > 0, "Flatten: the first axis must count the examples");
        let rest: usize = x.shape()[1..].iter().product();
        x.reshape([x.shape()[0], rest])
    }
}

module!(Flatten);
