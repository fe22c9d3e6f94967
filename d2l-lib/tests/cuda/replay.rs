//! Work that is replayed gives what it gives when it is done as it is.

use d2l::{
    Replay,
    nn::{Linear, Module},
    optim::Optimizer,
    prelude::*,
};

use super::{alone, gpu, numbers};

/// A small net with weights that are the same each time.
fn net(device: Device) -> nn::Sequential {
    let net = sequential![Linear::new(5, 16), nn::Tanh, Linear::new(16, 3)];
    for (i, (_, parameter)) in net.parameters().into_iter().enumerate() {
        parameter.assign(numbers(parameter.shape(), i as f64) * 0.3);
    }
    net.to_device(device);
    net
}

/// Batch number `i`.
fn batch(i: usize) -> Tensor {
    numbers(&[8, 5], i as f64)
}

/// A loss that pulls the results of `net` to the sums of their inputs.
fn loss(net: &nn::Sequential, x: &Tensor) -> Tensor {
    let apart = net.forward(x) - x.sum_axis(1).reshape([8, 1]);
    (&apart * &apart).mean()
}

#[test]
fn batches_learning_rates_and_gradients_reach_what_is_replayed() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let run = |device: Device, replays: bool| {
        let net = net(device);
        let x = Tensor::zeros([8, 5]).to_device(device);
        let mut rule = optim::Sgd::new(net.parameters(), 0.05).momentum(0.5);
        let mut losses = Vec::new();
        for lr in [0.05, 0.01] {
            rule.set_lr(lr);
            let mut step =
                Replay::new(if replays { device } else { Device::Cpu }, || {
                    let loss = loss(&net, &x);
                    rule.zero_grad();
                    loss.backward();
                    rule.step();
                    loss
                });
            for i in 0..8 {
                x.copy_(&batch(i));
                losses.push(step.run().item());
            }
            assert_eq!(step.is_replayed(), replays, "{:?}", step.obstacle());
        }
        let gradients = net.parameters().into_iter().map(|(_, p)| p.grad().expect("one"));
        let all = gradients
            .into_iter()
            .chain(net.parameters().into_iter().map(|(_, p)| p.detach()));
        let rest: Vec<f64> = all.flat_map(|x| x.to_vec_f64()).collect();
        (losses, rest)
    };
    let as_it_is = run(gpu, false);
    assert_eq!(as_it_is, run(gpu, true), "to the last bit");
    assert!(as_it_is.0[7] < as_it_is.0[0]);
}

#[test]
fn a_change_of_what_work_depends_on_is_noticed() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let net = net(gpu);
    let x = batch(0).to_device(gpu);
    let mut rule = optim::Sgd::new(net.parameters(), 0.5);
    let w = Tensor::ones([3]).to_device(gpu);
    {
        // A learning rate.
        let rate = std::cell::Cell::new(0.5);
        let mut step = Replay::new(gpu, || {
            rule.set_lr(rate.get());
            rule.zero_grad();
            loss(&net, &x).backward();
            rule.step();
            w.copy()
        });
        (0..5).for_each(|_| drop(step.run()));
        assert!(step.is_replayed());
        // Somebody who sets another one says so to all.
        rate.set(0.25);
        optim::Sgd::new(net.parameters(), 0.5).set_lr(0.1);
        step.run();
        assert!(!step.is_replayed());
    }
    assert_eq!(rule.lr(), 0.25);

    // The place of a tensor: who holds the old elements keeps them.
    let mut work = Replay::new(gpu, || &w * 2.0);
    (0..4).for_each(|_| drop(work.run()));
    assert!(work.is_replayed());
    let old = Tensor::ones([3]).to_device(gpu).requires_grad() * &w;
    w.copy_(&tensor([5.0, 6.0, 7.0]));
    assert_eq!(work.run().to_vec(), [10.0, 12.0, 14.0]);
    assert_eq!(old.to_vec(), [1.0; 3]);
    w.copy_(&tensor([1.0, 2.0, 3.0]));
    (0..4).for_each(|_| assert_eq!(work.run().to_vec(), [2.0, 4.0, 6.0]));
    assert!(work.is_replayed());
}

