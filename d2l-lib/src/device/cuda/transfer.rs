//! Copies between main memory and a GPU of NVIDIA's: through pinned memory, in the order of the
//! main stream or beside it, by a stream of their own.

use std::{
    ffi::c_void,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::driver::{result, sys};

use super::{
    driver::{Address, Failure, Mark},
    nvidia::failure,
    staging::{Inward, Outward, Queue},
};

/// A stream, whose context is that of the calling thread.
struct Stream {
    stream: sys::CUstream,
    /// Events that no mark needs now.
    spare: Arc<Mutex<Vec<usize>>>,
}

pub(super) struct Transfers {
    main: Stream,
    beside: Stream,
    outward: Outward,
    outward_beside: Outward,
    inward: Inward,
}

impl Transfers {
    /// Copies for a device whose context is that of this thread.
    pub(super) fn new(main: sys::CUstream) -> Result<Transfers, Failure> {
        let beside = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(failure)?;
        let spare = Arc::default();
        let stream = |stream| Stream { stream, spare: Arc::clone(&spare) };
        Ok(Transfers {
            main: stream(main),
            beside: stream(beside),
            outward: Outward::default(),
            outward_beside: Outward::default(),
            inward: Inward::default(),
        })
    }

    pub(super) fn upload(&self, from: &[u8], to: Address) -> Result<(), Failure> {
        let staged = self.outward.upload(&self.main, from, to);
        staged.unwrap_or_else(|| self.main.upload(from, to))
    }

    pub(super) fn download(&self, from: Address, to: &mut [u8]) -> Result<(), Failure> {
        if Inward::pays(to.len())
            && let Some(done) = self.inward.download(&self.main, from, to)
        {
            return done;
        }
        // SAFETY: the memory is large enough, and `to` lives until all was written.
        unsafe { result::memcpy_dtoh_async(to, from, self.main.stream) }
            .map_err(failure)?;
        self.main.synchronize()
    }

    pub(super) fn mark(&self) -> Result<Mark, Failure> {
        self.main.mark()
    }

    pub(super) fn upload_beside(
        &self,
        from: &[u8],
        to: Address,
        after: &Mark,
    ) -> Result<Mark, Failure> {
        let queued = self.beside.queue_after(after).and_then(|()| {
            let staged = self.outward_beside.upload(&self.beside, from, to);
            staged.unwrap_or_else(|| self.beside.upload(from, to))?;
            self.beside.mark()
        });
        if queued.is_err() {
            // A part of it may be on its way; the memory is somebody else's soon. If this fails
            // too, the device does nothing any more.
            let _ = self.beside.synchronize();
        }
        queued
    }

    pub(super) fn wait_for(&self, mark: &Mark) -> Result<(), Failure> {
        self.main.queue_after(mark)
    }
}

impl Stream {
    /// A copy from memory that is not pinned.
    fn upload(&self, from: &[u8], to: Address) -> Result<(), Failure> {
        // SAFETY: the memory is large enough. What is not pinned was read when this returns.
        unsafe { result::memcpy_htod_async(to, from, self.stream) }.map_err(failure)
    }

    /// Lets what is queued from now on wait for a mark of any stream of the device.
    fn queue_after(&self, mark: &Mark) -> Result<(), Failure> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: stream and event live as long as the process. What the event was recorded for
        // at this moment counts, so it may be recorded again afterwards.
        unsafe { result::stream::wait_event(self.stream, mark.event as _, flags) }
            .map_err(failure)
    }

    fn synchronize(&self) -> Result<(), Failure> {
        // SAFETY: the stream lives as long as the process.
        unsafe { result::stream::synchronize(self.stream) }.map_err(failure)
    }
}

impl Queue for Stream {
    fn pinned(&self, bytes: usize) -> Result<*mut u8, Failure> {
        // SAFETY: it is never given back. No flags: it is written and read by this context only.
        let at = unsafe { result::malloc_host(bytes, 0) };
        at.map(<*mut c_void>::cast).map_err(failure)
    }

    unsafe fn send(
        &self,
        from: *const u8,
        to: Address,
        bytes: usize,
    ) -> Result<(), Failure> {
        // SAFETY: the caller answers for the memory.
        unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.cast(), bytes, self.stream) }
            .result()
            .map_err(failure)
    }

    unsafe fn fetch(
        &self,
        from: Address,
        to: *mut u8,
        bytes: usize,
    ) -> Result<(), Failure> {
        // SAFETY: the caller answers for the memory.
        unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from, bytes, self.stream) }
            .result()
            .map_err(failure)
    }

    fn mark(&self) -> Result<Mark, Failure> {
        let kept = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let event = match kept {
            Some(event) => event,
            None => {
                let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
                result::event::create(flags).map_err(failure)? as usize
            }
        };
        let mark = Mark { event, spare: Some(Arc::clone(&self.spare)) };
        // SAFETY: event and stream live as long as the process, and are of one context.
        unsafe { result::event::record(event as _, self.stream) }.map_err(failure)?;
        Ok(mark)
    }

    fn wait(&self, mark: &Mark) -> Result<(), Failure> {
        // SAFETY: the event lives as long as the process.
        unsafe { result::event::synchronize(mark.event as _) }.map_err(failure)
    }
}
