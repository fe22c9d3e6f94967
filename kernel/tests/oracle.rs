//! The rules of cells on evcxr: every cell of `tests/rules` gives there what it gives here, except
//! where the rule says that evcxr differs; then it must differ in just that way, and the table in
//! `CELLS.md` must say so.
//!
//! To build evcxr takes as long as a third of all the rest, so this runs when the rules change, or
//! evcxr does, and `oracle.txt` beside the rules keeps what it was asked:
//!
//! ```sh
//! cargo test --workspace --features d2l-kernel/evcxr --test oracle
//! ```
//!
//! A program of its own, for evcxr starts it again as the process that runs cells.

mod rules;
mod session;

use kernel::engine::{Backend, CellError, ErrorKind};
use rules::*;
use session::{Seen, Session};
use std::process::ExitCode;
use std::time::Instant;

macro_rules! table {
    ($($name:ident [$($cell:expr),* $(,)?])*) => {
        const RULES: &[(&str, &[Cell])] = &[$((stringify!($name), &[$($cell),*])),*];
    };
}
each_rule!(table);

fn main() -> ExitCode {
    kernel::runtime_hook();
    // As cargo's other tests: names to run only those.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let asked = |name: &str| {
        wanted.is_empty() || wanted.iter().any(|w| format!("oracle::{name}").contains(w))
    };
    let rules: Vec<_> = RULES.iter().filter(|(name, _)| asked(name)).collect();
    let mut failed = 0;
    if rules.is_empty() || std::env::args().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let mut session = Session::with(None, Backend::Evcxr);
    println!("\nrunning {} rules on evcxr", rules.len());
    for (name, cells) in rules {
        let started = Instant::now();
        session.ok(":clear");
        let wrong: Vec<String> =
            cells.iter().filter_map(|c| compare(&mut session, c)).collect();
        let verdict = if wrong.is_empty() { "ok" } else { "FAILED" };
        println!("test {name} ... {verdict} ({:.1?})", started.elapsed());
        wrong.iter().for_each(|wrong| println!("{wrong}\n"));
        failed += usize::from(!wrong.is_empty());
    }
    println!("\ntest result: {failed} failed\n");
    if failed == 0 && wanted.is_empty() {
        std::fs::write(oracle_record(), asked_of_the_oracle()).expect("the record");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a cell on evcxr; what is wrong, if anything is.
fn compare(session: &mut Session, cell: &Cell) -> Option<String> {
    let said = |row: &str| {
        let page = include_str!("../CELLS.md");
        let listed = page.lines().any(|line| line.starts_with(&format!("| {row} |")));
        (!listed).then(|| format!("`CELLS.md` has no row `{row}`"))
    };
    let wrong = match &cell.evcxr {
        Evcxr::NotRun(row) => said(row),
        Evcxr::Same => cell.gives.mismatch(&session.see(&cell.code())),
        Evcxr::SameKind => same_kind(&cell.gives, &session.see(&cell.code())),
        Evcxr::Typed(typed) => {
            let mut seen = session.see(&cell.code());
            // Where `rust-src` is not installed it finds few types, and says so in two ways.
            let is_untyped = |error: &CellError| {
                error.kind == ErrorKind::Compile
                    || error.message.contains("explicit type")
            };
            if seen.value.as_ref().is_err_and(is_untyped) {
                seen = session.see(&filled_in(typed));
            }
            cell.gives.mismatch(&seen)
        }
        Evcxr::Differs(gives, row) => {
            let seen = session.see(&cell.code());
            match cell.gives.mismatch(&seen) {
                None => Some(format!("no longer differs as `{row}` says")),
                Some(_) => gives.mismatch(&seen).or_else(|| said(row)),
            }
        }
    };
    wrong.map(|wrong| format!("{}\n{wrong}", cell.code))
}

/// The words of a failure are each back end's own; its kind is not.
fn same_kind(gives: &Gives, seen: &Seen) -> Option<String> {
    let Gives::Fails(kind, _) = gives else { return gives.mismatch(seen) };
    Gives::Fails(*kind, &[]).mismatch(seen)
}
