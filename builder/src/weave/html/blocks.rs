//! Blocks and running text as HTML.

use super::highlight::highlight;
use super::{Heading, escape, root_of, svg};
use crate::book::{Book, Section, TargetKind};
use crate::config::Solutions;
use crate::diagnostic::Diagnostic;
use crate::document::inline::{plain_text, walk_blocks};
use crate::document::{
    Align, Block, BlockKind, Cell, Inline, InlineKind, RefStyle, Span, Tab, Term, Toc,
};
use crate::run::output::{MimeBundle, Output, SectionOutputs, not_run};
use crate::weave::OutFile;
use crate::weave::image::Image;
use crate::weave::math::MathMl;
use crate::weave::reference::{self, Words};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use math_core::MathDisplay;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A page being written.
pub(in crate::weave) struct Page<'a> {
    book: &'a Book,
    index: usize,
    outputs: &'a SectionOutputs,
    math: &'a MathMl,
    problems: &'a mut Vec<Diagnostic>,
    html: String,
    contents: Vec<Heading>,
    /// Footnotes in the order of their first use.
    notes: Vec<String>,
    /// Words of the book's index that have their place on this page.
    indexed: BTreeSet<String>,
    tabs: usize,
    cells: usize,
    drawings: usize,
    format: Format,
    /// Pictures beside the page.
    pictures: Vec<OutFile>,
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::weave) enum Format {
    /// A page of the site.
    Site,
    /// A page of an e-book: XML, with its pictures beside it, and no HTML by the author.
    Epub,
}

impl Format {
    /// How files of pages end.
    fn extension(self) -> &'static str {
        match self {
            Self::Site => "html",
            Self::Epub => "xhtml",
        }
    }
}

/// A finished page, without what the template adds.
pub(in crate::weave) struct Body {
    pub(in crate::weave) title: String,
    pub(in crate::weave) html: String,
    pub(in crate::weave) contents: Vec<Heading>,
    pub(in crate::weave) pictures: Vec<OutFile>,
}

impl<'a> Page<'a> {
    pub(in crate::weave) fn new(
        book: &'a Book,
        index: usize,
        outputs: &'a SectionOutputs,
        format: Format,
        math: &'a MathMl,
        problems: &'a mut Vec<Diagnostic>,
    ) -> Self {
        Self {
            book,
            index,
            outputs,
            math,
            problems,
            html: String::new(),
            contents: Vec::new(),
            notes: Vec::new(),
            indexed: BTreeSet::new(),
            tabs: 0,
            cells: 0,
            drawings: 0,
            format,
            pictures: Vec::new(),
        }
    }

    pub(in crate::weave) fn body(mut self) -> Body {
        let section = self.section();
        let title = self.inlines(&section.document.title);
        self.blocks(&section.document.blocks);
        self.footnotes();
        let Self { html, contents, pictures, .. } = self;
        Body { title, html, contents, pictures }
    }

    /// The list of references; none if nothing is cited.
    pub(in crate::weave) fn references(mut self) -> Option<String> {
        if self.book.references.is_empty() {
            return None;
        }
        self.html.push_str("<ul class=\"references\">\n");
        for entry in &self.book.references {
            let text = self.inlines(&entry.entry);
            let _ = writeln!(self.html, "<li id=\"{}\">{text}</li>", escape(&entry.key));
        }
        self.html.push_str("</ul>\n");
        Some(self.html)
    }

