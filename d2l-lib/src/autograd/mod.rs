//! Reverse-mode automatic differentiation.
//!
//! While a tensor that [needs a gradient](Tensor::requires_grad) takes part in operations,
//! every result remembers, for each input, how to turn the gradient with respect to itself
//! into the gradient with respect to that input. [`Tensor::backward`] walks these memories
//! from the result to the leaves, and frees them on the way.

pub mod check;
mod graph;

use std::{cell::Cell, sync::Arc};

use crate::{dtype::DType, tensor::Tensor};
pub(crate) use graph::{After, Gradients, Node, gradients_left, record, record_across};

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(true) };
}

/// Whether operations are recorded on this thread now.
pub(crate) fn is_recording() -> bool {
    RECORDING.get()
}

/// Runs `f` without recording operations: for updating parameters, and for evaluation.
///
/// ```
/// use d2l::prelude::*;
///
/// let w = tensor([1.0, 2.0]).requires_grad();
/// let y = no_grad(|| &w * 2.0);
/// assert!(!y.needs_grad());
/// no_grad(|| w.sub_(0.5));
/// assert_eq!(w.to_vec(), [0.5, 1.5]);
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _pause = Pause::begin();
    f()
}

/// While it lives, nothing is recorded on this thread; then, after a panic too, the setting of
/// before counts again. A function with it, unlike a closure for [`no_grad`], can tell mistakes
/// at its caller's line.
pub(crate) struct Pause(bool);

impl Pause {
    pub(crate) fn begin() -> Pause {
        Pause(RECORDING.replace(false))
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        RECORDING.set(self.0);
    }
}

impl Tensor {
    /// This tensor as a leaf of the graph: [`backward`](Tensor::backward) will leave the
    /// gradient with respect to it in [`grad`](Tensor::grad). Handles made before stay outside
    /// of the graph, and the result of an operation that is in it already stays that.
    ///
    /// # Panics
    /// If the elements are not floats.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]).requires_grad();
    /// (&x * &x).sum().backward();
    /// assert_eq!(x.grad().unwrap().to_vec(), [2.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn requires_grad(mut self) -> Tensor {
        let dtype = self.dtype();
        assert!(
            dtype.is_float(),
            "requires_grad: only floats have gradients, not {dtype}"
        );
        if self.node.is_none() {
            self.node = Some(Arc::new(Node::leaf()));
        }
        self
    }

    /// Whether gradients flow to this tensor.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor(1.0).requires_grad();
    /// assert!((&x * 2.0).needs_grad() && !tensor(1.0).needs_grad());
    /// ```
    pub fn needs_grad(&self) -> bool {
        self.node.is_some()
    }

    /// Whether this tensor is not the recorded result of an operation.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor(1.0).requires_grad();
    /// assert!(x.is_leaf() && !(&x * 2.0).is_leaf());
    /// ```
    pub fn is_leaf(&self) -> bool {
        self.node.as_ref().is_none_or(|node| node.is_leaf())
    }

    /// The gradient that [`backward`](Tensor::backward) left here, summed over its calls, in
    /// this tensor's shape; results of operations keep none.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor(3.0).requires_grad();
    /// assert!(x.grad().is_none());
    /// (&x * 2.0).backward();
    /// (&x * 5.0).backward();
    /// assert_eq!(x.grad().unwrap().item(), 7.0);
    /// ```
    pub fn grad(&self) -> Option<Tensor> {
        self.node.as_ref().and_then(|node| node.grad())
    }

    /// Forgets the gradient, so that the next one does not add to it.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor(3.0).requires_grad();
    /// (&x * 2.0).backward();
    /// x.zero_grad();
    /// assert!(x.grad().is_none());
    /// ```
    pub fn zero_grad(&self) {
        if let Some(node) = &self.node {
            graph::touch(node);
            node.set_grad(None);
        }
    }

    /// The same elements (the same storage) in the same shape outside the graph: a constant.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor(3.0).requires_grad();
    /// let y = &x * &x;
    /// (y.detach() * &x).backward();
    /// assert_eq!(x.grad().unwrap().item(), 9.0);
    /// ```
    pub fn detach(&self) -> Tensor {
        self.with_layout(self.layout)
    }

    /// Computes the gradient of this scalar with respect to every leaf it depends on, and
    /// adds it to what the leaf's [`grad`](Tensor::grad) holds.
    ///
    /// The graph is used up: a second call needs the value computed anew.
    ///
    /// # Panics
    /// If this is not a single number, depends on no tensor that requires a gradient, or
    /// was differentiated before.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]).requires_grad();
    /// x.pow(3).sum().backward();
    /// assert_eq!(x.grad().unwrap().to_vec(), [3.0, 12.0]);
    /// ```
    #[track_caller]
    pub fn backward(&self) {
        assert!(
            self.numel() == 1,
            "backward: shape {:?} is no scalar; sum it, or give `backward_with` a gradient",
            self.shape()
        );
        self.backward_with(&self.ones_like());
    }

    /// Like [`backward`](Tensor::backward) for a tensor of any shape, starting from the
    /// gradient of some later scalar with respect to it: a vector-Jacobian product.
    ///
    /// # Panics
    /// If `gradient` has another shape than this tensor, or this depends on no tensor that
    /// requires a gradient, or was differentiated before.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]).requires_grad();
    /// (&x * &x).backward_with(&tensor([1.0, 10.0]));
    /// assert_eq!(x.grad().unwrap().to_vec(), [2.0, 40.0]);
    /// ```
    #[track_caller]
    pub fn backward_with(&self, gradient: &Tensor) {
        assert!(
            gradient.shape() == self.shape(),
            "backward: a gradient of shape {:?} for a value of shape {:?}",
            gradient.shape(),
            self.shape()
        );
        let Some(node) = &self.node else {
            panic!("backward: this value depends on no tensor with `requires_grad()`");
        };
        let gradient = gradient.detach().to_dtype(self.dtype());
        no_grad(|| graph::backward(node, gradient));
    }

    /// Panics if gradients would have to flow through a write in place.
    #[track_caller]
    pub(crate) fn forbid_recorded_write(&self, op: &str, source: Option<&Tensor>) {
        let needs = self.needs_grad() || source.is_some_and(Tensor::needs_grad);
        assert!(
            !(needs && is_recording()),
            "{op}: writes in place are not recorded for gradients; \
             compute a new tensor, or write inside `no_grad`"
        );
    }
}

/// Sums `gradient` over the axes along which an operand of `shape` was stretched, and gives
/// it the operand's `dtype`.
pub(crate) fn unbroadcast(
    gradient: &Tensor,
    shape: crate::Shape,
    dtype: DType,
) -> Tensor {
    if gradient.shape() == &*shape {
        return gradient.to_dtype(dtype);
    }
    let missing = gradient.ndim() - shape.len();
    let axes: Vec<usize> = (0..gradient.ndim())
        .filter(|&axis| {
            axis < missing || (shape[axis - missing] == 1 && gradient.shape()[axis] != 1)
        })
        .collect();
    gradient.sum_axis(axes).reshape(shape).to_dtype(dtype)
}
