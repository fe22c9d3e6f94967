//! What is said about a wrong shape, dtype, axis or number, and where: at the caller's line.

use std::{
    cell::{Cell, RefCell},
    panic::{self, UnwindSafe},
    sync::Once,
};

use d2l::{
    Order,
    data::{Batch, Column, DataLoader, Table},
    nn::{Parameter, init},
    optim::{Adam, Schedule, Sgd},
    prelude::*,
};

/// What `f` panics with, if the panic points into this file; else what is wrong.
fn message(f: impl FnOnce() + UnwindSafe) -> String {
    thread_local! {
        static LISTENS: Cell<bool> = const { Cell::new(false) };
        static HEARD: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            match (info.location(), info.payload_as_str()) {
                (Some(at), Some(text)) if LISTENS.get() => {
                    HEARD.set(Some((text.to_owned(), at.to_string())));
                }
                _ => before(info),
            }
        }));
    });
    LISTENS.set(true);
    let panicked = panic::catch_unwind(f).is_err();
    LISTENS.set(false);
    match HEARD.take() {
        Some((text, place)) if place.starts_with(file!()) => text,
        Some((text, place)) => format!("{text}, told at {place}"),
        None => format!("nothing that was heard; panicked: {panicked}"),
    }
}

macro_rules! mistakes {
    ($($code:expr => $expected:literal;)*) => {{
        let mut wrong = String::new();
        $(
            let found = message(|| {
                let _ = $code;
            });
            if found != $expected {
                wrong += &format!("{}\n    says: {found:?}\n    not:  {:?}\n", stringify!($code), $expected);
            }
        )*
        assert!(wrong.is_empty(), "{wrong}");
    }};
}

fn ones(shape: impl Into<d2l::Shape>) -> Tensor {
    Tensor::ones(shape)
}

