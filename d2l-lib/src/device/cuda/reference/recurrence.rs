//! Recurrent layers by plain loops, on what lies as cuDNN has it.

use half::{bf16, f16};

use super::{Term, elements, with_term};
use crate::{
    device::cuda::{
        driver::Address,
        recurrence::{Needs, Recurrence, Scene, Way},
    },
    dtype::DType,
    ops::recurrent::Kind,
};

/// How cuDNN 9 has all weights: cell after cell the matrices of all gates, first those for the
/// input and then those for the hidden state, and behind them likewise all biases.
fn place(recurrence: &Recurrence, cell: usize, gate: usize) -> [usize; 2] {
    let (gates, hiddens) = (recurrence.kind.gates(), recurrence.hiddens);
    let rows = gates * hiddens;
    let of_cell = |cell| rows * (recurrence.inputs_of(cell) + hiddens);
    let before = |cell| (0..cell).map(of_cell).sum::<usize>();
    let inputs = recurrence.inputs_of(cell);
    let matrix = match gate.checked_sub(gates) {
        None => gate * hiddens * inputs,
        Some(gate) => rows * inputs + gate * hiddens * hiddens,
    };
    let bias = cell * 2 * rows + gate * hiddens;
    [before(cell) + matrix, before(recurrence.cells()) + bias]
}

/// What is needed for recurrent layers of floats.
pub(in super::super) fn needs(recurrence: &Recurrence) -> Needs {
    let blocks =
        recurrence.blocks(|cell, gate| Ok::<_, ()>(place(recurrence, cell, gate)));
    let cells = recurrence.cells();
    // Behind the last bias of the last gate.
    let weights = place(recurrence, cells - 1, 2 * recurrence.kind.gates() - 1)[1]
        + recurrence.hiddens;
    let trace = if recurrence.trains { cells * Trace::length(recurrence) * 8 } else { 0 };
    Needs { weights, blocks: blocks.expect("all have places"), trace, room: 0 }
}

/// Goes one way; whether it is of floats.
///
/// # Safety
/// All that the scene names must be there, and large enough.
pub(in super::super) unsafe fn recur(recurrence: &Recurrence, at: &Scene) -> bool {
    with_term!(recurrence.dtype, T => {
        // SAFETY: as the caller says.
        unsafe { Layers { recurrence, at }.recur::<T>() }
    });
    true
}

/// What a cell leaves for the way back: `(times, count, …)` each.
struct Trace<'a> {
    /// The gates; on the way back their gradients.
    gates: &'a mut [f64],
    /// Of a GRU the hidden state's share of the new gate; on the way back its gradient.
    share: &'a mut [f64],
    /// The cells of an LSTM.
    cells: &'a mut [f64],
    /// The hidden states.
    hidden: &'a mut [f64],
}

impl Trace<'_> {
    fn length(recurrence: &Recurrence) -> usize {
        let states = recurrence.times * recurrence.count * recurrence.hiddens;
        states * (recurrence.kind.gates() + 3)
    }

    fn of<'a>(recurrence: &Recurrence, all: &'a mut [f64]) -> Vec<Trace<'a>> {
        let length = Trace::length(recurrence);
        let states = length / (recurrence.kind.gates() + 3);
        let one = |all: &'a mut [f64]| {
            let (gates, rest) = all.split_at_mut(length - 3 * states);
            let (share, rest) = rest.split_at_mut(states);
            let (cells, hidden) = rest.split_at_mut(states);
            Trace { gates, share, cells, hidden }
        };
        all.chunks_exact_mut(length).map(one).collect()
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The derivative of the sigmoid, by its value.
fn slope(y: f64) -> f64 {
    y * (1.0 - y)
}

struct Layers<'a> {
    recurrence: &'a Recurrence,
    at: &'a Scene,
}

