//! Recurrent layers, and how cuDNN makes them.

use std::{
    collections::HashMap,
    ffi::{c_int, c_void},
    ptr,
    sync::Arc,
};

use super::{
    allocator::Region,
    blas,
    dnn::{self, Dnn, FAILURES, Handle, KEPT, Status, Values},
    driver::{Address, Failure},
    library::{self, functions},
};
use crate::{dtype::DType, ops::recurrent::Kind};

/// Recurrent layers over whole sequences, of which each gets the outputs of the one before; all
/// lie row after row, time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recurrence {
    pub(crate) kind: Kind,
    pub(crate) dtype: DType,
    /// Whether factors of `f32` may be rounded to TF32.
    pub(crate) tf32: bool,
    pub(crate) layers: usize,
    /// 2 if every layer goes both ways through the sequences, else 1.
    pub(crate) ways: usize,
    pub(crate) times: usize,
    /// How many sequences there are.
    pub(crate) count: usize,
    pub(crate) inputs: usize,
    pub(crate) hiddens: usize,
    /// Whether the way back follows.
    pub(crate) trains: bool,
}

impl Recurrence {
    /// How many cells there are, each with weights and a state of its own.
    pub(crate) fn cells(&self) -> usize {
        self.layers * self.ways
    }

    /// How many features a cell gets.
    pub(crate) fn inputs_of(&self, cell: usize) -> usize {
        if cell < self.ways { self.inputs } else { self.ways * self.hiddens }
    }

    /// Elements of the outputs of all times.
    pub(crate) fn outputs(&self) -> usize {
        self.times * self.count * self.ways * self.hiddens
    }

    /// Elements of the states of all cells.
    pub(crate) fn states(&self) -> usize {
        self.cells() * self.count * self.hiddens
    }

    /// The weights of all cells in as few blocks as there may be. A library has a matrix and a
    /// bias for each gate, first for the input and then for the hidden state; `place` says
    /// where those of a cell are, by the gate's number.
    pub(super) fn blocks<E>(
        &self,
        mut place: impl FnMut(usize, usize) -> Result<[usize; 2], E>,
    ) -> Result<Arc<[Block]>, E> {
        let (gates, hiddens) = (self.kind.gates(), self.hiddens);
        let mut blocks: Vec<Block> = Vec::new();
        for (cell, tensor) in (0..self.cells()).flat_map(|c| (0..4).map(move |t| (c, t)))
        {
            let (is_bias, first) = (tensor / 2, tensor % 2 * gates);
            let columns = match tensor {
                0 => self.inputs_of(cell),
                1 => hiddens,
                _ => 1,
            };
            let count = hiddens * columns;
            for gate in 0..gates {
                let (from, to) = (gate * count, place(cell, first + gate)?[is_bias]);
                match blocks.last_mut() {
                    Some(last) if gate > 0 && last.to + last.count == to => {
                        last.count += count;
                    }
                    _ => blocks.push(Block { cell, tensor, from, to, count }),
                }
            }
        }
        Ok(blocks.into())
    }
}

#[cfg(test)]
impl Recurrence {
    /// Two layers both ways, for tests.
    pub(super) fn small() -> Recurrence {
        Recurrence {
            kind: Kind::Lstm,
            dtype: DType::F32,
            tf32: false,
            layers: 2,
            ways: 2,
            times: 7,
            count: 3,
            inputs: 5,
            hiddens: 6,
            trains: true,
        }
    }
}

/// Weights that lie in one piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) cell: usize,
    /// Which of the cell's: the weights of the input and of the hidden state, then their biases.
    pub(crate) tensor: usize,
    /// The first element in this tensor, and where the library wants it.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) count: usize,
}

/// What a library needs for recurrent layers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Needs {
    /// How many elements all weights have together, as the library wants them.
    pub(crate) weights: usize,
    pub(crate) blocks: Arc<[Block]>,
    /// Bytes that it leaves on the way there for the way back.
    pub(crate) trace: usize,
    /// Bytes of room on either way.
    pub(crate) room: usize,
}

/// Where all is that a library works on. Of what there is not the place is 0, so of cells but in
/// an LSTM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) inputs: Address,
    pub(crate) outputs: Address,
    /// The hidden states and the cells before the first time.
    pub(crate) first: [Address; 2],
    /// All weights, as the library wants them.
    pub(crate) weights: Address,
    pub(crate) trace: Region,
    pub(crate) way: Way,
}

