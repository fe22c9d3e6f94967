//! Rules that scale each parameter's step by the size of its past gradients.

use super::{
    Optimizer,
    update::{Memory, OnGpu, optimizer},
};
use crate::{nn::Parameters, ops::cuda::Rule};

/// Adagrad (Duchi et al., 2011): divides by the root of the sum of all squared gradients.
///
/// ```
/// use d2l::{optim::Adagrad, prelude::*};
///
/// let w = tensor([1.0, -1.0]).requires_grad();
/// let mut optimizer = Adagrad::new([&w], 0.1);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert!(w.abs().max().item() < 1.0);
/// ```
pub struct Adagrad {
    memory: Memory,
    eps: f64,
}

impl Adagrad {
    /// The rule with learning rate `lr`.
    ///
    /// # Panics
    /// If a parameter is no leaf, or `lr` is negative or NaN.
    ///
    /// ```
    /// use d2l::{optim::Adagrad, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = Adagrad::new([&w], 0.1);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    #[track_caller]
    pub fn new(parameters: impl Into<Parameters>, lr: f64) -> Adagrad {
        Adagrad { memory: Memory::new(parameters.into(), lr), eps: 1e-10 }
    }

    /// What is added to the divisor; 1e-10 at first.
    ///
    /// ```
    /// use d2l::{optim::Adagrad, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = Adagrad::new([&w], 0.1).eps(1e-8);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    pub fn eps(mut self, eps: f64) -> Adagrad {
        self.eps = eps;
        self
    }
}

optimizer!(Adagrad, T, |optimizer, lr, _steps, decay|
    gpu {
        let rest = [optimizer.eps, 0.0, 0.0, 0.0, 0.0];
        OnGpu::same("adagrad", Rule { lr, decay, rest })
    } {
    let [lr, decay, eps] = [lr, decay, optimizer.eps].map(|constant| constant as T);
    move |w: &mut T, g: T, [s]: &mut [T; 1]| {
        let g = g + decay * *w;
        *s += g * g;
        *w -= lr * g / (s.sqrt() + eps);
    }
});

/// RMSProp (Tieleman and Hinton, 2012): divides by the root of a decaying mean of squared
/// gradients.
///
/// ```
/// use d2l::{optim::RmsProp, prelude::*};
///
/// let w = tensor([1.0, -1.0]).requires_grad();
/// let mut optimizer = RmsProp::new([&w], 0.1);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert!(w.abs().max().item() < 1.0);
/// ```
pub struct RmsProp {
    memory: Memory,
    gamma: f64,
    eps: f64,
    momentum: f64,
}

impl RmsProp {
    /// The rule with learning rate `lr` and a memory of `gamma` = 0.99.
    ///
    /// # Panics
    /// If a parameter is no leaf, or `lr` is negative or NaN.
    ///
    /// ```
    /// use d2l::{optim::RmsProp, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = RmsProp::new([&w], 0.1);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    #[track_caller]
    pub fn new(parameters: impl Into<Parameters>, lr: f64) -> RmsProp {
        let memory = Memory::new(parameters.into(), lr);
        RmsProp { memory, gamma: 0.99, eps: 1e-8, momentum: 0.0 }
    }

    /// How slowly squared gradients are forgotten; 0.99 at first (PyTorch's `alpha`).
    ///
    /// ```
    /// use d2l::{optim::RmsProp, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = RmsProp::new([&w], 0.1).gamma(0.9);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    pub fn gamma(mut self, gamma: f64) -> RmsProp {
        self.gamma = gamma;
        self
    }

    /// What is added to the divisor; 1e-8 at first.
    ///
    /// ```
    /// use d2l::{optim::RmsProp, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = RmsProp::new([&w], 0.1).eps(1e-6);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    pub fn eps(mut self, eps: f64) -> RmsProp {
        self.eps = eps;
        self
    }

    /// Steps along a decaying sum of past scaled gradients; 0, so along none, at first.
    ///
    /// ```
    /// use d2l::{optim::RmsProp, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = RmsProp::new([&w], 0.1).momentum(0.5);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    pub fn momentum(mut self, momentum: f64) -> RmsProp {
        self.momentum = momentum;
        self
    }
}

