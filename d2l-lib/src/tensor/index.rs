//! `x.i(…)` reads a part of a tensor, `x.set(…, value)` writes one.
//!
//! Numbers and ranges give views; masks and tensors of positions give copies.

use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::{Tensor, Value, create::constant};
use crate::{
    autograd::record,
    dtype::{DType, with_dtype},
    layout::{Layout, Row, walk},
    ops::{
        gather::{Picks, gather, scatter},
        rounded, widened,
    },
    shape::{Shape, broadcast},
};

/// What to take of one axis.
///
/// Made from a number, a range (`1..3`, `..-1`, `..`), or a tensor: of positions (`i64`), or
/// a mask (`bool`, over as many axes as the mask has).
///
/// ```
/// use d2l::{AxisIndex, prelude::*};
///
/// let x = Tensor::arange(0..6);
/// assert_eq!(x.i(AxisIndex::from(1..)).to_vec_i64(), [1, 2, 3, 4, 5]);
/// ```
#[derive(Clone, Debug)]
pub struct AxisIndex(Kind);

#[derive(Clone, Debug)]
enum Kind {
    At(i64),
    Range { start: i64, end: Option<i64>, step: usize },
    Pick(Tensor),
}

impl AxisIndex {
    /// Of what this range takes, every `step`th element:
    /// `x.i(AxisIndex::from(1..).step_by(2))`.
    ///
    /// # Panics
    /// If this is no range, or `step` is 0.
    ///
    /// ```
    /// use d2l::{AxisIndex, prelude::*};
    ///
    /// let x = Tensor::arange(0..6);
    /// assert_eq!(x.i(AxisIndex::from(1..).step_by(2)).to_vec_i64(), [1, 3, 5]);
    /// ```
    #[track_caller]
    pub fn step_by(self, step: usize) -> AxisIndex {
        match self.0 {
            Kind::Range { start, end, step: own } if step > 0 => {
                AxisIndex(Kind::Range { start, end, step: own * step })
            }
            _ => panic!("step_by: needs a range and a step above 0"),
        }
    }
}

/// What to take of the axes of a tensor, from the first on: one [`AxisIndex`], or a tuple of
/// up to six.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::arange(0..6).reshape([2, 3]);
/// assert_eq!(x.i((1, -1)).item(), 5.0);
/// assert_eq!(x.i((.., 1)).to_vec_i64(), [1, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Index(Vec<AxisIndex>);

macro_rules! axis_index_from {
    ($($integer:ty),*) => {$(
        axis_index_from!(@one $integer, |i| Kind::At(i as i64));
        axis_index_from!(@one Range<$integer>, |r| {
            Kind::Range { start: r.start as i64, end: Some(r.end as i64), step: 1 }
        });
        axis_index_from!(@one RangeInclusive<$integer>, |r| {
            Kind::Range { start: *r.start() as i64, end: after(*r.end() as i64), step: 1 }
        });
        axis_index_from!(@one RangeFrom<$integer>, |r| {
            Kind::Range { start: r.start as i64, end: None, step: 1 }
        });
        axis_index_from!(@one RangeTo<$integer>, |r| {
            Kind::Range { start: 0, end: Some(r.end as i64), step: 1 }
        });
        axis_index_from!(@one RangeToInclusive<$integer>, |r| {
            Kind::Range { start: 0, end: after(r.end as i64), step: 1 }
        });
    )*};
    (@one $type:ty, |$value:ident| $kind:expr) => {
        impl From<$type> for AxisIndex {
            fn from($value: $type) -> AxisIndex {
                AxisIndex($kind)
            }
        }

        impl From<$type> for Index {
            fn from(value: $type) -> Index {
                Index(vec![value.into()])
            }
        }
    };
}

/// The end of a range that includes `last`; after −1 that is the end of the axis.
fn after(last: i64) -> Option<i64> {
    if last == -1 { None } else { Some(last + 1) }
}

