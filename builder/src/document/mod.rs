//! A chapter as plain data: blocks, inlines and cells, each with its span in the source.
//!
//! Parsing never fails: it gives a [`Document`] and the diagnostics it met. Everything after it
//! (tangle, run, weave) reads this tree and never the markdown again.

use std::path::PathBuf;

pub mod fence;
pub mod inline;
pub mod parse;

pub use parse::parse;

/// Bytes `start..end` of the chapter's source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One markdown file.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Path as the author writes it, relative to the book's root folder's parent: `book/preliminaries/calculus.md`.
    pub path: PathBuf,
    /// The whole source text; every [`Span`] indexes it.
    pub source: String,
    /// The text of the first level-1 heading.
    pub title: Vec<Inline>,
    /// The label of the section (`:label:` directly after the title), if any.
    pub label: Option<String>,
    /// The blocks after the title, in order.
    pub blocks: Vec<Block>,
}

/// A block and where it stands.
#[derive(Debug, Clone)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Where it is.
    pub span: Span,
}

/// What a block is.
#[derive(Debug, Clone)]
pub enum BlockKind {
    /// A heading below the title. `level` is 2 to 6; `numbered` is false for `## Summary {-}`.
    Heading { level: u8, text: Vec<Inline>, label: Option<String>, anchor: String, numbered: bool },
    /// A paragraph.
    Paragraph(Vec<Inline>),
    /// A code cell that is run.
    Cell(Box<Cell>),
    /// A code block that is only shown.
    Code { language: String, code: String },
    /// A displayed formula, LaTeX without its delimiters.
    Math { latex: String, label: Option<String> },
    /// A figure: an image alone in its paragraph. `path` is as written, relative to the chapter's folder.
    Figure { path: String, alt: String, caption: Vec<Inline>, label: Option<String>, width: Option<String> },
    /// A table with its caption.
    Table { align: Vec<Align>, head: Vec<Vec<Inline>>, rows: Vec<Vec<Vec<Inline>>>, caption: Vec<Inline>, label: Option<String> },
    /// A list; `start` is the first number of an ordered one.
    List { start: Option<u64>, items: Vec<Vec<Block>> },
    /// A quotation.
    Quote(Vec<Block>),
    /// A call-out: `> [!NOTE]` (note, tip, important, warning, caution).
    Admonition { kind: String, blocks: Vec<Block> },
    /// A horizontal rule.
    Rule,
    /// Raw HTML, passed to the site and left out elsewhere.
    Html(String),
    /// The definition of a footnote.
    Footnote { name: String, blocks: Vec<Block> },
}

/// The alignment of a table's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// As the theme likes.
    None,
    /// Left.
    Left,
    /// Centred.
    Center,
    /// Right.
    Right,
}

/// A piece of running text and where it stands.
#[derive(Debug, Clone)]
pub struct Inline {
    /// What it is.
    pub kind: InlineKind,
    /// Where it is.
    pub span: Span,
}

/// What an inline is.
#[derive(Debug, Clone)]
pub enum InlineKind {
    /// Text.
    Text(String),
    /// `code`
    Code(String),
    /// `$…$`, LaTeX without the dollars.
    Math(String),
    /// *emphasis*
    Emph(Vec<Inline>),
    /// **strong**
    Strong(Vec<Inline>),
    /// ~~struck~~
    Strike(Vec<Inline>),
    /// A link. `target` is as written.
    Link { target: String, text: Vec<Inline> },
    /// An image inside running text.
    Image { path: String, alt: String },
    /// `:numref:` (number and kind, "Figure 2.3.1"), `:ref:` (title) or `:eqref:` ("(2.3.1)").
    Ref { style: RefStyle, label: String },
    /// `:cite:` / `:citep:` (in parentheses) or `:citet:` (in the sentence); one or more keys.
    Cite { textual: bool, keys: Vec<String> },
    /// A use of a footnote.
    FootnoteRef(String),
    /// A line break that the author asked for.
    LineBreak,
    /// A line end in the source.
    SoftBreak,
    /// Raw HTML.
    Html(String),
}

/// How a reference shows its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefStyle {
    /// Kind and number: `Section 2.3`, `Figure 2.3.1`.
    Number,
    /// Title of the section.
    Title,
    /// Number in parentheses, of an equation.
    Equation,
}

/// A cell: code that the reader sees and the engine runs.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// Stable name inside its chapter: the label, or else made from the code; never a line number.
    pub id: String,
    /// The code as the reader sees it: without the fence, without the `#@save` line.
    pub code: String,
    /// Where each of `code`'s lines stands in the source: byte offset of the line's first byte.
    pub line_starts: Vec<usize>,
    /// `//#@save [topic]`: the cell is part of the crate.
    pub save: Option<Save>,
    /// Attributes of the fence, checked.
    pub attrs: CellAttrs,
}

/// What `//#@save` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Save {
    /// The topic to publish under; `None` publishes under the section's own module.
    pub topic: Option<String>,
    /// Where the marker stands.
    pub span: Span,
}

/// The attributes of a cell's fence, as in ```` ```{.rust .cell hide timeout=60 fails="E0382"} ```` or `` ```rust, hide ``.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellAttrs {
    /// `label=NAME`.
    pub label: Option<String>,
    /// `hide`: run, but show neither code nor outputs.
    pub hide: bool,
    /// `hide-code`: show the outputs only.
    pub hide_code: bool,
    /// `hide-output`: show the code only.
    pub hide_output: bool,
    /// `fails` or `fails="E0382"`: the cell must fail; with that compiler code or, `fails="text"`, with that text in its message.
    pub fails: Option<String>,
    /// `timeout=SECONDS` for this cell.
    pub timeout: Option<u64>,
    /// `caption="…"`: the cell's figure output becomes a numbered figure.
    pub caption: Option<String>,
    /// `alt="…"` for the cell's figure output.
    pub alt: Option<String>,
}

impl Document {
    /// 1-based line and column (in characters) of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.source[..self.source.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The cells, in order.
    pub fn cells(&self) -> impl Iterator<Item = (&Cell, Span)> {
        self.blocks.iter().filter_map(|block| match &block.kind {
            BlockKind::Cell(cell) => Some((&**cell, block.span)),
            _ => None,
        })
    }
}
