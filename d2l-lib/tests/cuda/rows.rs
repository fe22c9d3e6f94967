//! What is done to rows and columns of elements: of any length, wherever they begin.

use d2l::prelude::*;

use super::{agree, gpu, numbers};

/// Lengths about those of vectors, warps, and what a thread has ahead.
const LENGTHS: [usize; 11] = [1, 3, 4, 5, 31, 128, 130, 511, 1024, 1025, 4099];

/// `f32` rows that begin where a vector does, and one element behind.
fn rows(count: usize, length: usize) -> [Tensor; 2] {
    let n = count * length;
    let x = numbers(&[n + 1], length as f64);
    [0, 1].map(|first| x.i(first..first + n).reshape([count, length]))
}

/// Asserts that `f` of halves on the GPU is that of the same numbers in `f32`, rounded, to the
/// last bit; and so are its gradients.
fn rounds_once(name: &str, x: &Tensor, f: impl Fn(&Tensor) -> Tensor) {
    let Some(gpu) = gpu() else { return };
    for half in [DType::BF16, DType::F16] {
        let narrow = x.to_dtype(half);
        let run = |dtype: DType| {
            let x = narrow.to_dtype(dtype).to_device(gpu).requires_grad();
            let y = f(&x);
            let weights = numbers(y.shape(), 0.7).to_dtype(half).to_dtype(y.dtype());
            y.backward_with(&weights.to_device(gpu));
            let gradient = x.grad().expect("a gradient");
            [y.detach(), gradient].map(|x| x.to_dtype(half))
        };
        let (found, exact) = (run(half), run(DType::F32));
        for (found, exact) in found.iter().zip(&exact) {
            let bits = |x: &Tensor| -> Vec<u64> {
                x.to_vec_f64().into_iter().map(f64::to_bits).collect()
            };
            assert_eq!(bits(found), bits(exact), "{name} of {half}: {:?}", x.shape());
        }
    }
}

#[test]
fn rows_and_columns_of_any_length_are_reduced() {
    for length in LENGTHS {
        for x in rows(3, length) {
            agree("sum of rows", &[&x], |x| x[0].sum_axis(1));
            agree("sum of columns", &[&x], |x| x[0].sum_axis(0));
            agree("sum of columns of columns", &[&x.t()], |x| x[0].sum_axis(0));
            agree("mean", &[&x], |x| x[0].mean());
            agree("max of rows", &[&x], |x| x[0].max_axis(1));
            agree("min of columns", &[&x], |x| x[0].min_axis(0));
        }
    }
    let x = numbers(&[130, 6], 0.1);
    agree(
        "rows of every second",
        &[&x.i((.., d2l::AxisIndex::from(1..).step_by(2)))],
        |x| x[0].sum_axis(1) * 2.0,
    );
    for shape in [[4, 3, 5, 8], [4, 3, 7, 7], [2, 5, 1, 40]] {
        let x = numbers(&shape, 0.4);
        agree("all but channels", &[&x], |x| x[0].sum_axis([0, 2, 3]));
        agree("all but channels", &[&x], |x| x[0].detach().max_axis([0, 2, 3]));
        agree("in another order", &[&x.permute([1, 0, 3, 2])], |x| x[0].sum_axis([1, 3]));
    }
    // So many that they are reduced in parts.
    let long = numbers(&[70_000, 3], 0.2);
    agree("parts of columns", &[&long], |x| x[0].mean_axis(0));
    agree("parts of rows", &[&long.flatten()], |x| x[0].detach().min());
    agree("parts of rows", &[&long.flatten()], |x| x[0].mean());
}

#[test]
fn reductions_of_every_type() {
    for length in [1, 5, 130, 20_000] {
        let x = numbers(&[2, length], 0.3);
        agree("f64", &[&x.to_dtype(DType::F64)], |x| x[0].sum_axis(1));
        agree("f64", &[&x.to_dtype(DType::F64)], |x| x[0].detach().min_axis(0));
        for dtype in [DType::I64, DType::U8, DType::Bool] {
            let x = (&x * 50.0 + 100.0).to_dtype(dtype);
            agree("sum", &[&x], |x| x[0].sum_axis(1));
            agree("sum", &[&x], |x| x[0].sum_axis(0));
            agree("max", &[&x], |x| x[0].max_axis(1));
            agree("min", &[&x], |x| x[0].min_axis(0));
            agree("min", &[&x], |x| x[0].min());
        }
        rounds_once("sum", &x, |x| x.sum_axis(1));
        rounds_once("mean", &x, |x| x.mean_axis(0));
        rounds_once("max", &x, |x| x.max());
    }
    let odd = tensor([[1.0, f32::NAN, 3.0], [f32::INFINITY, -2.0, -0.0]]);
    for f in [Tensor::sum_axis, Tensor::max_axis, Tensor::min_axis, Tensor::mean_axis] {
        for axis in [0, 1] {
            agree("what is no number", &[&odd], |x| f(&x[0].detach(), axis));
        }
    }
    let least = tensor([i64::MIN, i64::MAX, 0]);
    agree("the least", &[&least], |x| x[0].min());
    agree("the greatest", &[&least], |x| x[0].max());
}

