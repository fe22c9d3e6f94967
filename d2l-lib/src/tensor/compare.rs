//! Comparisons: element by element, and of tensors as a whole.

use super::{Tensor, Value, arith::meet};
use crate::ops::{elementwise::zip, number::with_wide};

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident: $operator:tt;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name<'a>(&'a self, other: impl Into<Value<'a>>) -> Tensor {
                $name(self, other.into())
            }
        )*}

        // Not generic, so that what a comparison needs is compiled here and not in every cell.
        $(
            #[track_caller]
            fn $name(a: &Tensor, b: Value) -> Tensor {
                let (a, b, shape) = meet(stringify!($name), a, b, |dtype| dtype);
                with_wide!(a.dtype(), T => {
                    zip::<T, bool>(stringify!($name), &a, &b, shape, |a, b| a $operator b)
                })
            }
        )*
    };
}

comparisons! {
    /// Where elements are equal to those of `other`, a tensor or a number: bools, in the
    /// shape to which both broadcast.
///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0, 2.0, 3.0]).eq(2.0).to_vec_bool(), [false, true, false]);
/// ```
    eq: ==;
    /// Where elements differ from those of `other`, a tensor or a number: bools, in the
    /// shape to which both broadcast.
///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0, 2.0, 3.0]).ne(2.0).to_vec_bool(), [true, false, true]);
/// ```
    ne: !=;
    /// Where elements are less than those of `other`, a tensor or a number: bools, in the
    /// shape to which both broadcast.
///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0, 2.0, 3.0]).lt(2.0).to_vec_bool(), [true, false, false]);
/// ```
    lt: <;
    /// Where elements are at most those of `other`, a tensor or a number: bools, in the
    /// shape to which both broadcast.
///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0, 2.0, 3.0]).le(2.0).to_vec_bool(), [true, true, false]);
/// ```
    le: <=;
    /// Where elements are greater than those of `other`, a tensor or a number: bools, in the
    /// shape to which both broadcast.
///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0, 2.0, 3.0]).gt(2.0).to_vec_bool(), [false, false, true]);
/// ```
    gt: >;
    /// Where elements are at least those of `other`, a tensor or a number: bools, in the
    /// shape to which both broadcast.
///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([1.0, 2.0, 3.0]).ge(2.0).to_vec_bool(), [false, true, true]);
/// ```
    ge: >=;
}

impl Tensor {
    /// Whether both have one shape and the same elements, whatever their types. NaN is equal to
    /// nothing.
    ///
    /// # Panics
    /// If both have one shape and are on different devices.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(tensor([1, 2]).equal(&tensor([1, 2])) && !tensor([1, 2]).equal(&tensor([[1, 2]])));
    /// ```
    #[track_caller]
    pub fn equal(&self, other: &Tensor) -> bool {
        self.shape() == other.shape() && self.eq(other).all()
    }

    /// Whether both have one shape and elements that differ by at most 10⁻⁸ and 10⁻⁵ of
    /// their size. NaN is close to nothing.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(tensor([1.0]).allclose(&tensor([1.000_001])));
    /// assert!(!tensor([1.0]).allclose(&tensor([1.001])));
    /// ```
    #[track_caller]
    pub fn allclose(&self, other: &Tensor) -> bool {
        const RELATIVE: f64 = 1e-5;
        const ABSOLUTE: f64 = 1e-8;
        let close = |(a, b): (f64, f64)| {
            a == b || (a - b).abs() <= ABSOLUTE + RELATIVE * b.abs() && b.is_finite()
        };
        self.shape() == other.shape()
            && self.to_vec_f64().into_iter().zip(other.to_vec_f64()).all(close)
    }
}
