//! The rules of `CELLS.md`, a test each; what they say is in `tests/rules`.

mod rules;
mod session;

use kernel::engine::ErrorKind;
use rules::*;
use session::Session;

/// Runs the cells of a rule in turn; each must give what the rule says.
#[track_caller]
fn follow(cells: &[Cell]) {
    let mut s = Session::new();
    for cell in cells {
        let seen = s.see(&cell.code());
        if let Some(wrong) = cell.gives.mismatch(&seen) {
            panic!("{}\n{wrong}", cell.code);
        }
    }
}

macro_rules! tests {
    ($($name:ident [$($cell:expr),* $(,)?])*) => {
        $(#[test] fn $name() { follow(&[$($cell),*]); })*
    };
}
each_rule!(tests);

#[test]
fn the_oracle_was_asked_about_these_rules() {
    let seen = std::fs::read_to_string(oracle_record()).unwrap_or_default();
    assert_eq!(
        seen,
        asked_of_the_oracle(),
        "run `cargo test --workspace --features d2l-kernel/evcxr --test oracle`"
    );
}

#[test]
fn a_value_without_debug_is_shown_as_its_type() {
    let opaque = Session::new().ok("struct Opaque; Opaque");
    assert!(opaque.starts_with('<') && opaque.ends_with("Opaque>"), "{opaque}");
}
