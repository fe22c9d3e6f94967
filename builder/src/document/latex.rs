//! What is certainly wrong with a formula, whoever sets it: braces, environments and delimiters that
//! do not match. Unknown commands are found by the converters of the formats.

use super::Span;

/// Something that does not match, in bytes of the formula.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

/// What has been opened.
#[derive(Clone, Copy, PartialEq)]
enum Opening<'a> {
    Brace,
    Environment(&'a str),
    Left,
}

impl Opening<'_> {
    fn shown(self) -> String {
        match self {
            Opening::Brace => "{".into(),
            Opening::Environment(name) => format!("\\begin{{{name}}}"),
            Opening::Left => "\\left".into(),
        }
    }

    fn closing(self) -> String {
        match self {
            Opening::Brace => "}".into(),
            Opening::Environment(name) => format!("\\end{{{name}}}"),
            Opening::Left => "\\right".into(),
        }
    }
}

/// Deeper groups and longer formulas are not set, so that no input can exhaust a converter's stack.
const DEEPEST: usize = 100;
const LONGEST: usize = 10_000;

/// Whether a converter may not be given the formula.
pub(super) fn is_excessive(latex: &str) -> bool {
    let deepest = latex.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'{' => *depth += 1,
            b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    let lefts = latex.matches("\\left").count();
    latex.len() > LONGEST || deepest.max().unwrap_or(0) + lefts > DEEPEST
}

/// The first thing in `latex` that does not match, if any: what follows from it is not reported.
pub(super) fn problem(latex: &str) -> Option<Problem> {
    let mut open: Vec<(Opening<'_>, Span)> = Vec::new();
    let mut at = 0;
    while at < latex.len() {
        let (token, next) = token(latex, at);
        let span = Span::new(at..next);
        at = next;
        let closed = match token {
            Token::Open(opening) => {
                open.push((opening, span));
                continue;
            }
            Token::Close(closed) => closed,
            Token::Unnamed(command) => {
                return Some(Problem {
                    span,
                    message: format!("`{command}` names no environment"),
                    help: format!("as in `{command}{{aligned}}`"),
                });
            }
            Token::Other => continue,
        };
        match open.pop() {
            Some((opening, _)) if opening == closed => {}
            Some((opening, _)) => {
                return Some(Problem {
                    span,
                    message: format!(
                        "`{}` in the formula where `{}` is still open",
                        closed.closing(),
                        opening.shown()
                    ),
                    help: format!("close it with `{}` first", opening.closing()),
                });
            }
            None => {
                return Some(Problem {
                    span,
                    message: format!(
                        "`{}` in the formula closes nothing",
                        closed.closing()
                    ),
                    help: format!("open it with `{}`", closed.shown()),
                });
            }
        }
    }
    open.pop().map(|(opening, span)| Problem {
        span,
        message: format!("`{}` in the formula is never closed", opening.shown()),
        help: format!("close it with `{}`", opening.closing()),
    })
}

enum Token<'a> {
    Open(Opening<'a>),
    Close(Opening<'a>),
    Unnamed(&'a str),
    Other,
}

/// The token at `at` and where it ends.
fn token(latex: &str, at: usize) -> (Token<'_>, usize) {
    let rest = &latex[at..];
    let Some(first) = rest.chars().next() else { return (Token::Other, latex.len()) };
    let next = at + first.len_utf8();
    match first {
        '{' => (Token::Open(Opening::Brace), next),
        '}' => (Token::Close(Opening::Brace), next),
        '%' => (Token::Other, at + rest.find('\n').unwrap_or(rest.len())),
        '\\' => {
            let letters = rest[1..]
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(rest.len() - 1);
            if letters == 0 {
                let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
                return (Token::Other, next + escaped);
            }
            let name_end = next + letters;
            match &latex[next..name_end] {
                "left" => (Token::Open(Opening::Left), delimiter_end(latex, name_end)),
                "right" => (Token::Close(Opening::Left), delimiter_end(latex, name_end)),
                "begin" => match environment(latex, name_end) {
                    Some((name, end)) => (Token::Open(Opening::Environment(name)), end),
                    None => (Token::Unnamed("\\begin"), name_end),
                },
                "end" => match environment(latex, name_end) {
                    Some((name, end)) => (Token::Close(Opening::Environment(name)), end),
                    None => (Token::Unnamed("\\end"), name_end),
                },
                _ => (Token::Other, name_end),
            }
        }
        _ => (Token::Other, next),
    }
}

/// Where the delimiter after `\left` or `\right` ends: one character or one command, so that the
/// brace of `\left\{` opens nothing.
fn delimiter_end(latex: &str, at: usize) -> usize {
    let rest = &latex[at..];
    let spaces = rest.len() - rest.trim_start().len();
    match rest.trim_start().chars().next() {
        Some('{' | '}') | None => at,
        Some('\\') => token(latex, at + spaces).1,
        Some(delimiter) => at + spaces + delimiter.len_utf8(),
    }
}

/// `{name}` at `at`, and where it ends.
fn environment(latex: &str, at: usize) -> Option<(&str, usize)> {
    let rest = &latex[at..];
    let name = rest.trim_start().strip_prefix('{')?;
    let length = name.find('}')?;
    let start = latex.len() - name.len();
    (length > 0).then(|| (&name[..length], start + length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(latex: &str) -> Option<(String, &str)> {
        problem(latex).map(|p| (p.message, &latex[p.span.range()]))
    }

    #[test]
    fn real_formulas_are_accepted() {
        for latex in [
            r"\left\{ x \mid |x| < 1 \right\}",
            r"\left. \frac{d f}{d x} \right|_{x=0}",
            r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}",
            r"100\% \text{ of } \{a, b\} % a comment with {",
            r"\leftarrow x \rightarrow",
            r"\left[0, 1\right)",
            r"\begin{cases} a & \text{if } x \\ b \end{cases}",
        ] {
            assert_eq!(message(latex), None, "{latex}");
        }
    }

    #[test]
    fn what_does_not_match_is_pointed_at() {
        let cases = [
            (r"\frac{a}{b", "`{` in the formula is never closed", "{"),
            (r"a}", "`}` in the formula closes nothing", "}"),
            (r"\left( x", r"`\left` in the formula is never closed", r"\left("),
            (
                r"\begin{a} { \end{a}",
                r"`\end{a}` in the formula where `{` is still open",
                r"\end{a}",
            ),
            (
                r"\begin{aligned} x \end{align}",
                r"`\end{align}` in the formula where `\begin{aligned}` is still open",
                r"\end{align}",
            ),
            (r"\begin x", r"`\begin` names no environment", r"\begin"),
        ];
        for (latex, expected, place) in cases {
            assert_eq!(message(latex), Some((expected.to_owned(), place)), "{latex}");
        }
    }
}
