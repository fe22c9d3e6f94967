//! Products and convolutions, by libraries and by our own kernels; [`recurrent`](super::recurrent)
//! has recurrent layers.
//!
//! The first emulated GPU has libraries, the second one has none. A real one has those that are
//! found: `D2L_CUDA_LIBRARIES=none` in the environment tests it without.

use std::process::Command;

use d2l::{AxisIndex, Replay, nn::Module, prelude::*};

use super::{agree_on, alone, gpu, numbers};

/// GPUs with and without libraries, as far as there are any.
pub(super) fn gpus() -> Vec<Device> {
    let Some(gpu) = gpu() else { return Vec::new() };
    let is_real = std::env::var_os("D2L_TEST_GPU").is_some();
    if is_real { vec![gpu] } else { vec![gpu, Device::Cuda(1)] }
}

/// Whole numbers between -2 and 2: their products have exact sums.
fn whole(shape: &[usize], seed: f64) -> Tensor {
    (numbers(shape, seed) * 1.2).round()
}

/// The ways in which a matrix of 24 rows and 18 columns may lie.
fn matrices(dtype: DType) -> Vec<(&'static str, Tensor)> {
    let x = |shape: &[usize], seed| numbers(shape, seed).to_dtype(dtype);
    let every_second = AxisIndex::from(0..).step_by(2);
    vec![
        ("in rows", x(&[24, 18], 0.1)),
        ("transposed", x(&[18, 24], 0.2).t()),
        ("parts of rows", x(&[24, 30], 0.3).narrow(1, 5, 18)),
        ("parts of columns", x(&[18, 31], 0.4).t().narrow(0, 3, 24)),
        ("every second column", x(&[24, 36], 0.5).i((.., every_second))),
        ("one row stretched", x(&[1, 18], 0.6).expand([24, 18])),
        ("one column stretched", x(&[24, 1], 0.7).expand([24, 18])),
    ]
}

#[test]
fn products_of_matrices_however_they_lie() {
    for gpu in gpus() {
        for dtype in [DType::F32, DType::F64] {
            for (left, a) in matrices(dtype) {
                for (right, b) in matrices(dtype) {
                    let name = format!("{dtype} on {gpu}, {left} × {right}");
                    agree_on(gpu, &name, &[&a, &b], |x| x[0].matmul(&x[1].t()));
                }
            }
        }
    }
}

#[test]
fn products_of_thin_matrices() {
    for gpu in gpus() {
        for [m, k, n] in
            [[1, 7, 5], [7, 1, 5], [5, 7, 1], [1, 9, 1], [1, 1, 1], [3, 1, 1]]
        {
            let (a, b) = (numbers(&[m, k], 0.1), numbers(&[k, n], 0.5));
            let name = format!("{m} {k} {n} on {gpu}");
            agree_on(gpu, &name, &[&a, &b], |x| x[0].matmul(&x[1]));
            let (a, b) = (a.t().contiguous().t(), b.t().contiguous().t());
            agree_on(gpu, &name, &[&a, &b], |x| x[0].matmul(&x[1]));
        }
    }
}

#[test]
fn products_of_batches() {
    let heads = |seed| numbers(&[2, 6, 3, 5], seed).permute([0, 2, 1, 3]);
    let cases: [(&str, Tensor, Tensor); 9] = [
        ("one axis", numbers(&[4, 6, 5], 0.1), numbers(&[4, 5, 7], 0.2)),
        ("two axes", numbers(&[2, 3, 6, 5], 0.1), numbers(&[2, 3, 5, 7], 0.2)),
        ("one on the right", numbers(&[4, 6, 5], 0.1), numbers(&[5, 7], 0.2)),
        ("one on the left", numbers(&[6, 5], 0.1), numbers(&[4, 5, 7], 0.2)),
        ("stretched", numbers(&[3, 1, 6, 5], 0.1), numbers(&[4, 5, 7], 0.2)),
        ("heads", heads(0.1), heads(0.2).transpose(2, 3)),
        ("turned", numbers(&[4, 5, 6], 0.1).transpose(1, 2), numbers(&[4, 5, 7], 0.2)),
        ("columns, stretched", numbers(&[5, 6], 0.1).t(), numbers(&[4, 5, 7], 0.2)),
        (
            "apart, stretched",
            numbers(&[6, 10], 0.1).i((.., AxisIndex::from(0..).step_by(2))),
            numbers(&[4, 5, 7], 0.2),
        ),
    ];
    for gpu in gpus() {
        for (name, a, b) in &cases {
            let name = format!("{name} on {gpu}");
            agree_on(gpu, &name, &[a, b], |x| x[0].matmul(&x[1]));
        }
        let nothing = (numbers(&[0, 6, 5], 0.1), numbers(&[5, 7], 0.2));
        agree_on(gpu, "no matrices", &[&nothing.0, &nothing.1], |x| x[0].matmul(&x[1]));
    }
}

