//! A chapter as plain data: blocks, inlines and cells, each with its span in the source.
//!
//! Parsing never fails: it gives a [`Document`] and the diagnostics it met. Everything after it
//! (tangle, run, weave) reads this tree and never the markdown again.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub mod fence;
pub mod inline;
mod latex;
pub mod parse;
mod scan;

pub use parse::parse;

/// Bytes `start..end` of the chapter's source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes `range` as a span.
    pub fn new(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }

    /// The same bytes as a range.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start..self.end
    }
}

/// One markdown file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Path as the author writes it, relative to where the command runs:
    /// `book/preliminaries/calculus.md`.
    pub path: PathBuf,
    /// The whole source text; every [`Span`] indexes it.
    pub source: String,
    /// The text of the first level-1 heading.
    pub title: Vec<Inline>,
    /// The label of the section (`:label:` directly after the title), if any.
    pub label: Option<String>,
    /// The blocks after the title, in order.
    pub blocks: Vec<Block>,
    /// Where each label of the chapter was given.
    pub label_spans: BTreeMap<String, Span>,
}

/// A block and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Where it is.
    pub span: Span,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockKind {
    /// A heading below the title.
    Heading {
        /// 2 to 6.
        level: u8,
        /// What it says.
        text: Vec<Inline>,
        /// Its `:label:`.
        label: Option<String>,
        /// Made from the text, unique on the page.
        anchor: String,
        /// False for `## Summary {-}`.
        numbered: bool,
    },
    /// A paragraph.
    Paragraph(Vec<Inline>),
    /// A code cell that is run.
    Cell(Box<Cell>),
    /// A code block that is only shown.
    Code {
        /// The first word of the fence; empty if there is none.
        language: String,
        /// The code, without the last line end.
        code: String,
    },
    /// A displayed formula.
    Math {
        /// LaTeX without its delimiters.
        latex: String,
        /// Its `:eqlabel:`.
        label: Option<String>,
    },
    /// An image alone in its paragraph.
    Figure {
        /// As written, relative to the chapter's folder.
        path: String,
        /// What the image shows, for those who do not see it.
        alt: String,
        /// The image's title if it has one, else the alternative text.
        caption: Vec<Inline>,
        /// Its `:label:`.
        label: Option<String>,
        /// Its `:width:`, as written: `400px`, `60%`.
        width: Option<String>,
        /// Its `:height:`, as written.
        height: Option<String>,
    },
    /// A table.
    Table {
        /// One entry a column.
        align: Vec<Align>,
        /// One entry a column.
        head: Vec<Vec<Inline>>,
        /// As many cells in each row as columns.
        rows: Vec<Vec<Vec<Inline>>>,
        /// The line `: text` before or after the table.
        caption: Vec<Inline>,
        /// Its `:label:`.
        label: Option<String>,
    },
    /// A list.
    List {
        /// The first number of an ordered one.
        start: Option<u64>,
        /// The blocks of each item.
        items: Vec<Vec<Block>>,
    },
    /// A quotation.
    Quote(Vec<Block>),
    /// A call-out, `> [!NOTE]`.
    Admonition {
        /// `note`, `tip`, `important`, `warning` or `caution`.
        kind: String,
        /// What it says.
        blocks: Vec<Block>,
    },
    /// An item of the list below the heading “Exercises”.
    Exercise {
        /// Its `:label:`.
        label: Option<String>,
        /// What is asked.
        blocks: Vec<Block>,
    },
    /// `:begin_solution:` … `:end_solution:`; its cells are run.
    Solution {
        /// Which of the chapter's exercises it solves, counted from 1; `None` where it stands in
        /// its exercise, or does not say.
        exercise: Option<usize>,
        /// The answer.
        blocks: Vec<Block>,
    },
    /// Versions of one text or code side by side, such as for several libraries; only shown.
    Tabs(Vec<Tab>),
    /// A list of pages.
    Toc(Toc),
    /// Words and what they mean.
    Glossary(Vec<Term>),
    /// A horizontal rule.
    Rule,
    /// Raw HTML, passed to the site and left out elsewhere.
    Html(String),
    /// The definition of a footnote.
    Footnote {
        /// As in `[^name]`.
        name: String,
        /// What it says.
        blocks: Vec<Block>,
    },
}

/// One of several versions: `:begin_tab:`, or code that starts with `#@tab`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tab {
    /// What it is for: `pytorch`; one or more.
    pub names: Vec<String>,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// A block ```` ```toc ````.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toc {
    /// `:maxdepth:`, 1 if it is not given: 2 lists the sections of each page as well.
    pub depth: usize,
    /// `:numbered:`: pages are shown with their numbers.
    pub is_numbered: bool,
    /// Pages as written, relative to the chapter's folder, without `.md`.
    pub pages: Vec<(String, Span)>,
}

/// An entry of a glossary.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// The word.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What it means.
    pub text: Vec<Inline>,
}

impl Term {
    /// The label under which `:term:` finds it; also its place on the page.
    pub fn label(name: &str) -> String {
        format!("term-{}", inline::slug(name))
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Inline {
    /// What it is.
    pub kind: InlineKind,
    /// Where it is.
    pub span: Span,
}

/// What an inline is.
#[derive(Debug, Clone, PartialEq)]
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
    /// A link.
    Link {
        /// As written.
        target: String,
        /// What the reader clicks.
        text: Vec<Inline>,
    },
    /// An image inside running text.
    Image {
        /// As written, relative to the chapter's folder.
        path: String,
        /// What it shows.
        alt: String,
    },
    /// `:numref:` (kind and number, "Figure 2.3.1"), `:ref:` (title) or `:eqref:` ("(2.3.1)").
    Ref {
        /// Which of the three.
        style: RefStyle,
        /// What it points to.
        label: String,
    },
    /// `:cite:` and `:citep:` (in parentheses) or `:citet:` (in the sentence).
    Cite {
        /// In the sentence.
        textual: bool,
        /// One or more.
        keys: Vec<String>,
    },
    /// A use of a footnote.
    FootnoteRef(String),
    /// ``:index:`term` ``: this place is in the book's index. `group!term` stands below `group`.
    Index(String),
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
    /// A word of the glossary.
    Term,
}

/// A cell: code that the reader sees and the engine runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// Stable name inside its chapter: the label, or else made from the code; never a line number.
    pub id: String,
    /// The code as the reader sees it: without the fence, the `#@save` line and the last line end.
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

/// The attributes of a cell's fence, as in `` ```rust, hide-code, timeout=60 ``.
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
    /// `fails` (empty), `fails="E0382"` or `fails="text"`: the cell must fail, with that compiler
    /// code or that text in its message.
    pub fails: Option<String>,
    /// `timeout=SECONDS` for this cell.
    pub timeout: Option<u64>,
    /// `memory="2 GiB"`: bytes that the cell's process may hold; the section waits until they are free.
    pub memory: Option<u64>,
    /// `gpu`: run only where there is a GPU; elsewhere its outputs are those of a machine that has one.
    pub gpu: bool,
    /// `approx=1e-3`: by which part numbers of its outputs may differ from the recorded ones.
    pub approx: Option<f64>,
    /// `volatile`: its outputs differ from run to run, such as times; they are neither recorded nor
    /// compared.
    pub volatile: bool,
    /// `caption="…"`: the cell's figure output becomes a numbered figure.
    pub caption: Option<Vec<Inline>>,
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
        let mut cells = Vec::new();
        inline::walk_blocks(&self.blocks, &mut |block| {
            if let BlockKind::Cell(cell) = &block.kind {
                cells.push((&**cell, block.span));
            }
        });
        cells.into_iter()
    }
}
