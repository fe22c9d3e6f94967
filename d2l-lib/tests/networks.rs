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
            // Winograd's algorithm, used for some, loses a digit or two.
            let size = expected.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
            let tolerance = size * if dtype == DType::F32 { 2e-5 } else { 1e-13 };
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

#[test]
fn linear_is_a_product_and_a_shift() {
    for (shape, m, n, k) in
        [(vec![5, 7], 5, 3, 7), (vec![2, 3, 4], 6, 5, 4), (vec![4], 1, 2, 4)]
    {
        let x = numbers([m, k], 1).reshape(&shape[..]);
        let (w, b) = (numbers([n, k], 2), numbers([n], 3));
        let y = x.linear(&w, Some(&b));
        assert!(y.allclose(&(x.matmul(&w.t()) + &b)), "{shape:?}");
        check(|x| x[0].linear(&x[1], Some(&x[2])), &[&x, &w, &b]);
        check(|x| x[0].linear(&x[1], None), &[&x, &w]);
    }
    let none = Tensor::zeros([2, 0])
        .linear(&Tensor::zeros([3, 0]), Some(&tensor([1.0, 2.0, 3.0])));
    assert_eq!(none.to_vec(), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
}

#[test]
fn normalisation_is_its_definition() {
    let x = numbers([3, 4, 5], 1) * 3.0 + 7.0;
    let (w, b) = (numbers([4, 5], 2), numbers([4, 5], 3));
    let y = x.layer_norm([4, 5], Some(&w), Some(&b), 1e-5);
    let biased = |axes: &[i64]| (&x - x.mean_keepdim(axes)).pow(2.0).mean_keepdim(axes);
    let expected =
        (&x - x.mean_keepdim([1, 2])) / (biased(&[1, 2]) + 1e-5).sqrt() * &w + &b;
    assert!((y - expected).abs().max().item() < 1e-12);

    let (y, mean, var) = x.batch_norm(None, None, 1e-5);
    let expected = (&x - x.mean_keepdim([0, 2])) / (biased(&[0, 2]) + 1e-5).sqrt();
    assert!((y - expected).abs().max().item() < 1e-12);
    assert!(mean.allclose(&x.mean_axis([0, 2])));
    assert!(var.allclose(&biased(&[0, 2]).flatten()));
    assert_eq!(tensor([[2.0, 2.0]]).layer_norm(2, None, None, 1e-5).to_vec(), [0.0, 0.0]);
    // No digits are lost where the mean is large.
    let far = tensor([[10_000.0, 10_001.0, 10_002.0]]).layer_norm(3, None, None, 0.0);
    assert!(far.allclose(&tensor([[-1.224_744_9, 0.0, 1.224_744_9]])));
}

#[test]
fn normalisation_gradients() {
    let x = numbers([3, 4, 2], 1);
    check(
        |x| x[0].layer_norm([4, 2], Some(&x[1]), Some(&x[2]), 1e-3),
        &[&x, &numbers([4, 2], 2), &numbers([4, 2], 3)],
    );
    check(
        |x| x[0].batch_norm(Some(&x[1]), Some(&x[2]), 1e-3).0,
        &[&x, &numbers([4], 2), &numbers([4], 3)],
    );
    check(|x| x[0].batch_norm(None, None, 1e-3).0, &[&numbers([5, 3], 1)]);
}

#[test]
fn gelu_gradient() {
    check(|x| x[0].gelu(), &[&(numbers([9], 1) * 2.0)]);
}

/// Sizes at which threads share the work, against small ones computed alone.
#[test]
fn large_results_are_those_of_their_parts() {
    let x = numbers([70, 1000], 1).to_dtype(DType::F32);
    let rows = |f: &dyn Fn(&Tensor) -> Tensor| {
        let parts: Vec<Tensor> = (0..70).map(|i| f(&x.i(i..i + 1))).collect();
        Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)
    };
    let same = |found: Tensor, expected: Tensor| assert!(found.equal(&expected));
    let bias = numbers([1000], 2).to_dtype(DType::F32);
    same(x.exp(), rows(&|x| x.exp()));
    same(&x + &bias, rows(&|x| x + &bias));
    same(&bias / &x, rows(&|x| &bias / x));
    same(&x * 3.0, rows(&|x| x * 3.0));
    same(x.softmax(1), rows(&|x| x.softmax(1)));
    same(x.sum_axis(1), rows(&|x| x.sum_axis(1)));
    same(x.t().contiguous().t().contiguous(), x.clone());
    same(x.t().contiguous().max_axis(0), rows(&|x| x.max_axis(1)));
    assert!((x.sum().item() - x.to_vec_f64().iter().sum::<f64>()).abs() < 1e-2);
    let sums = x.sum_axis(0).to_vec_f64();
    for (j, sum) in sums.iter().enumerate() {
        let expected: f64 = x.i((.., j)).to_vec_f64().iter().sum();
        assert!((sum - expected).abs() < 1e-4, "column {j}");
    }
    let (a, b) = (x.i((.., ..300)), x.i((..50, 300..800)));
    for (a, b) in
        [(a.clone(), a.t()), (a.t(), a.clone()), (b.t(), b.clone()), (b.clone(), b.t())]
    {
        let found = a.matmul(&b);
        let expected = a.to_dtype(DType::F64).matmul(&b.to_dtype(DType::F64));
        assert!((found - expected).abs().max().item() < 1e-3);
    }
    let mut y = x.copy();
    y += &bias;
    same(y, &x + &bias);
}

