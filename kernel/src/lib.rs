//! Stub.

pub mod engine;
