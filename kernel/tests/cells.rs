//! The rules of `CELLS.md`, one test a heading.

mod session;

use kernel::engine::ErrorKind;
use session::Session;

/// Runs cells in turn; each must succeed, and give this value (`""`: none).
#[track_caller]
fn cells(cells: &[(&str, &str)]) -> Session {
    let mut s = Session::new();
    for (code, value) in cells {
        assert_eq!(s.ok(code), *value, "{code}");
    }
    s
}

#[test]
fn values() {
    let mut s = cells(&[
        ("1 + 1", "2"),
        ("1 + 1;", ""),
        ("()", ""),
        ("struct Own; impl Own { fn evcxr_display(&self) { println!(\"own\"); } }", ""),
        ("Own", ""),
    ]);
    assert_eq!(s.stdout, "own\n");
    let opaque = s.ok("struct Opaque; Opaque");
    assert!(opaque.starts_with('<') && opaque.ends_with("Opaque>"), "{opaque}");
}

#[test]
fn shadowing() {
    cells(&[
        ("let x = 1;", ""),
        ("let x = x + 1;", ""),
        ("let x = x.to_string() + \"!\";", ""),
        ("x", "\"2!\""),
        ("let (a, mut b) = (1, 2);", ""),
        ("b += a; b", "3"),
        ("let Some(c) = Some(4) else { panic!() };", ""),
        ("c", "4"),
        // A name of a block is not a name of the session.
        ("{ let x = 5; let _ = x; }", ""),
        ("x", "\"2!\""),
    ]);
}

#[test]
fn items_are_redefined() {
    cells(&[
        ("fn f() -> i32 { 1 }", ""),
        ("fn g() -> i32 { f() + 10 }", ""),
        ("fn f() -> i32 { 2 }", ""),
        ("f()", "2"),
        ("g()", "12"),
        ("const N: usize = 2;", ""),
        ("const N: usize = 3; [0; N].len()", "3"),
    ]);
}

#[test]
fn an_impl_cell_is_run_again() {
    cells(&[
        ("#[derive(Clone, Debug)] struct P { x: i32 }", ""),
        ("impl P { fn double(&self) -> i32 { self.x * 2 } }", ""),
        ("let p = P { x: 4 };", ""),
        ("p.double()", "8"),
        ("impl P { fn double(&self) -> i32 { self.x * 20 } }", ""),
        ("p.double()", "80"),
        // Other methods stay; a later cell adds more.
        ("impl P { fn triple(&self) -> i32 { self.x * 3 } }", ""),
        ("p.double() + p.triple()", "92"),
        (
            "impl std::fmt::Display for P { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, \"<{}>\", self.x) } }",
            "",
        ),
        ("p.to_string()", "\"<4>\""),
        (
            "impl std::fmt::Display for P { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, \"[{}]\", self.x) } }",
            "",
        ),
        ("format!(\"{p}\")", "\"[4]\""),
    ]);
}

#[test]
fn a_moved_variable_is_gone_and_it_is_said_why() {
    let mut s = cells(&[("let v = vec![1];", ""), ("let w = v;", ""), ("w", "[1]")]);
    let error = s.fails("v.len()");
    assert_eq!(error.kind, ErrorKind::Compile);
    for part in ["cannot find value `v`", "it was moved", "help: clone it before"] {
        assert!(error.plain.contains(part), "{}", error.plain);
    }
    assert_eq!(s.ok("let v = w.clone(); v == w"), "true");
}

#[test]
fn a_borrow_ends_with_its_cell() {
    let mut s = cells(&[("let v = vec![1, 2];", ""), ("let first = &v[0]; *first", "1")]);
    let error = s.fails("*first");
    assert!(error.plain.contains("borrows from another variable"), "{}", error.plain);
    assert_eq!(s.ok("v.len()"), "2");
    assert_eq!(s.ok("let name: &'static str = \"a\";"), "");
    assert_eq!(s.ok("name"), "\"a\"");
}

#[test]
fn closures() {
    cells(&[
        ("let k = 10; let add = move |x: i32| x + k;", ""),
        ("add(1)", "11"),
        ("let mut n = 0; let mut count = move || { n += 1; n };", ""),
        ("count(); count()", "2"),
        ("let twice = |f: &dyn Fn(i32) -> i32, x: i32| f(f(x));", ""),
        ("twice(&add, 1)", "21"),
    ]);
}

#[test]
fn generics_and_traits() {
    cells(&[
        (
            "trait Area { fn area(&self) -> f64; fn twice(&self) -> f64 { 2.0 * self.area() } }",
            "",
        ),
        ("struct Square(f64);", ""),
        ("impl Area for Square { fn area(&self) -> f64 { self.0 * self.0 } }", ""),
        ("fn total<T: Area>(all: &[T]) -> f64 { all.iter().map(Area::twice).sum() }", ""),
        ("total(&[Square(1.0), Square(2.0)])", "10.0"),
        ("let shapes: Vec<Box<dyn Area>> = vec![Box::new(Square(3.0))];", ""),
        ("shapes[0].twice()", "18.0"),
        // A method of a trait for a type of the library.
        ("trait Shout { fn shout(&self) -> String; }", ""),
        ("impl Shout for str { fn shout(&self) -> String { self.to_uppercase() } }", ""),
        ("\"a\".shout()", "\"A\""),
    ]);
}

