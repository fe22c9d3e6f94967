//! One element in, one element out.

use crate::{
    autograd::record,
    dtype::{DType, Element, with_dtype},
    interrupt,
    layout::{Row, walk},
    shape::Shape,
    tensor::Tensor,
};

/// `f` of every element.
#[track_caller]
pub(crate) fn map<A: Element, R: Element>(x: &Tensor, f: impl Fn(A) -> R) -> Tensor {
    let values = x.storage.read::<A>();
    let mut out = Vec::with_capacity(x.numel());
    walk([&x.layout], |Row { start: [start], length, step: [step] }| match step {
        1 => out.extend(values[start..start + length].iter().map(|&value| f(value))),
        0 => out.resize(out.len() + length, f(values[start])),
        _ => out.extend(
            values[start..].iter().step_by(step).take(length).map(|&value| f(value)),
        ),
    });
    Tensor::new(out, x.layout.shape)
}

/// `f` of every pair of elements, both operands stretched to `shape`.
#[track_caller]
pub(crate) fn zip<A: Element, R: Element>(
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    f: impl Fn(A, A) -> R,
) -> Tensor {
    let (a_values, b_values) = (a.storage.read::<A>(), b.storage.read::<A>());
    let layouts = [&a.layout.broadcast_to(shape), &b.layout.broadcast_to(shape)];
    let mut out = Vec::with_capacity(shape.numel());
    walk(layouts, |Row { start: [i, j], length, step }| match step {
        [1, 1] => {
            let (a, b) = (&a_values[i..i + length], &b_values[j..j + length]);
            out.extend(a.iter().zip(b).map(|(&a, &b)| f(a, b)));
        }
        [1, 0] => {
            let b = b_values[j];
            out.extend(a_values[i..i + length].iter().map(|&a| f(a, b)));
        }
        [0, 1] => {
            let a = a_values[i];
            out.extend(b_values[j..j + length].iter().map(|&b| f(a, b)));
        }
        [s, t] => {
            out.extend((0..length).map(|k| f(a_values[i + k * s], b_values[j + k * t])))
        }
    });
    Tensor::new(out, shape)
}

/// Replaces every element of `x` by `f` of it and the one of `source`, which broadcasts.
#[track_caller]
pub(crate) fn zip_in_place<A: Element>(
    x: &Tensor,
    source: &Tensor,
    f: impl Fn(A, A) -> A,
) {
    interrupt::check();
    let values = source.storage.read::<A>();
    let layouts = [&x.layout, &source.layout.broadcast_to(x.layout.shape)];
    x.storage.write::<A>(|out| {
        walk(layouts, |Row { start: [i, j], length, step }| match step {
            [1, 1] => {
                let pairs = out[i..i + length].iter_mut().zip(&values[j..j + length]);
                pairs.for_each(|(out, &value)| *out = f(*out, value));
            }
            [1, 0] => {
                let value = values[j];
                out[i..i + length].iter_mut().for_each(|out| *out = f(*out, value));
            }
            [s, t] => {
                for k in 0..length {
                    out[i + k * s] = f(out[i + k * s], values[j + k * t]);
                }
            }
        });
    });
}

/// The elements, row after row, in storage of their own.
#[track_caller]
pub(crate) fn copy(x: &Tensor) -> Tensor {
    with_dtype!(x.dtype(), T => map::<T, T>(x, |value| value))
}

/// The elements converted to `dtype`.
#[track_caller]
pub(crate) fn cast(x: &Tensor, dtype: DType) -> Tensor {
    let out = with_dtype!(x.dtype(), A => with_dtype!(dtype, R => {
        if A::DTYPE.is_float() {
            map::<A, R>(x, |value| R::from_f64(value.to_f64()))
        } else {
            map::<A, R>(x, |value| R::from_i64(value.to_i64()))
        }
    }));
    record("to_dtype", out, &[x], |tape, _| {
        let from = x.dtype();
        tape.edge(x, || move |g: &Tensor| g.to_dtype(from));
    })
}

/// Elements of `a` where `condition` is true, else of `b`, all stretched to `shape`.
#[track_caller]
pub(crate) fn choose(condition: &Tensor, a: &Tensor, b: &Tensor, shape: Shape) -> Tensor {
    let conditions = condition.storage.read::<bool>();
    let layouts = [condition, a, b].map(|x| x.layout.broadcast_to(shape));
    with_dtype!(a.dtype(), T => {
        let (a, b) = (a.storage.read::<T>(), b.storage.read::<T>());
        let mut out: Vec<T> = Vec::with_capacity(shape.numel());
        walk(layouts.each_ref(), |Row { start: [c, i, j], length, step: [r, s, t] }| {
            out.extend((0..length).map(|k| {
                if conditions[c + k * r] { a[i + k * s] } else { b[j + k * t] }
            }));
        });
        Tensor::new(out, shape)
    })
}
