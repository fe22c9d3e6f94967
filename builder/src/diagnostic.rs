//! An author's mistake, and how it is shown.

use crate::document::{Document, Span};
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Longer lines, in bytes, are shown in part.
const LONG: usize = 400;

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
    /// The source line, or of a very long one the part around the column.
    pub source_line: String,
    /// How many characters of the line stand before `source_line`.
    pub cut: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// The way out, or more context (several lines allowed).
    pub help: Option<String>,
}

/// Whether messages are shown with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For files, logs and tests.
    Plain,
    /// For a terminal.
    Colour,
}

impl Style {
    /// Colours if standard error is a terminal and `NO_COLOR` is not set.
    pub fn of_stderr() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if std::io::stderr().is_terminal() && is_wanted {
            Self::Colour
        } else {
            Self::Plain
        }
    }
}

impl Diagnostic {
    /// An error at `span` of `document`.
    pub fn error(document: &Document, span: Span, message: impl Into<String>) -> Self {
        Self::in_text(Severity::Error, &document.path, &document.source, span, message)
    }

    /// A warning at `span` of `document`.
    pub fn warning(document: &Document, span: Span, message: impl Into<String>) -> Self {
        Self::in_text(Severity::Warning, &document.path, &document.source, span, message)
    }

    /// At `span` of the file `path` whose text is `source`.
    pub fn in_text(
        severity: Severity,
        path: impl Into<PathBuf>,
        source: &str,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        let start = source.floor_char_boundary(span.start);
        let end = source.floor_char_boundary(span.end.max(start));
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = source[line_start..].lines().next().unwrap_or("");
        let column = source[line_start..start].chars().count() + 1;
        let cut = if line.len() > LONG { column.saturating_sub(LONG / 4) } else { 0 };
        let source_line = match line.len() > LONG {
            true => line.chars().skip(cut).take(LONG / 2).collect(),
            false => line.to_owned(),
        };
        let meant = source[start..end].lines().next().unwrap_or("");
        Self {
            severity,
            path: path.into(),
            line: source[..start].matches('\n').count() + 1,
            column,
            source_line,
            cut,
            width: meant.chars().count().max(1),
            message: message.into(),
            help: None,
        }
    }

    /// An error about a file as a whole.
    pub fn file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            line: 0,
            column: 0,
            source_line: String::new(),
            cut: 0,
            width: 1,
            message: message.into(),
            help: None,
        }
    }

    /// The same diagnostic with a way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    /// As shown to the author: message, place, the line with the part that is meant, the way out.
    pub fn render(&self, style: Style) -> String {
        let level = match self.severity {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let path = self.path.display().to_string();
        let title = level.primary_title(&*self.message);
        let mut group = if self.line == 0 {
            title.element(Origin::path(path))
        } else {
            let before = self.source_line.chars().take(self.column - 1 - self.cut);
            let start: usize = before.map(char::len_utf8).sum();
            let meant = self.source_line[start..].chars().take(self.width);
            let end = start + meant.map(char::len_utf8).sum::<usize>();
            title.element(
                Snippet::source(&*self.source_line)
                    .line_start(self.line)
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(start..end)),
            )
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(&**help));
        }
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Colour => Renderer::styled(),
        };
        renderer.render(&[group])
    }
}

/// One line, `path:line:column: error: message`, as editors read it.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let path = self.path.display();
        if self.line == 0 {
            return write!(f, "{path}: {severity}: {}", self.message);
        }
        write!(f, "{path}:{}:{}: {severity}: {}", self.line, self.column, self.message)
    }
}

/// Whether the command must fail.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// All diagnostics as shown to the author, then a line that counts them; empty if there are none.
pub fn report(diagnostics: &[Diagnostic], style: Style) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&diagnostic.render(style));
        out.push_str("\n\n");
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let counts = [count(errors, "error"), count(diagnostics.len() - errors, "warning")];
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    if !counts.is_empty() {
        out.push_str(&counts.join(", "));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "# Títle\n\nsée :numref:`fig_x` and\n";

    fn example() -> Diagnostic {
        let start = SOURCE.find(":numref").unwrap();
        let span = Span::new(start..start + 15);
        Diagnostic::in_text(
            Severity::Error,
            "book/a.md",
            SOURCE,
            span,
            "unknown label `fig_x`",
        )
        .with_help("did you mean `fig_y`?")
    }

    #[test]
    fn the_line_is_shown_with_the_part_that_is_meant() {
        let expected = "\
error: unknown label `fig_x`
 --> book/a.md:3:5
  |
3 | sée :numref:`fig_x` and
  |     ^^^^^^^^^^^^^^^
  |
  = help: did you mean `fig_y`?";
        assert_eq!(example().render(Style::Plain), expected);
        assert!(example().render(Style::Colour).contains("\u{1b}["));
    }

    #[test]
    fn of_a_very_long_line_the_place_is_shown() {
        let source = "é".repeat(5000) + "wrong" + &"z".repeat(5000);
        let start = source.find("wrong").unwrap();
        let span = Span::new(start..start + 5);
        let found = Diagnostic::in_text(Severity::Error, "a.md", &source, span, "no");
        assert_eq!((found.line, found.column), (1, 5001));
        let shown = found.render(Style::Plain);
        assert!(shown.contains("éwrongz") && shown.len() < 2000, "{shown}");
        let mark = shown.lines().find(|line| line.contains('^')).unwrap();
        assert_eq!(mark.matches('^').count(), 5);
    }

    #[test]
    fn editors_get_one_line() {
        assert_eq!(example().to_string(), "book/a.md:3:5: error: unknown label `fig_x`");
        assert_eq!(
            Diagnostic::file("b.toml", "no title").to_string(),
            "b.toml: error: no title"
        );
        assert!(
            Diagnostic::file("b.toml", "x").render(Style::Plain).contains("--> b.toml")
        );
    }

    #[test]
    fn mistakes_are_counted() {
        let warning = Diagnostic { severity: Severity::Warning, ..example() };
        let all = [example(), warning, example()];
        assert!(report(&all, Style::Plain).ends_with("\n2 errors, 1 warning\n"));
        assert_eq!(report(&[], Style::Plain), "");
        assert!(has_errors(&all) && !has_errors(&all[1..2]));
    }
}
