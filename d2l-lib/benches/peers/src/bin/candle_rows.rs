//! The rows of `examples/bench.rs` in candle. Missing: what candle cannot do.

use std::hint::black_box;

use candle_core::{D, DType, Device::Cpu, IndexOp, Module, Result, Tensor, Var};
use candle_nn::{
    self as nn, AdamW, BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Embedding,
    LayerNorm, Linear, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap,
    loss::cross_entropy,
    ops::{sigmoid, softmax},
    rnn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN},
};

/// A row, or a line on why there is none.
fn row(name: &str, mut f: impl FnMut() -> Result<()>) {
    if !peers::is_wanted(name) {
        return;
    }
    match f() {
        Ok(()) => peers::row(name, || f().expect("it worked before")),
        Err(error) => eprintln!(
            "candle: {name}: {}",
            error.to_string().lines().next().unwrap_or_default()
        ),
    }
}

fn value(name: &str, f: impl Fn() -> Result<Tensor>) {
    row(name, || f().map(|value| drop(black_box(value))));
}

/// The loss, its gradients and the optimizer's update.
fn train<O: Optimizer>(name: &str, mut optimizer: O, loss: impl Fn() -> Result<Tensor>) {
    row(name, || optimizer.backward_step(&loss()?));
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(0.0_f32, 1.0, shape, &Cpu)
}

fn variable(shape: &[usize]) -> Result<Var> {
    Var::randn(0.0_f32, 0.05, shape, &Cpu)
}

fn labels(below: f32, shape: &[usize]) -> Result<Tensor> {
    Tensor::rand(0.0_f32, below, shape, &Cpu)?.to_dtype(DType::U32)
}

/// What makes parameters, and the optimizer of all of them.
fn parameters() -> (VarMap, VarBuilder<'static>) {
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &Cpu);
    (map, builder)
}

fn sgd(map: &VarMap) -> Result<SGD> {
    SGD::new(map.all_vars(), 0.1)
}

/// Without the decay of weights it is Adam.
fn adam(vars: Vec<Var>, lr: f64) -> Result<AdamW> {
    AdamW::new(vars, ParamsAdamW { lr, weight_decay: 0.0, ..ParamsAdamW::default() })
}

fn padded(padding: usize, stride: usize) -> Conv2dConfig {
    Conv2dConfig { padding, stride, ..Conv2dConfig::default() }
}

fn main() -> Result<()> {
    operations()?;
    small_models()?;
    recurrent_models()?;
    image_models()?;
    transformers()
}

fn operations() -> Result<()> {
    let (x, y) = (randn(&[4])?, randn(&[4])?);
    let leaf = Var::from_tensor(&randn(&[4])?)?;
    value("add 4", || &x + &y);
    value("add 4 with grad", || leaf.as_tensor() + &y);
    row("mul 4, sum, backward", || {
        black_box((leaf.as_tensor() * &y)?.sum_all()?.backward()?);
        Ok(())
    });

    let (x, y) = (randn(&[1_000_000])?, randn(&[1_000_000])?);
    value("exp 1e6", || x.exp());
    value("tanh 1e6", || x.tanh());
    value("sigmoid 1e6", || sigmoid(&x));
    value("gelu 1e6", || x.gelu_erf());
    value("log 1e6", || x.abs()?.log());
    value("add 1e6", || &x + &y);
    value("sum 1e6", || x.sum_all());
    let m = x.reshape((1000, 1000))?;
    let bias = randn(&[1000])?;
    value("row bias 1000x1000", || m.broadcast_add(&bias));
    value("sum axis 0 1000x1000", || m.sum(0));
    value("sum axis 1 1000x1000", || m.sum(1));
    value("max axis 1 1000x1000", || m.max(1));
    value("softmax 1000x1000", || nn::ops::softmax_last_dim(&m));
    value("transposed copy 1000x1000", || m.t()?.contiguous());
    for n in [32, 128, 512, 1024] {
        let (a, b) = (randn(&[n, n])?, randn(&[n, n])?);
        value(&format!("matmul {n}"), || a.matmul(&b));
    }
    let (a, b) = (randn(&[64, 128, 64])?, randn(&[64, 64, 128])?);
    value("batched matmul 64x128x64x128", || a.matmul(&b));

    let (images, kernels) = (randn(&[32, 64, 24, 24])?, randn(&[64, 64, 3, 3])?);
    value("conv 3x3 64ch 24x24 b32", || images.conv2d(&kernels, 1, 1, 1, 1));
    let (images, kernels) = (Var::from_tensor(&images)?, Var::from_tensor(&kernels)?);
    row("conv 3x3 64ch 24x24 b32 step", || {
        black_box(images.conv2d(&kernels, 1, 1, 1, 1)?.sum_all()?.backward()?);
        Ok(())
    });

    let w = variable(&[1_000_000])?;
    let gradients = (w.as_tensor() * 0.5)?.sum_all()?.backward()?;
    let mut optimizer = SGD::new(vec![w.clone()], 1e-6)?;
    row("SGD 1e6", || optimizer.step(&gradients));
    let mut optimizer = adam(vec![w], 1e-6)?;
    row("Adam 1e6", || optimizer.step(&gradients));
    Ok(())
}

