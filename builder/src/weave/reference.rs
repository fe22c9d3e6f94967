//! What references and citations say; each format sets the words in its own way.

use crate::book::{Book, Reference, Role, Section, Target, TargetKind};
use crate::document::inline::{plain_text, walk_blocks};
use crate::document::{BlockKind, Inline, InlineKind, RefStyle, Toc};
use std::collections::BTreeMap;

/// The words of a reference.
#[derive(Debug, PartialEq)]
pub(super) enum Words<'a> {
    /// `Section 2.4`, `(2.4.1)`.
    Number(String),
    /// A title, with its markup.
    Title(&'a [Inline]),
}

/// What a reference to `target` says.
pub(super) fn words(target: &Target, style: RefStyle) -> Words<'_> {
    let has_number = !target.number.is_empty();
    match style {
        RefStyle::Equation => Words::Number(format!("({})", target.number)),
        RefStyle::Number if has_number => {
            Words::Number(format!("{} {}", kind(target.kind), target.number))
        }
        _ => Words::Title(&target.title),
    }
}

/// `Section`
pub(super) fn kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Chapter => "Chapter",
        TargetKind::Section => "Section",
        TargetKind::Figure => "Figure",
        TargetKind::Table => "Table",
        TargetKind::Equation => "Equation",
        TargetKind::Exercise => "Exercise",
        TargetKind::Term => "Term",
    }
}

/// What stands above a solution: `Solution to Exercise 2.4.2`.
pub(super) fn solution_title(section: &Section, exercise: Option<usize>) -> String {
    let Some(exercise) = exercise else { return "Solution".into() };
    let mut exercises = Vec::new();
    walk_blocks(&section.document.blocks, &mut |block| {
        if matches!(block.kind, BlockKind::Exercise { .. }) {
            exercises.push(block.span.start);
        }
    });
    let at = exercise.checked_sub(1).and_then(|index| exercises.get(index));
    let number = at.and_then(|at| section.numbers.get(at)).cloned();
    format!("Solution to Exercise {}", number.unwrap_or_else(|| exercise.to_string()))
}

/// `Part I: Foundations`, if one begins with the section at `index`.
pub(super) fn part_title(book: &Book, index: usize) -> Option<String> {
    book.part(index).map(|(number, title)| format!("Part {number}: {title}"))
}

/// A line of a list of pages.
pub(super) struct Listed {
    /// 1 for a page, 2 for what stands on it or below it.
    pub(super) level: usize,
    pub(super) number: Option<String>,
    pub(super) title: String,
    pub(super) section: usize,
    pub(super) anchor: String,
}

/// What a list of pages in section `index` lists.
pub(super) fn listed(book: &Book, index: usize, toc: &Toc) -> Vec<Listed> {
    let mut lines = Vec::new();
    for (page, _) in &toc.pages {
        let Some(section) = book.linked_section(index, &format!("{page}.md")) else {
            continue;
        };
        list_page(book, section, 1, toc, &mut lines);
        if book.sections[section].role == Role::Chapter && toc.depth > 1 {
            let below = book.sections[section + 1..]
                .iter()
                .take_while(|s| s.role == Role::Section);
            for offset in 0..below.count() {
                list_page(book, section + 1 + offset, 2, toc, &mut lines);
            }
        }
    }
    lines
}

fn list_page(
    book: &Book,
    index: usize,
    level: usize,
    toc: &Toc,
    lines: &mut Vec<Listed>,
) {
    let section = &book.sections[index];
    let number = |number: Option<&String>| number.filter(|_| toc.is_numbered).cloned();
    lines.push(Listed {
        level,
        number: number(section.number.as_ref()),
        title: plain_text(&section.document.title),
        section: index,
        anchor: String::new(),
    });
    if section.role == Role::Chapter || level == toc.depth {
        return;
    }
    for block in &section.document.blocks {
        let BlockKind::Heading { level: 2, text, anchor, .. } = &block.kind else {
            continue;
        };
        lines.push(Listed {
            level: level + 1,
            number: number(section.numbers.get(&block.span.start)),
            title: plain_text(text),
            section: index,
            anchor: anchor.clone(),
        });
    }
}

/// The place of a word of the book's index on its page; a page is listed once.
pub(super) fn index_anchor(term: &str) -> String {
    // Words that differ by capitals alone, or by where one is below another, are at places of
    // their own.
    let slug = crate::document::inline::slug(&term.replace('!', "-"));
    if slug == term {
        return format!("index-{slug}");
    }
    let digest = blake3::hash(term.as_bytes()).to_hex();
    format!("index-{slug}-{}", &digest[..4])
}

/// What a word of the index is sorted by: what is below a word follows it at once.
fn index_key(term: &str) -> String {
    term.to_lowercase().replace('!', "\u{1}")
}

/// The words of the book's index with the sections in which they stand.
pub(super) fn index(book: &Book) -> Vec<(String, Vec<usize>)> {
    let mut words: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (index, section) in book.sections.iter().enumerate() {
        section.document.walk_inlines(|inline| {
            if let InlineKind::Index(term) = &inline.kind {
                let sections = words.entry((index_key(term), term.clone())).or_default();
                if sections.last() != Some(&index) {
                    sections.push(index);
                }
            }
        });
    }
    words.into_iter().map(|((_, term), sections)| (term, sections)).collect()
}

/// What a tab is called: `PyTorch`, `MXNet / JAX`.
pub(super) fn tab_title(names: &[String]) -> String {
    let known = |name: &String| match name.as_str() {
        "pytorch" => "PyTorch".into(),
        "tensorflow" => "TensorFlow".into(),
        "mxnet" => "MXNet".into(),
        "jax" => "JAX".into(),
        "rust" => "Rust".into(),
        "all" => "All".into(),
        _ => name.clone(),
    };
    names.iter().map(known).collect::<Vec<String>>().join(" / ")
}

/// The entries of a citation, in the order written.
pub(super) fn cited<'a>(book: &'a Book, keys: &[String]) -> Vec<&'a Reference> {
    keys.iter().filter_map(|key| book.references.iter().find(|r| r.key == *key)).collect()
}