/// What is made of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// The outputs, and, where they are wanted, the hidden states and cells after the last time.
    There { last: [Address; 2] },
    /// From the gradients of these to those of the inputs and the first states, once, for the
    /// trace is used up.
    Back {
        outputs: Address,
        last: [Address; 2],
        inputs: Address,
        first: [Address; 2],
        /// To what is here those of the weights are added, if they are wanted.
        weights: Address,
    },
}

functions!(Functions {
    cudnnCreateTensorDescriptor: fn(*mut Handle) -> Status;
    cudnnSetTensorNdDescriptor:
        fn(Handle, c_int, c_int, *const c_int, *const c_int) -> Status;
    cudnnDestroyTensorDescriptor: fn(Handle) -> Status;
    cudnnCreateDropoutDescriptor: fn(*mut Handle) -> Status;
    cudnnSetDropoutDescriptor: fn(Handle, Handle, f32, *mut c_void, usize, u64) -> Status;
    cudnnCreateRNNDescriptor: fn(*mut Handle) -> Status;
    cudnnSetRNNDescriptor_v8:
        fn(
            Handle, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int, i32, i32, i32, i32,
            Handle, u32
        ) -> Status;
    cudnnDestroyRNNDescriptor: fn(Handle) -> Status;
    cudnnCreateRNNDataDescriptor: fn(*mut Handle) -> Status;
    cudnnSetRNNDataDescriptor:
        fn(Handle, c_int, c_int, c_int, c_int, c_int, *const c_int, *mut c_void) -> Status;
    cudnnDestroyRNNDataDescriptor: fn(Handle) -> Status;
    cudnnGetRNNWeightSpaceSize: fn(Handle, Handle, *mut usize) -> Status;
    cudnnGetRNNTempSpaceSizes:
        fn(Handle, Handle, c_int, Handle, *mut usize, *mut usize) -> Status;
    cudnnGetRNNWeightParams:
        fn(
            Handle, Handle, i32, usize, Values, i32, Handle, *mut *mut c_void, Handle,
            *mut *mut c_void
        ) -> Status;
    cudnnRNNForward:
        fn(
            Handle, Handle, c_int, *const i32, Handle, Values, Handle, *mut c_void, Handle,
            Values, *mut c_void, Handle, Values, *mut c_void, usize, Values, usize,
            *mut c_void, usize, *mut c_void
        ) -> Status;
    cudnnRNNBackwardData_v8:
        fn(
            Handle, Handle, *const i32, Handle, Values, Values, Handle, *mut c_void, Handle,
            Values, Values, *mut c_void, Handle, Values, Values, *mut c_void, usize, Values,
            usize, *mut c_void, usize, *mut c_void
        ) -> Status;
    cudnnRNNBackwardWeights_v8:
        fn(
            Handle, Handle, c_int, *const i32, Handle, Values, Handle, Values, Handle, Values,
            usize, *mut c_void, usize, *mut c_void, usize, *mut c_void
        ) -> Status;
});

/// A library without which the first of these functions ends the process.
const PART: &str = "libcudnn_adv.so.9";

// Numbers of `cudnn_adv.h`.
/// Of the ways to go through the sequences the one whose sums have the same order every time.
const STANDARD: c_int = 0;
const TANH: c_int = 1;
const LSTM: c_int = 2;
const GRU: c_int = 3;
const DOUBLE_BIAS: c_int = 2;
const LINEAR_INPUT: c_int = 0;
/// Time first, and no sequence shorter than another.
const PACKED: c_int = 1;
const PADDING_DISABLED: u32 = 0;
const ADD: c_int = 0;

fn cell_mode(kind: Kind) -> c_int {
    match kind {
        Kind::Rnn => TANH,
        Kind::Gru => GRU,
        Kind::Lstm => LSTM,
    }
}

/// The part of cuDNN that makes recurrent layers.
pub(super) struct Recurrent {
    functions: Functions,
    /// An object that says that nothing is dropped.
    dropout: Handle,
    /// What the library answered for layers it was asked before.
    plans: HashMap<Recurrence, Option<Plan>>,
}

/// The library's objects for recurrent layers, and what it needs.
#[derive(Clone)]
struct Plan {
    objects: Objects,
    needs: Needs,
}

