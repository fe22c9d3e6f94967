//! Softmax of rows, its logarithm, its loss, and their gradients: one pass each while a row
//! is in the cache.

use std::sync::Mutex;

use super::{elementwise::GRAIN, float::Float, reduce::fold_lanes, vector::vectorised};
use crate::device::threads;

/// Rows of this many elements that are worth a thread.
fn grain(length: usize) -> usize {
    (GRAIN / 4).div_ceil(length.max(1))
}

/// `out = softmax(x)` for rows of `length`.
pub(crate) fn softmax<T: Float>(x: &[T], length: usize, out: &mut [T]) {
    threads::rows_mut(out, length, grain(length), &|first, out| {
        softmax_rows(&x[first * length..][..out.len()], length, out);
    });
}

/// `out = ln softmax(x)` for rows of `length`.
pub(crate) fn log_softmax<T: Float>(x: &[T], length: usize, out: &mut [T]) {
    threads::rows_mut(out, length, grain(length), &|first, out| {
        log_softmax_rows(&x[first * length..][..out.len()], length, out);
    });
}

/// `out = y (g - Σ g y)`: the gradient of softmax.
pub(crate) fn softmax_gradient<T: Float>(y: &[T], g: &[T], length: usize, out: &mut [T]) {
    threads::rows_mut(out, length, grain(length), &|first, out| {
        let range = first * length..first * length + out.len();
        softmax_gradient_rows(&y[range.clone()], &g[range], length, out);
    });
}

/// `out = g - exp(y) Σ g`: the gradient of log-softmax.
pub(crate) fn log_softmax_gradient<T: Float>(
    y: &[T],
    g: &[T],
    length: usize,
    out: &mut [T],
) {
    threads::rows_mut(out, length, grain(length), &|first, out| {
        let range = first * length..first * length + out.len();
        log_softmax_gradient_rows(&y[range.clone()], &g[range], length, out);
    });
}

/// The sum of the cross-entropies of rows of logits and targets, which must be below
/// `length`; `out` becomes `(softmax(x) - onehot(target)) * scale`.
pub(crate) fn cross_entropy<T: Float>(
    x: &[T],
    targets: &[i64],
    length: usize,
    scale: T,
    out: &mut [T],
) -> f64 {
    const ROWS: usize = 32;
    let blocks = targets.len().div_ceil(ROWS);
    let losses = Mutex::new(vec![0.0; blocks]);
    threads::blocks_mut(out, length, ROWS.max(grain(length)), &|first, out| {
        for (i, out) in out.chunks_mut(ROWS * length).enumerate() {
            let first = first + i * ROWS;
            let count = out.len() / length;
            let x = &x[first * length..][..out.len()];
            let loss =
                cross_entropy_rows(x, &targets[first..first + count], length, scale, out);
            let mut losses = losses.lock().expect("nobody panics with the lock");
            losses[first / ROWS] = loss;
        }
    });
    // In the order of the rows, whoever computed them.
    losses.into_inner().expect("nobody panics with the lock").into_iter().sum()
}

/// Elements that are worked on at once: a vector.
const LANES: usize = 16;

/// So many vectors at once, so that none waits for the one before.
const WIDE: usize = 4 * LANES;

/// The last elements of a row, fewer than `LANES`, filled up with `neutral` ones.
#[inline(always)]
fn filled_up<T: Float>(rest: &[T], neutral: T) -> [T; LANES] {
    let mut lanes = [neutral; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}

/// The greatest element that is not NaN: those are found by the sum of the exponentials.
#[inline(always)]
pub(super) fn greatest<T: Float>(row: &[T]) -> T {
    let join = |a: T, b: T| if b > a { b } else { a };
    let mut top = T::LOWEST;
    let wide = row.chunks_exact(WIDE);
    let narrow = wide.remainder().chunks_exact(LANES);
    let rest = narrow.remainder();
    if row.len() >= WIDE {
        let mut lanes = [T::LOWEST; WIDE];
        for chunk in wide {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane = join(*lane, value);
            }
        }
        top = fold_lanes(lanes, join);
    }
    let mut lanes = [T::LOWEST; LANES];
    for chunk in narrow {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = join(*lane, value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(filled_up(rest, T::LOWEST)) {
        *lane = join(*lane, value);
    }
    join(top, fold_lanes(lanes, join))
}

/// The sum of `term` of all pairs of elements, in lanes; `term` of zeros must be 0.
#[inline(always)]
pub(super) fn total<T: Float>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    let zero = T::default();
    let (a_wide, b_wide) = (a.chunks_exact(WIDE), b.chunks_exact(WIDE));
    let a_narrow = a_wide.remainder().chunks_exact(LANES);
    let b_narrow = b_wide.remainder().chunks_exact(LANES);
    let (a_rest, b_rest) = (a_narrow.remainder(), b_narrow.remainder());
    let mut sum = zero;
    if a.len() >= WIDE {
        let mut lanes = [zero; WIDE];
        for (a, b) in a_wide.zip(b_wide) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane = lane.plus(term(a, b));
            }
        }
        sum = fold_lanes(lanes, T::plus);
    }
    let mut lanes = [zero; LANES];
    for (a, b) in a_narrow.zip(b_narrow) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = lane.plus(term(a, b));
        }
    }
    if !a_rest.is_empty() {
        let (a, b) = (filled_up(a_rest, zero), filled_up(b_rest, zero));
        for ((lane, &a), &b) in lanes.iter_mut().zip(&a).zip(&b) {
            *lane = lane.plus(term(a, b));
        }
    }
    sum.plus(fold_lanes(lanes, T::plus))
}

