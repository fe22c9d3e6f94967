//! How fast a GPU is: one line of JSON for each measurement, as `tests/gpu/report.py` wants them.
//!
//! `cargo run --example gpu [cpu|cuda:0] [SCALE]`; sizes are divided by the scale, so that an
//! emulated GPU can show that all of it runs.

mod models;

use std::time::Instant;

use d2l::{Replay, nn::Module, prelude::*};
use models::{LanguageModel, Transformer};

/// Seconds of one call: the least of five means, each over `calls` calls that are waited for
/// together.
fn seconds(device: Device, calls: usize, mut f: impl FnMut()) -> f64 {
    f();
    device.synchronize().expect("the warm-up succeeded");
    let once = |_| {
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        device.synchronize().expect("all calls succeeded");
        start.elapsed().as_secs_f64() / calls as f64
    };
    (0..5).map(once).fold(f64::INFINITY, f64::min)
}

fn report(name: &str, value: f64, unit: &str) {
    println!("{{\"name\": \"{name}\", \"value\": {value:.6}, \"unit\": \"{unit}\"}}");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let device: Device = arguments
        .next()
        .map_or(Ok(d2l::try_gpu(0)), |name| name.parse())
        .expect("a device");
    let scale: usize =
        arguments.next().map_or(1, |scale| scale.parse().expect("a number"));
    let calls = if scale == 1 { 100 } else { 2 };
    eprintln!(
        "{device}: {}; libraries: {}",
        device.name().expect("the device exists"),
        device.libraries().join(", ")
    );

    // What one operation costs before there is anything to do.
    let (a, b) =
        (Tensor::ones([4]).to_device(device), Tensor::ones([4]).to_device(device));
    report(
        "add of 4 elements",
        1e6 * seconds(device, 20 * calls, || (&a + &b).eval()),
        "us",
    );
    let leaf = a.detach().requires_grad();
    let with_grad = seconds(device, 20 * calls, || (&leaf + &b).eval());
    report("add of 4 elements with grad", 1e6 * with_grad, "us");
    let (a, b) =
        (Tensor::ones([4, 4]).to_device(device), Tensor::ones([4, 4]).to_device(device));
    let product = seconds(device, 20 * calls, || a.matmul(&b).eval());
    report("matmul of 4x4", 1e6 * product, "us");

    // Bandwidth: bytes read and written, in a second.
    let n = (64 << 20) / (scale * scale);
    let (x, y) =
        (Tensor::ones([n]).to_device(device), Tensor::ones([n]).to_device(device));
    let bandwidth = |name: &str, numbers: usize, f: &mut dyn FnMut()| {
        let rate = (4 * numbers * n) as f64 / seconds(device, calls, f) / 1e9;
        report(name, rate, "GB/s");
    };
    bandwidth("copy", 2, &mut || x.copy().eval());
    bandwidth("add", 3, &mut || (&x + &y).eval());
    bandwidth("exp", 2, &mut || x.exp().eval());
    // Four operations that PyTorch does one by one: here one pass.
    bandwidth("chain of 4", 3, &mut || ((&x + &y) * 0.5).tanh().relu().eval());
    bandwidth("add in place", 3, &mut || x.add_(&y));
    bandwidth("sum", 1, &mut || x.sum().eval());
    let rows = x.i(..n / 1024 * 1024).reshape([n / 1024, 1024]);
    bandwidth("softmax of rows of 1024", 2, &mut || rows.softmax(1).eval());
    bandwidth("sum of columns", 1, &mut || rows.sum_axis(0).eval());
    bandwidth("sum of rows of 1024", 1, &mut || rows.sum_axis(1).eval());
    let (w, b) =
        (Tensor::ones([1024]).to_device(device), Tensor::ones([1024]).to_device(device));
    bandwidth("layer norm of rows of 1024", 2, &mut || {
        rows.layer_norm(1024, Some(&w), Some(&b), 1e-5).eval();
    });
    let labels = Tensor::randint(0..1024, [n / 1024]).to_device(device);
    bandwidth("cross-entropy of rows of 1024", 1, &mut || {
        rows.cross_entropy(&labels).eval();
    });
    let halves = rows.to_dtype(DType::BF16);
    halves.eval();
    // Of half as many bytes.
    bandwidth("softmax of rows of 1024, bf16", 1, &mut || halves.softmax(1).eval());
    bandwidth("transposed copy", 2, &mut || rows.t().copy().eval());

    adam(device, scale);

    if device != Device::Cpu {
        transfers(device, scale);
    }

    let products = |kind: &str, dtype: DType| {
        for n in [512, 1024, 2048, 4096, 8192].map(|n| n / scale) {
            let [a, b] =
                [(); 2].map(|()| Tensor::rand([n, n]).to_dtype(dtype).to_device(device));
            let time = seconds(device, (calls / 10).max(1), || a.matmul(&b).eval());
            let rate = 2.0 * (n as f64).powi(3) / time / 1e12;
            report(&format!("matmul {n}{kind}"), rate, "TFLOP/s");
        }
    };
    products("", DType::F32);
    d2l::allow_tf32(true);
    products(", TF32", DType::F32);
    d2l::allow_tf32(false);
    products(", bf16", DType::BF16);

    let rows_of = |rows: usize| (rows / scale).max(2);
    let labels = |classes: i64, n: usize| Tensor::randint(0..classes, [n]);
    let mlp = sequential![nn::Linear::new(784, 256), nn::Relu, nn::Linear::new(256, 10)];
    epochs(device, 60_000 / (scale * scale), rows_of(256));
    let n = rows_of(256);
    // In `f32` as it is, and with factors rounded to TF32.
    let kinds = [("", false), (", TF32", true)];
    let train = |name: &str, net: &dyn Module, x: Tensor, labels: Tensor| {
        let mut step = step(device, net, x, labels);
        for (kind, tf32) in kinds {
            d2l::allow_tf32(tf32);
            let time = seconds(device, calls.min(20), || drop(step()));
            report(&format!("{name}, step{kind}"), 1e3 * time, "ms");
        }
        let mut step = Replay::new(device, step);
        for (kind, tf32) in kinds {
            d2l::allow_tf32(tf32);
            // Until all is in its place.
            (0..8).for_each(|_| drop(step.run()));
            if let Some(why) = step.obstacle() {
                eprintln!("{name} is not replayed: {why}");
            }
            let time = seconds(device, calls.min(20), || drop(step.run()));
            report(&format!("{name}, replayed step{kind}"), 1e3 * time, "ms");
        }
        d2l::allow_tf32(false);
    };
    train("MLP 784-256-10, batch 256", &mlp, Tensor::rand([n, 784]), labels(10, n));
    train(
        "LeNet, batch 256",
        &models::lenet(),
        Tensor::rand([n, 1, 28, 28]),
        labels(10, n),
    );
    let (n, side) = (rows_of(128), 96 / scale);
    train(
        "ResNet-18, batch 128, 96x96",
        &models::resnet18(),
        Tensor::rand([n, 1, side, side]),
        labels(10, n),
    );
    let lstm = |width| LanguageModel {
        recurrent: nn::Lstm::lazy(width),
        output: nn::Linear::lazy(28),
    };
    let n = rows_of(1024);
    train(
        "LSTM 32, batch 1024, 32 steps",
        &lstm(32),
        Tensor::randn([32, n, 28]),
        labels(28, 32 * n),
    );
    let n = rows_of(32);
    train(
        "LSTM 256, batch 32, 35 steps",
        &lstm(256),
        Tensor::randn([35, n, 28]),
        labels(28, 35 * n),
    );
    let n = rows_of(128);
    train(
        "Transformer 256, 2 blocks, batch 128, 32 words",
        &Transformer::new([200, 32], [256, 64, 4], true),
        labels(200, n * 32).reshape([n, 32]),
        labels(200, n * 32),
    );
    let (n, words) = (rows_of(64), 10_000 / scale);
    train(
        "BERT-small 128, 2 blocks, batch 64, 64 words",
        &Transformer::new([words, 64], [128, 256, 2], false),
        labels(words as i64, n * 64).reshape([n, 64]),
        labels(words as i64, n * 64),
    );

    // Ten thousand steps must not need more memory than one.
    let n = rows_of(256);
    let mut step = step(device, &mlp, Tensor::rand([n, 784]), labels(10, n));
    drop(step());
    let before = device.memory().map_or(0, |figures| figures.in_use);
    (0..10_000 / (scale * scale)).for_each(|_| drop(step()));
    let after = device.memory().map_or(0, |figures| figures.in_use);
    report("bytes lost in 10,000 steps", after as f64 - before as f64, "bytes");
    for (op, count) in d2l::detours() {
        report(&format!("detour: {op}"), count as f64, "times");
    }
}