#[derive(Clone, Copy)]
struct Objects {
    layers: Handle,
    inputs: Handle,
    outputs: Handle,
    states: Handle,
}

impl Objects {
    fn none() -> Objects {
        let none = ptr::null_mut();
        Objects { layers: none, inputs: none, outputs: none, states: none }
    }
}

/// What a status says: nothing, or that something does not go.
fn told(status: Status) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(status) }
}

impl Recurrent {
    /// This part of the library, if it is here with all that it works with.
    pub(super) fn open(handle: Handle) -> Option<Recurrent> {
        // Both stay, for the library opens them again.
        std::mem::forget(library::open(&blas::NAMES)?);
        std::mem::forget(library::open(&[PART])?);
        // SAFETY: these are the types in `cudnn_ops.h` and `cudnn_adv.h`.
        let functions = unsafe { Functions::of(library::open(&dnn::NAMES)?) }?;
        let mut dropout = ptr::null_mut();
        // SAFETY: the library writes a pointer to an object, and gets it back; where nothing is
        // dropped it needs no memory for random numbers.
        let works = unsafe {
            (functions.cudnnCreateDropoutDescriptor)(&mut dropout) == 0
                && (functions.cudnnSetDropoutDescriptor)(
                    dropout,
                    handle,
                    0.0,
                    ptr::null_mut(),
                    0,
                    0,
                ) == 0
        };
        works.then(|| Recurrent { functions, dropout, plans: HashMap::new() })
    }

    fn plan_in(
        &mut self,
        handle: Handle,
        recurrence: &Recurrence,
    ) -> Result<Option<Plan>, Status> {
        if let Some(plan) = self.plans.get(recurrence) {
            return Ok(plan.clone());
        }
        let plan = match self.plan(handle, recurrence) {
            Ok(plan) => plan,
            Err(status) if status < FAILURES => None,
            Err(status) => return Err(status),
        };
        if self.plans.len() >= KEPT {
            let plans = std::mem::take(&mut self.plans);
            plans.into_values().flatten().for_each(|plan| self.forget(plan.objects));
        }
        self.plans.insert(*recurrence, plan.clone());
        Ok(plan)
    }

    fn plan(
        &self,
        handle: Handle,
        recurrence: &Recurrence,
    ) -> Result<Option<Plan>, Status> {
        let Some(sizes) = Sizes::of(recurrence) else { return Ok(None) };
        let mut objects = Objects::none();
        // SAFETY: `needs` gets the objects that `describe` has made.
        let needs = unsafe {
            self.describe(recurrence, &sizes, &mut objects)
                .and_then(|()| self.needs(handle, recurrence, &objects))
        };
        match needs {
            Ok(Some(needs)) => Ok(Some(Plan { objects, needs })),
            other => {
                self.forget(objects);
                other.map(|_| None)
            }
        }
    }

    /// Makes the objects that say what is to be done.
    ///
    /// # Safety
    /// None of the objects must have been made yet.
    unsafe fn describe(
        &self,
        recurrence: &Recurrence,
        sizes: &Sizes,
        objects: &mut Objects,
    ) -> Result<(), Status> {
        let functions = &self.functions;
        let [data, sums] = sizes.data_types;
        let sequences = |made: &mut Handle, features: c_int| {
            let lengths = vec![sizes.times; sizes.count as usize];
            // SAFETY: the library writes a pointer to an object, and gets it back; it copies
            // the lengths.
            unsafe {
                told((functions.cudnnCreateRNNDataDescriptor)(made))?;
                told((functions.cudnnSetRNNDataDescriptor)(
                    *made,
                    data,
                    PACKED,
                    sizes.times,
                    sizes.count,
                    features,
                    lengths.as_ptr(),
                    ptr::null_mut(),
                ))
            }
        };
        sequences(&mut objects.inputs, sizes.inputs)?;
        sequences(&mut objects.outputs, sizes.outputs)?;
        let lengths = [sizes.cells, sizes.count, sizes.hiddens];
        let steps = [sizes.count * sizes.hiddens, sizes.hiddens, 1];
        // SAFETY: as above; there are three lengths and three steps.
        unsafe {
            told((functions.cudnnCreateTensorDescriptor)(&mut objects.states))?;
            told((functions.cudnnSetTensorNdDescriptor)(
                objects.states,
                data,
                3,
                lengths.as_ptr(),
                steps.as_ptr(),
            ))?;
            told((functions.cudnnCreateRNNDescriptor)(&mut objects.layers))?;
            told((functions.cudnnSetRNNDescriptor_v8)(
                objects.layers,
                STANDARD,
                cell_mode(recurrence.kind),
                DOUBLE_BIAS,
                c_int::from(recurrence.ways == 2),
                LINEAR_INPUT,
                data,
                sums,
                dnn::math(recurrence.dtype, recurrence.tf32),
                sizes.inputs,
                sizes.hiddens,
                sizes.hiddens,
                sizes.layers,
                self.dropout,
                PADDING_DISABLED,
            ))
        }
    }

