//! Losses, layers, optimizers and schedules compared with PyTorch's
//! (`fixtures/generate_training.py`).

mod fixture;

use std::sync::LazyLock;

use d2l::{
    Order,
    nn::{self, Parameters},
    optim::*,
    prelude::*,
};
use fixture::{difference, strided, unpack};
use serde_json::Value;

/// Both libraries round differently, in `f64` by units in the last places, in `f32` more.
const F64_TOLERANCE: f64 = 1e-12;
const F32_TOLERANCE: f64 = 2e-6;

static FIXTURE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("fixtures/training.json"))
        .expect("the fixture is JSON")
});

#[track_caller]
fn assert_close(what: &str, found: &Tensor, expected: &Value) {
    let expected = unpack(expected);
    assert_eq!(found.shape(), expected.shape(), "{what}");
    assert_eq!(found.dtype(), expected.dtype(), "{what}");
    let tolerance =
        if found.dtype() == DType::F64 { F64_TOLERANCE } else { F32_TOLERANCE };
    if let Some(difference) = difference(found, &expected, tolerance) {
        panic!("{what}: {difference}\nours: {found}\nPyTorch's: {expected}");
    }
}

fn apply(name: &str, x: &[Tensor]) -> Tensor {
    let a = &x[0];
    match name {
        "mse_loss" => nn::mse_loss(a, &x[1]),
        "l1_loss" => nn::l1_loss(a, &x[1]),
        "huber_loss" => nn::huber_loss(a, &x[1], 0.7),
        "bce_with_logits" => nn::bce_with_logits(a, &x[1]),
        "cross_entropy" => nn::cross_entropy(a, &x[1]),
        "cross_entropy_each" => nn::cross_entropy_each(a, &x[1]),
        "erf" => a.erf(),
        "gelu" => nn::Gelu.forward(a),
        "relu" => nn::Relu.forward(a),
        "tanh" => nn::Tanh.forward(a),
        "sigmoid" => nn::Sigmoid.forward(a),
        "silu" => nn::Silu.forward(a),
        "softplus" => nn::Softplus.forward(a),
        "leaky_relu" => nn::LeakyRelu(0.01).forward(a),
        "elu" => a.elu(),
        "gather_0" => a.gather(0, &x[1]),
        "gather_1" => a.gather(-1, &x[1]),
        "scatter_add_1" => a.scatter_add(1, &x[1], &x[2]),
        "index_select_0" => a.index_select(0, &x[1]),
        "index_select_1" => a.index_select(1, &x[1]),
        "embedding" => {
            let mut layer = nn::Embedding::new(5, 3);
            layer.weight = a.clone().into();
            layer.forward(&x[1])
        }
        "flatten" => nn::Flatten.forward(a),
        "global_avg_pool" => nn::GlobalAvgPool2d.forward(a),
        "layer_norm_last" => {
            let mut layer = nn::LayerNorm::new(3);
            layer.weight = x[1].clone().into();
            layer.bias = x[2].clone().into();
            layer.forward(a)
        }
        "tril_-1" => a.tril(-1),
        "tril_0" => a.tril(0),
        "tril_2" => a.tril(2),
        "triu_-1" => a.triu(-1),
        "triu_0" => a.triu(0),
        "triu_2" => a.triu(2),
        "masked_fill" => a.masked_fill(&x[1], -2.5),
        "linear" => {
            let layer = nn::Linear::lazy(5);
            layer.weight.get_or_init(|| x[1].clone());
            layer.bias.as_ref().unwrap().get_or_init(|| x[2].clone());
            layer.forward(a)
        }
        "sort_0" => a.sort(0),
        "sort_1" => a.sort(1),
        "sort_2" => a.sort(-1),
        "topk_0" => a.topk(2, 0).0,
        "topk_1" => a.topk(2, 1).0,
        "topk_2" => a.topk(2, 2).0,
        "argsort_0" => a.argsort(0, Order::Ascending),
        "argsort_1" => a.argsort(1, Order::Ascending),
        "argsort_down_0" => a.argsort(0, Order::Descending),
        "argsort_down_1" => a.argsort(1, Order::Descending),
        "unique" => a.unique().0,
        "bincount" => a.bincount(7),
        "solve" => a.solve(&x[1]),
        "inverse" => a.inverse(),
        "cholesky" => a.detach().cholesky(),
        "eigenvalues" => a.detach().eigh().0,
        "singular_values" => a.detach().svd().1,
        "conv2d" => {
            let layer = nn::Conv2d::lazy(4, 3).stride([1, 2]).padding([2, 1]);
            adopt(&layer, &x[1..]);
            layer.forward(a)
        }
        "max_pool2d" => nn::MaxPool2d::new(3).stride(2).padding(1).forward(a),
        "avg_pool2d" => nn::AvgPool2d::new(2).forward(a),
        "layer_norm" => {
            let mut layer = nn::LayerNorm::new([4, 5]);
            layer.weight = x[1].clone().into();
            layer.bias = x[2].clone().into();
            layer.forward(a)
        }
        "batch_norm" => {
            let layer = nn::BatchNorm::lazy();
            adopt(&layer, &x[1..]);
            layer.running_mean.get_or_init(|| tensor_f64([0.0; 2]));
            layer.running_var.get_or_init(|| tensor_f64([1.0; 2]));
            let first = layer.forward(a);
            let second = layer.forward(&(a * 2.0 + 1.0));
            layer.eval();
            Tensor::stack(&[&first, &second, &layer.forward(a)], 0)
        }
        "rnn" => recurrent(nn::Rnn::lazy(4), x),
        "rnn_2" => recurrent(nn::Rnn::lazy(4).stacked(2), x),
        "gru" => recurrent(nn::Gru::lazy(4), x),
        "lstm" => recurrent(nn::Lstm::lazy(4), x),
        "lstm_2" => recurrent(nn::Lstm::lazy(4).stacked(2), x),
        "rnn_both" => with_state(nn::Rnn::lazy(4).bidirectional(), 1, x),
        "gru_state" => with_state(nn::Gru::lazy(4).stacked(2), 1, x),
        "gru_both" => with_state(nn::Gru::lazy(4).bidirectional().stacked(2), 1, x),
        "lstm_state" => with_state(nn::Lstm::lazy(4).stacked(2), 2, x),
        "lstm_both" => with_state(nn::Lstm::lazy(4).stacked(2).bidirectional(), 2, x),
        "lstm_f32" => recurrent(nn::Lstm::lazy(37), x),
        "conv1d" => {
            let layer = nn::Conv1d::lazy(4, 3).stride(2).padding(1);
            adopt(&layer, &x[1..]);
            layer.forward(a)
        }
        "conv_transpose2d" => {
            let layer =
                nn::ConvTranspose2d::lazy(2, [4, 5]).stride([2, 1]).padding([1, 2]);
            adopt(&layer, &x[1..]);
            layer.forward(a)
        }
        "conv_transpose2d_plain" => {
            let layer = nn::ConvTranspose2d::lazy(6, 3);
            adopt(&layer, &x[1..]);
            layer.forward(a)
        }
        "attention" => a.attention(&x[1], &x[2], None),
        "attention_masked" => a.attention(&x[1], &x[2], Some(&x[3])),
        "attention_causal" => {
            a.attention(&x[1], &x[2], Some(&nn::causal_mask(a.len_of(-2))))
        }
        "multi_head" => {
            let layer = nn::MultiHeadAttention::lazy(6, 3);
            adopt(&layer, &x[4..]);
            layer.attend(a, &x[1], &x[2], Some(&x[3])).0
        }
        _ => match name.strip_prefix("einsum ") {
            Some(formula) => Tensor::einsum(formula, &Vec::from_iter(x)),
            None => panic!("the fixture has `{name}`, which this test lacks"),
        },
    }
}

