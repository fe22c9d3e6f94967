//! How a running cell is stopped from another thread.

use super::server::pipe;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by a runner and those who may interrupt it.
#[derive(Debug)]
pub(in crate::engine) struct Stop {
    asked: AtomicBool,
    running: Mutex<bool>,
    active: AtomicI32,
    wake: OwnedFd,
    woken: OwnedFd,
}

impl Stop {
    /// For a runner that is to start.
    pub(super) fn new() -> std::io::Result<Arc<Self>> {
        let (woken, wake) = pipe()?;
        for fd in [&woken, &wake] {
            // SAFETY: our own descriptors.
            unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        Ok(Arc::new(Self {
            asked: AtomicBool::new(false),
            running: Mutex::new(false),
            active: AtomicI32::new(0),
            wake,
            woken,
        }))
    }

    /// Asks the running cell to stop; nothing happens if none is.
    pub(in crate::engine) fn interrupt(&self) {
        let running = self.running();
        if !*running {
            return;
        }
        self.asked.store(true, Ordering::SeqCst);
        self.signal(libc::SIGINT);
        // SAFETY: one byte into our own pipe, which does not block.
        unsafe { libc::write(self.wake.as_raw_fd(), [1u8].as_ptr().cast(), 1) };
    }

    /// Kills the process of the running cell; nothing happens if none runs.
    pub(in crate::engine) fn kill(&self) {
        let running = self.running();
        if *running {
            self.signal(libc::SIGKILL);
        }
    }

    /// The memory that the process that runs cells does not share with a file, in bytes.
    pub(in crate::engine) fn memory(&self) -> Option<u64> {
        let active = self.active.load(Ordering::SeqCst);
        let status = std::fs::read_to_string(format!("/proc/{active}/status")).ok()?;
        let held = status.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let counts = matches!(name, "RssAnon" | "RssShmem" | "VmSwap");
            counts.then(|| value.trim().trim_end_matches(" kB").parse::<u64>().ok())?
        });
        Some(held.sum::<u64>() * 1024)
    }

    /// Whether an interrupt was asked for since the cell began.
    pub(super) fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// A cell begins: only what is asked from now on counts.
    pub(super) fn begin(&self) {
        self.asked.store(false, Ordering::SeqCst);
        *self.running() = true;
    }

    /// The cell has ended.
    pub(super) fn end(&self) {
        *self.running() = false;
    }

    /// Which process runs cells now.
    pub(super) fn set_active(&self, pid: i32) {
        self.active.store(pid, Ordering::SeqCst);
    }

    /// Sends a signal to the process that runs cells.
    pub(super) fn signal(&self, signal: i32) {
        let active = self.active.load(Ordering::SeqCst);
        if active > 0 {
            // SAFETY: a signal to a process of the runner.
            unsafe { libc::kill(active, signal) };
        }
    }

    /// Readable when an interrupt was asked for.
    pub(super) fn woken(&self) -> RawFd {
        self.woken.as_raw_fd()
    }

    /// Empties what makes `woken` readable.
    pub(super) fn calm(&self) {
        let mut bytes = [0_u8; 16];
        // SAFETY: room for 16 bytes; the pipe does not block.
        unsafe {
            libc::read(self.woken.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len());
        }
    }

    fn running(&self) -> MutexGuard<'_, bool> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
