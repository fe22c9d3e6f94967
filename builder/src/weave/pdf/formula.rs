//! LaTeX → typst's mathematics.
//!
//! The translation is mitex's; the functions that it calls are defined in `theme/pdf/math.typ`.

use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a formula cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The part of the formula that is to blame.
    pub(super) range: Range<usize>,
    pub(super) message: String,
}

/// Commands that the translator knows, but that have no place inside a formula.
const OUTSIDE: [&str; 14] = [
    "label",
    "tag",
    "ref",
    "eqref",
    "cite",
    "footnote",
    "caption",
    "includegraphics",
    "item",
    "section",
    "subsection",
    "subsubsection",
    "set",
    "emph",
];
const OUTSIDE_ENVIRONMENTS: [&str; 7] =
    ["tabular", "table", "figure", "itemize", "enumerate", "quote", "abstract"];

/// Symbols whose names in typst have changed since the translator learned them. Those of a family
/// that changed as a whole are in the theme.
const RENAMED: [(&str, &str); 4] = [
    ("arrow.l.dash ", "arrow.l.dashed "),
    ("arrow.r.dash ", "arrow.r.dashed "),
    ("bracket.l.double ", "bracket.l.stroked "),
    ("bracket.r.double ", "bracket.r.stroked "),
];

/// The formula as it stands between dollars in typst.
pub(super) fn translate(latex: &str) -> Result<String, Problem> {
    check(latex)?;
    let whole = || 0..latex.len();
    // The translator expects some arguments to be there.
    let translated =
        catch_unwind(AssertUnwindSafe(|| mitex::convert_math(&fences(latex), None)));
    let typst = match translated {
        Ok(Ok(typst)) => typst,
        Ok(Err(error)) => {
            let message = error.trim_start_matches("error: ").to_owned();
            let command = message.strip_prefix("unknown command: ");
            let range = command.and_then(|command| {
                let found = commands(latex).find(|(_, name)| *name == &command[1..])?;
                Some(found.0..found.0 + command.len())
            });
            return Err(Problem { range: range.unwrap_or_else(whole), message });
        }
        Err(_) => {
            let message = "a command lacks its argument".to_owned();
            return Err(Problem { range: whole(), message });
        }
    };
    // A space would part the prime from its letter; a line end is a space.
    let mut typst = typst.replace(" '", "'").replace('\n', " ");
    for (old, new) in RENAMED {
        typst = typst.replace(old, new);
    }
    let (errors, _) = typst::syntax::parse_math(&typst).errors_and_warnings();
    match errors.first() {
        None => Ok(lines(&typst).unwrap_or(typst.trim()).to_owned()),
        Some(error) => {
            Err(Problem { range: whole(), message: error.message.to_string() })
        }
    }
}

/// Commands that mean something only outside of formulas. What does not match is found by the parser
/// of chapters.
fn check(latex: &str) -> Result<(), Problem> {
    for (at, name) in commands(latex) {
        let end = at + 1 + name.len();
        let environment = match name {
            "begin" => argument(latex, end).filter(|e| OUTSIDE_ENVIRONMENTS.contains(e)),
            _ => None,
        };
        let message = match environment {
            Some(environment) => format!("`{environment}` inside a formula"),
            None if OUTSIDE.contains(&name) => format!("`\\{name}` inside a formula"),
            None => continue,
        };
        return Err(Problem { range: at..end, message });
    }
    Ok(())
}

