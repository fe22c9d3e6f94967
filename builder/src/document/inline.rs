//! Walking and flattening running text: what labels, references and citations are read from.

use super::{Block, BlockKind, Document, Inline, InlineKind};

/// The text without its markup; formulas as their LaTeX, references and citations left out.
pub fn plain_text(inlines: &[Inline]) -> String {
    let mut out = String::new();
    walk(inlines, &mut |inline| match &inline.kind {
        InlineKind::Text(text) | InlineKind::Code(text) | InlineKind::Math(text) => {
            out.push_str(text);
        }
        InlineKind::Image { alt, .. } => out.push_str(alt),
        InlineKind::SoftBreak | InlineKind::LineBreak => out.push(' '),
        _ => {}
    });
    out
}

/// A name for `text` in an address: lower case, words joined by hyphens; never empty.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            out.push(c);
        } else if (c.is_whitespace() || matches!(c, '-' | '_' | '–' | '—' | '/' | ':'))
            && !out.ends_with('-')
            && !out.is_empty()
        {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() { "section".into() } else { out.into() }
}

/// Calls `visit` with each inline, outer before inner, in order.
pub fn walk<'a>(inlines: &'a [Inline], visit: &mut impl FnMut(&'a Inline)) {
    for inline in inlines {
        visit(inline);
        match &inline.kind {
            InlineKind::Emph(text)
            | InlineKind::Strong(text)
            | InlineKind::Strike(text)
            | InlineKind::Link { text, .. } => walk(text, visit),
            _ => {}
        }
    }
}

/// Calls `visit` with each block, outer before inner, in order.
pub fn walk_blocks<'a>(blocks: &'a [Block], visit: &mut impl FnMut(&'a Block)) {
    for block in blocks {
        visit(block);
        match &block.kind {
            BlockKind::Quote(blocks)
            | BlockKind::Admonition { blocks, .. }
            | BlockKind::Exercise { blocks, .. }
            | BlockKind::Solution { blocks, .. }
            | BlockKind::Footnote { blocks, .. } => walk_blocks(blocks, visit),
            BlockKind::Tabs(tabs) => {
                for tab in tabs {
                    walk_blocks(&tab.blocks, visit);
                }
            }
            BlockKind::List { items, .. } => {
                for blocks in items {
                    walk_blocks(blocks, visit);
                }
            }
            _ => {}
        }
    }
}

impl Document {
    /// Calls `visit` with each inline of the chapter: title, text, captions, cells of tables.
    pub fn walk_inlines<'a>(&'a self, mut visit: impl FnMut(&'a Inline)) {
        walk(&self.title, &mut visit);
        walk_blocks(&self.blocks, &mut |block| match &block.kind {
            BlockKind::Heading { text, .. } | BlockKind::Paragraph(text) => {
                walk(text, &mut visit);
            }
            BlockKind::Figure { caption, .. } => walk(caption, &mut visit),
            BlockKind::Glossary(terms) => {
                for term in terms {
                    walk(&term.text, &mut visit);
                }
            }
            BlockKind::Cell(cell) => {
                walk(cell.attrs.caption.as_deref().unwrap_or_default(), &mut visit);
            }
            BlockKind::Table { head, rows, caption, .. } => {
                walk(caption, &mut visit);
                for text in head.iter().chain(rows.iter().flatten()) {
                    walk(text, &mut visit);
                }
            }
            _ => {}
        });
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn slugs_are_readable() {
        assert_eq!(slug("Data Manipulation"), "data-manipulation");
        assert_eq!(slug("What's in `x += y`?"), "whats-in-x-y");
        assert_eq!(slug("Backward — the chain rule"), "backward-the-chain-rule");
        assert_eq!(slug("$$"), "section");
        assert_eq!(slug("Größe"), "größe");
    }
}
