//! Contents and documents → [`Book`]: order and numbers.

use super::{Book, Planned, Role, Section, Target, TargetKind, resolve};
use crate::bib::Bibliography;
use crate::config::{Config, Entry};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::inline::walk_blocks;
use crate::document::{self, Block, BlockKind, Document, Inline, Span};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// A page of the contents that has not been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    slug: String,
    number: Option<String>,
    role: Role,
}

impl Book {
    /// Reads `book.toml`, the chapters and the bibliography.
    ///
    /// Never fails: what is missing is said in a diagnostic, and the book is what remains.
    pub fn load(config_file: &Path) -> (Self, Vec<Diagnostic>) {
        Self::load_with(config_file, &mut Parsed::nothing())
    }

    /// As [`Book::load`], without reading again what `parsed` knows.
    pub fn load_with(config_file: &Path, parsed: &mut Parsed) -> (Self, Vec<Diagnostic>) {
        let unreadable = |path: &Path, error: std::io::Error| {
            Diagnostic::file(path, format!("cannot be read: {error}"))
        };
        let text = match std::fs::read_to_string(config_file) {
            Ok(text) => text,
            Err(error) => return (Self::default(), vec![unreadable(config_file, error)]),
        };
        let config = match Config::parse(config_file, &text) {
            Ok(config) => config,
            Err(diagnostic) => return (Self::default(), vec![*diagnostic]),
        };
        let root = config_file.parent().unwrap_or(Path::new("")).to_owned();
        let bibliography_file = root.join(&config.bibliography);
        let bibliography = std::fs::read_to_string(&bibliography_file).ok();
        let mut diagnostics = Vec::new();
        let read =
            |slug: &str| std::fs::read_to_string(root.join(format!("{slug}.md"))).ok();
        let sources = Sources {
            config_file,
            config_text: &text,
            bibliography: bibliography.as_deref().map(|text| (&*bibliography_file, text)),
        };
        let book =
            Self::assemble(config, &root, &sources, read, parsed, &mut diagnostics);
        super::files::check(&book, &sources, &mut diagnostics);
        (book, diagnostics)
    }

    /// A book of the chapters that `read` gives for each slug. Pure: touches no disk itself.
    pub fn assemble(
        config: Config,
        root: &Path,
        sources: &Sources<'_>,
        read: impl Fn(&str) -> Option<String>,
        parsed: &mut Parsed,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let (pages, planned) = contents(&config);
        let mut book = Self { config, root: root.to_owned(), planned, ..Self::default() };
        let mut seen = BTreeSet::new();
        for page in pages {
            if !seen.insert(page.slug.clone()) {
                diagnostics.push(sources.in_config(&page, "is listed twice"));
                continue;
            }
            let path = root.join(format!("{}.md", page.slug));
            let Some(source) = read(&page.slug) else {
                let message = format!("has no file {}", path.display());
                diagnostics.push(sources.in_config(&page, &message));
                // The numbers after it stay as they will be.
                book.sections
                    .push(unread(page, Document { path, ..Document::default() }));
                continue;
            };
            let (document, found) = parsed.document(path, source);
            diagnostics.extend(found);
            book.sections.push(unread(page, document));
        }
        for index in 0..book.sections.len() {
            number_blocks(&mut book.sections[index]);
            resolve::collect_labels(&mut book, index, diagnostics);
        }
        let bibliography =
            match sources.bibliography.map(|(p, t)| Bibliography::parse(p, t)) {
                Some(Ok(bibliography)) => bibliography,
                Some(Err(found)) => {
                    diagnostics.extend(found);
                    Bibliography::default()
                }
                None => Bibliography::default(),
            };
        let cited = resolve::check_references(&book, &bibliography, diagnostics);
        book.references = bibliography.references(&cited, &book.config.language);
        book
    }

    /// The chapters' texts by their slugs, assembled; for tests and previews.
    ///
    /// # Errors
    /// If `config` is not the text of a `book.toml`.
    pub fn from_texts(
        config: &str,
        texts: &[(&str, &str)],
        bibliography: Option<&str>,
    ) -> Result<(Self, Vec<Diagnostic>), Box<Diagnostic>> {
        Self::from_texts_with(config, texts, bibliography, &mut Parsed::nothing())
    }

