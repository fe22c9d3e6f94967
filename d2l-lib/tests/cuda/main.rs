//! The same operations on the processor and on a GPU: values and gradients.
//!
//! The GPU is an emulated one, which needs a C++ compiler; with `D2L_TEST_GPU=1` in the
//! environment it is the machine's first.

mod batches;
mod draws;
mod libraries;
mod models;
mod optimizers;
mod parallel;
mod recurrent;
mod replay;
mod rows;

use std::{
    process::Command,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use d2l::prelude::*;

/// How far results in `f32` may differ, as a share of the largest (at least 1): functions and sums
/// are rounded in other places; on a real GPU also because cuDNN may convolve by way of Winograd's
/// or Fourier's transform.
fn tolerance() -> f64 {
    if std::env::var_os("D2L_TEST_GPU").is_some() { 2e-5 } else { 4e-6 }
}

/// The GPU, or nothing (and a word why) where there is none to be had.
fn gpu() -> Option<Device> {
    static START: Once = Once::new();
    if std::env::var_os("D2L_TEST_GPU").is_some() {
        return Some(Device::cuda(0).expect("a GPU was promised"));
    }
    if !Command::new("c++")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        assert!(std::env::var_os("CI").is_none(), "CI needs a C++ compiler");
        eprintln!("SKIPPED: no C++ compiler `c++` to emulate a GPU with");
        return None;
    }
    // SAFETY: no other thread reads the environment but through `std`, which locks it.
    START.call_once(|| unsafe { std::env::set_var("D2L_CUDA", "emulated") });
    Some(Device::cuda(0).expect("an emulated GPU"))
}

fn close(name: &str, what: &str, a: &Tensor, b: &Tensor) {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()), "{name}: {what}");
    let finite = a.to_vec_f64().into_iter().filter(|a| a.is_finite());
    let scale = finite.fold(1.0, |scale, a| a.abs().max(scale));
    for (i, (a, b)) in a.to_vec_f64().into_iter().zip(b.to_vec_f64()).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan());
        assert!(
            same || (a - b).abs() <= tolerance() * scale,
            "{name}: {what}, element {i}: {a} on the processor, {b} on the GPU"
        );
    }
}

/// Asserts that `f` gives the same on both, and its gradients too.
fn agree(name: &str, inputs: &[&Tensor], f: impl Fn(&[Tensor]) -> Tensor) {
    if let Some(gpu) = gpu() {
        agree_on(gpu, name, inputs, f);
    }
}

/// The same for a certain GPU.
fn agree_on(
    gpu: Device,
    name: &str,
    inputs: &[&Tensor],
    f: impl Fn(&[Tensor]) -> Tensor,
) {
    // There are tests that ask what memory is in use on the second one.
    let _alone = (gpu == Device::Cuda(1)).then(alone);
    let run = |device: Device| {
        let place = |x: &&Tensor| {
            let x = x.detach().to_device(device);
            if x.dtype().is_float() { x.requires_grad() } else { x }
        };
        let inputs: Vec<Tensor> = inputs.iter().map(place).collect();
        let y = f(&inputs);
        assert_eq!(y.device(), device, "{name}: where the result is");
        if y.needs_grad() {
            // Weights that no symmetry cancels.
            let weights = Tensor::arange(0.0..y.numel() as f64).sin() + 1.5;
            let weights =
                weights.to_dtype(y.dtype()).reshape(y.shape()).to_device(device);
            y.backward_with(&weights);
        }
        let gradients: Vec<Option<Tensor>> = inputs.iter().map(Tensor::grad).collect();
        for gradient in gradients.iter().flatten() {
            assert_eq!(gradient.device(), device, "{name}: where the gradient is");
        }
        (y.detach(), gradients)
    };
    let ((own, own_gradients), (its, its_gradients)) = (run(Device::Cpu), run(gpu));
    close(name, "the value", &own, &its);
    for (i, pair) in own_gradients.iter().zip(&its_gradients).enumerate() {
        match pair {
            (Some(own), Some(its)) => close(name, &format!("gradient {i}"), own, its),
            (None, None) => {}
            _ => panic!("{name}: gradient {i} is missing on one device"),
        }
    }
}

/// `f32` numbers between -2 and 2, the same every time.
fn numbers(shape: &[usize], seed: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..n).map(|i| 2.0 * ((i as f64 * 1.7 + seed).sin() as f32)).collect();
    tensor(values).reshape(shape)
}

