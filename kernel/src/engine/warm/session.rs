//! The state of one notebook, and the code of a cell that continues it.

use super::cell::{Cell, Item};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The way to keep a closure.
const MOVE: &str =
    "write `move |…|` (with clones, to keep what it moves), or use it in the same cell";

/// What earlier cells left.
#[derive(Debug, Default)]
pub(super) struct Session {
    items: Vec<Kept>,
    /// Name → what is known of it.
    pub(super) variables: BTreeMap<String, Variable>,
    /// Name → why a variable of that name is no longer there.
    pub(super) gone: BTreeMap<String, String>,
}

/// A variable in the runner's store.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    /// Its type, as any cell can write it.
    pub(super) type_name: String,
    /// Whether it was bound by `let mut`.
    pub(super) mutable: bool,
}

/// An item of an earlier cell, with its own text.
#[derive(Debug, Clone)]
struct Kept {
    item: Item,
    text: String,
    cell: u64,
    prefix: String,
    header: String,
    members: Vec<(String, String, Range<usize>)>,
}

/// The code of a cell and where its pieces come from.
#[derive(Debug, Default, Clone)]
pub(super) struct Generated {
    pub(super) code: String,
    /// Ranges of `code`, each with the cell and the place in it that it was copied from.
    pub(super) segments: Vec<Segment>,
    /// Ranges of `code` that store the variable of that name.
    pub(super) stores: Vec<(Range<usize>, String)>,
    /// The range that shows the value.
    pub(super) show: Range<usize>,
    /// Whether some items were left out because nothing seems to need them.
    pub(super) reduced: bool,
}

/// A copied piece.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) range: Range<usize>,
    pub(super) cell: u64,
    pub(super) start: usize,
}

/// How to generate a cell.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// Include every item, not only those that seem needed.
    pub(super) all_items: bool,
    /// Variables that cannot be stored after the cell, because they are moved or borrow.
    pub(super) not_stored: BTreeSet<String>,
    /// Variables whose value is stored as this type (a closure as a boxed one).
    pub(super) stored_as: BTreeMap<String, String>,
    /// The value has no `Debug`.
    pub(super) opaque: bool,
}

impl Generated {
    fn push(&mut self, text: &str) {
        self.code.push_str(text);
    }

    fn copy(&mut self, text: &str, cell: u64, start: usize) {
        let at = self.code.len();
        self.code.push_str(text);
        self.segments.push(Segment { range: at..self.code.len(), cell, start });
    }

    /// The cell and offset in it that a byte of the code was copied from.
    pub(super) fn origin(&self, offset: usize) -> Option<(u64, usize)> {
        let found = self
            .segments
            .iter()
            .find(|s| s.range.start <= offset && offset <= s.range.end);
        found.map(|s| (s.cell, s.start + offset - s.range.start))
    }
}

impl Session {
    /// The code of cell number `id`. `cell` is none if it did not parse: then the compiler says why.
    pub(super) fn generate(
        &self,
        id: u64,
        text: &str,
        cell: Option<&Cell>,
        import: &str,
        plan: &Plan,
    ) -> Generated {
        let mut out = Generated::default();
        out.push("#[allow(unused)] use cell_runtime::print;\n");
        out.push(import);
        out.push("\n");
        let empty = Cell::default();
        let whole = cell.is_none();
        let cell = cell.unwrap_or(&empty);
        let mut words = cell.idents.clone();
        if whole {
            words.extend(
                text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned),
            );
        }

        let used: Vec<(&String, &Variable)> =
            self.variables.iter().filter(|(name, _)| words.contains(*name)).collect();
        let replaced: BTreeSet<&str> =
            cell.items.iter().map(|i| i.key.as_str()).collect();
        for item in &cell.items {
            words.extend(item.idents.iter().cloned());
            words.extend(item.declares.iter().cloned());
            words.extend(item.implements.iter().cloned());
        }
        for (_, variable) in &used {
            words.extend(type_words(&variable.type_name));
        }
        let needed = self.needed(words, plan.all_items);
        out.reduced = needed.len() < self.items.len();
        for &index in &needed {
            let kept = &self.items[index];
            if kept.header.is_empty() {
                if !replaced.contains(kept.item.key.as_str()) {
                    out.push(&kept.prefix);
                    out.copy(&kept.text, kept.cell, kept.item.range.start);
                    out.push("\n");
                }
                continue;
            }
            out.copy(&kept.header, kept.cell, kept.item.range.start);
            for (name, text, range) in &kept.members {
                if !redefined(&cell.items, &kept.item.key, name) {
                    out.copy(text, kept.cell, range.start);
                    out.push("\n");
                }
            }
            out.push("}\n");
        }
        for item in &cell.items {
            if item.prefix.starts_with("static ") {
                out.push(&static_prefix(&item.prefix, id));
            }
            out.copy(&text[item.range.clone()], id, item.range.start);
            out.push("\n");
        }

