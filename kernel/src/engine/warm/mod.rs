//! The fast back end: a warm rustc that forks for each cell, a direct link, a runner of our own.

mod cell;
mod dep;
mod diagnostic;
mod frame;
mod incoming;
mod learn;
mod object;
mod report;
mod runner;
mod server;
mod session;
mod stop;
mod support;
mod work;

use super::{
    CellSource, EngineConfig, EngineError, ErrorKind, Event, Execution, Outcome,
};
use cell::Cell;
use diagnostic::Message;
use learn::{closure_types, learn, variable_types};
use report::{Sources, compile_error, failure, panic_error};
use runner::{End, Runner};
use server::{Compilers, Emit, OBJECT, Server, link};
use session::{Generated, Plan, Session, Variable};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use support::Support;
use work::Work;

pub(in crate::engine) use stop::Stop;

/// How often a cell is compiled anew with a better plan before its errors are shown.
const ATTEMPTS: usize = 6;

/// A session on the warm compiler.
#[derive(Debug)]
pub(super) struct WarmEngine {
    config: EngineConfig,
    support: Support,
    compilers: Compilers,
    runner: Runner,
    session: Session,
    /// The crates that `:dep` asked for, each with what Cargo is told of it.
    wanted: BTreeMap<String, String>,
    sources: Sources,
    work: Work,
    next: u64,
}