#[test]
fn macros_and_use() {
    cells(&[
        ("macro_rules! square { ($x:expr) => { $x * $x }; }", ""),
        ("square!(7)", "49"),
        ("use std::collections::{BTreeMap, HashMap as Map};", ""),
        ("let mut m = Map::new(); m.insert(1, 2);", ""),
        ("m[&1]", "2"),
        ("BTreeMap::from([(1, 2)])", "{1: 2}"),
        ("use std::fmt::Write as _;", ""),
        ("let mut s = String::new(); write!(s, \"{}\", 1).unwrap(); s", "\"1\""),
        ("mod inner { pub fn f() -> i32 { 5 } }", ""),
        ("inner::f()", "5"),
    ]);
}

#[test]
fn await_at_top_level() {
    cells(&[
        ("async fn later(x: i32) -> i32 { x + 1 }", ""),
        ("later(1).await", "2"),
        ("let y = later(5).await;", ""),
        ("y", "6"),
    ]);
}

#[test]
fn a_question_mark_at_top_level() {
    let mut s = cells(&[
        ("let n: i32 = \"5\".parse()?;", ""),
        ("n", "5"),
        ("\"6\".parse::<i32>()?", "6"),
    ]);
    let error = s.fails("let n: i32 = \"x\".parse()?;");
    assert_eq!(error.kind, ErrorKind::Returned);
    assert_eq!(error.message, "invalid digit found in string");
    assert_eq!(s.ok("n"), "5");
}

#[test]
fn statics_live_once() {
    cells(&[
        ("use std::sync::atomic::{AtomicU32, Ordering};", ""),
        ("static COUNT: AtomicU32 = AtomicU32::new(0);", ""),
        ("COUNT.fetch_add(1, Ordering::SeqCst);", ""),
        ("fn next() -> u32 { COUNT.fetch_add(1, Ordering::SeqCst) + 1 }", ""),
        ("next()", "2"),
        ("COUNT.load(Ordering::SeqCst)", "2"),
        // Defined anew, it starts anew.
        ("static COUNT: AtomicU32 = AtomicU32::new(7);", ""),
        ("next()", "8"),
    ]);
}

#[test]
fn a_changed_type_drops_its_variables() {
    let mut s = cells(&[
        ("struct A { x: i32 }", ""),
        ("let a = A { x: 1 }; let all = vec![A { x: 2 }]; let other = 3;", ""),
        ("struct A { x: i32, y: i32 }", ""),
    ]);
    assert_eq!(s.ok("other"), "3");
    let error = s.fails("a.x");
    assert!(error.plain.contains("its type `A` was redefined"), "{}", error.plain);
    assert_eq!(s.ok("let a = A { x: 1, y: 2 }; a.x + a.y"), "3");
    // Also inside another type.
    s.ok("struct Holder { inner: Option<A> }");
    s.ok("let h = Holder { inner: None };");
    s.ok("struct A(u8);");
    assert!(s.stderr.contains("a, h dropped"), "{}", s.stderr);
    assert!(s.fails("h.inner").plain.contains("its type `A` was redefined"));
}

#[test]
fn the_same_type_run_again_keeps_its_variables() {
    cells(&[
        ("struct A { x: i32 }", ""),
        ("let a = A { x: 1 };", ""),
        ("struct A { x: i32 }", ""),
        ("a.x", "1"),
    ]);
}

#[test]
fn variables_stay_after_a_panic() {
    let mut s = cells(&[("let mut v = vec![1];", "")]);
    let error = s.fails("let w = 5;\nv.push(2);\npanic!(\"no {w}\");");
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Panic, "no 5"));
    assert_eq!(error.diagnostics[0].line, 3);
    // What was done before the panic stays done; the cell's own variables are not there.
    assert_eq!(s.ok("v"), "[1, 2]");
    assert!(s.fails("w").plain.contains("cannot find value `w`"));
}

#[test]
fn a_cell_that_does_not_compile_changes_nothing() {
    let mut s = cells(&[("fn f() -> i32 { 1 }", ""), ("let x = 1;", "")]);
    s.fails("fn f() -> i32 { \"\" }\nlet x = 2;");
    assert_eq!(s.ok("f() + x"), "2");
}

#[test]
fn a_crate_is_added_and_variables_stay() {
    let home = tempfile::tempdir().unwrap();
    for (name, code) in [
        (
            "shout",
            "pub fn shout(s: &str) -> String { s.to_uppercase() }\npub static N: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);",
        ),
        (
            "two-words",
            "pub struct Pair<T>(pub T, pub T);\nimpl<T: Clone> Pair<T> { pub fn of(t: T) -> Self { Self(t.clone(), t) } }",
        ),
    ] {
        let folder = home.path().join(name);
        std::fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n"
        );
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(folder.join("src/lib.rs"), code).unwrap();
    }
    let dep =
        |name: &str| format!(":dep {name} = {{ path = {:?} }}", home.path().join(name));
    let mut s = cells(&[("let v = vec![7];", "")]);
    assert_eq!(s.ok(&format!("{}\nshout::shout(\"a\")", dep("shout"))), "\"A\"");
    s.ok("shout::N.store(5, std::sync::atomic::Ordering::SeqCst);");
    s.ok("use shout::shout as loud;");
    s.ok(&dep("two-words"));
    assert_eq!(
        s.ok("let p = two_words::Pair::of(loud(\"b\")); (p.0, &v)"),
        "(\"B\", [7])"
    );
    let error = s.fails(":dep shout = { path = \"/nowhere\" }");
    assert!(error.message.contains("the crates were not built"), "{}", error.plain);
    // Still there after a crash.
    s.fails("std::process::abort();");
    assert_eq!(s.ok("shout::shout(\"c\")"), "\"C\"");
}
