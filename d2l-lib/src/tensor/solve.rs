//! Systems of equations and decompositions, reckoned in `f64`.
//!
//! For the matrices of the book, up to some hundreds of rows: Gauss elimination, Cholesky,
//! and Jacobi rotations, which find small eigenvalues and singular values to full relative
//! precision.

use super::Tensor;
use crate::{autograd::record, shape::Shape};

/// Rotations converge quadratically; 10 sweeps are usual.
const MAX_SWEEPS: usize = 60;

/// A square matrix of floats, row after row.
#[track_caller]
fn square(op: &str, a: &Tensor) -> (usize, Vec<f64>) {
    let shape = a.shape();
    assert!(
        shape.len() == 2 && shape[0] == shape[1],
        "{op}: shape {shape:?} is no square matrix"
    );
    (shape[0], a.to_vec_f64())
}

#[track_caller]
fn refuse_gradient(op: &str, a: &Tensor) {
    assert!(
        !(a.needs_grad() && crate::autograd::is_recording()),
        "{op}: gradients do not flow through it; `detach` the matrix, or use `no_grad`"
    );
}

fn matrix(values: Vec<f64>, shape: &[usize], like: &Tensor) -> Tensor {
    let values = Tensor::new(values, Shape::new(shape)).to_dtype(like.dtype().to_float());
    values.to_device(like.device())
}

impl Tensor {
    /// The `x` with `self · x = b`: `(n, n)` and `(n)` or `(n, m)` give the shape of `b`; of
    /// integers as `f32`.
    ///
    /// # Panics
    /// If the shapes do not fit, or the matrix is singular.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let a = tensor([[2.0, 1.0], [1.0, 3.0]]);
    /// assert!(a.solve(&tensor([3.0, 5.0])).allclose(&tensor([0.8, 1.4])));
    /// ```
    #[track_caller]
    pub fn solve(&self, b: &Tensor) -> Tensor {
        let (n, mut rows) = square("solve", self);
        assert!(
            (1..=2).contains(&b.ndim()) && b.shape()[0] == n,
            "solve: a right side of shape {:?} for a matrix of shape {:?}",
            b.shape(),
            self.shape()
        );
        let m = b.numel() / n.max(1);
        let mut x = b.to_vec_f64();
        eliminate(n, &mut rows, m, &mut x);
        let common = crate::DType::promote((self.dtype(), 2), (b.dtype(), 2)).to_float();
        let (a, b) = (&self.to_dtype(common), &b.to_dtype(common));
        let out = matrix(x, b.shape(), b);
        record("solve", out, &[a, b], |tape, x| {
            let saved = a.saved();
            let pull = move |g: &Tensor| saved.t().solve(g);
            tape.edge(b, || pull.clone());
            tape.edge(a, || {
                let x = x.saved();
                move |g: &Tensor| {
                    let (db, columns) = (pull(g), [n, m]);
                    -db.reshape(columns).matmul(&x.reshape(columns).t())
                }
            });
        })
    }

    /// The inverse of a square matrix, `(n, n) → (n, n)`.
    ///
    /// # Panics
    /// If this is no square matrix, or singular.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[2.0, 1.0], [1.0, 1.0]]);
    /// assert!(x.inverse().allclose(&tensor([[1.0, -1.0], [-1.0, 2.0]])));
    /// ```
    #[track_caller]
    pub fn inverse(&self) -> Tensor {
        let (n, _) = square("inverse", self);
        let one = Tensor::eye(n).to_dtype(self.dtype().to_float());
        self.solve(&one.to_device(self.device()))
    }

