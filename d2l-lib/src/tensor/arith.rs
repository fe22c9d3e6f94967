//! Arithmetic with broadcasting: operators on tensors and numbers.

use std::borrow::Cow;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::{Tensor, create::constant};
use crate::{
    autograd::{record, unbroadcast},
    dtype::{DType, with_float},
    ops::{
        elementwise::{choose, zip},
        number::{Number, with_number},
    },
    shape::{Shape, broadcast},
};

/// An operand: a tensor or a number. A number takes the dtype of the tensor it meets, except
/// that a float makes integers `f32` and an integer makes bools `i64`.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = tensor([1.0, 3.0]);
/// assert_eq!(x.maximum(2).to_vec(), [2.0, 3.0]);
/// assert_eq!(x.maximum(&tensor([5.0, 0.0])).to_vec(), [5.0, 3.0]);
/// ```
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A tensor, borrowed where it is given as `&Tensor`.
    Tensor(Cow<'a, Tensor>),
    /// A number with a fraction.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl<'a> Value<'a> {
    /// The dtype of a tensor made from this alone.
    pub(crate) fn natural_dtype(&self) -> DType {
        match self {
            Value::Tensor(tensor) => tensor.dtype(),
            Value::Float(_) => DType::F32,
            Value::Int(_) => DType::I64,
            Value::Bool(_) => DType::Bool,
        }
    }

    /// This operand as a tensor to write into one of `dtype`.
    #[track_caller]
    pub(crate) fn into_dtype(self, dtype: DType) -> Cow<'a, Tensor> {
        match self {
            Value::Tensor(tensor) if tensor.dtype() == dtype => tensor,
            Value::Tensor(tensor) => Cow::Owned(tensor.to_dtype(dtype)),
            number => Cow::Owned(constant(Shape::new(&[]), dtype, number)),
        }
    }
}

impl From<Tensor> for Value<'_> {
    fn from(tensor: Tensor) -> Self {
        Value::Tensor(Cow::Owned(tensor))
    }
}

impl<'a> From<&'a Tensor> for Value<'a> {
    #[inline]
    fn from(tensor: &'a Tensor) -> Self {
        Value::Tensor(Cow::Borrowed(tensor))
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident as $as:ty),*) => {$(
        impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Value::$variant(value as $as)
            }
        }
    )*};
}

value_from!(
    f64 => Float as f64, f32 => Float as f64, i32 => Int as i64, i64 => Int as i64,
    usize => Int as i64, u8 => Int as i64, bool => Bool as bool
);

/// Both operands in their common dtype, and the shape they broadcast to.
#[track_caller]
pub(super) fn meet<'a>(
    op: &str,
    a: &'a Tensor,
    b: Value<'a>,
    dtype: fn(DType) -> DType,
) -> (Cow<'a, Tensor>, Cow<'a, Tensor>, Shape) {
    meet_as(op, a, b, dtype, |common| common)
}

/// [`meet`], but what has no axes meets halves that have some as `f32`: as PyTorch's, products
/// with numbers and quotients by them round only the result.
#[track_caller]
fn meet_factors<'a>(
    op: &str,
    a: &'a Tensor,
    b: Value<'a>,
    dtype: fn(DType) -> DType,
) -> (Cow<'a, Tensor>, Cow<'a, Tensor>, Shape) {
    meet_as(op, a, b, dtype, DType::wide)
}

/// [`meet`], where an operand without axes gets the dtype that `lone` makes of the common one.
#[track_caller]
#[inline]
fn meet_as<'a>(
    op: &str,
    a: &'a Tensor,
    b: Value<'a>,
    dtype: fn(DType) -> DType,
    lone: fn(DType) -> DType,
) -> (Cow<'a, Tensor>, Cow<'a, Tensor>, Shape) {
    // By far the most frequent case, and nothing is to be done.
    match b {
        Value::Tensor(b)
            if a.dtype() == b.dtype()
                && a.dtype() == dtype(a.dtype())
                && a.layout.shape == b.layout.shape =>
        {
            (Cow::Borrowed(a), b, a.layout.shape)
        }
        b => {
            let (a, b, shape) = meet_unlike(op, a, b, dtype, lone);
            (Cow::Owned(a), b, shape)
        }
    }
}

