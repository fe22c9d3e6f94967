//! Pinned memory between main memory and a GPU's.
//!
//! A GPU copies by itself only from and to memory that the system never moves. So what goes
//! there is first written into such memory, in pieces, and the copy of each is queued: the caller
//! waits for none, and while one is copied the next is written. A place is written again when the
//! copy from it is done.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::driver::{Address, Failure, Mark};
use crate::device::threads;

/// The length of a piece: long enough that its copy takes longer than to queue it.
const PIECE: usize = 4 << 20;

/// The memory for what goes to a GPU: so many pieces, or many small things, may be on their way.
const OUTWARD: usize = 4 * PIECE;

/// What comes back is written to one half while the other is read.
const INWARD: usize = 2 * PIECE;

/// How pieces are aligned.
const GRANULE: usize = 64;

/// What one thread copies at least.
const GRAIN: usize = 256 << 10;

/// What staging needs of a queue of a GPU's work.
pub(super) trait Queue {
    /// Memory that the GPU reads and writes by itself, for as long as the process lives.
    fn pinned(&self, bytes: usize) -> Result<*mut u8, Failure>;

    /// Queues a copy from pinned memory.
    ///
    /// # Safety
    /// The memory is large enough on both sides, and not written before the copy is done.
    unsafe fn send(
        &self,
        from: *const u8,
        to: Address,
        bytes: usize,
    ) -> Result<(), Failure>;

    /// Queues a copy into pinned memory.
    ///
    /// # Safety
    /// The memory is large enough on both sides, and not used before the copy is done.
    unsafe fn fetch(
        &self,
        from: Address,
        to: *mut u8,
        bytes: usize,
    ) -> Result<(), Failure>;

    /// A mark after all that was queued.
    fn mark(&self) -> Result<Mark, Failure>;

    /// Waits until the queue has come to a mark of its own.
    fn wait(&self, mark: &Mark) -> Result<(), Failure>;
}

/// Pinned memory, asked for at the first use.
#[derive(Default)]
struct Pinned(OnceLock<Option<usize>>);

impl Pinned {
    /// Where it is, if the system has some to give.
    fn get(&self, queue: &impl Queue, bytes: usize) -> Option<*mut u8> {
        let at = self.0.get_or_init(|| queue.pinned(bytes).ok().map(|at| at as usize));
        at.map(|at| at as *mut u8)
    }
}

/// The way to a GPU, by one queue.
#[derive(Default)]
pub(super) struct Outward {
    memory: Pinned,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the next piece goes, unless the memory ends before.
    next: usize,
    /// The pieces on their way, oldest first, with marks after their copies.
    busy: VecDeque<(Range<usize>, Mark)>,
}

impl Outward {
    /// Queues copies of all bytes, which may be changed once this returns; nothing where there is
    /// no pinned memory.
    pub(super) fn upload(
        &self,
        queue: &impl Queue,
        from: &[u8],
        to: Address,
    ) -> Option<Result<(), Failure>> {
        let memory = self.memory.get(queue, OUTWARD)?;
        let mut state = lock(&self.state);
        let mut pieces = (to..).step_by(PIECE).zip(from.chunks(PIECE));
        Some(pieces.try_for_each(|(to, piece)| state.send(queue, memory, piece, to)))
    }
}

impl State {
    fn send(
        &mut self,
        queue: &impl Queue,
        memory: *mut u8,
        piece: &[u8],
        to: Address,
    ) -> Result<(), Failure> {
        let place = self.place(queue, piece.len())?;
        // SAFETY: the place is inside of the memory, and no copy from it is on its way.
        let staged = unsafe {
            std::slice::from_raw_parts_mut(memory.add(place.start), piece.len())
        };
        copy(piece, staged);
        // SAFETY: the piece is written; `busy` keeps its place until the copy is done.
        unsafe { queue.send(staged.as_ptr(), to, piece.len()) }?;
        self.next = place.end;
        self.busy.push_back((place, queue.mark()?));
        Ok(())
    }

