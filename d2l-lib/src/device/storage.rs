//! Shared, writable memory without locks held while computing.
//!
//! A tensor and its views share one [`Storage`]. Who reads takes a snapshot: a reference
//! count, not a copy. Who writes does it in place while nobody holds a snapshot, else into
//! a fresh copy that then becomes the storage's contents. So `x.add_(&x.i(0))`, a gradient
//! that needs the value of before, and two threads are all right, and nothing can deadlock.
//!
//! `Vec` is the allocation of today; only this file and [`Element`] know that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dtype::{DType, Element};

/// The elements of one allocation, by type.
#[derive(Clone)]
pub(crate) enum Buffer {
    Bool(Arc<Vec<bool>>),
    U8(Arc<Vec<u8>>),
    I64(Arc<Vec<i64>>),
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
}

/// One allocation, shared by a tensor and its views.
#[derive(Clone)]
pub(crate) struct Storage(Arc<Mutex<Buffer>>);

impl Storage {
    pub(crate) fn new<T: Element>(values: Vec<T>) -> Storage {
        Storage(Arc::new(Mutex::new(T::wrap(Arc::new(values)))))
    }

    /// The elements as they are now.
    pub(crate) fn read<T: Element>(&self) -> Arc<Vec<T>> {
        let buffer = self.lock();
        Arc::clone(T::unwrap(&buffer).unwrap_or_else(|| wrong_type(T::DTYPE)))
    }

    /// Lets `write` change the elements.
    pub(crate) fn write<T: Element>(&self, write: impl FnOnce(&mut [T])) {
        let mut buffer = self.lock();
        let values = T::unwrap_mut(&mut buffer).unwrap_or_else(|| wrong_type(T::DTYPE));
        write(Arc::make_mut(values).as_mut_slice());
    }

    /// A storage with the elements of now, that later writes here do not reach.
    pub(crate) fn snapshot(&self) -> Storage {
        Storage(Arc::new(Mutex::new(self.lock().clone())))
    }

    pub(crate) fn is(&self, other: &Storage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    // No code that can panic half-way leaves a buffer invalid, so poisoning says nothing.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn wrong_type(asked: DType) -> ! {
    unreachable!("the dtype of a tensor is that of its storage, not {asked}")
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
