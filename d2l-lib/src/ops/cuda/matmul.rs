//! Products of matrices: by the GPU's library, if it has one, else by our own kernel.

use super::{Walk, copy, done, place_of_any, zip_in_place};
use crate::{
    device::cuda::{
        Arguments, BIAS_ALIGNMENT, Factor, Gpu, Grid, Kernel, MATMUL, Operands, Product,
        is_tf32_allowed,
    },
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
    let gpu = place_of_any("linear", &[x, weight, bias.unwrap_or(x)])?;
    let turned = weight.with_layout(weight.layout.permute(&[1, 0]));
    let by_library = |bias| by_library("linear", gpu, x, &turned, &[], bias);
    if let Some(out) = by_library(bias) {
        return Some(out);
    }
    let dtype = x.dtype();
    if dtype.is_half() {
        let bias = bias.map(widened);
        return Some(rounded(
            affine(&widened(x), &widened(weight), bias.as_deref())?,
            dtype,
        ));
    }
    let out = match bias.and_then(|_| by_library(None)) {
        Some(out) => out,
        None => by_kernel(gpu, x, &turned, &[])?,
    };
    if let Some(bias) = bias {
        zip_in_place("add", &out, &bias.detach());
    }
    Some(out)
}

/// `(…, m, k) × (…, k, n) → (…, m, n)`; the leading axes broadcast to `batch`.
#[track_caller]
pub(crate) fn product(a: &Tensor, b: &Tensor, batch: &[usize]) -> Option<Tensor> {
    let gpu = place_of_any("matmul", &[a, b])?;
    if let Some(out) = by_library("matmul", gpu, a, b, batch, None) {
        return Some(out);
    }
    let dtype = a.dtype();
    if dtype.is_half() {
        return Some(rounded(product(&widened(a), &widened(b), batch)?, dtype));
    }
    by_kernel(gpu, a, b, batch)
}

/// The matrices of `x`, whose leading axes broadcast to `batch`: how they lie, and a tensor
/// that has them so, which is a copy if its own do not lie as a library needs them.
#[track_caller]
fn factor(x: &Tensor, batch: &[usize]) -> Option<(Factor, Tensor)> {
    let matrix = [x.shape()[x.ndim() - 2], x.shape()[x.ndim() - 1]];
    let layout = x.layout.broadcast_to(Shape::new(&[batch, &matrix].concat()));
    let last = batch.len();
    let steps = [layout.strides[last], layout.strides[last + 1]];
    let leading = Layout { shape: Shape::new(batch), ..layout };
    let step = Walk::new([&leading]).single_step(0);
    if let Some(factor) = step.and_then(|step| Factor::new(matrix, steps, step as usize))
    {
        return Some((factor, x.detach()));
    }
    // A copy lies well: of all matrices, or of the one that is stretched over all.
    let (layout, step) = match step {
        Some(0) => {
            let mut one = Layout { shape: Shape::new(&matrix), ..layout };
            one.strides[..2].copy_from_slice(&steps);
            (one, 0)
        }
        _ => (layout, matrix[0] * matrix[1]),
    };
    let copy = copy(&x.with_layout(layout))?;
    Some((Factor::new(matrix, [matrix[1], 1], step)?, copy))
}

/// The product, plus a row, by the GPU's library, if it has one that does this.
#[track_caller]
fn by_library(
    op: &'static str,
    gpu: &'static Gpu,
    a: &Tensor,
    b: &Tensor,
    batch: &[usize],
    bias: Option<&Tensor>,
) -> Option<Tensor> {
    let dtype = a.dtype();
    let [mut m, k] = [a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]];
    let n = b.shape()[b.ndim() - 1];
    let shape = Shape::new(&[batch, &[m, n]].concat());
    let mut count: usize = batch.iter().product();
    if !dtype.is_float() || shape.numel() * k == 0 || !gpu.multiplies() {
        return None;
    }
    let ((mut left, a), (right, b)) = (factor(a, batch)?, factor(b, batch)?);
    // Matrices below each other that meet the same one are one matrix.
    if right.step == 0 && left.is_followed_by_the_next(m) {
        (m, count, left.step) = (m * count, 1, 0);
    }
    let bias = match bias {
        Some(bias) => Some(aligned(bias)?),
        None => None,
    };
    let product = Product {
        dtype,
        tf32: dtype == DType::F32 && is_tf32_allowed(),
        sizes: [m, n, k],
        count,
        factors: [left, right],
        bias: bias.is_some(),
    };
    let (a_values, b_values) = (a.storage.on_gpu()?, b.storage.on_gpu()?);
    let bias_values = bias.as_ref().and_then(|bias| bias.storage.on_gpu());
    let out = done(gpu.array(op, dtype, shape.numel()));
    let at = Operands {
        factors: [
            a_values.address_of(a.layout.offset),
            b_values.address_of(b.layout.offset),
        ],
        bias: match (&bias, &bias_values) {
            (Some(bias), Some(values)) => values.address_of(bias.layout.offset),
            _ => 0,
        },
        out: out.address(),
    };
    // SAFETY: the layouts are inside the arrays, which live until all is queued.
    let made = done(unsafe { gpu.multiply(op, &product, &at) });
    made.then(|| Tensor::of_array(out, shape))
}

/// The bias in one piece, where a library can read it.
#[track_caller]
fn aligned(bias: &Tensor) -> Option<Tensor> {
    let at = bias.storage.on_gpu()?.address_of(bias.layout.offset);
    if bias.is_contiguous() && at % BIAS_ALIGNMENT == 0 {
        return Some(bias.detach());
    }
    copy(bias)
}

/// The product by our own kernel.
#[track_caller]
fn by_kernel(
    gpu: &'static Gpu,
    a: &Tensor,
    b: &Tensor,
    batch: &[usize],
) -> Option<Tensor> {
    let dtype = a.dtype();
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
