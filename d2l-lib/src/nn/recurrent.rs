//! Recurrent layers: RNN, GRU, LSTM.
//!
//! Inputs are sequences `(t, n, features)`: time first, as the recurrence goes. On a GPU cuDNN makes
//! all layers at once where it is found.

use super::{Content, Parameter, Part, Parts, init, module::module};
use crate::{
    Tensor,
    ops::recurrent::Kind,
    tensor::recurrent::{Pass, recurrent, recurrent_at_once},
};

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

    fn weights(&self) -> [&Tensor; 4] {
        [
            self.weight_input.tensor(),
            self.weight_hidden.tensor(),
            self.bias_input.tensor(),
            self.bias_hidden.tensor(),
        ]
    }
}

impl Part for Cell {
    fn content(&self) -> Content<'_> {
        Content::List(
            Parts::new()
                .with("weight_input", &self.weight_input)
                .with("weight_hidden", &self.weight_hidden)
                .with("bias_input", &self.bias_input)
                .with("bias_hidden", &self.bias_hidden),
        )
    }
}

/// The cells of a recurrent layer: one for each layer, or, both ways, two.
#[derive(Debug)]
struct Cells {
    kind: Kind,
    cells: Vec<Cell>,
    num_hiddens: usize,
    ways: usize,
}

impl Cells {
    fn new(kind: Kind, num_hiddens: usize) -> Cells {
        Cells { kind, cells: vec![Cell::lazy()], num_hiddens, ways: 1 }
    }

    fn resize(&mut self, num_layers: usize, ways: usize) {
        self.ways = ways;
        self.cells.resize_with(num_layers * ways, Cell::lazy);
    }

    fn states(&self) -> usize {
        if self.kind == Kind::Lstm { 2 } else { 1 }
    }

    fn begin(&self, n: usize) -> Vec<Tensor> {
        let shape = [self.cells.len(), n, self.num_hiddens];
        (0..self.states()).map(|_| Tensor::zeros(shape)).collect()
    }

    /// The outputs of the last layer, and, if wanted, the final state of all.
    #[track_caller]
    fn run(
        &self,
        name: &str,
        x: &Tensor,
        state: &[Tensor],
        wants_state: bool,
    ) -> (Tensor, Vec<Tensor>) {
        assert!(
            x.ndim() == 3,
            "{name}: an input of shape {:?} is no batch of sequences (t, n, features)",
            x.shape()
        );
        let times = x.len_of(0);
        assert!(times > 0, "{name}: a sequence must have one time at least");
        let expected = [self.cells.len(), x.len_of(1), self.num_hiddens];
        assert!(
            state.len() == self.states() && state.iter().all(|s| s.shape() == expected),
            "{name}: the state must be {} of shape {expected:?}",
            self.states()
        );
        for (i, cell) in self.cells.iter().enumerate() {
            let of_layer = self.ways * self.num_hiddens;
            let num_inputs = if i < self.ways { x.len_of(-1) } else { of_layer };
            cell.meet(num_inputs, self.num_hiddens, self.kind.gates());
            assert!(
                cell.weight_input.len_of(1) == num_inputs,
                "{name}: an input of {num_inputs} features for a layer of {}",
                cell.weight_input.len_of(1)
            );
        }
        let weights: Vec<[&Tensor; 4]> = self.cells.iter().map(Cell::weights).collect();
        if let Some(all) =
            recurrent_at_once(self.kind, self.ways, x, &weights, state, wants_state)
        {
            return all;
        }
        let mut outputs = x.clone();
        let mut last: Vec<Vec<Tensor>> = vec![Vec::new(); self.states()];
        for (layer, cells) in weights.chunks_exact(self.ways).enumerate() {
            let mut ways = Vec::with_capacity(self.ways);
            for (way, &weights) in cells.iter().enumerate() {
                let reversed = way == 1;
                let with_cell = wants_state && self.kind == Kind::Lstm;
                let first: Vec<Tensor> =
                    state.iter().map(|s| s.i(layer * self.ways + way)).collect();
                let pass = Pass { kind: self.kind, reversed, with_cell };
                let all = recurrent(pass, &outputs, weights, &first);
                if wants_state {
                    let end = if reversed { 0 } else { times - 1 };
                    last[0].push(all.i(end));
                }
                if with_cell {
                    last[1].push(all.i(times));
                    ways.push(all.narrow(0, 0, times));
                } else {
                    ways.push(all);
                }
            }
            outputs = match &ways[..] {
                [one] => one.clone(),
                _ => Tensor::cat(&Vec::from_iter(&ways), -1),
            };
        }
        if !wants_state {
            return (outputs, Vec::new());
        }
        let stacked = last.iter().map(|all| Tensor::stack(&Vec::from_iter(all), 0));
        (outputs, stacked.collect())
    }
}

impl Part for Cells {
    fn content(&self) -> Content<'_> {
        self.cells.content()
    }
}

