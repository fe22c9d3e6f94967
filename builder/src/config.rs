//! `book/book.toml`: what the book is called, what is in it, and where its parts go.

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Span;
use bytesize::ByteSize;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A book's settings. Paths are relative to the folder of `book.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `Dive into Deep Learning`.
    pub title: String,
    /// A second line for the cover.
    #[serde(default)]
    pub subtitle: Option<String>,
    /// One or two sentences for search engines and the cover.
    #[serde(default)]
    pub description: Option<String>,
    /// In the order of the cover.
    #[serde(default)]
    pub authors: Vec<String>,
    /// A BCP 47 tag.
    #[serde(default = "english")]
    pub language: String,
    /// A year or date, for the cover and citations.
    #[serde(default)]
    pub date: Option<String>,
    /// Pages before the first chapter, without number: `["front/preface"]`.
    #[serde(default)]
    pub front: Vec<String>,
    /// The chapters in order.
    #[serde(default, rename = "chapter")]
    pub chapters: Vec<Chapter>,
    /// The number of the first chapter.
    #[serde(default = "one")]
    pub first_chapter: usize,
    /// A BibTeX file.
    #[serde(default = "references")]
    pub bibliography: PathBuf,
    /// The published site.
    #[serde(default)]
    pub site: Site,
    /// The crate that cells use and saved cells become part of.
    #[serde(default, rename = "crate")]
    pub library: Option<Library>,
    /// Whether readers see the solutions of exercises.
    #[serde(default)]
    pub solutions: Solutions,
    /// The printed book.
    #[serde(default)]
    pub print: Print,
    /// The notebooks that readers get.
    #[serde(default)]
    pub notebooks: Notebooks,
    /// What its cells may take.
    #[serde(default)]
    pub run: Limits,
    /// Words that `d2l check` takes for misspelt and are not: `["arange"]`.
    #[serde(default)]
    pub words: Vec<String>,
    /// Public modules of the crate, each with the first line of its docs.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
}

/// Whether readers see the solutions of exercises. Their cells are run in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solutions {
    /// On the site behind a click, in the PDF as they stand, in notebooks not at all.
    #[default]
    Collapsed,
    /// Nowhere.
    Hidden,
}

/// How the book is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Print {
    /// The size of its pages.
    pub paper: Paper,
    /// How links look.
    pub links: Links,
}

/// The size of printed pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paper {
    /// 7 by 10 inches.
    #[default]
    Textbook,
    /// 6 by 9 inches.
    Trade,
    /// 210 by 297 mm.
    A4,
    /// 8.5 by 11 inches.
    UsLetter,
}

impl Paper {
    /// What the theme calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Textbook => "textbook",
            Self::Trade => "trade",
            Self::A4 => "a4",
            Self::UsLetter => "us-letter",
        }
    }
}

/// How links look in print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// In the book's colour.
    #[default]
    Coloured,
    /// As the text around them: for a printer with one ink. Their addresses become footnotes.
    Plain,
}

/// The notebooks that readers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notebooks {
    /// Whether their cells have run.
    pub outputs: Outputs,
}

/// Whether the cells of a notebook come with what they gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outputs {
    /// As the book shows them.
    #[default]
    Included,
    /// Without: readers are to run them.
    Stripped,
}

/// What a cell may take whose fence does not say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// Seconds.
    pub timeout: u64,
    /// Memory of its process, `"2 GiB"`; without it three quarters of the machine's.
    pub memory: Option<ByteSize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: 300, memory: None }
    }
}

/// A chapter: a folder with an `index.md` and its sections.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chapter {
    /// The folder.
    pub path: String,
    /// The title of the part of the book that begins with this chapter.
    #[serde(default)]
    pub part: Option<String>,
    /// In order: file names without `.md`, and sections that are still to come.
    #[serde(default)]
    pub sections: Vec<Entry>,
}

/// A place in the contents of a chapter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// `"calculus"`: a file's name without `.md`.
    Page(String),
    /// `{ planned = "Data Preprocessing" }`: takes its number, and is listed without a page.
    Planned {
        /// Its title, as plain text.
        planned: String,
    },
}

/// Addresses of the published site. In `launch`, `discussion`, `source` and `versions` the text `{slug}` stands
/// for the page: `preliminaries/calculus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Site {
    /// Where the site is published, with the final `/`.
    #[serde(default)]
    pub url: Option<String>,
    /// Where the chapters' source is shown.
    #[serde(default)]
    pub source: Option<String>,
    /// Opens the page's notebook in a running service: name → address.
    #[serde(default)]
    pub launch: BTreeMap<String, String>,
    /// Where readers discuss the page.
    #[serde(default)]
    pub discussion: Option<String>,
    /// Editions that are published side by side, in the order in which readers choose from them.
    #[serde(default)]
    pub versions: Vec<Version>,
}

/// A published edition of the book.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// `2nd edition`
    pub name: String,
    /// Where it is: `https://x.org/2/{slug}.html`.
    pub url: String,
}

/// The crate behind the book.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Library {
    /// Its name in Rust: `d2l`.
    pub name: String,
    /// The folder of its `Cargo.toml`: `../d2l-lib`.
    pub path: PathBuf,
    /// What every cell may use without saying so: `use d2l::prelude::*;`.
    #[serde(default)]
    pub prelude: Option<String>,
    /// Where saved cells go, relative to `path`.
    #[serde(default = "book_module")]
    pub generated: PathBuf,
}

impl Config {
    /// A file name made from the title: `deep-learning-in-rust`.
    pub fn slug(&self) -> String {
        crate::document::inline::slug(&self.title)
    }

    /// Reads the text of `book.toml`; `path` is what diagnostics call it.
    ///
    /// # Errors
    /// If it is not TOML, or says something that a book does not have.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Box<Diagnostic>> {
        toml::from_str(text).map_err(|error| {
            let span = error.span().map_or(Span::default(), Span::new);
            let message = error.message().lines().next().unwrap_or_default();
            Box::new(Diagnostic::in_text(Severity::Error, path, text, span, message))
        })
    }
}

/// Finds `book/book.toml` or `book.toml` in `folder` or the nearest folder above it.
pub fn find(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .flat_map(|folder| [folder.join("book/book.toml"), folder.join("book.toml")])
        .find(|path| path.is_file())
}

fn english() -> String {
    "en".into()
}

fn one() -> usize {
    1
}

fn references() -> PathBuf {
    "references.bib".into()
}

fn book_module() -> PathBuf {
    "src/book".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_enough() {
        let config = Config::parse(Path::new("book.toml"), "title = \"T\"").unwrap();
        assert_eq!((config.language.as_str(), config.first_chapter), ("en", 1));
        assert_eq!(config.bibliography, Path::new("references.bib"));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let text = "title = \"T\"\nautors = []\n";
        let diagnostic = Config::parse(Path::new("book.toml"), text).unwrap_err();
        assert_eq!((diagnostic.line, diagnostic.column), (2, 1));
        assert!(
            diagnostic.message.contains("unknown field `autors`"),
            "{}",
            diagnostic.message
        );
    }

    #[test]
    fn the_book_is_found_from_below() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("book/chapter");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(folder.path().join("book/book.toml"), "title = \"T\"").unwrap();
        let expected = folder.path().join("book/book.toml");
        assert_eq!(find(&below), Some(expected.clone()));
        assert_eq!(find(folder.path()), Some(expected));
    }
}
