//! Other shapes of the same elements: views share storage, and gradients flow through them.

use super::Tensor;
use crate::{
    autograd::{record, unbroadcast},
    dtype::{DType, with_dtype},
    layout::Layout,
    ops::{
        cuda,
        elementwise::{copy, zip_in_place},
    },
    shape::{MAX_NDIM, Shape, TargetShape, axis_of, broadcast},
    tensor::{Value, create::constant_by},
};

/// Writes the elements of `source`, of the same type, to `part`.
fn put(part: &Tensor, source: &Tensor) {
    if !cuda::write("copy_", part, source) {
        with_dtype!(part.dtype(), T => zip_in_place::<T>(part, source, |_, new| new));
    }
}

impl Tensor {
    /// A view with this layout, through which the gradient flows back by `pull`.
    pub(super) fn view<F>(&self, op: &'static str, layout: Layout, pull: F) -> Tensor
    where
        F: FnOnce(&Tensor) -> Tensor + Send + Sync + 'static,
    {
        record(op, self.with_layout(layout), &[self], |tape, _| tape.edge(self, || pull))
    }

    /// The same elements, row after row, in another shape; one length may be `-1`, to be
    /// found. A view where the layout in memory allows, else a copy.
    ///
    /// # Panics
    /// If the shape has another number of elements, or more than one `-1`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.reshape([3, -1]).shape(), [3, 2]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<TargetShape>) -> Tensor {
        self.reshape_to(shape.into().resolve("reshape", self.shape()))
    }

    #[track_caller]
    pub(crate) fn reshape_to(&self, shape: Shape) -> Tensor {
        let from = self.layout.shape;
        let out = match self.layout.reshape(shape) {
            Some(layout) => self.with_layout(layout),
            None => copy(self).with_layout(Layout::contiguous(shape)),
        };
        record("reshape", out, &[self], |tape, _| {
            tape.edge(self, || move |g: &Tensor| g.reshape_to(from));
        })
    }

    /// The elements, row after row, in one axis: a view where the layout in memory allows, else
    /// a copy.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.flatten().shape(), [6]);
    /// ```
    #[track_caller]
    pub fn flatten(&self) -> Tensor {
        self.reshape_to(Shape::new(&[self.numel()]))
    }

    /// This tensor if its elements lie row after row in memory, else such a copy, of the same
    /// shape.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert!(x.t().contiguous().is_contiguous() && x.contiguous().same_storage(&x));
    /// ```
    #[track_caller]
    pub fn contiguous(&self) -> Tensor {
        if self.is_contiguous() {
            return self.clone();
        }
        self.copy()
    }

    /// The same elements, in the same shape, in storage of their own.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// let y = x.copy();
    /// y.fill_(0);
    /// assert_eq!(x.sum().item(), 21.0);
    /// ```
    #[track_caller]
    pub fn copy(&self) -> Tensor {
        record("copy", copy(self), &[self], |tape, _| tape.edge(self, || Tensor::clone))
    }

    /// The transpose of a matrix, `(m, n) → (n, m)`: a view with both axes exchanged. With one
    /// axis or none there is nothing to exchange.
    ///
    /// # Panics
    /// If there are more than two axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.t().to_vec_i64(), [1, 4, 2, 5, 3, 6]);
    /// ```
    #[track_caller]
    pub fn t(&self) -> Tensor {
        assert!(
            self.ndim() <= 2,
            "t: a matrix is transposed, not shape {:?}; name the axes: transpose(0, 1)",
            self.shape()
        );
        if self.ndim() < 2 { self.clone() } else { self.transpose(0, 1) }
    }

    /// A view with two axes exchanged; negative ones count from the end.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::zeros([2, 3, 4]).transpose(0, -1).shape(), [4, 3, 2]);
    /// ```
    #[track_caller]
    pub fn transpose(&self, a: i64, b: i64) -> Tensor {
        let (a, b) =
            (axis_of("transpose", a, self.ndim()), axis_of("transpose", b, self.ndim()));
        let mut order: Vec<usize> = (0..self.ndim()).collect();
        order.swap(a, b);
        self.permute_to(&order)
    }

    /// A view whose axes are those of this tensor in another order.
    ///
    /// # Panics
    /// If `order` does not name every axis once; here none counts from the end.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::zeros([2, 3, 4]).permute([2, 0, 1]).shape(), [4, 2, 3]);
    /// ```
    #[track_caller]
    pub fn permute(&self, order: impl AsRef<[usize]>) -> Tensor {
        self.permute_to(order.as_ref())
    }

