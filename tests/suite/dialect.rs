//! A book that uses every construct of the dialect (`docs/dialect.md`) says the same in HTML, PDF and
//! notebook. The golden files are written anew with `D2L_BLESS=1`.

use builder::book::Book;
use builder::run::output::SectionOutputs;
use builder::weave::{
    self, Theme,
    html::{Downloads, Memo},
};
use d2l_tests::{has_tool, repository};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    repository().join("tests/cases/dialect")
}

fn book() -> (Book, Vec<SectionOutputs>) {
    let (book, found) = Book::load(&folder().join("book/book.toml"));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, [""; 0]);
    let text = std::fs::read_to_string(folder().join("outputs.json")).unwrap();
    let cells = serde_json::from_str(&text).unwrap();
    let mut outputs = vec![SectionOutputs::default(); book.sections.len()];
    outputs[1] = SectionOutputs { cells };
    assert_eq!(book.sections[1].document.cells().count(), outputs[1].cells.len());
    (book, outputs)
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = folder().join("expected").join(name);
    if std::env::var_os("D2L_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(text.lines()).position(|(a, b)| a != b);
    if expected != text {
        let line = differs.unwrap_or(expected.lines().count().min(text.lines().count()));
        let at = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
        panic!("{name}:{}\nexpected {}\n     got {}", line + 1, at(&expected), at(text));
    }
}

#[test]
fn every_construct_becomes_html() {
    let (book, outputs) = book();
    let files = weave::html::weave(
        &book,
        &outputs,
        &Theme::default(),
        &Downloads::default(),
        &mut Memo::default(),
    );
    let files = files.unwrap();
    for (page, name) in [
        ("one/index.html", "index.html"),
        ("one/all.html", "all.html"),
        ("one/words.html", "words.html"),
        ("book-index.html", "book-index.html"),
    ] {
        let file = files.iter().find(|file| file.path == Path::new(page)).expect(page);
        let html = String::from_utf8(file.bytes.clone()).unwrap();
        let start = html.find("<article>").expect("an article");
        let end = html.find("</article>").expect("its end");
        golden(name, &format!("{}\n", &html[start..end]));
    }
}

#[test]
fn every_construct_becomes_a_notebook() {
    let (book, outputs) = book();
    let notebook = weave::notebook::weave(&book, &outputs, 1);
    golden("all.ipynb", &String::from_utf8(notebook).unwrap());
}

#[test]
fn every_construct_becomes_print() {
    if !has_tool("pdftotext") {
        return;
    }
    let (book, outputs) = book();
    let pdf = weave::pdf::weave(&book, &outputs, &Theme::default()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pdf).unwrap();
    let text = Command::new("pdftotext").arg("-raw").arg(file.path()).arg("-").output();
    let text = String::from_utf8(text.unwrap().stdout).unwrap();
    golden("all.txt", &text.replace('\u{c}', "\n=== page ===\n"));
}
