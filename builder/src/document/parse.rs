//! Markdown → [`Document`].
//!
//! Three steps: find what markdown must not read ([`scan`](super::scan)); let pulldown-cmark read the
//! masked text; build the tree, putting formulas and roles back by their offsets. Labels and sizes
//! are attached last, each to the block before it.

use super::scan::{self, Atom, AtomKind, Finding, MASK, Region, Role, Scan};
use super::{
    Align, Block, BlockKind, Cell, Document, Inline, InlineKind, RefStyle, Span, Tab,
    Term, Toc,
};
use super::{fence, inline};
use crate::diagnostic::Diagnostic;
use pulldown_cmark::{
    BlockQuoteKind, CodeBlockKind, CowStr, Event, Options, Tag, TagEnd,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

/// Deeper nesting than any book's is not read, so that no input can exhaust the stack.
const MAX_DEPTH: usize = 40;

/// So many mistakes of a chapter's formulas and roles are listed; more would bury the first.
const MOST: usize = 200;

/// Reads a chapter. `path` is what diagnostics call it.
///
/// Never fails: what cannot be understood is left as text, and said in a diagnostic.
pub fn parse(
    path: impl Into<PathBuf>,
    source: impl Into<String>,
) -> (Document, Vec<Diagnostic>) {
    let source = source.into();
    let scan = scan::scan(&source, &opaque_spans(&source));
    let masked = scan.mask(&source);
    let document =
        Document { path: path.into(), source: source.clone(), ..Document::default() };
    let mut reader = Reader {
        source: &source,
        masked: &masked,
        atoms: &scan.atoms,
        events: events(&masked, 0),
        at: 0,
        depth: 0,
        displayed: BTreeSet::new(),
        footnotes: BTreeSet::new(),
        title: None,
        in_exercises: false,
        document,
        diagnostics: Vec::new(),
    };
    reader.report(&scan.findings);
    let mut blocks = reader.blocks();
    reader.check_footnotes(&scan.footnotes);
    reader.wrap_regions(&mut blocks);
    join_tabs(&mut blocks);
    reader.attach_placements(&mut blocks);
    let Reader { mut document, mut diagnostics, title, .. } = reader;
    let mut names = Names::default();
    if let Some(title) = title {
        document.title = title.0;
    } else {
        let span = Span::new(0..source.lines().next().map_or(0, str::len));
        let message = "the chapter has no title";
        let help = "start it with a heading: `# Title`";
        diagnostics.push(Diagnostic::error(&document, span, message).with_help(help));
    }
    name_blocks(&mut blocks, &mut names);
    document.blocks = blocks;
    diagnostics.sort_by_key(|d| (d.line, d.column));
    (document, diagnostics)
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_GFM
        | Options::ENABLE_SMART_PUNCTUATION
}

type Spanned<'a> = (Event<'a>, Range<usize>);

/// Reads `text`, which stands at byte `offset` of the chapter.
fn events(text: &str, offset: usize) -> Vec<Spanned<'_>> {
    pulldown_cmark::Parser::new_ext(text, options())
        .into_offset_iter()
        .map(|(event, range)| (event, range.start + offset..range.end + offset))
        .collect()
}

/// Code blocks, raw HTML and `<https://…>`, in which nothing is a formula or a role.
fn opaque_spans(source: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = pulldown_cmark::Parser::new_ext(source, options())
        .into_offset_iter()
        .filter(|(event, range)| match event {
            Event::Start(Tag::CodeBlock(_) | Tag::HtmlBlock) => true,
            Event::InlineHtml(_) => true,
            Event::Start(Tag::Link { .. }) => source[range.start..].starts_with('<'),
            _ => false,
        })
        .map(|(_, range)| Span::new(range))
        .collect();
    spans.sort_by_key(|span| span.start);
    spans
}

