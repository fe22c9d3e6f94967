//! GPUs of NVIDIA's: nothing of CUDA is needed to build; the driver and the compiler of kernels
//! are looked for when the first GPU is asked for.
//!
//! * [`driver`](Driver) is the boundary: a real GPU ([`nvidia`]), one made of the processor
//!   ([`emulated`]), or one that fails on request.
//! * [`blas`], [`dnn`] and [`recurrence`] describe products, convolutions and recurrent layers,
//!   and let NVIDIA's libraries make them where they are found ([`library`]).
//! * [`gpu`] is what is above it: memory that is kept ([`allocator`]), kernels by name
//!   ([`program`]).
//! * [`array`] has elements, or what computes them when something needs them ([`chain`]).
//!
//! All work of a GPU is queued in one order, whoever asks for it, and nobody waits but who wants
//! elements back. Only uploads may be queued beside it ([`beside`]).

mod allocator;
mod array;
mod beside;
mod blas;
pub(crate) mod chain;
mod collective;
mod dnn;
mod driver;
mod emulated;
mod error;
mod gpu;
mod library;
#[cfg(test)]
pub(crate) mod mock;
mod nvidia;
mod peer;
mod program;
pub(crate) mod recording;
mod recurrence;
mod reference;
mod staging;
#[cfg(test)]
mod tests;
mod tf32;
mod transfer;
mod walk;

use std::sync::{Arc, OnceLock};

pub use allocator::Figures;
pub(crate) use array::Array;
pub(crate) use beside::{Arriving, Room};
pub(crate) use blas::{BIAS_ALIGNMENT, Factor, Operands, Product};
pub(crate) use collective::{Places, has_nccl};
pub(crate) use dnn::{Convolution, Pass, SIDE_ALIGNMENT, Sides};
#[cfg(test)]
pub(crate) use driver::Failure;
pub(crate) use driver::{Graph, Grid, Program};
pub use error::CudaError;
pub(crate) use gpu::{Arguments, Gpu, Kernel};
pub(crate) use program::{
    ARITHMETIC, ATTENTION, COMPARE, CONVERT, GATHER, MAP, MATMUL, NORMALIZE, OPTIMIZER,
    RANDOM, RECURRENT, REDUCE, SLOPE, SOFTMAX, TRANSPOSE, WINDOW,
};
pub(crate) use recurrence::{Needs, Recurrence, Scene, Way};
pub use tf32::{allow_tf32, is_tf32_allowed};
pub(crate) use walk::Walk;

use super::Device;

/// The GPUs of this machine, each opened when it is asked for.
static GPUS: OnceLock<Result<Vec<Slot>, CudaError>> = OnceLock::new();

type Slot = OnceLock<Result<Gpu, CudaError>>;

/// How many devices an emulation has: two, so that tensors can be on different ones.
const EMULATED: usize = 2;

fn is_emulated() -> bool {
    std::env::var_os("D2L_CUDA").is_some_and(|value| value == "emulated")
}

fn slots() -> Result<&'static [Slot], CudaError> {
    let found = GPUS.get_or_init(|| {
        let count = if is_emulated() { EMULATED } else { nvidia::count()? };
        Ok((0..count).map(|_| OnceLock::new()).collect())
    });
    found.as_deref().map_err(Clone::clone)
}

/// GPU number `index`.
pub(crate) fn gpu(index: usize) -> Result<&'static Gpu, CudaError> {
    let slots = slots()?;
    let Some(slot) = slots.get(index) else {
        return Err(CudaError::NoDevice { index, count: slots.len() });
    };
    let opened = slot.get_or_init(|| {
        if is_emulated() {
            // Without libraries our own kernels do all, which tests want too.
            let driver = match index == 0 && library::are_wanted() {
                true => emulated::Emulated::with_libraries(),
                false => emulated::Emulated::default(),
            };
            return Ok(Gpu::new(index, Arc::new(driver)));
        }
        let driver =
            nvidia::Nvidia::open(index).map_err(|f| f.of("opening the GPU", index))?;
        Ok(Gpu::new(index, Arc::new(driver)))
    });
    opened.as_ref().map_err(Clone::clone)
}

impl Device {
    /// GPU number `index`, ready to be used.
    ///
    /// # Errors
    /// If there is no driver, it is too old, or there are not so many GPUs.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// match Device::cuda(0) {
    ///     Ok(gpu) => assert_eq!(gpu.to_string(), "cuda:0"),
    ///     Err(why) => println!("this machine computes on its processor: {why}"),
    /// }
    /// ```
    pub fn cuda(index: usize) -> Result<Device, CudaError> {
        gpu(index).map(|_| Device::Cuda(index))
    }