    fn section(&self) -> &'a Section {
        &self.book.sections[self.index]
    }

    fn number(&self, span: Span) -> Option<&'a str> {
        self.section().numbers.get(&span.start).map(String::as_str)
    }

    fn blocks(&mut self, blocks: &'a [Block]) {
        for block in blocks {
            self.block(block);
        }
    }

    fn block(&mut self, block: &'a Block) {
        let span = block.span;
        match &block.kind {
            BlockKind::Heading { level, text, anchor, .. } => {
                self.heading(*level, text, anchor, self.number(span));
            }
            BlockKind::Paragraph(text) => {
                let text = self.inlines(text);
                let _ = writeln!(self.html, "<p>{text}</p>");
            }
            BlockKind::Cell(cell) => self.cell(cell, span),
            BlockKind::Code { language, code } => self.code(language, code),
            BlockKind::Math { latex, label } => {
                self.equation(latex, label.as_deref(), span)
            }
            BlockKind::Figure { path, alt, caption, label, width, height } => {
                let size = [("width", width), ("height", height)]
                    .into_iter()
                    .filter_map(|(name, value)| {
                        Some(format!("{name}:{}", value.as_ref()?))
                    })
                    .collect::<Vec<_>>()
                    .join(";");
                let image = self.image(path, alt, &size);
                let id = id(label.as_deref());
                let _ = writeln!(self.html, "<figure{id}>\n{image}");
                self.caption("figcaption", TargetKind::Figure, caption, span);
                self.html.push_str("</figure>\n");
            }
            BlockKind::Table { align, head, rows, caption, label } => {
                let _ = writeln!(
                    self.html,
                    "<div class=\"table\"{}><table>",
                    id(label.as_deref())
                );
                if !caption.is_empty() {
                    self.caption("caption", TargetKind::Table, caption, span);
                }
                self.table(align, head, rows);
                self.html.push_str("</table></div>\n");
            }
            BlockKind::List { start, items } => self.list(*start, items),
            BlockKind::Quote(blocks) => {
                self.wrapped("<blockquote>", blocks, "</blockquote>")
            }
            BlockKind::Admonition { kind, blocks } => {
                let kind = escape(kind);
                let open =
                    format!("<aside class=\"note {kind}\"><p class=\"kind\">{kind}</p>");
                self.wrapped(&open, blocks, "</aside>");
            }
            BlockKind::Exercise { label, blocks } => {
                let number = escape(self.number(span).unwrap_or_default());
                let id = id(label.as_deref());
                let open = format!(
                    "<div class=\"exercise\"{id}><span class=\"number\">{number}</span><div>"
                );
                self.wrapped(&open, blocks, "</div></div>");
            }
            BlockKind::Solution { exercise, blocks } => {
                match self.book.config.solutions {
                    Solutions::Collapsed => {
                        let title =
                            escape(&reference::solution_title(self.section(), *exercise));
                        let open = format!(
                            "<details class=\"solution\"><summary>{title}</summary>"
                        );
                        self.wrapped(&open, blocks, "</details>");
                    }
                    Solutions::Hidden => self.skip_cells(blocks),
                }
            }
            BlockKind::Tabs(tabs) => self.tabs(tabs),
            BlockKind::Toc(toc) => self.toc(toc),
            BlockKind::Glossary(terms) => self.glossary(terms),
            BlockKind::Rule => self.html.push_str("<hr/>\n"),
            BlockKind::Html(html) => {
                if self.format == Format::Site {
                    self.html.push_str(html);
                    self.html.push('\n');
                }
            }
            BlockKind::Footnote { .. } => {}
        }
    }

    fn wrapped(&mut self, open: &str, blocks: &'a [Block], close: &str) {
        let _ = writeln!(self.html, "{open}");
        self.blocks(blocks);
        let _ = writeln!(self.html, "{close}");
    }

    /// Outputs are counted in the chapter's order, shown or not.
    fn skip_cells(&mut self, blocks: &[Block]) {
        walk_blocks(blocks, &mut |block| {
            self.cells += usize::from(matches!(block.kind, BlockKind::Cell(_)));
        });
    }

    /// Tabs that work without a script: buttons of which one is pressed.
    fn tabs(&mut self, tabs: &'a [Tab]) {
        if self.format == Format::Epub {
            for tab in tabs {
                let title = escape(&reference::tab_title(&tab.names));
                let open =
                    format!("<div class=\"tab\"><p class=\"tab-title\">{title}</p>");
                self.wrapped(&open, &tab.blocks, "</div>");
            }
            return;
        }
        self.tabs += 1;
        let group = format!("tabs-{}", self.tabs);
        self.html.push_str("<div class=\"tabs\">\n");
        for (number, tab) in tabs.iter().enumerate() {
            let title = escape(&reference::tab_title(&tab.names));
            let checked = if number == 0 { " checked" } else { "" };
            let open = format!(
                "<label><input type=\"radio\" name=\"{group}\"{checked}/>{title}</label>\n<div class=\"tab\">"
            );
            self.wrapped(&open, &tab.blocks, "</div>");
        }
        self.html.push_str("</div>\n");
    }

    fn toc(&mut self, toc: &Toc) {
        self.html.push_str("<ul class=\"toc\">\n");
        for line in reference::listed(self.book, self.index, toc) {
            let number = line.number.map_or(String::new(), |number| {
                format!("<span class=\"number\">{}</span> ", escape(&number))
            });
            let address = escape(&self.address(line.section, &line.anchor));
            let (level, title) = (line.level, escape(&line.title));
            let _ = writeln!(
                self.html,
                "<li class=\"level-{level}\"><a href=\"{address}\">{number}{title}</a></li>"
            );
        }
        self.html.push_str("</ul>\n");
    }

    fn glossary(&mut self, terms: &[Term]) {
        self.html.push_str("<dl class=\"glossary\">\n");
        for term in terms {
            let (label, name) = (escape(&Term::label(&term.name)), escape(&term.name));
            let text = self.inlines(&term.text);
            let _ = writeln!(self.html, "<dt id=\"{label}\">{name}</dt><dd>{text}</dd>");
        }
        self.html.push_str("</dl>\n");
    }

    /// The book's index; none if no word is marked.
    pub(in crate::weave) fn word_index(mut self) -> Option<String> {
        let words = reference::index(self.book);
        if words.is_empty() {
            return None;
        }
        self.html.push_str("<ul class=\"index\">\n");
        let mut group = "";
        for (word, sections) in &words {
            let (name, class) = match word.split_once('!') {
                Some((parent, name)) => {
                    if parent != group && !words.iter().any(|(other, _)| other == parent)
                    {
                        let _ = writeln!(self.html, "<li>{}</li>", escape(parent));
                    }
                    group = parent;
                    (name, " class=\"below\"")
                }
                None => {
                    group = word;
                    (word.as_str(), "")
                }
            };
            let links = sections.iter().map(|&index| {
                let section = &self.book.sections[index];
                let title = plain_text(&section.document.title);
                let shown = section.number.clone().unwrap_or(title);
                let anchor = escape(&reference::index_anchor(word));
                format!(
                    "<a href=\"{}.{}#{anchor}\">{}</a>",
                    section.slug,
                    self.format.extension(),
                    escape(&shown)
                )
            });
            let links = links.collect::<Vec<_>>().join(", ");
            let _ = writeln!(self.html, "<li{class}>{} {links}</li>", escape(name));
        }
        self.html.push_str("</ul>\n");
        Some(self.html)
    }

    fn heading(
        &mut self,
        level: u8,
        text: &[Inline],
        anchor: &str,
        number: Option<&str>,
    ) {
        let shown = self.inlines(text);
        let anchor = escape(anchor);
        let mark = number
            .map_or(String::new(), |n| format!("<span class=\"number\">{n}</span> "));
        let _ = writeln!(
            self.html,
            "<h{level} id=\"{anchor}\">{mark}{shown} \
             <a class=\"anchor\" href=\"#{anchor}\" aria-label=\"Link to this section\">#</a></h{level}>"
        );
        self.contents.push(Heading {
            anchor,
            number: number.map(str::to_owned),
            title: plain_text(text),
            level,
        });
    }

    fn caption(&mut self, element: &str, kind: TargetKind, text: &[Inline], span: Span) {
        let text = self.inlines(text);
        let number = self.number(span).map_or(String::new(), |number| {
            let kind = reference::kind(kind);
            format!("<span class=\"number\">{kind} {number}</span> ")
        });
        if !(text.is_empty() && number.is_empty()) {
            let _ = writeln!(self.html, "<{element}>{number}{text}</{element}>");
        }
    }

    fn code(&mut self, language: &str, code: &str) {
        let shown = highlight(language, code);
        let language = escape(language);
        let _ = writeln!(
            self.html,
            "<div class=\"code\"><pre><code class=\"language-{language}\">{shown}\n</code></pre></div>"
        );
    }

    fn equation(&mut self, latex: &str, label: Option<&str>, span: Span) {
        let formula = self.formula(latex, span, MathDisplay::Block);
        let number = self.number(span).map_or(String::new(), |number| {
            format!("<span class=\"equation-number\">({number})</span>")
        });
        let _ = writeln!(
            self.html,
            "<div class=\"equation\"{}><div class=\"formula\">{formula}</div>{number}</div>",
            id(label)
        );
    }

    fn formula(&mut self, latex: &str, span: Span, display: MathDisplay) -> String {
        let document = &self.section().document;
        match self.math.convert(document, span, latex, display) {
            Ok(mathml) => mathml,
            Err(problem) => {
                self.problems.push(*problem);
                String::new()
            }
        }
    }

    fn cell(&mut self, cell: &'a Cell, span: Span) {
        let outputs = self.outputs.cells.get(self.cells).map_or(&[][..], Vec::as_slice);
        self.cells += 1;
        if cell.attrs.hide {
            return;
        }
        let _ = writeln!(self.html, "<div class=\"cell\" id=\"{}\">", escape(&cell.id));
        if !cell.attrs.hide_code {
            if let Some(save) = &cell.save {
                let name =
                    self.book.config.library.as_ref().map_or("the crate", |l| &l.name);
                let topic =
                    save.topic.as_ref().map_or(String::new(), |t| format!("::{t}"));
                let place = escape(&format!("{name}{topic}"));
                let _ = writeln!(
                    self.html,
                    "<p class=\"saved\">saved in <code>{place}</code></p>"
                );
            }
            self.code("rust", &cell.code);
        }
        if !cell.attrs.hide_output {
            match &cell.attrs.caption {
                Some(caption) => {
                    self.html.push_str("<figure>\n");
                    self.outputs(outputs, cell);
                    self.caption("figcaption", TargetKind::Figure, caption, span);
                    self.html.push_str("</figure>\n");
                }
                None => self.outputs(outputs, cell),
            }
        }
        self.html.push_str("</div>\n");
    }

    fn outputs(&mut self, outputs: &[Output], cell: &Cell) {
        if outputs.is_empty() {
            return;
        }
        let lines: usize = outputs.iter().map(printed_lines).sum();
        let is_long = lines > LONG;
        self.html.push_str("<div class=\"outputs\">\n");
        if is_long {
            let _ = writeln!(
                self.html,
                "<details class=\"long\"><summary>{lines} lines of output</summary>"
            );
        }
        for output in outputs {
            match output {
                Output::Stream { name, text } => {
                    let text = escape(text.trim_end_matches('\n'));
                    let _ = writeln!(
                        self.html,
                        "<pre class=\"{}\">{text}</pre>",
                        escape(name)
                    );
                }
                Output::Display { data } | Output::Result { data } => {
                    self.bundle(data, cell)
                }
                Output::Error { text, .. } => {
                    let text = escape(text.trim_end_matches('\n'));
                    let _ = writeln!(self.html, "<pre class=\"error\">{text}</pre>");
                }
                Output::NotRun { needs } => {
                    let text = escape(&not_run(needs));
                    let _ = writeln!(self.html, "<pre class=\"stderr\">{text}</pre>");
                }
            }
        }
        if is_long {
            self.html.push_str("</details>\n");
        }
        self.html.push_str("</div>\n");
    }

    /// The richest form that a page can show.
    fn bundle(&mut self, data: &MimeBundle, cell: &Cell) {
        let alt = cell.attrs.alt.as_deref().unwrap_or("");
        let is_page = |html: &&String| {
            let page = || format!("<div>{html}</div>");
            self.format == Format::Site || roxmltree::Document::parse(&page()).is_ok()
        };
        if let Some(html) = data.get("text/html").filter(is_page) {
            let _ = writeln!(self.html, "<div class=\"rich\">{html}</div>");
        } else if let Some(drawing) = data.get("image/svg+xml") {
            let drawing = self.drawing(drawing, alt, "");
            let _ = writeln!(self.html, "<div class=\"drawing\">{drawing}</div>");
        } else if let Some((mime, content)) =
            data.iter().find(|(m, _)| m.starts_with("image/"))
        {
            let content = content.replace('\n', "");
            let address = match (self.format, BASE64_STANDARD.decode(&content)) {
                (Format::Epub, Ok(bytes)) => self.beside(mime, bytes),
                _ => format!("data:{mime};base64,{content}"),
            };
            let (alt, address) = (escape(alt), escape(&address));
            let _ = writeln!(
                self.html,
                "<div class=\"drawing\"><img alt=\"{alt}\" src=\"{address}\"/></div>"
            );
        } else if let Some(text) =
            data.get("text/plain").or_else(|| data.get("text/markdown"))
        {
            let text = escape(text.trim_end_matches('\n'));
            let _ = writeln!(self.html, "<pre class=\"value\">{text}</pre>");
        }
    }

    /// Puts a picture beside the page; gives the way to it.
    fn beside(&mut self, mime: &str, bytes: Vec<u8>) -> String {
        let slug = &self.section().slug;
        let extension = mime.rsplit('/').next().unwrap_or("png");
        let path = format!("{slug}-{}.{extension}", self.pictures.len() + 1);
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        self.pictures.push(OutFile { path: path.into(), bytes });
        name
    }

    /// A drawing inside the page, where it takes the page's colours; `alt` replaces its own words.
    fn drawing(&mut self, file: &str, alt: &str, style: &str) -> String {
        self.drawings += 1;
        let Some(svg) = svg::inlined(file, &format!("d{}", self.drawings)) else {
            return String::new();
        };
        let mut attributes = String::from(" class=\"figure\"");
        let svg = match alt {
            "" => svg,
            alt => {
                let _ =
                    write!(attributes, " role=\"img\" aria-label=\"{}\"", escape(alt));
                svg::without_words(&svg)
            }
        };
        if !style.is_empty() {
            let _ = write!(attributes, " style=\"{}\"", escape(style));
        }
        svg.replacen("<svg", &format!("<svg{attributes}"), 1)
    }

    fn image(&mut self, path: &str, alt: &str, style: &str) -> String {
        if let Some(image) = Image::read(self.book, self.section(), path) {
            if image.mime() == "image/svg+xml" {
                return self.drawing(&String::from_utf8_lossy(&image.bytes), alt, style);
            }
        }
        let style = match style {
            "" => String::new(),
            style => format!(" style=\"{}\"", escape(style)),
        };
        let lazy = match self.format {
            Format::Site => " loading=\"lazy\"",
            Format::Epub => "",
        };
        format!("<img src=\"{}\" alt=\"{}\"{style}{lazy}/>", escape(path), escape(alt))
    }

    fn table(
        &mut self,
        align: &[Align],
        head: &[Vec<Inline>],
        rows: &[Vec<Vec<Inline>>],
    ) {
        let style = |column: usize| match align.get(column) {
            Some(Align::Center) => " class=\"center\"",
            Some(Align::Right) => " class=\"right\"",
            _ => "",
        };
        self.html.push_str("<thead><tr>");
        for (column, text) in head.iter().enumerate() {
            let text = self.inlines(text);
            let _ = write!(self.html, "<th{}>{text}</th>", style(column));
        }
        self.html.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.html.push_str("<tr>");
            for (column, text) in row.iter().enumerate() {
                let text = self.inlines(text);
                let _ = write!(self.html, "<td{}>{text}</td>", style(column));
            }
            self.html.push_str("</tr>\n");
        }
        self.html.push_str("</tbody>\n");
    }

    fn list(&mut self, start: Option<u64>, items: &'a [Vec<Block>]) {
        let (open, close) = match start {
            None => ("<ul>".into(), "</ul>"),
            Some(1) => ("<ol>".into(), "</ol>"),
            Some(start) => (format!("<ol start=\"{start}\">"), "</ol>"),
        };
        let _ = writeln!(self.html, "{open}");
        for item in items {
            self.html.push_str("<li>");
            match item.as_slice() {
                // An item of one paragraph is set tightly.
                [Block { kind: BlockKind::Paragraph(text), .. }, rest @ ..]
                    if rest.iter().all(|b| matches!(b.kind, BlockKind::List { .. })) =>
                {
                    let text = self.inlines(text);
                    self.html.push_str(&text);
                    self.blocks(rest);
                }
                blocks => self.blocks(blocks),
            }
            self.html.push_str("</li>\n");
        }
        let _ = writeln!(self.html, "{close}");
    }

    fn footnotes(&mut self) {
        if self.notes.is_empty() {
            return;
        }
        self.html.push_str("<section class=\"footnotes\" aria-label=\"Notes\"><ol>\n");
        let section = self.section();
        let mut done = 0;
        // A note may itself refer to another one.
        while let Some(name) = self.notes.get(done).cloned() {
            done += 1;
            let blocks =
                section.document.blocks.iter().find_map(|block| match &block.kind {
                    BlockKind::Footnote { name: other, blocks } if *other == name => {
                        Some(blocks)
                    }
                    _ => None,
                });
            let name = escape(&name);
            let _ = writeln!(self.html, "<li id=\"fn-{name}\">");
            self.blocks(blocks.map_or(&[], Vec::as_slice));
            let _ = writeln!(
                self.html,
                "<a href=\"#fnref-{name}\" class=\"back\" aria-label=\"Back to the text\">↩</a></li>"
            );
        }
        self.html.push_str("</ol></section>\n");
    }

    fn inlines(&mut self, inlines: &[Inline]) -> String {
        inlines.iter().map(|inline| self.inline(inline)).collect()
    }

    fn inline(&mut self, inline: &Inline) -> String {
        match &inline.kind {
            InlineKind::Text(text) => escape(text),
            InlineKind::Code(code) => format!("<code>{}</code>", escape(code)),
            InlineKind::Math(latex) => {
                self.formula(latex, inline.span, MathDisplay::Inline)
            }
            InlineKind::Emph(text) => format!("<em>{}</em>", self.inlines(text)),
            InlineKind::Strong(text) => {
                format!("<strong>{}</strong>", self.inlines(text))
            }
            InlineKind::Strike(text) => format!("<del>{}</del>", self.inlines(text)),
            InlineKind::Link { target, text } => {
                let text = self.inlines(text);
                let address = match self.book.linked_section(self.index, target) {
                    Some(section) => {
                        let anchor =
                            target.split_once('#').map_or("", |(_, anchor)| anchor);
                        self.address(section, anchor)
                    }
                    None => target.clone(),
                };
                format!("<a href=\"{}\">{text}</a>", escape(&address))
            }
            InlineKind::Image { path, alt } => self.image(path, alt, ""),
            InlineKind::Ref { style, label } => self.reference(*style, label),
            InlineKind::Cite { textual, keys } => self.citation(*textual, keys),
            InlineKind::FootnoteRef(name) => self.footnote(name),
            InlineKind::Index(term) => match self.indexed.insert(term.clone()) {
                true => format!(
                    "<span id=\"{}\"></span>",
                    escape(&reference::index_anchor(term))
                ),
                false => String::new(),
            },
            InlineKind::LineBreak => "<br/>\n".into(),
            InlineKind::SoftBreak => "\n".into(),
            InlineKind::Html(html) => match self.format {
                Format::Site => html.clone(),
                Format::Epub => String::new(),
            },
        }
    }

    fn footnote(&mut self, name: &str) -> String {
        let known = self.notes.iter().position(|other| other == name);
        let number = known.unwrap_or_else(|| {
            self.notes.push(name.to_owned());
            self.notes.len() - 1
        });
        let id = match known {
            None => format!(" id=\"fnref-{}\"", escape(name)),
            Some(_) => String::new(),
        };
        format!("<sup><a{id} href=\"#fn-{}\">{}</a></sup>", escape(name), number + 1)
    }

    fn reference(&mut self, style: RefStyle, label: &str) -> String {
        let Some(target) = self.book.labels.get(label) else { return escape(label) };
        let words = match reference::words(target, style) {
            Words::Number(words) => escape(&words).replace(' ', "&nbsp;"),
            Words::Title(title) => escape(&plain_text(title)),
        };
        let address = self.address(target.section, &target.anchor);
        let note = match (target.section == self.index, target.kind) {
            // What stands on the same page, or cannot be said in words, is shown itself.
            (true, _) | (_, TargetKind::Equation) => String::new(),
            (false, kind) => {
                let name = format!("{} {}", reference::kind(kind), target.number);
                let title = plain_text(&target.title);
                format!(" data-note=\"{}\"", escape(&format!("{}: {title}", name.trim())))
            }
        };
        format!("<a class=\"ref\" href=\"{}\"{note}>{words}</a>", escape(&address))
    }

    fn citation(&mut self, textual: bool, keys: &[String]) -> String {
        let root = root_of(&self.section().slug);
        let extension = self.format.extension();
        let entries = reference::cited(self.book, keys).into_iter().map(|entry| {
            let words = match textual {
                true => format!("{} ({})", entry.authors, entry.year),
                false => format!("{}, {}", entry.authors, entry.year),
            };
            let (key, words) = (escape(&entry.key), escape(&words));
            let note = escape(&plain_text(&entry.entry));
            format!(
                "<a class=\"cite\" href=\"{root}references.{extension}#{key}\" data-note=\"{note}\">{words}</a>"
            )
        });
        let entries = entries.collect::<Vec<_>>().join("; ");
        if textual { entries } else { format!("({entries})") }
    }

    /// The way from this page to a place in the book.
    fn address(&self, section: usize, anchor: &str) -> String {
        let hash = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
        if section == self.index && !hash.is_empty() {
            return hash;
        }
        let root = root_of(&self.section().slug);
        let extension = self.format.extension();
        format!("{root}{}.{extension}{hash}", self.book.sections[section].slug)
    }
}

/// Printed outputs of more lines are folded, so that the page goes on.
const LONG: usize = 60;

fn printed_lines(output: &Output) -> usize {
    match output {
        Output::Stream { text, .. } | Output::Error { text, .. } => text.lines().count(),
        Output::Display { data } | Output::Result { data } => match data.keys().next() {
            Some(mime) if data.len() == 1 && mime == "text/plain" => {
                data[mime].lines().count()
            }
            _ => 0,
        },
        Output::NotRun { .. } => 1,
    }
}

fn id(label: Option<&str>) -> String {
    label.map_or(String::new(), |label| format!(" id=\"{}\"", escape(label)))
}
