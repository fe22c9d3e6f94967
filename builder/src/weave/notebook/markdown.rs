//! Blocks → the markdown that notebooks understand, with every reference resolved.

use crate::book::{Book, Section};
use crate::document::inline::walk;
use crate::document::{Align, Block, BlockKind, Inline, InlineKind, RefStyle};
use crate::weave::image::Image;
use crate::weave::reference::{self, Words};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The markdown of one notebook, cell by cell.
pub(super) struct Markdown<'a> {
    book: &'a Book,
    index: usize,
    text: String,
    images: Map<String, Value>,
    /// Where the drawings of the text are, in the form `[drawing-1]: data:…`.
    drawings: Vec<String>,
    /// Footnotes in the order of their first use.
    notes: Vec<String>,
    cited: BTreeSet<String>,
}

impl<'a> Markdown<'a> {
    pub(super) fn new(book: &'a Book, index: usize) -> Self {
        Self {
            book,
            index,
            text: String::new(),
            images: Map::new(),
            drawings: Vec::new(),
            notes: Vec::new(),
            cited: BTreeSet::new(),
        }
    }

    /// Adds a paragraph.
    pub(super) fn push(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(text.trim_end());
    }

    /// The text so far and the images it shows; starts anew.
    pub(super) fn take(&mut self) -> (String, Map<String, Value>) {
        let drawings = std::mem::take(&mut self.drawings);
        if !drawings.is_empty() {
            self.push(&drawings.join("\n"));
        }
        (std::mem::take(&mut self.text), std::mem::take(&mut self.images))
    }

    /// Adds a block.
    pub(super) fn block(&mut self, block: &'a Block) {
        if let Some(text) = self.block_text(block) {
            self.push(&text);
        }
    }

    /// Adds what footnotes and citations of the whole notebook point to.
    pub(super) fn notes_and_references(&mut self) {
        let section = self.section();
        for (number, name) in self.notes.clone().into_iter().enumerate() {
            let note =
                section.document.blocks.iter().find_map(|block| match &block.kind {
                    BlockKind::Footnote { name: other, blocks } if *other == name => {
                        Some(blocks)
                    }
                    _ => None,
                });
            let text = self.blocks(note.map_or(&[], Vec::as_slice));
            self.push(&format!("<sup>{}</sup> {text}", number + 1));
        }
        let cited = std::mem::take(&mut self.cited);
        let entries: Vec<String> = (self.book.references.iter())
            .filter(|entry| cited.contains(&entry.key))
            .map(|entry| format!("- {}", self.inlines(&entry.entry)))
            .collect();
        if !entries.is_empty() {
            self.push("## References");
            self.push(&entries.join("\n"));
        }
    }

