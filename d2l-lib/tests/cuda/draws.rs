//! Random numbers for tensors on a GPU: those that the processor draws.

use std::panic::catch_unwind;

use d2l::prelude::*;

use super::{alone, gpu, numbers};

/// Asserts that `draw` gives the same elements on both devices, by as many random numbers.
fn agree(name: &str, x: &Tensor, draw: impl Fn(&Tensor) -> Tensor) {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let run = |device: Device| {
        let x = x.to_device(device);
        seed(11);
        let drawn = draw(&x);
        assert_eq!(drawn.device(), device, "{name}");
        let next = Tensor::rand([2]).to_vec();
        (drawn.dtype(), drawn.shape().to_vec(), drawn.to_vec_f64(), next)
    };
    let before = d2l::detours();
    assert_eq!(run(Device::Cpu), run(gpu), "{name}");
    let detoured = |op: &str| d2l::detours().iter().any(|(own, _)| own == op);
    assert!(!detoured("bernoulli") && !detoured("multinomial"), "{before:?}");
    assert!(!detoured("poisson"), "{before:?}");
}

#[test]
fn draws_by_probability() {
    let p = numbers(&[3, 101], 0.2) / 4.0 + 0.5;
    for p in [p.clone(), p.t(), p.i((.., ..0)), tensor([0.0, 1.0, 1.0, 0.5])] {
        agree("bernoulli", &p, Tensor::bernoulli);
    }
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        agree("bernoulli", &p.to_dtype(dtype), Tensor::bernoulli);
    }
    agree("bernoulli", &tensor([0, 1, 1, 0]), Tensor::bernoulli);
    agree("bernoulli", &tensor([true, false, true]), Tensor::bernoulli);
}

#[test]
fn draws_by_weight() {
    let weights = (numbers(&[5, 37], 0.4) + 1.5).relu();
    for count in [0, 1, 4, 9] {
        agree("multinomial", &weights, |w| w.multinomial(count));
        agree("multinomial", &(weights.t() + 0.1), |w| w.multinomial(count));
    }
    agree("multinomial", &weights.to_dtype(DType::F64).i(2), |w| w.multinomial(50));
    agree("multinomial", &tensor([0, 3, 0, 1]), |w| w.multinomial(50));
    let long = (numbers(&[3, 1000], 0.4) + 1.5).relu();
    agree("multinomial", &long, |w| w.multinomial(200));
    agree("multinomial", &long.i((.., ..257)), |w| w.multinomial(7));
    agree("multinomial", &(weights + 0.1).reshape([5, 37, 1]), |w| w.multinomial(3));
}

#[test]
fn draws_of_counts() {
    let rates = tensor([0.0, 0.3, 4.0, 9.9, 10.0, 33.0, 700.0, 1e6, 1e9]);
    let many = (numbers(&[40, 9], 0.3) + 2.0).relu() * rates;
    for rates in [many.clone(), many.t(), many.i((.., ..0)), many.i((1.., 2..5))] {
        agree("poisson", &rates, Tensor::poisson);
    }
    agree("poisson", &many.clamp(0.0, 3e4).to_dtype(DType::F16), Tensor::poisson);
    agree("poisson", &many.to_dtype(DType::F64), Tensor::poisson);
    agree("poisson", &tensor([0, 3, 50]), Tensor::poisson);
}

#[test]
fn what_is_no_probability_or_weight_is_told() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let message = |x: Tensor, draw: fn(&Tensor) -> Tensor| {
        let x = x.to_device(gpu);
        let panic = catch_unwind(|| draw(&x)).expect_err("it must panic");
        panic
            .downcast_ref::<String>()
            .cloned()
            .unwrap_or_else(|| panic.downcast_ref::<&str>().expect("a text").to_string())
    };
    for (p, text) in [(1.5, "1.5"), (-0.25, "-0.25"), (f32::NAN, "NaN")] {
        let told = message(tensor([0.5, p, 0.1]), Tensor::bernoulli);
        assert_eq!(told, format!("bernoulli: {text} is no probability"));
    }
    for (rate, text) in [(-1.5, "-1.5"), (f32::INFINITY, "inf"), (f32::NAN, "NaN")] {
        let told = message(tensor([0.5, rate, 0.1]), Tensor::poisson);
        assert_eq!(told, format!("poisson: a rate cannot be {text}"));
    }
    let draw: fn(&Tensor) -> Tensor = |x| x.multinomial(2);
    for (w, text) in [(f32::INFINITY, "inf"), (-2.0, "-2"), (f32::NAN, "NaN")] {
        let told = message(tensor([[0.5, 1.0], [w, 0.1]]), draw);
        assert_eq!(told, format!("multinomial: {text} is no weight"));
    }
    let last = Tensor::cat(&[&Tensor::ones([400]), &tensor([f32::NAN])], 0);
    assert_eq!(message(last, draw), "multinomial: NaN is no weight");
    let told = message(tensor([[0.5, 1.0], [0.0, 0.0]]), draw);
    assert_eq!(told, "multinomial: all weights are 0");
}
