//! One source becomes a page, a PDF, a notebook, a crate and tests, and they agree.

use d2l_tests::{TempBook, has_tool};
use std::process::Command;

const SECTION: &str = "# First Steps\n\nA sum with $a_1 * b_2 * c$.\n\n\
```rust\nlet x = Tensor::arange(0.0..4.0);\nlet total = x.sum().item();\ntotal\n```\n\n\
Printed:\n\n```rust\nprintln!(\"six is {total}\");\n```\n\n\
```rust\n/// Adds two numbers.\npub fn add(a: i64, b: i64) -> i64 {\n    a + b\n}\n```\n\n\
```rust\nadd(40, 2)\n```\n";

/// The same with a cell that becomes part of the crate.
fn saving() -> String {
    SECTION.replace("/// Adds", "//#@save sums\n/// Adds")
}

#[test]
fn outputs_agree_in_page_pdf_and_notebook() {
    let book = TempBook::new(SECTION);
    book.d2l(&["build"]).expect(0, &[]);

    let page = book.read("_build/html/one/first.html");
    assert!(page.contains("six is 6") && page.contains("42"), "{page}");

    let notebook: serde_json::Value =
        serde_json::from_str(&book.read("_build/notebooks/one/first.ipynb")).unwrap();
    assert_eq!(
        (notebook["nbformat"].as_i64(), notebook["nbformat_minor"].as_i64()),
        (Some(4), Some(5))
    );
    let cells = notebook["cells"].as_array().unwrap();
    let code: Vec<_> = cells.iter().filter(|c| c["cell_type"] == "code").collect();
    assert_eq!(code.len(), 4);
    let text = |cell: &serde_json::Value, key: &str| cell["outputs"][0][key].clone();
    let joined = |v: serde_json::Value| match v {
        serde_json::Value::Array(lines) => {
            lines.iter().map(|l| l.as_str().unwrap()).collect::<String>()
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    assert_eq!(joined(text(code[0], "data")["text/plain"].clone()), "6.0");
    assert_eq!(joined(text(code[1], "text")), "six is 6\n");
    assert_eq!(joined(text(code[3], "data")["text/plain"].clone()), "42");

    let zip = std::fs::File::open(book.path("_build/notebooks/notebooks.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    let mut inside = String::new();
    std::io::Read::read_to_string(
        &mut zip.by_name("one/first.ipynb").unwrap(),
        &mut inside,
    )
    .unwrap();
    assert_eq!(inside, book.read("_build/notebooks/one/first.ipynb"));

    if has_tool("pdftotext") {
        let pdf =
            Command::new("pdftotext").arg(book.path("_build/test.pdf")).arg("-").output();
        let pdf = String::from_utf8(pdf.unwrap().stdout).unwrap();
        assert!(pdf.contains("First Steps") && pdf.contains("six is 6"), "{pdf}");
    }
}

#[test]
fn an_unchanged_book_runs_nothing_and_builds_the_same_bytes() {
    let book = TempBook::new(SECTION);
    book.d2l(&["build"]).expect(0, &["running 1 section"]);
    let page = book.read("_build/html/one/first.html");
    let pdf = std::fs::read(book.path("_build/test.pdf")).unwrap();
    let again = book.d2l(&["build"]);
    assert!(!again.expect(0, &[]).text.contains("running"), "{}", again.text);
    assert_eq!(book.read("_build/html/one/first.html"), page);
    assert_eq!(std::fs::read(book.path("_build/test.pdf")).unwrap(), pdf);

    book.write("book/one/first.md", &SECTION.replace("Printed:", "Now printed:"));
    let prose = book.d2l(&["build", "--no-pdf"]);
    assert!(
        !prose.expect(0, &[]).text.contains("running"),
        "prose runs nothing: {}",
        prose.text
    );
    assert!(book.read("_build/html/one/first.html").contains("Now printed:"));
}

#[test]
fn each_cell_is_a_test() {
    let book = TempBook::new(SECTION);
    book.d2l(&["test"]).expect(0, &["book/one/first.md:5", "4 passed, 0 failed"]);
    book.write(
        "book/one/first.md",
        &SECTION.replace("add(40, 2)", "assert_eq!(add(40, 2), 43)"),
    );
    book.d2l(&["test"]).expect(1, &["3 passed, 1 failed", "book/one/first.md:25:1"]);
}

#[test]
fn tangle_follows_every_edit_of_a_saved_cell() {
    let book = TempBook::with_own_crate(&saving());
    book.d2l(&["tangle", "--check"]).expect(1, &["one/first.rs"]);
    book.d2l(&["tangle"]).expect(0, &[]);
    book.d2l(&["tangle", "--check"]).expect(0, &[]);
    let saved = book.read("lib/src/book/one/first.rs");
    assert!(
        saved.starts_with("// @generated") && saved.contains("    a + b\n"),
        "{saved}"
    );
    assert!(book.read("lib/src/book/topics.rs").contains("sums"));

    book.write("book/one/first.md", &saving().replace("a + b", "b + a"));
    book.d2l(&["tangle", "--check"]).expect(1, &["one/first.rs"]);
    book.d2l(&["tangle"]).expect(0, &[]);
    book.d2l(&["tangle", "--check"]).expect(0, &[]);

    let before = book.read("lib/src/book/one/first.rs");
    book.write("book/one/first.md", &saving().replace("a + b", "a + +"));
    book.d2l(&["tangle"]).expect(1, &["book/one/first.md:21:9"]);
    assert_eq!(book.read("lib/src/book/one/first.rs"), before);

    book.write("book/one/first.md", "# First\n\nNothing saved.\n");
    book.d2l(&["tangle"]).expect(0, &[]);
    assert!(!book.path("lib/src/book/one/first.rs").exists(), "orphans are deleted");
}

#[test]
fn a_new_book_builds() {
    let home = tempfile::tempdir().unwrap();
    let run = |folder: &std::path::Path, arguments: &[&str]| {
        let ran = Command::new(d2l_tests::binary())
            .args(arguments)
            .current_dir(folder)
            .output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    run(home.path(), &["new", "mine"]);
    run(&home.path().join("mine"), &["build"]);
    assert!(home.path().join("mine/_build/html/index.html").is_file());
}
