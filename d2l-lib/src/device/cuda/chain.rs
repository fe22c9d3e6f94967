//! Functions of every element that wait until something needs their results: then all that lead
//! to them are computed by one kernel, [`CHAIN`](super::program), which passes over memory once.
//!
//! A result that somebody else holds too, as its tensor is still there or a gradient wants it, is
//! computed for itself and kept; what nobody else holds is never in memory.

use std::{panic::Location, sync::Arc};

use super::{
    array::Array,
    driver::{Address, Grid},
    error::CudaError,
    gpu::{Arguments, Gpu, Kernel},
    program::CHAIN,
    walk::Walk,
};
use crate::{
    dtype::DType,
    layout::Layout,
    shape::{MAX_NDIM, Shape},
};

/// How much fits into one chain; as in `chain.cuh`.
const MAX_LEAVES: usize = 8;
const MAX_STEPS: usize = 24;
const STACK: usize = 4;

/// How many elements a thread has at a time.
const LANES: usize = 4;

/// How many operands a function has at most.
const MAX_OPERANDS: usize = 3;

/// A function of every element, of operands of one shape.
pub(crate) struct Expression {
    pub(crate) name: &'static str,
    code: Option<u32>,
    numbers: [f32; 2],
    operands: Vec<Operand>,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    size: Size,
    asked: &'static Location<'static>,
}

/// What a function is of.
pub(crate) enum Operand {
    Number(f32),
    Elements(Arc<Array>, Layout),
    /// Elements that are overwritten with the result.
    Own(Place),
}

/// Elements in memory.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) layout: Layout,
    pub(crate) dtype: DType,
}

/// How much of a chain something needs.
#[derive(Clone, Copy)]
struct Size {
    leaves: usize,
    steps: usize,
    stack: usize,
}

impl Size {
    const LEAF: Size = Size { leaves: 1, steps: 1, stack: 1 };

    fn fits(self) -> bool {
        self.leaves <= MAX_LEAVES && self.steps <= MAX_STEPS && self.stack <= STACK
    }
}

impl Operand {
    /// The expression that would be part of the chain: of an operand that waits, in the order of
    /// `shape`.
    fn waiting(&self, shape: Shape) -> Option<&Arc<Array>> {
        match self {
            Operand::Elements(array, layout)
                if !array.is_computed() && *layout == Layout::contiguous(shape) =>
            {
                Some(array)
            }
            _ => None,
        }
    }

    fn size(&self, shape: Shape) -> Size {
        let Some(array) = self.waiting(shape) else { return Size::LEAF };
        match &*array.expression() {
            Some(expression) if expression.shape == shape => expression.size,
            _ => Size::LEAF,
        }
    }
}

/// Whether elements of this type may be in a chain; it computes in `f32`.
pub(crate) fn is_float_of_chains(dtype: DType) -> bool {
    dtype == DType::F32 || dtype.is_half()
}

impl Expression {
    /// The function `name` of operands stretched to `shape`, with two numbers that it may need;
    /// without a name the only operand itself. What would not fit into one chain is computed now.
    #[track_caller]
    pub(crate) fn new(
        name: Option<&'static str>,
        numbers: [f64; 2],
        operands: Vec<Operand>,
        shape: Shape,
        dtype: DType,
    ) -> Result<Expression, CudaError> {
        debug_assert!(operands.len() <= MAX_OPERANDS);
        let size = loop {
            let sizes: Vec<Size> = operands.iter().map(|x| x.size(shape)).collect();
            let size = Size {
                leaves: sizes.iter().map(|size| size.leaves).sum(),
                // A half is rounded before it goes on.
                steps: sizes.iter().map(|size| size.steps).sum::<usize>() + 2,
                stack: sizes
                    .iter()
                    .enumerate()
                    .map(|(i, s)| i + s.stack)
                    .max()
                    .unwrap_or(0),
            };
            if size.fits() {
                break size;
            }
            let largest = (0..operands.len()).max_by_key(|&i| sizes[i].steps);
            match largest.map(|i| &operands[i]) {
                Some(Operand::Elements(array, _)) => array.compute()?,
                _ => unreachable!("three leaves fit"),
            }
        };
        Ok(Expression {
            name: name.unwrap_or("to_dtype"),
            code: name.map(code),
            numbers: numbers.map(|number| number as f32),
            operands,
            shape,
            dtype,
            size,
            asked: Location::caller(),
        })
    }

    /// An error with the place where this was asked for, as it may be told elsewhere.
    pub(super) fn explain(&self, error: CudaError) -> CudaError {
        CudaError::Waiting { error: Box::new(error), asked: self.asked }
    }
}

/// How kernels call a type; as `Type` in `lanes.cuh`.
pub(crate) fn kind(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::BF16 => 2,
        DType::Bool => 3,
        DType::F64 => 4,
        DType::I64 => 5,
        DType::U8 => 6,
    }
}

/// The code of a function by its name; as `code` in `lanes.cuh`.
pub(crate) fn code(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash | 0x8000_0000
}

