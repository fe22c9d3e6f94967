//! Shared, writable memory without locks held while computing.
//!
//! A tensor and its views share one [`Storage`]. Who reads takes a snapshot: a reference
//! count, not a copy. Who writes does it in place while nobody holds a snapshot, else into
//! a fresh copy that then becomes the storage's contents. So `x.add_(&x.i(0))`, a gradient
//! that needs the value of before, and two threads are all right, and nothing can deadlock.
//!
//! The elements may be in the memory of a GPU. Who reads or writes them as a slice gets a copy
//! in main memory; kernels work on them where they are.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut, Range},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    Device,
    cuda::{self, Array, Arriving, CudaError, Gpu, Room},
    memory::Block,
};
use crate::dtype::{DType, Element, with_dtype};

/// One allocation, shared by a tensor and its views.
#[derive(Clone)]
pub(crate) struct Storage(Arc<Shared>);

struct Shared {
    memory: Mutex<Arc<Memory>>,
    /// The number of the GPU that has the elements, counted from 1; else 0. It says without a
    /// lock what `memory` says.
    place: AtomicUsize,
}

/// Where elements are.
enum Memory {
    Host(Block),
    Gpu(Arc<Array>),
}

impl Memory {
    #[inline]
    fn host(&self) -> &Block {
        match self {
            Memory::Host(block) => block,
            Memory::Gpu(_) => unreachable!("a reader has the elements in main memory"),
        }
    }

    fn place(&self) -> usize {
        match self {
            Memory::Host(_) => 0,
            Memory::Gpu(array) => array.gpu.index() + 1,
        }
    }

    fn copied(&self) -> Result<Memory, CudaError> {
        Ok(match self {
            Memory::Host(block) => Memory::Host(block.copied()),
            Memory::Gpu(array) => Memory::Gpu(Arc::new(array.copied()?)),
        })
    }

    fn length(&self, dtype: DType) -> usize {
        match self {
            Memory::Host(block) => with_dtype!(dtype, T => block.elements::<T>().len()),
            Memory::Gpu(array) => array.length(),
        }
    }

    /// Some elements in main memory, for `operation`.
    fn to_host(
        &self,
        operation: &'static str,
        dtype: DType,
        part: Range<usize>,
    ) -> Result<Block, CudaError> {
        with_dtype!(dtype, T => {
            let mut block = Block::new::<T>(part.len());
            let to = block.elements_mut::<T>();
            match self {
                Memory::Host(own) => to.copy_from_slice(&own.elements()[part]),
                Memory::Gpu(array) => {
                    // SAFETY: kernels and uploads write only valid elements of the array's type.
                    array.download_from(operation, part.start, unsafe { bytes_mut(to) })?;
                }
            }
            Ok(block)
        })
    }
}

/// # Safety
/// What is written must be elements of `T`.
unsafe fn bytes_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: all bytes of numbers and bools are initialised; the caller writes valid ones.
    unsafe {
        std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values))
    }
}

fn bytes<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: all bytes of numbers and bools are initialised.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The elements of a storage as they were when they were asked for.
pub(crate) struct Elements<T> {
    memory: Arc<Memory>,
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
        self.memory.host().elements()
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

    /// A storage with the elements of an array of a GPU.
    pub(crate) fn of_array(array: Arc<Array>) -> Storage {
        Storage::of_memory(Memory::Gpu(array))
    }

    fn of(block: Block) -> Storage {
        Storage::of_memory(Memory::Host(block))
    }

    #[inline]
    fn of_memory(memory: Memory) -> Storage {
        let place = AtomicUsize::new(memory.place());
        Storage(Arc::new(Shared { memory: Mutex::new(Arc::new(memory)), place }))
    }

    /// Where the elements are.
    pub(crate) fn device(&self) -> Device {
        match self.0.place.load(Relaxed) {
            0 => Device::Cpu,
            number => Device::Cuda(number - 1),
        }
    }

    /// Whether the elements are in main memory.
    #[inline]
    pub(crate) fn is_host(&self) -> bool {
        self.0.place.load(Relaxed) == 0
    }

