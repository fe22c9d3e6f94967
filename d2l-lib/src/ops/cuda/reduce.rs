//! Many elements in, one out.

use super::{Walk, done, flat, grid, grid_of_rows, place_of_any};
use crate::{
    device::cuda::{Arguments, Array, CudaError, Gpu, Kernel, REDUCE},
    dtype::DType,
    layout::Layout,
    ops::{reduce::kept_shape, rounded, widened},
    tensor::Tensor,
};

/// `Reduction` in `reduce.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Reduction {
    outer: Walk<2>,
    inner: Walk<1>,
    part: i64,
}

/// How elements become one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fold {
    /// The sum times a number.
    Sum(f64),
    Max,
    Min,
}

/// A pass over the elements: by rows of threads, or a thread for each result.
#[derive(Clone, Copy)]
struct Pass {
    rows: &'static str,
    threads: &'static str,
}

const SUM: Pass = Pass { rows: "sum_rows", threads: "sum_threads" };
const PART: Pass = Pass { rows: "part_rows", threads: "part_threads" };
const TOTAL: Pass = Pass { rows: "total_rows", threads: "total_threads" };
const MAX: Pass = Pass { rows: "max_rows", threads: "max_threads" };
const MIN: Pass = Pass { rows: "min_rows", threads: "min_threads" };

/// Elements of one result that one part of a reduction should have at least.
const PART_SIZE: usize = 4096;

/// Folds the flagged axes, which stay with length 1.
#[track_caller]
pub(crate) fn fold(
    op: &'static str,
    x: &Tensor,
    flags: &[bool],
    fold: Fold,
) -> Option<Tensor> {
    let gpu = place_of_any(op, &[x])?;
    if x.dtype().is_half() {
        return Some(rounded(self::fold(op, &widened(x), flags, fold)?, x.dtype()));
    }
    let elements = x.storage.on_gpu()?;
    let axes = |flagged: bool| -> Vec<usize> {
        (0..x.ndim()).filter(|&axis| flags[axis] == flagged).collect()
    };
    let outer = x.layout.only(&axes(false), x.layout.offset);
    let inner = x.layout.only(&axes(true), 0);
    let (results, length) = (outer.shape.numel(), inner.shape.numel());
    let (dtype, sums) = (x.dtype(), matches!(fold, Fold::Sum(_)));
    let result = if sums && !dtype.is_float() { DType::I64 } else { dtype };
    let shape = kept_shape(x.layout.shape, flags);
    let scale = if let Fold::Sum(scale) = fold { scale } else { 1.0 };
    let out = done(gpu.array(op, result, results));
    if results == 0 {
        return Some(Tensor::of_array(out, shape));
    }
    let pass = match fold {
        Fold::Sum(_) => SUM,
        Fold::Max => MAX,
        Fold::Min => MIN,
    };
    let first = Step { gpu, outer, inner, parts: 1, scale };
    // Few long reductions are cut into parts, so that all of the GPU has something to do.
    let busy = results.div_ceil(4);
    let parts = (gpu.blocks() as usize / busy).min(length / PART_SIZE).min(512);
    if parts < 2 {
        done(first.run(pass, dtype, elements.address(), &out));
        return Some(Tensor::of_array(out, shape));
    }
    let (first_pass, second_pass, kept) = match (fold, dtype) {
        (Fold::Sum(_), DType::F32) => (PART, TOTAL, DType::F64),
        (Fold::Sum(_), _) => (SUM, SUM, result),
        _ => (pass, pass, dtype),
    };
    let partial = done(gpu.array(op, kept, parts * results));
    done(Step { parts, scale: 1.0, ..first }.run(
        first_pass,
        dtype,
        elements.address(),
        &partial,
    ));
    let both = flat(crate::Shape::new(&[parts, results]));
    let second = Step { outer: both.only(&[1], 0), inner: both.only(&[0], 0), ..first };
    // The name of the second pass says what it gives: `total_f32` reads `double`.
    let named = if second_pass.rows == TOTAL.rows { DType::F32 } else { kept };
    done(second.run(second_pass, named, partial.address(), &out));
    Some(Tensor::of_array(out, shape))
}

/// One pass of a reduction.
#[derive(Clone, Copy)]
struct Step {
    gpu: &'static Gpu,
    outer: Layout,
    inner: Layout,
    parts: usize,
    scale: f64,
}

impl Step {
    fn run(
        &self,
        pass: Pass,
        dtype: DType,
        x: u64,
        out: &Array,
    ) -> Result<(), CudaError> {
        let Step { gpu, outer, inner, parts, scale } = *self;
        let reduction = Reduction {
            outer: Walk::new([&outer, &flat(outer.shape)]),
            inner: Walk::new([&inner]),
            part: (inner.shape.numel().div_ceil(parts)).max(1) as i64,
        };
        // Neighbours in memory should be read by neighbouring threads.
        let results = outer.shape.numel();
        let across = reduction.outer.last_step(0) == 1
            && reduction.inner.last_step(0) != 1
            && results >= 32;
        let (name, mut grid) = if across {
            (pass.threads, grid(gpu, results))
        } else {
            (pass.rows, grid_of_rows(gpu, results, inner.shape.numel().div_ceil(parts)))
        };
        grid.blocks[1] = parts as u32;
        let at = out.address();
        let arguments = Arguments::new().with(&reduction).with(&x).with(&at).with(&scale);
        // SAFETY: these are the arguments of `REDUCE`; the layouts are inside the arrays, and
        // `out` has a row of results for each part.
        unsafe { gpu.launch(REDUCE, Kernel::of(name, dtype), grid, arguments) }
    }
}
