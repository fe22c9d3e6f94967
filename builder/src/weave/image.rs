//! The images that chapters name.

use crate::book::{Book, Section};
use std::path::{Component, Path, PathBuf};

/// An image file of the book.
#[derive(Debug)]
pub(super) struct Image {
    /// Relative to the book's folder, with `/` between its parts: `preliminaries/img/graph.svg`.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

impl Image {
    /// The image that a section calls `path`; `None` if it is elsewhere or cannot be read.
    pub(super) fn read(book: &Book, section: &Section, path: &str) -> Option<Self> {
        let folder = Path::new(&section.slug).parent().unwrap_or(Path::new(""));
        let mut inside = PathBuf::new();
        for part in folder.join(path).components() {
            match part {
                Component::Normal(part) => inside.push(part),
                Component::CurDir => {}
                Component::ParentDir if inside.pop() => {}
                _ => return None,
            }
        }
        let bytes = std::fs::read(book.root.join(&inside)).ok()?;
        let path =
            inside.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join("/");
        Some(Self { path, bytes })
    }

    /// Its MIME type, by the name.
    pub(super) fn mime(&self) -> &'static str {
        mime(&self.path)
    }
}

/// The MIME type of an image, by its name.
pub(super) fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or("") {
        "svg" => "image/svg+xml",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        _ => "image/png",
    }
}
