//! Products of matrices.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::gemm;
use super::{
    float::Float,
    number::Number,
    rounded,
    vector::{Level, level, vectorised},
    widened,
};
use crate::{
    device::threads,
    dtype::DType,
    layout::{Layout, Row, walk},
    shape::Shape,
    tensor::Tensor,
};

/// Products with at most this many multiplications are not worth packing.
const SMALL: usize = 4096;

/// From this many multiplications on, threads share a product.
pub(super) const SHARED: usize = 128 * 1024;

/// `(…, m, k) × (…, k, n) → (…, m, n)`; both operands have the same leading axes after
/// broadcasting to `batch`.
#[track_caller]
pub(crate) fn matmul(a: &Tensor, b: &Tensor, batch: &[usize]) -> Tensor {
    match a.dtype() {
        DType::F32 => products::<f32>(a, b, batch),
        DType::F64 => products::<f64>(a, b, batch),
        DType::I64 => products::<i64>(a, b, batch),
        DType::F16 | DType::BF16 => {
            rounded(products::<f32>(&widened(a), &widened(b), batch), a.dtype())
        }
        DType::U8 | DType::Bool => {
            products::<i64>(&a.to_dtype(DType::I64), &b.to_dtype(DType::I64), batch)
                .to_dtype(a.dtype())
        }
    }
}

#[track_caller]
fn products<T: Factor>(a: &Tensor, b: &Tensor, batch: &[usize]) -> Tensor {
    let (m, k) = (a.shape()[a.ndim() - 2], a.shape()[a.ndim() - 1]);
    let n = b.shape()[b.ndim() - 1];
    let with_batch =
        |rows: usize, columns: usize| Shape::new(&[batch, &[rows, columns]].concat());
    let a_layout = a.layout.broadcast_to(with_batch(m, k));
    let b_layout = b.layout.broadcast_to(with_batch(k, n));
    let (a_values, b_values) = (a.storage.read::<T>(), b.storage.read::<T>());
    let (a_values, b_values) = (&a_values[..], &b_values[..]);

    Tensor::filled(with_batch(m, n), |out: &mut [T]| {
        if m * n * k == 0 {
            return out.fill(T::default());
        }
        if batch.is_empty() {
            let a = matrix_at(a_values, &a_layout, a_layout.offset);
            let b = matrix_at(b_values, &b_layout, b_layout.offset);
            return shared_product(a, b, Onto::Nothing, out);
        }
        // Walk the leading axes only: one element of these layouts is one matrix.
        let leading = |layout: &Layout| Layout { shape: Shape::new(batch), ..*layout };
        let mut starts = Vec::with_capacity(out.len() / (m * n));
        walk(
            [&leading(&a_layout), &leading(&b_layout)],
            |Row { start: [i, j], length, step: [s, t] }| {
                starts.extend((0..length).map(|l| [i + l * s, j + l * t]));
            },
        );
        let grain = SHARED.div_ceil(m * n * k);
        if starts.len() < threads::num_threads() {
            for (&[i, j], out) in starts.iter().zip(out.chunks_exact_mut(m * n)) {
                let a = matrix_at(a_values, &a_layout, i);
                let b = matrix_at(b_values, &b_layout, j);
                shared_product(a, b, Onto::Nothing, out);
            }
            return;
        }
        threads::rows_mut(out, m * n, grain, &|first, out| {
            for (&[i, j], out) in starts[first..].iter().zip(out.chunks_exact_mut(m * n))
            {
                let a = matrix_at(a_values, &a_layout, i);
                let b = matrix_at(b_values, &b_layout, j);
                T::product(a, b, Onto::Nothing, out, n);
            }
        });
    })
}

