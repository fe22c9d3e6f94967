//! The outputs of sections that have not changed since they ran.
//!
//! The key of a section is everything its outputs can depend on, and no more: its cells, the items of
//! the crate that they can reach, the hand-written rest of the crate, the part of the lock file that the crate depends on, the files that
//! the cells name, the toolchain and the engine. Prose is not in it, nor where the book lies, so
//! that another machine can fill the folder.

use super::output::SectionOutputs;
use super::pool::wants_gpu;
use super::reach::{Items, words};
use super::{lock, record};
use crate::book::Section;
use crate::digest::part;
use crate::document::CellAttrs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The crate that cells use.
#[derive(Debug, Clone, Copy)]
pub struct CrateFolders<'a> {
    /// The folder of its `Cargo.toml`.
    pub root: &'a Path,
    /// Where saved cells go, relative to it.
    pub generated: &'a Path,
    /// What is in scope from the first cell.
    pub import: &'a str,
}

/// A folder of outputs, one file a key.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// What every section depends on.
    world: BTreeMap<String, String>,
    items: Items,
    /// The folder of the crate.
    library: Option<PathBuf>,
    /// Hashes of the lock file, and of what it says of the crate.
    locked: Mutex<Option<(blake3::Hash, String)>>,
    /// The book's folder.
    root: PathBuf,
    /// Where cells look for files.
    data: Vec<PathBuf>,
}

/// What a section's outputs depend on: name → hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    parts: BTreeMap<String, String>,
}

const CELLS: &str = "its cells";

/// What runs cells, as text: a change of it runs them again.
static ENGINE: include_dir::Dir =
    include_dir::include_dir!("$CARGO_MANIFEST_DIR/../kernel/src/engine");

impl Cache {
    /// Opens the cache in `folder` for runs of the book at `root` against a crate.
    ///
    /// # Errors
    /// If the crate's sources cannot be read.
    pub fn open(
        folder: &Path,
        root: &Path,
        library: Option<CrateFolders<'_>>,
    ) -> anyhow::Result<Self> {
        let mut world = BTreeMap::new();
        world.insert("the toolchain".to_owned(), digest(&toolchain()));
        world.insert("the engine".to_owned(), engine());
        let mut items = Items::default();
        if let Some(library) = library {
            let generated = library.root.join(library.generated);
            items = Items::read(&generated)?;
            let core = hash_sources(library.root, &generated)?;
            world.insert("the crate's own code".to_owned(), core);
            world.insert(
                "the crate's prelude".to_owned(),
                digest(library.import.as_bytes()),
            );
        }
        let data = std::env::var_os("D2L_DATA").map(PathBuf::from);
        let data = [root.to_owned()].into_iter().chain(data).collect();
        let library = library.map(|library| library.root.to_owned());
        let (folder, root) = (folder.to_owned(), root.to_owned());
        Ok(Self { folder, world, items, library, locked: Mutex::default(), root, data })
    }

    /// What the outputs of a section depend on now, on a machine with or without a GPU.
    pub fn key(&self, section: &Section, device: Device) -> Key {
        let mut parts = self.world.clone();
        if wants_gpu(section) {
            parts.insert("the device".to_owned(), format!("{device:?}"));
            // What stands in for the outputs of cells that are not run.
            if device == Device::Cpu
                && let Ok(record) = std::fs::read(record::path(&self.root, section))
            {
                parts.insert("the recorded outputs".to_owned(), digest(&record));
            }
        }
        let mut cells = blake3::Hasher::new();
        let mut mentioned = BTreeSet::new();
        let mut shows_lines = false;
        for (cell, _) in section.document.cells() {
            shows_lines |= cell.attrs.fails.is_some();
            mentioned.append(&mut words(&cell.code));
            part(&mut cells, cell.code.as_bytes());
            let CellAttrs { fails, timeout, memory, gpu, .. } = &cell.attrs;
            let attributes = format!("{:?}", (fails, timeout, memory, gpu));
            part(&mut cells, attributes.as_bytes());
            for (name, path) in self.files_named(&cell.code) {
                let mut file = blake3::Hasher::new();
                if file.update_mmap(&path).is_ok() {
                    parts.insert(
                        format!("the file {name}"),
                        file.finalize().to_hex().to_string(),
                    );
                }
            }
        }
        if let Some(locked) =
            self.library.as_deref().and_then(|folder| self.locked(folder))
        {
            parts.insert("Cargo.lock".to_owned(), locked);
        }
        parts.insert(CELLS.to_owned(), cells.finalize().to_hex().to_string());
        for (name, hash) in self.items.reached(&mentioned) {
            parts.insert(format!("`{name}`"), hash);
        }
        // The message of a failure may say in which line of the crate it happened.
        if shows_lines {
            parts.insert(
                "the lines of saved code".to_owned(),
                digest(self.items.text.as_bytes()),
            );
        }
        Key { parts }
    }

