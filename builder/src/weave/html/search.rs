//! The index that the search box reads: one entry for each part of a page.

use crate::book::{Book, Section};
use crate::document::inline::{plain_text, walk_blocks};
use crate::document::{Block, BlockKind, Cell};
use crate::weave::OutFile;
use serde::Serialize;

#[derive(Serialize)]
struct Part {
    /// Address, relative to the site's root.
    u: String,
    /// The page.
    p: String,
    /// The heading.
    t: String,
    /// The words.
    x: String,
}

/// The entries of a section, as JSON with commas between them.
pub(super) fn words(book: &Book, section: &Section) -> String {
    let mut parts: Vec<Part> = Vec::new();
    let number = section.number.as_ref().map_or(String::new(), |n| format!("{n} "));
    let page = format!("{number}{}", plain_text(&section.document.title));
    let url = format!("{}.html", section.slug);
    let mut part =
        Part { u: url.clone(), p: page.clone(), t: page.clone(), x: String::new() };
    for block in &section.document.blocks {
        if let BlockKind::Heading { text, anchor, .. } = &block.kind {
            let next = Part {
                u: format!("{url}#{anchor}"),
                p: page.clone(),
                t: plain_text(text),
                x: String::new(),
            };
            parts.push(std::mem::replace(&mut part, next));
        } else {
            if let BlockKind::Cell(cell) = &block.kind {
                let items = saved_items(book, &section.slug, cell);
                parts.extend(items.map(|name| Part {
                    u: format!("{url}#{}", cell.id),
                    p: page.clone(),
                    t: name,
                    x: cell.code.split_whitespace().collect::<Vec<_>>().join(" "),
                }));
            }
            words_of(block, &mut part.x);
        }
    }
    parts.push(part);
    let json = serde_json::to_string(&parts).expect("strings alone are always JSON");
    json[1..json.len() - 1].to_owned()
}

/// A script that defines the index: unlike JSON it can be loaded by a page opened as a file.
pub(super) fn index(sections: &[String]) -> OutFile {
    let script = format!("window.searchIndex = [{}];\n", sections.join(","));
    OutFile { path: "static/search-index.js".into(), bytes: script.into_bytes() }
}

/// What the cell adds to the crate, by its public path: `d2l::plotting::plot`.
fn saved_items<'a>(
    book: &'a Book,
    slug: &'a str,
    cell: &'a Cell,
) -> impl Iterator<Item = String> + 'a {
    let module = slug.rsplit('/').next().unwrap_or(slug).replace('-', "_");
    let library = book.config.library.as_ref().map_or("crate", |library| &library.name);
    cell.save.iter().flat_map(move |save| {
        let topic = save.topic.clone().unwrap_or_else(|| module.clone());
        let names = crate::tangle::public_names(&cell.code);
        names.into_iter().map(move |name| format!("{library}::{topic}::{name}"))
    })
}

fn words_of(block: &Block, out: &mut String) {
    walk_blocks(std::slice::from_ref(block), &mut |block| {
        let text = match &block.kind {
            BlockKind::Paragraph(text) => plain_text(text),
            BlockKind::Figure { caption, .. } | BlockKind::Table { caption, .. } => {
                plain_text(caption)
            }
            BlockKind::Cell(cell) => cell.code.clone(),
            _ => return,
        };
        out.push_str(&text.split_whitespace().collect::<Vec<_>>().join(" "));
        out.push(' ');
    });
}
