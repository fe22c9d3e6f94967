//! What names mean: for completion and for tooltips, answered while a cell runs.
//!
//! Items come from the sources of the prelude crate and from the cells, variables from the engine.
//! A method is looked up under the last name of its receiver's type, so `x.ma` with `x: d2l::Tensor`
//! gives `matmul`; where the receiver's type is not known, every method is offered.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use syn::spanned::Spanned;

const KEYWORDS: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
    "assert!",
    "assert_eq!",
    "dbg!",
    "eprintln!",
    "format!",
    "panic!",
    "print!",
    "println!",
    "vec!",
    "Some",
    "None",
    "Ok",
    "Err",
    "Box",
    "Option",
    "Result",
    "String",
    "Vec",
];

/// Every name that is known, with its signature and docs.
#[derive(Debug, Default)]
pub(super) struct Index {
    items: BTreeMap<String, Entry>,
    /// Type → name → method, associated function, field or variant.
    members: BTreeMap<String, BTreeMap<String, Entry>>,
    /// Name → type.
    pub(super) variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    signature: String,
    docs: String,
}

/// A place in a cell: the word there and what stands before it.
struct Place<'a> {
    word: &'a str,
    range: Range<usize>,
    /// The name before `.` or `::`, empty if it is no plain name.
    owner: Option<&'a str>,
    method: bool,
}

