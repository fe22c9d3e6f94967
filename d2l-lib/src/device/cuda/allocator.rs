//! Memory of a GPU, kept for the next tensor when one goes.
//!
//! Asking the driver for memory may wait for the whole device. All work of a device is queued in
//! one order, so a freed block may be given out again at once: who gets it works on it later.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    driver::{Address, Driver, Failure},
    error::CudaError,
};

/// Blocks are multiples of this, which is also how the driver aligns them.
const GRANULE: usize = 512;

/// From here on blocks are rounded up to whole megabytes, so that lengths that differ a little
/// share them.
const LARGE: usize = 1 << 20;

/// How much larger than asked for a kept block may be: by an eighth.
const SLACK: usize = 8;

/// The memory of one device.
#[derive(Default)]
pub(crate) struct Allocator {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Kept blocks, by size.
    kept: BTreeMap<usize, Vec<Address>>,
    /// Memory of recordings, which nobody else gets.
    pools: HashMap<usize, Pool>,
    /// The pool to which a block belongs, if it is of one.
    owners: HashMap<Address, usize>,
    figures: Figures,
}

/// A block that was given out, and how large it had to be.
#[derive(Clone, Copy)]
struct Given {
    size: usize,
    region: Region,
}

/// Memory that the same requests, made again in the same order, get again.
#[derive(Default)]
struct Pool {
    free: BTreeSet<(usize, Address)>,
    /// What was given out in the round before, and in this one.
    before: Vec<Given>,
    now: Vec<Given>,
    /// Where that of the round before is.
    promised: HashSet<Address>,
}

impl Pool {
    /// A free block: the one that the same request got before. What others are to get again is
    /// left to them, so that after a few rounds all are the same.
    fn take(&mut self, size: usize) -> Option<Region> {
        let same = self.before.get(self.now.len()).filter(|given| given.size == size);
        let same = same.map(|Given { region, .. }| (region.bytes, region.at));
        let same = same.filter(|block| self.free.contains(block));
        let mut fitting = self.free.range((size, 0)..=(size, Address::MAX));
        let (bytes, at) = same
            .or_else(|| fitting.find(|(_, at)| !self.promised.contains(at)).copied())?;
        self.free.remove(&(bytes, at));
        Some(Region { at, bytes })
    }

    /// Begins another round.
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
        self.promised = self.before.iter().map(|given| given.region.at).collect();
    }
}

/// How much memory of a GPU this process uses, in bytes.
///
/// ```
/// use d2l::prelude::*;
///
/// let gpu = d2l::try_gpu(0);
/// let x = Tensor::ones([256]).to_device(gpu);
/// assert!(gpu.memory().is_none_or(|memory| memory.in_use >= 1024 && memory.peak >= memory.in_use));
/// # drop(x);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Of tensors that exist now.
    pub in_use: usize,
    /// The most that `in_use` has been.
    pub peak: usize,
    /// Kept for tensors to come; given back to the driver when it has no other.
    pub kept: usize,
}

/// A block of memory: where it is, and how large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Region {
    pub(crate) at: Address,
    pub(crate) bytes: usize,
}

