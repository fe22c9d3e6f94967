//! The rules of optimizers, one pass over parameters, gradients and memories; a launch for many
//! parameters.

use std::{collections::HashSet, sync::Arc};

use super::{done, place_of_any};
use crate::{
    device::{
        Storage,
        cuda::{
            Arguments, Array, CudaError, Gpu, Grid, Kernel, OPTIMIZER, chain, recording,
        },
        write_all_on_gpu,
    },
    dtype::DType,
    shape::Shape,
    tensor::Tensor,
};

/// The numbers of a rule; `Rule` in `optimizer.cu` says what they mean to which.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Rule {
    pub(crate) lr: f64,
    pub(crate) decay: f64,
    pub(crate) rest: [f64; 5],
}

impl Rule {
    fn bytes(self) -> Vec<u8> {
        let Rule { lr, decay, rest } = self;
        [lr, decay].into_iter().chain(rest).flat_map(f64::to_ne_bytes).collect()
    }
}

/// The rules of later steps, one after the other, where they differ.
pub(crate) type Later = Box<dyn FnMut() -> Rule + Send>;

/// `Parameter` in `optimizer.cu`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Entry {
    values: u64,
    gradients: u64,
    memories: [u64; 2],
    cell: u64,
    count: i64,
    before: i64,
}

/// How many fit into one launch: its arguments may have 4 KB.
const MAX_PARAMETERS: usize = 64;

/// Elements that a block takes at a time.
const CHUNK: usize = 1024;

/// Threads of a block, with four elements each.
const THREADS: usize = CHUNK / 4;

/// `Parameters` in `optimizer.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Table {
    rule: Rule,
    code: u32,
    kind: u32,
    count: i64,
    chunks: i64,
    all: [Entry; MAX_PARAMETERS],
}

const _: () = assert!(size_of::<Table>() <= 4096, "what a launch may be given");

impl Table {
    fn new(name: &str, rule: Rule, dtype: DType, entries: &[Entry]) -> Table {
        let mut table = Table {
            rule,
            code: chain::code(name),
            kind: chain::kind(dtype),
            count: entries.len() as i64,
            chunks: 0,
            all: [Entry::default(); MAX_PARAMETERS],
        };
        for (to, from) in table.all.iter_mut().zip(entries) {
            *to = Entry { before: table.chunks, ..*from };
            table.chunks += (from.count as usize).div_ceil(CHUNK) as i64;
        }
        table
    }

    fn grid(&self, gpu: &Gpu) -> Grid {
        let blocks = (self.chunks as usize).min(gpu.blocks() as usize);
        Grid { blocks: [blocks as u32, 1, 1], threads: [THREADS as u32, 1, 1], shared: 0 }
    }
}

/// A parameter whose step waits.
struct Waiting {
    value: Tensor,
    /// Whose elements stay until all is queued, and where they are.
    gradient: Option<(Arc<Array>, u64)>,
    memories: Vec<Tensor>,
    cell: u64,
}

/// Parameters that change by the same kernel and the same numbers.
struct Group {
    gpu: &'static Gpu,
    name: &'static str,
    dtype: DType,
    rule: Rule,
    all: Vec<Waiting>,
}

/// Steps of parameters that wait to be queued, many at once.
#[derive(Default)]
pub(crate) struct Updates {
    groups: Vec<Group>,
    /// The numbers of the storages that change.
    changing: HashSet<usize>,
}

impl Updates {
    /// Lets `value` and `memories` (at most two) change by the rule `name`; whether that can be
    /// done: all are rows on one GPU.
    #[track_caller]
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        rule: Rule,
        later: Option<Later>,
        value: &Tensor,
        gradient: Option<&Tensor>,
        memories: &[Tensor],
    ) -> bool {
        if value.storage.is_host() {
            return false;
        }
        let operands: Vec<&Tensor> =
            [value].into_iter().chain(gradient).chain(memories).collect();
        let Some(gpu) = place_of_any(name, &operands) else { return false };
        let dtype = value.dtype();
        let is_memory = |x: &Tensor| {
            x.is_contiguous() && x.layout.offset == 0 && x.dtype() == dtype.wide()
        };
        if !dtype.is_float()
            || !value.is_contiguous()
            || gradient.is_some_and(|gradient| gradient.dtype() != dtype)
            || !memories.iter().all(is_memory)
        {
            return false;
        }
        if value.numel() == 0 {
            return true;
        }
        let gradient = match gradient.map(Tensor::contiguous) {
            Some(gradient) => {
                let Some(elements) = gradient.storage.on_gpu() else { return false };
                let at = elements.address_of(gradient.layout.offset);
                Some((elements, at))
            }
            None => None,
        };
        if self.changing.contains(&value.storage.number()) {
            // A view of what waits: one step after the other.
            std::mem::take(self).queue();
        }
        self.changing.insert(value.storage.number());
        // Where a kernel that is replayed finds the rule of its step.
        let cell = later.filter(|_| recording::is_active()).map(|mut later| {
            done(gpu.cell(name, &rule.bytes(), Box::new(move || later().bytes())))
        });
        let rule = if cell.is_some() { Rule::default() } else { rule };
        let waiting = Waiting {
            value: value.clone(),
            gradient,
            memories: memories.to_vec(),
            cell: cell.unwrap_or(0),
        };
        let group = self.groups.iter_mut().find(|group| {
            (group.gpu.index(), group.name, group.dtype, group.rule)
                == (gpu.index(), name, dtype, rule)
        });
        match group {
            Some(group) => group.all.push(waiting),
            None => {
                self.groups.push(Group { gpu, name, dtype, rule, all: vec![waiting] });
            }
        }
        true
    }

    /// Queues what waits.
    #[track_caller]
    pub(crate) fn queue(self) {
        for group in &self.groups {
            for part in group.all.chunks(MAX_PARAMETERS) {
                done(group.queue(part));
            }
        }
    }
}

