//! Element types: what a tensor holds, and which type an operation of two types gives.
//!
//! The two half floats only store: what is computed with them is computed in `f32`, and the
//! result rounded once. So kernels know `f32` and `f64`; [`with_float!`] gives the type to
//! compute in, [`with_dtype!`] the type that is stored.

use std::fmt;

use half::{bf16, f16};

use crate::halves::{from_bf16, from_f16, to_bf16, to_f16};
use crate::{Tensor, shape::Shape};

/// The type of a tensor's elements, from the narrowest to the widest.
///
/// Both half floats save memory and are computed with in `f32`: every operation rounds its
/// result once, to the nearest, ties to the even one.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = tensor([1.0, 0.1]).to_dtype(DType::BF16);
/// assert_eq!(x.to_vec(), [1.0, 0.100097656]);
/// assert_eq!((&x + &x).dtype(), DType::BF16);
/// assert_eq!((&x * tensor([2.0])).dtype(), DType::F32);
/// assert_eq!((&x + x.to_dtype(DType::F16)).dtype(), DType::F32, "neither holds the other");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DType {
    /// `true` or `false`.
    Bool,
    /// Unsigned 8-bit integers: pixels, bytes.
    U8,
    /// Signed 64-bit integers: counts, labels, indices.
    I64,
    /// 16-bit floats of the standard IEEE 754: 11 digits of two, up to 65504.
    F16,
    /// 16-bit floats with the range of `F32` and 8 digits of two.
    BF16,
    /// 32-bit floats: the default for everything that is learned.
    F32,
    /// 64-bit floats.
    F64,
}

impl DType {
    /// Whether elements are floats, which is what gradients need.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(DType::F32.is_float() && !DType::I64.is_float());
    /// ```
    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// The size of one element in bytes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!((DType::F32.size(), DType::U8.size()), (4, 1));
    /// ```
    pub fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// This type if it is a float, else `F32`: what `x.sqrt()` of an integer tensor holds.
    pub(crate) fn to_float(self) -> DType {
        if self.is_float() { self } else { DType::F32 }
    }

