//! Tensors from nothing: constants, ranges, random numbers.

use std::ops::Range;

use super::{Tensor, Value};
use crate::{
    device::Device,
    dtype::{DType, Element, with_dtype},
    ops::cuda::{self, Draw},
    random,
    shape::Shape,
};

/// A range of integers (an `i64` tensor) or of floats (an `f32` tensor), as
/// [`Tensor::arange`] takes it.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(Tensor::arange(0..3).dtype(), DType::I64);
/// assert_eq!(Tensor::arange(0.0..3.0).dtype(), DType::F32);
/// ```
pub trait ArangeBounds {
    /// The numbers from the start on, one apart, below the end.
    #[doc(hidden)]
    fn arange(self) -> Tensor;
}

macro_rules! arange {
    ($($type:ty),*) => {$(
        impl ArangeBounds for Range<$type> {
            #[track_caller]
            fn arange(self) -> Tensor {
                let values: Vec<i64> = (self.start as i64..self.end as i64).collect();
                let shape = Shape::new(&[values.len()]);
                Tensor::new(values, shape)
            }
        }
    )*};
}

arange!(i32, i64, usize);

impl ArangeBounds for Range<f64> {
    #[track_caller]
    fn arange(self) -> Tensor {
        Tensor::arange_step(self.start, self.end, 1.0)
    }
}

impl ArangeBounds for Range<f32> {
    #[track_caller]
    fn arange(self) -> Tensor {
        Tensor::arange_step(self.start.into(), self.end.into(), 1.0)
    }
}

impl Tensor {
    /// `f32` zeros in this shape.
    ///
    /// # Panics
    /// Where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::zeros([2, 2]).to_vec(), [0.0; 4]);
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Tensor {
        constant(shape.into(), DType::F32, Value::Float(0.0))
    }

    /// `f32` ones in this shape.
    ///
    /// # Panics
    /// Where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::ones(3).to_vec(), [1.0; 3]);
    /// ```
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Tensor {
        constant(shape.into(), DType::F32, Value::Float(1.0))
    }

