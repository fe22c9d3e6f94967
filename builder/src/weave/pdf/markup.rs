//! Chapters → typst markup. Text is escaped here, everything else is a call into the theme.
//!
//! A sheet remembers which of its bytes came from which bytes of a chapter, so that what typst
//! rejects can be shown to the author.

mod blocks;
mod escape;
mod inlines;

use crate::book::{Book, Role, Section};
use crate::config::{Config, Links};
use crate::diagnostic::Diagnostic;
use crate::document::inline::{plain_text, walk_blocks};
use crate::document::{BlockKind, Span, Term};
use crate::run::output::SectionOutputs;
use crate::weave::reference;
pub(in crate::weave) use escape::quoted;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use typst::foundations::Datetime;

/// Everything that typst reads, apart from the theme.
pub(super) struct Manuscript {
    /// The first one includes the others.
    pub(super) sheets: Vec<Sheet>,
    /// Pictures by the path that sheets call them.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// Where each picture comes from: the section, and the bytes of its chapter.
    pub(super) pictures: BTreeMap<String, (usize, Span)>,
    /// What was found wrong while writing.
    pub(super) problems: Vec<Diagnostic>,
}

/// A file of typst markup.
#[derive(Debug)]
pub(super) struct Sheet {
    /// `/book/preliminaries/calculus.typ`
    pub(super) path: String,
    pub(super) text: String,
    pub(super) origins: Vec<Origin>,
}

/// Where a piece of a sheet comes from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// Bytes of the sheet.
    pub(super) range: Range<usize>,
    /// Index into [`Book::sections`].
    pub(super) section: usize,
    /// Bytes of the chapter.
    pub(super) span: Span,
    pub(super) kind: OriginKind,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum OriginKind {
    Formula,
    Block,
}

impl OriginKind {
    /// What the author is told.
    pub(super) fn message(self, cause: &str) -> String {
        match self {
            Self::Formula => format!("a formula that cannot be set: {cause}"),
            Self::Block => format!("cannot be typeset: {cause}"),
        }
    }
}

/// Writes the whole book.
pub(super) fn write(book: &Book, outputs: &[SectionOutputs]) -> Manuscript {
    let mut shared = Shared {
        anchors: anchors(book),
        files: BTreeMap::new(),
        pictures: BTreeMap::new(),
        problems: Vec::new(),
    };
    let none = SectionOutputs::default();
    let mut sheets = vec![main(book, &mut shared)];
    for index in 0..book.sections.len() {
        let outputs = outputs.get(index).unwrap_or(&none);
        let mut pen = Pen::new(book, index, outputs, &mut shared);
        pen.text.push_str(IMPORTS);
        pen.section_title();
        let document = &book.sections[index].document;
        pen.blocks(&document.blocks);
        sheets.push(pen.sheet(path(&book.sections[index])));
    }
    let Shared { files, pictures, problems, .. } = shared;
    Manuscript { sheets, files, pictures, problems }
}

/// One letter is never the name of a variable in typst's formulas, so `b` hides nothing.
const IMPORTS: &str = "\
#import \"/theme/pdf/book.typ\" as b
#import \"/theme/pdf/math.typ\": *

";

fn path(section: &Section) -> String {
    format!("/book/{}.typ", section.slug)
}

/// What the sheets of a book have in common.
struct Shared {
    /// Every place that can be linked to.
    anchors: BTreeSet<String>,
    files: BTreeMap<String, Vec<u8>>,
    pictures: BTreeMap<String, (usize, Span)>,
    problems: Vec<Diagnostic>,
}

/// The name of a place, for links: the page's slug, and `#anchor` inside it.
fn place(section: &Section, anchor: &str) -> String {
    if anchor.is_empty() {
        section.slug.clone()
    } else {
        format!("{}#{anchor}", section.slug)
    }
}

fn anchors(book: &Book) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for section in &book.sections {
        walk_blocks(&section.document.blocks, &mut |block| {
            if let BlockKind::Glossary(terms) = &block.kind {
                found.extend(
                    terms.iter().map(|term| place(section, &Term::label(&term.name))),
                );
            }
            let anchor = match &block.kind {
                BlockKind::Heading { anchor, .. } => Some(anchor),
                BlockKind::Cell(cell) => cell.attrs.label.as_ref(),
                BlockKind::Math { label, .. }
                | BlockKind::Figure { label, .. }
                | BlockKind::Exercise { label, .. }
                | BlockKind::Table { label, .. } => label.as_ref(),
                _ => None,
            };
            found.extend(anchor.map(|anchor| place(section, anchor)));
        });
    }
    found
}

/// A sheet being written.
struct Pen<'a> {
    book: &'a Book,
    index: usize,
    outputs: &'a SectionOutputs,
    shared: &'a mut Shared,
    text: String,
    origins: Vec<Origin>,
    /// Places that this sheet already has.
    placed: BTreeSet<String>,
    cells: usize,
    pictures: usize,
    /// How many lists, notes and the like are around.
    boxes: usize,
}

impl<'a> Pen<'a> {
    fn new(
        book: &'a Book,
        index: usize,
        outputs: &'a SectionOutputs,
        shared: &'a mut Shared,
    ) -> Self {
        Self {
            book,
            index,
            outputs,
            shared,
            text: String::new(),
            origins: Vec::new(),
            placed: BTreeSet::new(),
            cells: 0,
            pictures: 0,
            boxes: 0,
        }
    }

    fn sheet(self, path: String) -> Sheet {
        Sheet { path, text: self.text, origins: self.origins }
    }

