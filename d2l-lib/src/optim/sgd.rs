//! Stochastic gradient descent.

use super::{
    Optimizer,
    update::{Memory, OnGpu, optimizer},
};
use crate::{nn::Parameters, ops::cuda::Rule};

/// Stochastic gradient descent: `w ← w - lr · g`, or with momentum
/// `v ← momentum · v + g`, `w ← w - lr · v`.
///
/// ```
/// use d2l::{optim::Sgd, prelude::*};
///
/// let w = tensor([1.0, 2.0]).requires_grad();
/// w.sum().backward();
/// Sgd::new([&w], 0.25).step();
/// assert_eq!(w.to_vec(), [0.75, 1.75]);
/// ```
pub struct Sgd {
    memory: Memory,
    momentum: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain descent with learning rate `lr`.
    ///
    /// # Panics
    /// If a parameter is no leaf, or `lr` is negative or NaN.
    ///
    /// ```
    /// use d2l::{optim::Sgd, prelude::*};
    ///
    /// let w = tensor([1.0, 2.0]).requires_grad();
    /// w.sum().backward();
    /// Sgd::new([&w], 0.25).step();
    /// assert_eq!(w.to_vec(), [0.75, 1.75]);
    /// ```
    #[track_caller]
    pub fn new(parameters: impl Into<Parameters>, lr: f64) -> Sgd {
        Sgd { memory: Memory::new(parameters.into(), lr), momentum: 0.0, nesterov: false }
    }

    /// Steps along a decaying sum of past gradients; 0, so along none, at first.
    ///
    /// ```
    /// use d2l::{optim::Sgd, prelude::*};
    ///
    /// let w = tensor([8.0]).requires_grad();
    /// let mut optimizer = Sgd::new([&w], 1.0).momentum(0.5);
    /// w.sum().backward();
    /// optimizer.step();
    /// optimizer.step();
    /// assert_eq!(w.to_vec(), [8.0 - 1.0 - 1.5]);
    /// ```
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.momentum = momentum;
        self
    }

    /// Looks one step ahead along the momentum (Nesterov).
    ///
    /// ```
    /// use d2l::{optim::Sgd, prelude::*};
    ///
    /// let w = tensor([8.0]).requires_grad();
    /// let mut optimizer = Sgd::new([&w], 1.0).momentum(0.5).nesterov();
    /// w.sum().backward();
    /// optimizer.step();
    /// assert_eq!(w.to_vec(), [8.0 - 1.5]);
    /// ```
    pub fn nesterov(mut self) -> Sgd {
        self.nesterov = true;
        self
    }
}

optimizer!(Sgd, T, |optimizer, lr, _steps, decay|
    gpu {
        let rest = [optimizer.momentum, f64::from(optimizer.nesterov), 0.0, 0.0, 0.0];
        let kernel = if optimizer.momentum == 0.0 { "sgd" } else { "momentum" };
        OnGpu::same(kernel, Rule { lr, decay, rest })
    }
    if optimizer.momentum == 0.0 => {
        let (lr, decay) = (lr as T, decay as T);
        move |w: &mut T, g: T, []: &mut [T; 0]| *w -= lr * (g + decay * *w)
    }, else {
        let (lr, decay, momentum) = (lr as T, decay as T, optimizer.momentum as T);
        let nesterov = optimizer.nesterov;
        move |w: &mut T, g: T, [v]: &mut [T; 1]| {
            let g = g + decay * *w;
            // The first step finds v = 0, so it is g, as in PyTorch.
            *v = momentum * *v + g;
            *w -= lr * if nesterov { g + momentum * *v } else { *v };
        }
    }
);