/// Every element by `f`, in whole vectors.
#[inline(always)]
pub(super) fn map_lanes<T: Float>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    let rest = x.len() - x.len() % LANES;
    for (out, &x) in out[..rest].iter_mut().zip(&x[..rest]) {
        *out = f(x);
    }
    if rest < x.len() {
        let mut lanes = filled_up(&x[rest..], T::default());
        lanes.iter_mut().for_each(|lane| *lane = f(*lane));
        out[rest..].copy_from_slice(&lanes[..x.len() - rest]);
    }
}

/// Writes `exp(x - greatest)`, and gives the greatest and the sum.
#[inline(always)]
fn exponentials<T: Float>(x: &[T], out: &mut [T]) -> (T, T) {
    let top = greatest(x);
    map_lanes(x, out, |x| x.minus(top).exp());
    let out = &*out;
    (top, total(out, out, |e, _| e))
}

vectorised! {
    fn softmax_rows[T: Float][T](x: &[T], length: usize, out: &mut [T]) {
        for (x, out) in x.chunks_exact(length).zip(out.chunks_exact_mut(length)) {
            let (_, sum) = exponentials(x, out);
            let share = T::of(1.0).over(sum);
            out.iter_mut().for_each(|out| *out = out.times(share));
        }
    }
}

vectorised! {
    fn log_softmax_rows[T: Float][T](x: &[T], length: usize, out: &mut [T]) {
        for (x, out) in x.chunks_exact(length).zip(out.chunks_exact_mut(length)) {
            let (top, sum) = exponentials(x, out);
            let log = sum.ln();
            for (out, &x) in out.iter_mut().zip(x) {
                *out = x.minus(top).minus(log);
            }
        }
    }
}

vectorised! {
    fn softmax_gradient_rows[T: Float][T](y: &[T], g: &[T], length: usize, out: &mut [T]) {
        let rows = y.chunks_exact(length).zip(g.chunks_exact(length));
        for ((y, g), out) in rows.zip(out.chunks_exact_mut(length)) {
            let sum = total(y, g, T::times);
            for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
                *out = y.times(g.minus(sum));
            }
        }
    }
}

vectorised! {
    fn log_softmax_gradient_rows[T: Float][T](y: &[T], g: &[T], length: usize, out: &mut [T]) {
        let rows = y.chunks_exact(length).zip(g.chunks_exact(length));
        for ((y, g), out) in rows.zip(out.chunks_exact_mut(length)) {
            let sum = total(g, g, |g, _| g);
            for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
                *out = g.minus(y.exp().times(sum));
            }
        }
    }
}

vectorised! {
    fn cross_entropy_rows[T: Float][T](
        x: &[T], targets: &[i64], length: usize, scale: T, out: &mut [T],
    ) -> f64 {
        let mut loss = 0.0;
        let rows = x.chunks_exact(length).zip(out.chunks_exact_mut(length));
        for ((x, out), &target) in rows.zip(targets) {
            let (top, sum) = exponentials(x, out);
            let share = scale.over(sum);
            out.iter_mut().for_each(|out| *out = out.times(share));
            let target = target as usize;
            out[target] = out[target].minus(scale);
            loss += sum.ln().minus(x[target].minus(top)).to_f64();
        }
        loss
    }
}
