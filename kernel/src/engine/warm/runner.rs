//! The engine's side of the process that runs cells: requests out, streams and frames in.

use super::server::pipe;
use super::support::Support;
use crate::engine::{EngineError, Event, MimeBundle};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const REQUEST_FD: RawFd = 197;
const DISPLAY_FD: RawFd = 198;

/// How long a cell has to stop by itself after an interrupt.
const GRACE: Duration = Duration::from_millis(150);

/// What one cell may print; more is cut with a note.
const FLOOD: usize = 8 << 20;

/// A runner process.
#[derive(Debug)]
pub(super) struct Runner {
    child: Child,
    requests: File,
    stdout: Stream,
    stderr: Stream,
    display: Stream,
    stop: Arc<Stop>,
}

/// Shared with interrupters.
#[derive(Debug)]
pub(in crate::engine) struct Stop {
    asked: AtomicBool,
    running: Mutex<bool>,
    active: AtomicI32,
    wake: OwnedFd,
}

impl Stop {
    /// Asks the running cell to stop; nothing happens if none is.
    pub(in crate::engine) fn interrupt(&self) {
        let running = self.running.lock().unwrap_or_else(|e| e.into_inner());
        if !*running {
            return;
        }
        self.asked.store(true, Ordering::SeqCst);
        let active = self.active.load(Ordering::SeqCst);
        // SAFETY: a signal to the runner's process and one byte into our own pipe.
        unsafe {
            if active > 0 {
                libc::kill(active, libc::SIGINT);
            }
            libc::write(self.wake.as_raw_fd(), [1u8].as_ptr().cast(), 1);
        }
    }
}

/// How a cell's run ended.
#[derive(Debug)]
pub(super) enum End {
    /// To its end; the forms of its value.
    Done(Option<MimeBundle>),
    /// A panic: message, file, line, column.
    Panic { message: String, file: String, line: usize, column: usize },
    /// A `?` met an error.
    Returned(String),
    /// Its process died; how, and whether the variables are those of before the cell.
    Died { how: String, kept: bool, interrupted: bool },
    /// The keeper is gone: the runner must be started anew.
    Lost,
}

#[derive(Debug)]
struct Stream {
    file: File,
    pending: Vec<u8>,
    open: bool,
}

impl Stream {
    fn new(fd: OwnedFd) -> Self {
        // SAFETY: our own descriptor.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        Self { file: File::from(fd), pending: Vec::new(), open: true }
    }

    /// Reads what is there, at most a part of it; true if there was something.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        match self.file.read(&mut buffer) {
            Ok(0) => self.open = false,
            Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
            Err(_) => return false,
        }
        self.open
    }

    /// The text so far, without a character that is cut in the middle.
    fn take_text(&mut self) -> Option<String> {
        let whole = match std::str::from_utf8(&self.pending) {
            Ok(_) => self.pending.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => self.pending.len(),
        };
        let rest = self.pending.split_off(whole);
        let bytes = std::mem::replace(&mut self.pending, rest);
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn take_frame(&mut self) -> Option<serde_json::Value> {
        loop {
            let length =
                u32::from_le_bytes(self.pending.get(..4)?.try_into().ok()?) as usize;
            let frame = self.pending.get(4..4 + length)?;
            let value = serde_json::from_slice(frame);
            self.pending.drain(..4 + length);
            if let Ok(value) = value {
                return Some(value);
            }
        }
    }
}

