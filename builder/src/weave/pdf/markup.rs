//! The book as Typst markup: calls of the functions that `theme/pdf/book.typ` defines.

use super::{Origin, anchor_of};
use crate::book::{Book, Role, Section};
use crate::diagnostic::Diagnostic;
use crate::document::inline::plain_text;
use crate::document::{
    Align, Block, BlockKind, Cell, Inline, InlineKind, RefStyle, Span,
};
use crate::run::output::{MimeBundle, Output, SectionOutputs};
use crate::weave::image::Image;
use crate::weave::reference::{self, Words};
use base64::Engine as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The text of `main.typ`, being written.
pub(super) struct Markup<'a> {
    book: &'a Book,
    outputs: &'a [SectionOutputs],
    /// The section under way.
    index: usize,
    cells: usize,
    pub(super) text: String,
    /// Images by their name in the world.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    origins: Vec<Origin>,
    problems: Vec<Diagnostic>,
    /// Footnotes of the section that were set already.
    notes: BTreeSet<String>,
}

impl<'a> Markup<'a> {
    /// Writes the whole book.
    pub(super) fn of_book(
        book: &'a Book,
        outputs: &'a [SectionOutputs],
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut markup = Self {
            book,
            outputs,
            index: 0,
            cells: 0,
            text: String::new(),
            files: BTreeMap::new(),
            origins: Vec::new(),
            problems: Vec::new(),
            notes: BTreeSet::new(),
        };
        markup.cover();
        markup.contents();
        let first_chapter =
            book.sections.iter().position(|s| s.role != Role::FrontMatter);
        for index in 0..book.sections.len() {
            if Some(index) == first_chapter {
                markup.text.push_str(
                    "#pagebreak(to: \"odd\", weak: true)\n#set page(numbering: \"1\")\n\
                     #counter(page).update(1)\n",
                );
            }
            markup.section(index);
        }
        markup.references();
        match markup.problems.is_empty() {
            true => Ok(markup),
            false => Err(markup.problems),
        }
    }

    /// What the byte at `at` of the text was made from; the smallest part that holds it.
    pub(super) fn origin(&self, at: usize) -> Option<&Origin> {
        self.origins
            .iter()
            .filter(|origin| origin.range.contains(&at))
            .min_by_key(|origin| origin.range.len())
    }

    fn cover(&mut self) {
        let config = &self.book.config;
        let optional = |text: &Option<String>| match text {
            Some(text) => quoted(text),
            None => "none".into(),
        };
        let authors: String =
            config.authors.iter().map(|a| format!("{}, ", quoted(a))).collect();
        let _ = write!(
            self.text,
            "#import \"/book.typ\": *\n#import \"/math.typ\": *\n#show: book.with(\n  \
             title: {}, subtitle: {}, description: {}, authors: ({authors}), date: {}, lang: {},\n)\n",
            quoted(&config.title),
            optional(&config.subtitle),
            optional(&config.description),
            optional(&config.date),
            quoted(config.language.split('-').next().unwrap_or("en")),
        );
    }

    fn contents(&mut self) {
        self.text.push_str("#contents(\n");
        for (index, section) in self.book.sections.iter().enumerate() {
            self.index = index;
            let level = if section.role == Role::Section { 2 } else { 1 };
            let number = section.number.as_ref().map_or("none".into(), |n| quoted(n));
            let to = quoted(&anchor_of(section, ""));
            let _ = write!(
                self.text,
                "  (level: {level}, number: {number}, to: {to}, title: ["
            );
            self.inlines(&without_links(&section.document.title));
            self.text.push_str("]),\n");
            for planned in
                self.book.planned.iter().filter(|planned| planned.after == index)
            {
                let (number, title) = (quoted(&planned.number), escaped(&planned.title));
                let _ = writeln!(
                    self.text,
                    "  (level: 2, number: {number}, to: none, title: [{title}]),"
                );
            }
        }
        if !self.book.references.is_empty() {
            self.text.push_str(
                "  (level: 1, number: none, to: \"references\", title: [References]),\n",
            );
        }
        self.text.push_str(")\n");
    }

