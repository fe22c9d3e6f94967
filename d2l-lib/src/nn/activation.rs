//! Activation functions as layers, to stand between others in a
//! [`Sequential`](super::Sequential); elsewhere their methods on tensors are shorter.

use super::module::module;
use crate::Tensor;

macro_rules! activations {
    ($($(#[$doc:meta])* $Name:ident: $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Name;

        impl $Name {
            /// The function of every element.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                x.$method()
            }
        }

        module!($Name);
    )*};
}

activations! {
    /// `max(x, 0)`: [`Tensor::relu`].
    Relu: relu;
    /// `1 / (1 + exp(-x))`: [`Tensor::sigmoid`].
    Sigmoid: sigmoid;
    /// The hyperbolic tangent: [`Tensor::tanh`].
    Tanh: tanh;
    /// `x Φ(x)`: [`Tensor::gelu`].
    Gelu: gelu;
    /// `x · sigmoid(x)`: [`Tensor::silu`].
    Silu: silu;
    /// `ln(1 + exp(x))`: [`Tensor::softplus`].
    Softplus: softplus;
}

/// `x` where it is positive, else `slope · x`: [`Tensor::leaky_relu`].
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu(
    /// The slope where `x` is negative.
    pub f64,
);

impl LeakyRelu {
    /// `x` where it is positive, else `slope · x`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.leaky_relu(self.0)
    }
}

module!(LeakyRelu);