#[test]
fn a_sum_is_the_same_wherever_its_elements_are() {
    let Some(gpu) = gpu() else { return };
    for length in [130, 4099] {
        let [x, y] = rows(3, length).map(|x| x.to_device(gpu));
        let here = y.copy();
        for axis in [0, 1] {
            assert_eq!(y.sum_axis(axis).to_vec(), here.sum_axis(axis).to_vec());
        }
        assert_ne!(x.sum_axis(1).to_vec(), here.sum_axis(1).to_vec());
    }
}

/// A number of rows that does not stay in shared memory.
const LONG: usize = 13_001;

/// Rows with all that is special: alone, with numbers, at the end of vectors.
fn special_rows() -> Tensor {
    const INFINITY: f32 = f32::INFINITY;
    let rows = [
        [0.5, -INFINITY, 1.0, -INFINITY, 2.0, 0.0],
        [-INFINITY; 6],
        [0.5, INFINITY, 1.0, 0.0, 2.0, 3.0],
        [INFINITY; 6],
        [0.5, f32::NAN, 1.0, 0.0, 2.0, 3.0],
        [-INFINITY, -INFINITY, -INFINITY, -INFINITY, f32::NAN, 1.0],
        [-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1.0],
        [f32::MIN; 6],
        [f32::MAX, f32::MIN, 0.0, 1e30, -1e30, 1.0],
        [-0.0; 6],
    ];
    tensor(rows)
}

#[test]
fn softmax_of_rows_of_any_length() {
    for length in LENGTHS.into_iter().chain([LONG]) {
        for x in rows(3, length) {
            let x = x * 3.0;
            agree("softmax", &[&x], |x| x[0].softmax(1));
            agree("log_softmax", &[&x], |x| x[0].log_softmax(1));
            let labels = tensor([0, length as i64 - 1, length as i64 / 2]);
            agree("cross_entropy", &[&x, &labels], |x| x[0].cross_entropy(&x[1]));
        }
    }
    agree("columns", &[&numbers(&[5, 40], 0.2)], |x| x[0].softmax(0));
    agree("none", &[&numbers(&[0, 4], 0.2)], |x| x[0].softmax(1));
    agree("none", &[&numbers(&[3, 0], 0.2)], |x| x[0].log_softmax(1));
    let x = special_rows();
    for x in [&x, &x.to_dtype(DType::F64)] {
        agree("softmax of what is special", &[x], |x| x[0].detach().softmax(1));
        agree("its logarithm", &[x], |x| x[0].detach().log_softmax(1));
        let gradients = [Tensor::softmax, Tensor::log_softmax];
        for f in gradients {
            // Of rows that give numbers.
            agree("its gradient", &[&x.i(tensor([0, 6, 7, 9]))], |x| f(&x[0], 1));
        }
        for i in 0..10 {
            agree("its loss", &[&x.i(i..i + 1), &tensor([2])], |x| {
                x[0].detach().cross_entropy(&x[1])
            });
        }
    }
}

#[test]
fn gradients_of_losses_are_multiplied() {
    let labels = tensor([0, 6, 3, 3, 1]);
    for dtype in [DType::F32, DType::F64] {
        let x = (numbers(&[5, 7], 0.1) * 5.0).to_dtype(dtype);
        agree("a loss among others", &[&x, &labels], |x| {
            x[0].cross_entropy(&x[1]) * 3.0 + (&x[0] * &x[0]).sum()
        });
    }
    let Some(gpu) = gpu() else { return };
    let x = numbers(&[2, 3], 0.3).to_device(gpu).requires_grad();
    x.cross_entropy(&tensor([0, 3]).to_device(gpu)).backward();
    let gradient = x.grad().expect("a gradient").to_vec();
    assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    assert!(x.detach().cross_entropy(&tensor([0, -1]).to_device(gpu)).item().is_nan());
}