/// Makes the values the parameters of a lazy module.
fn adopt(module: &dyn nn::Module, values: &[Tensor]) {
    for ((_, parameter), value) in module.parameters().iter().zip(values) {
        parameter.get_or_init(|| value.clone());
    }
}

/// A recurrent layer that starts from a given state.
trait FromState: nn::Module {
    fn run(&self, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>);
}

macro_rules! from_state {
    ($($Name:ident),*) => {$(
        impl FromState for nn::$Name {
            fn run(&self, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
                self.forward_from(x, state)
            }
        }
    )*};
}

from_state!(Rnn, Gru, Lstm);

/// Outputs and final states, one behind the other.
fn with_state(module: impl FromState, states: usize, x: &[Tensor]) -> Tensor {
    adopt(&module, &x[1 + states..]);
    let (y, last) = module.run(&x[0], &x[1..=states]);
    let parts: Vec<Tensor> = [y].iter().chain(&last).map(Tensor::flatten).collect();
    Tensor::cat(&Vec::from_iter(&parts), 0)
}

fn recurrent(module: impl nn::Module, x: &[Tensor]) -> Tensor {
    adopt(&module, &x[1..]);
    module.forward(&x[0])
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let cases = FIXTURE["cases"].as_array().unwrap();
    assert!(cases.len() >= 137, "the fixture lost its cases");
    let layouts: [fn(&Tensor) -> Tensor; 2] = [Tensor::clone, strided];
    for (case, layout) in
        cases.iter().flat_map(|case| layouts.map(|layout| (case, layout)))
    {
        let name = case["name"].as_str().unwrap();
        let inputs: Vec<Tensor> = (case["inputs"].as_array().unwrap().iter())
            .map(|input| layout(&unpack(input)))
            .map(|x| if x.dtype().is_float() { x.requires_grad() } else { x })
            .collect();
        let output = apply(name, &inputs);
        assert_close(name, &output, &case["output"]);
        if case.get("grads").is_none() {
            assert!(
                !output.needs_grad(),
                "{name}: a gradient that PyTorch does not have"
            );
            continue;
        }
        output.backward_with(&unpack(&case["cotangent"]));
        for (input, expected) in inputs.iter().zip(case["grads"].as_array().unwrap()) {
            if !expected.is_null() {
                let grad = input.grad().expect(name);
                assert_close(&format!("gradient of {name}"), &grad, expected);
            }
        }
    }
}

