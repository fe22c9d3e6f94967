//! Blocks of memory: aligned, and kept for the next tensor when one goes.
//!
//! Asking the system for large blocks is slow, because it hands them out page by page, each
//! filled with zeros. A step of training needs the same sizes again and again, so freed
//! blocks wait in lists by size: small ones in a list of their thread, large ones in one for
//! all threads, up to a limit.
//!
//! Every byte of a block is initialised from the start: fresh blocks are zeros, and kept
//! ones hold what was written before.
//!
//! With `--cfg exact_blocks` (`tests/sanitize.sh`) each block is an allocation of its own, no
//! longer than its elements, which are NaN or 90 at first: so AddressSanitizer sees every step
//! outside, and tests every element that nobody wrote.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    cell::RefCell,
    hint,
    mem::{ManuallyDrop, size_of},
    ptr::NonNull,
    slice,
    sync::{Mutex, MutexGuard, TryLockError},
    thread,
};

use crate::dtype::{DType, Element};

/// Where elements start: at the beginning of a cache line, which is also one vector.
const ALIGNMENT: usize = 64;

/// What the system aligns to without being asked.
const SYSTEM_ALIGNMENT: usize = 16;

/// Blocks up to this size are kept by their thread.
const SMALL: usize = 16 * 1024;

/// How many small blocks of one size a thread keeps.
const KEPT_SMALL: usize = 64;

/// How many bytes of large blocks are kept.
const KEPT_LARGE: usize = 1 << 30;

/// Four sizes for each power of two from 2⁶ on, so at most a quarter of a block is unused.
const CLASSES: usize = 4 * (usize::BITS as usize - 6) + 1;
const SMALL_CLASSES: usize = 4 * (SMALL.ilog2() as usize - 6) + 1;

/// The memory of some elements of one dtype.
pub(crate) struct Block {
    start: NonNull<u8>,
    length: usize,
    dtype: DType,
    origin: Origin,
}

/// Where a block came from, and how it goes.
enum Origin {
    /// Nothing was allocated.
    Nowhere,
    /// From the lists of this class; the allocation begins at `base`.
    Kept { base: NonNull<u8>, class: u16 },
    /// From a vector with this capacity.
    Vector { capacity: usize },
}

// SAFETY: a block owns its memory; `&Block` only reads it and `&mut Block` only writes it.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// A block for `length` elements of unspecified value.
    pub(crate) fn new<T: Element>(length: usize) -> Block {
        let bytes = length.checked_mul(size_of::<T>()).expect("tensors fit into memory");
        if bytes == 0 {
            return Block {
                start: NonNull::<u64>::dangling().cast(),
                length,
                dtype: T::DTYPE,
                origin: Origin::Nowhere,
            };
        }
        if cfg!(exact_blocks) {
            let unwritten = match T::DTYPE.is_float() {
                true => T::from_f64(f64::NAN),
                false => T::from_i64(90),
            };
            return Block::from_vec(vec![unwritten; length]);
        }
        let (class, size) = class_of(bytes);
        let base = take(class, size);
        let padding = base.as_ptr().align_offset(ALIGNMENT);
        // SAFETY: `take` gives `ALIGNMENT` bytes more than `size`, so this stays inside.
        let start = unsafe { base.add(padding) };
        let block = Block {
            start,
            length,
            dtype: T::DTYPE,
            origin: Origin::Kept { base, class: class as u16 },
        };
        if T::DTYPE == DType::Bool {
            // Not every byte is a bool.
            // SAFETY: the block has `bytes` bytes from `start` on.
            unsafe { block.start.write_bytes(0, bytes) };
        }
        block
    }

    /// The elements of a vector, where they are.
    pub(crate) fn from_vec<T: Element>(values: Vec<T>) -> Block {
        let mut values = ManuallyDrop::new(values);
        let start = NonNull::new(values.as_mut_ptr()).expect("no vector is at 0").cast();
        let origin = match values.capacity() {
            0 => Origin::Nowhere,
            capacity => Origin::Vector { capacity },
        };
        Block { start, length: values.len(), dtype: T::DTYPE, origin }
    }

    /// The elements.
    #[inline]
    pub(crate) fn elements<T: Element>(&self) -> &[T] {
        self.expect::<T>();
        // SAFETY: the block holds `length` elements of `dtype`, which is that of `T`; each
        // byte is initialised, and all patterns are values of `T` (bools were written as
        // such). `start` is aligned to `ALIGNMENT`, or as a vector of `T` is.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.length) }
    }

    /// The elements, to write.
    #[inline]
    pub(crate) fn elements_mut<T: Element>(&mut self) -> &mut [T] {
        self.expect::<T>();
        // SAFETY: as in `elements`; the borrow of the block is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.length) }
    }

    #[inline]
    fn expect<T: Element>(&self) {
        if T::DTYPE != self.dtype {
            wrong_type(T::DTYPE)
        }
    }

    /// Another block with the same elements.
    pub(crate) fn copied(&self) -> Block {
        crate::dtype::with_dtype!(self.dtype, T => {
            let mut copy = Block::new::<T>(self.length);
            copy.elements_mut::<T>().copy_from_slice(self.elements::<T>());
            copy
        })
    }
}

