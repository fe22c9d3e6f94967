//! Splits a cell into items, statements and a last expression. The text itself is never changed:
//! every piece is a range of the cell, so that the compiler's positions map back.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syn::spanned::Spanned;

/// A cell in pieces.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// Items, in order.
    pub(super) items: Vec<Item>,
    /// Statements, in order, each with its text's range; the last expression is not among them.
    pub(super) statements: Vec<Range<usize>>,
    /// The last expression, if the cell ends with one.
    pub(super) last: Option<Range<usize>>,
    /// Names that `let` binds at top level: name, mutable.
    pub(super) bindings: Vec<(String, bool)>,
    /// Name that `let` binds → every identifier of that statement.
    pub(super) origins: BTreeMap<String, BTreeSet<String>>,
    /// Those of `bindings` that are bound to a closure.
    pub(super) closures: BTreeSet<String>,
    /// Every identifier of the statements and the last expression.
    pub(super) idents: BTreeSet<String>,
    /// `?` stands at top level.
    pub(super) uses_try: bool,
    /// `.await` stands at top level.
    pub(super) uses_await: bool,
}

impl Cell {
    /// Whether anything is to be run: items alone are only checked.
    pub(super) fn runs(&self) -> bool {
        !self.statements.is_empty() || self.last.is_some()
    }
}

/// An item and what the session must know of it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its text in the cell.
    pub(super) range: Range<usize>,
    /// Text to put before it.
    pub(super) prefix: String,
    /// Two items with one key: the later replaces the earlier.
    pub(super) key: String,
    /// Names under which other code asks for it.
    pub(super) declares: BTreeSet<String>,
    /// Names that it mentions.
    pub(super) idents: BTreeSet<String>,
    /// For an `impl`: the names of its type and trait; it is needed as soon as one of them is.
    pub(super) implements: BTreeSet<String>,
    /// Needed by every cell: glob imports, macro calls that may define anything.
    pub(super) always: bool,
    /// The name, if it is a type or trait that variables can mention.
    pub(super) type_name: Option<String>,
    /// For an inherent `impl`: the range of each member, with its name.
    pub(super) members: Vec<(String, Range<usize>)>,
    /// For an inherent `impl`: the text from its start to its opening brace.
    pub(super) header: Option<Range<usize>>,
}

/// Splits a cell; an error of the parser is left to the compiler, which says it better.
pub(super) fn split(code: &str) -> Option<Cell> {
    crate::syntax::with_room(code, || split_here(code)).flatten()
}

fn split_here(code: &str) -> Option<Cell> {
    let block: Statements = syn::parse_str(code).ok()?;
    let mut cell = Cell::default();
    let count = block.0.len();
    for (number, statement) in block.0.into_iter().enumerate() {
        let range = statement.span().byte_range();
        match statement {
            syn::Stmt::Item(item) => cell.items.push(describe(item, range)),
            syn::Stmt::Macro(call) if defines_items(&call.mac) => {
                cell.items.push(describe_macro(call.to_token_stream(), range));
            }
            statement => {
                let tokens = statement.to_token_stream();
                collect_idents(tokens.clone(), &mut cell.idents);
                cell.uses_try |= mentions_try(&statement);
                cell.uses_await |= mentions_await(&statement);
                if let syn::Stmt::Local(local) = &statement {
                    let mut bound = Vec::new();
                    bind(&local.pat, &mut bound);
                    let mut idents = BTreeSet::new();
                    collect_idents(statement.to_token_stream(), &mut idents);
                    let init = local.init.as_ref().map(|init| &*init.expr);
                    for (name, mutable) in bound {
                        if matches!(init, Some(syn::Expr::Closure(_))) {
                            cell.closures.insert(name.clone());
                        }
                        cell.origins.insert(name.clone(), idents.clone());
                        cell.bindings.retain(|(other, _)| *other != name);
                        cell.bindings.push((name, mutable));
                    }
                }
                let is_value = match &statement {
                    syn::Stmt::Expr(_, semicolon) => semicolon.is_none(),
                    syn::Stmt::Macro(call) => call.semi_token.is_none(),
                    _ => false,
                };
                if is_value && number + 1 == count {
                    cell.last = Some(range);
                } else {
                    cell.statements.push(range);
                }
            }
        }
    }
    Some(cell)
}

struct Statements(Vec<syn::Stmt>);

impl syn::parse::Parse for Statements {
    fn parse(input: syn::parse::ParseStream) -> syn::Result<Self> {
        syn::Block::parse_within(input).map(Self)
    }
}

fn defines_items(call: &syn::Macro) -> bool {
    call.path
        .segments
        .last()
        .is_some_and(|s| s.ident == "thread_local" || s.ident == "lazy_static")
}

/// Every identifier, also those in format strings.
pub(super) fn collect_idents(tokens: TokenStream, into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                into.insert(ident.to_string());
            }
            TokenTree::Group(group) => collect_idents(group.stream(), into),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.contains('{') {
                    // `{name` and `{:name$}`: any word of a string with braces may be a variable.
                    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                    into.extend(words.filter(|w| !w.is_empty()).map(str::to_owned));
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

fn bind(pattern: &syn::Pat, into: &mut Vec<(String, bool)>) {
    struct Names<'a>(&'a mut Vec<(String, bool)>);
    impl<'ast> syn::visit::Visit<'ast> for Names<'_> {
        fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
            let name = pattern.ident.to_string();
            // A constant or a unit variant looks the same; variables are written in lower case.
            if name.starts_with(|c: char| c.is_lowercase() || c == '_') && name != "_" {
                self.0.retain(|(other, _)| *other != name);
                self.0.push((name, pattern.mutability.is_some()));
            }
            syn::visit::visit_pat_ident(self, pattern);
        }
    }
    syn::visit::Visit::visit_pat(&mut Names(into), pattern);
}

