//! The whole book: every document in its place, numbered, with every reference resolved.

mod assemble;
mod files;
mod resolve;

pub use assemble::{Parsed, Sources};

use crate::document::{Document, Inline};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A book, ready to be tangled, run and woven.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// From `book.toml`.
    pub config: crate::config::Config,
    /// The folder that holds `book.toml`.
    pub root: PathBuf,
    /// Sections in reading order: front matter, then each chapter's index and its sections.
    pub sections: Vec<Section>,
    /// Sections that are still to come, in order: they have numbers but no pages.
    pub planned: Vec<Planned>,
    /// What each label means.
    pub labels: BTreeMap<String, Target>,
    /// The bibliography: key → entry, in the order of the list of references.
    pub references: Vec<Reference>,
}

impl Book {
    /// The part of the book that begins with the section at `index`: its number in Roman, and title.
    pub fn part(&self, index: usize) -> Option<(String, &str)> {
        let section = self.sections.get(index).filter(|s| s.role == Role::Chapter)?;
        let folder = section.slug.strip_suffix("/index")?;
        let chapters = self.config.chapters.iter();
        let upto = chapters.clone().position(|chapter| chapter.path == folder)?;
        let title = self.config.chapters[upto].part.as_deref()?;
        let number =
            chapters.take(upto + 1).filter(|chapter| chapter.part.is_some()).count();
        Some((roman(number), title))
    }
}

fn roman(mut number: usize) -> String {
    const SIGNS: [(usize, &str); 9] = [
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut out = String::new();
    for (value, sign) in SIGNS {
        out.push_str(&sign.repeat(number / value));
        number %= value;
    }
    out
}

/// One page of the site, one notebook, one run of the engine.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// What it says.
    pub document: Document,
    /// Path without extension, relative to the book: `preliminaries/calculus`. Also the page's address.
    pub slug: String,
    /// `2.4` for a section, `2` for a chapter's opening page, none in the front matter.
    pub number: Option<String>,
    /// What kind of page it is.
    pub role: Role,
    /// For each numbered block, keyed by its span's start: its number (`2.4.1`).
    pub numbers: BTreeMap<usize, String>,
}

/// A section that is still to come; the contents show it without a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// `2.2`.
    pub number: String,
    /// Its title, as plain text.
    pub title: String,
    /// It stands after this one of [`Book::sections`].
    pub after: usize,
}

/// What kind of page a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Preface, installation, notation.
    FrontMatter,
    /// The opening page of a chapter.
    Chapter,
    /// A section of a chapter.
    #[default]
    Section,
}

/// What a label points to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Index into [`Book::sections`].
    pub section: usize,
    /// Anchor on that page; empty for the page itself.
    pub anchor: String,
    /// What stands there.
    pub kind: TargetKind,
    /// `2.4`, `2.4.1`; empty in the front matter.
    pub number: String,
    /// The title (sections) or caption (figures, tables).
    pub title: Vec<Inline>,
}

/// The kinds of things that can be referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A chapter.
    Chapter,
    /// A section or subsection.
    Section,
    /// A figure.
    Figure,
    /// A table.
    Table,
    /// An equation.
    Equation,
    /// An exercise.
    Exercise,
    /// A word of the glossary; it has no number.
    Term,
}

/// One entry of the bibliography, formatted author-year.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The citation key.
    pub key: String,
    /// `Kingma & Ba`, for a citation in the sentence.
    pub authors: String,
    /// `2015`, or `2015a`.
    pub year: String,
    /// The entry in the list of references, as pieces of plain text, emphasis and links.
    pub entry: Vec<Inline>,
}

#[cfg(test)]
mod tests;