#[test]
fn results_are_the_same_for_the_same_number_of_threads() {
    let run = || {
        let x = numbers([64, 3, 20, 20], 1).to_dtype(DType::F32);
        let w = numbers([8, 3, 3, 3], 2).to_dtype(DType::F32).requires_grad();
        let v = numbers([10, 800], 3).to_dtype(DType::F32).requires_grad();
        let h =
            x.conv2d(&w, None, [1, 1], [1, 1]).tanh().max_pool2d([2, 2], [2, 2], [0, 0]);
        let loss =
            h.reshape([64, 800]).linear(&v, None).cross_entropy(&Tensor::full(64, 3));
        loss.backward();
        [loss, w.grad().unwrap(), v.grad().unwrap(), x.sum(), x.mean_axis(0)]
            .map(|x| x.to_vec())
    };
    let before = d2l::num_threads();
    d2l::set_num_threads(1);
    let alone = run();
    d2l::set_num_threads(3);
    let together = run();
    for _ in 0..5 {
        assert!(run() == together, "not the same bits twice");
    }
    for (a, b) in alone.iter().flatten().zip(together.iter().flatten()) {
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} alone, {b} together");
    }
    d2l::set_num_threads(before);
}

/// Winograd's algorithm computes in `f32` only, so `f64` is the definition.
#[test]
fn square_kernels_are_nearly_as_exact_in_single_precision() {
    for (n, c, o, h, w, size, padding) in [
        (8, 16, 20, 9, 10, 3, 1),
        (12, 33, 40, 7, 13, 3, 0),
        (26, 17, 47, 8, 4, 3, 2),
        (5, 16, 16, 24, 24, 3, 1),
        (3, 48, 34, 18, 17, 3, 1),
        (4, 16, 40, 11, 12, 5, 2),
        (3, 35, 17, 14, 9, 5, 0),
        (16, 48, 34, 7, 7, 5, 4),
        // Too few tiles: columns are copied.
        (1, 33, 40, 7, 13, 3, 0),
        (9, 40, 48, 4, 4, 3, 1),
    ] {
        let run = |dtype| {
            let leaf = |x: Tensor| x.to_dtype(dtype).requires_grad();
            let x = leaf(numbers([n, c, h, w], 1));
            let (k, b) = (leaf(numbers([o, c, size, size], 2)), leaf(numbers([o], 3)));
            let y = x.conv2d(&k, Some(&b), [1, 1], [padding, padding]);
            (&y * &y).sum().backward();
            [y.detach(), x.grad().unwrap(), k.grad().unwrap(), b.grad().unwrap()]
        };
        for (found, expected) in run(DType::F32).iter().zip(run(DType::F64)) {
            let error = (found - &expected).abs().max() / expected.abs().max();
            assert!(error.item() < 2e-5, "{c} to {o} channels, {h}x{w}: {error}");
        }
    }
}

/// Images with few places share a product, the last fewer of them.
#[test]
fn convolutions_of_many_small_images_are_those_of_each() {
    for (n, c, o, [h, w], kernel, stride, padding) in [
        (7, 3, 40, [11, 9], [3, 2], [2, 3], [1, 0]),
        (600, 2, 33, [1, 1], [1, 1], [1, 1], [0, 0]),
        (13, 34, 35, [6, 6], [5, 5], [1, 1], [2, 2]),
        (5, 36, 34, [7, 8], [1, 1], [2, 2], [0, 0]),
    ] {
        let (x, k) = (numbers([n, c, h, w], 1), numbers([o, c, kernel[0], kernel[1]], 2));
        let b = numbers([o], 3);
        let run = |x: Tensor, k: Tensor| {
            let (x, k) = (x.requires_grad(), k.requires_grad());
            let y = x.conv2d(&k, Some(&b), stride, padding);
            (&y * &y).sum().backward();
            [y.detach(), x.grad().unwrap(), k.grad().unwrap()]
        };
        let [y, dx, dk] = run(x.copy(), k.copy());
        let mut sum = dk.zeros_like();
        for i in 0..n {
            let one = run(x.i(i..=i).copy(), k.copy());
            assert!(y.i(i..=i).allclose(&one[0]), "image {i} of {n}");
            assert!(dx.i(i..=i).allclose(&one[1]), "gradient of image {i} of {n}");
            sum += &one[2];
        }
        assert!(dk.allclose(&sum), "gradient of kernels, {n} images");
    }
}

/// With few channels, another algorithm computes in `f32`.
#[test]
fn few_channels_are_as_exact_in_single_precision() {
    for (n, c, o, h, w, kernel, padding) in [
        (9, 1, 6, 28, 28, [5, 5], [2, 2]),
        (3, 6, 16, 14, 14, [5, 5], [0, 0]),
        (2, 3, 7, 9, 30, [3, 5], [0, 1]),
        (1, 2, 25, 6, 40, [2, 1], [1, 0]),
        (2, 5, 3, 11, 11, [4, 7], [3, 6]),
    ] {
        let run = |dtype| {
            let leaf = |x: Tensor| x.to_dtype(dtype).requires_grad();
            let x = leaf(numbers([n, c, h, w], 1));
            let (k, b) =
                (leaf(numbers([o, c, kernel[0], kernel[1]], 2)), leaf(numbers([o], 3)));
            let y = x.conv2d(&k, Some(&b), [1, 1], padding);
            (&y * &y).sum().backward();
            [y.detach(), x.grad().unwrap(), k.grad().unwrap(), b.grad().unwrap()]
        };
        for (found, expected) in run(DType::F32).iter().zip(run(DType::F64)) {
            let error = (found - &expected).abs().max() / expected.abs().max();
            assert!(error.item() < 2e-6, "{c} to {o} channels, {kernel:?}: {error}");
        }
    }
}