struct Reader<'a> {
    source: &'a str,
    masked: &'a str,
    atoms: &'a [Atom],
    events: Vec<Spanned<'a>>,
    at: usize,
    depth: usize,
    /// Where displayed formulas start that wait to be lifted out of their paragraph.
    displayed: BTreeSet<usize>,
    /// Where uses of footnotes start.
    footnotes: BTreeSet<usize>,
    title: Option<(Vec<Inline>, Span)>,
    /// Whether the last heading was “Exercises”.
    in_exercises: bool,
    document: Document,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let diagnostic = Diagnostic::error(&self.document, span, message);
        let help = help.into();
        self.diagnostics.push(if help.is_empty() {
            diagnostic
        } else {
            diagnostic.with_help(help)
        });
    }

    fn report(&mut self, findings: &[Finding]) {
        let (shown, more) = findings.split_at(findings.len().min(MOST));
        if let Some(next) = more.first() {
            let message =
                format!("from here on {} more mistakes are not listed", more.len());
            self.diagnostics.push(Diagnostic::error(&self.document, next.span, message));
        }
        for finding in shown {
            self.error(finding.span, &finding.message, &finding.help);
            if !finding.is_error
                && let Some(last) = self.diagnostics.last_mut()
            {
                last.severity = crate::diagnostic::Severity::Warning;
            }
        }
    }

    fn next(&mut self) -> Option<Spanned<'a>> {
        let event = self.events.get(self.at).cloned();
        self.at += 1;
        event
    }

    /// Skips to the end of the element that has just been opened.
    fn skip_element(&mut self) {
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some((Event::Start(_), _)) => depth += 1,
                Some((Event::End(_), _)) => depth -= 1,
                Some(_) => {}
                None => break,
            }
        }
    }

    /// Whether an element opened at `range` is nested too deeply; it is skipped then.
    fn is_too_deep(&mut self, range: &Range<usize>) -> bool {
        if self.depth < MAX_DEPTH {
            return false;
        }
        let message = format!("more than {MAX_DEPTH} levels of nesting are not read");
        self.error(Span::new(range.start..range.start + 1), message, "");
        self.skip_element();
        true
    }

    /// Reads blocks up to the end of the enclosing element, which it consumes.
    fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        self.depth += 1;
        while let Some((event, range)) = self.next() {
            match event {
                Event::End(_) => break,
                Event::Start(tag) if is_block(&tag) => {
                    if !self.is_too_deep(&range) {
                        self.block(tag, range, &mut blocks);
                    }
                }
                Event::Rule => {
                    blocks.push(Block { kind: BlockKind::Rule, span: Span::new(range) });
                }
                _ => {
                    // Running text directly in an item of a tight list.
                    self.at -= 1;
                    let start = range.start;
                    let text = self.inlines();
                    let end = text.last().map_or(start, |inline| inline.span.end);
                    self.paragraph(text, Span::new(start..end), &mut blocks);
                }
            }
        }
        self.depth -= 1;
        join_captions(self.source, &mut blocks);
        blocks
    }

    fn block(&mut self, tag: Tag<'a>, range: Range<usize>, blocks: &mut Vec<Block>) {
        let span = Span::new(range);
        let kind = match tag {
            Tag::Paragraph => {
                let text = self.inlines();
                self.next();
                return self.paragraph(text, span, blocks);
            }
            Tag::Heading { level, .. } => match self.heading(level as u8, span) {
                Some(kind) => kind,
                None => return,
            },
            Tag::BlockQuote(kind) => {
                let blocks = self.blocks();
                match kind {
                    None => BlockKind::Quote(blocks),
                    Some(kind) => {
                        BlockKind::Admonition { kind: admonition(kind).into(), blocks }
                    }
                }
            }
            Tag::CodeBlock(kind) => self.code_block(&kind, span),
            Tag::HtmlBlock => {
                let html = self.raw_text();
                if is_comment(&html) {
                    return;
                }
                BlockKind::Html(html)
            }
            Tag::List(start) => {
                let mut items = Vec::new();
                let are_exercises =
                    self.in_exercises && self.depth == 1 && start.is_some();
                while let Some((Event::Start(Tag::Item), range)) = self.next() {
                    let item = self.blocks();
                    if are_exercises {
                        let kind = BlockKind::Exercise { label: None, blocks: item };
                        blocks.push(Block { kind, span: Span::new(range) });
                    } else {
                        items.push(item);
                    }
                }
                if are_exercises {
                    return;
                }
                BlockKind::List { start, items }
            }
            Tag::FootnoteDefinition(name) => {
                BlockKind::Footnote { name: name.into_string(), blocks: self.blocks() }
            }
            Tag::Table(align) => self.table(&align),
            _ => return self.skip_element(),
        };
        blocks.push(Block { kind, span });
    }

    fn heading(&mut self, level: u8, span: Span) -> Option<BlockKind> {
        let mut text = self.inlines();
        self.next();
        self.refuse_displayed(&text);
        let numbered = !strip_unnumbered(&mut text);
        self.in_exercises = inline::plain_text(&text).eq_ignore_ascii_case("exercises");
        if level > 1 {
            let anchor = String::new();
            return Some(BlockKind::Heading {
                level,
                text,
                label: None,
                anchor,
                numbered,
            });
        }
        if self.title.is_none() && self.depth == 1 {
            self.title = Some((text, span));
            return None;
        }
        let help = "a chapter has one title; write `##` for a section of it";
        self.error(span, "a second heading of level 1", help);
        let anchor = String::new();
        Some(BlockKind::Heading { level: 2, text, label: None, anchor, numbered })
    }

    /// Lifts displayed formulas out of a paragraph and recognises figures.
    fn paragraph(&mut self, text: Vec<Inline>, span: Span, blocks: &mut Vec<Block>) {
        let mut rest = Vec::new();
        for inline in text {
            match inline.kind {
                InlineKind::Math(latex) if self.displayed.remove(&inline.span.start) => {
                    self.running_text(std::mem::take(&mut rest), span, blocks);
                    let kind = BlockKind::Math { latex, label: None };
                    blocks.push(Block { kind, span: inline.span });
                }
                kind => rest.push(Inline { kind, span: inline.span }),
            }
        }
        self.running_text(rest, span, blocks);
    }

    fn running_text(
        &mut self,
        mut text: Vec<Inline>,
        span: Span,
        blocks: &mut Vec<Block>,
    ) {
        self.refuse_displayed(&text);
        trim(&mut text);
        let (Some(first), Some(last)) = (text.first(), text.last()) else { return };
        let mut inner = Span::new(first.span.start..last.span.end);
        inner.end = inner.end.clamp(inner.start, span.end.max(inner.start));
        let kind = match text.as_slice() {
            [Inline { kind: InlineKind::Image { path, alt }, span }] => {
                self.figure(path.clone(), alt.clone(), *span)
            }
            _ => BlockKind::Paragraph(text),
        };
        blocks.push(Block { kind, span: inner });
    }

    fn figure(&mut self, path: String, alt: String, span: Span) -> BlockKind {
        let caption = match self.image_parts(span) {
            (_, Some(title)) => self.fragment(title),
            (Some(alt), None) => self.fragment(alt),
            (None, None) => Vec::new(),
        };
        if alt.is_empty() {
            let message = "a figure without a description";
            let help = "write what it shows between the brackets: `![A falling curve](loss.svg)`";
            let warning = Diagnostic::warning(&self.document, span, message);
            self.diagnostics.push(warning.with_help(help));
        }
        BlockKind::Figure { path, alt, caption, label: None, width: None, height: None }
    }

    /// Where the alternative text and the title of the image at `span` stand.
    fn image_parts(&self, span: Span) -> (Option<Span>, Option<Span>) {
        let image = &self.masked[span.range()];
        let Some(alt_end) = closing_bracket(image) else { return (None, None) };
        let alt = Span::new(span.start + 2..span.start + alt_end);
        let rest = &image[alt_end..];
        let inner = rest.trim_end().strip_suffix(')').map_or("", str::trim_end);
        let title = inner.chars().last().and_then(|close| {
            let open = match close {
                '"' | '\'' => close,
                ')' => '(',
                _ => return None,
            };
            let start = inner.char_indices().zip(inner.chars().skip(1)).find_map(
                |((at, before), c)| {
                    (before.is_whitespace() && c == open)
                        .then(|| at + before.len_utf8() + 1)
                },
            )?;
            let base = span.start + alt_end;
            (start < inner.len()).then(|| Span::new(base + start..base + inner.len() - 1))
        });
        (Some(alt), title)
    }

    fn table(&mut self, align: &[pulldown_cmark::Alignment]) -> BlockKind {
        let align: Vec<Align> = align
            .iter()
            .map(|align| match align {
                pulldown_cmark::Alignment::None => Align::None,
                pulldown_cmark::Alignment::Left => Align::Left,
                pulldown_cmark::Alignment::Center => Align::Center,
                pulldown_cmark::Alignment::Right => Align::Right,
            })
            .collect();
        let mut rows = Vec::new();
        let mut caption = Vec::new();
        while let Some((Event::Start(Tag::TableHead | Tag::TableRow), range)) =
            self.next()
        {
            let mut row = Vec::new();
            while let Some((Event::Start(Tag::TableCell), _)) = self.next() {
                let mut text = self.inlines();
                self.next();
                self.refuse_displayed(&text);
                trim(&mut text);
                row.push(text);
            }
            // Markdown takes the line `: caption` directly below a table for a row of it.
            let line = self.masked[range.start..range.end].trim();
            if is_caption(line) && !line.contains('|') && !rows.is_empty() {
                let at = range.start + self.masked[range].find(':').unwrap_or(0);
                let end = at + self.masked[at..].lines().next().map_or(0, str::len);
                caption = self.fragment(Span::new(at + 1..end));
            } else {
                rows.push(row);
            }
        }
        let head = if rows.is_empty() { Vec::new() } else { rows.remove(0) };
        BlockKind::Table { align, head, rows, caption, label: None }
    }

    fn code_block(&mut self, kind: &CodeBlockKind<'_>, span: Span) -> BlockKind {
        let (code, line_starts) = self.code_lines();
        let CodeBlockKind::Fenced(_) = kind else {
            return BlockKind::Code { language: String::new(), code };
        };
        let line = self.source[span.range()].lines().next().unwrap_or("");
        let info = line.trim_start_matches(['`', '~']);
        let info_start = span.start + line.len() - info.len();
        match info.trim() {
            "toc" => return self.toc(&code, &line_starts),
            "glossary" => return self.glossary(&code, &line_starts),
            _ => {}
        }
        let parsed = fence::parse_info(info, info_start);
        for mistake in &parsed.mistakes {
            self.error(mistake.span, &mistake.message, &mistake.help);
        }
        if !parsed.is_cell {
            return BlockKind::Code { language: parsed.language, code };
        }
        if self.depth > 1 {
            let span = Span::new(span.start..span.start + line.len());
            let help = "move it out of the list or quotation, or write ```rust, no-run";
            self.error(span, "a cell stands at the margin of the chapter", help);
            return BlockKind::Code { language: parsed.language, code };
        }
        let mut cell = Cell { code, line_starts, attrs: parsed.attrs, ..Cell::default() };
        if let (Some(label), Some(span)) = (cell.attrs.label.clone(), parsed.label) {
            self.note_label(&label, span);
        }
        cell.attrs.caption = parsed.caption.map(|span| self.fragment(span));
        let first_line = cell.line_starts.first().copied().unwrap_or(span.end);
        if let Some((save, length)) = fence::parse_save(&cell.code, first_line) {
            cell.save = Some(save);
            cell.code.drain(..length);
            cell.line_starts.remove(0);
        }
        BlockKind::Cell(Box::new(cell))
    }

    /// A list of pages: options, then a page a line.
    fn toc(&mut self, code: &str, line_starts: &[usize]) -> BlockKind {
        let mut toc = Toc { depth: 1, ..Toc::default() };
        for (line, start) in code.lines().zip(line_starts) {
            let indent = line.len() - line.trim_start().len();
            let line = line.trim();
            let span = Span::new(start + indent..start + indent + line.len());
            match line.strip_prefix(':').and_then(|rest| rest.split_once(':')) {
                None if line.is_empty() => {}
                None => toc.pages.push((line.trim_end_matches(".md").to_owned(), span)),
                Some(("numbered", "")) => toc.is_numbered = true,
                Some(("maxdepth", depth))
                    if depth.trim().parse::<usize>().is_ok_and(|d| d > 0) =>
                {
                    toc.depth = depth.trim().parse().unwrap_or(1);
                }
                Some(_) => {
                    let help = "a list of pages knows `:maxdepth: 2` and `:numbered:`";
                    self.error(
                        span,
                        format!("`{line}` is no option of a list of pages"),
                        help,
                    );
                }
            }
        }
        BlockKind::Toc(toc)
    }

    /// A word, a colon and what it means on each line; lines that are indented go on.
    fn glossary(&mut self, code: &str, line_starts: &[usize]) -> BlockKind {
        let mut entries: Vec<(String, Span, Span)> = Vec::new();
        for (line, &start) in code.lines().zip(line_starts) {
            if line.trim().is_empty() {
                continue;
            }
            let end = start + line.trim_end().len();
            if line.starts_with([' ', '\t'])
                && let Some((_, _, text)) = entries.last_mut()
            {
                text.end = end;
                continue;
            }
            match line.split_once(": ") {
                Some((name, _)) if !name.trim().is_empty() => entries.push((
                    name.trim().to_owned(),
                    Span::new(start..start + name.len()),
                    Span::new(start + name.len() + 2..end.max(start + name.len() + 2)),
                )),
                _ => {
                    let help = "as in `gradient: The vector of all partial derivatives.`";
                    self.error(
                        Span::new(start..end),
                        "a word of the glossary without a meaning",
                        help,
                    );
                }
            }
        }
        let mut terms = Vec::new();
        for (name, span, text) in entries {
            self.note_label(&Term::label(&name), span);
            terms.push(Term { name, span, text: self.fragment(text) });
        }
        terms.sort_by_key(|term| term.name.to_lowercase());
        BlockKind::Glossary(terms)
    }

    /// The text of a code block, and where each of its lines starts in the source.
    fn code_lines(&mut self) -> (String, Vec<usize>) {
        let mut code = String::new();
        let mut starts = Vec::new();
        while let Some((event, range)) = self.next() {
            match event {
                Event::End(_) => break,
                Event::Text(text) => {
                    // A formula before the fence can make text of what the scanner read as running.
                    let is_verbatim = self.masked.get(range.clone()) == Some(&*text);
                    let text = match is_verbatim {
                        true => self.source[range.clone()].to_owned(),
                        false => self.restored(&text, &range),
                    };
                    let mut at = range.start;
                    for line in text.split_inclusive('\n') {
                        if code.is_empty() && starts.is_empty() || code.ends_with('\n') {
                            starts.push(at);
                        }
                        code.push_str(line);
                        at += line.len();
                    }
                }
                _ => {}
            }
        }
        if code.ends_with('\n') {
            code.pop();
        }
        (code, starts)
    }

    fn raw_text(&mut self) -> String {
        let mut out = String::new();
        while let Some((event, range)) = self.next() {
            match event {
                Event::End(_) => break,
                Event::Html(text) | Event::Text(text) | Event::InlineHtml(text) => {
                    out.push_str(&self.restored(&text, &range));
                }
                _ => {}
            }
        }
        out
    }

    /// Reads running text up to the end of the enclosing element or the next block; leaves both.
    fn inlines(&mut self) -> Vec<Inline> {
        let mut out: Vec<Inline> = Vec::new();
        self.depth += 1;
        while let Some((event, range)) = self.next() {
            let span = Span::new(range.clone());
            let kind = match event {
                Event::End(_) => {
                    self.at -= 1;
                    break;
                }
                Event::Start(tag) if is_block(&tag) => {
                    self.at -= 1;
                    break;
                }
                Event::Rule => {
                    self.at -= 1;
                    break;
                }
                Event::Text(text) => {
                    self.text(&text, range, &mut out);
                    continue;
                }
                Event::Start(tag) => {
                    if self.is_too_deep(&range) {
                        continue;
                    }
                    let text = self.inlines();
                    self.next();
                    match tag {
                        Tag::Emphasis => InlineKind::Emph(text),
                        Tag::Strong => InlineKind::Strong(text),
                        Tag::Strikethrough => InlineKind::Strike(text),
                        Tag::Link { dest_url, .. } => {
                            let target = self.restored(&dest_url, &range);
                            InlineKind::Link { target, text }
                        }
                        Tag::Image { dest_url, .. } => InlineKind::Image {
                            path: self.restored(&dest_url, &range),
                            alt: inline::plain_text(&text),
                        },
                        _ => {
                            out.extend(text);
                            continue;
                        }
                    }
                }
                Event::Code(text) => InlineKind::Code(self.restored(&text, &range)),
                Event::FootnoteReference(name) => {
                    self.footnotes.insert(range.start);
                    InlineKind::FootnoteRef(name.into_string())
                }
                Event::SoftBreak => InlineKind::SoftBreak,
                Event::HardBreak => InlineKind::LineBreak,
                Event::InlineHtml(html) | Event::Html(html) => {
                    let html = self.restored(&html, &range);
                    if is_comment(&html) {
                        continue;
                    }
                    InlineKind::Html(html)
                }
                _ => continue,
            };
            out.push(Inline { kind, span });
        }
        self.depth -= 1;
        out
    }

    /// Splits a piece of text at its formulas and roles.
    fn text(&mut self, text: &CowStr<'_>, range: Range<usize>, out: &mut Vec<Inline>) {
        if !text.as_bytes().contains(&MASK) {
            return push_text(self.source, text, Span::new(range), out);
        }
        let first = self.atoms.partition_point(|atom| atom.span.end <= range.start);
        let mut at = range.start;
        for atom in
            self.atoms[first..].iter().take_while(|atom| atom.span.start < range.end)
        {
            if atom.span.start > at {
                let before = Span::new(at..atom.span.start);
                push_text(self.source, &self.source[before.range()], before, out);
            }
            at = at.max(atom.span.end);
            if let Some(inline) = self.atom(atom) {
                out.push(inline);
            }
        }
        if at < range.end {
            push_text(
                self.source,
                &self.source[at..range.end],
                Span::new(at..range.end),
                out,
            );
        }
    }

    fn atom(&mut self, atom: &Atom) -> Option<Inline> {
        let kind = match &atom.kind {
            AtomKind::Math { display, latex } => {
                if *display {
                    self.displayed.insert(atom.span.start);
                }
                InlineKind::Math(latex.clone())
            }
            AtomKind::Role { role, argument } => {
                let to = |style| InlineKind::Ref { style, label: argument.clone() };
                let cite = |textual| InlineKind::Cite {
                    textual,
                    keys: argument.split(',').map(|key| key.trim().to_owned()).collect(),
                };
                match role {
                    Role::NumRef => to(RefStyle::Number),
                    Role::Ref => to(RefStyle::Title),
                    Role::EqRef => to(RefStyle::Equation),
                    Role::Cite => cite(false),
                    Role::CiteTextual => cite(true),
                    Role::Index => InlineKind::Index(argument.clone()),
                    Role::Term => InlineKind::Ref {
                        style: RefStyle::Term,
                        label: Term::label(argument),
                    },
                    Role::Label | Role::EqLabel | Role::Width | Role::Height => {
                        return None;
                    }
                }
            }
            AtomKind::Marker { .. } | AtomKind::Slide => return None,
        };
        Some(Inline { kind, span: atom.span })
    }

    /// Puts what stands between the lines that mark a region into a block of its own, inner first.
    fn wrap_regions(&mut self, blocks: &mut Vec<Block>) {
        let mut open: Vec<(Region, Span, String)> = Vec::new();
        for atom in self.atoms {
            let AtomKind::Marker { region, is_open, argument } = &atom.kind else {
                continue;
            };
            if *is_open {
                open.push((*region, atom.span, argument.clone()));
                continue;
            }
            let name = region.name();
            match open.pop() {
                Some((opened, start, argument)) if opened == *region => {
                    let span = Span::new(start.start..atom.span.end);
                    if !wrap(blocks, *region, span, &argument) {
                        let message =
                            format!("an empty {name}, or one that is not in one place");
                        self.error(
                            start,
                            message,
                            "both marks stand in the same list item or quotation",
                        );
                    }
                }
                other => {
                    let message = format!("`:end_{name}:` without its beginning");
                    self.error(atom.span, message, "");
                    open.extend(other);
                }
            }
        }
        for (region, span, _) in open {
            let name = region.name();
            self.error(
                span,
                format!("`:begin_{name}:` is never closed"),
                format!("write `:end_{name}:`"),
            );
        }
        self.check_solutions(blocks);
        let mut misplaced = Vec::new();
        inline::walk_blocks(blocks, &mut |block| {
            if let BlockKind::Tabs(tabs) = &block.kind {
                for tab in tabs {
                    inline::walk_blocks(&tab.blocks, &mut |block| {
                        if matches!(block.kind, BlockKind::Cell(_)) {
                            misplaced.push(block.span);
                        }
                    });
                }
            }
        });
        for span in misplaced {
            let span = Span::new(span.start..span.start + 3);
            self.error(span, "a cell cannot stand in a tab", "write ```rust, no-run");
        }
    }

    /// Each solution that names an exercise names one that there is.
    fn check_solutions(&mut self, blocks: &[Block]) {
        let mut count = 0;
        inline::walk_blocks(blocks, &mut |block| {
            count += usize::from(matches!(block.kind, BlockKind::Exercise { .. }));
        });
        for atom in self.atoms {
            let AtomKind::Marker { region: Region::Solution, is_open: true, argument } =
                &atom.kind
            else {
                continue;
            };
            let exists = |number: usize| (1..=count).contains(&number);
            if !argument.is_empty() && !argument.parse().is_ok_and(exists) {
                let help = match count {
                    0 => {
                        "exercises are the items of a numbered list below `## Exercises`"
                            .to_owned()
                    }
                    _ => format!("the exercises have the numbers 1 to {count}"),
                };
                self.error(atom.span, format!("there is no exercise `{argument}`"), help);
            }
        }
    }

    /// `text`, read from `range` of the masked source, as the author wrote it.
    fn restored(&self, text: &str, range: &Range<usize>) -> String {
        if !text.as_bytes().contains(&MASK) {
            return text.to_owned();
        }
        let masked = &self.masked.as_bytes()[range.clone()];
        let mut hidden = masked.iter().enumerate().filter(|(_, byte)| **byte == MASK);
        let source = self.source.as_bytes();
        let bytes = text.bytes().map(|byte| match byte {
            MASK => hidden.next().map_or(MASK, |(at, _)| source[range.start + at]),
            byte => byte,
        });
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
    }

    /// Reads a part of the source, such as a caption, as running text of its own.
    fn fragment(&mut self, span: Span) -> Vec<Inline> {
        let text = &self.source[span.range()];
        let mut scan: Scan = scan::scan(text, &[]);
        let masked = scan.mask(text);
        let in_fence = self
            .atoms
            .iter()
            .all(|atom| atom.span.end <= span.start || span.end <= atom.span.start);
        for atom in &mut scan.atoms {
            atom.span =
                Span::new(atom.span.start + span.start..atom.span.end + span.start);
        }
        for finding in &mut scan.findings {
            let Span { start, end } = finding.span;
            finding.span = Span::new(start + span.start..end + span.start);
        }
        // What the main scan has seen it has reported; it has not looked into fences.
        if in_fence {
            self.report(&scan.findings);
        }
        let padded = " ".repeat(span.start) + &masked;
        let mut reader = Reader {
            source: self.source,
            masked: &padded,
            atoms: &scan.atoms,
            events: Vec::new(),
            at: 0,
            depth: self.depth,
            displayed: BTreeSet::new(),
            footnotes: BTreeSet::new(),
            title: None,
            in_exercises: false,
            document: Document {
                path: self.document.path.clone(),
                source: self.source.to_owned(),
                ..Document::default()
            },
            diagnostics: Vec::new(),
        };
        reader.events = events(&masked, span.start)
            .into_iter()
            .filter(|(event, _)| match event {
                Event::Start(tag) => !is_block(tag),
                Event::End(tag) => !is_block_end(*tag),
                _ => true,
            })
            .collect();
        let mut text = reader.inlines();
        reader.refuse_displayed(&text);
        trim(&mut text);
        let diagnostics = std::mem::take(&mut reader.diagnostics);
        let footnotes = std::mem::take(&mut reader.footnotes);
        drop(reader);
        self.diagnostics.extend(diagnostics);
        self.footnotes.extend(footnotes);
        text
    }

    /// Displayed formulas stand in paragraphs only.
    fn refuse_displayed(&mut self, text: &[Inline]) {
        let mut misplaced = Vec::new();
        inline::walk(text, &mut |inline| {
            if matches!(inline.kind, InlineKind::Math(_)) {
                misplaced.push(inline.span);
            }
        });
        for span in misplaced {
            if self.displayed.remove(&span.start) {
                let help = "write `$…$`, or put the formula into a paragraph";
                self.error(span, "a displayed formula cannot stand here", help);
            }
        }
    }

    fn check_footnotes(&mut self, footnotes: &[Span]) {
        for span in footnotes {
            let is_used = self.footnotes.contains(&span.start);
            // A definition, or in a code span that only markdown recognised.
            let is_definition = self.source[span.end..].starts_with(':')
                && self.source[..span.start].lines().last().is_none_or(|line| {
                    self.source[..span.start].ends_with('\n') || line.trim().is_empty()
                });
            if !is_used && !is_definition {
                let name = &self.source[span.start + 2..span.end - 1];
                let help = format!("define it in a paragraph of its own: `[^{name}]: …`");
                self.error(*span, format!("footnote `{name}` is not defined"), help);
            }
        }
    }

    fn note_label(&mut self, label: &str, span: Span) {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '.');
        if !label.chars().all(allowed) {
            let help = "labels are made of letters, digits, `_`, `-`, `:` and `.`";
            self.error(span, format!("`{label}` is not a label"), help);
        }
        if let Some(first) = self.document.label_spans.get(label).copied() {
            let (line, _) = self.document.position(first.start);
            let help = format!("it was first given in line {line}");
            self.error(span, format!("label `{label}` is given twice"), help);
        } else {
            self.document.label_spans.insert(label.to_owned(), span);
        }
    }

    /// Gives each label and size to the block before it.
    fn attach_placements(&mut self, blocks: &mut [Block]) {
        for atom in self.atoms {
            let AtomKind::Role { role, argument } = &atom.kind else { continue };
            if !role.is_placement() {
                continue;
            }
            let title_end = self.title.as_ref().map(|(_, span)| span.end);
            let target = block_before(blocks, atom.span.start);
            let result = match target {
                None => match (role, title_end) {
                    (Role::Label, Some(end))
                        if atom.span.start + 1 >= end.min(atom.span.start) =>
                    {
                        place(&mut self.document.label, argument)
                    }
                    _ => Err(Misplaced::Nowhere),
                },
                Some(block) => attach(&mut block.kind, *role, argument),
            };
            match result {
                Ok(()) if matches!(role, Role::Label | Role::EqLabel) => {
                    self.note_label(argument, atom.span);
                }
                Ok(()) => {}
                Err(Misplaced::Twice) => {
                    let message = format!("a second `:{}:`", describe(*role));
                    self.error(atom.span, message, "one is enough; remove the other");
                }
                Err(Misplaced::Nowhere) => {
                    let message =
                        format!("`:{}:` without something to belong to", describe(*role));
                    let help = match role {
                        Role::Label => {
                            "it stands directly after a heading, figure, table, formula or cell"
                        }
                        Role::EqLabel => "it stands directly after a displayed formula",
                        _ => "it stands directly after a figure",
                    };
                    self.error(atom.span, message, help);
                }
            }
        }
    }
}

