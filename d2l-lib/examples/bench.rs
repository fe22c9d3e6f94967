//! Times of operations and training steps, one a line: `name <tab> microseconds`.
//!
//! `benches/compare.sh` runs this and the same rows in PyTorch, in turn.

use std::{hint::black_box, time::Instant};

use d2l::prelude::*;

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

fn row(name: &str, f: impl FnMut()) {
    let only = std::env::args().nth(1).unwrap_or_default();
    if name.contains(&only) {
        println!("{name}\t{:.3}", time(f));
    }
}

/// A step of gradient descent: the loss, its gradients, the update.
fn step(parameters: &[Tensor], loss: impl Fn() -> Tensor) {
    parameters.iter().for_each(Tensor::zero_grad);
    loss().backward();
    no_grad(|| {
        for parameter in parameters {
            parameter.sub_(parameter.grad().expect("a gradient for each") * 0.1);
        }
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
    row("softmax regression b256 step", || {
        step(&p, || x.linear(&p[0], Some(&p[1])).cross_entropy(&t));
    });
    let p =
        [parameter([256, 784]), parameter([256]), parameter([10, 256]), parameter([10])];
    row("MLP 784-256-10 b256 step", || {
        step(&p, || {
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
    row("LeNet b128 step", || {
        step(&p, || {
            let pool = |x: &Tensor| x.avg_pool2d([2, 2], [2, 2], [0, 0]);
            let h = pool(&x.conv2d(&p[0], Some(&p[1]), [1, 1], [2, 2]).sigmoid());
            let h = pool(&h.conv2d(&p[2], Some(&p[3]), [1, 1], [0, 0]).sigmoid());
            let h = h.reshape([128, 400]).linear(&p[4], Some(&p[5])).sigmoid();
            let h = h.linear(&p[6], Some(&p[7])).sigmoid();
            h.linear(&p[8], Some(&p[9])).cross_entropy(&t)
        });
    });
}
