//! Functions of every element, and their derivatives.

use super::{Tensor, Value};
use crate::{
    autograd::record,
    dtype::{DType, Element, with_float},
    ops::{
        elementwise::{map, zip},
        float::Float,
        number::{Number, with_number},
    },
};

/// What a function keeps for its gradient.
enum Keep {
    Input,
    Output,
}

/// Defines functions that make floats: the value, and the gradient from what is kept (the
/// input or the output, here `k`) and the gradient `g` of the result.
macro_rules! float_functions {
    ($($(#[$doc:meta])* $name:ident: |$x:ident| $value:expr, $keep:ident |$k:ident, $g:ident| $gradient:expr;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                let x = &self.to_dtype(self.dtype().to_float());
                let op = stringify!($name);
                let out = with_float!(x.dtype(), T => map::<T, T>(op, [0.0; 2], x, |$x| $value));
                record(op, out, &[x], |tape, y| {
                    tape.edge(x, || {
                        let kept = match Keep::$keep {
                            Keep::Input => x.saved(),
                            Keep::Output => y.saved(),
                        };
                        move |g: &Tensor| {
                            let kernel = concat!(stringify!($name), "_back");
                            with_float!(g.dtype(), T => {
                                zip::<T, T>(kernel, &kept, g, g.layout.shape, |$k, $g| $gradient)
                            })
                        }
                    });
                })
            }
        )*}
    };
}

float_functions! {
    /// *e* to the power of every element.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([0.0, 1.0]).exp().allclose(&tensor([1.0, 2.718_281_7])));
/// ```
    exp: |x| Float::exp(x), Output |y, g| g * y;
    /// The natural logarithm of every element.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([1.0, 2.0]).ln().allclose(&tensor([0.0, 0.693_147_2])));
/// ```
    ln: |x| Float::ln(x), Input |x, g| g / x;
    /// The square root of every element.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([4.0, 9.0]).sqrt().allclose(&tensor([2.0, 3.0])));
/// ```
    sqrt: |x| Float::sqrt(x), Output |y, g| g / (y + y);
    /// The sine of every element, in radians.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([0.0, 1.0]).sin().allclose(&tensor([0.0, 0.841_471])));
/// ```
    sin: |x| x.sin(), Input |x, g| g * x.cos();
    /// The cosine of every element, in radians.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([0.0, 1.0]).cos().allclose(&tensor([1.0, 0.540_302_3])));
/// ```
    cos: |x| x.cos(), Input |x, g| -(g * x.sin());
    /// The hyperbolic tangent of every element.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([0.0, 1.0]).tanh().allclose(&tensor([0.0, 0.761_594_2])));
/// ```
    tanh: |x| Float::tanh(x), Output |y, g| g * (1.0 - y * y);
    /// `1 / (1 + exp(-x))` for every element, without overflow.
///
/// ```
/// use d2l::prelude::*;
///
/// assert!(tensor([0.0, -1000.0]).sigmoid().allclose(&tensor([0.5, 0.0])));
/// ```
    sigmoid: |x| Float::sigmoid(x), Output |y, g| g * y * (1.0 - y);
    /// The Gaussian error linear unit: every element times the probability that a standard
    /// normal number is below it.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let y = tensor([-100.0, 0.0, 1.0]).gelu();
    /// assert!(y.allclose(&tensor([0.0, 0.0, 0.8413447])));
    /// ```
    gelu: |x| x * x.normal_below(), Input |x, g| {
        let half_square = x * x / (1.0 + 1.0);
        g * (x.normal_below() + x * Float::exp(-half_square).over(Float::of(SQRT_TAU)))
    };
}

/// The square root of 2π, by which the density of the normal distribution is divided.
const SQRT_TAU: f64 = 2.506_628_274_631_000_5;

/// What arithmetic on a dtype gives: bools count as integers.
fn number(x: &Tensor) -> Tensor {
    x.to_dtype(x.dtype().max(DType::U8))
}

impl Tensor {
    /// Every element without its sign.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([-2.0, 3.0]).abs().to_vec(), [2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        let x = number(self);
        let out =
            with_number!(x.dtype(), T => map::<T, T>("abs", [0.0; 2], &x, T::magnitude));
        record("abs", out, &[&x], |tape, _| {
            tape.edge(&x, || {
                let x = x.saved();
                move |g: &Tensor| g * x.sign()
            });
        })
    }

    /// Every element, or 0 where it is negative.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([-2.0, 3.0]).relu().to_vec(), [0.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        let x = number(self);
        let out = with_number!(x.dtype(), T => {
            let relu = |value| if value < T::default() { T::default() } else { value };
            map::<T, T>("relu", [0.0; 2], &x, relu)
        });
        record("relu", out, &[&x], |tape, y| {
            tape.edge(&x, || {
                let y = y.saved();
                move |g: &Tensor| {
                    with_float!(g.dtype(), T => {
                        let back = |y, g| if y <= 0.0 { 0.0 } else { g };
                        zip::<T, T>("relu_back", &y, g, g.layout.shape, back)
                    })
                }
            });
        })
    }

    /// −1, 0 or 1: the sign of every element. Its gradient is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([-2.0, 0.0, 3.0]).sign().to_vec(), [-1.0, 0.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        let x = number(self);
        let zero = Value::Int(0);
        x.gt(zero.clone()).to_dtype(x.dtype()) - x.lt(zero).to_dtype(x.dtype())
    }

    /// Every element, or the nearer of `low` and `high` where it lies outside; of integers the
    /// whole parts of both count.
    ///
    /// # Panics
    /// If `low` is greater than `high`, or one is NaN.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([-2.0, 0.5, 3.0]).clamp(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Tensor {
        assert!(low <= high, "clamp: no number lies between {low} and {high}");
        let x = if self.dtype().is_float() { self.clone() } else { number(self) };
        let out = with_number!(x.dtype(), T => {
            let (least, most) = (T::from_f64(low), T::from_f64(high));
            map::<T, T>("clamp", [low, high], &x, |value| {
                if value < least { least } else if value > most { most } else { value }
            })
        });
        record("clamp", out, &[&x], |tape, _| {
            tape.edge(&x, || {
                let x = x.saved();
                move |g: &Tensor| g * x.ge(low) * x.le(high)
            });
        })
    }

    /// Every element rounded down to a whole number. Its gradient is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([-1.5, 1.5]).floor().to_vec(), [-2.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn floor(&self) -> Tensor {
        self.rounded("floor", f64::floor)
    }

    /// Every element rounded to the nearest whole number, halves to the even one. Its
    /// gradient is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([0.5, 1.5, -1.6]).round().to_vec(), [0.0, 2.0, -2.0]);
    /// ```
    #[track_caller]
    pub fn round(&self) -> Tensor {
        self.rounded("round", f64::round_ties_even)
    }

    #[track_caller]
    fn rounded(&self, op: &'static str, round: fn(f64) -> f64) -> Tensor {
        if !self.dtype().is_float() {
            return self.clone();
        }
        let out = with_float!(self.dtype(), T => {
            map::<T, T>(op, [0.0; 2], self, |value| round(value.to_f64()) as T)
        });
        record(op, out, &[self], |tape, _| {
            tape.edge(self, || |g: &Tensor| g.zeros_like());
        })
    }
}
