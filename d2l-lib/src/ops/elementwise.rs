//! One element in, one element out.
//!
//! What is specific to a function is one loop over slices ([`map_slice`], [`zip_slices`]),
//! compiled for the widest vectors. Everything around it, rows, broadcasting, threads, is
//! compiled once for each type of elements. A function of `f32` also takes halves, which are
//! widened run by run, and so is what it gives rounded; beside halves an operand without axes
//! may stay `f32`.

use std::borrow::Cow;

use half::{bf16, f16};

use super::{cuda, vector::vectorised};
#[cfg(target_arch = "x86_64")]
use super::{
    tile,
    vector::{Level, level},
};
use crate::{
    autograd::record,
    device::threads,
    dtype::{DType, Element, with_dtype},
    interrupt,
    layout::{Layout, Row, Rows},
    shape::Shape,
    tensor::Tensor,
};

/// Threads are worth while from this many elements for each on.
pub(crate) const GRAIN: usize = 16 * 1024;

/// Elements that do not lie side by side are gathered in runs of this many.
const RUN: usize = 256;

vectorised! {
    fn map_fast[A: Element, R: Element, F: Fn(A) -> R][A, R, F](x: &[A], out: &mut [R], f: &F) {
        for (out, &value) in out.iter_mut().zip(x) {
            *out = f(value);
        }
    }
}

vectorised! {
    fn zip_fast[A: Element, R: Element, F: Fn(A, A) -> R][A, R, F](
        a: &[A], b: &[A], out: &mut [R], f: &F,
    ) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = f(a, b);
        }
    }
}

fn map_slice<A: Element, R: Element, F: Fn(A) -> R>(x: &[A], out: &mut [R], f: &F) {
    if A::FAST {
        return map_fast(x, out, f);
    }
    for (out, &value) in out.iter_mut().zip(x) {
        *out = f(value);
    }
}

fn zip_slices<A: Element, R: Element, F: Fn(A, A) -> R>(
    a: &[A],
    b: &[A],
    out: &mut [R],
    f: &F,
) {
    if A::FAST {
        return zip_fast(a, b, out, f);
    }
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}

/// `f` of every element; on a GPU by the kernel `op`, with two numbers that it may need.
#[track_caller]
pub(crate) fn map<A: Element, R: Element>(
    op: &'static str,
    parameters: [f64; 2],
    x: &Tensor,
    f: impl Fn(A) -> R + Sync,
) -> Tensor {
    if let Some(out) = cuda::map(op, x, parameters) {
        return out;
    }
    map_rows(x, &|x, out| map_slice(x, out, &f))
}

/// `f` of every pair of elements, both operands stretched to `shape`; on a GPU by the kernel `op`.
#[track_caller]
pub(crate) fn zip<A: Element, R: Element>(
    op: &'static str,
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    f: impl Fn(A, A) -> R + Sync,
) -> Tensor {
    let result = if R::DTYPE == DType::Bool { DType::Bool } else { a.dtype() };
    if let Some(out) = cuda::zip(op, a, b, shape, result) {
        return out;
    }
    zip_rows(a, b, shape, &|a, b, out| zip_slices(a, b, out, &f))
}

/// Replaces every element of `x` by `f` of it and the one of `source`, which broadcasts.
#[track_caller]
pub(crate) fn zip_in_place<A: Element>(
    x: &Tensor,
    source: &Tensor,
    f: impl Fn(A, A) -> A + Sync,
) {
    interrupt::check();
    zip_rows_in_place(x, source, &|a, b, out| zip_slices(a, b, out, &f));
}

vectorised! {
    fn convert_fast[A: Element, R: Element][A, R](x: &[A], out: &mut [R]) {
        convert_each(x, out);
    }
}

#[inline(always)]
fn convert_each<A: Element, R: Element>(x: &[A], out: &mut [R]) {
    let pairs = out.iter_mut().zip(x);
    if A::DTYPE.is_float() {
        pairs.for_each(|(out, value)| *out = R::from_f64(value.to_f64()));
    } else {
        pairs.for_each(|(out, value)| *out = R::from_i64(value.to_i64()));
    }
}

/// Writes the elements of `x` in another type.
fn convert<A: Element, R: Element>(x: &[A], out: &mut [R]) {
    if const { A::FAST && R::FAST } {
        convert_fast(x, out);
    } else {
        convert_each(x, out);
    }
}

