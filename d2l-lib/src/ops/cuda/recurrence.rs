//! Recurrent layers by the GPU's library, all layers of a network at once.

use std::sync::Arc;

use super::{convolution::aligned, done, place_of_any};
use crate::{
    autograd::{is_recording, record},
    device::cuda::{Array, Gpu, Needs, Recurrence, Scene, Way, is_tf32_allowed},
    dtype::DType,
    ops::recurrent::Kind,
    shape::Shape,
    tensor::Tensor,
};

/// With fewer times it takes longer to bring the weights to where the library wants them than it
/// saves.
const FEWEST_TIMES: usize = 2;

/// Parts of a result begin at multiples of so many elements, where a library can read them.
const APART: usize = 64;

const ON_GPU: &str = "all are on one GPU";

/// The outputs of the last of some recurrent layers and, if wanted, the last states of all, if the
/// GPU has a library that makes them. Each of the `cells` has the weights of its input and of its
/// hidden state, and their biases; those of a layer that goes `ways` stand one after the other.
/// The caller has checked the shapes; there is at least one time.
#[track_caller]
pub(crate) fn recur_by_library(
    op: &'static str,
    kind: Kind,
    ways: usize,
    x: &Tensor,
    cells: &[[&Tensor; 4]],
    state: &[Tensor],
    with_state: bool,
) -> Option<(Tensor, Vec<Tensor>)> {
    let weights = cells.iter().flatten().copied();
    let inputs: Vec<&Tensor> = [x].into_iter().chain(weights).chain(state).collect();
    let gpu = place_of_any("recurrent", &inputs)?;
    let dtype = cells[0][0].dtype();
    let is_of_one_type = cells.iter().flatten().all(|weight| weight.dtype() == dtype);
    let is_empty = inputs.iter().any(|input| input.numel() == 0);
    if !is_of_one_type || is_empty || x.shape()[0] < FEWEST_TIMES {
        return None;
    }
    let inputs: Vec<Tensor> =
        inputs.into_iter().map(|input| input.to_dtype(dtype).contiguous()).collect();
    let sizes = Recurrence {
        kind,
        dtype,
        tf32: dtype == DType::F32 && is_tf32_allowed(),
        layers: cells.len() / ways,
        ways,
        times: x.shape()[0],
        count: x.shape()[1],
        inputs: x.shape()[2],
        hiddens: cells[0][1].shape()[1],
        trains: is_recording() && inputs.iter().any(Tensor::needs_grad),
    };
    let needs = done(gpu.needs(op, &sizes))?;
    let all = Layers { op, gpu, sizes, needs, with_state }.forward(inputs)?;
    let outputs = [sizes.times, sizes.count, ways * sizes.hiddens];
    if !with_state {
        return Some((all.reshape(outputs), Vec::new()));
    }
    let part = |from: usize, shape: [usize; 3]| {
        all.narrow(0, from, shape.iter().product()).reshape(shape)
    };
    let states = sizes.last_at().into_iter().take(state.len());
    let states = states.map(|from| part(from, [cells.len(), sizes.count, sizes.hiddens]));
    Some((part(0, outputs), states.collect()))
}

impl Recurrence {
    /// Where in a result the last hidden states begin, and the last cells.
    fn last_at(&self) -> [usize; 2] {
        let hidden = self.outputs().next_multiple_of(APART);
        [hidden, hidden + self.states().next_multiple_of(APART)]
    }

    /// How many elements a result has.
    fn length(&self, with_state: bool) -> usize {
        match (with_state, self.kind) {
            (false, _) => self.outputs(),
            (true, Kind::Lstm) => self.last_at()[1] + self.states(),
            (true, _) => self.last_at()[0] + self.states(),
        }
    }
}

/// Where an array is, if there is one.
fn at(array: &Option<Array>) -> u64 {
    array.as_ref().map_or(0, Array::address)
}

/// Recurrent layers on their GPU. Their inputs are the sequences, the weights of all cells, the
/// first hidden states, and of LSTMs the first cells.
struct Layers {
    op: &'static str,
    gpu: &'static Gpu,
    sizes: Recurrence,
    needs: Needs,
    /// Whether the last states stand behind the outputs.
    with_state: bool,
}

impl Layers {
    #[track_caller]
    fn array(&self, length: usize) -> Array {
        done(self.gpu.array(self.op, self.sizes.dtype, length))
    }

    #[track_caller]
    fn zeros(&self, length: usize) -> Array {
        let array = self.array(length);
        done(array.zero(self.op));
        array
    }

    /// One for the hidden states, and of LSTMs one for the cells.
    fn for_states<T>(&self, make: impl Fn(usize) -> T) -> [Option<T>; 2] {
        [Some(make(0)), (self.sizes.kind == Kind::Lstm).then(|| make(1))]
    }

    /// Brings all weights to where the library wants them.
    #[track_caller]
    fn pack(&self, inputs: &[Tensor], packed: &Array) {
        let Needs { weights, blocks, .. } = &self.needs;
        if blocks.iter().map(|block| block.count).sum::<usize>() < *weights {
            done(packed.zero(self.op));
        }
        for block in &blocks[..] {
            let weight = &inputs[1 + 4 * block.cell + block.tensor];
            let from = weight.layout.offset + block.from;
            let elements = weight.storage.on_gpu().expect(ON_GPU);
            done(packed.copy_part(block.to, &elements, from, block.count));
        }
    }

