//! What cells can do to their process, in real processes: the session says in one line what
//! happened, keeps the variables where they can be kept, and goes on.

mod session;

use kernel::engine::{Backend, CellError, ErrorKind, PreludeCrate};
use session::Session;
use std::path::Path;

/// Runs a cell that kills its process; it must be said how, and the variables kept.
#[track_caller]
fn survives(code: &str, how: &str) {
    let mut s = Session::new();
    s.ok("let v = vec![7];");
    let error = s.fails(code);
    assert_eq!(error.kind, ErrorKind::Crash, "{}", error.plain);
    let said = format!(
        "the cell's process died: {how}; variables are as they were before the cell"
    );
    assert_eq!(error.message, said, "{}", error.plain);
    assert_eq!(s.ok("1+1"), "2");
    assert_eq!(s.ok("v[0]"), "7");
}

#[test]
fn a_stack_overflow() {
    let code = "fn down(n: u64) -> u64 { let a = std::hint::black_box([n; 64]); down(a[0] + 1) + a[1] }\nprintln!(\"{}\", down(0));";
    survives(code, "stack overflow (signal 6)");
}

#[test]
fn an_abort() {
    survives("std::process::abort();", "abort (signal 6)");
}

#[test]
fn an_exit() {
    survives("std::process::exit(3);", "exit(3)");
    survives("std::process::exit(0);", "exit(0)");
}

#[test]
fn a_segmentation_fault() {
    let code = "unsafe { std::ptr::write_volatile(8 as *mut u64, 1) };";
    survives(code, "segmentation fault (signal 11)");
}

#[test]
fn no_memory_left() {
    // The limit is that of the cell's process: the one that takes over has none.
    let code =
        "unsafe extern \"C\" { fn setrlimit(what: i32, limit: *const [u64; 2]) -> i32; }
assert_eq!(unsafe { setrlimit(9, &[1 << 30, 1 << 30]) }, 0);
let mut all = Vec::new();
loop { all.push(vec![1_u8; 64 << 20]); }";
    survives(code, "out of memory (signal 6)");
}

#[test]
fn the_running_process_killed_by_hand() {
    let code = "unsafe extern \"C\" { fn kill(pid: i32, signal: i32) -> i32; }
unsafe { kill(std::process::id() as i32, 9) };
loop {}";
    survives(code, "killed, perhaps for want of memory (signal 9)");
}

fn kill(pid: &str) {
    let status = std::process::Command::new("kill").args(["-9", pid]).status();
    assert!(status.unwrap().success());
    // Gone, or a zombie that its parent has not seen yet.
    while std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        std::thread::yield_now();
    }
}

#[test]
fn the_process_killed_by_hand_between_two_cells_loses_nothing() {
    let mut s = Session::new();
    s.ok("let v = vec![7];");
    let pid = s.ok("std::process::id()");
    kill(&pid);
    assert_eq!(s.ok("v[0]"), "7");
    assert_ne!(s.ok("std::process::id()"), pid);
}

#[test]
fn the_keeper_killed_by_hand_is_replaced_and_interrupts_still_work() {
    let mut s = Session::new();
    s.ok("let v = vec![7];");
    let keeper = s.ok("std::os::unix::process::parent_id()");
    kill(&keeper);
    assert_eq!(s.ok("1+1"), "2");
    assert!(s.stderr.contains("all variables are lost"), "{:?}", s.stderr);
    let error = s.fails("v[0]");
    assert!(
        error.plain.contains("its process died between two cells"),
        "{}",
        error.plain
    );
    s.ok("let w = 8;");
    assert_eq!(
        interrupted(&mut s, "println!(\"on\"); loop {}").kind,
        ErrorKind::Interrupted
    );
    assert_eq!(s.ok("w"), "8");
}

#[test]
fn the_keeper_killed_by_a_cell() {
    let mut s = Session::new();
    let code = "unsafe extern \"C\" { fn kill(pid: i32, signal: i32) -> i32; }
unsafe { kill(std::os::unix::process::parent_id() as i32, 9) };
loop {}";
    let error = s.fails(code);
    assert_eq!(error.message, "the runner was killed; all variables are lost");
    assert_eq!(s.ok("1+1"), "2");
}

