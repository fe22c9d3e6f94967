//! What of the crate's generated part a section can reach, by the names it mentions.
//!
//! An item is reached if something that is reached mentions a name that it defines; an `impl` if its
//! type, its trait or one of its methods is. Names are compared without their paths, so that two
//! items of one name are both reached: too much is run, never too little.

use anyhow::Context;
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::Item;

/// The items of the generated part of a crate.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: Vec<Node>,
    /// All of the text, for what depends on lines.
    pub(super) text: String,
}

#[derive(Debug)]
struct Node {
    /// What a message calls it.
    name: String,
    /// Mentioning one of these reaches the item; an item without names is always reached.
    names: BTreeSet<String>,
    mentions: BTreeSet<String>,
    hash: String,
}

impl Items {
    /// Reads every file of the folder; one that is missing has no items.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    files.push(path);
                }
            }
        }
        files.sort();
        let mut texts = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file);
            texts.push(text.with_context(|| format!("reading {}", file.display()))?);
        }
        Ok(Self::of(&texts))
    }

    /// The items of these files. What is not Rust is always reached.
    pub(super) fn of(files: &[String]) -> Self {
        let mut found = Self { items: Vec::new(), text: files.concat() };
        let mut impls = Vec::new();
        for file in files {
            match syn::parse_file(file) {
                Ok(file) => found.add(file.items, &mut impls),
                Err(_) => found.items.push(Node {
                    name: "a file that is not Rust".into(),
                    names: BTreeSet::new(),
                    mentions: words(file),
                    hash: hash(file),
                }),
            }
        }
        // An `impl` for a type of the core is reached through the crate's own names in it only.
        let own: BTreeSet<String> =
            found.items.iter().flat_map(|item| item.names.iter().cloned()).collect();
        for (head, mut node) in impls {
            let heads: Vec<String> = head.intersection(&own).cloned().collect();
            if heads.is_empty() && node.name.contains(" for ") {
                node.names.clear();
            }
            node.names.extend(heads);
            found.items.push(node);
        }
        found
    }

    fn add(&mut self, items: Vec<Item>, impls: &mut Vec<(BTreeSet<String>, Node)>) {
        for mut item in items {
            strip_docs(&mut item);
            let text = item.to_token_stream().to_string();
            let mut node = Node {
                name: String::new(),
                names: BTreeSet::new(),
                mentions: words(&text),
                hash: hash(&text),
            };
            match &item {
                Item::Mod(module) if module.content.is_none() => continue,
                Item::Mod(module) if module.ident != "tests" => {
                    if let Some((_, items)) = &module.content {
                        self.add(items.clone(), impls);
                    }
                    continue;
                }
                Item::Use(import) => {
                    // A renaming defines a name; any other import is followed by the name itself.
                    for (from, to) in renamed(&import.tree) {
                        self.items.push(Node {
                            name: to.clone(),
                            names: [to].into(),
                            mentions: [from].into(),
                            hash: hash(&text),
                        });
                    }
                    continue;
                }
                Item::Impl(item) => {
                    let subject = item.self_ty.to_token_stream().to_string();
                    let mut head = words(&subject);
                    node.name = format!("impl {subject}");
                    if let Some((_, path, _)) = &item.trait_ {
                        let path = path.to_token_stream().to_string();
                        head.extend(words(&path));
                        node.name = format!("impl {path} for {subject}");
                    }
                    head.extend(words(&item.generics.to_token_stream().to_string()));
                    for inner in &item.items {
                        if let syn::ImplItem::Fn(function) = inner {
                            node.names.insert(function.sig.ident.to_string());
                        }
                    }
                    impls.push((head, node));
                    continue;
                }
                Item::Trait(item) => {
                    node.name = item.ident.to_string();
                    for inner in &item.items {
                        if let syn::TraitItem::Fn(function) = inner {
                            node.names.insert(function.sig.ident.to_string());
                        }
                    }
                }
                Item::Const(item) => node.name = item.ident.to_string(),
                Item::Enum(item) => node.name = item.ident.to_string(),
                Item::Fn(item) => node.name = item.sig.ident.to_string(),
                Item::Static(item) => node.name = item.ident.to_string(),
                Item::Struct(item) => node.name = item.ident.to_string(),
                Item::Type(item) => node.name = item.ident.to_string(),
                Item::Union(item) => node.name = item.ident.to_string(),
                Item::Macro(item) => {
                    node.name =
                        item.ident.as_ref().map_or(String::new(), ToString::to_string);
                }
                _ => {}
            }
            if node.name.is_empty() {
                node.name = "an item without a name".into();
            } else {
                node.names.insert(node.name.clone());
            }
            self.items.push(node);
        }
    }

    /// The items that code which mentions `words` can reach: name → hash of all of that name.
    pub(super) fn reached(
        &self,
        mentioned: &BTreeSet<String>,
    ) -> BTreeMap<String, String> {
        let mut known = mentioned.clone();
        let mut is_reached = vec![false; self.items.len()];
        loop {
            let mut is_done = true;
            for (item, is_reached) in self.items.iter().zip(&mut is_reached) {
                let is_named = item.names.is_empty() || !item.names.is_disjoint(&known);
                if !*is_reached && is_named {
                    *is_reached = true;
                    is_done = false;
                    known.extend(item.mentions.iter().cloned());
                }
            }
            if is_done {
                break;
            }
        }
        let mut reached: BTreeMap<String, String> = BTreeMap::new();
        for (item, _) in self.items.iter().zip(is_reached).filter(|(_, reached)| *reached)
        {
            reached.entry(item.name.clone()).or_default().push_str(&item.hash);
        }
        reached
    }
}