fn small_models() -> Result<()> {
    let (x, t) = (randn(&[256, 784])?, labels(10.0, &[256])?);
    let (map, vb) = parameters();
    let net = nn::linear(784, 10, vb)?;
    train("softmax regression b256 step", sgd(&map)?, || {
        cross_entropy(&net.forward(&x)?, &t)
    });
    let (map, vb) = parameters();
    let (hidden, output) =
        (nn::linear(784, 256, vb.pp(0))?, nn::linear(256, 10, vb.pp(1))?);
    train("MLP 784-256-10 b256 step", sgd(&map)?, || {
        cross_entropy(&output.forward(&hidden.forward(&x)?.relu()?)?, &t)
    });

    let (x, t) = (randn(&[128, 1, 28, 28])?, labels(10.0, &[128])?);
    let (map, vb) = parameters();
    let first = nn::conv2d(1, 6, 5, padded(2, 1), vb.pp(0))?;
    let second = nn::conv2d(6, 16, 5, padded(0, 1), vb.pp(1))?;
    let linear = [
        nn::linear(400, 120, vb.pp(2))?,
        nn::linear(120, 84, vb.pp(3))?,
        nn::linear(84, 10, vb.pp(4))?,
    ];
    train("LeNet b128 step", sgd(&map)?, || {
        let h = sigmoid(&first.forward(&x)?)?.avg_pool2d(2)?;
        let h = sigmoid(&second.forward(&h)?)?.avg_pool2d(2)?;
        let h = sigmoid(&linear[0].forward(&h.reshape((128, 400))?)?)?;
        let h = sigmoid(&linear[1].forward(&h)?)?;
        cross_entropy(&linear[2].forward(&h)?, &t)
    });

    let (x, y) = (randn(&[1000, 2])?, randn(&[1000, 1])?);
    let (map, vb) = parameters();
    let net = nn::linear(2, 1, vb)?;
    let mut optimizer = SGD::new(map.all_vars(), 0.03)?;
    row("linear regression, 3 epochs of 1000 by 32", || {
        for _ in 0..3 {
            for first in (0..1000).step_by(32) {
                let n = 32.min(1000 - first);
                let (x, y) = (x.narrow(0, first, n)?, y.narrow(0, first, n)?);
                optimizer.backward_step(&nn::loss::mse(&net.forward(&x)?, &y)?)?;
            }
        }
        Ok(())
    });

    let (centres, contexts) = (labels(6719.0, &[512, 1])?, labels(6719.0, &[512, 60])?);
    let t = labels(2.0, &[512, 60])?.to_dtype(DType::F32)?;
    let (v, u) = (variable(&[6719, 100])?, variable(&[6719, 100])?);
    let optimizer = adam(vec![v.clone(), u.clone()], 0.002)?;
    // The layers see an update, for it is written into the same memory.
    let (v, u) = (
        Embedding::new(v.as_tensor().clone(), 100),
        Embedding::new(u.as_tensor().clone(), 100),
    );
    train("word2vec b512x60 step", optimizer, || {
        let (v, u) = (v.forward(&centres)?, u.forward(&contexts)?);
        let scores = v.matmul(&u.transpose(1, 2)?)?.squeeze(1)?;
        nn::loss::binary_cross_entropy_with_logit(&scores, &t)
    });
    Ok(())
}

