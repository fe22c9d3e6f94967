//! What the processor does: loops over elements, one file a family.
//!
//! The methods of [`Tensor`] say what an operation means, check shapes, and record
//! gradients; the functions here only compute, on operands of one dtype.

pub(crate) mod attention;
pub(crate) mod convolve;
pub(crate) mod cuda;
#[cfg(target_arch = "x86_64")]
pub(crate) mod direct;
pub(crate) mod elementwise;
pub(crate) mod float;
pub(crate) mod gather;
#[cfg(target_arch = "x86_64")]
mod gemm;
pub(crate) mod matmul;
pub(crate) mod normalize;
pub(crate) mod number;
pub(crate) mod packed;
pub(crate) mod pool;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod softmax;
#[cfg(target_arch = "x86_64")]
mod tile;
pub(crate) mod vector;
pub(crate) mod window;
pub(crate) mod winograd;

pub(crate) use elementwise::{cast, rounded, widened};