enum Misplaced {
    Nowhere,
    Twice,
}

fn describe(role: Role) -> &'static str {
    match role {
        Role::EqLabel => "eqlabel",
        Role::Width => "width",
        Role::Height => "height",
        _ => "label",
    }
}

fn place(slot: &mut Option<String>, argument: &str) -> Result<(), Misplaced> {
    if slot.is_some() {
        return Err(Misplaced::Twice);
    }
    *slot = Some(argument.to_owned());
    Ok(())
}

fn attach(kind: &mut BlockKind, role: Role, argument: &str) -> Result<(), Misplaced> {
    let slot = match (role, kind) {
        (
            Role::Label,
            BlockKind::Heading { label, .. }
            | BlockKind::Figure { label, .. }
            | BlockKind::Table { label, .. }
            | BlockKind::Exercise { label, .. }
            | BlockKind::Math { label, .. },
        ) => label,
        (Role::Label, BlockKind::Cell(cell)) => &mut cell.attrs.label,
        (Role::EqLabel, BlockKind::Math { label, .. }) => label,
        (Role::Width, BlockKind::Figure { width, .. }) => width,
        (Role::Height, BlockKind::Figure { height, .. }) => height,
        _ => return Err(Misplaced::Nowhere),
    };
    place(slot, argument)
}