fn optimizer(name: &str, parameters: Parameters) -> Box<dyn Optimizer> {
    let p = parameters;
    match name {
        "sgd" | "sgd_clipped" | "sgd_value_clipped" => Box::new(Sgd::new(p, 0.05)),
        "sgd_momentum" | "sgd_f32" => Box::new(Sgd::new(p, 0.02).momentum(0.9)),
        "sgd_nesterov" => Box::new(Sgd::new(p, 0.02).momentum(0.9).nesterov()),
        "sgd_decay" => Box::new(Sgd::new(p, 0.02).momentum(0.5).weight_decay(0.1)),
        "sgd_decay_first" => Box::new(
            Sgd::new(p, 0.02).weight_decay(0.3).weight_decay_only(|name| name == "0"),
        ),
        "adam" | "adam_f32" => Box::new(Adam::new(p, 0.1)),
        "adam_options" => {
            Box::new(Adam::new(p, 0.1).betas(0.8, 0.95).eps(1e-3).weight_decay(0.1))
        }
        "adamw" => Box::new(AdamW::new(p, 0.1)),
        "adamw_decay" => Box::new(AdamW::new(p, 0.1).weight_decay(0.5)),
        "adagrad" => Box::new(Adagrad::new(p, 0.1)),
        "rmsprop" => Box::new(RmsProp::new(p, 0.05)),
        "rmsprop_options" => {
            Box::new(RmsProp::new(p, 0.05).gamma(0.9).momentum(0.8).eps(1e-5))
        }
        "adadelta" => Box::new(Adadelta::new(p, 1.0)),
        "adadelta_options" => Box::new(Adadelta::new(p, 0.5).rho(0.95).eps(1e-4)),
        "yogi" => Box::new(Yogi::new(p, 0.1)),
        _ => panic!("the fixture has `{name}`, which this test lacks"),
    }
}

#[test]
fn optimizers_take_the_path_of_pytorchs() {
    let descents = FIXTURE["descents"].as_array().unwrap();
    assert!(descents.len() >= 19, "the fixture lost its descents");
    for descent in descents {
        let name = descent["name"].as_str().unwrap();
        let leaf = |i: usize| unpack(&descent["start"][i]).requires_grad();
        let (w, b) = (leaf(0), leaf(1));
        let mut optimizer = optimizer(name, Parameters::from([&w, &b]));
        let targets = descent["targets"].as_array().unwrap();
        let path = descent["path"].as_array().unwrap();
        for (i, (target, expected)) in targets.iter().zip(path).enumerate() {
            optimizer.zero_grad();
            let residual = &w * b.exp() - unpack(target);
            (residual.pow(2).sum() + b.pow(3).sum()).backward();
            if name == "sgd_clipped" {
                clip_grad_norm([&w, &b], 1.5);
            }
            if name == "sgd_value_clipped" {
                clip_grad_value([&w, &b], 0.4);
            }
            optimizer.step();
            assert_close(&format!("{name}, step {i}, w"), &w, &expected[0]);
            assert_close(&format!("{name}, step {i}, b"), &b, &expected[1]);
        }
    }
}

