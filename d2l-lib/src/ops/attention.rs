//! Scaled dot products of queries and keys, their softmax, and the sums of values weighted by
//! it: for each head of each sequence while its matrices are in the cache.

use super::{
    float::Float,
    matmul::{Factor, Matrix, Onto},
    softmax::{greatest, total},
    vector::vectorised,
};
use crate::{
    device::{Buffer, threads},
    layout::Layout,
};

/// The sizes of attention; heads lie side by side in the last axis of queries
/// `(batch, queries, heads · width)`, keys `(batch, keys, heads · width)`, values and results.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) value_width: usize,
}

/// Which queries may see which keys, laid out `(batch, heads, queries, keys)`.
#[derive(Clone, Copy)]
pub(crate) struct Mask<'a> {
    pub(crate) values: &'a [bool],
    pub(crate) layout: Layout,
}

impl Mask<'_> {
    /// Writes -∞ to the scores of one head that must not be seen.
    fn hide<T: Float>(&self, head: [usize; 2], keys: usize, scores: &mut [T]) {
        let [s, t, u, v] = std::array::from_fn(|axis| self.layout.strides[axis]);
        let start = self.layout.offset + head[0] * s + head[1] * t;
        for (i, row) in scores.chunks_exact_mut(keys).enumerate() {
            for (j, score) in row.iter_mut().enumerate() {
                if !self.values[start + i * u + j * v] {
                    *score = T::LOWEST;
                }
            }
        }
    }
}

impl Attention {
    fn scale<T: Float>(&self) -> T {
        T::of(1.0 / (self.width.max(1) as f64).sqrt())
    }

    /// Lengths of one sequence's queries, keys, values, results and weights.
    fn lengths(&self) -> [usize; 5] {
        let Attention { heads, queries, keys, width, value_width, .. } = *self;
        let (wide, value_wide) = (heads * width, heads * value_width);
        [
            queries * wide,
            keys * wide,
            keys * value_wide,
            queries * value_wide,
            heads * queries * keys,
        ]
    }