/// The innermost block that starts last before `at`.
fn block_before(blocks: &mut [Block], at: usize) -> Option<&mut Block> {
    let index = blocks.partition_point(|block| block.span.start <= at).checked_sub(1)?;
    // A label on its own line in an exercise is the exercise's.
    if let BlockKind::Exercise { blocks: inner, .. } = &blocks[index].kind
        && let Some(last) = inner.iter().rfind(|block| block.span.start <= at)
        && matches!(last.kind, BlockKind::Paragraph(_))
    {
        return Some(&mut blocks[index]);
    }
    let is_list = matches!(
        blocks[index].kind,
        BlockKind::Quote(_)
            | BlockKind::Exercise { .. }
            | BlockKind::Solution { .. }
            | BlockKind::Tabs(_)
            | BlockKind::Admonition { .. }
            | BlockKind::Footnote { .. }
            | BlockKind::List { .. }
    );
    if !is_list || blocks[index].span.end <= at {
        return Some(&mut blocks[index]);
    }
    match &mut blocks[index].kind {
        BlockKind::Quote(inner)
        | BlockKind::Admonition { blocks: inner, .. }
        | BlockKind::Exercise { blocks: inner, .. }
        | BlockKind::Solution { blocks: inner, .. }
        | BlockKind::Footnote { blocks: inner, .. } => block_before(inner, at),
        BlockKind::Tabs(tabs) => {
            let starts =
                |tab: &Tab| tab.blocks.first().is_some_and(|b| b.span.start <= at);
            let tab = tabs.iter().rposition(starts)?;
            block_before(&mut tabs[tab].blocks, at)
        }
        BlockKind::List { items, .. } => {
            let starts =
                |item: &Vec<Block>| item.first().is_some_and(|b| b.span.start <= at);
            let item = items.iter().rposition(starts)?;
            block_before(&mut items[item], at)
        }
        _ => None,
    }
}

