//! Stopping a running cell without losing its variables.
//!
//! The kernel sets [`D2L_INTERRUPT`] (a symbol under this very name, so it can be found
//! with `dlsym`); the next operation that makes or writes a tensor clears it and panics
//! with the payload `"interrupted"`. Code between operations is not stopped.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set to true from outside, from any thread: the next operation panics.
// SAFETY: no other symbol in the program has this name; the prefix is ours.
///
/// ```
/// use d2l::interrupt::{D2L_INTERRUPT, check};
/// use std::sync::atomic::Ordering;
///
/// D2L_INTERRUPT.store(true, Ordering::Relaxed);
/// assert!(std::panic::catch_unwind(check).is_err());
/// assert!(!D2L_INTERRUPT.load(Ordering::Relaxed));
/// ```
#[unsafe(no_mangle)]
pub static D2L_INTERRUPT: AtomicBool = AtomicBool::new(false);

/// The payload of the panic, by which a panic hook or `catch_unwind` knows it.
///
/// ```
/// assert_eq!(d2l::interrupt::PAYLOAD, "interrupted");
/// ```
pub const PAYLOAD: &str = "interrupted";

/// Panics with [`PAYLOAD`] if somebody asked to stop. For long loops that run no
/// operations; those check by themselves.
///
/// # Panics
/// If [`D2L_INTERRUPT`] is set, which it clears.
///
/// ```
/// d2l::interrupt::check(); // nobody asked to stop
/// ```
#[inline]
#[track_caller]
pub fn check() {
    if D2L_INTERRUPT.load(Ordering::Relaxed) {
        stop();
    }
}

#[cold]
#[track_caller]
fn stop() -> ! {
    D2L_INTERRUPT.store(false, Ordering::Relaxed);
    std::panic::panic_any(PAYLOAD)
}
