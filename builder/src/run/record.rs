//! The outputs that an author has seen and blessed, and whether a run gives them again.
//!
//! `recorded/<section>.json` in the book's folder holds the outputs of a section by the ids of its
//! cells. Text must be equal but for its numbers, which may differ by a stated part; a drawing is
//! compared in the same way by the numbers it is drawn with.

use super::output::{MimeBundle, Output, SectionOutputs};
use crate::book::Section;
use crate::diagnostic::Diagnostic;
use crate::document::Span;
use crate::files;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// By which part numbers may differ where a cell does not say: single precision, summed in another
/// order.
pub const APPROX: f64 = 1e-4;

/// Smaller numbers are rounding of zero.
const ZERO: f64 = 1e-6;

/// Coordinates of drawings are whole pixels or near; a tenth of one is not seen.
const PIXEL: f64 = 0.1;

/// Drawings are some hundred pixels wide: what a part of one is.
const DRAWING: f64 = 100.0;

/// How numbers stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A digit in a word, as in `f32`, is a part of it.
    Text,
    /// `M10.5` is a letter and a number.
    Drawing,
}

impl Content {
    /// The distance that is no difference.
    fn zero(self) -> f64 {
        match self {
            Content::Text => ZERO,
            Content::Drawing => PIXEL,
        }
    }
}

/// The recorded outputs of a section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Cell → outputs; cells without outputs have none.
    cells: BTreeMap<String, Vec<Output>>,
}

/// A cell that did not give what was recorded.
#[derive(Debug)]
pub struct Drift {
    /// The cell's id.
    pub cell: String,
    /// Where and what.
    pub diagnostic: Diagnostic,
}

impl Recorded {
    /// What a run gave, to be recorded.
    pub fn of(section: &Section, outputs: &SectionOutputs) -> Self {
        let cells = section.document.cells().zip(&outputs.cells);
        let cells = cells.filter(|((cell, _), outputs)| {
            !cell.attrs.volatile && !outputs.is_empty() && was_run(outputs)
        });
        Self {
            cells: cells
                .map(|((cell, _), outputs)| (cell.id.clone(), outputs.clone()))
                .collect(),
        }
    }

