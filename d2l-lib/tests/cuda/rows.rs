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
