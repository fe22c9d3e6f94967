//! The tensor: elements of one type, in rows and columns, with a gradient if asked.

mod activation;
mod arith;
pub(crate) mod attention;
mod compare;
mod convolution;
pub(crate) mod create;
mod distribution;
mod einsum;
mod file;
mod format;
mod index;
mod inplace;
mod join;
mod linalg;
mod nested;
mod normalize;
mod pick;
mod pointwise;
mod pooling;
pub(crate) mod recurrent;
mod reduce;
mod softmax;
mod solve;
mod sort;
mod view;

use std::sync::Arc;

use crate::{
    autograd::Node,
    device::{Buffer, Device, Storage, cuda::Array},
    dtype::{DType, Element, with_dtype},
    interrupt,
    layout::{Layout, Row, walk},
    shape::{Shape, axis_of},
};

pub use arith::Value;
pub use file::FileError;
pub use index::{AxisIndex, Index};
pub use nested::{IntoTensor, tensor, tensor_f64};
pub use sort::Order;

/// An array with up to eight axes and elements of one type.
///
/// A tensor is a handle: cloning it, slicing it or transposing it copies no elements, and
/// a write through one handle is seen through the others, as in PyTorch.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::arange(0.0..6.0).reshape([2, 3]);
/// x.i((.., 1)).fill_(0.0);
/// assert_eq!(x.to_vec(), [0.0, 0.0, 2.0, 3.0, 0.0, 5.0]);
/// ```
#[derive(Clone)]
pub struct Tensor {
    pub(crate) storage: Storage,
    pub(crate) layout: Layout,
    dtype: DType,
    /// Its place in the graph of operations, if gradients flow to it.
    pub(crate) node: Option<Arc<Node>>,
}

impl Tensor {
    /// The tensor with these elements, row after row.
    #[track_caller]
    pub(crate) fn new<T: Element>(values: Vec<T>, shape: Shape) -> Tensor {
        debug_assert_eq!(values.len(), shape.numel());
        interrupt::check();
        Tensor::of_host(Storage::new(values), T::DTYPE, shape)
    }

    /// The tensor with the elements of a storage, row after row.
    #[inline]
    fn of_storage(storage: Storage, dtype: DType, shape: Shape) -> Tensor {
        Tensor { storage, layout: Layout::contiguous(shape), dtype, node: None }
    }

    /// The tensor with the elements of a storage in main memory; they go to the device on which
    /// the environment wants all tensors, unless they are one number.
    #[inline]
    fn of_host(storage: Storage, dtype: DType, shape: Shape) -> Tensor {
        let home = Device::home();
        if home != Device::Cpu && !shape.is_empty() {
            crate::ops::cuda::done(storage.move_to(dtype, home));
        }
        Tensor::of_storage(storage, dtype, shape)
    }

    /// The tensor with the elements of a GPU's array, row after row.
    #[track_caller]
    pub(crate) fn of_array(array: impl Into<Arc<Array>>, shape: Shape) -> Tensor {
        let array = array.into();
        debug_assert_eq!(array.length(), shape.numel());
        interrupt::check();
        let dtype = array.dtype();
        Tensor::of_storage(Storage::of_array(array), dtype, shape)
    }

    /// The tensor with the elements that `fill` writes, row after row, all of them; it is not
    /// called if there are none.
    #[track_caller]
    pub(crate) fn filled<T: Element>(
        shape: Shape,
        fill: impl FnOnce(&mut [T]),
    ) -> Tensor {
        interrupt::check();
        Tensor::of_host(Storage::filled(shape.numel(), fill), T::DTYPE, shape)
    }

    /// The tensor with these elements, row after row.
    pub(crate) fn of_buffer<T: Element>(buffer: Buffer<T>, shape: Shape) -> Tensor {
        debug_assert_eq!(buffer.len(), shape.numel());
        Tensor::of_host(Storage::of_buffer(buffer), T::DTYPE, shape)
    }

    /// Another look at the same storage, outside the graph.
    pub(crate) fn with_layout(&self, layout: Layout) -> Tensor {
        Tensor { storage: self.storage.clone(), layout, dtype: self.dtype, node: None }
    }