    /// As [`Book::from_texts`], without reading again what `parsed` knows.
    ///
    /// # Errors
    /// If `config` is not the text of a `book.toml`.
    pub fn from_texts_with(
        config: &str,
        texts: &[(&str, &str)],
        bibliography: Option<&str>,
        parsed: &mut Parsed,
    ) -> Result<(Self, Vec<Diagnostic>), Box<Diagnostic>> {
        let config_file = Path::new("book/book.toml");
        let bibliography_file = Path::new("book/references.bib");
        let settings = Config::parse(config_file, config)?;
        let sources = Sources {
            config_file,
            config_text: config,
            bibliography: bibliography.map(|text| (bibliography_file, text)),
        };
        let texts: HashMap<&str, &str> = texts.iter().copied().collect();
        let read = |slug: &str| texts.get(slug).map(|text| (*text).to_owned());
        let mut diagnostics = Vec::new();
        let root = Path::new("book");
        let book =
            Self::assemble(settings, root, &sources, read, parsed, &mut diagnostics);
        Ok((book, diagnostics))
    }
}

/// Documents of the last reading, used again where their text is the same.
#[derive(Debug)]
pub struct Parsed {
    /// None keeps nothing.
    documents: Option<HashMap<PathBuf, (Document, Vec<Diagnostic>)>>,
}

impl Parsed {
    /// A memory that starts empty.
    pub fn empty() -> Self {
        Self { documents: Some(HashMap::new()) }
    }

    /// One that keeps nothing, for a book that is read once.
    pub fn nothing() -> Self {
        Self { documents: None }
    }

    fn document(&mut self, path: PathBuf, source: String) -> (Document, Vec<Diagnostic>) {
        let Some(known) = &mut self.documents else {
            return document::parse(path, source);
        };
        match known.get(&path) {
            Some(same) if same.0.source == source => same.clone(),
            _ => {
                let parsed = document::parse(path.clone(), source);
                known.insert(path, parsed.clone());
                parsed
            }
        }
    }
}

/// The files beside the chapters, for pointing into them.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// What diagnostics call `book.toml`.
    pub config_file: &'a Path,
    /// Its text.
    pub config_text: &'a str,
    /// The bibliography, if there is one: its path and text.
    pub bibliography: Option<(&'a Path, &'a str)>,
}

impl Sources<'_> {
    /// An error about `page`, at its place in `book.toml`.
    fn in_config(&self, page: &Page, message: &str) -> Diagnostic {
        let (folder, name) = page.slug.rsplit_once('/').unwrap_or(("", &page.slug));
        // Pages of chapters are listed by their names after the chapter's folder.
        let chapter = self.config_text.find(&format!("\"{folder}\"")).unwrap_or(0);
        let text = self.config_text;
        let start = [
            format!("\"{}\"", page.slug),
            format!("\"{name}\""),
            format!("\"{folder}\""),
        ]
        .iter()
        .find_map(|quoted| text[chapter..].find(quoted).map(|at| (at, quoted.len())));
        let span = start.map_or(Span::default(), |(at, length)| {
            Span::new(chapter + at + 1..chapter + at + length - 1)
        });
        let message = format!("`{}` {message}", page.slug);
        Diagnostic::in_text(Severity::Error, self.config_file, text, span, message)
    }
}

fn unread(page: Page, document: Document) -> Section {
    let Page { slug, number, role } = page;
    Section { document, slug, number, role, ..Section::default() }
}

/// Every page in reading order, and the sections that are still to come.
fn contents(config: &Config) -> (Vec<Page>, Vec<Planned>) {
    let front = config.front.iter().map(|slug| Page {
        slug: slug.clone(),
        number: None,
        role: Role::FrontMatter,
    });
    let mut pages: Vec<Page> = front.collect();
    let mut planned = Vec::new();
    for (i, chapter) in config.chapters.iter().enumerate() {
        let chapter_number = config.first_chapter + i;
        pages.push(Page {
            slug: format!("{}/index", chapter.path),
            number: Some(chapter_number.to_string()),
            role: Role::Chapter,
        });
        for (k, entry) in chapter.sections.iter().enumerate() {
            let number = format!("{chapter_number}.{}", k + 1);
            match entry {
                Entry::Page(name) => pages.push(Page {
                    slug: format!("{}/{name}", chapter.path),
                    number: Some(number),
                    role: Role::Section,
                }),
                Entry::Planned { planned: title } => planned.push(Planned {
                    number,
                    title: title.clone(),
                    after: pages.len() - 1,
                }),
            }
        }
    }
    (pages, planned)
}

