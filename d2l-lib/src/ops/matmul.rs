//! Products of matrices.

use ndarray::{
    ArrayView2, ArrayViewMut2, LinalgScalar, ShapeBuilder, linalg::general_mat_mul,
};

use crate::{
    dtype::{DType, Element},
    layout::{Layout, Row, walk},
    shape::Shape,
    tensor::Tensor,
};

/// `(…, m, k) × (…, k, n) → (…, m, n)`; both operands have the same leading axes after
/// broadcasting to `batch`.
#[track_caller]
pub(crate) fn matmul(a: &Tensor, b: &Tensor, batch: &[usize]) -> Tensor {
    match a.dtype() {
        DType::F32 => product::<f32>(a, b, batch),
        DType::F64 => product::<f64>(a, b, batch),
        DType::I64 => product::<i64>(a, b, batch),
        DType::U8 | DType::Bool => {
            product::<i64>(&a.to_dtype(DType::I64), &b.to_dtype(DType::I64), batch)
                .to_dtype(a.dtype())
        }
    }
}

#[track_caller]
fn product<T: Element + LinalgScalar>(a: &Tensor, b: &Tensor, batch: &[usize]) -> Tensor {
    let (m, k) = (a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]);
    let n = b.shape()[b.ndim() - 1];
    let with_batch =
        |rows: usize, columns: usize| Shape::new(&[batch, &[rows, columns]].concat());
    let a_layout = a.layout.broadcast_to(with_batch(m, k));
    let b_layout = b.layout.broadcast_to(with_batch(k, n));
    let out_shape = with_batch(m, n);
    let (a_values, b_values) = (a.storage.read::<T>(), b.storage.read::<T>());
    let mut out = vec![T::zero(); out_shape.numel()];

    // Walk the leading axes only: one element of these layouts is one matrix.
    let leading = |layout: &Layout| Layout {
        shape: Shape::new(batch),
        strides: layout.strides,
        offset: layout.offset,
    };
    let out_layout = Layout::contiguous(out_shape);
    let layouts = [&leading(&a_layout), &leading(&b_layout), &leading(&out_layout)];
    if m * k * n == 0 {
        return Tensor::new(out, out_shape);
    }
    walk(layouts, |Row { start, length, step }| {
        for i in 0..length {
            let [a_at, b_at, out_at] = std::array::from_fn(|j| start[j] + i * step[j]);
            let a = matrix_at(&a_values, &a_layout, a_at);
            let b = matrix_at(&b_values, &b_layout, b_at);
            let out = &mut out[out_at..out_at + m * n];
            let mut out =
                ArrayViewMut2::from_shape((m, n), out).expect("the rows lie one by one");
            general_mat_mul(T::one(), &a, &b, T::zero(), &mut out);
        }
    });
    Tensor::new(out, out_shape)
}

/// The matrix of the last two axes that starts at `start`.
fn matrix_at<'a, T>(values: &'a [T], layout: &Layout, start: usize) -> ArrayView2<'a, T> {
    let last = layout.shape.len() - 1;
    let shape = (layout.shape[last - 1], layout.shape[last]);
    let strides = (layout.strides[last - 1], layout.strides[last]);
    ArrayView2::from_shape(shape.strides(strides), &values[start..])
        .expect("a layout stays inside")
}
