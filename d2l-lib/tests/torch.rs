//! Values, gradients and prints compared with PyTorch's (`fixtures/generate.py`, and for half
//! floats `fixtures/generate_halves.py`).

mod fixture;

use std::sync::LazyLock;

use d2l::{AxisIndex, Order, prelude::*};
use fixture::{difference, strided, unpack};
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
        "mm" => a.mm(&x[1]),
        "mv" => a.mv(&x[1]),
        "dot" => a.dot(&x[1]),
        "flatten" => a.flatten(),
        "contiguous" => a.transpose(0, 1).contiguous(),
        "copy" => a.copy(),
        "flip_0" => a.flip(0),
        "flip_-1" => a.flip(-1),
        "repeat" => a.repeat(3, 1),
        "repeat_each" => a.repeat_each(3, 1),
        "narrow" => a.narrow(2, 1, 2),
        "unbind" => a.unbind(0)[1].clone(),
        "chunk" => a.chunk(2, 2).pop().unwrap(),
        "tril" => a.tril(0),
        "triu" => a.triu(0),
        "sort_1" => a.sort(1),
        "argsort_1" => a.argsort(1, Order::Ascending),
        "topk" => a.topk(2, 1).0,
        "topk_at" => a.topk(2, 1).1,
        "nonzero" => a.nonzero(),
        "unique" => a.unique().0,
        "bincount" => a.bincount(3),
        "one_hot" => a.one_hot(4),
        "masked_fill" => a.masked_fill(&x[1], -2.5),
        "gather" => a.gather(1, &x[1]),
        "scatter_add" => a.scatter_add(1, &x[1], &x[2]),
        "index_select_0" => a.index_select(0, &x[1]),
        "index_select_1" => a.index_select(1, &x[1]),
        "embedding" => a.embedding(&x[1]),
        "all" => tensor(a.all()),
        "any" => tensor(a.any()),
        "set" => written(a, |y| y.set(0, x[1].detach())),
        "add_" => written(a, |y| y.add_(&x[1])),
        "sub_" => written(a, |y| y.sub_(&x[1])),
        "mul_" => written(a, |y| y.mul_(&x[1])),
        "div_" => written(a, |y| y.div_(&x[1])),
        "copy_" => written(a, |y| y.copy_(&x[1])),
        "fill_" => written(a, |y| y.fill_(2.5)),
        "zeros_like" => a.zeros_like(),
        "ones_like" => a.ones_like(),
        "eye" => Tensor::eye(5),
        "arange" => Tensor::arange(-3.0..2.5),
        "arange_step" => Tensor::arange_step(-1.0, 0.75, 0.25),
        "linspace" => Tensor::linspace(-0.3, 0.7, 11),
        "full" => Tensor::full([2, 3], -1.5),
        "inverse" => a.inverse(),
        "solve" => a.solve(&x[1]),
        "cholesky" => no_grad(|| a.matmul(&a.t()).cholesky()),
        "eigenvalues" => no_grad(|| (a + a.t()).eigh().0),
        "singular_values" => a.detach().svd().1,
        "erf" => a.erf(),
        "silu" => a.silu(),
        "softplus" => a.softplus(),
        "leaky_relu" => a.leaky_relu(0.01),
        "elu" => a.elu(),
        "conv1d" => a.conv1d(&x[1], Some(&x[2]), 2, 1),
        "attention" => a.attention(&x[1], &x[2], None),
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
        _ => match (name.strip_prefix("einsum "), name.rsplit_once("softmax_")) {
            (Some(formula), _) => Tensor::einsum(formula, &Vec::from_iter(x)),
            (_, Some(("", axis))) => a.softmax(axis.parse().expect("an axis")),
            (_, Some((_, axis))) => a.log_softmax(axis.parse().expect("an axis")),
            _ => reduce(name, a),
        },
    }
}

/// A strided copy of `x` after a write in place, which no gradient sees.
fn written(x: &Tensor, write: impl FnOnce(&Tensor)) -> Tensor {
    let y = strided(&x.detach());
    no_grad(|| write(&y));
    y
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

fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => F64_TOLERANCE,
        DType::F32 => F32_TOLERANCE,
        DType::F16 => F16_TOLERANCE,
        DType::BF16 => BF16_TOLERANCE,
        _ => 0.0,
    }
}

