//! Tells Jupyter that the kernel exists: a folder with `kernel.json` and a logo.

use anyhow::Context as _;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The name by which notebooks ask for the kernel.
pub const NAME: &str = "d2l";

/// What front ends show.
pub const DISPLAY_NAME: &str = "Rust (d2l)";

const LOGO: &[u8] = include_bytes!("../resources/logo-svg.svg");

/// Where the kernel is described: below `prefix` (an environment such as a virtualenv), or where
/// Jupyter looks for what belongs to this user.
///
/// # Errors
/// If this user has no home folder.
pub fn folder(prefix: Option<&Path>) -> anyhow::Result<PathBuf> {
    let data = match prefix {
        Some(prefix) => prefix.join("share/jupyter"),
        None => user_data().context("no home folder; give one with --prefix")?,
    };
    Ok(data.join("kernels").join(NAME))
}

/// Jupyter's own rules:
/// <https://docs.jupyter.org/en/latest/use/jupyter-directories.html#data-files>.
fn user_data() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("JUPYTER_DATA_DIR") {
        return Some(folder.into());
    }
    if cfg!(target_os = "macos") {
        return Some(dirs::home_dir()?.join("Library/Jupyter"));
    }
    if cfg!(windows) {
        return Some(dirs::config_dir()?.join("jupyter"));
    }
    Some(dirs::data_dir()?.join("jupyter"))
}

/// Describes the kernel that `program kernel run FILE` starts. An older description is replaced.
///
/// # Errors
/// If the folder cannot be written.
pub fn install(prefix: Option<&Path>, program: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder(prefix)?;
    let spec = json!({
        "argv": [program, "kernel", "run", "{connection_file}"],
        "display_name": DISPLAY_NAME,
        "language": "rust",
        "interrupt_mode": "message",
        "metadata": { "debugger": false },
    });
    let spec = serde_json::to_string_pretty(&spec)? + "\n";
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, bytes) in [("logo-svg.svg", LOGO), ("kernel.json", spec.as_bytes())] {
        let path = folder.join(name);
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(&path).with_context(|| path.display().to_string())?;
    }
    Ok(folder)
}

/// Removes the description; `None` if there was none.
///
/// # Errors
/// If the folder cannot be removed.
pub fn uninstall(prefix: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let folder = folder(prefix)?;
    if !folder.exists() {
        return Ok(None);
    }
    std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_installed_is_removed() {
        let prefix = tempfile::tempdir().unwrap();
        let folder = install(Some(prefix.path()), Path::new("/bin/d2l")).unwrap();
        assert_eq!(folder, prefix.path().join("share/jupyter/kernels/d2l"));
        let spec = std::fs::read_to_string(folder.join("kernel.json")).unwrap();
        let spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
        assert_eq!(
            spec["argv"],
            json!(["/bin/d2l", "kernel", "run", "{connection_file}"])
        );
        assert_eq!(spec["interrupt_mode"], "message");
        assert_eq!(uninstall(Some(prefix.path())).unwrap(), Some(folder));
        assert_eq!(uninstall(Some(prefix.path())).unwrap(), None);
    }
}