    /// One value everywhere in this shape: an `f32` tensor of a float, `i64` of an integer,
    /// `bool` of a bool, and of a tensor with one element its type.
    ///
    /// # Panics
    /// Where [`Shape::new`] does, and if `value` is a tensor with more or fewer elements than
    /// one.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::full([2], 0.5).to_vec(), [0.5, 0.5]);
    /// assert_eq!(Tensor::full([2], 7).dtype(), DType::I64);
    /// ```
    #[track_caller]
    pub fn full<'a>(shape: impl Into<Shape>, value: impl Into<Value<'a>>) -> Tensor {
        let value = value.into();
        let dtype = value.natural_dtype();
        constant(shape.into(), dtype, value)
    }

    /// Zeros in the shape and type of this tensor.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([[1, 2]]).zeros_like().to_vec_i64(), [0, 0]);
    /// ```
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        constant_like(self, Value::Float(0.0))
    }

    /// Ones in the shape and type of this tensor.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([[5, 2]]).ones_like().to_vec_i64(), [1, 1]);
    /// ```
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        constant_like(self, Value::Float(1.0))
    }

    /// The `f32` identity matrix, `(n, n)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::eye(2).to_vec(), [1.0, 0.0, 0.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn eye(n: usize) -> Tensor {
        Tensor::filled(Shape::new(&[n, n]), |values: &mut [f32]| {
            values.fill(0.0);
            values.iter_mut().step_by(n + 1).for_each(|value| *value = 1.0);
        })
    }

    /// The numbers of a range, one apart, in one axis: `0..12` gives `i64`, `0.0..12.0` gives
    /// `f32`. The end is not among them.
    ///
    /// # Panics
    /// If floats end one or more below their start, or are not finite. (Of integers such a
    /// range is empty.)
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::arange(2..5).to_vec_i64(), [2, 3, 4]);
    /// assert_eq!(Tensor::arange(0.0..2.0).to_vec(), [0.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn arange(range: impl ArangeBounds) -> Tensor {
        range.arange()
    }

    /// `f32` numbers from `start` on, `step` apart, before `end`, in one axis.
    ///
    /// # Panics
    /// If `step` is zero or leads away from `end`, or `start` or `end` is not finite.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::arange_step(1.0, 0.0, -0.25).to_vec(), [1.0, 0.75, 0.5, 0.25]);
    /// ```
    #[track_caller]
    pub fn arange_step(start: f64, end: f64, step: f64) -> Tensor {
        let count = ((end - start) / step).ceil();
        assert!(
            count >= 0.0 && count.is_finite(),
            "arange: steps of {step} do not lead from {start} to {end}"
        );
        let values: Vec<f32> =
            (0..count as usize).map(|i| (start + i as f64 * step) as f32).collect();
        let shape = Shape::new(&[values.len()]);
        Tensor::new(values, shape)
    }

    /// `count` evenly spaced `f32` numbers from `start` to `end`, both included, in one axis;
    /// a single one is `start`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::linspace(0.0, 1.0, 5).to_vec(), [0.0, 0.25, 0.5, 0.75, 1.0]);
    /// ```
    #[track_caller]
    pub fn linspace(start: f64, end: f64, count: usize) -> Tensor {
        let step = (end - start) / (count.max(2) - 1) as f64;
        // Counted from the nearer end, so that both ends are exact.
        let value = |i: usize| match i < count.div_ceil(2) {
            true => start + i as f64 * step,
            false => end - (count - 1 - i) as f64 * step,
        };
        Tensor::new((0..count).map(|i| value(i) as f32).collect(), Shape::new(&[count]))
    }

    /// `f32` numbers from the normal distribution with mean 0 and variance 1, in this shape.
    ///
    /// # Panics
    /// Where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(Tensor::randn(10_000).mean().item().abs() < 0.1);
    /// ```
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>) -> Tensor {
        Tensor::normal(0.0, 1.0, shape)
    }

    /// `f32` numbers from the normal distribution with this mean and this standard deviation,
    /// in this shape.
    ///
    /// # Panics
    /// Where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::normal(5.0, 0.5, 10_000);
    /// assert!((x.mean().item() - 5.0).abs() < 0.1 && (x.std().item() - 0.5).abs() < 0.1);
    /// ```
    #[track_caller]
    pub fn normal(mean: f64, std: f64, shape: impl Into<Shape>) -> Tensor {
        Tensor::normal_in(mean, std, shape.into())
    }

    #[track_caller]
    fn normal_in(mean: f64, std: f64, shape: Shape) -> Tensor {
        if let Some(out) = cuda::draw(Device::home(), shape, Draw::Normal(mean, std)) {
            return out;
        }
        let values = random::normal(shape.numel());
        Tensor::new(values.into_iter().map(|z| (mean + std * z) as f32).collect(), shape)
    }

    /// `f32` numbers evenly spread over `[0, 1)`, in this shape.
    ///
    /// # Panics
    /// Where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([2, 50]);
    /// assert!(x.min().item() >= 0.0 && x.max().item() < 1.0);
    /// ```
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>) -> Tensor {
        Tensor::rand_on(Device::home(), shape.into())
    }

    /// [`rand`](Tensor::rand) on a device.
    #[track_caller]
    pub(crate) fn rand_on(device: Device, shape: Shape) -> Tensor {
        cuda::draw(device, shape, Draw::Uniform).unwrap_or_else(|| {
            Tensor::new(random::uniform(shape.numel()), shape).to_device(device)
        })
    }

    /// `i64` numbers evenly spread over `range`, without its end, in this shape.
    ///
    /// # Panics
    /// If the range is empty, and where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let dice = Tensor::randint(1..7, [10]);
    /// assert!(dice.min().item() >= 1.0 && dice.max().item() <= 6.0);
    /// ```
    #[track_caller]
    pub fn randint(range: Range<i64>, shape: impl Into<Shape>) -> Tensor {
        Tensor::randint_in(range, shape.into())
    }

    #[track_caller]
    fn randint_in(range: Range<i64>, shape: Shape) -> Tensor {
        assert!(!range.is_empty(), "randint: no number lies in {range:?}");
        let draw =
            Draw::Integers(range.start, range.end.wrapping_sub(range.start) as u64);
        if let Some(out) = cuda::draw(Device::home(), shape, draw) {
            return out;
        }
        Tensor::new(random::integers(shape.numel(), range.start, range.end), shape)
    }

    /// The `i64` numbers `0..n` in random order, `(n)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::randperm(5).sort(0).to_vec_i64(), [0, 1, 2, 3, 4]);
    /// ```
    #[track_caller]
    pub fn randperm(n: usize) -> Tensor {
        Tensor::new(random::permutation(n), Shape::new(&[n]))
    }
}

/// `value` everywhere, in the shape and type of `x` and on its device.
#[track_caller]
fn constant_like(x: &Tensor, value: Value) -> Tensor {
    constant_by(x, x.layout.shape, x.dtype(), value)
}

/// `value` everywhere, on the device of `x`.
#[track_caller]
pub(crate) fn constant_by(
    x: &Tensor,
    shape: Shape,
    dtype: DType,
    value: Value,
) -> Tensor {
    if x.storage.is_host() {
        return constant(shape, dtype, value);
    }
    let number = constant(Shape::new(&[]), dtype, value);
    match cuda::constant(x, &number, shape) {
        Some(out) => out,
        None => constant(shape, dtype, number.into()).to_device(x.device()),
    }
}

/// `value` everywhere.
#[track_caller]
pub(crate) fn constant(shape: Shape, dtype: DType, value: Value) -> Tensor {
    with_dtype!(dtype, T => {
        let value: T = match value {
            Value::Float(value) => T::from_f64(value),
            Value::Int(value) => T::from_i64(value),
            Value::Bool(value) => T::from_i64(value.into()),
            Value::Tensor(value) => T::from_f64(value.item()),
        };
        Tensor::filled(shape, |out: &mut [T]| out.fill(value))
    })
}