#[test]
fn operations_tell_shapes_dtypes_and_axes() {
    mistakes! {
        ones([1 << 40, 1 << 40]) =>
            "a tensor of shape [1099511627776, 1099511627776] is larger than any memory";
        Tensor::eye(1 << 40) =>
            "a tensor of shape [1099511627776, 1099511627776] is larger than any memory";
        tensor([1]).one_hot(1 << 62) =>
            "a tensor of shape [1, 4611686018427387904] is larger than any memory";
        ones([1; 8]).unsqueeze(0) => "a tensor has at most 8 axes, not 9";
        ones([2, 3]) - ones([4]) => "sub: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]) * ones([4]) => "mul: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]) / ones([4]) => "div: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]).pow(ones([4])) => "pow: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]).maximum(ones([4])) =>
            "maximum: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]).minimum(ones([4])) =>
            "minimum: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]).eq(&ones([4])) => "eq: shapes [2, 3] and [4] do not broadcast";
        ones([2, 3]).lt(&ones([4])) => "lt: shapes [2, 3] and [4] do not broadcast";
        Tensor::where_(&ones(3), &ones(3), 0.0) =>
            "where_: the condition must be bool, not f32";
        Tensor::where_(&ones(3).gt(0), &ones(2), 0.0) =>
            "where_: a condition of shape [3] and values of shape [2] do not broadcast";
        ones(3).masked_fill(&ones(3), 0.0) =>
            "masked_fill: the mask must be bool, not f32";
        ones(3).clamp(1.0, -1.0) => "clamp: no number lies between 1 and -1";
        ones([2, 3]).len_of(2) => "len_of: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).len_of(-3) =>
            "len_of: axis -3 does not exist in a tensor with 2 axes";
        ones([2, 3]).mean_axis(2) =>
            "mean_axis: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).max_axis(2) =>
            "max_axis: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).var_keepdim(5) =>
            "var_keepdim: axis 5 does not exist in a tensor with 2 axes";
        ones([2, 3]).argmax(2) => "argmax: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 0]).argmin(1) => "argmin: axis 1 of shape [2, 0] is empty";
        ones([2, 3]).cumsum(2) => "cumsum: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).softmax(2) =>
            "softmax: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).log_softmax(-3) =>
            "log_softmax: axis -3 does not exist in a tensor with 2 axes";
        Tensor::zeros(0).max() => "max: there is no element in shape [0]";
        Tensor::zeros(0).min() => "min: there is no element in shape [0]";
        ones(3).norm_p(-1.0) => "norm_p: -1 is no positive number";
        ones([2, 3]).sort(2) => "sort: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).argsort(2, Order::Ascending) =>
            "argsort: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).topk(4, 1) =>
            "topk: there are no 4 elements in axis 1 of shape [2, 3]";
        ones([2, 3]).topk(1, 2) => "topk: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).bincount(2) => "bincount: only whole numbers are counted, not f32";
        tensor([-1]).bincount(2) => "bincount: -1 is not among 0..2";
        ones([2, 3]).transpose(0, 2) =>
            "transpose: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3, 4]).t() =>
            "t: a matrix is transposed, not shape [2, 3, 4]; name the axes: transpose(0, 1)";
        ones([2, 3]).squeeze(2) =>
            "squeeze: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).unsqueeze(4) =>
            "unsqueeze: axis 4 does not exist in a tensor with 3 axes";
        ones([2, 3]).narrow(1, 2, 2) =>
            "narrow: 2 elements from 2 on are not in axis 1 of shape [2, 3]";
        ones([2, 3]).narrow(0, usize::MAX, 2) =>
            "narrow: 2 elements from 18446744073709551615 on are not in axis 0 of shape [2, 3]";
        ones([2, 3]).split(0, 1) => "split: parts of 0 elements never end";
        ones([2, 3]).split(1, 2) =>
            "split: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).chunk(0, 1) => "chunk: a tensor cannot be cut into 0 parts";
        ones([2, 3]).chunk(1, 2) =>
            "chunk: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).unbind(2) => "unbind: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).repeat(2, 2) =>
            "repeat: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).repeat_each(2, 2) =>
            "repeat_each: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).flip(2) => "flip: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).reshape([-1, -1]) =>
            "reshape: only one length can be -1, not those of [-1, -1]";
        ones([2, 3]).reshape([-2, -3]) =>
            "reshape: [2, 3] has 6 elements and does not fit into [-2, -3]";
        Tensor::cat(&[], 0) => "cat: there must be at least one tensor";
        Tensor::cat(&[&ones(2)], 1) =>
            "cat: axis 1 does not exist in a tensor with 1 axes";
        Tensor::stack(&[], 0) => "stack: there must be at least one tensor";
        Tensor::stack(&[&ones([1; 8])], 0) => "stack: a tensor has at most 8 axes, not 9";
        Tensor::stack(&[&ones(2), &ones(3)], 0) => "stack: shapes [2] and [3] differ";
        ones([2, 3]).mm(&ones([2, 3])) =>
            "mm: inner lengths of shapes [2, 3] and [2, 3] differ";
        ones([2, 3]).mm(&ones(3)) =>
            "mm: needs a matrix and a matrix, not shapes [2, 3] and [3]";
        ones([2, 3]).dot(&ones(3)) =>
            "dot: needs a vector and a vector, not shapes [2, 3] and [3]";
        ones(2).dot(&ones(3)) => "dot: inner lengths of shapes [2] and [3] differ";
        ones([2, 3]).outer(&ones(3)) =>
            "outer: needs a vector and a vector, not shapes [2, 3] and [3]";
        ones([2, 2, 3]).matmul(&ones([3, 3, 2])) =>
            "matmul: leading axes of shapes [2, 2, 3] and [3, 3, 2] do not broadcast";
        tensor(1.0).matmul(&ones(3)) =>
            "matmul: needs axes to sum over; shapes [] and [3]";
        ones([2, 3]).linear(&ones([4, 2]), None) =>
            "linear: a weight of shape [4, 2] and a bias of shape None do not fit an input of shape [2, 3]";
        ones([2, 3]).linear(&ones([4, 3]), Some(&ones(3))) =>
            "linear: a weight of shape [4, 3] and a bias of shape Some([3]) do not fit an input of shape [2, 3]";
        ones([2, 3]).solve(&ones(2)) => "solve: shape [2, 3] is no square matrix";
        ones([2, 2]).solve(&ones(2)) => "solve: the matrix is singular";
        ones([2, 2]).solve(&ones(3)) =>
            "solve: a right side of shape [3] for a matrix of shape [2, 2]";
        ones([2, 3]).inverse() => "inverse: shape [2, 3] is no square matrix";
        Tensor::zeros([2, 2]).inverse() => "solve: the matrix is singular";
        ones([2, 3]).cholesky() => "cholesky: shape [2, 3] is no square matrix";
        (-ones([2, 2])).cholesky() => "cholesky: the matrix is not positive definite";
        ones([2, 3]).eigh() => "eigh: shape [2, 3] is no square matrix";
        ones(3).svd() => "svd: shape [3] is no matrix";
        Tensor::einsum("ij,jk", &[&ones([2, 3]), &ones([3, 2])]) =>
            "einsum: the formula \"ij,jk\" has no arrow `->`";
        Tensor::einsum("ij->ik", &[&ones([2, 3])]) =>
            "einsum: 'k' right of the arrow of \"ij->ik\" is in no operand";
        Tensor::einsum("ij->i", &[&ones([2, 3]), &ones(2)]) =>
            "einsum: \"ij->i\" has 1 operands, and 2 are given";
        Tensor::einsum("ijk->i", &[&ones([2, 3])]) =>
            "einsum: 3 letters in \"ijk->i\" for shape [2, 3]";
        ones([2, 3]).gather(1, &ones([2, 1])) =>
            "gather: positions are whole numbers, not f32";
        ones([2, 3]).gather(1, &tensor([[3]])) =>
            "gather: position 3 is outside an axis of length 3 of shape [2, 3]";
        ones([2, 3]).gather(1, &tensor([0])) =>
            "gather: positions of shape [1] along axis 1 of shape [2, 3]";
        ones([2, 3]).gather(2, &tensor([[0]])) =>
            "gather: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).scatter_add(1, &tensor([[0]]), &ones([2, 1])) =>
            "scatter_add: positions of shape [1, 1] for values of shape [2, 1]";
        ones([2, 3]).scatter_add(1, &tensor([[3]]), &ones([1, 1])) =>
            "scatter_add: position 3 is outside an axis of length 3 of shape [2, 3]";
        ones([2, 3]).index_select(0, &tensor([2])) =>
            "index_select: position 2 is outside an axis of length 2 of shape [2, 3]";
        ones([2, 3]).index_select(2, &tensor([0])) =>
            "index_select: axis 2 does not exist in a tensor with 2 axes";
        ones([2, 3]).index_select(0, &tensor([[0]])) =>
            "index_select: positions are a vector, not shape [1, 1]";
        ones([2, 3]).embedding(&tensor([2])) =>
            "embedding: position 2 is outside an axis of length 2 of shape [2, 3]";
        ones([2, 3]).embedding(&tensor([0.5])) =>
            "embedding: positions are whole numbers, not f32";
        tensor([3]).one_hot(3) =>
            "one_hot: position 3 is outside an axis of length 3 of shape [1, 3]";
        tensor([0.5]).one_hot(3) => "one_hot: positions are whole numbers, not f32";
        ones(3).tril(0) => "tril: shape [3] has no rows and columns";
        ones(3).triu(0) => "triu: shape [3] has no rows and columns";
        ones([2, 3]).i(2) =>
            "i: position 2 is outside an axis of length 2 of shape [2, 3]";
        ones([2, 3]).i((0, -4)) =>
            "i: position -4 is outside an axis of length 3 of shape [2, 3]";
        ones([2, 3]).i(tensor([5])) =>
            "i: position 5 is outside an axis of length 2 of shape [2, 3]";
        ones([2, 3]).i(tensor([0.5])) => "i: positions are whole numbers, not f32";
        ones([2, 3]).i((tensor([0, 1]), tensor([0, 1, 2]))) =>
            "i: positions of shapes [2] and [3] do not broadcast";
        ones([2, 3]).set((0, 3), 1.0) =>
            "set: position 3 is outside an axis of length 3 of shape [2, 3]";
        ones([2, 3]).set(0, ones(4)) =>
            "set: values of shape [4] do not broadcast into shape [3]";
        ones(3).sub_(&ones(4)) =>
            "sub_: values of shape [4] do not broadcast into shape [3]";
        ones(3).mul_(&ones(4)) =>
            "mul_: values of shape [4] do not broadcast into shape [3]";
        ones(3).div_(&ones(4)) =>
            "div_: values of shape [4] do not broadcast into shape [3]";
        ones(3).copy_(&ones(4)) =>
            "copy_: values of shape [4] do not broadcast into shape [3]";
        ones(3).fill_(ones(4)) =>
            "fill_: values of shape [4] do not broadcast into shape [3]";
        tensor([true]).add_(true) =>
            "add_: results of bool do not fit into a tensor of bool";
        tensor([4]).div_(2) => "div_: quotients do not fit into a tensor of i64";
        ones(3).requires_grad().mul_(2.0) =>
            "mul_: writes in place are not recorded for gradients; compute a new tensor, or write inside `no_grad`";
        tensor([1.0, 2.0]).item() => "item: needs one element, and shape [2] has 2";
        tensor([1]).to_vec_of::<f32>() => "to_vec_of: a tensor of i64 holds no f32";
        tensor([1]).to_ndarray::<f32>() => "to_ndarray: a tensor of i64 holds no f32";
        tensor([1]).with_ndarray(|x: ndarray::ArrayViewD<f32>| x.len()) =>
            "with_ndarray: a tensor of i64 holds no f32";
        Tensor::arange_step(0.0, 1.0, 0.0) =>
            "arange: steps of 0 do not lead from 0 to 1";
        Tensor::arange_step(0.0, 1.0, -1.0) =>
            "arange: steps of -1 do not lead from 0 to 1";
        Tensor::arange_step(0.0, f64::NAN, 1.0) =>
            "arange: steps of 1 do not lead from 0 to NaN";
        Tensor::randint(3..3, 2) => "randint: no number lies in 3..3";
        tensor([1.5]).bernoulli() => "bernoulli: 1.5 is no probability";
        tensor([f32::NAN]).bernoulli() => "bernoulli: NaN is no probability";
        tensor([-1.0]).multinomial(1) => "multinomial: -1 is no weight";
        tensor([0.0, 0.0]).multinomial(1) => "multinomial: all weights are 0";
        tensor(1.0).multinomial(1) =>
            "multinomial: axis -1 does not exist in a tensor with 0 axes";
        Tensor::exponential(0.0, 1) => "exponential: a rate of 0 is not positive";
        tensor([-1.0]).poisson() => "poisson: a rate cannot be -1";
        tensor([f32::INFINITY]).poisson() => "poisson: a rate cannot be inf";
        tensor(1.0).shuffle() => "shuffle: axis 0 does not exist in a tensor with 0 axes";
        ones([2, 3]).cross_entropy(&tensor([0])) =>
            "cross_entropy: targets of shape [1] for logits of shape [2, 3]";
        ones([2, 3]).cross_entropy(&tensor([0, 3])) =>
            "cross_entropy: target 3 is none of the 3 classes";
        ones([2, 3]).cross_entropy(&ones(2)) =>
            "cross_entropy: targets are the numbers of classes, not f32";
        ones([2, 3]).layer_norm([4], None, None, 1e-5) =>
            "layer_norm: shape [2, 3] does not end with [4]";
        ones([2, 3]).layer_norm([3], Some(&ones(2)), None, 1e-5) =>
            "layer_norm: a weight or bias of shape [2], not [3]";
        ones(3).batch_norm(None, None, 1e-5) => "batch_norm: shape [3] has no channels";
        ones([2, 3]).batch_norm(Some(&ones(2)), None, 1e-5) =>
            "batch_norm: a weight or bias of shape [2] for the channels of shape [2, 3]";
        ones([1, 2, 5]).conv1d(&ones([1, 3, 2]), None, 1, 0) =>
            "conv1d: kernels of shape [1, 3, 2] do not fit sequences of shape [1, 2, 5]";
        ones([1, 2, 5]).conv1d(&ones([1, 2, 6]), None, 1, 0) =>
            "conv1d: a kernel of shape [1, 2, 6] is larger than sequences of shape [1, 2, 5] padded by 0";
        ones([1, 2, 5]).conv1d(&ones([1, 2, 2]), None, 0, 0) =>
            "conv1d: a stride of [0] never ends";
        ones([2, 5]).conv1d(&ones([1, 2, 2]), None, 1, 0) =>
            "conv1d: kernels of shape [1, 2, 2] do not fit sequences of shape [2, 5]";
        ones([1, 2, 5]).conv1d(&ones([1, 2, 0]), None, 1, 0) =>
            "conv1d: kernels of shape [1, 2, 0] see nothing";
        ones([1, 2, 5, 5]).conv2d(&ones([1, 2, 0, 2]), None, [1, 1], [0, 0]) =>
            "conv2d: kernels of shape [1, 2, 0, 2] see nothing";
        ones([1, 2, 5, 5]).conv2d(&ones([1, 3, 2, 2]), None, [1, 1], [0, 0]) =>
            "conv2d: kernels of shape [1, 3, 2, 2] do not fit images of shape [1, 2, 5, 5]";
        ones([1, 2, 5, 5]).conv2d(&ones([1, 2, 6, 2]), None, [1, 1], [0, 0]) =>
            "conv2d: a kernel of shape [1, 2, 6, 2] is larger than images of shape [1, 2, 5, 5] padded by [0, 0]";
        ones([1, 2, 5, 5]).conv2d(&ones([1, 2, 2, 2]), None, [0, 1], [0, 0]) =>
            "conv2d: a stride of [0, 1] never ends";
        ones([1, 2, 5, 5]).conv2d(&ones([1, 2, 2, 2]), Some(&ones(2)), [1, 1], [0, 0]) =>
            "conv2d: a bias of shape [2] for kernels of shape [1, 2, 2, 2]";
        ones([2, 5, 5]).conv2d(&ones([1, 2, 2, 2]), None, [1, 1], [0, 0]) =>
            "conv2d: kernels of shape [1, 2, 2, 2] do not fit images of shape [2, 5, 5]";
        ones([1, 2, 5, 5]).conv2d_transposed(&ones([3, 1, 2, 2]), None, [1, 1], [0, 0]) =>
            "conv2d_transposed: kernels of shape [3, 1, 2, 2] do not fit images of shape [1, 2, 5, 5]";
        ones([1, 2, 5, 5]).conv2d_transposed(&ones([2, 1, 2, 2]), None, [0, 1], [0, 0]) =>
            "conv2d_transposed: a stride of [0, 1] never ends";
        ones([1, 2, 5, 5]).conv2d_transposed(&ones([2, 1, 2, 2]), None, [1, 1], [9, 0]) =>
            "conv2d_transposed: a padding of [9, 0] leaves nothing of images of shape [1, 2, 5, 5]";
        ones([1, 2, 5, 5]).max_pool2d([6, 1], [1, 1], [0, 0]) =>
            "max_pool2d: a window of [6, 1] does not fit on images of shape [1, 2, 5, 5] padded by [0, 0]";
        ones([1, 2, 5, 5]).max_pool2d([0, 1], [1, 1], [0, 0]) =>
            "max_pool2d: a window of [0, 1] does not fit on images of shape [1, 2, 5, 5] padded by [0, 0]";
        ones([1, 2, 5, 5]).max_pool2d([2, 2], [0, 1], [0, 0]) =>
            "max_pool2d: a stride of [0, 1] never ends";
        ones([1, 2, 5, 5]).avg_pool2d([2, 2], [2, 2], [3, 0]) =>
            "avg_pool2d: a padding of [3, 0] is more than half a window of [2, 2]";
        ones([2, 5]).avg_pool2d([2, 2], [2, 2], [0, 0]) =>
            "avg_pool2d: needs float images with four axes, not f32 of shape [2, 5]";
        ones([2, 3, 4]).attention(&ones([2, 5, 3]), &ones([2, 5, 4]), None) =>
            "attention: queries of shape [2, 3, 4], keys of shape [2, 5, 3] and values of shape [2, 5, 4] do not fit";
        ones([2, 3, 4]).attention(&ones([2, 5, 4]), &ones([2, 6, 4]), None) =>
            "attention: queries of shape [2, 3, 4], keys of shape [2, 5, 4] and values of shape [2, 6, 4] do not fit";
        ones(3).backward() =>
            "backward: shape [3] is no scalar; sum it, or give `backward_with` a gradient";
        tensor(1.0).backward() =>
            "backward: this value depends on no tensor with `requires_grad()`";
        ones(3).requires_grad().exp().backward_with(&ones(2)) =>
            "backward: a gradient of shape [2] for a value of shape [3]";
        tensor([1]).requires_grad() =>
            "requires_grad: only floats have gradients, not i64";
    }
}

