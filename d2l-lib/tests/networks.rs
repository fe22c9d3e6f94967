//! The operations of networks: values by hand or by definition, gradients by finite
//! differences.

use d2l::{autograd::check::check_gradients, prelude::*};

#[track_caller]
fn check(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor]) {
    if let Err(wrong) = check_gradients(f, inputs) {
        panic!("{wrong}");
    }
}

/// Numbers between −1.7 and 1.7, all different, in no order.
fn numbers<const N: usize>(shape: [usize; N], salt: usize) -> Tensor {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let count: usize = shape.iter().product();
    let value = |i: usize| {
        let x =
            ((i + 1) as f64 * GOLDEN + salt as f64 * 2_f64.sqrt()).fract() * 3.0 - 1.5;
        x + 0.2 * x.signum()
    };
    tensor_f64((0..count).map(value).collect::<Vec<f64>>()).reshape(&shape[..])
}

/// A convolution as the formula says, one element after the other.
fn convolved(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Vec<f64> {
    let &[n, c, h, w] = x.shape() else { panic!("images") };
    let &[o, _, kh, kw] = weight.shape() else { panic!("kernels") };
    let (oh, ow) = (
        (h + 2 * padding[0] - kh) / stride[0] + 1,
        (w + 2 * padding[1] - kw) / stride[1] + 1,
    );
    let (x, weight, bias) = (x.to_vec_f64(), weight.to_vec_f64(), bias.to_vec_f64());
    let mut out = Vec::new();
    for (i, j, y, z) in (0..n * o * oh * ow)
        .map(|at| (at / (o * oh * ow), at / (oh * ow) % o, at / ow % oh, at % ow))
    {
        let mut sum = bias[j];
        for (k, p, q) in
            (0..c * kh * kw).map(|at| (at / (kh * kw), at / kw % kh, at % kw))
        {
            let (row, column) = (y * stride[0] + p, z * stride[1] + q);
            let inside = |at: usize, padding: usize, length: usize| {
                at.checked_sub(padding).filter(|&at| at < length)
            };
            if let (Some(row), Some(column)) =
                (inside(row, padding[0], h), inside(column, padding[1], w))
            {
                sum += x[((i * c + k) * h + row) * w + column]
                    * weight[((j * c + k) * kh + p) * kw + q];
            }
        }
        out.push(sum);
    }
    out
}

#[test]
fn conv2d_is_the_sum_of_its_definition() {
    for (image, kernel, stride, padding) in [
        ([2, 3, 7, 6], [4, 3, 3, 3], [1, 1], [1, 1]),
        ([1, 2, 5, 5], [3, 2, 3, 3], [1, 1], [0, 0]),
        ([2, 1, 9, 8], [2, 1, 5, 5], [1, 1], [2, 2]),
        ([1, 2, 9, 7], [3, 2, 3, 2], [2, 3], [1, 0]),
        ([2, 16, 9, 10], [32, 16, 3, 3], [1, 1], [1, 1]),
        ([3, 4, 6, 6], [5, 4, 1, 1], [1, 1], [0, 0]),
        ([1, 1, 2, 2], [1, 1, 6, 6], [1, 1], [2, 2]),
        ([0, 2, 4, 4], [1, 2, 3, 3], [1, 1], [0, 0]),
    ] {
        let (x, weight) = (numbers(image, 1), numbers(kernel, 2));
        let bias = numbers([kernel[0]], 3);
        let expected = convolved(&x, &weight, &bias, stride, padding);
        for dtype in [DType::F32, DType::F64] {
            let cast = |x: &Tensor| x.to_dtype(dtype);
            let y = cast(&x).conv2d(&cast(&weight), Some(&cast(&bias)), stride, padding);
            let tolerance = if dtype == DType::F32 { 1e-4 } else { 1e-12 };
            assert_eq!((y.dtype(), y.numel()), (dtype, expected.len()));
            for (found, expected) in y.to_vec_f64().into_iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{image:?} {kernel:?} {dtype}: {found} instead of {expected}"
                );
            }
        }
    }
}

#[test]
fn conv2d_gradients() {
    let shapes = [
        ([2, 2, 4, 5], [3, 2, 3, 3], [1, 1], [1, 1]),
        ([1, 2, 6, 5], [2, 2, 3, 2], [2, 2], [1, 0]),
        ([2, 1, 5, 5], [2, 1, 5, 5], [1, 1], [2, 2]),
    ];
    for (image, kernel, stride, padding) in shapes {
        check(
            |x| x[0].conv2d(&x[1], Some(&x[2]), stride, padding),
            &[&numbers(image, 1), &numbers(kernel, 2), &numbers([kernel[0]], 3)],
        );
    }
}