/// What `run` makes of elements in type `A`, here stored in `H`, and the result in `S`.
fn map_run<H: Element, A: Element, R: Element, S: Element>(
    x: &[H],
    out: &mut [S],
    run: MapRun<A, R>,
) {
    let (mut wide, mut result) = ([A::from_i64(0); RUN], [R::from_i64(0); RUN]);
    for (x, out) in x.chunks(RUN).zip(out.chunks_mut(RUN)) {
        let (wide, result) = (&mut wide[..x.len()], &mut result[..x.len()]);
        convert(x, wide);
        run(wide, result);
        convert(result, out);
    }
}

/// [`map_run`] of two operands.
fn zip_run<H: Element, A: Element, R: Element, S: Element>(
    a: &[H],
    b: &[H],
    out: &mut [S],
    run: ZipRun<A, R>,
) {
    let mut wide = [[A::from_i64(0); RUN]; 2];
    let [wide_a, wide_b] = &mut wide;
    let operands = a.chunks(RUN).zip(b.chunks(RUN));
    let mut result = [R::from_i64(0); RUN];
    for ((a, b), out) in operands.zip(out.chunks_mut(RUN)) {
        let n = out.len();
        convert(a, &mut wide_a[..n]);
        convert(b, &mut wide_b[..n]);
        run(&wide_a[..n], &wide_b[..n], &mut result[..n]);
        convert(&result[..n], out);
    }
}

/// Runs `$body` with `$H` standing for the type of halves, if `$dtype` is one and `$A` is `f32`.
macro_rules! if_half {
    ($dtype:expr, $A:ident, $H:ident => $body:expr) => {
        // So that nothing is compiled for other types.
        if const { matches!($A::DTYPE, DType::F32) } {
            match $dtype {
                DType::F16 => {
                    type $H = f16;
                    return $body;
                }
                DType::BF16 => {
                    type $H = bf16;
                    return $body;
                }
                _ => {}
            }
        }
    };
}

#[track_caller]
fn map_halves<H: Element, A: Element, R: Element>(
    x: &Tensor,
    run: MapRun<A, R>,
) -> Tensor {
    if const { matches!(R::DTYPE, DType::F32) } {
        map_stored::<H, H>(x, &|x, out| map_run(x, out, run))
    } else {
        map_stored::<H, R>(x, &|x, out| map_run(x, out, run))
    }
}

#[track_caller]
fn zip_halves<H: Element, A: Element, R: Element>(
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    run: ZipRun<A, R>,
) -> Tensor {
    let lone = |x: &Tensor| [x.storage.read::<A>()[x.layout.offset]; RUN];
    if a.dtype() != H::DTYPE {
        let a = lone(a);
        return map_halves::<H, A, R>(b, &|b, out| run(&a[..b.len()], b, out));
    }
    if b.dtype() != H::DTYPE {
        let b = lone(b);
        return map_halves::<H, A, R>(a, &|a, out| run(a, &b[..a.len()], out));
    }
    if const { matches!(R::DTYPE, DType::F32) } {
        zip_stored::<H, H>(a, b, shape, &|a, b, out| zip_run(a, b, out, run))
    } else {
        zip_stored::<H, R>(a, b, shape, &|a, b, out| zip_run(a, b, out, run))
    }
}

fn zip_halves_in_place<H: Element, A: Element>(
    x: &Tensor,
    source: &Tensor,
    run: ZipRun<A, A>,
) {
    if source.dtype() != H::DTYPE {
        let lone = [source.storage.read::<A>()[source.layout.offset]; RUN];
        let any = Tensor::new(vec![H::from_i64(0)], Shape::new(&[]));
        return zip_stored_in_place::<H>(x, &any, &|old, _, out| {
            map_run::<H, A, A, H>(old, out, &|old, out| {
                run(old, &lone[..old.len()], out)
            });
        });
    }
    zip_stored_in_place::<H>(x, source, &|old, new, out| zip_run(old, new, out, run));
}

#[track_caller]
fn map_rows<A: Element, R: Element>(x: &Tensor, run: MapRun<A, R>) -> Tensor {
    if_half!(x.dtype(), A, H => map_halves::<H, A, R>(x, run));
    map_stored(x, run)
}

#[track_caller]
fn zip_rows<A: Element, R: Element>(
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    run: ZipRun<A, R>,
) -> Tensor {
    let dtype = if a.dtype().is_half() { a.dtype() } else { b.dtype() };
    if_half!(dtype, A, H => zip_halves::<H, A, R>(a, b, shape, run));
    zip_stored(a, b, shape, run)
}

