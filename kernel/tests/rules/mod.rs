//! The rules of `CELLS.md` as data: what each cell of each rule must give, on both back ends.
//!
//! `each_rule!(with)` hands all of them to the macro `with`, as `name [cells]`; `tests/cells.rs` makes
//! a test of each, `tests/oracle.rs` runs the same cells on evcxr.

#![allow(dead_code, reason = "each test binary uses a part")]

use crate::session::Seen;
use kernel::engine::ErrorKind;
use std::path::PathBuf;

/// What the oracle was asked: which evcxr, and a digest of the rules and of what puts them to it. The
/// oracle keeps this in [`oracle_record`] once all rules hold there.
pub(crate) fn asked_of_the_oracle() -> String {
    let lock = include_str!("../../../Cargo.lock");
    let version = lock
        .split("\n\n")
        .find(|package| package.contains("name = \"evcxr\"\n"))
        .and_then(|package| package.lines().find_map(|l| l.strip_prefix("version = ")))
        .expect("Cargo.lock names evcxr");
    let mut digest = blake3::Hasher::new();
    for text in [
        include_str!("mod.rs"),
        include_str!("../oracle.rs"),
        include_str!("../../CELLS.md"),
        include_str!("../../src/engine/evcxr.rs"),
    ] {
        digest.update(text.as_bytes());
    }
    format!("evcxr {}\n{}\n", version.trim_matches('"'), digest.finalize().to_hex())
}

/// Where the oracle keeps what it was asked.
pub(crate) fn oracle_record() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/oracle.txt").into()
}

/// A cell and what it must give.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) code: &'static str,
    pub(crate) gives: Gives,
    pub(crate) evcxr: Evcxr,
}