optimizer!(RmsProp, T, |optimizer, lr, _steps, decay|
    gpu {
        let RmsProp { gamma, eps, momentum, .. } = *optimizer;
        let rest = [gamma, 1.0 - gamma, eps, momentum, 0.0];
        OnGpu::same("rmsprop", Rule { lr, decay, rest })
    } {
    let RmsProp { gamma, eps, momentum, .. } = *optimizer;
    let [lr, decay, gamma, rest, eps, momentum] =
        [lr, decay, gamma, 1.0 - gamma, eps, momentum].map(|constant| constant as T);
    move |w: &mut T, g: T, [s, v]: &mut [T; 2]| {
        let g = g + decay * *w;
        *s = gamma * *s + rest * g * g;
        *v = momentum * *v + g / (s.sqrt() + eps);
        *w -= lr * *v;
    }
});

/// Adadelta (Zeiler, 2012): the size of past changes takes the place of a learning rate.
///
/// ```
/// use d2l::{optim::Adadelta, prelude::*};
///
/// let w = tensor([1.0, -1.0]).requires_grad();
/// let mut optimizer = Adadelta::new([&w], 0.1);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert!(w.abs().max().item() < 1.0);
/// ```
pub struct Adadelta {
    memory: Memory,
    rho: f64,
    eps: f64,
}

impl Adadelta {
    /// The rule with steps multiplied by `lr`, usually 1.
    ///
    /// # Panics
    /// If a parameter is no leaf, or `lr` is negative or NaN.
    ///
    /// ```
    /// use d2l::{optim::Adadelta, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = Adadelta::new([&w], 0.1);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    #[track_caller]
    pub fn new(parameters: impl Into<Parameters>, lr: f64) -> Adadelta {
        Adadelta { memory: Memory::new(parameters.into(), lr), rho: 0.9, eps: 1e-6 }
    }

    /// How slowly squares are forgotten; 0.9 at first.
    ///
    /// ```
    /// use d2l::{optim::Adadelta, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = Adadelta::new([&w], 0.1).rho(0.95);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    pub fn rho(mut self, rho: f64) -> Adadelta {
        self.rho = rho;
        self
    }

    /// What is added to both squares; 1e-6 at first.
    ///
    /// ```
    /// use d2l::{optim::Adadelta, prelude::*};
    ///
    /// let w = tensor([1.0, -1.0]).requires_grad();
    /// let mut optimizer = Adadelta::new([&w], 0.1).eps(1e-4);
    /// (&w * &w).sum().backward();
    /// optimizer.step();
    /// assert!(w.abs().max().item() < 1.0);
    /// ```
    pub fn eps(mut self, eps: f64) -> Adadelta {
        self.eps = eps;
        self
    }
}

optimizer!(Adadelta, T, |optimizer, lr, _steps, decay|
    gpu {
        let (rho, eps) = (optimizer.rho, optimizer.eps);
        let rest = [rho, 1.0 - rho, eps, 0.0, 0.0];
        OnGpu::same("adadelta", Rule { lr, decay, rest })
    } {
    let Adadelta { rho, eps, .. } = *optimizer;
    let [lr, decay, rho, rest, eps] =
        [lr, decay, rho, 1.0 - rho, eps].map(|constant| constant as T);
    move |w: &mut T, g: T, [s, d]: &mut [T; 2]| {
        let g = g + decay * *w;
        *s = rho * *s + rest * g * g;
        let change = ((*d + eps) / (*s + eps)).sqrt() * g;
        *d = rho * *d + rest * change * change;
        *w -= lr * change;
    }
});
