//! Cells through the engine, in real processes.

use kernel::engine::{
    Backend, CellSource, Engine, EngineConfig, ErrorKind, Event, Execution, Outcome,
};

fn engine() -> (Engine, tempfile::TempDir) {
    let work = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        prelude: None,
        cache_dir: std::env::temp_dir().join("d2l-engine-tests"),
        work_dir: work.path().to_owned(),
        env: Default::default(),
        backend: Backend::Auto,
    };
    (Engine::start(config, &mut |_| {}).unwrap(), work)
}

fn run(engine: &mut Engine, code: &str) -> (Execution, String) {
    let cell = CellSource { name: "cell".into(), code: code.into() };
    let mut printed = String::new();
    let ran = engine.execute(&cell, &mut |event| {
        if let Event::Stdout(text) = event {
            printed.push_str(&text);
        }
    });
    (ran, printed)
}

#[track_caller]
fn value(engine: &mut Engine, code: &str) -> Option<String> {
    match run(engine, code).0.outcome {
        Outcome::Done(value) => value.map(|forms| forms["text/plain"].clone()),
        Outcome::Failed(error) => panic!("{code}\n{}", error.plain),
    }
}

#[track_caller]
fn failure(engine: &mut Engine, code: &str) -> kernel::engine::CellError {
    match run(engine, code).0.outcome {
        Outcome::Done(value) => panic!("{code} gave {value:?}"),
        Outcome::Failed(error) => error,
    }
}

#[test]
fn variables_and_items_are_kept() {
    let (mut e, _work) = engine();
    assert_eq!(value(&mut e, "let mut a = vec![1, 2];"), None);
    assert_eq!(value(&mut e, "a.push(3);"), None);
    assert_eq!(value(&mut e, "fn twice(x: usize) -> usize { 2 * x }"), None);
    assert_eq!(value(&mut e, "twice(a.len())").unwrap(), "6");
    assert_eq!(value(&mut e, "let f = |x: i32| x + 1;"), None);
    assert_eq!(value(&mut e, "f(41)").unwrap(), "42");
}

#[test]
fn types_that_are_not_in_scope_are_kept() {
    let (mut e, _work) = engine();
    value(&mut e, "let m = std::collections::HashMap::from([(\"a\", 1)]);");
    assert_eq!(value(&mut e, "m[\"a\"]").unwrap(), "1");
    value(&mut e, "let t = std::sync::Arc::new(std::sync::Mutex::new(2));");
    assert_eq!(value(&mut e, "*t.lock().unwrap()").unwrap(), "2");
}

#[test]
fn a_compile_error_has_its_place_and_short_names() {
    let (mut e, _work) = engine();
    let error = failure(&mut e, "let a = 1;\nlet b: i32 = String::new();");
    assert_eq!(error.kind, ErrorKind::Compile);
    let first = &error.diagnostics[0];
    assert_eq!((first.code.as_deref(), first.line, first.column), (Some("E0308"), 2, 14));
    assert!(error.plain.contains("`String`"), "{}", error.plain);
}

#[test]
fn a_panic_has_its_place_and_keeps_variables() {
    let (mut e, _work) = engine();
    value(&mut e, "let v = vec![7];");
    let error = failure(&mut e, "println!(\"before\");\nv[3]");
    assert_eq!(error.kind, ErrorKind::Panic);
    assert_eq!(error.diagnostics[0].line, 2);
    assert_eq!(value(&mut e, "v[0]").unwrap(), "7");
}

#[test]
fn a_crash_keeps_variables() {
    let (mut e, _work) = engine();
    value(&mut e, "let v = vec![7];");
    let error = failure(&mut e, "std::process::abort()");
    assert_eq!(error.kind, ErrorKind::Crash);
    assert_eq!(value(&mut e, "v[0]").unwrap(), "7");
}

#[test]
fn an_endless_cell_is_stopped_and_variables_are_kept() {
    let (mut e, _work) = engine();
    value(&mut e, "let v = vec![7];");
    let handle = e.interrupter();
    let cell =
        CellSource { name: "cell".into(), code: "println!(\"on\"); loop {}".into() };
    let ran = e.execute(&cell, &mut |event| {
        if matches!(event, Event::Stdout(_)) {
            handle.interrupt();
        }
    });
    let Outcome::Failed(error) = ran.outcome else { panic!("it ended") };
    assert_eq!(error.kind, ErrorKind::Interrupted);
    assert_eq!(value(&mut e, "v[0]").unwrap(), "7");
}

#[test]
fn the_save_line_means_nothing() {
    let (mut e, _work) = engine();
    assert_eq!(value(&mut e, "#@save\n1 + 1").unwrap(), "2");
    assert_eq!(value(&mut e, "//#@save topic\n1 + 2").unwrap(), "3");
}

#[test]
fn output_is_streamed_in_order() {
    let (mut e, _work) = engine();
    let (_, printed) = run(&mut e, "for i in 0..3 { println!(\"{i}\"); }");
    assert_eq!(printed, "0\n1\n2\n");
}

#[test]
fn a_cell_that_grows_is_seen_and_killed() {
    let (mut e, _work) = engine();
    assert_eq!(value(&mut e, "let kept = 7;"), None);
    let watch = e.interrupter();
    let before = watch.memory().unwrap();
    let killer = std::thread::spawn(move || {
        while watch.memory().unwrap() < before + (100 << 20) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        watch.kill();
    });
    let error = failure(
        &mut e,
        "let mut all = Vec::new();\nloop { all.push(vec![1_u8; 1 << 20]); }",
    );
    killer.join().unwrap();
    assert_eq!(error.kind, ErrorKind::Crash);
    assert_eq!(value(&mut e, "kept").unwrap(), "7");
}