    /// Weight number `i` of what the library has packed.
    #[track_caller]
    fn unpack(&self, packed: &Array, i: usize, shape: Shape) -> Tensor {
        let weight = self.array(shape.numel());
        let blocks = self.needs.blocks.iter();
        for block in blocks.filter(|block| 4 * block.cell + block.tensor == i) {
            done(weight.copy_part(block.from, packed, block.to, block.count));
        }
        Tensor::of_array(weight, shape)
    }

    /// The sequences and the first states where the library can read them.
    fn read(&self, inputs: &[Tensor]) -> Option<Vec<(Arc<Array>, u64)>> {
        let states = &inputs[1 + 4 * self.sizes.cells()..];
        [&inputs[0]].into_iter().chain(states).map(aligned).collect()
    }

    /// The outputs, flat, and behind them the last states if they are wanted.
    #[track_caller]
    fn forward(self, inputs: Vec<Tensor>) -> Option<Tensor> {
        let Layers { op, gpu, sizes, with_state, .. } = self;
        // What is left for the way back stays until then.
        let trace = done(gpu.spare(op, DType::U8, self.needs.trace))?;
        let packed = done(gpu.spare(op, sizes.dtype, self.needs.weights))?;
        self.pack(&inputs, &packed);
        let read = self.read(&inputs)?;
        let out = self.array(sizes.length(with_state));
        let last = self.for_states(|i| out.address_of(sizes.last_at()[i]));
        let scene = Scene {
            inputs: read[0].1,
            outputs: out.address(),
            first: [read[1].1, read.get(2).map_or(0, |(_, at)| *at)],
            weights: packed.address(),
            trace: trace.region(),
            way: Way::There {
                last: last.map(|at| at.filter(|_| with_state).unwrap_or(0)),
            },
        };
        // SAFETY: all of these have so many elements, and live until all is queued.
        if !done(unsafe { gpu.recur(op, &sizes, &scene, self.needs.room) }) {
            return None;
        }
        let out = Tensor::of_array(out, Shape::new(&[sizes.length(with_state)]));
        let all: Vec<&Tensor> = inputs.iter().collect();
        Some(record(op, out, &all, |tape, out| {
            let kept: Vec<Tensor> = inputs.iter().map(Tensor::saved).collect();
            let out = out.saved();
            tape.joint(&all, move |g, needs| {
                self.backward(&kept, &out, g, &trace, needs)
            });
        }))
    }

    /// The gradients of all inputs that need one.
    #[track_caller]
    fn backward(
        &self,
        inputs: &[Tensor],
        out: &Tensor,
        g: &Tensor,
        trace: &Array,
        needs: &[bool],
    ) -> Vec<Option<Tensor>> {
        let Layers { op, gpu, sizes, .. } = *self;
        let packed = self.array(self.needs.weights);
        self.pack(inputs, &packed);
        let read = self.read(inputs).expect(ON_GPU);
        let [(_out, out_at), (_g, g_at)] = [out, g].map(|x| aligned(x).expect(ON_GPU));
        let nothing = (!self.with_state).then(|| self.zeros(sizes.states()));
        let last = self.for_states(|i| match &nothing {
            Some(nothing) => nothing.address(),
            None => g_at + (sizes.last_at()[i] * sizes.dtype.size()) as u64,
        });
        let to_inputs = self.array(inputs[0].numel());
        let to_first = self.for_states(|_| self.array(sizes.states()));
        let weights = 1..1 + 4 * sizes.cells();
        let is_wanted = needs[weights.clone()].contains(&true);
        // The library adds to what is there.
        let to_weights = is_wanted.then(|| self.zeros(self.needs.weights));
        let scene = Scene {
            inputs: read[0].1,
            outputs: out_at,
            first: [read[1].1, read.get(2).map_or(0, |(_, at)| *at)],
            weights: packed.address(),
            trace: trace.region(),
            way: Way::Back {
                outputs: g_at,
                last: last.map(|at| at.unwrap_or(0)),
                inputs: to_inputs.address(),
                first: to_first.each_ref().map(at),
                weights: at(&to_weights),
            },
        };
        // SAFETY: all of these have so many elements, and live until all is queued.
        let is_done = done(unsafe { gpu.recur(op, &sizes, &scene, self.needs.room) });
        assert!(is_done, "{op}: the library goes there and not back");
        let mut made = [Some(to_inputs)].into_iter().chain(to_first).flatten();
        let gradient = |(i, input): (usize, &Tensor)| {
            let shape = input.layout.shape;
            let gradient = match weights.contains(&i) {
                true => needs[i].then(|| {
                    self.unpack(to_weights.as_ref().expect("one is wanted"), i - 1, shape)
                }),
                false => made.next().map(|array| Tensor::of_array(array, shape)),
            };
            gradient.filter(|_| needs[i])
        };
        inputs.iter().enumerate().map(gradient).collect()
    }
}
