//! Random numbers, drawn on the GPU that wants them: for a seed the numbers that the processor
//! draws.

use super::{done, grid};
use crate::{
    device::{
        Device,
        cuda::{self, Arguments, Kernel, RANDOM},
    },
    dtype::DType,
    random::take_blocks,
    shape::Shape,
    tensor::Tensor,
};

/// Which numbers, with what says so to the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// Evenly spread over `[0, 1)`.
    Uniform,
    /// From the normal distribution with a mean and a standard deviation.
    Normal(f64, f64),
    /// Whole numbers from the first on, so many of them.
    Integers(i64, u64),
}

/// The next random numbers in `shape`, on `device` if it is a GPU. One number without axes is made
/// in main memory, as all such numbers are.
#[track_caller]
pub(crate) fn draw(device: Device, shape: Shape, draw: Draw) -> Option<Tensor> {
    let Device::Cuda(index) = device else { return None };
    if shape.is_empty() {
        return None;
    }
    let gpu = done(cuda::gpu(index));
    let (name, dtype, per_block) = match draw {
        Draw::Uniform => ("uniform", DType::F32, 4),
        Draw::Normal(..) => ("normal", DType::F32, 4),
        Draw::Integers(..) => ("integers", DType::I64, 2),
    };
    let count = shape.numel();
    let out = done(gpu.array(name, dtype, count));
    let blocks = count.div_ceil(per_block);
    let (seed, first) = take_blocks(blocks);
    if count > 0 {
        let (number, at) = (count as i64, out.address());
        let arguments = Arguments::new().with(&seed).with(&first).with(&number);
        let arguments = match &draw {
            Draw::Uniform => arguments,
            Draw::Normal(mean, std) => arguments.with(mean).with(std),
            Draw::Integers(low, range) => arguments.with(low).with(range),
        };
        let kernel = Kernel { name, types: (None, None) };
        // SAFETY: these are the kernel's arguments; the array has `count` elements of its type.
        done(unsafe {
            gpu.launch(RANDOM, kernel, grid(gpu, blocks), arguments.with(&at))
        });
    }
    Some(Tensor::of_array(out, shape))
}
