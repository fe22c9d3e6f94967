//! What lets readers keep the site: its manifest, and a worker that holds its pages.

use crate::book::Book;
use crate::digest::part;
use crate::weave::{OutFile, Theme};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a device shows when the book is installed.
pub(super) fn manifest(book: &Book) -> OutFile {
    let config = &book.config;
    let manifest = json!({
        "name": config.title,
        "description": config.description,
        "lang": config.language,
        "start_url": "index.html",
        "display": "minimal-ui",
        "icons": [{ "src": "static/icon.svg", "type": "image/svg+xml", "sizes": "any" }],
    });
    OutFile { path: "book.webmanifest".into(), bytes: manifest.to_string().into_bytes() }
}

/// The worker of this edition: it knows the pages, and what they are shown with.
/// `digests` spares it to read pages again that have not changed.
pub(super) fn worker(
    files: &[OutFile],
    digests: &BTreeMap<PathBuf, blake3::Hash>,
    theme: &Theme,
) -> OutFile {
    let mut edition = blake3::Hasher::new();
    let mut names = Vec::new();
    for file in files {
        let name = file.path.to_string_lossy().replace('\\', "/");
        part(&mut edition, name.as_bytes());
        match digests.get(&file.path) {
            Some(digest) => part(&mut edition, digest.as_bytes()),
            None => part(&mut edition, &file.bytes),
        }
        // Letters that few pages have are kept when a page asks for them; cards are for other sites.
        if !name.ends_with("-more.woff2")
            && !name.ends_with(".txt")
            && !name.starts_with("cards/")
        {
            names.push(name);
        }
    }
    names.sort();
    let edition = edition.finalize().to_hex();
    let program = theme.file("html/worker.js").unwrap_or_default();
    let text = format!(
        "const EDITION = 'book-{}';\nconst FILES = {};\n{}",
        &edition[..16],
        json!(names),
        String::from_utf8_lossy(&program)
    );
    OutFile { path: "worker.js".into(), bytes: text.into_bytes() }
}