#[track_caller]
fn meet_unlike<'a>(
    op: &str,
    a: &Tensor,
    b: Value<'a>,
    dtype: fn(DType) -> DType,
    lone: fn(DType) -> DType,
) -> (Tensor, Cow<'a, Tensor>, Shape) {
    let b_ndim = if let Value::Tensor(b) = &b { b.ndim() } else { 0 };
    // A number has no axes, but unlike a tensor without axes it never widens `a`'s floats.
    let common = match (&b, a.dtype()) {
        (Value::Float(_), own) if own.is_float() => own,
        (Value::Int(_) | Value::Bool(_), own) if own != DType::Bool => own,
        _ => DType::promote((a.dtype(), a.ndim()), (b.natural_dtype(), b_ndim)),
    };
    let common = dtype(common);
    let own = |is_lone: bool| if is_lone { lone(common) } else { common };
    let is_number = !matches!(b, Value::Tensor(_));
    let b = b.into_dtype(own(is_number || (b_ndim == 0 && a.ndim() > 0)));
    let a = a.to_dtype(own(a.ndim() == 0 && b_ndim > 0));
    let Some(shape) = broadcast(a.shape(), b.shape()) else {
        panic!("{op}: shapes {:?} and {:?} do not broadcast", a.shape(), b.shape())
    };
    (a, b, shape)
}

/// What arithmetic on a dtype gives: bools count as integers.
fn number(dtype: DType) -> DType {
    if dtype == DType::Bool { DType::I64 } else { dtype }
}

/// Adds the flow of the gradient to `$input`, multiplied or otherwise shaped by `$body`.
macro_rules! edge {
    ($tape:ident, $input:ident, [$($saved:ident),*], |$g:ident| $body:expr) => {{
        let (shape, dtype) = ($input.layout.shape, $input.dtype());
        $tape.edge(&$input, || {
            $(let $saved = $saved.saved();)*
            move |$g: &Tensor| unbroadcast(&$body, shape, dtype)
        });
    }};
}

#[track_caller]
fn add(a: &Tensor, b: Value) -> Tensor {
    let (a, b, shape) = meet("add", a, b, number);
    let out = with_number!(a.dtype(), T => zip::<T, T>("add", &a, &b, shape, T::plus));
    record("add", out, &[&*a, &b], |tape, _| {
        for x in [&*a, &b] {
            if x.layout.shape == shape {
                // Nothing to keep, nothing to allocate.
                tape.edge(x, || Tensor::clone);
            } else {
                edge!(tape, x, [], |g| g.clone());
            }
        }
    })
}

#[track_caller]
fn sub(a: &Tensor, b: Value) -> Tensor {
    let (a, b, shape) = meet("sub", a, b, number);
    let out = with_number!(a.dtype(), T => zip::<T, T>("sub", &a, &b, shape, T::minus));
    record("sub", out, &[&*a, &b], |tape, _| {
        edge!(tape, a, [], |g| g.clone());
        edge!(tape, b, [], |g| -g);
    })
}

#[track_caller]
fn mul(a: &Tensor, b: Value) -> Tensor {
    let (a, b, shape) = meet_factors("mul", a, b, number);
    let out = with_number!(a.dtype(), T => zip::<T, T>("mul", &a, &b, shape, T::times));
    record("mul", out, &[&*a, &b], |tape, _| {
        edge!(tape, a, [b], |g| g * &b);
        edge!(tape, b, [a], |g| g * &a);
    })
}

#[track_caller]
fn div(a: &Tensor, b: Value) -> Tensor {
    let (a, b, shape) = meet_factors("div", a, b, DType::to_float);
    let out =
        with_float!(a.dtype(), T => zip::<T, T>("div", &a, &b, shape, |a, b| a / b));
    record("div", out, &[&*a, &b], |tape, _| {
        edge!(tape, a, [b], |g| g / &b);
        edge!(tape, b, [a, b], |g| {
            if g.dtype().is_half() {
                // The square of the divisor may be beyond the numbers that there are.
                -g * (&a / &b / &b)
            } else {
                -(g * &a) / (&b * &b)
            }
        });
    })
}