impl WarmEngine {
    pub(super) fn start(
        config: EngineConfig,
        progress: &mut dyn FnMut(String),
    ) -> Result<Self, EngineError> {
        let support = Support::prepare(&config, progress)?;
        let work = Work::new()?;
        let name = config.prelude.as_ref().map(|p| p.name.clone());
        let mut compilers = Compilers::start(&support, name.as_deref(), work.path())?;
        let runner = Runner::start(&support, &config, Stop::new()?)?;
        compilers.wait_ready()?;
        Ok(Self {
            config,
            support,
            compilers,
            runner,
            session: Session::default(),
            wanted: BTreeMap::new(),
            sources: Sources::default(),
            work,
            next: 1,
        })
    }

    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let all = self.session.variables.iter();
        all.map(|(name, known)| (name.clone(), known.type_name.clone())).collect()
    }

    pub(super) fn stop(&self) -> Arc<Stop> {
        self.runner.stop()
    }

    /// Passes on what cells' threads did since the last cell; true if they may do more.
    pub(super) fn listen(&mut self, sink: &mut dyn FnMut(Event)) -> bool {
        let how = match self.runner.listen(sink) {
            None | Some(End::Died { kept: true, .. }) => {
                return self.runner.has_threads();
            }
            Some(End::Died { how, .. }) => {
                self.load_crates();
                how
            }
            Some(_) => match self.new_runner() {
                Ok(()) => "the runner was killed".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        self.session.lose_all(&format!("its process died between two cells: {how}"));
        sink(Event::Stderr(format!(
            "note: the process died between two cells ({how}); all variables are lost\n"
        )));
        false
    }

    /// Loads again what a process that began anew does not have.
    fn load_crates(&mut self) {
        if let Some(crates) = &self.support.crates {
            let id = self.next;
            self.next += 1;
            self.runner.load(id, &crates.library);
        }
    }

    /// Replaces a runner whose keeper is gone; interrupters go on to work.
    fn new_runner(&mut self) -> Result<(), EngineError> {
        let stop = self.runner.stop();
        self.runner = Runner::start(&self.support, &self.config, stop)?;
        Ok(())
    }

    pub(super) fn execute(
        &mut self,
        cell: &CellSource,
        sink: &mut dyn FnMut(Event),
    ) -> Execution {
        let started = Instant::now();
        self.listen(sink);
        let text = without_save_line(&cell.code);
        let outcome = match self.run_cell(&cell.name, &text, sink) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(failure(
                ErrorKind::Internal,
                error.to_string(),
                &cell.name,
            )),
        };
        Execution { outcome, elapsed: started.elapsed() }
    }

    fn run_cell(
        &mut self,
        name: &str,
        text: &str,
        sink: &mut dyn FnMut(Event),
    ) -> Result<Outcome, EngineError> {
        let id = self.next;
        self.next += 1;
        let rest;
        let text = match dep::split(text) {
            Ok((_, wanted)) if wanted.is_empty() => text,
            Ok((without, wanted)) => {
                if let Err(error) = self.add_crates(id, wanted, sink) {
                    return Ok(Outcome::Failed(failure(
                        ErrorKind::Compile,
                        error.to_string(),
                        name,
                    )));
                }
                rest = without;
                &rest
            }
            Err(message) => {
                return Ok(Outcome::Failed(failure(ErrorKind::Compile, message, name)));
            }
        };
        let cell = cell::split(text);
        let folder = self.work.path().join(id.to_string());
        std::fs::create_dir_all(&folder)?;
        let (generated, plan) = match self.compile(id, text, cell.as_ref(), &folder)? {
            Ok(compiled) => compiled,
            Err((messages, generated)) => {
                let gone = &self.session.gone;
                let error = compile_error(&messages, &generated, gone, id, text, name);
                return Ok(Outcome::Failed(error));
            }
        };
        let runs = cell.as_ref().is_none_or(Cell::runs);
        let cell = cell.unwrap_or_default();
        let types = variable_types(&folder);
        self.sources.insert(id, generated, text);
        let end = match runs {
            true => {
                let library = folder.join("cell.so");
                link(&folder.join(OBJECT), &library)?;
                self.runner.run(id, &library, sink)
            }
            false => End::Done(None),
        };
        if self.runner.died_before() {
            self.listen(sink);
        }
        let lost = self.session.commit(id, text, &cell);
        if !lost.is_empty() {
            let list = lost.join(", ");
            sink(Event::Stderr(format!(
                "note: {list} dropped: the type was redefined\n"
            )));
        }
        let rolled_back = matches!(end, End::Died { kept: true, .. });
        for name in plan.not_stored.iter().filter(|_| !rolled_back) {
            self.session.lose(name, &cell);
        }
        match end {
            End::Done(value) => {
                for (variable, mutable) in &cell.bindings {
                    let stored =
                        plan.stored_as.get(variable).or_else(|| types.get(variable));
                    if let Some(type_name) =
                        stored.filter(|_| !plan.not_stored.contains(variable))
                    {
                        self.session.gone.remove(variable);
                        let new =
                            Variable { type_name: type_name.clone(), mutable: *mutable };
                        self.session.variables.insert(variable.clone(), new);
                    }
                }
                Ok(Outcome::Done(value))
            }
            End::Panic { message, file, line, column } => {
                let interrupted = self.runner.was_interrupted();
                let kind =
                    if interrupted { ErrorKind::Interrupted } else { ErrorKind::Panic };
                let place = self.sources.place(&file, line, column, id);
                Ok(Outcome::Failed(panic_error(kind, message, place, name, text)))
            }
            End::Returned(message) => {
                Ok(Outcome::Failed(failure(ErrorKind::Returned, message, name)))
            }
            End::Died { how, kept, interrupted } => {
                let state = match kept {
                    true => "variables are as they were before the cell",
                    false => {
                        self.load_crates();
                        self.session.lose_all("its process died");
                        "all variables are lost"
                    }
                };
                let (kind, what) = match interrupted {
                    true => (ErrorKind::Interrupted, "interrupted".to_owned()),
                    false => {
                        (ErrorKind::Crash, format!("the cell's process died: {how}"))
                    }
                };
                Ok(Outcome::Failed(failure(kind, format!("{what}; {state}"), name)))
            }
            End::Lost => {
                self.new_runner()?;
                self.session.lose_all("the runner was killed");
                let message = "the runner was killed; all variables are lost".into();
                Ok(Outcome::Failed(failure(ErrorKind::Crash, message, name)))
            }
        }
    }

    /// Builds crates, starts compilers that know them, and loads them beside the variables.
    fn add_crates(
        &mut self,
        id: u64,
        wanted: BTreeMap<String, String>,
        sink: &mut dyn FnMut(Event),
    ) -> Result<(), EngineError> {
        let all: BTreeMap<_, _> = self.wanted.clone().into_iter().chain(wanted).collect();
        if all == self.wanted {
            return Ok(());
        }
        let crates = dep::build(&all, &self.support, &self.config.cache_dir, sink)?;
        let support = Support { crates: Some(crates.clone()), ..self.support.clone() };
        let prelude = self.config.prelude.as_ref().map(|p| p.name.as_str());
        let mut compilers = Compilers::start(&support, prelude, self.work.path())?;
        compilers.wait_ready()?;
        match self.runner.load(id, &crates.library) {
            End::Done(_) => {}
            End::Returned(why) => return Err(EngineError::Start(why)),
            other => return Err(EngineError::Start(format!("not loaded: {other:?}"))),
        }
        self.compilers = compilers;
        (self.support, self.wanted) = (support, all);
        Ok(())
    }

    /// Compiles a cell, trying again with what the compiler's errors teach about it.
    #[expect(clippy::type_complexity, reason = "the two ends of one compilation")]
    fn compile(
        &mut self,
        id: u64,
        text: &str,
        cell: Option<&Cell>,
        folder: &Path,
    ) -> Result<Result<(Generated, Plan), (Vec<Message>, Generated)>, EngineError> {
        let prelude = self.config.prelude.as_ref();
        let import = prelude.map(|p| p.import.clone()).unwrap_or_default();
        let prelude_name = prelude.map(|p| p.name.clone());
        let emit = match cell {
            Some(cell) if !cell.runs() => Emit::Check,
            Some(cell) if !cell.bindings.is_empty() => Emit::Types,
            _ => Emit::Object,
        };
        let mut plan = Plan::default();
        for attempt in 1.. {
            let generated = self.session.generate(id, text, cell, &import, &plan);
            std::fs::write(folder.join("cell.rs"), &generated.code)?;
            let server = self.compilers.of(emit);
            let compiled = match server.compile(folder) {
                Ok(compiled) => compiled,
                Err(_) => {
                    let name = prelude_name.as_deref();
                    *server = Server::start(&self.support, name, self.work.path(), emit)?;
                    server.wait_ready()?;
                    server::compile_cold(&self.support, name, folder, emit)?
                }
            };
            let messages = diagnostic::read(folder);
            if compiled && messages.is_empty() {
                let closures = closure_types(folder);
                let unnamed =
                    variable_types(folder).into_iter().filter(|(_, type_name)| {
                        type_name.contains("{closure@") || type_name.contains("impl ")
                    });
                let mut again = false;
                for (name, type_name) in unnamed {
                    again = true;
                    match closures.get(&type_name) {
                        Some(boxed) if !plan.stored_as.contains_key(&name) => {
                            plan.stored_as.insert(name, boxed.clone());
                        }
                        _ => {
                            plan.stored_as.remove(&name);
                            plan.not_stored.insert(name);
                        }
                    }
                }
                if !again {
                    return Ok(Ok((generated, plan)));
                }
            } else if attempt == ATTEMPTS || !learn(&messages, &generated, &mut plan) {
                // Said again by the compiler that shortens the names of types.
                let again = emit == Emit::Types
                    && self.compilers.of(Emit::Object).compile(folder).is_ok();
                let shorter = if again { diagnostic::read(folder) } else { Vec::new() };
                let messages = if shorter.is_empty() { messages } else { shorter };
                return Ok(Err((messages, generated)));
            }
        }
        unreachable!("the loop returns")
    }
}

/// The cell with a first line `//#@save …` or `#@save …` blanked, so that lines keep their numbers.
fn without_save_line(code: &str) -> String {
    let first = code.lines().next().unwrap_or_default();
    let marker = first.trim_start().trim_start_matches("//");
    match marker.starts_with("#@save") {
        true => format!("{}{}", " ".repeat(first.len()), &code[first.len()..]),
        false => code.to_owned(),
    }
}
