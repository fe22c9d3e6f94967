//! Book + outputs + theme → pages, a PDF, an e-book and notebooks. Pure: nothing here reads or writes files,
//! except [`Theme::load`] and the images that the chapters name.

pub mod epub;
pub mod html;
mod image;
mod math;
pub mod notebook;
pub mod pdf;
mod reference;
mod rust;

use std::path::{Path, PathBuf};

/// A file of the result, relative to its format's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFile {
    /// Where it goes.
    pub path: PathBuf,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// How files of an archive are packed. No times of this build: the same files give the same bytes.
fn zip_options() -> zip::write::SimpleFileOptions {
    zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default())
}

/// Templates, style sheets and fonts: the ones this program carries, each replaceable by a file of
/// the same name in the book's own `theme` folder.
#[derive(Debug, Clone, Default)]
pub struct Theme {
    overrides: Option<PathBuf>,
}

static EMBEDDED: include_dir::Dir =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/../theme");

impl Theme {
    /// The theme of the book at `book_root`.
    ///
    /// # Errors
    /// If the book has a `theme` that is not a readable folder.
    pub fn load(book_root: &Path) -> std::io::Result<Self> {
        let own = book_root.join("theme");
        match own.metadata() {
            Ok(found) if found.is_dir() => Ok(Self { overrides: Some(own) }),
            Ok(_) => {
                Err(std::io::Error::other(format!("{} is not a folder", own.display())))
            }
            Err(_) => Ok(Self::default()),
        }
    }

    /// The file `path` (`html/page.html`), the book's own if it has one; `None` if there is none.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let own =
            self.overrides.as_ref().and_then(|dir| std::fs::read(dir.join(path)).ok());
        own.or_else(|| EMBEDDED.get_file(path).map(|file| file.contents().to_vec()))
    }

    /// Names and contents of all files below `folder` that the program carries (`html/static`).
    pub fn files_below(&self, folder: &str) -> Vec<OutFile> {
        let mut found = Vec::new();
        let mut folders: Vec<_> = EMBEDDED.get_dir(folder).into_iter().collect();
        while let Some(dir) = folders.pop() {
            folders.extend(dir.dirs());
            for file in dir.files() {
                let path = file.path().to_string_lossy();
                let bytes = self.file(&path).unwrap_or_default();
                found.push(OutFile { path: file.path().to_owned(), bytes });
            }
        }
        found
    }
}
