//! Elements picked by number, and put back.

use crate::{
    dtype::{Element, with_dtype},
    interrupt,
    layout::{Layout, Row, walk},
    shape::Shape,
    tensor::Tensor,
};

/// Which blocks of a storage a list of positions means: every position is the start of a
/// `block`, a small layout of its own with offset 0.
pub(crate) struct Picks {
    pub(crate) starts: Vec<usize>,
    pub(crate) block: Layout,
}

impl Picks {
    /// Calls `each` with the place in the storage of every element picked, in order.
    fn for_each(&self, mut each: impl FnMut(usize)) {
        for &start in &self.starts {
            let block = Layout { offset: start, ..self.block };
            walk([&block], |Row { start: [start], length, step: [step] }| {
                (0..length).for_each(|i| each(start + i * step));
            });
        }
    }
}

/// The picked elements, in storage of their own.
#[track_caller]
pub(crate) fn gather(x: &Tensor, picks: &Picks, shape: Shape) -> Tensor {
    with_dtype!(x.dtype(), T => {
        let values = x.storage.read::<T>();
        let mut out: Vec<T> = Vec::with_capacity(shape.numel());
        picks.for_each(|at| out.push(values[at]));
        Tensor::new(out, shape)
    })
}

/// Writes the elements of `source`, in order, to the picked places of `x`.
#[track_caller]
pub(crate) fn scatter<T: Element>(
    x: &Tensor,
    picks: &Picks,
    source: &Tensor,
    join: impl Fn(T, T) -> T,
) {
    interrupt::check();
    let values = source.to_vec_of::<T>();
    let mut values = values.into_iter();
    x.storage.write::<T>(|out| {
        picks.for_each(|at| {
            let value = values.next().expect("one value for each place");
            out[at] = join(out[at], value);
        });
    });
}
