//! The only world that typst sees: sheets, pictures, theme and fonts, all in memory.

use super::markup::{Origin, OriginKind, Sheet};
use crate::weave::Theme;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;
use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{DiagSpan, FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World, WorldExt};

/// The fonts that this program carries.
static FONTS: LazyLock<Vec<Font>> = LazyLock::new(|| {
    typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect()
});

/// A book on its way to paper. The first sheet is the one that includes the others.
pub(super) struct Press {
    library: LazyHash<Library>,
    faces: LazyHash<FontBook>,
    sheets: Vec<Sheet>,
    sources: BTreeMap<String, Source>,
    files: BTreeMap<String, Bytes>,
    theme: Theme,
}

impl Press {
    pub(super) fn new(
        sheets: Vec<Sheet>,
        files: BTreeMap<String, Vec<u8>>,
        theme: &Theme,
    ) -> Self {
        let sources = sheets.iter().map(|s| (s.path.clone(), source(&s.path, &s.text)));
        Self {
            library: LazyHash::new(Library::default()),
            faces: LazyHash::new(FontBook::from_fonts(FONTS.iter())),
            sources: sources.collect(),
            files: files.into_iter().map(|(p, bytes)| (p, Bytes::new(bytes))).collect(),
            sheets,
            theme: theme.clone(),
        }
    }

    pub(super) fn sheets(&self) -> &[Sheet] {
        &self.sheets
    }

    /// Takes a piece out of a sheet, leaving every other one where it is. False if it was out.
    pub(super) fn blank(&mut self, sheet: usize, origin: &Origin) -> bool {
        let (sheet, range) = (&mut self.sheets[sheet], origin.range.clone());
        let blank = match origin.kind {
            OriginKind::Formula => {
                format!("${}$", " ".repeat(range.len().saturating_sub(2)))
            }
            OriginKind::Block => " ".repeat(range.len()),
        };
        if sheet.text[range.clone()] == blank {
            return false;
        }
        sheet.text.replace_range(range, &blank);
        self.sources.insert(sheet.path.clone(), source(&sheet.path, &sheet.text));
        true
    }

    /// The file and the bytes that a span means.
    pub(super) fn place(&self, span: DiagSpan) -> Option<(String, Range<usize>)> {
        let range = self.range(span)?;
        Some((path(span.id()?), range))
    }

    /// The line, counted from 1, of a byte of a file.
    pub(super) fn line(&self, path: &str, offset: usize) -> Option<usize> {
        let source = self.source(id(path)).ok()?;
        Some(source.text().get(..offset)?.matches('\n').count() + 1)
    }
}

fn id(path: &str) -> FileId {
    let inside = VirtualPath::new(path).expect("paths made here are plain");
    RootedPath::new(VirtualRoot::Project, inside).intern()
}

fn path(id: FileId) -> String {
    id.vpath().get_with_slash().to_owned()
}

fn source(path: &str, text: &str) -> Source {
    Source::new(id(path), text.to_owned())
}

impl World for Press {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.faces
    }

    fn main(&self) -> FileId {
        id(&self.sheets[0].path)
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if let Some(source) = self.sources.get(&path(id)) {
            return Ok(source.clone());
        }
        let text = String::from_utf8(self.file(id)?.into_vec())
            .map_err(|_| FileError::InvalidUtf8)?;
        Ok(Source::new(id, text))
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        let path = path(id);
        if let Some(bytes) = self.files.get(&path) {
            return Ok(bytes.clone());
        }
        let theme = path.strip_prefix("/theme/").and_then(|path| self.theme.file(path));
        theme.map(Bytes::new).ok_or_else(|| FileError::NotFound(path.into()))
    }

    fn font(&self, index: usize) -> Option<Font> {
        FONTS.get(index).cloned()
    }

    /// A book does not know when it is printed.
    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}
