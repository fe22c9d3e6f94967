//! Section + outputs → `.ipynb` (nbformat 4.5), with images inside, so that one file is enough.

mod markdown;

use super::OutFile;
use crate::book::{Book, Section};
use crate::config::Outputs;
use crate::document::inline::walk_blocks;
use crate::document::{Block, BlockKind, Cell};
use crate::run::output::{Output, SectionOutputs, not_run};
use markdown::Markdown;
use serde_json::{Map, Value, json};
use std::io::Write as _;

/// The notebook of the section at `index`, with the outputs that its cells gave. The same input gives
/// the same bytes.
pub fn weave(book: &Book, outputs: &[SectionOutputs], index: usize) -> Vec<u8> {
    let section = &book.sections[index];
    let none = SectionOutputs::default();
    let outputs = outputs.get(index).unwrap_or(&none);
    let mut notebook = Notebook::new(book, index);
    notebook.title(section);
    let mut count = 0;
    // Cells of solutions, which the reader is to find.
    let mut left_out = 0;
    for block in &section.document.blocks {
        match &block.kind {
            BlockKind::Cell(cell) => {
                let given = outputs.cells.get(count).map_or(&[][..], Vec::as_slice);
                count += 1;
                notebook.code(cell, given, count - left_out);
                notebook.caption(section, block, cell);
            }
            BlockKind::Solution { blocks, .. } => walk_blocks(blocks, &mut |block| {
                let is_cell = usize::from(matches!(block.kind, BlockKind::Cell(_)));
                count += is_cell;
                left_out += is_cell;
            }),
            BlockKind::Heading { .. } => {
                notebook.end_text();
                notebook.text.block(block);
            }
            _ => notebook.text.block(block),
        }
    }
    notebook.text.notes_and_references();
    notebook.finish()
}

/// The notebooks in one file, for download.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn zip(files: &[OutFile]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = super::zip_options();
    for file in files {
        let name = file.path.to_string_lossy().replace('\\', "/");
        zip.start_file(name, options).expect("writing to memory");
        zip.write_all(&file.bytes).expect("writing to memory");
    }
    zip.finish().expect("writing to memory").into_inner()
}

struct Notebook<'a> {
    /// Whether cells come with what they gave.
    has_outputs: bool,
    cells: Vec<Value>,
    text: Markdown<'a>,
}

impl<'a> Notebook<'a> {
    fn new(book: &'a Book, index: usize) -> Self {
        let has_outputs = book.config.notebooks.outputs == Outputs::Included;
        Self { has_outputs, cells: Vec::new(), text: Markdown::new(book, index) }
    }

    fn title(&mut self, section: &Section) {
        let number = section.number.as_ref().map_or(String::new(), |n| format!("{n} "));
        let title = self.text.inlines(&section.document.title);
        self.text.push(&format!("# {number}{title}"));
    }

    /// Ends the markdown cell under way.
    fn end_text(&mut self) {
        let (text, images) = self.text.take();
        if text.is_empty() {
            return;
        }
        let mut cell = Map::new();
        cell.insert("cell_type".into(), "markdown".into());
        cell.insert("id".into(), format!("text-{}", self.cells.len()).into());
        cell.insert("metadata".into(), json!({}));
        cell.insert("source".into(), lines(&text));
        if !images.is_empty() {
            cell.insert("attachments".into(), Value::Object(images));
        }
        self.cells.push(Value::Object(cell));
    }

    fn code(&mut self, cell: &Cell, outputs: &[Output], count: usize) {
        self.end_text();
        let mut source = match &cell.save {
            None => String::new(),
            Some(save) => {
                let topic =
                    save.topic.as_ref().map_or(String::new(), |t| format!(" {t}"));
                format!("//#@save{topic}\n")
            }
        };
        source.push_str(&cell.code);
        let mut metadata = Map::new();
        let mut tags = Vec::new();
        if cell.attrs.fails.is_some() {
            // Running all cells goes on after an error that the chapter shows.
            tags.push("raises-exception");
        }
        if cell.attrs.hide || cell.attrs.hide_code {
            tags.push("hide-input");
            metadata.insert("jupyter".into(), json!({ "source_hidden": true }));
        }
        if !tags.is_empty() {
            metadata.insert("tags".into(), json!(tags));
        }
        let is_shown = self.has_outputs && !cell.attrs.hide && !cell.attrs.hide_output;
        let outputs: Vec<Value> = match is_shown {
            true => outputs.iter().map(|output| output_json(output, count)).collect(),
            false => Vec::new(),
        };
        self.cells.push(json!({
            "cell_type": "code",
            "id": cell_id(&cell.id),
            "metadata": metadata,
            "execution_count": self.has_outputs.then_some(count),
            "source": lines(&source),
            "outputs": outputs,
        }));
    }

    fn caption(&mut self, section: &Section, block: &Block, cell: &Cell) {
        if let Some(caption) = &cell.attrs.caption {
            let number = section.numbers.get(&block.span.start);
            let number = number.map_or(String::new(), |n| format!("*Figure {n}:* "));
            let caption = self.text.inlines(caption);
            self.text.push(&format!("{number}{caption}"));
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.end_text();
        let notebook = json!({
            "cells": self.cells,
            "metadata": {
                "d2l": { "version": env!("CARGO_PKG_VERSION") },
                "kernelspec": { "display_name": "Rust (d2l)", "language": "rust", "name": "d2l" },
                "language_info": {
                    "codemirror_mode": "rust",
                    "file_extension": ".rs",
                    "mimetype": "text/x-rust",
                    "name": "rust",
                    "pygments_lexer": "rust",
                },
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        });
        let mut bytes = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indent);
        serde::Serialize::serialize(&notebook, &mut serializer)
            .expect("writing to memory");
        bytes.push(b'\n');
        bytes
    }
}

fn output_json(output: &Output, count: usize) -> Value {
    match output {
        Output::Stream { name, text } => {
            json!({ "output_type": "stream", "name": name, "text": lines(text) })
        }
        Output::Display { data } => {
            json!({ "output_type": "display_data", "data": bundle(data), "metadata": {} })
        }
        Output::Result { data } => json!({
            "output_type": "execute_result",
            "execution_count": count,
            "data": bundle(data),
            "metadata": {},
        }),
        Output::Error { name, message, text } => json!({
            "output_type": "error",
            "ename": name,
            "evalue": message,
            "traceback": text.lines().collect::<Vec<_>>(),
        }),
        Output::NotRun { needs } => json!({
            "output_type": "stream", "name": "stderr", "text": lines(&not_run(needs)),
        }),
    }
}

fn bundle(data: &crate::run::output::MimeBundle) -> Value {
    let form = |(mime, content): (&String, &String)| {
        let is_text = mime.starts_with("text/") || mime.ends_with("+xml");
        let content = if is_text { lines(content) } else { content.as_str().into() };
        (mime.clone(), content)
    };
    Value::Object(data.iter().map(form).collect())
}

/// Text as nbformat stores it: a list of lines with their ends, which diffs well.
fn lines(text: &str) -> Value {
    text.split_inclusive('\n').collect()
}

/// Only letters, digits, `-` and `_`, at most 64, as nbformat asks.
fn cell_id(id: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    id.chars().map(fine).take(64).collect()
}

#[cfg(test)]
mod tests;
