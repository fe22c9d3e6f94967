//! From Rust values to tensors: numbers, arrays, vectors, slices, nested up to four deep.

use super::Tensor;
use crate::{Element, shape::Shape};

/// What [`tensor`] accepts, or [`tensor_f64`] where `F` is `f64`: numbers, and arrays,
/// vectors and slices of what it accepts.
///
/// `F` is the type of floats. It is what lets `tensor([1.0, 2.0])` hold `f32`: that is the
/// only float type that [`tensor`] knows, so it is the one Rust takes for the literals.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(tensor([[1.0], [2.0]]).shape(), [2, 1]);
/// assert_eq!(tensor(vec![1, 2]).dtype(), DType::I64);
/// ```
#[diagnostic::on_unimplemented(
    message = "no tensor can be made from `{Self}` here",
    note = "`tensor` makes f32, i64, u8 and bool tensors",
    note = "for f64 write `tensor_f64(…)`, or convert the numbers with `as f32`"
)]
pub trait IntoTensor<F> {
    /// The elements' type after conversion.
    #[doc(hidden)]
    type Element: crate::Element;
    /// How deep the nesting is.
    #[doc(hidden)]
    const NDIM: usize;
    /// Writes the lengths from the outermost in.
    #[doc(hidden)]
    fn lengths(&self, lengths: &mut Vec<usize>);
    /// Appends the elements, after checking the lengths.
    #[doc(hidden)]
    #[track_caller]
    fn push_to(&self, lengths: &[usize], values: &mut Vec<Self::Element>);
}

macro_rules! number {
    ($($type:ty as $element:ty, $float:ty;)*) => {$(
        impl IntoTensor<$float> for $type {
            type Element = $element;
            const NDIM: usize = 0;
            fn lengths(&self, _: &mut Vec<usize>) {}
            fn push_to(&self, _: &[usize], values: &mut Vec<$element>) {
                values.push(*self as $element);
            }
        }
    )*};
}

number! {
    f32 as f32, f32;
    bool as bool, f32;
    u8 as u8, f32;
    i32 as i64, f32;
    i64 as i64, f32;
    usize as i64, f32;
    f64 as f64, f64;
}

/// The lengths inside of what has no elements.
fn add_zeros(lengths: &mut Vec<usize>, ndim: usize) {
    lengths.extend([0].repeat(ndim));
}

macro_rules! sequence {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<F, $($generics)*> IntoTensor<F> for $type {
            type Element = T::Element;
            const NDIM: usize = 1 + T::NDIM;
            fn lengths(&self, lengths: &mut Vec<usize>) {
                lengths.push(self.len());
                match self.first() {
                    Some(first) => first.lengths(lengths),
                    None => add_zeros(lengths, T::NDIM),
                }
            }
            #[track_caller]
            fn push_to(&self, lengths: &[usize], values: &mut Vec<T::Element>) {
                assert!(
                    self.len() == lengths[0],
                    "tensor: rows of {} and of {} elements in one tensor",
                    lengths[0],
                    self.len()
                );
                for inner in self.iter() {
                    inner.push_to(&lengths[1..], values);
                }
            }
        }
    )*};
}

sequence! {
    [T: IntoTensor<F>, const N: usize] [T; N];
    [T: IntoTensor<F>, const N: usize] &[T; N];
    [T: IntoTensor<F>] &[T];
    [T: IntoTensor<F>] Vec<T>;
    [T: IntoTensor<F>] &Vec<T>;
}

/// The tensor with these elements: a number, or nested arrays, vectors or slices, an axis for
/// each level.
///
/// Floats make an `f32` tensor, integers `i64` (but `u8` stays), and bools `bool`.
///
/// # Panics
/// If rows differ in length, or there are more than eight levels.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
/// assert_eq!((x.shape(), x.dtype()), (&[2, 3][..], DType::F32));
/// assert_eq!(tensor([2, 1]).dtype(), DType::I64);
/// assert_eq!(tensor(98.6).ndim(), 0);
/// ```
#[track_caller]
pub fn tensor<T: IntoTensor<f32>>(values: T) -> Tensor {
    from_nested(values)
}

/// The `f64` tensor with these elements: like [`tensor`], with 64-bit floats.
///
/// # Panics
/// Where [`tensor`] does.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = tensor_f64([0.1, 0.2]);
/// assert_eq!(x.dtype(), DType::F64);
/// assert_eq!(x.sum().item(), 0.1 + 0.2);
/// ```
#[track_caller]
pub fn tensor_f64<T: IntoTensor<f64>>(values: T) -> Tensor {
    from_nested(values)
}

#[track_caller]
fn from_nested<F, T: IntoTensor<F>>(nested: T) -> Tensor {
    let mut lengths = Vec::with_capacity(T::NDIM);
    nested.lengths(&mut lengths);
    let shape = Shape::new(&lengths);
    let mut values = Vec::with_capacity(shape.numel());
    nested.push_to(&lengths, &mut values);
    T::Element::tensor(values, shape)
}
