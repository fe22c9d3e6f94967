//! The outputs of sections that have not changed since they ran.
//!
//! The key of a section is everything its outputs can depend on: its cells, the prelude crate's
//! sources and lock file, the toolchain, this program, and the data folder. Prose is not in it.

use super::output::SectionOutputs;
use crate::book::Section;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of outputs, one file a key.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    world: blake3::Hash,
}

impl Cache {
    /// Opens the cache in `folder` for runs against the prelude crate in `prelude`.
    ///
    /// # Errors
    /// If the prelude crate's sources cannot be read.
    pub fn open(folder: &Path, prelude: Option<&Path>) -> anyhow::Result<Self> {
        let mut world = blake3::Hasher::new();
        world.update(&toolchain());
        if let Ok(program) = std::env::current_exe() {
            world.update_mmap(&program)?;
        }
        world.update(std::env::var("D2L_DATA").unwrap_or_default().as_bytes());
        if let Some(prelude) = prelude {
            hash_sources(prelude, &mut world)?;
        }
        Ok(Self { folder: folder.to_owned(), world: world.finalize() })
    }

    /// The outputs of a section, if it ran in this very world. An unreadable entry is no entry.
    pub fn load(&self, section: &Section) -> Option<SectionOutputs> {
        let text = std::fs::read_to_string(self.entry(section)).ok()?;
        let outputs: SectionOutputs = serde_json::from_str(&text).ok()?;
        (outputs.cells.len() == section.document.cells().count()).then_some(outputs)
    }

    /// Keeps the outputs of a section. A cache that cannot be written costs time, nothing else.
    pub fn store(&self, section: &Section, outputs: &SectionOutputs) {
        let entry = self.entry(section);
        let write = || -> anyhow::Result<()> {
            std::fs::create_dir_all(&self.folder)?;
            crate::files::write(&entry, serde_json::to_string(outputs)?.as_bytes())
        };
        if let Err(error) = write() {
            tracing::warn!("{}: {error:#}", entry.display());
        }
    }

    fn entry(&self, section: &Section) -> PathBuf {
        let mut key = blake3::Hasher::new();
        key.update(self.world.as_bytes());
        key.update(section.document.path.to_string_lossy().as_bytes());
        for (cell, _) in section.document.cells() {
            // Lengths keep `ab` + `c` apart from `a` + `bc`.
            for part in
                [&cell.code, &format!("{:?}", (&cell.attrs.fails, cell.attrs.timeout))]
            {
                key.update(&part.len().to_le_bytes());
                key.update(part.as_bytes());
            }
        }
        self.folder.join(format!("{}.json", key.finalize().to_hex()))
    }
}

fn toolchain() -> Vec<u8> {
    let version = Command::new("rustc").arg("-vV").output();
    version.map(|output| output.stdout).unwrap_or_default()
}

/// Hashes a crate: its manifest, its workspace's lock file and every file below `src`, in order.
fn hash_sources(folder: &Path, hasher: &mut blake3::Hasher) -> anyhow::Result<()> {
    let mut files = vec![folder.join("Cargo.toml")];
    files.extend(folder.ancestors().map(|f| f.join("Cargo.lock")).find(|f| f.is_file()));
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    for file in files {
        hasher.update(file.to_string_lossy().as_bytes());
        hasher.update(&std::fs::read(&file)?);
    }
    Ok(())
}