/// `Leaf` in `chain.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Leaf {
    values: Address,
    value: f32,
    kind: u32,
    dense: u32,
    /// So that there is no gap.
    end: u32,
}

/// `Step` in `chain.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Step {
    code: u32,
    numbers: [f32; 2],
}

/// `Chain` in `chain.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Chain {
    walk: Walk<{ MAX_LEAVES + 1 }>,
    leaf: [Leaf; MAX_LEAVES],
    result: Leaf,
    count: u32,
    step: [Step; MAX_STEPS],
    end: u32,
}

impl Leaf {
    fn of(place: Place) -> Leaf {
        let Place { address, layout, dtype } = place;
        let dense = layout.is_contiguous() && layout.offset % LANES == 0;
        Leaf {
            values: address,
            kind: kind(dtype),
            dense: dense.into(),
            ..Leaf::default()
        }
    }
}

/// A chain on the way.
struct Builder {
    leaves: Vec<(Leaf, Layout)>,
    steps: Vec<Step>,
}

impl Builder {
    fn leaf(&mut self, leaf: Leaf, layout: Layout) {
        let known = self.leaves.iter().position(|(other, its)| {
            other.values == leaf.values
                && other.value.to_bits() == leaf.value.to_bits()
                && *its == layout
        });
        let place = known.unwrap_or(self.leaves.len());
        if known.is_none() {
            self.leaves.push((leaf, layout));
        }
        self.steps.push(Step { code: place as u32, numbers: [0.0; 2] });
    }

    fn expression(&mut self, expression: &Expression) -> Result<(), CudaError> {
        for operand in &expression.operands {
            self.operand(operand, expression.shape)?;
        }
        if let Some(code) = expression.code {
            self.steps.push(Step { code, numbers: expression.numbers });
        }
        Ok(())
    }

    fn operand(&mut self, operand: &Operand, shape: Shape) -> Result<(), CudaError> {
        let (array, layout) = match operand {
            Operand::Number(value) => {
                let leaf = Leaf { value: *value, ..Leaf::default() };
                self.leaf(leaf, Layout { strides: [0; MAX_NDIM], shape, offset: 0 });
                return Ok(());
            }
            Operand::Own(place) => {
                self.leaf(Leaf::of(*place), place.layout);
                return Ok(());
            }
            Operand::Elements(array, layout) => (array, layout),
        };
        // Nobody else can begin to hold what only this chain holds.
        if operand.waiting(shape).is_some() && Arc::strong_count(array) == 1 {
            let waiting = array.expression();
            if let Some(inner) = waiting.as_deref().filter(|inner| inner.shape == shape) {
                self.expression(inner)?;
                if inner.dtype.is_half() {
                    let code =
                        code(if inner.dtype == DType::F16 { "f16" } else { "bf16" });
                    self.steps.push(Step { code, numbers: [0.0; 2] });
                }
                return Ok(());
            }
        }
        array.compute()?;
        let place =
            Place { address: array.address(), layout: *layout, dtype: array.dtype() };
        self.leaf(Leaf::of(place), *layout);
        Ok(())
    }
}

/// Queues the kernel that computes an expression, and all that waits for it alone.
pub(crate) fn compute(
    gpu: &Gpu,
    expression: &Expression,
    result: Place,
) -> Result<(), CudaError> {
    let shape = expression.shape;
    if shape.numel() == 0 {
        return Ok(());
    }
    let mut builder = Builder { leaves: Vec::new(), steps: Vec::new() };
    builder.expression(expression)?;
    let nothing = Layout { strides: [0; MAX_NDIM], shape, offset: 0 };
    let layout = |n: usize| builder.leaves.get(n).map_or(&nothing, |(_, layout)| layout);
    let layouts =
        std::array::from_fn(|n| if n == MAX_LEAVES { &result.layout } else { layout(n) });
    let mut chain = Chain {
        walk: Walk::new(layouts),
        leaf: [Leaf::default(); MAX_LEAVES],
        result: Leaf::of(result),
        count: builder.steps.len() as u32,
        step: [Step::default(); MAX_STEPS],
        end: 0,
    };
    for (to, (from, _)) in chain.leaf.iter_mut().zip(&builder.leaves) {
        *to = *from;
    }
    chain.step[..builder.steps.len()].copy_from_slice(&builder.steps);
    const THREADS: usize = 256;
    let blocks = shape.numel().div_ceil(LANES * THREADS).min(gpu.blocks() as usize);
    let grid = Grid {
        blocks: [blocks as u32, 1, 1],
        threads: [THREADS as u32, 1, 1],
        shared: 0,
    };
    let kernel = Kernel { name: "chain", types: (None, None) };
    // SAFETY: this is the kernel's argument; the layouts are inside the arrays, which the
    // expression holds.
    let launched =
        unsafe { gpu.launch(CHAIN, kernel, grid, Arguments::new().with(&chain)) };
    launched.map_err(|error| expression.explain(error.by(expression.name)))
}
