//! Makes a book from markdown chapters with Rust cells: notebooks, a site, a PDF, a crate and tests.
//!
//! ```text
//! book/**.md ──parse──▶ Document (blocks, cells, labels; every node has a Span into the .md)
//!    all Documents ──▶ Book (order, numbering, cross-references, bibliography)
//!       ├─ tangle: Book → Vec<GeneratedFile>           pure;  then write | --check
//!       ├─ run:    Document → engine → Vec<Output> → the outputs cache
//!       └─ weave:  Book + outputs + theme → html | pdf | ipynb          pure until the last write
//! ```
//!
//! Parsing never fails: it gives a document and diagnostics. Only the command decides that a
//! diagnostic is fatal.

pub mod bib;
pub mod book;
pub mod check;
pub mod commands;
pub mod config;
pub mod diagnostic;
mod digest;
pub mod document;
pub mod files;
pub mod prelude;
pub mod run;
pub mod tangle;
pub mod weave;