/// All outputs of a recurrent layer for `(n, t, features)`.
fn outputs<R: RNN>(layer: &R, x: &Tensor) -> Result<Tensor> {
    let states = layer.states_to_tensor(&layer.seq(x)?)?;
    states.reshape((x.dim(0)?, x.dim(1)?, ()))
}

/// A recurrent layer as candle's others are written, of which it has none.
struct Recurrent {
    input: Linear,
    hidden: Linear,
}

impl Recurrent {
    fn new(inputs: usize, hiddens: usize, vb: VarBuilder) -> Result<Recurrent> {
        let (input, hidden) = (
            nn::linear(inputs, hiddens, vb.pp("i"))?,
            nn::linear(hiddens, hiddens, vb.pp("h"))?,
        );
        Ok(Recurrent { input, hidden })
    }
}

impl Module for Recurrent {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, t, _) = x.dims3()?;
        let mut h = Tensor::zeros((n, self.hidden.weight().dim(0)?), DType::F32, &Cpu)?;
        let mut all = Vec::new();
        for at in 0..t {
            let x = x.i((.., at, ..))?.contiguous()?;
            h = (self.input.forward(&x)? + self.hidden.forward(&h)?)?.tanh()?;
            all.push(h.clone());
        }
        Tensor::stack(&all, 1)
    }
}

/// `sizes` are those of candle's input, `(n, t, features)`.
fn language_model(
    name: &str,
    map: &VarMap,
    vb: VarBuilder,
    [n, t, features]: [usize; 3],
    [width, classes]: [usize; 2],
    recurrent: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    let (x, targets) = (randn(&[n, t, features])?, labels(classes as f32, &[n * t])?);
    let output = nn::linear(width, classes, vb.pp("output"))?;
    train(name, sgd(map)?, || {
        let y = output.forward(&recurrent(&x)?)?;
        cross_entropy(&y.reshape((n * t, classes))?, &targets)
    });
    Ok(())
}

fn recurrent_models() -> Result<()> {
    let (small, ends) = ([1024, 32, 28], [32, 28]);
    let (map, vb) = parameters();
    let net = Recurrent::new(28, 32, vb.clone())?;
    language_model("RNN h32 b1024 t32 step", &map, vb, small, ends, |x| net.forward(x))?;
    let (map, vb) = parameters();
    let net = GRU::new(28, 32, GRUConfig::default(), vb.clone())?;
    language_model("GRU h32 b1024 t32 step", &map, vb, small, ends, |x| {
        outputs(&net, x)
    })?;
    let (map, vb) = parameters();
    let net = LSTM::new(28, 32, LSTMConfig::default(), vb.clone())?;
    language_model("LSTM h32 b1024 t32 step", &map, vb, small, ends, |x| {
        outputs(&net, x)
    })?;
    let (map, vb) = parameters();
    let net = LSTM::new(28, 256, LSTMConfig::default(), vb.clone())?;
    let name = "LSTM h256 b32 t35 step";
    language_model(name, &map, vb, [32, 35, 28], [256, 28], |x| outputs(&net, x))?;

    let (map, vb) = parameters();
    let layer =
        |inputs, name: &str| LSTM::new(inputs, 64, LSTMConfig::default(), vb.pp(name));
    let layers =
        [[layer(64, "0")?, layer(64, "1")?], [layer(128, "2")?, layer(128, "3")?]];
    let both = |[ahead, back]: &[LSTM; 2], x: &Tensor| {
        let back = outputs(back, &x.flip(&[1])?)?.flip(&[1])?;
        Tensor::cat(&[outputs(ahead, x)?, back], 2)
    };
    let name = "bidirectional 2-layer LSTM h64 b64 t32 step";
    language_model(name, &map, vb.clone(), [64, 32, 64], [128, 10], |x| {
        both(&layers[1], &both(&layers[0], x)?)
    })
}

/// ResNet's block of two convolutions, beside which its input goes.
struct Residual {
    first: Conv2d,
    second: Conv2d,
    beside: Option<Conv2d>,
    norms: [BatchNorm; 2],
}

