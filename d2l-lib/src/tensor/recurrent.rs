//! A recurrent layer over whole sequences, as one operation.

use super::Tensor;
use crate::{
    autograd::record,
    device::Buffer,
    dtype::with_float,
    ops::{
        cuda::{self, Trace},
        recurrent::{Kind, Operands, Sequence},
    },
    shape::Shape,
};

/// Which way through the sequences, and what is wanted of it.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) kind: Kind,
    /// From the last time to the first.
    pub(crate) reversed: bool,
    /// Whether the last cell of an LSTM stands behind the hidden states.
    pub(crate) with_cell: bool,
}

/// All layers at once, where a GPU has a library that makes them: the outputs of the last,
/// `(t, n, features) → (t, n, ways · hiddens)`, and the last states if they are wanted. Each cell
/// has weights as in [`recurrent`]; `state` is the hidden state `(cells, n, hiddens)`, and of an
/// LSTM the cell.
#[track_caller]
pub(crate) fn recurrent_at_once(
    kind: Kind,
    ways: usize,
    x: &Tensor,
    cells: &[[&Tensor; 4]],
    state: &[Tensor],
    with_state: bool,
) -> Option<(Tensor, Vec<Tensor>)> {
    crate::interrupt::check();
    cuda::recur_by_library(op(kind), kind, ways, x, cells, state, with_state)
}

/// The hidden states of all times, `(t, n, features) → (t, n, hiddens)`.
///
/// `weights` are those of the input `(gates · hiddens, features)` and of the hidden state
/// `(gates · hiddens, hiddens)`, then their biases; `state` is the hidden state `(n, hiddens)`,
/// and of an LSTM the cell. The caller has checked the shapes; there is at least one time.
#[track_caller]
pub(crate) fn recurrent(
    pass: Pass,
    x: &Tensor,
    weights: [&Tensor; 4],
    state: &[Tensor],
) -> Tensor {
    let result = weights[0].dtype();
    let dtype = result.wide();
    let inputs = [x].into_iter().chain(weights).chain(state);
    let inputs: Vec<Tensor> =
        inputs.map(|input| input.to_dtype(dtype).contiguous()).collect();
    let sizes = Sequence {
        kind: pass.kind,
        times: x.shape()[0],
        count: x.shape()[1],
        inputs: x.shape()[2],
        hiddens: weights[1].shape()[1],
        reversed: pass.reversed,
    };
    let (t, n, h) = (sizes.times, sizes.count, sizes.hiddens);
    let shape = Shape::new(&[if pass.with_cell { t + 1 } else { t }, n, h]);
    if shape.numel() == 0 {
        return Tensor::zeros(shape).to_dtype(result).to_device(x.device());
    }
    crate::interrupt::check();
    if let Some((hidden, trace)) = cuda::recur(&sizes, &inputs) {
        let out = on_gpu(pass, sizes, inputs, hidden, trace);
        return out.rounded_to(op(pass.kind), result);
    }
    with_float!(dtype, T => {
        let mut out = Buffer::<T>::new(shape.numel());
        let mut trace = sizes.trace::<T>();
        {
            let read: Vec<_> = inputs.iter().map(|input| input.storage.read::<T>()).collect();
            let operands = operands(&inputs, &read);
            sizes.forward::<T>(&operands, &mut trace, &mut out[..t * n * h]);
        }
        if pass.with_cell {
            let last = if pass.reversed { 0 } else { t - 1 };
            out[t * n * h..].copy_from_slice(&trace.cells[last * n * h..][..n * h]);
        }
        let out = Tensor::of_buffer(out, shape);
        let all: Vec<&Tensor> = inputs.iter().collect();
        let out = record(op(pass.kind), out, &all, |tape, out| {
            let (kept, out) = (inputs.iter().map(Tensor::saved).collect::<Vec<_>>(), out.saved());
            tape.joint(&all, move |g, needs| {
                let g = g.contiguous();
                let mut state = [Buffer::<T>::new(n * h), Buffer::<T>::new(n * h)];
                state[1].fill(T::default());
                {
                    let read: Vec<_> = kept.iter().map(|input| input.storage.read::<T>()).collect();
                    let (out, values) = (out.storage.read::<T>(), g.storage.read::<T>());
                    let values = &values[g.layout.offset..];
                    if pass.with_cell {
                        state[1].copy_from_slice(&values[t * n * h..][..n * h]);
                    }
                    let operands = operands(&kept, &read);
                    sizes.backward::<T>(&operands, &out, values, &mut trace, &mut state);
                }
                let rows = sizes.kind.gates() * h;
                let home = |buffer, shape: &[usize]| {
                    Tensor::of_buffer::<T>(buffer, Shape::new(shape)).to_device(g.device())
                };
                let gates = home(trace.gates, &[t, n, rows]);
                let kept_share = (pass.kind == Kind::Gru).then(|| home(trace.kept, &[t, n, h]));
                let state = state.map(|state| home(state, &[n, h]));
                gradients(&sizes, &kept, &out, &gates, kept_share.as_ref(), state, needs)
            });
        });
        out.rounded_to(op(pass.kind), result)
    })
}

