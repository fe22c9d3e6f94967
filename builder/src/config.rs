//! `book/book.toml`: what the book is called, what is in it, and where its parts go.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// Public modules of the crate, each with the first line of its docs.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
}

/// A chapter: a folder with an `index.md` and its sections.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chapter {
    /// The folder.
    pub path: String,
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

/// Addresses of the published site. In `launch`, `discussion` and `source` the text `{slug}` stands
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
