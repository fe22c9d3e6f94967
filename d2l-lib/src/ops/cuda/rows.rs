//! Softmax of rows, its logarithm, its loss, and their gradients.

use super::{Fold, done, fold, grid_of_rows, place};
use crate::{
    device::cuda::{Arguments, Kernel, SOFTMAX},
    shape::Shape,
    tensor::Tensor,
};

/// The kernel `op` of rows along the last axis; `x` must be contiguous.
#[track_caller]
pub(crate) fn rows(op: &'static str, x: &Tensor) -> Option<Tensor> {
    let gpu = place(op, &[x])?;
    let elements = x.storage.on_gpu()?;
    let shape = x.layout.shape;
    let out = done(gpu.array(op, x.dtype(), shape.numel()));
    if shape.numel() > 0 {
        let length = shape[x.ndim() - 1];
        let (rows, columns) = ((shape.numel() / length) as i64, length as i64);
        let from = elements.address_of(x.layout.offset);
        let at = out.address();
        let arguments = Arguments::new().with(&from).with(&at).with(&rows).with(&columns);
        let grid = grid_of_rows(gpu, rows as usize, length);
        // SAFETY: these are the arguments of the kernels in `softmax.cu` that make rows of rows.
        done(unsafe { gpu.launch(SOFTMAX, Kernel::of(op, x.dtype()), grid, arguments) });
    }
    Some(Tensor::of_array(out, shape))
}

/// The kernel `op` of rows `y` and their gradients `g`; both must be contiguous.
#[track_caller]
pub(crate) fn rows_back(op: &'static str, y: &Tensor, g: &Tensor) -> Option<Tensor> {
    let gpu = place(op, &[y, g])?;
    let (y_values, g_values) = (y.storage.on_gpu()?, g.storage.on_gpu()?);
    let shape = g.layout.shape;
    let out = done(gpu.array(op, g.dtype(), shape.numel()));
    if shape.numel() > 0 {
        let length = shape[g.ndim() - 1];
        let (rows, columns) = ((shape.numel() / length) as i64, length as i64);
        let y_at = y_values.address_of(y.layout.offset);
        let g_at = g_values.address_of(g.layout.offset);
        let at = out.address();
        let arguments =
            Arguments::new().with(&y_at).with(&g_at).with(&at).with(&rows).with(&columns);
        let grid = grid_of_rows(gpu, rows as usize, length);
        // SAFETY: these are the arguments of the kernels in `softmax.cu` whose names end so.
        done(unsafe { gpu.launch(SOFTMAX, Kernel::of(op, g.dtype()), grid, arguments) });
    }
    Some(Tensor::of_array(out, shape))
}

/// The mean cross-entropy of rows of logits, with their gradient. Both must be contiguous. A
/// target that is no class makes the loss NaN: to look for it would be to wait for the GPU.
#[track_caller]
pub(crate) fn cross_entropy(x: &Tensor, targets: &Tensor) -> Option<(Tensor, Tensor)> {
    const NAME: &str = "cross_entropy";
    let gpu = place(NAME, &[x, targets])?;
    let (values, classes) = (x.storage.on_gpu()?, targets.storage.on_gpu()?);
    let (shape, dtype) = (x.layout.shape, x.dtype());
    let (n, c) = (shape[0], shape[1]);
    if n * c == 0 {
        return None;
    }
    let losses = done(gpu.array(NAME, dtype, n));
    let gradient = done(gpu.array(NAME, dtype, n * c));
    let x_at = values.address_of(x.layout.offset);
    let t_at = classes.address_of(targets.layout.offset);
    let (l_at, g_at) = (losses.address(), gradient.address());
    let (rows, length) = (n as i64, c as i64);
    let arguments = Arguments::new()
        .with(&x_at)
        .with(&t_at)
        .with(&l_at)
        .with(&g_at)
        .with(&rows)
        .with(&length);
    // SAFETY: these are the arguments of `cross_entropy` in `softmax.cu`.
    done(unsafe {
        gpu.launch(SOFTMAX, Kernel::of(NAME, dtype), grid_of_rows(gpu, n, c), arguments)
    });
    let losses = Tensor::of_array(losses, Shape::new(&[n]));
    let loss = fold(NAME, &losses, &[true], Fold::Sum(1.0 / n as f64))?;
    Some((loss.reshape_to(Shape::new(&[])), Tensor::of_array(gradient, shape)))
}
