//! Models on the processor and on a GPU: the same losses step by step, and no memory that stays.

use std::process::Command;

use d2l::{
    Replay,
    nn::{Linear, Module},
    prelude::*,
};

use super::{alone, gpu, numbers};

#[path = "../../examples/models/mod.rs"]
mod book;

use book::{LanguageModel, Residual, Transformer};

type Make = fn(nn::Parameters) -> Box<dyn optim::Optimizer>;

/// All rules of optimizers.
pub(crate) const RULES: [(&str, Make); 8] = [
    ("Sgd", |p| Box::new(optim::Sgd::new(p, 0.1).weight_decay(0.01))),
    ("momentum", |p| Box::new(optim::Sgd::new(p, 0.1).momentum(0.9).nesterov())),
    ("Adam", |p| Box::new(optim::Adam::new(p, 0.05))),
    ("AdamW", |p| Box::new(optim::AdamW::new(p, 0.05))),
    ("Yogi", |p| Box::new(optim::Yogi::new(p, 0.05))),
    ("Adagrad", |p| Box::new(optim::Adagrad::new(p, 0.05))),
    ("RmsProp", |p| Box::new(optim::RmsProp::new(p, 0.01).momentum(0.5))),
    ("Adadelta", |p| Box::new(optim::Adadelta::new(p, 1.0))),
];

#[test]
fn models_train_the_same_by_every_rule() {
    let Some(gpu) = gpu() else { return };
    for (name, make) in RULES {
        let losses = |device: Device| {
            // Until all is dropped, for what one replay has used another one sees go.
            let _alone = alone();
            let net =
                sequential![nn::Linear::new(5, 16), nn::Relu, nn::Linear::new(16, 3)];
            for (i, (_, parameter)) in net.parameters().into_iter().enumerate() {
                parameter.assign(numbers(parameter.shape(), i as f64) * 0.5);
            }
            net.to_device(device);
            let x = numbers(&[12, 5], 0.3).to_device(device);
            let y = tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]).to_device(device);
            let (losses, is_replayed) =
                train(&net, &mut *make(net.parameters()), &x, &y, 8);
            assert_eq!(is_replayed, device == gpu, "{name}");
            losses
        };
        same_losses(name, &losses(Device::Cpu), &losses(gpu));
    }
}

/// The losses in so many steps, and whether the last one was replayed.
fn train(
    net: &dyn Module,
    rule: &mut dyn optim::Optimizer,
    x: &Tensor,
    labels: &Tensor,
    steps: usize,
) -> (Vec<f64>, bool) {
    let mut step = Replay::new(x.device(), || {
        let y = net.forward(x);
        let loss = y.reshape([labels.numel(), y.len_of(-1)]).cross_entropy(labels);
        rule.zero_grad();
        loss.backward();
        rule.step();
        loss
    });
    let losses = (0..steps).map(|_| step.run().item()).collect();
    (losses, step.is_replayed())
}

fn same_losses(name: &str, own: &[f64], its: &[f64]) {
    assert!(own.last() < own.first(), "{name} learns: {own:?}");
    assert_eq!(own.len(), its.len());
    for (own, its) in own.iter().zip(its) {
        let close = (own - its).abs() < 1e-4;
        assert!(close, "{name}: {own} on the processor, {its} on the GPU");
    }
}

#[test]
fn a_lazy_layer_is_made_where_its_model_is() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let net = sequential![nn::Linear::lazy(4), nn::Relu, nn::Linear::lazy(2)];
    net.to_device(gpu);
    let y = net.forward(&numbers(&[3, 5], 0.2).to_device(gpu));
    assert_eq!(y.device(), gpu);
    y.sum().backward();
    let grads = net.parameters().into_iter().map(|(_, p)| p.grad().expect("a gradient"));
    assert!(grads.into_iter().all(|grad| grad.device() == gpu));
    net.to_device(Device::Cpu);
    assert_eq!(net.forward(&numbers(&[3, 5], 0.2)).device(), Device::Cpu);
}

#[test]
fn memory_is_given_back() {
    let Some(gpu) = gpu() else { return };
    let figures = || gpu.memory().expect("a GPU has figures");
    let x = numbers(&[1000, 300], 0.3).to_device(gpu);
    assert!(figures().in_use >= 1_200_000);
    for _ in 0..20 {
        let y = (&x * 2.0 + 1.0).sum();
        assert!(y.item().is_finite());
    }
    let now = figures();
    assert!(now.peak >= now.in_use);
    drop(x);
}

