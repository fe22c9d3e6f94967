//! What is wrong with a book that nothing has to run for: types, and what readers would stumble over.
//!
//! All cells become one crate, which the compiler checks in one go. A section is a function, and each
//! cell a block inside the block of the cell before it: it sees the variables and items of earlier
//! cells, and may define a name again. Cells that must fail are left to `d2l test`.

use crate::book::Book;
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::inline::walk_blocks;
use crate::document::{BlockKind, Cell, Document, InlineKind, Span};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use unicase::UniCase;

/// All cells as one crate, and where each of its lines comes from.
#[derive(Debug, Default)]
pub struct Checked {
    /// The text of `lib.rs`.
    pub source: String,
    /// For each line of it: the section, and the byte of its chapter where the line starts.
    origins: Vec<Option<(usize, usize)>>,
    /// Cells that are not Rust; their sections are left out.
    pub problems: Vec<Diagnostic>,
}

impl Checked {
    /// Makes the crate; `import` is in scope in every cell.
    pub fn of(book: &Book, import: &str) -> Self {
        let mut made = Self::default();
        made.ours("#![allow(warnings)]");
        for (index, section) in book.sections.iter().enumerate() {
            let cells: Vec<(&Cell, Span)> = section.document.cells().collect();
            let cells = cells.iter().filter(|(cell, _)| cell.attrs.fails.is_none());
            let mut statements = Vec::new();
            let mut is_rust = true;
            for (cell, _) in cells {
                match value_start(&cell.code) {
                    Ok(start) => statements.push((*cell, start)),
                    Err(error) => {
                        is_rust = false;
                        made.problems.push(not_rust(section, cell, &error));
                    }
                }
            }
            if statements.is_empty() || !is_rust {
                continue;
            }
            made.ours(&format!("mod section_{index} {{"));
            made.ours(import);
            made.ours("fn section() -> ::std::result::Result<(), ::std::boxed::Box<dyn ::std::error::Error>> {");
            for (cell, value) in &statements {
                made.ours("{");
                made.cell(index, cell, *value);
            }
            made.ours(&"}".repeat(statements.len()));
            made.ours("Ok(()) } }");
        }
        made
    }

    fn ours(&mut self, line: &str) {
        for line in line.lines() {
            let _ = writeln!(self.source, "{line}");
            self.origins.push(None);
        }
    }

    /// A cell's lines. Its value is bound to nothing, so that it is not moved.
    fn cell(&mut self, section: usize, cell: &Cell, value: Option<usize>) {
        let mut at = 0;
        for (line, &start) in cell.code.split('\n').zip(&cell.line_starts) {
            let split = value.filter(|value| (at..=at + line.len()).contains(value));
            let within = split.map_or(0, |value| value - at);
            if split.is_some() {
                let _ = writeln!(self.source, "{}", &line[..within]);
                self.origins.push(Some((section, start)));
                self.ours("let _ =");
            }
            let _ = writeln!(self.source, "{}", &line[within..]);
            self.origins.push(Some((section, start + within)));
            at += line.len() + 1;
        }
        self.ours(";");
    }

    /// What the compiler says, as diagnostics in the chapters. `message` is a line of JSON from
    /// `cargo check --message-format=json`.
    pub fn diagnostic(&self, book: &Book, message: &str) -> Option<Diagnostic> {
        let line: CargoLine = serde_json::from_str(message).ok()?;
        let message = line.message?;
        if message.level != "error" || message.spans.is_empty() {
            return None;
        }
        let code = message.code.map_or(String::new(), |code| format!("[{}] ", code.code));
        let text = format!("{code}{}", message.message);
        let mut help = Vec::new();
        let primary = message.spans.into_iter().filter(|span| span.is_primary);
        let mut place = None;
        for mut span in primary {
            help.extend(span.label.take());
            // Out of macros, to where the cell calls them.
            while self.origin(&span).is_none() {
                match span.expansion.take() {
                    Some(expansion) => span = expansion.span,
                    None => break,
                }
            }
            if place.is_none() {
                place = self.origin(&span).map(|origin| (origin, span));
            }
        }
        for child in &message.children {
            help.push(format!("{}: {}", child.level, child.message));
        }
        let diagnostic = match place {
            Some(((section, start), span)) => {
                let document = &book.sections[section].document;
                let at = |start: usize, column: usize| {
                    let line = document.source[start..].lines().next().unwrap_or("");
                    let column = line.char_indices().nth(column.saturating_sub(1));
                    start + column.map_or(line.len(), |(byte, _)| byte)
                };
                let start_byte = at(start, span.column_start);
                let is_one_line = span.line_start == span.line_end;
                let end =
                    if is_one_line { at(start, span.column_end) } else { start_byte + 1 };
                Diagnostic::error(document, Span::new(start_byte..end), text)
            }
            None => Diagnostic::file("the cells as one crate", text),
        };
        Some(diagnostic.with_help(help.join("\n")))
    }

