//! The rows of `examples/bench.rs` in burn, on its processor backend `flex`.

use std::hint::black_box;

use burn::{
    module::{Module, ModuleDisplay, Param},
    nn::{
        BatchNorm, BatchNormConfig, BiLstm, BiLstmConfig, Embedding, EmbeddingConfig,
        Gru, GruConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, Lstm,
        LstmConfig, PaddingConfig2d, Rnn, RnnConfig,
        attention::{
            MhaInput, MultiHeadAttention, MultiHeadAttentionConfig,
            generate_autoregressive_mask,
        },
        conv::{Conv2d, Conv2dConfig},
        loss::{
            BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction,
        },
        pool::{AvgPool2dConfig, MaxPool2dConfig},
    },
    optim::{
        AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig, momentum::MomentumConfig,
    },
    tensor::{
        Bool, Device, Distribution, Int, Tensor,
        activation::{gelu, relu, sigmoid, softmax},
        module::{adaptive_avg_pool2d, attention, conv2d},
        ops::{AttentionModuleOptions, ConvOptions},
    },
};
use peers::row;

fn value<const D: usize>(name: &str, f: impl Fn() -> Tensor<D>) {
    row(name, || drop(black_box(f())));
}

/// The loss, its gradients and the optimizer's update.
fn train<M: Module>(
    name: &str,
    model: M,
    lr: f64,
    mut optimizer: ModuleOptimizer,
    loss: impl Fn(&M) -> Tensor<1>,
) {
    // An update takes the model and gives it back.
    let mut model = Some(model);
    row(name, || {
        let own = model.take().expect("every step gives it back");
        let gradients = GradientsParams::from_grads(loss(&own).backward(), &own);
        model = Some(optimizer.step(lr, own, gradients));
    });
}

fn sgd() -> ModuleOptimizer {
    SgdConfig::new().init()
}

fn randn<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn labels<const D: usize>(
    below: usize,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D, Int> {
    Tensor::random(shape, Distribution::Uniform(0.0, below as f64), device)
}

fn cross_entropy(y: Tensor<2>, t: &Tensor<1, Int>) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&y.device()).forward(y, t.clone())
}

/// The same for the outputs of every step, `(n, t, classes)`.
fn cross_entropy_of_steps(y: Tensor<3>, t: &Tensor<1, Int>) -> Tensor<1> {
    cross_entropy(y.flatten(0, 1), t)
}

fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs).init(device)
}

fn conv(
    [inputs, outputs, size]: [usize; 3],
    padding: usize,
    stride: usize,
    device: &Device,
) -> Conv2d {
    let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
    Conv2dConfig::new([inputs, outputs], [size, size])
        .with_padding(padding)
        .with_stride([stride, stride])
        .init(device)
}

fn main() {
    let (device, learning) = (Device::flex(), Device::flex().autodiff());
    operations(&device, &learning);
    optimizers(&learning);
    small_models(&learning);
    recurrent_models(&learning);
    image_models(&learning);
    transformers(&device, &learning);
}

fn operations(device: &Device, learning: &Device) {
    let (x, y) = (randn([4], device), randn([4], device));
    value("add 4", || x.clone() + y.clone());
    let (leaf, y) = (randn([4], learning).require_grad(), randn([4], learning));
    value("add 4 with grad", || leaf.clone() + y.clone());
    row("mul 4, sum, backward", || {
        drop(black_box((leaf.clone() * y.clone()).sum().backward()));
    });

    let (x, y) = (randn([1_000_000], device), randn([1_000_000], device));
    value("exp 1e6", || x.clone().exp());
    value("tanh 1e6", || x.clone().tanh());
    value("sigmoid 1e6", || sigmoid(x.clone()));
    value("gelu 1e6", || gelu(x.clone()));
    value("log 1e6", || x.clone().abs().log());
    value("add 1e6", || x.clone() + y.clone());
    value("sum 1e6", || x.clone().sum());
    let m: Tensor<2> = x.clone().reshape([1000, 1000]);
    let bias = randn([1, 1000], device);
    value("row bias 1000x1000", || m.clone() + bias.clone());
    value("sum axis 0 1000x1000", || m.clone().sum_dim(0));
    value("sum axis 1 1000x1000", || m.clone().sum_dim(1));
    value("max axis 1 1000x1000", || m.clone().max_dim(1));
    value("softmax 1000x1000", || softmax(m.clone(), 1));
    // To read a view in the order of its elements is to copy it.
    value::<1>("transposed copy 1000x1000", || {
        m.clone().transpose().reshape([1_000_000])
    });
    for n in [32, 128, 512, 1024] {
        let (a, b) = (randn([n, n], device), randn([n, n], device));
        value(&format!("matmul {n}"), || a.clone().matmul(b.clone()));
    }
    let (a, b) = (randn([64, 128, 64], device), randn([64, 64, 128], device));
    value("batched matmul 64x128x64x128", || a.clone().matmul(b.clone()));

    let options = || ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let (images, kernels) =
        (randn([32, 64, 24, 24], device), randn([64, 64, 3, 3], device));
    value("conv 3x3 64ch 24x24 b32", || {
        conv2d(images.clone(), kernels.clone(), None, options())
    });
    let images = randn([32, 64, 24, 24], learning).require_grad();
    let kernels = randn([64, 64, 3, 3], learning).require_grad();
    row("conv 3x3 64ch 24x24 b32 step", || {
        let y = conv2d(images.clone(), kernels.clone(), None, options());
        drop(black_box(y.sum().backward()));
    });
}

