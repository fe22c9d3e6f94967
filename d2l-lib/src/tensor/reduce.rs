//! Sums, means, extremes and norms: over all elements, or over some axes.

use half::{bf16, f16};

use super::Tensor;
use crate::{
    autograd::record,
    dtype::{DType, Element, with_dtype, with_float},
    ops::{
        cuda::{self, Fold},
        number::{Number, is_nan, with_number},
        reduce::{self, kept_shape},
        rounded, widened,
    },
    shape::{Axes, Shape, axis_of},
};

/// What becomes of the axes that were reduced.
#[derive(Clone, Copy, PartialEq)]
enum Reduced {
    Go,
    StayWithLengthOne,
}

use Reduced::{Go, StayWithLengthOne};

macro_rules! over_axes {
    ($($what:literal: $name:ident = $all:literal, $axis:ident = $rows:literal, $keepdim:ident, $also:literal
       $(, panics $empty:literal)?;)*) => {
        impl Tensor {$(
            #[doc = concat!("The ", $what, " all elements: a tensor without axes.")]
            ///
            #[doc = $also]
            ///
            $(
            #[doc = "# Panics"]
            #[doc = $empty]
            ///
            )?
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = tensor([[1.0, 3.0], [5.0, 7.0]]);
            #[doc = concat!("assert!((x.", stringify!($name), "().item() - ", $all, ").abs() < 1e-5);")]
            /// ```
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                $name(self, &vec![true; self.ndim()], Go)
            }

            #[doc = concat!("The ", $what, " the elements along one axis or several, which go.")]
            ///
            #[doc = $also]
            ///
            /// # Panics
            /// If an axis is not there, or named twice.
            $(#[doc = $empty])?
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = tensor([[1.0, 3.0], [5.0, 7.0]]);
            #[doc = concat!("assert!(x.", stringify!($axis), "(1).allclose(&tensor(", $rows, ")));")]
            /// ```
            #[track_caller]
            pub fn $axis(&self, axes: impl Into<Axes>) -> Tensor {
                $name(self, &axes.into().flags(stringify!($axis), self.ndim()), Go)
            }

            #[doc = concat!("The ", $what, " the elements along one axis or several, which stay \
                             with length 1.")]
            ///
            #[doc = $also]
            ///
            /// # Panics
            /// If an axis is not there, or named twice.
            $(#[doc = $empty])?
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = tensor([[1.0, 3.0], [5.0, 7.0]]);
            #[doc = concat!("assert_eq!(x.", stringify!($keepdim), "(1).shape(), [2, 1]);")]
            /// ```
            #[track_caller]
            pub fn $keepdim(&self, axes: impl Into<Axes>) -> Tensor {
                let flags = axes.into().flags(stringify!($keepdim), self.ndim());
                $name(self, &flags, StayWithLengthOne)
            }
        )*}
    };
}

over_axes! {
    "sum of": sum = "16.0", sum_axis = "[4.0, 12.0]", sum_keepdim,
        "Of no elements it is 0; of integers and bools it is `i64`.";
    "mean of": mean = "4.0", mean_axis = "[2.0, 6.0]", mean_keepdim,
        "Of no elements it is NaN; of integers and bools it is `f32`.";
    "greatest of": max = "7.0", max_axis = "[3.0, 7.0]", max_keepdim,
        "It is NaN if one is; of bools it is a `u8`. Equal ones share the gradient.",
        panics "If there is no element to choose from.";
    "least of": min = "1.0", min_axis = "[1.0, 5.0]", min_keepdim,
        "It is NaN if one is; of bools it is a `u8`. Equal ones share the gradient.",
        panics "If there is no element to choose from.";
    "variance (with `n - 1`) of": var = "6.666_667", var_axis = "[2.0, 2.0]", var_keepdim,
        "Of fewer than two elements it is NaN; of integers and bools it is `f32`.";
    "standard deviation (with `n - 1`) of": std = "2.581_989", std_axis = "[1.414_213_6, 1.414_213_6]", std_keepdim,
        "Of fewer than two elements it is NaN; of integers and bools it is `f32`.";
}

/// `out`, whose reduced axes have length 1, as the caller wants it.
fn finish(out: Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    if reduced == StayWithLengthOne {
        return out;
    }
    let left = out.shape().iter().zip(flags).filter(|(_, flag)| !**flag);
    let shape: Vec<usize> = left.map(|(length, _)| *length).collect();
    out.with_layout(crate::layout::Layout::contiguous(Shape::new(&shape)))
}

/// The number of elements that fall into one result.
fn count(x: &Tensor, flags: &[bool]) -> usize {
    x.shape().iter().zip(flags).filter(|(_, flag)| **flag).map(|(n, _)| n).product()
}

#[track_caller]
fn sum(x: &Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    let out = match cuda::fold("sum", x, flags, Fold::Sum(1.0)) {
        Some(out) => out,
        None => sum_on_host(x, flags),
    };
    let (kept, from) = (kept_shape(x.layout.shape, flags), x.layout.shape);
    record("sum", finish(out, flags, reduced), &[x], |tape, _| {
        tape.edge(x, || move |g: &Tensor| g.reshape_to(kept).expand(from));
    })
}

#[track_caller]
fn sum_on_host(x: &Tensor, flags: &[bool]) -> Tensor {
    match x.dtype() {
        DType::F32 => reduce::sum_floats::<f32>(x, flags, |sum| sum as f32),
        DType::F64 => reduce::sum_floats::<f64>(x, flags, |sum| sum),
        DType::F16 => reduce::sum_halves::<f16>(x, flags, |sum| sum),
        DType::BF16 => reduce::sum_halves::<bf16>(x, flags, |sum| sum),
        other => with_dtype!(other, T => {
            reduce::sum::<T, i64>(x, flags, T::to_sum, |sum| sum.to_i64())
        }),
    }
}

#[track_caller]
fn mean_on_host(x: &Tensor, flags: &[bool], n: f64) -> Tensor {
    match x.dtype() {
        DType::F16 => reduce::sum_halves::<f16>(x, flags, |sum| sum / n),
        DType::BF16 => reduce::sum_halves::<bf16>(x, flags, |sum| sum / n),
        other => with_float!(other, T => {
            reduce::sum_floats::<T>(x, flags, |sum| (sum / n) as T)
        }),
    }
}

#[track_caller]
fn mean(x: &Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    let n = count(x, flags) as f64;
    let x = &x.to_dtype(x.dtype().to_float());
    let out = match cuda::fold("mean", x, flags, Fold::Sum(1.0 / n)) {
        Some(out) => out,
        None => mean_on_host(x, flags, n),
    };
    let (kept, from) = (kept_shape(x.layout.shape, flags), x.layout.shape);
    record("mean", finish(out, flags, reduced), &[x], |tape, _| {
        tape.edge(x, || move |g: &Tensor| (g / n).reshape_to(kept).expand(from));
    })
}

#[track_caller]
fn var(x: &Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    let degrees = count(x, flags) as f64 - 1.0;
    x.in_wide("var", |x| {
        let centred = x - mean(x, flags, StayWithLengthOne);
        sum(&(&centred * &centred), flags, reduced) / degrees.max(0.0)
    })
}

#[track_caller]
fn std(x: &Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    x.in_wide("std", |x| {
        let var = var(x, flags, reduced);
        let constant = var.eq(0);
        if !constant.any() {
            return var.sqrt();
        }
        // Equal elements: the root has no slope at 0; 0 is one of the subgradients, as in PyTorch.
        let root = Tensor::where_(&constant, 1.0, &var).sqrt();
        Tensor::where_(&constant, &var, root)
    })
}

#[track_caller]
fn max(x: &Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    let x = &some(x, flags, "max");
    let out = match cuda::fold("max", x, flags, Fold::Max) {
        Some(out) => out,
        None => with_number!(x.dtype(), T => {
            let out = reduce::extreme::<T>(&widened(x), flags, T::LOWEST, T::greater);
            rounded(out, x.dtype())
        }),
    };
    extreme("max", x, out, flags, reduced)
}

#[track_caller]
fn min(x: &Tensor, flags: &[bool], reduced: Reduced) -> Tensor {
    let x = &some(x, flags, "min");
    let out = match cuda::fold("min", x, flags, Fold::Min) {
        Some(out) => out,
        None => with_number!(x.dtype(), T => {
            let out = reduce::extreme::<T>(&widened(x), flags, T::HIGHEST, T::smaller);
            rounded(out, x.dtype())
        }),
    };
    extreme("min", x, out, flags, reduced)
}

/// `x` with bools as integers, if there is at least one element to choose from.
#[track_caller]
fn some(x: &Tensor, flags: &[bool], op: &str) -> Tensor {
    let shape = x.shape();
    assert!(count(x, flags) > 0, "{op}: there is no element in shape {shape:?}");
    x.to_dtype(x.dtype().max(DType::U8))
}

/// Records an extreme: the gradient flows in equal shares to all elements that attain it.
fn extreme(
    op: &'static str,
    x: &Tensor,
    out: Tensor,
    flags: &[bool],
    reduced: Reduced,
) -> Tensor {
    let kept = out.layout.shape;
    let finished = finish(out.clone(), flags, reduced);
    record(op, finished, &[x], |tape, _| {
        tape.edge(x, || {
            let (x, flags) = (x.saved(), flags.to_vec());
            move |g: &Tensor| {
                let attained = x.eq(&out).to_dtype(g.dtype());
                let shares = sum(&attained, &flags, StayWithLengthOne);
                attained * (g.reshape_to(kept) / shares)
            }
        });
    })
}

impl Tensor {
    /// The position of the greatest element along `axis` (the first of equal ones), as `i64`,
    /// in this shape without that axis. NaN counts as the greatest.
    ///
    /// # Panics
    /// If there is no such axis, or it has length 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 5.0], [7.0, 3.0]]);
    /// assert_eq!(x.argmax(1).to_vec_i64(), [1, 0]);
    /// ```
    #[track_caller]
    pub fn argmax(&self, axis: i64) -> Tensor {
        let x = self.to_dtype(self.dtype().max(DType::U8));
        x.position("argmax", axis, |x| {
            with_number!(x.dtype(), T => reduce::position::<T>(&widened(x), |new, best| {
                // A NaN beats all but another.
                new > best || (is_nan(new) && !is_nan(best))
            }))
        })
    }

    /// The position of the least element along `axis` (the first of equal ones), as `i64`, in
    /// this shape without that axis. NaN counts as the least.
    ///
    /// # Panics
    /// If there is no such axis, or it has length 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 5.0], [7.0, 3.0]]);
    /// assert_eq!(x.argmin(1).to_vec_i64(), [0, 1]);
    /// ```
    #[track_caller]
    pub fn argmin(&self, axis: i64) -> Tensor {
        let x = self.to_dtype(self.dtype().max(DType::U8));
        x.position("argmin", axis, |x| {
            with_number!(x.dtype(), T => reduce::position::<T>(&widened(x), |new, best| {
                new < best || (is_nan(new) && !is_nan(best))
            }))
        })
    }

    #[track_caller]
    fn position(
        &self,
        op: &str,
        axis: i64,
        find: impl Fn(&Tensor) -> Vec<i64>,
    ) -> Tensor {
        let axis = axis_of(op, axis, self.ndim());
        let (shape, length) = (self.shape(), self.shape()[axis]);
        assert!(length > 0, "{op}: axis {axis} of shape {shape:?} is empty");
        let last = self.detach().transpose(axis as i64, -1);
        // Rows come in the order of `last`, where the last axis stands in `axis`'s place.
        let rows = last.layout.shape.with(self.ndim() - 1, 1);
        let found = Tensor::new(find(&last), rows);
        let found = found.transpose(axis as i64, -1).squeeze(axis as i64).contiguous();
        found.to_device(self.device())
    }

    /// Running sums along `axis`, in this shape; of integers and bools as `i64`.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 5.0], [7.0, 3.0]]);
    /// assert_eq!(x.cumsum(1).to_vec(), [1.0, 6.0, 7.0, 10.0]);
    /// ```
    #[track_caller]
    pub fn cumsum(&self, axis: i64) -> Tensor {
        let axis = axis_of("cumsum", axis, self.ndim()) as i64;
        let x = &self.to_dtype(self.dtype().max(DType::I64));
        let last = x.detach().transpose(axis, -1);
        let sums = with_dtype!(last.dtype(), T => reduce::cumsum::<T>(&last));
        let out = sums.transpose(axis, -1).contiguous();
        record("cumsum", out, &[x], |tape, _| {
            // Each element is in all sums from its own on: the total less the sums before.
            tape.edge(x, || move |g: &Tensor| g.sum_keepdim(axis) - g.cumsum(axis) + g);
        })
    }

    /// The Euclidean norm of all elements, whatever the shape: a tensor without axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([3.0, -4.0]).norm().item(), 5.0);
    /// ```
    #[track_caller]
    pub fn norm(&self) -> Tensor {
        self.norm_p(2.0)
    }

    /// The *p*-norm of all elements: `(Σ |x|ᵖ)^(1/p)`, and for infinite `p` the greatest
    /// absolute value; a tensor without axes.
    ///
    /// # Panics
    /// If `p` is not positive, or is infinite and there are no elements.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([3.0, -4.0]);
    /// assert_eq!((x.norm_p(1.0).item(), x.norm_p(f64::INFINITY).item()), (7.0, 4.0));
    /// ```
    #[track_caller]
    pub fn norm_p(&self, p: f64) -> Tensor {
        assert!(p > 0.0, "norm_p: {p} is no positive number");
        if p == f64::INFINITY {
            return self.abs().max();
        }
        let x = &self.to_dtype(self.dtype().to_float());
        let flags = vec![true; x.ndim()];
        let power = |size: f64| match p {
            1.0 => size,
            2.0 => size * size,
            _ => size.powf(p),
        };
        let root = |sum: f64| match p {
            1.0 => sum,
            2.0 => sum.sqrt(),
            _ => sum.powf(p.recip()),
        };
        let out = with_float!(x.dtype(), T => {
            reduce::sum::<T, T>(&widened(x), &flags, |value| power(value.to_f64().abs()), |sum| root(sum) as T)
        });
        let out = rounded(out, x.dtype());
        record("norm", finish(out, &flags, Go), &[x], |tape, norm| {
            tape.edge(x, || {
                let (x, norm) = (x.saved(), norm.saved());
                move |g: &Tensor| {
                    // At 0 there is no slope; 0 is one of the subgradients.
                    let slope = x.sign() * (x.abs() / &norm).pow(p - 1.0);
                    g * Tensor::where_(&x.eq(0), 0.0, slope)
                }
            });
        })
    }

    /// Whether every element differs from 0; of no elements, yes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 5.0], [7.0, 3.0]]);
    /// assert!(x.gt(0).all() && !x.gt(1).all());
    /// ```
    pub fn all(&self) -> bool {
        self.to_vec_bool().into_iter().all(|is| is)
    }

    /// Whether some element differs from 0; of no elements, no.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 5.0], [7.0, 3.0]]);
    /// assert!(x.gt(6).any() && !x.gt(7).any());
    /// ```
    pub fn any(&self) -> bool {
        self.to_vec_bool().into_iter().any(|is| is)
    }
}
