//! `d2l test`: every cell is a test of the book, and gives what it gave when its author looked.

use super::{build_dir, execute, select};
use crate::book::Book;
use crate::diagnostic::{Diagnostic, Severity};
use crate::files;
use crate::run::pool::Slots;
use crate::run::record::Recorded;
use crate::run::report::{CellReport, Status, Terminal};
use crate::run::{Fresh, KeepGoing};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What `d2l test` was asked for.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// Only sections whose slug contains one of these.
    pub sections: Vec<String>,
    /// Only tests whose name, `preliminaries/calculus::plot`, contains this. Earlier cells of their
    /// sections run too.
    pub filter: Option<String>,
    /// Only sections that something has changed for.
    pub changed: bool,
    /// Go on with a section after a cell of it has failed.
    pub keep_going: bool,
    /// Record the outputs instead of comparing them.
    pub bless: bool,
    /// Write a report for other tools.
    pub junit: Option<PathBuf>,
    /// What there is to run them on.
    pub slots: Slots,
}

/// Runs the cells, prints a line for each, and compares their outputs with the recorded ones.
///
/// # Errors
/// If the engine cannot start. The diagnostics are those of the cells that failed.
pub fn test(book: &Book, options: &TestOptions) -> anyhow::Result<Vec<Diagnostic>> {
    let terminal = Terminal::new();
    let is_wanted =
        |name: &str| options.filter.as_ref().is_none_or(|part| name.contains(part));
    let mut wanted = select(book, &options.sections);
    wanted.retain(|&index| {
        let section = &book.sections[index];
        let mut cells = section.document.cells();
        cells.any(|(cell, _)| is_wanted(&format!("{}::{}", section.slug, cell.id)))
    });
    let fresh = if options.changed { Fresh::Changed } else { Fresh::All };
    let keep_going = if options.keep_going { KeepGoing::Yes } else { KeepGoing::No };
    let mut ran = execute(book, &wanted, fresh, keep_going, &options.slots, &terminal)?;

    let mut drifts = Vec::new();
    for &index in &wanted {
        let (section, outputs) = (&book.sections[index], &ran.outputs[index]);
        let failed = ran.cells.iter().any(|c| {
            c.section == section.slug
                && !matches!(c.status, Status::Passed | Status::NeedsGpu)
        });
        if failed {
            // Its outputs are not those of the chapter.
            continue;
        }
        if options.bless {
            if Recorded::of(section, outputs).write(&book.root, section)? {
                terminal.line(&format!("recorded {}", section.slug));
            }
        } else if let Some(recorded) = Recorded::read(&book.root, section)? {
            for drift in recorded.compare(section, outputs) {
                let of_cell =
                    |c: &&mut CellReport| c.section == section.slug && c.id == drift.cell;
                match ran.cells.iter_mut().find(of_cell) {
                    Some(cell) => cell.fail(&drift.diagnostic),
                    // From the cache: it is a test all the same.
                    None if !is_wanted(&format!("{}::{}", section.slug, drift.cell)) => {
                        continue;
                    }
                    None => {}
                }
                drifts.push((
                    format!("{}::{}", section.slug, drift.cell),
                    drift.diagnostic,
                ));
            }
        }
    }

    let cells: Vec<&CellReport> =
        ran.cells.iter().filter(|cell| is_wanted(&cell.name())).collect();
    for cell in &cells {
        println!("{}", line(cell));
    }
    let mut slowest = cells.clone();
    slowest.sort_by_key(|cell| std::cmp::Reverse(cell.elapsed));
    if !slowest.is_empty() {
        println!("\nslowest cells:");
    }
    for cell in slowest.iter().take(5) {
        println!("  {:6.2} s  {} {}", cell.elapsed.as_secs_f64(), cell.place, cell.id);
    }
    let count = |status| cells.iter().filter(|c| c.status == status).count();
    let unchanged = match ran.cached {
        0 => String::new(),
        n => format!(", {n} sections unchanged"),
    };
    println!(
        "\n{} passed, {} failed, {} skipped{unchanged}",
        count(Status::Passed),
        count(Status::Failed),
        count(Status::Skipped) + count(Status::NeedsGpu)
    );
    if let Some(path) = &options.junit {
        files::write(path, junit(&book.config.title, &cells).as_bytes())?;
    }
    let drifts = drifts.into_iter().filter(|(name, _)| is_wanted(name));
    ran.diagnostics.extend(drifts.map(|(_, diagnostic)| diagnostic));
    if ran.diagnostics.iter().any(|d| d.severity == Severity::Error) {
        tracing::debug!("outputs are kept in {}", build_dir(&book.root).display());
    }
    Ok(ran.diagnostics)
}

fn line(cell: &CellReport) -> String {
    let status = match cell.status {
        Status::Passed => "ok",
        Status::Failed => "FAILED",
        Status::Skipped => "skipped: an earlier cell failed",
        Status::NeedsGpu => "SKIPPED: it needs a GPU",
    };
    let time = match cell.status {
        Status::Skipped | Status::NeedsGpu => String::new(),
        _ => format!(" ({:.2} s)", cell.elapsed.as_secs_f64()),
    };
    format!("test {} at {} ... {status}{time}", cell.name(), cell.place)
}

/// A report in the form that CI services read: a suite for each section, a case for each cell.
fn junit(title: &str, cells: &[&CellReport]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let count = |cells: &[&CellReport], status| {
        cells.iter().filter(|c| c.status == status).count()
    };
    let numbers = |cells: &[&CellReport]| {
        let seconds: f64 = cells.iter().map(|cell| cell.elapsed.as_secs_f64()).sum();
        format!(
            "tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\"",
            cells.len(),
            count(cells, Status::Failed),
            count(cells, Status::Skipped) + count(cells, Status::NeedsGpu)
        )
    };
    let _ = writeln!(xml, "<testsuites name=\"{}\" {}>", escape(title), numbers(cells));
    for suite in cells.chunk_by(|a, b| a.section == b.section) {
        let section = escape(&suite[0].section);
        let _ = writeln!(xml, "  <testsuite name=\"{section}\" {}>", numbers(suite));
        for cell in suite {
            let (path, number) =
                cell.place.rsplit_once(':').unwrap_or((&cell.place, "0"));
            let _ = write!(
                xml,
                "    <testcase classname=\"{section}\" name=\"{}\" file=\"{}\" line=\"{number}\" time=\"{:.3}\"",
                escape(&cell.id),
                escape(path),
                cell.elapsed.as_secs_f64()
            );
            match cell.status {
                Status::Passed => xml.push_str("/>\n"),
                Status::Skipped | Status::NeedsGpu => {
                    xml.push_str("><skipped/></testcase>\n")
                }
                Status::Failed => {
                    let (first, all) =
                        (cell.problem.lines().next(), escape(&cell.problem));
                    let message = escape(first.unwrap_or("failed"));
                    let _ = writeln!(
                        xml,
                        "><failure message=\"{message}\">{all}</failure></testcase>"
                    );
                }
            }
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Text as it stands in XML, which knows no control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
