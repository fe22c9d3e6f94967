//! Values, gradients and prints compared with PyTorch's (`fixtures/generate.py`, and for half
//! floats `fixtures/generate_halves.py`).

mod fixture;

use std::sync::LazyLock;

use d2l::{AxisIndex, prelude::*};
use fixture::unpack;
use serde_json::Value;

/// Both libraries round differently: in `f64` by a few units in the last place, in sums of
/// `f32` by more.
const F64_TOLERANCE: f64 = 1e-12;
const F32_TOLERANCE: f64 = 2e-6;

/// Half floats by two steps, for PyTorch rounds on the way where ours only round the result: the
/// weights of attention, say, or the shares of a maximum.
const F16_TOLERANCE: f64 = 2.0 / 1024.0;
const BF16_TOLERANCE: f64 = 2.0 / 128.0;

static FIXTURE: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("fixtures/torch.json"))
        .expect("the fixture is JSON")
});

static HALVES: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("fixtures/halves.json"))
        .expect("the fixture is JSON")
});

fn apply(name: &str, x: &[Tensor]) -> Tensor {
    let a = &x[0];
    match name {
        "add" => a + &x[1],
        "sub" => a - &x[1],
        "mul" => a * &x[1],
        "div" => a / &x[1],
        "rsub" => 2.0 - a,
        "rdiv" => 2.0 / a,
        "neg" => -a,
        "scaled" => a * 0.1,
        "shifted" => a + 0.1,
        "pow_2" => a.pow(2.0),
        "pow_3" => a.pow(3),
        "pow_half" => a.pow(-0.5),
        "pow_0" => a.pow(0.0),
        "pow" => a.pow(&x[1]),
        "maximum" => a.maximum(&x[1]),
        "minimum" => a.minimum(&x[1]),
        "where" => Tensor::where_(a, &x[1], &x[2]),
        "exp" => a.exp(),
        "sin" => a.sin(),
        "cos" => a.cos(),
        "tanh" => a.tanh(),
        "sigmoid" => a.sigmoid(),
        "relu" => a.relu(),
        "abs" => a.abs(),
        "sign" => a.sign(),
        "floor" => a.floor(),
        "round" => a.round(),
        "log" => a.ln(),
        "sqrt" => a.sqrt(),
        "clamp" => a.clamp(-0.5, 0.5),
        "eq" => a.eq(&x[1]),
        "ne" => a.ne(&x[1]),
        "lt" => a.lt(&x[1]),
        "le" => a.le(&x[1]),
        "gt" => a.gt(&x[1]),
        "ge" => a.ge(&x[1]),
        "norm" => a.norm(),
        "norm_1" => a.norm_p(1.0),
        "norm_3" => a.norm_p(3.0),
        "norm_inf" => a.norm_p(f64::INFINITY),
        "matmul" => a.matmul(&x[1]),
        "t_matmul" => a.t().matmul(&x[1]),
        "outer" => a.outer(&x[1]),
        "reshape" => a.reshape([4, -1]),
        "t_reshape" => a.t().reshape([2, 6]),
        "permute" => a.permute([2, 0, 1]),
        "transpose" => a.transpose(0, -1),
        "unsqueeze" => a.unsqueeze(-1),
        "squeeze" => a.squeeze(1),
        "expand" => a.expand([2, 3, -1]),
        "cat_0" => Tensor::cat(&[a, &x[1]], 0),
        "cat_1" => Tensor::cat(&[a, &x[1]], -1),
        "stack_1" => Tensor::stack(&[a, &x[1]], 1),
        "split" => a.split(3, 1)[1].clone(),
        "i_last" => a.i(-1),
        "i_range" => a.i(1..3),
        "i_column" => a.i((.., 1)),
        "i_block" => a.i((0..2, .., -3..-1)),
        "i_step" => a.i((.., AxisIndex::from(..).step_by(2))),
        "i_mask" => a.i(a.gt(0)),
        "i_row_mask" => a.i(tensor([true, false, true])),
        "i_rows" => a.i(tensor([2, 0, 2])),
        "i_pairs" => a.i((tensor([0, 1, 1]), tensor([3, -1, 3]))),
        "i_middle" => a.i((.., tensor([[0, 2], [2, 1]]))),
        "i_apart" => a.i((tensor([0, 1]), .., tensor([3, 1]))),
        "i_mixed" => a.i((1, tensor([2, 0]), 1..)),
        "cross_entropy" => a.cross_entropy(&x[1]),
        "mse" => nn::mse_loss(a, &x[1]),
        "attention" => a.attention(&x[1], &x[2], None),
        "to_f32" => a.to_dtype(DType::F32),
        "to_i64" => a.to_dtype(DType::I64),
        "to_bf16" => a.to_dtype(DType::BF16),
        "to_f16" => a.to_dtype(DType::F16),
        "gelu" => a.gelu(),
        "linear" => a.linear(&x[1], Some(&x[2])),
        "layer_norm" => a.layer_norm(x[1].shape(), Some(&x[1]), Some(&x[2]), 1e-5),
        "batch_norm" => a.batch_norm(Some(&x[1]), Some(&x[2]), 1e-5).0,
        "conv2d" => a.conv2d(&x[1], Some(&x[2]), [1, 1], [0, 0]),
        "conv2d_s2_p1" => a.conv2d(&x[1], Some(&x[2]), [2, 1], [1, 0]),
        "conv2d_transposed_s2_p1" => {
            a.conv2d_transposed(&x[1], Some(&x[2]), [2, 1], [1, 0])
        }
        "max_pool2d" => a.max_pool2d([3, 2], [2, 1], [1, 0]),
        "max_pool2d_2" => a.max_pool2d([2, 2], [2, 2], [0, 0]),
        "avg_pool2d" => a.avg_pool2d([3, 2], [2, 1], [1, 0]),
        "avg_pool2d_2" => a.avg_pool2d([2, 2], [2, 2], [0, 0]),
        _ => match name.rsplit_once("softmax_") {
            Some(("", axis)) => a.softmax(axis.parse().expect("an axis")),
            Some((_, axis)) => a.log_softmax(axis.parse().expect("an axis")),
            None => reduce(name, a),
        },
    }
}

