//! The compiler's messages, in the coordinates of the cell.

use super::session::Generated;
use crate::engine::CellDiagnostic;
use serde_json::Value;
use std::path::Path;

/// One error of the compiler, with the places in the generated code that it names.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) code: Option<String>,
    pub(super) message: String,
    /// Byte ranges in the generated code: start, end, primary, label.
    pub(super) places: Vec<(usize, usize, bool, String)>,
    pub(super) notes: Vec<String>,
}

/// Reads the errors that the compiler left in `folder`.
pub(super) fn read(folder: &Path) -> Vec<Message> {
    let text = std::fs::read_to_string(folder.join("messages.json")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|m| m["level"] == "error")
        .filter(|m| !m["message"].as_str().unwrap_or("").starts_with("aborting due to"))
        .map(|m| Message {
            code: m["code"]["code"].as_str().map(str::to_owned),
            message: m["message"].as_str().unwrap_or_default().to_owned(),
            places: places(&m["spans"]),
            notes: notes(&m["children"]),
        })
        .collect()
}

fn places(spans: &Value) -> Vec<(usize, usize, bool, String)> {
    let mut all = Vec::new();
    for span in spans.as_array().into_iter().flatten() {
        // A message inside a macro's expansion points to the outermost call, which the cell wrote.
        let mut place = span;
        while !in_cell(place) && place["expansion"]["span"].is_object() {
            place = &place["expansion"]["span"];
        }
        if in_cell(place) {
            let number = |key: &str| place[key].as_u64().unwrap_or(0) as usize;
            all.push((
                number("byte_start"),
                number("byte_end"),
                span["is_primary"].as_bool().unwrap_or(false),
                span["label"].as_str().unwrap_or_default().to_owned(),
            ));
        }
    }
    all
}

fn in_cell(span: &Value) -> bool {
    span["file_name"].as_str().is_some_and(|name| name.ends_with("cell.rs"))
}

fn notes(children: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    for child in children.as_array().into_iter().flatten() {
        let level = child["level"].as_str().unwrap_or("note");
        let mut note =
            format!("{level}: {}", child["message"].as_str().unwrap_or_default());
        // What stands between the parts of a suggestion stays as it is.
        let spans = child["spans"].as_array().into_iter().flatten();
        let parts: Vec<_> = spans
            .filter_map(|span| span["suggested_replacement"].as_str())
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect();
        if !parts.is_empty() {
            note.push_str(&format!(": `{}`", parts.join("…")));
        }
        notes.push(note);
    }
    notes
}

/// The message in the cell's coordinates. Places in earlier cells or in our own code become notes.
pub(super) fn in_cell_coordinates(
    message: &Message,
    generated: &Generated,
    id: u64,
    text: &str,
) -> CellDiagnostic {
    let of_cell = |&&(start, ..): &&(usize, usize, bool, String)| {
        generated.origin(start).is_some_and(|(cell, _)| cell == id)
    };
    let mine: Vec<_> = message.places.iter().filter(of_cell).collect();
    let best = mine.iter().find(|p| p.2).or(mine.first());
    let mut notes = message.notes.clone();
    if best.is_none() && !message.places.is_empty() {
        notes.push("note: the place is in code of an earlier cell".into());
    }
    let (start, end, label) = match best {
        Some((start, end, _, label)) => {
            let from = generated.origin(*start).map_or(0, |o| o.1);
            let to = generated.origin(*end).filter(|o| o.0 == id).map_or(from, |o| o.1);
            (from, to.max(from), label.clone())
        }
        None => (0, 0, String::new()),
    };
    let (line, column) = position(text, start);
    let (end_line, end_column) = position(text, end);
    CellDiagnostic {
        code: message.code.clone(),
        level: "error".into(),
        message: message.message.clone(),
        line,
        column,
        end_line,
        end_column,
        label,
        notes,
    }
}

/// 1-based line and column, in characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset.min(text.len()))];
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The diagnostic as rustc would show it, with the cell's name; with colours if `ansi`.
pub(super) fn render(d: &CellDiagnostic, name: &str, text: &str, ansi: bool) -> String {
    let paint = |code: &str, text: &str| match ansi {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let code = d.code.as_ref().map(|c| format!("[{c}]")).unwrap_or_default();
    let mut out = format!(
        "{}: {}\n",
        paint("1;31", &format!("{}{code}", d.level)),
        paint("1", &d.message)
    );
    let source = text.lines().nth(d.line.saturating_sub(1)).unwrap_or_default();
    let number = d.line.to_string();
    let pad = " ".repeat(number.len());
    let bar = paint("1;34", "|");
    let width = match d.end_line == d.line {
        true => d.end_column.saturating_sub(d.column).max(1),
        false => source.chars().count().saturating_sub(d.column - 1).max(1),
    };
    out.push_str(&format!(
        "{pad}{} {name}:{}:{}\n",
        paint("1;34", "-->"),
        d.line,
        d.column
    ));
    out.push_str(&format!("{pad} {bar}\n{} {bar} {source}\n", paint("1;34", &number)));
    let carets = paint("1;31", &format!("{} {}", "^".repeat(width), d.label));
    out.push_str(&format!(
        "{pad} {bar} {}{}\n",
        " ".repeat(d.column - 1),
        carets.trim_end()
    ));
    for note in &d.notes {
        out.push_str(&format!("{pad} {} {note}\n", paint("1;34", "=")));
    }
    out
}
