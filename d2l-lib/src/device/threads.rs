//! The threads that share the work of one large operation.
//!
//! The caller publishes a job of numbered parts and starts on them itself; threads that are
//! awake take parts too. Each begins with the same share of the numbers every time, so that it
//! finds in its cache what it left there, and then helps the others. A thread that the system
//! has put aside costs nothing, because the others take its share; only a part in progress is
//! waited for. Idle threads spin for about a millisecond, since the next operation mostly comes
//! at once, and then sleep.
//!
//! How work is cut never depends on who does it, so results do not either.

use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr, slice,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicPtr, AtomicU32, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    thread::{self, Thread},
};

/// How often an idle thread looks for work before it sleeps.
const SPINS: u32 = 20_000;

/// More threads than this would not help the sizes of this book.
const MOST_THREADS: usize = 64;

/// The number of threads asked for; 0 means: not yet decided.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The threads at work; null before the first large operation, and in a forked child, where
/// they do not exist.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// How many threads compute: what [`set_num_threads`] said, else the environment variable
/// `D2L_NUM_THREADS`, else as many as the processor runs at once.
///
/// ```
/// assert!(d2l::num_threads() > 0);
/// ```
pub fn num_threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => {
            let asked = std::env::var("D2L_NUM_THREADS").ok();
            let asked = asked.and_then(|n| n.parse().ok()).filter(|&n: &usize| n > 0);
            let found = asked
                .or_else(|| thread::available_parallelism().ok().map(usize::from))
                .map_or(1, |n| n.min(MOST_THREADS));
            THREADS.store(found, Relaxed);
            found
        }
        threads => threads,
    }
}

/// Sets how many threads compute. With the same number, results are the same to the last
/// bit; with another, products of matrices may be rounded in another way.
///
/// # Panics
/// If `threads` is 0.
///
/// ```
/// d2l::set_num_threads(1);
/// assert_eq!(d2l::num_threads(), 1);
/// ```
#[track_caller]
pub fn set_num_threads(threads: usize) {
    assert!(threads > 0, "set_num_threads: somebody must do the work");
    THREADS.store(threads.min(MOST_THREADS), Relaxed);
    // The next large operation starts a pool of the new size.
    retire(POOL.swap(ptr::null_mut(), SeqCst));
}

/// Calls `part` with every number below `parts`, some of them at the same time.
///
/// A panic of a part is one of the caller, after all others have ended.
pub(crate) fn run(parts: usize, part: &(dyn Fn(usize) + Sync)) {
    if parts > 1 && num_threads() > 1 {
        let pool = pool();
        // One job at a time; who comes meanwhile (or from inside a part) works alone.
        if !pool.busy.0.swap(true, Acquire) {
            return pool.share(parts, part);
        }
    }
    (0..parts).for_each(part);
}

/// Calls `each` with ranges that together are `0..length`, of at least `grain` (if there are
/// that many), some of them at the same time.
pub(crate) fn ranges(length: usize, grain: usize, each: &(dyn Fn(Range<usize>) + Sync)) {
    const PARTS_FOR_A_THREAD: usize = 3;
    let parts = length / grain.max(1);
    if parts <= 1 || num_threads() == 1 {
        return each(0..length);
    }
    let parts = parts.min(PARTS_FOR_A_THREAD * num_threads());
    run(parts, &|i| each(length * i / parts..length * (i + 1) / parts));
}

/// Cuts `rows` of `length` elements into runs of at least `grain` rows, and calls `each` with
/// the number of the first row of a run, and the run; some of them at the same time.
pub(crate) fn rows_mut<T: Send>(
    rows: &mut [T],
    length: usize,
    grain: usize,
    each: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    if length == 0 {
        return;
    }
    debug_assert!(rows.len().is_multiple_of(length));
    let count = rows.len() / length;
    let rows = Shared::new(rows);
    ranges(count, grain, &|range| {
        // SAFETY: `ranges` gives disjoint ranges, so these parts are disjoint.
        let run = unsafe { rows.part(range.start * length, range.len() * length) };
        each(range.start, run);
    });
}

