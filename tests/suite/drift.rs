//! The committed crate is what the chapters say.

use d2l_tests::{binary, repository};
use std::process::Command;

#[test]
fn the_tangled_modules_are_up_to_date() {
    let check = Command::new(binary())
        .args(["tangle", "--check"])
        .current_dir(repository())
        .output();
    let check = check.unwrap();
    let text = [check.stdout, check.stderr].concat();
    assert!(
        check.status.success(),
        "run `cargo run -- tangle` and commit\n{}",
        String::from_utf8_lossy(&text)
    );
}
