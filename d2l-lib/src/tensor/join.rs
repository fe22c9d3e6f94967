//! Tensors in equal parts, repeated, and backwards.

use super::Tensor;

impl Tensor {
    /// Views of equal length along `axis`, at most `parts`; the last may be shorter. Of an
    /// axis of length 0 there is none.
    ///
    /// # Panics
    /// If there is no such axis, or there are to be no parts.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let parts = Tensor::arange(0..5).chunk(2, 0);
    /// assert_eq!(parts[1].to_vec_i64(), [3, 4]);
    /// ```
    #[track_caller]
    pub fn chunk(&self, parts: usize, axis: i64) -> Vec<Tensor> {
        assert!(parts > 0, "chunk: a tensor cannot be cut into 0 parts");
        let length = self.length("chunk", axis);
        self.split(length.div_ceil(parts).max(1), axis)
    }

    /// The elements `times` times, one copy behind the other along `axis`, which gets `times`
    /// its length.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([[1, 2]]).repeat(2, 1).to_vec_i64(), [1, 2, 1, 2]);
    /// ```
    #[track_caller]
    pub fn repeat(&self, times: usize, axis: i64) -> Tensor {
        let length = self.length("repeat", axis);
        let at = (0..times * length).map(|i| (i % length) as i64).collect::<Vec<_>>();
        self.index_select(axis, &crate::tensor(at))
    }

    /// Every slice along `axis` `times` times, copies side by side; the axis gets `times` its
    /// length.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1, 2]).repeat_each(2, 0).to_vec_i64(), [1, 1, 2, 2]);
    /// ```
    #[track_caller]
    pub fn repeat_each(&self, times: usize, axis: i64) -> Tensor {
        let length = self.length("repeat_each", axis);
        let at = (0..times * length).map(|i| (i / times) as i64).collect::<Vec<_>>();
        self.index_select(axis, &crate::tensor(at))
    }

    /// The slices along `axis` in reverse order: a copy in the same shape.
    ///
    /// # Panics
    /// If there is no such axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2], [3, 4]]);
    /// assert_eq!(x.flip(1).to_vec_i64(), [2, 1, 4, 3]);
    /// ```
    #[track_caller]
    pub fn flip(&self, axis: i64) -> Tensor {
        let length = self.length("flip", axis);
        let at = (0..length as i64).rev().collect::<Vec<_>>();
        self.index_select(axis, &crate::tensor(at))
    }
}
