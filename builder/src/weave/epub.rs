//! Book + outputs → an e-book, EPUB 3: the site's pages as XHTML, without scripts.
//!
//! The same book gives the same bytes.

use super::html::svg::without;
use super::html::{self, Format, Page, escape, root_of};
use super::math::MathMl;
use super::{OutFile, Theme, image, reference, zip_options};
use crate::book::{Book, Role};
use crate::diagnostic::Diagnostic;
use crate::document::Span;
use crate::document::inline::plain_text;
use crate::run::output::SectionOutputs;
use roxmltree::ParsingOptions;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

/// Makes the e-book.
///
/// # Errors
/// Every formula that cannot be set, and pages that are not XML because of a cell's own HTML.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn weave(
    book: &Book,
    outputs: &[SectionOutputs],
    theme: &Theme,
) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let leaves = leaves(book, outputs, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for section in &book.sections {
        let images = html::images(book, section).into_iter();
        // Drawings stand in the pages.
        let images =
            images.filter(|image| image.path.extension().is_none_or(|e| e != "svg"));
        files.extend(images.map(named));
    }
    files.insert("book.css".into(), theme.file("epub/book.css").unwrap_or_default());
    files.insert(
        "code.css".into(),
        theme.file("html/static/code.css").unwrap_or_default(),
    );
    for font in FONTS {
        let bytes = theme.file(&format!("html/static/fonts/{font}")).unwrap_or_default();
        files.insert(format!("fonts/{font}"), bytes);
    }
    let mut pages = vec![cover(book), contents(book, &leaves)];
    pages.extend(leaves.into_iter().map(|leaf| {
        files.extend(leaf.pictures.into_iter().map(named));
        (format!("{}.xhtml", leaf.slug), leaf.xhtml)
    }));
    Ok(packed(book, &pages, &files))
}

const FONTS: [&str; 4] =
    ["serif-regular.woff2", "serif-italic.woff2", "serif-bold.woff2", "math.woff2"];

/// A page of the book.
struct Leaf {
    slug: String,
    /// `2.4 Calculus`
    title: String,
    /// `Part I: Foundations`, if one begins with it.
    part: Option<String>,
    /// A section stands below the page of its chapter.
    role: Role,
    xhtml: String,
    pictures: Vec<OutFile>,
}

fn leaves(
    book: &Book,
    outputs: &[SectionOutputs],
    problems: &mut Vec<Diagnostic>,
) -> Vec<Leaf> {
    let math = MathMl::new();
    let none = SectionOutputs::default();
    let mut leaves = Vec::new();
    for (index, section) in book.sections.iter().enumerate() {
        let outputs = outputs.get(index).unwrap_or(&none);
        let body = Page::new(book, index, outputs, Format::Epub, &math, problems).body();
        let number = section.number.as_ref().map_or(String::new(), |n| format!("{n} "));
        let title = format!("{number}{}", plain_text(&section.document.title));
        let number = match number.as_str() {
            "" => String::new(),
            number => format!("<span class=\"number\">{}</span> ", number.trim_end()),
        };
        let heading = format!("<h1>{number}{}</h1>\n{}", body.title, body.html);
        let xhtml = xhtml(book, &section.slug, &title, &heading);
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        if let Err(error) = roxmltree::Document::parse_with_options(&xhtml, options) {
            let document = &section.document;
            let first = Span::new(0..document.source.lines().next().map_or(0, str::len));
            let message = format!("its page in the e-book is not XML: {error}");
            problems.push(Diagnostic::error(document, first, message));
        }
        leaves.push(Leaf {
            slug: section.slug.clone(),
            title,
            part: reference::part_title(book, index),
            role: section.role,
            xhtml,
            pictures: body.pictures,
        });
    }
    let mut special = |slug: &str, title: &str, body: Option<String>| {
        let Some(body) = body else { return };
        let heading = format!("<h1>{title}</h1>\n{body}");
        leaves.push(Leaf {
            slug: slug.into(),
            title: title.into(),
            part: None,
            role: Role::FrontMatter,
            xhtml: xhtml(book, slug, title, &heading),
            pictures: Vec::new(),
        });
    };
    let page = Page::new(book, 0, &none, Format::Epub, &math, problems);
    special("references", "References", page.references());
    let page = Page::new(book, 0, &none, Format::Epub, &math, problems);
    special(html::INDEX, "Index", page.word_index());
    leaves
}

