//! Shapes, axes and the broadcasting rule: arithmetic on lengths, no tensors.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

/// The largest number of axes a tensor can have.
pub(crate) const MAX_NDIM: usize = 8;

/// The lengths of a tensor's axes.
///
/// Made from an array, a slice, a `Vec` or one number:
/// `Tensor::zeros([2, 3])`, `Tensor::zeros(3)`, `Tensor::zeros([])`. What
/// [`Shape::new`] refuses panics there too.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(Tensor::zeros([2, 3]).numel(), 6);
/// assert_eq!(Tensor::zeros(vec![4]).shape(), [4]);
/// assert_eq!(Tensor::zeros([]).ndim(), 0);
/// ```
#[derive(Clone, Copy)]
pub struct Shape {
    ndim: u8,
    lengths: [usize; MAX_NDIM],
}

impl Shape {
    /// The shape with these lengths.
    ///
    /// # Panics
    /// If there are more than 8 axes, or more elements than any memory has room for.
    ///
    /// ```
    /// assert_eq!(d2l::Shape::new(&[2, 3])[1], 3);
    /// ```
    #[track_caller]
    pub fn new(lengths: &[usize]) -> Shape {
        assert!(
            lengths.len() <= MAX_NDIM,
            "a tensor has at most {MAX_NDIM} axes, not {}",
            lengths.len()
        );
        assert!(
            is_addressable(lengths),
            "a tensor of shape {lengths:?} is larger than any memory"
        );
        let mut shape = Shape { ndim: lengths.len() as u8, lengths: [0; MAX_NDIM] };
        shape.lengths[..lengths.len()].copy_from_slice(lengths);
        shape
    }

    /// The number of elements: the product of the lengths.
    ///
    /// ```
    /// assert_eq!(d2l::Shape::from([2, 3]).numel(), 6);
    /// assert_eq!(d2l::Shape::from([]).numel(), 1);
    /// ```
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    pub(crate) fn as_mut(&mut self) -> &mut [usize] {
        &mut self.lengths[..usize::from(self.ndim)]
    }

    #[track_caller]
    pub(crate) fn inserted(&self, axis: usize, length: usize) -> Shape {
        let mut lengths = self.to_vec();
        lengths.insert(axis, length);
        Shape::new(&lengths)
    }

    pub(crate) fn removed(&self, axis: usize) -> Shape {
        let mut lengths = self.to_vec();
        lengths.remove(axis);
        Shape::new(&lengths)
    }

    /// The same shape with another length along `axis`.
    #[track_caller]
    pub(crate) fn with(&self, axis: usize, length: usize) -> Shape {
        let mut shape = *self;
        shape.as_mut()[axis] = length;
        Shape::new(&shape)
    }
}

/// Whether no product of some of the lengths exceeds the elements that memory has addresses
/// for: so neither numbers of elements nor strides overflow, also of parts of empty tensors.
pub(crate) fn is_addressable(lengths: &[usize]) -> bool {
    const MOST: usize = isize::MAX as usize / size_of::<f64>();
    lengths.iter().fold(1, |all: usize, &n| all.saturating_mul(n.max(1))) <= MOST
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.lengths[..usize::from(self.ndim)]
    }
}

// Few shapes have all the axes there is room for: lengths are compared one by one.
impl PartialEq for Shape {
    #[inline]
    fn eq(&self, other: &Shape) -> bool {
        self.ndim == other.ndim && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(lengths: [usize; N]) -> Shape {
        Shape::new(&lengths)
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(lengths: &[usize]) -> Shape {
        Shape::new(lengths)
    }
}

impl From<Vec<usize>> for Shape {
    #[track_caller]
    fn from(lengths: Vec<usize>) -> Shape {
        Shape::new(&lengths)
    }
}

impl From<usize> for Shape {
    #[track_caller]
    fn from(length: usize) -> Shape {
        Shape::new(&[length])
    }
}

/// The shape to which two shapes stretch: aligned at the right, an axis of length 1, or a
/// missing one, takes the other's length.
#[track_caller]
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let ndim = a.len().max(b.len());
    let mut shape = Shape::new(&[1; MAX_NDIM][..ndim]);
    for (axis, length) in shape.as_mut().iter_mut().enumerate() {
        let of = |s: &[usize]| (axis + s.len()).checked_sub(ndim).map_or(1, |i| s[i]);
        *length = match (of(a), of(b)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return None,
        };
    }
    Some(Shape::new(&shape))
}

/// The axis that `axis` names among `ndim`; negative ones count from the end.
#[track_caller]
pub(crate) fn axis_of(op: &str, axis: i64, ndim: usize) -> usize {
    let from_start = if axis < 0 { axis + ndim as i64 } else { axis };
    assert!(
        (0..ndim as i64).contains(&from_start),
        "{op}: axis {axis} does not exist in a tensor with {ndim} axes"
    );
    from_start as usize
}

/// One axis or several, negative ones counting from the end.
///
/// Made from a number or an array: `x.sum_axis(0)`, `x.sum_axis([0, -1])`.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::ones([2, 3, 4]);
/// assert_eq!(x.sum_axis([0, -1]).to_vec(), [8.0; 3]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes(Vec<i64>);

impl Axes {
    /// The axes among `ndim`, as one flag for each.
    #[track_caller]
    pub(crate) fn flags(&self, op: &str, ndim: usize) -> Vec<bool> {
        let mut flags = vec![false; ndim];
        for &axis in &self.0 {
            let axis = axis_of(op, axis, ndim);
            assert!(!flags[axis], "{op}: axis {axis} is named twice in {:?}", self.0);
            flags[axis] = true;
        }
        flags
    }
}

/// The shape asked of `reshape` or `expand`; `-1` leaves a length to be found.
///
/// Made from an array, a slice or a `Vec`: `x.reshape([-1, 4])`.
///
/// ```
/// use d2l::prelude::*;
///
/// assert_eq!(Tensor::ones([2, 6]).reshape([4, -1]).shape(), [4, 3]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetShape(Vec<i64>);

impl TargetShape {
    pub(crate) fn lengths(&self) -> &[i64] {
        &self.0
    }

