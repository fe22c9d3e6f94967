//! A right factor that many products share, laid out once as the kernel reads it: a step of a
//! recurrent layer has few rows, so laying out its weights each time would take as long as
//! the product.
//!
//! AVX-512 only: elsewhere every product lays out its factors itself.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::vector::{Level, level};
use super::{
    float::Float,
    matmul::{Factor, Matrix},
};

/// Columns of one panel: two vectors.
const WIDTH: usize = 32;

/// Rows whose sums are kept in registers.
#[cfg(target_arch = "x86_64")]
const ROWS: usize = 12;

/// `b` of `a × b`.
pub(crate) struct Packed<'a, T> {
    matrix: Matrix<'a, T>,
    /// Panels of 32 columns, row after row, padded with zeros; empty where there is no kernel.
    panels: Vec<f32>,
}

impl<'a, T: Float + Factor> Packed<'a, T> {
    pub(crate) fn new(matrix: Matrix<'a, T>) -> Packed<'a, T> {
        let mut panels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if level() == Level::Avx512
            && let Some(values) = T::as_f32(matrix.values)
        {
            let ([k, n], [row_step, column_step]) = (matrix.shape, matrix.steps);
            panels = vec![0.0; n.next_multiple_of(WIDTH) * k];
            for (i, panel) in panels.chunks_exact_mut((WIDTH * k).max(1)).enumerate() {
                let columns = i * WIDTH..n.min((i + 1) * WIDTH);
                for (row, out) in panel.chunks_exact_mut(WIDTH).enumerate() {
                    for (out, column) in out.iter_mut().zip(columns.clone()) {
                        *out = values[row * row_step + column * column_step];
                    }
                }
            }
        }
        Packed { matrix, panels }
    }

    /// Writes `a × b` to rows one behind the other, or adds it.
    pub(crate) fn product(&self, a: Matrix<T>, out: &mut [T], add: bool) {
        let ([m, k], n) = (a.shape, self.matrix.shape[1]);
        assert!(k == self.matrix.shape[0] && out.len() == m * n, "the factors fit");
        #[cfg(target_arch = "x86_64")]
        if !self.panels.is_empty()
            && m * k > 0
            && a.steps[1] == 1
            && let Some(rows) = T::as_f32(a.values)
            && let Some(out) = T::as_f32_mut(out)
        {
            // SAFETY: there are panels only where `level` found AVX-512.
            return unsafe {
                product(rows, [m, k, n], a.steps[0], &self.panels, out, add)
            };
        }
        T::product(a, self.matrix, out, n, add);
    }
}

/// `out = a × panels`, or added; a panel stays in the cache for all rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn product(
    a: &[f32],
    [m, k, n]: [usize; 3],
    step: usize,
    panels: &[f32],
    out: &mut [f32],
    add: bool,
) {
    // Runs of rows as even as possible: a last run of one row would wait for every sum.
    let runs = m.div_ceil(ROWS);
    for (i, panel) in panels.chunks_exact(WIDTH * k).enumerate() {
        let columns = WIDTH.min(n - i * WIDTH);
        for run in 0..runs {
            let (from, to) = (m * run / runs, m * (run + 1) / runs);
            let (a, out) = (&a[from * step..], &mut out[from * n + i * WIDTH..]);
            macro_rules! rows {
                ($($rows:literal)*) => {
                    match to - from {
                        $($rows => tile::<$rows>(a, step, panel, out, n, columns, add),)*
                        _ => unreachable!("a run has at most {ROWS} rows"),
                    }
                };
            }
            rows!(1 2 3 4 5 6 7 8 9 10 11 12);
        }
    }
}

/// The sums of `M` rows by one panel.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn tile<const M: usize>(
    a: &[f32],
    step: usize,
    panel: &[f32],
    out: &mut [f32],
    n: usize,
    columns: usize,
    add: bool,
) {
    let k = panel.len() / WIDTH;
    assert!((M - 1) * step + k <= a.len() && (M - 1) * n + columns <= out.len());
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for (row, weights) in panel.chunks_exact(WIDTH).enumerate() {
        // SAFETY: `weights` has 32 elements.
        let weights = unsafe {
            [_mm512_loadu_ps(weights.as_ptr()), _mm512_loadu_ps(weights.as_ptr().add(16))]
        };
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `i < M` and `row < k`, for which the assertion above was made.
            let factor = _mm512_set1_ps(unsafe { *a.get_unchecked(i * step + row) });
            sums[0] = _mm512_fmadd_ps(factor, weights[0], sums[0]);
            sums[1] = _mm512_fmadd_ps(factor, weights[1], sums[1]);
        }
    }
    let masks = [
        ((1_u64 << columns.min(16)) - 1) as u16,
        ((1_u64 << columns.saturating_sub(16)) - 1) as u16,
    ];
    for (i, mut sums) in sums.into_iter().enumerate() {
        for half in 0..2 {
            // Beyond the last column nothing is touched, and the pointer may be outside.
            let at = out.as_mut_ptr().wrapping_add(i * n + half * 16);
            // SAFETY: the mask leaves `columns` elements of row `i`, which exist by the
            // assertion above.
            unsafe {
                if add {
                    let before = _mm512_maskz_loadu_ps(masks[half], at);
                    sums[half] = _mm512_add_ps(sums[half], before);
                }
                _mm512_mask_storeu_ps(at, masks[half], sums[half]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition_for_every_number_of_rows() {
        // Small whole numbers: all sums are exact.
        let number = |i: usize| (i * 7 % 11) as f32 - 5.0;
        for (m, k, n) in [(1, 1, 1), (5, 3, 16), (13, 7, 33), (24, 32, 31), (37, 5, 70)] {
            let a: Vec<f32> = (0..m * (k + 2)).map(number).collect();
            let b: Vec<f32> = (0..n * k).map(number).collect();
            // The first factor's rows lie further apart, the second lies transposed.
            let a_matrix = Matrix::new(&a, [m, k], [k + 2, 1]);
            let packed = Packed::new(Matrix::rows(&b, [n, k]).t());
            let mut out = vec![1.0; m * n];
            packed.product(a_matrix, &mut out, true);
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 =
                        (0..k).map(|l| a[i * (k + 2) + l] * b[j * k + l]).sum();
                    assert_eq!(out[i * n + j], 1.0 + sum, "{m}×{k}×{n} at {i}, {j}");
                }
            }
            let mut again = vec![9.0; m * n];
            packed.product(a_matrix, &mut again, false);
            assert!(out.iter().zip(&again).all(|(sum, new)| *sum == new + 1.0));
        }
    }
}
