//! Runs the cells of sections, each section in an engine of its own, and says what happened where.
//!
//! This is the only part of the builder that owns processes. What it gives back is data: outputs for
//! weaving, reports for `d2l test`, diagnostics that point into the chapters.

pub mod cache;
mod limits;
mod lock;
pub mod output;
pub mod pool;
mod reach;
pub mod record;
pub mod report;

use crate::book::{Book, Section};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Cell, Span};
use bytesize::ByteSize;
use cache::{Cache, Device};
use kernel::engine::{
    CellError, CellSource, Engine, EngineConfig, ErrorKind, Event, Outcome,
};
use limits::{Excess, Limits, Watchdog};
use output::{Output, SectionOutputs};
use pool::{Place, Pool, Slots, wants_gpu};
use record::Recorded;
use report::{CellReport, Reporter};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How sections are run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How to start an engine.
    pub engine: EngineConfig,
    /// What there is to run them on.
    pub slots: Slots,
    /// What of it is run.
    pub fresh: Fresh,
    /// What follows a cell that failed.
    pub keep_going: KeepGoing,
}

/// Whether the cache is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fresh {
    /// Run what has changed.
    #[default]
    Changed,
    /// Run even what the cache knows.
    All,
}

/// Whether a section goes on after a cell of it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepGoing {
    /// The other cells of the section are skipped.
    #[default]
    No,
    /// They run.
    Yes,
}

/// What running a set of sections gave.
#[derive(Debug, Default)]
pub struct RunResult {
    /// For each section of the book, in its order; empty for the ones that were not asked for.
    pub outputs: Vec<SectionOutputs>,
    /// One report for each cell that ran, in the book's order.
    pub cells: Vec<CellReport>,
    /// What went wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// How many sections came from the cache.
    pub cached: usize,
}

impl RunResult {
    /// Whether every cell did what its chapter says.
    pub fn is_ok(&self) -> bool {
        self.diagnostics.iter().all(|d| d.severity < Severity::Error)
    }
}

