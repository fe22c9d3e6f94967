//! Products of vectors and matrices.

use super::{Tensor, Value, create::constant_by};
use crate::{
    autograd::{record, unbroadcast},
    dtype::{DType, with_float},
    ops,
    shape::{Shape, broadcast},
};

impl Tensor {
    /// The product of matrices over the last two axes; leading axes broadcast.
    ///
    /// `(…, m, k) × (…, k, n) → (…, m, n)`. A vector on the left counts as one row, on the
    /// right as one column, and the result has no such axis.
    ///
    /// # Panics
    /// If one has no axes, the inner lengths differ, or the leading axes do not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let a = Tensor::arange(0.0..6.0).reshape([2, 3]);
    /// assert_eq!(a.matmul(&a.t()).to_vec(), [5.0, 14.0, 14.0, 50.0]);
    /// ```
    #[track_caller]
    pub fn matmul(&self, rhs: &Tensor) -> Tensor {
        product("matmul", self, rhs)
    }

    /// The product of two matrices: `(m, k) × (k, n) → (m, n)`.
    ///
    /// # Panics
    /// If one is no matrix, or the inner lengths differ.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.mm(&Tensor::eye(2)).to_vec(), [1.0, 2.0, 3.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn mm(&self, rhs: &Tensor) -> Tensor {
        self.expect_axes("mm", 2, rhs, 2);
        product("mm", self, rhs)
    }

    /// The product of this matrix and a vector: `(m, k) × (k) → (m)`.
    ///
    /// # Panics
    /// If the shapes are not `(m, k)` and `(k)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.mv(&tensor([1.0, 10.0])).to_vec(), [21.0, 43.0]);
    /// ```
    #[track_caller]
    pub fn mv(&self, rhs: &Tensor) -> Tensor {
        self.expect_axes("mv", 2, rhs, 1);
        product("mv", self, rhs)
    }

    /// The dot product of two vectors: a tensor without axes.
    ///
    /// # Panics
    /// If one is no vector, or the lengths differ.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1.0, 2.0]).dot(&tensor([3.0, 4.0])).item(), 11.0);
    /// ```
    #[track_caller]
    pub fn dot(&self, rhs: &Tensor) -> Tensor {
        self.expect_axes("dot", 1, rhs, 1);
        product("dot", self, rhs)
    }

    /// The outer product of two vectors: `(m)` and `(n)` give `(m, n)`.
    ///
    /// # Panics
    /// If one is no vector.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1.0, 2.0]).outer(&tensor([3.0, 4.0])).to_vec(), [3.0, 4.0, 6.0, 8.0]);
    /// ```
    #[track_caller]
    pub fn outer(&self, rhs: &Tensor) -> Tensor {
        self.expect_axes("outer", 1, rhs, 1);
        self.unsqueeze(1) * rhs
    }

    /// An affine map of the last axis: `x · weightᵀ + bias`.
    ///
    /// `(…, k)` with `weight` of shape `(n, k)` and `bias` of shape `(n)` gives `(…, n)`.
    /// Integers count as `f32`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (w, b) = (tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([0.5, 0.0]));
    /// assert_eq!(tensor([1.0, 1.0]).linear(&w, Some(&b)).to_vec(), [3.5, 7.0]);
    /// ```
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        assert!(
            self.ndim() > 0
                && weight.ndim() == 2
                && self.shape()[self.ndim() - 1] == weight.shape()[1]
                && bias.is_none_or(|bias| bias.shape() == &weight.shape()[..1]),
            "linear: a weight of shape {:?} and a bias of shape {:?} do not fit an input of \
             shape {:?}",
            weight.shape(),
            bias.map(Tensor::shape),
            self.shape()
        );
        let dtype = DType::promote((self.dtype(), 2), (weight.dtype(), 2)).to_float();
        let [n, k] = [weight.shape()[0], weight.shape()[1]];
        let m = self.numel().checked_div(k).unwrap_or(0);
        let shape = self.layout.shape.with(self.ndim() - 1, n);
        if k == 0 {
            // Nothing to sum over: the bias alone, for every row.
            let zeros = constant_by(self, shape, dtype, Value::Int(0));
            return match bias {
                Some(bias) => zeros + bias,
                None => zeros,
            };
        }
        let x = self.to_dtype(dtype).reshape_to(Shape::new(&[m, k]));
        let weight = weight.to_dtype(dtype);
        let bias = bias.map(|bias| bias.to_dtype(dtype).contiguous());
        let out = affine(&x, &weight, bias.as_ref());
        let inputs = [Some(&x), Some(&weight), bias.as_ref()];
        let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
        let out = record("linear", out, &inputs, |tape, _| {
            tape.edge(&x, || {
                let weight = weight.saved();
                move |g: &Tensor| g.mm(&weight)
            });
            tape.edge(&weight, || {
                let x = x.saved();
                move |g: &Tensor| g.t().mm(&x)
            });
            if let Some(bias) = &bias {
                tape.edge(bias, || |g: &Tensor| g.sum_axis(0));
            }
        });
        if self.ndim() == 2 {
            return out;
        }
        out.reshape_to(shape)
    }

    #[track_caller]
    fn expect_axes(&self, op: &str, own: usize, rhs: &Tensor, its: usize) {
        let name = |ndim| if ndim == 1 { "a vector" } else { "a matrix" };
        assert!(
            self.ndim() == own && rhs.ndim() == its,
            "{op}: needs {} and {}, not shapes {:?} and {:?}",
            name(own),
            name(its),
            self.shape(),
            rhs.shape()
        );
    }
}

