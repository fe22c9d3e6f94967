//! The engine's side of the process that runs cells: requests out, streams and frames in.

use super::frame::{Ended, Frame};
use super::incoming::Incoming;
use super::server::pipe;
use super::stop::Stop;
use super::support::Support;
use crate::engine::{EngineConfig, EngineError, Event, MimeBundle};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

const INPUT_FD: RawFd = 196;
const REQUEST_FD: RawFd = 197;
const DISPLAY_FD: RawFd = 198;

/// How long a cell has to stop by itself after an interrupt.
const GRACE: Duration = Duration::from_millis(150);

/// What one cell may print; more is cut with a note.
const FLOOD: usize = 8 << 20;

/// How often text is passed on at most; what comes in between is passed on together.
const PACE: Duration = Duration::from_millis(20);

/// How much of standard error is remembered.
const LAST_WORDS: usize = 16 << 10;

/// A runner process.
#[derive(Debug)]
pub(super) struct Runner {
    child: Child,
    requests: File,
    stdout: Stream,
    stderr: Stream,
    display: Stream,
    inputs: File,
    /// What the cell asked for: its number, and where the answer comes from.
    asked: Option<(u32, Receiver<String>)>,
    /// What the running or last cell printed, in bytes.
    printed: usize,
    /// When text was last passed on.
    passed: Instant,
    /// The end of what was written to standard error, to say why a process died.
    last_words: String,
    /// Threads of cells may still be running.
    threads: bool,
    /// A death that was noticed only when the next cell was on its way.
    late_death: Option<End>,
    stop: Arc<Stop>,
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

impl Ended {
    /// The end of a cell that gave this value, if it came so far.
    fn with(self, value: Option<MimeBundle>) -> End {
        match self {
            Self::Done => End::Done(value.filter(|v| !v.is_empty())),
            Self::Returned(message) => End::Returned(message),
            Self::Panic { message, file, line, column } => {
                End::Panic { message, file, line, column }
            }
        }
    }
}

/// A pipe from the runner and what came out of it.
#[derive(Debug)]
struct Stream {
    file: File,
    incoming: Incoming,
    open: bool,
}

impl Stream {
    fn new(fd: OwnedFd) -> Self {
        // SAFETY: our own descriptor.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        Self { file: File::from(fd), incoming: Incoming::default(), open: true }
    }

    /// Reads what is there, at most a part of it; true if there was something.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 1 << 16];
        match self.file.read(&mut buffer) {
            Ok(0) => self.open = false,
            Ok(n) => self.incoming.push(&buffer[..n]),
            Err(_) => return false,
        }
        self.open
    }

    /// Reads until `total` bytes have come since the start, if they are in the pipe.
    fn fill_to(&mut self, total: u64) {
        while self.incoming.total() < total && self.fill() {}
    }
}

