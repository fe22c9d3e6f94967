use super::*;
use crate::run::output::Output;
use std::collections::BTreeSet;

const CONFIG: &str =
    "title = \"T & U\"\n[[chapter]]\npath = \"ch\"\nsections = [\"one\"]\n";

const ONE: &str = "\
# One $x$
:label:`one`

Text with `code`, *stress*, $a < b$, a note[^n], :numref:`eq`-free :eqref:`eq`,
:numref:`fig`, :numref:`tab`, [the chapter](index.md) and :citet:`bishop`.

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

| a | b |
|:--|--:|
| 1 | 2 |

: Numbers. :label:`tab`
";

const BIB: &str =
    "@book{bishop, author = {Bishop, C.}, title = {B}, publisher = {S}, year = 2006}";

fn woven(one: &str, outputs: Vec<Vec<Output>>) -> Result<Vec<OutFile>, Vec<Diagnostic>> {
    let texts = [
        ("ch/index", "# Chapter\n:label:`ch`\n\nSee :numref:`part`.\n"),
        ("ch/one", one),
    ];
    let (book, found) = Book::from_texts(CONFIG, &texts, Some(BIB)).unwrap();
    let wrong: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(!crate::diagnostic::has_errors(&found), "{wrong:#?}");
    let outputs = vec![SectionOutputs::default(), SectionOutputs { cells: outputs }];
    weave(&book, &outputs, &Theme::default(), &Downloads::default(), &mut Memo::default())
}

#[test]
fn pages_from_memory_are_the_pages_made_anew() {
    let mut memo = Memo::default();
    let opening = "# Chapter\n:label:`ch`\n\nSee :numref:`part`, :numref:`fig`.\n";
    let mut edit = |config: &str,
                    opening: &str,
                    one: &str,
                    printed: &str|
     -> Vec<String> {
        let texts = [("ch/index", opening), ("ch/one", one)];
        let (book, _) = Book::from_texts(config, &texts, Some(BIB)).unwrap();
        let printed = Output::Stream { name: "stdout".into(), text: printed.to_owned() };
        let outputs =
            [SectionOutputs::default(), SectionOutputs { cells: vec![vec![printed]] }];
        let weave = |memo: &mut Memo| {
            weave(&book, &outputs, &Theme::default(), &Downloads::default(), memo)
                .unwrap()
        };
        let before: Vec<String> = memo.addresses();
        let files = weave(&mut memo);
        assert_eq!(files, weave(&mut Memo::default()));
        let mut made = memo.addresses();
        made.retain(|page| !before.contains(page));
        made.iter().map(|page| page.split(' ').next().unwrap().to_owned()).collect()
    };
    let (one, both): (Vec<String>, Vec<String>) =
        (vec!["ch/one".into()], vec!["ch/index".into(), "ch/one".into()]);
    assert_eq!(edit(CONFIG, opening, ONE, "1"), both);
    assert_eq!(edit(CONFIG, opening, ONE, "1"), [""; 0]);
    // Only the page itself shows its prose, its outputs and the text of its cells.
    assert_eq!(edit(CONFIG, opening, &ONE.replace("Text", "Words"), "1"), one);
    assert_eq!(edit(CONFIG, opening, ONE, "2"), one);
    // Others show a title, a caption, a number and the settings.
    assert_eq!(edit(CONFIG, opening, &ONE.replace("# One", "# Two"), "2"), both);
    assert_eq!(edit(CONFIG, opening, &ONE.replace("A drawing", "A plot"), "2"), both);
    let moved = ONE.replace("## Part", "![A](a.png)\n\n## Part");
    assert_eq!(edit(CONFIG, opening, &moved, "2"), both);
    assert_eq!(edit(&CONFIG.replace("T & U", "V"), opening, &moved, "2"), both);
}

fn text_of(files: &[OutFile], path: &str) -> String {
    let file =
        files.iter().find(|f| f.path.as_os_str() == path).expect("this page is made");
    String::from_utf8(file.bytes.clone()).unwrap()
}

fn drawing() -> Vec<Output> {
    let svg = "<svg viewBox=\"0 0 1 1\"><path id=\"p\"/></svg>".to_owned();
    vec![Output::Result { data: [("image/svg+xml".to_owned(), svg)].into() }]
}

fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let mark = format!(" {attribute}=\"");
    html.split(&mark).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_link_leads_to_a_place_that_exists() {
    let one = ONE.replace(":numref:`eq`-free ", "");
    let files = woven(&one, vec![drawing()]).unwrap();
    let mut places = BTreeSet::new();
    for file in &files {
        let path = file.path.to_string_lossy().into_owned();
        if path.ends_with(".html") {
            let html = text_of(&files, &path);
            let ids = values(&html, "id");
            let unique: BTreeSet<_> = ids.iter().collect();
            assert_eq!(ids.len(), unique.len(), "an id occurs twice in {path}: {ids:?}");
            places.extend(ids.iter().map(|id| format!("{path}#{id}")));
        }
        places.insert(path);
    }
    let mut count = 0;
    for file in files.iter().filter(|f| f.path.extension().is_some_and(|e| e == "html")) {
        let html = text_of(&files, &file.path.to_string_lossy());
        let folder = file.path.parent().unwrap().to_string_lossy().into_owned();
        for link in values(&html, "href").into_iter().chain(values(&html, "src")) {
            if link.contains("://") || link.starts_with("data:") {
                continue;
            }
            let target = match link.strip_prefix('#') {
                Some(anchor) => format!("{}#{anchor}", file.path.display()),
                None => match link.strip_prefix("../") {
                    Some(rest) => rest.to_owned(),
                    None if folder.is_empty() => link.to_owned(),
                    None => format!("{folder}/{link}"),
                },
            };
            count += 1;
            assert!(
                places.contains(&target),
                "{}: {link} leads nowhere",
                file.path.display()
            );
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn a_page_says_what_the_chapter_says() {
    let one = ONE.replace(":numref:`eq`-free ", "");
    let files = woven(&one, vec![drawing()]).unwrap();
    let page = text_of(&files, "ch/one.html");
    for part in [
        "<em>stress</em>",
        "<code>code</code>",
        "href=\"#eq\">(1.1.1)</a>",
        "href=\"#fig\">Figure&nbsp;1.1.1</a>",
        "<div class=\"equation\" id=\"eq\">",
        "aria-label=\"A line.\"",
        "<path id=\"d1-p\"/>",
        "<span class=\"number\">Figure 1.1.1</span> A drawing.",
        "<span class=\"number\">Table 1.1.1</span> Numbers.",
        "<td class=\"right\">2</td>",
        "Bishop (2006)",
        "T &amp; U",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    let chapter = text_of(&files, "ch/index.html");
    let link = chapter.split("one.html#part\"").nth(1).expect("a link to the part");
    assert!(
        link.split("</a>").next().unwrap().ends_with(">Section&nbsp;1.1.1"),
        "{link}"
    );
}

#[test]
fn the_index_has_words_below_words_and_a_place_for_each() {
    let one = "# One\n\n## Part\n:label:`part`\n\nThe gradient:index:`gradient` is clipped:index:`gradient!clipping` in \
               *gradient descent*.:index:`gradient descent`:index:`Gradient`\n";
    let files = woven(one, vec![]).unwrap();
    let page = text_of(&files, "ch/one.html");
    assert!(!page.contains(":index:"), "{page}");
    let index = text_of(&files, "book-index.html");
    let places: Vec<&str> = index
        .split("one.html#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let at = |word: &str| places.iter().position(|p| p.starts_with(word)).expect(word);
    assert!(at("index-gradient-clipping") < at("index-gradient-descent"), "{places:?}");
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), 4, "{places:?}");
    for place in places {
        assert_eq!(page.matches(&format!("id=\"{place}\"")).count(), 1, "{place}");
    }
}

/// The addresses in the `content` of a page's `og:image`, without the site's.
fn card_of(files: &[OutFile], page: &str, url: &str) -> Option<String> {
    let html = text_of(files, page);
    let rest = html.split("<meta property=\"og:image\" content=\"").nth(1)?;
    Some(rest.split('"').next()?.strip_prefix(url).expect("a full address").to_owned())
}

#[test]
fn every_page_of_a_published_site_has_a_card_drawn_once() {
    let config = format!("{CONFIG}[site]\nurl = \"https://x.org/book/\"\n");
    let texts = [("ch/index", "# Chapter\n"), ("ch/one", "# One $x$\n\nIt begins.\n")];
    let mut memo = Memo::default();
    let mut woven = |config: &str| {
        let (book, _) = Book::from_texts(config, &texts, None).unwrap();
        weave(&book, &[], &Theme::default(), &Downloads::default(), &mut memo).unwrap()
    };
    let cards = |files: &[OutFile]| -> Vec<String> {
        ["index.html", "ch/index.html", "ch/one.html"]
            .iter()
            .filter_map(|page| card_of(files, page, "https://x.org/book/"))
            .collect()
    };
    let bytes = |files: &[OutFile], path: &str| {
        let file = files.iter().find(|file| file.path == std::path::Path::new(path));
        file.expect("the card is a file of the site").bytes.clone()
    };
    let files = woven(&config);
    let before = cards(&files);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3, "{before:?}");
    for card in &before {
        let png = bytes(&files, card);
        assert!(png.starts_with(b"\x89PNG"));
        // Width and height, as every PNG begins.
        let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((side(16), side(20)), card::SIZE);
    }
    assert!(text_of(&files, "ch/one.html").contains("content=\"It begins.\""));
    // A card that is known is taken as it is; another title makes another card.
    let mut memo = Memo::default();
    memo.keep_card(before[2].clone(), b"known".to_vec());
    memo.keep_card("cards/old.png".into(), b"old".to_vec());
    let mut again = |title: &str| {
        let config = config.replace("T & U", title);
        let (book, _) = Book::from_texts(&config, &texts, None).unwrap();
        weave(&book, &[], &Theme::default(), &Downloads::default(), &mut memo).unwrap()
    };
    let files = again("T & U");
    assert_eq!(cards(&files), before);
    assert_eq!(bytes(&files, &before[2]), b"known");
    assert!(files.iter().all(|file| file.path != std::path::Path::new("cards/old.png")));
    let after = cards(&again("Another"));
    assert!(after.iter().all(|card| !before.contains(card)), "{after:?}");
}

#[test]
fn a_site_without_an_address_has_no_cards() {
    let files = woven(&ONE.replace(":numref:`eq`-free ", ""), vec![drawing()]).unwrap();
    assert_eq!(card_of(&files, "ch/one.html", ""), None);
    assert!(files.iter().all(|file| !file.path.starts_with("cards")));
}

#[test]
fn a_formula_that_cannot_be_set_is_pointed_at() {
    let problems =
        woven("# One\n\nLet $a + \\nosuch b$ be.\n\n## P\n:label:`part`\n", Vec::new())
            .unwrap_err();
    let shown = problems[0].to_string();
    assert!(
        shown.contains("ch/one.md:3:10: error: a formula that cannot be set"),
        "{shown}"
    );
}
