//! One element in, one element out. What computes in `f32`, halves included, waits in a chain
//! until it is needed; other types have a kernel for each function.

use std::sync::Arc;

use super::{Walk, done, flat, grid, place_of_any};
use crate::{
    device::cuda::{
        ARITHMETIC, Arguments, Array, COMPARE, CONVERT, CudaError, Gpu, Grid, Kernel,
        MAP, Program, SLOPE, TRANSPOSE,
        chain::{self, Expression, Operand, Place, is_float_of_chains},
    },
    dtype::{DType, Element, with_dtype},
    layout::{Layout, Rows},
    shape::Shape,
    tensor::Tensor,
};

/// `Operand` in `common.cuh`, of elements or one number of any type.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pointed {
    values: u64,
    /// The number's bytes come first.
    value: [u8; 8],
}

/// An operand, with the elements that must live until the kernel is queued.
struct Side {
    operand: Pointed,
    layout: Layout,
    _elements: Option<Arc<Array>>,
}

impl Side {
    /// `x`, of elements of type `T`, stretched to `shape`.
    #[track_caller]
    fn new<T: Element>(x: &Tensor, shape: Shape) -> Side {
        match x.storage.on_gpu() {
            Some(elements) => Side {
                operand: Pointed { values: elements.address(), value: [0; 8] },
                layout: x.layout.broadcast_to(shape),
                _elements: Some(elements),
            },
            None => Side {
                operand: Pointed {
                    values: 0,
                    value: bytes_of(x.storage.read::<T>()[x.layout.offset]),
                },
                layout: Layout::contiguous(shape),
                _elements: None,
            },
        }
    }
}

/// A number's bytes, and zeros behind them.
fn bytes_of<T: Element>(value: T) -> [u8; 8] {
    let mut bytes = [0; 8];
    // SAFETY: no element is larger, and all its bytes are initialised.
    unsafe {
        std::ptr::copy_nonoverlapping(
            std::ptr::from_ref(&value).cast(),
            bytes.as_mut_ptr(),
            size_of::<T>(),
        );
    }
    bytes
}

/// An operand of a chain: `x` stretched to `shape`.
fn operand(x: &Tensor, shape: Shape) -> Operand {
    match x.storage.waiting_on_gpu() {
        Some(array) => Operand::Elements(array, x.layout.broadcast_to(shape)),
        None => Operand::Number(with_dtype!(x.dtype(), T => {
            x.storage.read::<T>()[x.layout.offset].to_f64() as f32
        })),
    }
}

/// The function `name` of operands, which waits.
#[track_caller]
fn waiting(
    gpu: &'static Gpu,
    name: Option<&'static str>,
    numbers: [f64; 2],
    operands: &[&Tensor],
    shape: Shape,
    dtype: DType,
) -> Tensor {
    let operands = operands.iter().map(|x| operand(x, shape)).collect();
    let expression = done(Expression::new(name, numbers, operands, shape, dtype));
    Tensor::of_array(done(Array::waiting(gpu, expression)), shape)
}

/// Replaces the elements of `x` by the function `name` of operands; whether `x` is on a GPU.
#[track_caller]
fn overwrite(
    gpu: &Gpu,
    name: Option<&'static str>,
    x: &Tensor,
    operands: impl FnOnce(Place) -> Vec<Operand>,
) -> bool {
    done(x.storage.write_on_gpu(|array| {
        let own = Place { address: array.address(), layout: x.layout, dtype: x.dtype() };
        let (shape, dtype) = (x.layout.shape, x.dtype());
        let expression = Expression::new(name, [0.0; 2], operands(own), shape, dtype)?;
        chain::compute(gpu, &expression, own)
    }))
}

#[track_caller]
fn room(gpu: &'static Gpu, op: &'static str, dtype: DType, shape: Shape) -> Array {
    done(gpu.array(op, dtype, shape.numel()))
}

/// The kernel `op` of every element, with two numbers that it may need.
#[track_caller]
pub(crate) fn map(op: &'static str, x: &Tensor, numbers: [f64; 2]) -> Option<Tensor> {
    let gpu = place_of_any(op, &[x])?;
    let (shape, dtype) = (x.layout.shape, x.dtype());
    if is_float_of_chains(dtype) {
        return Some(waiting(gpu, Some(op), numbers, &[x], shape, dtype));
    }
    let out = room(gpu, op, dtype, shape);
    if shape.numel() > 0 {
        with_dtype!(dtype, T => {
            let x = Side::new::<T>(x, shape);
            let walk = Walk::new([&x.layout, &flat(shape)]);
            let [p, q] = numbers.map(T::from_f64);
            let at = out.address();
            let arguments = Arguments::new()
                .with(&walk).with(&x.operand).with(&at).with(&p).with(&q);
            // SAFETY: these are the arguments of `MAP_OF`; the layouts are inside the arrays.
            done(unsafe {
                gpu.launch(MAP, Kernel::of(op, dtype), grid(gpu, shape.numel()), arguments)
            });
        });
    }
    Some(Tensor::of_array(out, shape))
}