impl Runner {
    /// Starts a runner with the prelude loaded.
    pub(super) fn start(
        support: &Support,
        config: &EngineConfig,
        stop: Arc<Stop>,
    ) -> Result<Self, EngineError> {
        let (request_read, request_write) = pipe()?;
        let (display_read, display_write) = pipe()?;
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        let (input_read, input_write) = pipe()?;
        let mut command = Command::new(&support.runner);
        if let Some((library, _)) = &support.prelude {
            command.arg(library);
        }
        if let Some(crates) = &support.crates {
            command.arg(&crates.library);
        }
        let [requests, frames, inputs] =
            [&request_read, &display_write, &input_read].map(AsRawFd::as_raw_fd);
        command
            .current_dir(&config.work_dir)
            .envs(&config.env)
            .env("D2L_DISPLAY_FD", DISPLAY_FD.to_string())
            .env("LD_LIBRARY_PATH", library_path(support))
            .stdin(Stdio::null())
            .stdout(out_write)
            .stderr(err_write);
        // SAFETY: only async-signal-safe calls on open descriptors.
        unsafe {
            command.pre_exec(move || {
                let channels =
                    [(requests, REQUEST_FD), (frames, DISPLAY_FD), (inputs, INPUT_FD)];
                for (from, to) in channels {
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
        drop((request_read, display_write, input_read));
        let mut runner = Self {
            child,
            requests: File::from(request_write),
            stdout: Stream::new(out_read),
            stderr: Stream::new(err_read),
            display: Stream::new(display_read),
            inputs: File::from(input_write),
            asked: None,
            printed: 0,
            passed: Instant::now(),
            last_words: String::new(),
            threads: false,
            late_death: None,
            stop,
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
            while let Some(frame) = self.display.incoming.take_frame() {
                match frame {
                    Frame::Ready { pid } => {
                        self.stop.set_active(pid);
                        return Ok(());
                    }
                    Frame::Fatal(message) => return Err(EngineError::Start(message)),
                    _ => {}
                }
            }
        }
        let text = self.stderr.incoming.rest();
        Err(EngineError::Start(format!("the cell runner stopped at its start: {text}")))
    }

    /// Waits until something can be read or `limit` is over, and reads it.
    fn poll(&mut self, limit: Duration) {
        let streams = [&self.stdout, &self.stderr, &self.display];
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let [out, err, display] =
            streams.map(|s| entry(if s.open { s.file.as_raw_fd() } else { -1 }));
        let mut fds = [out, err, display, entry(self.stop.woken())];
        let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: four valid entries.
        unsafe { libc::poll(fds.as_mut_ptr(), 4, limit) };
        if fds[3].revents != 0 {
            self.stop.calm();
        }
        // What was printed before a frame is in its pipe before the frame is in its own.
        self.display.fill();
        self.stdout.fill();
        self.stderr.fill();
    }

    /// Loads a library for the cells to come.
    pub(super) fn load(&mut self, id: u64, library: &Path) -> End {
        match writeln!(self.requests, "{id} - {}", library.display()) {
            Ok(()) => self.follow(id, &mut |_| {}),
            Err(_) => End::Lost,
        }
    }

    /// Runs the entry of a compiled cell and passes on what happens.
    pub(super) fn run(
        &mut self,
        id: u64,
        library: &Path,
        sink: &mut dyn FnMut(Event),
    ) -> End {
        self.stop.begin();
        self.printed = 0;
        self.last_words.clear();
        let sent = writeln!(self.requests, "{id} __cell_{id} {}", library.display());
        let end = match sent {
            Ok(()) => self.follow(id, sink),
            Err(_) => End::Lost,
        };
        self.asked = None;
        self.stop.end();
        end
    }

    /// Passes on what came since the last cell ended, from its threads; says if the process died.
    pub(super) fn listen(&mut self, sink: &mut dyn FnMut(Event)) -> Option<End> {
        let mut end = self.late_death.take();
        // As much as a pipe holds; a thread that never stops printing must not hold us.
        for _ in 0..4 {
            self.poll(Duration::ZERO);
            while let Some(frame) = self.display.incoming.take_frame() {
                match frame {
                    Frame::Input { id } => self.answer(id, None),
                    Frame::Died { status, kept, pid, .. } => {
                        end = Some(self.died(status, kept, pid, false));
                    }
                    frame => self.shown(frame, sink),
                }
            }
            self.pass_text([u64::MAX; 2], sink);
        }
        let gone = !self.display.open || matches!(self.child.try_wait(), Ok(Some(_)));
        if gone { Some(End::Lost) } else { end }
    }

    /// Whether the process died before the last cell began, and `listen` has not told it yet.
    pub(super) fn died_before(&self) -> bool {
        self.late_death.is_some()
    }

    /// Whether something may come although no cell runs.
    pub(super) fn has_threads(&self) -> bool {
        self.threads
    }

    fn follow(&mut self, id: u64, sink: &mut dyn FnMut(Event)) -> End {
        let mut value: Option<MimeBundle> = None;
        let mut in_value = false;
        let mut asked_at = None;
        let mut killed = false;
        loop {
            self.poll(PACE);
            let mut end = None;
            while let Some(frame) = self.display.incoming.take_frame() {
                match frame {
                    Frame::BeginValue => in_value = true,
                    Frame::EndValue => in_value = false,
                    Frame::Display { data, .. } if in_value => {
                        value.get_or_insert_default().extend(data);
                    }
                    Frame::Input { id } => {
                        let (reply, answer) = std::sync::mpsc::channel();
                        self.asked = Some((id, answer));
                        self.pass_text([u64::MAX; 2], sink);
                        let prompt = String::new();
                        sink(Event::Input { prompt, password: false, reply });
                    }
                    Frame::Died { status, kept, pid, cell } => {
                        self.stderr.fill();
                        if cell == id {
                            end = Some(self.died(status, kept, pid, killed));
                        } else {
                            // Before the cell began: whoever took over has the request.
                            self.late_death = Some(self.died(status, kept, pid, false));
                        }
                    }
                    Frame::End { id: ended, threads, how } if ended == id => {
                        self.threads = threads > 1;
                        end = Some(how.with(value.take()));
                    }
                    frame => self.shown(frame, sink),
                }
            }
            if let Some(end) = end {
                self.pass_text([u64::MAX; 2], sink);
                return end;
            }
            if self.passed.elapsed() >= PACE {
                self.pass_text([u64::MAX; 2], sink);
            }
            self.pass_input();
            if !self.display.open || matches!(self.child.try_wait(), Ok(Some(_))) {
                return End::Lost;
            }
            if self.stop.asked() {
                let since: &mut Instant = asked_at.get_or_insert_with(Instant::now);
                if !killed && since.elapsed() > GRACE {
                    killed = true;
                    // Its snapshot takes over.
                    self.stop.signal(libc::SIGKILL);
                }
            }
        }
    }

    /// Passes on a display, an update, a clear, or the text that came before one of them.
    fn shown(&mut self, frame: Frame, sink: &mut dyn FnMut(Event)) {
        match frame {
            Frame::At([out, err]) => {
                self.stdout.fill_to(out);
                self.stderr.fill_to(err);
                self.pass_text([out, err], sink);
            }
            Frame::Display { data, display_id, update } => {
                sink(Event::Display { data, display_id, update });
            }
            Frame::Clear { wait } => sink(Event::Clear { wait }),
            _ => {}
        }
    }

    fn died(&mut self, status: i32, kept: bool, pid: i32, interrupted: bool) -> End {
        self.stop.set_active(pid);
        self.threads = false;
        let pending = self.stderr.incoming.rest();
        let how = cause(status, &format!("{}{pending}", self.last_words));
        End::Died { how, kept, interrupted }
    }

    /// Hands the cell the line that it waits for, once it is there.
    fn pass_input(&mut self) {
        let Some((number, answer)) = &self.asked else { return };
        let (number, line) = match answer.try_recv() {
            Ok(line) => (*number, Some(line)),
            // Nobody will answer: the end of the input.
            Err(TryRecvError::Disconnected) => (*number, None),
            Err(TryRecvError::Empty) => return,
        };
        self.asked = None;
        self.answer(number, line.as_deref());
    }

    fn answer(&mut self, number: u32, line: Option<&str>) {
        let text = line.map(|line| format!("{line}\n")).unwrap_or_default();
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        // If the reader is gone, so is its question.
        let _ = self.inputs.write_all(&bytes);
    }

    /// Passes on the text up to these bytes since the start.
    fn pass_text(&mut self, totals: [u64; 2], sink: &mut dyn FnMut(Event)) {
        let streams: [(&mut Stream, fn(String) -> Event); 2] =
            [(&mut self.stdout, Event::Stdout), (&mut self.stderr, Event::Stderr)];
        for (index, (stream, event)) in streams.into_iter().enumerate() {
            let Some(text) = stream.incoming.take_text(totals[index]) else { continue };
            self.passed = Instant::now();
            if index == 1 {
                // A backtrace may follow the words that say why.
                self.last_words.push_str(&text);
                let old = self.last_words.len().saturating_sub(LAST_WORDS);
                self.last_words.drain(..self.last_words.ceil_char_boundary(old));
            }
            let before = self.printed;
            self.printed += text.len();
            if self.printed <= FLOOD {
                sink(event(text));
            } else if before <= FLOOD {
                let rest = text.floor_char_boundary(FLOOD - before);
                sink(event(text[..rest].to_owned()));
                sink(event(format!("\n… more than {} MB: cut here\n", FLOOD >> 20)));
            }
        }
    }

    /// Whether an interrupt was asked for during the last run.
    pub(super) fn was_interrupted(&self) -> bool {
        self.stop.asked()
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

/// A wait status in words, with the help of what the process wrote last.
fn cause(status: i32, last_words: &str) -> String {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        let name = match signal {
            libc::SIGABRT | libc::SIGSEGV
                if last_words.contains("overflowed its stack") =>
            {
                "stack overflow"
            }
            libc::SIGABRT if last_words.contains("memory allocation of") => {
                "out of memory"
            }
            libc::SIGSEGV => "segmentation fault",
            libc::SIGABRT => "abort",
            libc::SIGKILL => "killed, perhaps for want of memory",
            libc::SIGBUS => "bus error",
            libc::SIGFPE => "arithmetic error",
            libc::SIGILL => "illegal instruction",
            _ => return format!("signal {signal}"),
        };
        return format!("{name} (signal {signal})");
    }
    format!("exit({})", libc::WEXITSTATUS(status))
}