#[test]
fn random_numbers_and_counted_steps_go_on() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let run = |replays: bool| {
        seed(5);
        let net =
            sequential![net(gpu), nn::Tanh, nn::Dropout::new(0.3), Linear::new(3, 1)];
        net.to_device(gpu);
        let x = Tensor::zeros([8, 5]).to_device(gpu);
        let mut rule = optim::Adam::new(net.parameters(), 0.05);
        let mut step = Replay::new(if replays { gpu } else { Device::Cpu }, || {
            let apart = net.forward(&x);
            let loss = (&apart * &apart).mean();
            rule.zero_grad();
            loss.backward();
            rule.step();
            loss
        });
        let losses = |step: &mut Replay, batches: std::ops::Range<usize>| -> Vec<f64> {
            batches
                .map(|i| {
                    x.copy_(&batch(i));
                    step.run().item()
                })
                .collect()
        };
        let mut all = losses(&mut step, 0..8);
        assert_eq!(step.is_replayed(), replays, "{:?}", step.obstacle());
        drop(step);
        // What was replayed counts.
        for i in 0..3 {
            let loss = (net.forward(&batch(i).to_device(gpu))).mean();
            rule.zero_grad();
            loss.backward();
            rule.step();
            all.push(loss.item());
        }
        all.extend(Tensor::rand([3]).to_vec_f64());
        all
    };
    assert_eq!(run(false), run(true), "to the last bit");
}

#[test]
fn memory_of_replays_is_nobody_elses_until_they_end() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let x = numbers(&[64], 0.5).to_device(gpu);
    let mut work = Replay::new(gpu, || {
        let y = x.exp();
        // Each of these is in memory for a while.
        (y.sum() + y.softmax(0).max() + y.max()).reshape([1])
    });
    let first = work.run().item();
    (0..6).for_each(|_| drop(work.run()));
    if let Some(why) = work.obstacle() {
        panic!("{why}");
    }
    let others: Vec<Tensor> =
        (0..20).map(|i| Tensor::full([64], i as f64).to_device(gpu)).collect();
    assert_eq!(work.run().item(), first);
    for (i, other) in others.iter().enumerate() {
        assert_eq!(other.to_vec(), [i as f32; 64]);
    }
    let result = work.run();
    drop(work);
    let others: Vec<Tensor> =
        (0..20).map(|i| Tensor::full([64], i as f64).to_device(gpu)).collect();
    assert_eq!(result.item(), first, "who has the result keeps it");
    drop(others);
}

#[test]
fn work_that_cannot_be_replayed_says_why_and_is_right() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let x = numbers(&[6], 0.5).to_device(gpu);
    let mut looks = Replay::new(gpu, || &x * x.sum().item());
    let expected = (&x * x.sum().item()).to_vec();
    (0..4).for_each(|_| assert_eq!(looks.run().to_vec(), expected));
    assert!(looks.obstacle().is_some_and(|why| why.contains("main memory")));

    let mut count = 0.0;
    let mut counts = Replay::new(gpu, || {
        count += 1.0;
        &x * count
    });
    for i in 1..15 {
        let expected = (&x * i as f64).to_vec();
        assert_eq!(counts.run().to_vec(), expected);
    }
    assert!(counts.obstacle().is_some_and(|why| why.contains("differs")));

    let mut host = Replay::new(gpu, || Tensor::ones([2]).to_device(Device::Cpu));
    host.run();
    assert!(host.obstacle().is_some_and(|why| why.contains("not on the GPU")));

    // Work that panics leaves nothing half-done.
    let fails = std::panic::AssertUnwindSafe(|| {
        Replay::new(gpu, || {
            Tensor::ones([2]).to_device(gpu).matmul(&Tensor::ones([3, 1]))
        })
        .run()
    });
    assert!(std::panic::catch_unwind(fails).is_err());
    let mut work = Replay::new(gpu, || &x + 1.0);
    (0..4).for_each(|_| drop(work.run()));
    assert!(work.is_replayed());
}