    fn origin(&self, span: &RustSpan) -> Option<(usize, usize)> {
        let is_ours = span.file_name.replace('\\', "/").ends_with("src/lib.rs");
        self.origins.get(span.line_start.checked_sub(1)?).copied()?.filter(|_| is_ours)
    }
}

/// Where the value of a cell starts, if its last statement is an expression without `;`.
fn value_start(code: &str) -> Result<Option<usize>, syn::Error> {
    use syn::parse::Parser;
    use syn::spanned::Spanned;
    let statements = syn::Block::parse_within.parse_str(code)?;
    Ok(match statements.last() {
        Some(syn::Stmt::Expr(value, None)) => Some(value.span().byte_range().start),
        Some(syn::Stmt::Macro(value)) if value.semi_token.is_none() => {
            Some(value.span().byte_range().start)
        }
        _ => None,
    })
}

fn not_rust(
    section: &crate::book::Section,
    cell: &Cell,
    error: &syn::Error,
) -> Diagnostic {
    let place = error.span().start();
    let start = cell.line_starts.get(place.line.saturating_sub(1)).copied();
    let start = start.or(cell.line_starts.last().copied()).unwrap_or_default();
    let line = section.document.source[start..].lines().next().unwrap_or("");
    let column: usize = line.chars().take(place.column).map(char::len_utf8).sum();
    let span = Span::new(
        start + column..(start + column + 1).min(section.document.source.len()),
    );
    Diagnostic::error(&section.document, span, format!("not Rust: {error}"))
}

#[derive(Deserialize)]
struct CargoLine {
    message: Option<RustMessage>,
}

#[derive(Deserialize)]
struct RustMessage {
    message: String,
    level: String,
    code: Option<RustCode>,
    #[serde(default)]
    spans: Vec<RustSpan>,
    #[serde(default)]
    children: Vec<RustMessage>,
}

#[derive(Deserialize)]
struct RustCode {
    code: String,
}

#[derive(Deserialize)]
struct RustSpan {
    file_name: String,
    line_start: usize,
    line_end: usize,
    column_start: usize,
    column_end: usize,
    is_primary: bool,
    label: Option<String>,
    expansion: Option<Box<RustExpansion>>,
}

#[derive(Deserialize)]
struct RustExpansion {
    span: RustSpan,
}

/// What readers would stumble over: links that lead nowhere, drawings without a description; and
/// labels that nothing uses.
pub fn lint(book: &Book) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for section in &book.sections {
        section.document.walk_inlines(|inline| {
            if let InlineKind::Ref { label, .. } = &inline.kind {
                used.insert(label.as_str());
            }
        });
    }
    for (index, section) in book.sections.iter().enumerate() {
        let document = &section.document;
        // A label of a heading is also a place to link to from outside.
        let mut places = BTreeSet::from_iter(&document.label);
        walk_blocks(&document.blocks, &mut |block| {
            if let BlockKind::Heading { label, .. } = &block.kind {
                places.extend(label);
            }
            if let BlockKind::Cell(cell) = &block.kind
                && cell.attrs.caption.is_some()
                && cell.attrs.alt.is_none()
            {
                let span = Span::new(block.span.start..block.span.start + 3);
                let message = "a drawing without a description";
                let help = "say in the fence what it shows: alt=\"A falling curve\"";
                found.push(Diagnostic::warning(document, span, message).with_help(help));
            }
        });
        let is_english = book.config.language.starts_with("en");
        document.walk_inlines(|inline| match &inline.kind {
            InlineKind::Link { target, .. } => {
                found.extend(dead_link(book, index, target, inline.span));
            }
            InlineKind::Text(text) if is_english => {
                spelling(document, text, inline.span, &book.config.words, &mut found);
            }
            _ => {}
        });
        for (label, span) in &document.label_spans {
            let is_place = label.starts_with("term-") || places.contains(label);
            if !used.contains(label.as_str()) && !is_place {
                let message = format!("nothing refers to `{label}`");
                found.push(Diagnostic::warning(document, *span, message));
            }
        }
    }
    found
}

/// Words of a piece of text, at `place` in the source, that are common misspellings of others.
fn spelling(
    document: &Document,
    text: &str,
    place: Span,
    known: &[String],
    found: &mut Vec<Diagnostic>,
) {
    let written = document.source.get(place.range()).unwrap_or_default();
    // Where the next word is looked for: what is written may have more marks than the text.
    let mut at = 0;
    let words = text.split(|c: char| !c.is_alphabetic() && c != '\'');
    for word in words.filter(|word| word.len() > 2 && !known.iter().any(|k| k == word)) {
        let Some(meant) = typos_dict::WORD.find(&UniCase::new(word)) else { continue };
        let start = written[at..].find(word).map(|offset| at + offset);
        at = start.map_or(at, |start| start + word.len());
        let start = place.start + start.unwrap_or_default();
        let span = Span::new(start..start + word.len());
        let message = format!("`{word}` looks misspelt");
        let help = match meant {
            [] => "if it is right: `words` in book.toml".to_owned(),
            meant => format!(
                "did you mean `{}`? If it is right: `words` in book.toml",
                meant.join("`, `")
            ),
        };
        found.push(Diagnostic::warning(document, span, message).with_help(help));
    }
}