impl Index {
    /// Takes over the items of a crate's sources.
    pub(super) fn read_crate(&mut self, source: &Path) {
        let mut folders = vec![source.join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs")
                    && let Ok(text) = std::fs::read_to_string(&path)
                {
                    self.read(&text, Seen::Public);
                }
            }
        }
    }

    /// Adds what another index knows; what is here already is newer and stays.
    pub(super) fn take_over(&mut self, older: Self) {
        for (name, entry) in older.items {
            self.items.entry(name).or_insert(entry);
        }
        for (owner, members) in older.members {
            let here = self.members.entry(owner).or_default();
            for (name, entry) in members {
                here.entry(name).or_insert(entry);
            }
        }
    }

    /// Takes over the items of a cell.
    pub(super) fn read_cell(&mut self, code: &str) {
        self.read(code, Seen::All);
    }

    fn read(&mut self, code: &str, seen: Seen) {
        crate::syntax::with_room(code, || self.read_here(code, seen));
    }

    fn read_here(&mut self, code: &str, seen: Seen) {
        let parse = |input: syn::parse::ParseStream| syn::Block::parse_within(input);
        let file = syn::parse_file(code).map(|file| file.items).or_else(|_| {
            let statements = syn::parse::Parser::parse_str(parse, code)?;
            let items = statements.into_iter().filter_map(|statement| match statement {
                syn::Stmt::Item(item) => Some(item),
                _ => None,
            });
            Ok::<_, syn::Error>(items.collect())
        });
        self.read_items(&file.unwrap_or_default(), code, seen);
    }

    fn read_items(&mut self, items: &[syn::Item], code: &str, seen: Seen) {
        for item in items {
            let (vis, name, attributes, head) = match item {
                syn::Item::Fn(i) => (&i.vis, &i.sig.ident, &i.attrs, i.sig.span()),
                syn::Item::Struct(i) => (&i.vis, &i.ident, &i.attrs, i.span()),
                syn::Item::Enum(i) => (&i.vis, &i.ident, &i.attrs, i.span()),
                syn::Item::Trait(i) => (&i.vis, &i.ident, &i.attrs, i.span()),
                syn::Item::Const(i) => (&i.vis, &i.ident, &i.attrs, i.span()),
                syn::Item::Static(i) => (&i.vis, &i.ident, &i.attrs, i.span()),
                syn::Item::Type(i) => (&i.vis, &i.ident, &i.attrs, i.span()),
                syn::Item::Impl(i) => {
                    self.read_impl(i, code, seen);
                    continue;
                }
                syn::Item::Mod(i) => {
                    if let (Some((_, items)), false) = (&i.content, is_test(&i.attrs)) {
                        self.read_items(items, code, seen);
                    }
                    continue;
                }
                syn::Item::Macro(i) => {
                    if let Some(ident) = &i.ident {
                        let signature = format!("macro_rules! {ident}");
                        let entry = Entry { signature, docs: docs(&i.attrs) };
                        self.items.insert(format!("{ident}!"), entry);
                    }
                    continue;
                }
                _ => continue,
            };
            if !seen.sees(vis) {
                continue;
            }
            let signature = match item {
                syn::Item::Struct(i) => struct_text(code, i, seen),
                _ => text(code, &head, attributes),
            };
            let entry = Entry { signature, docs: docs(attributes) };
            self.items.insert(name.to_string(), entry);
            let owner = self.members.entry(name.to_string()).or_default();
            match item {
                syn::Item::Struct(i) => {
                    for field in i.fields.iter().filter(|field| seen.sees(&field.vis)) {
                        let Some(ident) = &field.ident else { continue };
                        let signature = text(code, &field.span(), &field.attrs);
                        let entry = Entry { signature, docs: docs(&field.attrs) };
                        owner.insert(ident.to_string(), entry);
                    }
                }
                syn::Item::Enum(i) => {
                    for variant in &i.variants {
                        let signature = text(code, &variant.span(), &variant.attrs);
                        let entry = Entry { signature, docs: docs(&variant.attrs) };
                        owner.insert(variant.ident.to_string(), entry);
                    }
                }
                syn::Item::Trait(i) => {
                    for member in &i.items {
                        let syn::TraitItem::Fn(f) = member else { continue };
                        let signature = text(code, &f.sig.span(), &[]);
                        let entry = Entry { signature, docs: docs(&f.attrs) };
                        owner.insert(f.sig.ident.to_string(), entry);
                    }
                }
                _ => {}
            }
        }
    }

    fn read_impl(&mut self, i: &syn::ItemImpl, code: &str, seen: Seen) {
        let syn::Type::Path(path) = &*i.self_ty else { return };
        let Some(owner) = path.path.segments.last() else { return };
        let owner = self.members.entry(owner.ident.to_string()).or_default();
        for member in &i.items {
            let syn::ImplItem::Fn(f) = member else { continue };
            if i.trait_.is_none() && !seen.sees(&f.vis) {
                continue;
            }
            let signature = text(code, &f.sig.span(), &[]);
            let entry = Entry { signature, docs: docs(&f.attrs) };
            owner.insert(f.sig.ident.to_string(), entry);
        }
    }

    /// What the word before the cursor may become, and the range of characters that it replaces.
    pub(super) fn complete(
        &self,
        code: &str,
        cursor: usize,
    ) -> (Vec<String>, Range<usize>) {
        let end = byte(code, cursor);
        let place = place(code, end, end);
        let mut names: Vec<&str> = match place.owner {
            Some(owner) => match self.members_of(owner) {
                Some(members) => members.keys().map(String::as_str).collect(),
                None if place.method && !place.word.is_empty() => self
                    .members
                    .values()
                    .flat_map(|m| m.keys())
                    .map(String::as_str)
                    .collect(),
                None if place.method => Vec::new(),
                None => self.items.keys().map(String::as_str).collect(),
            },
            None => {
                let known = self.variables.keys().chain(self.items.keys());
                known.map(String::as_str).chain(KEYWORDS.iter().copied()).collect()
            }
        };
        names.retain(|name| name.starts_with(place.word));
        names.sort_unstable();
        names.dedup();
        let start = code[..place.range.start].chars().count();
        (names.into_iter().map(str::to_owned).collect(), start..cursor.max(start))
    }

    /// What is known of the word at the cursor, as markdown.
    pub(super) fn inspect(&self, code: &str, cursor: usize) -> Option<String> {
        let at = byte(code, cursor);
        let end = at + code[at..].find(|c| !is_word(c)).unwrap_or(code.len() - at);
        let place = place(code, end, at);
        if place.word.is_empty() {
            return None;
        }
        if let Some(owner) = place.owner {
            let members = self.members_of(owner);
            let found = members.and_then(|m| m.get(place.word));
            let anywhere = || self.members.values().find_map(|m| m.get(place.word));
            return found.or_else(anywhere).map(Entry::markdown);
        }
        if let Some(type_name) = self.variables.get(place.word) {
            let known = self.items.get(last_name(type_name));
            let docs = known.map_or(String::new(), |entry| format!("\n\n{}", entry.docs));
            return Some(format!("```rust\nlet {}: {type_name}\n```{docs}", place.word));
        }
        let item = self.items.get(place.word);
        item.or_else(|| self.items.get(&format!("{}!", place.word))).map(Entry::markdown)
    }

    /// The members of a type, or of a variable's type.
    fn members_of(&self, owner: &str) -> Option<&BTreeMap<String, Entry>> {
        let type_name = self.variables.get(owner).map_or(owner, |t| last_name(t));
        self.members.get(type_name)
    }
}

impl Entry {
    fn markdown(&self) -> String {
        let docs = match self.docs.is_empty() {
            true => String::new(),
            false => format!("\n\n{}", self.docs),
        };
        format!("```rust\n{}\n```{docs}", self.signature)
    }
}

/// Which items of a source can be named from a cell.
#[derive(Debug, Clone, Copy)]
enum Seen {
    All,
    Public,
}

impl Seen {
    fn sees(self, vis: &syn::Visibility) -> bool {
        matches!(self, Self::All) || matches!(vis, syn::Visibility::Public(_))
    }
}

/// The text of a struct, with those of its fields that are seen.
fn struct_text(code: &str, item: &syn::ItemStruct, seen: Seen) -> String {
    let whole = text(code, &item.span(), &item.attrs);
    if item.fields.iter().all(|field| seen.sees(&field.vis)) {
        return whole;
    }
    // Only of a public struct some fields are not seen.
    let head =
        format!("pub struct {}{}", item.ident, text(code, &item.generics.span(), &[]));
    let fields = item.fields.iter().filter(|field| seen.sees(&field.vis));
    let fields = fields.map(|field| text(code, &field.span(), &field.attrs));
    match &item.fields {
        syn::Fields::Named(_) => {
            let fields: String = fields.map(|field| format!("    {field},\n")).collect();
            format!("{head} {{\n{fields}    // private fields\n}}")
        }
        _ => format!("{head}(/* private fields */);"),
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| a.path().is_ident("cfg"))
}

