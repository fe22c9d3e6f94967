//! `d2l import`: a notebook becomes a chapter.

use crate::document::inline::slug;
use crate::files;
use anyhow::Context;
use base64::Engine as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A chapter made from a notebook.
#[derive(Debug, PartialEq)]
struct Imported {
    text: String,
    /// Images of its text, by the names under which it shows them.
    images: Vec<(String, Vec<u8>)>,
}

/// Writes the notebook as `chapter`, or as a file of its own name beside it; gives that file's path.
/// Outputs are left out: the book will run the cells.
///
/// # Errors
/// If the notebook cannot be read, or the chapter is there already.
pub fn import(notebook: &Path, chapter: Option<&Path>) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(notebook);
    let text = text.with_context(|| format!("reading {}", notebook.display()))?;
    let json: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a notebook", notebook.display()))?;
    let name = notebook.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let imported = convert(&json, &name)
        .with_context(|| format!("{} is not a notebook", notebook.display()))?;
    let target = chapter.map_or_else(|| notebook.with_extension("md"), Path::to_owned);
    anyhow::ensure!(!target.exists(), "{} is there already", target.display());
    for (image, bytes) in &imported.images {
        let path = target.parent().unwrap_or(Path::new("")).join(image);
        anyhow::ensure!(!path.exists(), "{} is there already", path.display());
        files::write(&path, bytes)?;
    }
    files::write(&target, imported.text.as_bytes())?;
    Ok(target)
}

fn convert(notebook: &Value, name: &str) -> Option<Imported> {
    let language = notebook["metadata"]["kernelspec"]["language"]
        .as_str()
        .or(notebook["metadata"]["language_info"]["name"].as_str())
        .unwrap_or("rust")
        .to_lowercase();
    let mut imported = Imported { text: String::new(), images: Vec::new() };
    for cell in notebook["cells"].as_array()? {
        let mut source = source(&cell["source"]);
        let part = match cell["cell_type"].as_str() {
            Some("markdown") => {
                for (image, forms) in
                    cell["attachments"].as_object().into_iter().flatten()
                {
                    let content = forms.as_object()?.values().next()?.as_str()?;
                    let bytes =
                        base64::engine::general_purpose::STANDARD.decode(content).ok()?;
                    // A name only: an attachment must not choose where it is written.
                    let file =
                        Path::new(image).file_name()?.to_string_lossy().into_owned();
                    let file = format!("img/{}-{file}", slug(name));
                    source = source.replace(&format!("attachment:{image}"), &file);
                    imported.images.push((file, bytes));
                }
                take_embedded(&mut source, &slug(name), &mut imported.images);
                source.trim().to_owned()
            }
            Some("code") if source.trim().is_empty() => continue,
            Some("code") => {
                let longest = source.split(|c| c != '`').map(str::len).max().unwrap_or(0);
                let fence = "`".repeat(longest.max(2) + 1);
                let attributes =
                    if language == "rust" { attributes(cell) } else { String::new() };
                let code = source.trim_end();
                format!("{fence}{language}{attributes}\n{code}\n{fence}")
            }
            _ => continue,
        };
        if !part.is_empty() {
            imported.text.push_str(&part);
            imported.text.push_str("\n\n");
        }
    }
    if !imported.text.starts_with("# ") {
        imported.text.insert_str(0, &format!("# {name}\n\n"));
    }
    imported.text.truncate(imported.text.trim_end().len());
    imported.text.push('\n');
    Some(imported)
}

/// Makes files of the images that are written into the text itself, in place or as the target of a
/// reference like `![…][label]`.
fn take_embedded(text: &mut String, name: &str, images: &mut Vec<(String, Vec<u8>)>) {
    const START: &str = "data:image/";
    let mut from = 0;
    while let Some(start) = text[from..].find(START).map(|at| from + at) {
        let ends = |c: char| c.is_whitespace() || "()<>\"".contains(c);
        let end = text[start..].find(ends).map_or(text.len(), |at| start + at);
        from = end;
        let parts = text[start + START.len()..end].split_once(";base64,");
        let Some((kind, content)) = parts else { continue };
        let kind = kind.strip_suffix("+xml").unwrap_or(kind);
        let plain = kind.chars().all(|c| c.is_ascii_alphanumeric());
        let decoded = base64::engine::general_purpose::STANDARD.decode(content);
        let (true, Ok(bytes)) = (plain, decoded) else { continue };
        let file = format!("img/{name}-{}.{kind}", images.len() + 1);
        let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let label =
            text[line..start].strip_prefix('[').and_then(|l| l.strip_suffix("]: "));
        match label.map(|label| format!("][{label}]")) {
            Some(usage) => {
                text.replace_range(line..end, "");
                *text = text.replace(&usage, &format!("]({file})"));
                from = 0;
            }
            None => {
                text.replace_range(start..end, &file);
                from = start + file.len();
            }
        }
        images.push((file, bytes));
    }
}

/// Text of nbformat: one string, or a list of lines.
fn source(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn attributes(cell: &Value) -> String {
    let tags = cell["metadata"]["tags"].as_array();
    let has = |tag: &str| tags.is_some_and(|tags| tags.iter().any(|t| t == tag));
    let mut written = String::new();
    for (tag, attribute) in [
        ("remove-cell", "hide"),
        ("hide-input", "hide-code"),
        ("remove-input", "hide-code"),
        ("hide-output", "hide-output"),
        ("remove-output", "hide-output"),
        ("raises-exception", "fails"),
    ] {
        if has(tag) && !written.contains(&format!(", {attribute}")) {
            written.push_str(&format!(", {attribute}"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_written_into_the_text_become_files() {
        let mut text = "![a][b] ![c](data:image/png;base64,AAAA) data:image/x,y\n\n\
                        [b]: data:image/svg+xml;base64,AAAB\n\
                        [d]: data:image/png;base64,?"
            .to_owned();
        let mut images = Vec::new();
        take_embedded(&mut text, "n", &mut images);
        let rest = "data:image/x,y\n\n\n[d]: data:image/png;base64,?";
        assert_eq!(text, format!("![a](img/n-2.svg) ![c](img/n-1.png) {rest}"));
        let bytes = [("img/n-1.png", vec![0, 0, 0]), ("img/n-2.svg", vec![0, 0, 1])];
        assert_eq!(images, bytes.map(|(name, bytes)| (name.to_owned(), bytes)));
    }

    #[test]
    fn text_code_tags_and_images_come_over() {
        let notebook = json!({
            "metadata": { "kernelspec": { "language": "rust" } },
            "cells": [
                { "cell_type": "markdown", "source": ["Hi $x$\n", "![a](attachment:../e.png)"],
                  "attachments": { "../e.png": { "image/png": "AAAA" } } },
                { "cell_type": "code", "source": "let a = \"```\";\n", "outputs": [1],
                  "metadata": { "tags": ["hide-input", "raises-exception"] } },
                { "cell_type": "code", "source": "", "metadata": {} },
            ],
        });
        let made = convert(&notebook, "My Note").unwrap();
        let text = "# My Note\n\nHi $x$\n![a](img/my-note-e.png)\n\n\
                    ````rust, hide-code, fails\nlet a = \"```\";\n````\n";
        assert_eq!(made.text, text);
        assert_eq!(made.images, [("img/my-note-e.png".to_owned(), vec![0, 0, 0])]);
        let (document, found) = crate::document::parse("a.md", made.text);
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(document.cells().next().unwrap().0.code, "let a = \"```\";");
        assert_eq!(convert(&json!({}), "x"), None);
    }
}
