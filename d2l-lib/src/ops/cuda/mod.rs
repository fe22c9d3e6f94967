//! What a GPU does. The functions here give nothing where all operands are in main memory, or
//! where there is no kernel for the types at hand: then the processor does it, and
//! [`settle`] brings the result to where the operands are.

mod attention;
mod convolution;
mod elementwise;
mod layers;
mod matmul;
mod normalize;
mod optimizer;
mod random;
mod recurrence;
mod recurrent;
mod reduce;
mod rows;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    device::{
        Device,
        cuda::{self, CudaError, Gpu, Grid, Walk},
    },
    dtype::DType,
    layout::Layout,
    shape::Shape,
    tensor::Tensor,
};

pub(crate) use attention::attend;
pub(crate) use elementwise::{
    cast, choose, constant, copy, map, write, zip, zip_in_place,
};
pub(crate) use layers::{Sliding, rows_of, rows_of_back};
pub(crate) use matmul::{affine, product};
pub(crate) use normalize::{Weights, normalize};
pub(crate) use optimizer::{Later, Rule, Updates, squares};
pub(crate) use random::{Draw, PIECE, draw, draw_by_weight, draw_counts};
pub(crate) use recurrence::recur_by_library;
pub(crate) use recurrent::{Trace, recur, recur_back};
pub(crate) use reduce::{Fold, fold};
pub(crate) use rows::{Wanted, cross_entropy, cross_entropy_back, rows, rows_back};

/// The GPU on which an operation's operands are, if they are on one and are no halves, for which
/// there are no kernels but those that convert them.
///
/// # Panics
/// If operands are on different devices.
#[inline]
#[track_caller]
pub(crate) fn place(op: &str, operands: &[&Tensor]) -> Option<&'static Gpu> {
    let gpu = place_of_any(op, operands)?;
    (!operands.iter().any(|x| x.dtype().is_half())).then_some(gpu)
}

/// The GPU on which an operation's operands are, if they are on one.
///
/// # Panics
/// If operands are on different devices.
#[inline]
#[track_caller]
fn place_of_any(op: &str, operands: &[&Tensor]) -> Option<&'static Gpu> {
    if operands.iter().all(|x| x.storage.is_host()) {
        return None;
    }
    common(op, operands)
}

/// The GPU on which operands are, if they are on one. Numbers (tensors without axes) in main
/// memory go with any.
#[cold]
#[track_caller]
fn common(op: &str, operands: &[&Tensor]) -> Option<&'static Gpu> {
    let is_number = |x: &Tensor| x.ndim() == 0 && x.storage.is_host();
    let mut devices = operands.iter().filter(|x| !is_number(x)).map(|x| x.device());
    let first = devices.next()?;
    if let Some(other) = devices.find(|device| *device != first) {
        panic!(
            "{op}: one tensor is on {first}, another on {other}; `to_device` copies one of them"
        );
    }
    match first {
        Device::Cpu => None,
        Device::Cuda(index) => Some(done(cuda::gpu(index))),
    }
}

/// What a GPU gave; what it could not do is told at the caller's line.
#[track_caller]
pub(crate) fn done<T>(result: Result<T, CudaError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// The operations that went through main memory because no kernel does them, and how often.
static DETOURS: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());

/// The operations on a GPU's tensors that the processor did since the program started, as no
/// kernel does them, and how often: elements went to main memory and back, which is slow.
///
/// With `D2L_CUDA_DETOURS=forbid` in the environment such an operation panics instead.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::ones([2]).to_device(Device::Cpu);
/// let before = d2l::detours();
/// assert_eq!((x + 1.0).sum().item(), 4.0);
/// assert_eq!(d2l::detours(), before, "all was on the processor from the start");
/// ```
pub fn detours() -> Vec<(String, usize)> {
    let detours = DETOURS.lock().unwrap_or_else(PoisonError::into_inner);
    detours.iter().map(|(op, &count)| ((*op).to_owned(), count)).collect()
}

/// The result of an operation, where its operands are: brings it there if the processor made it.
#[cold]
#[track_caller]
pub(crate) fn settle(op: &'static str, output: Tensor, inputs: &[&Tensor]) -> Tensor {
    let Some(gpu) = common(op, inputs) else { return output };
    if !output.storage.is_host() {
        return output;
    }
    assert!(
        std::env::var_os("D2L_CUDA_DETOURS").is_none_or(|value| value != "forbid"),
        "{op}: no kernel does this on {}",
        Device::Cuda(gpu.index())
    );
    *DETOURS.lock().unwrap_or_else(PoisonError::into_inner).entry(op).or_default() += 1;
    done(output.storage.move_to(output.dtype(), Device::Cuda(gpu.index())));
    output
}

/// A grid for one thread for each of `count` elements, or fewer that loop.
pub(super) fn grid(gpu: &Gpu, count: usize) -> Grid {
    const THREADS: usize = 256;
    let threads = count.next_multiple_of(32).clamp(32, THREADS);
    let blocks = count.div_ceil(THREADS).clamp(1, gpu.blocks() as usize);
    Grid { blocks: [blocks as u32, 1, 1], threads: [threads as u32, 1, 1], shared: 0 }
}

/// A grid in which a row of a block's threads takes each of `rows` rows of `length` elements, four
/// at a time: a warp or a part of one for short ones, a block for long ones.
pub(super) fn grid_of_rows(gpu: &Gpu, rows: usize, length: usize) -> Grid {
    let along = match length {
        0..=1024 => length.div_ceil(4).next_power_of_two().min(32),
        _ => 256,
    };
    // At least a warp, and no more than there are rows for.
    let side_by_side = (128 / along).min(rows.next_power_of_two()).max(32 / along).max(1);
    let blocks = rows.div_ceil(side_by_side).clamp(1, 4 * gpu.blocks() as usize);
    Grid {
        blocks: [blocks as u32, 1, 1],
        threads: [along as u32, side_by_side as u32, 1],
        shared: 0,
    }
}

/// Gives each row of a block's threads shared memory for `copies` of so many pieces of four
/// elements that are computed with as `dtype` is, if there is enough; for how many pieces.
pub(super) fn shared_for(
    grid: &mut Grid,
    pieces: usize,
    copies: usize,
    dtype: DType,
) -> i64 {
    // Of 48 KB, less what kernels have besides.
    const MOST: usize = 46 << 10;
    let bytes = copies * grid.threads[1] as usize * pieces * 4 * dtype.wide().size();
    if bytes > MOST {
        return 0;
    }
    grid.shared = bytes as u32;
    if bytes > 0 { pieces as i64 } else { 0 }
}

/// The layout of elements one behind the other.
pub(super) fn flat(shape: Shape) -> Layout {
    Layout::contiguous(shape)
}
