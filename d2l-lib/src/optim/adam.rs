//! Adam and its relatives: steps scaled by running moments of the gradients.

use super::{
    Optimizer,
    update::{Memory, OnGpu, optimizer},
};
use crate::{nn::Parameters, ops::cuda::Rule};

/// The decay of the moments and the smallest divisor.
#[derive(Clone, Copy)]
struct Moments {
    beta1: f64,
    beta2: f64,
    eps: f64,
}

impl Moments {
    /// By what a step of `lr` multiplies the mean, and the mean square; they are corrected for
    /// their start: this is step number `steps`.
    fn factors(self, lr: f64, steps: i32) -> [f64; 2] {
        [lr / (1.0 - self.beta1.powi(steps)), 1.0 / (1.0 - self.beta2.powi(steps))]
    }

    /// The numbers of a step for a GPU, where `lr` is what is added to the divisor.
    fn on_gpu(self, kernel: &'static str, lr: f64, steps: i32, decay: f64) -> OnGpu {
        let rule = move |steps| {
            let [mean, square] = self.factors(lr, steps);
            let rest = [1.0 - self.beta1, self.beta2, 1.0 - self.beta2, mean, square];
            Rule { lr: self.eps, decay, rest }
        };
        OnGpu { kernel, rule: rule(steps), later: Some(Box::new(rule)) }
    }
}

/// The constants of a step in the parameter's type.
macro_rules! constants {
    ($T:ident, $moments:expr, $lr:expr, $steps:expr) => {{
        let moments = $moments;
        let [mean, square] = moments.factors($lr, $steps);
        [
            1.0 - moments.beta1,
            moments.beta2,
            1.0 - moments.beta2,
            mean,
            square,
            moments.eps,
        ]
        .map(|constant| constant as $T)
    }};
}

macro_rules! moments {
    ($Name:ident, $eps:expr, $decay:expr, $first:expr) => {
        impl $Name {
            /// The rule with learning rate `lr` and the usual decay of the moments.
            ///
            /// # Panics
            /// If a parameter is no leaf, or `lr` is negative or NaN.
            ///
            /// ```
            #[doc = concat!("use d2l::{optim::", stringify!($Name), ", prelude::*};")]
            ///
            /// let w = tensor([1.0, -1.0]).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($Name), "::new([&w], 0.1);")]
            /// (&w * &w).sum().backward();
            /// optimizer.step();
            /// assert!(w.abs().max().item() < 1.0);
            /// ```
            #[track_caller]
            pub fn new(parameters: impl Into<Parameters>, lr: f64) -> $Name {
                let mut memory = Memory::new(parameters.into(), lr).filled($first);
                memory.weight_decay = $decay;
                $Name { memory, moments: Moments { beta1: 0.9, beta2: 0.999, eps: $eps } }
            }

            /// How slowly the mean and the square of past gradients are forgotten; 0.9 and
            /// 0.999 at first.
            ///
            /// ```
            #[doc = concat!("use d2l::{optim::", stringify!($Name), ", prelude::*};")]
            ///
            /// let w = tensor([1.0, -1.0]).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($Name), "::new([&w], 0.1).betas(0.8, 0.9);")]
            /// (&w * &w).sum().backward();
            /// optimizer.step();
            /// assert!(w.abs().max().item() < 1.0);
            /// ```
            pub fn betas(mut self, beta1: f64, beta2: f64) -> $Name {
                self.moments = Moments { beta1, beta2, ..self.moments };
                self
            }

            #[doc = concat!("What is added to the divisor; ", stringify!($eps), " at first.")]
            ///
            /// ```
            #[doc = concat!("use d2l::{optim::", stringify!($Name), ", prelude::*};")]
            ///
            /// let w = tensor([1.0, -1.0]).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($Name), "::new([&w], 0.1).eps(1e-6);")]
            /// (&w * &w).sum().backward();
            /// optimizer.step();
            /// assert!(w.abs().max().item() < 1.0);
            /// ```
            pub fn eps(mut self, eps: f64) -> $Name {
                self.moments.eps = eps;
                self
            }
        }
    };
}

/// Adam (Kingma and Ba, 2014).
///
/// ```
/// use d2l::{optim::Adam, prelude::*};
///
/// let w = tensor([1.0, -1.0]).requires_grad();
/// let mut optimizer = Adam::new([&w], 0.1);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert!(w.abs().max().item() < 1.0);
/// ```
pub struct Adam {
    memory: Memory,
    moments: Moments,
}

moments!(Adam, 1e-8, 0.0, 0.0);

optimizer!(Adam, T, |optimizer, lr, steps, decay|
    gpu { optimizer.moments.on_gpu("adam", lr, steps, decay) } {
    let [new, old_square, new_square, mean, square, eps] =
        constants!(T, optimizer.moments, lr, steps);
    let decay = decay as T;
    move |w: &mut T, g: T, [m, s]: &mut [T; 2]| {
        let g = g + decay * *w;
        *m += new * (g - *m);
        *s = old_square * *s + new_square * g * g;
        *w -= mean * *m / ((square * *s).sqrt() + eps);
    }
});

/// Adam with weight decay apart from the moments (Loshchilov and Hutter, 2017); the decay is
/// 0.01 at first.
///
/// ```
/// use d2l::{optim::AdamW, prelude::*};
///
/// let w = tensor([1.0, -1.0]).requires_grad();
/// let mut optimizer = AdamW::new([&w], 0.1);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert!(w.abs().max().item() < 1.0);
/// ```
pub struct AdamW {
    memory: Memory,
    moments: Moments,
}

moments!(AdamW, 1e-8, 0.01, 0.0);

optimizer!(AdamW, T, |optimizer, lr, steps, decay|
    gpu { optimizer.moments.on_gpu("adamw", lr, steps, 1.0 - lr * decay) } {
    let [new, old_square, new_square, mean, square, eps] =
        constants!(T, optimizer.moments, lr, steps);
    let kept = (1.0 - lr * decay) as T;
    move |w: &mut T, g: T, [m, s]: &mut [T; 2]| {
        *w *= kept;
        *m += new * (g - *m);
        *s = old_square * *s + new_square * g * g;
        *w -= mean * *m / ((square * *s).sqrt() + eps);
    }
});

/// Adam whose second moment moves by amounts of the size of the squared gradient only
/// (Zaheer et al., 2018); both moments start at 10⁻⁶, as the authors' do.
///
/// ```
/// use d2l::{optim::Yogi, prelude::*};
///
/// let w = tensor([1.0, -1.0]).requires_grad();
/// let mut optimizer = Yogi::new([&w], 0.1);
/// (&w * &w).sum().backward();
/// optimizer.step();
/// assert!(w.abs().max().item() < 1.0);
/// ```
pub struct Yogi {
    memory: Memory,
    moments: Moments,
}

moments!(Yogi, 1e-3, 0.0, 1e-6);

optimizer!(Yogi, T, |optimizer, lr, steps, decay|
    gpu { optimizer.moments.on_gpu("yogi", lr, steps, decay) } {
    let [new, _, new_square, mean, square, eps] =
        constants!(T, optimizer.moments, lr, steps);
    let decay = decay as T;
    move |w: &mut T, g: T, [m, s]: &mut [T; 2]| {
        let g = g + decay * *w;
        *m += new * (g - *m);
        let sign = if *s == g * g { 0.0 } else { (*s - g * g).signum() };
        *s -= new_square * sign * g * g;
        *w -= mean * *m / ((square * *s).sqrt() + eps);
    }
});
