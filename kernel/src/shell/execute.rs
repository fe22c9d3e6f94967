//! Requests that need the engine, one after the other.

use super::{Replies, Stop, answer};
use crate::engine::{
    CellError, CellSource, Engine, EngineConfig, EngineError, ErrorKind, Event,
    MimeBundle, Outcome,
};
use jupyter_protocol::{
    ClearOutput, DisplayData, ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest,
    ExecuteResult, ExecutionCount, JupyterMessage, JupyterMessageContent, Media,
    ReplyError, ReplyStatus, Status, StreamContent, Transient, UpdateDisplayData,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// The engine of a notebook and its counter.
pub(super) struct Session {
    config: EngineConfig,
    engine: Slot,
    count: usize,
    stop: Arc<Stop>,
    replies: Replies,
}

enum Slot {
    /// On its way, with what it says meanwhile.
    Starting(JoinHandle<Result<Engine, EngineError>>, Receiver<String>),
    Ready(Box<Engine>),
    /// Could not start: the next cell tries again.
    None,
}

impl Session {
    /// Starts the engine in the background, so that it is warm when the first cell comes.
    pub(super) fn start(config: EngineConfig, stop: Arc<Stop>, replies: Replies) -> Self {
        let engine = starting(&config);
        Self { config, engine, count: 0, stop, replies }
    }

    /// Answers requests until there are no more to come.
    pub(super) fn serve(mut self, queue: &Receiver<JupyterMessage>) {
        while let Ok(request) = queue.recv() {
            let JupyterMessageContent::ExecuteRequest(asked) = &request.content else {
                if !answer(&request, &self.replies) {
                    tracing::debug!("no answer to {}", request.message_type());
                }
                continue;
            };
            let failed = !self.execute(&request, asked);
            if failed && asked.stop_on_error {
                self.abort(queue);
            }
        }
    }

    /// Refuses the cells that were waiting when one failed.
    fn abort(&self, queue: &Receiver<JupyterMessage>) {
        while let Ok(request) = queue.try_recv() {
            if !matches!(request.content, JupyterMessageContent::ExecuteRequest(_)) {
                answer(&request, &self.replies);
                continue;
            }
            self.replies.iopub(&request, Status::busy());
            let reply = ExecuteReply {
                status: ReplyStatus::Aborted,
                execution_count: ExecutionCount::new(self.count),
                ..ExecuteReply::default()
            };
            self.replies.shell(&request, reply);
            self.replies.iopub(&request, Status::idle());
        }
    }

    /// Runs a cell; false if it failed.
    fn execute(&mut self, request: &JupyterMessage, asked: &ExecuteRequest) -> bool {
        self.stop.asked.store(false, Ordering::SeqCst);
        if !asked.silent && asked.store_history {
            self.count += 1;
        }
        let count = ExecutionCount::new(self.count);
        let replies = self.replies.clone();
        replies.iopub(request, Status::busy());
        if !asked.silent {
            let code = asked.code.clone();
            replies.iopub(request, ExecuteInput { code, execution_count: count });
        }
        let outcome = match self.engine(request, asked.silent) {
            Ok(engine) => {
                let name = format!("In [{}]", count.value());
                let cell = CellSource { name, code: asked.code.clone() };
                let mut output =
                    Output { replies: &replies, request, silent: asked.silent };
                engine.execute(&cell, &mut |event| output.event(event)).outcome
            }
            Err(error) => Outcome::Failed(error),
        };
        let done = match outcome {
            Outcome::Done(value) => {
                if let Some(data) = value.filter(|_| !asked.silent) {
                    replies.iopub(request, ExecuteResult::new(count, media(&data)));
                }
                let reply = ExecuteReply {
                    execution_count: count,
                    user_expressions: Some(Default::default()),
                    ..ExecuteReply::default()
                };
                replies.shell(request, reply);
                true
            }
            Outcome::Failed(error) => {
                let (ename, evalue) = (name_of(&error), error.message.clone());
                let traceback: Vec<String> =
                    error.ansi.lines().map(str::to_owned).collect();
                if !asked.silent {
                    let (ename, evalue) = (ename.clone(), evalue.clone());
                    let traceback = traceback.clone();
                    replies.iopub(request, ErrorOutput { ename, evalue, traceback });
                }
                let reply = ExecuteReply {
                    status: ReplyStatus::Error,
                    execution_count: count,
                    error: Some(Box::new(ReplyError { ename, evalue, traceback })),
                    ..ExecuteReply::default()
                };
                replies.shell(request, reply);
                false
            }
        };
        replies.iopub(request, Status::idle());
        done
    }

    /// The engine; waits for it, and says what it is doing, if it is not ready yet.
    fn engine(
        &mut self,
        request: &JupyterMessage,
        silent: bool,
    ) -> Result<&mut Engine, CellError> {
        if matches!(self.engine, Slot::None) {
            self.engine = starting(&self.config);
        }
        if let Slot::Starting(..) = self.engine {
            let Slot::Starting(thread, steps) =
                std::mem::replace(&mut self.engine, Slot::None)
            else {
                unreachable!("just seen")
            };
            let mut said = false;
            for step in steps {
                if !silent {
                    said = true;
                    self.replies
                        .iopub(request, StreamContent::stderr(&format!("{step}\n")));
                }
            }
            if said {
                self.replies.iopub(request, ClearOutput { wait: true });
            }
            let started = thread.join().unwrap_or_else(|_| {
                Err(EngineError::Start("it panicked while starting".into()))
            });
            let engine = started.map_err(|error| internal(&error.to_string()))?;
            self.stop.set(engine.interrupter());
            self.engine = Slot::Ready(Box::new(engine));
            if self.stop.asked.load(Ordering::SeqCst) {
                return Err(interrupted());
            }
        }
        match &mut self.engine {
            Slot::Ready(engine) => Ok(engine),
            _ => Err(internal("the engine is not there")),
        }
    }
}

fn starting(config: &EngineConfig) -> Slot {
    let (said, steps) = channel();
    let config = config.clone();
    let thread = std::thread::spawn(move || {
        Engine::start(config, &mut |step| {
            let _ = said.send(step);
        })
    });
    Slot::Starting(thread, steps)
}

/// What a cell does, on its way to the front ends.
struct Output<'a> {
    replies: &'a Replies,
    request: &'a JupyterMessage,
    silent: bool,
}

