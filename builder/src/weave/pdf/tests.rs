use super::*;
use crate::run::output::Output;

const CONFIG: &str = "title = \"T\"\n[[chapter]]\npath = \"ch\"\nsections = [\"one\"]\n";

fn book(one: &str) -> Book {
    let texts = [("ch/index", "# Chapter\n:label:`ch`\n"), ("ch/one", one)];
    let (book, found) = Book::from_texts(CONFIG, &texts, None).unwrap();
    let wrong: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(!crate::diagnostic::has_errors(&found), "{wrong:#?}");
    book
}

fn woven(one: &str, cells: Vec<Vec<Output>>) -> Result<Vec<u8>, Vec<String>> {
    let outputs = vec![SectionOutputs::default(), SectionOutputs { cells }];
    weave(&book(one), &outputs, &Theme::default())
        .map_err(|found| found.iter().map(ToString::to_string).collect())
}

#[test]
fn every_kind_of_block_is_set() {
    let one = "# One $x$\n:label:`one`\n\n\
        Text, *stress*, **strong**, ~~gone~~, `code[0]`, \"quotes\", $\\mathbf{x}^\\top$;\n\
        - no list - 1. #no @markup <b> a/b // c /* d [e] $\\$$, a note[^n] twice[^n].\n\n\
        [^n]: The note, with $y$.\n\n\
        ## Part\n:label:`part`\n\n\
        $$\n\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}\n$$\n:eqlabel:`eq`\n\n\
        See :eqref:`eq`, :numref:`tab`, :numref:`fig`, :numref:`part`, [there](index.md),\n\
        [web](https://example.org).\n\n\
        | a | b |\n|:--|--:|\n| 1 | $2$ |\n\n: Numbers. :label:`tab`\n\n\
        1. one\n1. two\n\n   more\n\n- dot\n\n> [!NOTE]\n> Mind.\n\n> said\n\n---\n\n\
        ```text\nplain \"text\" \\ here\n```\n\n\
        ```rust,label=fig,caption=\"A dot.\",alt=\"A dot.\"\ndot()\n```\n\n```rust\nx\n```\n";
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\" width=\"9\" \
               height=\"9\"><circle r=\"4\" fill=\"currentColor\"/></svg>";
    let cells = vec![
        vec![Output::Result {
            data: [("image/svg+xml".to_owned(), svg.to_owned())].into(),
        }],
        vec![
            Output::Stream { name: "stdout".into(), text: "a \\ \"b\"\n".into() },
            Output::Error { name: "panic".into(), message: "m".into(), text: "m".into() },
        ],
    ];
    let pdf = woven(one, cells.clone()).unwrap();
    assert!(pdf.starts_with(b"%PDF"));
    assert_eq!(pdf, woven(one, cells).unwrap(), "the same book gives the same bytes");
}

#[test]
fn formulas_that_cannot_be_set_are_pointed_at() {
    let one = "# One\n\nLet $a + \\nosuch{b}$ be.\n";
    let found = woven(one, Vec::new()).unwrap_err();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("book/ch/one.md:3:5: error: a formula"), "{found:#?}");
}

#[test]
fn common_formulas_are_set() {
    let formulas = [
        r"\sqrt{x} + \sqrt[3]{y}",
        r"\frac{a}{b} \tfrac12 \dfrac{1}{2}",
        r"\left( \sum_{i=1}^n x_i \right)^2",
        r"\bigl[ x \bigr] \Bigl( y \Bigr)",
        r"\mathbb{R} \mathcal{L} \mathrm{d}x \boldsymbol{\theta}",
        r"\operatorname*{argmin}_{\mathbf{w}} L",
        r"\operatorname{softmax}(\mathbf{o})_i",
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
        r"\begin{cases} 1 & \text{if } x > 0 \\ 0 & \text{otherwise} \end{cases}",
        r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}",
        r"\hat{y} \bar{x} \tilde{z} \vec{v} \dot{x}",
        r"\overset{\text{def}}{=} \stackrel{\mathrm{def}}{=} \underbrace{x}_{y}",
        r"\|\mathbf{x}\|_2 \leq \lvert x \rvert \quad \text{for all } x \in \mathcal{X}",
        r"P(A \mid B) \propto \exp\left(-\frac{x^2}{2\sigma^2}\right)",
        r"\lim_{h \to 0} \max_i \nabla_{\mathbf{x}} f' \partial \ldots \cdots \vdots \ddots",
        r"\{1, 2\} \% \& \_ x_{-1}",
        r"\begin{array}{cc} a & b \\ c & d \end{array}",
        r"A \xrightarrow{f} B, a \not= b, \phantom{x}",
    ];
    let text: String =
        formulas.iter().map(|f| format!("Set ${f}$.\n\n$${f}$$\n\n")).collect();
    if let Err(found) = woven(&format!("# One\n\n{text}"), Vec::new()) {
        panic!("{found:#?}");
    }
}