    /// The lengths, with the one `-1` replaced so that there are `numel` elements.
    #[track_caller]
    pub(crate) fn resolve(&self, op: &str, from: &[usize]) -> Shape {
        let numel: usize = from.iter().product();
        let known: usize =
            self.0.iter().filter(|&&n| n != -1).map(|&n| n.max(0) as usize).product();
        let fits = match self.0.iter().filter(|&&n| n == -1).count() {
            0 => known == numel,
            1 => known != 0 && numel.is_multiple_of(known),
            _ => panic!("{op}: only one length can be -1, not those of {:?}", self.0),
        };
        assert!(
            fits && self.0.iter().all(|&n| n >= -1),
            "{op}: {from:?} has {numel} elements and does not fit into {:?}",
            self.0
        );
        let lengths: Vec<usize> = (self.0.iter())
            .map(|&n| if n == -1 { numel / known } else { n as usize })
            .collect();
        Shape::new(&lengths)
    }
}

macro_rules! from_integers {
    ($name:ident: $($integer:ty),*) => {$(
        impl From<$integer> for $name {
            fn from(value: $integer) -> $name {
                $name(vec![value as i64])
            }
        }

        impl<const N: usize> From<[$integer; N]> for $name {
            fn from(values: [$integer; N]) -> $name {
                $name::from(&values[..])
            }
        }

        impl From<&[$integer]> for $name {
            fn from(values: &[$integer]) -> $name {
                $name(values.iter().map(|&value| value as i64).collect())
            }
        }

        impl From<Vec<$integer>> for $name {
            fn from(values: Vec<$integer>) -> $name {
                $name::from(&values[..])
            }
        }
    )*};
}

from_integers!(Axes: i32, i64, isize, usize);
from_integers!(TargetShape: i32, i64, isize, usize);

impl From<Shape> for TargetShape {
    fn from(shape: Shape) -> TargetShape {
        TargetShape::from(&shape[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_one_and_missing_axes_stretch() {
        let of = |a: &[usize], b: &[usize]| broadcast(a, b).map(|shape| shape.to_vec());
        assert_eq!(of(&[2, 1, 3], &[4, 1]), Some(vec![2, 4, 3]));
        assert_eq!(of(&[], &[3]), Some(vec![3]));
        assert_eq!(of(&[0], &[1]), Some(vec![0]));
        assert_eq!(of(&[0], &[2]), None);
        assert_eq!(of(&[2, 3], &[2]), None);
    }

    #[test]
    fn shapes_beyond_all_addresses_are_refused() {
        const HALF: usize = 1 << 32;
        let is_refused = |shape: &str, make: fn() -> Shape| {
            let panic = std::panic::catch_unwind(make).unwrap_err();
            let message = panic.downcast_ref::<String>().expect("a message");
            let expected = format!("a tensor of shape {shape} is larger than any memory");
            assert_eq!(*message, expected);
        };
        is_refused("[4294967296, 4294967296]", || Shape::new(&[HALF, HALF]));
        is_refused("[0, 4294967296, 4294967296]", || Shape::new(&[0, HALF, HALF]));
        is_refused("[4294967296, 4294967296]", || {
            broadcast(&[HALF, 1], &[1, HALF]).unwrap()
        });
        is_refused("[2, 9223372036854775808]", || Shape::new(&[2, 3]).with(1, 1 << 63));
        assert_eq!(Shape::new(&[0, HALF]).numel(), 0);
    }

    #[test]
    fn minus_one_is_found_from_the_number_of_elements() {
        assert_eq!(&*TargetShape::from([3, -1]).resolve("reshape", &[12]), [3, 4]);
        assert_eq!(&*TargetShape::from([-1]).resolve("reshape", &[2, 0]), [0]);
    }

    #[test]
    #[should_panic(
        expected = "reshape: [12] has 12 elements and does not fit into [5, -1]"
    )]
    fn a_shape_that_does_not_fit_is_refused() {
        TargetShape::from([5, -1]).resolve("reshape", &[12]);
    }
}