macro_rules! recurrent_layers {
    ($($(#[$doc:meta])* $Name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $Name {
            layers: Cells,
        }

        impl $Name {
            /// One layer, which finds the number of its inputs when it meets the first one.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::lazy(4);")]
            /// assert_eq!(layer.forward(&Tensor::rand([5, 2, 3])).shape(), [5, 2, 4]);
            /// ```
            pub fn lazy(num_hiddens: usize) -> $Name {
                $Name { layers: Cells::new(Kind::$Name, num_hiddens) }
            }

            /// One layer from `num_inputs` to `num_hiddens` features.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::new(3, 4);")]
            /// assert_eq!(layer.parameters().len(), 4);
            /// ```
            #[track_caller]
            pub fn new(num_inputs: usize, num_hiddens: usize) -> $Name {
                let layer = $Name::lazy(num_hiddens);
                layer.layers.cells[0].meet(num_inputs, num_hiddens, Kind::$Name.gates());
                layer
            }

            /// So many layers, each fed with the outputs of the one before.
            ///
            /// # Panics
            /// If there is to be none.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::new(3, 4).stacked(2);")]
            /// assert_eq!(layer.begin(7)[0].shape(), [2, 7, 4]);
            /// ```
            #[track_caller]
            pub fn stacked(mut self, num_layers: usize) -> $Name {
                assert!(num_layers > 0, "stacked: there must be at least one layer");
                let ways = self.layers.ways;
                self.layers.resize(num_layers, ways);
                self
            }

            /// Every layer goes both ways through the sequences, with weights of its own for
            /// each; their hidden states, forward first, lie side by side in its outputs, and
            /// one after the other in the states.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::new(3, 4).bidirectional();")]
            /// assert_eq!(layer.forward(&Tensor::rand([5, 2, 3])).shape(), [5, 2, 8]);
            /// ```
            pub fn bidirectional(mut self) -> $Name {
                let num_layers = self.layers.cells.len() / self.layers.ways;
                self.layers.resize(num_layers, 2);
                self
            }

            /// The state before the first input, zeros, for `n` sequences: tensors
            /// `(layers, n, hiddens)`, both ways twice as many layers; an LSTM has two, the hidden
            /// state and the cell, the others one.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::new(3, 4);")]
            /// assert_eq!(layer.begin(7)[0].to_vec(), [0.0; 28]);
            /// ```
            pub fn begin(&self, n: usize) -> Vec<Tensor> {
                self.layers.begin(n)
            }

            /// The hidden states of the last layer at all times, `(t, n, hiddens)`, and the
            /// final state of all layers, each tensor of it `(layers, n, hiddens)`, of inputs
            /// `(t, n, features)` and a state like that of `begin`; both ways, outputs are twice
            /// as wide and there are twice as many states.
            ///
            /// # Panics
            /// If the shapes do not fit, or there is no time.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::new(3, 4);")]
            /// let x = Tensor::rand([5, 2, 3]);
            /// let (y, state) = layer.forward_from(&x, &layer.begin(2));
            /// assert!(state[0].i(0).equal(&y.i(-1)));
            /// ```
            #[track_caller]
            pub fn forward_from(&self, x: &Tensor, state: &[Tensor]) -> (Tensor, Vec<Tensor>) {
                self.layers.run(stringify!($Name), x, state, true)
            }

            /// The hidden states of the last layer at all times, from zeros on:
            /// `(t, n, features) → (t, n, hiddens)`.
            ///
            /// # Panics
            /// If the input is no batch of sequences with as many features as the layer has
            /// inputs, or there is no time.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            #[doc = concat!("let layer = nn::", stringify!($Name), "::new(3, 4);")]
            /// let x = Tensor::rand([5, 2, 3]);
            /// assert!(layer.forward(&x).equal(&layer.forward_from(&x, &layer.begin(2)).0));
            /// ```
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                let n = if x.ndim() == 3 { x.len_of(1) } else { 0 };
                let begin = self.begin(n).into_iter().map(|s| s.to_device(x.device()));
                let begin: Vec<Tensor> = begin.collect();
                self.layers.run(stringify!($Name), x, &begin, false).0
            }
        }

        module!($Name: layers);
    )*};
}

recurrent_layers! {
    /// A plain recurrent network (Elman, 1990): `h ← tanh(x Wᵀ + b + h Uᵀ + c)`.
    ///
    /// Sequences come time first: `(t, n, features) → (t, n, hiddens)`. All parameters start
    /// evenly spread over ±1/√hiddens.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let rnn = nn::Rnn::lazy(32).stacked(2);
    /// let (outputs, state) = rnn.forward_from(&Tensor::rand([7, 4, 10]), &rnn.begin(4));
    /// assert_eq!(outputs.shape(), [7, 4, 32]);
    /// assert_eq!(state[0].shape(), [2, 4, 32]);
    /// ```
    Rnn;

    /// A gated recurrent unit (Cho et al., 2014), with gates in PyTorch's order: reset,
    /// update, new.
    ///
    /// Sequences come time first: `(t, n, features) → (t, n, hiddens)`. All parameters start
    /// evenly spread over ±1/√hiddens.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let gru = nn::Gru::lazy(8).bidirectional();
    /// assert_eq!(gru.forward(&Tensor::rand([7, 4, 10])).shape(), [7, 4, 16]);
    /// ```
    Gru;

    /// Long short-term memory (Hochreiter and Schmidhuber, 1997), with gates in PyTorch's
    /// order: input, forget, cell, output. The state is the hidden state and the cell.
    ///
    /// Sequences come time first: `(t, n, features) → (t, n, hiddens)`. All parameters start
    /// evenly spread over ±1/√hiddens.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let lstm = nn::Lstm::lazy(8);
    /// let (outputs, state) = lstm.forward_from(&Tensor::rand([7, 4, 10]), &lstm.begin(4));
    /// assert_eq!((outputs.shape(), state.len()), (&[7, 4, 8][..], 2));
    /// ```
    Lstm;
}
