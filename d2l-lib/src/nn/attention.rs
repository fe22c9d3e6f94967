//! Attention of several heads, and masks of what it may see.

use super::{Linear, Mode, dropout, module::module};
use crate::{
    DType, Tensor,
    tensor::attention::{attend, expect_mask},
};

/// Multi-head attention (Vaswani et al., 2017): queries, keys and values are mapped linearly,
/// cut into heads, attended to in each head ([`Tensor::attention`]), and put together by
/// another linear map.
///
/// ```
/// use d2l::prelude::*;
///
/// let attention = nn::MultiHeadAttention::lazy(16, 4);
/// let (x, memory) = (Tensor::rand([2, 5, 16]), Tensor::rand([2, 7, 16]));
/// let seen = nn::length_mask(&tensor([7, 3]), 7);
/// let (y, weights) = attention.attend(&x, &memory, &memory, Some(&seen));
/// assert_eq!(y.shape(), [2, 5, 16]);
/// assert_eq!(weights.shape(), [2, 4, 5, 7]);
/// assert_eq!(weights.i((1, .., .., 3..)).sum().item(), 0.0, "beyond the length");
/// ```
#[derive(Debug)]
pub struct MultiHeadAttention {
    /// Maps queries to `num_hiddens` features.
    pub query: Linear,
    /// Maps keys to `num_hiddens` features.
    pub key: Linear,
    /// Maps values to `num_hiddens` features.
    pub value: Linear,
    /// Maps the results of all heads to `num_hiddens` features.
    pub output: Linear,
    num_heads: usize,
    dropout: f64,
    mode: Mode,
}

impl MultiHeadAttention {
    /// Attention with `num_heads` heads of `num_hiddens / num_heads` features, which finds the
    /// numbers of its inputs when it meets the first ones.
    ///
    /// # Panics
    /// If the features cannot be shared out evenly.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (x, layer) = (Tensor::rand([2, 5, 8]), nn::MultiHeadAttention::lazy(8, 2));
    /// assert_eq!(layer.forward(&x).shape(), [2, 5, 8]);
    /// ```
    #[track_caller]
    pub fn lazy(num_hiddens: usize, num_heads: usize) -> MultiHeadAttention {
        assert!(
            num_heads > 0 && num_hiddens.is_multiple_of(num_heads),
            "MultiHeadAttention: {num_hiddens} features cannot be shared by {num_heads} heads"
        );
        let linear = || Linear::lazy(num_hiddens);
        MultiHeadAttention {
            query: linear(),
            key: linear(),
            value: linear(),
            output: linear(),
            num_heads,
            dropout: 0.0,
            mode: Mode::new(),
        }
    }

    /// The layer without biases.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (x, layer) = (Tensor::rand([2, 5, 8]), nn::MultiHeadAttention::lazy(8, 2).without_bias());
    /// layer.forward(&x);
    /// assert_eq!(layer.parameters().len(), 4);
    /// ```
    pub fn without_bias(self) -> MultiHeadAttention {
        MultiHeadAttention {
            query: self.query.without_bias(),
            key: self.key.without_bias(),
            value: self.value.without_bias(),
            output: self.output.without_bias(),
            ..self
        }
    }

    /// In training, drops attention weights with this probability; 0 at first.
    ///
    /// # Panics
    /// If `p` is not in `[0, 1)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (x, layer) = (Tensor::rand([2, 5, 8]), nn::MultiHeadAttention::lazy(8, 2).dropout(0.5));
    /// assert!(!layer.forward(&x).equal(&layer.forward(&x)));
    /// ```
    #[track_caller]
    pub fn dropout(mut self, p: f64) -> MultiHeadAttention {
        assert!(
            (0.0..1.0).contains(&p),
            "MultiHeadAttention: cannot drop a share of {p}"
        );
        self.dropout = p;
        self
    }

