//! What stops a cell that takes too much time or memory.

use kernel::engine::Engine;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a cell's memory is looked at: in between it can fill some hundred megabytes.
const PACE: Duration = Duration::from_millis(20);

/// What a cell may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// From its start, compilation included.
    pub(super) time: Duration,
    /// Bytes of its process, the session's variables included.
    pub(super) memory: u64,
}

/// The limit that a cell exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Time,
    Memory,
}

/// Watches one cell from another thread, and stops it at its limits.
pub(super) struct Watchdog {
    finished: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<Option<Excess>>,
}

impl Watchdog {
    /// Watches the cell that `engine` runs next.
    pub(super) fn start(engine: &Engine, limits: Limits) -> Self {
        let finished = Arc::new((Mutex::new(false), Condvar::new()));
        let interrupter = engine.interrupter();
        let started = Instant::now();
        let thread = std::thread::spawn({
            let finished = finished.clone();
            move || {
                let (finished, wake) = &*finished;
                let mut guard = finished.lock().expect("no panic under the lock");
                loop {
                    let left = limits.time.saturating_sub(started.elapsed());
                    let pause = wake.wait_timeout_while(guard, left.min(PACE), |f| !*f);
                    (guard, _) = pause.expect("no panic under the lock");
                    if *guard {
                        return None;
                    }
                    if started.elapsed() >= limits.time {
                        interrupter.interrupt();
                        return Some(Excess::Time);
                    }
                    if interrupter.memory().is_some_and(|held| held > limits.memory) {
                        // It may take gigabytes more while it is asked to stop.
                        interrupter.kill();
                        return Some(Excess::Memory);
                    }
                }
            }
        });
        Self { finished, thread }
    }

    /// Ends the watch; says which limit was reached.
    pub(super) fn stop(self) -> Option<Excess> {
        *self.finished.0.lock().expect("no panic under the lock") = true;
        self.finished.1.notify_all();
        self.thread.join().expect("the watchdog does not panic")
    }
}