/// `x · weightᵀ + bias` of matrices; the bias must be contiguous.
#[track_caller]
pub(crate) fn affine<T: Factor + Float>(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Tensor {
    let (m, n) = (x.shape()[0], weight.shape()[0]);
    let (x_values, weights) = (x.storage.read::<T>(), weight.storage.read::<T>());
    let bias = bias.map(|bias| (bias.storage.read::<T>(), bias.layout.offset));
    let bias = bias.as_ref().map_or(&[][..], |(bias, at)| &bias[*at..][..n]);
    Tensor::filled(Shape::new(&[m, n]), |out: &mut [T]| {
        if m * n == 0 {
            return;
        }
        let x = matrix_at(&x_values, &x.layout, x.layout.offset);
        let weight = matrix_at(&weights, &weight.layout, weight.layout.offset);
        let onto = if bias.is_empty() { Onto::Nothing } else { Onto::Row(bias) };
        shared_product(x, weight.t(), onto, out);
    })
}

/// The matrix of the last two axes that starts at `start`.
fn matrix_at<'a, T>(values: &'a [T], layout: &Layout, start: usize) -> Matrix<'a, T> {
    let last = layout.shape.len() - 1;
    let shape = [layout.shape[last - 1], layout.shape[last]];
    let steps = [layout.strides[last - 1], layout.strides[last]];
    Matrix::new(&values[start..], shape, steps)
}

/// A look at some elements as rows and columns.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    /// From element `[0, 0]` on; element `[i, j]` is at `i * steps[0] + j * steps[1]`.
    pub(super) values: &'a [T],
    pub(super) shape: [usize; 2],
    pub(super) steps: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// # Panics
    /// If the last element is outside of `values`.
    pub(crate) fn new(
        values: &'a [T],
        shape: [usize; 2],
        steps: [usize; 2],
    ) -> Matrix<'a, T> {
        if shape[0] * shape[1] > 0 {
            let last = (shape[0] - 1) * steps[0] + (shape[1] - 1) * steps[1];
            assert!(last < values.len(), "a matrix of {shape:?} reaches outside");
        }
        Matrix { values, shape, steps }
    }

    /// Rows of `shape[1]` elements, one behind the other.
    pub(crate) fn rows(values: &'a [T], shape: [usize; 2]) -> Matrix<'a, T> {
        Matrix::new(values, shape, [shape[1], 1])
    }

    pub(crate) fn t(self) -> Matrix<'a, T> {
        let ([rows, columns], [s, t]) = (self.shape, self.steps);
        Matrix { shape: [columns, rows], steps: [t, s], ..self }
    }

    fn some_rows(self, range: Range<usize>) -> Matrix<'a, T> {
        let columns = self.shape[1];
        self.part(range, 0..columns)
    }

    /// These rows and columns.
    pub(super) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Matrix<'a, T> {
        debug_assert!(rows.end <= self.shape[0] && columns.end <= self.shape[1]);
        let start = rows.start * self.steps[0] + columns.start * self.steps[1];
        let values = &self.values[start.min(self.values.len())..];
        Matrix { values, shape: [rows.len(), columns.len()], ..self }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Onto<'a, T> {
    Nothing,
    /// What is there.
    Itself,
    /// These numbers, one for each column.
    Row(&'a [T]),
}

impl<'a, T> Onto<'a, T> {
    /// The same for some of the columns.
    pub(super) fn columns(self, range: Range<usize>) -> Onto<'a, T> {
        match self {
            Onto::Row(row) => Onto::Row(&row[range]),
            onto => onto,
        }
    }
}

impl<'a, T: Float> Onto<'a, T> {
    /// The same, if the elements are `f32`.
    pub(super) fn as_f32(self) -> Option<Onto<'a, f32>> {
        Some(match self {
            Onto::Nothing => Onto::Nothing,
            Onto::Itself => Onto::Itself,
            Onto::Row(row) => Onto::Row(T::as_f32(row)?),
        })
    }
}

