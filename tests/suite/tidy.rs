//! Rules of this repository that no compiler checks.

use d2l_tests::files_below;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = files_below(&root().join(folder));
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    assert!(!found.is_empty(), "no .{extension} files in {folder}");
    found
}

#[test]
fn the_core_never_names_the_tangled_modules() {
    for path in files("d2l-lib/src", "rs") {
        let name = path.strip_prefix(root().join("d2l-lib/src")).unwrap();
        if name.starts_with("book")
            || name == Path::new("lib.rs")
            || name == Path::new("prelude.rs")
        {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            assert!(
                !code.contains("crate::book"),
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
    }
}

#[test]
fn kernel_and_library_do_not_know_each_other() {
    let manifest = |folder: &str| {
        std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap()
    };
    let depends =
        |manifest: &str, on: &str| manifest.lines().any(|l| l.trim().starts_with(on));
    assert!(!depends(&manifest("d2l-lib"), "d2l-"));
    for folder in ["kernel", "builder"] {
        let text = manifest(folder);
        assert!(
            !depends(&text, "d2l =") && !depends(&text, "d2l."),
            "{folder} depends on d2l"
        );
    }
    for folder in ["kernel", "builder", "d2l-lib"] {
        assert!(!manifest(folder).contains("d2l-tests"), "{folder} depends on tests");
    }
}

#[test]
fn generated_files_say_so() {
    for path in files("d2l-lib/src/book", "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("// @generated"), "{}", path.display());
    }
}

#[test]
fn nothing_is_left_to_do_in_a_comment() {
    for folder in ["builder/src", "kernel/src", "d2l-lib/src"] {
        for path in files(folder, "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for mark in ["TODO", "XXX", "todo!(", "unimplemented!("] {
                assert!(!text.contains(mark), "{}: {mark}", path.display());
            }
        }
    }
}