impl Output<'_> {
    fn event(&mut self, event: Event) {
        if self.silent {
            return;
        }
        let content: JupyterMessageContent = match event {
            Event::Stdout(text) => StreamContent::stdout(&text).into(),
            Event::Stderr(text) => StreamContent::stderr(&text).into(),
            Event::Progress(step) => StreamContent::stderr(&format!("{step}\n")).into(),
            Event::Display { data, display_id: Some(id), update: true } => {
                UpdateDisplayData::new(media(&data), &id).into()
            }
            Event::Display { data, display_id, .. } => {
                let transient = display_id.map(|id| Transient { display_id: Some(id) });
                DisplayData { transient, ..DisplayData::new(media(&data)) }.into()
            }
            Event::Clear { wait } => ClearOutput { wait }.into(),
            // Nobody to ask: the cell reads the end of its input.
            Event::Input { .. } => return,
        };
        self.replies.iopub(self.request, content);
    }
}

fn media(data: &MimeBundle) -> Media {
    let json = serde_json::to_value(data).unwrap_or_default();
    serde_json::from_value(json).unwrap_or_default()
}

/// `E0308`, `panic`, …
fn name_of(error: &CellError) -> String {
    let code = error.diagnostics.iter().find_map(|diagnostic| diagnostic.code.clone());
    match error.kind {
        ErrorKind::Compile => code.unwrap_or_else(|| "error".into()),
        ErrorKind::Panic => "panic".into(),
        ErrorKind::Returned => "Err".into(),
        ErrorKind::Interrupted => "interrupted".into(),
        ErrorKind::Crash => "crash".into(),
        ErrorKind::Internal => "engine".into(),
    }
}

fn internal(message: &str) -> CellError {
    failure(ErrorKind::Internal, message)
}

fn interrupted() -> CellError {
    failure(ErrorKind::Interrupted, "interrupted before the cell began")
}

fn failure(kind: ErrorKind, message: &str) -> CellError {
    CellError {
        kind,
        message: message.lines().next().unwrap_or_default().to_owned(),
        diagnostics: Vec::new(),
        plain: message.to_owned(),
        ansi: message.to_owned(),
    }
}