    /// Whether this is a float of 16 bits.
    pub(crate) fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }

    /// The type that operations on this one compute in: `F32` for halves.
    pub(crate) fn wide(self) -> DType {
        if self.is_half() { DType::F32 } else { self }
    }

    /// The narrowest type that holds both, but for the precision of large integers.
    pub(crate) fn join(self, other: DType) -> DType {
        match (self, other) {
            (DType::F16, DType::BF16) | (DType::BF16, DType::F16) => DType::F32,
            _ => self.max(other),
        }
    }

    /// Bool, integer or float, in this order.
    fn category(self) -> u8 {
        match self {
            DType::Bool => 0,
            DType::U8 | DType::I64 => 1,
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => 2,
        }
    }

    /// The type of `a ∘ b`: the wider one. An operand with no axes only widens the other
    /// if it is of a higher category, so `x / x.norm()` keeps the type of `x`.
    pub(crate) fn promote(a: (DType, usize), b: (DType, usize)) -> DType {
        let ((a, a_ndim), (b, b_ndim)) = (a, b);
        match (a_ndim, b_ndim) {
            (0, 1..) if a.category() <= b.category() => b,
            (1.., 0) if b.category() <= a.category() => a,
            _ => a.join(b),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

/// A Rust type that a tensor can hold.
///
/// Sealed by its hidden methods: the set of dtypes is closed.
///
/// ```
/// use d2l::{Element, prelude::*};
///
/// assert_eq!(f64::DTYPE, DType::F64);
/// ```
pub trait Element: Copy + PartialOrd + Send + Sync + fmt::Debug + 'static {
    /// The dtype of this Rust type.
    const DTYPE: DType;
    /// Whether loops over this type are compiled for the widest vectors.
    #[doc(hidden)]
    const FAST: bool;
    /// The type in which long sums of this type are accumulated.
    #[doc(hidden)]
    type Sum: Element + std::ops::AddAssign + Default;
    #[doc(hidden)]
    fn from_f64(value: f64) -> Self;
    #[doc(hidden)]
    fn from_i64(value: i64) -> Self;
    #[doc(hidden)]
    fn to_f64(self) -> f64;
    #[doc(hidden)]
    fn to_i64(self) -> i64;
    #[doc(hidden)]
    fn to_sum(self) -> Self::Sum;
    /// A tensor with these elements, made where it need not be compiled for every cell.
    #[doc(hidden)]
    #[track_caller]
    fn tensor(values: Vec<Self>, shape: Shape) -> Tensor;
}

macro_rules! element {
    ($type:ty, $variant:ident, $sum:ty, $from_f64:expr, $from_i64:expr, $to_f64:expr, $to_i64:expr, $to_sum:expr) => {
        impl Element for $type {
            const DTYPE: DType = DType::$variant;
            const FAST: bool =
                matches!(DType::$variant, DType::F32 | DType::F16 | DType::BF16);
            type Sum = $sum;
            #[inline]
            fn from_f64(value: f64) -> Self {
                $from_f64(value)
            }
            #[inline]
            fn from_i64(value: i64) -> Self {
                $from_i64(value)
            }
            #[inline]
            fn to_f64(self) -> f64 {
                $to_f64(self)
            }
            #[inline]
            fn to_i64(self) -> i64 {
                $to_i64(self)
            }
            #[inline]
            fn to_sum(self) -> $sum {
                $to_sum(self)
            }
            #[inline(never)]
            fn tensor(values: Vec<Self>, shape: Shape) -> Tensor {
                Tensor::new(values, shape)
            }
        }
    };
}

element!(f32, F32, f64, |v| v as f32, |v| v as f32, |v| v as f64, |v| v as i64, |v| v
    as f64);
element!(f64, F64, f64, |v| v, |v| v as f64, |v| v, |v| v as i64, |v| v);
element!(i64, I64, i64, |v| v as i64, |v| v, |v| v as f64, |v| v, |v| v);
element!(u8, U8, i64, |v| v as i64 as u8, |v| v as u8, |v| v as f64, |v| v as i64, |v| v
    as i64);
element!(
    bool,
    Bool,
    i64,
    |v| v != 0.0,
    |v| v != 0,
    |v| v as u8 as f64,
    |v| v as i64,
    |v| v as i64
);

/// Halves are made by way of `f32`, also from wider numbers, as in PyTorch.
macro_rules! half {
    ($type:ty, $variant:ident, $from:ident, $to:ident) => {
        element!(
            $type,
            $variant,
            f64,
            |v| $to(v as f32),
            |v| $to(v as f32),
            |v| f64::from($from(v)),
            |v| $from(v) as i64,
            |v| f64::from($from(v))
        );
    };
}

half!(f16, F16, from_f16, to_f16);
half!(bf16, BF16, from_bf16, to_bf16);

/// Runs `$body` with `$T` standing for the Rust type of `$dtype`.
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::F16 => {
                type $T = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

/// Runs `$body` with `$T` standing for the Rust type that operations on `$dtype`, which must be
/// a float, compute in: `f32` for halves.
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 | $crate::DType::F16 | $crate::DType::BF16 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            other => unreachable!("{other} was converted to a float before"),
        }
    };
}

pub(crate) use {with_dtype, with_float};

#[cfg(test)]
mod tests {
    use super::DType::{self, *};

    #[test]
    fn the_wider_type_wins_unless_it_has_no_axes() {
        assert_eq!(DType::promote((F32, 1), (F64, 2)), F64);
        assert_eq!(DType::promote((I64, 1), (U8, 1)), I64);
        assert_eq!(DType::promote((F64, 0), (F32, 1)), F32);
        assert_eq!(DType::promote((F32, 1), (F64, 0)), F32);
        assert_eq!(DType::promote((I64, 3), (F32, 0)), F32);
        assert_eq!(DType::promote((Bool, 1), (I64, 0)), I64);
        assert_eq!(DType::promote((F64, 0), (F32, 0)), F64);
        assert_eq!(DType::promote((BF16, 1), (F16, 1)), F32);
        assert_eq!(DType::promote((BF16, 1), (F16, 0)), BF16);
        assert_eq!(DType::promote((I64, 1), (F16, 1)), F16);
        assert_eq!(DType::promote((F16, 1), (F32, 0)), F16);
        assert_eq!(DType::promote((F16, 0), (BF16, 0)), F32);
        assert_eq!(DType::promote((BF16, 0), (F32, 1)), F32);
    }
}