impl Allocator {
    /// A block of at least `bytes`, for good of a pool if one is named. If the driver has none it
    /// gets back what is kept, and is asked once more.
    pub(crate) fn take(
        &self,
        driver: &dyn Driver,
        device: usize,
        operation: &'static str,
        bytes: usize,
        pool: Option<usize>,
    ) -> Result<Region, CudaError> {
        let out_of_memory = |in_use: usize| {
            let capacity = driver.capacity().ok();
            CudaError::OutOfMemory {
                operation,
                device,
                asked: bytes,
                in_use,
                free: capacity.map_or(0, |c| c.free),
                total: capacity.map_or(0, |c| c.total),
            }
        };
        let mut state = self.lock();
        let Some(size) = size_of(bytes) else {
            return Err(out_of_memory(state.figures.in_use));
        };
        let region = match state.reuse(size, pool) {
            Some(region) => region,
            None => {
                let fresh = match driver.allocate(size) {
                    Err(Failure::OutOfMemory) => {
                        state.clear(driver);
                        driver.allocate(size)
                    }
                    other => other,
                };
                let at = fresh.map_err(|failure| match failure {
                    Failure::OutOfMemory => out_of_memory(state.figures.in_use),
                    other => other.of(operation, device),
                })?;
                Region { at, bytes: size }
            }
        };
        if let Some(pool) = pool {
            state.owners.insert(region.at, pool);
            state.pools.entry(pool).or_default().now.push(Given { size, region });
        }
        let figures = &mut state.figures;
        figures.in_use += region.bytes;
        figures.peak = figures.peak.max(figures.in_use);
        Ok(region)
    }

    /// Keeps a block that nobody uses any more.
    pub(crate) fn put(&self, region: Region) {
        let mut state = self.lock();
        state.figures.in_use -= region.bytes;
        state.figures.kept += region.bytes;
        let owner = match state.owners.is_empty() {
            true => None,
            false => state.owners.get(&region.at).copied(),
        };
        match owner.and_then(|pool| state.pools.get_mut(&pool)) {
            Some(pool) => drop(pool.free.insert((region.bytes, region.at))),
            None => state.kept.entry(region.bytes).or_default().push(region.at),
        }
    }

    /// Begins another round of a pool's requests.
    pub(crate) fn begin(&self, pool: usize) {
        let mut state = self.lock();
        state.pools.entry(pool).or_default().begin();
    }

    /// Ends a pool, whose blocks from then on are everybody's.
    pub(crate) fn dissolve(&self, pool: usize) {
        let mut state = self.lock();
        state.owners.retain(|_, owner| *owner != pool);
        let Some(pool) = state.pools.remove(&pool) else { return };
        for (bytes, at) in pool.free {
            state.kept.entry(bytes).or_default().push(at);
        }
    }

    /// Gives what is kept back to the driver.
    pub(crate) fn clear(&self, driver: &dyn Driver) {
        self.lock().clear(driver);
    }

    pub(crate) fn figures(&self) -> Figures {
        self.lock().figures
    }

    // No code that can panic leaves the lists half-changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reuse(&mut self, size: usize, pool: Option<usize>) -> Option<Region> {
        if let Some(pool) = pool
            && let Some(region) = self.pools.entry(pool).or_default().take(size)
        {
            self.figures.kept -= region.bytes;
            return Some(region);
        }
        let bytes = *self.kept.range(size..=size + size / SLACK).next()?.0;
        let blocks = self.kept.get_mut(&bytes)?;
        let at = blocks.pop()?;
        if blocks.is_empty() {
            self.kept.remove(&bytes);
        }
        self.figures.kept -= bytes;
        Some(Region { at, bytes })
    }

    fn clear(&mut self, driver: &dyn Driver) {
        for (bytes, blocks) in std::mem::take(&mut self.kept) {
            self.figures.kept -= bytes * blocks.len();
            blocks.into_iter().for_each(|at| driver.release(at));
        }
    }
}

