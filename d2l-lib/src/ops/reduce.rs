//! Many elements in, one out.
//!
//! One kernel serves every choice of axes: the output is walked together with the input,
//! with stride 0 along the reduced axes. Where a whole row falls into one output it is
//! folded in lanes; where a row falls into as many outputs it is added to them. Large inputs
//! are cut into parts for several threads, by their shape only.

use std::{
    slice,
    sync::{Mutex, PoisonError},
};

use super::{elementwise::GRAIN, vector::vectorised};
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
    // In pairs, so that rounding errors stay small.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    rest.iter().fold(lanes[0], |total, &value| join(total, lift(value)))
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

/// Folds the flagged axes with `join`, which must be associative and commutative, in an
/// order that depends on the shape only. Reduced axes stay, with length 1.
fn fold<A: Element, S: Element>(
    x: &Tensor,
    flags: &[bool],
    start_value: S,
    lift: impl Fn(A) -> S + Sync,
    join: impl Fn(S, S) -> S + Sync,
) -> (Vec<S>, Shape) {
    if A::FAST {
        fold_with(
            x,
            flags,
            start_value,
            &Folds {
                row: &|row| fold_fast(row, start_value, &lift, &join),
                across: &|row, out| fold_across_fast(row, out, &lift, &join),
                join: &join,
            },
        )
    } else {
        fold_with(
            x,
            flags,
            start_value,
            &Folds {
                row: &|row| fold_row(row, start_value, &lift, &join),
                across: &|row, out| fold_across(row, out, &lift, &join),
                join: &join,
            },
        )
    }
}

/// The loops of one reduction.
struct Folds<'a, A, S> {
    row: &'a (dyn Fn(&[A]) -> S + Sync),
    across: &'a (dyn Fn(&[A], &mut [S]) + Sync),
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
    const RUN: usize = 4096;
    let out_layout = Layout::contiguous(shape).broadcast_to(layout.shape);
    let mut gathered = Vec::new();
    walk([layout, &out_layout], |Row { start: [i, o], length, step: [s, t] }| {
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
    let (values, shape) = fold::<A, A>(x, flags, lowest, |value| value, join);
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