impl Residual {
    fn new(
        inputs: usize,
        channels: usize,
        stride: usize,
        vb: VarBuilder,
    ) -> Result<Residual> {
        let norm =
            |name| nn::batch_norm(channels, BatchNormConfig::default(), vb.pp(name));
        Ok(Residual {
            first: nn::conv2d(inputs, channels, 3, padded(1, stride), vb.pp("first"))?,
            second: nn::conv2d(channels, channels, 3, padded(1, 1), vb.pp("second"))?,
            beside: match stride {
                1 => None,
                _ => Some(nn::conv2d(
                    inputs,
                    channels,
                    1,
                    padded(0, stride),
                    vb.pp("beside"),
                )?),
            },
            norms: [norm("0")?, norm("1")?],
        })
    }
}

impl Module for Residual {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.norms[0].forward_train(&self.first.forward(x)?)?.relu()?;
        let y = self.norms[1].forward_train(&self.second.forward(&y)?)?;
        match &self.beside {
            Some(beside) => (y + beside.forward(x)?)?.relu(),
            None => (y + x)?.relu(),
        }
    }
}

fn image_models() -> Result<()> {
    let ten = labels(10.0, &[16])?;
    let (map, vb) = parameters();
    let net = nn::seq()
        .add(Residual::new(64, 64, 1, vb.pp(0))?)
        .add(Residual::new(64, 128, 2, vb.pp(1))?)
        .add_fn(|x| x.mean((2, 3)))
        .add(nn::linear(128, 10, vb.pp(2))?);
    let x = randn(&[16, 64, 24, 24])?;
    let name = "two ResNet blocks 64ch 24x24 b16 step";
    train(name, sgd(&map)?, || cross_entropy(&net.forward(&x)?, &ten));

    let (map, vb) = parameters();
    let conv = |inputs, channels| {
        nn::conv2d(
            inputs,
            channels,
            3,
            padded(1, 1),
            vb.pp(format!("{inputs}-{channels}")),
        )
    };
    let pool = |x: &Tensor| x.max_pool2d(2);
    let net = nn::seq()
        .add(conv(1, 16)?)
        .add_fn(Tensor::relu)
        .add_fn(pool)
        .add(conv(16, 32)?)
        .add_fn(Tensor::relu)
        .add_fn(pool)
        .add(conv(32, 64)?)
        .add_fn(Tensor::relu)
        .add(conv(64, 64)?)
        .add_fn(Tensor::relu)
        .add_fn(pool)
        .add_fn(|x| x.flatten_from(1))
        .add(nn::linear(64 * 8 * 8, 256, vb.pp("hidden"))?)
        .add_fn(Tensor::relu)
        .add(nn::linear(256, 10, vb.pp("output"))?);
    let x = randn(&[16, 1, 64, 64])?;
    let name = "slim VGG 1x64x64 b16 step";
    train(name, sgd(&map)?, || cross_entropy(&net.forward(&x)?, &ten));

    let (map, vb) = parameters();
    let pool = |x: &Tensor| x.max_pool2d_with_stride(3, 2);
    let net = nn::seq()
        .add(nn::conv2d(1, 96, 11, padded(1, 4), vb.pp(0))?)
        .add_fn(Tensor::relu)
        .add_fn(pool)
        .add(nn::conv2d(96, 256, 5, padded(2, 1), vb.pp(1))?)
        .add_fn(Tensor::relu)
        .add_fn(pool)
        .add(nn::conv2d(256, 384, 3, padded(1, 1), vb.pp(2))?)
        .add_fn(Tensor::relu)
        .add(nn::conv2d(384, 256, 3, padded(1, 1), vb.pp(3))?)
        .add_fn(Tensor::relu)
        .add_fn(|x| x.flatten_from(1))
        .add(nn::linear(256 * 4 * 4, 512, vb.pp(4))?)
        .add_fn(Tensor::relu)
        .add(nn::linear(512, 10, vb.pp(5))?);
    let x = randn(&[16, 1, 96, 96])?;
    let name = "AlexNet 1x96x96 b16 step";
    train(name, sgd(&map)?, || cross_entropy(&net.forward(&x)?, &ten));
    Ok(())
}

/// `softmax(q kᵀ / √d) v`; the faster softmax has no gradient.
fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    softmax: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let scale = (q.dim(D::Minus1)? as f64).sqrt().recip();
    let mut scores = (q.matmul(&k.t()?)? * scale)?;
    if let Some(mask) = mask {
        scores = scores.broadcast_add(mask)?;
    }
    softmax(&scores)?.matmul(v)
}