    /// Asks what is needed, and where all weights are to be; gives nothing if they are at no
    /// place for an element.
    ///
    /// # Safety
    /// The objects must have been made.
    unsafe fn needs(
        &self,
        handle: Handle,
        recurrence: &Recurrence,
        objects: &Objects,
    ) -> Result<Option<Needs>, Status> {
        let functions = &self.functions;
        let (mut bytes, mut trace, mut room) = (0, 0, 0);
        // SAFETY: the library writes numbers; the objects are its own.
        unsafe {
            let layers = objects.layers;
            told((functions.cudnnGetRNNWeightSpaceSize)(handle, layers, &mut bytes))?;
            told((functions.cudnnGetRNNTempSpaceSizes)(
                handle,
                layers,
                c_int::from(recurrence.trains),
                objects.inputs,
                &mut room,
                &mut trace,
            ))?;
        }
        let size = recurrence.dtype.size();
        let mut fits = true;
        let mut scratch = [ptr::null_mut(); 2];
        let blocks = recurrence.blocks(|cell, gate| {
            // SAFETY: as above.
            let places = unsafe {
                self.places(handle, objects.layers, bytes, [cell, gate], &mut scratch)
            }?;
            fits &= places.iter().all(|place| place % size == 0);
            Ok::<_, Status>(places.map(|place| place / size))
        });
        for object in scratch.into_iter().filter(|object| !object.is_null()) {
            // SAFETY: the library made it, and nobody uses it any more.
            unsafe { (functions.cudnnDestroyTensorDescriptor)(object) };
        }
        let (weights, blocks) = (bytes / size, blocks?);
        fits &= blocks.iter().all(|block| block.to + block.count <= weights);
        Ok(fits.then_some(Needs { weights, blocks, trace, room }))
    }

    /// How many bytes from the beginning of all weights a gate's matrix and bias are. The library
    /// describes them to the objects in `scratch`, which are made if there are none.
    ///
    /// # Safety
    /// The object for the layers must have been made.
    unsafe fn places(
        &self,
        handle: Handle,
        layers: Handle,
        bytes: usize,
        [cell, gate]: [usize; 2],
        scratch: &mut [Handle; 2],
    ) -> Result<[usize; 2], Status> {
        // There is no memory yet, and the library only counts from its beginning.
        const BEGINNING: usize = 1 << 20;
        let functions = &self.functions;
        for object in scratch.iter_mut().filter(|object| object.is_null()) {
            // SAFETY: the library writes a pointer to an object.
            told(unsafe { (functions.cudnnCreateTensorDescriptor)(object) })?;
        }
        let mut found = [ptr::null_mut::<c_void>(); 2];
        let [matrix, bias] = &mut found;
        // SAFETY: the library writes two pointers, and to two objects of its own.
        told(unsafe {
            (functions.cudnnGetRNNWeightParams)(
                handle,
                layers,
                cell as i32,
                bytes,
                BEGINNING as Values,
                gate as i32,
                scratch[0],
                matrix,
                scratch[1],
                bias,
            )
        })?;
        // A place before the beginning is beyond the end as well.
        Ok(found.map(|place| (place as usize).wrapping_sub(BEGINNING)))
    }

