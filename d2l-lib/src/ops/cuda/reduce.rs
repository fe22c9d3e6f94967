//! Many elements in, one out.

use super::{Walk, done, grid_of_rows, place_of_any};
use crate::{
    device::cuda::{Arguments, Array, CudaError, Gpu, Grid, Kernel, REDUCE, chain},
    dtype::DType,
    layout::Layout,
    ops::reduce::kept_shape,
    shape::Shape,
    tensor::Tensor,
};

/// `Reduction` in `reduce.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Reduction {
    outer: Walk<1>,
    inner: Walk<1>,
    part: i64,
    x: u64,
    out: u64,
    scale: f64,
    from: u32,
    to: u32,
    together: u32,
    least: u32,
}

/// How elements become one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fold {
    /// The sum times a number.
    Sum(f64),
    Max,
    Min,
}

impl Fold {
    /// The type of results of a part, from which others are made.
    fn between(self, dtype: DType) -> DType {
        match self {
            Fold::Sum(_) if dtype.is_float() => DType::F64,
            Fold::Sum(_) => DType::I64,
            _ => dtype,
        }
    }

    /// What is done to a part.
    fn of_part(self) -> Fold {
        if let Fold::Sum(_) = self { Fold::Sum(1.0) } else { self }
    }
}

/// Elements of a row that a part of it should have at least.
const PART_OF_ROW: usize = 4096;

/// Elements of a column that a part of it should have at least for each of its threads.
const PART_OF_COLUMN: usize = 32;

/// Elements side by side that are worth a pass of their own, where others of the same result lie
/// elsewhere.
const RUN: usize = 16;

/// Results that a thread has at a time in columns.
const LANES: usize = 4;

/// Folds the flagged axes, which stay with length 1.
#[track_caller]
pub(crate) fn fold(
    op: &'static str,
    x: &Tensor,
    flags: &[bool],
    fold: Fold,
) -> Option<Tensor> {
    let gpu = place_of_any(op, &[x])?;
    let elements = x.storage.on_gpu()?;
    let (at, dtype, layout) = (elements.address(), x.dtype(), x.layout);
    let result = if dtype.is_float() { dtype } else { fold.between(dtype) };
    let out = done(Source { gpu, op, at, dtype, layout }.fold(flags, fold, result));
    Some(Tensor::of_array(out, kept_shape(x.layout.shape, flags)))
}

/// What is reduced.
#[derive(Clone, Copy)]
struct Source {
    gpu: &'static Gpu,
    op: &'static str,
    /// Where its storage begins.
    at: u64,
    dtype: DType,
    layout: Layout,
}

/// How the elements of all results are gone through.
struct Plan {
    reduction: Reduction,
    /// Whether each thread has results of its own, which lie side by side.
    across: bool,
    grid: Grid,
    /// Parts in which each result is made, so that all of the GPU has something to do.
    parts: usize,
}

impl Source {
    /// The same of what an array has in rows.
    fn then(&self, array: &Array, shape: Shape) -> Source {
        let (at, dtype, layout) =
            (array.address(), array.dtype(), Layout::contiguous(shape));
        Source { at, dtype, layout, ..*self }
    }

    fn fold(
        &self,
        flags: &[bool],
        fold: Fold,
        result: DType,
    ) -> Result<Array, CudaError> {
        let shape = self.layout.shape;
        let between = fold.between(self.dtype);
        if let Some(run) = self.run(flags) {
            let partial = self.pass(&self.plan(&run), fold.of_part(), 1, between)?;
            let rest = self.then(&partial, kept_shape(shape, &run));
            return rest.fold(flags, fold, result);
        }
        let plan = self.plan(flags);
        if plan.parts < 2 {
            return self.pass(&plan, fold, 1, result);
        }
        let partial = self.pass(&plan, fold.of_part(), plan.parts, between)?;
        let results = plan.reduction.outer.count as usize;
        let rest = self.then(&partial, Shape::new(&[plan.parts, results]));
        rest.pass(&rest.plan(&[true, false]), fold, 1, result)
    }

