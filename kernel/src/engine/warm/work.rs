//! The folder in which a session's cells are compiled.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

const PREFIX: &str = "d2l-cells-";

/// Held by the session as long as it lives.
const LOCK: &str = "lock";

/// A folder younger than this may be about to get its lock.
const YOUNG: Duration = Duration::from_secs(60);

/// A folder that goes when the session does, or, if its process is killed, when another one starts.
#[derive(Debug)]
pub(super) struct Work {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Work {
    pub(super) fn new() -> std::io::Result<Self> {
        let parent = std::env::temp_dir();
        // What others left is a matter of tidiness only: no start waits for it.
        let swept = parent.clone();
        std::thread::spawn(move || sweep(&swept, YOUNG));
        Self::within(&parent)
    }

    fn within(parent: &Path) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of sessions that ended without doing so.
fn sweep(parent: &Path, young: Duration) -> std::io::Result<()> {
    for entry in std::fs::read_dir(parent)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let age = entry.metadata().and_then(|m| m.modified()).map(|t| t.elapsed());
        let old = matches!(age, Ok(Ok(age)) if age >= young);
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if old && lock.try_lock().is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_session_left_is_removed_and_a_living_one_s_stays() {
        let parent = tempfile::tempdir().unwrap();
        let living = Work::within(parent.path()).unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(LOCK), "").unwrap();
        sweep(parent.path(), YOUNG).unwrap();
        assert!(left.exists());
        sweep(parent.path(), Duration::ZERO).unwrap();
        assert!(!left.exists());
        assert!(living.path().exists());
    }
}
