//! `d2l kernel`: the same engine behind Jupyter.

use crate::config::{self, Config};
use ::kernel::install;
use std::path::Path;

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
    engine.work_dir = here;
    ::kernel::run(connection_file, engine)
}
