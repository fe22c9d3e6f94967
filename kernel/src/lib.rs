//! A Jupyter kernel for Rust, in the order in which a message flows:
//!
//! ```text
//! Jupyter bytes ─▶ wire (frames, signatures, typed messages) ─▶ shell (which request, which reply)
//!               ─▶ engine (a cell → what it printed, showed and gave) ─▶ wire
//! ```
//!
//! [`engine`] knows nothing of Jupyter, and nothing here knows of books: it is a kernel for anybody.

pub mod engine;
pub mod install;
mod shell;
mod syntax;
pub mod wire;

pub use shell::run;

/// Must be the first call of `main` in a program that starts engines: the portable back end runs
/// cells in a second process of the same program, which never returns from here.
pub fn runtime_hook() {
    engine::runtime_hook();
}
