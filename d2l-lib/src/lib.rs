#![doc = include_str!("../README.md")]
//!
//! # What to know first
//!
//! A tensor that asks for it gets a gradient:
//!
//! ```
//! use d2l::prelude::*;
//!
//! let x = Tensor::arange(0.0..4.0).requires_grad();
//! let y = 2.0 * x.dot(&x);
//! y.backward();
//! assert_eq!(x.grad().unwrap().to_vec(), [0.0, 4.0, 8.0, 12.0]);
//! ```
//!
//! Names and behaviour follow PyTorch where Rust allows ([`pytorch`] sets them side by side),
//! with three rules of its own:
//!
//! * A wrong shape, dtype or device is a bug in the program: it panics, names the operation
//!   and the shapes, and points at the caller's line.
//! * A float literal is an `f32` element and an integer literal an `i64` element, so
//!   `tensor([1.0, 2.0])` is a 32-bit tensor; for 64 bits write [`tensor_f64`].
//! * On the left of an operator a number is an `f64` or an `i64` (`2.0 * &x`); on the
//!   right it may also be an `f32`, `i32` or `usize`. (With two float types on the left
//!   Rust could not tell which one `2.0` is.)
//!
//! The core is hand-written. Modules under *topics* are code that chapters define and
//! save; the core never depends on them.

extern crate self as d2l;

pub mod autograd;
#[allow(
    unreachable_pub,
    reason = "what a chapter saves and publishes nowhere stays inside"
)]
mod book;
pub mod data;
mod device;
pub mod display;
mod dtype;
mod halves;
pub mod interrupt;
mod layout;
pub mod nn;
mod ops;
pub mod optim;
pub mod parallel;
pub mod plot;
pub mod prelude;
pub mod progress;
pub mod pytorch {
    #![doc = include_str!("pytorch.md")]
}
mod random;
mod replay;
mod shape;
mod tensor;

#[doc(inline)]
#[allow(
    unused_imports,
    unreachable_pub,
    reason = "the book has no topics until chapters save something"
)]
pub use book::topics::*;

pub use autograd::no_grad;
pub use device::{
    Device, NoSuchDevice,
    cuda::{CudaError, Figures, allow_tf32, is_tf32_allowed, try_all_gpus, try_gpu},
    threads::{num_threads, set_num_threads},
};
pub use dtype::{DType, Element};
#[doc(no_inline)]
pub use half::{bf16, f16};
pub use ops::cuda::detours;
pub use random::seed;
pub use replay::Replay;
pub use shape::{Axes, Shape, TargetShape};
pub use tensor::{
    AxisIndex, FileError, Index, IntoTensor, Order, Tensor, Value, tensor, tensor_f64,
};