    /// What the lock file says of the crate in `folder`: a tool that is built beside it changes
    /// nothing. A run may make the file.
    fn locked(&self, folder: &Path) -> Option<String> {
        let mut above = folder.ancestors();
        let lock =
            above.find_map(|f| std::fs::read_to_string(f.join("Cargo.lock")).ok())?;
        let hash = blake3::hash(lock.as_bytes());
        let mut last = self.locked.lock().expect("no panic under the lock");
        if let Some((_, part)) = last.as_ref().filter(|(of, _)| *of == hash) {
            return Some(part.clone());
        }
        let manifest =
            std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let manifest: toml::Table = manifest.parse().unwrap_or_default();
        let name =
            manifest.get("package").and_then(|package| package.get("name")?.as_str());
        let part = name.and_then(|name| lock::of_crate(&lock, name)).unwrap_or(lock);
        let part = digest(part.as_bytes());
        *last = Some((hash, part.clone()));
        Some(part)
    }

    /// Files whose names stand in the code in quotation marks.
    fn files_named<'a>(
        &'a self,
        code: &'a str,
    ) -> impl Iterator<Item = (&'a str, PathBuf)> {
        let texts =
            code.split('"').skip(1).filter(|text| !text.is_empty() && text.len() < 256);
        texts.filter_map(|text| {
            let mut places = self.data.iter().map(|folder| folder.join(text));
            Some((text, places.find(|path| path.is_file())?))
        })
    }

    /// The outputs of a section, if it ran with this key. An unreadable entry is no entry.
    pub fn load(&self, section: &Section, key: &Key) -> Option<SectionOutputs> {
        let text = std::fs::read_to_string(self.entry(section, key)).ok()?;
        let outputs: SectionOutputs = serde_json::from_str(&text).ok()?;
        (outputs.cells.len() == section.document.cells().count()).then_some(outputs)
    }

    /// Keeps the outputs of a section. A cache that cannot be written costs time, nothing else.
    pub fn store(&self, section: &Section, key: &Key, outputs: &SectionOutputs) {
        let write = || -> anyhow::Result<()> {
            let entry = self.entry(section, key);
            crate::files::write(&entry, serde_json::to_string(outputs)?.as_bytes())?;
            crate::files::write(
                &self.last(section),
                serde_json::to_string(key)?.as_bytes(),
            )
        };
        if let Err(error) = write() {
            tracing::warn!("{}: {error:#}", self.folder.display());
        }
    }

    /// Why a section has to run: what differs from its last run, in words.
    pub fn reason(&self, section: &Section, key: &Key) -> String {
        let last = std::fs::read_to_string(self.last(section)).ok();
        match last.and_then(|text| serde_json::from_str::<Key>(&text).ok()) {
            None => "it has not run yet".into(),
            Some(last) => match key.difference(&last) {
                parts if parts.is_empty() => "its outputs are gone".into(),
                parts => format!("{} changed", parts.join(", ")),
            },
        }
    }

    fn entry(&self, section: &Section, key: &Key) -> PathBuf {
        let mut hasher = blake3::Hasher::new();
        for text in std::iter::once(&section.slug)
            .chain(key.parts.iter().flat_map(|(name, hash)| [name, hash]))
        {
            part(&mut hasher, text.as_bytes());
        }
        self.folder.join(format!("{}.json", hasher.finalize().to_hex()))
    }

    /// Where the key of the last run is kept.
    fn last(&self, section: &Section) -> PathBuf {
        self.folder.join("last").join(format!("{}.json", section.slug.replace('/', "-")))
    }
}

