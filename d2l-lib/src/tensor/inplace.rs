//! Writes in place: seen through every handle that shares the storage.
//!
//! They are not recorded for gradients, and refuse where gradients would have to flow.

use std::borrow::Cow;

use super::{Tensor, Value};
use crate::{
    dtype::{DType, with_dtype},
    ops::{
        cuda,
        elementwise::zip_in_place,
        number::{Number, with_number},
    },
};

#[track_caller]
fn add_to(x: &Tensor, other: Value) {
    let other = x.source("add_", other);
    if !cuda::zip_in_place("add", x, &other) {
        with_number!(x.dtype(), T => zip_in_place::<T>(x, &other, T::plus));
    }
}

#[track_caller]
fn sub_to(x: &Tensor, other: Value) {
    let other = x.source("sub_", other);
    if !cuda::zip_in_place("sub", x, &other) {
        with_number!(x.dtype(), T => zip_in_place::<T>(x, &other, T::minus));
    }
}

#[track_caller]
fn mul_to(x: &Tensor, other: Value) {
    let other = x.factor("mul_", other);
    if !cuda::zip_in_place("mul", x, &other) {
        with_number!(x.dtype(), T => zip_in_place::<T>(x, &other, T::times));
    }
}

#[track_caller]
fn div_to(x: &Tensor, other: Value) {
    let other = x.factor("div_", other);
    if x.dtype().is_float() && cuda::zip_in_place("div", x, &other) {
        return;
    }
    crate::dtype::with_float!(x.float_or_refuse("div_"), T => {
        zip_in_place::<T>(x, &other, |a, b| a / b)
    });
}

impl Tensor {
    /// Writes `value`, a number or a tensor, everywhere: it broadcasts and is converted.
    ///
    /// # Panics
    /// If the values do not broadcast into this shape, a gradient would have to flow through the
    /// write, or this tensor is expanded, so that several elements are one in memory.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::ones([2, 2]);
    /// x.i(0).fill_(5.0);
    /// assert_eq!(x.to_vec(), [5.0, 5.0, 1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn fill_<'a>(&self, value: impl Into<Value<'a>>) {
        self.write("fill_", value.into());
    }

    /// Takes over the elements of `source`, which broadcasts and is converted.
    ///
    /// # Panics
    /// Where [`fill_`](Tensor::fill_) does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::ones([2, 2]);
    /// x.copy_(&tensor([3.0, 4.0]));
    /// assert_eq!(x.to_vec(), [3.0, 4.0, 3.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn copy_(&self, source: &Tensor) {
        self.write("copy_", source.into());
    }

    /// Adds `other`, a tensor or a number, which broadcasts to this shape.
    ///
    /// # Panics
    /// Where [`fill_`](Tensor::fill_) does, and if the results do not fit into this type:
    /// those of floats into integers, or any into bools.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]);
    /// x.add_(2.0);
    /// assert_eq!(x.to_vec(), [3.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn add_<'a>(&self, other: impl Into<Value<'a>>) {
        add_to(self, other.into());
    }

    /// Subtracts `other`, a tensor or a number, which broadcasts to this shape.
    ///
    /// # Panics
    /// Where [`fill_`](Tensor::fill_) does, and if the results do not fit into this type:
    /// those of floats into integers, or any into bools.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]);
    /// x.sub_(2.0);
    /// assert_eq!(x.to_vec(), [-1.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn sub_<'a>(&self, other: impl Into<Value<'a>>) {
        sub_to(self, other.into());
    }

    /// Multiplies by `other`, a tensor or a number, which broadcasts to this shape.
    ///
    /// # Panics
    /// Where [`fill_`](Tensor::fill_) does, and if the results do not fit into this type:
    /// those of floats into integers, or any into bools.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]);
    /// x.mul_(2.0);
    /// assert_eq!(x.to_vec(), [2.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn mul_<'a>(&self, other: impl Into<Value<'a>>) {
        mul_to(self, other.into());
    }

    /// Divides by `other`, a tensor or a number, which broadcasts to this shape.
    ///
    /// # Panics
    /// Where [`fill_`](Tensor::fill_) does, and if this is no float tensor: integers cannot
    /// hold the quotients.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]);
    /// x.div_(2.0);
    /// assert_eq!(x.to_vec(), [0.5, 1.0]);
    /// ```
    #[track_caller]
    pub fn div_<'a>(&self, other: impl Into<Value<'a>>) {
        div_to(self, other.into());
    }

    #[track_caller]
    fn float_or_refuse(&self, op: &str) -> DType {
        let dtype = self.dtype();
        assert!(dtype.is_float(), "{op}: quotients do not fit into a tensor of {dtype}");
        dtype
    }

    /// Takes over `value`, whatever both dtypes are.
    #[track_caller]
    pub(super) fn write(&self, op: &str, value: Value) {
        let source = self.fitting(op, value, self.dtype());
        if !cuda::write(op, self, &source) {
            with_dtype!(self.dtype(), T => zip_in_place::<T>(self, &source, |_, new| new));
        }
    }

    /// The other operand of arithmetic in place.
    #[track_caller]
    fn source<'a>(&self, op: &str, value: Value<'a>) -> Cow<'a, Tensor> {
        let (own, other) = (self.dtype(), value.natural_dtype());
        assert!(
            own != DType::Bool && (own.is_float() || !other.is_float()),
            "{op}: results of {other} do not fit into a tensor of {own}"
        );
        self.fitting(op, value, own)
    }

    /// The other factor or the divisor; as in operators, one without axes is not rounded to
    /// halves.
    #[track_caller]
    fn factor<'a>(&self, op: &str, value: Value<'a>) -> Cow<'a, Tensor> {
        match value {
            Value::Tensor(ref source) if source.ndim() > 0 => self.source(op, value),
            lone if self.dtype().is_half() => self.fitting(op, lone, DType::F32),
            lone => self.source(op, lone),
        }
    }

    /// `value` in `dtype`, checked to broadcast to its shape.
    #[track_caller]
    fn fitting<'a>(&self, op: &str, value: Value<'a>, dtype: DType) -> Cow<'a, Tensor> {
        let source =
            if let Value::Tensor(source) = &value { Some(&**source) } else { None };
        self.forbid_recorded_write(op, source);
        let source = value.into_dtype(dtype);
        let fits = crate::shape::broadcast(self.shape(), source.shape());
        assert!(
            fits.is_some_and(|shape| *shape == *self.shape()),
            "{op}: values of shape {:?} do not broadcast into shape {:?}",
            source.shape(),
            self.shape()
        );
        self.refuse_overlap(op);
        source
    }

    /// Whether this tensor has fewer elements in memory than it shows.
    pub(crate) fn is_expanded(&self) -> bool {
        let mut axes = self.shape().iter().zip(self.layout.strides);
        self.numel() > 0 && axes.any(|(&n, step)| n > 1 && step == 0)
    }

    #[track_caller]
    pub(super) fn refuse_overlap(&self, op: &str) {
        assert!(
            !self.is_expanded(),
            "{op}: an expanded tensor repeats its elements; copy it first"
        );
    }
}
