//! Which request gets which reply.
//!
//! Cells are run one after the other by a thread that owns the engine. Everything else (completion,
//! tooltips, history, interrupt, shutdown) is answered at once, whatever the cell is doing.

mod complete;
mod execute;
mod history;
mod index;

use crate::engine::{EngineConfig, Interrupter};
use crate::wire::{self, ConnectionInfo, Outgoing};
use execute::Session;
use history::History;
use index::Index;
use jupyter_protocol::{
    CodeMirrorMode, CommClose, CommInfoReply, CompleteReply, DebugReply, HelpLink,
    HistoryReply, InspectReply, InterruptReply, JupyterMessage, JupyterMessageContent,
    KernelInfoReply, LanguageInfo, Media, MediaType, ReplyStatus, ShutdownReply, Status,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// The version of Jupyter's messaging protocol that is spoken here.
const PROTOCOL: &str = "5.3";

/// How long a shutdown waits for the engine's processes to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Serves a front end until it asks to shut down. `notice` is told under the first cell.
///
/// # Errors
/// If the connection file cannot be read or its ports cannot be bound.
pub fn run(
    connection_file: &Path,
    config: EngineConfig,
    notice: Option<String>,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(connection_file)
        .map_err(|e| anyhow::anyhow!("{}: {e}", connection_file.display()))?;
    let connection: ConnectionInfo = serde_json::from_str(&text)
        .map_err(|e| anyhow::anyhow!("{}: {e}", connection_file.display()))?;
    end_with_parent();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(&connection, config, notice));
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn serve(
    connection: &ConnectionInfo,
    config: EngineConfig,
    notice: Option<String>,
) -> anyhow::Result<()> {
    let mut sockets = wire::bind(connection).await?;
    let stop = Arc::new(Stop::default());
    let (requests, queue) = mpsc::channel();
    let replies = Replies { out: sockets.out.clone() };
    let known = Arc::new(Known {
        index: Mutex::default(),
        reading: Mutex::default(),
        history: Mutex::new(History::open(&config.cache_dir.join("history"))),
    });
    if let Some(source) = config.prelude.as_ref().map(|prelude| prelude.source.clone()) {
        let reader = known.clone();
        let reading = std::thread::spawn(move || {
            let mut index = Index::default();
            index.read_crate(&source);
            reader.index().take_over(index);
        });
        *known.reading() = Some(reading);
    }
    let worker = {
        let (stop, replies, known) = (stop.clone(), replies.clone(), known.clone());
        std::thread::spawn(move || {
            Session::start(config, notice, stop, replies, known).serve(&queue);
        })
    };
    loop {
        tokio::select! {
            request = sockets.shell.recv() => {
                let Some(request) = request else { break };
                let run = matches!(request.content, JupyterMessageContent::ExecuteRequest(_));
                if !run {
                    answer(&request, &replies, &known);
                } else if requests.send(request).is_err() {
                    break;
                }
            }
            reply = sockets.stdin.recv() => {
                let Some(reply) = reply else { break };
                if let JupyterMessageContent::InputReply(line) = reply.content {
                    stop.answer(line.value);
                }
            }
            request = sockets.control.recv() => {
                let Some(request) = request else { break };
                if control(&request, &stop, &replies) == After::End {
                    break;
                }
            }
        }
    }
    // Without requests the thread ends, and the engine's processes with it.
    drop(requests);
    stop.interrupt();
    let ended = tokio::task::spawn_blocking(move || worker.join());
    let _ = tokio::time::timeout(PATIENCE, ended).await;
    replies.flush().await;
    // The last messages leave this process.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

#[derive(PartialEq, Eq)]
enum After {
    GoOn,
    End,
}

fn control(request: &JupyterMessage, stop: &Stop, replies: &Replies) -> After {
    replies.iopub(request, Status::busy());
    match &request.content {
        JupyterMessageContent::InterruptRequest(_) => {
            stop.interrupt();
            replies.control(request, InterruptReply::new());
        }
        JupyterMessageContent::ShutdownRequest(shutdown) => {
            let restart = shutdown.restart;
            let reply = ShutdownReply { restart, status: ReplyStatus::Ok, error: None };
            replies.control(request, reply.clone());
            replies.iopub(request, reply);
            return After::End;
        }
        JupyterMessageContent::KernelInfoRequest(_) => {
            replies.control(request, kernel_info())
        }
        JupyterMessageContent::DebugRequest(asked) => {
            let number = &asked.content["seq"];
            let command = &asked.content["command"];
            let content = serde_json::json!({
                "type": "response", "request_seq": number, "command": command,
                "success": false, "message": "this kernel has no debugger",
            });
            replies.control(request, DebugReply { content });
        }
        _ => tracing::debug!("no answer on control to {}", request.message_type()),
    }
    replies.iopub(request, Status::idle());
    After::GoOn
}

/// What is answered from while a cell runs.
struct Known {
    index: Mutex<Index>,
    /// Reads the crate's items into the index, from the start of the kernel on.
    reading: Mutex<Option<JoinHandle<()>>>,
    history: Mutex<History>,
}

impl Known {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index with the crate's items in it: who asks at once waits until they are read.
    fn whole_index(&self) -> MutexGuard<'_, Index> {
        let reading = self.reading().take();
        // Without them, what is known answers.
        let _ = reading.map(JoinHandle::join);
        self.index()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a request of the shell channel that runs nothing.
fn answer(request: &JupyterMessage, replies: &Replies, known: &Known) {
    let reply: Option<JupyterMessageContent> = match &request.content {
        JupyterMessageContent::KernelInfoRequest(_) => Some(kernel_info().into()),
        JupyterMessageContent::IsCompleteRequest(asked) => {
            Some(complete::is_complete(&asked.code).into())
        }
        JupyterMessageContent::CompleteRequest(asked) => {
            let (matches, range) =
                known.whole_index().complete(&asked.code, asked.cursor_pos);
            let (cursor_start, cursor_end) = (range.start, range.end);
            let rest = CompleteReply::default();
            Some(CompleteReply { matches, cursor_start, cursor_end, ..rest }.into())
        }
        JupyterMessageContent::InspectRequest(asked) => {
            let found = known.whole_index().inspect(&asked.code, asked.cursor_pos);
            let data = found.as_deref().map(explanation);
            let (found, data) = (data.is_some(), data.unwrap_or_default());
            Some(InspectReply { found, data, ..InspectReply::default() }.into())
        }
        JupyterMessageContent::HistoryRequest(asked) => {
            Some(HistoryReply::new(known.history().answer(asked)).into())
        }
        JupyterMessageContent::CommInfoRequest(_) => {
            Some(CommInfoReply::default().into())
        }
        // Nobody here opens channels of their own, so nobody is there to answer.
        JupyterMessageContent::CommOpen(_)
        | JupyterMessageContent::CommMsg(_)
        | JupyterMessageContent::CommClose(_) => None,
        _ => {
            tracing::debug!("no answer to {}", request.message_type());
            None
        }
    };
    replies.iopub(request, Status::busy());
    if let JupyterMessageContent::CommOpen(open) = &request.content {
        let data = serde_json::Map::new();
        replies.iopub(request, CommClose { comm_id: open.comm_id.clone(), data });
    }
    if let Some(reply) = reply {
        replies.shell(request, reply);
    }
    replies.iopub(request, Status::idle());
}

/// Markdown for those who can show it, and the same as plain text.
fn explanation(markdown: &str) -> Media {
    let plain = markdown.replace("```rust\n", "").replace("```\n", "").replace("```", "");
    Media::new(vec![
        MediaType::Markdown(markdown.to_owned()),
        MediaType::Plain(plain.trim_end().to_owned()),
    ])
}

fn kernel_info() -> KernelInfoReply {
    let version = env!("CARGO_PKG_VERSION");
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: PROTOCOL.into(),
        implementation: "d2l".into(),
        implementation_version: version.into(),
        language_info: LanguageInfo {
            name: "rust".into(),
            version: "2024".into(),
            mimetype: Some("text/x-rust".into()),
            file_extension: Some(".rs".into()),
            pygments_lexer: Some("rust".into()),
            codemirror_mode: Some(CodeMirrorMode::Simple("rust".into())),
            nbconvert_exporter: None,
        },
        banner: format!("d2l {version}: Rust, cell by cell"),
        help_links: vec![
            link("The Rust Programming Language", "https://doc.rust-lang.org/book/"),
            link("Rust standard library", "https://doc.rust-lang.org/std/"),
        ],
        debugger: false,
        error: None,
    }
}

fn link(text: &str, url: &str) -> HelpLink {
    HelpLink { text: text.into(), url: url.into() }
}

/// Sends replies and what is published.
#[derive(Clone)]
struct Replies {
    out: UnboundedSender<Outgoing>,
}

impl Replies {
    fn shell(&self, request: &JupyterMessage, content: impl Into<JupyterMessageContent>) {
        let _ = self.out.send(Outgoing::Shell(child(request, content)));
    }

    fn control(
        &self,
        request: &JupyterMessage,
        content: impl Into<JupyterMessageContent>,
    ) {
        let _ = self.out.send(Outgoing::Control(child(request, content)));
    }

    /// Asks whoever sent the cell for a line.
    fn stdin(&self, request: &JupyterMessage, content: impl Into<JupyterMessageContent>) {
        let _ = self.out.send(Outgoing::Stdin(child(request, content)));
    }

    /// To every front end; the topic in front is what they may subscribe to.
    fn iopub(&self, request: &JupyterMessage, content: impl Into<JupyterMessageContent>) {
        let mut message = child(request, content);
        let topic = format!("kernel.{}", message.header.msg_type);
        message.zmq_identities = vec![topic.into_bytes().into()];
        let _ = self.out.send(Outgoing::IoPub(message));
    }

    async fn flush(&self) {
        let (done, sent) = tokio::sync::oneshot::channel();
        if self.out.send(Outgoing::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(1), sent).await;
        }
    }
}

fn child(
    request: &JupyterMessage,
    content: impl Into<JupyterMessageContent>,
) -> JupyterMessage {
    let mut message = JupyterMessage::new(content, Some(request));
    message.header.username = "kernel".into();
    message.header.version = PROTOCOL.into();
    message
}

/// Stops whatever the engine does, also if it is not there yet.
#[derive(Default)]
struct Stop {
    interrupter: Mutex<Option<Interrupter>>,
    /// Asked for since the request under way began.
    asked: AtomicBool,
    /// Where a line goes that the cell waits for.
    input: Mutex<Option<mpsc::Sender<String>>>,
}

impl Stop {
    fn interrupt(&self) {
        self.asked.store(true, Ordering::SeqCst);
        let interrupter = self.interrupter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interrupter) = &*interrupter {
            interrupter.interrupt();
        }
    }

    /// Waits for a line from the front end; none: no more.
    fn wait_for_input(&self, reply: Option<mpsc::Sender<String>>) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = reply;
    }

    fn answer(&self, line: String) {
        let waiting = self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = waiting {
            // The cell may have been interrupted meanwhile.
            let _ = reply.send(line);
        }
    }

    fn set(&self, interrupter: Interrupter) {
        *self.interrupter.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(interrupter);
    }
}

/// A kernel whose server was killed must not stay behind.
fn end_with_parent() {
    #[cfg(unix)]
    std::thread::spawn(|| {
        // SAFETY: always succeeds and touches no memory.
        let parent = unsafe { libc::getppid() };
        loop {
            std::thread::sleep(Duration::from_secs(1));
            // SAFETY: as above.
            if unsafe { libc::getppid() } != parent {
                std::process::exit(0);
            }
        }
    });
}