#[test]
fn schedules_are_pytorchs() {
    for entry in FIXTURE["schedules"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let schedule = match name {
            "step" => Schedule::step(0.3, 3, 0.5),
            "milestones" => Schedule::milestones(0.3, &[2, 7], 0.1),
            "exponential" => Schedule::exponential(0.3, 0.9),
            "cosine" => Schedule::cosine(0.3, 11, 0.02),
            "polynomial" => Schedule::polynomial(0.3, 8, 2.0, 0.0),
            "constant" => Schedule::constant(0.3),
            "inverse_root" => Schedule::inverse_root(0.3),
            "warmup" => Schedule::constant(0.3).warmup(5, 0.03),
            "at_least" => Schedule::step(0.3, 3, 0.5).at_least(0.06),
            _ => panic!("the fixture has `{name}`, which this test lacks"),
        };
        // Past its last step PyTorch's cosine goes up again; ours stays down.
        let steps = entry["lr"].as_array().unwrap();
        for (i, expected) in steps.iter().enumerate() {
            let (found, expected) = (schedule.lr(i), expected.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-12, "{name} {i}: {found} {expected}");
        }
    }
}

#[test]
fn the_learning_rate_can_change_between_steps() {
    let w = tensor([1.0]).requires_grad();
    let mut sgd = Sgd::new([&w], 0.5);
    for lr in [0.5, 0.25] {
        sgd.set_lr(lr);
        sgd.zero_grad();
        w.sum().backward();
        sgd.step();
    }
    assert_eq!(w.to_vec(), [0.25]);
    assert_eq!(sgd.lr(), 0.25);
}

#[test]
fn a_parameter_that_is_a_view_is_changed_in_its_own_memory() {
    let table = Tensor::zeros([2, 3]);
    let column = table.i((.., 1)).requires_grad();
    (&column * tensor([1.0, 2.0])).sum().backward();
    Sgd::new([&column], 1.0).step();
    assert_eq!(table.to_vec(), [0.0, -1.0, 0.0, 0.0, -2.0, 0.0]);
}

#[test]
#[should_panic(expected = "parameter 1 of shape [2] is no leaf")]
fn a_constant_is_no_parameter() {
    let w = tensor([1.0]).requires_grad();
    Sgd::new([&w, &tensor([1.0, 2.0])], 0.1);
}

#[test]
#[should_panic(
    expected = "mse_loss: predictions of shape [3, 1] for targets of shape [3]"
)]
fn losses_do_not_broadcast() {
    nn::mse_loss(&Tensor::zeros([3, 1]), &Tensor::zeros(3));
}

#[test]
fn tied_parameters_are_one() {
    let shared = nn::Linear::lazy(4);
    let net = sequential![nn::Linear::lazy(4), nn::Sigmoid];
    struct Tied(Vec<nn::Linear>, nn::Sequential, nn::Dropout);
    impl nn::Module for Tied {
        fn parts(&self) -> nn::Parts<'_> {
            let Tied(layers, head, dropout) = self;
            let parts = nn::Parts::new().with("layers", layers);
            parts.with("head", head).with("dropout", dropout)
        }
        fn forward(&self, x: &Tensor) -> Tensor {
            let x = self.0[1].forward(&self.0[0].forward(x));
            self.2.forward(&self.1.forward(&x))
        }
    }
    let mut second = nn::Linear::lazy(4);
    second.weight = shared.weight.clone();
    let net = Tied(vec![shared, second], net, nn::Dropout::new(0.5));
    assert_eq!(net.parameters().numel(), 0);
    net.eval();
    let x = Tensor::rand([64, 4]);
    assert!(net.forward(&x).equal(&net.forward(&x)), "in use nothing is dropped");
    assert_eq!(
        net.parameters().names(),
        [
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.bias",
            "head.0.weight",
            "head.0.bias"
        ]
    );
    net.train();
    assert!(!net.forward(&x).equal(&net.forward(&x)), "in training something is dropped");
    net.forward(&x).sum().backward();
    assert!(net.parameters()["layers.0.weight"].grad().is_some());
    net.parameters().zero_grad();
    assert!(net.parameters()["layers.0.weight"].grad().is_none());
}

#[test]
#[should_panic(expected = "this parameter has no shape yet")]
fn a_lazy_parameter_says_what_it_waits_for() {
    nn::Linear::lazy(3).weight.shape();
}

/// A matrix of numbers between −1 and 1 without pattern.
fn scattered(m: usize, n: usize) -> Tensor {
    let value = |i: usize| ((i + 1) as f64 * 12.9898).sin() * 43758.5453 % 1.0;
    tensor_f64((0..m * n).map(value).collect::<Vec<f64>>()).reshape([m, n])
}