    /// The elements as they are now, computed, if they are in the memory of a GPU.
    ///
    /// # Panics
    /// If the GPU failed to compute them.
    #[track_caller]
    pub(crate) fn on_gpu(&self) -> Option<Arc<Array>> {
        let array = self.waiting_on_gpu()?;
        match array.compute() {
            Ok(()) => Some(array),
            Err(error) => panic!("{error}"),
        }
    }

    /// The elements as they are now, or what will compute them, if they are in the memory of a
    /// GPU.
    pub(crate) fn waiting_on_gpu(&self) -> Option<Arc<Array>> {
        if self.is_host() {
            return None;
        }
        match &**self.lock() {
            Memory::Gpu(array) => {
                array.watch();
                Some(Arc::clone(array))
            }
            Memory::Host(_) => None,
        }
    }

    /// Lets `write` change the elements in the memory of the GPU that has them, if one does.
    pub(crate) fn write_on_gpu(
        &self,
        write: impl FnOnce(&Array) -> Result<(), CudaError>,
    ) -> Result<bool, CudaError> {
        if self.is_host() {
            return Ok(false);
        }
        let mut memory = self.lock();
        match own_on_gpu(&mut memory)? {
            Some(array) => write(&array).map(|()| true),
            None => Ok(false),
        }
    }

    /// A storage with some of the elements of now on another device.
    pub(crate) fn to_device(
        &self,
        dtype: DType,
        part: Range<usize>,
        device: Device,
    ) -> Result<Storage, CudaError> {
        let memory = Arc::clone(&self.lock());
        memory.to_device(dtype, part, device).map(Storage::of_memory)
    }

    /// Takes the elements, and with them all tensors that share them, to another device.
    pub(crate) fn move_to(&self, dtype: DType, device: Device) -> Result<(), CudaError> {
        let mut memory = self.lock();
        let moved = memory.to_device(dtype, 0..memory.length(dtype), device)?;
        self.0.place.store(moved.place(), Relaxed);
        replace(&mut memory, moved);
        Ok(())
    }

    /// Sends some of the elements of now, which are in main memory, to a room of a GPU.
    pub(crate) fn send(
        &self,
        dtype: DType,
        elements: Range<usize>,
        room: Room,
    ) -> Result<Arriving, CudaError> {
        let memory = Arc::clone(&self.lock());
        with_dtype!(dtype, T => {
            room.fill("to_device", bytes(&memory.host().elements::<T>()[elements]))
        })
    }

    /// The elements as they are now.
    #[inline]
    pub(crate) fn read<T: Element>(&self) -> Elements<T> {
        let memory = Arc::clone(&self.lock());
        if let Memory::Gpu(_) = &*memory {
            return read_back(&memory);
        }
        Elements { memory, element: PhantomData }
    }

    /// Lets `write` change the elements.
    pub(crate) fn write<T: Element>(&self, write: impl FnOnce(&mut [T])) {
        let mut memory = self.lock();
        if let Memory::Gpu(array) = &**memory {
            let (gpu, mut block) = (array.gpu, host::<T>(&memory));
            write(block.elements_mut());
            let array = gpu.upload("a write", T::DTYPE, bytes(block.elements::<T>()));
            let array = array.unwrap_or_else(|error| panic!("{error}"));
            replace(&mut memory, Memory::Gpu(Arc::new(array)));
            return;
        }
        if Arc::get_mut(&mut memory).is_none() {
            *memory = Arc::new(Memory::Host(memory.host().copied()));
        }
        let memory = Arc::get_mut(&mut memory).expect("nobody has the copy yet");
        if let Memory::Host(block) = memory {
            write(block.elements_mut());
        }
    }

    /// A storage with the elements of now, that later writes here do not reach.
    pub(crate) fn snapshot(&self) -> Storage {
        let memory = Arc::clone(&self.lock());
        let place = AtomicUsize::new(memory.place());
        Storage(Arc::new(Shared { memory: Mutex::new(memory), place }))
    }

