//! How long a large book takes from text to pages: `cargo run --release --example render`.
//!
//! 200 pages with 7,500 formulas, 600 labels, 250 figures and 1,200 cells, made by a rule. Gives the
//! best of five runs of the steps that `d2l build` takes besides running cells and writing files: each
//! from nothing, then again after an edit of one sentence, as `d2l serve` does.
//!
//! With a folder as its argument it writes the book there, for `builder/benches/compare.sh`. With
//! `--print FILE.pdf` it typesets a larger one, of more than 1,000 printed pages with the outputs of their
//! cells, and gives the processor's seconds and the most memory that it took.

use builder::book::{Book, Parsed};
use builder::run::output::{Output, SectionOutputs};
use builder::weave::{Theme, html, pdf};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

const CHAPTERS: usize = 20;
const PRINTED_CHAPTERS: usize = 34;
const SECTIONS: usize = 9;

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let mut first = arguments.next();
    let is_print = first.as_deref() == Some("--print".as_ref());
    let (config, texts) = book(if is_print { PRINTED_CHAPTERS } else { CHAPTERS });
    let texts: Vec<(&str, &str)> =
        texts.iter().map(|(slug, text)| (&**slug, &**text)).collect();
    if is_print {
        let file = arguments.next().expect("the name of a PDF");
        return print(Path::new(&file), &config, &texts);
    }
    if let Some(folder) = first.take() {
        return write(Path::new(&folder), &config, &texts).expect("a folder to write to");
    }
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let count = |what: &str| {
        texts.iter().map(|(_, text)| text.matches(what).count()).sum::<usize>()
    };
    println!(
        "{} pages, {bytes} bytes, {} formulas, {} labels, {} figures, {} cells",
        texts.len(),
        count("$") / 2 - count("$$") / 2,
        count("label:`"),
        count("!["),
        count("```rust")
    );
    let (mut parsed, mut woven, mut edited) = (f64::MAX, f64::MAX, f64::MAX);
    for round in 0..5 {
        let (mut documents, mut memo) = (Parsed::empty(), html::Memo::default());
        let mut make = |texts: &[(&str, &str)]| {
            let start = Instant::now();
            let (book, found) =
                Book::from_texts_with(&config, texts, None, &mut documents)
                    .expect("the settings are right");
            assert!(found.is_empty(), "{}", found[0]);
            let parsed = start.elapsed().as_secs_f64();
            let theme = Theme::default();
            let files =
                html::weave(&book, &[], &theme, &html::Downloads::default(), &mut memo);
            assert!(files.expect("no problems").len() > texts.len());
            (parsed, start.elapsed().as_secs_f64() - parsed)
        };
        let (parse, weave) = make(&texts);
        (parsed, woven) = (parsed.min(parse), woven.min(weave));
        let (slug, text) = texts[101];
        let other = text.replacen("a vector", &format!("vector number {round}"), 1);
        assert_ne!(other, text);
        let mut changed = texts.clone();
        changed[101] = (slug, &other);
        let (parse, weave) = make(&changed);
        edited = edited.min(parse + weave);
    }
    println!("parse and resolve {parsed:.3} s, weave HTML {woven:.3} s");
    println!("both again after an edit of one sentence {edited:.3} s");
}

/// Typesets the book.
#[expect(clippy::print_stdout, reason = "the result")]
fn print(file: &Path, config: &str, texts: &[(&str, &str)]) {
    let start = Instant::now();
    let (book, found) = Book::from_texts(config, texts, None).expect("the settings");
    assert!(found.is_empty(), "{}", found[0]);
    let outputs: Vec<SectionOutputs> = (book.sections.iter())
        .map(|section| SectionOutputs {
            cells: section.document.cells().enumerate().map(|(i, _)| output(i)).collect(),
        })
        .collect();
    let made = pdf::weave(&book, &outputs, &Theme::default()).expect("no problems");
    let clock = start.elapsed().as_secs_f64();
    // Of /proc(5): times in hundredths of a second after the name in brackets, the peak in kB.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let times: Vec<&str> =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 =
        times[11..13].iter().map(|t| t.parse::<f64>().expect("a number")).sum();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap_or("").trim_end_matches("kB").trim();
    let peak: f64 = peak.parse().expect("a number");
    println!(
        "{clock:.1} s by the clock, {:.1} s of processors, {:.0} MB at most",
        ticks / 100.0,
        peak / 1024.0
    );
    std::fs::write(file, made).expect("a place to write");
}

