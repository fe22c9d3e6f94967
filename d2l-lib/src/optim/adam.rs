//! Adam and its relatives: steps scaled by running moments of the gradients.

use super::{
    Optimizer,
    update::{Memory, optimizer},
};
use crate::nn::Parameters;

/// The decay of the moments and the smallest divisor.
#[derive(Clone, Copy)]
struct Moments {
    beta1: f64,
    beta2: f64,
    eps: f64,
}

impl Moments {
    /// What a step of `lr` adds to a parameter with these moments, which are corrected for
    /// their start: this is step number `steps`.
    fn step(self, lr: f64, steps: i32) -> impl Fn(f64, f64) -> f64 {
        let mean_factor = lr / (1.0 - self.beta1.powi(steps));
        let square_factor = 1.0 / (1.0 - self.beta2.powi(steps));
        move |mean, square| {
            -mean_factor * mean / ((square_factor * square).sqrt() + self.eps)
        }
    }
}

macro_rules! moments {
    ($Name:ident, $eps:expr, $decay:expr, $first:expr) => {
        impl $Name {
            /// The rule with learning rate `lr` and the usual decay of the moments.
            #[track_caller]
            pub fn new(parameters: impl Into<Parameters>, lr: f64) -> $Name {
                let mut memory = Memory::new(parameters.into(), lr).filled($first);
                memory.weight_decay = $decay;
                $Name { memory, moments: Moments { beta1: 0.9, beta2: 0.999, eps: $eps } }
            }

            /// How slowly the mean and the square of past gradients are forgotten; 0.9 and
            /// 0.999 at first.
            pub fn betas(mut self, beta1: f64, beta2: f64) -> $Name {
                self.moments = Moments { beta1, beta2, ..self.moments };
                self
            }

            #[doc = concat!("What is added to the divisor; ", stringify!($eps), " at first.")]
            pub fn eps(mut self, eps: f64) -> $Name {
                self.moments.eps = eps;
                self
            }
        }
    };
}

/// Adam (Kingma and Ba, 2014).
pub struct Adam {
    memory: Memory<2>,
    moments: Moments,
}

moments!(Adam, 1e-8, 0.0, 0.0);

optimizer!(Adam, |optimizer, lr, steps, decay| {
    let moments = optimizer.moments;
    let step = moments.step(lr, steps);
    move |w, g, [m, s]| {
        let g = g + decay * *w;
        *m += (1.0 - moments.beta1) * (g - *m);
        *s = moments.beta2 * *s + (1.0 - moments.beta2) * g * g;
        *w += step(*m, *s);
    }
});

/// Adam with weight decay apart from the moments (Loshchilov and Hutter, 2017); the decay is
/// 0.01 at first.
pub struct AdamW {
    memory: Memory<2>,
    moments: Moments,
}

moments!(AdamW, 1e-8, 0.01, 0.0);

optimizer!(AdamW, |optimizer, lr, steps, decay| {
    let moments = optimizer.moments;
    let step = moments.step(lr, steps);
    move |w, g, [m, s]| {
        *w *= 1.0 - lr * decay;
        *m += (1.0 - moments.beta1) * (g - *m);
        *s = moments.beta2 * *s + (1.0 - moments.beta2) * g * g;
        *w += step(*m, *s);
    }
});

/// Adam whose second moment moves by amounts of the size of the squared gradient only
/// (Zaheer et al., 2018); both moments start at 10⁻⁶, as the authors' do.
pub struct Yogi {
    memory: Memory<2>,
    moments: Moments,
}

moments!(Yogi, 1e-3, 0.0, 1e-6);

optimizer!(Yogi, |optimizer, lr, steps, decay| {
    let moments = optimizer.moments;
    let step = moments.step(lr, steps);
    move |w, g, [m, s]| {
        let g = g + decay * *w;
        let square = g * g;
        *m += (1.0 - moments.beta1) * (g - *m);
        let sign = if *s == square { 0.0 } else { (*s - square).signum() };
        *s -= (1.0 - moments.beta2) * sign * square;
        *w += step(*m, *s);
    }
});
