use super::*;

const CONFIG: &str = r#"
title = "T"
front = ["front/preface"]
first-chapter = 2
[[chapter]]
path = "ch"
sections = ["one", { planned = "Later" }, "two"]
"#;

const BIB: &str =
    "@book{bishop, author = {Bishop, C.}, title = {B}, publisher = {S}, year = 2006}";

fn book(one: &str, two: &str) -> (Book, Vec<String>) {
    let texts = [
        ("front/preface", "# Preface\n:label:`preface`\n"),
        ("ch/index", "# Chapter\n:label:`chap`\n"),
        ("ch/one", one),
        ("ch/two", two),
    ];
    let (book, diagnostics) = Book::from_texts(CONFIG, &texts, Some(BIB)).unwrap();
    (book, diagnostics.iter().map(ToString::to_string).collect())
}

#[test]
fn parts_begin_with_their_chapters() {
    let config = "title = \"T\"\n[[chapter]]\npath = \"a\"\npart = \"Basics\"\n[[chapter]]\npath = \"b\"\n\
                  [[chapter]]\npath = \"c\"\npart = \"More\"\n";
    let texts = [("a/index", "# A\n"), ("b/index", "# B\n"), ("c/index", "# C\n")];
    let (book, _) = Book::from_texts(config, &texts, None).unwrap();
    assert_eq!(book.part(0), Some(("I".into(), "Basics")));
    assert_eq!(book.part(1), None);
    assert_eq!(book.part(2), Some(("II".into(), "More")));
    assert_eq!(super::roman(49), "XLIX");
}

#[test]
fn sections_are_numbered_in_order() {
    let (book, found) = book("# One", "# Two");
    assert_eq!(found, [""; 0]);
    let shown: Vec<_> =
        book.sections.iter().map(|s| (s.slug.as_str(), s.number.as_deref())).collect();
    assert_eq!(
        shown,
        [
            ("front/preface", None),
            ("ch/index", Some("2")),
            ("ch/one", Some("2.1")),
            ("ch/two", Some("2.3"))
        ]
    );
    let later = Planned { number: "2.2".into(), title: "Later".into(), after: 2 };
    assert_eq!(book.planned, [later]);
}

#[test]
fn each_kind_counts_by_itself() {
    let two = "# Two\n:label:`two`\n\n## A\n:label:`a`\n\n$$x$$\n:eqlabel:`e1`\n\n$$y$$\n\n\
               ![f](f.svg)\n:label:`f1`\n\n### B\n:label:`b`\n\n## C\n:label:`c`\n\n\
               ```rust, label=f2, caption=\"Loss\"\nplot()\n```\n\n$$z$$\n:eqlabel:`e2`\n\n\
               ## Summary {-}\n:label:`s`\n\n| x |\n|--|\n| 1 |\n:label:`t1`\n\n\
               See :eqref:`e1`, :eqref:`e2`.";
    let (book, found) = book("# One", two);
    assert_eq!(found, [""; 0]);
    let shown: Vec<_> =
        ["two", "a", "b", "c", "s", "e1", "e2", "f1", "f2", "t1", "chap", "preface"]
            .map(|label| (label, book.labels[label].number.as_str()))
            .into();
    assert_eq!(
        shown,
        [
            ("two", "2.3"),
            ("a", "2.3.1"),
            ("b", "2.3.1.1"),
            ("c", "2.3.2"),
            ("s", ""),
            ("e1", "2.3.1"),
            ("e2", "2.3.2"),
            ("f1", "2.3.1"),
            ("f2", "2.3.2"),
            ("t1", "2.3.1"),
            ("chap", "2"),
            ("preface", ""),
        ]
    );
    assert_eq!(book.labels["chap"].kind, TargetKind::Chapter);
    assert_eq!(book.labels["f2"].anchor, "f2");
    assert_eq!(book.labels["a"].anchor, "a");
    let numbers = &book.sections[3].numbers;
    assert_eq!(
        numbers.len(),
        8,
        "the unnumbered heading and formula have none: {numbers:?}"
    );
}

#[test]
fn references_that_lead_nowhere_are_mistakes() {
    let one = "# One\n:label:`one`\n\nSee :numref:`onee`, :cite:`bishp`, :eqref:`one`,\n\
               [x](two.md), [y](three.md) and :citet:`bishop`.\n";
    let (book, found) = book(one, "# Two\n:label:`one`\n");
    assert_eq!(
        found,
        [
            "book/ch/two.md:2:1: error: label `one` is given twice",
            "book/ch/one.md:4:5: error: unknown label `onee`",
            "book/ch/one.md:4:21: error: nothing in the bibliography is called `bishp`",
            "book/ch/one.md:4:36: error: `one` is not an equation",
            "book/ch/one.md:5:14: error: `three.md` is not a page of the book",
        ]
    );
    let keys: Vec<_> =
        book.references.iter().map(|reference| reference.key.as_str()).collect();
    assert_eq!(keys, ["bishop"]);
}

#[test]
fn a_footnote_that_nothing_uses_is_a_warning() {
    let (_, found) = book("# One\n\n[^n]: Note.\n", "# Two");
    assert_eq!(found, ["book/ch/one.md:3:1: warning: nothing refers to footnote `n`"]);
}

#[test]
fn a_missing_page_is_a_mistake_of_the_contents() {
    let (_, diagnostics) =
        Book::from_texts(CONFIG, &[("ch/index", "# C")], None).unwrap();
    let shown: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[0],
        "book/book.toml:3:11: error: `front/preface` has no file book/front/preface.md"
    );
    assert_eq!(
        shown[1],
        "book/book.toml:7:14: error: `ch/one` has no file book/ch/one.md"
    );
    assert_eq!(shown.len(), 3);
}

#[test]
fn links_follow_folders() {
    let (book, _) = book("# One", "# Two");
    assert_eq!(book.linked_section(2, "two.md#a"), Some(3));
    assert_eq!(book.linked_section(2, "../front/preface.md"), Some(0));
    assert_eq!(book.linked_section(2, "../../x.md"), None);
}
