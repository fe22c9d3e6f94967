//! Numbers with mean 0 and variance 1, channel by channel.
//!
//! The input counts as `(outer, channels, inner)`; the moments of a channel are over all of
//! `outer` and `inner`. So this is both the normalisation of layers (a channel for each row)
//! and that of batches.

use super::{elementwise::GRAIN, float::Float, vector::vectorised};
use crate::device::threads;

/// The lengths `(outer, channels, inner)`.
#[derive(Clone, Copy)]
pub(crate) struct Channels(pub(crate) [usize; 3]);

/// Mean and biased variance of a channel.
pub(crate) type Moments = (f64, f64);

impl Channels {
    fn grain(&self) -> usize {
        GRAIN.div_ceil(self.0[0] * self.0[2] + 1)
    }

    /// The rows of a channel, by where they start.
    fn rows(&self, channel: usize) -> impl Iterator<Item = usize> {
        let [outer, channels, inner] = self.0;
        (0..outer).map(move |i| (i * channels + channel) * inner)
    }

    /// Calls `each` with every channel's number and place in `out`.
    fn each<R: Send>(&self, out: &mut [R], each: &(dyn Fn(usize, &mut R) + Sync)) {
        threads::rows_mut(out, 1, self.grain(), &|first, out| {
            (first..).zip(out).for_each(|(channel, out)| each(channel, out));
        });
    }

    pub(crate) fn moments<T: Float>(&self, x: &[T]) -> Vec<Moments> {
        let [outer, channels, inner] = self.0;
        let count = (outer * inner) as f64;
        let mut moments = vec![(0.0, 0.0); channels];
        self.each(&mut moments, &|channel, out| {
            let rows = || self.rows(channel).map(|at| &x[at..at + inner]);
            let mean = rows().map(|row| sum(row)).sum::<f64>() / count;
            let squares: f64 = rows().map(|row| sum_of_squares(row, mean)).sum();
            *out = (mean, squares / count);
        });
        moments
    }

    /// `out = (x - mean) / √(variance + ε)`.
    pub(crate) fn standardize<T: Float>(
        &self,
        x: &[T],
        moments: &[Moments],
        eps: f64,
        out: &mut [T],
    ) {
        let [_, channels, inner] = self.0;
        threads::rows_mut(out, inner, GRAIN.div_ceil(inner + 1), &|first, out| {
            for (i, out) in (first..).zip(out.chunks_exact_mut(inner)) {
                let (mean, variance) = moments[i % channels];
                let scale = T::of(1.0 / (variance + eps).sqrt());
                affine(&x[i * inner..][..inner], T::of(mean), scale, out);
            }
        });
    }

    /// The gradient of [`standardize`](Channels::standardize), the moments included; `y` is
    /// its result.
    pub(crate) fn gradient<T: Float>(
        &self,
        y: &[T],
        g: &[T],
        moments: &[Moments],
        eps: f64,
        out: &mut [T],
    ) {
        let [outer, channels, inner] = self.0;
        let count = (outer * inner) as f64;
        // The parts of the gradient along the mean and along the result itself.
        let mut parts = vec![(0.0, 0.0); channels];
        self.each(&mut parts, &|channel, out| {
            let rows = || self.rows(channel).map(|at| at..at + inner);
            let mean: f64 = rows().map(|row| sum(&g[row])).sum();
            let along: f64 = rows().map(|row| dot(&y[row.clone()], &g[row])).sum();
            *out = (mean / count, along / count);
        });
        threads::rows_mut(out, inner, GRAIN.div_ceil(inner + 1), &|first, out| {
            for (i, out) in (first..).zip(out.chunks_exact_mut(inner)) {
                let ((_, variance), (mean, along)) =
                    (moments[i % channels], parts[i % channels]);
                let scale = T::of(1.0 / (variance + eps).sqrt());
                let range = i * inner..(i + 1) * inner;
                let (y, g) = (&y[range.clone()], &g[range]);
                project(y, g, [T::of(mean), T::of(along), scale], out);
            }
        });
    }
}

const LANES: usize = 16;

/// The sum of `term(i)` for all `i` below `length`, in lanes.
#[inline(always)]
fn total(length: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let whole = length / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane += term(start + i);
        }
    }
    lanes.into_iter().sum::<f64>() + (whole..length).map(term).sum::<f64>()
}

vectorised! {
    fn sum[T: Float][T](x: &[T]) -> f64 {
        total(x.len(), |i| x[i].to_f64())
    }
}

vectorised! {
    fn sum_of_squares[T: Float][T](x: &[T], mean: f64) -> f64 {
        total(x.len(), |i| {
            let difference = x[i].to_f64() - mean;
            difference * difference
        })
    }
}

vectorised! {
    fn dot[T: Float][T](x: &[T], y: &[T]) -> f64 {
        let y = &y[..x.len()];
        total(x.len(), |i| x[i].to_f64() * y[i].to_f64())
    }
}

vectorised! {
    fn affine[T: Float][T](x: &[T], mean: T, scale: T, out: &mut [T]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x.minus(mean).times(scale);
        }
    }
}

vectorised! {
    fn project[T: Float][T](y: &[T], g: &[T], parts: [T; 3], out: &mut [T]) {
        for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
            *out = g.minus(parts[0]).minus(y.times(parts[1])).times(parts[2]);
        }
    }
}
