//! `d2l test` compares what cells give with what their author has blessed.

use d2l_tests::{TempBook, binary, files_below, own_book, repository};
use std::process::Command;

const SECTION: &str = "# First\n\n```rust\nlet loss = 0.25;\nprintln!(\"loss {loss}\");\n```\n\n\
```rust, approx=0.5\nprintln!(\"took {} s\", 0.25);\n```\n\n```rust, label=last\n\"end\"\n```\n";

#[test]
fn what_varies_is_neither_recorded_nor_compared() {
    let section = "# First\n\n```rust, label=at, volatile\nstd::time::SystemTime::now()\n```\n\n```rust\n1\n```\n";
    let book = TempBook::new(section);
    book.d2l(&["test", "--bless"]).expect(0, &["recorded one/first"]);
    assert!(!book.read("book/recorded/one/first.json").contains("\"at\""));
    book.d2l(&["test"]).expect(0, &["2 passed"]);
}

#[test]
fn drift_is_pointed_at_and_blessed() {
    let section = SECTION.replace("```rust\nlet", "```rust, label=train\nlet");
    let section = section.replace("approx=0.5", "approx=0.5, label=clock");
    let book = TempBook::new(&section);
    book.d2l(&["test", "--bless"]).expect(0, &["recorded one/first"]);
    let worse =
        section.replace("loss = 0.25", "loss = 0.75").replace("s\", 0.25", "s\", 0.4");
    book.write("book/one/first.md", &worse);
    let ran = book.d2l(&["test", "--junit", "report.xml"]);
    ran.expect(
        1,
        &["first.md:4:1", "recorded `loss 0.25`, got `loss 0.75`", "2 passed, 1 failed"],
    );
    let report = book.read("report.xml");
    for part in [
        "<testsuite name=\"one/first\" tests=\"3\" failures=\"1\" skipped=\"0\"",
        "<testcase classname=\"one/first\" name=\"train\" file=\"book/one/first.md\" line=\"3\"",
        "recorded `loss 0.25`, got `loss 0.75`",
    ] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    // What the cache gives is compared too, and a filter leaves out what is not asked for.
    book.d2l(&["test", "--changed"]).expect(1, &["first.md:4:1", "1 sections unchanged"]);
    book.d2l(&["test", "--changed", "--filter", "first::clock"]).expect(0, &[]);
    book.d2l(&["test", "--filter", "first::clock"]).expect(0, &["1 passed, 0 failed"]);
    book.d2l(&["test", "--bless"]).expect(0, &["recorded one/first"]);
    book.d2l(&["test"]).expect(0, &["3 passed"]);
}

#[test]
fn a_section_stops_at_a_failure_or_goes_on() {
    let book = TempBook::new(
        "# First\n\n```rust, label=bad\npanic!(\"no\");\n```\n\n```rust, label=slow, timeout=1\nloop {}\n\
         ```\n\n```rust, label=good\n1\n```\n",
    );
    book.d2l(&["test"]).expect(1, &["0 passed, 1 failed, 2 skipped"]);
    let ran = book.d2l(&["test", "--keep-going"]);
    ran.expect(
        1,
        &["1 passed, 2 failed, 0 skipped", "first.md:8:1", "ran longer than 1 s"],
    );
}

/// The outputs of this repository's own book are those that its authors looked at.
#[test]
fn the_book_gives_what_is_recorded() {
    own_book();
    let ran = Command::new(binary())
        .args(["test", "--changed"])
        .current_dir(repository())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && text.contains("sections unchanged"), "{text}");
    let recorded = files_below(&repository().join("book/recorded"));
    assert!(recorded.len() > 40, "{} sections are recorded", recorded.len());
}