#[derive(Module, Debug)]
struct Weights {
    w: Param<Tensor<1>>,
}

/// Optimizers of a million numbers.
fn optimizers(device: &Device) {
    let momentum = MomentumConfig::new().with_dampening(0.0);
    let all = [
        ("SGD", sgd()),
        ("SGD with momentum", SgdConfig::new().with_momentum(Some(momentum)).init()),
        ("Adam", AdamConfig::new().init()),
    ];
    for (name, mut optimizer) in all {
        let weights =
            Weights { w: Param::from_tensor(randn([1_000_000], device) * 0.05) };
        let gradients = (weights.w.val() * 0.5).sum().backward();
        let gradient = weights.w.val().grad(&gradients).expect("the weights have one");
        let mut weights = Some(weights);
        row(&format!("{name} 1e6"), || {
            let own = weights.take().expect("every step gives them back");
            let mut gradients = GradientsParams::new();
            gradients.register(own.w.id, gradient.clone());
            weights = Some(optimizer.step(1e-6, own, gradients));
        });
    }
}

#[derive(Module, Debug)]
struct LeNet {
    convs: [Conv2d; 2],
    linear: [Linear; 3],
}

impl LeNet {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let pool = AvgPool2dConfig::new([2, 2]).init();
        let h = pool.forward(sigmoid(self.convs[0].forward(x)));
        let h = pool.forward(sigmoid(self.convs[1].forward(h)));
        let h = sigmoid(self.linear[0].forward(h.flatten(1, 3)));
        let h = sigmoid(self.linear[1].forward(h));
        self.linear[2].forward(h)
    }
}

#[derive(Module, Debug)]
struct Words {
    v: Embedding,
    u: Embedding,
}

fn small_models(device: &Device) {
    let (x, t) = (randn([256, 784], device), labels(10, [256], device));
    let net = linear(784, 10, device);
    let name = "softmax regression b256 step";
    train(name, net, 0.1, sgd(), |net| cross_entropy(net.forward(x.clone()), &t));
    let net = [linear(784, 256, device), linear(256, 10, device)];
    train("MLP 784-256-10 b256 step", net, 0.1, sgd(), |net| {
        cross_entropy(net[1].forward(relu(net[0].forward(x.clone()))), &t)
    });

    let (x, t) = (randn([128, 1, 28, 28], device), labels(10, [128], device));
    let net = LeNet {
        convs: [conv([1, 6, 5], 2, 1, device), conv([6, 16, 5], 0, 1, device)],
        linear: [
            linear(400, 120, device),
            linear(120, 84, device),
            linear(84, 10, device),
        ],
    };
    train("LeNet b128 step", net, 0.1, sgd(), |net| {
        cross_entropy(net.forward(x.clone()), &t)
    });

    let (x, y) = (randn([1000, 2], device), randn([1000, 1], device));
    let mut net = Some(linear(2, 1, device));
    let mut optimizer = sgd();
    row("linear regression, 3 epochs of 1000 by 32", || {
        for _ in 0..3 {
            for first in (0..1000).step_by(32) {
                let n = 32.min(1000 - first);
                let (x, y) =
                    (x.clone().narrow(0, first, n), y.clone().narrow(0, first, n));
                let own = net.take().expect("every step gives it back");
                let loss = MseLoss::new().forward(own.forward(x), y, Reduction::Mean);
                let gradients = GradientsParams::from_grads(loss.backward(), &own);
                net = Some(optimizer.step(0.03, own, gradients));
            }
        }
    });

    let (centres, contexts) =
        (labels(6719, [512, 1], device), labels(6719, [512, 60], device));
    let t = labels(2, [512, 60], device);
    let embedding = || EmbeddingConfig::new(6719, 100).init(device);
    let net = Words { v: embedding(), u: embedding() };
    let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(device);
    train("word2vec b512x60 step", net, 0.002, AdamConfig::new().init(), |net| {
        let (v, u) = (net.v.forward(centres.clone()), net.u.forward(contexts.clone()));
        let scores: Tensor<2> = v.matmul(u.transpose()).squeeze_dim(1);
        loss.forward(scores, t.clone())
    });
}

