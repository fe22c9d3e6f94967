//! The portable back end: evcxr as a library. Slower, but it needs no `fork`.

use super::{
    CellDiagnostic, CellError, CellSource, EngineConfig, EngineError, ErrorKind, Event,
    Execution, MimeBundle, Outcome,
};
use evcxr::{CommandContext, EvalContextOutputs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// See [`crate::runtime_hook`].
pub(crate) fn runtime_hook() {
    evcxr::runtime_hook();
}

/// evcxr with the prelude crate loaded.
pub(super) struct EvcxrEngine {
    context: Option<CommandContext>,
    outputs: EvalContextOutputs,
}

impl std::fmt::Debug for EvcxrEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvcxrEngine").finish_non_exhaustive()
    }
}

impl EvcxrEngine {
    /// Starts evcxr and compiles the prelude crate into it.
    ///
    /// # Errors
    /// If there is no Rust toolchain, or the prelude crate does not compile.
    pub(super) fn start(
        config: EngineConfig,
        progress: &mut dyn FnMut(String),
    ) -> Result<Self, EngineError> {
        progress("starting evcxr".into());
        let program =
            std::env::current_exe().map_err(|e| EngineError::Start(e.to_string()))?;
        let mut command = std::process::Command::new(program);
        command.current_dir(&config.work_dir).envs(&config.env);
        // Its rust-analyzer runs `rustup component add` by itself: no network from here.
        // SAFETY: called before any thread of ours reads the environment.
        unsafe {
            std::env::set_var("RUSTUP_DIST_SERVER", "http://127.0.0.1:9");
            std::env::set_var("RUSTUP_MAX_RETRIES", "0");
        }
        let (context, outputs) = evcxr::EvalContext::with_subprocess_command(command)
            .map_err(|error| EngineError::Start(error.to_string()))?;
        let mut engine =
            Self { context: Some(CommandContext::with_eval_context(context)), outputs };
        if let Some(prelude) = &config.prelude {
            progress(format!("compiling {}", prelude.name));
            let code = format!(
                ":dep {} = {{ path = {:?} }}\n{}",
                prelude.name, prelude.source, prelude.import
            );
            let cell = CellSource { name: "prelude".into(), code };
            if let Outcome::Failed(error) = engine.execute(&cell, &mut |_| {}).outcome {
                return Err(EngineError::Start(error.plain));
            }
        }
        Ok(engine)
    }

    /// See [`super::Engine::variables`].
    pub(super) fn variables(&self) -> std::collections::BTreeMap<String, String> {
        let all = self.context.iter().flat_map(|context| context.variables_and_types());
        all.map(|(name, type_name)| (name.to_owned(), type_name.to_owned())).collect()
    }

    /// See [`super::Engine::execute`].
    pub(super) fn execute(
        &mut self,
        cell: &CellSource,
        sink: &mut dyn FnMut(Event),
    ) -> Execution {
        let started = Instant::now();
        let mut context = self.context.take().expect("put back below");
        let code = cell.code.clone();
        let (done, finished) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            let result = context.execute(&code);
            let _ = done.send(());
            (context, result)
        });
        let (stdout, stderr) = (self.outputs.stdout.clone(), self.outputs.stderr.clone());
        let mut errors = String::new();
        let mut drain = || {
            let mut any = false;
            while let Ok(line) = stdout.try_recv() {
                sink(Event::Stdout(line + "\n"));
                any = true;
            }
            while let Ok(line) = stderr.try_recv() {
                errors.push_str(&line);
                errors.push('\n');
                any = true;
            }
            any
        };
        while finished.recv_timeout(Duration::from_millis(5)).is_err() {
            drain();
            if worker.is_finished() {
                break;
            }
        }
        let (context, result) = worker.join().expect("evcxr does not panic");
        self.context = Some(context);
        // evcxr reads its child's stderr on a thread of its own.
        std::thread::sleep(Duration::from_millis(5));
        while drain() {}
        let outcome = match result {
            // A panic is no error there: only what it prints tells it.
            Ok(_)
                if errors.contains("' panicked at ")
                    || errors.contains(") panicked at ") =>
            {
                let failed = anyhow::anyhow!("the cell panicked").into();
                Outcome::Failed(cell_error(cell, failed, &errors))
            }
            Ok(outputs) => {
                if !errors.is_empty() {
                    sink(Event::Stderr(errors));
                }
                let data: MimeBundle = outputs.content_by_mime_type.into_iter().collect();
                Outcome::Done((!data.is_empty()).then_some(data))
            }
            Err(error) => Outcome::Failed(cell_error(cell, error, &errors)),
        };
        Execution { outcome, elapsed: started.elapsed() }
    }
}

fn cell_error(cell: &CellSource, error: evcxr::Error, stderr: &str) -> CellError {
    match error {
        evcxr::Error::CompilationErrors(errors) => {
            let diagnostics: Vec<_> = errors.iter().map(diagnostic).collect();
            let plain =
                errors.iter().map(|e| e.rendered()).collect::<Vec<_>>().join("\n");
            let message = errors.first().map(|e| e.message()).unwrap_or_default();
            CellError {
                kind: ErrorKind::Compile,
                message,
                diagnostics,
                ansi: plain.clone(),
                plain,
            }
        }
        error => {
            let panic = stderr.lines().position(|l| l.contains("panicked at"));
            let kind = if panic.is_some() { ErrorKind::Panic } else { ErrorKind::Crash };
            let message = panic
                .and_then(|at| stderr.lines().nth(at + 1))
                .map_or_else(|| error.to_string(), str::to_owned);
            let plain = format!("{}: {message}", cell.name);
            CellError {
                kind,
                message,
                diagnostics: Vec::new(),
                ansi: plain.clone(),
                plain,
            }
        }
    }
}

fn diagnostic(error: &evcxr::CompilationError) -> CellDiagnostic {
    let place = error.primary_spanned_message();
    let (line, column, end_line, end_column) =
        place.and_then(|p| p.span).map_or((1, 1, 1, 1), |s| {
            (s.start_line, s.start_column, s.end_line, s.end_column)
        });
    CellDiagnostic {
        code: error.code().map(str::to_owned),
        level: error.level().to_owned(),
        message: error.message(),
        line,
        column,
        end_line,
        end_column,
        label: place.map(|p| p.label.clone()).unwrap_or_default(),
        notes: error.help(),
    }
}
