//! An author's mistake, and how it is shown.

use crate::document::{Document, Span};
use std::path::PathBuf;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The build goes on.
    Warning,
    /// The command fails, after all diagnostics were collected.
    Error,
}

/// A message that points into a chapter (or another source file such as `book.toml`).
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the author knows it: `book/preliminaries/calculus.md`.
    pub path: PathBuf,
    /// 1-based line; 0 if the file as a whole is meant.
    pub line: usize,
    /// 1-based column in characters.
    pub column: usize,
    /// The source line.
    pub source_line: String,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// The way out, or more context (several lines allowed).
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span` of `document`.
    pub fn error(document: &Document, span: Span, message: impl Into<String>) -> Self {
        Self::at(Severity::Error, document, span, message.into())
    }

    /// A warning at `span` of `document`.
    pub fn warning(document: &Document, span: Span, message: impl Into<String>) -> Self {
        Self::at(Severity::Warning, document, span, message.into())
    }

    /// The same diagnostic with a way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn at(severity: Severity, document: &Document, span: Span, message: String) -> Self {
        let (line, column) = document.position(span.start);
        let source_line = document.source.lines().nth(line - 1).unwrap_or("").to_owned();
        let end = span.end.min(document.source.len()).max(span.start);
        let text = document.source.get(span.start..end).unwrap_or("");
        let width = text.lines().next().unwrap_or("").chars().count().max(1);
        Self {
            severity,
            path: document.path.clone(),
            line,
            column,
            source_line,
            width,
            message,
            help: None,
        }
    }
}