/// Steps of Adam on 100 parameters, small and large.
fn adam(device: Device, scale: usize) {
    for (name, length) in [("1,000", 1_000), ("1 million", 1 << 20)] {
        let length = (length / scale).max(1);
        let parameter = |_| {
            let w = Tensor::ones([length]).to_device(device).requires_grad();
            (&w * 2.0).sum().backward();
            w
        };
        let all: Vec<Tensor> = (0..100).map(parameter).collect();
        let mut rule = optim::Adam::new(all, 1e-3);
        let time =
            seconds(device, 20 / scale.min(10), || optim::Optimizer::step(&mut rule));
        report(&format!("Adam, 100 parameters of {name}"), 1e6 * time, "us");
    }
}

/// Copies between main memory and a GPU's.
fn transfers(device: Device, scale: usize) {
    let here = Tensor::ones([(64 << 20) / (scale * scale)]).to_device(Device::Cpu);
    let there = here.to_device(device);
    let gigabytes = 4e-9 * here.numel() as f64;
    let up = seconds(device, 4, || drop(here.to_device(device)));
    report("upload of 256 MB", gigabytes / up, "GB/s");
    let down = seconds(device, 4, || drop(there.to_device(Device::Cpu)));
    report("download of 256 MB", gigabytes / down, "GB/s");
    let small = Tensor::ones([16 << 10]).to_device(Device::Cpu);
    let small = seconds(device, 200 / scale, || drop(small.to_device(device)));
    report("upload of 64 KB", 1e6 * small, "us");
}