#[track_caller]
fn pow(base: &Tensor, exponent: Value) -> Tensor {
    // A square is by far the most frequent power, and exact as a product.
    if matches!(exponent, Value::Float(2.0) | Value::Int(2)) && base.dtype().is_float() {
        return mul(base, base.into());
    }
    let (a, b, shape) = meet("pow", base, exponent, number);
    assert!(
        b.dtype() != DType::I64 || b.numel() == 0 || b.min().item() >= 0.0,
        "pow: integers have no negative powers; convert to a float type"
    );
    let out =
        with_number!(a.dtype(), T => zip::<T, T>("pow", &a, &b, shape, T::to_power));
    record("pow", out, &[&*a, &b], |tape, out| {
        edge!(tape, a, [a, b], |g| {
            let slope = &b * a.pow(&b - 1);
            g * Tensor::where_(&b.eq(0), 0.0, slope)
        });
        edge!(tape, b, [a, b, out], |g| {
            // 0 to a power is 0 beside the power too, where the logarithm is infinite.
            let slope = &out * a.ln();
            let rest = Tensor::where_(&b.ge(0), 0.0, &slope);
            g * Tensor::where_(&a.eq(0), rest, slope)
        });
    })
}

#[track_caller]
fn maximum(a: &Tensor, b: Value) -> Tensor {
    let (a, b, shape) = meet("maximum", a, b, number);
    let out =
        with_number!(a.dtype(), T => zip::<T, T>("maximum", &a, &b, shape, T::greater));
    chosen("maximum", out, &a, &b)
}

#[track_caller]
fn minimum(a: &Tensor, b: Value) -> Tensor {
    let (a, b, shape) = meet("minimum", a, b, number);
    let out =
        with_number!(a.dtype(), T => zip::<T, T>("minimum", &a, &b, shape, T::smaller));
    chosen("minimum", out, &a, &b)
}

impl Tensor {
    /// Every element to the power of `exponent`, a number or a tensor; both broadcast.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or an integer is to be raised to a negative integer.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([2.0, 3.0]).pow(2).to_vec(), [4.0, 9.0]);
    /// assert_eq!(tensor([2, 3]).pow(&tensor([3, 1])).to_vec_i64(), [8, 3]);
    /// ```
    #[track_caller]
    pub fn pow<'a>(&'a self, exponent: impl Into<Value<'a>>) -> Tensor {
        pow(self, exponent.into())
    }

    /// The greater of every two elements; NaN if one is. Both broadcast; equal elements share
    /// the gradient.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1.0, 4.0]).maximum(&tensor([2.0, 3.0])).to_vec(), [2.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn maximum<'a>(&'a self, other: impl Into<Value<'a>>) -> Tensor {
        maximum(self, other.into())
    }

    /// The smaller of every two elements; NaN if one is. Both broadcast; equal elements share
    /// the gradient.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1.0, 4.0]).minimum(&tensor([2.0, 3.0])).to_vec(), [1.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn minimum<'a>(&'a self, other: impl Into<Value<'a>>) -> Tensor {
        minimum(self, other.into())
    }

    /// Elements of `a` where `condition` is true, else of `b`; all three broadcast to the shape
    /// of the result.
    ///
    /// # Panics
    /// If `condition` is no bool tensor, or the shapes do not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([-1.0, 2.0]);
    /// assert_eq!(Tensor::where_(&x.gt(0), &x, 0.0).to_vec(), [0.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn where_<'a>(
        condition: &Tensor,
        a: impl Into<Value<'a>>,
        b: impl Into<Value<'a>>,
    ) -> Tensor {
        choose_by(condition, a.into(), b.into())
    }
}

#[track_caller]
fn choose_by(condition: &Tensor, a: Value, b: Value) -> Tensor {
    let (a, b) = match (a, b) {
        (Value::Tensor(a), b) => (a, b),
        (a, Value::Tensor(b)) => (number_for(a, &b), Value::Tensor(b)),
        (a, b) => {
            let dtype = a.natural_dtype();
            (a.into_dtype(dtype), b)
        }
    };
    where_(condition, &a, b)
}