#[test]
fn a_hundred_megabytes_of_output_are_cut() {
    let mut s = Session::new();
    s.ok("let line = \"x\".repeat(99);");
    s.ok("for _ in 0..1_000_000 { println!(\"{line}\"); }");
    let note = "\n… more than 8 MB: cut here\n";
    assert_eq!(s.stdout.len(), (8 << 20) + note.len());
    assert!(s.stdout.ends_with(note));
    assert_eq!(s.ok("1+1"), "2");
    // The next cell may print again.
    s.ok("println!(\"on\");");
    assert_eq!(s.stdout, "on\n");
}

#[test]
fn a_thread_that_prints_without_end_stalls_nobody() {
    let mut s = Session::new();
    s.ok("std::thread::spawn(|| loop { println!(\"noise\"); });");
    assert_eq!(s.ok("1+1"), "2");
    assert!(s.stdout.contains("noise\n"));
    assert!(s.engine.listen(&mut |_| {}), "the thread is not known");
}

#[test]
fn a_thread_that_prints_after_its_cell_is_heard() {
    let mut s = Session::new();
    s.ok("let (go, wait) = std::sync::mpsc::channel::<()>();
let thread = std::thread::spawn(move || { let _ = wait.recv(); println!(\"late\"); });");
    s.ok("go.send(()).unwrap();");
    let mut heard = s.stdout.clone();
    while !heard.contains("late\n") {
        s.engine.listen(&mut |event| {
            if let kernel::engine::Event::Stdout(text) = event {
                heard.push_str(&text);
            }
        });
    }
    s.ok("thread.join().unwrap();");
}

#[test]
fn a_thread_that_kills_its_process_between_two_cells() {
    let mut s = Session::new();
    let folder = tempfile::tempdir().unwrap();
    // A signal from outside: one from a cell could come before the cell has ended.
    let go = folder.path().join("go");
    s.ok("let v = vec![7];");
    s.ok(&format!(
        "std::thread::spawn(move || {{
while !std::path::Path::new({go:?}).exists() {{ std::thread::yield_now(); }}
std::process::abort(); }});"
    ));
    let pid = s.ok("std::process::id()");
    std::fs::write(&go, "").unwrap();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
    // What a snapshot cannot hold is lost, and this is said.
    assert_eq!(s.ok("1+1"), "2");
    let error = s.fails("v[0]");
    assert!(error.plain.contains("died between two cells: abort"), "{}", error.plain);
}

