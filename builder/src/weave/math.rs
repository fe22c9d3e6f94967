//! LaTeX → MathML.

use crate::diagnostic::Diagnostic;
use crate::document::{Document, Span};
use math_core::{LatexToMathML, MathCoreConfig, MathDisplay};
use std::panic::AssertUnwindSafe;

/// A converter of formulas; none keeps state from formula to formula.
pub(super) struct MathMl(LatexToMathML);

impl MathMl {
    pub(super) fn new() -> Self {
        let config = MathCoreConfig { annotation: true, ..MathCoreConfig::default() };
        Self(LatexToMathML::new(config).expect("no macros that could be wrong"))
    }

    /// The formula `latex`, which stands at `span` of the chapter.
    pub(super) fn convert(
        &self,
        document: &Document,
        span: Span,
        latex: &str,
        display: MathDisplay,
    ) -> Result<String, Box<Diagnostic>> {
        if let Some(at) = ampersand_in_group(latex) {
            let offset = document.source[span.range()].find(latex).unwrap_or_default();
            let at = span.start + offset + at;
            let message =
                "a formula that cannot be set: `&` inside braces, brackets or a fraction";
            let help =
                "it stands between the cells of a table, outside of every group in them";
            let place = Span::new(at..at + 1);
            return Err(Box::new(
                Diagnostic::error(document, place, message).with_help(help),
            ));
        }
        let convert = || self.0.convert_with_local_state(latex, display);
        // It panics at a `&` in some places where none can stand.
        let Ok(converted) = std::panic::catch_unwind(AssertUnwindSafe(convert)) else {
            let message =
                "a formula that cannot be set: is each `&` between cells of a table?";
            return Err(Box::new(Diagnostic::error(document, span, message)));
        };
        converted.map(|result| result.mathml).map_err(|error| {
            let source = &document.source[span.range()];
            let at = source.find(latex).map_or(span, |offset| {
                let start = span.start + offset + error.0.start.min(latex.len());
                Span::new(
                    start
                        ..span.start
                            + offset
                            + error.0.end.clamp(error.0.start, latex.len()),
                )
            });
            let message = format!("a formula that cannot be set: {error}");
            Box::new(Diagnostic::error(document, at, message))
        })
    }
}

/// Where a `&` stands in a group of a table's cell, which the converter does not expect.
fn ampersand_in_group(latex: &str) -> Option<usize> {
    // Whether each open group is a table.
    let mut open: Vec<bool> = Vec::new();
    let mut at = 0;
    while let Some(c) = latex[at..].chars().next() {
        let rest = &latex[at..];
        let step = match c {
            '\\' => {
                let letters =
                    rest[1..].chars().take_while(char::is_ascii_alphabetic).count();
                let sign = || rest[1..].chars().next().map_or(0, char::len_utf8);
                let name = &rest[..1 + if letters > 0 { letters } else { sign() }];
                match name {
                    "\\begin" => {
                        open.push(true);
                        rest.find('}').map_or(name.len(), |end| end + 1)
                    }
                    "\\end" => {
                        open.pop();
                        rest.find('}').map_or(name.len(), |end| end + 1)
                    }
                    "\\left" => {
                        open.push(false);
                        name.len()
                    }
                    "\\right" => {
                        open.pop();
                        name.len()
                    }
                    name => name.len(),
                }
            }
            '{' => {
                open.push(false);
                1
            }
            '}' => {
                open.pop();
                1
            }
            '&' if open.last() == Some(&false) && open.contains(&true) => {
                return Some(at);
            }
            c => c.len_utf8(),
        };
        at += step;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(latex: &str) -> Option<String> {
        let document = Document { source: format!("${latex}$"), ..Document::default() };
        let span = Span::new(0..document.source.len());
        let found = MathMl::new().convert(&document, span, latex, MathDisplay::Inline);
        found.err().map(|error| format!("{}:{}", error.column, error.message))
    }

    #[test]
    fn an_ampersand_in_a_group_is_pointed_at() {
        for (latex, column) in [
            ("\\begin{cases} \\frac{a & b}{c} \\end{cases}", 24),
            ("\\begin{aligned} \\left( a & b \\right) \\end{aligned}", 27),
            ("\\begin{aligned} {ä & b} \\end{aligned}", 21),
        ] {
            let found = error(latex).unwrap();
            assert!(found.starts_with(&format!("{column}:")), "{latex}: {found}");
            assert!(found.contains("`&` inside braces"), "{found}");
        }
        assert!(error("\\begin{aligned} a_& \\end{aligned}").is_some(), "no panic");
        for right in [
            "\\begin{aligned} \\{a\\} & b \\\\ c & {d} \\end{aligned}",
            "a \\& {b \\& c}",
            "\\left\\{ \\begin{matrix} a & b \\end{matrix} \\right.",
        ] {
            assert_eq!(error(right), None, "{right}");
        }
    }
}
