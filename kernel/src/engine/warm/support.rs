//! The crates that a session needs compiled: our own three and the prelude, once per toolchain and
//! version, in a folder shared by all sessions.

use crate::engine::{EngineConfig, EngineError, PreludeCrate};
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SERVER: &str = include_str!("../../../support/server.rs");
const RUNTIME: &str = include_str!("../../../support/runtime.rs");
const RUNNER: &str = include_str!("../../../support/runner.rs");

/// Everything a session starts from.
#[derive(Debug, Clone)]
pub(super) struct Support {
    /// The compiler itself, not rustup's proxy.
    pub(super) rustc: PathBuf,
    /// What `rustc -vV` says.
    pub(super) version: String,
    /// The folder of the compiler's own `std`.
    pub(super) std_dir: PathBuf,
    /// The procedural macro that forks.
    pub(super) server: PathBuf,
    /// The folder of the runtime dylib.
    pub(super) runtime_dir: PathBuf,
    /// The program that runs cells.
    pub(super) runner: PathBuf,
    /// The prelude crate's dylib and the folder of its dependencies' metadata.
    pub(super) prelude: Option<(PathBuf, PathBuf)>,
    /// What `:dep` added.
    pub(super) crates: Option<super::dep::Crates>,
}

impl Support {
    /// Finds or builds everything.
    pub(super) fn prepare(
        config: &EngineConfig,
        progress: &mut dyn FnMut(String),
    ) -> Result<Self, EngineError> {
        let (sysroot, version) = toolchain()?;
        let host =
            version.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or_default();
        let std_dir = sysroot.join("lib/rustlib").join(host).join("lib");
        let rustc = sysroot.join("bin/rustc");
        let mut key = blake3::Hasher::new();
        for part in [SERVER, RUNTIME, RUNNER, &version, &sysroot.display().to_string()] {
            key.update(part.as_bytes());
        }
        let name = format!("engine-{}", &key.finalize().to_hex()[..16]);
        let folder = config.cache_dir.join(name);
        if !folder.is_dir() {
            progress("compiling the cell runner".into());
            build_folder(&folder, |fresh| {
                build_engine(&rustc, &std_dir, fresh, &folder)
            })?;
        }
        let prelude = match &config.prelude {
            Some(prelude) => Some(prepare_prelude(
                prelude,
                &config.cache_dir,
                &sysroot,
                &version,
                progress,
            )?),
            None => None,
        };
        let library = |stem: &str| {
            folder.join(format!("lib{stem}{}", std::env::consts::DLL_SUFFIX))
        };
        Ok(Self {
            rustc,
            std_dir,
            server: library("cell_server"),
            runner: folder.join("runner"),
            runtime_dir: folder,
            prelude,
            version,
            crates: None,
        })
    }
}

