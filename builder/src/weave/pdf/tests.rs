use super::*;
use crate::run::output::Output;
use mitex::{ArgShape, CommandSpecItem};
use std::collections::BTreeSet;

const CONFIG: &str = "\
title = \"T & U\"
authors = [\"A. Author\"]
[[chapter]]
path = \"ch\"
sections = [\"one\", { planned = \"Later #1\" }]
";

const ONE: &str = "\
# One $x$
:label:`one`

Text with `co\"de`, *stress*, $a < b$, a note[^n], :eqref:`eq`, :numref:`fig`,
:numref:`tab`, [the chapter](index.md), [the web](https://x.org/?a=\"b\") and :citet:`bishop`.
1. #not markup, *nor* $this_$

[^n]: The note.

## Part
:label:`part`

$$
e^{i\\pi} = -1
$$
:eqlabel:`eq`

```rust,label=fig,caption=\"A drawing.\",alt=\"A line.\"
draw()
```

```rust,hide-code
printed_only()
```

```rust,hide-output
shown_only()
```

```rust,hide
neither()
```

| a | b |
|:--|--:|
| 1 | 2 |

: Numbers. :label:`tab`

> [!NOTE]
> Mind this.

1. First
1. Second
";

const BIB: &str =
    "@book{bishop, author = {Bishop, C.}, title = {B}, publisher = {S}, year = 2006}";

fn book(one: &str) -> Book {
    let texts = [
        ("ch/index", "# Chapter\n:label:`ch`\n\nSee :numref:`part`.\n"),
        ("ch/one", one),
    ];
    let (book, found) = Book::from_texts(CONFIG, &texts, Some(BIB)).unwrap();
    let wrong: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(!crate::diagnostic::has_errors(&found), "{wrong:#?}");
    book
}

fn example() -> (Book, Vec<SectionOutputs>) {
    let svg = "<svg width=\"100pt\" height=\"50pt\" xmlns=\"http://www.w3.org/2000/svg\">\
               <path stroke=\"currentColor\" d=\"M0 0L9 9\"/></svg>";
    let drawing =
        Output::Result { data: [("image/svg+xml".to_owned(), svg.to_owned())].into() };
    let printed =
        |text: &str| Output::Stream { name: "stdout".into(), text: text.to_owned() };
    let cells = vec![
        vec![drawing, printed("drawn")],
        vec![printed("a \"b\"\n#c\n")],
        vec![printed("hidden-1")],
        vec![printed("hidden-2")],
    ];
    (book(ONE), vec![SectionOutputs::default(), SectionOutputs { cells }])
}

fn problems(one: &str) -> Vec<String> {
    let one = format!("{one}\n\n## P\n:label:`part`\n");
    let problems = weave(&book(&one), &[], &Theme::default()).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sheet_says_what_the_chapter_says() {
    let (book, outputs) = example();
    let manuscript = markup::write(&book, &outputs);
    assert!(manuscript.problems.is_empty());
    let [main, _, one] = &manuscript.sheets[..] else { panic!("three sheets") };
    for part in [
        "#b.heading(level: 2, number: \"1.1\", at: \"ch/one\")[One #b.formula(\"x\")[$x$];]",
        "#raw(\"co\\\"de\");, #emph[stress];, #b.formula(\"a < b\")[$a  <  b$];",
        "a note#b.note(\"ch/one#^n\")[The note.];",
        "#b.to(\"ch/one#eq\")[(1\\.1\\.1)];",
        "#b.to(\"ch/one#fig\")[Figure\u{a0}1\\.1\\.1];",
        "#b.to(\"ch/index\")[the chapter];",
        "#b.web(\"https://x.org/?a=\\\"b\\\"\")[the web];",
        "#b.to(\"references#bishop\")[Bishop (2006)];",
        "\\#not markup, #emph[nor]; #b.formula(\"this_\")[$t h i s ",
        "#b.heading(level: 3, number: \"1.1.1\", at: \"ch/one#part\")[Part]",
        "#b.equation(alt: \"e^{i\\\\pi} = -1\", number: \"1.1.1\", at: \"ch/one#eq\", is-short: true)[$",
        "#b.cell(\"draw()\", lines: (((\"f\", \"draw\"), (\"\", \"()\"), ), ), has-output: true)\n\
         #b.outputs[\n#b.printed(\"stdout\", \"drawn\")\n]\n#b.figure(kind: \"Figure\", number: \"1.1.1\", \
         placement: bottom, at: \"ch/one#fig\", caption: [A drawing.])[\n\
         #b.picture(\"/output/ch/one/1.svg\", alt: \"A line.\", width: 100pt)\n]",
        "#b.outputs[\n#b.printed(\"stdout\", \"a \\\"b\\\"\\n#c\")\n]",
        "#b.cell(\"shown_only()\", lines: (((\"f\", \"shown_only\"), (\"\", \"()\"), ), ), has-output: false)",
        "align: (left, right, ),\n  head: ([a], [b], ),\n  ([1], [2], ),\n)]",
        "#b.admonition(\"note\")[\nMind this.",
        "#enum(tight: true, start: 1,\n  [First],\n  [Second],\n)",
    ] {
        assert!(one.text.contains(part), "{part} is not in:\n{}", one.text);
    }
    for part in ["printed_only", "neither", "hidden-"] {
        assert!(!one.text.contains(part), "{part} is in:\n{}", one.text);
    }
    for part in [
        "(level: 2, number: \"1.1\", to: \"ch/one\", title: [One #b.formula(\"x\")[$x$];]),",
        "(level: 3, number: \"1.1.1\", to: \"ch/one#part\", title: [Part]),",
        "(level: 2, number: \"1.2\", to: none, title: [Later \\#1]),",
        "#include \"/book/ch/one.typ\"",
        "(\"references#bishop\", [Bishop, C",
    ] {
        assert!(main.text.contains(part), "{part} is not in:\n{}", main.text);
    }
    let svg =
        String::from_utf8(manuscript.files["/output/ch/one/1.svg"].clone()).unwrap();
    assert!(svg.contains("stroke=\"black\""), "{svg}");
}

#[test]
fn the_book_becomes_pages_and_always_the_same_bytes() {
    let (book, outputs) = example();
    let manuscript = markup::write(&book, &outputs);
    let (pages, _) = typeset(&book, manuscript, &Theme::default()).unwrap();
    // Title and its back, contents and an empty page, chapter and an empty page, references.
    assert_eq!(pages.pages().len(), 7);
    let theme = Theme::default();
    let first = weave(&book, &outputs, &theme).unwrap();
    assert!(first.starts_with(b"%PDF-"));
    assert!(first == weave(&book, &outputs, &theme).unwrap(), "bytes differ");
}

#[test]
fn the_book_chooses_its_paper_and_how_links_look() {
    use crate::config::{Links, Paper};
    let made = |paper, links| {
        let (mut book, outputs) = example();
        (book.config.print.paper, book.config.print.links) = (paper, links);
        let manuscript = markup::write(&book, &outputs);
        typeset(&book, manuscript, &Theme::default()).unwrap().0
    };
    for (paper, width, height) in [
        (Paper::Textbook, 504.0, 720.0),
        (Paper::Trade, 432.0, 648.0),
        (Paper::A4, 595.28, 841.89),
        (Paper::UsLetter, 612.0, 792.0),
    ] {
        let document = made(paper, Links::Coloured);
        for page in document.pages() {
            let (x, y) = (page.frame.width().to_pt(), page.frame.height().to_pt());
            assert!((x - width).abs() < 0.01 && (y - height).abs() < 0.01, "{x} × {y}");
        }
    }
    let coloured = format!("{:?}", made(Paper::A4, Links::Coloured).pages()[4].frame);
    let plain = format!("{:?}", made(Paper::A4, Links::Plain).pages()[4].frame);
    assert!(!coloured.contains("Text(\"https://x.org"), "{coloured}");
    assert!(plain.contains("Text(\"https://x.org"), "the address is printed: {plain}");
}

#[test]
fn all_formulas_that_cannot_be_set_are_pointed_at() {
    let found = problems(
        "# One\n\nLet $a + \\nosuch b$ and $x \\tag{1}$ be.\n\n$$\n\\color{mud} x\n$$\n\nOr $\\hspace{x}$.",
    );
    let starts = [
        "book/ch/one.md:3:10: error: a formula that cannot be set: unknown command: \\nosuch",
        "book/ch/one.md:3:28: error: a formula that cannot be set: `\\tag` inside a formula",
        "book/ch/one.md:6:1: error: a formula that cannot be set: assertion failed: unknown colour: mud",
        "book/ch/one.md:9:5: error: a formula that cannot be set: ",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
}

#[test]
fn an_image_that_cannot_be_read_is_pointed_at() {
    let texts =
        [("ch/index", "# C\n"), ("ch/one", "# One\n\nAn ![image](none.svg) here.\n")];
    let (book, _) = Book::from_texts(CONFIG, &texts, None).unwrap();
    let problems = weave(&book, &[], &Theme::default()).unwrap_err();
    let shown = problems[0].to_string();
    assert_eq!(shown, "book/ch/one.md:3:4: error: the image `none.svg` cannot be read");
}

#[test]
fn a_picture_that_is_none_is_pointed_at_by_its_cell() {
    let book = book("# One\n\n```rust\ndraw()\n```\n\n## P\n:label:`part`\n");
    let drawing =
        Output::Result { data: [("image/svg+xml".into(), "no svg".into())].into() };
    let outputs =
        vec![SectionOutputs::default(), SectionOutputs { cells: vec![vec![drawing]] }];
    let problems = weave(&book, &outputs, &Theme::default()).unwrap_err();
    let shown = problems[0].to_string();
    assert!(
        shown.starts_with("book/ch/one.md:3:1: error: cannot be typeset: "),
        "{shown}"
    );
}

/// The theme must define whatever the translator may call.
#[test]
fn every_command_of_the_translator_can_be_set() {
    let mut text = String::from("# One\n\n");
    let mut lines = vec![String::new(); 2];
    let mut items: Vec<_> = mitex_spec_gen::DEFAULT_SPEC.items().collect();
    items.sort_by_key(|(name, _)| *name);
    for (name, item) in items {
        let formula = match (item, name) {
            (CommandSpecItem::Env(env), _) => {
                let argument = match env.args {
                    mitex::ArgPattern::FixedLenTerm { .. } => "{l|r}",
                    _ => "",
                };
                format!("\\begin{{{name}}}{argument} a & b \\\\ c & d \\end{{{name}}}")
            }
            (_, "color" | "textcolor" | "colorbox") => format!("\\{name}{{red}}{{x}}"),
            (_, "hspace" | "vspace" | "raisebox") => format!("\\{name}{{1em}}{{x}}"),
            (CommandSpecItem::Cmd(cmd), _) => match cmd.args {
                ArgShape::InfixGreedy => format!("{{a \\{name} b}}"),
                ArgShape::Left1 => format!("\\sum\\{name}_i"),
                _ => format!("\\{name} {{x}}{{y}}"),
            },
        };
        text.push_str(&format!("${formula}$\n\n"));
        lines.push(name.to_owned());
        lines.push(String::new());
    }
    let failed: BTreeSet<String> = problems(&text)
        .iter()
        .map(|shown| {
            let line: usize = shown.split(':').nth(1).unwrap().parse().unwrap();
            format!("{} {}", lines[line - 1], shown.rsplit(": ").next().unwrap())
        })
        .collect();
    let is_expected = |failure: &String| failure.ends_with("` inside a formula");
    let unexpected: Vec<_> = failed.iter().filter(|f| !is_expected(f)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}
