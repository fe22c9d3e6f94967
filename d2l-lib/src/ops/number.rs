//! Arithmetic on single numbers: integers wrap around, as in PyTorch, and never panic.

use crate::dtype::Element;

/// An element type that can be reckoned with.
pub(crate) trait Number: Element {
    const LOWEST: Self;
    const HIGHEST: Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn to_power(self, exponent: Self) -> Self;
    fn magnitude(self) -> Self;

    /// The greater of both; NaN if one is.
    #[inline]
    fn greater(self, other: Self) -> Self {
        if self >= other || is_nan(self) { self } else { other }
    }

    /// The smaller of both; NaN if one is.
    #[inline]
    fn smaller(self, other: Self) -> Self {
        if self <= other || is_nan(self) { self } else { other }
    }
}

/// Whether a number is not even equal to itself.
#[inline]
pub(crate) fn is_nan<T: PartialEq>(value: T) -> bool {
    #[expect(clippy::eq_op, reason = "that is what NaN is")]
    {
        value != value
    }
}

macro_rules! float {
    ($type:ty) => {
        impl Number for $type {
            const LOWEST: Self = <$type>::NEG_INFINITY;
            const HIGHEST: Self = <$type>::INFINITY;
            #[inline]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline]
            fn minus(self, other: Self) -> Self {
                self - other
            }
            #[inline]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline]
            fn to_power(self, exponent: Self) -> Self {
                self.powf(exponent)
            }
            #[inline]
            fn magnitude(self) -> Self {
                self.abs()
            }
        }
    };
}

macro_rules! integer {
    ($type:ty, $magnitude:expr) => {
        impl Number for $type {
            const LOWEST: Self = <$type>::MIN;
            const HIGHEST: Self = <$type>::MAX;
            #[inline]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            fn to_power(self, exponent: Self) -> Self {
                // Repeated squaring; `pow` refused negative exponents before.
                let (mut power, mut square, mut left): (Self, Self, Self) =
                    (1, self, exponent);
                while left > 0 {
                    if left & 1 == 1 {
                        power = power.wrapping_mul(square);
                    }
                    square = square.wrapping_mul(square);
                    left >>= 1;
                }
                power
            }
            #[inline]
            fn magnitude(self) -> Self {
                $magnitude(self)
            }
        }
    };
}

float!(f32);
float!(f64);
integer!(i64, i64::wrapping_abs);
integer!(u8, |value| value);

/// Runs `$body` with `$T` standing for the Rust type that operations on `$dtype`, which must not
/// be bool, compute in: `f32` for halves.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::F32 | $crate::DType::F16 | $crate::DType::BF16 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::Bool => {
                unreachable!("bools were converted to integers before")
            }
        }
    };
}

/// Runs `$body` with `$T` standing for the Rust type that operations on `$dtype` compute in:
/// `f32` for halves.
macro_rules! with_wide {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
            other => $crate::ops::number::with_number!(other, $T => $body),
        }
    };
}

pub(crate) use {with_number, with_wide};