/// The size of the block for so many bytes, if there is such a number.
fn size_of(bytes: usize) -> Option<usize> {
    let granule = if bytes >= LARGE { LARGE } else { GRANULE };
    bytes.max(1).checked_next_multiple_of(granule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::mock::Mock;

    fn take(
        allocator: &Allocator,
        mock: &Mock,
        bytes: usize,
    ) -> Result<Region, CudaError> {
        allocator.take(mock, 0, "add", bytes, None)
    }

    #[test]
    fn a_freed_block_is_given_out_again_and_figures_follow() {
        let (allocator, mock) = (Allocator::default(), Mock::with_memory(1 << 30));
        let first = take(&allocator, &mock, 1000).unwrap();
        assert_eq!(allocator.figures(), Figures { in_use: 1024, peak: 1024, kept: 0 });
        allocator.put(first);
        assert_eq!(allocator.figures(), Figures { in_use: 0, peak: 1024, kept: 1024 });
        assert_eq!(take(&allocator, &mock, 970).unwrap(), first);
        assert_ne!(take(&allocator, &mock, 970).unwrap(), first);
        assert_eq!(allocator.figures(), Figures { in_use: 2048, peak: 2048, kept: 0 });
    }

    #[test]
    fn a_much_larger_block_is_not_wasted() {
        let (allocator, mock) = (Allocator::default(), Mock::with_memory(1 << 30));
        let large = take(&allocator, &mock, 9 << 20).unwrap();
        allocator.put(large);
        assert_ne!(take(&allocator, &mock, 1 << 20).unwrap().at, large.at);
        assert_eq!(take(&allocator, &mock, (9 << 20) - 7).unwrap(), large);
    }

    #[test]
    fn what_is_kept_goes_back_before_memory_counts_as_out() {
        let (allocator, mock) = (Allocator::default(), Mock::with_memory(3 << 20));
        let kept = take(&allocator, &mock, 2 << 20).unwrap();
        allocator.put(kept);
        let fits_then = take(&allocator, &mock, 3 << 20).unwrap();
        assert_eq!(mock.used(), 3 << 20);
        let error = take(&allocator, &mock, 1).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("add: out of memory on cuda:0: 1 bytes asked for"),
            "{text}"
        );
        assert!(text.contains("0 of 3145728 free"), "{text}");
        // Nothing is lost by the error.
        allocator.put(fits_then);
        assert!(take(&allocator, &mock, 1 << 20).is_ok());
    }

    #[test]
    fn a_pool_gives_the_same_requests_the_same_blocks_and_nobody_else() {
        let (allocator, mock) = (Allocator::default(), Mock::with_memory(1 << 30));
        let of_pool = |bytes| allocator.take(&mock, 0, "add", bytes, Some(7)).unwrap();
        let round = || {
            allocator.begin(7);
            let first = of_pool(1000);
            let second = of_pool(1000);
            allocator.put(first);
            let third = of_pool(900);
            // Not in the order in which they were given out.
            allocator.put(third);
            allocator.put(second);
            [first, second, third]
        };
        let blocks = round();
        for other in [1000, 1000, 900] {
            let other = take(&allocator, &mock, other).unwrap();
            assert!(!blocks.contains(&other));
            allocator.put(other);
        }
        assert_eq!(round(), round());
        allocator.clear(&mock);
        assert_eq!(mock.used(), 2 * 1024, "what the pool has it keeps");
        let in_use = of_pool(1000);
        allocator.dissolve(7);
        allocator.put(in_use);
        assert_eq!(allocator.figures(), Figures { in_use: 0, peak: 2048, kept: 3072 });
        allocator.clear(&mock);
        assert_eq!((mock.used(), allocator.figures().kept), (0, 0));
    }

    #[test]
    fn absurd_sizes_are_out_of_memory_and_no_overflow() {
        let (allocator, mock) = (Allocator::default(), Mock::with_memory(1 << 20));
        for bytes in [usize::MAX, usize::MAX - 1000, 1 << 50] {
            let error = take(&allocator, &mock, bytes).unwrap_err();
            assert!(matches!(error, CudaError::OutOfMemory { .. }), "{error}");
        }
    }

    #[test]
    fn clearing_gives_all_of_it_back() {
        let (allocator, mock) = (Allocator::default(), Mock::with_memory(1 << 20));
        for region in [100, 5000, 100].map(|n| take(&allocator, &mock, n).unwrap()) {
            allocator.put(region);
        }
        allocator.clear(&mock);
        assert_eq!((mock.used(), allocator.figures().kept), (0, 0));
    }
}
