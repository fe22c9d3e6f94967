//! Blocks, cells with their outputs, and the table of contents.

use super::super::picture;
use super::escape::{self, quoted};
use super::{INDEX, OriginKind, Pen, REFERENCES, part_place, place, title_level};
use crate::book::{Role, TargetKind};
use crate::config::Solutions;
use crate::document::inline::walk_blocks;
use crate::document::{Align, Block, BlockKind, Cell, Inline, Span, Term};
use crate::run::output::{MimeBundle, Output, not_run};
use crate::weave::{reference, rust};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Bytes of LaTeX that are narrower than any page, with room for a number on both sides.
const SHORT: usize = 45;

/// Where a figure stands. What an author drew goes to the head or the foot of a page, as in other books, what a cell
/// gave to the foot, so that it is never above its code: the text goes on where a figure does not fit.
const IN_TEXT: &str = "none";
const HEAD_OR_FOOT: &str = "auto";
const FOOT: &str = "bottom";

impl Pen<'_> {
    /// Blocks, each followed by an empty line.
    pub(super) fn blocks(&mut self, blocks: &[Block]) {
        for block in blocks {
            let start = self.text.len();
            self.block(block);
            if self.text.len() > start {
                self.came_from(start, block.span, OriginKind::Block);
                self.text.push_str("\n\n");
            }
        }
    }

    fn block(&mut self, block: &Block) {
        let span = block.span;
        match &block.kind {
            BlockKind::Heading { level, text, anchor, .. } => {
                let level = level + title_level(self.section()) - 1;
                let _ = write!(self.text, "#b.heading(level: {level}");
                self.number(span);
                self.at(anchor);
                self.text.push_str(")[");
                self.inlines(text);
                self.text.push(']');
            }
            BlockKind::Paragraph(text) => self.inlines(text),
            BlockKind::Cell(cell) => self.cell(cell, span),
            BlockKind::Code { language, code } => {
                let _ = write!(self.text, "#b.code({}", quoted(code));
                match language.as_str() {
                    "" => {}
                    "rust" => self.coloured(code),
                    other => {
                        let _ = write!(self.text, ", language: {}", quoted(other));
                    }
                }
                self.text.push(')');
            }
            BlockKind::Math { latex, label } => {
                self.equation(latex, label.as_deref(), span)
            }
            BlockKind::Figure { path, alt, caption, label, width, height } => {
                let placement = if caption.is_empty() { IN_TEXT } else { HEAD_OR_FOOT };
                self.figure_start(
                    TargetKind::Figure,
                    label.as_deref(),
                    caption,
                    span,
                    placement,
                );
                self.image_block(path, alt, [width, height], span);
                self.text.push(']');
            }
            BlockKind::Table { align, head, rows, caption, label } => {
                self.figure_start(
                    TargetKind::Table,
                    label.as_deref(),
                    caption,
                    span,
                    IN_TEXT,
                );
                self.table(align, head, rows);
                self.text.push(']');
            }
            BlockKind::List { start, items } => self.list(*start, items),
            BlockKind::Quote(blocks) => self.boxed("#b.quotation[", blocks),
            BlockKind::Admonition { kind, blocks } => {
                self.boxed(&format!("#b.admonition({})[", quoted(kind)), blocks);
            }
            BlockKind::Exercise { label, blocks } => {
                self.text.push_str("#b.exercise(");
                let number = self.section().numbers.get(&span.start);
                self.text
                    .push_str(&number.map_or("none".into(), |number| quoted(number)));
                if let Some(label) = label {
                    self.at(label);
                }
                self.boxed(")[", blocks);
            }
            BlockKind::Solution { exercise, blocks } => {
                match self.book.config.solutions {
                    Solutions::Collapsed => {
                        let title = reference::solution_title(self.section(), *exercise);
                        self.boxed(&format!("#b.solution({})[", quoted(&title)), blocks);
                    }
                    Solutions::Hidden => walk_blocks(blocks, &mut |block| {
                        self.cells +=
                            usize::from(matches!(block.kind, BlockKind::Cell(_)));
                    }),
                }
            }
            BlockKind::Tabs(tabs) => {
                for tab in tabs {
                    let title = quoted(&reference::tab_title(&tab.names));
                    self.boxed(&format!("#b.tab({title})["), &tab.blocks);
                    self.text.push('\n');
                }
            }
            BlockKind::Toc(toc) => {
                for line in reference::listed(self.book, self.index, toc) {
                    let to = self.reachable(line.section, &line.anchor);
                    let number = line.number.as_deref().map_or("none".into(), quoted);
                    let _ = writeln!(
                        self.text,
                        "#b.listed({}, {number}, {})[{}]",
                        line.level,
                        quoted(&to),
                        escape::text(&line.title)
                    );
                }
            }
            BlockKind::Glossary(terms) => {
                for term in terms {
                    self.text.push_str("#b.term(");
                    self.text.push_str(&quoted(&term.name));
                    self.at(&Term::label(&term.name));
                    self.text.push_str(")[");
                    self.inlines(&term.text);
                    self.text.push_str("]\n");
                }
            }
            BlockKind::Rule => self.text.push_str("#b.rule()"),
            // Notes stand where they are used; HTML is for the site.
            BlockKind::Footnote { .. } | BlockKind::Html(_) => {}
        }
    }

    fn boxed(&mut self, open: &str, blocks: &[Block]) {
        self.boxes += 1;
        self.text.push_str(open);
        self.text.push('\n');
        self.blocks(blocks);
        self.text.push(']');
        self.boxes -= 1;
    }

    /// The argument `number` of a block that has one.
    fn number(&mut self, span: Span) {
        if let Some(number) = self.section().numbers.get(&span.start) {
            let _ = write!(self.text, ", number: {}", quoted(number));
        }
    }

    /// The argument `at` of a place that can be linked to.
    fn at(&mut self, anchor: &str) {
        let at = place(self.section(), anchor);
        if self.placed.insert(at.clone()) {
            let _ = write!(self.text, ", at: {}", quoted(&at));
        }
    }

    fn equation(&mut self, latex: &str, label: Option<&str>, span: Span) {
        let _ = write!(self.text, "#b.equation(alt: {}", quoted(latex));
        self.number(span);
        if let Some(label) = label {
            self.at(label);
        }
        if latex.len() <= SHORT {
            self.text.push_str(", is-short: true");
        }
        self.text.push_str(")[");
        self.formula(latex, span);
        self.text.push(']');
    }

    /// Up to the bracket in which the body stands.
    fn figure_start(
        &mut self,
        kind: TargetKind,
        label: Option<&str>,
        caption: &[Inline],
        span: Span,
        placement: &str,
    ) {
        let _ = write!(self.text, "#b.figure(kind: {}", quoted(reference::kind(kind)));
        self.number(span);
        // What a box holds stays in it.
        if self.boxes == 0 && placement != IN_TEXT {
            let _ = write!(self.text, ", placement: {placement}");
        }
        if let Some(label) = label {
            self.at(label);
        }
        if !caption.is_empty() {
            self.text.push_str(", caption: [");
            self.inlines(caption);
            self.text.push(']');
        }
        self.text.push_str(")[");
    }

    fn image_block(
        &mut self,
        path: &str,
        alt: &str,
        [width, height]: [&Option<String>; 2],
        span: Span,
    ) {
        let Some(file) = self.image(path, span) else {
            // An image of the web: paper shows its words and its address.
            let _ = write!(self.text, "#b.web({})[{}]", quoted(path), escape::text(alt));
            return;
        };
        let _ = write!(self.text, "#b.picture({}, alt: {}", quoted(&file), quoted(alt));
        let natural = match file.ends_with(".svg") {
            true => self.shared.files.get(&file).and_then(|bytes| {
                let width = picture::width(std::str::from_utf8(bytes).ok()?)?;
                Some(format!("{width}pt"))
            }),
            false => None,
        };
        let length =
            |written: &Option<String>| written.as_deref().and_then(picture::length);
        let height = length(height);
        let width = length(width).or(if height.is_none() { natural } else { None });
        for (name, value) in [("width", width), ("height", height)] {
            if let Some(value) = value {
                let _ = write!(self.text, ", {name}: {value}");
            }
        }
        self.text.push(')');
    }

    fn table(
        &mut self,
        align: &[Align],
        head: &[Vec<Inline>],
        rows: &[Vec<Vec<Inline>>],
    ) {
        self.text.push_str("#b.table(\n  align: (");
        for align in align {
            self.text.push_str(match align {
                Align::None | Align::Left => "left, ",
                Align::Center => "center, ",
                Align::Right => "right, ",
            });
        }
        self.text.push_str("),\n  head: (");
        self.row(head);
        self.text.push_str("),\n");
        for row in rows {
            self.text.push_str("  (");
            self.row(row);
            self.text.push_str("),\n");
        }
        self.text.push(')');
    }

    fn row(&mut self, cells: &[Vec<Inline>]) {
        for cell in cells {
            self.text.push('[');
            self.inlines(cell);
            self.text.push_str("], ");
        }
    }

    fn list(&mut self, start: Option<u64>, items: &[Vec<Block>]) {
        // An item of one paragraph, perhaps with a list below it, is set tightly.
        let is_tight = items.iter().all(|blocks| {
            let mut blocks = blocks.iter();
            let first =
                blocks.next().is_none_or(|b| matches!(b.kind, BlockKind::Paragraph(_)));
            first && blocks.all(|b| matches!(b.kind, BlockKind::List { .. }))
        });
        match start {
            None => {
                let _ = write!(self.text, "#list(tight: {is_tight}");
            }
            Some(start) => {
                let _ = write!(self.text, "#enum(tight: {is_tight}, start: {start}");
            }
        }
        self.boxes += 1;
        for blocks in items {
            self.text.push_str(",\n  [");
            self.body(blocks);
            self.text.push(']');
        }
        self.boxes -= 1;
        self.text.push_str(",\n)");
    }

    fn cell(&mut self, cell: &Cell, span: Span) {
        let outputs = self.outputs.cells.get(self.cells).map_or(&[][..], Vec::as_slice);
        self.cells += 1;
        let attrs = &cell.attrs;
        if attrs.hide {
            return;
        }
        let shows_outputs = !attrs.hide_output && !outputs.is_empty();
        // What a figure's cell printed stays below the code, wherever the figure goes; without a drawing the text
        // is the figure.
        let is_drawn = |output: &Output| {
            matches!(output, Output::Display { .. } | Output::Result { .. })
        };
        let has_drawing = outputs.iter().any(is_drawn);
        let (in_figure, below): (Vec<&Output>, Vec<&Output>) =
            outputs.iter().partition(|output| {
                attrs.caption.is_some() && (!has_drawing || is_drawn(output))
            });
        if !attrs.hide_code {
            let _ = write!(self.text, "#b.cell({}", quoted(&cell.code));
            self.coloured(&cell.code);
            if let Some(save) = &cell.save {
                let library = self.book.config.library.as_ref();
                let name = library.map_or("the crate", |library| library.name.as_str());
                let topic =
                    save.topic.as_ref().map_or(String::new(), |t| format!("::{t}"));
                let _ =
                    write!(self.text, ", saved: {}", quoted(&format!("{name}{topic}")));
            }
            // The label of a cell with a caption is its figure's.
            if let (Some(label), None) = (&attrs.label, &attrs.caption) {
                self.at(label);
            }
            // A figure may stand apart from its code; text may not.
            let is_followed = shows_outputs && !below.is_empty();
            let _ = write!(self.text, ", has-output: {is_followed})");
        }
        if !shows_outputs {
            return;
        }
        if !below.is_empty() {
            self.text.push_str("\n#b.outputs[\n");
            self.outputs(below, cell, span);
            self.text.push(']');
        }
        if let Some(caption) = &attrs.caption {
            self.text.push('\n');
            self.figure_start(
                TargetKind::Figure,
                attrs.label.as_deref(),
                caption,
                span,
                FOOT,
            );
            self.text.push('\n');
            self.outputs(in_figure, cell, span);
            self.text.push(']');
        }
    }

    /// The argument `lines` of Rust code: those of its lines, in pieces with the class of each, for which
    /// typst would have to read the code once more, by a grammar of regular expressions.
    fn coloured(&mut self, code: &str) {
        self.text.push_str(", lines: (");
        // A comment goes over several lines, so each line is cut out of the pieces.
        let mut pieces: Vec<(&str, String)> = Vec::new();
        let mut end = |pieces: &mut Vec<(&str, String)>| {
            self.text.push('(');
            for (class, piece) in pieces.drain(..) {
                let _ = write!(self.text, "({class:?}, {}), ", quoted(&piece));
            }
            self.text.push_str("), ");
        };
        for (class, piece) in rust::tokens(code) {
            for (index, part) in piece.split('\n').enumerate() {
                if index > 0 {
                    end(&mut pieces);
                }
                let part = part.replace('\t', "    ");
                match pieces.last_mut() {
                    _ if part.is_empty() => {}
                    Some((last, all)) if *last == class => all.push_str(&part),
                    _ => pieces.push((class, part)),
                }
            }
        }
        end(&mut pieces);
        self.text.push(')');
    }

    fn outputs<'o>(
        &mut self,
        outputs: impl IntoIterator<Item = &'o Output>,
        cell: &Cell,
        span: Span,
    ) {
        for output in outputs {
            match output {
                Output::Stream { name, text } => self.printed(name, text),
                Output::Display { data } | Output::Result { data } => {
                    self.bundle(data, cell, span)
                }
                Output::Error { text, .. } => self.printed("error", text),
                Output::NotRun { needs } => self.printed("stderr", &not_run(needs)),
            }
        }
    }

    fn printed(&mut self, kind: &str, text: &str) {
        let text = picture::plain(text);
        if !text.is_empty() {
            let _ =
                writeln!(self.text, "#b.printed({}, {})", quoted(kind), quoted(&text));
        }
    }

    /// The richest form that paper can show.
    fn bundle(&mut self, data: &MimeBundle, cell: &Cell, span: Span) {
        let words = cell.attrs.alt.clone();
        let words = words.or_else(|| picture::words(data.get("image/svg+xml")?));
        let words = words.or_else(|| data.get("text/plain").cloned()).unwrap_or_default();
        if let Some(svg) = data.get("image/svg+xml") {
            let width = picture::width(svg).map(|width| format!(", width: {width}pt"));
            let svg = picture::printed(svg).into_bytes();
            return self.drawn("svg", svg, &width.unwrap_or_default(), &words, span);
        }
        for (mime, extension) in
            [("image/png", "png"), ("image/jpeg", "jpg"), ("image/gif", "gif")]
        {
            let Some(content) = data.get(mime) else { continue };
            let content: String = content.split_whitespace().collect();
            if let Ok(bytes) = STANDARD.decode(content) {
                return self.drawn(extension, bytes, "", &words, span);
            }
        }
        let text = data.get("text/plain").or_else(|| data.get("text/markdown"));
        if let Some(text) = text {
            self.printed("value", text);
        }
    }

    fn drawn(
        &mut self,
        extension: &str,
        bytes: Vec<u8>,
        size: &str,
        words: &str,
        span: Span,
    ) {
        self.pictures += 1;
        let path =
            format!("/output/{}/{}.{extension}", self.section().slug, self.pictures);
        let (file, alt) = (quoted(&path), quoted(words));
        let _ = writeln!(self.text, "#b.picture({file}, alt: {alt}{size})");
        self.picture_file(path, bytes, span);
    }

    /// The call that prints the table of contents.
    pub(super) fn contents(&mut self) {
        self.text.push_str("#b.contents(\n");
        let book = self.book;
        for (index, section) in book.sections.iter().enumerate() {
            self.index = index;
            if let Some((number, title)) = book.part(index) {
                let (at, title) = (quoted(&part_place(&number)), escape::text(title));
                let number = quoted(&number);
                let _ = writeln!(
                    self.text,
                    "  (level: 0, number: {number}, to: {at}, title: [{title}]),"
                );
            }
            let level = title_level(section);
            let number = section.number.as_deref();
            self.entry(level, number, Some(&section.slug), &section.document.title);
            for block in &section.document.blocks {
                let BlockKind::Heading { level: 2, text, anchor, .. } = &block.kind
                else {
                    continue;
                };
                let number = section.numbers.get(&block.span.start).map(String::as_str);
                if section.role == Role::Section && number.is_some() {
                    self.entry(level + 1, number, Some(&place(section, anchor)), text);
                }
            }
            for planned in book.planned.iter().filter(|planned| planned.after == index) {
                let number = quoted(&planned.number);
                let title = escape::text(&planned.title);
                let _ = writeln!(
                    self.text,
                    "  (level: 2, number: {number}, to: none, title: [{title}]),"
                );
            }
        }
        let ends = [
            (!book.references.is_empty(), REFERENCES, "References"),
            (!reference::index(book).is_empty(), INDEX, "Index"),
        ];
        for (_, at, title) in ends.into_iter().filter(|(is_there, ..)| *is_there) {
            let at = quoted(at);
            let _ = writeln!(
                self.text,
                "  (level: 1, number: none, to: {at}, title: [{title}]),"
            );
        }
        self.text.push_str(")\n");
    }

    fn entry(
        &mut self,
        level: u8,
        number: Option<&str>,
        to: Option<&str>,
        title: &[Inline],
    ) {
        let number = number.map_or("none".into(), quoted);
        let to = to.map_or("none".into(), quoted);
        let _ =
            write!(self.text, "  (level: {level}, number: {number}, to: {to}, title: [");
        self.inlines(title);
        self.text.push_str("]),\n");
    }
}