    /// The lower triangular `l` with `l · lᵀ` equal to this symmetric matrix, of which only
    /// the lower triangle is read: `(n, n) → (n, n)`. No gradient flows.
    ///
    /// # Panics
    /// If this is no square matrix, or not positive definite, or a gradient would have to flow.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[4.0, 2.0], [2.0, 2.0]]);
    /// assert!(x.cholesky().allclose(&tensor([[2.0, 0.0], [1.0, 1.0]])));
    /// ```
    #[track_caller]
    pub fn cholesky(&self) -> Tensor {
        refuse_gradient("cholesky", self);
        let (n, a) = square("cholesky", self);
        let mut l = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let products =
                    l[i * n..].iter().zip(&l[j * n..]).take(j).map(|(a, b)| a * b);
                let rest = a[i * n + j] - products.sum::<f64>();
                l[i * n + j] = if i > j {
                    rest / l[j * n + j]
                } else {
                    assert!(rest > 0.0, "cholesky: the matrix is not positive definite");
                    rest.sqrt()
                };
            }
        }
        matrix(l, &[n, n], self)
    }

    /// The eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns:
    /// `(n, n)` gives `(n)` and `(n, n)`. Only the lower triangle is read. No gradient flows.
    ///
    /// # Panics
    /// If this is no square matrix, or holds NaN or infinity, or a gradient would have to flow.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let a = tensor([[2.0, 1.0], [1.0, 2.0]]);
    /// let (values, vectors) = a.eigh();
    /// assert!(values.allclose(&tensor([1.0, 3.0])));
    /// assert!(a.matmul(&vectors).allclose(&(&vectors * &values)));
    /// ```
    #[track_caller]
    pub fn eigh(&self) -> (Tensor, Tensor) {
        refuse_gradient("eigh", self);
        let (n, mut a) = square("eigh", self);
        assert!(
            a.iter().all(|v| v.is_finite()),
            "eigh: the matrix has elements not finite"
        );
        for i in 0..n {
            for j in i + 1..n {
                a[i * n + j] = a[j * n + i];
            }
        }
        let mut vectors = vec![0.0; n * n];
        (0..n).for_each(|i| vectors[i * n + i] = 1.0);
        for _ in 0..MAX_SWEEPS {
            let mut rotated = false;
            for p in 0..n {
                for q in p + 1..n {
                    let off = a[p * n + q];
                    let size = (a[p * n + p] * a[q * n + q]).abs().sqrt();
                    if off.abs() <= f64::EPSILON * size || off.abs() < f64::MIN_POSITIVE {
                        continue;
                    }
                    rotated = true;
                    let (c, s) = rotation(a[p * n + p], a[q * n + q], off);
                    for k in 0..n {
                        turn(&mut a, k * n + p, k * n + q, c, s);
                        turn(&mut vectors, k * n + p, k * n + q, c, s);
                    }
                    for k in 0..n {
                        turn(&mut a, p * n + k, q * n + k, c, s);
                    }
                    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
                }
            }
            if !rotated {
                break;
            }
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| a[i * n + i].total_cmp(&a[j * n + j]));
        let values = order.iter().map(|&i| a[i * n + i]).collect();
        let columns = (0..n).flat_map(|k| order.iter().map(move |&i| (k, i)));
        let sorted = columns.map(|(k, i)| vectors[k * n + i]).collect();
        (matrix(values, &[n], self), matrix(sorted, &[n, n], self))
    }

    /// The singular value decomposition of a matrix `(m, n)`: `u`, `(m, k)`, `s`, `(k)`, and
    /// `vt`, `(k, n)`, with `u · diag(s) · vt` equal to it, `s` descending and `k` the lesser of
    /// `m` and `n`. No gradient flows.
    ///
    /// # Panics
    /// If this is no matrix, or holds NaN or infinity, or a gradient would have to flow.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let a = Tensor::arange(0.0..6.0).reshape([3, 2]);
    /// let (u, s, vt) = a.svd();
    /// assert!(((&u * &s).matmul(&vt) - a).abs().max().item() < 1e-6);
    /// ```
    #[track_caller]
    pub fn svd(&self) -> (Tensor, Tensor, Tensor) {
        refuse_gradient("svd", self);
        let shape = self.shape();
        assert!(shape.len() == 2, "svd: shape {shape:?} is no matrix");
        let (m, n) = (shape[0], shape[1]);
        if m < n {
            let (u, s, vt) = self.t().svd();
            return (vt.t().contiguous(), s, u.t().contiguous());
        }
        // Rows of `a` are the columns of the matrix; rotations make them orthogonal.
        let mut a = self.t().to_vec_f64();
        assert!(
            a.iter().all(|v| v.is_finite()),
            "svd: the matrix has elements not finite"
        );
        let mut v = vec![0.0; n * n];
        (0..n).for_each(|i| v[i * n + i] = 1.0);
        let dot = |a: &[f64], p: usize, q: usize| -> f64 {
            let pairs = a[p * m..(p + 1) * m].iter().zip(&a[q * m..(q + 1) * m]);
            pairs.map(|(x, y)| x * y).sum()
        };
        for _ in 0..MAX_SWEEPS {
            let mut rotated = false;
            for p in 0..n {
                for q in p + 1..n {
                    let (pp, qq, pq) = (dot(&a, p, p), dot(&a, q, q), dot(&a, p, q));
                    if pq.abs() <= f64::EPSILON * (pp * qq).sqrt() {
                        continue;
                    }
                    rotated = true;
                    let (c, s) = rotation(pp, qq, pq);
                    (0..m).for_each(|k| turn(&mut a, p * m + k, q * m + k, c, s));
                    (0..n).for_each(|k| turn(&mut v, p * n + k, q * n + k, c, s));
                }
            }
            if !rotated {
                break;
            }
        }
        let sizes: Vec<f64> = (0..n).map(|i| dot(&a, i, i).sqrt()).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| sizes[j].total_cmp(&sizes[i]));
        let s: Vec<f64> = order.iter().map(|&i| sizes[i]).collect();
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
        for &i in &order {
            let column = a[i * m..(i + 1) * m].iter().map(|x| x / sizes[i]).collect();
            // What a singular matrix leaves open is filled up with any orthogonal columns.
            let known = sizes[i] > s[0] * f64::EPSILON * m as f64;
            let column = if known { column } else { orthogonal_to(&columns, m) };
            columns.push(column);
        }
        let u =
            (0..m).flat_map(|k| columns.iter().map(move |column| column[k])).collect();
        let vt =
            order.iter().flat_map(|&i| v[i * n..(i + 1) * n].iter().copied()).collect();
        (matrix(u, &[m, n], self), matrix(s, &[n], self), matrix(vt, &[n, n], self))
    }
}