    /// The value of now, for a gradient later: writes in place do not reach it.
    pub(crate) fn saved(&self) -> Tensor {
        Tensor { storage: self.storage.snapshot(), node: None, ..self.clone() }
    }

    /// The lengths of the axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!(x.shape(), [2, 3]);
    /// ```
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// The length of one axis; negative axes count from the end.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!((x.len_of(0), x.len_of(-1)), (2, 3));
    /// ```
    #[track_caller]
    pub fn len_of(&self, axis: i64) -> usize {
        self.length("len_of", axis)
    }

    /// [`len_of`](Tensor::len_of) for the operation `op`, which a mistake names.
    #[track_caller]
    fn length(&self, op: &str, axis: i64) -> usize {
        self.shape()[axis_of(op, axis, self.ndim())]
    }

    /// The number of elements.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!(x.numel(), 6);
    /// ```
    pub fn numel(&self) -> usize {
        self.layout.shape.numel()
    }

    /// The number of axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!(x.ndim(), 2);
    /// ```
    pub fn ndim(&self) -> usize {
        self.layout.shape.len()
    }

    /// The type of the elements.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!(x.dtype(), DType::F32);
    /// ```
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the elements are.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert_eq!(x.device(), Device::Cpu);
    /// ```
    pub fn device(&self) -> Device {
        self.storage.device()
    }

    /// This tensor if its elements are on `device`, else a copy there; gradients flow back.
    ///
    /// # Panics
    /// If there is no such device ([`Device::cuda`] tells without panic), or it has no memory
    /// left.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]).to_device(d2l::try_gpu(0));
    /// assert_eq!((&x + 1.0).device(), x.device());
    /// ```
    #[track_caller]
    pub fn to_device(&self, device: Device) -> Tensor {
        if self.device() == device {
            return self.clone();
        }
        // Of a view, only the part of the memory that it shows.
        let span = self.layout.span();
        let layout = Layout { offset: self.layout.offset - span.start, ..self.layout };
        let storage = match self.storage.to_device(self.dtype, span, device) {
            Ok(storage) => storage,
            Err(error) => panic!("to_device: {error}"),
        };
        let out = Tensor { storage, layout, node: None, ..self.clone() };
        crate::autograd::record_across(out, self)
    }

    /// Whether both are looks at the same memory, whatever their shapes, so that writing one can
    /// change the other.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert!(x.same_storage(&x.t()) && !x.same_storage(&x.copy()));
    /// ```
    pub fn same_storage(&self, other: &Tensor) -> bool {
        self.storage.is(&other.storage)
    }

    /// Whether the elements lie row after row in memory, nothing between.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// assert!(x.is_contiguous() && !x.t().is_contiguous());
    /// ```
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Takes the elements to another device, where all tensors that share them find them.
    #[track_caller]
    pub(crate) fn move_to(&self, device: Device) {
        if self.device() != device {
            crate::ops::cuda::done(self.storage.move_to(self.dtype, device));
        }
    }

    /// Lets the tensor's GPU begin to compute the elements. Functions of every element are put off
    /// until something needs their results, so that one pass over memory does several of them;
    /// nobody has to call this but who measures time.
    ///
    /// # Panics
    /// If the GPU cannot.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::ones([3]).to_device(d2l::try_gpu(0));
    /// let y = (&x * 2.0 + 1.0).exp();
    /// y.eval();
    /// assert!(y.device().synchronize().is_ok());
    /// ```
    #[track_caller]
    pub fn eval(&self) {
        self.storage.on_gpu();
    }

    /// The only element, as a number; of a bool tensor 0 or 1.
    ///
    /// # Panics
    /// If there is not exactly one element.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([[2.5]]).item(), 2.5);
    /// ```
    #[track_caller]
    pub fn item(&self) -> f64 {
        assert!(
            self.numel() == 1,
            "item: needs one element, and shape {:?} has {}",
            self.shape(),
            self.numel()
        );
        // Of a GPU's memory only the element comes here, not all of the storage.
        let own = crate::ops::cuda::copy(self);
        let x = own.as_ref().unwrap_or(self);
        with_dtype!(x.dtype, T => x.storage.read::<T>()[x.layout.offset].to_f64())
    }

