//! Random numbers, drawn on the GPU that wants them: for a seed the numbers that the processor
//! draws.

use super::{done, grid};
use crate::{
    device::{
        Device,
        cuda::{self, Arguments, Gpu, Kernel, RANDOM, recording},
    },
    dtype::DType,
    random::take_blocks,
    shape::Shape,
    tensor::Tensor,
};

/// Where random words come from; `Source` in `random.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Source {
    seed: u64,
    first: u64,
    /// Where a kernel that is replayed finds both.
    cell: u64,
}

impl Source {
    /// The next `blocks` blocks.
    #[track_caller]
    fn take(gpu: &'static Gpu, op: &'static str, blocks: usize) -> Source {
        let (seed, first) = take_blocks(blocks);
        if !recording::is_active() {
            return Source { seed, first, cell: 0 };
        }
        let bytes =
            |(seed, first): (u64, u64)| [seed, first].map(u64::to_ne_bytes).concat();
        let next = move || bytes(take_blocks(blocks));
        let cell = done(gpu.cell(op, &bytes((seed, first)), Box::new(next)));
        Source { seed: 0, first: 0, cell }
    }
}

/// So many weights are added one by one; then the sums of such pieces are.
pub(crate) const PIECE: usize = 128;

/// Which numbers, with what says so to the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// Evenly spread over `[0, 1)`.
    Uniform,
    /// From the normal distribution with a mean and a standard deviation.
    Normal(f64, f64),
    /// From the exponential distribution with a rate.
    Exponential(f64),
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
        Draw::Exponential(_) => ("exponential", DType::F32, 4),
        Draw::Integers(..) => ("integers", DType::I64, 2),
    };
    let count = shape.numel();
    let out = done(gpu.array(name, dtype, count));
    let blocks = count.div_ceil(per_block);
    if count > 0 {
        let source = Source::take(gpu, name, blocks);
        let (number, at) = (count as i64, out.address());
        let arguments = Arguments::new().with(&source).with(&number);
        let arguments = match &draw {
            Draw::Uniform => arguments,
            Draw::Normal(mean, std) => arguments.with(mean).with(std),
            Draw::Exponential(rate) => arguments.with(rate),
            Draw::Integers(low, range) => arguments.with(low).with(range),
        };
        // SAFETY: these are the kernel's arguments; the array has `count` elements of its type.
        done(unsafe {
            gpu.launch(RANDOM, plain(name), grid(gpu, blocks), arguments.with(&at))
        });
    }
    Some(Tensor::of_array(out, shape))
}

/// For every element, a rate, a count; nothing if they are elsewhere, or one is no rate: then it
/// is not drawn.
#[track_caller]
pub(crate) fn draw_counts(rates: &Tensor) -> Option<Tensor> {
    const NAME: &str = "poisson";
    let Device::Cuda(index) = rates.device() else { return None };
    let gpu = done(cuda::gpu(index));
    let wide = rates.detach().to_dtype(DType::F64).contiguous();
    let count = wide.numel();
    // Neither is so if one is not a number.
    let drawable =
        count == 0 || wide.min().item() >= 0.0 && wide.max().item() < f64::INFINITY;
    if !drawable {
        return None;
    }
    let out = done(gpu.array(NAME, DType::F64, count));
    if count > 0 {
        let from = wide.storage.on_gpu()?.address_of(wide.layout.offset);
        let source = Source::take(gpu, NAME, count);
        let (number, to) = (count as i64, out.address());
        let arguments = Arguments::new().with(&source).with(&number);
        let arguments = arguments.with(&from).with(&to);
        // SAFETY: these are the kernel's arguments; both arrays have `count` doubles.
        done(unsafe { gpu.launch(RANDOM, plain(NAME), grid(gpu, count), arguments) });
    }
    let out = Tensor::of_array(out, wide.layout.shape);
    Some(out.to_dtype(rates.dtype().to_float()))
}

/// A kernel for one type.
fn plain(name: &'static str) -> Kernel {
    Kernel { name, types: (None, None) }
}

/// `count` positions along the last axis of weights on a GPU, none of which is without elements;
/// nothing if they are elsewhere, or no weights: then it is not drawn.
#[track_caller]
pub(crate) fn draw_by_weight(weights: &Tensor, count: usize) -> Option<Tensor> {
    const NAME: &str = "multinomial";
    let Device::Cuda(index) = weights.device() else { return None };
    let gpu = done(cuda::gpu(index));
    let weights = weights.detach().to_dtype(DType::F64).contiguous();
    let weights_on_gpu = weights.storage.on_gpu()?;
    let length = weights.len_of(-1);
    let rows = weights.numel() / length;
    let pieces = length.div_ceil(PIECE);
    let room = |count| done(gpu.array(NAME, DType::F64, count));
    let (sums, before, totals) = (room(rows * length), room(rows * pieces), room(rows));
    let [row_count, row_length, piece] = [rows, length, PIECE].map(|n| n as i64);
    let sizes = || Arguments::new().with(&row_count).with(&row_length).with(&piece);
    let from = weights_on_gpu.address_of(weights.layout.offset);
    let places = [from, sums.address(), before.address(), totals.address()];
    // SAFETY: these are the kernel's arguments; both arrays have `rows * length` doubles.
    done(unsafe {
        let arguments = sizes().with_all(&places[..2]);
        gpu.launch(RANDOM, plain("running_sums"), grid(gpu, rows * pieces), arguments)
    });
    // SAFETY: as above; the others have one for each piece, and for each row.
    done(unsafe {
        let arguments = sizes().with_all(&places[1..]);
        gpu.launch(RANDOM, plain("sums_before"), grid(gpu, rows), arguments)
    });
    let totals = Tensor::of_array(totals, Shape::new(&[rows]));
    // Not so if one is not a number.
    let drawable = totals.min().item() > 0.0;
    if !drawable {
        return None;
    }
    let out = done(gpu.array(NAME, DType::I64, rows * count));
    let blocks = rows * count.div_ceil(4);
    let source = Source::take(gpu, NAME, blocks);
    let (number, at) = (count as i64, out.address());
    let arguments = Arguments::new().with(&source).with(&row_count).with(&row_length);
    let arguments = arguments.with(&piece).with(&number).with_all(&places[1..]).with(&at);
    // SAFETY: as above; there is room for `rows * count` positions.
    done(unsafe { gpu.launch(RANDOM, plain(NAME), grid(gpu, blocks), arguments) });
    let shape = weights.layout.shape.with(weights.ndim() - 1, count);
    Some(Tensor::of_array(out, shape))
}
