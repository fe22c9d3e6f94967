//! Recurrent layers over whole sequences where no library makes them: products of matrices, and
//! one pass over the states of each time.

use super::{done, grid, place, zip, zip_in_place};
use crate::{
    device::cuda::{Arguments, Gpu, Kernel, RECURRENT},
    dtype::DType,
    ops::recurrent::{Kind, Sequence},
    shape::Shape,
    tensor::Tensor,
};

/// What a pass leaves for the way back, `(times, count, …)` each; as in `ops::recurrent`.
pub(crate) struct Trace {
    pub(crate) gates: Tensor,
    /// Of a GRU the hidden state's share of the new gate, later its gradient.
    pub(crate) kept: Tensor,
    pub(crate) cells: Tensor,
}

/// The layer on its GPU.
struct Layer<'a> {
    gpu: &'static Gpu,
    sizes: &'a Sequence,
    dtype: DType,
}

/// Where part `i` of `x`, which lies in storage of its own, begins.
fn part(x: &Tensor, i: usize, size: usize) -> u64 {
    let array = x.storage.on_gpu().expect("it was made on the GPU");
    array.address_of(x.layout.offset + i * size)
}

impl Layer<'_> {
    fn rows(&self) -> usize {
        self.sizes.kind.gates() * self.sizes.hiddens
    }

    /// Where in the batch, in memory, step `s` of the recurrence is.
    fn time(&self, s: usize) -> usize {
        if self.sizes.reversed { self.sizes.times - 1 - s } else { s }
    }

    fn states(&self) -> usize {
        self.sizes.count * self.sizes.hiddens
    }

    /// The state before step `s`, of which `all` has those of all times.
    fn before(&self, s: usize, first: &Tensor, all: &Tensor) -> Tensor {
        match s.checked_sub(1) {
            None => first.detach(),
            Some(s) => all.with_layout(all.layout.select(0, self.time(s))),
        }
    }

    #[track_caller]
    fn launch(&self, kernel: &'static str, places: &[u64]) {
        let (count, h) = (self.sizes.count as i64, self.sizes.hiddens as i64);
        let arguments = Arguments::new().with(&count).with(&h);
        let arguments = places.iter().fold(arguments, |all, place| all.with(place));
        let grid = grid(self.gpu, self.states());
        // SAFETY: these are the arguments of the kernels in `recurrent.cu`; all places have the
        // states or the gates of one time.
        done(unsafe {
            self.gpu.launch(RECURRENT, Kernel::of(kernel, self.dtype), grid, arguments)
        });
    }

    #[track_caller]
    fn room(&self, shape: &[usize]) -> Tensor {
        let shape = Shape::new(shape);
        let array = done(self.gpu.array("recurrent", self.dtype, shape.numel()));
        Tensor::of_array(array, shape)
    }
}