    /// A place for a piece, once the copies from it are done.
    fn place(
        &mut self,
        queue: &impl Queue,
        bytes: usize,
    ) -> Result<Range<usize>, Failure> {
        let bytes = bytes.next_multiple_of(GRANULE);
        let start = if self.next + bytes <= OUTWARD { self.next } else { 0 };
        let place = start..start + bytes;
        let overlaps =
            |busy: &Range<usize>| busy.start < place.end && place.start < busy.end;
        if let Some(last) = self.busy.iter().rposition(|(busy, _)| overlaps(busy)) {
            queue.wait(&self.busy[last].1)?;
            // Copies are done in order, so the older ones are too.
            self.busy.drain(..=last);
        }
        Ok(place)
    }
}

/// The way back from a GPU, by one queue.
#[derive(Default)]
pub(super) struct Inward {
    memory: Pinned,
    alone: Mutex<()>,
}

impl Inward {
    /// Whether so many bytes are better fetched through pinned memory.
    pub(super) fn pays(bytes: usize) -> bool {
        bytes >= GRAIN
    }

    /// Copies all bytes, and waits for them; nothing where there is no pinned memory.
    pub(super) fn download(
        &self,
        queue: &impl Queue,
        from: Address,
        to: &mut [u8],
    ) -> Option<Result<(), Failure>> {
        let memory = self.memory.get(queue, INWARD)?;
        let _alone = lock(&self.alone);
        Some(fetch(queue, memory, from, to))
    }
}

fn fetch(
    queue: &impl Queue,
    memory: *mut u8,
    from: Address,
    to: &mut [u8],
) -> Result<(), Failure> {
    /// A piece on its way: which half it comes through, a mark after it, and where it goes.
    type Coming<'a> = (*mut u8, Mark, &'a mut [u8]);
    let arrive = |(half, mark, to): Coming| {
        queue.wait(&mark)?;
        // SAFETY: the copy to this half is done, and the next to it is not queued yet.
        copy(unsafe { std::slice::from_raw_parts(half, to.len()) }, to);
        Ok(())
    };
    let mut coming: Option<Coming> = None;
    for (i, piece) in to.chunks_mut(PIECE).enumerate() {
        let from = from + (i * PIECE) as Address;
        // SAFETY: the memory has two halves of this length; the piece before the last one came
        // through this half, and was read.
        let half = unsafe {
            let half = memory.add(i % 2 * PIECE);
            queue.fetch(from, half, piece.len())?;
            half
        };
        if let Some(before) = coming.replace((half, queue.mark()?, piece)) {
            arrive(before)?;
        }
    }
    coming.map_or(Ok(()), arrive)
}

/// Copies by several threads what is long.
fn copy(from: &[u8], to: &mut [u8]) {
    threads::rows_mut(to, 1, GRAIN, &|first, run| {
        run.copy_from_slice(&from[first..first + run.len()]);
    });
}