#[test]
fn layers_losses_and_optimizers_tell_what_they_need() {
    mistakes! {
        Parameter::new(ones(2)).assign(&ones(3)) =>
            "fill_: values of shape [3] do not broadcast into shape [2]";
        init::zeros(&ones(1).expand([3])) =>
            "fill_: an expanded tensor repeats its elements; copy it first";
        ones(1).expand([1_usize << 40, 1 << 40]) =>
            "a tensor of shape [1099511627776, 1099511627776] is larger than any memory";
        ones([1, 2, 3]).attention(&ones([1, 4, 3]), &ones([1, 4, 3]), Some(&ones(4))) =>
            "attention: a mask of shape [4] that holds f32 for scores of shape [1, 2, 4]";
        nn::MultiHeadAttention::lazy(4, 2).attend(&ones([1, 2, 4]), &ones([1, 3, 4]), &ones([1, 3, 4]), Some(&ones(3).gt(0).expand([7, 2, 3]))) =>
            "MultiHeadAttention: a mask of shape [7, 2, 3] that holds bool for scores of shape [1, 2, 3]";
        ones([2, 3]).masked_fill(&ones(2).gt(0), 0.0) =>
            "masked_fill: a mask of shape [2] and shape [2, 3] do not broadcast";
        nn::Linear::new(3, 2).forward(&ones([1, 4])) =>
            "Linear: an input of shape [1, 4] for a layer of 3 inputs";
        nn::Linear::new(3, 2).forward(&tensor(1.0)) =>
            "Linear: a number has no features; the shape must be […, in]";
        nn::Conv1d::new(2, 1, 3).forward(&ones([2, 5])) =>
            "Conv1d: an input of shape [2, 5] is no batch of sequences (n, channels, t)";
        nn::Conv1d::new(2, 1, 3).forward(&ones([1, 3, 5])) =>
            "conv1d: kernels of shape [1, 2, 3] do not fit sequences of shape [1, 3, 5]";
        nn::Conv2d::new(2, 1, 3).forward(&ones([2, 5, 5])) =>
            "Conv2d: an input of shape [2, 5, 5] is no batch of images (n, channels, height, width)";
        nn::Conv2d::new(2, 1, 3).forward(&ones([1, 2, 2, 2])) =>
            "conv2d: a kernel of shape [1, 2, 3, 3] is larger than images of shape [1, 2, 2, 2] padded by [0, 0]";
        nn::ConvTranspose2d::new(2, 1, 3).forward(&ones([2, 5, 5])) =>
            "ConvTranspose2d: an input of shape [2, 5, 5] is no batch of images (n, channels, height, width)";
        nn::MaxPool2d::new(0).forward(&ones([1, 1, 2, 2])) =>
            "max_pool2d: a stride of [0, 0] never ends";
        nn::AvgPool2d::new(3).forward(&ones([1, 1, 2, 2])) =>
            "avg_pool2d: a window of [3, 3] does not fit on images of shape [1, 1, 2, 2] padded by [0, 0]";
        nn::GlobalAvgPool2d.forward(&ones(3)) =>
            "mean_keepdim: axis -2 does not exist in a tensor with 1 axes";
        nn::BatchNorm::new(3).forward(&ones([2, 4])) =>
            "batch_norm: a weight or bias of shape [3] for the channels of shape [2, 4]";
        nn::BatchNorm::new(3).forward(&ones([1, 3])) =>
            "BatchNorm: training needs more than one value for each of 3 features, not shape [1, 3]";
        nn::BatchNorm::new(3).forward(&ones(3)) =>
            "BatchNorm: an input of shape [3] has no features (n, c, …)";
        nn::LayerNorm::new(3).forward(&ones([2, 4])) =>
            "LayerNorm: an input of shape [2, 4] does not end in [3]";
        nn::Embedding::new(3, 2).forward(&tensor([3])) =>
            "embedding: position 3 is outside an axis of length 3 of shape [3, 2]";
        nn::Embedding::new(3, 2).forward(&ones(3)) =>
            "embedding: positions are whole numbers, not f32";
        nn::Dropout::new(1.5) => "Dropout: 1.5 is no probability";
        nn::Flatten.forward(&tensor(1.0)) =>
            "Flatten: the first axis must count the examples";
        nn::Rnn::new(3, 4).forward(&ones([2, 3])) =>
            "Rnn: an input of shape [2, 3] is no batch of sequences (t, n, features)";
        nn::Gru::new(3, 4).forward(&ones([5, 2, 4])) =>
            "Gru: an input of 4 features for a layer of 3";
        nn::Lstm::new(3, 4).forward(&ones([0, 2, 3])) =>
            "Lstm: a sequence must have one time at least";
        nn::Lstm::new(3, 4).forward_from(&ones([5, 2, 3]), &[]) =>
            "Lstm: the state must be 2 of shape [1, 2, 4]";
        nn::Lstm::new(3, 4).stacked(0) => "stacked: there must be at least one layer";
        nn::MultiHeadAttention::lazy(5, 2) =>
            "MultiHeadAttention: 5 features cannot be shared by 2 heads";
        nn::MultiHeadAttention::lazy(4, 2).dropout(2.0) =>
            "MultiHeadAttention: cannot drop a share of 2";
        nn::MultiHeadAttention::lazy(4, 2).attend(&ones([2, 4]), &ones([2, 4]), &ones([2, 4]), None) =>
            "MultiHeadAttention: queries, keys and values of shapes [[2, 4], [2, 4], [2, 4]] do not fit";
        nn::mse_loss(&ones(2), &ones(3)) =>
            "mse_loss: predictions of shape [2] for targets of shape [3]";
        nn::l1_loss(&ones(2), &ones([2, 1])) =>
            "l1_loss: predictions of shape [2] for targets of shape [2, 1]";
        nn::huber_loss(&ones(2), &ones(2), 0.0) =>
            "huber_loss: delta must be positive, not 0";
        nn::huber_loss(&ones(2), &ones(3), 1.0) =>
            "huber_loss: predictions of shape [2] for targets of shape [3]";
        nn::bce_with_logits(&ones(2), &ones(3)) =>
            "bce_with_logits: predictions of shape [2] for targets of shape [3]";
        nn::cross_entropy(&ones([2, 3]), &tensor([0, 5])) =>
            "cross_entropy: target 5 is none of the 3 classes";
        nn::cross_entropy_each(&ones([2, 3]), &tensor([0])) =>
            "cross_entropy_each: i64 targets of shape [1] for logits of shape [2, 3]";
        nn::cross_entropy_each(&ones([2, 3]), &tensor([0, 5])) =>
            "gather: position 5 is outside an axis of length 3 of shape [2, 3]";
        sequential![nn::Relu].layer(1) => "layer: there is no layer 1 among 1";
        Parameter::new(tensor([1])) =>
            "requires_grad: only floats have gradients, not i64";
        Parameter::lazy().tensor() =>
            "this parameter has no shape yet: let the model see an input first, `model.forward(&x)`";
        Parameter::lazy().assign(1.0) =>
            "this parameter has no shape yet: let the model see an input first, `model.forward(&x)`";
        &nn::Relu.parameters()["weight"] => "no parameter is named \"weight\" among []";
        init::xavier_uniform(&ones(3)) =>
            "a parameter of shape [3] has no inputs and outputs";
        Sgd::new([&ones(2)], 0.1) =>
            "parameter 0 of shape [2] is no leaf: make it one with `requires_grad()`";
        Adam::new([&ones(2).requires_grad().exp()], 0.1) =>
            "parameter 0 of shape [2] is no leaf: make it one with `requires_grad()`";
        Schedule::step(0.1, 0, 0.5) =>
            "step: the learning rate cannot change after every 0 steps";
    }
}

