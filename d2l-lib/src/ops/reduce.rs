//! Many elements in, one out.
//!
//! One kernel serves every choice of axes: the output is walked together with the input,
//! with stride 0 along the reduced axes. Where a whole row falls into one output it is
//! folded in lanes; where a row falls into as many outputs it is added to them. Large inputs
//! are cut into parts for several threads, by their shape only.
//!
//! Sums of `f32` are made of sums of up to eight elements in `f32`, which then are added in
//! `f64`. So a sum is off by at most `3 · 2⁻²⁴ · Σ|x|`, however many elements there are, and
//! half a step of `f32` in the end.

use std::{
    slice,
    sync::{Mutex, PoisonError},
};

use super::{elementwise::GRAIN, float::Float, vector::vectorised};
use crate::{
    device::threads,
    dtype::Element,
    layout::{Layout, Row, walk},
    shape::Shape,
    tensor::Tensor,
};

/// The shape with every flagged axis of length 1.
pub(crate) fn kept_shape(shape: Shape, flags: &[bool]) -> Shape {
    let mut kept = shape;
    for (length, _) in kept.as_mut().iter_mut().zip(flags).filter(|(_, flag)| **flag) {
        *length = 1;
    }
    kept
}

vectorised! {
    /// The elements of a row folded into one.
    fn fold_fast[A: Element, S: Element, L: Fn(A) -> S, J: Fn(S, S) -> S][A, S, L, J](
        row: &[A], start: S, lift: &L, join: &J,
    ) -> S {
        fold_row(row, start, lift, join)
    }
}

vectorised! {
    /// Each element of a row folded into one of `out`.
    fn fold_across_fast[A: Element, S: Element, L: Fn(A) -> S, J: Fn(S, S) -> S][A, S, L, J](
        row: &[A], out: &mut [S], lift: &L, join: &J,
    ) {
        fold_across(row, out, lift, join);
    }
}

/// Folds lanes in pairs, so that rounding errors stay small.
#[inline(always)]
pub(super) fn fold_lanes<S: Copy, const N: usize>(
    mut lanes: [S; N],
    join: impl Fn(S, S) -> S,
) -> S {
    let mut width = N / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn fold_row<A: Element, S: Element>(
    row: &[A],
    start: S,
    lift: &impl Fn(A) -> S,
    join: &impl Fn(S, S) -> S,
) -> S {
    const LANES: usize = 32;
    let mut lanes = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = join(*lane, lift(value));
        }
    }
    rest.iter().fold(fold_lanes(lanes, join), |total, &value| join(total, lift(value)))
}

#[inline(always)]
fn fold_across<A: Element, S: Element>(
    row: &[A],
    out: &mut [S],
    lift: &impl Fn(A) -> S,
    join: &impl Fn(S, S) -> S,
) {
    for (out, &value) in out.iter_mut().zip(row) {
        *out = join(*out, lift(value));
    }
}

/// The elements of a row folded into one, eight of them into each other before they are
/// lifted.
#[inline(always)]
fn fold_eights<A: Element, S: Element>(
    row: &[A],
    start: S,
    lift: &impl Fn(A) -> S,
    join: &impl Fn(S, S) -> S,
    pair: &impl Fn(A, A) -> A,
) -> S {
    const LANES: usize = 32;
    let eights = row.chunks_exact(8 * LANES);
    let rest = eights.remainder();
    if row.len() < 8 * LANES {
        return fold_row(rest, start, lift, join);
    }
    let mut lanes = [start; LANES];
    for eight in eights {
        for (i, lane) in lanes.iter_mut().enumerate() {
            let two = |k: usize| pair(eight[i + k * LANES], eight[i + (k + 1) * LANES]);
            let all = pair(pair(two(0), two(2)), pair(two(4), two(6)));
            *lane = join(*lane, lift(all));
        }
    }
    let sum = fold_lanes(lanes, join);
    if rest.is_empty() { sum } else { join(sum, fold_row(rest, start, lift, join)) }
}

vectorised! {
    fn fold_eights_fast[A: Element, S: Element, L: Fn(A) -> S, J: Fn(S, S) -> S, P: Fn(A, A) -> A][A, S, L, J, P](
        row: &[A], start: S, lift: &L, join: &J, pair: &P,
    ) -> S {
        fold_eights(row, start, lift, join, pair)
    }
}