#[test]
fn conv2d_transposed_is_the_transpose_of_conv2d() {
    let (stride, padding) = ([2, 1], [1, 0]);
    let (x, w) = (numbers([2, 3, 4, 5], 1), numbers([3, 2, 3, 2], 2));
    let y = x.conv2d_transposed(&w, None, stride, padding);
    assert_eq!(y.shape(), [2, 2, 7, 6]);
    // ⟨y, z⟩ = ⟨x, conv(z)⟩ for every z.
    let z = numbers([2, 2, 7, 6], 3);
    let there = (&y * &z).sum().item();
    let back = (&x * z.conv2d(&w, None, stride, padding)).sum().item();
    assert!((there - back).abs() < 1e-12, "{there} and {back}");
    check(
        |x| x[0].conv2d_transposed(&x[1], Some(&x[2]), stride, padding),
        &[&numbers([1, 2, 3, 2], 1), &numbers([2, 2, 3, 2], 2), &numbers([2], 3)],
    );
}

#[test]
fn pools_over_padded_and_uneven_windows() {
    let x = Tensor::arange(0.0..20.0).reshape([1, 1, 4, 5]);
    let y = x.max_pool2d([3, 2], [2, 2], [1, 1]);
    assert_eq!(
        (y.shape(), y.to_vec()),
        (&[1, 1, 2, 3][..], vec![5.0, 7.0, 9.0, 15.0, 17.0, 19.0])
    );
    let y = (-&x).max_pool2d([3, 2], [2, 2], [1, 1]);
    assert_eq!(y.to_vec(), [0.0, -1.0, -3.0, -5.0, -6.0, -8.0]);
    let y = x.avg_pool2d([2, 2], [2, 2], [1, 1]);
    assert_eq!(y.shape(), [1, 1, 3, 3]);
    assert_eq!(y.to_vec(), [0.0, 0.75, 1.75, 3.75, 9.0, 11.0, 3.75, 8.25, 9.25]);
    let x = x.reshape([1, 5, 2, 2]);
    assert_eq!(
        x.max_pool2d([2, 2], [2, 2], [0, 0]).to_vec(),
        [3.0, 7.0, 11.0, 15.0, 19.0]
    );
    assert_eq!(
        x.avg_pool2d([2, 2], [2, 2], [0, 0]).to_vec(),
        [1.5, 5.5, 9.5, 13.5, 17.5]
    );
    let nan = tensor([[1.0, f32::NAN], [3.0, 2.0]]).reshape([1, 1, 2, 2]);
    assert!(nan.max_pool2d([2, 2], [2, 2], [0, 0]).item().is_nan());
}

#[test]
fn pool_gradients() {
    let x = numbers([2, 3, 6, 6], 1);
    for (kernel, stride, padding) in
        [([2, 2], [2, 2], [0, 0]), ([3, 3], [2, 2], [1, 1]), ([3, 2], [1, 2], [0, 1])]
    {
        check(|x| x[0].max_pool2d(kernel, stride, padding), &[&x]);
        check(|x| x[0].avg_pool2d(kernel, stride, padding), &[&x]);
    }
}

#[test]
fn softmax_gradients() {
    let x = numbers([3, 4, 2], 1);
    for axis in [0, 1, -1] {
        check(|x| x[0].softmax(axis), &[&x]);
        check(|x| x[0].log_softmax(axis), &[&x]);
    }
    let targets = tensor([1, 0, 3]);
    check(|x| x[0].cross_entropy(&targets), &[&numbers([3, 4], 1)]);
    check(|x| x[0].t().cross_entropy(&targets), &[&numbers([4, 3], 1)]);
}

#[test]
fn softmax_of_extremes() {
    let inf = f32::INFINITY;
    let y = tensor([[0.0, -inf], [-1e30, 1e30]]).softmax(1);
    assert_eq!(y.to_vec(), [1.0, 0.0, 0.0, 1.0]);
    assert!(tensor([inf, 0.0]).softmax(0).to_vec()[0].is_nan());
    assert_eq!(Tensor::zeros([0, 3]).softmax(1).shape(), [0, 3]);
    assert_eq!(tensor([5.0]).log_softmax(0).to_vec(), [0.0]);
    let loss = tensor([[-1000.0, 1000.0]]).cross_entropy(&tensor([0]));
    assert_eq!(loss.item(), 2000.0);
}

#[test]
#[should_panic(expected = "cross_entropy: target 2 is none of the 2 classes")]
fn a_target_must_be_a_class() {
    Tensor::zeros([1, 2]).cross_entropy(&tensor([2]));
}

#[test]
#[should_panic(
    expected = "conv2d: kernels of shape [1, 3, 1, 1] do not fit images of shape [1, 2, 4, 4]"
)]
fn kernels_have_the_channels_of_the_images() {
    Tensor::zeros([1, 2, 4, 4]).conv2d(
        &Tensor::zeros([1, 3, 1, 1]),
        None,
        [1, 1],
        [0, 0],
    );
}