/// Writes `onto + a × b`, row after row, shared among threads.
pub(crate) fn shared_product<T: Factor>(
    a: Matrix<T>,
    b: Matrix<T>,
    onto: Onto<T>,
    out: &mut [T],
) {
    let ([m, k], [_, n]) = (a.shape, b.shape);
    let threads = threads::num_threads();
    if m * n * k < SHARED || threads == 1 || T::shares() {
        return T::product(a, b, onto, out, n);
    }
    // Each part lays out what it needs of the other operand, so parts are few; the longer side
    // is cut.
    if m >= n || m >= 32 * threads {
        let grain = m.div_ceil(threads).next_multiple_of(8);
        threads::blocks_mut(out, n, grain, &|first, out| {
            let a = a.some_rows(first..first + out.len() / n);
            T::product(a, b, onto, out, n);
        });
    } else {
        let grain = n.div_ceil(threads).next_multiple_of(16);
        let columns = Columns { out: out.as_mut_ptr(), length: out.len() };
        assert!(out.len() == m * n, "the product has {m}·{n} elements");
        threads::run(n.div_ceil(grain), &|i| {
            let range = i * grain..n.min((i + 1) * grain);
            let b = b.part(0..k, range.clone());
            // SAFETY: the parts write disjoint columns of `out`, which is borrowed until all
            // have ended.
            unsafe { columns.write(a, b, onto.columns(range.clone()), range.start, n) };
        });
    }
}

/// The columns of a matrix of which threads write some each.
struct Columns<T> {
    out: *mut T,
    length: usize,
}

// SAFETY: each thread writes other elements; see `shared_product`.
unsafe impl<T: Send> Sync for Columns<T> {}

impl<T: Factor> Columns<T> {
    /// Writes `onto + a × b` to the columns from `first` on of rows of `n`.
    ///
    /// # Safety
    /// Nobody else may use these columns meanwhile.
    unsafe fn write(
        &self,
        a: Matrix<T>,
        b: Matrix<T>,
        onto: Onto<T>,
        first: usize,
        n: usize,
    ) {
        let rows = a.shape[0];
        assert!(first + b.shape[1] <= n && rows * n <= self.length);
        // SAFETY: the assertion says that the columns exist; the caller has them alone.
        unsafe { T::product_at(a, b, onto, self.out.add(first), n) };
    }
}

/// An element type with a product of matrices.
pub(crate) trait Factor: Number + Default {
    /// Whether products share their work among threads themselves.
    fn shares() -> bool {
        false
    }

    /// Writes `onto + a × b` to `out`, whose rows are `step` apart.
    fn product(
        a: Matrix<Self>,
        b: Matrix<Self>,
        onto: Onto<Self>,
        out: &mut [Self],
        step: usize,
    ) {
        let ([m, k], [inner, n]) = (a.shape, b.shape);
        assert!(k == inner, "inner lengths {k} and {inner} differ");
        if let Onto::Row(row) = onto {
            assert!(row.len() == n, "one number for each of {n} columns");
        }
        if m * n > 0 {
            assert!(n <= step && (m - 1) * step + n <= out.len(), "the product fits");
            // SAFETY: all rows are inside `out`.
            unsafe { Self::product_at(a, b, onto, out.as_mut_ptr(), step) };
        }
    }

    /// Writes `onto + a × b` to rows that start at `out` and are `step` apart.
    ///
    /// # Safety
    /// The rows must be valid for reads and writes, and the lengths fit.
    unsafe fn product_at(
        a: Matrix<Self>,
        b: Matrix<Self>,
        onto: Onto<Self>,
        out: *mut Self,
        step: usize,
    ) {
        let is_small = a.shape[0] * a.shape[1] * b.shape[1] <= SMALL;
        let product = if is_small { small_product } else { Self::large_product };
        // SAFETY: the caller promises the same.
        unsafe { product(a, b, onto, out, step) }
    }

    /// [`Factor::product_at`] for what is worth packing, where the type has a kernel for it.
    ///
    /// # Safety
    /// As for [`Factor::product_at`].
    unsafe fn large_product(
        a: Matrix<Self>,
        b: Matrix<Self>,
        onto: Onto<Self>,
        out: *mut Self,
        step: usize,
    ) {
        // SAFETY: the caller promises the same.
        unsafe { small_product(a, b, onto, out, step) }
    }
}