impl Layers<'_> {
    /// # Safety
    /// As for [`recur`].
    unsafe fn recur<T: Term>(&self) {
        let length = self.recurrence.cells() * Trace::length(self.recurrence);
        let mut own = Vec::new();
        let all = if self.recurrence.trains {
            // SAFETY: so many bytes were asked for.
            unsafe { elements(self.at.trace.at, length) }
        } else {
            own.resize(length, 0.0);
            &mut own[..]
        };
        let mut traces = Trace::of(self.recurrence, all);
        // SAFETY: as the caller says.
        unsafe {
            match self.at.way {
                Way::There { last } => self.there::<T>(&mut traces, last),
                Way::Back { .. } => self.back::<T>(&mut traces),
            }
        }
    }

    /// Where step `s` of a cell's recurrence is.
    fn time(&self, cell: usize, s: usize) -> usize {
        match cell % self.recurrence.ways {
            1 => self.recurrence.times - 1 - s,
            _ => s,
        }
    }

    /// # Safety
    /// There must be an element.
    unsafe fn read<T: Term>(&self, at: Address, i: usize) -> f64 {
        // SAFETY: as the caller says.
        unsafe { (at as *const T).add(i).read() }.wide(self.recurrence.tf32)
    }

    /// Feature `i` of what a cell gets at one place, a time and a sequence.
    ///
    /// # Safety
    /// As for [`recur`].
    unsafe fn input<T: Term>(
        &self,
        traces: &[Trace],
        cell: usize,
        place: usize,
        i: usize,
    ) -> f64 {
        let Recurrence { ways, inputs, hiddens: h, .. } = *self.recurrence;
        match (cell / ways).checked_sub(1) {
            // SAFETY: as the caller says.
            None => unsafe { self.read::<T>(self.at.inputs, place * inputs + i) },
            Some(below) => traces[below * ways + i / h].hidden[place * h + i % h],
        }
    }

    /// The state, number `which` of two, of a cell before step `s`, of which `all` has those of
    /// all times.
    ///
    /// # Safety
    /// As for [`recur`].
    unsafe fn before<T: Term>(
        &self,
        all: &[f64],
        which: usize,
        [cell, s, row]: [usize; 3],
        i: usize,
    ) -> f64 {
        let Recurrence { count, hiddens: h, .. } = *self.recurrence;
        match s.checked_sub(1) {
            None => {
                let state = (cell * count + row) * h + i;
                // SAFETY: as the caller says.
                unsafe { self.read::<T>(self.at.first[which], state) }
            }
            Some(s) => all[(self.time(cell, s) * count + row) * h + i],
        }
    }

    /// # Safety
    /// As for [`recur`].
    unsafe fn there<T: Term>(&self, traces: &mut [Trace], last: [Address; 2]) {
        let Recurrence { kind, ways, times, count, hiddens: h, .. } = *self.recurrence;
        let gates = kind.gates();
        for (cell, s, row) in each([self.recurrence.cells(), times, count]) {
            let place = self.time(cell, s) * count + row;
            let step = [cell, s, row];
            let inputs = self.recurrence.inputs_of(cell);
            let (mut new_cells, mut new_hidden) = (vec![0.0; h], vec![0.0; h]);
            for unit in 0..h {
                // The input's and the hidden state's share of each gate.
                let share = |gate: usize, length: usize, x: &dyn Fn(usize) -> f64| {
                    let [matrix, bias] = self.weights(cell, gate);
                    let row = matrix + unit * length;
                    // SAFETY: as the caller says.
                    let weight = |i| unsafe { self.read::<T>(self.at.weights, i) };
                    weight(bias + unit)
                        + (0..length).map(|i| weight(row + i) * x(i)).sum::<f64>()
                };
                let trace = &traces[cell];
                // SAFETY: as the caller says.
                let (x, state) = (
                    |i| unsafe { self.input::<T>(traces, cell, place, i) },
                    |i| unsafe { self.before::<T>(trace.hidden, 0, step, i) },
                );
                let of_input = |gate| share(gate, inputs, &x);
                let of_state = |gate| share(gates + gate, h, &state);
                let sum = |gate| of_input(gate) + of_state(gate);
                let (made, kept, cell_state, hidden) = match kind {
                    Kind::Rnn => {
                        let y = sum(0).tanh();
                        (vec![y], 0.0, 0.0, y)
                    }
                    Kind::Gru => {
                        let (r, z, own) = (sigmoid(sum(0)), sigmoid(sum(1)), of_state(2));
                        let n = (of_input(2) + r * own).tanh();
                        (vec![r, z, n], own, 0.0, (1.0 - z) * n + z * state(unit))
                    }
                    Kind::Lstm => {
                        let [i, f, o] = [0, 1, 3].map(|gate| sigmoid(sum(gate)));
                        let n = sum(2).tanh();
                        // SAFETY: as the caller says.
                        let before =
                            unsafe { self.before::<T>(trace.cells, 1, step, unit) };
                        let c = f * before + i * n;
                        (vec![i, f, n, o], 0.0, c, o * c.tanh())
                    }
                };
                let trace = &mut traces[cell];
                for (gate, made) in made.into_iter().enumerate() {
                    trace.gates[(place * gates + gate) * h + unit] = made;
                }
                trace.share[place * h + unit] = kept;
                new_cells[unit] = cell_state;
                new_hidden[unit] = T::rounded(hidden).wide(false);
            }
            let trace = &mut traces[cell];
            trace.cells[place * h..][..h].copy_from_slice(&new_cells);
            trace.hidden[place * h..][..h].copy_from_slice(&new_hidden);
            let write = |at: Address, from: usize, values: &[f64]| {
                if at != 0 {
                    // SAFETY: as the caller says; nobody else has these elements.
                    let to = unsafe { &mut elements::<T>(at, from + h)[from..] };
                    to.iter_mut().zip(values).for_each(|(to, x)| *to = T::rounded(*x));
                }
            };
            if cell / ways == self.recurrence.layers - 1 {
                write(self.at.outputs, (place * ways + cell % ways) * h, &new_hidden);
            }
            if s == times - 1 {
                write(last[0], (cell * count + row) * h, &new_hidden);
                write(last[1], (cell * count + row) * h, &new_cells);
            }
        }
    }

    /// The first elements of a gate's matrix and bias.
    fn weights(&self, cell: usize, gate: usize) -> [usize; 2] {
        place(self.recurrence, cell, gate)
    }

    /// # Safety
    /// As for [`recur`].
    unsafe fn back<T: Term>(&self, traces: &mut [Trace]) {
        let Way::Back { outputs, last, inputs, first, weights } = self.at.way else {
            unreachable!("this is the way back")
        };
        let Recurrence { kind, layers, ways, times, count, hiddens: h, .. } =
            *self.recurrence;
        let places = times * count;
        let read = |at: Address, length: usize| -> Vec<f64> {
            // SAFETY: as the caller says.
            (0..length).map(|i| unsafe { self.read::<T>(at, i) }).collect()
        };
        // Of what the layer gives at all places.
        let mut g = read(outputs, places * ways * h);
        for layer in (0..layers).rev() {
            let features = self.recurrence.inputs_of(layer * ways);
            let mut to_inputs = vec![0.0; places * features];
            for way in 0..ways {
                let cell = layer * ways + way;
                let states = cell * count * h;
                let flows = last.map(|at| match at {
                    0 => vec![0.0; count * h],
                    at => read(at, states + count * h)[states..].to_vec(),
                });
                // SAFETY: as the caller says.
                let flows = unsafe { self.cell_back::<T>(traces, cell, &g, flows) };
                for (at, flow) in first.into_iter().zip(flows) {
                    if at != 0 {
                        // SAFETY: as the caller says; nobody else has these elements.
                        let to = unsafe {
                            &mut elements::<T>(at, states + count * h)[states..]
                        };
                        to.iter_mut().zip(flow).for_each(|(to, x)| *to = T::rounded(x));
                    }
                }
                for (place, gate, unit) in each([places, kind.gates(), h]) {
                    let slope =
                        traces[cell].gates[(place * kind.gates() + gate) * h + unit];
                    let row = self.weights(cell, gate)[0] + unit * features;
                    for i in 0..features {
                        // SAFETY: as the caller says.
                        let weight = unsafe { self.read::<T>(self.at.weights, row + i) };
                        to_inputs[place * features + i] += slope * weight;
                    }
                }
                if weights != 0 {
                    // SAFETY: as the caller says.
                    unsafe { self.add_to_weights::<T>(traces, cell, weights) };
                }
            }
            g = to_inputs;
        }
        // SAFETY: as the caller says; nobody else has these elements.
        let to = unsafe { elements::<T>(inputs, g.len()) };
        to.iter_mut().zip(g).for_each(|(to, x)| *to = T::rounded(x));
    }

    /// From the gradient `g` of what its layer gives, and `flows` of a cell's last states, to
    /// those of its gates, which take their places in the trace, and of its first states.
    ///
    /// # Safety
    /// As for [`recur`].
    unsafe fn cell_back<T: Term>(
        &self,
        traces: &mut [Trace],
        cell: usize,
        g: &[f64],
        flows: [Vec<f64>; 2],
    ) -> [Vec<f64>; 2] {
        let Recurrence { kind, ways, times, count, hiddens: h, .. } = *self.recurrence;
        let gates = kind.gates();
        let trace = &mut traces[cell];
        let [mut flow, mut cell_flow] = flows;
        for (step, row) in each([1, times, count]).map(|(_, step, row)| (step, row)) {
            let s = times - 1 - step;
            let place = self.time(cell, s) * count + row;
            let mut beside = vec![0.0; h];
            for unit in 0..h {
                let state = row * h + unit;
                let g = flow[state] + g[(place * ways + cell % ways) * h + unit];
                let step = [cell, s, row];
                // SAFETY: as the caller says.
                let (hidden_before, cell_before) = unsafe {
                    let cell_before = |cells: &[f64]| match kind {
                        Kind::Lstm => self.before::<T>(cells, 1, step, unit),
                        _ => 0.0,
                    };
                    let hidden = self.before::<T>(trace.hidden, 0, step, unit);
                    (hidden, cell_before(trace.cells))
                };
                let at = |gate: usize| (place * gates + gate) * h + unit;
                let own = place * h + unit;
                let slopes = match kind {
                    Kind::Rnn => vec![g * (1.0 - trace.gates[at(0)].powi(2))],
                    Kind::Gru => {
                        let [r, z, n] = [0, 1, 2].map(|gate| trace.gates[at(gate)]);
                        let new = g * (1.0 - z) * (1.0 - n * n);
                        let reset = new * trace.share[own] * slope(r);
                        trace.share[own] = new * r;
                        beside[unit] = g * z;
                        vec![reset, g * (hidden_before - n) * slope(z), new]
                    }
                    Kind::Lstm => {
                        let [i, f, n, o] = [0, 1, 2, 3].map(|gate| trace.gates[at(gate)]);
                        let t = trace.cells[own].tanh();
                        let flow = cell_flow[state] + g * o * (1.0 - t * t);
                        cell_flow[state] = flow * f;
                        vec![
                            flow * n * slope(i),
                            flow * cell_before * slope(f),
                            flow * i * (1.0 - n * n),
                            g * t * slope(o),
                        ]
                    }
                };
                for (gate, slope) in slopes.into_iter().enumerate() {
                    trace.gates[at(gate)] = slope;
                }
            }
            for unit in 0..h {
                let mut total = beside[unit];
                for (_, gate, from) in each([1, gates, h]) {
                    let slope = self.to_state(trace, place, gate, from);
                    let row = self.weights(cell, gates + gate)[0] + from * h;
                    // SAFETY: as the caller says.
                    total +=
                        slope * unsafe { self.read::<T>(self.at.weights, row + unit) };
                }
                flow[row * h + unit] = total;
            }
        }
        [flow, cell_flow]
    }

    /// The gradient of a gate towards the hidden state of before.
    fn to_state(&self, trace: &Trace, place: usize, gate: usize, unit: usize) -> f64 {
        let Recurrence { kind, hiddens: h, .. } = *self.recurrence;
        match (kind, gate) {
            (Kind::Gru, 2) => trace.share[place * h + unit],
            _ => trace.gates[(place * kind.gates() + gate) * h + unit],
        }
    }

    /// Adds the gradients of a cell's weights to what is there.
    ///
    /// # Safety
    /// As for [`recur`].
    unsafe fn add_to_weights<T: Term>(
        &self,
        traces: &[Trace],
        cell: usize,
        weights: Address,
    ) {
        let Recurrence { kind, times, count, hiddens: h, .. } = *self.recurrence;
        let (gates, inputs) = (kind.gates(), self.recurrence.inputs_of(cell));
        let trace = &traces[cell];
        let add = |i: usize, more: f64| {
            // SAFETY: as the caller says; nobody else has this element.
            let sum = unsafe { &mut elements::<T>(weights, i + 1)[i] };
            *sum = T::rounded(sum.wide(false) + more);
        };
        for (gate, unit, i) in each([2 * gates, h, inputs.max(h)]) {
            let [matrix, bias] = self.weights(cell, gate);
            let length = if gate < gates { inputs } else { h };
            if i >= length {
                continue;
            }
            let (mut total, mut all) = (0.0, 0.0);
            for (_, s, row) in each([1, times, count]) {
                let place = self.time(cell, s) * count + row;
                // SAFETY: as the caller says.
                let (slope, x) = unsafe {
                    match gate.checked_sub(gates) {
                        None => (
                            trace.gates[(place * gates + gate) * h + unit],
                            self.input::<T>(traces, cell, place, i),
                        ),
                        Some(gate) => (
                            self.to_state(trace, place, gate, unit),
                            self.before::<T>(trace.hidden, 0, [cell, s, row], i),
                        ),
                    }
                };
                total += slope * x;
                all += slope;
            }
            add(matrix + unit * length + i, total);
            if i == 0 {
                add(bias + unit, all);
            }
        }
    }
}

