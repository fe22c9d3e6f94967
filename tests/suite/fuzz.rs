//! Chapters that nobody would write: no text makes the builder panic, hang or lose its place.
//!
//! Mutations of the book's own chapters and of the dialect's fixture, from a fixed seed.
//! `D2L_FUZZ_SECONDS=1200 cargo test --workspace --test suite fuzz` goes on for longer, from the clock.

use builder::book::Book;
use builder::document::{self, Document};
use builder::run::output::{Output, SectionOutputs};
use builder::weave::{self, Theme, html};
use d2l_tests::{files_below, repository};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How many texts are tried when nobody asks for more.
const TEXTS: usize = 150;

/// A chapter of the book takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(5);

const CONFIG: &str = "title = \"F\"\n[[chapter]]\npath = \"ch\"\nsections = [\"one\"]\n";

/// What the grammar cares about; mutations put it where it does not belong.
const TOKENS: &[&str] = &[
    "```",
    "```rust\n",
    "```{.rust .cell label=fig_a, caption=\"$x$\"}\n",
    "~~~",
    ":label:`a`",
    ":numref:`a`",
    ":eqlabel:`e`",
    ":eqref:`e`",
    ":cite:`k`",
    ":citet:`k,k`",
    "$",
    "$$",
    "\n$$\n",
    "\\begin{aligned}",
    "\\end{aligned}",
    "\\frac{",
    "{",
    "}",
    "\\",
    "|",
    "|--|:-:|",
    ": caption",
    "# ",
    "## ",
    "\n\n",
    "\n",
    "    ",
    "> ",
    "> [!NOTE]\n> ",
    "* ",
    "1. ",
    "[^n]",
    "[^n]: x",
    "![a](b.png \"c\")",
    "[a](../x.md#y)",
    "<div>",
    "</div>",
    "<script>alert(1)</script>",
    "<!--",
    "-->",
    "&lt;",
    "&#0;",
    ":begin_tab:`pytorch`",
    ":end_tab:",
    ":begin_solution:",
    ":end_solution:",
    "```toc\n:maxdepth: 2\none\n```",
    "```glossary\na: b\n```",
    "#@tab all\n",
    "//#@save t\n",
    "%%tab pytorch\n",
    ":width:`400px`",
    ":index:`w!v`",
    "**",
    "*",
    "_",
    "`",
    "``",
    "\"",
    "'",
    "{-}",
    "\u{feff}",
    "\u{0}",
    "\u{202e}",
    "é",
    "🦀",
    "\r\n",
    "\t",
    "---",
    "===",
    "~~",
    "@",
    "<",
    ">",
    "((((",
    "[[[[[[",
    "\\left(",
    "\\right)",
    "^^",
    "__",
    "%",
    "#",
];

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// A place between two characters of `text`.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn range(&mut self, text: &str, longest: usize) -> std::ops::Range<usize> {
        let start = self.place(text);
        let mut end = (start + self.below(longest)).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

fn mutated(seeds: &[String], dice: &mut Dice) -> String {
    let seed = &seeds[dice.below(seeds.len())];
    // A window keeps each try short and the mutations dense.
    let mut text = seed[dice.range(seed, 3000)].to_owned();
    for _ in 0..=dice.below(12) {
        match dice.below(6) {
            0 => {
                let range = dice.range(&text, 40);
                text.replace_range(range, "");
            }
            1 | 2 => {
                let at = dice.place(&text);
                text.insert_str(at, TOKENS[dice.below(TOKENS.len())]);
            }
            3 => {
                let other = &seeds[dice.below(seeds.len())];
                let piece = other[dice.range(other, 200)].to_owned();
                let at = dice.place(&text);
                text.insert_str(at, &piece);
            }
            4 => {
                let piece = text[dice.range(&text, 60)].to_owned();
                let at = dice.place(&text);
                text.insert_str(at, &piece.repeat(1 + dice.below(8)));
            }
            _ => {
                // Deep nesting and long lines.
                let token = TOKENS[dice.below(TOKENS.len())];
                let at = dice.place(&text);
                text.insert_str(at, &token.repeat(1 + dice.below(300)));
            }
        }
    }
    text
}

