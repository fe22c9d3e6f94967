//! Arrays: elements in the memory of a GPU, or what computes them once something needs them.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{
    allocator::Region,
    chain::{self, Expression},
    driver::Address,
    error::CudaError,
    gpu::Gpu,
    recording::{self, Cells, Next},
};
use crate::{dtype::DType, layout::Layout};

/// Elements in the memory of a GPU.
pub(crate) struct Array {
    pub(crate) gpu: &'static Gpu,
    length: usize,
    dtype: DType,
    /// Where they are, or will be: who asks for too much memory is told at once.
    region: Region,
    /// What computes them, until it is queued.
    waiting: Mutex<Option<Box<Expression>>>,
    /// Whether nothing waits; it says without a lock what `waiting` says.
    is_computed: AtomicBool,
    /// The pool of the recording that made it, if one did.
    pool: Option<usize>,
    /// Whether another recording used it.
    is_watched: AtomicBool,
}

impl Drop for Array {
    fn drop(&mut self) {
        self.leave();
        self.gpu.give_back(self.region);
    }
}

impl Array {
    /// Elements that are computed when something needs them; at once where every launch is waited
    /// for, so that an error is told by the call that made it.
    pub(crate) fn waiting(
        gpu: &'static Gpu,
        expression: Expression,
    ) -> Result<Arc<Array>, CudaError> {
        let (dtype, length) = (expression.dtype, expression.shape.numel());
        let region = gpu.region(expression.name, length.saturating_mul(dtype.size()))?;
        let array = Array::new(gpu, region, dtype, length, Some(Box::new(expression)));
        let array = Arc::new(array);
        if gpu.waits() {
            array.compute()?;
        }
        recording::waits(&array);
        Ok(array)
    }

    fn new(
        gpu: &'static Gpu,
        region: Region,
        dtype: DType,
        length: usize,
        waiting: Option<Box<Expression>>,
    ) -> Array {
        Array {
            gpu,
            length,
            dtype,
            region,
            is_computed: AtomicBool::new(waiting.is_none()),
            waiting: Mutex::new(waiting),
            pool: recording::pool(gpu.index()),
            is_watched: AtomicBool::new(false),
        }
    }

    /// Says that this thread uses the elements, or replaces them.
    #[inline]
    pub(crate) fn watch(&self) {
        if recording::is_active() && self.pool != recording::pool(self.gpu.index()) {
            self.is_watched.store(true, Relaxed);
        }
    }

    /// Says that a tensor has its elements elsewhere from now on.
    pub(crate) fn leave(&self) {
        if self.is_watched.load(Relaxed) {
            recording::outdate();
        }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn bytes(&self) -> usize {
        self.length * self.dtype.size()
    }

    pub(crate) fn is_computed(&self) -> bool {
        self.is_computed.load(Acquire)
    }

    /// What computes the elements, if nothing has yet.
    pub(super) fn expression(&self) -> MutexGuard<'_, Option<Box<Expression>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what computes the elements, unless that was done before. If it fails it can be tried
    /// again.
    pub(crate) fn compute(&self) -> Result<(), CudaError> {
        if self.is_computed() {
            return Ok(());
        }
        let mut waiting = self.expression();
        if let Some(expression) = &*waiting {
            let result = chain::Place {
                address: self.region.at,
                layout: Layout::contiguous(expression.shape),
                dtype: self.dtype,
            };
            chain::compute(self.gpu, expression, result)?;
            self.is_computed.store(true, Release);
            *waiting = None;
        }
        Ok(())
    }

    /// Where element 0 is, of elements that are computed.
    pub(crate) fn address(&self) -> Address {
        debug_assert!(
            self.is_computed(),
            "who asks where elements are has computed them"
        );
        self.region.at
    }

    /// Where this element is.
    pub(crate) fn address_of(&self, element: usize) -> Address {
        self.address() + (element * self.dtype.size()) as Address
    }

    /// The memory that has all elements, nowhere if there are none.
    pub(crate) fn region(&self) -> Region {
        match self.bytes() {
            0 => Region { at: 0, bytes: 0 },
            bytes => Region { at: self.address(), bytes },
        }
    }

    /// The elements as bytes, in main memory.
    #[cfg(test)]
    pub(crate) fn download(
        &self,
        operation: &'static str,
        to: &mut [u8],
    ) -> Result<(), CudaError> {
        self.download_from(operation, 0, to)
    }

    /// Elements from the `first` on, as bytes in main memory.
    pub(crate) fn download_from(
        &self,
        operation: &'static str,
        first: usize,
        to: &mut [u8],
    ) -> Result<(), CudaError> {
        if to.is_empty() {
            return Ok(());
        }
        self.compute()?;
        self.gpu.download(operation, self.address_of(first), to)
    }

    /// Another array with the same elements.
    pub(crate) fn copied(&self) -> Result<Array, CudaError> {
        self.compute()?;
        let copy = self.gpu.array("copy", self.dtype, self.length)?;
        self.gpu.copy(self.address(), copy.address(), self.bytes())?;
        Ok(copy)
    }

    /// Copies `count` elements of another array of this type, from the `first` on, to `at` and
    /// on.
    pub(crate) fn copy_part(
        &self,
        at: usize,
        source: &Array,
        first: usize,
        count: usize,
    ) -> Result<(), CudaError> {
        assert!(
            source.dtype == self.dtype
                && at + count <= self.length
                && first + count <= source.length,
            "copy: both arrays have these elements"
        );
        source.compute()?;
        let bytes = count * self.dtype.size();
        self.gpu.copy(source.address_of(first), self.address_of(at), bytes)
    }

    /// Writes zeros.
    pub(crate) fn zero(&self, operation: &'static str) -> Result<(), CudaError> {
        self.gpu.zero(operation, self.address(), self.bytes())
    }
}

impl Gpu {
    /// Room for elements, of unspecified value.
    pub(crate) fn array(
        &'static self,
        operation: &'static str,
        dtype: DType,
        length: usize,
    ) -> Result<Array, CudaError> {
        let region = self.region(operation, length.saturating_mul(dtype.size()))?;
        Ok(Array::new(self, region, dtype, length, None))
    }

    /// The elements, whose bytes are given.
    pub(crate) fn upload(
        &'static self,
        operation: &'static str,
        dtype: DType,
        bytes: &[u8],
    ) -> Result<Array, CudaError> {
        let array = self.array(operation, dtype, bytes.len() / dtype.size())?;
        self.send(operation, bytes, array.address())?;
        Ok(array)
    }

    /// Where a kernel finds a number that is `now` this time, and later what `next` gives; only
    /// while this thread records.
    pub(crate) fn cell(
        &'static self,
        operation: &'static str,
        now: &[u8],
        next: Next,
    ) -> Result<Address, CudaError> {
        let at = match recording::cell(next) {
            Ok(at) => at,
            Err(next) => {
                let array = self.array(operation, DType::U8, Cells::LENGTH)?;
                recording::add_cells(array);
                recording::cell(next)
                    .unwrap_or_else(|_| unreachable!("there is room now"))
            }
        };
        self.fill(operation, now, at)?;
        Ok(at)
    }
}