impl Group {
    fn queue(&self, part: &[Waiting]) -> Result<(), CudaError> {
        let Group { gpu, name, dtype, rule, .. } = *self;
        let changed = |one: &'_ Waiting| -> Vec<Storage> {
            [&one.value]
                .into_iter()
                .chain(&one.memories)
                .map(|x| x.storage.clone())
                .collect()
        };
        let storages: Vec<Storage> = part.iter().flat_map(changed).collect();
        write_all_on_gpu(&storages, |arrays| {
            let mut arrays = arrays.iter();
            let entries: Vec<Entry> = part
                .iter()
                .map(|one| {
                    let mut next = || arrays.next().expect("an array for each storage");
                    let values = next().address_of(one.value.layout.offset);
                    let mut memories = [0; 2];
                    for (place, _) in memories.iter_mut().zip(&one.memories) {
                        *place = next().address();
                    }
                    Entry {
                        values,
                        gradients: one.gradient.as_ref().map_or(0, |(_, at)| *at),
                        memories,
                        cell: one.cell,
                        count: one.value.numel() as i64,
                        before: 0,
                    }
                })
                .collect();
            let table = Table::new(name, rule, dtype, &entries);
            let kernel = Kernel::of("update", dtype.wide());
            let arguments = Arguments::new().with(&table);
            // SAFETY: this is the kernel's argument, with places of so many elements each.
            unsafe { gpu.launch(OPTIMIZER, kernel, table.grid(gpu), arguments) }
                .map_err(|error| error.by(name))
        })
    }
}

/// Tensors of one type on one GPU, and their elements, which stay until all is queued.
struct Alike {
    gpu: &'static Gpu,
    dtype: DType,
    entries: Vec<Entry>,
    elements: Vec<Arc<Array>>,
}

/// The squares of all elements of `tensors`, which are floats on GPUs, added up in `f64` to a few
/// sums, on each GPU some.
#[track_caller]
pub(crate) fn squares(op: &'static str, tensors: &[Tensor]) -> Vec<Tensor> {
    let mut groups: Vec<Alike> = Vec::new();
    for x in tensors.iter().filter(|x| x.numel() > 0) {
        let (x, dtype) = (x.contiguous(), x.dtype());
        let gpu = place_of_any(op, &[&x]).expect("it is on a GPU");
        let elements = x.storage.on_gpu().expect("it is on a GPU");
        let values = elements.address_of(x.layout.offset);
        let entry = Entry { values, count: x.numel() as i64, ..Entry::default() };
        let known = groups
            .iter()
            .position(|group| group.gpu.index() == gpu.index() && group.dtype == dtype);
        let place = known.unwrap_or(groups.len());
        if known.is_none() {
            groups.push(Alike { gpu, dtype, entries: Vec::new(), elements: Vec::new() });
        }
        groups[place].entries.push(entry);
        groups[place].elements.push(elements);
    }
    let mut all = Vec::new();
    for Alike { gpu, dtype, entries, elements } in groups {
        let tables: Vec<Table> = entries
            .chunks(MAX_PARAMETERS)
            .map(|part| Table::new(op, Rule::default(), dtype, part))
            .collect();
        let chunks = tables.iter().map(|table| table.chunks as usize).sum();
        let sums = done(gpu.array(op, DType::F64, chunks));
        let mut first = 0;
        for table in &tables {
            let to = sums.address_of(first);
            first += table.chunks as usize;
            let kernel = Kernel::of("squares", dtype.wide());
            let arguments = Arguments::new().with(table).with(&to);
            // SAFETY: these are the kernel's arguments, with a sum for each chunk.
            let queued =
                unsafe { gpu.launch(OPTIMIZER, kernel, table.grid(gpu), arguments) };
            done(queued.map_err(|error| error.by(op)));
        }
        drop(elements);
        all.push(Tensor::of_array(sums, Shape::new(&[chunks])));
    }
    all
}
