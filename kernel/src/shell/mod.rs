//! Which request gets which reply.
//!
//! Requests on the shell channel are answered one after the other by a thread that owns the engine;
//! those on the control channel (interrupt, shutdown) at once, whatever the cell is doing.

mod complete;
mod execute;

use crate::engine::{EngineConfig, Interrupter};
use crate::wire::{self, ConnectionInfo, Outgoing};
use execute::Session;
use jupyter_protocol::{
    CodeMirrorMode, CommInfoReply, CompleteReply, HelpLink, HistoryReply, InspectReply,
    InterruptReply, JupyterMessage, JupyterMessageContent, KernelInfoReply, LanguageInfo,
    ReplyStatus, ShutdownReply, Status,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// The version of Jupyter's messaging protocol that is spoken here.
const PROTOCOL: &str = "5.3";

/// How long a shutdown waits for the engine's processes to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Serves a front end until it asks to shut down.
///
/// # Errors
/// If the connection file cannot be read or its ports cannot be bound.
pub fn run(connection_file: &Path, config: EngineConfig) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(connection_file)
        .map_err(|e| anyhow::anyhow!("{}: {e}", connection_file.display()))?;
    let connection: ConnectionInfo = serde_json::from_str(&text)
        .map_err(|e| anyhow::anyhow!("{}: {e}", connection_file.display()))?;
    end_with_parent();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve(&connection, config));
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn serve(connection: &ConnectionInfo, config: EngineConfig) -> anyhow::Result<()> {
    let mut sockets = wire::bind(connection).await?;
    let stop = Arc::new(Stop::default());
    let (requests, queue) = mpsc::channel();
    let replies = Replies { out: sockets.out.clone() };
    let worker = {
        let stop = stop.clone();
        let replies = replies.clone();
        std::thread::spawn(move || Session::start(config, stop, replies).serve(&queue))
    };
    loop {
        tokio::select! {
            request = sockets.shell.recv() => {
                let Some(request) = request else { break };
                if requests.send(request).is_err() {
                    break;
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
        _ => tracing::debug!("no answer on control to {}", request.message_type()),
    }
    After::GoOn
}

/// Answers a request of the shell channel that needs no engine; false if it is none.
fn answer(request: &JupyterMessage, replies: &Replies) -> bool {
    let reply: JupyterMessageContent = match &request.content {
        JupyterMessageContent::KernelInfoRequest(_) => kernel_info().into(),
        JupyterMessageContent::IsCompleteRequest(asked) => {
            complete::is_complete(&asked.code).into()
        }
        JupyterMessageContent::CompleteRequest(asked) => CompleteReply {
            cursor_start: asked.cursor_pos,
            cursor_end: asked.cursor_pos,
            ..CompleteReply::default()
        }
        .into(),
        JupyterMessageContent::InspectRequest(_) => InspectReply::default().into(),
        JupyterMessageContent::HistoryRequest(_) => HistoryReply::new(Vec::new()).into(),
        JupyterMessageContent::CommInfoRequest(_) => CommInfoReply {
            status: ReplyStatus::Ok,
            comms: Default::default(),
            error: None,
        }
        .into(),
        _ => return false,
    };
    replies.iopub(request, Status::busy());
    replies.shell(request, reply);
    replies.iopub(request, Status::idle());
    true
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
}

impl Stop {
    fn interrupt(&self) {
        self.asked.store(true, Ordering::SeqCst);
        let interrupter = self.interrupter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interrupter) = &*interrupter {
            interrupter.interrupt();
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
