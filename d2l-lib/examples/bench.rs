//! Times of operations and training steps, one a line: `name <tab> microseconds`.
//!
//! `benches/compare.sh` runs this and the same rows in PyTorch, in turn.

mod models;

use std::{hint::black_box, time::Instant};

use d2l::{
    nn::{Conv2d, Linear, MaxPool2d, Module},
    optim::{Adam, Optimizer, Sgd},
    prelude::*,
};
use models::{Encoder, LanguageModel, Residual, Transformer};

/// The least time of one call of `f` in microseconds, over about half a second.
fn time(mut f: impl FnMut()) -> f64 {
    (0..3).for_each(|_| f());
    let start = Instant::now();
    f();
    // Rounds of at least 2 ms, so that the clock does not count.
    let calls = (2e-3 / start.elapsed().as_secs_f64().max(1e-9)).ceil().max(1.0) as u32;
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.6 {
        let round = Instant::now();
        (0..calls).for_each(|_| f());
        best = best.min(round.elapsed().as_secs_f64() / f64::from(calls));
    }
    best * 1e6
}

fn is_wanted(name: &str) -> bool {
    let only = std::env::args().nth(1).unwrap_or_default();
    name.contains(&only)
}

fn row(name: &str, f: impl FnMut()) {
    if is_wanted(name) {
        println!("{name}\t{:.3}", time(f));
    }
}

/// A step of an optimizer: the loss, its gradients, the update.
fn step(optimizer: &mut dyn Optimizer, loss: impl Fn() -> Tensor) {
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
}

fn sgd(parameters: &[Tensor]) -> Sgd {
    Sgd::new(parameters.to_vec(), 0.1)
}

/// Times the training step of a model on one batch, for the mean cross-entropy of its outputs,
/// with as many rows as there are labels.
fn train(name: &str, model: &dyn Module, x: &Tensor, t: &Tensor) {
    if !is_wanted(name) {
        return;
    }
    // Lazy layers need an input before there are parameters.
    model.forward(x);
    let mut optimizer = Sgd::new(model.parameters(), 0.1);
    row(name, || {
        step(&mut optimizer, || {
            let y = model.forward(x);
            y.reshape([t.numel(), y.len_of(-1)]).cross_entropy(t)
        });
    });
}

fn parameter<const N: usize>(shape: [usize; N]) -> Tensor {
    Tensor::normal(0.0, 0.05, shape).requires_grad()
}

