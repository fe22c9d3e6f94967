//! What a thread asks of a GPU, noted while it runs, so that the same can be asked again without
//! the program that asked it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    allocator::Region,
    array::Array,
    blas::{Operands, Product},
    dnn::{Convolution, Sides},
    driver::{Address, Function, Grid},
    error::CudaError,
    recurrence::{Recurrence, Scene},
};

/// Something that was queued.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    Launch { function: Function, grid: Grid, arguments: Packed },
    Copy { from: Address, to: Address, bytes: usize },
    Zero { at: Address, bytes: usize },
    Upload { bytes: Vec<u8>, to: Address },
    Multiply { product: Product, at: Operands, room: Region },
    Convolve { convolution: Convolution, at: Sides, room: Region },
    Recur { recurrence: Recurrence, at: Scene, room: Region },
}

/// The arguments of a kernel, one behind the other.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Packed {
    pub(super) bytes: Vec<u8>,
    /// Where each begins.
    pub(super) starts: Vec<usize>,
}

impl Packed {
    /// How arguments are aligned: as much as any needs.
    const ALIGNMENT: usize = 16;

    pub(super) fn push(&mut self, argument: &[u8]) {
        let start = self.bytes.len().next_multiple_of(Packed::ALIGNMENT);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(argument);
        self.starts.push(start);
    }
}

/// Numbers that differ each time, as bytes.
pub(crate) type Next = Box<dyn FnMut() -> Vec<u8> + Send>;

/// Memory for numbers that differ each time, where kernels look for them.
#[derive(Default)]
pub(crate) struct Cells {
    buffers: Vec<Buffer>,
    /// Which buffer, where in it, and what comes there.
    varying: Vec<(usize, usize, Next)>,
}

struct Buffer {
    array: Array,
    bytes: Vec<u8>,
}

impl Cells {
    /// Every number has so many bytes.
    pub(super) const CELL: usize = 64;

    /// How many bytes a buffer has.
    pub(super) const LENGTH: usize = 256 * Cells::CELL;

    fn has_room(&self) -> bool {
        self.buffers.last().is_some_and(|buffer| buffer.bytes.len() < Cells::LENGTH)
    }

    fn add(&mut self, next: Next) -> Option<Address> {
        let buffer = self.buffers.last_mut()?;
        let start = buffer.bytes.len();
        buffer.bytes.resize(start + Cells::CELL, 0);
        let at = buffer.array.address_of(start);
        self.varying.push((self.buffers.len() - 1, start, next));
        Some(at)
    }

    /// What comes into memory for the next time, and where.
    pub(super) fn advance(&mut self) -> impl Iterator<Item = (&[u8], Address)> {
        for (buffer, start, next) in &mut self.varying {
            let bytes = next();
            self.buffers[*buffer].bytes[*start..][..bytes.len()].copy_from_slice(&bytes);
        }
        self.buffers.iter().map(|buffer| (&buffer.bytes[..], buffer.array.address()))
    }
}

/// What a thread asked of one GPU, in order.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) operations: Vec<Operation>,
    pub(crate) cells: Cells,
    /// Why it cannot be done again without the program.
    pub(crate) obstacle: Option<String>,
}

/// A recording on the way.
struct Recorder {
    gpu: usize,
    pool: usize,
    recording: Recording,
    /// Elements that nothing has needed yet.
    waiting: Vec<Weak<Array>>,
}

thread_local! {
    static IS_ACTIVE: Cell<bool> = const { Cell::new(false) };
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Whether this thread records.
#[inline]
pub(crate) fn is_active() -> bool {
    IS_ACTIVE.get()
}

fn with<R>(f: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
    if !is_active() {
        return None;
    }
    RECORDER.with_borrow_mut(|recorder| recorder.as_mut().map(f))
}

/// Records what this thread asks of GPU number `gpu` from now on, which takes memory from `pool`.
pub(crate) fn begin(gpu: usize, pool: usize) {
    let recorder =
        Recorder { gpu, pool, recording: Recording::default(), waiting: Vec::new() };
    RECORDER.set(Some(recorder));
    IS_ACTIVE.set(true);
}

/// Ends what [`begin`] began, once all is queued that waits.
pub(crate) fn end() -> Result<Recording, CudaError> {
    let waiting = with(|recorder| std::mem::take(&mut recorder.waiting));
    let queued: Result<(), CudaError> =
        waiting.unwrap_or_default().iter().filter_map(Weak::upgrade).try_for_each(
            // What a longer chain has in it is computed there.
            |array| array.compute(),
        );
    IS_ACTIVE.set(false);
    let recorder = RECORDER.take();
    queued.map(|()| recorder.map(|recorder| recorder.recording).unwrap_or_default())
}

/// Forgets what [`begin`] began.
pub(crate) fn abandon() {
    IS_ACTIVE.set(false);
    RECORDER.set(None);
}

/// Notes what was queued on a GPU.
#[inline]
pub(super) fn note(gpu: usize, operation: impl FnOnce() -> Operation) {
    if is_active() {
        with(|recorder| {
            if recorder.gpu == gpu {
                recorder.recording.operations.push(operation());
            } else {
                recorder.hinder(format_args!("it works on cuda:{gpu} too"));
            }
        });
    }
}

/// A place in memory for a number that `next` gives each time, if there is room for it.
pub(super) fn cell(next: Next) -> Result<Address, Next> {
    let mut next = Some(next);
    let at = with(|recorder| {
        let cells = &mut recorder.recording.cells;
        cells.has_room().then(|| cells.add(next.take()?)).flatten()
    });
    at.flatten().ok_or_else(|| next.expect("it was not taken"))
}

/// Gives room for numbers.
pub(super) fn add_cells(array: Array) {
    with(|recorder| {
        let bytes = Vec::with_capacity(Cells::LENGTH);
        recorder.recording.cells.buffers.push(Buffer { array, bytes });
    });
}

/// Notes that something is done that cannot be done again without the program.
pub(crate) fn hinder(why: impl fmt::Display) {
    with(|recorder| recorder.hinder(why));
}

impl Recorder {
    fn hinder(&mut self, why: impl fmt::Display) {
        self.recording.obstacle.get_or_insert_with(|| why.to_string());
    }
}

/// Notes elements that wait.
pub(super) fn waits(array: &Arc<Array>) {
    with(|recorder| recorder.waiting.push(Arc::downgrade(array)));
}

/// The pool from which this thread takes memory of a GPU.
#[inline]
pub(super) fn pool(gpu: usize) -> Option<usize> {
    with(|recorder| (recorder.gpu == gpu).then_some(recorder.pool))?
}

/// How often something changed that recordings depend on.
static CHANGES: AtomicUsize = AtomicUsize::new(0);

/// Says that something changed that recordings may depend on, and does not show in what was asked
/// of the GPU: memory that they use, the seed of random numbers, an optimizer's learning rate.
pub(crate) fn outdate() {
    CHANGES.fetch_add(1, Relaxed);
}

pub(crate) fn changes() -> usize {
    CHANGES.load(Relaxed)
}