/// Wraps the blocks inside `span` where they stand together; says whether there were any.
fn wrap(blocks: &mut Vec<Block>, region: Region, span: Span, argument: &str) -> bool {
    let is_inside =
        |block: &Block| span.start < block.span.start && block.span.start < span.end;
    if let Some(first) = blocks.iter().position(is_inside) {
        let count = blocks[first..].iter().take_while(|block| is_inside(block)).count();
        let inner: Vec<Block> = blocks.drain(first..first + count).collect();
        let kind = match region {
            Region::Solution => {
                BlockKind::Solution { exercise: argument.parse().ok(), blocks: inner }
            }
            Region::Tab => {
                BlockKind::Tabs(vec![Tab { names: tab_names(argument), blocks: inner }])
            }
        };
        blocks.insert(first, Block { kind, span });
        return true;
    }
    let holder = blocks.iter_mut().rfind(|block| block.span.start < span.start);
    match holder.map(|block| &mut block.kind) {
        Some(
            BlockKind::Quote(inner)
            | BlockKind::Admonition { blocks: inner, .. }
            | BlockKind::Exercise { blocks: inner, .. }
            | BlockKind::Solution { blocks: inner, .. }
            | BlockKind::Footnote { blocks: inner, .. },
        ) => wrap(inner, region, span, argument),
        Some(BlockKind::List { items, .. }) => {
            items.iter_mut().rev().any(|item| wrap(item, region, span, argument))
        }
        Some(BlockKind::Tabs(tabs)) => {
            tabs.iter_mut().rev().any(|tab| wrap(&mut tab.blocks, region, span, argument))
        }
        _ => false,
    }
}