/// A product by the crate `gemm`, on one thread.
///
/// # Safety
/// As for [`Factor::product_at`].
macro_rules! packed_product {
    ($name:ident, $type:ty, $gemm:path) => {
        unsafe fn $name(
            a: Matrix<$type>,
            b: Matrix<$type>,
            onto: Onto<$type>,
            out: *mut $type,
            step: usize,
        ) {
            let ([m, k], [_, n]) = (a.shape, b.shape);
            if let Onto::Row(row) = onto {
                for i in 0..m {
                    // SAFETY: the caller promises that the rows are valid.
                    unsafe { row.as_ptr().copy_to_nonoverlapping(out.add(i * step), n) };
                }
            }
            let steps = |matrix: Matrix<$type>| matrix.steps.map(|step| step as isize);
            let ([a_row, a_column], [b_row, b_column]) = (steps(a), steps(b));
            // The transpose of everything, since the kernels write columns.
            // SAFETY: `Matrix::new` checked that all elements of both operands exist, the
            // caller promises the same of the result, and nothing else borrows it.
            unsafe {
                $gemm()(
                    n,
                    m,
                    k,
                    out,
                    step as isize,
                    1,
                    !matches!(onto, Onto::Nothing),
                    b.values.as_ptr(),
                    b_row,
                    b_column,
                    a.values.as_ptr(),
                    a_row,
                    a_column,
                    1.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm_common::Parallelism::None,
                );
            }
        }
    };
}

packed_product!(packed_f32, f32, gemm_f32::gemm::f32::get_gemm_fn);
packed_product!(packed_f64, f64, gemm_f64::gemm::f64::get_gemm_fn);

impl Factor for f32 {
    fn shares() -> bool {
        cfg!(target_arch = "x86_64") && level() == Level::Avx512
    }

    unsafe fn large_product(
        a: Matrix<Self>,
        b: Matrix<Self>,
        onto: Onto<Self>,
        out: *mut Self,
        step: usize,
    ) {
        #[cfg(target_arch = "x86_64")]
        if Self::shares() {
            // SAFETY: there is AVX-512; the caller promises the rest.
            return unsafe { gemm::product(a, b, onto, out, step) };
        }
        // SAFETY: the caller promises the same.
        unsafe { packed_f32(a, b, onto, out, step) }
    }
}

impl Factor for f64 {
    unsafe fn large_product(
        a: Matrix<Self>,
        b: Matrix<Self>,
        onto: Onto<Self>,
        out: *mut Self,
        step: usize,
    ) {
        // SAFETY: the caller promises the same.
        unsafe { packed_f64(a, b, onto, out, step) }
    }
}

impl Factor for i64 {}

/// Row by row: each row of the result is a sum of rows of `b`.
///
/// # Safety
/// As for [`Factor::product_at`].
unsafe fn small_product<T: Number + Default>(
    a: Matrix<T>,
    b: Matrix<T>,
    onto: Onto<T>,
    out: *mut T,
    step: usize,
) {
    let ([m, k], [_, n]) = (a.shape, b.shape);
    for i in 0..m {
        // SAFETY: the caller promises that the rows exist; they do not overlap operands.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(i * step), n) };
        match onto {
            Onto::Nothing => out.fill(T::default()),
            Onto::Itself => {}
            Onto::Row(row) => out.copy_from_slice(row),
        }
        for l in 0..k {
            let factor = a.values[i * a.steps[0] + l * a.steps[1]];
            let row = &b.values[l * b.steps[0]..];
            if b.steps[1] == 1 {
                add_multiple(out, factor, &row[..n]);
            } else {
                for (j, out) in out.iter_mut().enumerate() {
                    *out = out.plus(factor.times(row[j * b.steps[1]]));
                }
            }
        }
    }
}

vectorised! {
    fn add_multiple[T: Number][T](out: &mut [T], factor: T, row: &[T]) {
        for (out, &value) in out.iter_mut().zip(row) {
            *out = out.plus(factor.times(value));
        }
    }
}
