//! What Typst sees of the outside: generated text, the theme, the book's images, and fonts.

use crate::weave::Theme;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::LazyLock;
use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt as _, World};

struct Fonts {
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
}

static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
    let fonts: Vec<Font> =
        typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect();
    Fonts { book: LazyHash::new(FontBook::from_fonts(&fonts)), fonts }
});

static LIBRARY: LazyLock<LazyHash<Library>> =
    LazyLock::new(|| LazyHash::new(Library::default()));

/// A world in memory.
pub(super) struct BookWorld {
    main: FileId,
    sources: HashMap<FileId, Source>,
    files: HashMap<FileId, Bytes>,
}

impl BookWorld {
    /// `files` are images by their absolute name in the world: `/images/1.svg`.
    pub(super) fn new(
        theme: &Theme,
        text: String,
        files: BTreeMap<String, Vec<u8>>,
    ) -> Self {
        let main = id("/main.typ");
        let mut sources = HashMap::from([(main, Source::new(main, text))]);
        for name in ["book.typ", "math.typ"] {
            let id = id(&format!("/{name}"));
            let text = theme.file(&format!("pdf/{name}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            sources.insert(id, Source::new(id, text));
        }
        let files = files
            .into_iter()
            .map(|(name, bytes)| (id(&name), Bytes::new(bytes)))
            .collect();
        Self { main, sources, files }
    }

    pub(super) fn main_id(&self) -> FileId {
        self.main
    }

    /// The path, for messages, and the text of a source file.
    pub(super) fn file_of(&self, id: Option<FileId>) -> (PathBuf, String) {
        let id = id.unwrap_or(self.main);
        let name = id.get().vpath().get_without_slash().to_owned();
        let text = self.sources.get(&id).map_or(String::new(), |s| s.text().to_owned());
        (PathBuf::from("theme/pdf").join(name), text)
    }
}

fn id(path: &str) -> FileId {
    let path = VirtualPath::new(path).expect("names made by this program");
    RootedPath::new(VirtualRoot::Project, path).intern()
}

impl World for BookWorld {
    fn library(&self) -> &LazyHash<Library> {
        &LIBRARY
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &FONTS.book
    }

    fn main(&self) -> FileId {
        self.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        self.sources.get(&id).cloned().ok_or_else(|| missing(id))
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files.get(&id).cloned().ok_or_else(|| missing(id))
    }

    fn font(&self, index: usize) -> Option<Font> {
        FONTS.fonts.get(index).cloned()
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}

fn missing(id: FileId) -> FileError {
    FileError::NotFound(PathBuf::from(id.get().vpath().get_without_slash()))
}