fn zip_rows_in_place<A: Element>(x: &Tensor, source: &Tensor, run: ZipRun<A, A>) {
    if_half!(x.dtype(), A, H => zip_halves_in_place::<H, A>(x, source, run));
    zip_stored_in_place(x, source, run);
}

type MapRun<'a, A, R> = &'a (dyn Fn(&[A], &mut [R]) + Sync);
type ZipRun<'a, A, R> = &'a (dyn Fn(&[A], &[A], &mut [R]) + Sync);

#[track_caller]
fn map_stored<A: Element, R: Element>(x: &Tensor, run: MapRun<A, R>) -> Tensor {
    let values = x.storage.read::<A>();
    Tensor::filled(x.layout.shape, |out| {
        let values = &values[..];
        if x.layout.is_contiguous() {
            let values = &values[x.layout.offset..][..out.len()];
            return threads::rows_mut(out, 1, GRAIN, &|first, out| {
                run(&values[first..first + out.len()], out);
            });
        }
        let rows = Rows::new([&x.layout]);
        let grain = GRAIN.div_ceil(rows.length.max(1));
        threads::rows_mut(out, rows.length, grain, &|first, out| {
            let mut gathered = Gathered::new(values);
            let mut outs = out.chunks_exact_mut(rows.length);
            rows.each(
                first..first + outs.len(),
                |Row { start: [start], step: [step], .. }| {
                    let out = outs.next().expect("one for each row");
                    for (i, out) in out.chunks_mut(gathered.run(step)).enumerate() {
                        let at = start + i * RUN * step;
                        run(gathered.slice(values, at, step, out.len()), out);
                    }
                },
            );
        });
    })
}

#[track_caller]
fn zip_stored<A: Element, R: Element>(
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
    run: ZipRun<A, R>,
) -> Tensor {
    let (a_values, b_values) = (a.storage.read::<A>(), b.storage.read::<A>());
    Tensor::filled(shape, |out| {
        let (a_values, b_values) = (&a_values[..], &b_values[..]);
        let flat = |x: &Layout| x.shape == shape && x.is_contiguous();
        if flat(&a.layout) && flat(&b.layout) {
            let a = &a_values[a.layout.offset..][..out.len()];
            let b = &b_values[b.layout.offset..][..out.len()];
            if out.len() < 2 * GRAIN {
                return run(a, b, out);
            }
            return threads::rows_mut(out, 1, GRAIN, &|first, out| {
                let range = first..first + out.len();
                run(&a[range.clone()], &b[range], out);
            });
        }
        let layouts = [&a.layout.broadcast_to(shape), &b.layout.broadcast_to(shape)];
        let rows = Rows::new(layouts);
        let length = rows.length;
        if rows.count == 1 && length >= 2 * GRAIN {
            // One long row, say of a tensor and a number: cut inside.
            return threads::rows_mut(out, 1, GRAIN, &|first, out| {
                let mut gathered = (Gathered::new(a_values), Gathered::new(b_values));
                rows.each(0..1, |Row { start, step, .. }| {
                    let start = [0, 1].map(|i| start[i] + first * step[i]);
                    zip_row(a_values, b_values, start, step, &mut gathered, out, run);
                });
            });
        }
        let grain = GRAIN.div_ceil(length.max(1));
        threads::rows_mut(out, length, grain, &|first, out| {
            let mut gathered = (Gathered::new(a_values), Gathered::new(b_values));
            let mut outs = out.chunks_exact_mut(length);
            rows.each(first..first + outs.len(), |Row { start, step, .. }| {
                let out = outs.next().expect("one for each row");
                zip_row(a_values, b_values, start, step, &mut gathered, out, run);
            });
        });
    })
}

#[inline]
fn zip_row<A: Element, R: Element>(
    a: &[A],
    b: &[A],
    start: [usize; 2],
    step: [usize; 2],
    gathered: &mut (Gathered<A>, Gathered<A>),
    out: &mut [R],
    run: ZipRun<A, R>,
) {
    let length = if step == [1, 1] { out.len().max(1) } else { RUN };
    for (i, out) in out.chunks_mut(length).enumerate() {
        let at = |j: usize| start[j] + i * length * step[j];
        let a = gathered.0.slice(a, at(0), step[0], out.len());
        let b = gathered.1.slice(b, at(1), step[1], out.len());
        run(a, b, out);
    }
}

