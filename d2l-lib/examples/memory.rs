//! The most memory that training steps need: `memory lenet|transformer BATCH` prints kilobytes.
//!
//! `benches/memory.sh` runs this and the same models in PyTorch with a small and a large batch, so
//! that the program itself does not count.

use d2l::{
    nn::{
        AvgPool2d, Conv2d, Embedding, Flatten, LayerNorm, Linear, Module,
        MultiHeadAttention, Sigmoid, causal_mask, parts,
    },
    optim::{Optimizer, Sgd},
    prelude::*,
};

/// An encoder block with a causal mask between words and their logits.
struct Transformer {
    embedding: Embedding,
    attention: MultiHeadAttention,
    norms: Vec<LayerNorm>,
    inner: Linear,
    outer: Linear,
    output: Linear,
}

impl Module for Transformer {
    parts!(embedding, attention, norms, inner, outer, output);

    fn forward(&self, words: &Tensor) -> Tensor {
        let mask = causal_mask(words.len_of(1));
        let x = self.embedding.forward(words);
        let (y, _) = self.attention.attend(&x, &x, &x, Some(&mask));
        let x = self.norms[0].forward(&(x + y));
        let y = self.outer.forward(&self.inner.forward(&x).relu());
        self.output.forward(&self.norms[1].forward(&(x + y)))
    }
}

fn lenet() -> Box<dyn Module> {
    Box::new(sequential![
        Conv2d::lazy(6, 5).padding(2),
        Sigmoid,
        AvgPool2d::new(2),
        Conv2d::lazy(16, 5),
        Sigmoid,
        AvgPool2d::new(2),
        Flatten,
        Linear::lazy(120),
        Sigmoid,
        Linear::lazy(84),
        Sigmoid,
        Linear::lazy(10)
    ])
}

fn transformer() -> Box<dyn Module> {
    Box::new(Transformer {
        embedding: Embedding::new(200, 64),
        attention: MultiHeadAttention::lazy(64, 4),
        norms: vec![LayerNorm::new(64), LayerNorm::new(64)],
        inner: Linear::lazy(128),
        outer: Linear::lazy(64),
        output: Linear::lazy(200),
    })
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_default();
    let batch: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(32);
    seed(1);
    let (net, x, t) = match &model[..] {
        "lenet" => {
            let t = Tensor::randint(0..10, batch);
            (lenet(), Tensor::randn([batch, 1, 28, 28]), t)
        }
        _ => {
            let words = Tensor::randint(0..200, [batch, 32]);
            (transformer(), words, Tensor::randint(0..200, batch * 32))
        }
    };
    net.forward(&x);
    let mut optimizer = Sgd::new(net.parameters(), 0.1);
    for _ in 0..5 {
        optimizer.zero_grad();
        let y = net.forward(&x);
        y.reshape([t.numel(), y.len_of(-1)]).cross_entropy(&t).backward();
        optimizer.step();
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!("{}", peak.expect("Linux").trim().trim_end_matches(" kB"));
}