#[test]
fn halves_are_added_in_f32_and_rounded_once() {
    let (a, b) = (whole(&[20, 300], 0.1).abs(), whole(&[300, 12], 0.6).abs());
    let bias = whole(&[12], 0.4) * 100.0;
    let exact = a.matmul(&b);
    for dtype in [DType::BF16, DType::F16] {
        let rounded = exact.to_dtype(dtype);
        let is_rounded = rounded.to_dtype(DType::F32).ne(&exact).any();
        assert!(is_rounded || dtype == DType::F16, "bf16 cannot hold all of these sums");
        for gpu in gpus() {
            let _alone = alone();
            let [a, b, bias] = [&a, &b, &bias].map(|x| x.to_dtype(dtype).to_device(gpu));
            assert_eq!(
                a.matmul(&b).to_vec_f64(),
                rounded.to_vec_f64(),
                "{dtype} on {gpu}"
            );
            let y = a.linear(&b.t(), Some(&bias));
            let expected = (&exact + bias.to_device(Device::Cpu).to_dtype(DType::F32))
                .to_dtype(dtype);
            assert_eq!(y.to_vec_f64(), expected.to_vec_f64(), "linear, {dtype} on {gpu}");
        }
    }
}

#[test]
fn linear_layers_with_any_bias() {
    let (x, w) = (numbers(&[6, 10], 0.1), numbers(&[8, 10], 0.4));
    for gpu in gpus() {
        for dtype in [DType::F32, DType::F64] {
            let all = [&x, &w].map(|x| x.to_dtype(dtype));
            let bias = numbers(&[20], 0.9).to_dtype(dtype);
            let linear =
                |x: &[Tensor], bias: &Tensor| x[0].linear(&x[1], Some(bias)) * 2.0;
            let inputs = [&all[0], &all[1], &bias];
            agree_on(gpu, "the first", &inputs, |x| linear(x, &x[2].narrow(0, 0, 8)));
            agree_on(gpu, "an odd place", &inputs, |x| linear(x, &x[2].narrow(0, 1, 8)));
            let every_second = AxisIndex::from(0..16).step_by(2);
            agree_on(gpu, "apart", &inputs, |x| linear(x, &x[2].i(every_second.clone())));
            agree_on(gpu, "one for all", &inputs, |x| {
                linear(x, &x[2].narrow(0, 3, 1).expand([8]))
            });
            agree_on(gpu, "many axes", &inputs, |x| {
                x[0].reshape([2, 3, 10]).linear(&x[1], None)
            });
        }
    }
}

#[test]
fn convolutions_of_all_kinds() {
    // Images, kernels, stride, padding.
    let cases = [
        ([2, 3, 7, 6], [4, 3, 3, 2], [1, 1], [1, 1]),
        ([2, 3, 7, 6], [4, 3, 3, 3], [2, 1], [0, 2]),
        ([3, 2, 5, 5], [1, 2, 1, 1], [1, 1], [0, 0]),
        ([1, 1, 9, 8], [3, 1, 5, 5], [3, 2], [2, 2]),
        ([2, 1, 2, 3], [2, 1, 4, 5], [1, 2], [1, 1]),
        ([1, 4, 6, 1], [2, 4, 3, 1], [2, 3], [0, 0]),
    ];
    for gpu in gpus() {
        for (images, kernels, stride, padding) in cases {
            for dtype in [DType::F32, DType::F64] {
                let [x, w, b] = [&images[..], &kernels, &kernels[..1]].map(|shape| {
                    numbers(shape, 0.3 * shape.len() as f64).to_dtype(dtype)
                });
                let name = format!("{images:?} {kernels:?} of {dtype} on {gpu}");
                agree_on(gpu, &name, &[&x, &w, &b], |x| {
                    x[0].conv2d(&x[1], Some(&x[2]), stride, padding)
                });
                agree_on(gpu, &name, &[&x, &w], |x| {
                    x[0].conv2d(&x[1], None, stride, padding)
                });
                agree_on(gpu, &name, &[&x, &w], |x| {
                    x[0].detach().conv2d(&x[1], None, stride, padding)
                });
                agree_on(gpu, &name, &[&x, &w], |x| {
                    x[0].conv2d(&x[1].detach(), None, stride, padding)
                });
            }
        }
        let (x, w) = (numbers(&[2, 3, 6, 4], 0.1), numbers(&[2, 3, 2, 2], 0.2));
        let turned = x.transpose(2, 3);
        agree_on(gpu, "turned images", &[&turned, &w.transpose(2, 3)], |x| {
            x[0].conv2d(&x[1], None, [1, 1], [1, 0])
        });
        let odd = numbers(&[3, 1, 5, 5], 0.1);
        agree_on(gpu, "images at an odd place", &[&odd, &w.narrow(1, 0, 1)], |x| {
            x[0].narrow(0, 1, 2).conv2d(&x[1], None, [1, 1], [1, 0])
        });
        agree_on(gpu, "no images", &[&x.narrow(0, 0, 0), &w], |x| {
            x[0].conv2d(&x[1], None, [1, 1], [0, 0])
        });
        agree_on(
            gpu,
            "sequences",
            &[&numbers(&[2, 3, 9], 0.1), &numbers(&[4, 3, 3], 0.4)],
            |x| x[0].conv1d(&x[1], None, 2, 1),
        );
        agree_on(gpu, "itself", &[&x], |x| x[0].conv2d(&x[0], None, [1, 1], [1, 1]));
    }
}

