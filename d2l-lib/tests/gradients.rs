//! Every differentiable operation against finite differences, and how graphs live and die.

use d2l::{autograd::check::check_gradients, prelude::*};

#[track_caller]
fn check(f: impl Fn(&[Tensor]) -> Tensor, inputs: &[&Tensor]) {
    if let Err(wrong) = check_gradients(f, inputs) {
        panic!("{wrong}");
    }
}

/// Numbers between −1.7 and 1.7, all different, and away from 0, where some functions have no
/// derivative. Not from the generator, whose order of use the test threads do not fix.
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

/// Outputs and final states of a recurrent layer with the parameters `x[1..]`, and then the
/// first state, one behind the other.
fn recurrent<M: nn::Module>(
    layer: M,
    run: impl Fn(&M, &[Tensor]) -> (Tensor, Vec<Tensor>),
    x: &[Tensor],
) -> Tensor {
    let state = layer.state();
    let count = state.len();
    for ((_, parameter), value) in state.iter().zip(&x[1..]) {
        parameter.get_or_init(|| value.clone());
    }
    let (y, last) = run(&layer, &x[1 + count..]);
    let parts: Vec<Tensor> = [y].iter().chain(&last).map(Tensor::flatten).collect();
    Tensor::cat(&Vec::from_iter(&parts), 0)
}

macro_rules! gradient {
    ($($name:ident: [$($shape:expr),*] $f:expr;)*) => {$(
        #[test]
        fn $name() {
            let mut salt = 0;
            let inputs = [$({ salt += 1; numbers($shape, salt) }),*];
            check($f, &inputs.each_ref());
        }
    )*};
}

