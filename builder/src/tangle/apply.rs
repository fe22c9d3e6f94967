//! Generated files and the crate: compare, or write.

use super::{CoreNames, GeneratedFile, HEADER};
use crate::book::Book;
use crate::diagnostic::Diagnostic;
use crate::files;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// A difference between the chapters and the crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file is missing.
    New(PathBuf),
    /// The file says something else.
    Changed(PathBuf),
    /// No chapter makes this generated file any more.
    Orphan(PathBuf),
}

impl Change {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::New(path) | Self::Changed(path) | Self::Orphan(path) => path,
        }
    }
}

/// The folder of generated code, or `None` if the book has no crate of its own.
pub fn folder(book: &Book) -> Option<PathBuf> {
    let library = book.config.library.as_ref()?;
    Some(tidy(&book.root.join(&library.path).join(&library.generated)))
}

/// The names of modules that the crate's `lib.rs` declares itself.
///
/// # Errors
/// If `lib.rs` cannot be read or is not Rust.
pub fn core_names(book: &Book) -> anyhow::Result<CoreNames> {
    let Some(library) = &book.config.library else { return Ok(CoreNames::new()) };
    let path = tidy(&book.root.join(&library.path).join("src/lib.rs"));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {}, the crate of this book", path.display()))?;
    let file = syn::parse_file(&text).with_context(|| path.display().to_string())?;
    let modules = file.items.into_iter().filter_map(|item| match item {
        syn::Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    Ok(modules.collect())
}

/// What [`write`] would change in `folder`, in the order of paths.
///
/// # Errors
/// If the folder cannot be read.
pub fn changes(
    folder: &Path,
    generated: &[GeneratedFile],
) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for file in generated {
        let path = folder.join(&file.path);
        match std::fs::read_to_string(&path) {
            Ok(text) if text == file.text => {}
            Ok(_) => changes.push(Change::Changed(path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                changes.push(Change::New(path));
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    for path in rust_files(folder)? {
        let is_made = generated.iter().any(|file| folder.join(&file.path) == path);
        if !is_made && is_generated(&path)? {
            changes.push(Change::Orphan(path));
        }
    }
    changes.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(changes)
}

/// Brings `folder` up to date; files that are equal are not touched, so that nothing is recompiled.
///
/// # Errors
/// If a file that is to be replaced was not generated, before anything is written; or if the disk
/// refuses.
pub fn write(folder: &Path, generated: &[GeneratedFile]) -> anyhow::Result<Vec<Change>> {
    let changes = changes(folder, generated)?;
    for change in &changes {
        if let Change::Changed(path) = change {
            anyhow::ensure!(
                is_generated(path)?,
                "{} was written by hand and stands where saved cells go; rename it",
                path.display()
            );
        }
    }
    for change in &changes {
        match change {
            Change::Orphan(path) => {
                std::fs::remove_file(path).with_context(|| path.display().to_string())?;
                // Folders are only removed when nothing is left in them.
                let _ = path.parent().map(std::fs::remove_dir);
            }
            Change::New(path) | Change::Changed(path) => {
                let file = generated.iter().find(|file| folder.join(&file.path) == *path);
                files::write(
                    path,
                    file.expect("changes name generated files").text.as_bytes(),
                )?;
            }
        }
    }
    Ok(changes)
}

/// Changes as an author's mistakes: the crate is behind its chapters.
pub fn drift(changes: &[Change], generated: &[GeneratedFile]) -> Vec<Diagnostic> {
    let diagnostic = |change: &Change| {
        let what = match change {
            Change::New(_) => "is missing from the crate",
            Change::Changed(_) => "is not what the chapters say",
            Change::Orphan(_) => "is made by no chapter any more",
        };
        let chapter = (generated.iter())
            .find(|file| change.path().ends_with(&file.path))
            .and_then(|file| file.chapter.as_ref())
            .map_or(String::new(), |chapter| {
                format!("; it comes from {}", chapter.display())
            });
        Diagnostic::file(change.path(), format!("this file {what}{chapter}"))
            .with_help("run `d2l tangle`, and commit what it writes")
    };
    changes.iter().map(diagnostic).collect()
}

fn is_generated(path: &Path) -> anyhow::Result<bool> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(text.starts_with(HEADER.as_bytes()))
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| folder.display().to_string());
            }
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `book/../d2l-lib` → `d2l-lib`, for messages.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir
                if matches!(
                    tidy.components().next_back(),
                    Some(std::path::Component::Normal(_))
                ) =>
            {
                tidy.pop();
            }
            std::path::Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}
