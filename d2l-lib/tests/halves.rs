//! Half floats: every operation gives what the same one gives in `f32`, rounded once.

use d2l::{bf16, f16, prelude::*};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

/// Finds where `f` of halves is not `f` of the same numbers in `f32`, rounded.
#[track_caller]
fn assert_rounded_once(name: &str, f: impl Fn(&[Tensor]) -> Tensor, inputs: &[Tensor]) {
    for half in HALVES {
        let narrow: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(half)).collect();
        let wide: Vec<Tensor> = narrow.iter().map(|x| x.to_dtype(DType::F32)).collect();
        let (found, exact) = (f(&narrow), f(&wide));
        let exact =
            if exact.dtype() == DType::F32 { exact.to_dtype(half) } else { exact };
        assert_eq!(found.dtype(), exact.dtype(), "{name} of {half}");
        assert_eq!(found.shape(), exact.shape(), "{name} of {half}");
        let same = |(a, b): (f64, f64)| a == b || a.is_nan() && b.is_nan();
        let mut pairs = found.to_vec_f64().into_iter().zip(exact.to_vec_f64());
        assert!(pairs.all(same), "{name} of {half}:\n{found}\nfor\n{exact}");
    }
}

/// Tensors of odd shapes: without elements and with one, long enough for threads, not contiguous,
/// with all that is special.
fn examples() -> Vec<Tensor> {
    let special =
        [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 6e-8, -3e-39, 65504.0];
    vec![
        Tensor::randn([3, 7]),
        Tensor::randn([5, 300]).t(),
        Tensor::randn([3, 4, 9]).permute([2, 0, 1]),
        Tensor::randn([2, 700]).i((.., d2l::AxisIndex::from(1..).step_by(3))),
        Tensor::randn([1, 6]).expand([40, 6]),
        Tensor::randn([70_001]),
        tensor(0.1),
        tensor([2.5]),
        Tensor::zeros([0, 3]),
        tensor(special),
    ]
}

#[test]
fn functions_of_elements_round_once() {
    seed(1);
    #[expect(clippy::type_complexity, reason = "a name would say less")]
    let functions: [(&str, fn(&Tensor) -> Tensor); 24] = [
        ("exp", Tensor::exp),
        ("ln", Tensor::ln),
        ("sqrt", Tensor::sqrt),
        ("sin", Tensor::sin),
        ("cos", Tensor::cos),
        ("tanh", Tensor::tanh),
        ("sigmoid", Tensor::sigmoid),
        ("gelu", Tensor::gelu),
        ("relu", Tensor::relu),
        ("abs", Tensor::abs),
        ("sign", Tensor::sign),
        ("floor", Tensor::floor),
        ("round", Tensor::round),
        ("erf", Tensor::erf),
        ("silu", Tensor::silu),
        ("softplus", Tensor::softplus),
        ("elu", Tensor::elu),
        ("clamp", |x| x.clamp(-0.5, 0.5)),
        ("scaled", |x| x * 0.1),
        ("divided", |x| x / 3.3),
        ("number divided", |x| 0.7 / x.reshape([-1, 1])),
        ("square", |x| x.pow(2)),
        ("to i64", |x| x.to_dtype(DType::I64)),
        ("to bool", |x| x.to_dtype(DType::Bool)),
    ];
    for (name, f) in functions {
        for x in examples() {
            assert_rounded_once(name, |x| f(&x[0]), &[x]);
        }
    }
}

