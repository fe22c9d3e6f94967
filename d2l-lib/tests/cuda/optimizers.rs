//! Optimizers change many parameters by one launch: the same as one after the other on the
//! processor.

use d2l::{
    Replay,
    optim::{Adam, AdamW, Optimizer, Sgd, clip_grad_norm},
    prelude::*,
};

use super::{alone, close, gpu, models::RULES, numbers};

/// Lengths about those of vectors and blocks, and none.
const LENGTHS: [usize; 7] = [0, 1, 3, 4, 1023, 1025, 2500];

/// So many parameters of changing lengths.
fn parameters(count: usize, dtype: DType, device: Device) -> Vec<Tensor> {
    let parameter = |i: usize| {
        let length = if count > 50 { i % 9 } else { LENGTHS[i % LENGTHS.len()] };
        numbers(&[length], i as f64).to_dtype(dtype).to_device(device).requires_grad()
    };
    (0..count).map(parameter).collect()
}

/// Gives every parameter but each fifth one a gradient.
fn backward(parameters: &[Tensor], step: usize) {
    for (i, w) in parameters.iter().enumerate().filter(|(i, _)| i % 5 != 4) {
        let g = numbers(w.shape(), (i + step) as f64 + 0.5);
        w.zero_grad();
        (w * g.to_dtype(w.dtype()).to_device(w.device())).sum().backward();
    }
}

#[test]
fn every_rule_changes_many_parameters_as_the_processor_does() {
    let Some(gpu) = gpu() else { return };
    for (name, make) in RULES {
        for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
            let [own, its] = [Device::Cpu, gpu].map(|device| {
                let all = parameters(7, dtype, device);
                let mut rule = make(all.clone().into());
                for step in 0..3 {
                    backward(&all, step);
                    rule.step();
                }
                all
            });
            for (own, its) in own.iter().zip(&its) {
                same(&format!("{name} of {dtype}"), own, its);
            }
        }
    }
}

/// Asserts that two tensors agree; where the GPU is emulated, to the last bit.
#[track_caller]
fn same(name: &str, own: &Tensor, its: &Tensor) {
    if std::env::var_os("D2L_TEST_GPU").is_none() {
        assert_eq!(own.to_vec_f64(), its.to_vec_f64(), "{name}");
    } else if matches!(own.dtype(), DType::F32 | DType::F64) {
        close(name, "the value", &own.detach(), &its.detach());
    }
}

#[test]
fn any_number_of_parameters_takes_a_step() {
    let Some(gpu) = gpu() else { return };
    for count in [1, 100, 1000] {
        let [own, its] = [Device::Cpu, gpu].map(|device| {
            let all = parameters(count, DType::F32, device);
            // Some have had more steps than the others.
            let mut rule = Adam::new(all.clone(), 0.1).weight_decay(0.01);
            for step in 0..3 {
                backward(&all, step);
                if step == 1 {
                    all.iter().step_by(3).for_each(Tensor::zero_grad);
                }
                rule.step();
            }
            all
        });
        for (i, (own, its)) in own.iter().zip(&its).enumerate() {
            same(&format!("parameter {i} of {count}"), own, its);
        }
    }
}

#[test]
fn parameters_that_are_views_take_their_steps_one_after_the_other() {
    let Some(gpu) = gpu() else { return };
    let [own, its] = [Device::Cpu, gpu].map(|device| {
        let all = numbers(&[40], 0.3).to_device(device);
        let views = [1..9, 4..21, 20..40].map(|range| all.i(range).detach());
        let views = views.map(Tensor::requires_grad);
        let mut rule = Sgd::new(views.to_vec(), 0.1).momentum(0.5);
        for _ in 0..2 {
            for view in &views {
                view.zero_grad();
                (view * view).sum().backward();
            }
            rule.step();
        }
        all
    });
    same("views", &own, &its);
}