    fn section(&self) -> &'a Section {
        &self.book.sections[self.index]
    }

    fn blocks(&mut self, blocks: &'a [Block]) -> String {
        let texts: Vec<String> =
            blocks.iter().filter_map(|b| self.block_text(b)).collect();
        texts.join("\n\n")
    }

    fn number(&self, block: &Block) -> Option<&'a str> {
        self.section().numbers.get(&block.span.start).map(String::as_str)
    }

    fn block_text(&mut self, block: &'a Block) -> Option<String> {
        Some(match &block.kind {
            BlockKind::Heading { level, text, .. } => {
                let number =
                    self.number(block).map_or(String::new(), |n| format!("{n} "));
                format!(
                    "{} {number}{}",
                    "#".repeat(usize::from(*level)),
                    self.inlines(text)
                )
            }
            BlockKind::Paragraph(text) => self.inlines(text),
            BlockKind::Code { language, code } => fenced(language, code),
            BlockKind::Cell(cell) => fenced("rust", &cell.code),
            BlockKind::Math { latex, .. } => {
                let tag = self
                    .number(block)
                    .map_or(String::new(), |n| format!(" \\tag{{{n}}}"));
                format!("$$\n{}{tag}\n$$", latex.trim())
            }
            BlockKind::Figure { path, alt, caption, .. } => {
                let image = self.image(path, alt);
                let number = self
                    .number(block)
                    .map_or(String::new(), |n| format!("*Figure {n}:* "));
                format!("{image}\n\n{number}{}", self.inlines(caption))
            }
            BlockKind::Table { align, head, rows, caption, .. } => {
                let table = self.table(align, head, rows);
                let number = self
                    .number(block)
                    .map_or(String::new(), |n| format!("*Table {n}:* "));
                match caption.is_empty() {
                    true => table,
                    false => format!("{number}{}\n\n{table}", self.inlines(caption)),
                }
            }
            BlockKind::List { start, items } => {
                let texts = items.iter().enumerate().map(|(i, item)| {
                    let mark = match start {
                        Some(start) => format!("{}. ", start + i as u64),
                        None => "- ".into(),
                    };
                    let text = self.blocks(item);
                    format!("{mark}{}", indented(&text, mark.len()))
                });
                texts.collect::<Vec<_>>().join("\n")
            }
            BlockKind::Quote(blocks) => quoted(&self.blocks(blocks)),
            BlockKind::Admonition { kind, blocks } => {
                let (first, rest) = kind.split_at(1);
                let title = format!("**{}{rest}**", first.to_uppercase());
                quoted(&format!("{title}\n\n{}", self.blocks(blocks)))
            }
            BlockKind::Exercise { label: _, blocks } => {
                let number = self.number(block).unwrap_or_default();
                let text = self.blocks(blocks);
                format!("**{number}** {text}")
            }
            // The reader of a notebook is about to solve the exercise.
            BlockKind::Solution { .. } => return None,
            BlockKind::Tabs(tabs) => {
                let texts: Vec<String> = tabs
                    .iter()
                    .map(|tab| {
                        let title = escaped(&reference::tab_title(&tab.names));
                        format!("**{title}**\n\n{}", self.blocks(&tab.blocks))
                    })
                    .collect();
                texts.join("\n\n")
            }
            BlockKind::Toc(toc) => {
                let lines = reference::listed(self.book, self.index, toc)
                    .into_iter()
                    .map(|line| {
                        let indent = "  ".repeat(line.level - 1);
                        let number = line
                            .number
                            .map_or(String::new(), |number| format!("{number} "));
                        let (title, notebook) =
                            (escaped(&line.title), self.notebook(line.section));
                        format!("{indent}- [{number}{title}]({notebook})")
                    });
                lines.collect::<Vec<_>>().join("\n")
            }
            BlockKind::Glossary(terms) => {
                let lines: Vec<String> = terms
                    .iter()
                    .map(|term| {
                        format!(
                            "- **{}**: {}",
                            escaped(&term.name),
                            self.inlines(&term.text)
                        )
                    })
                    .collect();
                lines.join("\n")
            }
            BlockKind::Rule => "---".into(),
            BlockKind::Html(html) => html.clone(),
            BlockKind::Footnote { .. } => return None,
        })
    }

    fn table(
        &mut self,
        align: &[Align],
        head: &[Vec<Inline>],
        rows: &[Vec<Vec<Inline>>],
    ) -> String {
        let mut row = |cells: &[Vec<Inline>]| {
            let cells = cells
                .iter()
                .map(|c| self.inlines(c).replace('|', "\\|").replace('\n', " "));
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let rule = align.iter().map(|align| match align {
            Align::None => "---",
            Align::Left => ":--",
            Align::Center => ":-:",
            Align::Right => "--:",
        });
        let rule = format!("| {} |", rule.collect::<Vec<_>>().join(" | "));
        let mut lines = vec![row(head), rule];
        lines.extend(rows.iter().map(|cells| row(cells)));
        lines.join("\n")
    }

    /// The image, carried by the cell itself.
    fn image(&mut self, path: &str, alt: &str) -> String {
        let alt = escaped(alt).replace('\n', " ");
        let Some(image) = Image::read(self.book, self.section(), path) else {
            return format!("![{alt}]({path})");
        };
        let name = image.path.replace('/', "-");
        let content = base64::engine::general_purpose::STANDARD.encode(&image.bytes);
        if image.mime() == "image/svg+xml" {
            // JupyterLab refuses attached drawings, and then leaves all formulas of the cell unset.
            let name = format!("drawing-{}", self.drawings.len() + 1);
            self.drawings
                .push(format!("[{name}]: data:{};base64,{content}", image.mime()));
            return format!("![{alt}][{name}]");
        }
        self.images.insert(name.clone(), json!({ image.mime(): content }));
        format!("![{alt}](attachment:{name})")
    }

    /// Running text.
    pub(super) fn inlines(&mut self, inlines: &[Inline]) -> String {
        inlines.iter().map(|inline| self.inline(inline)).collect()
    }

    fn inline(&mut self, inline: &Inline) -> String {
        match &inline.kind {
            InlineKind::Text(text) => escaped(text),
            InlineKind::Code(code) => {
                let ticks = if code.contains('`') { "``" } else { "`" };
                let room = if code.contains('`') { " " } else { "" };
                format!("{ticks}{room}{code}{room}{ticks}")
            }
            InlineKind::Math(latex) => format!("${}$", latex.trim()),
            InlineKind::Emph(text) => format!("*{}*", self.inlines(text)),
            InlineKind::Strong(text) => format!("**{}**", self.inlines(text)),
            InlineKind::Strike(text) => format!("~~{}~~", self.inlines(text)),
            InlineKind::Link { target, text } => {
                let text = self.inlines(text);
                match self.book.linked_section(self.index, target) {
                    Some(section) => format!("[{text}]({})", self.notebook(section)),
                    None => format!("[{text}]({target})"),
                }
            }
            InlineKind::Image { path, alt } => self.image(path, alt),
            InlineKind::Ref { style, label } => self.reference(*style, label),
            InlineKind::Cite { textual, keys } => self.citation(*textual, keys),
            InlineKind::FootnoteRef(name) => {
                let known = self.notes.iter().position(|other| other == name);
                let number = known.unwrap_or_else(|| {
                    self.notes.push(name.clone());
                    self.notes.len() - 1
                });
                format!("<sup>{}</sup>", number + 1)
            }
            InlineKind::Index(_) => String::new(),
            InlineKind::LineBreak => "  \n".into(),
            InlineKind::SoftBreak => "\n".into(),
            InlineKind::Html(html) => html.clone(),
        }
    }

    fn reference(&mut self, style: RefStyle, label: &str) -> String {
        let Some(target) = self.book.labels.get(label) else { return label.to_owned() };
        let words = match reference::words(target, style) {
            Words::Number(words) => words,
            Words::Title(title) => self.inlines(&without_references(title)),
        };
        match target.section == self.index {
            true => words,
            false => format!("[{words}]({})", self.notebook(target.section)),
        }
    }

    fn citation(&mut self, textual: bool, keys: &[String]) -> String {
        self.cited.extend(keys.iter().cloned());
        let entries =
            reference::cited(self.book, keys).into_iter().map(|entry| match textual {
                true => format!("{} ({})", entry.authors, entry.year),
                false => format!("{}, {}", entry.authors, entry.year),
            });
        let entries = escaped(&entries.collect::<Vec<_>>().join("; "));
        if textual { entries } else { format!("({entries})") }
    }

    /// The address of another section's notebook.
    fn notebook(&self, section: usize) -> String {
        let up = "../".repeat(self.section().slug.matches('/').count());
        format!("{up}{}.ipynb", self.book.sections[section].slug)
    }
}

/// A title for use inside a link, which holds no other link.
fn without_references(title: &[Inline]) -> Vec<Inline> {
    let mut kept = Vec::new();
    walk(title, &mut |inline| {
        if !matches!(inline.kind, InlineKind::Ref { .. } | InlineKind::Cite { .. }) {
            kept.push(inline.clone());
        }
    });
    kept
}

fn fenced(language: &str, code: &str) -> String {
    let fence = if code.contains("```") { "````" } else { "```" };
    format!("{fence}{language}\n{code}\n{fence}")
}

fn indented(text: &str, by: usize) -> String {
    text.replace('\n', &format!("\n{}", " ".repeat(by)))
}

fn quoted(text: &str) -> String {
    format!("> {}", text.replace('\n', "\n> "))
}

/// Text that markdown and formulas leave alone.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '$' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    // What would begin a list or a heading.
    let starts = |text: &str| text.starts_with(['#', '+']) || text.starts_with("- ");
    if starts(&out) {
        out.insert(0, '\\');
    }
    let digits = out.chars().take_while(char::is_ascii_digit).count();
    if digits > 0 && out[digits..].starts_with(". ") {
        out.insert(digits, '\\');
    }
    out
}