/// A recurrent layer and a linear one that reads all its outputs.
#[derive(Module, Debug)]
struct LanguageModel<R: Module + ModuleDisplay> {
    recurrent: R,
    output: Linear,
}

/// `sizes` are those of burn's input, `(n, t, features)`.
fn language_model<R: Module + ModuleDisplay>(
    name: &str,
    recurrent: R,
    [n, t, features]: [usize; 3],
    [width, classes]: [usize; 2],
    device: &Device,
    outputs: impl Fn(&R, Tensor<3>) -> Tensor<3>,
) {
    let (x, targets) =
        (randn([n, t, features], device), labels(classes, [n * t], device));
    let net = LanguageModel { recurrent, output: linear(width, classes, device) };
    train(name, net, 0.1, sgd(), |net| {
        let y = net.output.forward(outputs(&net.recurrent, x.clone()));
        cross_entropy_of_steps(y, &targets)
    });
}

fn recurrent_models(device: &Device) {
    let (small, ends) = ([1024, 32, 28], [32, 28]);
    let net: Rnn = RnnConfig::new(28, 32, true).init(device);
    language_model("RNN h32 b1024 t32 step", net, small, ends, device, |net, x| {
        net.forward(x, None).0
    });
    let net: Gru = GruConfig::new(28, 32, true).init(device);
    language_model("GRU h32 b1024 t32 step", net, small, ends, device, |net, x| {
        net.forward(x, None)
    });
    let lstm = |net: &Lstm, x| net.forward(x, None).0;
    let net = LstmConfig::new(28, 32, true).init(device);
    language_model("LSTM h32 b1024 t32 step", net, small, ends, device, lstm);
    let net = LstmConfig::new(28, 256, true).init(device);
    language_model("LSTM h256 b32 t35 step", net, [32, 35, 28], [256, 28], device, lstm);
    let layer = |inputs| -> BiLstm { BiLstmConfig::new(inputs, 64, true).init(device) };
    let name = "bidirectional 2-layer LSTM h64 b64 t32 step";
    let net = [layer(64), layer(128)];
    language_model(name, net, [64, 32, 64], [128, 10], device, |net, x| {
        net[1].forward(net[0].forward(x, None).0, None).0
    });
}

/// ResNet's block of two convolutions, beside which its input goes.
#[derive(Module, Debug)]
struct Residual {
    first: Conv2d,
    second: Conv2d,
    beside: Option<Conv2d>,
    norms: [BatchNorm; 2],
}

impl Residual {
    fn new(inputs: usize, channels: usize, stride: usize, device: &Device) -> Residual {
        let norm = || BatchNormConfig::new(channels).init(device);
        Residual {
            first: conv([inputs, channels, 3], 1, stride, device),
            second: conv([channels, channels, 3], 1, 1, device),
            beside: (stride > 1).then(|| conv([inputs, channels, 1], 0, stride, device)),
            norms: [norm(), norm()],
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.norms[0].forward(self.first.forward(x.clone())));
        let y = self.norms[1].forward(self.second.forward(y));
        relu(y + self.beside.as_ref().map_or(x.clone(), |beside| beside.forward(x)))
    }
}

#[derive(Module, Debug)]
struct ResNet {
    blocks: [Residual; 2],
    output: Linear,
}

/// Convolutions with `relu`, some of which are pooled, and two linear layers.
#[derive(Module, Debug)]
struct Convolutional {
    convs: Vec<Conv2d>,
    hidden: Linear,
    output: Linear,
}

impl Convolutional {
    fn forward(
        &self,
        mut x: Tensor<4>,
        pool: MaxPool2dConfig,
        is_pooled: &[bool],
    ) -> Tensor<2> {
        let pool = pool.init();
        for (conv, &is_pooled) in self.convs.iter().zip(is_pooled) {
            x = relu(conv.forward(x));
            if is_pooled {
                x = pool.forward(x);
            }
        }
        self.output.forward(relu(self.hidden.forward(x.flatten(1, 3))))
    }
}

