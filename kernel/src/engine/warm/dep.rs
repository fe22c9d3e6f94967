//! `:dep name = "1"`: more crates for a session, in Cargo's own words.
//!
//! All crates of a session become one dylib, built by Cargo in a folder of the cache that belongs to
//! this very list. Its `Cargo.lock` stays there, so the same list gives the same versions again.

use super::support::Support;
use crate::engine::{EngineError, Event};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The profile is not the prelude's: of a crate that both use, the two copies must have different
/// identities, or the compiler takes one for a damaged copy of the other.
const MANIFEST: &str = r#"[package]
name = "cell_deps"
version = "0.0.0"
edition = "2024"

[workspace]

[lib]
crate-type = ["dylib"]

[profile.release]
opt-level = 2

[dependencies]
"#;

/// Compiled crates: what cells are compiled against, and what the runner loads.
#[derive(Debug, Clone, Default)]
pub(super) struct Crates {
    /// Name in Rust → its library.
    pub(super) externs: BTreeMap<String, PathBuf>,
    /// Where their dependencies are.
    pub(super) folder: PathBuf,
    /// All of them, to be loaded.
    pub(super) library: PathBuf,
}

/// Takes the `:dep` lines out of a cell, leaving empty lines; name → requirement.
pub(super) fn split(text: &str) -> Result<(String, BTreeMap<String, String>), String> {
    let mut wanted = BTreeMap::new();
    let mut rest = String::new();
    for line in text.split_inclusive('\n') {
        let Some(command) = line.trim_start().strip_prefix(':') else {
            rest.push_str(line);
            continue;
        };
        let Some(asked) = command.strip_prefix("dep ") else {
            let name = command.split_whitespace().next().unwrap_or_default();
            return Err(format!(
                "there is no command `:{name}`; `:dep name = \"1\"` adds a crate"
            ));
        };
        let (name, requirement) = asked.split_once('=').unwrap_or((asked, "\"*\""));
        let name = name.trim();
        if name.is_empty()
            || !name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c))
        {
            return Err(format!("`{name}` is no name of a crate"));
        }
        wanted.insert(name.to_owned(), requirement.trim().to_owned());
        rest.push_str(if line.ends_with('\n') { "\n" } else { "" });
    }
    Ok((rest, wanted))
}

/// Builds the crates; says which one is being compiled.
pub(super) fn build(
    wanted: &BTreeMap<String, String>,
    support: &Support,
    cache: &Path,
    sink: &mut dyn FnMut(Event),
) -> Result<Crates, EngineError> {
    let mut manifest = MANIFEST.to_owned();
    for (name, requirement) in wanted {
        manifest.push_str(&format!("{name} = {requirement}\n"));
    }
    let mut key = blake3::Hasher::new();
    key.update(manifest.as_bytes());
    key.update(support.rustc.to_string_lossy().as_bytes());
    key.update(support.version.as_bytes());
    let folder = cache.join(format!("dep-{}", &key.finalize().to_hex()[..16]));
    std::fs::create_dir_all(folder.join("src"))?;
    // Unchanged files keep their age, by which Cargo sees that there is nothing to do.
    let write = |path: &str, text: &str| match std::fs::read_to_string(folder.join(path))
    {
        Ok(old) if old == text => Ok(()),
        _ => std::fs::write(folder.join(path), text),
    };
    write("Cargo.toml", &manifest)?;
    // Without a mention a crate would not be part of the dylib.
    let names = wanted.keys().map(|name| name.replace('-', "_"));
    let mentions: String =
        names.map(|name| format!("pub use ::{name} as _{name};\n")).collect();
    write("src/lib.rs", &mentions)?;

    let mut child = support
        .cargo()
        .args(["rustc", "--lib", "--release", "--message-format=json", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        .args(["--", "-Cprefer-dynamic"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().expect("piped above");
    let messages = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        text
    });
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().expect("piped above")).lines() {
        let line = line?;
        if let Some(what) = line.trim().strip_prefix("Compiling ")
            && !what.starts_with("cell_deps ")
        {
            sink(Event::Progress(format!("compiling {what}")));
        }
        said.push_str(&line);
        said.push('\n');
    }
    let messages = messages.join().unwrap_or_default();
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let messages: Vec<serde_json::Value> = messages.collect();
    if !child.wait()?.success() {
        let rendered = messages.iter().filter_map(|m| m["message"]["rendered"].as_str());
        let rendered: String = rendered.collect();
        return Err(EngineError::Start(format!(
            "the crates were not built\n{rendered}{said}"
        )));
    }
    Ok(collect(&messages, wanted, &folder))
}

/// The libraries among Cargo's messages.
fn collect(
    messages: &[serde_json::Value],
    wanted: &BTreeMap<String, String>,
    folder: &Path,
) -> Crates {
    let mut crates =
        Crates { folder: folder.join("target/release/deps"), ..Crates::default() };
    for message in messages.iter().filter(|m| m["reason"] == "compiler-artifact") {
        let package = message["package_id"].as_str().unwrap_or_default();
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let files = message["filenames"].as_array().into_iter().flatten();
        let mut files = files.filter_map(|f| f.as_str()).map(PathBuf::from);
        let library = files.find(|f| {
            f.extension()
                .is_some_and(|e| e == "rlib" || e == std::env::consts::DLL_EXTENSION)
        });
        let Some(library) = library else { continue };
        if name == "cell_deps" {
            crates.library = library;
            continue;
        }
        // `registry+…#rand@0.9.0`, or `path+file:///…/shout#0.1.0`.
        let (path, version) = package.split_once('#').unwrap_or((package, ""));
        let package = match version.split_once('@') {
            Some((package, _)) => package,
            None => path.rsplit('/').next().unwrap_or_default(),
        };
        if wanted.contains_key(package) {
            crates.externs.insert(name.replace('-', "_"), library);
        }
    }
    crates
}

impl Support {
    /// The toolchain's Cargo, not disturbed by the environment.
    pub(super) fn cargo(&self) -> Command {
        let own = self.rustc.with_file_name("cargo");
        let mut command = Command::new(if own.exists() { own } else { "cargo".into() });
        command.env("RUSTC", &self.rustc);
        for inherited in
            ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC_WRAPPER"]
        {
            command.env_remove(inherited);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_out_and_lines_keep_their_numbers() {
        let (rest, wanted) = split(
            ":dep rand = \"0.9\"\nlet x = 1;\n:dep a-b = { version = \"1\" }\n:dep c",
        )
        .unwrap();
        assert_eq!(rest, "\nlet x = 1;\n\n");
        let all: Vec<_> = wanted.iter().map(|(n, r)| (n.as_str(), r.as_str())).collect();
        assert_eq!(
            all,
            [("a-b", "{ version = \"1\" }"), ("c", "\"*\""), ("rand", "\"0.9\"")]
        );
        assert!(split(":quit").unwrap_err().contains("no command `:quit`"));
        assert!(split(":dep ../x").is_err());
    }
}