#[test]
fn transposed_convolutions() {
    for gpu in gpus() {
        for (stride, padding) in [([1, 1], [0, 0]), ([2, 3], [1, 0])] {
            let inputs = [
                numbers(&[2, 4, 5, 3], 0.1),
                numbers(&[4, 3, 3, 2], 0.5),
                numbers(&[3], 0.7),
            ];
            agree_on(gpu, "conv2d_transposed", &inputs.each_ref(), |x| {
                x[0].conv2d_transposed(&x[1], Some(&x[2]), stride, padding)
            });
        }
    }
    let found = d2l::detours();
    assert!(!found.iter().any(|(op, _)| op.starts_with("conv2d")), "{found:?}");
}

#[test]
fn convolutions_of_halves_are_added_in_f32() {
    let (x, w) = (whole(&[2, 8, 9, 9], 0.1), whole(&[3, 8, 5, 5], 0.6));
    let run = |x: &Tensor, w: &Tensor| {
        let [x, w] = [x, w].map(|x| x.detach().requires_grad());
        let y = x.conv2d(&w, None, [1, 1], [2, 2]);
        y.backward_with(&Tensor::ones_like(&y));
        [y.detach(), x.grad().expect("a gradient"), w.grad().expect("a gradient")]
    };
    let exact = run(&x, &w);
    for dtype in [DType::BF16, DType::F16] {
        for gpu in gpus() {
            let _alone = alone();
            let [x, w] = [&x, &w].map(|x| x.to_dtype(dtype).to_device(gpu));
            for (made, exact) in run(&x, &w).iter().zip(&exact) {
                assert_eq!(made.dtype(), dtype);
                let expected = exact.to_dtype(dtype).to_vec_f64();
                // By way of Winograd's transform sums are not exact.
                let is_plain =
                    gpu != Device::Cuda(0) || gpu.libraries() == ["plain loops"];
                let apart = if is_plain { 0.0 } else { 1.0 / 64.0 };
                for (made, expected) in made.to_vec_f64().into_iter().zip(expected) {
                    let close =
                        (made - expected).abs() <= apart * expected.abs().max(1.0);
                    assert!(close, "{dtype} on {gpu}: {made}, not {expected}");
                }
            }
        }
    }
}

#[test]
fn many_images_are_convolved_in_parts() {
    // Columns of 21 MB, of which an emulated GPU has 16 MB in memory at once.
    let [x, w] = [numbers(&[5, 1, 60, 60], 0.1), numbers(&[1, 1, 16, 16], 0.6)]
        .map(|x| x.to_dtype(DType::F64));
    for gpu in gpus() {
        agree_on(gpu, "large", &[&x, &w], |x| x[0].conv2d(&x[1], None, [1, 1], [0, 0]));
    }
}