#[track_caller]
fn assert_near(a: &Tensor, b: &Tensor) {
    let error = (a - b).abs().max().item();
    assert!(error < 1e-12, "off by {error}");
}

#[test]
fn decompositions_multiply_to_the_matrix() {
    let identity = |n| Tensor::eye(n).to_dtype(DType::F64);
    for n in [1, 2, 7, 30] {
        let a = scattered(n, n);
        let symmetric = &a + a.t();
        let (values, vectors) = symmetric.eigh();
        assert_near(&(&vectors * values).matmul(&vectors.t()), &symmetric);
        assert_near(&vectors.t().matmul(&vectors), &identity(n));
        assert_near(&a.matmul(&a.inverse()), &identity(n));
        let definite = a.matmul(&a.t()) + identity(n);
        let l = definite.cholesky();
        assert_near(&l.matmul(&l.t()), &definite);
    }
    // Tall, wide, and of rank 1, where half of the vectors are free.
    for a in [scattered(9, 4), scattered(4, 9), scattered(5, 1).matmul(&scattered(1, 4))]
    {
        let (u, s, vt) = a.svd();
        let k = a.shape()[0].min(a.shape()[1]);
        assert_near(&(&u * s).matmul(&vt), &a);
        assert_near(&u.t().matmul(&u), &identity(k));
        assert_near(&vt.matmul(&vt.t()), &identity(k));
    }
}

#[test]
#[should_panic(expected = "solve: the matrix is singular")]
fn a_singular_system_is_refused() {
    tensor([[1.0, 2.0], [2.0, 4.0]]).solve(&tensor([1.0, 2.0]));
}

#[test]
#[should_panic(expected = "einsum: 'j' in \"ij,jk->ik\" stands for lengths 3 and 4")]
fn letters_of_two_lengths_are_refused() {
    Tensor::einsum("ij,jk->ik", &[&Tensor::ones([2, 3]), &Tensor::ones([4, 2])]);
}

/// What a reader writes in a cell, with nothing but the prelude.
mod reader {
    use d2l::prelude::*;

    struct CenteredLayer {
        scale: nn::Parameter,
    }

    impl nn::Module for CenteredLayer {
        nn::parts!(scale);

        fn forward(&self, x: &Tensor) -> Tensor {
            (x - x.mean()) * &self.scale
        }
    }

    #[test]
    fn a_layer_of_ones_own_trains_among_others() {
        let layer = CenteredLayer { scale: nn::Parameter::new(tensor([1.0])) };
        let net = sequential![nn::Linear::new(3, 1), layer];
        let mut optimizer = optim::Sgd::new(net.parameters(), 0.1);
        let x = tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]]);
        net.forward(&x).pow(2).sum().backward();
        optimizer.step();
        assert!(net.parameters()["1.scale"].item() < 1.0);
        assert_eq!(net.layer(1).name(), "CenteredLayer");
    }
}

/// A layer called directly tells a mistake at the caller's line, not inside the library.
#[test]
fn a_wrong_shape_is_told_where_the_layer_was_called() {
    use std::{
        panic::{self, AssertUnwindSafe},
        sync::Mutex,
    };

    static PLACE: Mutex<Option<(String, u32)>> = Mutex::new(None);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // Tests run side by side, and some of them panic on purpose.
        if std::thread::current()
            .name()
            .is_some_and(|name| name.contains("wrong_shape_is_told"))
        {
            let place = info.location().map(|at| (at.file().to_owned(), at.line()));
            *PLACE.lock().unwrap() = place;
        } else {
            before(info);
        }
    }));
    let place = |f: &dyn Fn()| {
        panic::catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        PLACE.lock().unwrap().take().unwrap()
    };
    let image = Tensor::ones([1, 2, 4, 4]);
    let rows = Tensor::ones([1, 2]);
    let linear = nn::Linear::new(3, 1);
    let conv = nn::Conv2d::new(3, 1, 2);
    let here = line!();
    let told = [
        place(&|| drop(linear.forward(&rows))),
        place(&|| drop(conv.forward(&image))),
        place(&|| drop(nn::MaxPool2d::new(5).forward(&image))),
        place(&|| drop(nn::BatchNorm::new(3).forward(&image))),
        place(&|| drop(nn::LayerNorm::new(3).forward(&image))),
        place(&|| drop(nn::Gru::new(2, 3).forward(&image))),
    ];
    for (i, (file, line)) in told.iter().enumerate() {
        assert!(file.ends_with("training.rs"), "{file}");
        assert_eq!(*line, here + 2 + i as u32);
    }
}