fn reduce(name: &str, x: &Tensor) -> Tensor {
    let (op, over) = name.split_once('_').unwrap_or((name, ""));
    macro_rules! reduction {
        ($all:ident, $axis:ident, $keepdim:ident) => {
            match over {
                "" => x.$all(),
                "02" => x.$axis([0, 2]),
                "keep" => x.$keepdim(-1),
                axis => x.$axis(axis.parse::<i64>().expect("an axis")),
            }
        };
    }
    let axis = || over.parse().expect("an axis");
    match op {
        "sum" => reduction!(sum, sum_axis, sum_keepdim),
        "mean" => reduction!(mean, mean_axis, mean_keepdim),
        "var" => reduction!(var, var_axis, var_keepdim),
        "std" => reduction!(std, std_axis, std_keepdim),
        "amax" => reduction!(max, max_axis, max_keepdim),
        "amin" => reduction!(min, min_axis, min_keepdim),
        "argmax" => x.argmax(axis()),
        "argmin" => x.argmin(axis()),
        "cumsum" => x.cumsum(axis()),
        _ => panic!("the fixture has an operation `{name}` that this test lacks"),
    }
}

/// What differs, if something does.
fn difference(found: &Tensor, expected: &Tensor) -> Option<String> {
    let kind = |x: &Tensor| format!("shape {:?} of {}", x.shape(), x.dtype());
    if kind(found) != kind(expected) {
        return Some(format!("{}, PyTorch has {}", kind(found), kind(expected)));
    }
    let tolerance = match found.dtype() {
        DType::F64 => F64_TOLERANCE,
        DType::F32 => F32_TOLERANCE,
        DType::F16 => F16_TOLERANCE,
        DType::BF16 => BF16_TOLERANCE,
        _ => 0.0,
    };
    // Errors of a sum grow with its terms, not with the result.
    let size = expected.to_vec_f64().into_iter().filter(|v| v.is_finite());
    let size = size.fold(1.0, |a: f64, b| a.max(b.abs()));
    let pairs = found.to_vec_f64().into_iter().zip(expected.to_vec_f64());
    let differs = |(_, (f, e)): &(usize, (f64, f64))| {
        !(f == e || (f.is_nan() && e.is_nan()) || (f - e).abs() <= tolerance * size)
    };
    let (i, (f, e)) = pairs.enumerate().find(differs)?;
    Some(format!("element {i} is {f}, PyTorch has {e}"))
}