/// What a block counts as, if it can have a number.
pub(super) fn numbered_kind(block: &Block) -> Option<TargetKind> {
    match &block.kind {
        BlockKind::Heading { numbered: true, .. } => Some(TargetKind::Section),
        BlockKind::Figure { caption, label, .. }
            if !caption.is_empty() || label.is_some() =>
        {
            Some(TargetKind::Figure)
        }
        BlockKind::Cell(cell) if cell.attrs.caption.is_some() => Some(TargetKind::Figure),
        BlockKind::Table { caption, label, .. }
            if !caption.is_empty() || label.is_some() =>
        {
            Some(TargetKind::Table)
        }
        BlockKind::Math { label: Some(_), .. } => Some(TargetKind::Equation),
        BlockKind::Exercise { .. } => Some(TargetKind::Exercise),
        _ => None,
    }
}

/// Numbers headings, figures, tables and equations, each kind by itself: `2.4.1`, `2.4.2`.
fn number_blocks(section: &mut Section) {
    let Section { document, number, numbers, role, .. } = section;
    let prefix = number.as_ref().map_or(String::new(), |number| format!("{number}."));
    let (mut figures, mut tables, mut equations, mut exercises) = (0, 0, 0, 0);
    let mut headings = [0_usize; 5];
    walk_blocks(&document.blocks, &mut |block| {
        let Some(kind) = numbered_kind(block) else { return };
        let mut next = |counter: &mut usize| {
            *counter += 1;
            numbers.insert(block.span.start, format!("{prefix}{counter}"));
        };
        match kind {
            TargetKind::Figure => next(&mut figures),
            TargetKind::Table => next(&mut tables),
            TargetKind::Equation => next(&mut equations),
            TargetKind::Exercise => next(&mut exercises),
            TargetKind::Term => {}
            // A chapter's opening page shares its number's first part with its sections.
            TargetKind::Chapter | TargetKind::Section => {
                let BlockKind::Heading { level, .. } = block.kind else { return };
                if *role != Role::Section {
                    return;
                }
                let depth = usize::from(level.clamp(2, 6)) - 2;
                headings[depth] += 1;
                headings[depth + 1..].fill(0);
                let parts = headings[..=depth].iter().map(usize::to_string);
                let number = format!("{prefix}{}", parts.collect::<Vec<_>>().join("."));
                numbers.insert(block.span.start, number);
            }
        }
    });
}

/// What the label of `block` points to, if it has one.
pub(super) fn target(
    section: &Section,
    index: usize,
    block: &Block,
) -> Option<(String, Target)> {
    let (label, title): (&Option<String>, &[Inline]) = match &block.kind {
        BlockKind::Heading { label, text, .. } => (label, text),
        BlockKind::Figure { label, caption, .. }
        | BlockKind::Table { label, caption, .. } => (label, caption),
        BlockKind::Math { label, .. } | BlockKind::Exercise { label, .. } => (label, &[]),
        BlockKind::Cell(cell) => {
            (&cell.attrs.label, cell.attrs.caption.as_deref().unwrap_or_default())
        }
        _ => return None,
    };
    let label = label.clone()?;
    let kind = match &block.kind {
        BlockKind::Heading { .. } => TargetKind::Section,
        _ => numbered_kind(block)?,
    };
    let anchor = match &block.kind {
        BlockKind::Heading { anchor, .. } => anchor.clone(),
        _ => label.clone(),
    };
    let number = section.numbers.get(&block.span.start).cloned().unwrap_or_default();
    Some((label, Target { section: index, anchor, kind, number, title: title.to_vec() }))
}