/// The same losses on both in six steps of SGD from the same weights, the last of which the GPU
/// replays.
fn same_steps(
    name: &str,
    make: impl Fn() -> Box<dyn Module>,
    x: &Tensor,
    labels: &Tensor,
) {
    let Some(gpu) = gpu() else { return };
    let losses = |device: Device| {
        let _alone = alone();
        let net = make();
        // Lazy layers need an input before there are parameters.
        net.forward(x);
        for (i, (name, parameter)) in net.parameters().into_iter().enumerate() {
            let fan_in: usize = parameter.shape().iter().skip(1).product();
            // Scales of norms stay about 1.
            let is_scale = name.ends_with("weight") && parameter.ndim() == 1;
            let shift = if is_scale { 1.0 } else { 0.0 };
            let drawn = numbers(parameter.shape(), i as f64) / (fan_in as f64).sqrt();
            parameter.assign(drawn * 0.5 + shift);
        }
        net.to_device(device);
        let (x, labels) = (x.to_device(device), labels.to_device(device));
        let mut rule = optim::Sgd::new(net.parameters(), 0.1);
        let (losses, is_replayed) = train(&*net, &mut rule, &x, &labels, 6);
        assert_eq!(is_replayed, device == gpu, "{name}");
        losses
    };
    same_losses(name, &losses(Device::Cpu), &losses(gpu));
}

fn labels(count: usize, classes: i64) -> Tensor {
    tensor((0..count as i64).map(|i| i * 7 % classes).collect::<Vec<i64>>())
}

#[test]
fn lenet_takes_the_same_steps() {
    let images = numbers(&[4, 1, 28, 28], 0.1);
    same_steps("LeNet", || Box::new(book::lenet()), &images, &labels(4, 10));
}

#[test]
fn a_residual_network_takes_the_same_steps() {
    let net = || -> Box<dyn Module> {
        Box::new(sequential![
            Residual::new(8, 2),
            Residual::new(8, 1),
            nn::MaxPool2d::new(2),
            nn::GlobalAvgPool2d,
            nn::Flatten,
            Linear::lazy(5)
        ])
    };
    same_steps("ResNet", net, &numbers(&[6, 3, 12, 12], 0.4), &labels(6, 5));
}

#[test]
fn an_lstm_takes_the_same_steps() {
    let net = || -> Box<dyn Module> {
        let recurrent = nn::Lstm::lazy(12).stacked(2).bidirectional();
        Box::new(LanguageModel { recurrent, output: Linear::lazy(9) })
    };
    same_steps("LSTM", net, &numbers(&[7, 4, 9], 0.2), &labels(28, 9));
}

#[test]
fn transformers_take_the_same_steps() {
    for causal in [true, false] {
        let net = || -> Box<dyn Module> {
            Box::new(Transformer::new([20, 6], [16, 32, 4], causal))
        };
        let words = labels(24, 20).reshape([4, 6]);
        same_steps("Transformer", net, &words, &labels(24, 20));
    }
}

/// Set in the process that runs one test alone.
const ALONE: &str = "D2L_TEST_ALONE";

#[test]
fn steps_leave_nothing_behind() {
    let Some(gpu) = gpu() else { return };
    if std::env::var_os(ALONE).is_none() {
        // Other tests in this process have tensors too.
        let ran = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "models::steps_leave_nothing_behind"])
            .env(ALONE, "1")
            .output()
            .expect("it starts again");
        let text = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let net = sequential![
        Linear::new(3, 8),
        nn::Relu,
        nn::Dropout::new(0.1),
        Linear::new(8, 2)
    ];
    net.to_device(gpu);
    let (x, y) = (numbers(&[4, 3], 0.3).to_device(gpu), labels(4, 2).to_device(gpu));
    let mut rule = optim::Adam::new(net.parameters(), 0.001);
    let mut used_after = |steps| {
        for _ in 0..steps {
            let loss = net.forward(&x).cross_entropy(&y);
            rule.zero_grad();
            loss.backward();
            rule.step();
        }
        gpu.synchronize().expect("all steps were done");
        let figures = gpu.memory().expect("a GPU has figures");
        (figures.in_use, figures.peak, resident())
    };
    // The emulated GPU takes 12 s for 10,000.
    let steps =
        std::env::var("D2L_TEST_STEPS").map_or(2_000, |n| n.parse().expect("a number"));
    let (in_use, peak, before) = used_after(100);
    let (in_use_then, peak_then, after) = used_after(steps);
    assert_eq!((in_use_then, peak_then), (in_use, peak));
    let grown = after.saturating_sub(before);
    // A sanitizer keeps what was freed.
    let is_watched = cfg!(exact_blocks);
    assert!(is_watched || grown < 1 << 20, "{grown} bytes more after {steps} steps");
}

/// Bytes of main memory that this process has; 0 where the system does not say.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .map_or(0, |n: usize| n * PAGE)
}
