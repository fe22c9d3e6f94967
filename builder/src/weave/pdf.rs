//! Book + outputs → one PDF, set by Typst inside this program with the fonts it carries.

mod markup;
mod world;

use super::Theme;
use crate::book::{Book, Section};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Span;
use crate::run::output::SectionOutputs;
use markup::Markup;
use std::ops::Range;
use typst::diag::SourceDiagnostic;
use typst::foundations::Smart;
use typst::{WorldExt as _, compile};
use typst_layout::PagedDocument;
use typst_pdf::PdfOptions;
use world::BookWorld;

/// Sets the whole book. The same input gives the same bytes.
///
/// # Errors
/// Every formula that cannot be set, at its place in the chapter; and what is wrong with a theme.
pub fn weave(
    book: &Book,
    outputs: &[SectionOutputs],
    theme: &Theme,
) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let source = Markup::of_book(book, outputs)?;
    let world = BookWorld::new(theme, source.text.clone(), source.files.clone());
    let place = |error: &SourceDiagnostic| placed(&world, book, &source, error);
    let document: PagedDocument = compile(&world)
        .output
        .map_err(|errors| errors.iter().map(place).collect::<Vec<_>>())?;
    let options = PdfOptions {
        ident: Smart::Custom(book.config.slug()),
        creator: Smart::Custom(Some(format!("d2l {}", env!("CARGO_PKG_VERSION")))),
        timestamp: None,
        ..PdfOptions::default()
    };
    let bytes = typst_pdf::pdf(&document, &options);
    // The typesetter keeps what it computed for the next time; there is none.
    typst::comemo::evict(0);
    bytes.map_err(|errors| errors.iter().map(place).collect())
}

/// A part of the generated text and what it was made from.
#[derive(Debug, Clone)]
struct Origin {
    range: Range<usize>,
    section: usize,
    span: Span,
    is_formula: bool,
}

/// A complaint of the typesetter, at the chapter's line that caused it.
fn placed(
    world: &BookWorld,
    book: &Book,
    source: &Markup<'_>,
    error: &SourceDiagnostic,
) -> Diagnostic {
    // The first place, going outwards from the complaint, that a chapter wrote.
    let spans =
        std::iter::once(error.span).chain(error.trace.iter().map(|t| t.span.into()));
    let origin = spans
        .filter(|span| span.id() == Some(world.main_id()))
        .filter_map(|span| world.range(span))
        .find_map(|range| source.origin(range.start));
    let hints: Vec<&str> = error.hints.iter().map(|hint| hint.v.as_str()).collect();
    match origin {
        Some(origin) => {
            let document = &book.sections[origin.section].document;
            let what = if origin.is_formula {
                "a formula that cannot be set in print"
            } else {
                "this cannot be set in print"
            };
            Diagnostic::error(document, origin.span, format!("{what}: {}", error.message))
                .with_help(hints.join("\n"))
        }
        None => {
            let (path, text) = world.file_of(error.span.id());
            let range = world.range(error.span).unwrap_or(0..0);
            Diagnostic::in_text(
                Severity::Error,
                path,
                &text,
                Span::new(range),
                format!("the page design: {}", error.message),
            )
            .with_help(hints.join("\n"))
        }
    }
}

/// A name for a place in the printed book: unique over all sections.
fn anchor_of(section: &Section, anchor: &str) -> String {
    format!("{}#{anchor}", section.slug)
}

#[cfg(test)]
mod tests;