/// The kernel `op` of every pair of elements, both operands stretched to `shape`.
#[track_caller]
pub(crate) fn zip(
    op: &'static str,
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    result: DType,
) -> Option<Tensor> {
    let gpu = place_of_any(op, &[a, b])?;
    if is_float_of_chains(a.dtype()) {
        // Beside halves the other one may be a number of `f32`.
        let half = if a.dtype().is_half() { a.dtype() } else { b.dtype() };
        let result = if result == DType::Bool { result } else { half };
        return Some(waiting(gpu, Some(op), [0.0; 2], &[a, b], shape, result));
    }
    let out = room(gpu, op, result, shape);
    done(zip_into(gpu, op, a, b, shape, &out, &flat(shape)));
    Some(Tensor::of_array(out, shape))
}

/// Where the kernel `op` of two operands is.
fn program_of(op: &str, result: DType) -> Program {
    match result {
        DType::Bool => COMPARE,
        _ if op.ends_with("_back") => SLOPE,
        _ => ARITHMETIC,
    }
}

fn zip_into(
    gpu: &Gpu,
    op: &'static str,
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    out: &Array,
    layout: &Layout,
) -> Result<(), CudaError> {
    if shape.numel() == 0 {
        return Ok(());
    }
    with_dtype!(a.dtype(), T => {
        let (a_side, b_side) = (Side::new::<T>(a, shape), Side::new::<T>(b, shape));
        let walk = Walk::new([&a_side.layout, &b_side.layout, layout]);
        let at = out.address();
        let arguments = Arguments::new()
            .with(&walk).with(&a_side.operand).with(&b_side.operand).with(&at);
        // SAFETY: these are the arguments of `ZIP_OF`; the layouts are inside the arrays.
        unsafe {
            let program = program_of(op, out.dtype());
            gpu.launch(program, Kernel::of(op, a.dtype()), grid(gpu, shape.numel()), arguments)
        }
    })
}

/// Replaces every element of `x` by the kernel `op` of it and the one of `source`; whether `x` is
/// on a GPU.
#[track_caller]
pub(crate) fn zip_in_place(op: &'static str, x: &Tensor, source: &Tensor) -> bool {
    let Some(gpu) = place_of_any(op, &[x, source]) else { return false };
    let shape = x.layout.shape;
    // Every thread reads its elements of `x` before it writes them. Elements of `source` in the
    // same storage are read as they were: who holds them makes `write_on_gpu` write to a copy.
    if is_float_of_chains(x.dtype()) {
        let source = operand(source, shape);
        return overwrite(gpu, Some(op), x, |own| vec![Operand::Own(own), source]);
    }
    let source = source.saved();
    done(x.storage.write_on_gpu(|array| {
        if shape.numel() == 0 {
            return Ok(());
        }
        with_dtype!(x.dtype(), T => {
            let own = Pointed { values: array.address(), value: [0; 8] };
            let other = Side::new::<T>(&source, shape);
            let walk = Walk::new([&x.layout, &other.layout, &x.layout]);
            let at = array.address();
            let arguments =
                Arguments::new().with(&walk).with(&own).with(&other.operand).with(&at);
            // SAFETY: as in `zip_into`.
            unsafe {
                gpu.launch(ARITHMETIC, Kernel::of(op, x.dtype()), grid(gpu, shape.numel()), arguments)
            }
        })
    }))
}

fn cast_kernel(from: DType, to: DType) -> Kernel {
    Kernel { name: "cast", types: (Some(from), Some(to)) }
}

fn cast_into(
    gpu: &Gpu,
    x: &Tensor,
    dtype: DType,
    shape: Shape,
    out: &Array,
    layout: &Layout,
) -> Result<(), CudaError> {
    if shape.numel() == 0 {
        return Ok(());
    }
    with_dtype!(x.dtype(), T => {
        let side = Side::new::<T>(x, shape);
        let walk = Walk::new([&side.layout, layout]);
        let at = out.address();
        let arguments = Arguments::new().with(&walk).with(&side.operand).with(&at);
        // SAFETY: these are the arguments of `CAST`; the layouts are inside the arrays.
        unsafe {
            gpu.launch(
                CONVERT,
                cast_kernel(x.dtype(), dtype),
                grid(gpu, shape.numel()),
                arguments,
            )
        }
    })
}

/// Whether chains convert these types.
fn chains_convert(from: DType, to: DType) -> bool {
    (is_float_of_chains(from) || from == DType::Bool) && is_float_of_chains(to)
}

/// The elements converted to `dtype`.
#[track_caller]
pub(crate) fn cast(x: &Tensor, dtype: DType) -> Option<Tensor> {
    let gpu = place_of_any("to_dtype", &[x])?;
    let (shape, from) = (x.layout.shape, x.dtype());
    if chains_convert(from, dtype) {
        return Some(waiting(gpu, None, [0.0; 2], &[x], shape, dtype));
    }
    // Between halves and what chains do not know, `f32` is half-way.
    if from.is_half() || dtype.is_half() {
        return cast(&cast(x, DType::F32)?, dtype);
    }
    let out = room(gpu, "to_dtype", dtype, shape);
    done(cast_into(gpu, x, dtype, shape, &out, &flat(shape)));
    Some(Tensor::of_array(out, shape))
}