axis_index_from!(i32, i64, isize, usize);
axis_index_from!(@one RangeFull, |_all| Kind::Range { start: 0, end: None, step: 1 });
axis_index_from!(@one Tensor, |positions| Kind::Pick(positions));
axis_index_from!(@one &Tensor, |positions| Kind::Pick(positions.clone()));

impl From<AxisIndex> for Index {
    fn from(index: AxisIndex) -> Index {
        Index(vec![index])
    }
}

macro_rules! index_from_tuple {
    ($($name:ident),*) => {
        impl<$($name: Into<AxisIndex>),*> From<($($name,)*)> for Index {
            #[expect(non_snake_case, reason = "one variable for each type parameter")]
            fn from(($($name,)*): ($($name,)*)) -> Index {
                Index(vec![$($name.into()),*])
            }
        }
    };
}

index_from_tuple!(A);
index_from_tuple!(A, B);
index_from_tuple!(A, B, C);
index_from_tuple!(A, B, C, D);
index_from_tuple!(A, B, C, D, E);
index_from_tuple!(A, B, C, D, E, F);

impl Tensor {
    /// A part of the elements.
    ///
    /// | index | takes | |
    /// |---|---|---|
    /// | `x.i(1)`, `x.i(-1)` | one element of the first axis, which goes | view |
    /// | `x.i(1..3)`, `x.i(..-1)` | a range; negative ends count from the end | view |
    /// | `x.i((.., 1))` | the same for several axes | view |
    /// | `x.i(&mask)` | elements where a bool tensor is true | copy |
    /// | `x.i(&positions)` | elements at the positions in an `i64` tensor | copy |
    ///
    /// A number takes an axis away, a range shortens it. A mask lies over one axis or several
    /// and puts one in their place, whose length is the number of true elements; positions put
    /// their own axes there. Several masks and tensors of positions broadcast and go through
    /// their elements together; if their axes are not neighbours, what is put there comes first.
    ///
    /// # Panics
    /// If the index names more axes than there are, or elements outside; if a range ends before
    /// its start or beyond the axis; if a mask has another shape than the axes it lies over, or
    /// positions are floats or do not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..12.0).reshape([3, 4]);
    /// assert_eq!(x.i((-1, 1..3)).to_vec(), [9.0, 10.0]);
    /// assert_eq!(x.i(&x.gt(9.0)).to_vec(), [10.0, 11.0]);
    /// assert_eq!(x.i((tensor([2, 0]), 0)).to_vec(), [8.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn i(&self, index: impl Into<Index>) -> Tensor {
        self.part_at(index.into())
    }

    #[track_caller]
    fn part_at(&self, index: Index) -> Tensor {
        let selection = Selection::new("i", self.shape(), index);
        if selection.picks.is_empty() {
            return self.part("i", move |layout| selection.basic(layout));
        }
        let (picks, shape) = selection.picks(&self.layout);
        let out = gather(self, &picks, shape);
        let from = self.layout.shape;
        record("i", out, &[self], |tape, _| {
            tape.edge(self, || {
                move |g: &Tensor| {
                    let whole = constant(from, g.dtype().wide(), Value::Float(0.0));
                    let (picks, _) = selection.picks(&whole.layout);
                    crate::dtype::with_float!(g.dtype(), T => {
                        scatter::<T>(&whole, &picks, &widened(g), |sum, g| sum + g)
                    });
                    rounded(whole, g.dtype())
                }
            });
        })
    }

    /// Writes `value`, a number or a tensor that broadcasts, to the part of the elements
    /// that [`i`](Tensor::i) would read.
    ///
    /// # Panics
    /// Where `i` does, and if `value` does not broadcast to the shape of the part, or a gradient
    /// would have to flow through the write.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([2, 3]);
    /// x.set((.., 0), 1.0);
    /// x.set(x.eq(0.0), 5.0);
    /// assert_eq!(x.to_vec(), [1.0, 5.0, 5.0, 1.0, 5.0, 5.0]);
    /// ```
    #[track_caller]
    pub fn set<'a>(&self, index: impl Into<Index>, value: impl Into<Value<'a>>) {
        self.write_at(index.into(), value.into());
    }

    #[track_caller]
    fn write_at(&self, index: Index, value: Value) {
        let selection = Selection::new("set", self.shape(), index);
        self.forbid_recorded_write("set", None);
        self.refuse_overlap("set");
        if selection.picks.is_empty() {
            let part = self.with_layout(selection.basic(&self.layout));
            return part.write("set", value);
        }
        let (picks, shape) = selection.picks(&self.layout);
        let source = constant(shape, self.dtype(), Value::Float(0.0));
        source.write("set", value);
        with_dtype!(self.dtype(), T => scatter::<T>(self, &picks, &source, |_, new| new));
    }

    /// The positions of the elements that are not 0, one row for each, one column for each
    /// axis: `i64`, `(count, axes)`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[0, 7], [8, 0]]);
    /// assert_eq!(x.nonzero().to_vec_i64(), [0, 1, 1, 0]);
    /// ```
    #[track_caller]
    pub fn nonzero(&self) -> Tensor {
        let columns = nonzero_columns(self);
        // A number has no axes; it is one position without coordinates, or none.
        let number = || self.to_vec_bool().into_iter().filter(|is| *is).count();
        let rows = columns.first().map_or_else(number, Vec::len);
        let positions =
            (0..rows).flat_map(|i| columns.iter().map(move |column| column[i]));
        Tensor::new(positions.collect::<Vec<i64>>(), Shape::new(&[rows, self.ndim()]))
            .to_device(self.device())
    }
}