#[track_caller]
fn where_(condition: &Tensor, a: &Tensor, b: Value) -> Tensor {
    let kind = condition.dtype();
    assert!(kind == DType::Bool, "where_: the condition must be bool, not {kind}");
    let (a, b, shape) = meet("where_", a, b, |dtype| dtype);
    let Some(shape) = broadcast(condition.shape(), &shape) else {
        panic!(
            "where_: a condition of shape {:?} and values of shape {shape:?} do not broadcast",
            condition.shape()
        )
    };
    let out = choose(condition, &a, &b, shape);
    record("where_", out, &[&*a, &b], |tape, _| {
        edge!(tape, a, [condition], |g| where_(&condition, g, Value::Float(0.0)));
        edge!(tape, b, [condition], |g| where_(
            &condition,
            &Value::Float(0.0).into_dtype(g.dtype()),
            g.into()
        ));
    })
}

/// Records that `out` chose between `a` and `b`: the gradient flows to the chosen one, in
/// halves where they were equal.
#[track_caller]
fn chosen(op: &'static str, out: Tensor, a: &Tensor, b: &Tensor) -> Tensor {
    // Nothing where the other one was chosen; both sides of a NaN count as chosen.
    fn share(out: &Tensor, own: &Tensor, other: &Tensor) -> Tensor {
        let dtype = out.dtype();
        1.0 - other.eq(out).to_dtype(dtype) * (1.0 - 0.5 * own.eq(other).to_dtype(dtype))
    }
    record(op, out, &[a, b], |tape, out| {
        edge!(tape, a, [out, a, b], |g| g * share(&out, &a, &b));
        edge!(tape, b, [out, a, b], |g| g * share(&out, &b, &a));
    })
}

macro_rules! operator {
    ($Trait:ident, $method:ident, $Assign:ident, $assign:ident, $in_place:ident) => {
        impl<'a, R: Into<Value<'a>>> $Trait<R> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: R) -> Tensor {
                $method(self, rhs.into())
            }
        }

        impl<'a, R: Into<Value<'a>>> $Trait<R> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: R) -> Tensor {
                $method(&self, rhs.into())
            }
        }

        operator!(@number $Trait, $method, f64, Float);
        operator!(@number $Trait, $method, i64, Int);

        /// In place, so that other handles of the tensor see it; but where gradients flow, a
        /// new tensor takes the place of the old one, which the graph may still need.
        impl<'a, R: Into<Value<'a>>> $Assign<R> for Tensor {
            #[track_caller]
            fn $assign(&mut self, rhs: R) {
                let rhs = rhs.into();
                let recorded = matches!(&rhs, Value::Tensor(t) if t.needs_grad())
                    || (self.needs_grad() && !self.is_leaf());
                if recorded && crate::autograd::is_recording() {
                    *self = $method(self, rhs);
                } else {
                    self.$in_place(rhs);
                }
            }
        }
    };
    (@number $Trait:ident, $method:ident, $type:ty, $variant:ident) => {
        impl $Trait<&Tensor> for $type {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: &Tensor) -> Tensor {
                $method(&number_for(Value::$variant(self), rhs), rhs.into())
            }
        }

        impl $Trait<Tensor> for $type {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: Tensor) -> Tensor {
                $method(&number_for(Value::$variant(self), &rhs), rhs.into())
            }
        }
    };
}

operator!(Add, add, AddAssign, add_assign, add_);
operator!(Sub, sub, SubAssign, sub_assign, sub_);
operator!(Mul, mul, MulAssign, mul_assign, mul_);
operator!(Div, div, DivAssign, div_assign, div_);

/// A number as the left operand of `other`, in a dtype that leaves `other`'s as it is
/// where a number on the right would; beside halves with axes `f32`, which keeps it exact.
#[track_caller]
fn number_for<'a>(value: Value<'a>, other: &Tensor) -> Cow<'a, Tensor> {
    let dtype = match (&value, other.dtype()) {
        (_, own) if own.is_half() && other.ndim() > 0 => DType::F32,
        (Value::Float(_), own) if own.is_float() => own,
        (Value::Int(_), own) if own != DType::Bool => own,
        _ => value.natural_dtype(),
    };
    value.into_dtype(dtype)
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        mul(self, Value::Int(-1))
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}
