//! What can go wrong between a program and a GPU.

use std::panic::Location;

use super::driver::Failure;

/// Why a GPU cannot be used, or could not do what it was asked.
///
/// ```
/// use d2l::prelude::*;
///
/// let why: d2l::CudaError = Device::cuda(1000).unwrap_err();
/// assert!(!why.to_string().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no driver of NVIDIA's on this machine.
    #[error("no GPU: the driver's library (libcuda.so.1) is not on this machine")]
    NoDriver,
    /// The driver is there, and cannot work with this program or its devices.
    #[error("the GPU's driver cannot be used: {reason}")]
    Driver {
        /// What the driver said.
        reason: String,
    },
    /// There are not so many GPUs.
    #[error("cuda:{index} does not exist: this machine has {count} GPU(s)")]
    NoDevice {
        /// The GPU that was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A library that is loaded when it is needed is missing.
    #[error("{operation}: the library {library} was not found; is CUDA installed?")]
    Library {
        /// What needed the library.
        operation: &'static str,
        /// Its name.
        library: &'static str,
    },
    /// The GPU has no memory left, though all that was kept was given back.
    #[error(
        "{operation}: out of memory on cuda:{device}: {asked} bytes asked for, {in_use} in use \
         by tensors, {free} of {total} free on the device"
    )]
    OutOfMemory {
        /// What asked for memory.
        operation: &'static str,
        /// The GPU.
        device: usize,
        /// So many bytes were asked for.
        asked: usize,
        /// So many bytes this process's tensors use.
        in_use: usize,
        /// So many bytes are free, of all processes.
        free: usize,
        /// So many bytes the GPU has.
        total: usize,
    },
    /// Kernels could not be compiled.
    #[error("the kernels of {program} could not be compiled:\n{log}")]
    Compile {
        /// The file of the kernels.
        program: &'static str,
        /// What the compiler said.
        log: String,
    },
    /// An operation failed. Where launches are not waited for, an earlier one may be the cause:
    /// with `D2L_CUDA_SYNC=1` in the environment each is.
    #[error("{operation} failed on cuda:{device}: {reason}")]
    Failed {
        /// The operation that noticed it.
        operation: &'static str,
        /// The GPU.
        device: usize,
        /// What the driver said.
        reason: String,
    },
    /// What was asked for before could not be computed when it was needed.
    #[error("{error}; it was asked for at {asked}")]
    Waiting {
        /// What went wrong.
        error: Box<CudaError>,
        /// The line that asked for it.
        asked: &'static Location<'static>,
    },
}

impl CudaError {
    /// The same error of another operation.
    pub(crate) fn by(mut self, name: &'static str) -> CudaError {
        if let CudaError::Library { operation, .. }
        | CudaError::OutOfMemory { operation, .. }
        | CudaError::Failed { operation, .. } = &mut self
        {
            *operation = name;
        }
        self
    }
}

impl Failure {
    /// This failure of `operation` on a device, if it is not for lack of memory, which the
    /// allocator answers.
    pub(super) fn of(self, operation: &'static str, device: usize) -> CudaError {
        match self {
            Failure::OutOfMemory => CudaError::Failed {
                operation,
                device,
                reason: "out of memory".to_owned(),
            },
            Failure::Library(library) => CudaError::Library { operation, library },
            Failure::Compile { program, log } => CudaError::Compile { program, log },
            Failure::Other(reason) => CudaError::Failed { operation, device, reason },
        }
    }
}