    /// The elements, row after row, as `f32`, whatever the dtype.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([[1, 2], [3, 4]]).t().to_vec(), [1.0, 3.0, 2.0, 4.0]);
    /// ```
    pub fn to_vec(&self) -> Vec<f32> {
        self.elements(|value| value as f32, |value| value as f32)
    }

    /// The elements, row after row, as `f64`, whatever the dtype.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor_f64([0.1]).to_vec_f64(), [0.1]);
    /// ```
    pub fn to_vec_f64(&self) -> Vec<f64> {
        self.elements(|value| value, |value| value as f64)
    }

    /// The elements, row after row, as `i64`; of floats the whole part.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1.9, -1.9]).to_vec_i64(), [1, -1]);
    /// ```
    pub fn to_vec_i64(&self) -> Vec<i64> {
        self.elements(|value| value as i64, |value| value)
    }

    /// The elements, row after row, as `u8`; of floats the whole part, at least 0 and at most
    /// 255, of integers the remainder by 256.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([7, 200]).to_vec_u8(), [7, 200]);
    /// ```
    pub fn to_vec_u8(&self) -> Vec<u8> {
        self.elements(|value| value as u8, |value| value as u8)
    }

    /// The elements, row after row, as `bool`: whether they differ from 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([0.0, 0.5]).to_vec_bool(), [false, true]);
    /// ```
    pub fn to_vec_bool(&self) -> Vec<bool> {
        self.elements(|value| value != 0.0, |value| value != 0)
    }

    fn elements<R>(&self, float: impl Fn(f64) -> R, int: impl Fn(i64) -> R) -> Vec<R> {
        with_dtype!(self.dtype, T => {
            let values = self.storage.read::<T>();
            let mut out = Vec::with_capacity(self.numel());
            walk([&self.layout], |Row { start: [start], length, step: [step] }| {
                for i in 0..length {
                    let value = values[start + i * step];
                    out.push(if T::DTYPE.is_float() {
                        float(value.to_f64())
                    } else {
                        int(value.to_i64())
                    });
                }
            });
            out
        })
    }

    /// The elements, row after row, in their own type.
    ///
    /// # Panics
    /// If `T` is not the type of the elements.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1, 2]).to_vec_of::<i64>(), [1, 2]);
    /// ```
    #[track_caller]
    pub fn to_vec_of<T: Element>(&self) -> Vec<T> {
        self.own_elements("to_vec_of")
    }

    /// A copy of the elements in their own type, which must be `T`.
    #[track_caller]
    fn own_elements<T: Element>(&self, op: &str) -> Vec<T> {
        assert!(
            T::DTYPE == self.dtype,
            "{op}: a tensor of {} holds no {}",
            self.dtype,
            T::DTYPE
        );
        let values = self.storage.read::<T>();
        let mut out = Vec::with_capacity(self.numel());
        walk([&self.layout], |Row { start: [start], length, step: [step] }| match step {
            1 => out.extend_from_slice(&values[start..start + length]),
            _ => out.extend((0..length).map(|i| values[start + i * step])),
        });
        out
    }

    /// A copy as an `ndarray` of this shape and of the elements' own type.
    ///
    /// # Panics
    /// If `T` is not the type of the elements.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let array = tensor([[1.0, 2.0], [3.0, 4.0]]).to_ndarray::<f32>();
    /// assert_eq!(array[[1, 0]], 3.0);
    /// ```
    #[track_caller]
    pub fn to_ndarray<T: Element>(&self) -> ndarray::ArrayD<T> {
        ndarray::ArrayD::from_shape_vec(self.shape(), self.own_elements("to_ndarray"))
            .expect("as many elements as the shape says")
    }

