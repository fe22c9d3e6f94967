//! The crate that cells may use without saying so: a checkout's, or the one this program carries.

use crate::files;
use anyhow::Context;
use include_dir::{Dir, include_dir};
use std::path::{Path, PathBuf};

static SOURCES: Dir = include_dir!("$CARGO_MANIFEST_DIR/../d2l-lib/src");
static DATA: Dir = include_dir!("$CARGO_MANIFEST_DIR/../d2l-lib/data");
static README: &[u8] = include_bytes!("../../d2l-lib/README.md");
static MANIFEST: &str = include_str!("../../d2l-lib/Cargo.toml");

/// The folder of compiled crates and unpacked sources, shared by all books of this user.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("D2L_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        home.unwrap_or_else(std::env::temp_dir).join("d2l")
    })
}

/// Unpacks the bundled `d2l` crate below `cache`, once per version, and gives its folder.
///
/// # Errors
/// If the folder cannot be written.
pub fn unpack_bundled(cache: &Path) -> anyhow::Result<PathBuf> {
    let mut sources = vec![(PathBuf::from("README.md"), README)];
    collect(&SOURCES, Path::new("src"), &mut sources);
    collect(&DATA, Path::new("data"), &mut sources);
    let mut hasher = blake3::Hasher::new();
    hasher.update(MANIFEST.as_bytes());
    for (path, bytes) in &sources {
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(bytes);
    }
    let name = format!(
        "d2l-{}-{}",
        env!("CARGO_PKG_VERSION"),
        &hasher.finalize().to_hex()[..16]
    );
    let folder = cache.join("src").join(name);
    if !folder.join("Cargo.toml").is_file() {
        let manifest = standalone_manifest(MANIFEST)?;
        let manifest = (PathBuf::from("Cargo.toml"), manifest.as_bytes());
        let all: Vec<(PathBuf, &[u8])> = sources.into_iter().chain([manifest]).collect();
        files::replace_folder(
            &folder,
            all.iter().map(|(path, bytes)| (path.as_path(), *bytes)),
        )
        .context("unpacking the bundled d2l crate")?;
    }
    Ok(folder)
}

fn collect(dir: &'static Dir, below: &Path, into: &mut Vec<(PathBuf, &'static [u8])>) {
    for file in dir.files() {
        into.push((below.join(file.path()), file.contents()));
    }
    for dir in dir.dirs() {
        collect(dir, below, into);
    }
}

/// The manifest of a workspace member, made to stand alone.
fn standalone_manifest(manifest: &str) -> anyhow::Result<String> {
    let mut manifest: toml::Table = manifest.parse()?;
    let package = manifest.get_mut("package").and_then(|p| p.as_table_mut());
    let package = package.context("the bundled manifest has no [package]")?;
    let keep = ["name", "description"];
    package.retain(|key, _| keep.contains(&key));
    package.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    package.insert("edition".into(), "2024".into());
    for table in ["lints", "dev-dependencies", "bench", "example", "test"] {
        manifest.remove(table);
    }
    manifest.insert("workspace".into(), toml::Table::new().into());
    Ok(manifest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_crate_stands_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = unpack_bundled(home.path()).unwrap();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("workspace = true"), "{manifest}");
        for file in ["src/lib.rs", "data/ames.csv.gz", "README.md"] {
            assert!(folder.join(file).is_file(), "{file}");
        }
        assert_eq!(unpack_bundled(home.path()).unwrap(), folder);
    }
}