    /// What the queries `(b, n, features)` find among keys and values `(b, m, features)`,
    /// `(b, n, num_hiddens)`; and the weights of each head, `(b, heads, n, m)`, as constants.
    ///
    /// `mask` holds bools and broadcasts to `(b, n, m)`, or with four axes to
    /// `(b, heads, n, m)`; where it is false, the query does not see the key.
    ///
    /// # Panics
    /// If the shapes do not fit, or the mask does not hold bools or does not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (x, layer) = (Tensor::rand([2, 5, 8]), nn::MultiHeadAttention::lazy(8, 2));
    /// let (y, weights) = layer.attend(&x, &x, &x, None);
    /// assert_eq!((y.shape(), weights.shape()), (&[2, 5, 8][..], &[2, 2, 5, 5][..]));
    /// assert!(weights.sum_axis(-1).allclose(&Tensor::ones([2, 2, 5])));
    /// ```
    #[track_caller]
    pub fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> (Tensor, Tensor) {
        let all = [queries, keys, values];
        let fits =
            all.iter().all(|x| x.ndim() == 3 && x.shape()[0] == queries.shape()[0])
                && keys.shape()[1] == values.shape()[1];
        assert!(
            fits,
            "MultiHeadAttention: queries, keys and values of shapes {:?} do not fit",
            all.map(Tensor::shape)
        );
        let [b, n, m] = [queries.shape()[0], queries.shape()[1], keys.shape()[1]];
        let weights = [b, self.num_heads, n, m];
        if let Some(mask) = mask {
            let seen = if mask.ndim() < 4 { &[b, n, m][..] } else { &weights };
            expect_mask("MultiHeadAttention", mask, seen);
        }
        let mask = mask.map(|mask| match mask.ndim() {
            3 => mask.unsqueeze(1),
            _ => mask.clone(),
        });
        let factors = (self.mode.is_training() && self.dropout > 0.0).then(|| {
            dropout::factors(self.dropout, &weights, DType::F32, queries.device())
        });
        let (out, weights) = attend(
            &self.query.forward(queries),
            &self.key.forward(keys),
            &self.value.forward(values),
            self.num_heads,
            mask.as_ref(),
            factors.as_ref(),
        );
        (self.output.forward(&out), weights)
    }

    /// Self-attention, `(b, n, features) → (b, n, num_hiddens)`: `x` gives queries, keys and
    /// values.
    ///
    /// # Panics
    /// If the input is no batch of sequences.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (x, layer) = (Tensor::rand([2, 5, 8]), nn::MultiHeadAttention::lazy(8, 2));
    /// assert!(layer.forward(&x).equal(&layer.attend(&x, &x, &x, None).0));
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, None).0
    }
}

module!(MultiHeadAttention: query, key, value, output, mode);

/// Lets every place see itself and those before: bools `(n, n)`.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(nn::causal_mask(2).to_vec_bool(), [true, false, true, true]);
/// ```
#[track_caller]
pub fn causal_mask(n: usize) -> Tensor {
    let at = Tensor::arange(0..n);
    at.unsqueeze(1).ge(&at)
}

/// Lets every sequence of a batch see its first places, as many as its length says: lengths
/// `(b)` give bools `(b, 1, m)`, lengths `(b, n)`, one for each query, give `(b, n, m)`.
///
/// ```
/// use d2l::prelude::*;
///
/// let mask = nn::length_mask(&tensor([1, 2]), 2);
/// assert_eq!(mask.shape(), [2, 1, 2]);
/// assert_eq!(mask.to_vec_bool(), [true, false, true, true]);
/// ```
///
/// # Panics
/// If the lengths have another number of axes.
#[track_caller]
pub fn length_mask(lengths: &Tensor, m: usize) -> Tensor {
    let lengths = match lengths.ndim() {
        1 => lengths.unsqueeze(1),
        2 => lengths.clone(),
        _ => panic!(
            "length_mask: lengths of shape {:?} are neither (b) nor (b, n)",
            lengths.shape()
        ),
    };
    lengths.unsqueeze(-1).gt(Tensor::arange(0..m).to_device(lengths.device()))
}