    /// # Safety
    /// As for [`Dnn::recur`].
    unsafe fn run(
        &self,
        handle: Handle,
        plan: &Plan,
        recurrence: &Recurrence,
        at: &Scene,
        room: Region,
    ) -> Result<(), Status> {
        let functions = &self.functions;
        let Objects { layers, inputs, outputs, states } = plan.objects;
        let cells = if recurrence.kind == Kind::Lstm { states } else { ptr::null_mut() };
        let weights = plan.needs.weights * recurrence.dtype.size();
        let (room_at, trace_at) = (room.at as *mut c_void, at.trace.at as *mut c_void);
        let lengths = ptr::null();
        match at.way {
            // SAFETY: the objects are those of the plan; the caller answers for the addresses.
            Way::There { last } => told(unsafe {
                (functions.cudnnRNNForward)(
                    handle,
                    layers,
                    c_int::from(recurrence.trains),
                    lengths,
                    inputs,
                    at.inputs as Values,
                    outputs,
                    at.outputs as *mut c_void,
                    states,
                    at.first[0] as Values,
                    last[0] as *mut c_void,
                    cells,
                    at.first[1] as Values,
                    last[1] as *mut c_void,
                    weights,
                    at.weights as Values,
                    room.bytes,
                    room_at,
                    at.trace.bytes,
                    trace_at,
                )
            }),
            Way::Back { outputs: g, last, inputs: to_inputs, first, weights: sums } => {
                // SAFETY: as above.
                told(unsafe {
                    (functions.cudnnRNNBackwardData_v8)(
                        handle,
                        layers,
                        lengths,
                        outputs,
                        at.outputs as Values,
                        g as Values,
                        inputs,
                        to_inputs as *mut c_void,
                        states,
                        at.first[0] as Values,
                        last[0] as Values,
                        first[0] as *mut c_void,
                        cells,
                        at.first[1] as Values,
                        last[1] as Values,
                        first[1] as *mut c_void,
                        weights,
                        at.weights as Values,
                        room.bytes,
                        room_at,
                        at.trace.bytes,
                        trace_at,
                    )
                })?;
                if sums == 0 {
                    return Ok(());
                }
                // SAFETY: as above.
                told(unsafe {
                    (functions.cudnnRNNBackwardWeights_v8)(
                        handle,
                        layers,
                        ADD,
                        lengths,
                        inputs,
                        at.inputs as Values,
                        states,
                        at.first[0] as Values,
                        outputs,
                        at.outputs as Values,
                        weights,
                        sums as *mut c_void,
                        room.bytes,
                        room_at,
                        at.trace.bytes,
                        trace_at,
                    )
                })
            }
        }
    }

    /// Gives the objects of a plan back.
    fn forget(&self, objects: Objects) {
        let functions = &self.functions;
        // SAFETY: the library made these objects, and nobody uses them any more.
        unsafe {
            for sequences in [objects.inputs, objects.outputs] {
                if !sequences.is_null() {
                    (functions.cudnnDestroyRNNDataDescriptor)(sequences);
                }
            }
            if !objects.states.is_null() {
                (functions.cudnnDestroyTensorDescriptor)(objects.states);
            }
            if !objects.layers.is_null() {
                (functions.cudnnDestroyRNNDescriptor)(objects.layers);
            }
        }
    }
}

impl Dnn {
    /// What the library needs for recurrent layers, if it makes these.
    pub(super) fn needs(
        &self,
        recurrence: &Recurrence,
    ) -> Result<Option<Needs>, Failure> {
        let mut state = self.lock();
        let handle = state.handle;
        let Some(recurrent) = &mut state.recurrent else { return Ok(None) };
        match recurrent.plan_in(handle, recurrence) {
            Ok(plan) => Ok(plan.map(|plan| plan.needs)),
            Err(status) => self.told(status).map(|()| None),
        }
    }

    /// Queues recurrent layers, if the library makes these.
    ///
    /// # Safety
    /// All that is named must be in the GPU's memory and large enough, and so must the room; the
    /// GPU's context must be that of this thread.
    pub(super) unsafe fn recur(
        &self,
        recurrence: &Recurrence,
        at: &Scene,
        room: Region,
    ) -> Result<bool, Failure> {
        let mut state = self.lock();
        let handle = state.handle;
        let Some(recurrent) = &mut state.recurrent else { return Ok(false) };
        let plan = match recurrent.plan_in(handle, recurrence) {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(false),
            Err(status) => return self.told(status).map(|()| false),
        };
        // SAFETY: the caller answers for the addresses.
        match unsafe { recurrent.run(handle, &plan, recurrence, at, room) } {
            Ok(()) => Ok(true),
            Err(status) if status < FAILURES => {
                // It knows better now than when it was asked, so of more than 65,535 times.
                recurrent.plans.insert(*recurrence, None);
                recurrent.forget(plan.objects);
                Ok(false)
            }
            Err(status) => self.told(status).map(|()| false),
        }
    }
}

