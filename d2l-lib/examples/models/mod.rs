//! Models of the book's kinds, which benchmarks and tests of GPUs train.

// Each program that includes this file uses some of them.
#![allow(dead_code)]

use d2l::{
    nn::{
        self, BatchNorm, Conv2d, LayerNorm, Linear, Module, MultiHeadAttention,
        Sequential, parts,
    },
    prelude::*,
};

/// LeNet with the sigmoid, for images of 28 by 28 pixels.
pub(crate) fn lenet() -> Sequential {
    let pool = || nn::AvgPool2d::new(2);
    sequential![
        Conv2d::lazy(6, 5).padding(2),
        nn::Sigmoid,
        pool(),
        Conv2d::lazy(16, 5),
        nn::Sigmoid,
        pool(),
        nn::Flatten,
        Linear::lazy(120),
        nn::Sigmoid,
        Linear::lazy(84),
        nn::Sigmoid,
        Linear::lazy(10)
    ]
}

/// A recurrent layer and a linear one that reads all its outputs.
pub(crate) struct LanguageModel<M> {
    pub(crate) recurrent: M,
    pub(crate) output: Linear,
}

impl<M: Module> Module for LanguageModel<M> {
    parts!(recurrent, output);

    fn forward(&self, x: &Tensor) -> Tensor {
        self.output.forward(&self.recurrent.forward(x))
    }
}

/// ResNet's block of two convolutions, beside which its input goes.
pub(crate) struct Residual {
    first: Conv2d,
    second: Conv2d,
    beside: Option<Conv2d>,
    norms: Vec<BatchNorm>,
}

impl Residual {
    pub(crate) fn new(channels: usize, stride: usize) -> Residual {
        let conv = || Conv2d::lazy(channels, 3).padding(1);
        Residual {
            first: conv().stride(stride),
            second: conv(),
            beside: (stride > 1).then(|| Conv2d::lazy(channels, 1).stride(stride)),
            norms: vec![BatchNorm::lazy(), BatchNorm::lazy()],
        }
    }
}

impl Module for Residual {
    parts!(first, second, beside, norms);

    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.norms[0].forward(&self.first.forward(x)).relu();
        let y = self.norms[1].forward(&self.second.forward(&y));
        let x =
            self.beside.as_ref().map_or_else(|| x.clone(), |beside| beside.forward(x));
        (y + x).relu()
    }
}

/// ResNet-18 of images with any number of channels, ten classes.
pub(crate) fn resnet18() -> Sequential {
    sequential![
        Conv2d::lazy(64, 7).stride(2).padding(3),
        BatchNorm::lazy(),
        nn::Relu,
        nn::MaxPool2d::new(3).stride(2).padding(1),
        Residual::new(64, 1),
        Residual::new(64, 1),
        Residual::new(128, 2),
        Residual::new(128, 1),
        Residual::new(256, 2),
        Residual::new(256, 1),
        Residual::new(512, 2),
        Residual::new(512, 1),
        nn::GlobalAvgPool2d,
        nn::Flatten,
        Linear::lazy(10)
    ]
}

/// The Transformer's encoder block: what each part adds is normalised with its input.
pub(crate) struct Encoder {
    attention: MultiHeadAttention,
    norms: Vec<LayerNorm>,
    inner: Linear,
    outer: Linear,
}

impl Encoder {
    pub(crate) fn new(width: usize, inner: usize, heads: usize) -> Encoder {
        Encoder {
            attention: MultiHeadAttention::lazy(width, heads),
            norms: vec![LayerNorm::new(width), LayerNorm::new(width)],
            inner: Linear::lazy(inner),
            outer: Linear::lazy(width),
        }
    }

    fn apply(&self, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
        let (y, _) = self.attention.attend(x, x, x, mask);
        let x = self.norms[0].forward(&(x + y));
        let y = self.outer.forward(&self.inner.forward(&x).relu());
        self.norms[1].forward(&(x + y))
    }
}

impl Module for Encoder {
    parts!(attention, norms, inner, outer);

    fn forward(&self, x: &Tensor) -> Tensor {
        self.apply(x, None)
    }
}

/// Embedded words, encoders, logits of a word for each place; `causal` ones see only what is
/// before them, others (BERT's) all.
pub(crate) struct Transformer {
    embedding: nn::Embedding,
    places: nn::Parameter,
    blocks: Vec<Encoder>,
    output: Linear,
    causal: bool,
}

impl Transformer {
    pub(crate) fn new(
        [words, length]: [usize; 2],
        [width, inner, heads]: [usize; 3],
        causal: bool,
    ) -> Transformer {
        Transformer {
            embedding: nn::Embedding::new(words, width),
            places: nn::Parameter::new(Tensor::randn([length, width]) * 0.1),
            blocks: (0..2).map(|_| Encoder::new(width, inner, heads)).collect(),
            output: Linear::lazy(words),
            causal,
        }
    }
}

impl Module for Transformer {
    parts!(embedding, places, blocks, output);

    fn forward(&self, words: &Tensor) -> Tensor {
        let mask = self
            .causal
            .then(|| nn::causal_mask(words.len_of(1)).to_device(words.device()));
        let mut x = self.embedding.forward(words) + &self.places;
        for block in &self.blocks {
            x = block.apply(&x, mask.as_ref());
        }
        self.output.forward(&x)
    }
}