/// The layouts that operations must cope with: in rows, transposed, cut, stretched, empty, one.
fn layouts() -> Vec<Tensor> {
    let x = numbers(&[6, 5], 0.3);
    vec![
        x.clone(),
        x.t(),
        x.i((1..5, d2l::AxisIndex::from(0..).step_by(2))),
        numbers(&[1, 5], 1.0).expand([6, 5]),
        numbers(&[0, 3], 0.0),
        numbers(&[1], 0.5),
        numbers(&[2, 3, 4], 0.7).permute([2, 0, 1]),
    ]
}

#[test]
fn functions_of_every_element() {
    type Function = fn(&Tensor) -> Tensor;
    let functions: [(&str, Function); 18] = [
        ("exp", Tensor::exp),
        ("ln", |x| (x.abs() + 0.5).ln()),
        ("sqrt", |x| (x.abs() + 0.5).sqrt()),
        ("sin", Tensor::sin),
        ("cos", Tensor::cos),
        ("tanh", Tensor::tanh),
        ("sigmoid", Tensor::sigmoid),
        ("gelu", Tensor::gelu),
        ("erf", Tensor::erf),
        ("silu", Tensor::silu),
        ("softplus", Tensor::softplus),
        ("leaky_relu", |x| x.leaky_relu(0.2)),
        ("elu", Tensor::elu),
        ("abs", Tensor::abs),
        ("relu", Tensor::relu),
        ("sign", Tensor::sign),
        ("clamp", |x| x.clamp(-0.5, 1.25)),
        ("floor", Tensor::floor),
    ];
    for (name, f) in functions {
        for x in layouts() {
            agree(name, &[&x], |x| f(&x[0]));
        }
        agree(name, &[&numbers(&[3, 4], 0.2).to_dtype(DType::F64)], |x| f(&x[0]));
    }
    let edges =
        tensor([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 88.0, -100.0]);
    for (name, f) in functions {
        // Of the sine of infinity and of infinity times nearly 0 nothing is promised.
        if !["sin", "cos", "gelu"].contains(&name) {
            agree(name, &[&edges], |x| f(&x[0]).detach());
        }
    }
}