fn tab_names(written: &str) -> Vec<String> {
    let names = written.split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Makes tabs of code that starts with `#@tab` or `%%tab`, and joins tabs that follow each other.
fn join_tabs(blocks: &mut Vec<Block>) {
    let mut joined: Vec<Block> = Vec::new();
    for mut block in std::mem::take(blocks) {
        match &mut block.kind {
            BlockKind::Quote(inner)
            | BlockKind::Admonition { blocks: inner, .. }
            | BlockKind::Exercise { blocks: inner, .. }
            | BlockKind::Solution { blocks: inner, .. }
            | BlockKind::Footnote { blocks: inner, .. } => join_tabs(inner),
            BlockKind::List { items, .. } => items.iter_mut().for_each(join_tabs),
            BlockKind::Code { code, .. } => {
                let first = code.lines().next().unwrap_or("").trim();
                let names =
                    first.strip_prefix("#@tab").or_else(|| first.strip_prefix("%%tab"));
                if let Some(names) =
                    names.map(tab_names).filter(|names| !names.is_empty())
                {
                    *code = code.split_once('\n').map_or("", |(_, rest)| rest).to_owned();
                    let span = block.span;
                    let tab = Tab { names, blocks: vec![block] };
                    block = Block { kind: BlockKind::Tabs(vec![tab]), span };
                }
            }
            _ => {}
        }
        match (joined.last_mut(), &mut block.kind) {
            // A second text for the same library begins the next tabs.
            (
                Some(Block { kind: BlockKind::Tabs(tabs), span }),
                BlockKind::Tabs(more),
            ) if !more
                .iter()
                .flat_map(|tab| &tab.names)
                .any(|name| tabs.iter().any(|tab| tab.names.contains(name))) =>
            {
                tabs.append(more);
                span.end = block.span.end;
            }
            _ => joined.push(block),
        }
    }
    *blocks = joined;
}

/// Gives headings their anchors and cells their ids.
fn name_blocks(blocks: &mut [Block], names: &mut Names) {
    for block in blocks {
        match &mut block.kind {
            BlockKind::Heading { text, anchor, .. } => {
                *anchor = names.unique(inline::slug(&inline::plain_text(text)));
            }
            BlockKind::Cell(cell) => {
                let saved =
                    cell.save.as_ref().and_then(|_| fence::first_public_name(&cell.code));
                let name = cell.attrs.label.clone().or(saved).unwrap_or_else(|| {
                    let hash = blake3::hash(cell.code.as_bytes()).to_hex();
                    format!("cell-{}", &hash[..8])
                });
                cell.id = names.unique(name);
            }
            BlockKind::Solution { blocks: inner, .. } => name_blocks(inner, names),
            BlockKind::Tabs(tabs) => {
                for tab in tabs {
                    name_blocks(&mut tab.blocks, names);
                }
            }
            _ => {}
        }
    }
}

/// The names given on a page.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    fn unique(&mut self, name: String) -> String {
        let count = self.0.entry(name.clone()).or_default();
        *count += 1;
        match *count {
            1 => name,
            n => self.unique(format!("{name}-{n}")),
        }
    }
}