/// A page as a file.
fn xhtml(book: &Book, slug: &str, title: &str, body: &str) -> String {
    let (language, mut title) = (escape(&book.config.language), escape(title));
    title.retain(is_of_xml);
    let root = root_of(slug);
    let mut body = older(&body.replace("&nbsp;", "\u{a0}"));
    body.retain(is_of_xml);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html>\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" xmlns:epub=\"http://www.idpf.org/2007/ops\" \
         lang=\"{language}\" xml:lang=\"{language}\">\n<head>\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{root}book.css\"/>\n\
         <link rel=\"stylesheet\" href=\"{root}code.css\"/>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// Whether XML can hold a character: most that control a terminal it cannot.
fn is_of_xml(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The page in the versions of MathML and SVG that e-books have: MathML 3 gives the size of fractions
/// and tables by an element around them, has no HTML in words, and SVG 1.1 leaves pixels to style.
fn older(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    // Open fractions and tables: whether they are in an element of ours.
    let mut open: Vec<bool> = Vec::new();
    let mut in_words = false;
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        let end = rest[start..].find('>').map_or(rest.len(), |at| start + at + 1);
        let tag = &rest[start..end];
        rest = &rest[end..];
        let name = tag.trim_start_matches(['<', '/']);
        let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
        match (name, tag.starts_with("</")) {
            ("mfrac" | "mtable", false) => {
                let (style, tag) = without(tag, &["displaystyle", "scriptlevel"]);
                open.push(!style.is_empty());
                if !style.is_empty() {
                    let _ = write!(out, "<mstyle{style}>");
                }
                out.push_str(&tag);
            }
            ("mfrac" | "mtable", true) => {
                out.push_str(tag);
                if open.pop() == Some(true) {
                    out.push_str("</mstyle>");
                }
            }
            ("mtext", is_end) => {
                in_words = !is_end;
                out.push_str(tag);
            }
            ("span", _) if in_words => {}
            ("math", false) => {
                out.push_str("<math xmlns=\"http://www.w3.org/1998/Math/MathML\"");
                out.push_str(&tag["<math".len()..]);
            }
            ("image" | "g", false) => {
                let (pixels, tag) = without(tag, &["image-rendering"]);
                let style = " style=\"image-rendering: pixelated\"";
                let style = if pixels.is_empty() { "" } else { style };
                out.push_str(&tag.replacen(name, &format!("{name}{style}"), 1));
            }
            _ => out.push_str(tag),
        }
    }
    out + rest
}

fn cover(book: &Book) -> (String, String) {
    let config = &book.config;
    let line = |class: &str, text: &Option<String>| {
        text.as_ref().map_or(String::new(), |text| {
            format!("<p class=\"{class}\">{}</p>\n", escape(text))
        })
    };
    let body = format!(
        "<section class=\"cover\" epub:type=\"titlepage\">\n<h1>{}</h1>\n{}<p class=\"authors\">{}</p>\n{}{}</section>\n",
        escape(&config.title),
        line("subtitle", &config.subtitle),
        escape(&config.authors.join(", ")),
        line("description", &config.description),
        line("date", &config.date),
    );
    ("cover.xhtml".into(), xhtml(book, "cover", &config.title, &body))
}

/// The contents, for readers and for reading systems.
fn contents(book: &Book, leaves: &[Leaf]) -> (String, String) {
    let mut list = String::new();
    let mut leaves = leaves.iter().peekable();
    let link = |leaf: &Leaf| {
        format!("<a href=\"{}.xhtml\">{}</a>", escape(&leaf.slug), escape(&leaf.title))
    };
    let mut in_part = false;
    let end_part = |list: &mut String, in_part: &mut bool| {
        if std::mem::take(in_part) {
            list.push_str("</ol>\n</li>\n");
        }
    };
    while let Some(leaf) = leaves.next() {
        if let Some(part) = &leaf.part {
            end_part(&mut list, &mut in_part);
            let _ = writeln!(list, "<li><span>{}</span>\n<ol>", escape(part));
            in_part = true;
        } else if leaf.role != Role::Chapter {
            end_part(&mut list, &mut in_part);
        }
        let _ = write!(list, "<li>{}", link(leaf));
        let mut below = String::new();
        while let Some(section) = leaves.next_if(|next| next.role == Role::Section) {
            let _ = writeln!(below, "<li>{}</li>", link(section));
        }
        if !below.is_empty() {
            let _ = write!(list, "\n<ol>\n{below}</ol>\n");
        }
        list.push_str("</li>\n");
    }
    end_part(&mut list, &mut in_part);
    let body = format!(
        "<nav epub:type=\"toc\" id=\"toc\">\n<h1>Contents</h1>\n<ol>\n{list}</ol>\n</nav>\n"
    );
    (CONTENTS.into(), xhtml(book, "contents", "Contents", &body))
}

const CONTENTS: &str = "contents.xhtml";

fn named(file: OutFile) -> (String, Vec<u8>) {
    (file.path.to_string_lossy().replace('\\', "/"), file.bytes)
}

/// The container of pages and files.
fn packed(
    book: &Book,
    pages: &[(String, String)],
    files: &BTreeMap<String, Vec<u8>>,
) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let deflated = zip_options();
    // First and as it is: by it a file is known for an e-book.
    let stored = deflated.compression_method(zip::CompressionMethod::Stored);
    let mut put = |path: &str, bytes: &[u8], options| {
        zip.start_file(path, options).expect("writing to memory");
        zip.write_all(bytes).expect("writing to memory");
    };
    put("mimetype", b"application/epub+zip", stored);
    put("META-INF/container.xml", CONTAINER.as_bytes(), deflated);
    put("book/package.opf", package(book, pages, files).as_bytes(), deflated);
    for (path, text) in pages {
        put(&format!("book/{path}"), text.as_bytes(), deflated);
    }
    for (path, bytes) in files {
        put(&format!("book/{path}"), bytes, deflated);
    }
    zip.finish().expect("writing to memory").into_inner()
}

