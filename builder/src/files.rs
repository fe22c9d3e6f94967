//! Writing so that a reader of the file sees all of it or what was there before.

use anyhow::Context;
use std::path::Path;

/// Replaces one file.
///
/// # Errors
/// If the folder cannot be made or written; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("making {}", folder.display()))?;
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        make_readable(file.path())?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
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
    std::fs::create_dir_all(parent)
        .with_context(|| format!("making {}", parent.display()))?;
    let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let inside = fresh.path().join("site");
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
        std::fs::write(&target, bytes)
            .with_context(|| format!("writing {}", target.display()))?;
    }
    // Two renames: for an instant the folder is missing, never half full.
    if folder.exists() {
        std::fs::rename(folder, fresh.path().join("old"))
            .with_context(|| format!("replacing {}", folder.display()))?;
    }
    std::fs::rename(&inside, folder)
        .with_context(|| format!("replacing {}", folder.display()))
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
    fn a_replacement_drops_what_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let site = home.path().join("html");
        replace_folder(&site, [(Path::new("gone"), &b"1"[..])]).unwrap();
        replace_folder(&site, [(Path::new("stays"), &b"2"[..])]).unwrap();
        assert!(!site.join("gone").exists() && site.join("stays").exists());
    }
}