/// Moves the paragraph `: caption` beside a table into it.
fn join_captions(source: &str, blocks: &mut Vec<Block>) {
    let mut at = 0;
    while at < blocks.len() {
        let beside = [at.checked_sub(1), Some(at + 1)];
        let BlockKind::Table { caption, .. } = &blocks[at].kind else {
            at += 1;
            continue;
        };
        // The line below belongs to this table; the line above may be the caption of a table above.
        let found = beside.into_iter().rev().flatten().find(|&i| {
            caption.is_empty()
                && blocks.get(i).is_some_and(|block| {
                    matches!(block.kind, BlockKind::Paragraph(_))
                        && is_caption(&source[block.span.range()])
                })
        });
        if let Some(index) = found {
            let paragraph = blocks.remove(index);
            at -= usize::from(index < at);
            let span = paragraph.span;
            if let (BlockKind::Paragraph(text), BlockKind::Table { caption, .. }) =
                (paragraph.kind, &mut blocks[at].kind)
            {
                *caption = without_colon(text);
            }
            let table = &mut blocks[at].span;
            *table = Span::new(table.start.min(span.start)..table.end.max(span.end));
        }
        at += 1;
    }
}

fn is_caption(line: &str) -> bool {
    line.strip_prefix(':')
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with([':', '-']))
}

