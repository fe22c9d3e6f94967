//! Says how a run goes: live on a terminal, a line a section elsewhere.

use crate::book::Section;
use crate::diagnostic::Diagnostic;
use crate::document::{Cell, Span};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

/// How one cell went.
#[derive(Debug, Clone)]
pub struct CellReport {
    /// `book/preliminaries/calculus.md:45`.
    pub place: String,
    /// The slug of its section.
    pub section: String,
    /// The cell's id.
    pub id: String,
    /// How long it took.
    pub elapsed: Duration,
    /// How it ended.
    pub status: Status,
    /// What is wrong, for a cell that failed.
    pub problem: String,
}

/// How a cell ended, as a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It did what the chapter says.
    Passed,
    /// It did not.
    Failed,
    /// An earlier cell of its section failed.
    Skipped,
    /// It needs a GPU, and there is none.
    NeedsGpu,
}

impl CellReport {
    /// `preliminaries/calculus::plot`
    pub fn name(&self) -> String {
        format!("{}::{}", self.section, self.id)
    }

    /// Notes a problem.
    pub fn fail(&mut self, problem: &Diagnostic) {
        self.status = Status::Failed;
        if !self.problem.is_empty() {
            self.problem.push('\n');
        }
        self.problem.push_str(&problem.to_string());
        if let Some(help) = &problem.help {
            self.problem.push('\n');
            self.problem.push_str(help);
        }
    }

    pub(super) fn ran(
        section: &Section,
        cell: &Cell,
        span: Span,
        elapsed: Duration,
        passed: bool,
    ) -> Self {
        let status = if passed { Status::Passed } else { Status::Failed };
        Self { elapsed, status, ..Self::skipped(section, cell, span) }
    }

    pub(super) fn needs_gpu(section: &Section, cell: &Cell, span: Span) -> Self {
        Self { status: Status::NeedsGpu, ..Self::skipped(section, cell, span) }
    }

    pub(super) fn skipped(section: &Section, cell: &Cell, span: Span) -> Self {
        let (line, _) = section.document.position(span.start);
        Self {
            place: format!("{}:{line}", section.document.path.display()),
            section: section.slug.clone(),
            id: cell.id.clone(),
            elapsed: Duration::ZERO,
            status: Status::Skipped,
            problem: String::new(),
        }
    }
}

/// Hears how a run goes; called from several threads.
pub trait Reporter: Sync {
    /// Before anything runs: which sections will and why, how many came from the cache.
    fn plan(&self, _to_run: &[(&Section, String)], _cached: usize) {}
    /// A step before the first cell, such as compiling the prelude crate.
    fn preparing(&self, _step: &str) {}
    /// A section came from the cache.
    fn section_cached(&self, _section: &Section) {}
    /// A section starts.
    fn section_started(&self, _section: &Section, _cells: usize) {}
    /// A cell starts; `number` counts from 0.
    fn cell_started(
        &self,
        _section: &Section,
        _number: usize,
        _cells: usize,
        _cell: &Cell,
    ) {
    }
    /// A cell ended.
    fn cell_finished(
        &self,
        _section: &Section,
        _number: usize,
        _cells: usize,
        _report: &CellReport,
    ) {
    }
    /// A section ended.
    fn section_finished(
        &self,
        _section: &Section,
        _cells: usize,
        _elapsed: Duration,
        _ok: bool,
    ) {
    }
}

/// Hears nothing.
#[derive(Debug)]
pub struct Silent;

impl Reporter for Silent {}

/// Shows progress on standard error.
#[derive(Debug)]
pub struct Terminal {
    bars: MultiProgress,
    live: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    to_run: usize,
    finished: usize,
    preparing: Option<ProgressBar>,
    sections: HashMap<String, ProgressBar>,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// A display that is live if standard error is a terminal.
    pub fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            live: std::io::stderr().is_terminal(),
            state: Mutex::default(),
        }
    }

    /// Prints a line above whatever moves.
    pub fn line(&self, text: &str) {
        if self.live {
            let _ = self.bars.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    fn spinner(&self) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed:.dim}");
        bar.set_style(style.expect("the template is right"));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

impl Reporter for Terminal {
    fn plan(&self, to_run: &[(&Section, String)], cached: usize) {
        self.state.lock().expect("no panic under the lock").to_run = to_run.len();
        if !to_run.is_empty() {
            let also =
                if cached > 0 { format!(", {cached} unchanged") } else { String::new() };
            self.line(&format!("running {}{also}", count(to_run.len(), "section")));
        }
        // Sections with the same reason share a line.
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (section, reason) in to_run {
            by_reason.entry(reason).or_default().push(&section.slug);
        }
        for (reason, sections) in by_reason {
            self.line(&format!("  {}: {reason}", sections.join(", ")));
        }
    }

    fn preparing(&self, step: &str) {
        if !self.live {
            return self.line(&format!("  {step}"));
        }
        let mut state = self.state.lock().expect("no panic under the lock");
        let bar = state.preparing.get_or_insert_with(|| self.spinner());
        bar.set_message(step.to_owned());
    }

    fn section_started(&self, section: &Section, cells: usize) {
        if !self.live {
            return;
        }
        let mut state = self.state.lock().expect("no panic under the lock");
        if let Some(bar) = state.preparing.take() {
            bar.finish_and_clear();
        }
        let bar = self.bars.add(ProgressBar::new(cells as u64));
        let template = "  {bar:24.cyan} {pos:>3}/{len} {msg} {elapsed:.dim}";
        bar.set_style(
            ProgressStyle::with_template(template).expect("the template is right"),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        state.sections.insert(section.slug.clone(), bar);
    }

    fn cell_started(&self, section: &Section, number: usize, _cells: usize, cell: &Cell) {
        let state = self.state.lock().expect("no panic under the lock");
        if let Some(bar) = state.sections.get(&section.slug) {
            bar.set_position(number as u64);
            bar.set_message(format!("{} · {}", section.slug, cell.id));
        }
    }

    fn section_finished(
        &self,
        section: &Section,
        cells: usize,
        elapsed: Duration,
        ok: bool,
    ) {
        let mut state = self.state.lock().expect("no panic under the lock");
        state.finished += 1;
        let line = format!(
            "  [{}/{}] {} {}: {}, {:.1} s",
            state.finished,
            state.to_run,
            if ok { "ok" } else { "FAILED" },
            section.slug,
            count(cells, "cell"),
            elapsed.as_secs_f64()
        );
        if let Some(bar) = state.sections.remove(&section.slug) {
            bar.finish_and_clear();
        }
        drop(state);
        self.line(&line);
    }
}

/// `1 cell`, `2 cells`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