// No code that can panic leaves the state half-changed.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A queue that does nothing before somebody waits, and then no more than it must.
    struct Late {
        queued: RefCell<VecDeque<Copy>>,
        marks: Cell<usize>,
        passed: Cell<usize>,
        waits: Cell<usize>,
        has_pinned: bool,
    }

    enum Copy {
        Bytes { from: usize, to: usize, bytes: usize },
        Mark,
    }

    impl Late {
        fn new() -> Late {
            Late {
                queued: RefCell::default(),
                marks: Cell::new(0),
                passed: Cell::new(0),
                waits: Cell::new(0),
                has_pinned: true,
            }
        }

        fn finish(&self) {
            let last = self.mark().unwrap();
            self.wait(&last).unwrap();
        }
    }

    impl Queue for Late {
        fn pinned(&self, bytes: usize) -> Result<*mut u8, Failure> {
            match self.has_pinned {
                true => Ok(Box::leak(vec![0_u8; bytes].into_boxed_slice()).as_mut_ptr()),
                false => Err(Failure::OutOfMemory),
            }
        }

        unsafe fn send(
            &self,
            from: *const u8,
            to: Address,
            bytes: usize,
        ) -> Result<(), Failure> {
            let copy = Copy::Bytes { from: from as usize, to: to as usize, bytes };
            self.queued.borrow_mut().push_back(copy);
            Ok(())
        }

        unsafe fn fetch(
            &self,
            from: Address,
            to: *mut u8,
            bytes: usize,
        ) -> Result<(), Failure> {
            let copy = Copy::Bytes { from: from as usize, to: to as usize, bytes };
            self.queued.borrow_mut().push_back(copy);
            Ok(())
        }

        fn mark(&self) -> Result<Mark, Failure> {
            self.marks.set(self.marks.get() + 1);
            self.queued.borrow_mut().push_back(Copy::Mark);
            Ok(Mark::numbered(self.marks.get()))
        }

        fn wait(&self, mark: &Mark) -> Result<(), Failure> {
            self.waits.set(self.waits.get() + 1);
            while self.passed.get() < mark.event {
                match self.queued.borrow_mut().pop_front().expect("the mark is queued") {
                    Copy::Mark => self.passed.set(self.passed.get() + 1),
                    Copy::Bytes { from, to, bytes } => {
                        let (from, to) = (from as *const u8, to as *mut u8);
                        // SAFETY: the tests below keep both.
                        unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
                    }
                }
            }
            Ok(())
        }
    }

    fn numbers(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|i| (((i + seed) * 2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn a_place_is_not_written_before_its_copy_is_done() {
        let (queue, way) = (Late::new(), Outward::default());
        // Together they go round the memory several times, and seldom end where it does.
        let lengths = [1, 3 * PIECE + 5, PIECE, 0, 777, 9 * PIECE - 1, 2 * PIECE + 64];
        let sent: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(i, &n)| numbers(n, i)).collect();
        let mut arrived: Vec<Vec<u8>> = lengths.iter().map(|&n| vec![0; n]).collect();
        for (from, to) in sent.iter().zip(&mut arrived) {
            let mut from = from.clone();
            way.upload(&queue, &from, to.as_mut_ptr() as Address).unwrap().unwrap();
            // The caller may do with it what it likes.
            from.fill(0xEE);
        }
        queue.finish();
        assert!(sent == arrived);
    }

    #[test]
    fn nobody_waits_while_there_is_room() {
        let (queue, way) = (Late::new(), Outward::default());
        let (from, mut to) = (numbers(PIECE, 0), vec![0_u8; PIECE]);
        for _ in 0..OUTWARD / PIECE {
            way.upload(&queue, &from, to.as_mut_ptr() as Address).unwrap().unwrap();
        }
        assert_eq!(queue.waits.get(), 0);
        way.upload(&queue, &from, to.as_mut_ptr() as Address).unwrap().unwrap();
        assert_eq!(
            (queue.waits.get(), queue.passed.get()),
            (1, 1),
            "for the oldest only"
        );
    }

    #[test]
    fn what_comes_back_is_whole() {
        let (queue, way) = (Late::new(), Inward::default());
        for length in [0, 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE + 77] {
            let (from, mut to) = (numbers(length, length), vec![0; length]);
            way.download(&queue, from.as_ptr() as Address, &mut to).unwrap().unwrap();
            assert!(from == to, "{length} bytes");
        }
    }

    #[test]
    fn without_pinned_memory_there_is_no_such_way() {
        let queue = Late { has_pinned: false, ..Late::new() };
        assert!(Outward::default().upload(&queue, &[1], 0).is_none());
        assert!(Inward::default().download(&queue, 0, &mut [1]).is_none());
    }
}
