//! Gradients compared with finite differences.

use crate::tensor::{Tensor, tensor_f64};

/// The step of the differences: the cube root of the precision of `f64`, where the errors
/// of rounding and of the curve being no line are equally small.
const STEP: f64 = 6e-6;

/// How far both may differ, as a share of the gradient's size (at least 1).
const TOLERANCE: f64 = 1e-6;

/// Says where the gradient of `f` at `inputs` is wrong, if it is.
///
/// `f` may give any shape: its elements are summed with weights of their own. Everything is
/// computed in `f64`.
///
/// # Errors
/// The input, the element and both numbers, for the first that differs.
///
/// ```
/// use d2l::{autograd::check::check_gradients, prelude::*};
///
/// let x = tensor([0.5, 2.0]);
/// assert!(check_gradients(|x| x[0].sin(), &[&x]).is_ok());
/// assert!(check_gradients(|x| x[0].sin() + x[0].detach(), &[&x]).is_err());
/// ```
pub fn check_gradients(
    f: impl Fn(&[Tensor]) -> Tensor,
    inputs: &[&Tensor],
) -> Result<(), String> {
    let values: Vec<Vec<f64>> = inputs.iter().map(|input| input.to_vec_f64()).collect();
    let at = |values: &[Vec<f64>]| -> Vec<Tensor> {
        let pairs = values.iter().zip(inputs);
        pairs.map(|(values, input)| tensor_f64(values).reshape(input.shape())).collect()
    };
    // Weights that no symmetry of `f` cancels.
    let weighted = |y: Tensor| {
        let weights: Vec<f64> =
            (0..y.numel()).map(|i| 1.0 + (i as f64).sin() / 2.0).collect();
        (y.flatten() * tensor_f64(weights)).sum()
    };

    let leaves: Vec<Tensor> =
        at(&values).into_iter().map(Tensor::requires_grad).collect();
    let y = weighted(f(&leaves));
    if !y.needs_grad() {
        return Err("the result does not depend on the inputs".to_owned());
    }
    y.backward();
    for (n, leaf) in leaves.iter().enumerate() {
        let found = leaf.grad().unwrap_or_else(|| leaf.zeros_like()).to_vec_f64();
        for (i, found) in found.into_iter().enumerate() {
            let moved = |step: f64| {
                let mut values = values.clone();
                values[n][i] += step;
                weighted(f(&at(&values))).item()
            };
            let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let close = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
            if !close {
                return Err(format!(
                    "input {n}, element {i}: backward gives {found}, differences {expected}"
                ));
            }
        }
    }
    Ok(())
}
