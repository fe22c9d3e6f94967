//! What crosses crates: the rules of this repository and the whole pipeline, run as a user would.

mod cache;
mod dialect;
mod drift;
mod fuzz;
mod harm;
mod jupyter;
mod limits;
mod mistakes;
mod pipeline;
mod record;
mod site;
mod tidy;