#[test]
fn functions_of_pairs_broadcast() {
    type Function = fn(&Tensor, &Tensor) -> Tensor;
    let functions: [(&str, Function); 8] = [
        ("add", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("div", |a, b| a / (b.abs() + 0.5)),
        ("pow", |a, b| (a.abs() + 0.1).pow(b)),
        ("maximum", |a, b| a.maximum(b)),
        ("minimum", |a, b| a.minimum(b)),
        ("where", |a, b| Tensor::where_(&a.gt(b), a, b)),
    ];
    let b = numbers(&[6, 5], 2.0);
    for (name, f) in functions {
        for (x, y) in [
            (numbers(&[6, 5], 0.3), b.clone()),
            (numbers(&[6, 1], 0.3), b.clone()),
            (numbers(&[5], 0.3), b.clone()),
            (numbers(&[5, 6], 0.3).t(), b.clone()),
            (numbers(&[2, 1, 5], 0.1), numbers(&[6, 1], 0.9)),
            (numbers(&[0, 5], 0.1), numbers(&[5], 0.9)),
            (
                numbers(&[3], 0.1).to_dtype(DType::F64),
                numbers(&[3], 0.9).to_dtype(DType::F64),
            ),
        ] {
            agree(name, &[&x, &y], |x| f(&x[0], &x[1]));
        }
    }
    let (m, n) = (tensor([7, -3, i64::MAX, 0]), tensor([2, 5, 1, -4]));
    for f in [
        |a: &Tensor, b: &Tensor| a + b,
        |a: &Tensor, b: &Tensor| a - b,
        |a: &Tensor, b: &Tensor| a * b,
        |a: &Tensor, b: &Tensor| a.maximum(b),
    ] {
        agree("integers", &[&m, &n], |x| f(&x[0], &x[1]));
    }
    agree("numbers on the right", &[&b], |x| (&x[0] * 2.0 + 1) / 3.0);
    agree("numbers on the left", &[&b], |x| 2.0 - 3.0 * &x[0]);
}

#[test]
fn comparisons_and_types() {
    let (a, b) = (numbers(&[4, 3], 0.1), numbers(&[3], 0.4));
    agree("eq", &[&a], |x| x[0].eq(&x[0]));
    agree("ne", &[&a, &b], |x| x[0].ne(&x[1]));
    agree("lt", &[&a, &b], |x| x[0].lt(&x[1]));
    agree("le", &[&a, &b], |x| x[0].le(&x[1]));
    agree("gt", &[&a, &b], |x| x[0].gt(&x[1]));
    agree("ge 0", &[&a], |x| x[0].ge(0.0));
    let odd = tensor([f32::NAN, 3e9, -3e30, 300.7, -1.5, 0.0, f32::INFINITY]);
    let types = [DType::F64, DType::I64, DType::U8, DType::Bool, DType::F32];
    for to in types {
        agree("to_dtype of floats", &[&odd], |x| x[0].detach().to_dtype(to));
        for from in types {
            let x = tensor([0, 1, 2, 200]).to_dtype(from);
            agree("to_dtype", &[&x], |x| x[0].detach().to_dtype(to));
        }
    }
}

#[test]
fn matrices_are_turned() {
    for shape in [[2, 2], [33, 65], [64, 7], [1, 40], [100, 31]] {
        let n = shape[0] * shape[1];
        for dtype in [DType::F32, DType::F64, DType::BF16, DType::U8, DType::I64] {
            let x = (numbers(&[3 * n], 0.2) * 50.0 + 100.0).to_dtype(dtype);
            let one = x.i(n..2 * n).reshape(shape);
            agree("transpose", &[&one], |x| x[0].t().contiguous());
            let many = x.reshape([3, shape[0], shape[1]]);
            agree("transpose", &[&many], |x| x[0].transpose(1, 2).contiguous());
            agree("permute", &[&many], |x| x[0].permute([2, 1, 0]).contiguous());
        }
    }
}

#[test]
fn views_and_writes_in_place() {
    let x = numbers(&[4, 6], 0.2);
    agree("reshape", &[&x], |x| x[0].t().reshape([3, 8]) * 2.0);
    agree("narrow", &[&x], |x| x[0].narrow(1, 1, 3).copy());
    agree("cat", &[&x, &x.t().reshape([4, 6])], |x| Tensor::cat(&[&x[0], &x[1]], 1));
    agree("stack", &[&x], |x| Tensor::stack(&[&x[0], &x[0]], 0));
    agree("in place", &[&x], |x| {
        let y = x[0].detach().copy();
        y.i((.., 1)).fill_(7.0);
        y.i(0).add_(y.i(1));
        y.i((1..3, 2..4)).mul_(-2.0);
        y.sub_(0.5);
        y.div_(y.i(3));
        y.i((.., 0)).copy_(&tensor([1.0, 2.0, 3.0, 4.0]));
        y
    });
    agree("a snapshot outlives a write", &[&x], |x| {
        let y = x[0].detach().copy();
        let doubled = &y * 2.0;
        y.add_(&y);
        y - doubled
    });
}

#[test]
fn sums_means_and_extremes() {
    type Function = fn(&Tensor) -> Tensor;
    let functions: [(&str, Function); 8] = [
        ("sum", Tensor::sum),
        ("mean", Tensor::mean),
        ("sum 0", |x| x.sum_axis(0)),
        ("mean -1", |x| x.mean_axis(-1)),
        ("sum keepdim", |x| x.sum_keepdim(-1)),
        ("var", |x| x.var_axis(0)),
        ("max", |x| x.max_axis(0)),
        ("min", |x| x.min_axis(-1)),
    ];
    let large =
        [numbers(&[3, 9000], 0.1), numbers(&[9000, 3], 0.1), numbers(&[70, 40], 0.4)];
    for (name, f) in functions {
        for x in layouts().into_iter().chain(large.clone()) {
            if x.numel() > 0 || name.starts_with("sum") {
                agree(name, &[&x], |x| f(&x[0]));
            }
        }
    }
    agree("middle axis", &[&numbers(&[3, 40, 5], 0.3)], |x| x[0].sum_axis(1));
    agree("outer axes", &[&numbers(&[3, 40, 5], 0.3)], |x| x[0].sum_axis([0, 2]));
    agree("sum of i64", &[&tensor([[1, 2], [3, 4]])], |x| x[0].sum_axis(0));
    agree("sum of bools", &[&tensor([true, false, true])], |x| x[0].sum());
    agree("sum of u8", &[&tensor([200, 100]).to_dtype(DType::U8)], |x| x[0].sum());
    agree("max of NaN", &[&tensor([1.0, f32::NAN, 3.0])], |x| x[0].detach().max());
}

#[test]
fn products_of_matrices() {
    let (a, b) = (numbers(&[17, 33], 0.1), numbers(&[33, 20], 0.6));
    agree("matmul", &[&a, &b], |x| x[0].matmul(&x[1]));
    agree("transposed", &[&a, &a], |x| x[0].matmul(&x[1].t()));
    agree("vectors", &[&a, &numbers(&[33], 0.2)], |x| x[0].mv(&x[1]));
    agree("dot", &[&numbers(&[9], 0.2), &numbers(&[9], 0.8)], |x| x[0].dot(&x[1]));
    agree("batches", &[&numbers(&[3, 4, 5], 0.1), &numbers(&[3, 5, 2], 0.3)], |x| {
        x[0].matmul(&x[1])
    });
    agree(
        "one matrix for all",
        &[&numbers(&[3, 4, 5], 0.1), &numbers(&[5, 2], 0.3)],
        |x| x[0].matmul(&x[1]),
    );
    agree("nothing to sum", &[&numbers(&[3, 0], 0.1), &numbers(&[0, 2], 0.3)], |x| {
        x[0].matmul(&x[1])
    });
    agree("f64", &[&a.to_dtype(DType::F64), &b.to_dtype(DType::F64)], |x| {
        x[0].matmul(&x[1])
    });
    agree("i64", &[&tensor([[1, -2], [3, 4]]), &tensor([[5, 6], [7, -8]])], |x| {
        x[0].matmul(&x[1])
    });
    let bias = numbers(&[20], 0.9);
    agree("linear", &[&a, &b.t().contiguous(), &bias], |x| {
        x[0].linear(&x[1], Some(&x[2]))
    });
}

#[test]
fn softmax_and_its_loss() {
    for x in
        [numbers(&[5, 7], 0.1) * 20.0, numbers(&[3, 1500], 0.4), numbers(&[2, 3, 4], 0.2)]
    {
        agree("softmax", &[&x], |x| x[0].softmax(-1));
        agree("softmax 0", &[&x], |x| x[0].softmax(0));
        agree("log_softmax", &[&x], |x| x[0].log_softmax(-1));
    }
    agree("large", &[&tensor([[1000.0, 1000.0], [-1e30, 5.0]])], |x| x[0].softmax(1));
    let labels = tensor([0, 6, 3, 3, 1]);
    agree("cross_entropy", &[&(numbers(&[5, 7], 0.1) * 5.0), &labels], |x| {
        x[0].cross_entropy(&x[1])
    });
}

#[test]
fn layers_of_networks() {
    let rows = numbers(&[6, 50], 0.1);
    let (w, b) = (numbers(&[50], 0.5), numbers(&[50], 0.9));
    agree("layer_norm", &[&rows, &w, &b], |x| {
        x[0].layer_norm(50, Some(&x[1]), Some(&x[2]), 1e-5)
    });
    let images = numbers(&[2, 3, 7, 6], 0.2);
    agree("batch_norm", &[&images], |x| x[0].batch_norm(None, None, 1e-5).0);
    agree("moments", &[&images], |x| {
        let (_, mean, variance) = x[0].detach().batch_norm(None, None, 1e-5);
        Tensor::stack(&[&mean, &variance], 0)
    });
    let (q, k, v) =
        (numbers(&[2, 5, 4], 0.1), numbers(&[2, 70, 4], 0.5), numbers(&[2, 70, 3], 0.8));
    agree("attention", &[&q, &k, &v], |x| x[0].attention(&x[1], &x[2], None));
    let mask = numbers(&[5, 70], 0.6).gt(0.0);
    agree("attention with a mask", &[&q, &k, &v, &mask], |x| {
        x[0].attention(&x[1], &x[2], Some(&x[3]))
    });
    let index = tensor([[4, 0, 4], [-1, 1, 4]]);
    agree("embedding", &[&numbers(&[5, 3], 0.1), &index], |x| x[0].embedding(&x[1]));
    agree("embedding by numbers here", &[&numbers(&[5, 3], 0.1)], |x| {
        x[0].embedding(&index)
    });
    let (weight, bias) = (numbers(&[4, 3, 3, 2], 0.5), numbers(&[4], 0.3));
    for (stride, padding) in [([1, 1], [1, 1]), ([2, 1], [0, 1])] {
        agree("conv2d", &[&images, &weight, &bias], |x| {
            x[0].conv2d(&x[1], Some(&x[2]), stride, padding)
        });
    }
    for (kernel, stride, padding) in [([2, 2], [2, 2], [0, 0]), ([3, 2], [2, 1], [1, 1])]
    {
        agree("max_pool2d", &[&images], |x| x[0].max_pool2d(kernel, stride, padding));
        agree("avg_pool2d", &[&images], |x| x[0].avg_pool2d(kernel, stride, padding));
    }
}

#[test]
fn layers_with_their_parameters() {
    let Some(gpu) = gpu() else { return };
    let layers: [(&str, Box<dyn nn::Module>, Tensor); 5] = [
        ("Rnn", Box::new(nn::Rnn::new(5, 6).bidirectional()), numbers(&[4, 3, 5], 0.1)),
        ("Gru", Box::new(nn::Gru::new(5, 6)), numbers(&[4, 3, 5], 0.2)),
        ("Lstm", Box::new(nn::Lstm::new(5, 6).stacked(2)), numbers(&[4, 3, 5], 0.3)),
        (
            "attention",
            Box::new(nn::MultiHeadAttention::lazy(8, 2)),
            numbers(&[2, 5, 8], 0.4),
        ),
        ("Dropout", Box::new(nn::Dropout::new(0.4)), numbers(&[30], 0.5)),
    ];
    for (name, net, x) in layers {
        let run = |device: Device| {
            let _alone = alone();
            seed(3);
            net.to_device(device);
            net.parameters().into_iter().for_each(|(_, p)| p.zero_grad());
            let x = x.detach().to_device(device).requires_grad();
            let y = net.forward(&x);
            assert_eq!(y.device(), device, "{name}");
            (&y * &y).sum().backward();
            let mut all = vec![y.detach(), x.grad().expect("a gradient")];
            all.extend(
                net.parameters().into_iter().map(|(_, p)| p.grad().expect("a gradient")),
            );
            assert!(all.iter().all(|x| x.device() == device), "{name}");
            all.iter().map(|x| x.to_device(Device::Cpu)).collect::<Vec<_>>()
        };
        // Lazy parameters are made at the first pass, which also draws random numbers.
        net.forward(&x);
        for (i, (own, its)) in run(Device::Cpu).iter().zip(&run(gpu)).enumerate() {
            close(name, &format!("tensor {i}"), own, its);
        }
    }
}

#[test]
fn what_no_kernel_does_goes_through_main_memory_and_is_counted() {
    if gpu().is_none() {
        return;
    }
    agree("cumsum", &[&numbers(&[3, 4], 0.1)], |x| x[0].cumsum(1));
    agree("argmax", &[&numbers(&[5, 3], 0.1)], |x| x[0].argmax(1));
    let found = d2l::detours();
    let count =
        |name: &str| found.iter().find(|(op, _)| op == name).map_or(0, |(_, n)| *n);
    assert!(count("cumsum") > 0, "{found:?}");
    let own = [
        "add",
        "matmul",
        "linear",
        "sum",
        "softmax",
        "conv2d",
        "layer_norm",
        "lstm",
        "gru",
    ];
    for op in own {
        assert_eq!(count(op), 0, "{op}: {found:?}");
    }
}

#[test]
fn devices_are_not_mixed() {
    let Some(gpu) = gpu() else { return };
    let _alone = alone();
    let x = numbers(&[3], 0.1);
    let message = |f: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        let panic = std::panic::catch_unwind(f).expect_err("it must panic");
        panic.downcast_ref::<String>().expect("a text").clone()
    };
    let text = message(&|| {
        drop(&numbers(&[3], 0.1).to_device(Device::Cuda(0)) + &numbers(&[3], 0.))
    });
    assert!(text.starts_with("add: one tensor is on cuda:0, another on cpu"), "{text}");
    let text = message(&|| drop(numbers(&[3], 0.1).to_device(Device::Cuda(99))));
    assert!(text.contains("cuda:99 does not exist"), "{text}");
    if Device::cuda_count() > 1 {
        let text = message(&|| {
            let [a, b] = [0, 1].map(|i| numbers(&[3], 0.1).to_device(Device::Cuda(i)));
            drop(a.matmul(&b));
        });
        assert!(text.contains("cuda:0, another on cuda:1"), "{text}");
        let over = x.to_device(gpu).to_device(Device::Cuda(1));
        assert_eq!((over.device(), over.to_vec()), (Device::Cuda(1), x.to_vec()));
    }
}

#[test]
fn out_of_memory_is_told_and_leaves_tensors_usable() {
    let Some(gpu) = gpu() else { return };
    let x = numbers(&[3], 0.1).to_device(gpu);
    let (free, total) = gpu.free_memory().expect("figures");
    assert!(free <= total && total > 0);
    // Stretched, it needs no memory; as elements of its own more than there is.
    let huge = x.i(0).expand([total / 4 + 1]);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| huge.copy()));
    let panic = panic.expect_err("it cannot fit");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("out of memory on cuda:0"), "{text}");
    assert_eq!((&x + 1.0).to_vec(), (&x.to_device(Device::Cpu) + 1.0).to_vec());
}

/// Held by a test that seeds the random numbers, or draws some, or uses a second GPU.
fn alone() -> MutexGuard<'static, ()> {
    static DRAWS: Mutex<()> = Mutex::new(());
    DRAWS.lock().unwrap_or_else(PoisonError::into_inner)
}
