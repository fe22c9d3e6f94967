//! `d2l kernel`: the same engine behind Jupyter.

use crate::config::{self, Config};
use ::kernel::install;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Tells Jupyter about this program; below `prefix`, or for this user.
///
/// # Errors
/// If the folder cannot be written.
pub fn install(prefix: Option<&Path>) -> anyhow::Result<()> {
    let folder = install::install(prefix, &std::env::current_exe()?)?;
    println!("installed the kernel “{}” in {}", install::DISPLAY_NAME, folder.display());
    Ok(())
}

/// Undoes [`install`].
///
/// # Errors
/// If the folder cannot be removed.
pub fn uninstall(prefix: Option<&Path>) -> anyhow::Result<()> {
    match install::uninstall(prefix)? {
        Some(folder) => println!("removed {}", folder.display()),
        None => println!("not installed in {}", install::folder(prefix)?.display()),
    }
    Ok(())
}

/// Serves a notebook. One that lies in a book uses the book's crate, any other the bundled one.
///
/// # Errors
/// If the connection file cannot be used.
pub fn run(connection_file: &Path) -> anyhow::Result<()> {
    let here = std::env::current_dir()?;
    let book = config::find(&here).and_then(|file| {
        let text = std::fs::read_to_string(&file).ok()?;
        Some((Config::parse(&file, &text).ok()?, file.parent()?.to_owned()))
    });
    let (config, root) = book.unwrap_or_else(|| (Config::default(), here.clone()));
    let mut engine = super::engine_config(&config, &root)?;
    let notebook = std::env::var_os("JPY_SESSION_NAME").map(PathBuf::from);
    let notice = notebook.and_then(|path| {
        // Jupyter names the whole path, or the way from its own root; kernels start beside the file.
        let path = if path.is_absolute() { path } else { here.join(path.file_name()?) };
        notice(&std::fs::read_to_string(path).ok()?)
    });
    engine.work_dir = here;
    ::kernel::run(connection_file, engine, notice)
}

/// What the reader of a notebook is told that another version of this program has made.
fn notice(notebook: &str) -> Option<String> {
    let notebook: Value = serde_json::from_str(notebook).ok()?;
    let made_with = notebook["metadata"]["d2l"]["version"].as_str()?;
    let here = env!("CARGO_PKG_VERSION");
    (series(made_with) != series(here)).then(|| {
        format!(
            "This notebook was made with d2l {made_with}, and this kernel is d2l {here}: cells may \
             fail or give something else.\nInstall d2l {made_with}, or get the notebooks of d2l {here}.\n"
        )
    })
}

/// The part of a version that changes when programs may have to: `0.3` of `0.3.1`, `2` of `2.1.0`.
fn series(version: &str) -> &str {
    let dots = if version.starts_with("0.") { 2 } else { 1 };
    version.match_indices('.').nth(dots - 1).map_or(version, |(at, _)| &version[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_may_not_fit_is_told() {
        let of =
            |version: &str| notice(&format!(r#"{{"metadata":{{"d2l":{version}}}}}"#));
        let here = env!("CARGO_PKG_VERSION");
        let mine = series(here);
        assert_eq!(of(&format!(r#"{{"version":"{here}"}}"#)), None);
        assert_eq!(of(&format!(r#"{{"version":"{mine}.999"}}"#)), None);
        assert!(of(r#"{"version":"99.1.0"}"#).unwrap().contains("d2l 99.1.0"));
        assert_eq!((of("null"), notice("no JSON")), (None, None));
        assert_eq!([series("0.3.1"), series("2.1.0"), series("7")], ["0.3", "2", "7"]);
    }
}
