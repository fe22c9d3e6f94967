//! Losses: how far predictions are from what they should be.
//!
//! All are means over the elements, or over the examples; what is not averaged ends in
//! `_each`.

use crate::{DType, Tensor};

#[track_caller]
fn expect_one_shape(op: &str, y_hat: &Tensor, y: &Tensor) {
    // Broadcasting (n, 1) against (n) would silently compare all with all.
    assert!(
        y_hat.shape() == y.shape(),
        "{op}: predictions of shape {:?} for targets of shape {:?}",
        y_hat.shape(),
        y.shape()
    );
}

/// `loss` of both, if the first holds halves computed in `f32` and rounded once.
#[track_caller]
fn rounded_once(
    op: &'static str,
    y_hat: &Tensor,
    y: &Tensor,
    loss: impl FnOnce(&Tensor, &Tensor) -> Tensor,
) -> Tensor {
    expect_one_shape(op, y_hat, y);
    if !y_hat.dtype().is_half() || y.dtype() != y_hat.dtype() {
        return loss(y_hat, y);
    }
    y_hat.in_wide(op, |y_hat| loss(y_hat, &y.to_dtype(DType::F32)))
}

/// The mean of `(y_hat - y)²` over all elements, of one shape: a tensor without axes.
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(nn::mse_loss(&tensor([1.0, 4.0]), &tensor([1.0, 2.0])).item(), 2.0);
/// ```
#[track_caller]
pub fn mse_loss(y_hat: &Tensor, y: &Tensor) -> Tensor {
    rounded_once("mse_loss", y_hat, y, |y_hat, y| (y_hat - y).pow(2).mean())
}

/// The mean of `|y_hat - y|` over all elements, of one shape: a tensor without axes.
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(nn::l1_loss(&tensor([1.0, 4.0]), &tensor([1.0, 2.0])).item(), 1.0);
/// ```
#[track_caller]
pub fn l1_loss(y_hat: &Tensor, y: &Tensor) -> Tensor {
    rounded_once("l1_loss", y_hat, y, |y_hat, y| (y_hat - y).abs().mean())
}

/// The mean of Huber's loss over all elements, of one shape: `d² / 2` for differences up to
/// `delta`, `delta (|d| - delta / 2)` beyond; a tensor without axes.
///
/// # Panics
/// If the shapes differ, or `delta` is not positive.
///
/// ```
/// use d2l::prelude::*;
///
/// let loss = nn::huber_loss(&tensor([0.5, 3.0]), &tensor([0.0, 0.0]), 1.0);
/// assert_eq!(loss.item(), (0.125 + 2.5) / 2.0);
/// ```
#[track_caller]
pub fn huber_loss(y_hat: &Tensor, y: &Tensor, delta: f64) -> Tensor {
    assert!(delta > 0.0, "huber_loss: delta must be positive, not {delta}");
    rounded_once("huber_loss", y_hat, y, |y_hat, y| {
        let size = (y_hat - y).abs();
        let near = size.clamp(0.0, delta);
        // d² / 2 up to delta, and the straight line from there on.
        (near.pow(2) * 0.5 + (&size - &near) * delta).mean()
    })
}

/// The mean binary cross-entropy of logits against probabilities (or 0 and 1) of one shape,
/// without overflow: a tensor without axes.
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use d2l::prelude::*;
///
/// let loss = nn::bce_with_logits(&tensor([0.0, 1000.0]), &tensor([1.0, 1.0]));
/// assert!((loss.item() - 0.5 * 2.0_f64.ln()).abs() < 1e-6);
/// ```
#[track_caller]
pub fn bce_with_logits(logits: &Tensor, y: &Tensor) -> Tensor {
    rounded_once("bce_with_logits", logits, y, |logits, y| {
        (logits.softplus() - logits * y.to_dtype(logits.dtype().to_float())).mean()
    })
}

/// The mean cross-entropy of logits `(n, c)` against the numbers of classes `(n)`:
/// [`Tensor::cross_entropy`], a tensor without axes.
///
/// # Panics
/// If the shapes do not fit, or the targets are floats or one is no class.
///
/// ```
/// use d2l::prelude::*;
///
/// let loss = nn::cross_entropy(&tensor([[0.0, 0.0]]), &tensor([1]));
/// assert!((loss.item() - 2.0_f64.ln()).abs() < 1e-6);
/// ```
#[track_caller]
pub fn cross_entropy(logits: &Tensor, y: &Tensor) -> Tensor {
    logits.cross_entropy(y)
}

/// The cross-entropy of every example: logits `(n, c)` and classes `(n)` give `(n)`; or, for
/// sequences, `(n, t, c)` and `(n, t)` give `(n, t)`.
///
/// # Panics
/// If the shapes do not fit, or the targets are floats or one is no class.
///
/// ```
/// use d2l::prelude::*;
///
/// let each = nn::cross_entropy_each(&tensor([[0.0, 0.0], [0.0, 100.0]]), &tensor([0, 1]));
/// assert!((each.i(0).item() - 2.0_f64.ln()).abs() < 1e-6);
/// assert_eq!(each.i(1).item(), 0.0);
/// ```
#[track_caller]
pub fn cross_entropy_each(logits: &Tensor, y: &Tensor) -> Tensor {
    let fits = logits.ndim() > 0 && y.shape() == &logits.shape()[..logits.ndim() - 1];
    assert!(
        fits && !y.dtype().is_float(),
        "cross_entropy_each: {} targets of shape {:?} for logits of shape {:?}",
        y.dtype(),
        y.shape(),
        logits.shape()
    );
    let index = y.to_dtype(DType::I64).unsqueeze(-1);
    -logits.log_softmax(-1).gather(-1, &index).squeeze(-1)
}