/// Like [`rows_mut`], for two slices with as many elements.
#[expect(clippy::type_complexity, reason = "a name would say less")]
pub(crate) fn rows_mut_2<T: Send, U: Send>(
    rows: (&mut [T], &mut [U]),
    length: usize,
    grain: usize,
    each: &(dyn Fn(usize, &mut [T], &mut [U]) + Sync),
) {
    assert!(rows.0.len() == rows.1.len(), "both slices have the same rows");
    if length == 0 {
        return;
    }
    let count = rows.0.len() / length;
    let (first, second) = (Shared::new(rows.0), Shared::new(rows.1));
    ranges(count, grain, &|range| {
        let (at, length) = (range.start * length, range.len() * length);
        // SAFETY: the ranges are disjoint.
        let runs = unsafe { (first.part(at, length), second.part(at, length)) };
        each(range.start, runs.0, runs.1);
    });
}

/// Like [`rows_mut`], in runs of exactly `block` rows (but the last).
pub(crate) fn blocks_mut<T: Send>(
    rows: &mut [T],
    length: usize,
    block: usize,
    each: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    if length == 0 {
        return;
    }
    let count = rows.len() / length;
    debug_assert!(rows.len() == count * length && block > 0);
    let rows = Shared::new(rows);
    run(count.div_ceil(block), &|i| {
        let (from, to) = (i * block, count.min((i + 1) * block));
        // SAFETY: the parts are disjoint.
        let rows = unsafe { rows.part(from * length, (to - from) * length) };
        each(from, rows);
    });
}

/// A slice of which several threads write parts.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    slice: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: who asks for parts promises that they are disjoint.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Shared<'a, T> {
        Shared {
            start: slice.as_mut_ptr(),
            length: slice.len(),
            slice: std::marker::PhantomData,
        }
    }

    /// `length` elements from `from` on.
    ///
    /// # Panics
    /// If they do not exist.
    ///
    /// # Safety
    /// While the part is used, nobody may write these elements elsewhere, and nobody may read
    /// them if this part is written.
    #[expect(clippy::mut_from_ref, reason = "the caller promises disjoint parts")]
    pub(crate) unsafe fn part(&self, from: usize, length: usize) -> &mut [T] {
        assert!(from <= self.length && length <= self.length - from, "the part exists");
        // SAFETY: the part is inside the slice; the caller promises that it is alone.
        unsafe { slice::from_raw_parts_mut(self.start.add(from), length) }
    }
}