    #[track_caller]
    fn permute_to(&self, order: &[usize]) -> Tensor {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        assert!(
            sorted.iter().copied().eq(0..self.ndim()),
            "permute: {order:?} is no order of the {} axes of shape {:?}",
            self.ndim(),
            self.shape()
        );
        let mut back = vec![0; order.len()];
        for (to, &from) in order.iter().enumerate() {
            back[from] = to;
        }
        self.view("permute", self.layout.permute(order), move |g| g.permute_to(&back))
    }

    /// A view without the axis, if that has length 1; else the tensor as it is.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 1, 3]);
    /// assert_eq!((x.squeeze(1).shape(), x.squeeze(0).shape()), (&[2, 3][..], &[2, 1, 3][..]));
    /// ```
    #[track_caller]
    pub fn squeeze(&self, axis: i64) -> Tensor {
        let axis = axis_of("squeeze", axis, self.ndim());
        if self.shape()[axis] != 1 {
            return self.clone();
        }
        let from = self.layout.shape;
        self.view("squeeze", self.layout.select(axis, 0), move |g| g.reshape_to(from))
    }

    /// A view with one more axis, of length 1, at `axis`; negative ones count from the end
    /// of the new shape.
    ///
    /// # Panics
    /// If there is no such place, or there are eight axes already.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.unsqueeze(-1).shape(), [2, 3, 1]);
    /// ```
    #[track_caller]
    pub fn unsqueeze(&self, axis: i64) -> Tensor {
        let axis = axis_of("unsqueeze", axis, self.ndim() + 1);
        let from = self.layout.shape;
        self.view("unsqueeze", self.layout.unsqueeze(axis), move |g| g.reshape_to(from))
    }

    /// A view stretched to `shape`, as broadcasting stretches an operand; `-1` keeps a
    /// length. No element is copied: all repetitions are the same memory.
    ///
    /// # Panics
    /// If this shape does not broadcast to `shape`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1], [2]]).expand([-1, 3]);
    /// assert_eq!(x.to_vec_i64(), [1, 1, 1, 2, 2, 2]);
    /// ```
    #[track_caller]
    pub fn expand(&self, shape: impl Into<TargetShape>) -> Tensor {
        self.expand_to(shape.into())
    }

    #[track_caller]
    fn expand_to(&self, target: TargetShape) -> Tensor {
        let missing = target.lengths().len().checked_sub(self.ndim());
        let lengths = target.lengths().iter().enumerate().map(|(axis, &length)| {
            match (length, missing.filter(|&missing| axis >= missing)) {
                (-1, Some(missing)) => Some(self.shape()[axis - missing]),
                _ => usize::try_from(length).ok(),
            }
        });
        let shape = match lengths.collect::<Option<Vec<usize>>>() {
            Some(lengths) if missing.is_some() => {
                broadcast(self.shape(), &lengths).filter(|shape| **shape == lengths[..])
            }
            _ => None,
        };
        let Some(shape) = shape else {
            panic!(
                "expand: shape {:?} does not broadcast to {:?}",
                self.shape(),
                target.lengths()
            )
        };
        let (from, dtype) = (self.layout.shape, self.dtype());
        let layout = self.layout.broadcast_to(shape);
        self.view("expand", layout, move |g| unbroadcast(g, from, dtype))
    }

    /// A view of `length` elements of `axis`, from `start` on; the other axes stay.
    ///
    /// # Panics
    /// If there is no such axis, or it is shorter.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.narrow(1, 1, 2).to_vec_i64(), [2, 3, 5, 6]);
    /// ```
    #[track_caller]
    pub fn narrow(&self, axis: i64, start: usize, length: usize) -> Tensor {
        let axis = axis_of("narrow", axis, self.ndim());
        assert!(
            start.checked_add(length).is_some_and(|end| end <= self.shape()[axis]),
            "narrow: {length} elements from {start} on are not in axis {axis} of shape {:?}",
            self.shape()
        );
        self.part("narrow", move |layout| layout.slice(axis, start, length, 1))
    }