const CONTAINER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <container version=\"1.0\" xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\">\n\
    <rootfiles><rootfile full-path=\"book/package.opf\" media-type=\"application/oebps-package+xml\"/>\
    </rootfiles>\n</container>\n";

/// What the e-book is, and what it is made of.
fn package(
    book: &Book,
    pages: &[(String, String)],
    files: &BTreeMap<String, Vec<u8>>,
) -> String {
    let config = &book.config;
    let identifier = match &config.site.url {
        Some(url) => url.clone(),
        None => format!("urn:d2l:{}", config.slug()),
    };
    let (mut manifest, mut spine) = (String::new(), String::new());
    for (number, (path, text)) in pages.iter().enumerate() {
        let properties = [
            ("nav", path == CONTENTS),
            ("mathml", text.contains("<math")),
            ("svg", text.contains("<svg")),
        ];
        let properties: Vec<&str> =
            properties.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        let properties = match properties.is_empty() {
            true => String::new(),
            false => format!(" properties=\"{}\"", properties.join(" ")),
        };
        let _ = writeln!(
            manifest,
            "<item id=\"page-{number}\" href=\"{}\" media-type=\"application/xhtml+xml\"{properties}/>",
            escape(path)
        );
        let _ = writeln!(spine, "<itemref idref=\"page-{number}\"/>");
    }
    for (number, path) in files.keys().enumerate() {
        let _ = writeln!(
            manifest,
            "<item id=\"file-{number}\" href=\"{}\" media-type=\"{}\"/>",
            escape(path),
            mime(path)
        );
    }
    let mut about = String::new();
    for author in &config.authors {
        let _ = writeln!(about, "<dc:creator>{}</dc:creator>", escape(author));
    }
    if let Some(description) = &config.description {
        let _ =
            writeln!(about, "<dc:description>{}</dc:description>", escape(description));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <package xmlns=\"http://www.idpf.org/2007/opf\" version=\"3.0\" unique-identifier=\"book-id\" xml:lang=\"{language}\">\n\
         <metadata xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n\
         <dc:identifier id=\"book-id\">{identifier}</dc:identifier>\n\
         <dc:title>{title}</dc:title>\n<dc:language>{language}</dc:language>\n{about}\
         <meta property=\"dcterms:modified\">{modified}</meta>\n{ACCESSIBLE}</metadata>\n\
         <manifest>\n{manifest}</manifest>\n<spine>\n{spine}</spine>\n</package>\n",
        language = escape(&config.language),
        identifier = escape(&identifier),
        title = escape(&config.title),
        modified = modified(config.date.as_deref()),
    )
}

