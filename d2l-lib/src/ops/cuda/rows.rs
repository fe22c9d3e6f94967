//! Softmax of rows, its logarithm, its loss, and their gradients.

use super::{Fold, done, fold, grid_of_rows, place_of_any, shared_for};
use crate::{
    device::cuda::{Arguments, CudaError, Gpu, Kernel, SOFTMAX, chain},
    dtype::DType,
    shape::Shape,
    tensor::Tensor,
};

/// What is made of rows; as `Wanted` in `softmax.cu`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    Softmax,
    Logarithm,
    Loss,
}

/// `Softmax` in `softmax.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Rows {
    rows: i64,
    length: i64,
    x: u64,
    g: u64,
    out: u64,
    sums: u64,
    targets: u64,
    losses: u64,
    kind: u32,
    wanted: u32,
    kept: i64,
}

impl Rows {
    /// The rows of `x` along its last axis, which has elements.
    fn new(x: &Tensor, at: u64, wanted: Wanted) -> Rows {
        let length = x.layout.shape[x.ndim() - 1];
        Rows {
            rows: (x.numel() / length) as i64,
            length: length as i64,
            x: at,
            g: 0,
            out: 0,
            sums: 0,
            targets: 0,
            losses: 0,
            kind: chain::kind(x.dtype()),
            wanted: wanted as u32,
            kept: 0,
        }
    }

    /// Queues the kernel `name`, which keeps so many copies of a row in shared memory.
    fn run(
        mut self,
        gpu: &Gpu,
        op: &'static str,
        name: &'static str,
        dtype: DType,
        copies: usize,
    ) -> Result<(), CudaError> {
        let length = self.length as usize;
        let mut grid = grid_of_rows(gpu, self.rows as usize, length);
        self.kept = shared_for(&mut grid, length.div_ceil(4), copies, dtype);
        let arguments = Arguments::new().with(&self);
        // SAFETY: this is the argument of the kernels in `softmax.cu`, with places of so many rows.
        unsafe { gpu.launch(SOFTMAX, Kernel::of(name, dtype.wide()), grid, arguments) }
            .map_err(|error| error.by(op))
    }
}

/// What is wanted of rows along the last axis, but no loss; `x` must be contiguous. Of halves also
/// what its gradient needs besides `x`; that of others needs the result alone.
#[track_caller]
pub(crate) fn rows(
    op: &'static str,
    x: &Tensor,
    wanted: Wanted,
) -> Option<(Tensor, Option<Tensor>)> {
    let gpu = place_of_any(op, &[x])?;
    let elements = x.storage.on_gpu()?;
    let (shape, dtype) = (x.layout.shape, x.dtype());
    let out = done(gpu.array(op, dtype, shape.numel()));
    let mut sums = None;
    if shape.numel() > 0 {
        let mut rows = Rows::new(x, elements.address_of(x.layout.offset), wanted);
        rows.out = out.address();
        if dtype.is_half() {
            let array = done(gpu.array(op, DType::F32, 2 * rows.rows as usize));
            rows.sums = array.address();
            sums = Some(Tensor::of_array(array, Shape::new(&[rows.rows as usize, 2])));
        }
        done(rows.run(gpu, op, "softmax", dtype, 1));
    }
    Some((Tensor::of_array(out, shape), sums))
}

/// The gradient of [`rows`], whose result is `y`, or which made `sums` of `y`; `y` and `g` must
/// be contiguous.
#[track_caller]
pub(crate) fn rows_back(
    op: &'static str,
    y: &Tensor,
    sums: Option<&Tensor>,
    g: &Tensor,
    wanted: Wanted,
) -> Option<Tensor> {
    let gpu = place_of_any(op, &[y, g])?;
    let (values, gradients) = (y.storage.on_gpu()?, g.storage.on_gpu()?);
    let sums = sums.map(|sums| sums.storage.on_gpu().expect("they were made on a GPU"));
    let out = done(gpu.array(op, g.dtype(), g.numel()));
    if g.numel() > 0 {
        let mut rows = Rows::new(y, values.address_of(y.layout.offset), wanted);
        rows.g = gradients.address_of(g.layout.offset);
        rows.out = out.address();
        rows.sums = sums.as_ref().map_or(0, |sums| sums.address());
        done(rows.run(gpu, op, "softmax_back", g.dtype(), 2));
    }
    Some(Tensor::of_array(out, g.layout.shape))
}

/// The mean cross-entropy of rows of logits, and what its gradient needs besides them. Both must
/// be contiguous. A target that is no class makes the loss NaN: to look for it would be to wait for
/// the GPU.
#[track_caller]
pub(crate) fn cross_entropy(x: &Tensor, targets: &Tensor) -> Option<(Tensor, Tensor)> {
    const NAME: &str = "cross_entropy";
    let gpu = place_of_any(NAME, &[x, targets])?;
    let (values, classes) = (x.storage.on_gpu()?, targets.storage.on_gpu()?);
    let n = x.layout.shape[0];
    if x.numel() == 0 {
        return None;
    }
    let wide = x.dtype().wide();
    let losses = done(gpu.array(NAME, wide, n));
    let sums = done(gpu.array(NAME, wide, 2 * n));
    let mut rows = Rows::new(x, values.address_of(x.layout.offset), Wanted::Loss);
    rows.targets = classes.address_of(targets.layout.offset);
    (rows.losses, rows.sums) = (losses.address(), sums.address());
    done(rows.run(gpu, NAME, "softmax", x.dtype(), 0));
    let losses = Tensor::of_array(losses, Shape::new(&[n]));
    let loss = fold(NAME, &losses, &[true], Fold::Sum(1.0 / n as f64))?;
    let sums = Tensor::of_array(sums, Shape::new(&[n, 2]));
    Some((loss.reshape_to(Shape::new(&[])), sums))
}

/// The gradient of [`cross_entropy`], that of the loss being `g`.
#[track_caller]
pub(crate) fn cross_entropy_back(
    x: &Tensor,
    targets: &Tensor,
    sums: &Tensor,
    g: &Tensor,
) -> Tensor {
    const NAME: &str = "cross_entropy";
    let g = g.to_dtype(x.dtype().wide()).to_device(x.device());
    let gpu = place_of_any(NAME, &[x, targets, sums, &g]).expect("it was computed there");
    let on_gpu = |x: &Tensor| {
        let elements = x.storage.on_gpu().expect("it is on a GPU");
        let at = elements.address_of(x.layout.offset);
        (elements, at)
    };
    let (_x, x_at) = on_gpu(x);
    let ((_targets, targets_at), (_sums, sums_at)) = (on_gpu(targets), on_gpu(sums));
    let (_g, g_at) = on_gpu(&g);
    let out = done(gpu.array(NAME, x.dtype(), x.numel()));
    let mut rows = Rows::new(x, x_at, Wanted::Loss);
    (rows.g, rows.out, rows.sums, rows.targets) =
        (g_at, out.address(), sums_at, targets_at);
    done(rows.run(gpu, NAME, "cross_entropy_back", x.dtype(), 0));
    Tensor::of_array(out, x.layout.shape)
}