/// A unit vector of length `m` that is orthogonal to fewer than `m` such vectors.
fn orthogonal_to(others: &[Vec<f64>], m: usize) -> Vec<f64> {
    let rest = |axis: usize| {
        let mut vector = vec![0.0; m];
        vector[axis] = 1.0;
        // Twice, because once leaves errors of rounding.
        for other in others.iter().chain(others) {
            let share: f64 = vector.iter().zip(other).map(|(x, y)| x * y).sum();
            vector.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
        }
        let size = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        (size, vector)
    };
    let best = (0..m).map(rest).max_by(|a, b| a.0.total_cmp(&b.0));
    let (size, vector) = best.unwrap_or((1.0, Vec::new()));
    vector.into_iter().map(|x| x / size).collect()
}

/// The cosine and sine of the rotation that makes the symmetric matrix `[[p, off], [off, q]]`
/// diagonal.
fn rotation(p: f64, q: f64, off: f64) -> (f64, f64) {
    let theta = (q - p) / (2.0 * off);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = t.hypot(1.0).recip();
    (c, t * c)
}

fn turn(values: &mut [f64], p: usize, q: usize, c: f64, s: f64) {
    let (x, y) = (values[p], values[q]);
    values[p] = c * x - s * y;
    values[q] = s * x + c * y;
}

/// Gauss elimination with the greatest pivot: `x`, `(n, m)`, becomes the solution.
#[track_caller]
fn eliminate(n: usize, a: &mut [f64], m: usize, x: &mut [f64]) {
    let largest = a.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
    for k in 0..n {
        let pivot =
            (k..n).max_by(|&i, &j| a[i * n + k].abs().total_cmp(&a[j * n + k].abs()));
        let pivot = pivot.expect("there is at least row k");
        assert!(
            a[pivot * n + k].abs() > largest * f64::EPSILON * n as f64 * 0.01,
            "solve: the matrix is singular"
        );
        for j in 0..n {
            a.swap(k * n + j, pivot * n + j);
        }
        for j in 0..m {
            x.swap(k * m + j, pivot * m + j);
        }
        for i in k + 1..n {
            let factor = a[i * n + k] / a[k * n + k];
            for j in k..n {
                a[i * n + j] -= factor * a[k * n + j];
            }
            for j in 0..m {
                x[i * m + j] -= factor * x[k * m + j];
            }
        }
    }
    for k in (0..n).rev() {
        for j in 0..m {
            let known = (k + 1..n).map(|i| a[k * n + i] * x[i * m + j]).sum::<f64>();
            x[k * m + j] = (x[k * m + j] - known) / a[k * n + k];
        }
    }
}
