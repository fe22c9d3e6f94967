//! Requests that need the engine, one after the other.

use super::{Known, Replies, Stop, explanation};
use crate::engine::{
    CellError, CellSource, Engine, EngineConfig, EngineError, ErrorKind, Event,
    MimeBundle, Outcome,
};
use jupyter_protocol::{
    ClearOutput, DisplayData, ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest,
    ExecuteResult, ExecutionCount, ExpressionResult, InputRequest, JupyterMessage,
    JupyterMessageContent, Media, Payload, ReplyError, ReplyStatus, Status,
    StreamContent, Transient, UpdateDisplayData,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the threads of earlier cells are listened to while nothing runs.
const LISTEN: Duration = Duration::from_millis(50);

/// The engine of a notebook and its counter.
pub(super) struct Session {
    config: EngineConfig,
    engine: Slot,
    /// What is still to be told under the first cell.
    notice: Option<String>,
    count: usize,
    stop: Arc<Stop>,
    replies: Replies,
    known: Arc<Known>,
    /// The cell that ran last: what its threads print belongs to it.
    last: Option<JupyterMessage>,
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
    pub(super) fn start(
        config: EngineConfig,
        notice: Option<String>,
        stop: Arc<Stop>,
        replies: Replies,
        known: Arc<Known>,
    ) -> Self {
        let engine = starting(&config);
        Self { config, engine, notice, count: 0, stop, replies, known, last: None }
    }

    /// Runs cells until there are no more to come.
    pub(super) fn serve(mut self, queue: &Receiver<JupyterMessage>) {
        let mut more = false;
        loop {
            let request = match more {
                true => queue.recv_timeout(LISTEN),
                false => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            // What came before the next cell belongs to the last one.
            more = self.listen();
            let request = match request {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let JupyterMessageContent::ExecuteRequest(asked) = &request.content else {
                continue;
            };
            self.execute(&request, asked, queue);
            self.last = Some(request);
            more = self.listen();
        }
    }

    /// Passes on what threads of earlier cells did; true if they may do more.
    fn listen(&mut self) -> bool {
        let (Slot::Ready(engine), Some(request)) = (&mut self.engine, &self.last) else {
            return false;
        };
        let mut output =
            Output { replies: &self.replies, request, silent: false, input: None };
        engine.listen(&mut |event| output.event(event))
    }

    /// Refuses the cells that were waiting when one failed.
    fn abort(&self, waiting: Vec<JupyterMessage>) {
        for request in waiting {
            self.replies.iopub(&request, Status::busy());
            let reply = ExecuteReply {
                status: ReplyStatus::Aborted,
                execution_count: ExecutionCount::new(self.count),
                ..empty_reply()
            };
            self.replies.shell(&request, reply);
            self.replies.iopub(&request, Status::idle());
        }
    }

    /// Runs a cell; if it fails, those that wait behind it are refused.
    fn execute(
        &mut self,
        request: &JupyterMessage,
        asked: &ExecuteRequest,
        queue: &Receiver<JupyterMessage>,
    ) {
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
        if let Some(page) = self.page(&asked.code) {
            let payload = vec![Payload::Page { data: page, start: 0 }];
            let reply = ExecuteReply { execution_count: count, payload, ..empty_reply() };
            replies.shell(request, reply);
            replies.iopub(request, Status::idle());
            return;
        }
        let name = format!("In [{}]", count.value());
        let (stop, known) = (self.stop.clone(), self.known.clone());
        let input = asked.allow_stdin.then_some(&*stop);
        let mut output =
            Output { replies: &replies, request, silent: asked.silent, input };
        let mut expressions = HashMap::new();
        let notice = if asked.silent { None } else { self.notice.take() };
        let engine = self.engine(request, asked.silent);
        if let Some(notice) = notice {
            replies.iopub(request, StreamContent::stderr(&notice));
        }
        let outcome = match engine {
            Ok(engine) => {
                let cell = CellSource { name, code: asked.code.clone() };
                let outcome =
                    engine.execute(&cell, &mut |event| output.event(event)).outcome;
                if let Outcome::Done(_) = outcome {
                    for (key, code) in asked.user_expressions.iter().flatten() {
                        let value = evaluate(engine, code);
                        expressions.insert(key.clone(), value);
                    }
                }
                let mut index = known.index();
                index.variables = engine.variables();
                if let Outcome::Done(_) = outcome {
                    index.read_cell(&asked.code);
                }
                outcome
            }
            Err(error) => Outcome::Failed(error),
        };
        stop.wait_for_input(None);
        if !asked.silent && asked.store_history {
            let value = match &outcome {
                Outcome::Done(Some(value)) => value.get("text/plain"),
                _ => None,
            };
            let value = value.map_or("", String::as_str);
            known.history().add(self.count, &asked.code, value);
        }
        let mut waiting = Vec::new();
        match outcome {
            Outcome::Done(value) => {
                if let Some(data) = value.filter(|_| !asked.silent) {
                    let transient = Some(Transient { display_id: None });
                    let result = ExecuteResult::new(count, media(&data));
                    replies.iopub(request, ExecuteResult { transient, ..result });
                }
                let reply = ExecuteReply {
                    execution_count: count,
                    user_expressions: Some(expressions),
                    ..empty_reply()
                };
                replies.shell(request, reply);
            }
            Outcome::Failed(error) => {
                // Whoever hears of the failure may send a cell at once: that one is to run.
                if asked.stop_on_error {
                    waiting.extend(queue.try_iter());
                }
                let (ename, evalue) = (error.name().to_owned(), error.message.clone());
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
                    ..empty_reply()
                };
                replies.shell(request, reply);
            }
        }
        replies.iopub(request, Status::idle());
        self.abort(waiting);
    }

    /// What is to be shown beside the notebook, if the cell is `?name` or `name?`.
    fn page(&self, code: &str) -> Option<Media> {
        let code = code.trim();
        let name = code.strip_prefix('?').or_else(|| code.strip_suffix('?'))?.trim();
        let plain = name.chars().all(|c| c.is_alphanumeric() || "_.:".contains(c));
        if name.is_empty() || !plain || name.contains('\n') {
            return None;
        }
        self.known.index().inspect(name, name.chars().count()).as_deref().map(explanation)
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
                self.replies.iopub(request, ClearOutput { wait: false });
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
    /// Where lines that the cell reads come from; none if nobody is there to type them.
    input: Option<&'a Stop>,
}

impl Output<'_> {
    fn event(&mut self, event: Event) {
        if let Event::Input { prompt, password, reply } = event {
            // Without anybody to ask the cell reads the end of its input.
            if let Some(stop) = self.input {
                stop.wait_for_input(Some(reply));
                self.replies.stdin(self.request, InputRequest { prompt, password });
            }
            return;
        }
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
                let transient = Some(Transient { display_id });
                DisplayData { transient, ..DisplayData::new(media(&data)) }.into()
            }
            Event::Clear { wait } => ClearOutput { wait }.into(),
            Event::Input { .. } => unreachable!("answered above"),
        };
        self.replies.iopub(self.request, content);
    }
}

/// The schema wants the expressions also where there are none.
fn empty_reply() -> ExecuteReply {
    ExecuteReply { user_expressions: Some(HashMap::new()), ..ExecuteReply::default() }
}

/// The value of an expression that a front end wants to know beside the cell.
fn evaluate(engine: &mut Engine, code: &str) -> ExpressionResult {
    let cell = CellSource { name: "expression".into(), code: code.to_owned() };
    match engine.execute(&cell, &mut |_| {}).outcome {
        Outcome::Done(value) => ExpressionResult::Ok {
            data: media(&value.unwrap_or_default()),
            metadata: Default::default(),
        },
        Outcome::Failed(error) => ExpressionResult::Error {
            ename: error.name().to_owned(),
            traceback: error.ansi.lines().map(str::to_owned).collect(),
            evalue: error.message,
        },
    }
}

fn media(data: &MimeBundle) -> Media {
    let json = serde_json::to_value(data).unwrap_or_default();
    serde_json::from_value(json).unwrap_or_default()
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
