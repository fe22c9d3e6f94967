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
            /// The function of every element, in the same shape.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = tensor([-1.0, 0.0, 2.0]);
            #[doc = concat!("assert!(nn::", stringify!($Name), ".forward(&x).equal(&x.", stringify!($method), "()));")]
            /// ```
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
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::Relu.forward(&tensor([-1.0, 0.0, 2.0]));
    /// assert!(y.allclose(&tensor([0.0, 0.0, 2.0])));
    /// ```
    Relu: relu;
    /// `1 / (1 + exp(-x))`: [`Tensor::sigmoid`].
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::Sigmoid.forward(&tensor([-1.0, 0.0, 2.0]));
    /// assert!(y.allclose(&tensor([0.268_941_4, 0.5, 0.880_797_1])));
    /// ```
    Sigmoid: sigmoid;
    /// The hyperbolic tangent: [`Tensor::tanh`].
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::Tanh.forward(&tensor([-1.0, 0.0, 2.0]));
    /// assert!(y.allclose(&tensor([-0.761_594_2, 0.0, 0.964_027_6])));
    /// ```
    Tanh: tanh;
    /// `x Φ(x)`: [`Tensor::gelu`].
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::Gelu.forward(&tensor([-1.0, 0.0, 2.0]));
    /// assert!(y.allclose(&tensor([-0.158_655_3, 0.0, 1.954_499_7])));
    /// ```
    Gelu: gelu;
    /// `x · sigmoid(x)`: [`Tensor::silu`].
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::Silu.forward(&tensor([-1.0, 0.0, 2.0]));
    /// assert!(y.allclose(&tensor([-0.268_941_4, 0.0, 1.761_594_2])));
    /// ```
    Silu: silu;
    /// `ln(1 + exp(x))`: [`Tensor::softplus`].
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = nn::Softplus.forward(&tensor([-1.0, 0.0, 2.0]));
    /// assert!(y.allclose(&tensor([0.313_261_7, 0.693_147_2, 2.126_928])));
    /// ```
    Softplus: softplus;
}

/// `x` where it is positive, else `slope · x`: [`Tensor::leaky_relu`].
///
/// ```
/// use d2l::prelude::*;
///
/// let y = nn::LeakyRelu(0.5).forward(&tensor([-2.0, 3.0]));
/// assert_eq!(y.to_vec(), [-1.0, 3.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu(
    /// The slope where `x` is negative.
    pub f64,
);

impl LeakyRelu {
    /// Every element `x` where it is positive, else `slope · x`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([-2.0, 3.0]);
    /// assert!(nn::LeakyRelu(0.1).forward(&x).equal(&x.leaky_relu(0.1)));
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.leaky_relu(self.0)
    }
}

module!(LeakyRelu);
