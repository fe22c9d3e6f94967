//! The warm compiler: a stock rustc that has loaded its crates and forks for each cell.

use super::object::show_undefined_symbols;
use super::support::Support;
use crate::engine::EngineError;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A waiting compiler for each thing that is made of cells.
#[derive(Debug)]
pub(super) struct Compilers {
    check: Server,
    object: Server,
    types: Server,
}

impl Compilers {
    /// Starts them.
    pub(super) fn start(
        support: &Support,
        prelude_name: Option<&str>,
        work: &Path,
    ) -> Result<Self, EngineError> {
        let start = |emit| Server::start(support, prelude_name, work, emit);
        let (object, types) = (start(Emit::Object)?, start(Emit::Types)?);
        Ok(Self { check: start(Emit::Check)?, object, types })
    }

    /// Waits for those that a first cell is likely to need.
    pub(super) fn wait_ready(&mut self) -> Result<(), EngineError> {
        self.object.wait_ready()?;
        self.types.wait_ready()
    }

    pub(super) fn of(&mut self, emit: Emit) -> &mut Server {
        match emit {
            Emit::Check => &mut self.check,
            Emit::Object => &mut self.object,
            Emit::Types => &mut self.types,
        }
    }
}

/// A waiting rustc.
#[derive(Debug)]
pub(super) struct Server {
    emit: Emit,
    ready: bool,
    child: Child,
    requests: File,
    replies: BufReader<File>,
}

/// What the compiler makes of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emit {
    /// Errors only: enough for a cell of items, in which nothing runs.
    Check,
    /// An object file.
    Object,
    /// An object file, and the middle representation as text, which names the types of variables.
    Types,
}

impl Emit {
    /// The file that is there if and only if the compiler found no error.
    fn proof(self) -> &'static str {
        match self {
            Emit::Check => "libsrv.rmeta",
            Emit::Object | Emit::Types => OBJECT,
        }
    }
}

/// The name of the object file.
pub(super) const OBJECT: &str = "srv.o";

impl Server {
    /// Starts a compiler in `work`; it is ready when it has loaded the crates.
    pub(super) fn start(
        support: &Support,
        prelude_name: Option<&str>,
        work: &Path,
        emit: Emit,
    ) -> Result<Self, EngineError> {
        // A file of its own: another compiler may be reading its stub now.
        let stub = work.join(format!("{emit:?}.rs"));
        let mut text = String::from("#![allow(warnings)]\nextern crate cell_runtime;\n");
        if let Some(name) = prelude_name {
            text.push_str(&format!("extern crate {name};\n"));
        }
        text.push_str("cell_server::cells!{}\n");
        std::fs::write(&stub, text)?;

        let (request_read, request_write) = pipe()?;
        let (reply_read, reply_write) = pipe()?;
        let (requests, replies) = (request_read.as_raw_fd(), reply_write.as_raw_fd());
        let mut command = compiler(support, prelude_name, &stub, emit);
        command
            .current_dir(work)
            .env("CELL_REQUESTS", requests.to_string())
            .env("CELL_REPLIES", replies.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(work.join(format!("server-{emit:?}.log")))?);
        // SAFETY: only async-signal-safe calls on two open descriptors.
        unsafe {
            command.pre_exec(move || {
                for fd in [requests, replies] {
                    if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        drop((request_read, reply_write));
        let replies = BufReader::new(File::from(reply_read));
        let requests = File::from(request_write);
        Ok(Self { emit, ready: false, child, requests, replies })
    }

    /// Waits until the crates are loaded.
    pub(super) fn wait_ready(&mut self) -> Result<(), EngineError> {
        if self.ready {
            return Ok(());
        }
        self.ready = true;
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        match line.trim() {
            "ready" => Ok(()),
            _ => Err(EngineError::Start("the warm compiler stopped at its start".into())),
        }
    }

    /// Compiles `folder/cell.rs`. True if the compiler found no error; its messages are in
    /// `folder/messages.json` either way.
    pub(super) fn compile(&mut self, folder: &Path) -> Result<bool, EngineError> {
        self.wait_ready()?;
        let proof = folder.join(self.emit.proof());
        for stale in [&proof, &folder.join("srv.mir"), &folder.join("messages.json")] {
            let _ = std::fs::remove_file(stale);
        }
        writeln!(self.requests, "{}", folder.display())?;
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        }
        Ok(proof.is_file())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same compiler without the server, for when the server died.
pub(super) fn compile_cold(
    support: &Support,
    prelude_name: Option<&str>,
    folder: &Path,
    emit: Emit,
) -> std::io::Result<bool> {
    let stub = folder.join("cold.rs");
    let mut text = String::from("#![allow(warnings)]\nextern crate cell_runtime;\n");
    if let Some(name) = prelude_name {
        text.push_str(&format!("extern crate {name};\n"));
    }
    text.push_str(&format!("include!({:?});\n", folder.join("cell.rs")));
    std::fs::write(&stub, text)?;
    let mut command = compiler(support, prelude_name, &stub, emit);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(folder.join("messages.json"))?).status()?;
    Ok(folder.join(emit.proof()).is_file())
}

fn compiler(
    support: &Support,
    prelude_name: Option<&str>,
    stub: &Path,
    emit: Emit,
) -> Command {
    let mut command = Command::new(&support.rustc);
    command
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=srv"])
        .args(["-Cprefer-dynamic", "-Cdebuginfo=0", "-Copt-level=1", "-Ccodegen-units=1"])
        .args([
            "--error-format=json",
            "-Ccodegen-units=1",
            "--cap-lints=allow",
            "--out-dir=.",
        ])
        .arg(match emit {
            Emit::Check => "--emit=metadata",
            Emit::Object => "--emit=obj",
            Emit::Types => "--emit=obj,mir",
        })
        .arg("-L")
        .arg(&support.runtime_dir)
        .arg("--extern")
        .arg(format!("cell_server={}", support.server.display()));
    if emit == Emit::Types {
        // The names of types as any cell can write them: `std::collections::HashMap`, not `HashMap`.
        // A cell cannot say `#![feature]`, so it still sees the stable language only.
        command.env("RUSTC_BOOTSTRAP", "1").arg("-Ztrim-diagnostic-paths=no");
    }
    if let (Some(name), Some((library, dependencies))) = (prelude_name, &support.prelude)
    {
        command.arg("-L").arg(format!("dependency={}", dependencies.display()));
        command.arg("--extern").arg(format!("{name}={}", library.display()));
    }
    let library = format!("libcell_runtime{}", std::env::consts::DLL_SUFFIX);
    let runtime: PathBuf = support.runtime_dir.join(library);
    command.arg("--extern").arg(format!("cell_runtime={}", runtime.display()));
    if let Some(crates) = &support.crates {
        command.arg("-L").arg(format!("dependency={}", crates.folder.display()));
        for (name, library) in &crates.externs {
            command.arg("--extern").arg(format!("{name}={}", library.display()));
        }
    }
    command.arg(stub);
    command
}

/// Makes a library of a cell's object file.
pub(super) fn link(object: &Path, library: &Path) -> Result<(), EngineError> {
    show_undefined_symbols(object)?;
    let linked = |command: &mut Command| {
        command.arg("-shared").arg(object).arg("-o").arg(library).output()
    };
    let direct =
        linked(Command::new("ld").args(["--eh-frame-hdr", "-Bsymbolic-functions"]));
    if direct.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let output = linked(Command::new("cc").arg("-Wl,-Bsymbolic-functions"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            Err(EngineError::Start(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }
}

/// A pipe whose ends are closed on exec.
pub(super) fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    use std::os::fd::FromRawFd;
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are then owned here.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}
