//! Recurrent layers over whole sequences, forward and back.
//!
//! Sequences do not meet, so a thread takes a block of them through all times, with no other
//! thread to wait for and the states in its cache. What each time makes of its gates is one
//! pass over the block's rows. On the way back the gates give place to their gradients, from
//! which those of all weights are products over all times at once.

use super::{
    float::Float,
    matmul::{self, Factor, Matrix, Onto},
    packed::Packed,
    vector::vectorised,
};
use crate::device::{Buffer, threads};

/// What a recurrent layer makes of its gates; `σ` is the sigmoid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// `h ← tanh(gate)`.
    Rnn,
    /// Gates reset, update, new; the new one sees the hidden state through the reset gate.
    Gru,
    /// Gates input, forget, new, output; the cell is a second state.
    Lstm,
}

impl Kind {
    /// How many gates there are.
    pub(crate) fn gates(self) -> usize {
        match self {
            Kind::Rnn => 1,
            Kind::Gru => 3,
            Kind::Lstm => 4,
        }
    }
}

/// The sizes of a pass: times, sequences, features of the input and of the state.
#[derive(Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) kind: Kind,
    pub(crate) times: usize,
    pub(crate) count: usize,
    pub(crate) inputs: usize,
    pub(crate) hiddens: usize,
    /// Whether the last time comes first.
    pub(crate) reversed: bool,
}

/// What a pass reads: everything row after row, weights `(gates · hiddens, …)`.
pub(crate) struct Operands<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) weight_input: &'a [T],
    pub(crate) weight_hidden: &'a [T],
    pub(crate) bias_input: &'a [T],
    pub(crate) bias_hidden: &'a [T],
    pub(crate) hidden: &'a [T],
    /// Of an LSTM alone; else empty.
    pub(crate) cell: &'a [T],
}

/// What a pass leaves for the way back, `(times, count, …)` each.
pub(crate) struct Trace<T> {
    /// The gates, later their gradients.
    pub(crate) gates: Buffer<T>,
    /// Of an LSTM the cells' tanh; of a GRU the hidden state's share of the new gate, later
    /// its gradient; else empty.
    pub(crate) kept: Buffer<T>,
    /// The cells of an LSTM; else empty.
    pub(crate) cells: Buffer<T>,
}

/// With weights of at most this many elements a block multiplies its inputs on the way, so
/// that the gates stay in the cache; larger ones are better multiplied by all inputs at once.
const WEIGHTS: usize = 64 * 1024;

/// Sequences that a thread takes through all times at once.
const BLOCK: usize = 60;

impl Sequence {
    fn rows(&self) -> usize {
        self.kind.gates() * self.hiddens
    }

    /// Where in the batch, in memory, step `s` of the recurrence is.
    fn time(&self, s: usize) -> usize {
        if self.reversed { self.times - 1 - s } else { s }
    }

    fn is_small(&self) -> bool {
        self.rows() * (self.inputs + self.hiddens) <= WEIGHTS
    }

    /// Sequences of one block. Rows do not depend on each other, so neither do results on
    /// this number.
    fn block(&self) -> usize {
        let share = self.count.div_ceil(threads::num_threads());
        if self.is_small() { share.min(BLOCK) } else { share }.max(1)
    }

    pub(crate) fn trace<T: Float>(&self) -> Trace<T> {
        let states = self.times * self.count * self.hiddens;
        let (kept, cells) = match self.kind {
            Kind::Rnn => (0, 0),
            Kind::Gru => (states, 0),
            Kind::Lstm => (states, states),
        };
        Trace {
            gates: Buffer::new(states * self.kind.gates()),
            kept: Buffer::new(kept),
            cells: Buffer::new(cells),
        }
    }