    /// A view of a part of the elements; `part` finds it in any layout of this shape.
    pub(super) fn part<F>(&self, op: &'static str, part: F) -> Tensor
    where
        F: Fn(&Layout) -> Layout + Send + Sync + 'static,
    {
        let shape = self.layout.shape;
        self.view(op, part(&self.layout), move |g| {
            let whole = constant_by(g, shape, g.dtype(), Value::Float(0.0));
            put(&whole.with_layout(part(&whole.layout)), g);
            whole
        })
    }

    /// Views of `size` elements along `axis` each; the last may be shorter. Of an axis of
    /// length 0 there is none.
    ///
    /// # Panics
    /// If there is no such axis, or `size` is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// let parts = x.split(2, 1);
    /// assert_eq!((parts[0].shape(), parts[1].shape()), (&[2, 2][..], &[2, 1][..]));
    /// ```
    #[track_caller]
    pub fn split(&self, size: usize, axis: i64) -> Vec<Tensor> {
        assert!(size > 0, "split: parts of 0 elements never end");
        let length = self.length("split", axis);
        let starts = (0..length).step_by(size);
        starts.map(|start| self.narrow(axis, start, size.min(length - start))).collect()
    }

    /// Views of the elements along `axis`, without that axis.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.unbind(0)[1].to_vec_i64(), [4, 5, 6]);
    /// ```
    #[track_caller]
    pub fn unbind(&self, axis: i64) -> Vec<Tensor> {
        let axis = axis_of("unbind", axis, self.ndim());
        let at = |i| self.part("unbind", move |layout| layout.select(axis, i));
        (0..self.shape()[axis]).map(at).collect()
    }

    /// The tensors one behind the other along `axis`, in the widest of their types.
    ///
    /// # Panics
    /// If there are none, there is no such axis, or their other axes differ in length.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(Tensor::cat(&[&x, &x], 1).shape(), [2, 6]);
    /// ```
    #[track_caller]
    pub fn cat(tensors: &[&Tensor], axis: i64) -> Tensor {
        let first = tensors.first().expect("cat: there must be at least one tensor");
        let axis = axis_of("cat", axis, first.ndim());
        let mut length = 0;
        for tensor in tensors {
            let fits = tensor.ndim() == first.ndim()
                && *tensor.layout.shape.with(axis, 0)
                    == *first.layout.shape.with(axis, 0);
            assert!(
                fits,
                "cat: shapes {:?} and {:?} differ in more than axis {axis}",
                first.shape(),
                tensor.shape()
            );
            length += tensor.shape()[axis];
        }
        let dtypes = tensors.iter().map(|tensor| tensor.dtype());
        let dtype = dtypes.reduce(DType::join).unwrap_or(DType::F32);
        let tensors: Vec<Tensor> = tensors.iter().map(|t| t.to_dtype(dtype)).collect();

        let shape = first.layout.shape.with(axis, length);
        let out = constant_by(first, shape, dtype, Value::Float(0.0));
        let mut starts = Vec::with_capacity(tensors.len());
        let mut start = 0;
        for tensor in &tensors {
            let length = tensor.shape()[axis];
            put(&out.with_layout(out.layout.slice(axis, start, length, 1)), tensor);
            starts.push(start);
            start += length;
        }
        record("cat", out, &tensors.iter().collect::<Vec<_>>(), |tape, _| {
            for (tensor, start) in tensors.iter().zip(starts) {
                let length = tensor.shape()[axis];
                tape.edge(tensor, || {
                    move |g: &Tensor| g.narrow(axis as i64, start, length)
                });
            }
        })
    }

    /// The tensors, all of one shape, side by side along a new axis, in the widest of their
    /// types; `axis` is its place in the new shape.
    ///
    /// # Panics
    /// If there are none, their shapes differ, there is no such place, or they have eight axes
    /// already.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(Tensor::stack(&[&x, &x], 0).shape(), [2, 2, 3]);
    /// ```
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: i64) -> Tensor {
        let first = tensors.first().expect("stack: there must be at least one tensor");
        for tensor in tensors {
            assert!(
                tensor.shape() == first.shape(),
                "stack: shapes {:?} and {:?} differ",
                first.shape(),
                tensor.shape()
            );
        }
        let axis = axis_of("stack", axis, first.ndim() + 1) as i64;
        let ndim = first.ndim() + 1;
        assert!(
            ndim <= MAX_NDIM,
            "stack: a tensor has at most {MAX_NDIM} axes, not {ndim}"
        );
        let raised: Vec<Tensor> = tensors.iter().map(|t| t.unsqueeze(axis)).collect();
        Tensor::cat(&raised.iter().collect::<Vec<_>>(), axis)
    }
}
