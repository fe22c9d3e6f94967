//! Vectors for symbols.

use super::{Parameter, module::module};
use crate::Tensor;

/// A learned vector for each of `n` symbols: integers `(…)` give `(…, width)`.
///
/// The vectors start normally distributed.
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::Embedding::new(100, 8);
/// assert_eq!(layer.forward(&tensor([[1, 2, 3], [4, 5, 6]])).shape(), [2, 3, 8]);
/// ```
#[derive(Debug)]
pub struct Embedding {
    /// `(n, width)`: a row for each symbol.
    pub weight: Parameter,
}

impl Embedding {
    /// Vectors of length `width` for `n` symbols: `(n, width)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(nn::Embedding::new(10, 4).weight.shape(), [10, 4]);
    /// ```
    #[track_caller]
    pub fn new(n: usize, width: usize) -> Embedding {
        Embedding { weight: Parameter::new(Tensor::randn([n, width])) }
    }

    /// The vectors of these symbols: integers `(…)` give `(…, width)`.
    ///
    /// # Panics
    /// If these are no integers, or there is no such symbol ([`Tensor::embedding`]).
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::Embedding::new(10, 4);
    /// let y = layer.forward(&tensor([7, 7]));
    /// assert!(y.i(0).equal(&layer.weight.i(7)) && y.i(1).equal(&y.i(0)));
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.embedding(x)
    }
}

module!(Embedding: weight);
