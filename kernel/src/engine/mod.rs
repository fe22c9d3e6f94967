//! Runs cells of Rust. Knows nothing of Jupyter.
//!
//! [`Engine::execute`] takes the text of a cell, sends what happens while it runs to a sink, and says
//! how it ended. Two back ends give the same results: the warm compile server (fast; needs `fork`)
//! and evcxr (portable).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// MIME type → content; binary forms are base64, as in a notebook file.
pub type MimeBundle = BTreeMap<String, String>;

/// What an engine needs to know before it starts.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// A crate in scope from the first cell, if any.
    pub prelude: Option<PreludeCrate>,
    /// Where compiled crates are kept between runs (for all sessions; safe to share).
    pub cache_dir: PathBuf,
    /// Working directory of the cells.
    pub work_dir: PathBuf,
    /// What the cells find in their environment besides ours: name → value.
    pub env: BTreeMap<String, String>,
    /// Which back end runs the cells.
    pub backend: Backend,
}

/// A crate that every cell may use without saying so.
#[derive(Debug, Clone)]
pub struct PreludeCrate {
    /// Its name: `d2l`.
    pub name: String,
    /// The folder of its `Cargo.toml`.
    pub source: PathBuf,
    /// What is in scope from the first cell: `use d2l::prelude::*;`.
    pub import: String,
}

/// The ways to run a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// The warm server on Linux, elsewhere evcxr.
    #[default]
    Auto,
    /// The warm compile server.
    Warm,
    /// evcxr; on Linux only if this crate was built with the feature `evcxr`.
    Evcxr,
}

/// A cell and the name under which its errors are shown.
#[derive(Debug, Clone)]
pub struct CellSource {
    /// `In [3]`, or the chapter's file name.
    pub name: String,
    /// The code. A first line `//#@save …` or `#@save …` means nothing here.
    pub code: String,
}

/// What happens while a cell runs, as it happens.
#[derive(Debug)]
pub enum Event {
    /// Text on standard output.
    Stdout(String),
    /// Text on standard error.
    Stderr(String),
    /// Something to show.
    Display {
        /// Its forms.
        data: MimeBundle,
        /// A name under which it can be updated.
        display_id: Option<String>,
        /// Replace what was shown under `display_id`.
        update: bool,
    },
    /// Remove what the cell has shown; `wait` until the next output comes.
    Clear {
        /// Wait for the next output.
        wait: bool,
    },
    /// The cell reads a line from standard input.
    Input {
        /// What to ask.
        prompt: String,
        /// Whether the answer must not be shown.
        password: bool,
        /// Where the answer goes.
        reply: std::sync::mpsc::Sender<String>,
    },
    /// Work before the cell runs: `compiling ndarray 0.17`.
    Progress(String),
}

/// How a cell ended.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Success or not.
    pub outcome: Outcome,
    /// From the request to the end.
    pub elapsed: Duration,
}

/// Success or not.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The cell ran to its end; its value, if its last expression had one.
    Done(Option<MimeBundle>),
    /// It did not.
    Failed(CellError),
}

/// Why a cell failed.
#[derive(Debug, Clone)]
pub struct CellError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// One line: rustc's message, or the panic's.
    pub message: String,
    /// Places in the cell, the most important first; empty if none is known.
    pub diagnostics: Vec<CellDiagnostic>,
    /// All of it as a terminal shows it, without colours.
    pub plain: String,
    /// The same with ANSI colours.
    pub ansi: String,
}

