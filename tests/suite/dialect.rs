//! A book that uses every construct of the dialect (`docs/dialect.md`) says the same in HTML, PDF and
//! notebook. The golden files are written anew with `D2L_BLESS=1`.

use builder::book::Book;
use builder::run::output::{Output, SectionOutputs};
use builder::weave::{
    self, OutFile, Theme,
    html::{Downloads, Memo},
};
use d2l::plot::{Animation, Figure};
use d2l_tests::{epubcheck, has_tool, jupyter, pictures, repository};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

pub(crate) fn site(theme: &Theme) -> Vec<OutFile> {
    let (book, outputs) = book();
    let downloads = Downloads {
        epub: Some("all.epub".into()),
        notebooks: Some("notebooks".into()),
        ..Downloads::default()
    };
    weave::html::weave(&book, &outputs, theme, &downloads, &mut Memo::default()).unwrap()
}

pub(crate) fn write(files: &[OutFile], folder: &Path) {
    for file in files {
        builder::files::write(&folder.join(&file.path), &file.bytes).unwrap();
    }
}

#[test]
fn every_construct_becomes_html() {
    let files = site(&Theme::default());
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

#[test]
fn every_construct_becomes_an_e_book() {
    let (book, outputs) = book();
    let epub = weave::epub::weave(&book, &outputs, &Theme::default()).unwrap();
    assert!(epub == weave::epub::weave(&book, &outputs, &Theme::default()).unwrap());
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&epub)).unwrap();
    assert_eq!(zip.by_index(0).unwrap().name(), "mimetype");
    let mut page = zip.by_name("book/one/all.xhtml").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut page, &mut text).unwrap();
    drop(page);
    golden("all.xhtml", &text);
    is_valid(&epub);
}

/// It has a place for the keyboard's focus and a style sheet inside its drawing.
#[test]
fn an_e_book_holds_a_plot_that_moves() {
    let (book, mut outputs) = book();
    let frame = |n: usize| {
        Figure::new().line([1.0, 2.0, 3.0][..n].to_vec(), [4.0, 2.0, 1.0][..n].to_vec())
    };
    let svg = Animation::new((1..=3).map(frame)).to_svg();
    assert!(svg.contains("tabindex=") && svg.contains("<style>"), "{svg}");
    let data = [("image/svg+xml".to_owned(), svg)].into();
    outputs[1].cells[1] = vec![Output::Result { data }];
    is_valid(&weave::epub::weave(&book, &outputs, &Theme::default()).unwrap());
}

/// Nothing to say about it: not an error, not a warning.
#[track_caller]
fn is_valid(epub: &[u8]) {
    let Some(mut epubcheck) = epubcheck() else { return };
    let file = tempfile::Builder::new().suffix(".epub").tempfile().unwrap();
    std::fs::write(file.path(), epub).unwrap();
    let checked = epubcheck.arg(file.path()).output().unwrap();
    let said =
        String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(said.contains("No errors or warnings detected"), "{said}");
}

/// A theme of other files: all that `theme/README.md` promises to templates is there.
#[test]
fn a_second_theme_shows_the_same_book() {
    let theme = Theme::load(&repository().join("tests/cases/second")).unwrap();
    let files = site(&theme);
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == Path::new(path)).expect(path);
        String::from_utf8(file.bytes.clone()).unwrap()
    };
    let readme = std::fs::read_to_string(repository().join("theme/README.md")).unwrap();
    let templates: String = ["base", "page", "index"]
        .iter()
        .map(|name| {
            let path = format!("tests/cases/second/theme/html/{name}.html");
            std::fs::read_to_string(repository().join(path)).unwrap()
        })
        .collect();
    let mut promised = 0;
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let mut object = "";
        for name in line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            // `book.title`, `.subtitle`
            let full = match name.strip_prefix('.') {
                Some(field) => format!("{object}.{field}"),
                None => name.to_owned(),
            };
            object = name.split('.').next().filter(|o| !o.is_empty()).unwrap_or(object);
            assert!(templates.contains(&full), "{full} is in no template");
            promised += 1;
        }
    }
    assert!(promised > 20, "{promised}");
    golden("second.html", &text("one/index.html"));
    assert!(text("static/base.css").contains("second theme"));
    assert_ne!(
        text("static/code.css"),
        "",
        "what it does not replace is the first one's"
    );
    assert!(text("one/all.html").contains("<main class=\"second\">"));
}

#[test]
fn the_site_looks_as_it_did() {
    let Some(python) = jupyter() else { return };
    if !has_tool("chromium") || !has_tool("chromedriver") {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    write(&site(&Theme::default()), &made.path().join("site"));
    let views = [
        "page-light one/all.html 1200 light",
        "page-dark one/all.html 1200 dark",
        "page-phone one/all.html 390 light",
        "cover-light index.html 1200 light",
    ];
    let mut browser = Command::new(python)
        .arg(repository().join("tests/site/pictures.py"))
        .args([made.path().join("site"), made.path().to_owned()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    browser.stdin.take().unwrap().write_all(views.join("\n").as_bytes()).unwrap();
    assert!(browser.wait().unwrap().success());
    let names = views.iter().map(|view| view.split(' ').next().unwrap());
    compare(names.map(|name| (name.to_owned(), made.path().join(format!("{name}.png")))));
}

#[test]
fn print_looks_as_it_did() {
    if !has_tool("pdftoppm") {
        return;
    }
    let (book, outputs) = book();
    let made = tempfile::tempdir().unwrap();
    let pdf = made.path().join("book.pdf");
    std::fs::write(&pdf, weave::pdf::weave(&book, &outputs, &Theme::default()).unwrap())
        .unwrap();
    let drawn = Command::new("pdftoppm")
        .args(["-r", "72", "-png"])
        .args([&pdf, &made.path().join("print")])
        .status();
    assert!(drawn.unwrap().success());
    let mut pages: Vec<PathBuf> = std::fs::read_dir(made.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "png"))
        .collect();
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    compare(
        pages
            .into_iter()
            .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path)),
    );
}

/// Each picture against the golden one of its name.
#[track_caller]
fn compare(found: impl Iterator<Item = (String, PathBuf)>) {
    let mut different = Vec::new();
    for (name, path) in found {
        let golden = folder().join("pictures").join(format!("{name}.png"));
        if std::env::var_os("D2L_BLESS").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            pictures::reduced(&path).save(&golden).unwrap();
        }
        if let Some(difference) = pictures::difference(&golden, &path) {
            let kept = repository().join("target/pictures").join(format!("{name}.png"));
            std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
            std::fs::copy(&path, &kept).unwrap();
            different
                .push(format!("{name}: {difference}; the new one is {}", kept.display()));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}