    /// Writes the hidden states of all times to `out`, and fills the trace.
    pub(crate) fn forward<T: Float + Factor>(
        &self,
        o: &Operands<T>,
        trace: &mut Trace<T>,
        out: &mut [T],
    ) {
        let Sequence { kind, times, count, inputs, hiddens: h, .. } = *self;
        let rows = self.rows();
        // The biases of both shares, where they are simply added.
        let mut bias = o.bias_input.to_vec();
        let added = if kind == Kind::Gru { 2 * h } else { rows };
        bias.iter_mut()
            .zip(&o.bias_hidden[..added])
            .for_each(|(sum, &more)| *sum += more);
        let new_bias = &o.bias_hidden[added..];

        let weight_hidden = Packed::new(Matrix::rows(o.weight_hidden, [rows, h]).t());
        let weight_input = Matrix::rows(o.weight_input, [rows, inputs]).t();
        let packed_input = self.is_small().then(|| Packed::new(weight_input));
        if packed_input.is_none() {
            let x = Matrix::rows(o.x, [times * count, inputs]);
            matmul::shared_product(x, weight_input, Onto::Row(&bias), &mut trace.gates);
        }
        let gates = threads::Shared::new(&mut trace.gates);
        let kept = threads::Shared::new(&mut trace.kept);
        let cells = threads::Shared::new(&mut trace.cells);
        let out = threads::Shared::new(out);
        let block = self.block();
        threads::run(count.div_ceil(block), &|b| {
            let from = b * block;
            let m = block.min(count - from);
            let mut room = Buffer::new(if kind == Kind::Gru { m * rows } else { 0 });
            for s in 0..times {
                let at = self.time(s) * count + from;
                // SAFETY: these parts are rows `from..from + m` of this time, which no other
                // block has.
                let (gates, hidden) =
                    unsafe { (gates.part(at * rows, m * rows), out.part(at * h, m * h)) };
                if let Some(weight) = &packed_input {
                    let x = &o.x[at * inputs..][..m * inputs];
                    weight.product(Matrix::rows(x, [m, inputs]), Onto::Row(&bias), gates);
                }
                // Where the step before is; of the first step, nowhere.
                let last = s.checked_sub(1).map(|s| self.time(s) * count + from);
                let before: &[T] = match last {
                    None => &o.hidden[from * h..][..m * h],
                    // SAFETY: the same rows at another time, which nobody writes any more.
                    Some(last) => unsafe { out.part(last * h, m * h) },
                };
                let state = Matrix::rows(before, [m, h]);
                match kind {
                    Kind::Rnn => {
                        weight_hidden.product(state, Onto::Itself, gates);
                        rnn_forward(gates, hidden);
                    }
                    Kind::Gru => {
                        weight_hidden.product(state, Onto::Nothing, &mut room);
                        // SAFETY: as for `gates`.
                        let kept = unsafe { kept.part(at * h, m * h) };
                        gru_forward(h, gates, &room, new_bias, before, kept, hidden);
                    }
                    Kind::Lstm => {
                        weight_hidden.product(state, Onto::Itself, gates);
                        // SAFETY: as for `gates` and `before`.
                        let (kept, cell) = unsafe {
                            (kept.part(at * h, m * h), cells.part(at * h, m * h))
                        };
                        let cell_before: &[T] = match last {
                            None => &o.cell[from * h..][..m * h],
                            // SAFETY: as for `before`.
                            Some(last) => unsafe { cells.part(last * h, m * h) },
                        };
                        lstm_forward(h, gates, cell_before, cell, kept, hidden);
                    }
                }
            }
        });
    }

    /// From the gradient `g` of all hidden states to that of all gates, which takes the
    /// trace's place, and of the first state: `state` holds the gradient of the last cell of
    /// an LSTM at first, and becomes that of the first hidden state and cell.
    pub(crate) fn backward<T: Float + Factor>(
        &self,
        o: &Operands<T>,
        out: &[T],
        g: &[T],
        trace: &mut Trace<T>,
        state: &mut [Buffer<T>; 2],
    ) {
        let Sequence { kind, times, count, hiddens: h, .. } = *self;
        let rows = self.rows();
        // A GRU's new gate has a gradient of its own towards the hidden state.
        let direct = if kind == Kind::Gru { 2 * h } else { rows };
        let [upper, lower] = [0..direct, direct..rows].map(|range| {
            let weight = &o.weight_hidden[range.start * h..range.end * h];
            Packed::new(Matrix::rows(weight, [range.len(), h]))
        });
        let gates = threads::Shared::new(&mut trace.gates);
        let kept = threads::Shared::new(&mut trace.kept);
        let cells = &trace.cells;
        let [first_hidden, first_cell] = state;
        let (first_hidden, first_cell) =
            (threads::Shared::new(first_hidden), threads::Shared::new(first_cell));
        let block = self.block();
        threads::run(count.div_ceil(block), &|b| {
            let from = b * block;
            let m = block.min(count - from);
            // SAFETY: rows `from..from + m`, which no other block has.
            let flowing = unsafe { first_hidden.part(from * h, m * h) };
            flowing.fill(T::default());
            let is_lstm = kind == Kind::Lstm;
            // SAFETY: as above.
            let cell_flow =
                unsafe { first_cell.part(from * h, if is_lstm { m * h } else { 0 }) };
            for s in (0..times).rev() {
                let at = self.time(s) * count + from;
                let last = s.checked_sub(1).map(|s| self.time(s) * count + from);
                let before = match last {
                    None => &o.hidden[from * h..][..m * h],
                    Some(last) => &out[last * h..][..m * h],
                };
                add(flowing, &g[at * h..][..m * h]);
                // SAFETY: as above, of one time.
                let gates = unsafe { gates.part(at * rows, m * rows) };
                match kind {
                    Kind::Rnn => {
                        rnn_backward(gates, &out[at * h..][..m * h], flowing);
                    }
                    Kind::Gru => {
                        // SAFETY: as above.
                        let kept = unsafe { kept.part(at * h, m * h) };
                        gru_backward(h, gates, before, kept, flowing);
                        lower.product(Matrix::rows(kept, [m, h]), Onto::Itself, flowing);
                    }
                    Kind::Lstm => {
                        let cell_before = match last {
                            None => &o.cell[from * h..][..m * h],
                            Some(last) => &cells[last * h..][..m * h],
                        };
                        // SAFETY: as above.
                        let tanh = unsafe { kept.part(at * h, m * h) };
                        lstm_backward(h, gates, cell_before, tanh, flowing, cell_flow);
                    }
                }
                let gradients = Matrix::new(gates, [m, direct], [rows, 1]);
                // Through the gates all of it flows, but in a GRU some beside them.
                let onto = if kind == Kind::Gru { Onto::Itself } else { Onto::Nothing };
                upper.product(gradients, onto, flowing);
            }
        });
    }
}