    /// What `look` makes of this tensor's elements as an `ndarray` of this shape in their own
    /// type, where they are in memory; only those of an expanded tensor are copied. Writes to
    /// the tensor meanwhile do not show.
    ///
    /// # Panics
    /// If `T` is not the type of the elements.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..6.0).reshape([2, 3]).t();
    /// assert_eq!(x.with_ndarray(|view: ndarray::ArrayViewD<f32>| view[[2, 1]]), 5.0);
    /// ```
    #[track_caller]
    pub fn with_ndarray<T: Element, R>(
        &self,
        look: impl FnOnce(ndarray::ArrayViewD<T>) -> R,
    ) -> R {
        assert!(
            T::DTYPE == self.dtype,
            "with_ndarray: a tensor of {} holds no {}",
            self.dtype,
            T::DTYPE
        );
        let x = if self.is_expanded() { self.detach().copy() } else { self.detach() };
        let values = x.storage.read::<T>();
        let strides = &x.layout.strides[..x.ndim()];
        let shape = ndarray::IxDyn(x.shape());
        let shape = ndarray::ShapeBuilder::strides(shape, ndarray::IxDyn(strides));
        let view = ndarray::ArrayView::from_shape(shape, &values[x.layout.offset..]);
        look(view.expect("the layout is inside the storage"))
    }

    /// The tensor with the elements of an `ndarray`, in its shape; not copied if they lie row
    /// after row from the start of the array's memory.
    ///
    /// # Panics
    /// If the array has more than eight axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let array = ndarray::array![[1.0_f32, 2.0], [3.0, 4.0]];
    /// assert_eq!(Tensor::from_ndarray_owned(array.clone()).to_vec(), [1.0, 2.0, 3.0, 4.0]);
    /// let turned = array.reversed_axes();
    /// assert_eq!(Tensor::from_ndarray_owned(turned).to_vec(), [1.0, 3.0, 2.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn from_ndarray_owned<T: Element, D: ndarray::Dimension>(
        array: ndarray::Array<T, D>,
    ) -> Tensor {
        if !array.is_standard_layout() {
            return Tensor::from_ndarray(&array);
        }
        let (shape, length) = (Shape::new(array.shape()), array.len());
        match array.into_raw_vec_and_offset() {
            (values, None | Some(0)) if values.len() == length => {
                Tensor::new(values, shape)
            }
            (values, start) => {
                let start = start.unwrap_or(0);
                Tensor::new(values[start..start + length].to_vec(), shape)
            }
        }
    }

    /// The tensor with the elements of an `ndarray`, in its shape.
    ///
    /// # Panics
    /// If the array has more than eight axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let array = ndarray::array![[1.0_f32, 2.0], [3.0, 4.0]];
    /// assert_eq!(Tensor::from_ndarray(&array).shape(), [2, 2]);
    /// ```
    #[track_caller]
    pub fn from_ndarray<T: Element, D: ndarray::Dimension>(
        array: &ndarray::Array<T, D>,
    ) -> Tensor {
        Tensor::new(array.iter().copied().collect(), Shape::new(array.shape()))
    }

    /// The same numbers in the same shape in another type; floats become whole numbers by
    /// dropping what is after the point, narrower floats by rounding to the nearest, ties to
    /// the even one, and bools by whether they differ from 0. The same tensor if the type is
    /// already `dtype`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.5, -2.75, 70000.0]);
    /// assert_eq!(x.to_dtype(DType::I64).to_vec_i64(), [1, -2, 70000]);
    /// assert_eq!(x.to_dtype(DType::F16).to_vec(), [1.5, -2.75, f32::INFINITY]);
    /// assert_eq!(x.to_dtype(DType::BF16).to_vec(), [1.5, -2.75, 70144.0]);
    /// ```
    #[track_caller]
    pub fn to_dtype(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype {
            return self.clone();
        }
        crate::ops::cast(self, dtype)
    }

    /// The result of `op`, computed in a wider type, in `dtype`: rounded if that is a half.
    #[track_caller]
    pub(crate) fn rounded_to(self, op: &'static str, dtype: DType) -> Tensor {
        if !dtype.is_half() {
            return self;
        }
        let from = self.dtype;
        let out = crate::ops::rounded(self.detach(), dtype);
        crate::autograd::record(op, out, &[&self], |tape, _| {
            tape.edge(&self, || move |g: &Tensor| g.to_dtype(from));
        })
    }

    /// `f` of these elements, in `f32` if they are halves, and then rounded to their type.
    #[track_caller]
    pub(crate) fn in_wide(
        &self,
        op: &'static str,
        f: impl FnOnce(&Tensor) -> Tensor,
    ) -> Tensor {
        if !self.dtype.is_half() {
            return f(self);
        }
        f(&self.to_dtype(DType::F32)).rounded_to(op, self.dtype)
    }
}