fn image_models(device: &Device) {
    let ten = labels(10, [16], device);
    let x = randn([16, 64, 24, 24], device);
    let net = ResNet {
        blocks: [Residual::new(64, 64, 1, device), Residual::new(64, 128, 2, device)],
        output: linear(128, 10, device),
    };
    train("two ResNet blocks 64ch 24x24 b16 step", net, 0.1, sgd(), |net| {
        let y = net.blocks[1].forward(net.blocks[0].forward(x.clone()));
        cross_entropy(
            net.output.forward(adaptive_avg_pool2d(y, [1, 1]).flatten(1, 3)),
            &ten,
        )
    });

    let x = randn([16, 1, 64, 64], device);
    let same = |inputs, outputs| conv([inputs, outputs, 3], 1, 1, device);
    let net = Convolutional {
        convs: vec![same(1, 16), same(16, 32), same(32, 64), same(64, 64)],
        hidden: linear(64 * 8 * 8, 256, device),
        output: linear(256, 10, device),
    };
    train("slim VGG 1x64x64 b16 step", net, 0.1, sgd(), |net| {
        let pool = MaxPool2dConfig::new([2, 2]);
        cross_entropy(net.forward(x.clone(), pool, &[true, true, false, true]), &ten)
    });

    let x = randn([16, 1, 96, 96], device);
    let net = Convolutional {
        convs: vec![
            conv([1, 96, 11], 1, 4, device),
            conv([96, 256, 5], 2, 1, device),
            same(256, 384),
            same(384, 256),
        ],
        hidden: linear(256 * 4 * 4, 512, device),
        output: linear(512, 10, device),
    };
    train("AlexNet 1x96x96 b16 step", net, 0.1, sgd(), |net| {
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]);
        cross_entropy(net.forward(x.clone(), pool, &[true, true, false, false]), &ten)
    });
}

/// The Transformer's encoder block: what each part adds is normalised with its input.
#[derive(Module, Debug)]
struct Encoder {
    attention: MultiHeadAttention,
    norms: [LayerNorm; 2],
    inner: Linear,
    outer: Linear,
}

impl Encoder {
    fn new(width: usize, inner: usize, heads: usize, device: &Device) -> Encoder {
        let norm = || LayerNormConfig::new(width).init(device);
        Encoder {
            attention: MultiHeadAttentionConfig::new(width, heads)
                .with_dropout(0.0)
                .init(device),
            norms: [norm(), norm()],
            inner: linear(width, inner, device),
            outer: linear(inner, width, device),
        }
    }

    fn forward(&self, x: Tensor<3>, mask: Option<Tensor<3, Bool>>) -> Tensor<3> {
        let mut input = MhaInput::self_attn(x.clone());
        if let Some(mask) = mask {
            input = input.mask_attn(mask);
        }
        let x = self.norms[0].forward(x + self.attention.forward(input).context);
        let y = self.outer.forward(relu(self.inner.forward(x.clone())));
        self.norms[1].forward(x + y)
    }
}

#[derive(Module, Debug)]
struct Labelled {
    encoder: Encoder,
    output: Linear,
}

#[derive(Module, Debug)]
struct Transformer {
    embedding: Embedding,
    places: Param<Tensor<2>>,
    blocks: [Encoder; 2],
    output: Linear,
}

fn transformers(device: &Device, learning: &Device) {
    let shape = [32, 8, 64, 32];
    let attend = |[q, k, v]: &[Tensor<4>; 3]| {
        let options = AttentionModuleOptions::default();
        attention(q.clone(), k.clone(), v.clone(), None, None, options)
    };
    let all = [randn(shape, device), randn(shape, device), randn(shape, device)];
    value("attention 32x8x64x32", || attend(&all));
    let all = [0; 3].map(|_| randn(shape, learning).require_grad());
    row("attention 32x8x64x32 step", || drop(black_box(attend(&all).sum().backward())));

    let device = learning;
    let (x, t) = (randn([64, 32, 256], device), labels(10, [64 * 32], device));
    let net = Labelled {
        encoder: Encoder::new(256, 64, 4, device),
        output: linear(256, 10, device),
    };
    train("encoder block 256 4 heads b64 t32 step", net, 0.1, sgd(), |net| {
        cross_entropy_of_steps(
            net.output.forward(net.encoder.forward(x.clone(), None)),
            &t,
        )
    });

    let (words, next) = (labels(200, [32, 32], device), labels(200, [32 * 32], device));
    let net = Transformer {
        embedding: EmbeddingConfig::new(200, 64).init(device),
        places: Param::from_tensor(randn([32, 64], device) * 0.1),
        blocks: [Encoder::new(64, 128, 4, device), Encoder::new(64, 128, 4, device)],
        output: linear(64, 200, device),
    };
    let mask = generate_autoregressive_mask(32, 32, device);
    train("small Transformer 64 2 blocks b32 t32 step", net, 0.1, sgd(), |net| {
        let mut x =
            net.embedding.forward(words.clone()) + net.places.val().unsqueeze::<3>();
        for block in &net.blocks {
            x = block.forward(x, Some(mask.clone()));
        }
        cross_entropy_of_steps(net.output.forward(x), &next)
    });
}