    fn section(&mut self, index: usize) {
        self.index = index;
        self.cells = 0;
        self.notes.clear();
        let section = self.here();
        let function = match section.role {
            Role::FrontMatter => "front",
            Role::Chapter => "chapter",
            Role::Section => "section",
        };
        let number = section.number.as_ref().map_or("none".into(), |n| quoted(n));
        let anchor = quoted(&anchor_of(section, ""));
        let _ = write!(self.text, "\n#{function}({number}, {anchor})[");
        self.inlines(&section.document.title);
        self.text.push_str("]\n\n");
        self.blocks(&section.document.blocks);
    }

    fn references(&mut self) {
        if self.book.references.is_empty() {
            return;
        }
        self.text.push_str("\n#front(none, \"references\")[References]\n#references(\n");
        for entry in &self.book.references {
            let anchor = quoted(&format!("cite#{}", entry.key));
            let _ = write!(self.text, "  ({anchor}, [");
            self.inlines(&entry.entry);
            self.text.push_str("]),\n");
        }
        self.text.push_str(")\n");
    }

    fn here(&self) -> &'a Section {
        &self.book.sections[self.index]
    }

    fn number(&self, span: Span) -> Option<&'a str> {
        self.here().numbers.get(&span.start).map(String::as_str)
    }

    fn blocks(&mut self, blocks: &'a [Block]) {
        for block in blocks {
            let start = self.text.len();
            self.block(block);
            self.text.push_str("\n\n");
            self.origins.push(Origin {
                range: start..self.text.len(),
                section: self.index,
                span: block.span,
                is_formula: matches!(block.kind, BlockKind::Math { .. }),
            });
        }
    }

    fn content(&mut self, blocks: &'a [Block]) {
        self.text.push('[');
        self.blocks(blocks);
        self.text.push(']');
    }

    fn block(&mut self, block: &'a Block) {
        let span = block.span;
        match &block.kind {
            BlockKind::Heading { level, text, anchor, .. } => {
                let number = self.number(span).map_or("none".into(), quoted);
                let anchor = quoted(&anchor_of(self.here(), anchor));
                let level = level + 1;
                let _ = write!(self.text, "#part({level}, {number}, {anchor})[");
                self.inlines(text);
                self.text.push(']');
            }
            BlockKind::Paragraph(text) => self.inlines(text),
            BlockKind::Cell(cell) => self.cell(cell, span),
            BlockKind::Code { language, code } => {
                let _ =
                    write!(self.text, "#code({}, {})", quoted(language), quoted(code));
            }
            BlockKind::Math { latex, label } => {
                let anchor = self.anchor(label.as_deref());
                let number = self.number(span).map_or("none".into(), quoted);
                let _ = write!(self.text, "#equation({number}, {anchor}, $ ");
                self.formula(latex, span);
                self.text.push_str(" $)");
            }
            BlockKind::Figure { path, alt, caption, label, width, .. } => {
                let image = self.image(path, alt, width.as_deref());
                self.figure("Figure", label.as_deref(), caption, span, &image);
            }
            BlockKind::Table { align, head, rows, caption, label } => {
                let anchor = self.anchor(label.as_deref());
                let number = self.number(span).map_or("none".into(), quoted);
                let _ =
                    write!(self.text, "#tabular({number}, {anchor}, {}, [", rows.len());
                self.inlines(caption);
                self.text.push_str("], ");
                self.table(align, head, rows);
                self.text.push(')');
            }
            BlockKind::List { start, items } => {
                match start {
                    Some(start) => {
                        let _ = write!(self.text, "#enum(start: {start}, ");
                    }
                    None => self.text.push_str("#list("),
                }
                for item in items {
                    self.content(item);
                    self.text.push_str(", ");
                }
                self.text.push(')');
            }
            BlockKind::Quote(blocks) => {
                self.text.push_str("#quote(block: true)");
                self.content(blocks);
            }
            BlockKind::Admonition { kind, blocks } => {
                let _ = write!(self.text, "#admonition({})", quoted(kind));
                self.content(blocks);
            }
            BlockKind::Rule => self.text.push_str("#rule()"),
            // For the site only.
            BlockKind::Html(_) | BlockKind::Footnote { .. } => {}
        }
    }

    fn anchor(&self, label: Option<&str>) -> String {
        label.map_or("none".into(), |label| quoted(&anchor_of(self.here(), label)))
    }

    fn figure(
        &mut self,
        kind: &str,
        label: Option<&str>,
        caption: &[Inline],
        span: Span,
        body: &str,
    ) {
        let anchor = self.anchor(label);
        let number = self.number(span).map_or("none".into(), quoted);
        let _ = write!(self.text, "#drawing({}, {number}, {anchor}, [", quoted(kind));
        self.inlines(caption);
        let _ = write!(self.text, "])[{body}]");
    }

    fn cell(&mut self, cell: &'a Cell, span: Span) {
        let outputs = self.outputs.get(self.index).and_then(|s| s.cells.get(self.cells));
        let outputs = outputs.map_or(&[][..], Vec::as_slice);
        self.cells += 1;
        if cell.attrs.hide {
            return;
        }
        if !cell.attrs.hide_code {
            let saved = match (&cell.save, &self.book.config.library) {
                (Some(save), Some(library)) => {
                    let topic =
                        save.topic.as_ref().map_or(String::new(), |t| format!("::{t}"));
                    quoted(&format!("{}{topic}", library.name))
                }
                _ => "none".into(),
            };
            let _ = write!(self.text, "#cell({}, {saved})", quoted(&cell.code));
        }
        if cell.attrs.hide_output || outputs.is_empty() {
            return;
        }
        let alt = cell.attrs.alt.as_deref().unwrap_or("");
        let shown: String =
            outputs.iter().map(|output| self.output(output, alt)).collect();
        match &cell.attrs.caption {
            Some(caption) => {
                self.text.push('\n');
                self.figure("Figure", Some(&cell.id), caption, span, &shown);
            }
            None => {
                let _ = write!(self.text, "\n#outputs[{shown}]");
            }
        }
    }

    fn output(&mut self, output: &Output, alt: &str) -> String {
        let text = |kind: &str, text: &str| {
            format!("#printed({}, {})", quoted(kind), quoted(text.trim_end_matches('\n')))
        };
        match output {
            Output::Stream { name, text: written } => text(name, written),
            Output::Error { text: written, .. } => text("error", written),
            Output::Display { data } | Output::Result { data } => self.bundle(data, alt),
        }
    }

    /// The richest form that can be printed.
    fn bundle(&mut self, data: &MimeBundle, alt: &str) -> String {
        let decoded = |content: &String| {
            let engine = base64::engine::general_purpose::STANDARD;
            engine.decode(content.replace(['\n', '\r'], "")).ok()
        };
        if let Some(svg) = data.get("image/svg+xml") {
            return self.add_image("svg", svg.clone().into_bytes(), alt, None);
        }
        for (mime, extension) in [("image/png", "png"), ("image/jpeg", "jpg")] {
            if let Some(bytes) = data.get(mime).and_then(decoded) {
                return self.add_image(extension, bytes, alt, None);
            }
        }
        let text = data.get("text/plain").or_else(|| data.get("text/markdown"));
        text.map_or(String::new(), |text| {
            format!("#printed(\"value\", {})", quoted(text.trim_end_matches('\n')))
        })
    }

    fn image(&mut self, path: &str, alt: &str, width: Option<&str>) -> String {
        let Some(image) = Image::read(self.book, self.here(), path) else {
            return String::new();
        };
        let extension = path.rsplit('.').next().unwrap_or("png").to_owned();
        self.add_image(&extension, image.bytes, alt, width)
    }

    fn add_image(
        &mut self,
        extension: &str,
        bytes: Vec<u8>,
        alt: &str,
        width: Option<&str>,
    ) -> String {
        let bytes = match extension {
            "svg" => in_print(&String::from_utf8_lossy(&bytes)).into_bytes(),
            _ => bytes,
        };
        let name = format!("/images/{}.{extension}", self.files.len());
        self.files.insert(name.clone(), bytes);
        let width = width.and_then(length).unwrap_or_else(|| "auto".into());
        format!("#picture({}, {}, {width})", quoted(&name), quoted(alt))
    }

    fn table(
        &mut self,
        align: &[Align],
        head: &[Vec<Inline>],
        rows: &[Vec<Vec<Inline>>],
    ) {
        let side = |align: &Align| match align {
            Align::Center => "center",
            Align::Right => "right",
            Align::None | Align::Left => "left",
        };
        let sides: String = align.iter().map(|a| format!("{}, ", side(a))).collect();
        let _ = write!(
            self.text,
            "table(columns: {}, align: ({sides}), table.header(",
            align.len()
        );
        for text in head {
            self.text.push('[');
            self.inlines(text);
            self.text.push_str("], ");
        }
        self.text.push_str("), ");
        for text in rows.iter().flatten() {
            self.text.push('[');
            self.inlines(text);
            self.text.push_str("], ");
        }
        self.text.push(')');
    }

    /// The formula in Typst's words, inside dollars that the caller writes.
    fn formula(&mut self, latex: &str, span: Span) {
        let start = self.text.len();
        match mitex::convert_math(latex, None) {
            // A dollar would end the formula.
            Ok(formula) => self.text.push_str(&modern(&formula).replace('$', "\\$")),
            Err(error) => {
                let message = format!("a formula that cannot be set in print: {error}");
                let document = &self.here().document;
                self.problems.push(Diagnostic::error(document, span, message));
            }
        }
        self.origins.push(Origin {
            range: start..self.text.len(),
            section: self.index,
            span,
            is_formula: true,
        });
    }

    fn inlines(&mut self, inlines: &[Inline]) {
        for inline in inlines {
            self.inline(inline);
        }
    }

    fn wrapped(&mut self, function: &str, text: &[Inline]) {
        let _ = write!(self.text, "#{function}[");
        self.inlines(text);
        self.text.push(']');
        self.text.push_str(END);
    }

    fn inline(&mut self, inline: &Inline) {
        match &inline.kind {
            InlineKind::Text(text) => self.text.push_str(&escaped(text)),
            InlineKind::Code(code) => {
                let _ = write!(self.text, "#raw({}){END}", quoted(code));
            }
            InlineKind::Math(latex) => {
                self.text.push('$');
                self.formula(latex.trim(), inline.span);
                // A space at the end alone does not make it a displayed formula.
                self.text.push('$');
            }
            InlineKind::Emph(text) => self.wrapped("emph", text),
            InlineKind::Strong(text) => self.wrapped("strong", text),
            InlineKind::Strike(text) => self.wrapped("strike", text),
            InlineKind::Link { target, text } => {
                match self.book.linked_section(self.index, target) {
                    Some(section) => {
                        let anchor =
                            target.split_once('#').map_or("", |(_, anchor)| anchor);
                        let to = anchor_of(&self.book.sections[section], anchor);
                        self.wrapped(&format!("to({})", quoted(&to)), text);
                    }
                    None if target.contains("://") || target.starts_with("mailto:") => {
                        self.wrapped(&format!("link({})", quoted(target)), text);
                    }
                    None => self.inlines(text),
                }
            }
            InlineKind::Image { path, alt } => {
                let image = self.image(path, alt, None);
                let _ = write!(self.text, "#box[{image}]{END}");
            }
            InlineKind::Ref { style, label } => self.reference(*style, label),
            InlineKind::Cite { textual, keys } => self.citation(*textual, keys),
            InlineKind::FootnoteRef(name) => self.footnote(name),
            InlineKind::LineBreak => self.text.push_str("#linebreak()\n"),
            InlineKind::SoftBreak => self.text.push('\n'),
            InlineKind::Html(_) => {}
        }
    }

    fn reference(&mut self, style: RefStyle, label: &str) {
        let Some(target) = self.book.labels.get(label) else { return };
        let anchor = anchor_of(&self.book.sections[target.section], &target.anchor);
        let _ = write!(self.text, "#to({})[", quoted(&anchor));
        match reference::words(target, style) {
            Words::Number(words) => {
                self.text.push_str(&escaped(&words).replace(' ', "~"))
            }
            Words::Title(title) => self.text.push_str(&escaped(&plain_text(title))),
        }
        let _ = write!(self.text, "]{END}");
    }

    fn citation(&mut self, textual: bool, keys: &[String]) {
        let entries = reference::cited(self.book, keys).into_iter().map(|entry| {
            let words = match textual {
                true => format!("{} ({})", entry.authors, entry.year),
                false => format!("{}, {}", entry.authors, entry.year),
            };
            format!(
                "#to({})[{}]{END}",
                quoted(&format!("cite#{}", entry.key)),
                escaped(&words)
            )
        });
        let entries = entries.collect::<Vec<_>>().join("; ");
        let shown = if textual { entries } else { format!("({entries})") };
        self.text.push_str(&shown);
    }

    fn footnote(&mut self, name: &str) {
        let blocks =
            self.here().document.blocks.iter().find_map(|block| match &block.kind {
                BlockKind::Footnote { name: other, blocks } if other == name => {
                    Some(blocks)
                }
                _ => None,
            });
        let anchor = quoted(&anchor_of(self.here(), &format!("fn-{name}")));
        if !self.notes.insert(name.to_owned()) {
            let _ = write!(self.text, "#footnote(label({anchor})){END}");
            return;
        }
        self.text.push_str("#footnote");
        self.content(blocks.map_or(&[], Vec::as_slice));
        let _ = write!(self.text, "#label({anchor}){END}");
    }
}

