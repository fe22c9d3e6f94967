//! Where tensors live, the memory they live in, and the threads that work on it.

mod memory;
mod storage;
pub(crate) mod threads;

use std::fmt;

pub(crate) use storage::{Buffer, Elements, Storage};

/// Where a tensor's elements are, and where operations on it run.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0]).device(), Device::Cpu);
/// assert_eq!(Device::Cpu.to_string(), "cpu");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Device {
    /// The computer's main memory and processor.
    #[default]
    Cpu,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
        }
    }
}