#[cold]
fn wrong_type(asked: DType) -> ! {
    unreachable!("the dtype of a tensor is that of its storage, not {asked}")
}

impl Drop for Block {
    fn drop(&mut self) {
        match self.origin {
            Origin::Nowhere => {}
            Origin::Kept { base, class } => put(usize::from(class), base),
            Origin::Vector { capacity } => {
                let bytes = capacity * self.dtype.size();
                // The alignment of numbers is their size on every target we know.
                crate::dtype::with_dtype!(self.dtype, T => {
                    let layout = Layout::from_size_align(bytes, align_of::<T>())
                        .expect("the layout of a vector that exists");
                    // SAFETY: a `Vec<T>` with this capacity allocated it, and gave it up.
                    unsafe { dealloc(self.start.as_ptr(), layout) };
                });
            }
        }
    }
}

/// The class of blocks that hold `bytes`, and their size.
fn class_of(bytes: usize) -> (usize, usize) {
    if bytes <= 64 {
        return (0, 64);
    }
    let power = (bytes - 1).ilog2() as usize;
    let step = 1 << (power - 2);
    let size = bytes.div_ceil(step) * step;
    (4 * (power - 6) + (size - (1 << power)) / step, size)
}

/// The size of the blocks of a class.
fn size_of_class(class: usize) -> usize {
    match class {
        0 => 64,
        _ => {
            let power = (class - 1) / 4 + 6;
            (1 << power) + ((class - 1) % 4 + 1) * (1 << (power - 2))
        }
    }
}

fn layout_of(size: usize) -> Layout {
    Layout::from_size_align(size + ALIGNMENT, SYSTEM_ALIGNMENT)
        .expect("tensors fit into memory")
}

/// Blocks that wait, by class.
struct Lists<const N: usize> {
    lists: [Vec<NonNull<u8>>; N],
    bytes: usize,
}

impl<const N: usize> Lists<N> {
    const fn new() -> Lists<N> {
        Lists { lists: [const { Vec::new() }; N], bytes: 0 }
    }

    fn clear(&mut self) {
        // Of the largest classes there can be no blocks, and no layout.
        let filled =
            self.lists.iter_mut().enumerate().filter(|(_, list)| !list.is_empty());
        for (class, list) in filled {
            let layout = layout_of(size_of_class(class));
            for base in list.drain(..) {
                // SAFETY: the blocks of this list were allocated by `take` with this layout.
                unsafe { dealloc(base.as_ptr(), layout) };
            }
        }
        self.bytes = 0;
    }
}

impl<const N: usize> Drop for Lists<N> {
    fn drop(&mut self) {
        self.clear();
    }
}

// SAFETY: the lists own the blocks in them.
unsafe impl<const N: usize> Send for Lists<N> {}

thread_local! {
    static SMALL_BLOCKS: RefCell<Lists<SMALL_CLASSES>> = const { RefCell::new(Lists::new()) };
}

static LARGE_BLOCKS: Mutex<Lists<CLASSES>> = Mutex::new(Lists::new());

/// The large blocks, unless another thread does not let go of them: a lock that a thread held
/// when the process was forked stays locked in the child for ever, so nobody waits for long. But
/// whoever gave up at once would make a new block each time, and fill the lists with them.
fn large_blocks() -> Option<MutexGuard<'static, Lists<CLASSES>>> {
    // Others hold it for some tens of nanoseconds, or are not on a processor just now.
    const SPINS: usize = 1000;
    for turn in 0..SPINS {
        match LARGE_BLOCKS.try_lock() {
            Ok(lists) => return Some(lists),
            Err(TryLockError::Poisoned(lists)) => return Some(lists.into_inner()),
            Err(TryLockError::WouldBlock) if turn % 100 == 99 => thread::yield_now(),
            Err(TryLockError::WouldBlock) => hint::spin_loop(),
        }
    }
    None
}