/// Ends a call in running text: what follows is text, whatever it looks like.
const END: &str = ";";

/// Symbols that were renamed since MiTeX learned them.
fn modern(formula: &str) -> String {
    const RENAMED: [(&str, &str); 12] = [
        ("dot.circle", "dot.o"),
        ("plus.circle", "plus.o"),
        ("minus.circle", "minus.o"),
        ("times.circle", "times.o"),
        ("ast.circle", "convolve.o"),
        ("planck.reduce", "planck"),
        ("angle.l", "chevron.l"),
        ("angle.r", "chevron.r"),
        ("integral.sect", "integral.inter"),
        ("sect.", "inter."),
        ("ohm.inv", "Omega.inv"),
        ("tilde.op", "tilde"),
    ];
    let text = RENAMED
        .iter()
        .fold(formula.to_owned(), |text, (old, new)| text.replace(old, new));
    // Bars stand close to what they enclose, unless they grow with it.
    match text.contains("lr(") || text.contains('"') {
        true => text,
        false => text.replace("||", " norm-bar ").replace('|', " abs-bar "),
    }
}

/// A title for a place that holds no links, like the contents.
fn without_links(title: &[Inline]) -> Vec<Inline> {
    let is_link = |inline: &&Inline| {
        matches!(inline.kind, InlineKind::Ref { .. } | InlineKind::Cite { .. })
            || matches!(inline.kind, InlineKind::FootnoteRef(_))
    };
    title.iter().filter(|inline| !is_link(inline)).cloned().collect()
}

