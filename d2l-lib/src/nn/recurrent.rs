//! Recurrent layers: RNN, GRU, LSTM.
//!
//! Inputs are sequences `(t, n, features)`: time first, as the recurrence goes.

use super::{Parameter, init, module::module};
use crate::Tensor;

/// What is the same in all recurrent layers: two affine maps, of the input and of the state
/// of before, with `gates` blocks of `num_hiddens` rows each.
#[derive(Debug)]
struct Cell {
    weight_input: Parameter,
    weight_hidden: Parameter,
    bias_input: Parameter,
    bias_hidden: Parameter,
}

impl Cell {
    fn lazy() -> Cell {
        Cell {
            weight_input: Parameter::lazy(),
            weight_hidden: Parameter::lazy(),
            bias_input: Parameter::lazy(),
            bias_hidden: Parameter::lazy(),
        }
    }

    #[track_caller]
    fn meet(&self, num_inputs: usize, num_hiddens: usize, gates: usize) {
        let bound = (num_hiddens.max(1) as f64).sqrt().recip();
        let rows = gates * num_hiddens;
        let drawn = |columns| init::drawn_uniform(bound, [rows, columns]);
        self.weight_input.get_or_init(|| drawn(num_inputs));
        self.weight_hidden.get_or_init(|| drawn(num_hiddens));
        self.bias_input.get_or_init(|| init::drawn_uniform(bound, rows));
        self.bias_hidden.get_or_init(|| init::drawn_uniform(bound, rows));
    }
}

impl Cell {
    /// The input's share of all gates, for all times at once.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.matmul(&self.weight_input.t()) + &self.bias_input
    }
}

module!(Cell: weight_input, weight_hidden, bias_input, bias_hidden);

/// Defines a recurrent layer from what it makes of one time: `$step` has the input's share
/// of the gates `$x`, the hidden state's `$h`, and the state of before, hidden state first.
macro_rules! recurrent {
    ($($(#[$doc:meta])* $Name:ident: $gates:literal gates, $states:literal states,
       |$x:ident, $h:ident, $state:ident, $n:ident| $step:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $Name {
            layers: Vec<Cell>,
            num_hiddens: usize,
        }

        impl $Name {
            /// One layer, which finds the number of its inputs when it meets the first one.
            pub fn lazy(num_hiddens: usize) -> $Name {
                $Name { layers: vec![Cell::lazy()], num_hiddens }
            }

            /// One layer from `num_inputs` to `num_hiddens` features.
            #[track_caller]
            pub fn new(num_inputs: usize, num_hiddens: usize) -> $Name {
                let layer = $Name::lazy(num_hiddens);
                layer.layers[0].meet(num_inputs, num_hiddens, $gates);
                layer
            }

            /// So many layers, each fed with the hidden states of the one before.
            ///
            /// # Panics
            /// If there is to be none.
            #[track_caller]
            pub fn stacked(mut self, num_layers: usize) -> $Name {
                assert!(num_layers > 0, "stacked: there must be at least one layer");
                self.layers.resize_with(num_layers, Cell::lazy);
                self
            }

            /// The state before the first input, zeros, for `n` sequences.
            pub fn begin(&self, n: usize) -> Vec<Tensor> {
                let shape = [self.layers.len(), n, self.num_hiddens];
                (0..$states).map(|_| Tensor::zeros(shape)).collect()
            }

            /// The hidden states of the last layer at all times, `(t, n, hiddens)`, and the
            /// final state of all layers, each tensor of it `(layers, n, hiddens)`.
            ///
            /// # Panics
            /// If the shapes do not fit.
            #[track_caller]
            pub fn forward_from(&self, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
                let name = stringify!($Name);
                assert!(
                    x.ndim() == 3,
                    "{name}: an input of shape {:?} is no batch of sequences (t, n, features)",
                    x.shape()
                );
                let expected = [self.layers.len(), x.len_of(1), self.num_hiddens];
                assert!(
                    state.len() == $states && state.iter().all(|s| s.shape() == expected),
                    "{name}: the state must be {} of shape {expected:?}",
                    $states
                );
                let $n = self.num_hiddens;
                let mut outputs = x.clone();
                let mut last: Vec<Vec<Tensor>> = vec![Vec::new(); $states];
                for (i, cell) in self.layers.iter().enumerate() {
                    cell.meet(outputs.len_of(-1), self.num_hiddens, $gates);
                    let mut $state: Vec<Tensor> = state.iter().map(|s| s.i(i)).collect();
                    let weight = cell.weight_hidden.t();
                    let mut hiddens = Vec::new();
                    for $x in cell.forward(&outputs).unbind(0) {
                        let $h = $state[0].matmul(&weight) + &cell.bias_hidden;
                        $state = $step.into();
                        hiddens.push($state[0].clone());
                    }
                    assert!(!hiddens.is_empty(), "{name}: a sequence must have one time at least");
                    outputs = Tensor::stack(&Vec::from_iter(&hiddens), 0);
                    last.iter_mut().zip($state).for_each(|(all, state)| all.push(state));
                }
                let stacked = last.iter().map(|all| Tensor::stack(&Vec::from_iter(all), 0));
                (outputs, stacked.collect())
            }

            /// The hidden states of the last layer at all times, from zeros on:
            /// `(t, n, features) → (t, n, hiddens)`.
            ///
            /// # Panics
            /// If the input is no batch of sequences.
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let n = if x.ndim() == 3 { x.len_of(1) } else { 0 };
                self.forward_from(x, &self.begin(n)).0
            }
        }

        module!($Name: layers);
    )*};
}

/// The `i`th block of `n` columns.
fn block(gates: &Tensor, i: usize, n: usize) -> Tensor {
    gates.narrow(-1, i * n, n)
}

recurrent! {
    /// A plain recurrent network (Elman, 1990): `h ← tanh(x Wᵀ + b + h Uᵀ + c)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let rnn = nn::Rnn::lazy(32).stacked(2);
    /// let (outputs, state) = rnn.forward_from(&Tensor::rand([7, 4, 10]), &rnn.begin(4));
    /// assert_eq!(outputs.shape(), [7, 4, 32]);
    /// assert_eq!(state[0].shape(), [2, 4, 32]);
    /// ```
    Rnn: 1 gates, 1 states, |x, h, state, _n| [(x + h).tanh()];

    /// A gated recurrent unit (Cho et al., 2014), with gates in PyTorch's order: reset,
    /// update, new.
    Gru: 3 gates, 1 states, |x, h, state, n| {
        let reset = (block(&x, 0, n) + block(&h, 0, n)).sigmoid();
        let update = (block(&x, 1, n) + block(&h, 1, n)).sigmoid();
        let new = (block(&x, 2, n) + reset * block(&h, 2, n)).tanh();
        [&new + update * (&state[0] - &new)]
    };

    /// Long short-term memory (Hochreiter and Schmidhuber, 1997), with gates in PyTorch's
    /// order: input, forget, cell, output. The state is the hidden state and the cell.
    Lstm: 4 gates, 2 states, |x, h, state, n| {
        let gates = x + h;
        let [input, forget, output] = [0, 1, 3].map(|i| block(&gates, i, n).sigmoid());
        let cell = forget * &state[1] + input * block(&gates, 2, n).tanh();
        [output * cell.tanh(), cell]
    };
}
