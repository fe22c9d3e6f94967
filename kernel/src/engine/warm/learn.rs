//! What the compiler's answers teach about a cell: the types of its variables, and how to say it
//! better.

use super::diagnostic::Message;
use super::session::{Generated, Plan};
use std::collections::BTreeMap;
use std::path::Path;

/// Improves the plan by what errors say about our own code; false if they are all the user's.
pub(super) fn learn(
    messages: &[Message],
    generated: &Generated,
    plan: &mut Plan,
) -> bool {
    let before =
        (plan.all_items, plan.not_stored.len(), plan.stored_as.len(), plan.opaque);
    for message in messages {
        let mut blamed = Vec::new();
        for (start, end, primary, _) in &message.places {
            let touches = |range: &std::ops::Range<usize>| {
                range.start <= *start && *end <= range.end
            };
            if let Some((_, name)) =
                generated.stores.iter().find(|(range, _)| touches(range))
            {
                blamed.push((*primary, name));
            } else if !generated.show.is_empty() && touches(&generated.show) {
                plan.opaque = true;
            }
        }
        // "cannot move out of `v`: borrowed, and later used here": the later one is the borrow.
        let borrows = blamed.iter().any(|(primary, _)| !primary);
        for (_, name) in blamed.iter().filter(|(primary, _)| !(borrows && *primary)) {
            plan.stored_as.remove(*name);
            plan.not_stored.insert((*name).clone());
        }
    }
    if generated.reduced && !plan.all_items {
        plan.all_items = true;
    }
    before != (plan.all_items, plan.not_stored.len(), plan.stored_as.len(), plan.opaque)
}

/// Name → type of each variable that the cell stores, from the compiler's own words.
pub(super) fn variable_types(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("srv.mir")).unwrap_or_default();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        let Some((_, call)) = line.split_once("put::<") else { continue };
        let Some((type_name, rest)) = call.split_once(">(const \"") else { continue };
        let Some((name, _)) = rest.split_once('"') else { continue };
        types.insert(name.to_owned(), type_name.to_owned());
    }
    types
}

/// Type of a closure → the boxed type that can hold it.
pub(super) fn closure_types(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("srv.mir")).unwrap_or_default();
    let mut types = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with("fn ") && l.contains("(_1: ")) {
        let Some((_, signature)) = line.split_once("(_1: ") else { continue };
        let Some(end) = signature.find("{closure@") else { continue };
        let how = match signature[..end].trim() {
            "&" => "Fn",
            "&mut" => "FnMut",
            "" => "FnOnce",
            _ => continue,
        };
        let Some(close) = signature[end..].find('}') else { continue };
        let closure = &signature[end..=end + close];
        let rest = &signature[end + close + 1..];
        let Some((arguments, result)) = rest.rsplit_once(") -> ") else { continue };
        let arguments: String = arguments.trim_start_matches(", ").to_owned();
        let types_only = strip_names(&arguments);
        let result = result.trim_end_matches(" {");
        let boxed = format!("::std::boxed::Box<dyn {how}({types_only}) -> {result}>");
        types.insert(closure.to_owned(), boxed);
    }
    types
}

/// `_2: f32, _3: &str` → `f32, &str`.
fn strip_names(arguments: &str) -> String {
    let mut out = String::new();
    let mut rest = arguments;
    while let Some(at) = rest.find('_') {
        let digits = rest[at + 1..].chars().take_while(char::is_ascii_digit).count();
        let after = at + 1 + digits;
        if digits > 0 && rest[after..].starts_with(": ") {
            out.push_str(&rest[..at]);
            rest = &rest[after + 2..];
        } else {
            out.push_str(&rest[..after]);
            rest = &rest[after..];
        }
    }
    out.push_str(rest);
    out
}