/// All triples of numbers below these, the last of which runs first.
fn each([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / c / b, i / c % b, i % c))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cuDNN 9.28.1 answers for two layers both ways of 6 hidden features, the first of
    /// which gets 5: how many elements all weights have, and where those of each cell begin.
    const ANSWERS: [(Kind, usize, [[usize; 4]; 4]); 3] = [
        (
            Kind::Rnn,
            396,
            [
                [0, 30, 348, 354],
                [66, 96, 360, 366],
                [132, 204, 372, 378],
                [240, 312, 384, 390],
            ],
        ),
        (
            Kind::Lstm,
            1584,
            [
                [0, 120, 1392, 1416],
                [264, 384, 1440, 1464],
                [528, 816, 1488, 1512],
                [960, 1248, 1536, 1560],
            ],
        ),
        (
            Kind::Gru,
            1188,
            [
                [0, 90, 1044, 1062],
                [198, 288, 1080, 1098],
                [396, 612, 1116, 1134],
                [720, 936, 1152, 1170],
            ],
        ),
    ];

    #[test]
    fn weights_lie_as_the_library_has_them() {
        for (kind, weights, places) in ANSWERS {
            let needs = needs(&Recurrence { kind, ..Recurrence::small() });
            assert_eq!(needs.weights, weights);
            assert_eq!(needs.blocks.len(), 16, "{kind:?}: all gates side by side");
            for block in &needs.blocks[..] {
                assert_eq!(block.to, places[block.cell][block.tensor], "{block:?}");
            }
            let all: usize = needs.blocks.iter().map(|block| block.count).sum();
            assert_eq!(all, weights);
        }
    }
}