/// Everything in a text that could be a name.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| c != '_' && !c.is_alphanumeric())
        .filter(|word| word.starts_with(|c: char| c == '_' || c.is_alphabetic()))
        .map(str::to_owned)
        .collect()
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// Docs of a saved item are prose.
fn strip_docs(item: &mut Item) {
    struct Strip;
    impl syn::visit_mut::VisitMut for Strip {
        fn visit_attributes_mut(&mut self, attributes: &mut Vec<syn::Attribute>) {
            attributes.retain(|attribute| !attribute.path().is_ident("doc"));
        }
    }
    syn::visit_mut::VisitMut::visit_item_mut(&mut Strip, item);
}

fn renamed(tree: &syn::UseTree) -> Vec<(String, String)> {
    match tree {
        syn::UseTree::Path(path) => renamed(&path.tree),
        syn::UseTree::Rename(rename) => {
            vec![(rename.ident.to_string(), rename.rename.to_string())]
        }
        syn::UseTree::Group(group) => group.items.iter().flat_map(renamed).collect(),
        syn::UseTree::Name(_) | syn::UseTree::Glob(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATE: &str = "
        use d2l::prelude::*;
        /// Docs.
        pub fn sgd(x: f64) -> f64 { step(x) }
        fn step(x: f64) -> f64 { x }
        pub fn other() {}
        pub struct Model { w: f64 }
        impl Model { pub fn new() -> Self { Model { w: LR } } }
        impl Drop for Model { fn drop(&mut self) { bye() } }
        fn bye() {}
        pub const LR: f64 = 0.1;
        pub trait Fit { fn fit(&self); }
        impl Fit for Tensor { fn fit(&self) { sgd(1.0); } }
        pub use self::other as another;
        impl Clone for Tensor { fn clone(&self) -> Self { todo() } }
    ";

    fn reached(code: &str) -> Vec<String> {
        Items::of(&[CRATE.into()]).reached(&words(code)).into_keys().collect()
    }

    #[test]
    fn calls_types_methods_and_renamings_are_followed() {
        let always = "impl Clone for Tensor";
        assert_eq!(reached("let x = 1;"), [always]);
        assert_eq!(reached("sgd(1.0)"), [always, "sgd", "step"]);
        let model = ["LR", "Model", "bye", always, "impl Drop for Model", "impl Model"];
        assert_eq!(reached("Model::new()"), model);
        assert_eq!(
            reached("t.fit()"),
            ["Fit", always, "impl Fit for Tensor", "sgd", "step"]
        );
        assert_eq!(reached("another()"), ["another", always, "other"]);
    }

    #[test]
    fn docs_change_nothing_and_code_does() {
        let hashes = |text: String| Items::of(&[text]).reached(&words("sgd"));
        let before = hashes(CRATE.into());
        assert_eq!(before, hashes(CRATE.replace("/// Docs.", "/// Better docs.\n")));
        assert_eq!(before, hashes(CRATE.replace("other() {}", "other() { 1; }")));
        assert_ne!(before, hashes(CRATE.replace("{ x }", "{ x + 1.0 }")));
    }
}