/// [`recurrent`] after the pass of a GPU, which left the `hidden` states and its `trace`.
#[track_caller]
fn on_gpu(
    pass: Pass,
    sizes: Sequence,
    inputs: Vec<Tensor>,
    hidden: Tensor,
    trace: Trace,
) -> Tensor {
    let t = sizes.times;
    let last = if pass.reversed { 0 } else { t - 1 };
    let out = match pass.with_cell {
        true => Tensor::cat(&[&hidden, &trace.cells.narrow(0, last, 1)], 0),
        false => hidden,
    };
    let all: Vec<&Tensor> = inputs.iter().collect();
    record(op(pass.kind), out, &all, |tape, out| {
        let (kept, out) =
            (inputs.iter().map(Tensor::saved).collect::<Vec<_>>(), out.saved());
        tape.joint(&all, move |g, needs| {
            let g = g.contiguous();
            let cell_flow = match pass.with_cell {
                true => g.i(t).copy(),
                false => kept[5].zeros_like(),
            };
            let flowing = cuda::recur_back(&sizes, &kept, &out, &g, &trace, &cell_flow);
            let new = (pass.kind == Kind::Gru).then_some(&trace.kept);
            let state = [flowing, cell_flow];
            gradients(&sizes, &kept, &out, &trace.gates, new, state, needs)
        });
    })
}

fn op(kind: Kind) -> &'static str {
    match kind {
        Kind::Rnn => "rnn",
        Kind::Gru => "gru",
        Kind::Lstm => "lstm",
    }
}

fn operands<'a, T: crate::Element>(
    inputs: &[Tensor],
    read: &'a [crate::device::Elements<T>],
) -> Operands<'a, T> {
    let of = |i: usize| match inputs.get(i) {
        Some(input) => &read[i][input.layout.offset..][..input.numel()],
        None => &[],
    };
    Operands {
        x: of(0),
        weight_input: of(1),
        weight_hidden: of(2),
        bias_input: of(3),
        bias_hidden: of(4),
        hidden: of(5),
        cell: of(6),
    }
}

/// The gradients of all inputs from those of the gates, `(t, n, gates · hiddens)`; a GRU's
/// new gate has one of its own, `new`, towards the hidden state.
#[track_caller]
fn gradients(
    sizes: &Sequence,
    inputs: &[Tensor],
    out: &Tensor,
    gates: &Tensor,
    new: Option<&Tensor>,
    state: [Tensor; 2],
    needs: &[bool],
) -> Vec<Option<Tensor>> {
    let (t, n, h) = (sizes.times, sizes.count, sizes.hiddens);
    let rows = sizes.kind.gates() * h;
    let x = inputs[0].reshape([t * n, sizes.inputs]);
    let flat = gates.reshape([t * n, rows]);
    // Products of the gates' gradients with the states that the gates saw, which are those of
    // the step before; the first step saw the state from outside.
    let hidden_weight = |gates: &Tensor| {
        let rows = gates.len_of(-1);
        let (later, earlier, first) =
            if sizes.reversed { (0, 1, t - 1) } else { (1, 0, 0) };
        let part = |x: &Tensor, from: usize| {
            x.narrow(0, from, t - 1).reshape([(t - 1) * n, x.len_of(-1)])
        };
        let outside = gates.i(first).reshape([n, rows]).t().mm(&inputs[5]);
        if t == 1 {
            return outside;
        }
        let sum = part(gates, later).t().mm(&part(&out.narrow(0, 0, t), earlier));
        sum.add_(&outside);
        sum
    };
    let of = |i: usize, make: &dyn Fn() -> Tensor| needs[i].then(make);
    let bias = |gates: &Tensor| gates.sum_axis([0, 1]);
    let [hidden, cell] = state;
    let mut all = vec![
        of(0, &|| flat.mm(&inputs[1]).reshape([t, n, sizes.inputs])),
        of(1, &|| flat.t().mm(&x)),
        of(2, &|| match new {
            None => hidden_weight(gates),
            Some(new) => Tensor::cat(
                &[&hidden_weight(&gates.narrow(-1, 0, 2 * h)), &hidden_weight(new)],
                0,
            ),
        }),
        of(3, &|| bias(gates)),
        of(4, &|| match new {
            None => bias(gates),
            Some(new) => {
                Tensor::cat(&[&bias(&gates.narrow(-1, 0, 2 * h)), &bias(new)], 0)
            }
        }),
        needs[5].then_some(hidden),
    ];
    if inputs.len() > 6 {
        all.push(needs[6].then_some(cell));
    }
    all
}