/// What a cell gives.
#[derive(Debug, Clone)]
pub(crate) enum Gives {
    /// Its value as text; `""`: it has none.
    Value(&'static str),
    /// No value, and this on standard output.
    Prints(&'static str),
    /// No value, and this is said on standard error.
    Notes(&'static str),
    /// A failure of this kind, whose text has all of these parts.
    Fails(ErrorKind, &'static [&'static str]),
}

/// What evcxr makes of it.
#[derive(Debug, Clone)]
pub(crate) enum Evcxr {
    /// The same.
    Same,
    /// The same as long as the kind of failure is; it has other words.
    SameKind,
    /// The same once the types are written; as it stands where it has no sources to infer from.
    Typed(&'static str),
    /// Something else; what, and the row of the table in `CELLS.md` that says so.
    Differs(Gives, &'static str),
    /// Not run, for the reason that this row gives.
    NotRun(&'static str),
}

/// A cell that succeeds.
pub(crate) const fn ok(code: &'static str, value: &'static str) -> Cell {
    Cell { code, gives: Gives::Value(value), evcxr: Evcxr::Same }
}

/// A cell that prints.
pub(crate) const fn prints(code: &'static str, text: &'static str) -> Cell {
    Cell { code, gives: Gives::Prints(text), evcxr: Evcxr::Same }
}

/// A cell that succeeds with a note.
pub(crate) const fn notes(code: &'static str, text: &'static str) -> Cell {
    Cell { code, gives: Gives::Notes(text), evcxr: Evcxr::Same }
}

/// A cell that fails.
pub(crate) const fn fails(
    code: &'static str,
    kind: ErrorKind,
    parts: &'static [&'static str],
) -> Cell {
    Cell { code, gives: Gives::Fails(kind, parts), evcxr: Evcxr::SameKind }
}

impl Cell {
    /// See [`Evcxr::Typed`].
    pub(crate) const fn typed(self, code: &'static str) -> Self {
        Self { evcxr: Evcxr::Typed(code), ..self }
    }

    /// See [`Evcxr::Differs`].
    pub(crate) const fn differs(self, gives: Gives, row: &'static str) -> Self {
        Self { evcxr: Evcxr::Differs(gives, row), ..self }
    }

    /// See [`Evcxr::NotRun`].
    pub(crate) const fn not_run(self, row: &'static str) -> Self {
        Self { evcxr: Evcxr::NotRun(row), ..self }
    }

    /// The code with the folder of the crates that `:dep` adds.
    pub(crate) fn code(&self) -> String {
        filled_in(self.code)
    }
}

/// `CRATES` in a cell is the folder of the crates for the test of `:dep`.
pub(crate) fn filled_in(code: &str) -> String {
    code.replace("CRATES", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crates"))
}

impl Gives {
    /// Nothing if that is what the cell did, else what is wrong.
    pub(crate) fn mismatch(&self, seen: &Seen) -> Option<String> {
        let right = match (self, &seen.value) {
            (Self::Value(wanted), Ok(value)) => value == wanted,
            (Self::Prints(wanted), Ok(value)) => {
                value.is_empty() && seen.stdout == *wanted
            }
            (Self::Notes(wanted), Ok(value)) => {
                value.is_empty() && seen.stderr.contains(wanted)
            }
            (Self::Fails(kind, parts), Err(error)) => {
                error.kind == *kind && parts.iter().all(|part| error.plain.contains(part))
            }
            _ => false,
        };
        (!right).then(|| match &seen.value {
            Ok(value) => format!(
                "wanted {self:?}, got {value:?}\nstdout: {:?}\nstderr: {:?}",
                seen.stdout, seen.stderr
            ),
            Err(error) => {
                format!("wanted {self:?}, got {:?}:\n{}", error.kind, error.plain)
            }
        })
    }
}

/// The rows of the table in `CELLS.md`.
pub(crate) const UNIT: &str = "`()`, or a block without value";
pub(crate) const IMPL: &str = "an edited `impl` run again";
pub(crate) const BORROW: &str = "`let first = &v[0];`";
pub(crate) const CLOSURE: &str = "a closure kept";
pub(crate) const AWAIT: &str = "`later(1).await`";
pub(crate) const RETURNED: &str = "`?` meets an `Err`";
pub(crate) const STATIC: &str = "`static` changed in one cell, read in the next";
pub(crate) const CHANGED: &str = "a struct redefined, variable of the old one";
pub(crate) const CHANGED_INSIDE: &str = "the same inside another struct";
pub(crate) const DIED: &str = "after `abort`";

macro_rules! each_rule {
    ($with:ident) => {
        $with! {
            values [
                ok("1 + 1", "2"),
                ok("1 + 1;", ""),
                ok("()", "").differs(Gives::Value("()"), UNIT),
                ok("struct Own; impl Own { fn evcxr_display(&self) { println!(\"own\"); } }", ""),
                prints("Own", "own\n"),
                ok("#[derive(Debug)] struct Pair(i32, char); Pair(1, 'a')", "Pair(1, 'a')"),
            ]
            shadowing [
                ok("let x = 1;", ""),
                ok("let x = x + 1;", "").typed("let x: i32 = x + 1;"),
                ok("let x = x.to_string() + \"!\";", "").typed("let x: String = x.to_string() + \"!\";"),
                ok("x", "\"2!\""),
                ok("let (a, mut b) = (1, 2);", "").typed("let (a, mut b): (i32, i32) = (1, 2);"),
                ok("b += a; b", "3"),
                ok("let Some(c) = Some(4) else { panic!() };", "").typed("let c: i32 = 4;"),
                ok("c", "4"),
                // A name of a block is not a name of the session.
                ok("{ let x = 5; let _ = x; }", "").differs(Gives::Value("()"), UNIT),
                ok("x", "\"2!\""),
            ]
            items_are_redefined [
                ok("fn f() -> i32 { 1 }", ""),
                ok("fn g() -> i32 { f() + 10 }", ""),
                ok("fn f() -> i32 { 2 }", ""),
                ok("f()", "2"),
                ok("g()", "12"),
                ok("const N: usize = 2;", ""),
                ok("const N: usize = 3; [0; N].len()", "3"),
            ]
            functions_are_values [
                ok("fn twice(f: fn(f64) -> f64, x: f64) -> f64 { f(f(x)) }", ""),
                ok("twice(f64::sqrt, 16.0)", "2.0"),
                // One of another crate that knows its caller.
                ok("let remove: fn(&mut String, usize) -> char = String::remove;", ""),
                ok("remove(&mut \"abc\".to_owned(), 1)", "'b'"),
            ]
            an_impl_cell_is_run_again [
                ok("#[derive(Clone, Debug)] struct P { x: i32 }", ""),
                ok("impl P { fn double(&self) -> i32 { self.x * 2 } }", ""),
                ok("let p = P { x: 4 };", "").typed("let p: P = P { x: 4 };"),
                ok("p.double()", "8"),
                ok("impl P { fn double(&self) -> i32 { self.x * 20 } }", "").differs(Gives::Fails(ErrorKind::Compile, &["duplicate definitions"]), IMPL),
                ok("p.double()", "80").differs(Gives::Value("8"), IMPL),
                // Other methods stay; a later cell adds more.
                ok("impl P { fn triple(&self) -> i32 { self.x * 3 } }", ""),
                ok("p.double() + p.triple()", "92").differs(Gives::Value("20"), IMPL),
                ok("impl std::fmt::Display for P { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, \"<{}>\", self.x) } }", ""),
                ok("p.to_string()", "\"<4>\""),
                ok("impl std::fmt::Display for P { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, \"[{}]\", self.x) } }", "").differs(Gives::Fails(ErrorKind::Compile, &["conflicting implementations"]), IMPL),
                ok("format!(\"{p}\")", "\"[4]\"").differs(Gives::Value("\"<4>\""), IMPL),
            ]
            a_moved_variable_is_gone_and_it_is_said_why [
                ok("let v = vec![1];", "").typed("let v: Vec<i32> = vec![1];"),
                ok("let w = v;", "").typed("let w: Vec<i32> = v;"),
                ok("w", "[1]"),
                fails("v.len()", ErrorKind::Compile, &["cannot find value `v`", "it was moved", "help: clone it before"]),
                ok("let v = w.clone(); v == w", "true").typed("let v: Vec<i32> = w.clone(); v == w"),
            ]
            a_borrow_ends_with_its_cell [
                ok("let v = vec![1, 2];", "").typed("let v: Vec<i32> = vec![1, 2];"),
                ok("let first = &v[0]; *first", "1").differs(Gives::Fails(ErrorKind::Compile, &[]), BORROW),
                fails("*first", ErrorKind::Compile, &["`first` is not kept from an earlier cell: it borrows from `v`"]),
                ok("v.len()", "2"),
                ok("let name: &'static str = \"a\";", ""),
                ok("name", "\"a\""),
            ]
            closures [
                ok("let k = 10; let add = move |x: i32| x + k;", "").differs(Gives::Fails(ErrorKind::Crash, &["cannot be persisted"]), CLOSURE),
                ok("add(1)", "11").not_run(CLOSURE),
                ok("let mut n = 0; let mut count = move || { n += 1; n };", "").differs(Gives::Fails(ErrorKind::Crash, &["cannot be persisted"]), CLOSURE),
                ok("count(); count()", "2").not_run(CLOSURE),
                ok("let twice = |f: &dyn Fn(i32) -> i32, x: i32| f(f(x));", "").differs(Gives::Fails(ErrorKind::Crash, &["cannot be persisted"]), CLOSURE),
                ok("twice(&add, 1)", "21").not_run(CLOSURE),
                // One that borrows ends with its cell, as a reference does.
                ok("let x = vec![1, 2]; let y = 5_usize;", "").typed("let x: Vec<i32> = vec![1, 2]; let y: usize = 5;"),
                ok("let len = || x.len() + y; len()", "7").differs(Gives::Fails(ErrorKind::Compile, &["may outlive borrowed value `x`"]), CLOSURE),
                fails("len()", ErrorKind::Compile, &["`len` is not kept from an earlier cell: it is a closure that borrows `x` and `y`", "help: write `move |…|` (with clones, to keep what it moves), or use it in the same cell"]).not_run(CLOSURE),
                ok("x.len() + y", "7"),
            ]
            generics_and_traits [
                ok("trait Area { fn area(&self) -> f64; fn twice(&self) -> f64 { 2.0 * self.area() } }", ""),
                ok("struct Square(f64);", ""),
                ok("impl Area for Square { fn area(&self) -> f64 { self.0 * self.0 } }", ""),
                ok("fn total<T: Area>(all: &[T]) -> f64 { all.iter().map(Area::twice).sum() }", ""),
                ok("total(&[Square(1.0), Square(2.0)])", "10.0"),
                ok("let shapes: Vec<Box<dyn Area>> = vec![Box::new(Square(3.0))];", ""),
                ok("shapes[0].twice()", "18.0"),
                // A method of a trait for a type of the library.
                ok("trait Shout { fn shout(&self) -> String; }", ""),
                ok("impl Shout for str { fn shout(&self) -> String { self.to_uppercase() } }", ""),
                ok("\"a\".shout()", "\"A\""),
            ]
            macros_and_use [
                ok("macro_rules! square { ($x:expr) => { $x * $x }; }", ""),
                ok("square!(7)", "49"),
                ok("use std::collections::{BTreeMap, HashMap as Map};", ""),
                ok("let mut m = Map::new(); m.insert(1, 2);", "").typed("let mut m: Map<i32, i32> = Map::new(); m.insert(1, 2);"),
                ok("m[&1]", "2"),
                ok("BTreeMap::from([(1, 2)])", "{1: 2}"),
                ok("use std::fmt::Write as _;", ""),
                ok("let mut s = String::new(); write!(s, \"{}\", 1).unwrap(); s", "\"1\"").typed("let mut s: String = String::new(); write!(s, \"{}\", 1).unwrap(); s"),
                ok("mod inner { pub(crate) fn f() -> i32 { 5 } }", ""),
                ok("inner::f()", "5"),
            ]
            await_at_top_level [
                ok("async fn later(x: i32) -> i32 { x + 1 }", ""),
                ok("later(1).await", "2").not_run(AWAIT),
                ok("let y = later(5).await;", "").not_run(AWAIT),
                ok("y", "6").not_run(AWAIT),
            ]
            a_question_mark_at_top_level [
                ok("let n: i32 = \"5\".parse()?;", ""),
                ok("n", "5"),
                ok("\"6\".parse::<i32>()?", "6"),
                fails("let n: i32 = \"x\".parse()?;", ErrorKind::Returned, &["error: invalid digit found in string"]).differs(Gives::Notes("invalid digit found in string"), RETURNED),
                ok("n", "5").differs(Gives::Fails(ErrorKind::Compile, &["cannot find value `n`"]), RETURNED),
            ]
            statics_live_once [
                ok("use std::sync::atomic::{AtomicU32, Ordering};", ""),
                ok("static COUNT: AtomicU32 = AtomicU32::new(0);", ""),
                ok("COUNT.fetch_add(1, Ordering::SeqCst);", ""),
                ok("fn next() -> u32 { COUNT.fetch_add(1, Ordering::SeqCst) + 1 }", ""),
                ok("next()", "2").differs(Gives::Value("1"), STATIC),
                ok("COUNT.load(Ordering::SeqCst)", "2").differs(Gives::Value("0"), STATIC),
                // Defined anew, it starts anew.
                ok("static COUNT: AtomicU32 = AtomicU32::new(7);", ""),
                ok("next()", "8"),
            ]
            a_changed_type_drops_its_variables [
                ok("struct A { x: i32 }", ""),
                ok("let a = A { x: 1 }; let all = vec![A { x: 2 }]; let other = 3;", "").typed("let a: A = A { x: 1 }; let all: Vec<A> = vec![A { x: 2 }]; let other: i32 = 3;"),
                notes("struct A { x: i32, y: i32 }", "note: a, all dropped: the type was redefined").differs(Gives::Value(""), CHANGED),
                ok("other", "3"),
                fails("a.x", ErrorKind::Compile, &["its type `A` was redefined"]),
                ok("let a = A { x: 1, y: 2 }; a.x + a.y", "3").typed("let a: A = A { x: 1, y: 2 }; a.x + a.y"),
                // Also inside another type.
                ok("struct Holder { inner: Option<A> }", ""),
                ok("let h = Holder { inner: None };", "").typed("let h: Holder = Holder { inner: None };"),
                notes("struct A(u8);", "a, h dropped").differs(Gives::Value(""), CHANGED),
                fails("h.inner.is_some()", ErrorKind::Compile, &["its type `A` was redefined"]).not_run(CHANGED_INSIDE),
            ]
            the_same_type_run_again_keeps_its_variables [
                ok("struct A { x: i32 }", ""),
                ok("let a = A { x: 1 };", "").typed("let a: A = A { x: 1 };"),
                ok("struct A { x: i32 }", ""),
                ok("a.x", "1"),
            ]
            variables_stay_after_a_panic [
                ok("let mut v = vec![1];", "").typed("let mut v: Vec<i32> = vec![1];"),
                fails("let w = 5;\nv.push(2);\npanic!(\"no {w}\");", ErrorKind::Panic, &["panic: no 5", "cell:3:1"]),
                // What was done before the panic stays done; the cell's own variables are not there.
                ok("v", "[1, 2]"),
                fails("w", ErrorKind::Compile, &["cannot find value `w`"]),
            ]
            variables_stay_after_the_process_died [
                ok("let v = vec![7];", "").typed("let v: Vec<i32> = vec![7];"),
                fails("std::process::abort();", ErrorKind::Crash, &["the cell's process died: abort (signal 6); variables are as they were before the cell"]),
                ok("v", "[7]").differs(Gives::Fails(ErrorKind::Compile, &["cannot find value `v`"]), DIED),
                ok("1 + 1", "2"),
            ]
            a_cell_that_does_not_compile_changes_nothing [
                ok("fn f() -> i32 { 1 }", ""),
                ok("let x = 1;", ""),
                fails("fn f() -> i32 { \"\" }\nlet x = 2;", ErrorKind::Compile, &["mismatched types"]),
                ok("f() + x", "2"),
            ]
            a_crate_is_added_and_variables_stay [
                ok("let v = vec![7];", "").typed("let v: Vec<i32> = vec![7];"),
                ok(":dep shout = { path = \"CRATES/shout\" }\nshout::shout(\"a\")", "\"A\""),
                ok("shout::N.store(5, std::sync::atomic::Ordering::SeqCst);", ""),
                ok("shout::N.load(std::sync::atomic::Ordering::SeqCst)", "5").differs(Gives::Value("1"), STATIC),
                ok("use shout::shout as loud;", ""),
                ok(":dep two-words = { path = \"CRATES/two-words\" }", ""),
                ok("let p = two_words::Pair::of(loud(\"b\")); (p.0, &v)", "(\"B\", [7])").typed("let p: two_words::Pair<String> = two_words::Pair::of(loud(\"b\")); (p.0, &v)"),
                fails(":dep shout = { path = \"/nowhere\" }", ErrorKind::Compile, &["the crates were not built"]),
                // Still there after the process died.
                fails("std::process::abort();", ErrorKind::Crash, &[]),
                ok("shout::shout(\"c\")", "\"C\""),
            ]
        }
    };
}
pub(crate) use each_rule;
