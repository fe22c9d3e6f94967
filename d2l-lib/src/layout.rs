//! How a tensor's elements lie in its storage: shape, strides, offset.
//!
//! A view is another layout over the same storage. [`walk`] is the one loop over layouts
//! that every operation uses: it merges axes that lie one behind the other, and hands out
//! rows as long as possible, so kernels see slices most of the time.

use std::ops::Range;

use crate::shape::{MAX_NDIM, Shape};

/// Element `[i, j, …]` is at `offset + i * strides[0] + j * strides[1] + …`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: Shape,
    pub(crate) strides: [usize; MAX_NDIM],
    pub(crate) offset: usize,
}

impl Layout {
    /// Row after row from the start, nothing between.
    pub(crate) fn contiguous(shape: Shape) -> Layout {
        let mut strides = [0; MAX_NDIM];
        let mut step = 1;
        for axis in (0..shape.len()).rev() {
            strides[axis] = step;
            step *= shape[axis].max(1);
        }
        Layout { shape, strides, offset: 0 }
    }

    /// Whether the elements lie row after row, nothing between.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for axis in (0..self.shape.len()).rev() {
            if self.shape[axis] != 1 {
                if self.strides[axis] != step {
                    return self.shape.numel() == 0;
                }
                step *= self.shape[axis];
            }
        }
        true
    }

    /// The same elements stretched to `shape`, which must be one they broadcast to.
    pub(crate) fn broadcast_to(&self, shape: Shape) -> Layout {
        let missing = shape.len() - self.shape.len();
        let mut strides = [0; MAX_NDIM];
        for (axis, &length) in self.shape.iter().enumerate() {
            if length == shape[axis + missing] {
                strides[axis + missing] = self.strides[axis];
            }
        }
        Layout { shape, strides, offset: self.offset }
    }

    /// The part of the storage in which the elements lie.
    pub(crate) fn span(&self) -> Range<usize> {
        if self.shape.numel() == 0 {
            return self.offset..self.offset;
        }
        let axes = self.shape.iter().zip(self.strides);
        let last: usize = axes.map(|(length, stride)| (length - 1) * stride).sum();
        self.offset..self.offset + last + 1
    }

    pub(crate) fn permute(&self, order: &[usize]) -> Layout {
        let mut layout = *self;
        for (to, &from) in order.iter().enumerate() {
            layout.shape.as_mut()[to] = self.shape[from];
            layout.strides[to] = self.strides[from];
        }
        layout
    }

    /// The layout of these axes alone, from `offset` on.
    pub(crate) fn only(&self, axes: &[usize], offset: usize) -> Layout {
        let lengths: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        let mut layout =
            Layout { shape: Shape::new(&lengths), strides: [0; MAX_NDIM], offset };
        for (to, &axis) in axes.iter().enumerate() {
            layout.strides[to] = self.strides[axis];
        }
        layout
    }

    /// Keeps `length` elements of `axis`, every `step`th from `start` on.
    pub(crate) fn slice(
        &self,
        axis: usize,
        start: usize,
        length: usize,
        step: usize,
    ) -> Layout {
        let mut layout = *self;
        layout.shape.as_mut()[axis] = length;
        layout.offset += start * self.strides[axis];
        layout.strides[axis] *= step;
        if layout.shape.contains(&0) {
            // Where nothing is must still be inside the storage.
            layout.offset = 0;
        }
        layout
    }

    /// Fixes `axis` at `position`, and drops it.
    pub(crate) fn select(&self, axis: usize, position: usize) -> Layout {
        let mut layout = self.slice(axis, position, 1, 1);
        layout.shape = self.shape.removed(axis);
        layout.strides.copy_within(axis + 1.., axis);
        layout.strides[MAX_NDIM - 1] = 0;
        layout
    }

    #[track_caller]
    pub(crate) fn unsqueeze(&self, axis: usize) -> Layout {
        let mut layout = *self;
        layout.shape = self.shape.inserted(axis, 1);
        layout.strides.copy_within(axis..MAX_NDIM - 1, axis + 1);
        layout.strides[axis] = 0;
        layout
    }

    /// The same elements under another shape, if strides can say so.
    pub(crate) fn reshape(&self, shape: Shape) -> Option<Layout> {
        if self.is_contiguous() {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(shape) });
        }
        // Match groups of old axes that lie one behind the other with groups of new axes.
        let old: Vec<(usize, usize)> = (self.shape.iter().copied())
            .zip(self.strides)
            .filter(|&(length, _)| length != 1)
            .collect();
        let mut layout = Layout { shape, strides: [0; MAX_NDIM], offset: self.offset };
        let (mut from, mut to) = (0, 0);
        while from < old.len() {
            let (first_from, first_to) = (from, to);
            let (mut old_size, mut new_size) = (old[from].0, 1);
            from += 1;
            while to < shape.len() && (new_size < old_size || shape[to] == 1) {
                new_size *= shape[to];
                to += 1;
                while old_size < new_size {
                    let (length, stride) = *old.get(from)?;
                    if old[from - 1].1 != length * stride {
                        return None;
                    }
                    old_size *= length;
                    from += 1;
                }
            }
            debug_assert!(first_from < from && old_size == new_size);
            let mut step = old[from - 1].1;
            for axis in (first_to..to).rev() {
                layout.strides[axis] = step;
                step *= shape[axis];
            }
        }
        Some(layout)
    }
}

/// One row of [`walk`]: where each operand's row starts, the elements in it, and the
/// operands' steps from one to the next.
pub(crate) struct Row<const N: usize> {
    pub(crate) start: [usize; N],
    pub(crate) length: usize,
    pub(crate) step: [usize; N],
}