/// How long LeNet takes for an epoch over `n` images in main memory, if each batch is brought
/// when it is wanted, and if a loader brings it ahead of time.
fn epochs(device: Device, n: usize, batch_size: usize) {
    let images = Tensor::rand([n, 1, 28, 28]).to_device(Device::Cpu);
    let labels = Tensor::randint(0..10, [n]).to_device(Device::Cpu);
    let loader = data::DataLoader::new([&images, &labels], batch_size).shuffle();
    let net = models::lenet();
    net.to_device(device);
    no_grad(|| net.forward(&images.i(..2).to_device(device)));
    let mut rule = optim::Sgd::new(net.parameters(), 0.01);
    let mut epoch = |loader: &data::DataLoader| {
        for batch in loader {
            let (x, y) = batch.to_device(device).pair();
            let loss = nn::cross_entropy(&net.forward(&x), &y);
            rule.zero_grad();
            loss.backward();
            rule.step();
        }
    };
    let ahead = loader.clone().to_device(device);
    for (name, loader) in [("LeNet, epoch", &loader), ("LeNet, epoch, ahead", &ahead)] {
        report(name, seconds(device, 1, || epoch(loader)), "s");
    }
}

/// One step of SGD after the other, on `device`.
fn step(
    device: Device,
    net: &dyn Module,
    x: Tensor,
    labels: Tensor,
) -> impl FnMut() -> Tensor + use<'_> {
    let (x, labels) = (x.to_device(device), labels.to_device(device));
    net.to_device(device);
    // Lazy layers need an input before there are parameters.
    no_grad(|| net.forward(&x));
    let mut rule = optim::Sgd::new(net.parameters(), 0.01);
    move || {
        let y = net.forward(&x);
        let loss = y.reshape([labels.numel(), y.len_of(-1)]).cross_entropy(&labels);
        rule.zero_grad();
        loss.backward();
        rule.step();
        loss
    }
}
