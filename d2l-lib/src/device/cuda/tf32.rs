//! Whether products of `f32` may be made of factors with fewer digits.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::recording;

fn switch() -> &'static AtomicBool {
    static SWITCH: OnceLock<AtomicBool> = OnceLock::new();
    let asked = || std::env::var_os("D2L_TF32").is_some_and(|value| value == "1");
    SWITCH.get_or_init(|| AtomicBool::new(asked()))
}

/// Lets GPUs round the factors of products, convolutions and recurrent layers of `f32` to TF32,
/// with 11 digits of two instead of 24, which is several times as fast; sums stay in `f32`.
///
/// Not allowed at first, neither in products of matrices nor (other than in PyTorch) in
/// convolutions and recurrent layers; `D2L_TF32=1` in the environment allows it from the start. It changes nothing on
/// the processor, and nothing where cuBLASLt or cuDNN is missing.
///
/// ```
/// use d2l::prelude::*;
///
/// d2l::allow_tf32(true);
/// assert!(d2l::is_tf32_allowed());
/// d2l::allow_tf32(false);
/// assert!(!d2l::is_tf32_allowed());
/// ```
pub fn allow_tf32(allowed: bool) {
    if switch().swap(allowed, Relaxed) != allowed {
        recording::outdate();
    }
}

/// Whether GPUs may round factors of `f32` to TF32; see [`allow_tf32`].
///
/// ```
/// assert!(!d2l::is_tf32_allowed(), "not unless somebody asks for it");
/// ```
pub fn is_tf32_allowed() -> bool {
    switch().load(Relaxed)
}