/// Calls `row` for every row of the `layouts`, which must have one shape, in order.
pub(crate) fn walk<const N: usize>(layouts: [&Layout; N], row: impl FnMut(Row<N>)) {
    let rows = Rows::new(layouts);
    rows.each(0..rows.count, row);
}

/// The rows of some layouts of one shape, by number.
pub(crate) struct Rows<const N: usize> {
    /// How many rows there are; none if there is no element.
    pub(crate) count: usize,
    /// The elements of each.
    pub(crate) length: usize,
    /// The operands' steps from one element of a row to the next.
    pub(crate) step: [usize; N],
    /// The axes across rows: lengths, and the operands' steps.
    lengths: [usize; MAX_NDIM],
    strides: [[usize; N]; MAX_NDIM],
    outer: usize,
    start: [usize; N],
}

impl<const N: usize> Rows<N> {
    pub(crate) fn new(layouts: [&Layout; N]) -> Rows<N> {
        let shape = layouts[0].shape;
        debug_assert!(layouts.iter().all(|layout| layout.shape == shape));
        // Merge neighbouring axes wherever all operands step evenly across both.
        let mut lengths = [1; MAX_NDIM];
        let mut strides = [[0; N]; MAX_NDIM];
        let mut ndim = 0;
        for axis in (0..shape.len()).filter(|&axis| shape[axis] != 1) {
            let step: [usize; N] = std::array::from_fn(|i| layouts[i].strides[axis]);
            let merges =
                ndim > 0 && (0..N).all(|i| strides[ndim - 1][i] == step[i] * shape[axis]);
            if merges {
                lengths[ndim - 1] *= shape[axis];
                strides[ndim - 1] = step;
            } else {
                lengths[ndim] = shape[axis];
                strides[ndim] = step;
                ndim += 1;
            }
        }
        let outer = ndim.saturating_sub(1);
        let length = lengths[outer];
        let count = if length == 0 { 0 } else { lengths[..outer].iter().product() };
        let start = std::array::from_fn(|i| layouts[i].offset);
        Rows { count, length, step: strides[outer], lengths, strides, outer, start }
    }

    /// If the first operand is a run of matrices that lie transposed in memory, one behind
    /// the other: how many, their rows and their columns.
    pub(crate) fn as_transposed(&self) -> Option<[usize; 3]> {
        let (rows, columns) = match self.outer {
            1 | 2 => (self.lengths[self.outer - 1], self.length),
            _ => return None,
        };
        let transposed = self.strides[self.outer - 1][0] == 1 && self.step[0] == rows;
        let count = if self.outer == 2 { self.lengths[0] } else { 1 };
        let behind = self.outer == 1 || self.strides[0][0] == rows * columns;
        (transposed && behind).then_some([count, rows, columns])
    }

    /// Calls `row` for the rows with these numbers, in order.
    pub(crate) fn each(&self, numbers: Range<usize>, mut row: impl FnMut(Row<N>)) {
        if numbers.is_empty() {
            return;
        }
        let Rows { length, step, lengths, strides, outer, mut start, .. } = *self;
        let mut position = [0; MAX_NDIM];
        let mut left = numbers.start;
        for axis in (0..outer).rev() {
            position[axis] = left % lengths[axis];
            left /= lengths[axis];
            for i in 0..N {
                start[i] += strides[axis][i] * position[axis];
            }
        }
        for _ in numbers {
            row(Row { start, length, step });
            // Count the outer axes up by one, as an odometer does.
            for axis in (0..outer).rev() {
                position[axis] += 1;
                for i in 0..N {
                    start[i] += strides[axis][i];
                }
                if position[axis] < lengths[axis] {
                    break;
                }
                for i in 0..N {
                    start[i] -= strides[axis][i] * lengths[axis];
                }
                position[axis] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(layout: &Layout) -> Vec<usize> {
        let mut offsets = Vec::new();
        walk([layout], |row: Row<1>| {
            offsets.extend((0..row.length).map(|i| row.start[0] + i * row.step[0]));
        });
        offsets
    }

    #[test]
    fn a_contiguous_layout_is_one_row() {
        let layout = Layout::contiguous(Shape::new(&[2, 3, 4]));
        let mut rows = 0;
        walk([&layout], |row: Row<1>| {
            rows += 1;
            assert_eq!((row.length, row.step), (24, [1]));
        });
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_view_spans_no_more_than_its_elements() {
        let whole = Layout::contiguous(Shape::new(&[4, 6]));
        assert_eq!(whole.span(), 0..24);
        assert_eq!(whole.slice(0, 1, 2, 1).span(), 6..18);
        assert_eq!(whole.slice(1, 2, 2, 3).span(), 2..24);
        assert_eq!(whole.select(1, 5).select(0, 2).span(), 17..18);
        assert_eq!(whole.slice(0, 3, 0, 1).span(), 0..0);
    }

    #[test]
    fn a_transposed_layout_is_walked_in_its_own_order() {
        let layout = Layout::contiguous(Shape::new(&[2, 3])).permute(&[1, 0]);
        assert_eq!(offsets(&layout), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn a_view_is_reshaped_without_a_copy_where_strides_allow() {
        let layout = Layout::contiguous(Shape::new(&[4, 6]));
        let columns = layout.slice(1, 0, 4, 1);
        let split = columns.reshape(Shape::new(&[2, 2, 1, 4])).expect("rows stay rows");
        assert_eq!(offsets(&split), offsets(&columns));
        let split = columns.reshape(Shape::new(&[4, 2, 2])).expect("a row splits");
        assert_eq!(offsets(&split), offsets(&columns));
        assert!(columns.reshape(Shape::new(&[16])).is_none());
        assert!(layout.permute(&[1, 0]).reshape(Shape::new(&[2, 12])).is_none());
    }
}