/// The sizes of recurrent layers in the library's numbers.
struct Sizes {
    data_types: [c_int; 2],
    layers: c_int,
    cells: c_int,
    times: c_int,
    count: c_int,
    inputs: c_int,
    outputs: c_int,
    hiddens: c_int,
}

impl Sizes {
    /// Nothing if there are more elements than the library can count.
    fn of(recurrence: &Recurrence) -> Option<Sizes> {
        let product = |factors: &[usize]| {
            let count = factors.iter().try_fold(1_usize, |n, &m| n.checked_mul(m))?;
            c_int::try_from(count).ok()
        };
        let Recurrence { layers, ways, times, count, inputs, hiddens, .. } = *recurrence;
        let outputs = product(&[ways, hiddens])?;
        let widest = inputs.max(outputs as usize);
        product(&[times, count, widest])?;
        product(&[recurrence.kind.gates(), hiddens, widest])?;
        product(&[layers, ways, count, hiddens])?;
        Some(Sizes {
            data_types: dnn::data_types(recurrence.dtype)?,
            layers: product(&[layers])?,
            cells: product(&[layers, ways])?,
            times: product(&[times])?,
            count: product(&[count])?,
            inputs: product(&[inputs])?,
            outputs,
            hiddens: product(&[hiddens])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_takes_what_it_is_told_and_needs_nothing_where_no_gpu_is() {
        let Some(library) = library::open(&dnn::NAMES) else { return };
        // SAFETY: these are the types in `cudnn_ops.h` and `cudnn_adv.h`.
        let functions = unsafe { Functions::of(library) }.expect("all functions");
        let none = ptr::null_mut();
        let mut recurrent = Recurrent { functions, dropout: none, plans: HashMap::new() };
        for kind in [Kind::Rnn, Kind::Gru, Kind::Lstm] {
            for (dtype, ways) in
                [(DType::F32, 1), (DType::F64, 2), (DType::F16, 2), (DType::BF16, 1)]
            {
                let recurrence = Recurrence { kind, dtype, ways, ..Recurrence::small() };
                let sizes = Sizes::of(&recurrence).unwrap();
                let mut objects = Objects::none();
                // SAFETY: no object was made.
                let described =
                    unsafe { recurrent.describe(&recurrence, &sizes, &mut objects) };
                assert_eq!(described, Ok(()), "{recurrence:?}");
                recurrent.forget(objects);
                // Without a handle there is no GPU to ask about.
                let plan = recurrent.plan_in(none, &recurrence);
                assert!(plan.is_ok_and(|plan| plan.is_none()));
            }
        }
        assert_eq!(recurrent.plans.len(), 12);
    }

    #[test]
    fn what_the_library_cannot_count_is_not_for_it() {
        let small = Recurrence::small();
        assert!(Sizes::of(&small).is_some_and(|sizes| sizes.outputs == 12));
        let large = [
            Recurrence { dtype: DType::I64, ..small },
            Recurrence { times: 1 << 30, ..small },
            Recurrence { inputs: 1 << 28, times: 1, count: 1, ..small },
            Recurrence { hiddens: 1 << 16, ..small },
            Recurrence { layers: usize::MAX, ..small },
        ];
        for recurrence in large {
            assert!(Sizes::of(&recurrence).is_none(), "{recurrence:?}");
        }
    }

    #[test]
    fn weights_go_in_as_few_pieces_as_the_library_allows() {
        let gru =
            Recurrence { kind: Kind::Gru, layers: 1, ways: 1, ..Recurrence::small() };
        let apart = gru.blocks(|_, gate| Ok::<_, ()>([1000 * gate, 1000 * gate + 500]));
        assert_eq!(apart.unwrap().len(), 12, "one for each gate");
        // The matrix of the second gate stands behind that of the first.
        let blocks = gru.blocks(|_, gate| Ok::<_, ()>([30 * gate, 1000 * (gate + 1)]));
        let blocks = blocks.unwrap();
        let whole = Block { cell: 0, tensor: 0, from: 0, to: 0, count: 90 };
        assert_eq!((blocks[0], blocks.len()), (whole, 10));
        assert_eq!(gru.blocks(|_, gate| Err::<[usize; 2], _>(gate)), Err(0));
    }
}
