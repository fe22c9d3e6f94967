//! Shared, writable memory without locks held while computing.
//!
//! A tensor and its views share one [`Storage`]. Who reads takes a snapshot: a reference
//! count, not a copy. Who writes does it in place while nobody holds a snapshot, else into
//! a fresh copy that then becomes the storage's contents. So `x.add_(&x.i(0))`, a gradient
//! that needs the value of before, and two threads are all right, and nothing can deadlock.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::memory::Block;
use crate::dtype::Element;

/// One allocation, shared by a tensor and its views.
#[derive(Clone)]
pub(crate) struct Storage(Arc<Mutex<Arc<Block>>>);

/// The elements of a storage as they were when they were asked for.
pub(crate) struct Elements<T> {
    block: Arc<Block>,
    element: PhantomData<T>,
}

/// Elements that nobody else has yet, of unspecified value at first: results on the way, and
/// room to work in, from the memory that is kept.
pub(crate) struct Buffer<T> {
    block: Block,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub(crate) fn new(length: usize) -> Buffer<T> {
        Buffer { block: Block::new::<T>(length), element: PhantomData }
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.block.elements()
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.block.elements_mut()
    }
}

impl<T: Element> Deref for Elements<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.block.elements()
    }
}

impl Storage {
    /// A storage with these elements, which are not copied.
    pub(crate) fn new<T: Element>(values: Vec<T>) -> Storage {
        Storage::of(Block::from_vec(values))
    }

    /// A storage with `length` elements, which `fill` must all write; it is called
    /// only if there are some.
    #[inline]
    pub(crate) fn filled<T: Element>(
        length: usize,
        fill: impl FnOnce(&mut [T]),
    ) -> Storage {
        let mut block = Block::new::<T>(length);
        if length > 0 {
            fill(block.elements_mut());
        }
        Storage::of(block)
    }

    pub(crate) fn of_buffer<T: Element>(buffer: Buffer<T>) -> Storage {
        Storage::of(buffer.block)
    }

    fn of(block: Block) -> Storage {
        Storage(Arc::new(Mutex::new(Arc::new(block))))
    }

    /// The elements as they are now.
    #[inline]
    pub(crate) fn read<T: Element>(&self) -> Elements<T> {
        Elements { block: Arc::clone(&self.lock()), element: PhantomData }
    }

    /// Lets `write` change the elements.
    pub(crate) fn write<T: Element>(&self, write: impl FnOnce(&mut [T])) {
        let mut block = self.lock();
        if Arc::get_mut(&mut block).is_none() {
            *block = Arc::new(block.copied());
        }
        let block = Arc::get_mut(&mut block).expect("nobody has the copy yet");
        write(block.elements_mut());
    }

    /// A storage with the elements of now, that later writes here do not reach.
    pub(crate) fn snapshot(&self) -> Storage {
        Storage(Arc::new(Mutex::new(Arc::clone(&self.lock()))))
    }

    pub(crate) fn is(&self, other: &Storage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether no other tensor shares this storage, and nobody reads it: a write would be
    /// seen by nobody else.
    pub(crate) fn is_unshared(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|block| {
            let block = block.get_mut().unwrap_or_else(PoisonError::into_inner);
            Arc::get_mut(block).is_some()
        })
    }

    // No code that can panic half-way leaves a block invalid, so poisoning says nothing.
    fn lock(&self) -> MutexGuard<'_, Arc<Block>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_in_place_unless_a_reader_looks_on() {
        let storage = Storage::new(vec![1.0_f32, 2.0]);
        let before = storage.read::<f32>().as_ptr();
        storage.write::<f32>(|values| values[0] = 5.0);
        assert_eq!(storage.read::<f32>().as_ptr(), before);

        let snapshot = storage.read::<f32>();
        storage.write::<f32>(|values| values[0] = 7.0);
        assert_eq!(snapshot[0], 5.0);
        assert_eq!(storage.read::<f32>()[0], 7.0);
    }
}