impl Runner {
    /// Starts a runner with the prelude loaded.
    pub(super) fn start(support: &Support, work_dir: &Path) -> Result<Self, EngineError> {
        let (request_read, request_write) = pipe()?;
        let (display_read, display_write) = pipe()?;
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        let (_wake_read, wake) = pipe()?;
        let mut command = Command::new(&support.runner);
        if let Some((library, _)) = &support.prelude {
            command.arg(library);
        }
        let (requests, frames) = (request_read.as_raw_fd(), display_write.as_raw_fd());
        command
            .current_dir(work_dir)
            .env("D2L_DISPLAY_FD", DISPLAY_FD.to_string())
            .env("LD_LIBRARY_PATH", library_path(support))
            .stdin(Stdio::null())
            .stdout(out_write)
            .stderr(err_write);
        // SAFETY: only async-signal-safe calls on open descriptors.
        unsafe {
            command.pre_exec(move || {
                for (from, to) in [(requests, REQUEST_FD), (frames, DISPLAY_FD)] {
                    if libc::dup2(from, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        // The command holds the write ends of our pipes: without this their end is never seen.
        drop(command);
        drop((request_read, display_write));
        let mut runner = Self {
            child,
            requests: File::from(request_write),
            stdout: Stream::new(out_read),
            stderr: Stream::new(err_read),
            display: Stream::new(display_read),
            stop: Arc::new(Stop {
                asked: AtomicBool::new(false),
                running: Mutex::new(false),
                active: AtomicI32::new(0),
                wake,
            }),
        };
        runner.wait_ready()?;
        Ok(runner)
    }

    /// A handle that stops cells.
    pub(super) fn stop(&self) -> Arc<Stop> {
        self.stop.clone()
    }

    fn wait_ready(&mut self) -> Result<(), EngineError> {
        while self.display.open {
            self.poll(Duration::from_secs(1));
            while let Some(frame) = self.display.take_frame() {
                match frame["op"].as_str() {
                    Some("ready") => {
                        self.set_active(&frame);
                        return Ok(());
                    }
                    Some("fatal") => {
                        let message = frame["message"].as_str().unwrap_or_default();
                        return Err(EngineError::Start(message.to_owned()));
                    }
                    _ => {}
                }
            }
        }
        let text = self.stderr.take_text().unwrap_or_default();
        Err(EngineError::Start(format!("the cell runner stopped at its start: {text}")))
    }

    fn set_active(&self, frame: &serde_json::Value) {
        let pid = frame["pid"].as_i64().unwrap_or(0);
        self.stop.active.store(i32::try_from(pid).unwrap_or(0), Ordering::SeqCst);
    }

    /// Waits until something can be read or `limit` is over, and reads it.
    fn poll(&mut self, limit: Duration) {
        let streams = [&self.stdout, &self.stderr, &self.display];
        let mut fds = streams.map(|s| libc::pollfd {
            fd: if s.open { s.file.as_raw_fd() } else { -1 },
            events: libc::POLLIN,
            revents: 0,
        });
        let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: three valid entries.
        unsafe { libc::poll(fds.as_mut_ptr(), 3, limit) };
        self.stdout.fill();
        self.stderr.fill();
        self.display.fill();
    }

    /// Runs the entry of a compiled cell and passes on what happens.
    pub(super) fn run(
        &mut self,
        id: u64,
        library: &Path,
        sink: &mut dyn FnMut(Event),
    ) -> std::io::Result<End> {
        self.stop.asked.store(false, Ordering::SeqCst);
        *self.stop.running.lock().unwrap_or_else(|e| e.into_inner()) = true;
        writeln!(self.requests, "{id} __cell_{id} {}", library.display())?;
        let end = self.follow(id, sink);
        *self.stop.running.lock().unwrap_or_else(|e| e.into_inner()) = false;
        Ok(end)
    }

    fn follow(&mut self, id: u64, sink: &mut dyn FnMut(Event)) -> End {
        let mut printed = 0;
        let mut value: Option<MimeBundle> = None;
        let mut in_value = false;
        let mut asked_at = None;
        let mut killed = false;
        loop {
            self.poll(Duration::from_millis(20));
            self.pass_text(&mut printed, sink);
            let mut end = None;
            while let Some(frame) = self.display.take_frame() {
                match frame["op"].as_str().unwrap_or_default() {
                    "begin_value" => in_value = true,
                    "end_value" => in_value = false,
                    "display" | "update" => {
                        let data = bundle(&frame["data"]);
                        if in_value {
                            value.get_or_insert_default().extend(data);
                        } else {
                            let display_id =
                                frame["display_id"].as_str().map(str::to_owned);
                            let update = frame["op"] == "update";
                            sink(Event::Display { data, display_id, update });
                        }
                    }
                    "clear" => {
                        sink(Event::Clear {
                            wait: frame["wait"].as_bool().unwrap_or(false),
                        });
                    }
                    "died" => {
                        self.set_active(&frame);
                        let status = frame["status"].as_i64().unwrap_or(0);
                        end = Some(End::Died {
                            how: cause(i32::try_from(status).unwrap_or(0)),
                            kept: frame["kept"].as_bool().unwrap_or(false),
                            interrupted: killed,
                        });
                    }
                    "end" if frame["id"].as_u64() == Some(id) => {
                        end = Some(self.ended(&frame, value.take()));
                    }
                    _ => {}
                }
            }
            if let Some(end) = end {
                // What the cell wrote before its end is in the pipes by now.
                while self.stdout.fill() | self.stderr.fill() {
                    self.pass_text(&mut printed, sink);
                }
                self.pass_text(&mut printed, sink);
                return end;
            }
            if !self.display.open || matches!(self.child.try_wait(), Ok(Some(_))) {
                return End::Lost;
            }
            if self.stop.asked.load(Ordering::SeqCst) {
                let since: &mut Instant = asked_at.get_or_insert_with(Instant::now);
                if !killed && since.elapsed() > GRACE {
                    killed = true;
                    // SAFETY: the runner's own process; its snapshot takes over.
                    unsafe {
                        libc::kill(self.stop.active.load(Ordering::SeqCst), libc::SIGKILL)
                    };
                }
            }
        }
    }

    fn ended(&self, frame: &serde_json::Value, value: Option<MimeBundle>) -> End {
        let text = |key: &str| frame[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| frame[key].as_u64().unwrap_or(0) as usize;
        match frame["status"].as_str() {
            Some("ok") => End::Done(value.filter(|v| !v.is_empty())),
            Some("returned") => End::Returned(text("message")),
            _ => End::Panic {
                message: text("message"),
                file: text("file"),
                line: number("line"),
                column: number("column"),
            },
        }
    }

    fn pass_text(&mut self, printed: &mut usize, sink: &mut dyn FnMut(Event)) {
        let streams: [(&mut Stream, fn(String) -> Event); 2] =
            [(&mut self.stdout, Event::Stdout), (&mut self.stderr, Event::Stderr)];
        for (stream, event) in streams {
            let Some(text) = stream.take_text() else { continue };
            let before = *printed;
            *printed += text.len();
            if *printed <= FLOOD {
                sink(event(text));
            } else if before <= FLOOD {
                sink(event(format!("\n… more than {} MB: cut here\n", FLOOD >> 20)));
            }
        }
    }

    /// Whether an interrupt was asked for during the last run.
    pub(super) fn was_interrupted(&self) -> bool {
        self.stop.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // SAFETY: the runner made a process group of its own.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn library_path(support: &Support) -> std::ffi::OsString {
    let mut path = std::ffi::OsString::from(&support.std_dir);
    if let Some(inherited) = std::env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(inherited);
    }
    path
}

fn bundle(data: &serde_json::Value) -> MimeBundle {
    let pairs = data.as_object().into_iter().flatten();
    pairs
        .filter_map(|(mime, text)| Some((mime.clone(), text.as_str()?.to_owned())))
        .collect()
}

/// A wait status in words.
fn cause(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        let name = match signal {
            libc::SIGSEGV => "segmentation fault",
            libc::SIGABRT => "abort",
            libc::SIGKILL => "killed",
            libc::SIGBUS => "bus error",
            libc::SIGFPE => "arithmetic error",
            libc::SIGILL => "illegal instruction",
            _ => return format!("signal {signal}"),
        };
        return format!("{name} (signal {signal})");
    }
    format!("exit({})", libc::WEXITSTATUS(status))
}