/// What the cell at `index` of a page gave: lines, or a drawing.
fn output(index: usize) -> Vec<Output> {
    if index % 3 > 0 {
        let text = (0..4).map(|i| format!("{i} {:.4}\n", (i as f64).sin())).collect();
        return vec![Output::Stream { name: "stdout".into(), text }];
    }
    let points: String = (0..200)
        .map(|i| format!("{i},{:.2} ", 60.0 + 50.0 * (f64::from(i) / 15.0).sin()))
        .collect();
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"400\" height=\"240\" viewBox=\"0 0 200 120\" \
         role=\"img\" aria-label=\"A wave\"><polyline points=\"{points}\" fill=\"none\" \
         stroke=\"currentColor\"/><text x=\"80\" y=\"118\" font-size=\"8\">step</text></svg>"
    );
    vec![Output::Display { data: [("image/svg+xml".to_owned(), svg)].into() }]
}

/// Writes the book for three programs: `d2l`, mdBook and Jupyter Book.
fn write(folder: &Path, config: &str, texts: &[(&str, &str)]) -> std::io::Result<()> {
    let put = |path: String, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder"))?;
        std::fs::write(path, text)
    };
    put("d2l/book/book.toml".into(), config)?;
    put(
        "mdbook/book.toml".into(),
        "[book]\ntitle = \"Large\"\n\n[output.html]\nmathjax-support = true\n",
    )?;
    put(
        "jupyter/_config.yml".into(),
        "title: Large\nexecute:\n  execute_notebooks: \"off\"\n",
    )?;
    let (mut summary, mut toc) = (String::from("# Summary\n\n"), String::new());
    for (slug, text) in texts {
        put(format!("d2l/book/{slug}.md"), text)?;
        // The others' words for a label, a reference and a cell; mdBook has none for the first two.
        let myst = (text.lines().map(|line| match line.strip_prefix(":label:`") {
            Some(label) => format!("<!-- {label} -->\n"),
            None => format!("{line}\n"),
        }))
        .collect::<String>();
        let myst = myst.replace(":numref:", "{ref}").replace(":eqref:", "{eq}");
        let myst = myst.replace(":eqlabel:", "equation ");
        put(format!("mdbook/src/{slug}.md"), &text.replace("```rust", "```rust,ignore"))?;
        put(format!("jupyter/{slug}.md"), &myst)?;
        let title = text.lines().next().unwrap_or("").trim_start_matches("# ");
        let is_chapter = slug.ends_with("index");
        let _ = writeln!(
            summary,
            "{}- [{title}]({slug}.md)",
            if is_chapter { "" } else { "  " }
        );
        let _ = match (toc.is_empty(), is_chapter) {
            (true, _) => writeln!(toc, "format: jb-book\nroot: {slug}\nchapters:"),
            (false, _) => writeln!(toc, "- file: {slug}"),
        };
    }
    put("mdbook/src/SUMMARY.md".into(), &summary)?;
    put("jupyter/_toc.yml".into(), &toc)
}

fn book(chapters: usize) -> (String, Vec<(String, String)>) {
    let mut config = String::from("title = \"Large\"\n");
    let mut texts = Vec::new();
    for chapter in 0..chapters {
        let names: Vec<String> = (0..SECTIONS).map(|i| format!("\"s{i}\"")).collect();
        let _ = writeln!(
            config,
            "[[chapter]]\npath = \"c{chapter}\"\nsections = [{}]",
            names.join(", ")
        );
        texts.push((
            format!("c{chapter}/index"),
            format!("# Chapter {chapter}\n\nIts opening.\n"),
        ));
        for section in 0..SECTIONS {
            texts.push((format!("c{chapter}/s{section}"), page(chapter, section)));
        }
    }
    (config, texts)
}

fn page(chapter: usize, section: usize) -> String {
    let id = format!("{chapter}_{section}");
    let mut text = format!("# Section {section} of {chapter}\n:label:`sec_{id}`\n\n");
    for part in 0..7 {
        let _ = writeln!(text, "## Part {part}\n");
        for sentence in 0..5 {
            let _ = write!(
                text,
                "Let $x_{sentence} \\in \\mathbb{{R}}^{{n}}$ be *a vector* of `f32`, see :numref:`sec_{id}`, so that \
                 the loss falls by a factor. "
            );
        }
        let _ = writeln!(
            text,
            "\n\n$$\n\\frac{{\\partial L}}{{\\partial w_{part}}} = \\sum_{{i=1}}^n (y_i - \\hat y_i) x_i\n$$"
        );
        if part < 2 {
            let _ = writeln!(
                text,
                ":eqlabel:`eq_{id}_{part}`\n\n:eqref:`eq_{id}_{part}` holds."
            );
        }
        if part < 2 && (part == 0 || section < 4) {
            let _ = writeln!(
                text,
                "\n![A curve](https://x.org/curve.svg \"The curve $f$.\")"
            );
            if part == 0 {
                let _ = writeln!(text, ":label:`fig_{id}`");
            }
        }
        let _ = writeln!(
            text,
            "\n```rust\nlet a{part} = Tensor::zeros([2, {section}]);\nfor i in 0..{part} {{\n    println!(\"{{i}}\");\n}}\n```\n"
        );
    }
    text
}