/// Runs the sections at `wanted` (indices into the book), from the cache where it knows them.
///
/// # Errors
/// If the engine cannot start at all; a failing cell is a diagnostic in the result.
pub fn run(
    book: &Book,
    wanted: &[usize],
    cache: &Cache,
    options: &RunOptions,
    reporter: &dyn Reporter,
) -> anyhow::Result<RunResult> {
    let mut slots: Vec<Option<SectionRun>> = book.sections.iter().map(|_| None).collect();
    let mut pending = Vec::new();
    let mut cached = 0;
    let mut plan = Vec::new();
    let device = if options.slots.gpus.is_empty() { Device::Cpu } else { Device::Gpu };
    for &index in wanted {
        let section = &book.sections[index];
        if section.document.cells().next().is_none() {
            continue;
        }
        let key = cache.key(section, device);
        // What a machine with a GPU has run is all of it.
        let all = device == Device::Cpu && wants_gpu(section);
        let elsewhere =
            || all.then(|| cache.load(section, &cache.key(section, Device::Gpu)))?;
        let known = match options.fresh {
            Fresh::Changed => elsewhere().or_else(|| cache.load(section, &key)),
            Fresh::All => None,
        };
        match known {
            Some(outputs) => {
                cached += 1;
                reporter.section_cached(section);
                slots[index] = Some(SectionRun { outputs, ..SectionRun::default() });
            }
            None => {
                let reason = match options.fresh {
                    Fresh::All => "asked for".into(),
                    Fresh::Changed => cache.reason(section, &key),
                };
                plan.push((section, reason));
                pending.push(index);
            }
        }
    }
    reporter.plan(&plan, cached);

    // The first engine is started alone: it may have to compile the prelude crate.
    let first = match pending.is_empty() {
        true => None,
        false => Some(Engine::start(options.engine.clone(), &mut |step| {
            reporter.preparing(&step);
        })?),
    };
    let first = Mutex::new(first);
    let pool = Pool::new(pending.iter().map(|&i| (i, &book.sections[i])), &options.slots);
    let done = Mutex::new(&mut slots);
    let broken = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..options.slots.jobs.clamp(1, pending.len().max(1)) {
            scope.spawn(|| {
                while let Some(place) = pool.next() {
                    let section = &book.sections[place.section];
                    let ran =
                        engine_for(&place, &options.engine, &first).and_then(|engine| {
                            run_section(book, &place, engine, options, reporter)
                        });
                    match ran {
                        Ok(run) => {
                            if run.diagnostics.is_empty() {
                                // A first run may have made files that cells read.
                                let key = cache.key(section, device);
                                cache.store(section, &key, &run.outputs);
                            }
                            done.lock().expect("no panic under the lock")
                                [place.section] = Some(run);
                        }
                        Err(error) => {
                            *broken.lock().expect("no panic under the lock") =
                                Some(error);
                            pool.close();
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = broken.into_inner().expect("no panic under the lock") {
        return Err(error);
    }

    let mut result = RunResult { cached, ..RunResult::default() };
    for slot in slots {
        let run = slot.unwrap_or_default();
        result.outputs.push(run.outputs);
        result.cells.extend(run.cells);
        result.diagnostics.extend(run.diagnostics);
    }
    Ok(result)
}

#[derive(Debug, Default)]
struct SectionRun {
    outputs: SectionOutputs,
    cells: Vec<CellReport>,
    diagnostics: Vec<Diagnostic>,
}

/// The engine that was started first, while nobody has taken it, or a new one.
fn engine_for(
    place: &Place<'_>,
    config: &EngineConfig,
    first: &Mutex<Option<Engine>>,
) -> anyhow::Result<Engine> {
    let mut config = config.clone();
    if let Some(gpu) = &place.gpu {
        config.env.insert("CUDA_VISIBLE_DEVICES".into(), gpu.clone());
    } else if let Some(ready) = first.lock().expect("no panic under the lock").take() {
        return Ok(ready);
    }
    Ok(Engine::start(config, &mut |_| {})?)
}

/// Runs one section from top to bottom; stops at the first cell that fails without being expected to.
fn run_section(
    book: &Book,
    place: &Place<'_>,
    mut engine: Engine,
    options: &RunOptions,
    reporter: &dyn Reporter,
) -> anyhow::Result<SectionRun> {
    let section = &book.sections[place.section];
    let recorded = match place.gpu.is_none() && wants_gpu(section) {
        true => Recorded::read(&book.root, section)?.unwrap_or_default(),
        false => Recorded::default(),
    };
    let usual = Limits {
        time: Duration::from_secs(book.config.run.timeout),
        memory: book.config.run.memory.map_or(options.slots.memory, |size| size.as_u64()),
    };
    let started = Instant::now();
    let mut run = SectionRun::default();
    let count = section.document.cells().count();
    reporter.section_started(section, count);
    let (mut stopped, mut failed) = (false, false);
    for (number, (cell, span)) in section.document.cells().enumerate() {
        if stopped {
            run.cells.push(CellReport::skipped(section, cell, span));
            run.outputs.cells.push(Vec::new());
            continue;
        }
        if cell.attrs.gpu && place.gpu.is_none() {
            run.cells.push(CellReport::needs_gpu(section, cell, span));
            let not_run = || vec![Output::NotRun { needs: "a GPU".into() }];
            let outputs = recorded.cell(&cell.id).cloned().unwrap_or_else(not_run);
            run.outputs.cells.push(outputs);
            continue;
        }
        reporter.cell_started(section, number, count, cell);
        let limits = Limits {
            time: cell.attrs.timeout.map_or(usual.time, Duration::from_secs),
            memory: cell.attrs.memory.unwrap_or(usual.memory),
        };
        let (outputs, mut report, problem) =
            run_cell(section, cell, span, number, limits, &mut engine);
        failed |= problem.is_some();
        stopped = problem.is_some() && options.keep_going == KeepGoing::No;
        problem.iter().flatten().for_each(|problem| report.fail(problem));
        run.outputs.cells.push(outputs);
        run.diagnostics.extend(problem.into_iter().flatten());
        reporter.cell_finished(section, number, count, &report);
        run.cells.push(report);
    }
    reporter.section_finished(section, count, started.elapsed(), !failed);
    Ok(run)
}

type CellRun = (Vec<Output>, CellReport, Option<Vec<Diagnostic>>);

fn run_cell(
    section: &Section,
    cell: &Cell,
    span: Span,
    number: usize,
    limits: Limits,
    engine: &mut Engine,
) -> CellRun {
    // As in a notebook; the chapter's line is added by the diagnostics.
    let name = format!("In [{}]", number + 1);
    let mut outputs = Vec::new();
    let watchdog = Watchdog::start(engine, limits);
    let source = CellSource { name, code: cell.code.clone() };
    let execution = engine.execute(&source, &mut |event| collect(event, &mut outputs));
    let excess = watchdog.stop();

    let (passed, problem) = match (&execution.outcome, &cell.attrs.fails) {
        (Outcome::Done(value), None) => {
            outputs.extend(value.clone().map(|data| Output::Result { data }));
            (true, None)
        }
        (Outcome::Done(_), Some(expected)) => {
            let what = if expected.is_empty() {
                String::new()
            } else {
                format!(" with `{expected}`")
            };
            let message = format!("this cell must fail{what}, but it ran to its end");
            (
                false,
                Some(vec![Diagnostic::error(
                    &section.document,
                    first_line(cell, span),
                    message,
                )]),
            )
        }
        (Outcome::Failed(error), Some(expected)) if matches(error, expected) => {
            outputs.push(error_output(error));
            (true, None)
        }
        (Outcome::Failed(error), expected) => {
            let mut problems = match excess {
                Some(excess) => vec![exceeded(section, cell, span, excess, limits)],
                None => place(section, cell, span, error),
            };
            if let Some(expected) = expected
                && let Some(first) = problems.first_mut()
            {
                first.message = format!("expected `{expected}`, got: {}", first.message);
            }
            outputs.push(error_output(error));
            (false, Some(problems))
        }
    };
    let report = CellReport::ran(section, cell, span, execution.elapsed, passed);
    (outputs, report, problem)
}

/// What an author is told of a cell that was stopped.
fn exceeded(
    section: &Section,
    cell: &Cell,
    span: Span,
    excess: Excess,
    limits: Limits,
) -> Diagnostic {
    let (message, help) = match excess {
        Excess::Time => (
            format!("this cell ran longer than {} s", limits.time.as_secs()),
            "give it more time with `timeout=SECONDS` in its fence",
        ),
        Excess::Memory => (
            format!("this cell took more than {} of memory", ByteSize::b(limits.memory)),
            "give it more with `memory=SIZE` in its fence, as in `memory=2GiB`",
        ),
    };
    Diagnostic::error(&section.document, first_line(cell, span), message).with_help(help)
}

/// Adds what happened to the outputs; text of one stream grows one output, as in a notebook.
fn collect(event: Event, outputs: &mut Vec<Output>) {
    let (stream, text) = match event {
        Event::Stdout(text) => ("stdout", text),
        Event::Stderr(text) => ("stderr", text),
        Event::Display { data, update: false, .. } => {
            return outputs.push(Output::Display { data });
        }
        Event::Display { data, update: true, .. } => {
            // A live display ends as its last state.
            match outputs.iter_mut().rev().find(|o| matches!(o, Output::Display { .. })) {
                Some(Output::Display { data: shown }) => *shown = data,
                _ => outputs.push(Output::Display { data }),
            }
            return;
        }
        Event::Clear { .. } => return outputs.clear(),
        Event::Input { reply, .. } => {
            // Nobody is there to answer: the end of the input.
            drop(reply);
            return;
        }
        Event::Progress(_) => return,
    };
    match outputs.last_mut() {
        Some(Output::Stream { name, text: shown }) if name == stream => {
            shown.push_str(&text)
        }
        _ => outputs.push(Output::Stream { name: stream.to_owned(), text }),
    }
}

fn error_output(error: &CellError) -> Output {
    let (name, message) = (error.name().to_owned(), error.message.clone());
    Output::Error { name, message, text: error.plain.clone() }
}

fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Compile => "compile error",
        ErrorKind::Panic => "panic",
        ErrorKind::Returned => "error",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Crash => "crash",
        ErrorKind::Internal => "internal error",
    }
}

/// Whether a failure is the expected one: any, a compiler code, a kind, or a part of the message.
fn matches(error: &CellError, expected: &str) -> bool {
    expected.is_empty()
        || kind_name(error.kind) == expected
        || error.diagnostics.iter().any(|d| d.code.as_deref() == Some(expected))
        || error.message.contains(expected)
        || error.plain.contains(expected)
}

/// Diagnostics in the chapter for an error in cell coordinates.
fn place(
    section: &Section,
    cell: &Cell,
    span: Span,
    error: &CellError,
) -> Vec<Diagnostic> {
    let document = &section.document;
    let mut problems: Vec<Diagnostic> = error
        .diagnostics
        .iter()
        .filter(|d| d.level != "warning")
        .map(|d| {
            let start = offset(cell, &document.source, d.line, d.column);
            let end = offset(cell, &document.source, d.end_line, d.end_column);
            let place = start.map_or(first_line(cell, span), |start| Span {
                start,
                end: end.unwrap_or(start).max(start),
            });
            let code = d.code.as_ref().map(|c| format!("[{c}] ")).unwrap_or_default();
            let mut diagnostic =
                Diagnostic::error(document, place, format!("{code}{}", d.message));
            let mut help = Vec::new();
            if !d.label.is_empty() && d.label != d.message {
                help.push(d.label.clone());
            }
            help.extend(d.notes.iter().cloned());
            if !help.is_empty() {
                diagnostic.help = Some(help.join("\n"));
            }
            diagnostic
        })
        .collect();
    if problems.is_empty() {
        let message = format!("{}: {}", kind_name(error.kind), error.message);
        problems.push(Diagnostic::error(document, first_line(cell, span), message));
    }
    problems
}

/// The byte of the chapter where the cell's 1-based line and column stand.
fn offset(cell: &Cell, source: &str, line: usize, column: usize) -> Option<usize> {
    let start = *cell.line_starts.get(line.checked_sub(1)?)?;
    let text = source.get(start..)?.lines().next().unwrap_or("");
    let within =
        text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(i, _)| i);
    Some(start + within)
}

fn first_line(cell: &Cell, span: Span) -> Span {
    let start = cell.line_starts.first().copied().unwrap_or(span.start);
    let length = cell.code.lines().next().unwrap_or("").len();
    Span { start, end: start + length }
}
