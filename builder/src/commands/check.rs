//! `d2l check`: everything that can be wrong without running a cell.

use super::engine_config;
use crate::book::Book;
use crate::check::{Checked, lint};
use crate::diagnostic::Diagnostic;
use crate::files;
use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Calls `found` with each mistake as it is found: first what parsing and reading give, then what the
/// compiler says.
///
/// # Errors
/// If the compiler does not start, or the crate of the book does not compile.
pub fn check(book: &Book, found: &mut dyn FnMut(Diagnostic)) -> anyhow::Result<()> {
    lint(book).into_iter().for_each(&mut *found);
    let engine = engine_config(&book.config, &book.root)?;
    let prelude = engine.prelude.context("no crate for the cells")?;
    let checked = Checked::of(book, &prelude.import);
    checked.problems.iter().cloned().for_each(&mut *found);

    let name =
        blake3::hash(std::path::absolute(&book.root)?.to_string_lossy().as_bytes());
    let folder = engine.cache_dir.join("check").join(&name.to_hex()[..16]);
    let library = toml::Value::String(prelude.source.display().to_string());
    let manifest = format!(
        "[package]\nname = \"cells\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{} = {{ path = {library} }}\n",
        prelude.name
    );
    write_if_changed(&folder.join("Cargo.toml"), manifest.as_bytes())?;
    write_if_changed(&folder.join("src/lib.rs"), checked.source.as_bytes())?;
    let lock =
        prelude.source.ancestors().map(|f| f.join("Cargo.lock")).find(|f| f.is_file());
    if let (Some(lock), false) = (lock, folder.join("Cargo.lock").is_file()) {
        files::write(&folder.join("Cargo.lock"), &std::fs::read(lock)?)?;
    }

    let mut cargo = Command::new("cargo")
        .args(["check", "--quiet", "--message-format=json", "--target-dir"])
        .arg(engine.cache_dir.join("check/target"))
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    // Read beside the messages, so that neither pipe fills.
    let mut errors = cargo.stderr.take().context("cargo's messages")?;
    let errors = std::thread::spawn(move || std::io::read_to_string(&mut errors));
    let mut count = 0;
    for line in BufReader::new(cargo.stdout.take().context("cargo's output")?).lines() {
        if let Some(diagnostic) = checked.diagnostic(book, &line?) {
            count += 1;
            found(diagnostic);
        }
    }
    let status = cargo.wait()?;
    let errors = errors.join().expect("reading does not panic")?;
    anyhow::ensure!(
        status.success() || count > 0,
        "cargo check failed\n{}",
        errors.trim()
    );
    Ok(())
}

/// An unchanged file keeps its time, and cargo what it knows.
fn write_if_changed(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    match std::fs::read(path) {
        Ok(old) if old == bytes => Ok(()),
        _ => files::write(path, bytes),
    }
}