impl CellError {
    /// What notebooks call it: `E0308`, `panic`, …
    pub fn name(&self) -> &str {
        let code = self.diagnostics.iter().find_map(|found| found.code.as_deref());
        match self.kind {
            ErrorKind::Compile => code.unwrap_or("error"),
            ErrorKind::Panic => "panic",
            ErrorKind::Returned => "Err",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Crash => "crash",
            ErrorKind::Internal => "engine",
        }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It did not compile.
    Compile,
    /// It panicked; variables are kept.
    Panic,
    /// A `?` at top level met an `Err`.
    Returned,
    /// The user stopped it; variables are kept.
    Interrupted,
    /// The process died (the message says how) and what was kept.
    Crash,
    /// The engine itself failed.
    Internal,
}

/// One message of the compiler, or the place of a panic, in the coordinates of the cell.
#[derive(Debug, Clone)]
pub struct CellDiagnostic {
    /// `E0308`, if it has a code.
    pub code: Option<String>,
    /// `error`, `warning`, `panic`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// 1-based line in the cell.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// One past the last line's column, for underlining; equals `line`/`column` if unknown.
    pub end_line: usize,
    /// See `end_line`.
    pub end_column: usize,
    /// The compiler's label at that place.
    pub label: String,
    /// Notes, helps and suggestions, a line each.
    pub notes: Vec<String>,
}

#[cfg_attr(all(target_os = "linux", not(feature = "evcxr")), path = "no_evcxr.rs")]
mod evcxr;
#[cfg(target_os = "linux")]
mod warm;

pub(crate) use evcxr::runtime_hook;

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A tool is missing or the prelude crate does not compile.
    #[error("the engine did not start: {0}")]
    Start(String),
    /// A file or a process failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the cells of one session.
#[derive(Debug)]
pub struct Engine {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    #[cfg(target_os = "linux")]
    Warm(Box<warm::WarmEngine>),
    Evcxr(Box<evcxr::EvcxrEngine>),
}

/// Stops a running cell from another thread.
#[derive(Debug, Clone)]
pub struct Interrupter {
    #[cfg(target_os = "linux")]
    stop: Option<std::sync::Arc<warm::Stop>>,
}

impl Interrupter {
    /// Stops the running cell; nothing happens if none runs.
    pub fn interrupt(&self) {
        #[cfg(target_os = "linux")]
        if let Some(stop) = &self.stop {
            stop.interrupt();
        }
    }

    /// Kills the process of the running cell at once; nothing happens if none runs.
    pub fn kill(&self) {
        #[cfg(target_os = "linux")]
        if let Some(stop) = &self.stop {
            stop.kill();
        }
    }

    /// The memory of the process that runs cells, in bytes, in RAM or swapped out: variables and
    /// what the running cell holds, without code. `None` if this back end cannot tell.
    pub fn memory(&self) -> Option<u64> {
        #[cfg(target_os = "linux")]
        return self.stop.as_ref()?.memory();
        #[cfg(not(target_os = "linux"))]
        None
    }
}

impl Engine {
    /// Starts an engine; `progress` hears of anything that takes long.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn start(
        config: EngineConfig,
        progress: &mut dyn FnMut(String),
    ) -> Result<Self, EngineError> {
        #[cfg(target_os = "linux")]
        if config.backend != Backend::Evcxr {
            let engine = warm::WarmEngine::start(config, progress)?;
            return Ok(Self { inner: Inner::Warm(Box::new(engine)) });
        }
        let engine = evcxr::EvcxrEngine::start(config, progress)?;
        Ok(Self { inner: Inner::Evcxr(Box::new(engine)) })
    }

    /// Runs one cell; `sink` hears what happens while it runs, and what [`listen`](Self::listen)
    /// would have told.
    pub fn execute(
        &mut self,
        cell: &CellSource,
        sink: &mut dyn FnMut(Event),
    ) -> Execution {
        match &mut self.inner {
            #[cfg(target_os = "linux")]
            Inner::Warm(engine) => engine.execute(cell, sink),
            Inner::Evcxr(engine) => engine.execute(cell, sink),
        }
    }

    /// The session's variables and their types.
    pub fn variables(&self) -> BTreeMap<String, String> {
        match &self.inner {
            #[cfg(target_os = "linux")]
            Inner::Warm(engine) => engine.variables(),
            Inner::Evcxr(engine) => engine.variables(),
        }
    }

    /// Passes on what the threads of earlier cells did since the last cell ended; true if they may
    /// do more, so that it is worth asking again.
    pub fn listen(&mut self, sink: &mut dyn FnMut(Event)) -> bool {
        match &mut self.inner {
            #[cfg(target_os = "linux")]
            Inner::Warm(engine) => engine.listen(sink),
            Inner::Evcxr(_) => false,
        }
    }

    /// A handle that stops cells.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter {
            #[cfg(target_os = "linux")]
            stop: match &self.inner {
                Inner::Warm(engine) => Some(engine.stop()),
                Inner::Evcxr(_) => None,
            },
        }
    }
}