/// Looks for an expression outside closures, async blocks and items.
struct Finder {
    question: bool,
    wait: bool,
}

impl<'ast> syn::visit::Visit<'ast> for Finder {
    fn visit_expr_try(&mut self, e: &'ast syn::ExprTry) {
        self.question = true;
        syn::visit::visit_expr_try(self, e);
    }
    fn visit_expr_await(&mut self, e: &'ast syn::ExprAwait) {
        self.wait = true;
        syn::visit::visit_expr_await(self, e);
    }
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // `println!("{}", f()?)`: the tokens are not parsed, so look for the sign.
        let text = call.tokens.to_string();
        self.question |=
            text.contains('?') && !text.contains(":?") && !text.contains("#?");
    }
    fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
    fn visit_expr_async(&mut self, _: &'ast syn::ExprAsync) {}
    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

fn find(statement: &syn::Stmt) -> Finder {
    let mut finder = Finder { question: false, wait: false };
    syn::visit::Visit::visit_stmt(&mut finder, statement);
    finder
}

fn mentions_try(statement: &syn::Stmt) -> bool {
    find(statement).question
}

fn mentions_await(statement: &syn::Stmt) -> bool {
    find(statement).wait
}

fn describe_macro(tokens: TokenStream, range: Range<usize>) -> Item {
    let key = format!("macro call {tokens}");
    let mut idents = BTreeSet::new();
    collect_idents(tokens, &mut idents);
    Item {
        range,
        prefix: String::new(),
        key,
        declares: BTreeSet::new(),
        idents,
        implements: BTreeSet::new(),
        always: true,
        type_name: None,
        members: Vec::new(),
        header: None,
    }
}

fn describe(item: syn::Item, range: Range<usize>) -> Item {
    let mut new = describe_macro(item.to_token_stream(), range);
    new.always = false;
    let mut name = |space: &str, ident: &syn::Ident| {
        new.key = format!("{space} {ident}");
        new.declares.insert(ident.to_string());
        ident.to_string()
    };
    match &item {
        syn::Item::Const(i) => drop(name("value", &i.ident)),
        syn::Item::Fn(i) => drop(name("value", &i.sig.ident)),
        syn::Item::Static(i) => drop(name("value", &i.ident)),
        syn::Item::Mod(i) => drop(name("type", &i.ident)),
        syn::Item::Struct(i) => new.type_name = Some(name("type", &i.ident)),
        syn::Item::Enum(i) => new.type_name = Some(name("type", &i.ident)),
        syn::Item::Union(i) => new.type_name = Some(name("type", &i.ident)),
        syn::Item::Type(i) => new.type_name = Some(name("type", &i.ident)),
        syn::Item::Trait(i) => {
            new.type_name = Some(name("type", &i.ident));
            for member in &i.items {
                if let syn::TraitItem::Fn(method) = member {
                    new.declares.insert(method.sig.ident.to_string());
                }
            }
        }
        syn::Item::Macro(i) if i.ident.is_some() => {
            if let Some(ident) = &i.ident {
                name("macro", ident);
            }
        }
        syn::Item::Use(i) => {
            new.always = !use_names(&i.tree, &mut new.declares);
        }
        syn::Item::Impl(i) => describe_impl(i, &mut new),
        _ => new.always = true,
    }
    if let syn::Item::Static(i) = &item {
        // One definition for all cells: the first that is loaded. The session fills in a version.
        new.prefix = format!("static {}", i.ident);
    }
    new
}

fn describe_impl(i: &syn::ItemImpl, new: &mut Item) {
    let self_type = i.self_ty.to_token_stream();
    collect_idents(self_type.clone(), &mut new.implements);
    match &i.trait_ {
        Some((_, path, _)) => {
            let path = path.to_token_stream();
            collect_idents(path.clone(), &mut new.implements);
            new.key = format!("impl {path} for {self_type}");
        }
        None => {
            new.key = format!("impl {} {self_type}", i.generics.to_token_stream());
            new.header =
                Some(new.range.start..i.brace_token.span.open().byte_range().end);
            for member in &i.items {
                let name = match member {
                    syn::ImplItem::Fn(f) => f.sig.ident.to_string(),
                    syn::ImplItem::Const(c) => c.ident.to_string(),
                    syn::ImplItem::Type(t) => t.ident.to_string(),
                    other => other.to_token_stream().to_string(),
                };
                new.members.push((name, member.span().byte_range()));
            }
        }
    }
}

/// Adds the names that a `use` introduces; false if it is a glob.
fn use_names(tree: &syn::UseTree, into: &mut BTreeSet<String>) -> bool {
    match tree {
        syn::UseTree::Path(path) => {
            // `use a::B::{self}` introduces `B`.
            into.insert(path.ident.to_string());
            use_names(&path.tree, into)
        }
        syn::UseTree::Name(name) => into.insert(name.ident.to_string()) || true,
        // A trait imported as `_` is needed by method calls that do not name it.
        syn::UseTree::Rename(rename) if rename.rename == "_" => false,
        syn::UseTree::Rename(rename) => into.insert(rename.rename.to_string()) || true,
        syn::UseTree::Group(group) => {
            let mut named = true;
            for tree in &group.items {
                named &= use_names(tree, into);
            }
            named
        }
        syn::UseTree::Glob(_) => false,
    }
}