/// A link to a place that its page does not have, or to a file that is not there.
fn dead_link(book: &Book, index: usize, target: &str, span: Span) -> Option<Diagnostic> {
    let document = &book.sections[index].document;
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if target.contains(':') {
        return None;
    }
    let section = match path.is_empty() {
        true => index,
        false if path.ends_with(".md") => book.linked_section(index, target)?,
        false => {
            let folder = document.path.parent()?;
            let message = format!("there is no file {}", folder.join(path).display());
            return (!folder.join(path).exists())
                .then(|| Diagnostic::error(document, span, message));
        }
    };
    let mut anchors = BTreeSet::new();
    let page = &book.sections[section].document;
    walk_blocks(&page.blocks, &mut |block| {
        match &block.kind {
            BlockKind::Heading { anchor, .. } => anchors.insert(anchor.clone()),
            BlockKind::Cell(cell) => anchors.insert(cell.id.clone()),
            _ => false,
        };
    });
    let is_there = anchor.is_empty()
        || anchors.contains(anchor)
        || page.label_spans.contains_key(anchor)
        || anchor.starts_with("fn-");
    if is_there {
        return None;
    }
    let nearest =
        crate::document::fence::nearest(anchor, anchors.iter().map(String::as_str));
    let help = nearest.map_or(String::new(), |meant| format!("did you mean `#{meant}`?"));
    let message = format!("{} has no place `#{anchor}`", page.path.display());
    Some(Diagnostic::error(document, span, message).with_help(help))
}

/// A diagnostic as one line of JSON, for editors.
pub fn json(diagnostic: &Diagnostic) -> String {
    serde_json::json!({
        "path": diagnostic.path,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "end_column": diagnostic.column + diagnostic.width,
        "severity": match diagnostic.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(one: &str) -> Book {
        let config = "title = \"T\"\n[[chapter]]\npath = \"ch\"\nsections = [\"one\"]\n";
        let texts = [("ch/index", "# C\n"), ("ch/one", one)];
        Book::from_texts(config, &texts, None).unwrap().0
    }

    #[test]
    fn a_message_of_the_compiler_finds_its_line_in_the_chapter() {
        let book =
            book("# T\n\n```rust\nlet ü = 1;\n```\n\n```rust\nlet a = 2; ü.x\n```\n");
        let checked = Checked::of(&book, "use d2l::prelude::*;");
        let line = checked.source.lines().position(|line| line == "ü.x").unwrap() + 1;
        let message = format!(
            r#"{{"message": {{"message": "no field", "level": "error", "code": {{"code": "E0610"}},
            "spans": [{{"file_name": "src/lib.rs", "line_start": {line}, "line_end": {line},
            "column_start": 3, "column_end": 4, "is_primary": true, "label": "here",
            "expansion": null}}], "children": []}}}}"#
        );
        let shown = checked.diagnostic(&book, &message).unwrap();
        assert_eq!(shown.to_string(), "book/ch/one.md:8:14: error: [E0610] no field");
    }

    #[test]
    fn a_cell_that_is_not_rust_is_pointed_at() {
        let checked = Checked::of(&book("# T\n\n```rust\nlet a = ;\n```\n"), "");
        let shown = checked.problems[0].to_string();
        assert!(shown.starts_with("book/ch/one.md:4:9: error: not Rust: "), "{shown}");
    }

    #[test]
    fn readers_do_not_stumble() {
        let book = book(
            "# T\n\n[a](#prat) [b](index.md#none) [c](https://x.org#y) [d](#part) [e](no.csv)\n\n\
             ## Part\n:label:`place`\n\n```rust, caption=\"C\"\n1\n```\n\n$$x$$\n:eqlabel:`unused`\n\n\
             It is *recieved* by `teh` arange, arange.\n",
        );
        let found: Vec<String> = lint(&book).iter().map(ToString::to_string).collect();
        let expected = [
            "book/ch/one.md:8:1: warning: a drawing without a description",
            "book/ch/one.md:3:1: error: book/ch/one.md has no place `#prat`",
            "book/ch/one.md:3:12: error: book/ch/index.md has no place `#none`",
            "book/ch/one.md:3:63: error: there is no file book/ch/no.csv",
            "book/ch/one.md:15:8: warning: `recieved` looks misspelt",
            "book/ch/one.md:15:27: warning: `arange` looks misspelt",
            "book/ch/one.md:15:35: warning: `arange` looks misspelt",
            "book/ch/one.md:13:1: warning: nothing refers to `unused`",
        ];
        assert_eq!(found, expected);
    }
}
