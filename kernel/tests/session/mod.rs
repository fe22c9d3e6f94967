//! A session of the engine in real processes, as the tests use it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use kernel::engine::{
    Backend, CellError, CellSource, Engine, EngineConfig, Event, MimeBundle, Outcome,
    PreludeCrate,
};

/// An engine, its folder, and what the last cell did.
pub struct Session {
    pub engine: Engine,
    _work: tempfile::TempDir,
    /// Standard output of the last cell, with notes.
    pub stdout: String,
    /// Standard error of the last cell.
    pub stderr: String,
    /// What a cell that reads is answered; none: nobody is there.
    pub answers: Vec<String>,
    /// Interrupt the cell as soon as it prints.
    pub interrupt: bool,
}

/// What a cell did.
#[derive(Debug)]
pub struct Seen {
    /// Its value as text, empty if it has none.
    pub value: Result<String, CellError>,
    pub stdout: String,
    pub stderr: String,
}

impl Session {
    /// A session without a prelude.
    pub fn new() -> Self {
        Self::with(None, Backend::Auto)
    }

    pub fn with(prelude: Option<PreludeCrate>, backend: Backend) -> Self {
        let work = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            prelude,
            cache_dir: std::env::temp_dir().join("d2l-engine-tests"),
            work_dir: work.path().to_owned(),
            env: Default::default(),
            backend,
        };
        Self {
            engine: Engine::start(config, &mut |_| {}).unwrap(),
            _work: work,
            stdout: String::new(),
            stderr: String::new(),
            answers: Vec::new(),
            interrupt: false,
        }
    }

    pub fn run(&mut self, code: &str) -> Result<Option<MimeBundle>, CellError> {
        let Self { engine, stdout, stderr, answers, interrupt, .. } = self;
        (stdout.clear(), stderr.clear());
        let stop = engine.interrupter();
        let cell = CellSource { name: "cell".into(), code: code.into() };
        let ran = engine.execute(&cell, &mut |event| match event {
            Event::Stdout(text) => {
                stdout.push_str(&text);
                if *interrupt {
                    stop.interrupt();
                }
            }
            Event::Stderr(text) => stderr.push_str(&text),
            Event::Display { data, .. } => {
                stdout.push_str(&format!("[{}]\n", data["text/plain"]));
            }
            Event::Input { reply, .. } if !answers.is_empty() => {
                reply.send(answers.remove(0)).unwrap();
            }
            _ => {}
        });
        match ran.outcome {
            Outcome::Done(value) => Ok(value),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Runs a cell and says what it did.
    pub fn see(&mut self, code: &str) -> Seen {
        let value = self.run(code);
        let value = value.map(|v| v.map_or(String::new(), |v| v["text/plain"].clone()));
        Seen { value, stdout: self.stdout.clone(), stderr: self.stderr.clone() }
    }

    /// Runs a cell that must succeed; its value as text, or nothing.
    #[track_caller]
    pub fn ok(&mut self, code: &str) -> String {
        match self.run(code) {
            Ok(value) => value.map_or(String::new(), |v| v["text/plain"].clone()),
            Err(error) => panic!("{code}\n{}", error.plain),
        }
    }

    /// Runs a cell that must fail.
    #[track_caller]
    pub fn fails(&mut self, code: &str) -> CellError {
        match self.run(code) {
            Ok(value) => panic!("{code} gave {value:?}"),
            Err(error) => error,
        }
    }
}
