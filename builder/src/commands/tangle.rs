//! `d2l tangle`: saved cells go into the crate.

use crate::book::Book;
use crate::diagnostic::Diagnostic;
use crate::tangle::apply::{self, Change};
use crate::tangle::tangle as files_of;

/// What a book's saved cells need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bring the crate up to date.
    Write,
    /// Say where it is not.
    Check,
}

/// Writes, or compares, the generated part of the crate. A book without a crate has none.
///
/// # Errors
/// If the crate cannot be read or written. The diagnostics are the author's mistakes; if there are
/// any, nothing was written.
pub fn tangle(book: &Book, mode: Mode) -> anyhow::Result<Vec<Diagnostic>> {
    let Some(folder) = apply::folder(book) else {
        let saves = book.sections.iter().flat_map(|section| {
            let cells = section.document.cells();
            cells.filter_map(move |(cell, _)| Some((section, cell.save.as_ref()?)))
        });
        let no_crate =
            |(section, save): (&crate::book::Section, &crate::document::Save)| {
                Diagnostic::error(
                    &section.document,
                    save.span,
                    "this book has no crate to save to",
                )
                .with_help("name one in book.toml, under [crate]")
            };
        return Ok(saves.map(no_crate).collect());
    };
    let files = match files_of(book, &apply::core_names(book)?) {
        Ok(files) => files,
        Err(problems) => return Ok(problems),
    };
    match mode {
        Mode::Check => Ok(apply::drift(&apply::changes(&folder, &files)?, &files)),
        Mode::Write => {
            let changes = apply::write(&folder, &files)?;
            for change in &changes {
                let what = match change {
                    Change::New(_) => "made",
                    Change::Changed(_) => "updated",
                    Change::Orphan(_) => "removed",
                };
                eprintln!("{what} {}", change.path().display());
            }
            if changes.is_empty() {
                eprintln!("the crate is up to date");
            }
            Ok(Vec::new())
        }
    }
}
