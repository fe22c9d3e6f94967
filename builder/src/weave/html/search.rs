//! The index that the search box reads: one entry for each part of a page.

use crate::book::Book;
use crate::document::inline::{plain_text, walk_blocks};
use crate::document::{Block, BlockKind};
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

/// A script that defines the index: unlike JSON it can be loaded by a page opened as a file.
pub(super) fn index(book: &Book) -> OutFile {
    let mut parts: Vec<Part> = Vec::new();
    for section in &book.sections {
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
                words(block, &mut part.x);
            }
        }
        parts.push(part);
    }
    let json = serde_json::to_string(&parts).unwrap_or_else(|_| "[]".into());
    let script = format!("window.searchIndex = {json};\n");
    OutFile { path: "static/search-index.js".into(), bytes: script.into_bytes() }
}

fn words(block: &Block, out: &mut String) {
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
