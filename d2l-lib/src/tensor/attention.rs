//! Attention: weighted means of values, by how well keys answer queries.

use super::Tensor;
use crate::{
    DType,
    autograd::record,
    device::Buffer,
    dtype::with_float,
    ops::{
        attention::{Attention, Mask},
        cuda, rounded,
    },
    shape::{Shape, broadcast},
};

impl Tensor {
    /// Scaled dot-product attention: for each of these queries the mean of the values,
    /// weighted by the softmax of `query · key / √d`.
    ///
    /// Queries `(…, n, d)`, keys `(…, m, d)` and values `(…, m, e)` with the same leading axes
    /// give `(…, n, e)`. Where `mask`, a bool tensor that broadcasts to `(…, n, m)`, is false,
    /// the query does not see the key; one that sees none gets zeros.
    ///
    /// # Panics
    /// If the shapes do not fit, or the mask does not hold bools or does not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (keys, values) = (Tensor::ones([1, 3, 2]), tensor([[[1.0], [2.0], [6.0]]]));
    /// let query = Tensor::rand([1, 1, 2]);
    /// let y = query.attention(&keys, &values, None);
    /// assert!(y.allclose(&tensor([[[3.0]]])), "equal keys: the mean of all values");
    /// let y = query.attention(&keys, &values, Some(&tensor([true, true, false])));
    /// assert!(y.allclose(&tensor([[[1.5]]])));
    /// ```
    #[track_caller]
    pub fn attention(
        &self,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Tensor {
        let fits = self.ndim() >= 2
            && keys.ndim() == self.ndim()
            && values.ndim() == self.ndim()
            && self.shape()[..self.ndim() - 2] == keys.shape()[..self.ndim() - 2]
            && keys.shape()[..self.ndim() - 1] == values.shape()[..self.ndim() - 1]
            && self.len_of(-1) == keys.len_of(-1);
        assert!(
            fits,
            "attention: queries of shape {:?}, keys of shape {:?} and values of shape {:?} do \
             not fit",
            self.shape(),
            keys.shape(),
            values.shape()
        );
        let leading = self.ndim() - 2;
        let batch: usize = self.shape()[..leading].iter().product();
        let flat = |x: &Tensor| {
            x.reshape_to(Shape::new(&[batch, x.shape()[leading], x.shape()[leading + 1]]))
        };
        let whole = [&self.shape()[..=leading], &[keys.shape()[leading]]].concat();
        if let Some(mask) = mask {
            expect_mask("attention", mask, &whole);
        }
        let mask = mask.filter(|_| batch > 0).map(|mask| {
            let (n, m) = (whole[leading], whole[leading + 1]);
            mask.expand(&whole[..]).reshape_to(Shape::new(&[batch, 1, n, m]))
        });
        let (out, _) =
            attend(&flat(self), &flat(keys), &flat(values), 1, mask.as_ref(), None);
        let shape = self.layout.shape.with(leading + 1, values.shape()[leading + 1]);
        out.reshape_to(shape)
    }
}

/// Panics unless the mask holds bools and broadcasts to `shape`.
#[track_caller]
pub(crate) fn expect_mask(op: &str, mask: &Tensor, shape: &[usize]) {
    assert!(
        mask.dtype() == DType::Bool
            && broadcast(mask.shape(), shape).is_some_and(|all| *all == *shape),
        "{op}: a mask of shape {:?} that holds {} for scores of shape {shape:?}",
        mask.shape(),
        mask.dtype()
    );
}

/// Attention of several heads, which lie side by side in the last axis: queries
/// `(batch, n, heads · d)`, keys `(batch, m, heads · d)`, values `(batch, m, heads · e)`; with
/// the weights, `(batch, heads, n, m)`, which are constants.
///
/// `mask` has four axes and broadcasts to the weights' shape; `factors` of that shape are
/// multiplied to the weights.
#[track_caller]
pub(crate) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    mask: Option<&Tensor>,
    factors: Option<&Tensor>,
) -> (Tensor, Tensor) {
    let result = q.dtype().join(k.dtype()).join(v.dtype()).to_float();
    let dtype = result.wide();
    let [q, k, v] = [q, k, v].map(|x| x.to_dtype(dtype).contiguous());
    let factors = factors.map(|factors| factors.to_dtype(dtype).contiguous());
    let sizes = Attention {
        batch: q.shape()[0],
        heads,
        queries: q.shape()[1],
        keys: k.shape()[1],
        width: q.shape()[2] / heads,
        value_width: v.shape()[2] / heads,
    };
    let shape = Shape::new(&[sizes.batch, sizes.queries, v.shape()[2]]);
    let weights_shape = Shape::new(&[sizes.batch, heads, sizes.queries, sizes.keys]);
    if shape.numel() == 0 || weights_shape.numel() == 0 {
        let zeros = |shape| Tensor::zeros(shape).to_dtype(result).to_device(q.device());
        return (zeros(shape), zeros(weights_shape));
    }
    if factors.is_none()
        && let Some((out, weights)) = cuda::attend(sizes, [&q, &k, &v], mask)
    {
        return (out.rounded_to("attention", result), rounded(weights, result));
    }
    crate::interrupt::check();
    with_float!(dtype, T => {
        let mut weights = Buffer::<T>::new(weights_shape.numel());
        let mut out = Buffer::<T>::new(shape.numel());
        {
            let [a, b, c] = [&q, &k, &v].map(|x| x.storage.read::<T>());
            let operands = [&a[q.layout.offset..], &b[k.layout.offset..], &c[v.layout.offset..]];
            let mask_values = mask.map(|mask| mask.storage.read::<bool>());
            let mask = mask.zip(mask_values.as_deref()).map(|(mask, values)| Mask {
                values,
                layout: mask.layout.broadcast_to(weights_shape),
            });
            let factor_values = factors.as_ref().map(|f| (f.storage.read::<T>(), f.layout.offset));
            let factors = factor_values.as_ref().map_or(&[][..], |(f, at)| &f[*at..]);
            sizes.forward::<T>(operands, mask, factors, &mut weights, &mut out);
        }
        let weights = Tensor::of_buffer(weights, weights_shape).to_device(q.device());
        let out = Tensor::of_buffer(out, shape);
        let inputs = [&q, &k, &v];
        let out = record("attention", out, &inputs, |tape, _| {
            let (q, k, v) = (q.saved(), k.saved(), v.saved());
            let (weights, factors) = (weights.saved(), factors.as_ref().map(Tensor::saved));
            tape.joint(&inputs, move |g, needs| {
                let g = g.contiguous();
                let mut out = [&q, &k, &v].map(|x| Buffer::<T>::new(x.numel()));
                {
                    let [a, b, c, w, d] =
                        [&q, &k, &v, &weights, &g].map(|x| x.storage.read::<T>());
                    let operands =
                        [&a[q.layout.offset..], &b[k.layout.offset..], &c[v.layout.offset..]];
                    let factor_values =
                        factors.as_ref().map(|f| (f.storage.read::<T>(), f.layout.offset));
                    let factors = factor_values.as_ref().map_or(&[][..], |(f, at)| &f[*at..]);
                    let g = &d[g.layout.offset..];
                    sizes.backward::<T>(operands, factors, &w, g, &mut out);
                }
                let shapes = [&q, &k, &v].map(|x| x.layout.shape);
                let all = out.into_iter().zip(shapes).zip(needs);
                all.map(|((out, shape), &needed)| {
                    needed.then(|| Tensor::of_buffer(out, shape))
                })
                .collect()
            });
        });
        (out.rounded_to("attention", result), rounded(weights, result))
    })
}