fn main() {
    seed(1);
    let (x, y) = (Tensor::randn(4), Tensor::randn(4));
    let leaf = Tensor::randn(4).requires_grad();
    row("add 4", || drop(black_box(&x + &y)));
    row("add 4 with grad", || drop(black_box(&leaf + &y)));
    row("mul 4, sum, backward", || {
        leaf.zero_grad();
        (&leaf * &y).sum().backward();
    });

    let x = Tensor::randn(1_000_000);
    let y = Tensor::randn(1_000_000);
    row("exp 1e6", || drop(black_box(x.exp())));
    row("tanh 1e6", || drop(black_box(x.tanh())));
    row("sigmoid 1e6", || drop(black_box(x.sigmoid())));
    row("gelu 1e6", || drop(black_box(x.gelu())));
    row("log 1e6", || drop(black_box(x.abs().ln())));
    row("add 1e6", || drop(black_box(&x + &y)));
    row("sum 1e6", || drop(black_box(x.sum())));
    let m = x.reshape([1000, 1000]);
    let bias = Tensor::randn(1000);
    row("row bias 1000x1000", || drop(black_box(&m + &bias)));
    row("sum axis 0 1000x1000", || drop(black_box(m.sum_axis(0))));
    row("sum axis 1 1000x1000", || drop(black_box(m.sum_axis(1))));
    row("max axis 1 1000x1000", || drop(black_box(m.max_axis(1))));
    row("softmax 1000x1000", || drop(black_box(m.softmax(1))));
    row("transposed copy 1000x1000", || drop(black_box(m.t().contiguous())));
    for n in [32, 128, 512, 1024] {
        let (a, b) = (Tensor::randn([n, n]), Tensor::randn([n, n]));
        row(&format!("matmul {n}"), || drop(black_box(a.matmul(&b))));
    }
    let (a, b) = (Tensor::randn([64, 128, 64]), Tensor::randn([64, 64, 128]));
    row("batched matmul 64x128x64x128", || drop(black_box(a.matmul(&b))));

    let images = Tensor::randn([32, 64, 24, 24]);
    let kernels = Tensor::randn([64, 64, 3, 3]);
    row("conv 3x3 64ch 24x24 b32", || {
        drop(black_box(images.conv2d(&kernels, None, [1, 1], [1, 1])))
    });
    let (images, kernels) = (images.requires_grad(), kernels.requires_grad());
    row("conv 3x3 64ch 24x24 b32 step", || {
        images.zero_grad();
        kernels.zero_grad();
        images.conv2d(&kernels, None, [1, 1], [1, 1]).sum().backward();
    });

    let labels = |n| Tensor::randint(0..10, n);
    let (x, t) = (Tensor::randn([256, 784]), labels(256));
    let p = [parameter([10, 784]), parameter([10])];
    let mut optimizer = sgd(&p);
    row("softmax regression b256 step", || {
        step(&mut optimizer, || x.linear(&p[0], Some(&p[1])).cross_entropy(&t));
    });
    let p =
        [parameter([256, 784]), parameter([256]), parameter([10, 256]), parameter([10])];
    let mut optimizer = sgd(&p);
    row("MLP 784-256-10 b256 step", || {
        step(&mut optimizer, || {
            let h = x.linear(&p[0], Some(&p[1])).relu();
            h.linear(&p[2], Some(&p[3])).cross_entropy(&t)
        });
    });
    let (x, t) = (Tensor::randn([128, 1, 28, 28]), labels(128));
    let p = [
        parameter([6, 1, 5, 5]),
        parameter([6]),
        parameter([16, 6, 5, 5]),
        parameter([16]),
        parameter([120, 400]),
        parameter([120]),
        parameter([84, 120]),
        parameter([84]),
        parameter([10, 84]),
        parameter([10]),
    ];
    let mut optimizer = sgd(&p);
    row("LeNet b128 step", || {
        step(&mut optimizer, || {
            let pool = |x: &Tensor| x.avg_pool2d([2, 2], [2, 2], [0, 0]);
            let h = pool(&x.conv2d(&p[0], Some(&p[1]), [1, 1], [2, 2]).sigmoid());
            let h = pool(&h.conv2d(&p[2], Some(&p[3]), [1, 1], [0, 0]).sigmoid());
            let h = h.reshape([128, 400]).linear(&p[4], Some(&p[5])).sigmoid();
            let h = h.linear(&p[6], Some(&p[7])).sigmoid();
            h.linear(&p[8], Some(&p[9])).cross_entropy(&t)
        });
    });

    optimizers();
    small_models();
    recurrent_models();
    image_models();
    transformers();
    if let Some(peak) = peak_memory() {
        eprintln!("peak memory: {peak} MB");
    }
}

/// The most memory this process had, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

/// Optimizers of a million numbers.
fn optimizers() {
    let w = parameter([1_000_000]);
    let all: [(&str, Box<dyn Optimizer>); 3] = [
        ("SGD", Box::new(Sgd::new([&w], 1e-6))),
        ("SGD with momentum", Box::new(Sgd::new([&w], 1e-6).momentum(0.9))),
        ("Adam", Box::new(Adam::new([&w], 1e-6))),
    ];
    (&w * 0.5).sum().backward();
    for (name, mut optimizer) in all {
        row(&format!("{name} 1e6"), || optimizer.step());
    }
}

/// Chapter 3's linear regression, and word vectors by negative sampling.
fn small_models() {
    let (x, y) = (Tensor::randn([1000, 2]), Tensor::randn([1000, 1]));
    let net = Linear::new(2, 1);
    let mut optimizer = Sgd::new(net.parameters(), 0.03);
    row("linear regression, 3 epochs of 1000 by 32", || {
        for _ in 0..3 {
            for first in (0..1000).step_by(32) {
                let n = 32.min(1000 - first);
                let (x, y) = (x.narrow(0, first, n), y.narrow(0, first, n));
                step(&mut optimizer, || nn::mse_loss(&net.forward(&x), &y));
            }
        }
    });
    // 512 centres with 60 contexts and noise words each, vectors of 100 for 6719 words.
    let (centres, contexts) =
        (Tensor::randint(0..6719, [512, 1]), Tensor::randint(0..6719, [512, 60]));
    let labels = Tensor::randint(0..2, [512, 60]).to_dtype(DType::F32);
    let (v, u) = (parameter([6719, 100]), parameter([6719, 100]));
    let mut optimizer = Adam::new([&v, &u], 0.002);
    row("word2vec b512x60 step", || {
        step(&mut optimizer, || {
            let (v, u) = (v.embedding(&centres), u.embedding(&contexts));
            let scores = v.matmul(&u.transpose(1, 2)).squeeze(1);
            nn::bce_with_logits(&scores, &labels)
        });
    });
}

