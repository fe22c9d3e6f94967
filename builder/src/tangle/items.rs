//! What a saved cell defines, and where its docs end.

use std::ops::Range;
use syn::spanned::Spanned;
use syn::{Attribute, Item, Visibility};

/// A cell that was read as Rust items. Ranges are bytes of its code.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Names of the public items, in order.
    pub(super) public: Vec<String>,
    /// Where the docs of each public item end, or where docs would start.
    docs: Vec<Docs>,
    /// The `use` items.
    pub(super) imports: Vec<Import>,
}

#[derive(Debug)]
struct Docs {
    at: usize,
    exist: bool,
}

/// A `use` item.
#[derive(Debug)]
pub(super) struct Import {
    /// Without spaces, for comparing.
    pub(super) text: String,
    pub(super) range: Range<usize>,
}

/// Text that replaces a range.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Why a cell is not Rust items: 1-based line and 0-based column in the cell.
#[derive(Debug)]
pub(super) struct NotRust {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) width: usize,
    pub(super) message: String,
}

/// Reads a cell's code.
pub(super) fn parse(code: &str) -> Result<Parsed, NotRust> {
    let file = syn::parse_file(code).map_err(|error| {
        let span = error.span();
        let (start, end) = (span.start(), span.end());
        let same_line = start.line == end.line && end.column > start.column;
        NotRust {
            line: start.line,
            column: start.column,
            width: if same_line { end.column - start.column } else { 1 },
            message: error.to_string(),
        }
    })?;
    let mut parsed = Parsed::default();
    for item in &file.items {
        if let Item::Use(import) = item {
            let range = import.span().byte_range();
            let text = code[range.clone()].split_whitespace().collect();
            parsed.imports.push(Import { text, range });
        }
        let Some((visibility, attributes, name)) = described(item) else { continue };
        if !matches!(visibility, Visibility::Public(_)) {
            continue;
        }
        parsed.public.push(name);
        let last_doc = attributes.iter().rfind(|a| a.path().is_ident("doc"));
        parsed.docs.push(match last_doc {
            Some(doc) => Docs { at: doc.span().byte_range().end, exist: true },
            None => Docs { at: item.span().byte_range().start, exist: false },
        });
    }
    Ok(parsed)
}

impl Parsed {
    /// Ends the docs of every public item with `line`.
    pub(super) fn documented(&self, line: &str) -> Vec<Edit> {
        let edit = |docs: &Docs| Edit {
            range: docs.at..docs.at,
            text: match docs.exist {
                true => format!("\n///\n/// {line}"),
                false => format!("/// {line}\n"),
            },
        };
        self.docs.iter().map(edit).collect()
    }
}

fn described(item: &Item) -> Option<(&Visibility, &[Attribute], String)> {
    Some(match item {
        Item::Const(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Enum(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Fn(i) => (&i.vis, &i.attrs, i.sig.ident.to_string()),
        Item::Mod(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Static(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Struct(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Trait(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Type(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        Item::Union(i) => (&i.vis, &i.attrs, i.ident.to_string()),
        _ => return None,
    })
}
