//! Running text.

use super::super::{formula, picture};
use super::escape::{self, quoted};
use super::{OriginKind, Pen, place};
use crate::diagnostic::Diagnostic;
use crate::document::inline::plain_text;
use crate::document::{Block, BlockKind, Inline, InlineKind, RefStyle, Span};
use crate::weave::image::Image;
use crate::weave::reference::{self, Words};
use std::fmt::Write as _;

impl Pen<'_> {
    pub(super) fn inlines(&mut self, inlines: &[Inline]) {
        for inline in inlines {
            self.inline(inline);
        }
    }

    fn inline(&mut self, inline: &Inline) {
        match &inline.kind {
            InlineKind::Text(text) => self.text.push_str(&escape::text(text)),
            InlineKind::Code(code) => {
                let _ = write!(self.text, "#raw({});", quoted(code));
            }
            InlineKind::Math(latex) => {
                let _ = write!(self.text, "#b.formula({})[", quoted(latex));
                self.formula(latex, inline.span);
                self.text.push_str("];");
            }
            InlineKind::Emph(text) => self.wrapped("emph", text),
            InlineKind::Strong(text) => self.wrapped("strong", text),
            InlineKind::Strike(text) => self.wrapped("strike", text),
            InlineKind::Link { target, text } => self.link(target, text),
            InlineKind::Image { path, alt } => {
                if let Some(file) = self.image(path, inline.span) {
                    let (file, alt) = (quoted(&file), quoted(alt));
                    let _ = write!(self.text, "#b.inline-picture({file}, alt: {alt});");
                } else {
                    self.text.push_str(&escape::text(alt));
                }
            }
            InlineKind::Ref { style, label } => self.reference(*style, label),
            InlineKind::Cite { textual, keys } => self.citation(*textual, keys),
            InlineKind::FootnoteRef(name) => self.footnote(name),
            InlineKind::Index(term) => {
                let _ = write!(self.text, "#b.index-mark({});", quoted(term));
            }
            InlineKind::LineBreak => self.text.push_str(" \\\n"),
            InlineKind::SoftBreak => self.text.push('\n'),
            InlineKind::Html(_) => {}
        }
    }

    fn wrapped(&mut self, function: &str, text: &[Inline]) {
        let _ = write!(self.text, "#{function}[");
        self.inlines(text);
        self.text.push_str("];");
    }

    /// `$…$`, empty if the formula cannot be set.
    pub(super) fn formula(&mut self, latex: &str, span: Span) {
        let document = &self.section().document;
        let inside =
            document.source.get(span.range()).and_then(|source| source.find(latex));
        let inside = inside.map(|offset| {
            let start = span.start + offset;
            Span::new(start..start + latex.len())
        });
        match formula::translate(latex) {
            Ok(typst) => {
                let start = self.text.len();
                let _ = write!(self.text, "${typst}$");
                self.came_from(start, inside.unwrap_or(span), OriginKind::Formula);
            }
            Err(problem) => {
                let range = problem.range;
                let at = inside.map_or(span, |inside| {
                    Span::new(inside.start + range.start..inside.start + range.end)
                });
                let message = OriginKind::Formula.message(&problem.message);
                self.shared.problems.push(Diagnostic::error(document, at, message));
                self.text.push_str("$ $");
            }
        }
    }

    fn link(&mut self, target: &str, text: &[Inline]) {
        match self.book.linked_section(self.index, target) {
            Some(section) => {
                let anchor = target.split_once('#').map_or("", |(_, anchor)| anchor);
                let to = self.reachable(section, anchor);
                let _ = write!(self.text, "#b.to({})[", quoted(&to));
            }
            // A link that begins with `#` stays on its page.
            None if target.starts_with('#') => {
                let to = self.reachable(self.index, &target[1..]);
                let _ = write!(self.text, "#b.to({})[", quoted(&to));
            }
            None if target.is_empty() => self.text.push_str("#["),
            None => {
                let _ = write!(self.text, "#b.web({})[", quoted(target));
            }
        }
        self.inlines(text);
        self.text.push_str("];");
    }

    /// The place of an anchor, or of its page if there is no such anchor.
    pub(super) fn reachable(&self, section: usize, anchor: &str) -> String {
        let section = &self.book.sections[section];
        let to = place(section, anchor);
        if self.shared.anchors.contains(&to) { to } else { section.slug.clone() }
    }

    fn reference(&mut self, style: RefStyle, label: &str) {
        let Some(target) = self.book.labels.get(label) else {
            return self.text.push_str(&escape::text(label));
        };
        let to = quoted(&self.reachable(target.section, &target.anchor));
        let _ = write!(self.text, "#b.to({to})[");
        match reference::words(target, style) {
            Words::Number(words) => {
                self.text.push_str(&escape::text(&words.replace(' ', "\u{a0}")));
            }
            // A title may itself contain what only its own section understands.
            Words::Title(title) => self.text.push_str(&escape::text(&plain_text(title))),
        }
        self.text.push_str("];");
    }

    fn citation(&mut self, textual: bool, keys: &[String]) {
        if !textual {
            self.text.push('(');
        }
        for (index, entry) in reference::cited(self.book, keys).into_iter().enumerate() {
            if index > 0 {
                self.text.push_str("; ");
            }
            let words = match textual {
                true => format!("{} ({})", entry.authors, entry.year),
                false => format!("{}, {}", entry.authors, entry.year),
            };
            let to = quoted(&format!("references#{}", entry.key));
            let _ = write!(self.text, "#b.to({to})[{}];", escape::text(&words));
        }
        if !textual {
            self.text.push(')');
        }
    }

    fn footnote(&mut self, name: &str) {
        let section = self.section();
        let at = place(section, &format!("^{name}"));
        if !self.placed.insert(at.clone()) {
            let _ = write!(self.text, "#footnote(label({}));", quoted(&at));
            return;
        }
        let mut blocks = section.document.blocks.iter();
        let note = blocks.find_map(|block| match &block.kind {
            BlockKind::Footnote { name: other, blocks } if other == name => Some(blocks),
            _ => None,
        });
        let _ = write!(self.text, "#b.note({})[", quoted(&at));
        self.body(note.map_or(&[][..], Vec::as_slice));
        self.text.push_str("];");
    }

    /// Blocks where they share a line with something: a note, an item, a cell of a table.
    pub(super) fn body(&mut self, blocks: &[Block]) {
        if let [Block { kind: BlockKind::Paragraph(text), .. }] = blocks {
            return self.inlines(text);
        }
        self.blocks(blocks);
    }

    /// The path that sheets use for an image of the book. None if it is elsewhere.
    pub(super) fn image(&mut self, path: &str, span: Span) -> Option<String> {
        let is_elsewhere = path.contains("://") || path.starts_with("data:");
        let Some(image) = Image::read(self.book, self.section(), path) else {
            if !is_elsewhere {
                let document = &self.section().document;
                let message = format!("the image `{path}` cannot be read");
                self.shared.problems.push(Diagnostic::error(document, span, message));
            }
            return None;
        };
        let file = format!("/image/{}", image.path);
        let bytes = match image.mime() {
            "image/svg+xml" => {
                picture::printed(&String::from_utf8_lossy(&image.bytes)).into_bytes()
            }
            _ => image.bytes,
        };
        self.picture_file(file.clone(), bytes, span);
        Some(file)
    }

    /// Keeps a picture for the press.
    pub(super) fn picture_file(&mut self, path: String, bytes: Vec<u8>, span: Span) {
        self.shared.pictures.entry(path.clone()).or_insert((self.index, span));
        self.shared.files.insert(path, bytes);
    }
}
