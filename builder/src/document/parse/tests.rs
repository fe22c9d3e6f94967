use super::*;

fn read(source: &str) -> (Document, Vec<String>) {
    let (document, diagnostics) = parse("a.md", source);
    let shown = diagnostics
        .iter()
        .map(|d| format!("{}:{}: {}", d.line, d.column, d.message))
        .collect();
    (document, shown)
}

/// The blocks of a chapter without mistakes.
fn blocks(body: &str) -> Vec<BlockKind> {
    let (document, diagnostics) = read(&format!("# T\n\n{body}"));
    assert_eq!(diagnostics, [""; 0], "{body}");
    document.blocks.into_iter().map(|block| block.kind).collect()
}

fn inlines(body: &str) -> Vec<InlineKind> {
    match blocks(body).remove(0) {
        BlockKind::Paragraph(text) => {
            text.into_iter().map(|inline| inline.kind).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> InlineKind {
    InlineKind::Text(text.into())
}

fn math(latex: &str) -> InlineKind {
    InlineKind::Math(latex.into())
}

/// The mistakes of a chapter whose text starts in line 3.
fn mistakes(body: &str) -> Vec<String> {
    read(&format!("# T\n\n{body}")).1
}

#[test]
fn formulas_come_before_emphasis() {
    assert_eq!(inlines("$a_1 * b_2 * c$"), [math("a_1 * b_2 * c")]);
    assert_eq!(
        inlines("$x_{ij}$ and $y_{k}$"),
        [math("x_{ij}"), text(" and "), math("y_{k}")]
    );
    assert_eq!(inlines("$*$ and *e*")[0], math("*"));
    assert_eq!(
        inlines("*$*$*"),
        [InlineKind::Emph(vec![Inline { kind: math("*"), span: Span::new(6..9) }])]
    );
    assert_eq!(
        inlines("$a[1](b)$ `$c$` $\\$5$ \\$5"),
        [
            math("a[1](b)"),
            text(" "),
            InlineKind::Code("$c$".into()),
            text(" "),
            math("\\$5"),
            text(" "),
            text("$5"),
        ]
    );
    assert_eq!(
        inlines("$x = \\text{if $y$}$'s"),
        [math("x = \\text{if $y$}"), text("’"), text("s")]
    );
    assert_eq!(inlines("**bold $\\mathbf{x}_*$**text").len(), 2);
}

#[test]
fn a_formula_may_hold_what_markdown_takes_for_blocks() {
    let latex = "x\n= a\n- b\n+ c\n\\\\ > d | e";
    assert_eq!(
        blocks(&format!("$$\n{latex}\n$$\n")),
        [BlockKind::Math { latex: latex.into(), label: None }]
    );
    let quoted = blocks("> see\n> $$a\n> = b$$\n> there\n");
    let BlockKind::Quote(inner) = &quoted[0] else { panic!("{quoted:?}") };
    assert_eq!(inner[1].kind, BlockKind::Math { latex: "a\n= b".into(), label: None });
    assert_eq!(inner.len(), 3);
}

#[test]
fn a_formula_inside_a_paragraph_is_lifted_out() {
    let found = blocks("so\n$$x$$ :eqlabel:`eq_x`\nand\n");
    assert!(matches!(&found[0], BlockKind::Paragraph(t) if t.len() == 1));
    assert_eq!(
        found[1],
        BlockKind::Math { latex: "x".into(), label: Some("eq_x".into()) }
    );
    assert!(matches!(&found[2], BlockKind::Paragraph(t) if t.len() == 1));
}

#[test]
fn dollars_that_are_money_stay() {
    assert_eq!(
        mistakes("It costs $5 and $6 each."),
        ["3:10: this `$` opens no formula", "3:17: this `$` opens no formula"]
    );
    assert_eq!(
        mistakes("- costs $5\n- or 6$"),
        ["3:9: this `$` opens no formula", "4:7: this `$` opens no formula"]
    );
}

#[test]
fn broken_formulas_are_pointed_at() {
    assert_eq!(
        mistakes("see $\\frac{a}{b$"),
        ["3:14: `{` in the formula is never closed"]
    );
    assert_eq!(mistakes("$$\na\n\nb"), ["3:1: this formula is never closed"]);
    assert_eq!(mistakes("$$ $$"), ["3:1: this formula is empty"]);
    assert_eq!(mistakes("## h $$x$$"), ["3:6: a displayed formula cannot stand here"]);
}

#[test]
fn labels_belong_to_the_block_before_them() {
    let source = "# Title\n:label:`sec_t`\n\n## Sub\n:label:`sub`\nText\n\n![A *b*](c.svg)\n\
                  :label:`fig`\n:width:`60%`\nmore\n\n$$x$$\n:eqlabel:`eq`\n";
    let (document, diagnostics) = read(source);
    assert_eq!(diagnostics, [""; 0]);
    assert_eq!(document.label.as_deref(), Some("sec_t"));
    let kinds: Vec<_> = document.blocks.into_iter().map(|b| b.kind).collect();
    assert!(matches!(&kinds[0], BlockKind::Heading { label: Some(l), anchor, .. }
        if l == "sub" && anchor == "sub"));
    assert!(matches!(&kinds[1], BlockKind::Paragraph(_)));
    let BlockKind::Figure { alt, caption, label, width, .. } = &kinds[2] else {
        panic!("{kinds:?}")
    };
    assert_eq!(
        (alt.as_str(), caption.len(), label.as_deref(), width.as_deref()),
        ("A b", 2, Some("fig"), Some("60%"))
    );
    assert!(matches!(&kinds[3], BlockKind::Paragraph(_)));
    assert!(matches!(&kinds[4], BlockKind::Math { label: Some(l), .. } if l == "eq"));
}

#[test]
fn labels_inside_lists_and_quotations_find_their_block() {
    let source =
        "1. see\n\n   $$x$$\n   :eqlabel:`eq`\n\n   and\n\n> $$y$$\n> :eqlabel:`eq2`\n";
    let found = blocks(source);
    let BlockKind::List { items, .. } = &found[0] else { panic!("{found:?}") };
    assert!(
        matches!(&items[0][1].kind, BlockKind::Math { label: Some(l), .. } if l == "eq")
    );
    let BlockKind::Quote(inner) = &found[1] else { panic!("{found:?}") };
    assert!(
        matches!(&inner[0].kind, BlockKind::Math { label: Some(l), .. } if l == "eq2")
    );
}

#[test]
fn misplaced_and_repeated_labels_are_mistakes() {
    assert_eq!(
        mistakes("Text\n:label:`a`\n"),
        ["4:1: `:label:` without something to belong to"]
    );
    assert_eq!(
        mistakes("## A\n:label:`a`\n## B\n:label:`a`\n"),
        ["6:1: label `a` is given twice"]
    );
    assert_eq!(mistakes("## A\n:label:`a`\n:label:`b`\n"), ["5:1: a second `:label:`"]);
    assert_eq!(mistakes(":labl:`x`"), ["3:1: unknown role `:labl:`"]);
}

#[test]
fn tables_take_their_captions_from_either_side() {
    for source in [
        ": The $|x|$ of it.\n\n| a | $|b|$ |\n|:-|-:|\n| 1 | 2 |\n:label:`t`\n",
        "| a | $|b|$ |\n|:-|-:|\n| 1 | 2 |\n\n: The $|x|$ of it. :label:`t`\n",
        "| a | $|b|$ |\n|:-|-:|\n| 1 | 2 |\n: The $|x|$ of it. :label:`t`\n",
        "| a | $|b|$ |\n|:-|-:|\n| 1 | 2 |\n: The $|x|$ of it.\n:label:`t`\n",
    ] {
        let found = blocks(source);
        let [BlockKind::Table { head, rows, caption, label, align }] = found.as_slice()
        else {
            panic!("{source} {found:?}")
        };
        assert_eq!(
            (head.len(), rows.len(), label.as_deref()),
            (2, 1, Some("t")),
            "{source}"
        );
        assert_eq!(head[1][0].kind, math("|b|"));
        assert_eq!(align, &[Align::Left, Align::Right]);
        assert_eq!(inline::plain_text(caption), "The |x| of it.");
    }
}

#[test]
fn references_and_citations_survive_underscores() {
    let reference = |style, label: &str| InlineKind::Ref { style, label: label.into() };
    assert_eq!(
        inlines(":numref:`a_b_c`, :ref:`d_e` :eqref:`f` :citet:`A_1, B_2`"),
        [
            reference(RefStyle::Number, "a_b_c"),
            text(", "),
            reference(RefStyle::Title, "d_e"),
            text(" "),
            reference(RefStyle::Equation, "f"),
            text(" "),
            InlineKind::Cite { textual: true, keys: vec!["A_1".into(), "B_2".into()] },
        ]
    );
}

#[test]
fn cells_know_their_lines() {
    let source = "# T\n\n```rust, hide-code, caption=\"The $x_1$ *loss*\"\n//#@save train\npub fn \
                  go() {}\n\nlet ü = 1;\n```\n\n```rust, no-run\nx\n```\n";
    let (document, diagnostics) = read(source);
    assert_eq!(diagnostics, [""; 0]);
    let (cell, _) = document.cells().next().unwrap();
    assert_eq!(cell.code, "pub fn go() {}\n\nlet ü = 1;");
    assert_eq!(cell.id, "go");
    assert_eq!(cell.save.as_ref().unwrap().topic.as_deref(), Some("train"));
    for (line, start) in cell.code.lines().zip(&cell.line_starts) {
        assert!(document.source[*start..].starts_with(line));
    }
    assert_eq!(cell.line_starts.len(), 3);
    let caption = cell.attrs.caption.as_ref().unwrap();
    assert_eq!(caption[1].kind, math("x_1"));
    assert_eq!(&document.source[caption[1].span.range()], "$x_1$");
    assert_eq!(document.cells().count(), 1);
}

#[test]
fn equal_cells_have_different_ids() {
    let (document, _) = read("# T\n```rust\nx\n```\n```rust\nx\n```\n");
    let ids: Vec<_> = document.cells().map(|(cell, _)| cell.id.clone()).collect();
    assert_eq!(ids[1], format!("{}-2", ids[0]));
}

#[test]
fn fences_point_at_their_mistakes() {
    assert_eq!(mistakes("```rust, hidden\n```\n"), ["3:10: unknown attribute `hidden`"]);
    assert_eq!(
        mistakes("- a\n  ```rust\n  x\n  ```\n"),
        ["4:3: a cell stands at the margin of the chapter"]
    );
    assert_eq!(
        mistakes("```rust, caption=\"$x\"\n```\n"),
        ["3:19: this `$` opens no formula"]
    );
}

#[test]
fn figures_have_captions_and_descriptions() {
    let found = blocks("![A curve](img/a_b.svg \"The \\\"loss\\\" $l_1$ :cite:`x`\")\n");
    let BlockKind::Figure { path, alt, caption, .. } = &found[0] else {
        panic!("{found:?}")
    };
    assert_eq!((path.as_str(), alt.as_str()), ("img/a_b.svg", "A curve"));
    assert!(caption.iter().any(|inline| inline.kind == math("l_1")));
    assert!(caption.iter().any(|inline| matches!(inline.kind, InlineKind::Cite { .. })));
    assert!(matches!(inlines("see ![x](y.svg)")[1], InlineKind::Image { .. }));
}

#[test]
fn headings_footnotes_and_notes() {
    let found = blocks(
        "## Summary {-}\n\nOne[^n].\n\n[^n]: Note.\n\n> [!TIP]\n> Do.\n\n<!-- x -->\n",
    );
    assert!(matches!(&found[0], BlockKind::Heading { numbered: false, text: t, .. }
        if inline::plain_text(t) == "Summary"));
    assert!(matches!(&found[2], BlockKind::Footnote { name, .. } if name == "n"));
    assert!(matches!(&found[3], BlockKind::Admonition { kind, .. } if kind == "tip"));
    assert_eq!(found.len(), 4);
    assert_eq!(mistakes("One[^m]."), ["3:4: footnote `m` is not defined"]);
    assert_eq!(read("text").1, ["1:1: the chapter has no title"]);
    assert_eq!(mistakes("# B"), ["3:1: a second heading of level 1"]);
}

#[test]
fn deep_nesting_is_refused() {
    let (_, found) = read(&(">".repeat(5000) + " x"));
    assert!(found.iter().any(|d| d.contains("levels of nesting")), "{found:?}");
    read(&("*a **b ".repeat(3000)));
    read(&("[".repeat(3000) + &"](x)".repeat(3000)));
}

#[test]
fn regions_hold_what_stands_between_their_marks() {
    let found = blocks(
        "a\n:begin_tab:`x, y`\nb\n\n- c\n:end_tab:\n:begin_tab:`z`\nd\n:end_tab:\n\
         :begin_tab:`x`\ne\n:end_tab:\n\n> :begin_solution:\n> f\n> :end_solution:\n",
    );
    let [BlockKind::Paragraph(_), BlockKind::Tabs(one), BlockKind::Tabs(two), quote] =
        &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((&*one[0].names, one[0].blocks.len()), (&["x".into(), "y".into()][..], 2));
    assert_eq!((one.len(), two.len()), (2, 1));
    assert!(matches!(quote, BlockKind::Quote(inner)
        if matches!(&inner[..], [Block { kind: BlockKind::Solution { .. }, .. }])));
    assert_eq!(mistakes(":begin_tab:`x`\na\n"), ["3:1: `:begin_tab:` is never closed"]);
    assert_eq!(mistakes("a\n:end_tab:\n"), ["4:1: `:end_tab:` without its beginning"]);
    assert_eq!(
        mistakes(":begin_tab:`x`\n```rust\n1\n```\n:end_tab:\n"),
        ["4:1: a cell cannot stand in a tab"]
    );
}

#[test]
fn cells_of_solutions_are_run_in_order() {
    let (document, found) = read(
        "# T\n```rust\na\n```\n:begin_solution:\n```rust\nb\n```\n:end_solution:\n```rust\nc\n```\n",
    );
    assert_eq!(found, [""; 0]);
    let cells: Vec<_> = document.cells().map(|(cell, _)| cell.code.as_str()).collect();
    assert_eq!(cells, ["a", "b", "c"]);
}

#[test]
fn solutions_name_an_exercise_that_there_is() {
    let text = "## Exercises\n\n1. a\n1. b\n\n";
    let found = blocks(&format!("{text}:begin_solution:`2`\nc\n:end_solution:\n"));
    assert!(
        matches!(&found[3], BlockKind::Solution { exercise: Some(2), .. }),
        "{found:?}"
    );
    for wrong in ["3", "0", "x"] {
        assert_eq!(
            mistakes(&format!("{text}:begin_solution:`{wrong}`\nc\n:end_solution:\n")),
            [format!("8:1: there is no exercise `{wrong}`")]
        );
    }
}

#[test]
fn marks_of_slides_are_not_shown() {
    let shown = |body: &str| match &blocks(body)[0] {
        BlockKind::Paragraph(text) => inline::plain_text(text),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown("[**a $x$ `c`**], (**b**)."), "a x c, b.");
    let words = shown("a [~~b *c*\nd~~] e (~~f~~)");
    assert_eq!(words.split_whitespace().collect::<Vec<_>>(), ["a", "e"]);
    assert!(matches!(&inlines("[**a**](b.md)")[0], InlineKind::Link { .. }));
    assert_eq!(shown("f(**x) [y"), "f(**x) [y");
}