    /// The record of a section, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(root: &Path, section: &Section) -> anyhow::Result<Option<Self>> {
        let path = path(root, section);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let read = serde_json::from_str(&text);
                Ok(Some(read.with_context(|| path.display().to_string())?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Replaces the record of a section; says whether that changed anything.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, root: &Path, section: &Section) -> anyhow::Result<bool> {
        let path = path(root, section);
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        files::write(&path, text.as_bytes())?;
        Ok(true)
    }

    /// What is recorded for a cell.
    pub(super) fn cell(&self, id: &str) -> Option<&Vec<Output>> {
        self.cells.get(id)
    }

    /// The cells whose outputs are others than recorded.
    pub fn compare(&self, section: &Section, outputs: &SectionOutputs) -> Vec<Drift> {
        let mut found = Vec::new();
        for ((cell, span), given) in section.document.cells().zip(&outputs.cells) {
            if cell.attrs.volatile || !was_run(given) {
                continue;
            }
            let expected = self.cells.get(&cell.id).map_or(&[][..], Vec::as_slice);
            let approx = cell.attrs.approx.unwrap_or(APPROX);
            let Some(difference) = outputs_differ(expected, given, approx) else {
                continue;
            };
            let start = cell.line_starts.first().copied().unwrap_or(span.start);
            let place =
                Span::new(start..start + cell.code.lines().next().unwrap_or("").len());
            let message = "this cell gives another output than recorded";
            let help = format!(
                "{difference}\nif the new one is right: d2l test --bless {}; if it varies: `approx=` or `volatile` in the fence",
                section.slug
            );
            found.push(Drift {
                cell: cell.id.clone(),
                diagnostic: Diagnostic::error(&section.document, place, message)
                    .with_help(help),
            });
        }
        found
    }
}

fn was_run(outputs: &[Output]) -> bool {
    !outputs.iter().any(|output| matches!(output, Output::NotRun { .. }))
}

pub(super) fn path(root: &Path, section: &Section) -> PathBuf {
    root.join("recorded").join(format!("{}.json", section.slug))
}

fn outputs_differ(expected: &[Output], given: &[Output], approx: f64) -> Option<String> {
    if expected.len() != given.len() {
        return Some(format!("recorded {} outputs, got {}", expected.len(), given.len()));
    }
    expected.iter().zip(given).find_map(|pair| match pair {
        (Output::Stream { name, text }, Output::Stream { name: n, text: t })
            if name == n =>
        {
            text_differs(text, t, approx, Content::Text)
        }
        (Output::Display { data }, Output::Display { data: d })
        | (Output::Result { data }, Output::Result { data: d }) => {
            bundles_differ(data, d, approx)
        }
        (
            Output::Error { name, message, .. },
            Output::Error { name: n, message: m, .. },
        ) => text_differs(
            &format!("{name}: {message}"),
            &format!("{n}: {m}"),
            approx,
            Content::Text,
        ),
        _ => Some("recorded another kind of output".into()),
    })
}

fn bundles_differ(
    expected: &MimeBundle,
    given: &MimeBundle,
    approx: f64,
) -> Option<String> {
    let kinds =
        |bundle: &MimeBundle| bundle.keys().cloned().collect::<Vec<_>>().join(", ");
    if expected.keys().ne(given.keys()) {
        return Some(format!("recorded {}, got {}", kinds(expected), kinds(given)));
    }
    expected.iter().find_map(|(mime, text)| {
        let content =
            if mime == "image/svg+xml" { Content::Drawing } else { Content::Text };
        let is_text = mime.starts_with("text/") || mime.ends_with("+xml");
        match is_text {
            true => text_differs(text, &given[mime], approx, content),
            false => (*text != given[mime]).then(|| format!("another picture ({mime})")),
        }
        .map(|difference| match mime.as_str() {
            "text/plain" => difference,
            _ => format!("{mime}: {difference}"),
        })
    })
}

/// The first line that differs by more than its numbers may, and both sides of it.
fn text_differs(
    expected: &str,
    given: &str,
    approx: f64,
    content: Content,
) -> Option<String> {
    let (mut old, mut new) = (expected.lines(), given.lines());
    let mut number = 0;
    loop {
        number += 1;
        let cause = match (old.next(), new.next()) {
            (None, None) => return None,
            (Some(old), Some(new)) => {
                line_differs(old, new, approx, content).map(|by| (old, new, by))
            }
            (old, new) => {
                Some((old.unwrap_or("(end)"), new.unwrap_or("(end)"), String::new()))
            }
        };
        if let Some((old, new, by)) = cause {
            let short = |line: &str| line.chars().take(160).collect::<String>();
            return Some(format!(
                "line {number}: recorded `{}`, got `{}`{by}",
                short(old),
                short(new)
            ));
        }
    }
}

fn line_differs(old: &str, new: &str, approx: f64, content: Content) -> Option<String> {
    if content == Content::Drawing
        && let (Some((old_rest, a)), Some((new_rest, b))) = (path_in(old), path_in(new))
    {
        return path_differs(a, b, approx)
            .or_else(|| line_differs(&old_rest, &new_rest, approx, content));
    }
    let (old, new) = (tokens(old, content), tokens(new, content));
    if old.len() != new.len() {
        return Some(String::new());
    }
    let mut worst: Option<f64> = None;
    for (a, b) in old.iter().zip(&new) {
        match (a, b) {
            (Token::Number(a, unit), Token::Number(b, other)) => {
                let (distance, size) = ((a - b).abs(), a.abs().max(b.abs()));
                let is_same = a == b || a.is_nan() && b.is_nan();
                // Between two roundings there may be nothing but the last bit.
                let is_rounding = unit == other && distance < 1.5 * unit;
                let is_near = distance <= content.zero() || distance <= approx * size;
                if !(is_same || is_rounding || is_near) {
                    worst = Some(worst.unwrap_or(0.0).max(distance / size));
                }
            }
            (Token::Text(a), Token::Text(b)) if a == b => {}
            _ => return Some(String::new()),
        }
    }
    worst.map(|part| format!(" (off by {part:.1e}, allowed {approx:.0e})"))
}

/// A line of a drawing without the first path in it, and the path.
fn path_in(line: &str) -> Option<(String, &str)> {
    let before = line.find(" d=\"")?;
    let start = before + " d=\"".len();
    let end = start + line[start..].find('"')?;
    Some((format!("{}{}", &line[..before], &line[end + 1..]), &line[start..end]))
}

/// How two paths differ by more than their points may: each is written as steps from the one before.
fn path_differs(old: &str, new: &str, approx: f64) -> Option<String> {
    let ((commands, old), (others, new)) = (points(old), points(new));
    if commands != others || old.len() != new.len() {
        return Some(" (another line)".into());
    }
    let allowed = PIXEL + approx * DRAWING;
    let distances = old.iter().zip(&new).map(|(a, b)| (a - b).abs());
    let worst =
        distances.fold(0.0, |worst: f64, d| if d.is_nan() { d } else { worst.max(d) });
    let is_near = worst <= allowed;
    (!is_near).then(|| format!(" (off by {worst:.1} pixels, allowed {allowed:.1})"))
}

/// The commands of a path, and where they lead: `M1 2l3-1` is `Ml` and 1, 2, 4, 1.
fn points(path: &str) -> (String, Vec<f64>) {
    let (mut commands, mut numbers) = (String::new(), Vec::new());
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let sign = usize::from(c == '-');
        let mut dots = 0;
        let ends = |c: char| {
            dots += usize::from(c == '.');
            !(c.is_ascii_digit() || c == '.' && dots == 1)
        };
        let length = sign + rest[sign..].find(ends).unwrap_or(rest.len() - sign);
        if length == sign {
            rest = &rest[c.len_utf8()..];
            if !matches!(c, ' ' | ',' | '-') {
                commands.push(c);
            }
            continue;
        }
        let number: f64 = rest[..length].parse().unwrap_or(f64::NAN);
        let is_step = commands.ends_with(|c: char| c.is_ascii_lowercase());
        let from = numbers.len().checked_sub(2).filter(|_| is_step);
        numbers.push(number + from.map_or(0.0, |at| numbers[at]));
        rest = &rest[length..];
    }
    (commands, numbers)
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    /// Its value, and the unit of its last digit if it has at least three behind the point.
    Number(f64, f64),
    Text(&'a str),
}

/// Words, numbers and signs; spaces only separate them.
fn tokens(line: &str, content: Content) -> Vec<Token<'_>> {
    let bytes = line.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let is_word = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b >= 0x80;
        if bytes[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let sign = usize::from(bytes[at] == b'-');
        if digit(at + sign) {
            at += sign;
            while digit(at) {
                at += 1;
            }
            let mut decimals = 0;
            if bytes.get(at) == Some(&b'.') && digit(at + 1) {
                at += 1;
                while digit(at) {
                    at += 1;
                    decimals += 1;
                }
            }
            let exponent = matches!(bytes.get(at), Some(b'e' | b'E'));
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'-' | b'+')));
            if exponent && digit(at + 1 + sign) {
                at += 1 + sign;
                while digit(at) {
                    at += 1;
                }
                // `1.234e-3`: the power counts as well.
                decimals = 0;
            }
            let unit = if decimals < 3 { 0.0 } else { 0.1_f64.powi(decimals) };
            let value = line[start..at].parse().unwrap_or(f64::NAN);
            found.push(Token::Number(value, unit));
        } else if is_word(bytes[at]) {
            while at < bytes.len()
                && (is_word(bytes[at]) || content == Content::Text && digit(at))
            {
                at += 1;
            }
            found.push(Token::Text(&line[start..at]));
        } else {
            at += 1;
            found.push(Token::Text(&line[start..at]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(old: &str, new: &str, approx: f64) -> Option<String> {
        text_differs(old, new, approx, Content::Text)
    }

    #[test]
    fn numbers_may_differ_by_a_part_and_text_may_not() {
        assert_eq!(differ("loss 0.50000, f32", "loss 0.50004, f32", 1e-4), None);
        assert_eq!(differ("[1.0,  -2e3]", "[1.0, -2000]", 0.0), None);
        assert_eq!(differ("nan 1e-9 inf", "nan -1e-9 inf", 1e-4), None);
        assert_eq!(
            differ("a\nloss 0.5", "a\nloss 0.6", 1e-2).unwrap(),
            "line 2: recorded `loss 0.5`, got `loss 0.6` (off by 1.7e-1, allowed 1e-2)"
        );
        assert_eq!(differ("loss 0.5", "loss 0.6", 0.2), None);
        assert_eq!(differ("loss 0.813", "loss 0.814", 1e-4), None, "a rounding");
        assert!(differ("loss 0.813", "loss 0.815", 1e-4).is_some());
        assert!(differ("loss 0.813e2", "loss 0.814e2", 1e-4).is_some());
        for (old, new) in
            [("a 1", "b 1"), ("1", "1\n2"), ("f32", "f64"), ("1", "x"), ("x 1", "x -1")]
        {
            assert!(differ(old, new, 0.5).is_some(), "{old} {new}");
        }
    }

    #[test]
    fn lines_of_drawings_are_compared_by_where_they_lead() {
        assert_eq!(points("M1 2l3-1.5-.5.5z").0, "Mlz");
        assert_eq!(points("M1,2 l3-1.5 -.5.5").1, [1.0, 2.0, 4.0, 0.5, 3.5, 1.0]);
        let differ = |new: &str, approx| {
            let path = |d: &str| format!("<path d=\"{d}\"/>");
            let old = path("M10 20l5-3l5 .02l5 3");
            text_differs(&old, &path(new), approx, Content::Drawing)
        };
        assert_eq!(
            differ("M10 20l5-3.05l5-.02l5 3.1", 1e-4),
            None,
            "signs of small steps"
        );
        assert_eq!(differ("M10 20l5-1l5 3l5-2", 0.1), None);
        for other in ["M10 20l5-1l5 0l5 3", "M10 20l5-3l5 0", "M10 20l5-3l5 0L5 3"] {
            assert!(differ(other, 1e-4).is_some(), "{other}");
        }
    }

    #[test]
    fn drawings_are_compared_by_their_numbers() {
        let bundle = |svg: &str| [("image/svg+xml".to_owned(), svg.to_owned())].into();
        let line = bundle("<path d=\"M10.00,20.00 L30,40\"/>");
        assert_eq!(
            bundles_differ(&line, &bundle("<path d=\"M10.05,20 L30,40\"/>"), 1e-4),
            None
        );
        for other in ["<path d=\"M10,20 L30,41\"/>", "<rect d=\"M10,20 L30,40\"/>"] {
            assert!(bundles_differ(&line, &bundle(other), 1e-4).is_some(), "{other}");
        }
    }
}
