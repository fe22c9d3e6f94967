//! Elements in order.

use std::cmp::Ordering;

use super::Tensor;
use crate::{
    dtype::{DType, Element, with_dtype},
    shape::axis_of,
};

/// From the least to the greatest, or the other way round.
///
/// ```
/// use d2l::{Order, prelude::*};
///
/// let x = tensor([3, 1, 2]);
/// assert_eq!(x.argsort(0, Order::Ascending).to_vec_i64(), [1, 2, 0]);
/// assert_eq!(x.argsort(0, Order::Descending).to_vec_i64(), [0, 2, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least first; NaN last.
    Ascending,
    /// The greatest first; NaN before it.
    Descending,
}

impl Tensor {
    /// The elements along `axis` in ascending order, in this shape. NaN counts as the greatest.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([3.0, 1.0, 2.0]).sort(0).to_vec(), [1.0, 2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: i64) -> Tensor {
        self.gather(axis, &self.ranked("sort", axis, None, Order::Ascending))
    }

    /// The positions that put the elements along `axis` in order, as `i64`, in this shape;
    /// equal ones stay as they are.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::{Order, prelude::*};
    ///
    /// let x = tensor([3.0, 1.0, 2.0]);
    /// assert_eq!(x.argsort(0, Order::Descending).to_vec_i64(), [0, 2, 1]);
    /// ```
    #[track_caller]
    pub fn argsort(&self, axis: i64, order: Order) -> Tensor {
        self.ranked("argsort", axis, None, order)
    }

    /// The `k` greatest elements along `axis`, greatest first, and their positions, as `i64`:
    /// both in this shape with length `k` along `axis`. NaN counts as the greatest.
    ///
    /// # Panics
    /// If there is no such axis, or it is shorter.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (values, positions) = tensor([3.0, 1.0, 2.0]).topk(2, 0);
    /// assert_eq!((values.to_vec(), positions.to_vec_i64()), (vec![3.0, 2.0], vec![0, 2]));
    /// ```
    #[track_caller]
    pub fn topk(&self, k: usize, axis: i64) -> (Tensor, Tensor) {
        let positions = self.ranked("topk", axis, Some(k), Order::Descending);
        (self.gather(axis, &positions), positions)
    }

    /// The positions of the first elements along `axis` in this order: so many, or all.
    #[track_caller]
    fn ranked(&self, op: &str, axis: i64, keep: Option<usize>, order: Order) -> Tensor {
        let axis = axis_of(op, axis, self.ndim());
        let length = self.shape()[axis];
        let keep = keep.unwrap_or(length);
        assert!(
            keep <= length,
            "{op}: there are no {keep} elements in axis {axis} of shape {:?}",
            self.shape()
        );
        let last = self.detach().transpose(axis as i64, -1);
        let mut ranks: Vec<i64> = Vec::new();
        with_dtype!(self.dtype(), T => {
            let values = last.to_vec_of::<T>();
            for row in values.chunks_exact(length.max(1)) {
                let mut at: Vec<i64> = (0..length as i64).collect();
                at.sort_by(|&i, &j| {
                    let ascending = compare(row[i as usize], row[j as usize]);
                    if order == Order::Ascending { ascending } else { ascending.reverse() }
                });
                ranks.extend(&at[..keep]);
            }
        });
        let shape = last.layout.shape.with(self.ndim() - 1, keep);
        let ranks = Tensor::new(ranks, shape).transpose(axis as i64, -1).contiguous();
        ranks.to_device(self.device())
    }

    /// The different elements in ascending order, and how often each is there, as `i64`: both
    /// in one axis, whatever the shape.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (values, counts) = tensor([3, 1, 3]).unique();
    /// assert_eq!((values.to_vec_i64(), counts.to_vec_i64()), (vec![1, 3], vec![1, 2]));
    /// ```
    #[track_caller]
    pub fn unique(&self) -> (Tensor, Tensor) {
        with_dtype!(self.dtype(), T => {
            let mut values = self.to_vec_of::<T>();
            values.sort_by(|&a, &b| compare(a, b));
            let (mut different, mut counts): (Vec<T>, Vec<i64>) = (Vec::new(), Vec::new());
            for value in values {
                match (different.last(), counts.last_mut()) {
                    (Some(&last), Some(count)) if last == value => *count += 1,
                    _ => {
                        different.push(value);
                        counts.push(1);
                    }
                }
            }
            let shape = crate::Shape::new(&[counts.len()]);
            let home = self.device();
            let different = Tensor::new(different, shape).to_device(home);
            (different, Tensor::new(counts, shape).to_device(home))
        })
    }

    /// How often each of `0..length` is among these integers, whatever the shape: `i64`,
    /// `(length)`.
    ///
    /// # Panics
    /// If this tensor holds no integers, or one that is negative or `length` or more.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([2, 0, 2]).bincount(4).to_vec_i64(), [1, 0, 2, 0]);
    /// ```
    #[track_caller]
    pub fn bincount(&self, length: usize) -> Tensor {
        let dtype = self.dtype();
        assert!(
            matches!(dtype, DType::I64 | DType::U8),
            "bincount: only whole numbers are counted, not {dtype}"
        );
        let mut counts = vec![0_i64; length];
        for value in self.to_vec_i64() {
            match usize::try_from(value).ok().and_then(|at| counts.get_mut(at)) {
                Some(count) => *count += 1,
                None => panic!("bincount: {value} is not among 0..{length}"),
            }
        }
        Tensor::new(counts, crate::Shape::new(&[length])).to_device(self.device())
    }
}

/// By size, with NaN above all.
fn compare<T: Element>(a: T, b: T) -> Ordering {
    // Only NaN is not comparable, not even with itself.
    let is_nan = |value: &T| value.partial_cmp(value).is_none();
    a.partial_cmp(&b).unwrap_or_else(|| is_nan(&a).cmp(&is_nan(&b)))
}