fn without_colon(mut text: Vec<Inline>) -> Vec<Inline> {
    if let Some(Inline { kind: InlineKind::Text(first), span }) = text.first_mut() {
        let rest = first.strip_prefix(':').unwrap_or(first).trim_start().to_owned();
        span.start += first.len() - rest.len();
        *first = rest;
    }
    trim(&mut text);
    text
}

/// Removes a final `{-}` and says whether there was one.
fn strip_unnumbered(text: &mut Vec<Inline>) -> bool {
    let Some(Inline { kind: InlineKind::Text(last), span }) = text.last_mut() else {
        return false;
    };
    let Some(rest) = last.trim_end().strip_suffix("{-}") else { return false };
    span.end -= last.len() - rest.len();
    *last = rest.to_owned();
    trim(text);
    true
}

/// Adds text, joined to the text before it where both stand in the source as they are.
fn push_text(source: &str, text: &str, span: Span, out: &mut Vec<Inline>) {
    let is_verbatim = |text: &str, span: Span| source.get(span.range()) == Some(text);
    if let Some(Inline { kind: InlineKind::Text(last), span: before }) = out.last_mut()
        && before.end == span.start
        && is_verbatim(last, *before)
        && is_verbatim(text, span)
    {
        last.push_str(text);
        before.end = span.end;
        return;
    }
    out.push(Inline { kind: InlineKind::Text(text.to_owned()), span });
}

/// Removes spaces and line ends around running text.
fn trim(text: &mut Vec<Inline>) {
    let is_space = |inline: &Inline| match &inline.kind {
        InlineKind::Text(text) => text.trim().is_empty(),
        InlineKind::SoftBreak | InlineKind::LineBreak => true,
        _ => false,
    };
    while text.last().is_some_and(is_space) {
        text.pop();
    }
    let leading = text.iter().take_while(|inline| is_space(inline)).count();
    text.drain(..leading);
    if let Some(Inline { kind: InlineKind::Text(last), span }) = text.last_mut() {
        let trimmed = last.trim_end().len();
        span.end -= last.len() - trimmed;
        last.truncate(trimmed);
    }
    if let Some(Inline { kind: InlineKind::Text(first), span }) = text.first_mut() {
        let trimmed = first.trim_start().to_owned();
        span.start += first.len() - trimmed.len();
        *first = trimmed;
    }
}

/// Where the bracket closes that `![` opens.
fn closing_bracket(image: &str) -> Option<usize> {
    let bytes = image.as_bytes();
    let mut depth = 0;
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => depth += 1,
            b']' if depth == 1 => return Some(at),
            b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_comment(html: &str) -> bool {
    let html = html.trim();
    html.starts_with("<!--") && html.find("-->").is_some_and(|end| end + 3 == html.len())
}

fn admonition(kind: BlockQuoteKind) -> &'static str {
    match kind {
        BlockQuoteKind::Note => "note",
        BlockQuoteKind::Tip => "tip",
        BlockQuoteKind::Important => "important",
        BlockQuoteKind::Warning => "warning",
        BlockQuoteKind::Caution => "caution",
    }
}

fn is_block(tag: &Tag<'_>) -> bool {
    is_block_end(tag.to_end())
}

fn is_block_end(tag: TagEnd) -> bool {
    !matches!(
        tag,
        TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::Link
            | TagEnd::Image
    )
}

#[cfg(test)]
mod tests;