#[test]
fn normalisation_of_rows_of_any_length() {
    for length in LENGTHS.into_iter().chain([LONG]).filter(|&length| length > 1) {
        let (w, b) = (numbers(&[length], 0.5), numbers(&[length], 0.9));
        for x in rows(3, length) {
            agree("layer_norm", &[&x, &w, &b], |x| {
                x[0].layer_norm(x[0].len_of(1), Some(&x[1]), Some(&x[2]), 1e-5)
            });
        }
        let x = numbers(&[3, length], 0.2) + 100.0;
        agree("far from 0", &[&x], |x| {
            x[0].detach().layer_norm(x[0].len_of(1), None, None, 1e-3)
        });
    }
    let x = numbers(&[4, 3, 5], 0.3).to_dtype(DType::F64);
    agree("two axes", &[&x, &x.i(0), &x.i(1)], |x| {
        x[0].layer_norm([3, 5], Some(&x[1]), Some(&x[2]), 1e-5)
    });
    agree("bias alone", &[&x, &x.i(1)], |x| {
        x[0].layer_norm([3, 5], None, Some(&x[1]), 1e-5)
    });
    let weight = numbers(&[5], 0.2);
    agree("a weight of another type", &[&x, &weight], |x| {
        x[0].layer_norm(5, Some(&x[1]), None, 1e-5)
    });
    agree("what is special", &[&special_rows()], |x| {
        x[0].detach().layer_norm(6, None, None, 1e-5)
    });
    agree("nothing", &[&numbers(&[0, 4], 0.2)], |x| x[0].layer_norm(4, None, None, 1e-5));
}

#[test]
fn normalisation_of_channels() {
    // Some are cut into parts, the last one is turned.
    let shapes: [&[usize]; 8] = [
        &[6, 3],
        &[300, 5],
        &[4, 3, 7],
        &[2, 3, 7, 6],
        &[3, 5, 4, 4],
        &[3, 1, 70, 120],
        &[4, 1, 67, 71],
        &[350, 3001],
    ];
    for shape in shapes {
        let x = numbers(shape, 0.2) * 2.0 + 1.0;
        let (w, b) = (numbers(&shape[1..2], 0.5), numbers(&shape[1..2], 0.9));
        agree("batch_norm", &[&x], |x| x[0].batch_norm(None, None, 1e-5).0);
        for x in [x.clone(), x.to_dtype(DType::F64)] {
            if x.dtype() == DType::F32 && x.numel() > 10_000 {
                // Sums of so many rounded products differ by more than is tolerated.
                continue;
            }
            let [w, b] = [&w, &b].map(|part| part.to_dtype(x.dtype()));
            agree("batch_norm", &[&x, &w, &b], |x| {
                x[0].batch_norm(Some(&x[1]), Some(&x[2]), 1e-5).0
            });
        }
        agree("moments", &[&x], |x| {
            let (_, mean, variance) = x[0].detach().batch_norm(None, None, 1e-5);
            Tensor::stack(&[&mean, &variance], 0)
        });
    }
}

#[test]
fn moments_that_are_written_to_leave_gradients_as_they_were() {
    let x = numbers(&[4, 3, 7], 0.2).to_dtype(DType::F64);
    agree("batch_norm", &[&x], |x| {
        let (y, mean, variance) = x[0].batch_norm(None, None, 1e-5);
        mean.fill_(9.0);
        variance.fill_(9.0);
        y
    });
}

#[test]
fn rows_of_halves_are_rounded_once() {
    for length in [3, 8, 130, 1025, LONG] {
        for x in rows(3, length) {
            let x = x * 4.0;
            rounds_once("softmax", &x, |x| x.softmax(1));
            rounds_once("log_softmax", &x, |x| x.log_softmax(1));
            let labels = tensor([0, 2, 1]);
            rounds_once("cross_entropy", &x, |x| {
                x.cross_entropy(&labels.to_device(x.device()))
            });
            let part = |seed: f64, x: &Tensor| {
                let part = numbers(&[x.len_of(1)], seed).to_dtype(DType::BF16);
                part.to_dtype(x.dtype()).to_device(x.device())
            };
            if length < 1025 {
                rounds_once("layer_norm", &x, |x| {
                    let (w, b) = (part(0.3, x), part(0.7, x));
                    x.layer_norm(x.len_of(1), Some(&w), Some(&b), 1e-5)
                });
                rounds_once("batch_norm", &x, |x| x.batch_norm(None, None, 1e-5).0);
            }
        }
    }
}