/// The hidden states of all times, and what the way back needs. The `inputs` are the sequences,
/// the weights of the input and of the hidden state, their biases, the hidden state, and of an
/// LSTM the cell; all row after row.
#[track_caller]
pub(crate) fn recur(sizes: &Sequence, inputs: &[Tensor]) -> Option<(Tensor, Trace)> {
    let gpu = place("recurrent", &inputs.iter().collect::<Vec<_>>())?;
    let dtype = inputs[0].dtype();
    if !matches!(dtype, DType::F32 | DType::F64) {
        return None;
    }
    let layer = Layer { gpu, sizes, dtype };
    let Sequence { kind, times: t, count: n, inputs: features, hiddens: h, .. } = *sizes;
    let (rows, states) = (layer.rows(), layer.states());
    let [x, weight_input, weight_hidden, bias_input, bias_hidden, hidden] =
        std::array::from_fn(|i| inputs[i].detach());
    // The biases of both shares, where they are simply added.
    let bias = bias_input.copy();
    let added = if kind == Kind::Gru { 2 * h } else { rows };
    bias.narrow(0, 0, added).add_(bias_hidden.narrow(0, 0, added));
    let gates = x.reshape([t * n, features]).linear(&weight_input, Some(&bias));
    let gates = gates.reshape([t, n, rows]);
    let is_lstm = kind == Kind::Lstm;
    let out = layer.room(&[t, n, h]);
    let kept = layer.room(&[if kind == Kind::Rnn { 0 } else { t }, n, h]);
    let cells = layer.room(&[if is_lstm { t } else { 0 }, n, h]);
    let back = weight_hidden.t();
    for s in 0..t {
        let at = layer.time(s);
        let before = layer.before(s, &hidden, &out);
        let share = before.matmul(&back);
        if kind != Kind::Gru {
            zip_in_place("add", &gates.i(at), &share);
        }
        let (gate, own) = (part(&gates, at, n * rows), part(&out, at, states));
        match kind {
            Kind::Rnn => out.i(at).copy_(&gates.i(at).tanh()),
            Kind::Gru => layer.launch(
                "gru",
                &[
                    gate,
                    part(&share, 0, 0),
                    part(&bias_hidden.narrow(0, added, h), 0, 0),
                    part(&before, 0, 0),
                    part(&kept, at, states),
                    own,
                ],
            ),
            Kind::Lstm => {
                let cell_before = layer.before(s, &inputs[6], &cells);
                let cell = part(&cells, at, states);
                let places =
                    [gate, part(&cell_before, 0, 0), cell, part(&kept, at, states), own];
                layer.launch("lstm", &places);
            }
        }
    }
    Some((out, Trace { gates, kept, cells }))
}

/// From the gradient `g` of all hidden states, and `cell_flow` of the last cell, to those of the
/// gates, which take the trace's place, and of the first hidden state and cell.
#[track_caller]
pub(crate) fn recur_back(
    sizes: &Sequence,
    inputs: &[Tensor],
    out: &Tensor,
    g: &Tensor,
    trace: &Trace,
    cell_flow: &Tensor,
) -> Tensor {
    let gpu = place("recurrent", &[g]).expect("the layer is on a GPU");
    let layer = Layer { gpu, sizes, dtype: g.dtype() };
    let Sequence { kind, times: t, count: n, hiddens: h, .. } = *sizes;
    let (rows, states) = (layer.rows(), layer.states());
    let direct = if kind == Kind::Gru { 2 * h } else { rows };
    let weight = inputs[2].detach();
    let mut flowing = layer.room(&[n, h]);
    flowing.fill_(0.0);
    for s in (0..t).rev() {
        let at = layer.time(s);
        zip_in_place("add", &flowing, &g.i(at));
        let gates = trace.gates.i(at);
        let gate = part(&trace.gates, at, n * rows);
        let before = layer.before(s, &inputs[5], out);
        match kind {
            Kind::Rnn => {
                let shape = flowing.layout.shape;
                let own = zip("tanh_back", &out.i(at), &flowing, shape, layer.dtype);
                gates.copy_(&own.expect("on the layer's GPU"));
            }
            Kind::Gru => {
                let kept = part(&trace.kept, at, states);
                let places = [gate, part(&before, 0, 0), kept, part(&flowing, 0, 0)];
                layer.launch("gru_back", &places);
            }
            Kind::Lstm => {
                let cell_before = layer.before(s, &inputs[6], &trace.cells);
                layer.launch(
                    "lstm_back",
                    &[
                        gate,
                        part(&cell_before, 0, 0),
                        part(&trace.kept, at, states),
                        part(&flowing, 0, 0),
                        part(cell_flow, 0, 0),
                    ],
                );
            }
        }
        let through = gates.narrow(1, 0, direct).matmul(&weight.narrow(0, 0, direct));
        if kind == Kind::Gru {
            // Through the gates, and beside them.
            let new = trace.kept.i(at).matmul(&weight.narrow(0, direct, h));
            zip_in_place("add", &flowing, &through);
            zip_in_place("add", &flowing, &new);
        } else {
            flowing = through;
        }
    }
    flowing
}