/// The text of an item without its attributes and, if long, without its body.
fn text(code: &str, span: &proc_macro2::Span, attributes: &[syn::Attribute]) -> String {
    let mut range = span.byte_range();
    if let Some(last) = attributes.last() {
        range.start = last.span().byte_range().end.max(range.start);
    }
    let text = code.get(range).unwrap_or_default().trim();
    match text.split_once('{') {
        Some((head, _)) if text.lines().count() > 12 => format!("{}{{ … }}", head),
        _ => text.to_owned(),
    }
}

/// The doc comment, as markdown.
fn docs(attributes: &[syn::Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) =
                &pair.value
        {
            let line = line.value();
            lines.push(line.strip_prefix(' ').unwrap_or(&line).to_owned());
        }
    }
    lines.join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The byte at which character `cursor` begins.
fn byte(code: &str, cursor: usize) -> usize {
    code.char_indices().nth(cursor).map_or(code.len(), |(at, _)| at)
}

/// The word that ends at `end` and holds `at`.
fn place(code: &str, end: usize, at: usize) -> Place<'_> {
    let start = code[..at].rfind(|c| !is_word(c)).map_or(0, |i| next(code, i));
    let before = code[..start].trim_end();
    let (before, method) = match before.strip_suffix("::") {
        Some(before) => (Some(before), false),
        None => (before.strip_suffix('.').filter(|b| !b.ends_with('.')), true),
    };
    let owner = before.map(|before| {
        let from = before.rfind(|c| !is_word(c)).map_or(0, |i| next(before, i));
        // The field of something, or a call's result, is no name that we know.
        match before[..from].ends_with('.') {
            true => "",
            false => &before[from..],
        }
    });
    Place { word: &code[start..end], range: start..end, owner, method }
}

/// The byte after the character at `at`.
fn next(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(0, char::len_utf8)
}

/// `&mut a::b::Name<T>` → `Name`.
fn last_name(type_name: &str) -> &str {
    let name = type_name.trim_start_matches(['&', ' ']).trim_start_matches("mut ");
    let name = name.split('<').next().unwrap_or_default();
    name.rsplit("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        index.read(
            "/// A net.\npub struct Net { pub width: usize, secret: u8 }\nimpl Net {\n    /// Runs it.\n    pub fn forward(&self, x: f32) -> f32 { x }\n    fn hidden(&self) {}\n}\npub(crate) fn inner() {}",
            Seen::Public,
        );
        index.read_cell("fn half(x: f64) -> f64 { x / 2.0 }\nlet n = half(1.0);");
        index.variables.insert("net".into(), "nn::Net".into());
        index
    }

    #[test]
    fn names_and_members_are_completed() {
        let index = index();
        let complete = |code: &str| index.complete(code, code.chars().count());
        assert_eq!(complete("let ü = ha"), (vec!["half".into()], 8..10));
        assert_eq!(complete("net."), (vec!["forward".into(), "width".into()], 4..4));
        assert_eq!(complete("Net::fo"), (vec!["forward".into()], 5..7));
        assert_eq!(complete("f(net).forw").0, ["forward"]);
        assert_eq!(complete("0..ne").0, ["net"]);
        assert_eq!(complete("inn").0, [""; 0]);
    }

    #[test]
    fn words_are_explained() {
        let index = index();
        let inspect = |code: &str, cursor| index.inspect(code, cursor).unwrap();
        let net = "```rust\nlet net: nn::Net\n```\n\nA net.";
        assert_eq!(inspect("net", 1), net);
        assert_eq!(inspect("net", 3), net);
        let mut net = Index::default();
        net.read("pub struct P<T: Copy>(u8, T);", Seen::Public);
        net.read("pub struct Net<T> { pub width: T, secret: u8 }", Seen::Public);
        let shown = "```rust\npub struct Net<T> {\n    pub width: T,\n    // private fields\n}\n```";
        assert_eq!(net.inspect("Net", 1).unwrap(), shown);
        let shown = "```rust\npub struct Net {\n    pub width: usize,\n    // private fields\n}\n```\n\nA net.";
        assert_eq!(inspect("Net", 1), shown);
        let shown = "```rust\npub struct P<T: Copy>(/* private fields */);\n```";
        assert_eq!(net.inspect("P", 1).unwrap(), shown);
        let forward = "```rust\nfn forward(&self, x: f32) -> f32\n```\n\nRuns it.";
        assert_eq!(inspect("net.forward(1.0)", 6), forward);
        assert_eq!(inspect("half", 0), "```rust\nfn half(x: f64) -> f64\n```");
        assert_eq!(index.inspect("unknown", 2), None);
        assert_eq!(index.inspect("", 0), None);
    }
}