#[test]
fn products_and_convolutions_are_replayed() {
    let (w, v, b) =
        (numbers(&[3, 2, 3, 3], 0.1), numbers(&[4, 108], 0.5), numbers(&[4], 0.9));
    for gpu in gpus() {
        let _alone = alone();
        let leaf = |x: &Tensor| x.detach().to_device(gpu).requires_grad();
        let (w, v, b) = (leaf(&w), leaf(&v), leaf(&b));
        let x = numbers(&[5, 2, 6, 6], 0.0).to_device(gpu);
        let work = || {
            [&w, &v, &b].iter().for_each(|x| x.zero_grad());
            let hidden = x.conv2d(&w, None, [1, 1], [1, 1]).reshape([5, 108]);
            let loss = hidden.linear(&v, Some(&b)).tanh().sum();
            loss.backward();
            loss
        };
        let mut step = Replay::new(gpu, work);
        for i in 0..6 {
            x.copy_(&numbers(&[5, 2, 6, 6], f64::from(i)));
            let all = |loss: Tensor| {
                let gradients =
                    [&w, &v, &b].map(|x| x.grad().expect("a gradient").to_vec());
                (loss.item(), gradients)
            };
            let replayed = all(step.run());
            assert_eq!(replayed, all(work()), "{gpu}, run {i}");
        }
        assert!(step.is_replayed(), "{gpu}: {:?}", step.obstacle());
    }
}

/// Runs one of these tests in a process with this variable; gives back whether this is not it.
fn runs_apart(test: &str, name: &str, value: &str) -> bool {
    const APART: &str = "D2L_TEST_APART";
    if std::env::var_os(APART).is_some() {
        return false;
    }
    let ran = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test])
        .envs([(name, value), (APART, "1")])
        .output()
        .expect("it starts again");
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && text.contains("1 passed"), "{text}");
    true
}

#[test]
fn factors_are_rounded_to_tf32_where_that_is_allowed() {
    let Some(gpu) = gpu() else { return };
    if runs_apart(
        "libraries::factors_are_rounded_to_tf32_where_that_is_allowed",
        "D2L_TF32",
        "1",
    ) {
        return;
    }
    assert!(d2l::is_tf32_allowed());
    // 11 digits of two hold 1 and 1 + 2⁻¹⁰, not 1 + 2⁻¹².
    let fine = 1.0 + 1.0 / 4096.0;
    let x = Tensor::full([64, 64], fine).to_device(gpu);
    let ones = Tensor::ones_like(&x);
    let (images, kernels) = (x.reshape([1, 64, 8, 8]), ones.reshape([64, 64, 1, 1]));
    let sums = || {
        let convolved = images.conv2d(&kernels, None, [1, 1], [0, 0]);
        [x.matmul(&ones), ones.matmul(&x), convolved].map(|y| y.max().item())
    };
    let [rounded, exact] = [64.0, 64.0 * fine];
    // A library may, but need not.
    let is_emulated = gpu.libraries() == ["plain loops"];
    let allowed = |sum: f64| sum == rounded || (sum == exact && !is_emulated);
    assert!(sums().into_iter().all(allowed), "{:?}", sums());
    // A cell whose gate is a mean of features.
    let layer = nn::Rnn::new(64, 1);
    let values = [Tensor::full([1, 64], 1.0 / 64.0), Tensor::zeros([1, 1])];
    for ((_, parameter), value) in layer.state().iter().zip(values) {
        parameter.assign(value);
    }
    layer.state().iter().skip(2).for_each(|(_, bias)| bias.assign(0.0));
    layer.to_device(gpu);
    let gate =
        || f64::atanh(layer.forward(&x.reshape([8, 8, 64])).mean().to_vec_f64()[0]);
    let is = |expected: f64| (gate() - expected).abs() < 1e-5;
    assert!(is(1.0) || (is(fine) && !is_emulated), "{}", gate());
    d2l::allow_tf32(false);
    assert_eq!(sums(), [exact; 3]);
    assert!(is(fine), "{}", gate());
}

#[test]
fn libraries_are_named_and_can_be_forbidden() {
    let Some(gpu) = gpu() else { return };
    if runs_apart(
        "libraries::libraries_are_named_and_can_be_forbidden",
        "D2L_CUDA_LIBRARIES",
        "none",
    ) {
        let is_real = std::env::var_os("D2L_TEST_GPU").is_some();
        let is_forbidden = std::env::var_os("D2L_CUDA_LIBRARIES").is_some();
        if !is_real && !is_forbidden {
            assert_eq!(gpu.libraries(), ["plain loops"]);
            assert!(Device::Cuda(1).libraries().is_empty());
        }
        return;
    }
    assert!(gpu.libraries().is_empty());
    let x = numbers(&[4, 4], 0.1);
    agree_on(gpu, "without libraries", &[&x], |x| x[0].matmul(&x[0]));
}
