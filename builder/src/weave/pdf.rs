//! Book + outputs → the printed book, typeset in memory by typst.
//!
//! Chapters become typst markup (`markup`), their formulas by way of a translator from LaTeX
//! (`formula`); `theme/pdf/book.typ` decides how everything looks. The same book gives the same
//! bytes: no clock, no path and no order of a hash map gets into the file.

mod bottom;
mod formula;
mod markup;
mod passes;
mod picture;
mod world;

use super::Theme;
use crate::book::Book;
use crate::diagnostic::Diagnostic;
use crate::document::Span;
use crate::run::output::SectionOutputs;
pub(super) use markup::quoted;
use markup::{Manuscript, Origin, OriginKind, Sheet};
use std::collections::BTreeMap;
use std::ops::Range;
use typst::diag::SourceDiagnostic;
use typst::foundations::Smart;
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards};
use world::Press;

/// Typesets the book.
///
/// # Errors
/// Every formula that cannot be set, every image that cannot be read, and mistakes in the theme.
pub fn weave(
    book: &Book,
    outputs: &[SectionOutputs],
    theme: &Theme,
) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let manuscript = markup::write(book, outputs);
    let made = typeset(book, manuscript, theme).and_then(|(document, press)| {
        let options = PdfOptions {
            ident: Smart::Auto,
            creator: Smart::Custom(Some("d2l".into())),
            timestamp: None,
            page_ranges: None,
            standards: PdfStandards::new(&[PdfStandard::Ua_1]).expect("it stands alone"),
            tagged: true,
            pretty: false,
        };
        let even = bottom::even(&document);
        drop(document);
        // Its layout is done: what typst remembers of it makes room for the file.
        typst::comemo::evict(0);
        typst_pdf::pdf(&even, &options).map_err(|errors| {
            let messages = errors.iter().map(|error| match locate(&press, error) {
                Some((_, origin)) => {
                    let document = &book.sections[origin.section].document;
                    Diagnostic::error(document, origin.span, &*error.message)
                }
                None => theirs(&press, error),
            });
            messages.collect()
        })
    });
    // The memory of a whole book's layout is of no use to the next one.
    typst::comemo::evict(0);
    made
}

/// Lays out the pages of one sheet of markup, which may import the theme's files.
///
/// # Errors
/// Mistakes in these files.
pub(super) fn lay_out(
    text: String,
    theme: &Theme,
) -> Result<PagedDocument, Vec<Diagnostic>> {
    let sheet = Sheet { path: "/sheet.typ".into(), text, origins: Vec::new() };
    let press = Press::new(vec![sheet], BTreeMap::new(), theme);
    let made = typst::compile::<PagedDocument>(&press).output;
    typst::comemo::evict(0);
    made.map_err(|errors| errors.iter().map(|error| theirs(&press, error)).collect())
}

/// What mistakes outside of every chapter are blamed on.
const BOOK: &str = "theme/pdf/book.typ";

/// Lays the pages out. A place that typst rejects is reported and blanked, and the rest tried
/// again, so that all mistakes of a book are found at once.
fn typeset(
    book: &Book,
    manuscript: Manuscript,
    theme: &Theme,
) -> Result<(PagedDocument, Press), Vec<Diagnostic>> {
    let mut problems = manuscript.problems;
    let pictures = manuscript.pictures;
    let mut press = Press::new(manuscript.sheets, manuscript.files, theme);
    let made = loop {
        let compiled = passes::compile(&press);
        for warning in &compiled.warnings {
            tracing::debug!("typst: {}", warning.message);
        }
        let errors = match compiled.output {
            Ok(document) => break Some(document),
            Err(errors) => errors,
        };
        let mut is_better = false;
        for error in &errors {
            match locate(&press, error) {
                Some((sheet, origin)) => {
                    let document = &book.sections[origin.section].document;
                    let message = origin.kind.message(&error.message);
                    problems.push(Diagnostic::error(document, origin.span, message));
                    is_better |= press.blank(sheet, &origin);
                }
                None => match picture(book, &pictures, &press, error) {
                    Some(problem) => problems.push(problem),
                    // A link may lead to what was blanked.
                    None if !problems.is_empty() => {}
                    None => problems.push(theirs(&press, error)),
                },
            }
        }
        if !is_better {
            break None;
        }
    };
    problems.sort_by(|a, b| {
        (&a.path, a.line, a.column, &a.message)
            .cmp(&(&b.path, b.line, b.column, &b.message))
    });
    problems.dedup_by(|a, b| a.to_string() == b.to_string());
    match made {
        Some(document) if problems.is_empty() => Ok((document, press)),
        _ => Err(problems),
    }
}

/// The sheet and the smallest piece of a chapter that an error comes from.
fn locate(press: &Press, error: &SourceDiagnostic) -> Option<(usize, Origin)> {
    places(press, error).find_map(|(path, range)| {
        let sheet = press.sheets().iter().position(|sheet| sheet.path == path)?;
        let origins = press.sheets()[sheet].origins.iter();
        let around =
            origins.filter(|o| o.range.start <= range.start && range.end <= o.range.end);
        let origin = around.min_by_key(|o| o.range.len())?;
        Some((sheet, origin.clone()))
    })
}

/// An error inside the file of a picture, as one of the place that shows it.
fn picture(
    book: &Book,
    pictures: &BTreeMap<String, (usize, Span)>,
    press: &Press,
    error: &SourceDiagnostic,
) -> Option<Diagnostic> {
    let mut found = places(press, error).filter_map(|(path, _)| pictures.get(&path));
    let (section, span) = found.next()?;
    let message = OriginKind::Block.message(&error.message);
    Some(Diagnostic::error(&book.sections[*section].document, *span, message))
}

/// Where an error happened, and the calls that led there.
fn places(
    press: &Press,
    error: &SourceDiagnostic,
) -> impl Iterator<Item = (String, Range<usize>)> {
    let calls = error.trace.iter().map(|call| call.span.into());
    std::iter::once(error.span).chain(calls).filter_map(|span| press.place(span))
}

/// An error in the theme, or in what has no place in a chapter.
fn theirs(press: &Press, error: &SourceDiagnostic) -> Diagnostic {
    let place = places(press, error).next();
    let (path, line) = place.map_or((BOOK.to_owned(), None), |(path, range)| {
        let line = press.line(&path, range.start);
        (path.trim_start_matches('/').to_owned(), line)
    });
    let line = line.map_or(String::new(), |line| format!(", line {line}"));
    Diagnostic::file(path, format!("{}{line}", error.message))
}

#[cfg(test)]
mod tests;