fn language_model(
    name: &str,
    recurrent: impl Module,
    [t, n, vocab]: [usize; 3],
    labels: i64,
) {
    let x = Tensor::randn([t, n, vocab]);
    let classes = Tensor::randint(0..labels, t * n);
    let net = LanguageModel { recurrent, output: Linear::lazy(labels as usize) };
    train(name, &net, &x, &classes);
}

fn recurrent_models() {
    let small = [32, 1024, 28];
    language_model("RNN h32 b1024 t32 step", nn::Rnn::lazy(32), small, 28);
    language_model("GRU h32 b1024 t32 step", nn::Gru::lazy(32), small, 28);
    language_model("LSTM h32 b1024 t32 step", nn::Lstm::lazy(32), small, 28);
    language_model("LSTM h256 b32 t35 step", nn::Lstm::lazy(256), [35, 32, 28], 28);
    let both = nn::Lstm::lazy(64).stacked(2).bidirectional();
    language_model("bidirectional 2-layer LSTM h64 b64 t32 step", both, [32, 64, 64], 10);
}

fn image_models() {
    let labels = |n| Tensor::randint(0..10, n);
    let net = sequential![
        Residual::new(64, 1),
        Residual::new(128, 2),
        nn::GlobalAvgPool2d,
        nn::Flatten,
        Linear::lazy(10)
    ];
    train(
        "two ResNet blocks 64ch 24x24 b16 step",
        &net,
        &Tensor::randn([16, 64, 24, 24]),
        &labels(16),
    );
    let conv = |channels| Conv2d::lazy(channels, 3).padding(1);
    let pool = || MaxPool2d::new(2);
    let net = sequential![
        conv(16),
        nn::Relu,
        pool(),
        conv(32),
        nn::Relu,
        pool(),
        conv(64),
        nn::Relu,
        conv(64),
        nn::Relu,
        pool(),
        nn::Flatten,
        Linear::lazy(256),
        nn::Relu,
        Linear::lazy(10)
    ];
    train(
        "slim VGG 1x64x64 b16 step",
        &net,
        &Tensor::randn([16, 1, 64, 64]),
        &labels(16),
    );
    let net = sequential![
        Conv2d::lazy(96, 11).stride(4).padding(1),
        nn::Relu,
        MaxPool2d::new(3).stride(2),
        Conv2d::lazy(256, 5).padding(2),
        nn::Relu,
        MaxPool2d::new(3).stride(2),
        Conv2d::lazy(384, 3).padding(1),
        nn::Relu,
        Conv2d::lazy(256, 3).padding(1),
        nn::Relu,
        nn::Flatten,
        Linear::lazy(512),
        nn::Relu,
        Linear::lazy(10)
    ];
    train("AlexNet 1x96x96 b16 step", &net, &Tensor::randn([16, 1, 96, 96]), &labels(16));
}

fn transformers() {
    let (q, k, v) = (
        Tensor::randn([32, 8, 64, 32]),
        Tensor::randn([32, 8, 64, 32]),
        Tensor::randn([32, 8, 64, 32]),
    );
    row("attention 32x8x64x32", || drop(black_box(q.attention(&k, &v, None))));
    let (q, k, v) = (q.requires_grad(), k.requires_grad(), v.requires_grad());
    row("attention 32x8x64x32 step", || {
        [&q, &k, &v].into_iter().for_each(Tensor::zero_grad);
        q.attention(&k, &v, None).sum().backward();
    });
    let x = Tensor::randn([64, 32, 256]);
    let net = sequential![Encoder::new(256, 64, 4), Linear::lazy(10)];
    let classes = Tensor::randint(0..10, 64 * 32);
    train("encoder block 256 4 heads b64 t32 step", &net, &x, &classes);
    let net = Transformer::new([200, 32], [64, 128, 4], true);
    let words = Tensor::randint(0..200, [32, 32]);
    let next = Tensor::randint(0..200, 32 * 32);
    train("small Transformer 64 2 blocks b32 t32 step", &net, &words, &next);
}