/// The lines of a formula that is nothing but lines: the page then has room for each.
fn lines(typst: &str) -> Option<&str> {
    let inside = typst.trim().strip_prefix("aligned(")?.strip_suffix(')')?;
    let mut depth = 0;
    let mut is_escaped = false;
    for c in inside.chars() {
        match c {
            '(' if !is_escaped => depth += 1,
            ')' if !is_escaped => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    Some(inside.trim())
}

/// The bars of `|x|` and `\|x\|`, which are alike on both sides, told apart: an opening and a closing
/// one hold what is between them closely, a bar by itself keeps its distance.
fn fences(latex: &str) -> String {
    let mut out = String::with_capacity(latex.len());
    // For each group that is open: bars that wait for their partner, and where they stand in `out`.
    let mut groups: Vec<Vec<(&str, Range<usize>)>> = vec![Vec::new()];
    let mut is_sized = false;
    let mut at = 0;
    while let Some(c) = latex[at..].chars().next() {
        let (name, end) = match c {
            '\\' => command(latex, at),
            c => (&latex[at..at + c.len_utf8()], at + c.len_utf8()),
        };
        let token = &latex[at..end];
        at = end;
        let bar = match token {
            "|" | "\\vert" => Some("|"),
            "\\|" | "\\Vert" => Some("\\|"),
            _ => None,
        };
        match (token, bar) {
            ("{", _) => groups.push(Vec::new()),
            ("}", _) if groups.len() > 1 => drop(groups.pop()),
            // The next formula of a table or of lines begins.
            ("&" | "\\\\", _) => groups.last_mut().expect("the outermost").clear(),
            ("\\lvert", _) => {
                out.push_str("\\mathopen{|}");
                continue;
            }
            ("\\rvert", _) => {
                out.push_str("\\mathclose{|}");
                continue;
            }
            ("\\lVert", _) => {
                out.push_str("\\mathopen{\\|}");
                continue;
            }
            ("\\rVert", _) => {
                out.push_str("\\mathclose{\\|}");
                continue;
            }
            (_, Some(bar)) if !is_sized => {
                let waiting = groups.last_mut().expect("the outermost");
                match waiting.iter().rposition(|(other, _)| *other == bar) {
                    Some(partner) => {
                        let (_, opening) = waiting.swap_remove(partner);
                        waiting.truncate(partner);
                        out.replace_range(opening, &format!("\\mathopen{{{bar}}}"));
                        let _ = write!(out, "\\mathclose{{{bar}}}");
                    }
                    None => {
                        waiting.push((bar, out.len()..out.len() + token.len()));
                        out.push_str(token);
                    }
                }
                continue;
            }
            _ => {}
        }
        let is_sizing = ["left", "right", "middle"].contains(&name)
            || name.trim_start_matches(['b', 'B']).starts_with("ig");
        is_sized = c == '\\' && is_sizing || is_sized && c.is_whitespace();
        out.push_str(token);
        if token == "\\begin" {
            // The arguments of an environment may contain bars that are none.
            while let Some(group) = latex[at..].trim_start().starts_with('{').then(|| {
                let open = at + latex[at..].find('{').expect("it begins with one");
                latex[open..].find('}').map_or(latex.len(), |close| open + close + 1)
            }) {
                out.push_str(&latex[at..group]);
                let is_name = latex[at..group].trim().trim_matches(['{', '}']) != "array";
                at = group;
                if is_name {
                    break;
                }
            }
        }
    }
    out
}

/// The name of the command whose backslash is at `at`, and where it ends.
fn command(latex: &str, at: usize) -> (&str, usize) {
    let name = &latex[at + 1..];
    let letters = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
    let len =
        if letters > 0 { letters } else { name.chars().next().map_or(0, char::len_utf8) };
    (&name[..len], at + 1 + len)
}

/// All commands with the place of their backslash.
fn commands(latex: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + latex.get(from..)?.find('\\')?;
        let (name, end) = command(latex, at);
        from = end;
        Some((at, name))
    })
}

/// What stands in the braces that open at `at`.
fn argument(latex: &str, at: usize) -> Option<&str> {
    let inside = latex[at..].trim_start().strip_prefix('{')?;
    Some(inside[..inside.find('}')?].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(latex: &str) -> (String, String) {
        let problem = translate(latex).unwrap_err();
        (latex[problem.range].to_owned(), problem.message)
    }

    #[test]
    fn primes_stay_with_their_letter() {
        assert_eq!(translate("f'(x)").unwrap(), "f'\\(x \\)");
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let cases = [
            ("a + \\nosuch b", "\\nosuch", "unknown command: \\nosuch"),
            ("x \\label{y}", "\\label", "`\\label` inside a formula"),
            (
                "\\begin{tabular}{l} x \\end{tabular}",
                "\\begin",
                "`tabular` inside a formula",
            ),
        ];
        for (latex, place, message) in cases {
            assert_eq!(problem(latex), (place.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn bars_in_pairs_are_fences() {
        let cases = [
            ("|x| + 1", "\\mathopen{|}x\\mathclose{|} + 1"),
            ("\\|\\mathbf{x}\\|_2", "\\mathopen{\\|}\\mathbf{x}\\mathclose{\\|}_2"),
            ("\\lvert x\\rvert", "\\mathopen{|} x\\mathclose{|}"),
            ("a | b", "a | b"),
            ("{|}|", "{|}|"),
            ("\\left| x \\right|", "\\left| x \\right|"),
            ("\\bigl| x \\bigr|", "\\bigl| x \\bigr|"),
            (
                "\\begin{array}{c|c|c} a \\end{array}",
                "\\begin{array}{c|c|c} a \\end{array}",
            ),
        ];
        for (latex, expected) in cases {
            assert_eq!(fences(latex), expected);
        }
    }

    #[test]
    fn a_formula_of_lines_is_not_a_box() {
        let lines = |latex| translate(latex).unwrap();
        assert_eq!(
            lines("\\begin{aligned} f(x) &= 1 \\end{aligned}"),
            "f \\(x \\) &=  1"
        );
        assert!(lines("\\begin{align} a \\end{align} (b)").starts_with("aligned("));
    }
}