fn zip_stored_in_place<A: Element>(x: &Tensor, source: &Tensor, run: ZipRun<A, A>) {
    let values = source.storage.read::<A>();
    let values = &values[..];
    let layouts = [&x.layout, &source.layout.broadcast_to(x.layout.shape)];
    let rows = Rows::new(layouts);
    x.storage.write::<A>(|out| {
        let contiguous = rows.count == 1 && rows.step[0] == 1;
        if contiguous {
            let out = &mut out[x.layout.offset..][..rows.length];
            return threads::rows_mut(out, 1, GRAIN, &|first, out| {
                let mut gathered = (Gathered::new(values), Gathered::new(values));
                rows.each(0..1, |Row { start, step, .. }| {
                    let start = start[1] + first * step[1];
                    in_place_run(out, values, start, step[1], &mut gathered, run);
                });
            });
        }
        let mut gathered = (Gathered::new(values), Gathered::new(values));
        rows.each(0..rows.count, |Row { start, length, step }| {
            if step[0] == 1 {
                let out = &mut out[start[0]..start[0] + length];
                return in_place_run(out, values, start[1], step[1], &mut gathered, run);
            }
            let mut row = vec![out[start[0]]; length];
            let at = |k: usize| start[0] + k * step[0];
            row.iter_mut().enumerate().for_each(|(k, value)| *value = out[at(k)]);
            in_place_run(&mut row, values, start[1], step[1], &mut gathered, run);
            row.into_iter().enumerate().for_each(|(k, value)| out[at(k)] = value);
        });
    });
}

/// A loop never reads what it writes, so the old elements are put aside run by run.
fn in_place_run<A: Element>(
    out: &mut [A],
    values: &[A],
    start: usize,
    step: usize,
    gathered: &mut (Gathered<A>, Gathered<A>),
    run: ZipRun<A, A>,
) {
    for (i, out) in out.chunks_mut(RUN).enumerate() {
        let source = gathered.1.slice(values, start + i * RUN * step, step, out.len());
        let old = gathered.0.copy(out);
        run(old, source, out);
    }
}

/// Room for elements that do not lie side by side.
struct Gathered<T> {
    room: Option<[T; RUN]>,
    any: Option<T>,
}

impl<T: Element> Gathered<T> {
    fn new(values: &[T]) -> Gathered<T> {
        Gathered { room: None, any: values.first().copied() }
    }

    /// How many elements a slice may have.
    fn run(&self, step: usize) -> usize {
        if step == 1 { usize::MAX } else { RUN }
    }

    fn room(&mut self) -> &mut [T; RUN] {
        let any = self.any;
        self.room.get_or_insert_with(|| [any.expect("there are elements"); RUN])
    }

    /// `length` elements of `values`, `step` apart, from `start` on.
    #[inline]
    fn slice<'a>(
        &'a mut self,
        values: &'a [T],
        start: usize,
        step: usize,
        length: usize,
    ) -> &'a [T] {
        if step == 1 {
            return &values[start..start + length];
        }
        let room = &mut self.room()[..length];
        if step == 0 {
            room.fill(values[start]);
        } else {
            let values = values[start..].iter().step_by(step);
            room.iter_mut().zip(values).for_each(|(to, &from)| *to = from);
        }
        room
    }

    fn copy(&mut self, values: &[T]) -> &[T] {
        self.any = self.any.or(values.first().copied());
        let room = &mut self.room()[..values.len()];
        room.copy_from_slice(values);
        room
    }
}

/// The elements, row after row, in storage of their own.
#[track_caller]
pub(crate) fn copy(x: &Tensor) -> Tensor {
    if let Some(out) = cuda::copy(x) {
        return out;
    }
    with_dtype!(x.dtype(), T => match transposed(x) {
        Some([_, rows, columns]) => {
            let values = x.storage.read::<T>();
            let values = &values[x.layout.offset..];
            Tensor::filled(x.layout.shape, |out: &mut [T]| {
                let grain = GRAIN.div_ceil(columns).next_multiple_of(SIDE);
                threads::rows_mut(out, columns, grain, &|first, mut out| {
                    // These rows may be of several matrices.
                    let mut row = first;
                    while !out.is_empty() {
                        let (matrix, from) = (row / rows, row % rows);
                        let count = (rows - from).min(out.len() / columns);
                        let (now, rest) = out.split_at_mut(count * columns);
                        let values = &values[matrix * rows * columns + from..];
                        transpose(values, rows, columns, now);
                        (row, out) = (row + count, rest);
                    }
                });
            })
        }
        None => map_stored::<T, T>(x, &|x, out| out.copy_from_slice(x)),
    })
}

