//! `d2l fmt`: the code of cells as rustfmt sets it, in the chapters themselves.

use crate::book::{Book, Section};
use crate::document::Cell;
use crate::files;
use anyhow::Context;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Whether chapters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Replace what differs.
    Write,
    /// Say what differs.
    Check,
}

/// Formats all cells of the book; gives the chapters that were changed, or that would be.
///
/// Cells that are not Rust, such as those that show a mistake, stay as they are.
///
/// # Errors
/// If rustfmt does not run, or a chapter cannot be written.
pub fn fmt(book: &Book, mode: Mode) -> anyhow::Result<Vec<PathBuf>> {
    let cells: Vec<&Cell> = book.sections.iter().flat_map(cells_of).collect();
    let formatted = formatted(&cells, &book.root)?;
    let mut formatted = formatted.into_iter();
    let mut changed = Vec::new();
    for section in &book.sections {
        let mut edits = Vec::new();
        for cell in cells_of(section) {
            if let Some(code) =
                formatted.next().flatten().filter(|code| *code != cell.code)
            {
                let start = cell.line_starts[0];
                edits.push((start..start + cell.code.len(), code));
            }
        }
        if edits.is_empty() {
            continue;
        }
        let mut source = section.document.source.clone();
        for (range, code) in edits.into_iter().rev() {
            source.replace_range(range, &code);
        }
        if mode == Mode::Write {
            files::write(&section.document.path, source.as_bytes())?;
        }
        changed.push(section.document.path.clone());
    }
    Ok(changed)
}

/// Cells that stand in the chapter byte for byte.
fn cells_of(section: &Section) -> impl Iterator<Item = &Cell> {
    let source = &section.document.source;
    section.document.cells().map(|(cell, _)| cell).filter(move |cell| {
        let start = cell.line_starts.first();
        start.is_some_and(|start| source[*start..].starts_with(&cell.code))
    })
}

const OPEN: &str = "fn d2l_cell_";

/// The cells as rustfmt sets them, all by one run of it: each is the body of a function.
fn formatted(
    cells: &[&Cell],
    root: &std::path::Path,
) -> anyhow::Result<Vec<Option<String>>> {
    let mut text = String::new();
    for (number, cell) in cells.iter().enumerate() {
        if literals(&cell.code).is_some() {
            let _ = writeln!(text, "{OPEN}{number}() {{\n{}\n}}", cell.code);
        }
    }
    let folder = std::path::absolute(root)?;
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--quiet"])
        // Where it looks for a rustfmt.toml.
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt; `rustup component add rustfmt` installs it")?;
    let mut input = rustfmt.stdin.take().context("rustfmt's input")?;
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = rustfmt.wait_with_output()?;
    writer.join().expect("writing does not panic")?;
    anyhow::ensure!(output.status.success(), "rustfmt failed");
    let output = String::from_utf8(output.stdout)?;
    let body = |number: usize| {
        let (_, rest) = output.split_once(&format!("{OPEN}{number}() {{\n"))?;
        let (body, _) = rest.split_once("\n}\n")?;
        let lines = body.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
        Some(lines.collect::<Vec<_>>().join("\n"))
    };
    let keeps = |number: usize, code: String| {
        // Moving lines to the margin must not reach into a text of several lines.
        (literals(&code)? == literals(&cells[number].code)?).then_some(code)
    };
    Ok((0..cells.len()).map(|number| keeps(number, body(number)?)).collect())
}

/// The literals of code; none if it is not Rust.
fn literals(code: &str) -> Option<Vec<String>> {
    use syn::parse::Parser;
    syn::Block::parse_within.parse_str(code).ok()?;
    let tokens: proc_macro2::TokenStream = code.parse().ok()?;
    let mut found = Vec::new();
    let mut streams = vec![tokens.into_iter()];
    while let Some(stream) = streams.last_mut() {
        match stream.next() {
            Some(proc_macro2::TokenTree::Group(group)) => {
                streams.push(group.stream().into_iter())
            }
            Some(proc_macro2::TokenTree::Literal(literal)) => {
                found.push(literal.to_string())
            }
            Some(_) => {}
            None => {
                streams.pop();
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_set_and_nothing_else_is_touched() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            files::write(&home.path().join(path), text.as_bytes()).unwrap();
        };
        write(
            "book.toml",
            "title = \"T\"\n[[chapter]]\npath = \"c\"\nsections = [\"s\"]\n",
        );
        write("c/index.md", "# C\n");
        let messy = "# S\n\nTable  |  text.\n\n```rust\n//#@save x\npub fn f( )->i64{ 1 }\n```\n\n\
                     ```rust, hide\nlet   s=\"a\n      b\";\n\nif  s . len ( )>1{ f( ) }else{ 2 }\n```\n\n\
                     ```rust, fails\nlet = ;\n```\n";
        write("c/s.md", messy);
        let load = || Book::load(&home.path().join("book.toml")).0;
        assert_eq!(fmt(&load(), Mode::Check).unwrap(), [home.path().join("c/s.md")]);
        let read = || std::fs::read_to_string(home.path().join("c/s.md")).unwrap();
        assert_eq!(read(), messy);
        fmt(&load(), Mode::Write).unwrap();
        let neat = messy.replace("f( )->i64{ 1 }", "f() -> i64 {\n    1\n}");
        let text = "let   s=\"a\n      b\";\n\nif  s . len ( )>1{ f( ) }else{ 2 }";
        let set = "let s = \"a\n      b\";\n\nif s.len() > 1 { f() } else { 2 }";
        // The text of two lines would move, so that cell is left alone.
        assert!(read() == neat || read() == neat.replace(text, set), "{}", read());
        assert_eq!(fmt(&load(), Mode::Check).unwrap(), [PathBuf::new(); 0]);
    }
}