/// What differs in one case of the fixture: the value, or a gradient.
fn mistakes(name: &str, case: &Value) -> Vec<String> {
    let inputs: Vec<Tensor> = (case["inputs"].as_array().unwrap().iter())
        .map(unpack)
        .map(|x| if x.dtype().is_float() { x.requires_grad() } else { x })
        .collect();
    let output = apply(name, &inputs);
    let mut mistakes = Vec::from_iter(difference(&output, &unpack(&case["output"])));
    let Some(grads) = case.get("grads").and_then(Value::as_array) else {
        if output.needs_grad() {
            mistakes.push("a gradient that PyTorch does not have".to_owned());
        }
        return mistakes;
    };
    // The sign has the gradient 0 everywhere: ours is a constant.
    if name == "sign" && !output.needs_grad() {
        return mistakes;
    }
    output.backward_with(&unpack(&case["cotangent"]));
    for (i, (input, expected)) in inputs.iter().zip(grads).enumerate() {
        if !expected.is_null() {
            let difference = match input.grad() {
                Some(found) => difference(&found, &unpack(expected)),
                None => Some("is missing".to_owned()),
            };
            mistakes.extend(difference.map(|what| format!("gradient {i}: {what}")));
        }
    }
    mistakes
}

#[test]
fn values_and_gradients_are_pytorchs() {
    all_are_pytorchs(&FIXTURE);
}

#[test]
fn values_and_gradients_of_halves_are_pytorchs() {
    all_are_pytorchs(&HALVES);
}

#[track_caller]
fn all_are_pytorchs(fixture: &Value) {
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() > 150, "the fixture lost its cases");
    let mut all = String::new();
    for (n, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        for mistake in mistakes(name, case) {
            all += &format!("case {n}, {name}: {mistake}\n");
        }
    }
    assert!(all.is_empty(), "{all}");
}

#[test]
fn prints_are_pytorchs() {
    let of = |fixture: &'static Value| fixture["prints"].as_array().unwrap().iter();
    let prints: Vec<&Value> = of(&FIXTURE).chain(of(&HALVES)).collect();
    assert!(prints.len() > 65, "the fixtures lost their prints");
    for print in prints {
        let mut x = unpack(&print["input"]);
        if print["needs_grad"] == true {
            x = x.requires_grad();
        }
        let expected = print["text"].as_str().unwrap();
        assert_eq!(x.to_string(), expected, "\nours:\n{x}\nPyTorch's:\n{expected}\n");
        assert_eq!(format!("{x:?}"), expected);
    }
}

#[test]
fn optimizers_train_bf16_as_pytorchs_do() {
    let steps = HALVES["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    for step in steps {
        let w = unpack(&step["weight"]).requires_grad();
        let x = unpack(&step["x"]);
        let mut optimizer: Box<dyn optim::Optimizer> = match step["name"].as_str() {
            Some("sgd") => Box::new(optim::Sgd::new([&w], 0.1)),
            Some("momentum") => Box::new(optim::Sgd::new([&w], 0.1).momentum(0.9)),
            Some("adam") => Box::new(optim::Adam::new([&w], 0.05)),
            name => panic!("no optimizer is {name:?}"),
        };
        for _ in 0..5 {
            optimizer.zero_grad();
            w.to_dtype(DType::F32).matmul(&x).pow(2).mean().backward();
            optimizer.step();
        }
        assert_eq!(w.grad().map(|g| g.dtype()), Some(DType::BF16));
        let mistake = difference(&w, &unpack(&step["result"]));
        assert_eq!(mistake, None, "{}", step["name"]);
    }
}