#[track_caller]
fn product(op: &'static str, a: &Tensor, b: &Tensor) -> Tensor {
    assert!(
        a.ndim() > 0 && b.ndim() > 0,
        "{op}: needs axes to sum over; shapes {:?} and {:?}",
        a.shape(),
        b.shape()
    );
    let (rows, columns) = (a.ndim() == 1, b.ndim() == 1);
    let inner = |x: &Tensor, axis: usize| x.shape()[axis];
    assert!(
        inner(a, a.ndim() - 1) == inner(b, b.ndim().saturating_sub(2)),
        "{op}: inner lengths of shapes {:?} and {:?} differ",
        a.shape(),
        b.shape()
    );
    let left = if rows { a.unsqueeze(0) } else { a.clone() };
    let right = if columns { b.unsqueeze(1) } else { b.clone() };
    let out = matrices(op, &left, &right);
    match (rows, columns) {
        (true, true) => out.squeeze(-1).squeeze(-1),
        (true, false) => out.squeeze(-2),
        (false, true) => out.squeeze(-1),
        (false, false) => out,
    }
}

/// `x · weightᵀ + bias` of matrices of one type of floats, outside the graph.
#[track_caller]
fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    if let Some(out) = ops::cuda::affine(x, weight, bias) {
        return out;
    }
    let bias = bias.map(ops::widened);
    let wide = |x| ops::widened(x);
    let out = with_float!(x.dtype(), T => {
        ops::matmul::affine::<T>(&wide(x), &wide(weight), bias.as_deref())
    });
    ops::rounded(out, x.dtype())
}

/// The product of operands with at least two axes each, whose inner lengths agree.
#[track_caller]
fn matrices(op: &'static str, a: &Tensor, b: &Tensor) -> Tensor {
    let dtype = DType::promote((a.dtype(), 2), (b.dtype(), 2));
    let (a, b) = (a.to_dtype(dtype), b.to_dtype(dtype));
    let batch = broadcast(&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2]);
    let Some(batch) = batch else {
        panic!(
            "{op}: leading axes of shapes {:?} and {:?} do not broadcast",
            a.shape(),
            b.shape()
        )
    };
    let out = match ops::cuda::product(&a, &b, &batch) {
        Some(out) => out,
        None => ops::matmul::matmul(&a, &b, &batch),
    };
    record(op, out, &[&a, &b], |tape, _| {
        let (a_shape, b_shape) = (a.layout.shape, b.layout.shape);
        tape.edge(&a, || {
            let b = b.saved();
            move |g: &Tensor| unbroadcast(&g.matmul(&b.transpose(-1, -2)), a_shape, dtype)
        });
        tape.edge(&b, || {
            let a = a.saved();
            move |g: &Tensor| unbroadcast(&a.transpose(-1, -2).matmul(g), b_shape, dtype)
        });
    })
}