fn houses() -> Table {
    Table::parse("rooms,roof\n2,slate\n4,tile\n").expect("this is a table")
}

#[test]
fn data_tells_what_is_missing() {
    mistakes! {
        DataLoader::new(Batch::from(vec![]), 2) =>
            "DataLoader: there must be at least one tensor";
        DataLoader::new([&ones(3)], 0) => "DataLoader: batches of 0 examples never end";
        DataLoader::new([&ones(3), &ones(4)], 2) =>
            "DataLoader: shapes [3] and [4] do not hold the same number of examples";
        DataLoader::new([&tensor(1.0)], 2) =>
            "DataLoader: shapes [] and [] do not hold the same number of examples";
        Batch::from([&ones(3)]).pair() => "pair: this batch has 1 tensors, not two";
        &Batch::from([&ones(3)])[1] => "there is no tensor 1 in a batch of 1";
        Table::new(vec![("a".into(), Column::from(vec![1.0])), ("b".into(), Column::from(vec![1.0, 2.0]))]) =>
            "Table: column \"b\" has 2 rows, the first has 1";
        houses().with("b", vec![1.0]) =>
            "Table: column \"b\" has 1 rows, the first has 2";
        houses().column("b") => "no column is named \"b\" among [\"rooms\", \"roof\"]";
        houses().columns(&["b"]) =>
            "no column is named \"b\" among [\"rooms\", \"roof\"]";
        houses().without(&["b"]) =>
            "no column is named \"b\" among [\"rooms\", \"roof\"]";
        houses().rows(&[2]) => "there is no row 2 among 2";
        houses().above(&houses().columns(&["roof"])) =>
            "above: columns [\"rooms\", \"roof\"] and [\"roof\"] differ";
        houses().above(&Table::parse("rooms,roof\nmany,slate\n").unwrap()) =>
            "above: column \"rooms\" is numbers in one table, text in the other";
        houses().to_tensor() =>
            "to_tensor: column \"roof\" holds text; make numbers of it (`one_hot`), or take the columns of numbers (`numeric`)";
    }
}