/// What differs in one case of the fixture: the value, or a gradient. The inputs lie in memory
/// as `layout` puts them.
fn mistakes(name: &str, case: &Value, layout: fn(&Tensor) -> Tensor) -> Vec<String> {
    let inputs: Vec<Tensor> = (case["inputs"].as_array().unwrap().iter())
        .map(|input| layout(&unpack(input)))
        .map(|x| if x.dtype().is_float() { x.requires_grad() } else { x })
        .collect();
    let output = apply(name, &inputs);
    let mut mistakes = Vec::from_iter(difference(
        &output,
        &unpack(&case["output"]),
        tolerance(output.dtype()),
    ));
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
    if !output.needs_grad() {
        mistakes.push("no gradient, where PyTorch has one".to_owned());
        return mistakes;
    }
    output.backward_with(&unpack(&case["cotangent"]));
    for (i, (input, expected)) in inputs.iter().zip(grads).enumerate() {
        if !expected.is_null() {
            let difference = match input.grad() {
                Some(found) => {
                    difference(&found, &unpack(expected), tolerance(found.dtype()))
                }
                None => Some("is missing".to_owned()),
            };
            mistakes.extend(difference.map(|what| format!("gradient {i}: {what}")));
        }
    }
    mistakes
}

/// Where we differ on purpose: `(operation, what differs)`.
const DIFFERENCES: [(&str, &str); 8] = [
    // Infinity times 1; PyTorch agrees in `f64` only.
    ("gelu", "element 3 is inf, PyTorch has NaN"),
    // NaN has the slope NaN; in PyTorch in `f64` only.
    ("elu", "gradient 0: element 5 is NaN, PyTorch has 0.7777777910232544"),
    // As IEEE 754 has powers of -0; PyTorch divides 1 by the root of -0.
    ("pow_half", "element 1 is inf, PyTorch has -inf"),
    // An element 0 has the slope 0, whatever the others are.
    ("norm", "gradient 0: element 0 is 0, PyTorch has NaN"),
    ("norm_3", "gradient 0: element 0 is 0, PyTorch has NaN"),
    // NaN is the greatest element of those with NaN among them, and has the slope NaN.
    ("norm_inf", "gradient 0: element 0 is NaN, PyTorch has 0"),
    // A column of infinities: the mean that is subtracted is no number.
    ("var_0", "gradient 0: element 1 is NaN, PyTorch has inf"),
    // Through no elements nothing flows.
    ("attention", "no gradient, where PyTorch has one"),
];

#[test]
fn values_and_gradients_are_pytorchs() {
    all_are_pytorchs(&FIXTURE, 600, &DIFFERENCES);
}

#[test]
fn values_and_gradients_of_halves_are_pytorchs() {
    all_are_pytorchs(&HALVES, 300, &[]);
}

/// Checks all cases, of which there are at least `least`, but for the differences that are meant.
#[track_caller]
fn all_are_pytorchs(fixture: &Value, least: usize, meant: &[(&str, &str)]) {
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() > least, "the fixture lost its cases");
    let mut all = String::new();
    let mut seen = Vec::new();
    let mut is_meant = |name: &str, mistake: &str| {
        let at = meant.iter().position(|known| *known == (name, mistake));
        seen.extend(at);
        at.is_some()
    };
    for (n, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        let layouts = [
            ("", Tensor::clone as fn(&Tensor) -> Tensor),
            (" of strided inputs", strided),
        ];
        for (layout, lay_out) in layouts {
            for mistake in mistakes(name, case, lay_out) {
                if !is_meant(name, &mistake) {
                    all += &format!("case {n}, {name}{layout}: {mistake}\n");
                }
            }
        }
    }
    for (i, difference) in meant.iter().enumerate() {
        assert!(
            seen.contains(&i),
            "there is no such difference any more: {difference:?}"
        );
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
        let mistake = difference(&w, &unpack(&step["result"]), tolerance(w.dtype()));
        assert_eq!(mistake, None, "{}", step["name"]);
    }
}