vectorised! {
    /// Four rows folded into `out` at once: first into each other, then lifted.
    fn fold_rows_fast[A: Element, S: Element, L: Fn(A) -> S, J: Fn(S, S) -> S, P: Fn(A, A) -> A][A, S, L, J, P](
        rows: [&[A]; ROWS], out: &mut [S], lift: &L, join: &J, pair: &P,
    ) {
        let n = out.len();
        let [a, b, c, d] = rows.map(|row| &row[..n]);
        for i in 0..n {
            out[i] = join(out[i], lift(pair(pair(a[i], b[i]), pair(c[i], d[i]))));
        }
    }
}

/// Elements that are folded in one go.
const RUN: usize = 4096;

/// Rows that are folded at once where each has a place in the result.
const ROWS: usize = 4;

/// How many additions of `f32` an element of a sum goes through at most.
#[cfg(test)]
const DEPTH: usize = 3;

/// Folds the flagged axes with `join`, which must be associative and commutative, in an
/// order that depends on the shape only. Reduced axes stay, with length 1.
fn fold<A: Element, S: Element>(
    x: &Tensor,
    flags: &[bool],
    start_value: S,
    lift: impl Fn(A) -> S + Sync,
    join: impl Fn(S, S) -> S + Sync,
) -> (Vec<S>, Shape) {
    let folds = if A::FAST {
        Folds::<A, S> {
            row: &|row| fold_fast(row, start_value, &lift, &join),
            across: &|row, out| fold_across_fast(row, out, &lift, &join),
            rows: None,
            join: &join,
        }
    } else {
        Folds {
            row: &|row| fold_row(row, start_value, &lift, &join),
            across: &|row, out| fold_across(row, out, &lift, &join),
            rows: None,
            join: &join,
        }
    };
    fold_with(x, flags, start_value, &folds)
}

/// [`fold`] where elements may be joined by `pair` before they are lifted.
fn fold_floats<A: Element, S: Element>(
    x: &Tensor,
    flags: &[bool],
    start_value: S,
    pair: impl Fn(A, A) -> A + Sync,
    lift: impl Fn(A) -> S + Sync,
    join: impl Fn(S, S) -> S + Sync,
) -> (Vec<S>, Shape) {
    let folds = Folds::<A, S> {
        row: &|row| fold_eights_fast(row, start_value, &lift, &join, &pair),
        across: &|row, out| fold_across_fast(row, out, &lift, &join),
        rows: Some(&|rows, out| fold_rows_fast(rows, out, &lift, &join, &pair)),
        join: &join,
    };
    fold_with(x, flags, start_value, &folds)
}

/// The loops of one reduction.
struct Folds<'a, A, S> {
    row: &'a (dyn Fn(&[A]) -> S + Sync),
    across: &'a (dyn Fn(&[A], &mut [S]) + Sync),
    #[expect(clippy::type_complexity, reason = "as its neighbours")]
    rows: Option<&'a (dyn Fn([&[A]; ROWS], &mut [S]) + Sync)>,
    join: &'a (dyn Fn(S, S) -> S + Sync),
}

fn fold_with<A: Element, S: Element>(
    x: &Tensor,
    flags: &[bool],
    start_value: S,
    folds: &Folds<A, S>,
) -> (Vec<S>, Shape) {
    const PARTS: usize = 8;
    let shape = kept_shape(x.layout.shape, flags);
    let values = x.storage.read::<A>();
    let values = &values[..];
    let mut out = vec![start_value; shape.numel()];
    // Cut along the first axis that has a length: into parts of the result, or, where that
    // axis is reduced, into partial results.
    let axis = x.shape().iter().position(|&length| length > 1);
    let parts = (x.numel() / GRAIN).min(PARTS).min(axis.map_or(1, |a| x.shape()[a]));
    let Some(axis) = axis.filter(|_| parts > 1) else {
        fold_part(values, &x.layout, shape, &mut out, folds);
        return (out, shape);
    };
    let length = x.shape()[axis];
    let part = |i: usize| {
        let (from, to) = (length * i / parts, length * (i + 1) / parts);
        x.layout.slice(axis, from, to - from, 1)
    };
    let partial = Mutex::new(vec![Vec::new(); parts]);
    threads::run(parts, &|i| {
        let layout = part(i);
        let shape = kept_shape(layout.shape, flags);
        let mut out = vec![start_value; shape.numel()];
        fold_part(values, &layout, shape, &mut out, folds);
        partial.lock().unwrap_or_else(PoisonError::into_inner)[i] = out;
    });
    let partial = partial.into_inner().unwrap_or_else(PoisonError::into_inner);
    if flags[axis] {
        for partial in partial {
            for (out, value) in out.iter_mut().zip(partial) {
                *out = (folds.join)(*out, value);
            }
        }
    } else {
        out = partial.concat();
    }
    (out, shape)
}