/// Work in numbered parts, on the stack of the thread that asked for it.
struct Job {
    part: *const (dyn Fn(usize) + Sync),
    parts: usize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Job {
    /// Takes parts until there are none, from share number `me` first; `next` counts what was
    /// taken of each share.
    ///
    /// # Safety
    /// The closure behind `part` must be alive.
    unsafe fn help(&self, me: usize, next: &[Apart<AtomicUsize>]) {
        // SAFETY: the caller promises it.
        let part = unsafe { &*self.part };
        let shares = next.len();
        let all = || {
            for share in (me..shares).chain(0..me) {
                let range =
                    self.parts * share / shares..self.parts * (share + 1) / shares;
                loop {
                    // Looked at before it is counted up, so that it cannot overflow.
                    if next[share].0.load(Relaxed) >= range.len() {
                        break;
                    }
                    let taken = next[share].0.fetch_add(1, Relaxed);
                    if taken >= range.len() {
                        break;
                    }
                    part(range.start + taken);
                }
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            next.iter().for_each(|next| next.0.store(self.parts, Relaxed));
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }
}

/// On a cache line of its own, so that who writes it disturbs nobody else.
#[repr(align(128))]
struct Apart<T>(T);

struct Pool {
    /// Odd while a job is open; even when none is, or it only is waited for.
    round: Apart<AtomicU32>,
    /// How many threads are between looking at `round` and leaving the job.
    active: Apart<AtomicUsize>,
    busy: Apart<AtomicBool>,
    job: AtomicPtr<Job>,
    /// How many parts of each thread's share were taken; the caller's share is the first.
    next: Vec<Apart<AtomicUsize>>,
    retired: AtomicBool,
    asleep: Vec<AtomicBool>,
    threads: Mutex<Vec<Thread>>,
}

fn pool() -> &'static Pool {
    let found = POOL.load(Acquire);
    // SAFETY: pools are leaked, so a pointer that was published stays valid.
    match unsafe { found.as_ref() } {
        Some(pool) => pool,
        None => start(),
    }
}

#[cold]
fn start() -> &'static Pool {
    forget_in_children();
    let helpers = num_threads() - 1;
    let pool: &'static Pool = Box::leak(Box::new(Pool {
        round: Apart(AtomicU32::new(0)),
        active: Apart(AtomicUsize::new(0)),
        busy: Apart(AtomicBool::new(false)),
        job: AtomicPtr::new(ptr::null_mut()),
        next: (0..=helpers).map(|_| Apart(AtomicUsize::new(0))).collect(),
        retired: AtomicBool::new(false),
        asleep: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
        threads: Mutex::new(Vec::new()),
    }));
    let raw = ptr::from_ref(pool).cast_mut();
    if let Err(other) = POOL.compare_exchange(ptr::null_mut(), raw, SeqCst, SeqCst) {
        // SAFETY: as in `pool`; somebody else was faster.
        return unsafe { &*other };
    }
    let threads = (0..helpers).filter_map(|i| {
        let helper = thread::Builder::new().name(format!("d2l-{}", i + 1));
        // Without a thread there is less help, and nothing else is wrong.
        helper.spawn(move || pool.serve(i)).ok().map(|handle| handle.thread().clone())
    });
    let threads = threads.collect();
    *pool.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
    pool
}

/// Lets the threads of a pool end.
fn retire(pool: *mut Pool) {
    // SAFETY: as in `pool`.
    if let Some(pool) = unsafe { pool.as_ref() } {
        pool.retired.store(true, SeqCst);
        pool.wake();
    }
}

/// Threads do not survive a fork: the child begins without a pool.
fn forget_in_children() {
    #[cfg(unix)]
    {
        unsafe extern "C" {
            fn pthread_atfork(
                prepare: Option<extern "C" fn()>,
                parent: Option<extern "C" fn()>,
                child: Option<extern "C" fn()>,
            ) -> std::ffi::c_int;
        }
        extern "C" fn forget() {
            POOL.store(ptr::null_mut(), SeqCst);
        }
        static ONCE: AtomicBool = AtomicBool::new(false);
        if !ONCE.swap(true, SeqCst) {
            // SAFETY: the signature is POSIX's; `forget` only stores to an atomic, which is
            // allowed in a child of any process. This library is never unloaded.
            unsafe { pthread_atfork(None, None, Some(forget)) };
        }
    }
}

impl Pool {
    /// Does a job together with whoever is awake. The caller has set `busy`.
    fn share(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes; nobody calls `part` after this function ended.
        let part: *const (dyn Fn(usize) + Sync) = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(
                part,
            )
        };
        let mut job = Job { part, parts, panic: Mutex::new(None) };
        // Nobody is active between jobs, so nobody counts here.
        self.next.iter().for_each(|next| next.0.store(0, Relaxed));
        self.job.store(ptr::from_mut(&mut job), Relaxed);
        let open = self.round.0.load(Relaxed).wrapping_add(1);
        self.round.0.store(open, SeqCst);
        self.wake();
        // SAFETY: `part` lives until this function ends.
        unsafe { job.help(0, &self.next) };
        // Close: who has not counted itself as active by now sees another round and stays
        // out; who has is waited for.
        self.round.0.store(open.wrapping_add(1), SeqCst);
        let mut waited = 0;
        while self.active.0.load(SeqCst) != 0 {
            waited += 1;
            if waited < 5_000 { std::hint::spin_loop() } else { thread::yield_now() }
        }
        self.busy.0.store(false, Release);
        let panic = job.panic.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn wake(&self) {
        if self.asleep.iter().any(|asleep| asleep.load(SeqCst)) {
            let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            threads.iter().for_each(Thread::unpark);
        }
    }

