//! A right factor that many products share, laid out once as the kernel reads it: a step of a
//! recurrent layer has few rows, so laying out its weights each time would take as long as
//! the product.
//!
//! AVX-512 only: elsewhere every product lays out its factors itself.

use super::{
    float::Float,
    matmul::{Factor, Matrix, Onto},
};
#[cfg(target_arch = "x86_64")]
use super::{
    gemm,
    vector::{Level, level},
};

/// `b` of `a × b`.
pub(crate) struct Packed<'a, T> {
    matrix: Matrix<'a, T>,
    /// Empty where there is no kernel.
    panels: Vec<f32>,
}

impl<'a, T: Float + Factor> Packed<'a, T> {
    pub(crate) fn new(matrix: Matrix<'a, T>) -> Packed<'a, T> {
        let mut panels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if level() == Level::Avx512
            && let Some(values) = T::as_f32(matrix.values)
        {
            let matrix = Matrix::new(values, matrix.shape, matrix.steps);
            // SAFETY: `level` found AVX-512.
            panels = unsafe { gemm::laid_out(matrix) };
        }
        Packed { matrix, panels }
    }

    /// Writes `onto + a × b` to rows one behind the other.
    pub(crate) fn product(&self, a: Matrix<T>, onto: Onto<T>, out: &mut [T]) {
        let ([m, k], n) = (a.shape, self.matrix.shape[1]);
        assert!(k == self.matrix.shape[0] && out.len() == m * n, "the factors fit");
        #[cfg(target_arch = "x86_64")]
        if !self.panels.is_empty()
            && m > 0
            && let Some(values) = T::as_f32(a.values)
            && let Some(onto) = onto.as_f32()
            && let Some(out) = T::as_f32_mut(out)
        {
            let a = Matrix::new(values, a.shape, a.steps);
            // SAFETY: there are panels only where `level` found AVX-512.
            return unsafe { gemm::product_with(a, &self.panels, n, onto, out) };
        }
        T::product(a, self.matrix, onto, out, n);
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
            packed.product(a_matrix, Onto::Itself, &mut out);
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 =
                        (0..k).map(|l| a[i * (k + 2) + l] * b[j * k + l]).sum();
                    assert_eq!(out[i * n + j], 1.0 + sum, "{m}×{k}×{n} at {i}, {j}");
                }
            }
            let mut again = vec![9.0; m * n];
            packed.product(a_matrix, Onto::Nothing, &mut again);
            assert!(out.iter().zip(&again).all(|(sum, new)| *sum == new + 1.0));
        }
    }
}
