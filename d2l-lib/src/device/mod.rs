//! Where tensors live, the memory they live in, and the threads that work on it.

pub(crate) mod cuda;
mod memory;
mod storage;
pub(crate) mod threads;

use std::{fmt, str::FromStr, sync::OnceLock};

pub(crate) use storage::{Buffer, Elements, Storage, write_all_on_gpu};

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
    /// The GPU with this number; [`Device::cuda`] says whether there is one.
    Cuda(usize),
}

impl Device {
    /// Where new tensors are made: what `D2L_DEVICE` in the environment says (`cuda:0`), else the
    /// processor's memory. So tests and chapters run on a GPU without a change.
    #[inline]
    pub(crate) fn home() -> Device {
        static HOME: OnceLock<Device> = OnceLock::new();
        *HOME.get_or_init(|| match std::env::var("D2L_DEVICE") {
            Err(_) => Device::Cpu,
            Ok(name) => match name.parse() {
                Ok(device) => device,
                Err(why) => panic!("D2L_DEVICE: {why}"),
            },
        })
    }
}

/// A text that names no device.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!("gpu".parse::<Device>().is_err_and(|error| error.to_string().contains("cuda:0")));
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0:?} is no device; `cpu` and `cuda:0` are")]
pub struct NoSuchDevice(String);

impl FromStr for Device {
    type Err = NoSuchDevice;

    fn from_str(name: &str) -> Result<Device, NoSuchDevice> {
        if name == "cpu" {
            return Ok(Device::Cpu);
        }
        let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        number.map(Device::Cuda).ok_or_else(|| NoSuchDevice(name.to_owned()))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_they_are_written() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(12)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        let error = "cuda".parse::<Device>().unwrap_err().to_string();
        assert_eq!(error, "\"cuda\" is no device; `cpu` and `cuda:0` are");
    }
}
