//! Where the elements of layouts are, as kernels want to know it.

use crate::{layout::Layout, shape::MAX_NDIM};

/// The elements of some layouts of one shape, for kernels; `Walk` in `common.cuh`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Walk<const N: usize> {
    pub(crate) count: i64,
    ndim: i64,
    length: [i64; MAX_NDIM],
    start: [i64; N],
    step: [[i64; MAX_NDIM]; N],
}

impl<const N: usize> Walk<N> {
    pub(crate) fn new(layouts: [&Layout; N]) -> Walk<N> {
        let shape = layouts[0].shape;
        let mut walk = Walk {
            count: shape.numel() as i64,
            ndim: 0,
            length: [1; MAX_NDIM],
            start: layouts.map(|layout| layout.offset as i64),
            step: [[0; MAX_NDIM]; N],
        };
        // Neighbouring axes are one where all layouts step evenly across both.
        let mut ndim = 0;
        for axis in (0..shape.len()).filter(|&axis| shape[axis] != 1) {
            let length = shape[axis] as i64;
            let step = layouts.map(|layout| layout.strides[axis] as i64);
            let merges =
                ndim > 0 && (0..N).all(|n| walk.step[n][ndim - 1] == step[n] * length);
            let place = if merges { ndim - 1 } else { ndim };
            walk.length[place] =
                if merges { walk.length[place] * length } else { length };
            for (n, step) in step.into_iter().enumerate() {
                walk.step[n][place] = step;
            }
            ndim = place + 1;
        }
        walk.ndim = ndim as i64;
        walk
    }

    /// The step of layout `n` from element to element, if it is the same everywhere.
    pub(crate) fn single_step(&self, n: usize) -> Option<i64> {
        match self.ndim {
            0 => Some(0),
            1 => Some(self.step[n][0]),
            _ => None,
        }
    }

    /// The step of layout `n` along the last axis.
    pub(crate) fn last_step(&self, n: usize) -> i64 {
        match self.ndim {
            0 => 1,
            ndim => self.step[n][ndim as usize - 1],
        }
    }
}