fn fold_part<A: Element, S: Element>(
    values: &[A],
    layout: &Layout,
    shape: Shape,
    out: &mut [S],
    folds: &Folds<A, S>,
) {
    let out_layout = Layout::contiguous(shape).broadcast_to(layout.shape);
    let mut gathered = Vec::new();
    // Rows that wait for others of the same place in the result.
    let mut waiting = Vec::with_capacity(ROWS);
    let mut place = (0, 0);
    let fold_waiting =
        |waiting: &mut Vec<usize>, (o, length): (usize, usize), out: &mut [S]| {
            let out = &mut out[o..o + length];
            let row = |i: usize| &values[i..i + length];
            match (folds.rows, <[usize; ROWS]>::try_from(&waiting[..])) {
                (Some(rows), Ok(starts)) => rows(starts.map(row), out),
                _ => waiting.iter().for_each(|&i| (folds.across)(row(i), out)),
            }
            waiting.clear();
        };
    walk([layout, &out_layout], |Row { start: [i, o], length, step: [s, t] }| {
        if s == 1 && t == 1 && folds.rows.is_some() {
            if waiting.len() == ROWS || (!waiting.is_empty() && place.0 != o) {
                fold_waiting(&mut waiting, place, out);
            }
            place = (o, length);
            waiting.push(i);
            return;
        }
        let row = if s == 1 {
            &values[i..i + length]
        } else {
            gathered.clear();
            gathered.extend((0..length).map(|k| values[i + k * s]));
            &gathered[..]
        };
        match t {
            0 => {
                for run in row.chunks(RUN) {
                    out[o] = (folds.join)(out[o], (folds.row)(run));
                }
            }
            1 => (folds.across)(row, &mut out[o..o + length]),
            _ => {
                for (k, value) in row.iter().enumerate() {
                    (folds.across)(slice::from_ref(value), &mut out[o + k * t..][..1]);
                }
            }
        }
    });
    if !waiting.is_empty() {
        fold_waiting(&mut waiting, place, out);
    }
}

/// Over the flagged axes, the sum of the elements, lowered to the result.
#[track_caller]
pub(crate) fn sum_floats<A: Float>(
    x: &Tensor,
    flags: &[bool],
    lower: impl Fn(f64) -> A,
) -> Tensor {
    let (sums, shape) =
        fold_floats::<A, f64>(x, flags, 0.0, A::plus, A::to_f64, |a, b| a + b);
    Tensor::new(sums.into_iter().map(lower).collect(), shape)
}

/// Over the flagged axes, the sum of the elements, added in `f64`, and what `lower` makes of it
/// rounded.
#[track_caller]
pub(crate) fn sum_halves<H: Element<Sum = f64>>(
    x: &Tensor,
    flags: &[bool],
    lower: impl Fn(f64) -> f64,
) -> Tensor {
    sum(x, flags, H::to_sum, |sum| H::from_f64(lower(sum)))
}

/// Over the flagged axes, the sum of `lift` of the elements, lowered to the result.
#[track_caller]
pub(crate) fn sum<A: Element, R: Element>(
    x: &Tensor,
    flags: &[bool],
    lift: impl Fn(A) -> A::Sum + Sync,
    lower: impl Fn(A::Sum) -> R,
) -> Tensor {
    let join = |mut total: A::Sum, more: A::Sum| {
        total += more;
        total
    };
    let (sums, shape) = fold::<A, A::Sum>(x, flags, A::Sum::default(), lift, join);
    Tensor::new(sums.into_iter().map(lower).collect(), shape)
}