gradient! {
    add: [[3, 4], [4]] |x| &x[0] + &x[1];
    sub: [[4], [3, 1]] |x| &x[0] - &x[1];
    mul: [[2, 3, 4], [3, 1]] |x| &x[0] * &x[1];
    div: [[3, 4], [3, 4]] |x| &x[0] / &x[1];
    neg: [[3]] |x| -&x[0];
    numbers_on_the_left: [[3]] |x| (2.0 - &x[0]) * (3.0 / &x[0]) + 2 * &x[0];
    pow_number: [[3]] |x| x[0].pow(3.0) + x[0].pow(2) + x[0].abs().pow(0.3);
    pow_tensor: [[3], [2, 3]] |x| x[0].abs().pow(&x[1]);
    exp: [[3]] |x| x[0].exp();
    ln: [[3]] |x| x[0].abs().ln();
    sqrt: [[3]] |x| x[0].abs().sqrt();
    sin: [[3]] |x| x[0].sin();
    cos: [[3]] |x| x[0].cos();
    tanh: [[3]] |x| x[0].tanh();
    sigmoid: [[3]] |x| x[0].sigmoid();
    relu: [[9]] |x| x[0].relu();
    abs: [[9]] |x| x[0].abs();
    clamp: [[9]] |x| x[0].clamp(-0.5, 0.7);
    floor_and_round: [[9]] |x| x[0].floor() * &x[0] + x[0].round();
    maximum: [[9], [9]] |x| x[0].maximum(&x[1]);
    minimum: [[3, 3], [3]] |x| x[0].minimum(&x[1]);
    where_: [[3, 3], [3]] |x| Tensor::where_(&x[0].gt(0), &x[0], &x[1]);
    attention: [[2, 3, 4], [2, 5, 4], [2, 5, 3]] |x| {
        let seen = Tensor::arange(0..15).reshape([3, 5]).ne(tensor([0, 6, 7, 3, 14]));
        x[0].attention(&x[1], &x[2], Some(&seen))
    };
    attention_in_place_of_heads: [[2, 2, 3, 4], [2, 2, 3, 4]] |x| {
        x[0].attention(&x[1], &x[1], None) * &x[0]
    };
    conv1d: [[2, 3, 6], [4, 3, 3], [4]] |x| x[0].conv1d(&x[1], Some(&x[2]), 2, 1);
    conv2d_transposed: [[2, 3, 3, 4], [3, 2, 3, 2], [2]] |x| {
        x[0].conv2d_transposed(&x[1], Some(&x[2]), [2, 1], [1, 0])
    };
    rnn: [[3, 2, 2], [3, 2], [3, 3], [3], [3], [1, 2, 3]] |x| {
        recurrent(nn::Rnn::lazy(3), |layer, state| layer.forward_from(&x[0], state), x)
    };
    gru_backwards: [[3, 2, 2], [9, 2], [9, 3], [9], [9], [9, 2], [9, 3], [9], [9], [2, 2, 3]] |x| {
        let layer = nn::Gru::lazy(3).bidirectional();
        recurrent(layer, |layer, state| layer.forward_from(&x[0], state), x)
    };
    lstm: [[3, 2, 2], [12, 2], [12, 3], [12], [12], [1, 2, 3], [1, 2, 3]] |x| {
        let layer = nn::Lstm::lazy(3);
        recurrent(layer, |layer, state| layer.forward_from(&x[0], state), x)
    };
    lstm_of_one_time: [[1, 2, 2], [12, 2], [12, 3], [12], [12], [1, 2, 3], [1, 2, 3]] |x| {
        let layer = nn::Lstm::lazy(3);
        recurrent(layer, |layer, state| layer.forward_from(&x[0], state), x)
    };
    sum: [[2, 3]] |x| x[0].sum();
    sum_axes: [[2, 3, 4]] |x| x[0].sum_axis([0, -1]);
    mean_keepdim: [[2, 3]] |x| &x[0] - x[0].mean_keepdim(1);
    max: [[3, 3]] |x| x[0].max_axis(0) + x[0].max();
    min: [[3, 3]] |x| x[0].min_axis(1) + x[0].min();
    var: [[3, 4]] |x| x[0].var_axis(1);
    std: [[3, 4]] |x| x[0].std_axis(0);
    cumsum: [[3, 4]] |x| x[0].cumsum(0) + x[0].cumsum(1);
    norm: [[3, 4]] |x| x[0].norm();
    norm_p: [[5]] |x| x[0].norm_p(1.0) + x[0].norm_p(3.0) + x[0].norm_p(f64::INFINITY);
    dot: [[5], [5]] |x| x[0].dot(&x[1]);
    mv: [[3, 5], [5]] |x| x[0].mv(&x[1]);
    mm: [[3, 5], [2, 5]] |x| x[0].mm(&x[1].t());
    matmul_batched: [[2, 1, 3, 4], [5, 4, 2]] |x| x[0].matmul(&x[1]);
    outer: [[3], [2]] |x| x[0].outer(&x[1]);
    reshape: [[3, 4]] |x| x[0].t().reshape([2, 6]);
    permute: [[2, 3, 4]] |x| x[0].permute([1, 2, 0]);
    squeeze_and_unsqueeze: [[2, 1, 3]] |x| x[0].squeeze(1).unsqueeze(0);
    expand: [[3, 1]] |x| x[0].expand([2, 3, 4]);
    index: [[4, 5]] |x| x[0].i((1.., -2)) * x[0].i((2, 0..3));
    gather: [[4, 5]] |x| x[0].i((tensor([1, 1, 3]), 2..));
    cat: [[2, 3], [1, 3]] |x| Tensor::cat(&[&x[0], &x[1], &x[0]], 0);
    stack: [[2, 3], [2, 3]] |x| Tensor::stack(&[&x[0], &x[1]], -1);
    split: [[5]] |x| { let parts = x[0].split(2, 0); &parts[0] * &parts[1] + parts[2].sum() };
    unbind: [[2, 3]] |x| { let rows = x[0].unbind(0); &rows[0] * &rows[1] };
    copy: [[3]] |x| x[0].copy() * &x[0];
    gelu: [[9]] |x| x[0].gelu();
    erf: [[9]] |x| x[0].erf();
    silu: [[9]] |x| x[0].silu();
    softplus: [[9]] |x| x[0].softplus();
    leaky_relu: [[9]] |x| x[0].leaky_relu(0.1);
    elu: [[9]] |x| x[0].elu();
    gather_repeated: [[3, 4]] |x| x[0].gather(1, &tensor([[0, 3, 0], [1, 1, 1], [2, 0, 3]]));
    scatter_add: [[3, 4], [3, 2]] |x| x[0].scatter_add(1, &tensor([[0, 0], [3, 1], [2, 2]]), &x[1]);
    index_select: [[3, 4]] |x| x[0].index_select(1, &tensor([3, 0, 3]));
    embedding: [[4, 3]] |x| x[0].embedding(&tensor([[1, 1], [3, 0]]));
    masked_fill: [[3, 4]] |x| x[0].masked_fill(&x[0].gt(0.5), 2.0) * &x[0];
    tril_and_triu: [[3, 4]] |x| x[0].tril(-1) + x[0].triu(1) * &x[0];
    sort: [[3, 4]] |x| x[0].sort(1) * x[0].sort(0);
    topk: [[3, 4]] |x| x[0].topk(2, 1).0;
    narrow: [[3, 4]] |x| x[0].narrow(1, 1, 2) * x[0].narrow(1, 0, 2);
    chunk: [[3, 4]] |x| { let parts = x[0].chunk(2, 1); &parts[0] * &parts[1] };
    repeat_and_flip: [[3, 2]] |x| x[0].repeat(2, 1) * x[0].repeat_each(2, 1) * x[0].flip(0).repeat(2, -1);
    transpose: [[2, 3, 4]] |x| x[0].transpose(0, -1).contiguous().flatten() * x[0].flatten();
    solve: [[3, 3], [3, 2]] |x| (&x[0] + 3.0 * tensor_f64([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).solve(&x[1]);
    inverse: [[3, 3]] |x| (&x[0] + 3.0 * tensor_f64([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).inverse();
    einsum: [[2, 3, 4], [4, 5], [2, 5]] |x| Tensor::einsum("bij,jk,bk->ik", &[&x[0], &x[1], &x[2]]);
    linear: [[2, 3, 4], [5, 4], [5]] |x| x[0].linear(&x[1], Some(&x[2]));
    batch_norm: [[4, 2, 3], [2], [2]] |x| x[0].batch_norm(Some(&x[1]), Some(&x[2]), 1e-3).0;
    layer_norm: [[2, 3, 4], [3, 4], [3, 4]] |x| x[0].layer_norm([3, 4], Some(&x[1]), Some(&x[2]), 1e-3);
    softmax: [[3, 4]] |x| x[0].softmax(0) * x[0].log_softmax(1);
    mse_and_l1_loss: [[3, 4], [3, 4]] |x| nn::mse_loss(&x[0], &x[1]) + nn::l1_loss(&x[0], &x[1]);
    huber_loss: [[3, 4], [3, 4]] |x| nn::huber_loss(&x[0], &x[1], 0.7);
    bce_with_logits: [[3, 4], [3, 4]] |x| nn::bce_with_logits(&x[0], &x[1]);
    cross_entropy: [[3, 4]] |x| {
        let classes = tensor([3, 0, 2]);
        nn::cross_entropy(&x[0], &classes) + nn::cross_entropy_each(&x[0], &classes).pow(2).sum()
    };
    max_and_avg_pool2d: [[1, 2, 4, 5]] |x| {
        x[0].max_pool2d([2, 2], [2, 2], [0, 0]) * x[0].avg_pool2d([2, 2], [2, 2], [0, 0])
    };
    conv2d: [[2, 2, 4, 5], [3, 2, 3, 2], [3]] |x| x[0].conv2d(&x[1], Some(&x[2]), [1, 2], [1, 0]);
    rnn_stacked: [[3, 2, 2], [3, 2], [3, 3], [3], [3], [3, 3], [3, 3], [3], [3], [2, 2, 3]] |x| {
        recurrent(nn::Rnn::lazy(3).stacked(2), |layer, state| layer.forward_from(&x[0], state), x)
    };
    to_dtype: [[3]] |x| (x[0].to_dtype(DType::F64) * 2.0).pow(2);
}

#[test]
fn gradients_add_up_until_they_are_zeroed() {
    let x = tensor([1.0, 2.0]).requires_grad();
    (&x * &x).sum().backward();
    x.sum().backward();
    assert_eq!(x.grad().unwrap().to_vec(), [3.0, 5.0]);
    x.zero_grad();
    assert!(x.grad().is_none());
}

#[test]
fn gradients_are_memory_of_their_own() {
    let (x, y) = (tensor([1.0, 2.0]).requires_grad(), tensor([3.0, 4.0]).requires_grad());
    let start = tensor([1.0, 1.0]);
    (&x + &y).backward_with(&start);
    x.grad().unwrap().mul_(5.0);
    assert_eq!(y.grad().unwrap().to_vec(), [1.0, 1.0]);
    assert_eq!(start.to_vec(), [1.0, 1.0]);
    y.zero_grad();
    y.sum().backward();
    y.grad().unwrap().mul_(5.0);
    assert_eq!(y.grad().unwrap().to_vec(), [5.0, 5.0]);
}

#[test]
fn a_value_used_twice_gets_both_gradients() {
    let x = tensor(3.0).requires_grad();
    let y = &x * 2.0;
    (&y * &y + &y).backward();
    assert_eq!(x.grad().unwrap().item(), 26.0);
}

#[test]
fn detached_values_are_constants() {
    let x = Tensor::arange(0.0..4.0).requires_grad();
    let y = &x * &x;
    let u = y.detach();
    assert!(u.same_storage(&y) && u.is_leaf() && !y.is_leaf());
    (u * &x).sum().backward();
    assert_eq!(x.grad().unwrap().to_vec(), [0.0, 1.0, 4.0, 9.0]);
}

#[test]
fn gradients_come_in_the_dtype_of_the_leaf() {
    let x = tensor([1.0, 2.0]).requires_grad();
    (&x * tensor_f64([3.0, 4.0])).sum().backward();
    let grad = x.grad().unwrap();
    assert_eq!((grad.dtype(), grad.to_vec()), (DType::F32, vec![3.0, 4.0]));
}

#[test]
fn a_gradient_uses_the_values_of_before_a_write() {
    let x = tensor([2.0, 3.0]).requires_grad();
    let weights = tensor([10.0, 20.0]);
    let y = (&x * &weights).sum();
    weights.fill_(0.0);
    y.backward();
    assert_eq!(x.grad().unwrap().to_vec(), [10.0, 20.0]);
}

#[test]
fn assigning_operators_keep_the_graph() {
    let x = tensor([1.0, 2.0]).requires_grad();
    let mut total = Tensor::zeros(2);
    for _ in 0..3 {
        total += &x * &x;
    }
    total.sum().backward();
    assert_eq!(x.grad().unwrap().to_vec(), [6.0, 12.0]);
}

#[test]
fn no_grad_is_undone_by_a_panic_too() {
    let x = tensor(1.0).requires_grad();
    let panicked = std::panic::catch_unwind(|| no_grad(|| panic!("on purpose")));
    assert!(panicked.is_err());
    assert!((&x * 2.0).needs_grad());
}

#[test]
fn a_chain_of_100_000_operations_fits_any_stack() {
    let small_stack = std::thread::Builder::new().stack_size(64 * 1024);
    let run = || {
        let x = tensor(1.0).requires_grad();
        let mut y = &x + 0.0;
        for _ in 0..100_000 {
            y += 1.0;
        }
        let never_differentiated = &y + 1.0;
        y.backward();
        drop((y, never_differentiated));
        x.grad().map(|grad| grad.item())
    };
    assert_eq!(small_stack.spawn(run).unwrap().join().unwrap(), Some(1.0));
}

#[test]
fn a_graph_never_differentiated_is_dropped_without_recursion() {
    let run = || {
        let x = tensor(1.0).requires_grad();
        let mut y = &x + 0.0;
        for _ in 0..100_000 {
            y *= 1.0;
        }
        y.item()
    };
    let small_stack = std::thread::Builder::new().stack_size(64 * 1024);
    assert_eq!(small_stack.spawn(run).unwrap().join().unwrap(), 1.0);
}

#[test]
#[should_panic(expected = "backward: shape [3] is no scalar")]
fn only_scalars_start_a_gradient() {
    tensor([1.0, 2.0, 3.0]).requires_grad().exp().backward();
}

#[test]
#[should_panic(expected = "backward: `sum` was differentiated before")]
fn a_graph_is_used_once() {
    let y = tensor([1.0, 2.0]).requires_grad().exp().sum();
    y.backward();
    y.backward();
}

#[test]
#[should_panic(expected = "add_: writes in place are not recorded")]
fn a_parameter_is_written_only_inside_no_grad() {
    tensor([1.0]).requires_grad().add_(1.0);
}

#[test]
#[should_panic(expected = "requires_grad: only floats have gradients, not i64")]
fn integers_have_no_gradient() {
    let _ = tensor([1, 2]).requires_grad();
}