/// The elements, row after row, in storage of their own.
#[track_caller]
pub(crate) fn copy(x: &Tensor) -> Option<Tensor> {
    match Rows::new([&x.layout]).as_transposed() {
        Some([_, rows, columns]) if rows.min(columns) > 1 && x.numel() > 0 => {
            transposed(x)
        }
        _ => cast(x, x.dtype()),
    }
}

/// [`copy`] of matrices that lie transposed, one behind the other.
#[track_caller]
fn transposed(x: &Tensor) -> Option<Tensor> {
    const NAME: &str = "copy";
    let gpu = place_of_any(NAME, &[x])?;
    let sizes = Rows::new([&x.layout]).as_transposed()?;
    let elements = x.storage.on_gpu()?;
    let out = room(gpu, NAME, x.dtype(), x.layout.shape);
    let (from, to) = (elements.address_of(x.layout.offset), out.address());
    let [count, rows, columns] = sizes.map(|n| n as i64);
    let arguments = Arguments::new().with(&count).with(&rows).with(&columns);
    let arguments = arguments.with(&from).with(&to);
    const SIDE: usize = 32;
    let squares = sizes[0] * sizes[1].div_ceil(SIDE) * sizes[2].div_ceil(SIDE);
    let grid = Grid {
        blocks: [squares.min(4 * gpu.blocks() as usize) as u32, 1, 1],
        threads: [SIDE as u32, 8, 1],
        shared: 0,
    };
    let name = match x.dtype().size() {
        1 => "transpose_1",
        2 => "transpose_2",
        4 => "transpose_4",
        _ => "transpose_8",
    };
    let kernel = Kernel { name, types: (None, None) };
    // SAFETY: these are the kernel's arguments; as many elements lie in both.
    let launched = unsafe { gpu.launch(TRANSPOSE, kernel, grid, arguments) };
    done(launched);
    Some(Tensor::of_array(out, x.layout.shape))
}

/// Takes over the elements of `source`, of the same type, which broadcasts and may be on another
/// device; whether `x` is on a GPU.
#[track_caller]
pub(crate) fn write(op: &str, x: &Tensor, source: &Tensor) -> bool {
    if x.storage.is_host() {
        return false;
    }
    let source = match source.ndim() {
        0 => source.saved(),
        _ => source.detach().to_device(x.device()).saved(),
    };
    let Some(gpu) = place_of_any(op, &[x, &source]) else { return false };
    if chains_convert(source.dtype(), x.dtype()) {
        let source = operand(&source, x.layout.shape);
        return overwrite(gpu, None, x, |_| vec![source]);
    }
    done(x.storage.write_on_gpu(|array| {
        cast_into(gpu, &source, x.dtype(), x.layout.shape, array, &x.layout)
    }))
}

/// `value`, a tensor without axes, everywhere, on the device of `x`, if that is a GPU.
#[track_caller]
pub(crate) fn constant(x: &Tensor, value: &Tensor, shape: Shape) -> Option<Tensor> {
    let gpu = place_of_any("constant", &[x, value])?;
    let dtype = value.dtype();
    if is_float_of_chains(dtype) {
        return Some(waiting(gpu, None, [0.0; 2], &[value], shape, dtype));
    }
    let out = room(gpu, "constant", dtype, shape);
    done(cast_into(gpu, value, dtype, shape, &out, &flat(shape)));
    Some(Tensor::of_array(out, shape))
}

/// Elements of `a` where `condition` is true, else of `b`, all stretched to `shape`.
#[track_caller]
pub(crate) fn choose(
    condition: &Tensor,
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
) -> Option<Tensor> {
    let gpu = place_of_any("where_", &[condition, a, b])?;
    if is_float_of_chains(a.dtype()) {
        let operands = [condition, a, b];
        return Some(waiting(gpu, Some("where"), [0.0; 2], &operands, shape, a.dtype()));
    }
    let out = room(gpu, "where_", a.dtype(), shape);
    if shape.numel() > 0 {
        with_dtype!(a.dtype(), T => {
            let condition = Side::new::<bool>(condition, shape);
            let (a_side, b_side) = (Side::new::<T>(a, shape), Side::new::<T>(b, shape));
            let walk =
                Walk::new([&condition.layout, &a_side.layout, &b_side.layout, &flat(shape)]);
            let at = out.address();
            let arguments = Arguments::new()
                .with(&walk)
                .with(&condition.operand)
                .with(&a_side.operand)
                .with(&b_side.operand)
                .with(&at);
            // SAFETY: these are the arguments of `CHOOSE`; the layouts are inside the arrays.
            done(unsafe {
                let kernel = Kernel::of("where", a.dtype());
                gpu.launch(CONVERT, kernel, grid(gpu, shape.numel()), arguments)
            });
        });
    }
    Some(Tensor::of_array(out, shape))
}