/// The greatest (or by another `join`, some other) element over the flagged axes.
#[track_caller]
pub(crate) fn extreme<A: Element>(
    x: &Tensor,
    flags: &[bool],
    lowest: A,
    join: impl Fn(A, A) -> A + Sync,
) -> Tensor {
    let (values, shape) =
        fold_floats::<A, A>(x, flags, lowest, &join, |value| value, &join);
    Tensor::new(values, shape)
}

/// Along the last axis, the position of the first element that `beats` all before it.
#[track_caller]
pub(crate) fn position<A: Element>(x: &Tensor, beats: impl Fn(A, A) -> bool) -> Vec<i64> {
    rows::<A>(x)
        .map(|row| {
            let mut best = 0;
            for (i, &value) in row.iter().enumerate().skip(1) {
                if beats(value, row[best]) {
                    best = i;
                }
            }
            best as i64
        })
        .collect()
}

/// Running sums along the last axis.
#[track_caller]
pub(crate) fn cumsum<A: Element>(x: &Tensor) -> Tensor {
    let mut out = Vec::with_capacity(x.numel());
    for row in rows::<A>(x) {
        let mut total = A::Sum::default();
        for &value in row.iter() {
            total += value.to_sum();
            out.push(from_sum::<A>(total));
        }
    }
    Tensor::new(out, x.layout.shape)
}

/// A sum as the elements' own type.
pub(crate) fn from_sum<A: Element>(sum: A::Sum) -> A {
    if A::DTYPE.is_float() {
        A::from_f64(sum.to_f64())
    } else {
        A::from_i64(sum.to_i64())
    }
}

/// The rows along the last axis.
fn rows<A: Element>(x: &Tensor) -> impl Iterator<Item = Vec<A>> {
    let length = x.shape()[x.ndim() - 1];
    let values = x.to_vec_of::<A>();
    let count = values.len().checked_div(length).unwrap_or(0);
    (0..count).map(move |i| values[i * length..(i + 1) * length].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor;

    #[test]
    fn long_sums_of_f32_are_off_by_no_more_than_stated() {
        // Thirds are rounded at every addition, and one large number spoils those after it.
        for (n, large) in [(1, 0.0), (63, 1.0), (5000, 1e7), (1_000_000, 1e4)] {
            let third = |i: usize| {
                1.0 / 3.0 + (i % 7) as f32 * if i.is_multiple_of(2) { -1.1 } else { 0.9 }
            };
            let mut values: Vec<f32> = (0..n).map(third).collect();
            values[0] += large as f32;
            let exact: f64 = values.iter().map(|&v| f64::from(v)).sum();
            let size: f64 = values.iter().map(|&v| f64::from(v.abs())).sum();
            let bound = (DEPTH as f64 + 1.0) * 2_f64.powi(-24) * size;
            let x = tensor(&values[..]);
            let column = x.reshape([n, 1]).expand([n, 3]).copy();
            for sum in [x.sum().item(), column.sum_axis(0).i(1).item()] {
                assert!(
                    (sum - exact).abs() <= bound,
                    "{n}: {sum} for {exact}, bound {bound}"
                );
            }
        }
    }

    #[test]
    fn rows_in_any_number_and_order_are_all_counted() {
        for rows in 1..12 {
            let x = Tensor::arange(0.0..(rows * 6) as f64).reshape([2, rows, 3]);
            let by_hand: Vec<f32> = (0..6)
                .map(|k| {
                    let (i, j) = (k / 3, k % 3);
                    (0..rows).map(|r| ((i * rows + r) * 3 + j) as f32).sum()
                })
                .collect();
            assert_eq!(x.sum_axis(1).to_vec(), by_hand);
            assert_eq!(x.transpose(0, 1).copy().sum_axis(0).to_vec(), by_hand);
            assert_eq!(x.max_axis(1).to_vec(), x.i((.., rows - 1)).to_vec());
        }
    }
}