impl Key {
    /// The parts that are not the same in both.
    fn difference(&self, last: &Key) -> Vec<String> {
        let names: BTreeSet<&String> =
            self.parts.keys().chain(last.parts.keys()).collect();
        let differs = |name: &&&String| self.parts.get(**name) != last.parts.get(**name);
        names.iter().filter(differs).map(|name| (*name).clone()).collect()
    }
}

/// What a section with cells for a GPU runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A machine without a GPU: those cells are not run.
    Cpu,
    /// One that has one.
    Gpu,
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn toolchain() -> Vec<u8> {
    let version = Command::new("rustc").arg("-vV").output();
    version.map(|output| output.stdout).unwrap_or_default()
}

fn engine() -> String {
    let mut hasher = blake3::Hasher::new();
    let mut folders = vec![&ENGINE];
    while let Some(folder) = folders.pop() {
        folders.extend(folder.dirs());
        for file in folder.files() {
            hasher.update(file.path().to_string_lossy().as_bytes());
            hasher.update(file.contents());
        }
    }
    hasher.update(include_bytes!("mod.rs"));
    hasher.finalize().to_hex().to_string()
}

/// Hashes a crate's manifest and every file below `src` that is not generated, in order.
fn hash_sources(root: &Path, generated: &Path) -> anyhow::Result<String> {
    let mut files = vec![root.join("Cargo.toml")];
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path == generated => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        hasher.update(name.to_string_lossy().as_bytes());
        hasher.update(&std::fs::read(&file)?);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;

    fn section(text: &str) -> Section {
        let config = "title = \"T\"\n[[chapter]]\npath = \"ch\"\nsections = [\"one\"]\n";
        let texts = [("ch/index", "# C\n"), ("ch/one", text)];
        let (mut book, _) = Book::from_texts(config, &texts, None).unwrap();
        book.sections.remove(1)
    }

    #[test]
    fn a_key_changes_with_what_the_cells_depend_on() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            crate::files::write(&home.path().join(path), text.as_bytes()).unwrap();
        };
        write("lib/Cargo.toml", "");
        write("lib/src/lib.rs", "");
        write("lib/src/book/ch/one.rs", "pub fn f() { g() } fn g() {} pub fn h() {}");
        write("book/data.csv", "1");
        let lib = home.path().join("lib");
        let open = || {
            let library =
                CrateFolders { root: &lib, generated: Path::new("src/book"), import: "" };
            Cache::open(
                &home.path().join("cache"),
                &home.path().join("book"),
                Some(library),
            )
            .unwrap()
        };
        let text = "# T\n\nProse.\n\n```rust\nf(\"data.csv\")\n```\n";
        let (one, cache) = (section(text), open());
        let key = cache.key(&one, Device::Cpu);
        assert_eq!(cache.reason(&one, &key), "it has not run yet");
        let outputs = SectionOutputs { cells: vec![Vec::new()] };
        cache.store(&one, &key, &outputs);
        assert_eq!(cache.load(&one, &key), Some(outputs.clone()));

        assert_eq!(
            key,
            cache.key(&section(&text.replace("Prose", "Other prose")), Device::Cpu)
        );
        let edited = section(&text.replace("f(", "f ("));
        assert_eq!(
            cache.reason(&edited, &cache.key(&edited, Device::Cpu)),
            "its cells changed"
        );

        for (path, changed, reason) in [
            (
                "lib/src/book/ch/one.rs",
                "pub fn f() { g() } fn g() {} pub fn h() { f() }",
                "",
            ),
            ("lib/src/book/ch/one.rs", "pub fn f() { g() } fn g() { 1; }", "`g` changed"),
            ("lib/src/lib.rs", "mod x;", "the crate's own code changed"),
            ("book/data.csv", "2", "the file data.csv changed"),
        ] {
            let before = std::fs::read_to_string(home.path().join(path)).unwrap();
            write(path, changed);
            let cache = open();
            let now = cache.key(&one, Device::Cpu);
            assert_eq!(now == key, reason.is_empty(), "{path}");
            if !reason.is_empty() {
                assert_eq!(cache.reason(&one, &now), reason);
                assert_eq!(cache.load(&one, &now), None);
            }
            write(path, &before);
        }
    }
}
