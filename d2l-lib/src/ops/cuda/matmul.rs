//! Products of matrices by our own kernel.

use super::{Walk, done, place, place_of_any, zip_in_place};
use crate::{
    device::cuda::{Arguments, Grid, Kernel, MATMUL},
    dtype::DType,
    layout::Layout,
    ops::{rounded, widened},
    shape::Shape,
    tensor::Tensor,
};

/// `Matrices` in `matmul.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Matrices {
    m: i64,
    n: i64,
    k: i64,
    a: [i64; 2],
    b: [i64; 2],
}

/// The side of the square that a block makes.
const TILE: usize = 16;

/// `x · weightᵀ + bias` of matrices.
#[track_caller]
pub(crate) fn affine(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Option<Tensor> {
    place("linear", &[x, weight, bias.unwrap_or(x)])?;
    let out = product(x, &weight.with_layout(weight.layout.permute(&[1, 0])), &[])?;
    if let Some(bias) = bias {
        zip_in_place("add", &out, &bias.detach());
    }
    Some(out)
}

/// `(…, m, k) × (…, k, n) → (…, m, n)`; the leading axes broadcast to `batch`.
#[track_caller]
pub(crate) fn product(a: &Tensor, b: &Tensor, batch: &[usize]) -> Option<Tensor> {
    let gpu = place_of_any("matmul", &[a, b])?;
    let dtype = a.dtype();
    if dtype.is_half() {
        return Some(rounded(product(&widened(a), &widened(b), batch)?, dtype));
    }
    if !matches!(dtype, DType::F32 | DType::F64 | DType::I64) {
        return None;
    }
    let (a_values, b_values) = (a.storage.on_gpu()?, b.storage.on_gpu()?);
    let (m, k) = (a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]);
    let n = b.shape()[b.ndim() - 1];
    let with_batch =
        |rows: usize, columns: usize| Shape::new(&[batch, &[rows, columns]].concat());
    let shape = with_batch(m, n);
    let out = done(gpu.array("matmul", dtype, shape.numel()));
    if k == 0 {
        done(out.zero("matmul"));
    } else if shape.numel() > 0 {
        let a_layout = a.layout.broadcast_to(with_batch(m, k));
        let b_layout = b.layout.broadcast_to(with_batch(k, n));
        let last = batch.len();
        let steps = |layout: &Layout| [0, 1].map(|i| layout.strides[last + i] as i64);
        let matrices = Matrices {
            m: m as i64,
            n: n as i64,
            k: k as i64,
            a: steps(&a_layout),
            b: steps(&b_layout),
        };
        // One element of these layouts is one matrix.
        let leading = |layout: &Layout| Layout { shape: Shape::new(batch), ..*layout };
        let walk = Walk::new([&leading(&a_layout), &leading(&b_layout)]);
        let bands = walk.count as usize * m.div_ceil(TILE);
        let grid = Grid {
            blocks: [n.div_ceil(TILE) as u32, bands.min(65_535) as u32, 1],
            threads: [TILE as u32, TILE as u32, 1],
            shared: 0,
        };
        let (a_at, b_at, at) = (a_values.address(), b_values.address(), out.address());
        let arguments = Arguments::new()
            .with(&matrices)
            .with(&walk)
            .with(&a_at)
            .with(&b_at)
            .with(&at);
        // SAFETY: these are the arguments of `MATMUL`; the layouts are inside the arrays.
        done(unsafe { gpu.launch(MATMUL, Kernel::of("matmul", dtype), grid, arguments) });
    }
    Some(Tensor::of_array(out, shape))
}