    /// How many GPUs this machine has, 0 if none can be used.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(Device::cuda(Device::cuda_count()).is_err(), "they are counted from 0");
    /// ```
    pub fn cuda_count() -> usize {
        slots().map_or(0, <[_]>::len)
    }

    /// Waits until everything that was asked of this device is done; the processor always is.
    ///
    /// # Errors
    /// If something of it failed, or there is no such device.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = Tensor::ones([2, 3]).to_device(d2l::try_gpu(0)) + 1.0;
    /// assert!(y.device().synchronize().is_ok());
    /// ```
    pub fn synchronize(self) -> Result<(), CudaError> {
        match self {
            Device::Cpu => Ok(()),
            Device::Cuda(index) => gpu(index)?.synchronize(),
        }
    }

    /// What the device is called: `NVIDIA H100 80GB HBM3`.
    ///
    /// # Errors
    /// If there is no such device.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(Device::Cpu.name().is_ok_and(|name| name == "cpu"));
    /// ```
    pub fn name(self) -> Result<String, CudaError> {
        match self {
            Device::Cpu => Ok("cpu".to_owned()),
            Device::Cuda(index) => gpu(index).map(Gpu::name),
        }
    }

    /// The libraries that the device computes with, and their versions: `cuBLASLt 13.1.0` makes
    /// products of matrices, `cuDNN 9.15.0` convolutions and recurrent layers. Where a GPU lacks one, and with
    /// `D2L_CUDA_LIBRARIES=none` in the environment, kernels of this crate do it instead, which are
    /// slower. The processor has none.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(Device::Cpu.libraries().is_empty());
    /// ```
    pub fn libraries(self) -> Vec<String> {
        match self {
            Device::Cpu => Vec::new(),
            Device::Cuda(index) => gpu(index).map_or_else(|_| Vec::new(), Gpu::libraries),
        }
    }

    /// How much of a GPU's memory the tensors of this process use, in bytes; nothing is known of
    /// the processor's.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(Device::Cpu.memory().is_none());
    /// ```
    pub fn memory(self) -> Option<Figures> {
        match self {
            Device::Cpu => None,
            Device::Cuda(index) => gpu(index).ok().map(Gpu::figures),
        }
    }

    /// How many bytes of a GPU's memory are free, of all processes, and how many it has; nothing
    /// is known of the processor's.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(d2l::try_gpu(0).free_memory().is_none_or(|(free, total)| free <= total));
    /// ```
    pub fn free_memory(self) -> Option<(usize, usize)> {
        match self {
            Device::Cpu => None,
            Device::Cuda(index) => {
                let capacity = gpu(index).ok()?.capacity().ok()?;
                Some((capacity.free, capacity.total))
            }
        }
    }

    /// Gives back to the driver what is kept for tensors to come.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let gpu = d2l::try_gpu(0);
    /// drop(Tensor::ones([1000]).to_device(gpu));
    /// gpu.release_kept_memory();
    /// assert_eq!(Tensor::ones([1000]).to_device(gpu).sum().item(), 1000.0);
    /// ```
    pub fn release_kept_memory(self) {
        if let Device::Cuda(index) = self
            && let Ok(gpu) = gpu(index)
        {
            gpu.release_kept();
        }
    }
}

/// GPU number `index` if it can be used, else the processor.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::ones([2, 3]).to_device(d2l::try_gpu(0));
/// assert_eq!(x.sum().item(), 6.0);
/// ```
pub fn try_gpu(index: usize) -> Device {
    Device::cuda(index).unwrap_or(Device::Cpu)
}

/// All GPUs that can be used; if there are none, the processor.
///
/// ```
/// use d2l::prelude::*;
///
/// for device in d2l::try_all_gpus() {
///     assert_eq!(Tensor::ones([2]).to_device(device).device(), device);
/// }
/// ```
pub fn try_all_gpus() -> Vec<Device> {
    let gpus = (0..Device::cuda_count()).filter_map(|i| Device::cuda(i).ok());
    let gpus: Vec<Device> = gpus.collect();
    if gpus.is_empty() { vec![Device::Cpu] } else { gpus }
}

/// Says that a test could not run here, which in CI is an error.
#[cfg(test)]
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    eprintln!("SKIPPED: {why}");
}
