#![no_main]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "a part of the kernel is used")]

#[path = "../src/checks.rs"]
mod checks;
pub use checks::engine;