    /// What helper number `i` does all its life.
    fn serve(&self, i: usize) {
        let mut last = 0;
        loop {
            let is_new = |round: u32| round & 1 == 1 && round != last;
            let mut spins = 0;
            let round = loop {
                let round = self.round.0.load(Acquire);
                if self.retired.load(Relaxed) {
                    return;
                }
                if is_new(round) {
                    break round;
                }
                spins += 1;
                if spins < SPINS {
                    std::hint::spin_loop();
                    continue;
                }
                self.asleep[i].store(true, SeqCst);
                if !is_new(self.round.0.load(SeqCst)) && !self.retired.load(SeqCst) {
                    thread::park();
                }
                self.asleep[i].store(false, SeqCst);
                // Woken too late for this job, it stays awake for the next.
                spins = 0;
            };
            last = round;
            self.active.0.fetch_add(1, SeqCst);
            if self.round.0.load(SeqCst) == round {
                // SAFETY: the round is open and this thread counts as active, so the caller
                // of `share` waits, with the job on its stack, until it counts no more.
                unsafe { (*self.job.load(Relaxed)).help(i + 1, &self.next) };
            }
            self.active.0.fetch_sub(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        for round in 0..2000 {
            let parts = round % 7 + 1;
            let done: Vec<AtomicUsize> =
                (0..parts).map(|_| AtomicUsize::new(0)).collect();
            run(parts, &|i| {
                done[i].fetch_add(1, SeqCst);
            });
            assert!(done.iter().all(|n| n.load(SeqCst) == 1), "{parts} parts: {done:?}");
        }
    }

    #[test]
    fn rows_are_cut_without_gaps() {
        let mut rows = vec![0; 3 * 1001];
        rows_mut(&mut rows, 3, 10, &|first, run| {
            for (i, row) in run.chunks_exact_mut(3).enumerate() {
                row.fill(first + i);
            }
        });
        assert!(rows.iter().enumerate().all(|(i, &row)| row == i / 3));
    }

    #[test]
    fn jobs_inside_jobs_and_beside_them_end() {
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    run(8, &|_| {
                        run(8, &|_| {
                            total.fetch_add(1, SeqCst);
                        });
                    });
                });
            }
        });
        assert_eq!(total.load(SeqCst), 3 * 64);
    }

    #[test]
    fn a_panic_of_a_part_reaches_the_caller_and_leaves_the_pool_usable() {
        for _ in 0..20 {
            let panicked = catch_unwind(|| run(64, &|i| assert!(i != 33, "on purpose")));
            assert!(panicked.is_err());
        }
        every_part_is_done_once();
    }

    #[cfg(unix)]
    #[test]
    fn a_forked_child_gets_threads_of_its_own() {
        unsafe extern "C" {
            fn fork() -> i32;
            fn alarm(seconds: u32) -> u32;
            fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
            fn _exit(status: i32) -> !;
        }
        run(8, &|_| {});
        // SAFETY: the child only computes and leaves without unwinding; should it hang, the
        // alarm ends it. The signatures are POSIX's.
        unsafe {
            match fork() {
                0 => {
                    alarm(20);
                    let done = AtomicUsize::new(0);
                    for _ in 0..200 {
                        run(8, &|_| {
                            done.fetch_add(1, SeqCst);
                        });
                    }
                    _exit(if done.load(SeqCst) == 1600 { 42 } else { 1 })
                }
                child => {
                    let mut status = 0;
                    assert_eq!(waitpid(child, &mut status, 0), child);
                    assert_eq!(status >> 8, 42, "the child's status is {status}");
                }
            }
        }
        run(8, &|_| {});
    }
}