/// The positions of the elements that are not 0: one vector for each axis.
fn nonzero_columns(x: &Tensor) -> Vec<Vec<i64>> {
    let mut columns = vec![Vec::new(); x.ndim()];
    for (mut at, _) in x.to_vec_bool().into_iter().enumerate().filter(|(_, is)| *is) {
        for (axis, &length) in x.shape().iter().enumerate().rev() {
            columns[axis].push((at % length) as i64);
            at /= length;
        }
    }
    columns
}

/// An index, checked against a shape.
struct Selection {
    /// What numbers and ranges do, axis by axis.
    steps: Vec<Step>,
    /// For each axis left after `steps` that is picked from: its number, and the positions.
    picks: Vec<(usize, Tensor)>,
}

enum Step {
    Select { axis: usize, at: usize },
    Slice { axis: usize, start: usize, length: usize, step: usize },
}

impl Selection {
    #[track_caller]
    fn new(op: &str, shape: &[usize], index: Index) -> Selection {
        let (mut steps, mut picks) = (Vec::new(), Vec::new());
        // `from` counts the axes of the tensor, `to` those of what is taken.
        let (mut from, mut to) = (0, 0);
        for AxisIndex(kind) in index.0 {
            match kind {
                Kind::At(at) => {
                    let at = place(op, at, length_of(op, shape, from), shape);
                    steps.push(Step::Select { axis: to, at });
                    from += 1;
                }
                Kind::Range { start, end, step } => {
                    let (start, length) =
                        range(op, start, end, length_of(op, shape, from), shape);
                    steps.push(Step::Slice {
                        axis: to,
                        start,
                        length: length.div_ceil(step),
                        step,
                    });
                    (from, to) = (from + 1, to + 1);
                }
                Kind::Pick(mask) if mask.dtype() == DType::Bool => {
                    let fits = shape[from.min(shape.len())..].starts_with(mask.shape());
                    assert!(
                        fits && mask.ndim() > 0,
                        "{op}: a mask of shape {:?} does not lie over shape {shape:?}",
                        mask.shape()
                    );
                    for column in nonzero_columns(&mask) {
                        let rows = Shape::new(&[column.len()]);
                        picks.push((to, Tensor::new(column, rows)));
                        (from, to) = (from + 1, to + 1);
                    }
                }
                Kind::Pick(positions) => {
                    let dtype = positions.dtype();
                    assert!(
                        !dtype.is_float(),
                        "{op}: positions are whole numbers, not {dtype}"
                    );
                    let length = length_of(op, shape, from);
                    let mut found = positions.to_vec_i64();
                    for at in &mut found {
                        *at = place(op, *at, length, shape) as i64;
                    }
                    picks.push((to, Tensor::new(found, positions.layout.shape)));
                    (from, to) = (from + 1, to + 1);
                }
            }
        }
        Selection { steps, picks }
    }

