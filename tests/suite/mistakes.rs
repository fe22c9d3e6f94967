//! Every mistake an author makes points into the chapter, exits with 1 and leaves the old output.

use d2l_tests::TempBook;

const GOOD: &str = "# First\n\nText.\n\n```rust\n1 + 1\n```\n";

/// Builds a good book, breaks its section, and gives what the second build said.
#[track_caller]
fn breaks(section: &str, place: &str, parts: &[&str]) {
    let book = TempBook::new(GOOD);
    book.d2l(&["build"]).expect(0, &[]);
    let page = book.read("_build/html/one/first.html");
    let pdf = std::fs::read(book.path("_build/test.pdf")).unwrap();
    book.write("book/one/first.md", section);
    let ran = book.d2l(&["build"]);
    ran.expect(1, &[&format!("book/one/first.md:{place}")]).expect(1, parts);
    assert_eq!(
        book.read("_build/html/one/first.html"),
        page,
        "the old page is left in place"
    );
    assert_eq!(std::fs::read(book.path("_build/test.pdf")).unwrap(), pdf);
    let inside = std::fs::read_dir(book.path("_build")).unwrap();
    let hidden = inside.filter(|e| {
        e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new-")
    });
    assert_eq!(hidden.count(), 0, "nothing half written is left");
}

#[test]
fn a_type_error() {
    let section = "# First\n\n```rust\nlet a = 1;\nlet b: u32 = \"text\";\n```\n";
    breaks(section, "5:14", &["E0308", "let b: u32 = \"text\";"]);
}

#[test]
fn a_panic() {
    let section = "# First\n\n```rust\nlet x = 1;\npanic!(\"so {x}\");\n```\n";
    breaks(section, "5:1", &["so 1", "panic!(\"so {x}\");"]);
}

#[test]
fn a_wrong_shape() {
    let section = "# First\n\n```rust\nlet a = Tensor::zeros([2, 3]);\nlet b = a.matmul(&a);\n```\n";
    breaks(section, "5:11", &["matmul", "[2, 3]", "let b = a.matmul(&a);"]);
}

#[test]
fn an_unknown_label() {
    breaks(
        "# First\n\nSee :numref:`fig_nowhere`.\n",
        "3:5",
        &["fig_nowhere", "See :numref:"],
    );
}

#[test]
fn a_broken_formula() {
    breaks("# First\n\nThe rate $\\frac{1}{2$ is wrong.\n", "3:", &["The rate"]);
    breaks("# First\n\nThe rate $\\nosuchcommand$ is wrong.\n", "3:", &["nosuchcommand"]);
}

#[test]
fn an_unknown_fence_attribute() {
    breaks("# First\n\n```rust, hidden\n1\n```\n", "3:", &["hidden", "```rust, hidden"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let book =
        TempBook::new("# First\n\n:numref:`a`\n\n:numref:`b`\n\n```rust, nope\n1\n```\n");
    let place = |line| format!("book/one/first.md:{line}:");
    book.d2l(&["check"]).expect(1, &[&place(3), &place(5), &place(7)]);
}

#[test]
fn a_cell_that_must_fail_and_does_not() {
    let section = "# First\n\n```rust, fails=\"E0308\"\n1 + 1\n```\n";
    breaks(section, "4:1", &["must fail", "E0308"]);
}

#[test]
fn an_expected_failure_is_part_of_the_book() {
    let book = TempBook::new(
        "# First\n\n```rust, fails=\"E0308\"\nlet b: u32 = \"text\";\n```\n",
    );
    book.d2l(&["build", "--no-pdf"]).expect(0, &[]);
    assert!(book.read("_build/html/one/first.html").contains("mismatched types"));
}

#[test]
fn types_are_checked_without_running_anything() {
    let book = TempBook::with_own_crate(
        "# First\n\n```rust\nlet a = vec![1];\na.len()\n```\n\nText.\n\n```rust, fails=\"E0308\"\n\
         let b: u32 = \"\";\n```\n\n```rust\nstd::fs::write(\"ran\", \"\")?;\nlet c: u32 = a.len();\n\
         println!(\"{}\", d);\n```\n",
    );
    book.write("lib/Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n");
    book.write("lib/src/lib.rs", "pub mod prelude {}\n");
    let checked = book.d2l(&["check"]);
    checked.expect(
        1,
        &["first.md:16:14", "[E0308] mismatched types", "expected `u32`, found `usize`"],
    );
    let json = book.d2l(&["check", "--json"]);
    json.expect(
        1,
        &["\"line\":17,", "\"column\":16,", "[E0425]", "\"severity\":\"error\""],
    );
    assert!(!book.path("book/ran").exists(), "a cell was run");
    let section = book.read("book/one/first.md");
    let fixed = section.replace("u32 = a", "usize = a").replace(", d)", ", c)");
    book.write("book/one/first.md", &fixed);
    book.d2l(&["check"]).expect(0, &[]);
}