fn take(class: usize, size: usize) -> NonNull<u8> {
    let kept = if class < SMALL_CLASSES {
        let of_thread = |lists: &RefCell<Lists<_>>| lists.borrow_mut().lists[class].pop();
        SMALL_BLOCKS.try_with(of_thread).ok().flatten()
    } else {
        large_blocks().and_then(|mut lists| {
            let base = lists.lists[class].pop()?;
            lists.bytes -= size;
            Some(base)
        })
    };
    kept.unwrap_or_else(|| {
        let layout = layout_of(size);
        // SAFETY: the layout has a size above 0.
        let base = unsafe { alloc_zeroed(layout) };
        // A panic, for a notebook keeps its variables then.
        NonNull::new(base).unwrap_or_else(|| panic!("no memory is left for {size} bytes"))
    })
}

fn put(class: usize, base: NonNull<u8>) {
    let size = size_of_class(class);
    let kept = if class < SMALL_CLASSES {
        let of_thread = |lists: &RefCell<Lists<SMALL_CLASSES>>| {
            let list = &mut lists.borrow_mut().lists[class];
            let room = list.len() < KEPT_SMALL;
            if room {
                list.push(base);
            }
            room
        };
        SMALL_BLOCKS.try_with(of_thread).unwrap_or(false)
    } else if size > KEPT_LARGE / 2 {
        false
    } else if let Some(mut lists) = large_blocks() {
        // Sizes of long ago must not fill the lists: a full one starts anew.
        if lists.bytes + size > KEPT_LARGE {
            lists.clear();
        }
        lists.bytes += size;
        lists.lists[class].push(base);
        true
    } else {
        false
    };
    if !kept {
        // SAFETY: `take` allocated the block with this layout, and nobody has it any more.
        unsafe { dealloc(base.as_ptr(), layout_of(size)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_promise() {
        let mut last = 0;
        for bytes in (1..5000).chain([1 << 20, (1 << 20) + 1, 3 << 30]) {
            let (class, size) = class_of(bytes);
            assert!(size >= bytes && size <= 64.max(bytes * 5 / 4 + 1), "{bytes}");
            assert_eq!(size_of_class(class), size, "{bytes}");
            assert!(class >= last && class < CLASSES);
            assert_eq!(class < SMALL_CLASSES, size <= SMALL, "{bytes}");
            last = class;
        }
    }

    #[cfg(not(exact_blocks))]
    #[test]
    fn a_freed_block_is_used_again_and_aligned() {
        for length in [3, 100, 100_000] {
            let block = Block::new::<f32>(length);
            let start = block.start;
            assert_eq!(start.as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(block.elements::<f32>().len(), length);
            drop(block);
            if length * 4 <= SMALL {
                assert_eq!(Block::new::<f32>(length).start, start);
            }
        }
    }

    #[cfg(not(exact_blocks))]
    #[test]
    fn a_kept_block_is_waited_for_while_another_thread_looks() {
        use std::{
            sync::atomic::{AtomicBool, Ordering::Relaxed},
            time::{Duration, Instant},
        };
        // A size that no other test uses.
        let kept = || Block::new::<u8>(5 << 20);
        let found = |_: &i32| {
            let start = kept().start;
            let looks = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _lists = large_blocks();
                    looks.store(true, Relaxed);
                    let since = Instant::now();
                    while since.elapsed() < Duration::from_micros(5) {}
                });
                while !looks.load(Relaxed) {
                    hint::spin_loop();
                }
                kept().start == start
            })
        };
        // The other thread may lose its processor meanwhile, but not each time.
        let found = (0..100).filter(found).count();
        assert!(found >= 50, "{found} of 100 times");
    }

    #[test]
    fn lists_are_emptied_whatever_is_in_them() {
        let mut lists = Lists::<CLASSES>::new();
        let (class, size) = class_of(1 << 20);
        lists.lists[class].push(take(class, size));
        lists.bytes = size;
        lists.clear();
        assert_eq!((lists.lists[class].len(), lists.bytes), (0, 0));
    }

    #[cfg(not(exact_blocks))]
    #[test]
    fn reused_memory_holds_only_valid_bools() {
        let mut block = Block::new::<u8>(50);
        block.elements_mut::<u8>().fill(7);
        drop(block);
        assert!(Block::new::<bool>(50).elements::<bool>().iter().all(|is| !is));
    }

    #[cfg(not(exact_blocks))]
    #[test]
    #[should_panic(expected = "no memory is left for 288230376151711744 bytes")]
    fn a_block_that_the_system_refuses_is_a_panic() {
        drop(Block::new::<f32>(1 << 56));
    }

    #[test]
    fn vectors_of_any_capacity_come_and_go() {
        let mut values = Vec::with_capacity(10);
        values.extend([1_i64, 2]);
        assert_eq!(Block::from_vec(values).elements::<i64>(), [1, 2]);
        assert!(Block::from_vec(Vec::<f64>::new()).elements::<f64>().is_empty());
    }
}
