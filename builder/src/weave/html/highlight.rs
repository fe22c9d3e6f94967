//! Code in colours: classes only, so that a style sheet decides, by day and by night.

use super::escape;
use crate::weave::rust;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxSet};
use syntect::util::LinesWithEndings;

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// Kinds of tokens by the beginning of their scope, the first that fits.
const CLASSES: [(&str, &str); 20] = [
    ("comment", "c"),
    ("constant.character.escape", "e"),
    ("string", "s"),
    ("constant.numeric", "n"),
    ("constant.language", "n"),
    ("constant", "n"),
    ("keyword.operator", ""),
    ("keyword", "k"),
    ("storage", "k"),
    ("variable.language", "k"),
    ("variable.parameter", ""),
    ("entity.name.function", "f"),
    ("entity.name", "t"),
    ("entity.other.attribute", "a"),
    ("meta.annotation", "a"),
    ("meta.attribute", "a"),
    ("support.function", "f"),
    ("support.macro", "m"),
    ("support.type", "t"),
    ("support", "t"),
];

/// Code as HTML: escaped, with a `span` around each token that has a colour.
pub(super) fn highlight(language: &str, code: &str) -> String {
    if language == "rust" {
        return coloured(rust::tokens(code));
    }
    let Some(syntax) = SYNTAXES.find_syntax_by_token(language) else {
        return escape(code);
    };
    let mut state = ParseState::new(syntax);
    let mut stack = ScopeStack::new();
    let mut tokens: Vec<(&str, String)> = Vec::new();
    let mut push = |class: &'static str, text: &str| match tokens.last_mut() {
        _ if text.is_empty() => {}
        Some((last, all)) if *last == class => all.push_str(text),
        _ => tokens.push((class, text.to_owned())),
    };
    for line in LinesWithEndings::from(code) {
        let Ok(ops) = state.parse_line(line, &SYNTAXES) else { return escape(code) };
        let mut at = 0;
        for (end, op) in ops {
            push(class(&stack), &line[at..end]);
            at = end;
            if stack.apply(&op).is_err() {
                return escape(code);
            }
        }
        push(class(&stack), &line[at..]);
    }
    coloured(tokens.iter().map(|(class, text)| (*class, text.as_str())))
}

fn coloured<'a>(tokens: impl IntoIterator<Item = (&'static str, &'a str)>) -> String {
    (tokens.into_iter())
        .map(|(class, text)| match class.is_empty() || text.trim().is_empty() {
            true => escape(text),
            false => format!("<span class=\"{class}\">{}</span>", escape(text)),
        })
        .collect()
}

fn class(stack: &ScopeStack) -> &'static str {
    thread_local! {
        /// Names of scopes are made under a lock that all threads share, so each is asked for once.
        static KNOWN: RefCell<HashMap<Scope, Option<&'static str>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let mut classes = stack.as_slice().iter().rev().map(|scope| {
            *known.entry(*scope).or_insert_with(|| {
                let name = scope.build_string();
                let found = CLASSES.iter().find(|(start, _)| name.starts_with(start));
                found.map(|(_, class)| *class)
            })
        });
        classes.find_map(|class| class).unwrap_or("")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_is_coloured_and_nothing_is_lost() {
        let code = "// Sum\nlet s: f64 = \"<&>\".len() as f64 + 1.0;";
        let html = highlight("rust", code);
        assert!(html.contains("<span class=\"c\">// Sum"), "{html}");
        assert!(html.contains("<span class=\"k\">let</span>"), "{html}");
        assert!(html.contains("&lt;&amp;&gt;"), "{html}");
        let mut text = String::new();
        for part in html.split('<') {
            text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        }
        assert_eq!(text, escape(code));
    }

    #[test]
    fn unknown_languages_are_only_escaped() {
        assert_eq!(highlight("klingon", "a < b"), "a &lt; b");
    }
}