#[test]
fn functions_of_two_round_once() {
    seed(2);
    #[expect(clippy::type_complexity, reason = "a name would say less")]
    let functions: [(&str, fn(&Tensor, &Tensor) -> Tensor); 14] = [
        ("add", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("div", |a, b| a / b),
        ("pow", |a, b| a.pow(b)),
        ("maximum", |a, b| a.maximum(b)),
        ("minimum", |a, b| a.minimum(b)),
        ("where", |a, b| Tensor::where_(&a.gt(b), a, b)),
        ("eq", |a, b| a.eq(b)),
        ("ne", |a, b| a.ne(b)),
        ("lt", |a, b| a.lt(b)),
        ("ge", |a, b| a.ge(b)),
        ("add_", |a, b| {
            let sum = a.copy();
            sum.add_(b);
            sum
        }),
        ("div_ by columns", |a, b| {
            let (shape, quotient) = (a.shape().to_vec(), a.copy());
            let turned = if shape.len() == 2 { quotient.t() } else { quotient.clone() };
            turned.div_(if shape.len() == 2 { b.t() } else { b.clone() });
            quotient
        }),
    ];
    for (name, f) in functions {
        for x in examples() {
            let y = if x.ndim() == 0 { x.exp() } else { x.flip(0) + 0.25 };
            assert_rounded_once(name, |x| f(&x[0], &x[1]), &[x, y]);
        }
    }
    let across = [Tensor::randn([4, 1, 5]), Tensor::randn([3, 1])];
    for (name, f) in &functions[..12] {
        assert_rounded_once(name, |x| f(&x[0], &x[1]), &across);
    }
}

#[test]
fn reductions_and_kernels_round_once() {
    seed(3);
    type Kernel = fn(&[Tensor]) -> Tensor;
    let over_one: [(&str, Kernel); 16] = [
        ("sum", |x| x[0].sum()),
        ("sum_axis", |x| x[0].sum_axis(0)),
        ("mean_axis", |x| x[0].mean_axis(-1)),
        ("var", |x| x[0].var()),
        ("std_axis", |x| x[0].std_axis(0)),
        ("max_axis", |x| x[0].max_axis(-1)),
        ("min", |x| x[0].min()),
        ("argmax", |x| x[0].argmax(0)),
        ("cumsum", |x| x[0].cumsum(-1)),
        ("norm", |x| x[0].norm()),
        ("norm_p", |x| x[0].norm_p(3.0)),
        ("softmax", |x| x[0].softmax(0)),
        ("log_softmax", |x| x[0].log_softmax(-1)),
        ("layer_norm", |x| x[0].layer_norm(x[0].len_of(-1), None, None, 1e-5)),
        ("sort", |x| x[0].sort(-1)),
        ("topk", |x| x[0].topk(2, 0).0),
    ];
    let rows =
        [Tensor::randn([3, 7]), Tensor::randn([300, 65]).t(), Tensor::randn([9, 3, 4])];
    for (name, f) in over_one {
        for x in &rows {
            assert_rounded_once(name, f, std::slice::from_ref(x));
        }
    }
    let n = |shape: &[usize]| Tensor::randn(shape);
    let positions = tensor([[0, 2], [2, 1]]);
    let index = positions.clone();
    let kernels: Vec<(&str, Kernel, Vec<Tensor>)> = vec![
        ("matmul", |x| x[0].matmul(&x[1]), vec![n(&[65, 33]), n(&[33, 70])]),
        (
            "matmul of turned",
            |x| x[0].t().matmul(&x[1].t()),
            vec![n(&[9, 5]), n(&[4, 9])],
        ),
        ("matmul of many", |x| x[0].matmul(&x[1]), vec![n(&[3, 1, 2, 5]), n(&[4, 5, 3])]),
        ("matmul of none", |x| x[0].matmul(&x[1]), vec![n(&[0, 5]), n(&[5, 3])]),
        ("dot", |x| x[0].dot(&x[1]), vec![n(&[100]), n(&[100])]),
        (
            "linear",
            |x| x[0].linear(&x[1], Some(&x[2])),
            vec![n(&[2, 3, 5]), n(&[4, 5]), n(&[4])],
        ),
        (
            "layer_norm",
            |x| x[0].layer_norm(5, Some(&x[1]), Some(&x[2]), 1e-5),
            vec![n(&[2, 3, 5]), n(&[5]), n(&[5])],
        ),
        (
            "batch_norm",
            |x| x[0].batch_norm(Some(&x[1]), Some(&x[2]), 1e-5).0,
            vec![n(&[6, 3, 4]), n(&[3]), n(&[3])],
        ),
        (
            "conv2d",
            |x| x[0].conv2d(&x[1], Some(&x[2]), [1, 1], [1, 1]),
            vec![n(&[2, 3, 8, 7]), n(&[5, 3, 3, 3]), n(&[5])],
        ),
        (
            "conv2d_transposed",
            |x| x[0].conv2d_transposed(&x[1], Some(&x[2]), [2, 1], [1, 0]),
            vec![n(&[2, 3, 4, 5]), n(&[3, 2, 3, 3]), n(&[2])],
        ),
        (
            "max_pool2d",
            |x| x[0].max_pool2d([2, 2], [2, 2], [0, 0]),
            vec![n(&[2, 3, 6, 5])],
        ),
        (
            "avg_pool2d",
            |x| x[0].avg_pool2d([2, 2], [2, 2], [0, 0]),
            vec![n(&[2, 3, 6, 5])],
        ),
        (
            "attention",
            |x| x[0].attention(&x[1], &x[2], None),
            vec![n(&[2, 4, 6]), n(&[2, 5, 6]), n(&[2, 5, 3])],
        ),
        ("mse", |x| nn::mse_loss(&x[0], &x[1]), vec![n(&[4, 3]), n(&[4, 3])]),
        ("l1", |x| nn::l1_loss(&x[0], &x[1]), vec![n(&[4, 3]), n(&[4, 3])]),
        ("huber", |x| nn::huber_loss(&x[0], &x[1], 0.5), vec![n(&[4, 3]), n(&[4, 3])]),
        (
            "bce",
            |x| nn::bce_with_logits(&x[0], &x[1]),
            vec![n(&[4, 3]), Tensor::rand([4, 3])],
        ),
        (
            "cross_entropy",
            |x| x[0].cross_entropy(&tensor([1, 0, 2, 2])),
            vec![n(&[4, 3])],
        ),
        (
            "cross_entropy_each",
            |x| nn::cross_entropy_each(&x[0], &tensor([1, 0, 2, 2])),
            vec![n(&[4, 3])],
        ),
        (
            "einsum",
            |x| Tensor::einsum("ij,kj->ik", &[&x[0], &x[1]]),
            vec![n(&[4, 3]), n(&[5, 3])],
        ),
        ("cat", |x| Tensor::cat(&[&x[0], &x[1]], 0), vec![n(&[4, 3]), n(&[5, 3])]),
        ("solve", |x| x[0].solve(&x[1]), vec![n(&[4, 4]), n(&[4])]),
        ("repeat", |x| x[0].repeat(2, 0), vec![n(&[4, 3])]),
    ];
    for (name, f, inputs) in kernels {
        assert_rounded_once(name, f, &inputs);
    }
    assert_rounded_once("i", |x| x[0].i(&positions), &[n(&[3, 4])]);
    assert_rounded_once("gather", |x| x[0].gather(1, &positions), &[n(&[2, 4])]);
    assert_rounded_once(
        "scatter_add",
        |x| x[0].scatter_add(1, &index, &x[1]),
        &[n(&[2, 4]), n(&[2, 2])],
    );
}

/// A gradient of halves is that of `f32` but for a few roundings on the way.
#[test]
fn gradients_of_halves_are_halves_near_those_of_f32() {
    seed(4);
    let (x, w) = (Tensor::randn([4, 6]), Tensor::randn([3, 6]));
    let model = |x: &Tensor, w: &Tensor| {
        let hidden = x.linear(w, None).tanh();
        (hidden.softmax(-1) * hidden.exp()).sum_axis(0).norm()
    };
    let gradients = |dtype: DType| {
        let leaves = [&x, &w].map(|x| x.to_dtype(dtype).requires_grad());
        model(&leaves[0], &leaves[1]).backward();
        leaves.map(|leaf| leaf.grad().expect("a gradient"))
    };
    let exact = gradients(DType::F32);
    for (half, step) in [(DType::F16, 2_f64.powi(-10)), (DType::BF16, 2_f64.powi(-7))] {
        for (found, exact) in gradients(half).iter().zip(&exact) {
            assert_eq!(found.dtype(), half);
            let size = exact.abs().max().item();
            let error = (found.to_dtype(DType::F32) - exact).abs().max().item();
            assert!(error <= 6.0 * step * size, "{half}: {error} of {size}");
        }
    }
    // Through a cast, and added up over repeated rows before it is rounded.
    let table = Tensor::zeros([2, 1]).to_dtype(DType::BF16).requires_grad();
    let rows = Tensor::zeros([1001]).to_dtype(DType::I64);
    table.embedding(&rows).to_dtype(DType::F32).sum().backward();
    let gradient = table.grad().expect("a gradient");
    assert_eq!((gradient.dtype(), gradient.to_vec()), (DType::BF16, vec![1000.0, 0.0]));
}

#[test]
fn recurrent_layers_and_modules_take_halves() {
    seed(5);
    for half in HALVES {
        let x = Tensor::randn([3, 2, 4]).to_dtype(half);
        let attention = nn::MultiHeadAttention::lazy(4, 2);
        assert_eq!(attention.forward(&x).dtype(), DType::F32, "weights are f32");
        let pooled = nn::Dropout::new(0.5).forward(&x);
        assert_eq!(pooled.dtype(), half);
        let normed = nn::LayerNorm::new(4).forward(&x);
        assert_eq!(normed.dtype(), half);
        let lstm = nn::Lstm::new(4, 5);
        assert_eq!(lstm.forward(&x).shape(), [3, 2, 5]);
    }
}

#[test]
fn elements_can_be_made_and_read_in_their_own_type() {
    let x = Tensor::from_ndarray_owned(ndarray::array![bf16::from_f32(1.5), bf16::NAN]);
    assert_eq!((x.dtype(), x.i(0).item()), (DType::BF16, 1.5));
    assert!(x.i(1).item().is_nan());
    let y = tensor([0.1, -2.0]).to_dtype(DType::F16);
    assert_eq!(y.to_vec_of::<f16>(), [f16::from_f32(0.1), f16::from_f32(-2.0)]);
    assert_eq!(y.to_vec_i64(), [0, -2]);
    assert_eq!(y.with_ndarray(|view: ndarray::ArrayViewD<f16>| view[1].to_f32()), -2.0);
    assert_eq!(y.zeros_like().dtype(), DType::F16);
    y.set(0, 0.2);
    y.i(1).fill_(1e9);
    assert_eq!(y.to_vec(), [0.19995117, f32::INFINITY]);
}

#[test]
fn an_update_too_small_for_bf16_is_lost_and_a_memory_is_not() {
    let w = Tensor::ones(1).to_dtype(DType::BF16).requires_grad();
    let mut plain = optim::Sgd::new([&w], 5e-4);
    for _ in 0..10 {
        plain.zero_grad();
        w.sum().backward();
        plain.step();
    }
    assert_eq!(w.item(), 1.0, "the next number below 1 is 0.996");
    let mut momentum = optim::Sgd::new([&w], 5e-4).momentum(1.0);
    for _ in 0..4 {
        momentum.zero_grad();
        w.sum().backward();
        momentum.step();
    }
    assert_eq!(w.item(), 0.99609375, "the fourth step is 0.002");
}
