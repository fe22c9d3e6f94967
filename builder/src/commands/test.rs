//! `d2l test`: every cell is a test of the book.

use super::{execute, select};
use crate::book::Book;
use crate::diagnostic::Diagnostic;
use crate::run::report::{CellReport, Status, Terminal};

/// Runs the cells of the sections whose slug contains one of `filters` and prints a line for each.
///
/// # Errors
/// If the engine cannot start. The diagnostics are those of the cells that failed.
pub fn test(book: &Book, filters: &[String]) -> anyhow::Result<Vec<Diagnostic>> {
    let terminal = Terminal::new();
    let ran = execute(book, &select(book, filters), true, &terminal)?;
    for cell in &ran.cells {
        println!("{}", line(cell));
    }
    let count = |status| ran.cells.iter().filter(|c| c.status == status).count();
    let mut slowest: Vec<&CellReport> = ran.cells.iter().collect();
    slowest.sort_by_key(|cell| std::cmp::Reverse(cell.elapsed));
    println!("\nslowest cells:");
    for cell in slowest.iter().take(3) {
        println!("  {:6.2} s  {} {}", cell.elapsed.as_secs_f64(), cell.place, cell.id);
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        count(Status::Passed),
        count(Status::Failed),
        count(Status::Skipped)
    );
    Ok(ran.diagnostics)
}

fn line(cell: &CellReport) -> String {
    let status = match cell.status {
        Status::Passed => "ok",
        Status::Failed => "FAILED",
        Status::Skipped => "skipped: an earlier cell failed",
    };
    let time = match cell.status {
        Status::Skipped => String::new(),
        _ => format!(" ({:.2} s)", cell.elapsed.as_secs_f64()),
    };
    format!("test {} {} ... {status}{time}", cell.place, cell.id)
}
