//! Pages of the last weaving, used again where nothing that they show has changed.
//!
//! A page depends on its own text, numbers, outputs and images, and on the *frame*: what every page
//! may show of the others (titles, labels, contents, references, settings, templates).

use super::{Downloads, TEMPLATES, card};
use crate::book::{Book, Section};
use crate::digest::part;
use crate::document::BlockKind;
use crate::document::inline::{plain_text, walk_blocks};
use crate::run::output::SectionOutputs;
use crate::weave::{OutFile, Theme};
use blake3::{Hash, Hasher};
use std::collections::HashMap;
use std::fmt::Write as _;

/// What the last weaving made; empty before the first.
#[derive(Debug, Default)]
pub struct Memo {
    pages: HashMap<String, (Hash, Woven)>,
    /// Cards by their path in the site.
    pub(super) cards: HashMap<String, Vec<u8>>,
}

/// What a section becomes.
#[derive(Debug, Clone)]
pub(super) struct Woven {
    /// Of the page's bytes.
    pub(super) digest: Hash,
    pub(super) page: OutFile,
    /// The images that it shows by their address.
    pub(super) images: Vec<OutFile>,
    /// Its entries of the search index, as JSON with commas between them.
    pub(super) words: String,
}

impl Memo {
    /// The page of `slug`, if it was woven from the same.
    pub(super) fn page(&self, slug: &str, key: Hash) -> Option<&Woven> {
        self.pages.get(slug).filter(|(known, _)| *known == key).map(|(_, woven)| woven)
    }

    /// Keeps a card, as an earlier build has drawn it at this path of its site.
    pub fn keep_card(&mut self, path: String, picture: Vec<u8>) {
        self.cards.insert(path, picture);
    }

    /// Whether no card is known.
    pub fn has_no_cards(&self) -> bool {
        self.cards.is_empty()
    }

    /// Each page's slug and key.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut found: Vec<String> =
            self.pages.iter().map(|(slug, (key, _))| format!("{slug} {key}")).collect();
        found.sort();
        found
    }

    /// Keeps a page in place of the one that it was before.
    pub(super) fn keep(&mut self, slug: &str, key: Hash, woven: Woven) {
        self.pages.insert(slug.to_owned(), (key, woven));
    }
}

/// What a page shows of its own.
pub(super) fn key(
    frame: Hash,
    section: &Section,
    outputs: &SectionOutputs,
    images: &[OutFile],
) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(frame.as_bytes());
    part(&mut hasher, section.document.source.as_bytes());
    part(&mut hasher, format!("{:?}", section.numbers).as_bytes());
    part(&mut hasher, &serde_json::to_vec(outputs).unwrap_or_default());
    for image in images {
        part(&mut hasher, image.path.as_os_str().as_encoded_bytes());
        part(&mut hasher, &image.bytes);
    }
    hasher.finalize()
}

/// What any page may show of the others.
pub(super) fn frame(
    book: &Book,
    theme: &Theme,
    downloads: &Downloads,
    has_index: bool,
) -> Hash {
    let mut hasher = Hasher::new();
    for name in TEMPLATES {
        part(&mut hasher, &theme.file(&format!("html/{name}")).unwrap_or_default());
    }
    for name in card::FILES {
        part(&mut hasher, &theme.file(name).unwrap_or_default());
    }
    let mut text = format!("{:?}{downloads:?}{has_index}{:?}", book.config, book.planned);
    for section in &book.sections {
        let title = plain_text(&section.document.title);
        let _ =
            write!(text, "{:?}", (&section.slug, &section.number, section.role, title));
        walk_blocks(&section.document.blocks, &mut |block| {
            if let BlockKind::Heading { level: 2, text: words, anchor, .. } = &block.kind
            {
                let number = section.numbers.get(&block.span.start);
                let _ = write!(text, "{:?}", (plain_text(words), anchor, number));
            }
        });
    }
    for (label, target) in &book.labels {
        let title = plain_text(&target.title);
        let place = (target.section, &target.anchor, target.kind, &target.number);
        let _ = write!(text, "{:?}", (label, place, title));
    }
    for entry in &book.references {
        let words = plain_text(&entry.entry);
        let _ = write!(text, "{:?}", (&entry.key, &entry.authors, &entry.year, words));
    }
    part(&mut hasher, text.as_bytes());
    hasher.finalize()
}
