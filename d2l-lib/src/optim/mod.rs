//! Optimizers: rules that change parameters, in place, against their gradients.
//!
//! ```
//! use d2l::{nn::mse_loss, optim::Sgd, prelude::*};
//!
//! let net = nn::Linear::new(2, 1);
//! let mut optimizer = Sgd::new(net.parameters(), 0.1).momentum(0.9);
//! let (x, y) = (tensor([[1.0, 2.0], [3.0, -1.0]]), tensor([[5.0], [1.0]]));
//! let loss = || mse_loss(&net.forward(&x), &y);
//! let before = loss().item();
//! for _ in 0..50 {
//!     optimizer.zero_grad();
//!     loss().backward();
//!     optimizer.step();
//! }
//! assert!(loss().item() < 0.1 * before);
//! ```
//!
//! Each rule, given the same gradients, makes the steps that PyTorch's makes.

mod adam;
mod adaptive;
mod clip;
mod schedule;
mod sgd;
mod update;

use crate::nn::Parameters;

pub use adam::{Adam, AdamW, Yogi};
pub use adaptive::{Adadelta, Adagrad, RmsProp};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use schedule::Schedule;
pub use sgd::Sgd;

/// A rule that changes parameters against their gradients.
///
/// ```
/// use d2l::{optim::Sgd, prelude::*};
///
/// let w = tensor([1.0]).requires_grad();
/// let mut optimizer = Sgd::new([&w], 0.5);
/// optimizer.set_lr(0.25);
/// w.sum().backward();
/// optimizer.step();
/// optimizer.zero_grad();
/// assert_eq!((w.to_vec(), optimizer.lr()), (vec![0.75], 0.25));
/// assert!(w.grad().is_none());
/// ```
pub trait Optimizer {
    /// Changes every parameter that has a gradient.
    #[track_caller]
    fn step(&mut self);

    /// The parameters it changes.
    fn parameters(&self) -> &Parameters;

    /// The learning rate.
    fn lr(&self) -> f64;

    /// Sets the learning rate from the next step on.
    fn set_lr(&mut self, lr: f64);

    /// Forgets the gradients.
    fn zero_grad(&self) {
        self.parameters().zero_grad();
    }
}