        out.push(&format!("#[unsafe(no_mangle)] pub extern \"C\" fn __cell_{id}() {{\n"));
        for (name, variable) in &used {
            let mutable = if variable.mutable { "mut " } else { "" };
            let type_name = &variable.type_name;
            out.push(&format!(
                "let {mutable}{name}: {type_name} = cell_runtime::take::<{type_name}>({name:?});\n"
            ));
        }
        out.push(
            "let __end = ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| ",
        );
        out.push("-> ::std::result::Result<(), ::std::string::String> {\n");
        let fallible = cell.uses_try;
        if cell.uses_await {
            out.push("cell_runtime::block_on(async {\n");
        }
        if fallible {
            let bound = "::std::boxed::Box<dyn ::std::error::Error>";
            if cell.uses_await {
                out.push(&format!(
                    "let __r: ::std::result::Result<(), {bound}> = async {{\n"
                ));
            } else {
                out.push(&format!(
                    "let __r = (|| -> ::std::result::Result<(), {bound}> {{\n"
                ));
            }
        }
        if whole {
            out.copy(text, id, 0);
            out.push("\n");
        }
        for statement in &cell.statements {
            out.copy(&text[statement.clone()], id, statement.start);
            out.push("\n");
        }
        if let Some(last) = &cell.last {
            self.show(&mut out, text, id, last.clone(), plan);
        }
        for (name, _) in &cell.bindings {
            if !plan.not_stored.contains(name) {
                store(&mut out, name, plan);
            }
        }
        if fallible {
            out.push("::std::result::Result::Ok(())\n");
            out.push(if cell.uses_await { "}.await;\n" } else { "})();\n" });
            out.push("if let ::std::result::Result::Err(__e) = __r ");
            out.push(
                "{ return ::std::result::Result::Err(::std::format!(\"{__e}\")); }\n",
            );
        }
        out.push("::std::result::Result::Ok(())\n");
        if cell.uses_await {
            out.push("})\n");
        }
        out.push("}));\n");
        for (name, _) in &used {
            if !plan.not_stored.contains(*name) {
                let shadowed = cell.bindings.iter().any(|(bound, _)| bound == *name);
                if shadowed {
                    // The new value is in the store already, unless the cell panicked before.
                    out.push("if !::std::matches!(__end, ::std::result::Result::Ok(::std::result::Result::Ok(()))) {\n");
                }
                store(&mut out, name, &Plan::default());
                if shadowed {
                    out.push("}\n");
                }
            }
        }
        out.push(&format!("cell_runtime::finish({id}, __end);\n}}\n"));
        out
    }

    fn show(
        &self,
        out: &mut Generated,
        text: &str,
        id: u64,
        last: Range<usize>,
        plan: &Plan,
    ) {
        let start = out.code.len();
        if plan.opaque {
            out.push("{ let __v = {\n");
            out.copy(&text[last.clone()], id, last.start);
            out.push("\n}; cell_runtime::begin_value(); ");
            out.push("cell_runtime::show_text(&::std::format!(\"<{}>\", ");
            out.push("::std::any::type_name_of_val(&__v))); ");
            out.push("cell_runtime::end_value(); }\n");
        } else {
            // A place is borrowed, not moved: a variable shown as the value is kept.
            out.push("{ #[allow(unused)] use cell_runtime::Show as _; match &(\n");
            out.copy(&text[last.clone()], id, last.start);
            out.push("\n) { __v => { cell_runtime::begin_value(); ");
            let at = out.code.len();
            out.push("__v.evcxr_display()");
            out.show = at..out.code.len();
            out.push("; cell_runtime::end_value(); } } }\n");
            return;
        }
        out.show = start..start;
    }

    /// Forgets a variable that a cell that ran could not leave in the store, and notes why.
    pub(super) fn lose(&mut self, name: &str, cell: &Cell) {
        let why = match cell.origins.get(name) {
            None => "it was moved in an earlier cell".to_owned(),
            Some(origin) => {
                let known = |word: &&String| {
                    *word != name
                        && (self.variables.contains_key(*word)
                            || cell.origins.contains_key(*word))
                };
                let lenders: Vec<_> =
                    origin.iter().filter(known).map(|w| format!("`{w}`")).collect();
                let lenders = match lenders.as_slice() {
                    [] => "a variable of its cell".to_owned(),
                    [all @ .., last] if !all.is_empty() => {
                        format!("{} and {last}", all.join(", "))
                    }
                    one => one.concat(),
                };
                match cell.closures.contains(name) {
                    true => format!("it is a closure that borrows {lenders}\n{MOVE}"),
                    // It may as well have been moved within its cell.
                    false => format!("it borrows from {lenders}, or was moved"),
                }
            }
        };
        self.variables.remove(name);
        self.gone.insert(name.to_owned(), why);
    }

    /// Forgets all variables.
    pub(super) fn lose_all(&mut self, why: &str) {
        let lost = std::mem::take(&mut self.variables);
        self.gone.extend(lost.into_keys().map(|name| (name, why.to_owned())));
    }

    /// Indices of the items that `words` reach, in order of definition.
    fn needed(&self, mut words: BTreeSet<String>, all: bool) -> BTreeSet<usize> {
        let mut needed = BTreeSet::new();
        loop {
            let mut grew = false;
            for (index, kept) in self.items.iter().enumerate() {
                let item = &kept.item;
                let wanted = all
                    || item.always
                    || item.declares.iter().any(|name| words.contains(name))
                    || item.implements.iter().any(|name| {
                        words.contains(name)
                            && self.items.iter().any(|i| defines(&i.item, name))
                    });
                if wanted && needed.insert(index) {
                    words.extend(item.idents.iter().cloned());
                    grew = true;
                }
            }
            if !grew {
                return needed;
            }
        }
    }

    /// Variables that hold a type that the cell defines in another way, each with that type; also
    /// where the type is a part of theirs.
    fn outdated(&self, text: &str, cell: &Cell) -> Vec<(String, String)> {
        let differs = |item: &&Item| {
            let old = self.items.iter().find(|kept| kept.item.key == item.key);
            old.is_some_and(|kept| kept.text != text[item.range.clone()])
        };
        let changed = cell.items.iter().filter(differs);
        // Type → the type that was redefined and is a part of it.
        let mut outdated: BTreeMap<&str, &str> = changed
            .filter_map(|item| item.type_name.as_deref())
            .map(|t| (t, t))
            .collect();
        loop {
            let before = outdated.len();
            for kept in &self.items {
                let Some(name) = kept.item.type_name.as_deref() else { continue };
                let part = kept.item.idents.iter().find_map(|i| outdated.get(i.as_str()));
                if let Some(part) = part.copied() {
                    outdated.entry(name).or_insert(part);
                }
            }
            if outdated.len() == before {
                break;
            }
        }
        let mut lost = Vec::new();
        for (variable, known) in &self.variables {
            let mut words = type_words(&known.type_name);
            if let Some(part) = words.find_map(|w| outdated.get(w.as_str()).copied()) {
                lost.push((variable.clone(), part.to_owned()));
            }
        }
        lost
    }

    /// Takes over what a cell that ran defined. Gives the names of variables whose type was redefined.
    pub(super) fn commit(&mut self, id: u64, text: &str, cell: &Cell) -> Vec<String> {
        let lost = self.outdated(text, cell);
        for item in &cell.items {
            match &item.header {
                Some(_) => {
                    for kept in &mut self.items {
                        if kept.item.key == item.key {
                            kept.members.retain(|(name, ..)| {
                                !item.members.iter().any(|(n, _)| n == name)
                            });
                        }
                    }
                    self.items.retain(|k| k.header.is_empty() || !k.members.is_empty());
                }
                None => self.items.retain(|k| k.item.key != item.key),
            }
            let prefix = match item.prefix.starts_with("static ") {
                true => static_prefix(&item.prefix, id),
                false => String::new(),
            };
            let header =
                item.header.clone().map(|h| text[h].to_owned()).unwrap_or_default();
            let members = item.members.iter();
            let members = members
                .map(|(n, r)| (n.clone(), text[r.clone()].to_owned(), r.clone()))
                .collect();
            let text = text[item.range.clone()].to_owned();
            self.items.push(Kept {
                item: item.clone(),
                text,
                cell: id,
                prefix,
                header,
                members,
            });
        }
        for (variable, type_name) in &lost {
            self.variables.remove(variable);
            let why = format!("its type `{type_name}` was redefined");
            self.gone.insert(variable.clone(), why);
        }
        lost.into_iter().map(|(variable, _)| variable).collect()
    }
}

fn defines(item: &Item, name: &str) -> bool {
    item.type_name.as_deref() == Some(name)
}

fn redefined(items: &[Item], key: &str, member: &str) -> bool {
    items.iter().any(|i| i.key == key && i.members.iter().any(|(name, _)| name == member))
}

fn static_prefix(prefix: &str, version: u64) -> String {
    let name = prefix.trim_start_matches("static ");
    format!("#[unsafe(export_name = \"__static_{name}_{version}\")]\n")
}

fn store(out: &mut Generated, name: &str, plan: &Plan) {
    let start = out.code.len();
    match plan.stored_as.get(name) {
        Some(type_name) => {
            let boxed = format!("::std::boxed::Box::new({name}) as {type_name}");
            out.push(&format!("cell_runtime::put::<{type_name}>({name:?}, {boxed});"));
        }
        None => out.push(&format!("cell_runtime::put({name:?}, {name});")),
    }
    out.stores.push((start..out.code.len(), name.to_owned()));
    out.push("\n");
}

fn type_words(type_name: &str) -> impl Iterator<Item = String> {
    let words = type_name.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|w| !w.is_empty()).map(str::to_owned)
}