/// The Transformer's encoder block: what each part adds is normalised with its input.
struct Encoder {
    maps: [Linear; 4],
    norms: [LayerNorm; 2],
    inner: Linear,
    outer: Linear,
    heads: usize,
}

impl Encoder {
    fn new(width: usize, inner: usize, heads: usize, vb: VarBuilder) -> Result<Encoder> {
        let map = |name| nn::linear(width, width, vb.pp(name));
        let norm = |name| nn::layer_norm(width, 1e-5, vb.pp(name));
        Ok(Encoder {
            maps: [map("q")?, map("k")?, map("v")?, map("o")?],
            norms: [norm("0")?, norm("1")?],
            inner: nn::linear(width, inner, vb.pp("inner"))?,
            outer: nn::linear(inner, width, vb.pp("outer"))?,
            heads,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        // The fused layer has no gradient.
        let norm = |norm: &LayerNorm, x: &Tensor| {
            let bias = norm.bias().expect("it was made with one");
            nn::ops::layer_norm_slow(x, norm.weight(), bias, 1e-5)
        };
        let (n, t, width) = x.dims3()?;
        let split = |map: &Linear| {
            let y = map.forward(x)?.reshape((n, t, self.heads, width / self.heads))?;
            y.transpose(1, 2)?.contiguous()
        };
        let [q, k, v] =
            [split(&self.maps[0])?, split(&self.maps[1])?, split(&self.maps[2])?];
        let y = attention(&q, &k, &v, mask, |x| softmax(x, D::Minus1))?;
        let y = self.maps[3].forward(&y.transpose(1, 2)?.reshape((n, t, width))?)?;
        let x = norm(&self.norms[0], &(x + y)?)?;
        let y = self.outer.forward(&self.inner.forward(&x)?.relu()?)?;
        norm(&self.norms[1], &(x + y)?)
    }
}

fn transformers() -> Result<()> {
    let shape = [32, 8, 64, 32];
    let (q, k, v) = (randn(&shape)?, randn(&shape)?, randn(&shape)?);
    value("attention 32x8x64x32", || {
        attention(&q, &k, &v, None, nn::ops::softmax_last_dim)
    });
    let (q, k, v) = (Var::from_tensor(&q)?, Var::from_tensor(&k)?, Var::from_tensor(&v)?);
    row("attention 32x8x64x32 step", || {
        let y = attention(&q, &k, &v, None, |x| softmax(x, D::Minus1))?;
        black_box(y.sum_all()?.backward()?);
        Ok(())
    });

    let (x, t) = (randn(&[64, 32, 256])?, labels(10.0, &[64 * 32])?);
    let (map, vb) = parameters();
    let (encoder, output) =
        (Encoder::new(256, 64, 4, vb.pp(0))?, nn::linear(256, 10, vb.pp(1))?);
    train("encoder block 256 4 heads b64 t32 step", sgd(&map)?, || {
        let y = output.forward(&encoder.forward(&x, None)?)?;
        cross_entropy(&y.reshape((64 * 32, 10))?, &t)
    });

    let (words, next) = (labels(200.0, &[32, 32])?, labels(200.0, &[32 * 32])?);
    let (map, vb) = parameters();
    let embedding = nn::embedding(200, 64, vb.pp(0))?;
    let places =
        vb.get_with_hints((32, 64), "places", nn::init::DEFAULT_KAIMING_NORMAL)?;
    let blocks =
        [Encoder::new(64, 128, 4, vb.pp(1))?, Encoder::new(64, 128, 4, vb.pp(2))?];
    let output = nn::linear(64, 200, vb.pp(3))?;
    let hidden: Vec<f32> = (0..32 * 32)
        .map(|at| if at % 32 > at / 32 { f32::NEG_INFINITY } else { 0.0 })
        .collect();
    let mask = Tensor::from_vec(hidden, (32, 32), &Cpu)?;
    train("small Transformer 64 2 blocks b32 t32 step", sgd(&map)?, || {
        let mut x = embedding.forward(&words)?.broadcast_add(&places)?;
        for block in &blocks {
            x = block.forward(&x, Some(&mask))?;
        }
        cross_entropy(&output.forward(&x)?.reshape((32 * 32, 200))?, &next)
    });
    Ok(())
}
