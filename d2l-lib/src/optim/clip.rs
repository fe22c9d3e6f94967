//! Gradients kept within bounds.

use crate::{
    Tensor,
    nn::Parameters,
    no_grad,
    ops::cuda::{Rule, Updates, squares},
};

fn gradients(parameters: &Parameters) -> impl Iterator<Item = Tensor> {
    let known = parameters.iter().filter(|(_, parameter)| !parameter.is_lazy());
    known.filter_map(|(_, parameter)| parameter.grad())
}

/// Scales all gradients so that their Euclidean norm, taken together, is at most `max_norm`,
/// and gives the norm of before.
///
/// # Panics
/// If a parameter is no leaf.
///
/// ```
/// use d2l::{optim::clip_grad_norm, prelude::*};
///
/// let w = tensor([0.0, 0.0]).requires_grad();
/// (&w * tensor([3.0, 4.0])).sum().backward();
/// assert_eq!(clip_grad_norm([&w], 1.0), 5.0);
/// assert!((w.grad().unwrap().norm().item() - 1.0).abs() < 1e-6);
/// ```
#[track_caller]
pub fn clip_grad_norm(parameters: impl Into<Parameters>, max_norm: f64) -> f64 {
    clip_norm(&parameters.into(), max_norm)
}

#[track_caller]
fn clip_norm(parameters: &Parameters, max_norm: f64) -> f64 {
    let (here, there): (Vec<Tensor>, Vec<Tensor>) =
        gradients(parameters).partition(|gradient| gradient.storage.is_host());
    let own_squares = here.iter().map(|gradient| {
        // Not rounded to halves, of which hundreds add up here.
        let norm = gradient.to_dtype(gradient.dtype().wide()).norm().item();
        norm * norm
    });
    // On a GPU all are added up before one number comes to main memory.
    let its_squares = squares("clip_grad_norm", &there);
    let its_squares = its_squares.iter().map(|sums| sums.sum().item());
    let norm = own_squares.chain(its_squares).sum::<f64>().sqrt();
    // PyTorch's guard against a norm of 0, kept so that both take the same path.
    let scale = max_norm / (norm + 1e-6);
    if scale < 1.0 {
        let mut waiting = Updates::default();
        let rule = Rule { lr: scale, ..Rule::default() };
        for gradient in here.iter().chain(&there) {
            if !waiting.add("scale", rule, None, gradient, None, &[]) {
                no_grad(|| gradient.mul_(scale));
            }
        }
        waiting.queue();
    }
    norm
}

/// Moves all elements of the gradients that lie outside ±`max` to these bounds.
///
/// # Panics
/// If a parameter is no leaf, or `max` is negative or NaN.
///
/// ```
/// use d2l::{optim::clip_grad_value, prelude::*};
///
/// let w = tensor([0.0, 0.0]).requires_grad();
/// (&w * tensor([3.0, -0.5])).sum().backward();
/// clip_grad_value([&w], 1.0);
/// assert_eq!(w.grad().unwrap().to_vec(), [1.0, -0.5]);
/// ```
#[track_caller]
pub fn clip_grad_value(parameters: impl Into<Parameters>, max: f64) {
    clip_values(&parameters.into(), max);
}

#[track_caller]
fn clip_values(parameters: &Parameters, max: f64) {
    for gradient in gradients(parameters) {
        no_grad(|| gradient.copy_(&gradient.clamp(-max, max)));
    }
}
