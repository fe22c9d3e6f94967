//! A build runs what an edit can have changed, says so, and gives what a build from nothing gives.

use d2l_tests::{TempBook, files_below};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SAVES: &str = "# Saves\n\nProse.\n\n```rust\n//#@save sums\npub fn double(x: i64) -> i64 {\n    \
2 * x\n}\n```\n\n```rust\n//#@save sums\npub fn triple(x: i64) -> i64 {\n    3 * x\n}\n```\n";

fn book() -> TempBook {
    let book = TempBook::with_own_crate(SAVES);
    let toml = book.read("book/book.toml");
    let toml =
        toml.replace("[\"first\"]", "[\"first\", \"doubles\", \"triples\", \"neither\"]");
    let toml =
        toml.replace("path = \"../lib\"", "path = \"../lib\"\nprelude = \"use lib::*;\"");
    book.write("book/book.toml", &toml);
    book.write(
        "lib/Cargo.toml",
        "[package]\nname = \"lib\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n",
    );
    book.write(
        "lib/src/lib.rs",
        "extern crate self as lib;\nmod book;\npub use book::topics::*;\n",
    );
    let section = |title: &str, code: &str| {
        format!("# {title}\n\nProse.\n\n```rust\n{code}\n```\n")
    };
    book.write("book/one/doubles.md", &section("D", "lib::sums::double(4)"));
    book.write("book/one/triples.md", &section("T", "use lib::sums::triple;\ntriple(4)"));
    book.write("book/one/neither.md", &section("N", "println!(\"{}\", 1 + 1)"));
    book
}

/// The files of the site and the notebooks.
fn built(book: &TempBook) -> BTreeMap<String, Vec<u8>> {
    let build = book.path("_build");
    let paths = ["html", "notebooks"].map(|folder| files_below(&build.join(folder)));
    let file = |path: &PathBuf| {
        let name = path.strip_prefix(&build).unwrap().display().to_string();
        (name, std::fs::read(path).unwrap())
    };
    let files: BTreeMap<_, _> = paths.iter().flatten().map(file).collect();
    assert!(files.contains_key(Path::new("html/one/doubles.html").to_str().unwrap()));
    files
}

#[test]
fn an_edit_runs_what_depends_on_it() {
    let book = book();
    book.d2l(&["tangle"]).expect(0, &[]);
    let build = || book.d2l(&["build", "--no-pdf"]);
    build().expect(0, &["running 4 sections", "it has not run yet"]);

    book.write(
        "book/one/doubles.md",
        &book.read("book/one/doubles.md").replace("Prose", "Better"),
    );
    let text = &build().expect(0, &[]).text.clone();
    assert!(!text.contains("running"), "{text}");
    assert!(book.read("_build/html/one/doubles.html").contains("Better"));

    book.write("book/one/first.md", &SAVES.replace("2 * x", "x + x + 1"));
    book.d2l(&["tangle"]).expect(0, &[]);
    let ran = build();
    ran.expect(0, &["running 2 sections, 2 unchanged", "one/doubles: `double` changed"]);
    ran.expect(0, &["one/first: `double`, its cells changed"]);
    assert!(
        book.read("_build/html/one/doubles.html")
            .contains("<pre class=\"value\">9</pre>")
    );

    let incremental = built(&book);
    std::fs::remove_dir_all(book.path("_build")).unwrap();
    build().expect(0, &["running 4 sections"]);
    let clean = built(&book);
    for (name, bytes) in &clean {
        assert!(incremental.get(name) == Some(bytes), "{name} differs");
    }
    assert_eq!(incremental.len(), clean.len());
}