    fn section(&self) -> &'a Section {
        &self.book.sections[self.index]
    }

    fn section_title(&mut self) {
        let section = self.section();
        let level = title_level(section);
        let _ = write!(self.text, "#b.heading(level: {level}");
        if let Some(number) = &section.number {
            let _ = write!(self.text, ", number: {}", quoted(number));
        }
        let _ = write!(self.text, ", at: {})[", quoted(&section.slug));
        self.inlines(&section.document.title);
        self.text.push_str("]\n\n");
    }

    /// Notes that the text since `start` stands for `span` of the chapter.
    fn came_from(&mut self, start: usize, span: Span, kind: OriginKind) {
        let range = start..self.text.len();
        self.origins.push(Origin { range, section: self.index, span, kind });
    }
}

/// Sections of a chapter stand below it, all other pages by themselves.
fn title_level(section: &Section) -> u8 {
    if section.role == Role::Section { 2 } else { 1 }
}

/// The sheet that holds the book together: title, contents, sections, references.
fn main(book: &Book, shared: &mut Shared) -> Sheet {
    let none = SectionOutputs::default();
    let mut pen = Pen::new(book, 0, &none, shared);
    pen.text.push_str(IMPORTS);
    pen.text.push_str(&opening(book));
    pen.contents();
    let mut is_front = true;
    for (index, section) in book.sections.iter().enumerate() {
        if is_front && section.role != Role::FrontMatter {
            is_front = false;
            pen.text.push_str("#show: b.main-matter\n");
        }
        if let Some((number, title)) = book.part(index) {
            let (at, title) = (quoted(&part_place(&number)), escape::text(title));
            let _ = writeln!(pen.text, "#b.part({}, {at})[{title}]", quoted(&number));
        }
        let _ = writeln!(pen.text, "#include {}", quoted(&path(section)));
    }
    if !book.references.is_empty() {
        let _ = writeln!(pen.text, "#b.references({},", quoted(REFERENCES));
        for reference in &book.references {
            let at = quoted(&format!("{REFERENCES}#{}", reference.key));
            let _ = write!(pen.text, "  ({at}, [");
            pen.inlines(&reference.entry);
            pen.text.push_str("]),\n");
        }
        pen.text.push_str(")\n");
    }
    if !reference::index(book).is_empty() {
        let _ = writeln!(pen.text, "#b.word-index({})", quoted(INDEX));
    }
    pen.sheet("/book.typ".into())
}

/// The names of the last pages, for links.
const REFERENCES: &str = "references";
const INDEX: &str = "book-index";

/// The name of a part's page, for links.
fn part_place(number: &str) -> String {
    format!("part#{number}")
}

/// The call that sets the style of all, and the title pages.
fn opening(book: &Book) -> String {
    let config = &book.config;
    let text = |value: &Option<String>| value.as_deref().map_or("none".into(), quoted);
    let list = |items: &mut dyn Iterator<Item = String>| {
        let items: String = items.map(|item| format!("{}, ", quoted(&item))).collect();
        format!("({items})")
    };
    let (language, region) = language(config);
    let chapters = book.sections.iter().filter(|s| s.role == Role::Chapter);
    let mut keywords = chapters.map(|chapter| plain_text(&chapter.document.title));
    format!(
        "#show: b.book.with(\n  title: {},\n  subtitle: {},\n  authors: {},\n  \
         description: {},\n  keywords: {},\n  date: {},\n  printed: {},\n  url: {},\n  \
         lang: {},\n  region: {},\n  paper: {},\n  plain-links: {},\n)\n",
        quoted(&config.title),
        text(&config.subtitle),
        list(&mut config.authors.iter().cloned()),
        text(&config.description),
        list(&mut keywords),
        day(config).unwrap_or_else(|| "none".into()),
        text(&config.date),
        text(&config.site.url),
        quoted(language),
        region.map_or("none".into(), quoted),
        quoted(config.print.paper.name()),
        config.print.links == Links::Plain,
    )
}

/// `en-GB` as a language and a region.
fn language(config: &Config) -> (&str, Option<&str>) {
    let mut parts = config.language.split(['-', '_']);
    let language = parts.next().filter(|l| (2..=3).contains(&l.len())).unwrap_or("en");
    (language, parts.find(|part| part.len() == 2))
}

/// The day that the PDF says it was made: only if the book names one.
fn day(config: &Config) -> Option<String> {
    let mut parts =
        config.date.as_deref()?.splitn(3, '-').map(|part| part.trim().parse::<i32>());
    let (year, month, day) =
        (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    Datetime::from_ymd(year, month.try_into().ok()?, day.try_into().ok()?)?;
    Some(format!("datetime(year: {year}, month: {month}, day: {day})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_date_is_a_day() {
        let of =
            |date: &str| day(&Config { date: Some(date.into()), ..Config::default() });
        assert_eq!(of("2026-02-03").unwrap(), "datetime(year: 2026, month: 2, day: 3)");
        assert_eq!(of("2026"), None);
        assert_eq!(of("2026-02-31"), None);
        assert_eq!(of("spring"), None);
    }

    #[test]
    fn languages_may_have_regions() {
        let of = |tag: &str| {
            let config = Config { language: tag.into(), ..Config::default() };
            let (language, region) = language(&config);
            (language.to_owned(), region.map(str::to_owned))
        };
        assert_eq!(of("en"), ("en".into(), None));
        assert_eq!(of("pt-BR"), ("pt".into(), Some("BR".into())));
    }
}
