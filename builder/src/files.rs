//! Writing so that a reader of the file sees all of it or what was there before.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// Replaces one file.
///
/// # Errors
/// If the folder cannot be made or written; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("making {}", folder.display()))?;
    let write = || -> std::io::Result<()> {
        let mut file = unfinished(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        make_readable(file.path())?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// A file for one write; unlike `NEW`, the name is not one that [`Lock`] clears away.
fn unfinished(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".part-").tempfile_in(folder)
}

/// Temporary files are private; published ones follow the usual mode.
fn make_readable(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))?;
    }
    let _ = path;
    Ok(())
}

/// Replaces a whole folder by `files` (path relative to it, content).
///
/// # Errors
/// If anything cannot be written; the old folder is then untouched.
pub fn replace_folder<'a>(
    folder: &Path,
    files: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
) -> anyhow::Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    let name = folder.file_name().map(Path::new).unwrap_or(Path::new(""));
    let mut staged = Staged::new(parent)?;
    staged.folder(name, files)?;
    staged.publish()
}

/// Files and folders that are written in full before the first of them is seen.
#[derive(Debug)]
pub struct Staged {
    parent: PathBuf,
    fresh: tempfile::TempDir,
    names: Vec<PathBuf>,
}

impl Staged {
    /// Nothing yet, to be published in `parent`, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn new(parent: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("making {}", parent.display()))?;
        let fresh = tempfile::Builder::new().prefix(NEW).tempdir_in(parent)?;
        Ok(Self { parent: parent.to_owned(), fresh, names: Vec::new() })
    }

    /// Adds a folder of `files` (path relative to it, content).
    ///
    /// # Errors
    /// If a file would lie outside it or cannot be written.
    pub fn folder<'a>(
        &mut self,
        name: &Path,
        files: impl IntoIterator<Item = (&'a Path, &'a [u8])>,
    ) -> anyhow::Result<()> {
        let inside = self.fresh.path().join(name);
        std::fs::create_dir(&inside)?;
        for (path, bytes) in files {
            anyhow::ensure!(
                path.components().all(|c| matches!(c, std::path::Component::Normal(_))),
                "{}: would leave the output folder",
                path.display()
            );
            let target = inside.join(path);
            if let Some(folder) = target.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let said =
                || format!("writing {}", self.parent.join(name).join(path).display());
            std::fs::write(&target, bytes).with_context(said)?;
        }
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn file(&mut self, name: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        std::fs::write(self.fresh.path().join(name), bytes)
            .with_context(|| format!("writing {}", self.parent.join(name).display()))?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Puts each in its place, where what was there before is removed.
    ///
    /// # Errors
    /// If the system does not let one be replaced.
    pub fn publish(self) -> anyhow::Result<()> {
        let old = self.fresh.path().join(".old");
        std::fs::create_dir(&old)?;
        for name in &self.names {
            let place = self.parent.join(name);
            replace(&self.fresh.path().join(name), &place, &old.join(name))
                .with_context(|| format!("replacing {}", place.display()))?;
        }
        Ok(())
    }
}

/// Puts `new` in the place of `folder`, in one step where the system can.
fn replace(new: &Path, folder: &Path, old: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        return std::fs::rename(new, folder);
    }
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, new, CWD, folder, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
    }
    // Two renames: for an instant the folder is missing, never half full.
    std::fs::rename(folder, old)?;
    std::fs::rename(new, folder)
}

/// What a file or folder is called before it is complete.
const NEW: &str = ".new-";

/// The right to replace what is in a folder; others wait for it. It ends with the value, or with the
/// process, however that ends.
#[derive(Debug)]
pub struct Lock {
    /// Unlocked when it is closed.
    _file: std::fs::File,
}

impl Lock {
    /// Waits for the right, makes the folder, and removes what processes that were killed while they
    /// had the right have left.
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let take = || -> std::io::Result<Self> {
            std::fs::create_dir_all(folder)?;
            let file = std::fs::File::create(folder.join(".lock"))?;
            file.lock()?;
            for entry in std::fs::read_dir(folder)?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(NEW) {
                    let path = entry.path();
                    match path.is_dir() {
                        true => std::fs::remove_dir_all(path)?,
                        false => std::fs::remove_file(path)?,
                    }
                }
            }
            Ok(Self { _file: file })
        };
        take().with_context(|| format!("preparing {}", folder.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_replacement_leaves_the_old_folder() {
        let home = tempfile::tempdir().unwrap();
        let site = home.path().join("html");
        replace_folder(&site, [(Path::new("a/index.html"), &b"old"[..])]).unwrap();
        let escape = [(Path::new("ok"), &b"new"[..]), (Path::new("../x"), &b"new"[..])];
        assert!(replace_folder(&site, escape).is_err());
        assert_eq!(std::fs::read(site.join("a/index.html")).unwrap(), b"old");
        assert_eq!(
            std::fs::read_dir(home.path()).unwrap().count(),
            1,
            "nothing left behind"
        );
    }

    #[test]
    fn a_lock_is_waited_for_and_clears_what_the_killed_left() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".new-1/site")).unwrap();
        std::fs::write(home.path().join(".new-2"), "half").unwrap();
        let first = Lock::new(home.path()).unwrap();
        assert!(
            !home.path().join(".new-1").exists() && !home.path().join(".new-2").exists()
        );
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                Lock::new(home.path()).map(|_| home.path().join("made").exists())
            });
            std::fs::write(home.path().join("made"), "").unwrap();
            drop(first);
            assert!(second.join().unwrap().unwrap(), "it waited");
        });
    }

    #[test]
    fn a_lock_leaves_alone_what_others_are_writing() {
        let home = tempfile::tempdir().unwrap();
        let report = unfinished(home.path()).unwrap();
        let _lock = Lock::new(home.path()).unwrap();
        report.persist(home.path().join("report.xml")).unwrap();
    }

    #[test]
    fn a_replacement_drops_what_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let site = home.path().join("html");
        replace_folder(&site, [(Path::new("gone"), &b"1"[..])]).unwrap();
        replace_folder(&site, [(Path::new("stays"), &b"2"[..])]).unwrap();
        assert!(!site.join("gone").exists() && site.join("stays").exists());
    }
}
