//! Failures as the front end shows them.

use super::diagnostic::{self, Message};
use super::session::Generated;
use crate::engine::{CellDiagnostic, CellError, ErrorKind};
use std::collections::BTreeMap;
use std::path::Path;

/// The texts of the cells that were compiled, to say where a panic was.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<u64, (Generated, String)>);

impl Sources {
    /// Remembers a cell.
    pub(super) fn insert(&mut self, id: u64, generated: Generated, text: &str) {
        self.0.insert(id, (generated, text.to_owned()));
    }

    /// The line and column in cell `id` of a place that a panic names, if it is in that cell's code.
    pub(super) fn place(
        &self,
        file: &str,
        line: usize,
        column: usize,
        id: u64,
    ) -> Option<(usize, usize)> {
        let path = Path::new(file);
        let number: u64 = path.parent()?.file_name()?.to_str()?.parse().ok()?;
        let (generated, _) = self.0.get(&number).filter(|_| path.ends_with("cell.rs"))?;
        let code = &generated.code;
        let start: usize =
            code.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let before = code[start..].chars().take(column.saturating_sub(1));
        let within: usize = before.map(char::len_utf8).sum();
        let (cell, offset) = generated.origin(start + within)?;
        (cell == id).then(|| diagnostic::position(&self.0[&cell].1, offset))
    }
}

/// What the compiler says against cell `id`; `gone` has the variables that are no longer there, and why.
pub(super) fn compile_error(
    messages: &[Message],
    generated: &Generated,
    gone: &BTreeMap<String, String>,
    id: u64,
    text: &str,
    name: &str,
) -> CellError {
    let mut diagnostics: Vec<CellDiagnostic> = messages
        .iter()
        .map(|m| diagnostic::in_cell_coordinates(m, generated, id, text))
        .collect();
    for d in diagnostics.iter_mut().filter(|d| d.message.contains("cannot find")) {
        let missing = |(name, _): &(&String, _)| d.message.contains(&format!("`{name}`"));
        let notes: Vec<_> = gone.iter().filter(missing).collect();
        for (variable, why) in notes {
            let (why, way_out) = why.split_once('\n').unwrap_or((why, CLONE));
            d.notes.push(format!(
                "note: `{variable}` is not kept from an earlier cell: {why}"
            ));
            d.notes.push(format!("help: {way_out}"));
        }
    }
    if diagnostics.is_empty() {
        let message = "the compiler gave no object and no message".into();
        return failure(ErrorKind::Internal, message, name);
    }
    let all = |ansi| {
        let each = diagnostics.iter().map(|d| diagnostic::render(d, name, text, ansi));
        each.collect::<Vec<_>>().join("\n")
    };
    let (plain, ansi) = (all(false), all(true));
    let message = diagnostics[0].message.clone();
    CellError { kind: ErrorKind::Compile, message, diagnostics, plain, ansi }
}

/// The way out where nothing better is known.
const CLONE: &str = "clone it before, or do both in one cell";

/// A failure without a place.
pub(super) fn failure(kind: ErrorKind, message: String, name: &str) -> CellError {
    let plain = format!("error: {message}\n --> {name}\n");
    CellError { kind, message, diagnostics: Vec::new(), ansi: plain.clone(), plain }
}

/// A panic, with its place in the cell if that is known.
pub(super) fn panic_error(
    kind: ErrorKind,
    message: String,
    place: Option<(usize, usize)>,
    name: &str,
    text: &str,
) -> CellError {
    let Some((line, column)) = place else { return failure(kind, message, name) };
    let diagnostic = CellDiagnostic {
        code: None,
        level: "panic".into(),
        message: message.clone(),
        line,
        column,
        end_line: line,
        end_column: column,
        label: String::new(),
        notes: Vec::new(),
    };
    let plain = diagnostic::render(&diagnostic, name, text, false);
    let ansi = diagnostic::render(&diagnostic, name, text, true);
    CellError { kind, message, diagnostics: vec![diagnostic], plain, ansi }
}