vectorised! {
    fn add[T: Float][T](sum: &mut [T], more: &[T]) {
        for (sum, &more) in sum.iter_mut().zip(more) {
            *sum += more;
        }
    }
}

/// Elements that are worked on at once.
const LANES: usize = 16;

/// Elements `at..` of a row, up to `LANES` of them; zeros fill up the rest.
#[inline(always)]
fn load<T: Float>(row: &[T], at: usize) -> [T; LANES] {
    match row[at..].first_chunk() {
        Some(lanes) => *lanes,
        None => {
            let mut lanes = [T::default(); LANES];
            lanes[..row.len() - at].copy_from_slice(&row[at..]);
            lanes
        }
    }
}

#[inline(always)]
fn store<T: Float>(row: &mut [T], at: usize, lanes: [T; LANES]) {
    match row[at..].first_chunk_mut() {
        Some(to) => *to = lanes,
        None => {
            let length = row.len() - at;
            row[at..].copy_from_slice(&lanes[..length]);
        }
    }
}

#[inline(always)]
fn each<T: Float>(f: impl Fn(usize) -> T) -> [T; LANES] {
    let mut out = [T::default(); LANES];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

vectorised! {
    fn rnn_forward[T: Float][T](gates: &[T], hidden: &mut [T]) {
        for (hidden, &gate) in hidden.iter_mut().zip(gates) {
            *hidden = gate.tanh();
        }
    }
}

vectorised! {
    fn rnn_backward[T: Float][T](gates: &mut [T], hidden: &[T], flowing: &[T]) {
        let one = T::of(1.0);
        for ((gate, &hidden), &g) in gates.iter_mut().zip(hidden).zip(flowing) {
            *gate = g.times(one.minus(hidden.times(hidden)));
        }
    }
}

vectorised! {
    fn lstm_forward[T: Float][T](
        h: usize, gates: &mut [T], before: &[T], cell: &mut [T], tanh: &mut [T], hidden: &mut [T],
    ) {
        let states = before.chunks_exact(h).zip(cell.chunks_exact_mut(h));
        let results = tanh.chunks_exact_mut(h).zip(hidden.chunks_exact_mut(h));
        for ((gates, (before, cell)), (tanh, hidden)) in
            gates.chunks_exact_mut(4 * h).zip(states).zip(results)
        {
            let (input, rest) = gates.split_at_mut(h);
            let (forget, rest) = rest.split_at_mut(h);
            let (new, output) = rest.split_at_mut(h);
            for gate in [&mut *input, &mut *forget, &mut *output] {
                gate.iter_mut().for_each(|gate| *gate = gate.sigmoid());
            }
            new.iter_mut().for_each(|gate| *gate = gate.tanh());
            for at in (0..h).step_by(LANES) {
                let (i, f, n) = (load(input, at), load(forget, at), load(new, at));
                let before = load(before, at);
                store(cell, at, each(|k| f[k].times(before[k]).plus(i[k].times(n[k]))));
            }
            for (tanh, cell) in tanh.iter_mut().zip(&*cell) {
                *tanh = cell.tanh();
            }
            for at in (0..h).step_by(LANES) {
                let (o, t) = (load(output, at), load(tanh, at));
                store(hidden, at, each(|k| o[k].times(t[k])));
            }
        }
    }
}

vectorised! {
    fn lstm_backward[T: Float][T](
        h: usize, gates: &mut [T], before: &[T], tanh: &[T], flowing: &[T], cell_flow: &mut [T],
    ) {
        let one = T::of(1.0);
        // The derivative of the sigmoid, by its value.
        let slope = |y: T| y.times(one.minus(y));
        let states = before.chunks_exact(h).zip(tanh.chunks_exact(h));
        let flows = flowing.chunks_exact(h).zip(cell_flow.chunks_exact_mut(h));
        for ((gates, (before, tanh)), (flowing, cell_flow)) in
            gates.chunks_exact_mut(4 * h).zip(states).zip(flows)
        {
            let (input, rest) = gates.split_at_mut(h);
            let (forget, rest) = rest.split_at_mut(h);
            let (new, output) = rest.split_at_mut(h);
            for at in (0..h).step_by(LANES) {
                let (i, f) = (load(input, at), load(forget, at));
                let (n, o) = (load(new, at), load(output, at));
                let (before, t) = (load(before, at), load(tanh, at));
                let (g, flow) = (load(flowing, at), load(cell_flow, at));
                let flow: [T; LANES] = each(|k| {
                    flow[k].plus(g[k].times(o[k]).times(one.minus(t[k].times(t[k]))))
                });
                store(input, at, each(|k| flow[k].times(n[k]).times(slope(i[k]))));
                store(forget, at, each(|k| flow[k].times(before[k]).times(slope(f[k]))));
                store(new, at, each(|k| flow[k].times(i[k]).times(one.minus(n[k].times(n[k])))));
                store(output, at, each(|k| g[k].times(t[k]).times(slope(o[k]))));
                store(cell_flow, at, each(|k| flow[k].times(f[k])));
            }
        }
    }
}

vectorised! {
    /// `share` is the hidden state's share of all gates; its part of the new gate goes, with
    /// its bias, to `kept`.
    fn gru_forward[T: Float][T](
        h: usize, gates: &mut [T], share: &[T], bias: &[T], before: &[T], kept: &mut [T],
        hidden: &mut [T],
    ) {
        let shares = share.chunks_exact(3 * h).zip(before.chunks_exact(h));
        let results = kept.chunks_exact_mut(h).zip(hidden.chunks_exact_mut(h));
        for ((gates, (share, before)), (kept, hidden)) in
            gates.chunks_exact_mut(3 * h).zip(shares).zip(results)
        {
            let (both, new) = gates.split_at_mut(2 * h);
            for (gate, &share) in both.iter_mut().zip(share) {
                *gate = gate.plus(share).sigmoid();
            }
            let (reset, update) = both.split_at(h);
            for at in (0..h).step_by(LANES) {
                let (share, bias) = (load(&share[2 * h..], at), load(bias, at));
                let sum: [T; LANES] = each(|k| share[k].plus(bias[k]));
                let (r, n) = (load(reset, at), load(new, at));
                store(kept, at, sum);
                store(new, at, each(|k| n[k].plus(r[k].times(sum[k]))));
            }
            new.iter_mut().for_each(|gate| *gate = gate.tanh());
            for at in (0..h).step_by(LANES) {
                let (z, n, before) = (load(update, at), load(new, at), load(before, at));
                store(hidden, at, each(|k| n[k].plus(z[k].times(before[k].minus(n[k])))));
            }
        }
    }
}

vectorised! {
    /// `flowing` becomes the part of the gradient that reaches the state of before through
    /// the update gate; `kept` the gradient of what it held.
    fn gru_backward[T: Float][T](
        h: usize, gates: &mut [T], before: &[T], kept: &mut [T], flowing: &mut [T],
    ) {
        let one = T::of(1.0);
        let slope = |y: T| y.times(one.minus(y));
        let states = before.chunks_exact(h).zip(kept.chunks_exact_mut(h));
        for ((gates, (before, kept)), flowing) in
            gates.chunks_exact_mut(3 * h).zip(states).zip(flowing.chunks_exact_mut(h))
        {
            let (reset, rest) = gates.split_at_mut(h);
            let (update, new) = rest.split_at_mut(h);
            for at in (0..h).step_by(LANES) {
                let (r, z, n) = (load(reset, at), load(update, at), load(new, at));
                let (before, share) = (load(before, at), load(kept, at));
                let g = load(flowing, at);
                let dn: [T; LANES] = each(|k| {
                    g[k].times(one.minus(z[k])).times(one.minus(n[k].times(n[k])))
                });
                store(reset, at, each(|k| dn[k].times(share[k]).times(slope(r[k]))));
                store(update, at, each(|k| g[k].times(before[k].minus(n[k])).times(slope(z[k]))));
                store(new, at, dn);
                store(kept, at, each(|k| dn[k].times(r[k])));
                store(flowing, at, each(|k| g[k].times(z[k])));
            }
        }
    }
}