    /// What numbers and ranges leave of a layout.
    fn basic(&self, layout: &Layout) -> Layout {
        self.steps.iter().fold(*layout, |layout, step| match *step {
            Step::Select { axis, at } => layout.select(axis, at),
            Step::Slice { axis, start, length, step } => {
                layout.slice(axis, start, length, step)
            }
        })
    }

    /// Where in the storage the elements are, and the shape of them all.
    ///
    /// The axes of the positions take the place of those picked from; if these are not
    /// neighbours, they come first (NumPy's rule).
    #[track_caller]
    fn picks(&self, layout: &Layout) -> (Picks, Shape) {
        let layout = self.basic(layout);
        let mut picked = Shape::new(&[]);
        for (_, positions) in &self.picks {
            let Some(both) = broadcast(&picked, positions.shape()) else {
                panic!(
                    "i: positions of shapes {picked:?} and {:?} do not broadcast",
                    positions.shape()
                )
            };
            picked = both;
        }
        let axes: Vec<usize> = self.picks.iter().map(|(axis, _)| *axis).collect();
        let neighbours = axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let place = if neighbours { axes[0] } else { 0 };
        let rest: Vec<usize> =
            (0..layout.shape.len()).filter(|a| !axes.contains(a)).collect();
        let (before, after) = rest.split_at(place);

        let mut offsets = vec![0; picked.numel()];
        for (axis, positions) in &self.picks {
            let stretched = positions.with_layout(positions.layout.broadcast_to(picked));
            for (offset, at) in offsets.iter_mut().zip(stretched.to_vec_i64()) {
                *offset += at as usize * layout.strides[*axis];
            }
        }
        let mut starts = Vec::new();
        walk(
            [&layout.only(before, layout.offset)],
            |Row { start: [start], length, step: [step] }| {
                for i in 0..length {
                    starts.extend(offsets.iter().map(|offset| start + i * step + offset));
                }
            },
        );
        let block = layout.only(after, 0);
        let lengths =
            [&layout.only(before, 0).shape[..], &picked[..], &block.shape[..]].concat();
        (Picks { starts, block }, Shape::new(&lengths))
    }
}

#[track_caller]
fn length_of(op: &str, shape: &[usize], axis: usize) -> usize {
    match shape.get(axis) {
        Some(&length) => length,
        None => panic!("{op}: the index names more axes than shape {shape:?} has"),
    }
}

#[track_caller]
fn place(op: &str, at: i64, length: usize, shape: &[usize]) -> usize {
    let from_start = if at < 0 { at + length as i64 } else { at };
    assert!(
        (0..length as i64).contains(&from_start),
        "{op}: position {at} is outside an axis of length {length} of shape {shape:?}"
    );
    from_start as usize
}

#[track_caller]
fn range(
    op: &str,
    start: i64,
    end: Option<i64>,
    length: usize,
    shape: &[usize],
) -> (usize, usize) {
    let full = length as i64;
    let from_start = |at: i64| if at < 0 { at + full } else { at };
    let (first, last) = (from_start(start), end.map_or(full, from_start));
    assert!(
        0 <= first && first <= last && last <= full,
        "{op}: range {start}..{} is outside an axis of length {length} of shape {shape:?}",
        end.map_or(String::new(), |end| end.to_string())
    );
    (first as usize, (last - first) as usize)
}
