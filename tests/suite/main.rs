//! What crosses crates: the whole pipeline on real books, drift, the rules of this repository.

mod drift;
mod mistakes;
mod pipeline;
mod tidy;
