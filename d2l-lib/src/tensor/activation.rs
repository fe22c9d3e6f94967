//! Activation functions that are more than one operation.

use super::Tensor;
use crate::{
    autograd::record,
    dtype::{Element, with_float},
    ops::elementwise::map,
};

impl Tensor {
    /// `value` of every element, with `slope` as its derivative, both computed in `f64`; on a
    /// GPU the kernels `op` and `op_slope`, with their `parameter` if they have one.
    #[track_caller]
    fn curve(
        &self,
        [op, op_slope]: [&'static str; 2],
        parameter: f64,
        value: impl Fn(f64) -> f64 + Sync,
        slope: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Tensor {
        let x = &self.to_dtype(self.dtype().to_float());
        let out = in_f64(op, parameter, x, value);
        record(op, out, &[x], |tape, _| {
            tape.edge(x, || {
                let x = x.saved();
                move |g: &Tensor| g * in_f64(op_slope, parameter, &x, slope)
            });
        })
    }

    /// The error function of every element: `2/√π ∫₀ˣ exp(-t²) dt`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(tensor([0.0, 1.0]).erf().allclose(&tensor([0.0, 0.842_700_8])));
    /// ```
    #[track_caller]
    pub fn erf(&self) -> Tensor {
        let slope = |x: f64| std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        self.curve(["erf", "erf_slope"], 0.0, libm::erf, slope)
    }

    /// `x · sigmoid(x)` of every element.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(tensor([0.0, 1.0]).silu().allclose(&tensor([0.0, 0.731_058_6])));
    /// ```
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        let slope = |x: f64| logistic(x) * (1.0 + x * (1.0 - logistic(x)));
        self.curve(["silu", "silu_slope"], 0.0, |x| x * logistic(x), slope)
    }

    /// `ln(1 + exp(x))` of every element, without overflow.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(tensor([0.0, 1000.0]).softplus().allclose(&tensor([0.693_147_2, 1000.0])));
    /// ```
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        self.curve(
            ["softplus", "softplus_slope"],
            0.0,
            |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
            logistic,
        )
    }

    /// Every element `x` where it is positive, else `slope · x`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([-2.0, 3.0]).leaky_relu(0.5).to_vec(), [-1.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        let factor = move |x: f64| if x > 0.0 { 1.0 } else { slope };
        self.curve(
            ["leaky_relu", "leaky_relu_slope"],
            slope,
            move |x| x * factor(x),
            factor,
        )
    }

    /// Every element `x` where it is positive, else `exp(x) - 1`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(tensor([-1.0, 3.0]).elu().allclose(&tensor([-0.632_120_6, 3.0])));
    /// ```
    #[track_caller]
    pub fn elu(&self) -> Tensor {
        self.curve(
            ["elu", "elu_slope"],
            0.0,
            |x| if x > 0.0 { x } else { x.exp_m1() },
            |x| if x > 0.0 { 1.0 } else { x.exp() },
        )
    }
}

#[track_caller]
fn in_f64(
    op: &'static str,
    parameter: f64,
    x: &Tensor,
    f: impl Fn(f64) -> f64 + Sync,
) -> Tensor {
    with_float!(x.dtype(), T => {
        map::<T, T>(op, [parameter, 0.0], x, |x| T::from_f64(f(x.to_f64())))
    })
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
