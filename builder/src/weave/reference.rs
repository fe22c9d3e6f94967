//! What references and citations say; each format sets the words in its own way.

use crate::book::{Book, Reference, Target, TargetKind};
use crate::document::{Inline, RefStyle};

/// The words of a reference.
#[derive(Debug, PartialEq)]
pub(super) enum Words<'a> {
    /// `Section 2.4`, `(2.4.1)`.
    Number(String),
    /// A title, with its markup.
    Title(&'a [Inline]),
}

/// What a reference to `target` says.
pub(super) fn words(target: &Target, style: RefStyle) -> Words<'_> {
    let has_number = !target.number.is_empty();
    match style {
        RefStyle::Equation => Words::Number(format!("({})", target.number)),
        RefStyle::Number if has_number => {
            Words::Number(format!("{} {}", kind(target.kind), target.number))
        }
        _ => Words::Title(&target.title),
    }
}

/// `Section`
pub(super) fn kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Chapter => "Chapter",
        TargetKind::Section => "Section",
        TargetKind::Figure => "Figure",
        TargetKind::Table => "Table",
        TargetKind::Equation => "Equation",
    }
}

/// The entries of a citation, in the order written.
pub(super) fn cited<'a>(book: &'a Book, keys: &[String]) -> Vec<&'a Reference> {
    keys.iter().filter_map(|key| book.references.iter().find(|r| r.key == *key)).collect()
}