    /// A number that no other storage has.
    pub(crate) fn number(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    pub(crate) fn is(&self, other: &Storage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether no other tensor shares this storage, and nobody reads it: a write would be
    /// seen by nobody else.
    pub(crate) fn is_unshared(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|shared| {
            let memory = shared.memory.get_mut().unwrap_or_else(PoisonError::into_inner);
            Arc::get_mut(memory).is_some()
        })
    }

    // No code that can panic half-way leaves a block invalid, so poisoning says nothing.
    fn lock(&self) -> MutexGuard<'_, Arc<Memory>> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn to_device(
        &self,
        dtype: DType,
        part: Range<usize>,
        device: Device,
    ) -> Result<Memory, CudaError> {
        const NAME: &str = "to_device";
        let Device::Cuda(index) = device else {
            return self.to_host(NAME, dtype, part).map(Memory::Host);
        };
        let gpu: &'static Gpu = cuda::gpu(index)?;
        let array = with_dtype!(dtype, T => match self {
            Memory::Host(block) => {
                gpu.upload(NAME, dtype, bytes(&block.elements::<T>()[part]))?
            }
            Memory::Gpu(own) if let Some(array) = gpu.bring(NAME, own, part.clone())? => {
                array
            }
            elsewhere => {
                let block = elsewhere.to_host(NAME, dtype, part)?;
                gpu.upload(NAME, dtype, bytes(block.elements::<T>()))?
            }
        });
        Ok(Memory::Gpu(Arc::new(array)))
    }
}

/// Lets `write` change the elements of `storages`, each of them another one, all on one GPU, whose
/// arrays it gets in their order. None can be read in between.
///
/// # Panics
/// If another thread moves one of them to main memory meanwhile.
pub(crate) fn write_all_on_gpu(
    storages: &[Storage],
    write: impl FnOnce(&[Arc<Array>]) -> Result<(), CudaError>,
) -> Result<(), CudaError> {
    // In an order that is the same for all threads, so that none waits for another in a circle.
    let mut order: Vec<usize> = (0..storages.len()).collect();
    order.sort_unstable_by_key(|&i| storages[i].number());
    let mut arrays = vec![None; storages.len()];
    let mut locked = Vec::with_capacity(storages.len());
    for i in order {
        let mut memory = storages[i].lock();
        arrays[i] = own_on_gpu(&mut memory)?;
        locked.push(memory);
    }
    let arrays: Option<Vec<Arc<Array>>> = arrays.into_iter().collect();
    write(&arrays.expect("elements that are written stay on their GPU"))
}

/// The array of elements that nobody else holds, to be changed; a copy if somebody does. Nothing
/// if they are in main memory.
fn own_on_gpu(memory: &mut Arc<Memory>) -> Result<Option<Arc<Array>>, CudaError> {
    let is_shared = match Arc::get_mut(memory) {
        Some(Memory::Gpu(array)) => {
            array.compute()?;
            array.watch();
            // A recording on this thread may know of it, and keeps no share.
            Arc::strong_count(array) > 1
        }
        _ => true,
    };
    if is_shared {
        let copy = memory.copied()?;
        replace(memory, copy);
    }
    match &**memory {
        Memory::Gpu(array) => Ok(Some(Arc::clone(array))),
        Memory::Host(_) => Ok(None),
    }
}

/// Lets a storage have its elements elsewhere.
fn replace(memory: &mut Arc<Memory>, new: Memory) {
    if let Memory::Gpu(array) = &**memory {
        array.leave();
    }
    *memory = Arc::new(new);
}

/// The elements in main memory, where an operation needs them that the GPU cannot do.
///
/// # Panics
/// If the GPU failed, now or in what was asked of it before.
fn host<T: Element>(memory: &Memory) -> Block {
    let all = 0..memory.length(T::DTYPE);
    let block = memory.to_host("reading elements", T::DTYPE, all);
    block.unwrap_or_else(|error| panic!("{error}"))
}

#[cold]
fn read_back<T: Element>(memory: &Memory) -> Elements<T> {
    Elements { memory: Arc::new(Memory::Host(host::<T>(memory))), element: PhantomData }
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