    /// The last of the flagged axes, if many elements lie side by side along them, and more that
    /// fall into the same result elsewhere.
    fn run(&self, flags: &[bool]) -> Option<Vec<bool>> {
        let Layout { shape, strides, .. } = self.layout;
        let mut run = vec![false; flags.len()];
        let (mut length, mut rest) = (1, 1);
        for axis in (0..flags.len()).rev().filter(|&axis| flags[axis]) {
            if rest == 1 && (strides[axis] == length || shape[axis] == 1) {
                run[axis] = true;
                length *= shape[axis];
            } else {
                rest *= shape[axis];
            }
        }
        (length >= RUN && rest > 1).then_some(run)
    }

    fn plan(&self, flags: &[bool]) -> Plan {
        let axes = |flagged: bool| -> Vec<usize> {
            (0..flags.len()).filter(|&axis| flags[axis] == flagged).collect()
        };
        let outer = self.layout.only(&axes(false), self.layout.offset);
        let inner = self.layout.only(&axes(true), 0);
        let (results, length) = (outer.shape.numel(), inner.shape.numel());
        let (outer, inner) = (Walk::new([&outer]), Walk::new([&inner]));
        let blocks = self.gpu.blocks() as usize;
        // Neighbours in memory should be read by neighbouring threads.
        let across = outer.last_step(0) == 1 && inner.last_step(0) != 1 && results > 1;
        let (grid, parts) = if across {
            let along = results.div_ceil(LANES).next_power_of_two().min(32);
            let down = (256 / along).min(length.next_power_of_two());
            let side_by_side = results.div_ceil(LANES * along);
            let parts =
                (blocks / side_by_side.min(blocks)).min(length / (PART_OF_COLUMN * down));
            let grid = Grid {
                blocks: [side_by_side.min(4 * blocks) as u32, 1, 1],
                threads: [along as u32, down as u32, 1],
                shared: 0,
            };
            (grid, parts)
        } else {
            let parts = (blocks / results.clamp(1, blocks)).min(length / PART_OF_ROW);
            (grid_of_rows(self.gpu, results, length / parts.max(1)), parts)
        };
        let reduction = Reduction {
            outer,
            inner,
            part: 0,
            x: self.at,
            out: 0,
            scale: 1.0,
            from: chain::kind(self.dtype),
            to: 0,
            together: (length <= 1 || inner.single_step(0) == Some(1)).into(),
            least: 0,
        };
        Plan { reduction, across, grid, parts: parts.min(1024) }
    }

    /// A pass that gives a row of results for each of `parts`.
    fn pass(
        &self,
        plan: &Plan,
        fold: Fold,
        parts: usize,
        result: DType,
    ) -> Result<Array, CudaError> {
        let Reduction { outer, inner, .. } = plan.reduction;
        let out = self.gpu.array(self.op, result, parts * outer.count as usize)?;
        if outer.count == 0 {
            return Ok(out);
        }
        let reduction = Reduction {
            // Pieces begin where a thread can read all lanes at once, if their parts do.
            part: (inner.count as usize).div_ceil(parts).next_multiple_of(LANES) as i64,
            out: out.address(),
            scale: if let Fold::Sum(scale) = fold { scale } else { 1.0 },
            to: chain::kind(result),
            least: (fold == Fold::Min).into(),
            ..plan.reduction
        };
        let name = match (fold, plan.across) {
            (Fold::Sum(_), false) => "sum_rows",
            (Fold::Sum(_), true) => "sum_columns",
            (_, false) => "max_rows",
            (_, true) => "max_columns",
        };
        let kind = if self.dtype.is_float() { DType::F64 } else { DType::I64 };
        let mut grid = plan.grid;
        grid.blocks[1] = parts as u32;
        let arguments = Arguments::new().with(&reduction);
        // SAFETY: this is the argument of `REDUCE`; the walks are inside the arrays, and `out` has
        // a row of results for each part.
        unsafe { self.gpu.launch(REDUCE, Kernel::of(name, kind), grid, arguments) }
            .map_err(|error| error.by(self.op))?;
        Ok(out)
    }
}
