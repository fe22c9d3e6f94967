//! Neural networks: layers, their parameters, initialisers and losses.
//!
//! A [`Module`] is a function of a tensor with [`Parameter`]s. Layers of one's own are
//! structs that name their parts:
//!
//! ```
//! use d2l::{nn::{self, Linear, parts}, prelude::*};
//!
//! struct Mlp {
//!     hidden: Linear,
//!     output: Linear,
//! }
//!
//! impl nn::Module for Mlp {
//!     parts!(hidden, output);
//!
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         self.output.forward(&self.hidden.forward(x).relu())
//!     }
//! }
//!
//! let net = Mlp { hidden: Linear::lazy(256), output: Linear::lazy(10) };
//! assert_eq!(net.forward(&Tensor::rand([2, 20])).shape(), [2, 10]);
//! assert_eq!(net.parameters()["hidden.weight"].shape(), [256, 20]);
//! ```
//!
//! For layers that follow each other there is [`sequential!`](crate::sequential):
//!
//! ```
//! use d2l::prelude::*;
//!
//! let net = sequential![nn::Linear::lazy(256), nn::Relu, nn::Linear::lazy(10)];
//! assert_eq!(net.forward(&Tensor::rand([2, 20])).shape(), [2, 10]);
//! ```

mod activation;
mod attention;
mod convolution;
mod dropout;
mod embedding;
mod file;
pub mod init;
mod linear;
mod loss;
mod module;
mod norm;
mod parameter;
mod recurrent;
mod sequential;

pub use crate::{parts, sequential};
pub use activation::{Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use attention::{MultiHeadAttention, causal_mask, length_mask};
pub use convolution::{
    AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, GlobalAvgPool2d, MaxPool2d, Pair,
};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use file::{load, save};
pub use linear::{Flatten, Linear};
pub use loss::{
    bce_with_logits, cross_entropy, cross_entropy_each, huber_loss, l1_loss, mse_loss,
};
pub use module::{Content, Mode, Module, Part, Parts, apply};
pub use norm::{BatchNorm, LayerNorm};
pub use parameter::{Parameter, Parameters};
pub use recurrent::{Gru, Lstm, Rnn};
pub use sequential::Sequential;
