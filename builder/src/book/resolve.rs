//! What labels mean, and whether every reference, citation and link leads somewhere.

use super::{Book, Role, Target, TargetKind, assemble};
use crate::bib::Bibliography;
use crate::diagnostic::Diagnostic;
use crate::document::fence::nearest;
use crate::document::inline::walk_blocks;
use crate::document::{BlockKind, Document, Inline, InlineKind, RefStyle, Span, Term};
use std::collections::BTreeSet;

/// Enters the labels of one section into the book.
pub(super) fn collect_labels(book: &mut Book, index: usize, found: &mut Vec<Diagnostic>) {
    let section = &book.sections[index];
    let mut targets = Vec::new();
    if let Some(label) = &section.document.label {
        let kind = match section.role {
            Role::Chapter => TargetKind::Chapter,
            Role::FrontMatter | Role::Section => TargetKind::Section,
        };
        let target = Target {
            section: index,
            anchor: String::new(),
            kind,
            number: section.number.clone().unwrap_or_default(),
            title: section.document.title.clone(),
        };
        targets.push((label.clone(), target));
    }
    walk_blocks(&section.document.blocks, &mut |block| {
        targets.extend(assemble::target(section, index, block));
        if let BlockKind::Glossary(terms) = &block.kind {
            targets.extend(terms.iter().map(|term| {
                let label = Term::label(&term.name);
                let name = InlineKind::Text(term.name.clone());
                let target = Target {
                    section: index,
                    anchor: label.clone(),
                    kind: TargetKind::Term,
                    number: String::new(),
                    title: vec![Inline { kind: name, span: term.span }],
                };
                (label, target)
            }));
        }
    });
    for (label, target) in targets {
        match book.labels.get(&label) {
            // The parser has reported labels given twice in one chapter.
            Some(first) if first.section == index => {}
            Some(first) => {
                let document = &book.sections[index].document;
                let other = &book.sections[first.section].document;
                let span = document.label_spans.get(&label).copied().unwrap_or_default();
                let start = other.label_spans.get(&label).map_or(0, |span| span.start);
                let (line, _) = other.position(start);
                let help =
                    format!("it was first given in {}:{line}", other.path.display());
                let message = format!("label `{label}` is given twice");
                found.push(Diagnostic::error(document, span, message).with_help(help));
            }
            None => {
                book.labels.insert(label, target);
            }
        }
    }
}

/// Reports every reference that leads nowhere; gives the keys that are cited.
pub(super) fn check_references(
    book: &Book,
    bibliography: &Bibliography,
    found: &mut Vec<Diagnostic>,
) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    for index in 0..book.sections.len() {
        let document = &book.sections[index].document;
        let mut notes = BTreeSet::new();
        document.walk_inlines(|inline| match &inline.kind {
            InlineKind::Ref { style, label } => {
                found.extend(wrong_reference(book, document, inline.span, *style, label));
            }
            InlineKind::Cite { keys, .. } => {
                for key in keys {
                    if bibliography.contains(key) {
                        cited.insert(key.clone());
                    } else {
                        let message =
                            format!("nothing in the bibliography is called `{key}`");
                        let error = Diagnostic::error(document, inline.span, message);
                        let help = similar(key, bibliography.keys());
                        found.push(error.with_help(help));
                    }
                }
            }
            InlineKind::Link { target, .. } => {
                found.extend(wrong_link(book, index, inline, target));
            }
            InlineKind::FootnoteRef(name) => {
                notes.insert(name.clone());
            }
            _ => {}
        });
        warn_of_unused(document, &notes, found);
        check_pages(book, index, found);
    }
    cited
}

fn wrong_reference(
    book: &Book,
    document: &Document,
    span: Span,
    style: RefStyle,
    label: &str,
) -> Option<Diagnostic> {
    let error = |message: String| Some(Diagnostic::error(document, span, message));
    let Some(target) = book.labels.get(label) else {
        if document.label_spans.contains_key(label) {
            let help = "give the cell a caption, and its figure a number with it";
            let message =
                format!("`{label}` is a cell without a caption, which has no number");
            return error(message).map(|error| error.with_help(help));
        }
        if style == RefStyle::Term {
            let word = document.source[span.range()].split('`').nth(1).unwrap_or(label);
            let help = "define it in a ```glossary block: `word: meaning`";
            return error(format!("`{word}` is not in the glossary"))
                .map(|error| error.with_help(help));
        }
        let help = similar(label, book.labels.keys().map(String::as_str));
        return error(format!("unknown label `{label}`"))
            .map(|error| error.with_help(help));
    };
    let (message, role) = match (style, target.kind) {
        (RefStyle::Equation, TargetKind::Equation) => return None,
        (RefStyle::Equation, _) => (format!("`{label}` is not an equation"), "numref"),
        (RefStyle::Title, TargetKind::Equation) => {
            (format!("`{label}` is an equation, which has no title"), "eqref")
        }
        _ => return None,
    };
    error(message).map(|error| error.with_help(format!("write :{role}:`{label}`")))
}

/// Links to chapters are written as paths to their files.
fn wrong_link(
    book: &Book,
    index: usize,
    inline: &Inline,
    target: &str,
) -> Option<Diagnostic> {
    let path = target.split('#').next().unwrap_or_default();
    let is_local = !target.contains("://") && path.ends_with(".md");
    if !is_local || book.linked_section(index, target).is_some() {
        return None;
    }
    let document = &book.sections[index].document;
    let message = format!("`{path}` is not a page of the book");
    let help = "pages are those that book.toml lists";
    Some(Diagnostic::error(document, inline.span, message).with_help(help))
}

/// Lists of pages name pages of the book.
fn check_pages(book: &Book, index: usize, found: &mut Vec<Diagnostic>) {
    let document = &book.sections[index].document;
    walk_blocks(&document.blocks, &mut |block| {
        let BlockKind::Toc(toc) = &block.kind else { return };
        for (page, span) in &toc.pages {
            if book.linked_section(index, &format!("{page}.md")).is_none() {
                let message = format!("`{page}` is not a page of the book");
                let help = "pages are those that book.toml lists";
                found.push(Diagnostic::error(document, *span, message).with_help(help));
            }
        }
    });
}

fn warn_of_unused(
    document: &Document,
    notes: &BTreeSet<String>,
    found: &mut Vec<Diagnostic>,
) {
    walk_blocks(&document.blocks, &mut |block| {
        if let BlockKind::Footnote { name, .. } = &block.kind
            && !notes.contains(name)
        {
            let message = format!("nothing refers to footnote `{name}`");
            found.push(Diagnostic::warning(document, block.span, message));
        }
    });
}

/// A proposal for a name that is not there.
fn similar<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(String::new(), |meant| format!("did you mean `{meant}`?"))
}

impl Book {
    /// The section that a link `../chapter/section.md#anchor` in section `index` leads to.
    pub fn linked_section(&self, index: usize, target: &str) -> Option<usize> {
        let path = target.split('#').next()?.strip_suffix(".md")?;
        let mut parts: Vec<&str> = self.sections.get(index)?.slug.split('/').collect();
        parts.pop();
        for part in path.split('/') {
            match part {
                "." | "" => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        let slug = parts.join("/");
        self.sections.iter().position(|section| section.slug == slug)
    }
}