/// If `x` is a run of matrices that lie transposed in memory: how many, their rows and their
/// columns.
fn transposed(x: &Tensor) -> Option<[usize; 3]> {
    let rows = Rows::new([&x.layout]);
    rows.as_transposed().filter(|[_, rows, columns]| *rows > 1 && *columns > 1)
}

/// The side of the blocks in which matrices are transposed.
const SIDE: usize = 16;

/// Writes rows of `columns` elements: columns of `values`, whose elements are `step` apart.
fn transpose<T: Element>(values: &[T], step: usize, columns: usize, out: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if T::DTYPE == DType::F32 && level() == Level::Avx512 {
        // SAFETY: `T` is `f32`, as its dtype says, and `level` found AVX-512.
        return unsafe {
            let (from, to) = (values.as_ptr().cast(), out.as_mut_ptr().cast());
            tile::transpose(
                std::slice::from_raw_parts(from, values.len()),
                step,
                columns,
                std::slice::from_raw_parts_mut(to, out.len()),
            )
        };
    }
    let rows = out.len() / columns;
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            for i in row..rows.min(row + SIDE) {
                for j in column..columns.min(column + SIDE) {
                    out[i * columns + j] = values[j * step + i];
                }
            }
        }
    }
}

/// The elements converted to `dtype`.
#[track_caller]
pub(crate) fn cast(x: &Tensor, dtype: DType) -> Tensor {
    record("to_dtype", converted(x, dtype), &[x], |tape, _| {
        let from = x.dtype();
        tape.edge(x, || move |g: &Tensor| g.to_dtype(from));
    })
}

/// [`cast`] outside the graph.
#[track_caller]
fn converted(x: &Tensor, dtype: DType) -> Tensor {
    if let Some(out) = cuda::cast(x, dtype) {
        return out;
    }
    with_dtype!(x.dtype(), A => with_dtype!(dtype, R => {
        map_stored::<A, R>(x, &|x, out| convert(x, out))
    }))
}

/// The elements for a kernel of `f32` or `f64`, outside the graph if they are halves: these in
/// `f32`. A transposed matrix stays one, and so is read in the order of memory.
#[track_caller]
pub(crate) fn widened(x: &Tensor) -> Cow<'_, Tensor> {
    if !x.dtype().is_half() {
        return Cow::Borrowed(x);
    }
    let columns = x.ndim() >= 2 && x.layout.strides[x.ndim() - 2] == 1;
    let turned = |x: &Tensor| if columns { x.transpose(-1, -2) } else { x.clone() };
    Cow::Owned(turned(&converted(&turned(&x.detach()), DType::F32)))
}

/// `x`, made by a kernel outside the graph, rounded to `dtype` if that is a half.
#[track_caller]
pub(crate) fn rounded(x: Tensor, dtype: DType) -> Tensor {
    if dtype.is_half() { converted(&x, dtype) } else { x }
}

/// Elements of `a` where `condition` is true, else of `b`, all stretched to `shape`.
#[track_caller]
pub(crate) fn choose(condition: &Tensor, a: &Tensor, b: &Tensor, shape: Shape) -> Tensor {
    if let Some(out) = cuda::choose(condition, a, b, shape) {
        return out;
    }
    let conditions = condition.storage.read::<bool>();
    let layouts = [condition, a, b].map(|x| x.layout.broadcast_to(shape));
    let rows = Rows::new(layouts.each_ref());
    with_dtype!(a.dtype(), T => {
        let (a, b) = (a.storage.read::<T>(), b.storage.read::<T>());
        let (conditions, a, b) = (&conditions[..], &a[..], &b[..]);
        Tensor::filled(shape, |out: &mut [T]| {
            let grain = GRAIN.div_ceil(rows.length.max(1));
            threads::rows_mut(out, rows.length, grain, &|first, out| {
                let mut outs = out.chunks_exact_mut(rows.length);
                rows.each(first..first + outs.len(), |Row { start: [c, i, j], step: [r, s, t], .. }| {
                    let out = outs.next().expect("one for each row");
                    for (k, out) in out.iter_mut().enumerate() {
                        *out = if conditions[c + k * r] { a[i + k * s] } else { b[j + k * t] };
                    }
                });
            });
        })
    })
}