#[test]
fn standard_input_is_asked_for() {
    let mut s = Session::new();
    s.answers = vec!["Ada".into(), "1815".into()];
    s.ok("let mut name = String::new();
print!(\"Name? \");
std::io::stdin().read_line(&mut name).unwrap();
let year: u32 = std::io::stdin().lines().next().unwrap().unwrap().parse().unwrap();");
    assert_eq!(s.stdout, "Name? ");
    assert_eq!(s.ok("(name.trim(), year)"), "(\"Ada\", 1815)");
}

#[test]
fn standard_input_of_nobody_is_at_its_end() {
    let mut s = Session::new();
    assert_eq!(s.ok("std::io::read_to_string(std::io::stdin()).unwrap()"), "\"\"");
    // Programs that a cell starts do not wait either.
    assert_eq!(
        s.ok("std::process::Command::new(\"cat\").status().unwrap().success()"),
        "true"
    );
}

#[test]
fn text_and_displays_keep_their_order() {
    let mut s = Session::new();
    s.ok("use std::io::Write;
fn show(text: &str) {
    let json = format!(\"{{\\\"op\\\":\\\"display\\\",\\\"data\\\":{{\\\"text/plain\\\":\\\"{text}\\\"}}}}\");
    let mut frame = (json.len() as u32).to_le_bytes().to_vec();
    frame.extend(json.bytes());
    std::fs::File::options().append(true).open(\"/dev/fd/198\").unwrap().write_all(&frame).unwrap();
}");
    s.ok("for i in 0..50 { println!(\"{i}\"); show(&i.to_string()); }");
    let wanted: String = (0..50).map(|i| format!("{i}\n[{i}]\n")).collect();
    assert_eq!(s.stdout, wanted);
}

#[test]
fn rubbish_on_the_display_channel_is_skipped() {
    let mut s = Session::new();
    s.ok("let mut channel = std::fs::File::options().append(true).open(\"/dev/fd/198\").unwrap();
std::io::Write::write_all(&mut channel, b\"\\x03\\0\\0\\0{x}\").unwrap();");
    assert_eq!(s.ok("1+1"), "2");
}

#[track_caller]
fn interrupted(s: &mut Session, code: &str) -> CellError {
    s.interrupt = true;
    let error = s.fails(code);
    s.interrupt = false;
    assert_eq!(error.kind, ErrorKind::Interrupted, "{}", error.plain);
    error
}

#[test]
fn a_spinning_cell_is_stopped_and_everything_is_kept() {
    let mut s = Session::new();
    s.ok("let mut v = vec![7];");
    // What the cell itself did is undone: it stopped at no place that anybody knows.
    interrupted(&mut s, "v.push(8); println!(\"on\"); loop {}");
    assert_eq!(s.ok("1+1"), "2");
    assert_eq!(s.ok("v"), "[7]");
}

#[test]
fn a_cell_that_waits_for_input_is_stopped() {
    let mut s = Session::new();
    s.ok("let v = vec![7];");
    s.answers = vec![];
    interrupted(
        &mut s,
        "println!(\"on\"); loop { let _ = std::io::stdin().lines().next(); }",
    );
    assert_eq!(s.ok("v"), "[7]");
}

/// A crate for a prelude in a folder of its own.
fn crate_in(home: &Path, name: &str, code: &str) -> PreludeCrate {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n"
    );
    std::fs::create_dir_all(home.join("src")).unwrap();
    std::fs::write(home.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(home.join("src/lib.rs"), code).unwrap();
    let import = format!("use {name}::*;");
    PreludeCrate { name: name.into(), source: home.to_owned(), import }
}

#[test]
fn crates_of_one_name_are_not_taken_for_each_other() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let twins = [0, 1].map(|i| {
        crate_in(homes[i].path(), "twin", &format!("pub fn own() -> u8 {{ {i} }}"))
    });
    let own = |i: usize| Session::with(Some(twins[i].clone()), Backend::Auto).ok("own()");
    assert_eq!([own(0), own(1)], ["0", "1"]);
    // Now it is to be built again, and Cargo has nothing to do.
    std::fs::write(homes[0].path().join("src/notes.txt"), "No code.").unwrap();
    assert_eq!(own(0), "0");
}

/// A crate whose operations look at the flag, as `d2l`'s do.
#[test]
fn a_loop_of_the_prelude_s_operations_is_stopped_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let code = "use std::sync::atomic::{AtomicBool, Ordering};
#[unsafe(no_mangle)]
pub static D2L_INTERRUPT: AtomicBool = AtomicBool::new(false);
pub fn step(x: &mut u64) {
    if D2L_INTERRUPT.swap(false, Ordering::Relaxed) { std::panic::panic_any(\"interrupted\") }
    *x += 1;
}";
    let prelude = crate_in(home.path(), "ops", code);
    let mut s = Session::with(Some(prelude), Backend::Auto);
    s.ok("let mut x = 0_u64; let v = vec![7];");
    let error =
        interrupted(&mut s, "loop { step(&mut x); if x == 9 { println!(\"on\"); } }");
    assert_eq!(error.message, "interrupted");
    // Not only kept: as far as the loop had come.
    assert_eq!(s.ok("x >= 9"), "true");
    assert_eq!(s.ok("(1+1, &v)"), "(2, [7])");
}