const ACCESSIBLE: &str = "\
    <meta property=\"schema:accessMode\">textual</meta>\n\
    <meta property=\"schema:accessMode\">visual</meta>\n\
    <meta property=\"schema:accessModeSufficient\">textual</meta>\n\
    <meta property=\"schema:accessibilityFeature\">MathML</meta>\n\
    <meta property=\"schema:accessibilityFeature\">alternativeText</meta>\n\
    <meta property=\"schema:accessibilityFeature\">structuralNavigation</meta>\n\
    <meta property=\"schema:accessibilityFeature\">tableOfContents</meta>\n\
    <meta property=\"schema:accessibilityHazard\">none</meta>\n\
    <meta property=\"schema:accessibilitySummary\">Formulas are MathML; drawings have descriptions.</meta>\n";

/// The start of the day, or of the year, that the book names.
fn modified(date: Option<&str>) -> String {
    let mut parts =
        date.unwrap_or_default().split('-').map(|part| part.trim().parse::<u16>().ok());
    let mut part = |least: u16, most: u16| {
        parts.next().flatten().filter(|number| (least..=most).contains(number))
    };
    let year = part(1000, 9999).unwrap_or(2000);
    let month = part(1, 12);
    let day = month.and_then(|_| part(1, 31));
    format!("{year}-{:02}-{:02}T00:00:00Z", month.unwrap_or(1), day.unwrap_or(1))
}

fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "css" => "text/css",
        "woff2" => "font/woff2",
        _ => image::mime(path),
    }
}

#[cfg(test)]
mod tests {
    use super::{modified, older};

    #[test]
    fn formulas_and_drawings_are_those_of_older_standards() {
        let page = "a<math><mtable displaystyle=\"true\" scriptlevel=\"0\"><mfrac><mtext><span class=\"x\">o</span>\
            </mtext></mfrac></mtable></math><image image-rendering=\"pixelated\" x=\"1\"/><span>s</span> b";
        assert_eq!(
            older(page),
            "a<math xmlns=\"http://www.w3.org/1998/Math/MathML\"><mstyle displaystyle=\"true\" scriptlevel=\"0\">\
             <mtable><mfrac><mtext>o</mtext></mfrac></mtable></mstyle></math>\
             <image style=\"image-rendering: pixelated\" x=\"1\"/><span>s</span> b"
        );
    }

    #[test]
    fn a_book_is_as_old_as_it_says() {
        assert_eq!(modified(Some("2026-02-03")), "2026-02-03T00:00:00Z");
        assert_eq!(modified(Some("2026")), "2026-01-01T00:00:00Z");
        assert_eq!(modified(Some("spring")), "2000-01-01T00:00:00Z");
        assert_eq!(modified(None), "2000-01-01T00:00:00Z");
    }
}