/// A string literal.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text without markup. Quotes stay, so that they become typographic ones.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.char_indices() {
        let is_special = match c {
            '\\' | '#' | '$' | '*' | '_' | '`' | '<' | '>' | '@' | '[' | ']' | '~'
            | '/' => true,
            // Lists and headings at the start of a line; soft hyphens and dashes inside.
            '-' => index == 0 || text[index + 1..].starts_with(['?', '-']),
            '+' | '=' => index == 0,
            // `1.` at the start of a line would number it; `:` could end a term.
            '.' => index > 0 && text[..index].bytes().all(|b| b.is_ascii_digit()),
            ';' | '(' | ':' => index == 0,
            _ => false,
        };
        if is_special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `60%`, `12pt`; pixels are those of a screen, 96 to the inch.
fn length(width: &str) -> Option<String> {
    let number = |suffix: &str| width.strip_suffix(suffix)?.trim().parse::<f64>().ok();
    if let Some(px) = number("px") {
        return Some(format!("{}pt", px * 0.75));
    }
    ["%", "pt", "cm", "mm", "em"]
        .into_iter()
        .find_map(|unit| Some(format!("{}{unit}", number(unit)?)))
        .or_else(|| number("in").map(|n| format!("{n}in")))
}

/// A drawing in ink, and in a face that the book carries.
fn in_print(svg: &str) -> String {
    svg.replace("currentColor", "#1a1a1a")
        .replace("font-family=\"sans-serif\"", "font-family=\"Libertinus Serif\"")
}