#[test]
fn a_value_that_somebody_holds_stays_as_it_was() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let w = numbers(&[5], 0.3).to_device(gpu).requires_grad();
    let before = w.to_vec();
    let y = &w * &w;
    y.sum().backward();
    let lazy = w.detach() * 3.0;
    Sgd::new([&w], 0.5).step();
    assert_eq!(lazy.to_vec(), before.iter().map(|w| 3.0 * w).collect::<Vec<f32>>());
    assert_ne!(w.to_vec(), before);
    // A gradient that is the value itself.
    w.zero_grad();
    (&w * 1.0).backward_with(&w.detach());
    Sgd::new([&w], 1.0).step();
    assert_eq!(w.to_vec(), [0.0; 5]);
}

/// A step by the gradients of a loss in which each parameter meets the first elements of `x`.
fn step_by(all: &[Tensor], x: &Tensor, rule: &mut AdamW) -> Tensor {
    let sums = all.iter().map(|w| (w * x.i(..w.numel())).sum().reshape([1]));
    let sums: Vec<Tensor> = sums.collect();
    let loss = Tensor::cat(&sums.iter().collect::<Vec<_>>(), 0).sum();
    rule.zero_grad();
    loss.backward();
    rule.step();
    loss
}

#[test]
fn replayed_steps_count_for_each_parameter() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let run = |replays: bool| {
        let all = parameters(70, DType::F32, gpu);
        let x = Tensor::zeros([9]).to_device(gpu);
        let mut rule =
            AdamW::new(all.clone(), 0.05).weight_decay_only(|name| name.ends_with('3'));
        let device = if replays { gpu } else { Device::Cpu };
        let mut step = Replay::new(device, || step_by(&all, &x, &mut rule));
        let mut losses: Vec<f64> = (0..7)
            .map(|i| {
                x.copy_(&numbers(&[9], i as f64));
                step.run().item()
            })
            .collect();
        assert_eq!(step.is_replayed(), replays, "{:?}", step.obstacle());
        drop(step);
        // Steps of some alone, so that counts differ when all are recorded again.
        for i in 0..2 {
            all.iter().for_each(Tensor::zero_grad);
            all.iter().step_by(4).for_each(|w| (w * w).sum().backward());
            rule.step();
            x.copy_(&numbers(&[9], i as f64 + 0.5));
            let mut step = Replay::new(device, || step_by(&all, &x, &mut rule));
            losses.extend((0..5).map(|_| step.run().item()));
            assert_eq!(step.is_replayed(), replays, "{:?}", step.obstacle());
        }
        losses.extend(all.iter().flat_map(|w| w.to_vec_f64()));
        losses
    };
    assert_eq!(run(false), run(true), "to the last bit");
}

#[test]
fn gradients_are_clipped_together() {
    let Some(gpu) = gpu() else { return };
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for max_norm in [0.5, 1e6] {
            let [own, its] = [Device::Cpu, gpu].map(|device| {
                let all = parameters(70, dtype, device);
                backward(&all, 1);
                // One whose gradient is stretched, and one that is in main memory.
                let wide = numbers(&[6], 0.1).to_device(device).requires_grad();
                wide.sum().backward();
                let here = numbers(&[6], 0.2).to_device(Device::Cpu).requires_grad();
                (&here * &here).sum().backward();
                let all: Vec<Tensor> = all.into_iter().chain([wide, here]).collect();
                let norm = clip_grad_norm(all.clone(), max_norm);
                (norm, all)
            });
            assert!((own.0 - its.0).abs() < 1e-6 * own.0, "{} and {}", own.0, its.0);
            for (own, its) in own.1.iter().zip(&its.1) {
                let (own, its) = (own.grad(), its.grad());
                assert_eq!(own.is_some(), its.is_some());
                if let (Some(own), Some(its)) = (own, its)
                    && dtype != DType::BF16
                {
                    close("a gradient", "clipped", &own, &its);
                }
            }
        }
    }
    let infinite = tensor([1.0, f32::INFINITY]).to_device(gpu).requires_grad();
    (&infinite * &infinite).sum().backward();
    assert_eq!(clip_grad_norm([&infinite], 1.0), f64::INFINITY);
}
