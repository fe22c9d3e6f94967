//! The machine's places for sections: each takes a core, the memory that its cells ask for and, if
//! one of them says `gpu`, a GPU.

use crate::book::Section;
use crate::document::Cell;
use std::sync::{Condvar, Mutex, MutexGuard};

/// What there is to run sections on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// How many sections run at once.
    pub jobs: usize,
    /// Bytes of memory for all of them.
    pub memory: u64,
    /// The GPUs, as `CUDA_VISIBLE_DEVICES` names them.
    pub gpus: Vec<String>,
}

impl Slots {
    /// All of this machine: a section for each core, three quarters of the memory, each GPU that is
    /// visible.
    pub fn of_this_machine() -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self { jobs, memory: machine_memory() / 4 * 3, gpus: visible_gpus() }
    }
}

/// What the machine has, or what the group of processes that we are in may take of it.
fn machine_memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(total.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(u64::MAX)
}

/// The GPUs that programs may use: those of `CUDA_VISIBLE_DEVICES`, or all with a driver.
fn visible_gpus() -> Vec<String> {
    if let Ok(named) = std::env::var("CUDA_VISIBLE_DEVICES") {
        let names = named.split(',').map(|name| name.trim().to_owned());
        return names.filter(|name| !name.is_empty()).collect();
    }
    let devices = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = devices
        .filter_map(|device| {
            device.file_name().to_str()?.strip_prefix("nvidia")?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers.iter().map(u32::to_string).collect()
}

/// Whether a cell of the section is for machines with a GPU.
pub(super) fn wants_gpu(section: &Section) -> bool {
    section.document.cells().any(|(cell, _)| cell.attrs.gpu)
}

/// Sections that wait for their places, and the places that are free.
pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Index, memory and whether a GPU is wanted.
    waiting: Vec<(usize, u64, bool)>,
    memory: u64,
    gpus: Vec<String>,
}

impl Pool {
    /// For the sections with these indices, to be run in order as far as places allow.
    pub(super) fn new<'a>(
        sections: impl Iterator<Item = (usize, &'a Section)>,
        slots: &Slots,
    ) -> Self {
        let waiting = sections.map(|(index, section)| {
            let asked = |(cell, _): (&Cell, _)| cell.attrs.memory;
            let memory = section.document.cells().filter_map(asked).max().unwrap_or(0);
            // One that wants more than there is runs alone.
            let memory = memory.min(slots.memory);
            (index, memory, !slots.gpus.is_empty() && wants_gpu(section))
        });
        let state = State {
            waiting: waiting.collect(),
            memory: slots.memory,
            gpus: slots.gpus.clone(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for the first section that there is room for; `None` if none is left.
    pub(super) fn next(&self) -> Option<Place<'_>> {
        let mut state = self.state();
        loop {
            if state.waiting.is_empty() {
                return None;
            }
            let fits = |&(_, memory, gpu): &(usize, u64, bool)| {
                memory <= state.memory && (!gpu || !state.gpus.is_empty())
            };
            if let Some(at) = state.waiting.iter().position(fits) {
                let (section, memory, gpu) = state.waiting.remove(at);
                state.memory -= memory;
                let gpu = if gpu { state.gpus.pop() } else { None };
                return Some(Place { pool: self, section, memory, gpu });
            }
            state = self.changed.wait(state).expect("no panic under the lock");
        }
    }

    /// Lets nothing more begin.
    pub(super) fn close(&self) {
        self.state().waiting.clear();
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }
}

/// A section's place; given back when dropped.
pub(super) struct Place<'a> {
    pool: &'a Pool,
    /// The section's index.
    pub(super) section: usize,
    memory: u64,
    /// Its GPU, if it wants one.
    pub(super) gpu: Option<String>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.memory += self.memory;
        state.gpus.extend(self.gpu.take());
        drop(state);
        self.pool.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;

    #[test]
    fn sections_wait_for_memory_and_gpus_and_pass_those_that_wait() {
        let config = "title = \"T\"\n[[chapter]]\npath = \"c\"\nsections = [\"a\", \"b\", \"d\", \"e\"]\n";
        let cell = |attributes: &str| format!("# T\n\n```rust{attributes}\n1\n```\n");
        let texts = [
            ("c/index", "# C\n".to_owned()),
            ("c/a", cell(", gpu, memory=3GB")),
            ("c/b", cell(", gpu")),
            ("c/d", cell(", memory=9GB")),
            ("c/e", cell("")),
        ];
        let texts = texts.each_ref().map(|(path, text)| (*path, text.as_str()));
        let (book, found) = Book::from_texts(config, &texts, None).unwrap();
        assert!(found.is_empty(), "{found:?}");
        let slots = Slots { jobs: 4, memory: 4_000_000_000, gpus: vec!["7".into()] };
        let pool = Pool::new(book.sections.iter().enumerate().skip(1), &slots);
        let [a, e] = [pool.next().unwrap(), pool.next().unwrap()];
        assert_eq!((a.section, a.gpu.as_deref()), (1, Some("7")));
        assert_eq!((e.section, e.gpu.as_deref()), (4, None), "it needs nothing");
        drop(a);
        let b = pool.next().unwrap();
        assert_eq!((b.section, b.gpu.as_deref()), (2, Some("7")));
        assert_eq!(pool.next().unwrap().section, 3, "more than there is: all of it");
        assert!(pool.next().is_none());
    }
}