fn seeds() -> Vec<String> {
    let folders = ["book", "tests/cases/dialect/book"];
    let files = folders.map(|folder| files_below(&repository().join(folder)));
    let chapters =
        files.iter().flatten().filter(|p| p.extension().is_some_and(|e| e == "md"));
    chapters.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Texts that this found once: `&` where no cell of a table ends, a label read in code.
#[test]
fn what_was_found_once_is_harmless() {
    let found = files_below(&repository().join("tests/cases/fuzz"));
    assert!(!found.is_empty());
    for path in found {
        println!("{}", path.display());
        check(&String::from_utf8_lossy(&std::fs::read(path).unwrap()), true);
    }
}

/// What holds for every text. `with_pdf` also typesets it.
fn check(text: &str, with_pdf: bool) {
    let (document, found) = document::parse("book/ch/one.md", text.to_owned());
    for diagnostic in &found {
        let _ = diagnostic.to_string();
    }
    spans_are_inside(&document);

    let texts = [("ch/index", "# C\n"), ("ch/one", text)];
    let (book, found) = Book::from_texts(CONFIG, &texts, None).unwrap();
    let _ = builder::diagnostic::report(&found, builder::diagnostic::Style::Plain);
    let hostile = "</code></pre><script>steal()</script>\u{1b}[31m";
    let output = Output::Stream { name: "stdout".into(), text: hostile.into() };
    let outputs: Vec<SectionOutputs> = (book.sections.iter())
        .map(|section| SectionOutputs {
            cells: section.document.cells().map(|_| vec![output.clone()]).collect(),
        })
        .collect();
    let theme = Theme::default();
    let downloads = html::Downloads::default();
    if let Ok(files) =
        html::weave(&book, &outputs, &theme, &downloads, &mut html::Memo::default())
    {
        for file in files.iter().filter(|file| file.path.starts_with("ch")) {
            let page = String::from_utf8(file.bytes.clone()).expect("pages are UTF-8");
            assert!(!page.contains("<script>steal"), "an output is taken for HTML");
        }
    }
    for index in 0..book.sections.len() {
        let notebook = weave::notebook::weave(&book, &outputs, index);
        let _: serde_json::Value = serde_json::from_slice(&notebook).expect("JSON");
    }
    if let Err(problems) = weave::epub::weave(&book, &outputs, &theme) {
        let not_xml = problems.iter().find(|problem| problem.message.contains("not XML"));
        assert!(not_xml.is_none(), "{not_xml:?}");
    }
    if with_pdf && !builder::diagnostic::has_errors(&found) {
        let _ = weave::pdf::weave(&book, &outputs, &theme);
    }
    let _ = builder::check::lint(&book);
    let _ = builder::check::Checked::of(&book, "use d2l::prelude::*;");
}

fn spans_are_inside(document: &Document) {
    builder::document::inline::walk_blocks(&document.blocks, &mut |block| {
        let inside = document.source.get(block.span.range());
        assert!(inside.is_some(), "{:?} is no text of the chapter", block.span);
    });
    document.walk_inlines(|inline| {
        let inside = document.source.get(inline.span.range());
        assert!(inside.is_some(), "{:?} is no text of the chapter", inline.span);
    });
    for (cell, _) in document.cells() {
        for (line, start) in cell.code.split('\n').zip(&cell.line_starts) {
            let there =
                document.source.get(*start..).expect("a line starts in the chapter");
            let trimmed = |line: &'_ str| {
                line.trim_start_matches(['\u{feff}', '>', ' ', '\t']).to_owned()
            };
            let (there, line) = (trimmed(there), trimmed(line));
            let n = line.len().min(there.len());
            assert!(
                there.as_bytes()[..n] == line.as_bytes()[..n],
                "{line:?} is not at {start}"
            );
        }
    }
}

/// How long this thread has computed: other work on the machine does not count.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

#[test]
fn no_text_makes_the_builder_panic_or_hang() {
    let seconds =
        std::env::var("D2L_FUZZ_SECONDS").ok().and_then(|s| s.parse::<u64>().ok());
    let started = Instant::now();
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = seconds.map_or(0x5eed, |_| clock.unwrap().as_nanos() as u64 | 1);
    let (seeds, mut dice) = (seeds(), Dice(seed));
    let mut tried = 0;
    let mut wrong = Vec::new();
    while match seconds {
        Some(seconds) => started.elapsed().as_secs() < seconds && wrong.len() < 10,
        None => tried < TEXTS && wrong.is_empty(),
    } {
        let text = mutated(&seeds, &mut dice);
        let start = worked();
        let with_pdf = tried % 50 == 49;
        let ended = catch_unwind(AssertUnwindSafe(|| check(&text, with_pdf)));
        let took = worked() - start;
        if ended.is_err() || took > LIMIT && !with_pdf {
            let path = std::env::temp_dir().join(format!("d2l-fuzz-{}.md", wrong.len()));
            std::fs::write(&path, &text).unwrap();
            wrong.push((path, ended.is_err(), took));
        }
        tried += 1;
    }
    println!("{tried} texts from seed {seed:#x}");
    assert!(wrong.is_empty(), "seed {seed:#x}, text {tried}: {wrong:#?}");
}

#[test]
fn long_lines_and_deep_nesting_end() {
    let cases = [
        "x".repeat(10_000_000),
        "*".repeat(200_000),
        "[".repeat(100_000),
        "> ".repeat(20_000),
        "`".repeat(100_000) + "a",
        "$".repeat(100_000),
        "$$\n".repeat(20_000),
        format!("${}$", "{".repeat(50_000)),
        format!("${}x{}$", "\\frac{1}{".repeat(2_000), "}".repeat(2_000)),
        "|a".repeat(50_000) + "\n" + &"|-".repeat(50_000),
        ":label:`a`\n\n".repeat(10_000),
        "- ".repeat(5_000) + "x",
    ];
    for text in cases {
        let start: String = text.chars().take(20).collect();
        eprintln!("{start}…");
        // A thread as the binary's main thread: a stack overflow would end the test program.
        let took = std::thread::Builder::new()
            .stack_size(8 << 20)
            .spawn(move || {
                check(&format!("# T\n\n{text}\n"), false);
                worked()
            })
            .unwrap()
            .join();
        let took = took.unwrap_or_else(|_| panic!("{start}…"));
        assert!(took < Duration::from_secs(30), "{start}…: {took:?}");
    }
}
