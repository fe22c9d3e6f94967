//! Whether the files that a book names are there.

use super::{Book, Sources};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::inline::walk_blocks;
use crate::document::{BlockKind, InlineKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reports figures without files, a missing bibliography and chapters that nothing lists.
pub(super) fn check(book: &Book, sources: &Sources<'_>, found: &mut Vec<Diagnostic>) {
    for section in &book.sections {
        let document = &section.document;
        let folder = document.path.parent().unwrap_or(Path::new(""));
        let mut images = Vec::new();
        walk_blocks(&document.blocks, &mut |block| {
            if let BlockKind::Figure { path, .. } = &block.kind {
                images.push((path, block.span));
            }
        });
        document.walk_inlines(|inline| {
            if let InlineKind::Image { path, .. } = &inline.kind {
                images.push((path, inline.span));
            }
        });
        for (path, span) in images {
            if !path.contains("://") && !folder.join(path).is_file() {
                let message =
                    format!("there is no image {}", folder.join(path).display());
                found.push(Diagnostic::error(document, span, message));
            }
        }
    }
    if sources.bibliography.is_none()
        && book.config.bibliography != Path::new("references.bib")
    {
        let path = book.root.join(&book.config.bibliography);
        let message = format!("there is no bibliography {}", path.display());
        found.push(Diagnostic::file(sources.config_file, message));
    }
    report_unlisted(book, found);
}

/// A chapter that is not in `book.toml` is probably forgotten.
fn report_unlisted(book: &Book, found: &mut Vec<Diagnostic>) {
    let listed: BTreeSet<PathBuf> =
        book.sections.iter().map(|section| section.document.path.clone()).collect();
    let folders: BTreeSet<&Path> =
        listed.iter().filter_map(|path| path.parent()).collect();
    for folder in folders.into_iter().filter(|folder| *folder != book.root) {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            if file.extension().is_some_and(|e| e == "md") && !listed.contains(&file) {
                let mut warning =
                    Diagnostic::file(file, "book.toml does not list this file");
                warning.severity = Severity::Warning;
                found.push(warning);
            }
        }
    }
}