/// The sysroot and `rustc -vV`.
fn toolchain() -> Result<(PathBuf, String), EngineError> {
    let ask = |args: &[&str]| -> Result<String, EngineError> {
        let output = Command::new("rustc").args(args).output();
        let output =
            output.map_err(|e| EngineError::Start(format!("no Rust compiler: {e}")))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok((ask(&["--print", "sysroot"])?.into(), ask(&["-vV"])?))
}

/// Builds into a fresh folder beside `folder` and renames; of two builders one wins, both are right.
fn build_folder(
    folder: &Path,
    build: impl FnOnce(&Path) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    // Of its own for each engine: several may start at once, in one process too.
    let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(parent)?;
    let result = build(fresh.path());
    if result.is_ok() && std::fs::rename(fresh.path(), folder).is_ok() {
        return Ok(());
    }
    if folder.is_dir() { Ok(()) } else { result }
}

fn build_engine(
    rustc: &Path,
    std_dir: &Path,
    fresh: &Path,
    home: &Path,
) -> Result<(), EngineError> {
    for (name, text) in [("server", SERVER), ("runtime", RUNTIME), ("runner", RUNNER)] {
        std::fs::write(fresh.join(format!("{name}.rs")), text)?;
    }
    let compile = |args: &[&str]| -> Result<(), EngineError> {
        let mut command = Command::new(rustc);
        command.current_dir(fresh).args([
            "--edition",
            "2024",
            "-Copt-level=2",
            "-Cdebuginfo=0",
        ]);
        checked(command.args(args), "compiling the cell runner")
    };
    compile(&[
        "--crate-type=proc-macro",
        "--crate-name=cell_server",
        "--extern=proc_macro",
        "server.rs",
    ])?;
    let dynamic = "-Cprefer-dynamic";
    compile(&["--crate-type=dylib", dynamic, "--crate-name=cell_runtime", "runtime.rs"])?;
    let rpath = |folder: &Path| format!("-Clink-arg=-Wl,-rpath,{}", folder.display());
    let library = format!("runtime=libcell_runtime{}", std::env::consts::DLL_SUFFIX);
    let (std_path, home_path) = (rpath(std_dir), rpath(home));
    compile(&[dynamic, "--extern", &library, "-L.", &std_path, &home_path, "runner.rs"])
}

/// Builds the prelude crate as a dylib, unless this very source was built by this very toolchain.
fn prepare_prelude(
    prelude: &PreludeCrate,
    cache: &Path,
    sysroot: &Path,
    version: &str,
    progress: &mut dyn FnMut(String),
) -> Result<(PathBuf, PathBuf), EngineError> {
    let mut key = blake3::Hasher::new();
    key.update(version.as_bytes());
    key.update(sysroot.to_string_lossy().as_bytes());
    hash_crate(&prelude.source, &mut key)?;
    let folder =
        cache.join(format!("{}-{}", prelude.name, &key.finalize().to_hex()[..16]));
    let library = format!("lib{}{}", prelude.name, std::env::consts::DLL_SUFFIX);
    if !folder.join(&library).is_file() {
        progress(format!("compiling the crate {}", prelude.name));
        let target = cache.join("target");
        std::fs::create_dir_all(&target)?;
        // The name of a dylib says nothing of its source: crates of one name, from here and from
        // elsewhere, overwrite each other's. So one at a time is built, and from its source.
        let alone = File::create(target.join("prelude.lock"))?;
        let without_locks = |error: &Error| {
            error.kind() == ErrorKind::Unsupported
                || error.raw_os_error() == Some(libc::ENOLCK)
        };
        match alone.lock() {
            // Some file systems have none; then two builders at once are hoped against.
            Err(error) if without_locks(&error) => {}
            locked => locked?,
        }
        if !folder.join(&library).is_file() {
            let _ = std::fs::remove_file(target.join("release/deps").join(&library));
            build_folder(&folder, |fresh| {
                build_prelude(prelude, &target, sysroot, fresh)
            })?;
        }
    }
    Ok((folder.join(library), folder))
}

fn build_prelude(
    prelude: &PreludeCrate,
    target: &Path,
    sysroot: &Path,
    fresh: &Path,
) -> Result<(), EngineError> {
    let mut command = Command::new(sysroot.join("bin/cargo"));
    if !sysroot.join("bin/cargo").exists() {
        command = Command::new("cargo");
    }
    command
        .arg("rustc")
        .arg("--manifest-path")
        .arg(prelude.source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args([
            "--lib",
            "--release",
            "--crate-type=dylib",
            "--message-format=json",
            "--quiet",
        ])
        .args(["--", "-Cprefer-dynamic"])
        .env("RUSTC", sysroot.join("bin/rustc"))
        .stdin(Stdio::null());
    for inherited in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC_WRAPPER"]
    {
        command.env_remove(inherited);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = || {
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
    };
    if !output.status.success() {
        let rendered: String = messages()
            .filter_map(|m| m["message"]["rendered"].as_str().map(str::to_owned))
            .collect();
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(EngineError::Start(format!(
            "the crate `{}` does not compile\n{rendered}{stderr}",
            prelude.name
        )));
    }
    let artifacts = messages().filter(|m| m["reason"] == "compiler-artifact");
    for artifact in artifacts {
        for file in artifact["filenames"].as_array().into_iter().flatten() {
            let Some(path) = file.as_str().map(PathBuf::from) else { continue };
            let Some(name) = path.file_name() else { continue };
            let to = fresh.join(name);
            // Copies share no inode with cargo's folder, which cargo may rewrite.
            std::fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

/// Hashes manifest, lock file and sources of a crate.
fn hash_crate(folder: &Path, key: &mut blake3::Hasher) -> Result<(), EngineError> {
    let missing = |path: &Path, error: std::io::Error| {
        EngineError::Start(format!("{}: {error}", path.display()))
    };
    let mut files = vec![folder.join("Cargo.toml")];
    files.extend(folder.ancestors().map(|f| f.join("Cargo.lock")).find(|f| f.is_file()));
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| missing(&folder, e))? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    for file in files {
        key.update(file.to_string_lossy().as_bytes());
        key.update(&std::fs::read(&file).map_err(|e| missing(&file, e))?);
    }
    Ok(())
}

fn checked(command: &mut Command, what: &str) -> Result<(), EngineError> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(EngineError::Start(format!("{what} failed:\n{stderr}")))
}
