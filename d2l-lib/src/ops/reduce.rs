//! Many elements in, one out.
//!
//! One kernel serves every choice of axes: the output is walked together with the input,
//! with stride 0 along the reduced axes. Where a whole row falls into one output it is
//! folded in lanes; where a row falls into as many outputs it is added to them.

use crate::{
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

/// Folds the flagged axes with `join`, which must be associative and commutative, in an
/// order of its own. Reduced axes stay, with length 1.
fn fold<A: Element, S: Element>(
    x: &Tensor,
    flags: &[bool],
    start_value: S,
    lift: impl Fn(A) -> S,
    join: impl Fn(S, S) -> S,
) -> (Vec<S>, Shape) {
    const LANES: usize = 8;
    let shape = kept_shape(x.layout.shape, flags);
    let values = x.storage.read::<A>();
    let mut out = vec![start_value; shape.numel()];
    let out_layout = Layout::contiguous(shape).broadcast_to(x.layout.shape);
    walk([&x.layout, &out_layout], |Row { start: [i, o], length, step }| match step {
        [1, 0] => {
            let row = &values[i..i + length];
            let mut lanes = [start_value; LANES];
            let chunks = row.chunks_exact(LANES);
            let rest = chunks.remainder();
            for chunk in chunks {
                for (lane, &value) in lanes.iter_mut().zip(chunk) {
                    *lane = join(*lane, lift(value));
                }
            }
            let total = lanes.into_iter().fold(out[o], &join);
            out[o] = rest.iter().fold(total, |total, &value| join(total, lift(value)));
        }
        [1, 1] => {
            let pairs = out[o..o + length].iter_mut().zip(&values[i..i + length]);
            pairs.for_each(|(out, &value)| *out = join(*out, lift(value)));
        }
        [s, t] => {
            for k in 0..length {
                let out = &mut out[o + k * t];
                *out = join(*out, lift(values[i + k * s]));
            }
        }
    });
    (out, shape)
}

/// Over the flagged axes, the sum of `lift` of the elements, lowered to the result.
#[track_caller]
pub(crate) fn sum<A: Element, R: Element>(
    x: &Tensor,
    flags: &[bool],
    lift: impl Fn(A) -> A::Sum,
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
    join: impl Fn(A, A) -> A,
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