    /// Head `head` of `rows` in `values`, where each head has `width` columns.
    fn head<'a, T>(
        &self,
        values: &'a [T],
        head: usize,
        rows: usize,
        width: usize,
    ) -> Matrix<'a, T> {
        Matrix::new(&values[head * width..], [rows, width], [self.heads * width, 1])
    }

    /// Writes the softmax to `weights`, `(batch, heads, queries, keys)`, and its sums of
    /// values to `out`. `factors` of the weights' shape, if there are some, are multiplied
    /// to them before the sums.
    pub(crate) fn forward<T: Float + Factor>(
        &self,
        [q, k, v]: [&[T]; 3],
        mask: Option<Mask>,
        factors: &[T],
        weights: &mut [T],
        out: &mut [T],
    ) {
        let Attention { batch, heads, queries, keys, width, value_width } = *self;
        let [nq, nk, nv, no, nw] = self.lengths();
        let (weights, out) = (threads::Shared::new(weights), threads::Shared::new(out));
        threads::run(batch, &|b| {
            let (q, k, v) = (&q[b * nq..][..nq], &k[b * nk..][..nk], &v[b * nv..][..nv]);
            // SAFETY: every sequence is one part, and has these elements alone.
            let (weights, out) =
                unsafe { (weights.part(b * nw, nw), out.part(b * no, no)) };
            let mut room =
                Buffer::new(if factors.is_empty() { 0 } else { queries * keys });
            for (i, weights) in weights.chunks_exact_mut(queries * keys).enumerate() {
                let (q, k) =
                    (self.head(q, i, queries, width), self.head(k, i, keys, width));
                T::product(q, k.t(), Onto::Nothing, weights, keys);
                if let Some(mask) = mask {
                    mask.hide([b, i], keys, weights);
                }
                softmax_in_place(weights, keys, self.scale());
                let used: &[T] = if factors.is_empty() {
                    weights
                } else {
                    let factors = &factors[b * nw + i * queries * keys..];
                    multiply(weights, factors, &mut room);
                    &room
                };
                let used = Matrix::rows(used, [queries, keys]);
                let v = self.head(v, i, keys, value_width);
                T::product(
                    used,
                    v,
                    Onto::Nothing,
                    &mut out[i * value_width..],
                    heads * value_width,
                );
            }
        });
    }

    /// The gradients of queries, keys and values from that of the results.
    pub(crate) fn backward<T: Float + Factor>(
        &self,
        [q, k, v]: [&[T]; 3],
        factors: &[T],
        weights: &[T],
        g: &[T],
        out: &mut [Buffer<T>; 3],
    ) {
        let Attention { batch, heads, queries, keys, width, value_width } = *self;
        let [nq, nk, nv, no, nw] = self.lengths();
        let (wide, value_wide) = (heads * width, heads * value_width);
        let [dq, dk, dv] = out.each_mut().map(|out| threads::Shared::new(out));
        threads::run(batch, &|b| {
            let (q, k, v) = (&q[b * nq..][..nq], &k[b * nk..][..nk], &v[b * nv..][..nv]);
            let g = &g[b * no..][..no];
            // SAFETY: every sequence is one part, and has these elements alone.
            let (dq, dk, dv) = unsafe {
                (dq.part(b * nq, nq), dk.part(b * nk, nk), dv.part(b * nv, nv))
            };
            let mut scores = Buffer::new(queries * keys);
            let mut room =
                Buffer::new(if factors.is_empty() { 0 } else { queries * keys });
            for i in 0..heads {
                let at = b * nw + i * queries * keys;
                let weights = &weights[at..][..queries * keys];
                let g = self.head(g, i, queries, value_width);
                let v = self.head(v, i, keys, value_width);
                T::product(g, v.t(), Onto::Nothing, &mut scores, keys);
                let used: &[T] = if factors.is_empty() {
                    weights
                } else {
                    let factors = &factors[at..][..queries * keys];
                    multiply(weights, factors, &mut room);
                    multiply_in_place(&mut scores, factors);
                    &room
                };
                let used = Matrix::rows(used, [queries, keys]);
                T::product(
                    used.t(),
                    g,
                    Onto::Nothing,
                    &mut dv[i * value_width..],
                    value_wide,
                );
                to_scores(&mut scores, weights, keys, self.scale());
                let scores = Matrix::rows(&scores, [queries, keys]);
                let (q, k) =
                    (self.head(q, i, queries, width), self.head(k, i, keys, width));
                T::product(scores, k, Onto::Nothing, &mut dq[i * width..], wide);
                T::product(scores.t(), q, Onto::Nothing, &mut dk[i * width..], wide);
            }
        });
    }
}

vectorised! {
    fn softmax_in_place[T: Float][T](scores: &mut [T], keys: usize, scale: T) {
        for row in scores.chunks_exact_mut(keys) {
            let top = greatest(row);
            if top == T::LOWEST {
                // Nothing may be seen (or all is NaN, which stays).
                row.iter_mut().for_each(|score| {
                    *score = if *score == T::LOWEST { T::default() } else { *score };
                });
                continue;
            }
            row.iter_mut().for_each(|score| *score = score.minus(top).times(scale).exp());
            let share = T::of(1.0).over(total(row, row, |e, _| e));
            row.iter_mut().for_each(|weight| *weight = weight.times(share));
        }
    }
}

vectorised! {
    fn multiply[T: Float][T](a: &[T], b: &[T], out: &mut [T]) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = a.times(b);
        }
    }
}

vectorised! {
    fn multiply_in_place[T: Float][T](a: &mut [T], b: &[T]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = a.times(b);
        }
    }
}

vectorised! {
    /// From the gradient of the weights to that of the products of queries and keys.
    fn to_scores[T: Float][T](g: &mut [T], weights: &[T], keys: usize, scale: T) {
        for (g, weights) in g.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
            let sum = total(g, weights, T::times);
            for (g, &weight) in g.iter_mut().zip(weights) {
                *g = weight.times(g.minus(sum)).times(scale);
            }
        }
    }
}
