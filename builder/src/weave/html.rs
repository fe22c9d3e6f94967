//! Book + outputs → a site of static files that works from a web server and from a folder.

mod blocks;
mod card;
mod highlight;
mod memo;
mod offline;
mod search;
pub(super) mod svg;

use super::image::Image;
use super::math::MathMl;
use super::{OutFile, Theme, reference};
use crate::book::{Book, Role, Section};
use crate::config::Version;
use crate::diagnostic::Diagnostic;
use crate::document::inline::{plain_text, walk_blocks};
use crate::document::{BlockKind, InlineKind};
use crate::run::output::SectionOutputs;
pub(super) use blocks::{Body, Format, Page};
use card::Card;
pub use memo::Memo;
use memo::Woven;
use minijinja::{AutoEscape, Environment, context};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the site links to beside its own pages.
#[derive(Debug, Clone, Default)]
pub struct Downloads {
    /// The printed book, relative to the site.
    pub pdf: Option<String>,
    /// The e-book, relative to the site.
    pub epub: Option<String>,
    /// All notebooks, relative to the site.
    pub zip: Option<String>,
    /// The folder of single notebooks, relative to the site.
    pub notebooks: Option<String>,
}

/// Makes the site: a page for each section, the contents, the references, and what they need.
///
/// Pages that `memo` holds from the last weaving, and that would be the same, are not made again.
///
/// # Errors
/// Every formula that cannot be set, and a theme that is not a template.
pub fn weave(
    book: &Book,
    outputs: &[SectionOutputs],
    theme: &Theme,
    downloads: &Downloads,
    memo: &mut Memo,
) -> Result<Vec<OutFile>, Vec<Diagnostic>> {
    let math = MathMl::new();
    let mut problems = Vec::new();
    let none = SectionOutputs::default();
    let references =
        Page::new(book, 0, &none, Format::Site, &math, &mut problems).references();
    let words =
        Page::new(book, 0, &none, Format::Site, &math, &mut problems).word_index();
    let templates =
        Templates::new(theme, words.is_some()).map_err(|error| vec![*error])?;
    let frame = memo::frame(book, theme, downloads, words.is_some());
    let site = &book.config.site;
    // Others ask for a card by its full address, which only a published site has.
    let cards = |index| site.url.as_ref().map(|_| card::plan(book, theme, index));
    let mut shown: Vec<Card> = cards(None).into_iter().collect();
    let cover_card = shown.first().map(|card| card.path.clone());
    let mut woven = Vec::new();
    for (index, section) in book.sections.iter().enumerate() {
        let outputs = outputs.get(index).unwrap_or(&none);
        let images = images(book, section);
        let card = cards(Some(index));
        let card_path = card.as_ref().map(|card| card.path.clone());
        shown.extend(card);
        let key = memo::key(frame, section, outputs, &images);
        if let Some(known) = memo.page(&section.slug, key) {
            woven.push(known.clone());
            continue;
        }
        let wrong = problems.len();
        let body =
            Page::new(book, index, outputs, Format::Site, &math, &mut problems).body();
        if problems.len() > wrong {
            continue;
        }
        let page =
            PageData { card: card_path, ..page_data(book, index, downloads, body) };
        let page = templates.render(book, downloads, "page.html", page, Some(index))?;
        let digest = blake3::hash(&page.bytes);
        let words = search::words(book, section);
        let made = Woven { page, digest, images, words };
        memo.keep(&section.slug, key, made.clone());
        woven.push(made);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut files = Vec::new();
    // Several pages may show one image.
    let mut images = BTreeMap::new();
    let mut parts = Vec::new();
    let mut digests = BTreeMap::new();
    for section in woven {
        digests.insert(section.page.path.clone(), section.digest);
        files.push(section.page);
        images.extend(section.images.into_iter().map(|image| (image.path, image.bytes)));
        parts.push(section.words);
    }
    let special = |slug: &str, title: &str, body: String| PageData {
        slug: slug.into(),
        title: title.into(),
        heading: title.into(),
        role: "front",
        body,
        card: cover_card.clone(),
        ..PageData::default()
    };
    let cover = special("index", &book.config.title, String::new());
    files.push(templates.render(book, downloads, "index.html", cover, None)?);
    if let Some(references) = references {
        let page = special("references", "References", references);
        files.push(templates.render(book, downloads, "page.html", page, None)?);
    }
    if let Some(words) = words {
        let page = special(INDEX, "Index", words);
        files.push(templates.render(book, downloads, "page.html", page, None)?);
    }
    let lost = PageData {
        // It is shown at any address, so only the site's own address leads back.
        root: site.url.clone().unwrap_or_default(),
        ..special("404", "Not Found", LOST.into())
    };
    files.push(templates.render(book, downloads, "page.html", lost, None)?);
    files.extend(site.url.as_ref().map(|url| sitemap(book, url)));
    files.extend(card::draw(&shown, theme, memo)?);
    files.push(search::index(&parts));
    files.extend(images.into_iter().map(|(path, bytes)| OutFile { path, bytes }));
    for file in theme.files_below("html/static") {
        let path = file.path.strip_prefix("html").unwrap_or(&file.path).to_owned();
        files.push(OutFile { path, ..file });
    }
    files.push(offline::manifest(book));
    files.push(offline::worker(&files, &digests, theme));
    Ok(files)
}

/// The theme's templates of pages.
const TEMPLATES: [&str; 3] = ["base.html", "page.html", "index.html"];

/// The page of the book's index.
pub(super) const INDEX: &str = "book-index";
const LOST: &str = "<p>There is no such page in this book. It may have moved: the search \
    above and the contents beside this text know where everything is.</p>";

/// The variables of a section's page.
fn page_data(book: &Book, index: usize, downloads: &Downloads, body: Body) -> PageData {
    let section = &book.sections[index];
    let notebook = downloads.notebooks.as_ref().filter(|_| has_notebook(section));
    PageData {
        slug: section.slug.clone(),
        root: root_of(&section.slug),
        title: plain_text(&section.document.title),
        heading: body.title,
        number: section.number.clone(),
        role: match section.role {
            Role::FrontMatter => "front",
            Role::Chapter => "chapter",
            Role::Section => "section",
        },
        body: body.html,
        description: description(section),
        contents: body.contents,
        previous: index.checked_sub(1).map(|i| Link::to(book, i)),
        next: book.sections.get(index + 1).map(|_| Link::to(book, index + 1)),
        notebook: notebook.map(|folder| format!("{folder}/{}.ipynb", section.slug)),
        source: site_link(book.config.site.source.as_ref(), section),
        discussion: site_link(book.config.site.discussion.as_ref(), section),
        card: None,
        launch: (book.config.site.launch.iter())
            .filter(|_| has_notebook(section))
            .map(|(name, url)| Launch {
                name: name.clone(),
                url: url.replace("{slug}", &section.slug),
            })
            .collect(),
    }
}

/// The beginning of the page's first paragraph, for search engines and cards.
fn description(section: &Section) -> Option<String> {
    let first = section.document.blocks.iter().find_map(|block| match &block.kind {
        BlockKind::Paragraph(text) => Some(plain_text(text)),
        _ => None,
    })?;
    let mut words = String::new();
    for word in first.split_whitespace() {
        if words.chars().count() + word.chars().count() > DESCRIPTION {
            words.push('…');
            break;
        }
        words.extend([if words.is_empty() { "" } else { " " }, word]);
    }
    Some(words)
}

/// How many characters search engines show of a description.
const DESCRIPTION: usize = 160;

/// An address from the settings, for this page.
fn site_link(pattern: Option<&String>, section: &Section) -> Option<String> {
    pattern.map(|pattern| pattern.replace("{slug}", &section.slug))
}

/// All pages, for search engines.
fn sitemap(book: &Book, url: &str) -> OutFile {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    let slugs = book.sections.iter().map(|section| section.slug.as_str());
    for slug in std::iter::once("index").chain(slugs) {
        let address = escape(&format!("{url}{slug}.html"));
        xml.push_str(&format!("<url><loc>{address}</loc></url>\n"));
    }
    xml.push_str("</urlset>\n");
    OutFile { path: "sitemap.xml".into(), bytes: xml.into_bytes() }
}

/// Whether the section has a notebook: all but the openings of chapters without a cell.
pub(crate) fn has_notebook(section: &Section) -> bool {
    section.role != Role::Chapter || section.document.cells().next().is_some()
}

/// Images that a page shows by their address.
pub(super) fn images(book: &Book, section: &Section) -> Vec<OutFile> {
    let mut found = BTreeMap::new();
    let mut keep = |path: &str| {
        if let Some(image) = Image::read(book, section, path) {
            found.insert(image.path, image.bytes);
        }
    };
    walk_blocks(&section.document.blocks, &mut |block| {
        if let BlockKind::Figure { path, .. } = &block.kind {
            keep(path);
        }
    });
    section.document.walk_inlines(|inline| {
        if let InlineKind::Image { path, .. } = &inline.kind {
            keep(path);
        }
    });
    found.into_iter().map(|(path, bytes)| OutFile { path: path.into(), bytes }).collect()
}

/// Text as it stands in HTML, inside elements and attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// The way from a page to the site's root: `../` for each folder.
pub(super) fn root_of(slug: &str) -> String {
    "../".repeat(slug.matches('/').count())
}

/// Variables of a page's template; theme/README.md describes them.
#[derive(Default, Serialize)]
struct PageData {
    slug: String,
    root: String,
    title: String,
    heading: String,
    number: Option<String>,
    role: &'static str,
    description: Option<String>,
    card: Option<String>,
    body: String,
    contents: Vec<Heading>,
    previous: Option<Link>,
    next: Option<Link>,
    notebook: Option<String>,
    source: Option<String>,
    discussion: Option<String>,
    launch: Vec<Launch>,
}

/// A service that opens the page's notebook.
#[derive(Serialize)]
struct Launch {
    name: String,
    url: String,
}

/// An entry of the page's own contents.
#[derive(Clone, Serialize)]
pub(super) struct Heading {
    anchor: String,
    number: Option<String>,
    title: String,
    level: u8,
}

#[derive(Clone, Serialize)]
struct Link {
    /// Relative to the site's root.
    url: String,
    number: Option<String>,
    title: String,
}

impl Link {
    fn to(book: &Book, index: usize) -> Self {
        let section = &book.sections[index];
        Self {
            url: format!("{}.html", section.slug),
            number: section.number.clone(),
            title: plain_text(&section.document.title),
        }
    }
}

/// An entry of the book's contents.
#[derive(Serialize)]
struct Entry {
    /// `Part I: Foundations`, if one begins here.
    part: Option<String>,
    /// None for a section that is still to come.
    url: Option<String>,
    number: Option<String>,
    title: String,
    is_current: bool,
    is_open: bool,
    children: Vec<Entry>,
}

/// Front matter, chapters with their sections, references.
fn navigation(book: &Book, has_index: bool, current: Option<usize>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, section) in book.sections.iter().enumerate() {
        let link = Link::to(book, index);
        let entry = Entry {
            part: reference::part_title(book, index),
            url: Some(link.url),
            number: link.number,
            title: link.title,
            is_current: current == Some(index),
            is_open: current.is_none() || current == Some(index),
            children: Vec::new(),
        };
        match (section.role, entries.last_mut()) {
            (Role::Section, Some(chapter)) => {
                chapter.is_open |= entry.is_current;
                chapter.children.push(entry);
            }
            _ => entries.push(entry),
        }
        for planned in book.planned.iter().filter(|planned| planned.after == index) {
            let entry = Entry {
                part: None,
                url: None,
                number: Some(planned.number.clone()),
                title: planned.title.clone(),
                is_current: false,
                is_open: false,
                children: Vec::new(),
            };
            if let Some(chapter) = entries.last_mut() {
                chapter.children.push(entry);
            }
        }
    }
    let ends = [
        (!book.references.is_empty(), "references".to_owned(), "References"),
        (has_index, INDEX.to_owned(), "Index"),
    ];
    for (_, slug, title) in ends.into_iter().filter(|(is_there, ..)| *is_there) {
        entries.push(Entry {
            part: None,
            url: Some(format!("{slug}.html")),
            number: None,
            title: title.into(),
            is_current: false,
            is_open: false,
            children: Vec::new(),
        });
    }
    entries
}

struct Templates {
    /// Whether the book has an index.
    has_index: bool,
    environment: Environment<'static>,
}

impl Templates {
    fn new(theme: &Theme, has_index: bool) -> Result<Self, Box<Diagnostic>> {
        let mut environment = Environment::new();
        // The default also escapes `/`, which makes addresses hard to read.
        environment.set_formatter(|out, state, value| match value.as_str() {
            Some(text) if state.auto_escape() == AutoEscape::Html && !value.is_safe() => {
                out.write_str(&escape(text)).map_err(minijinja::Error::from)
            }
            _ => minijinja::escape_formatter(out, state, value),
        });
        for name in TEMPLATES {
            let path = format!("html/{name}");
            let text = theme.file(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            environment.add_template_owned(name, text).map_err(|error| wrong(&error))?;
        }
        Ok(Self { environment, has_index })
    }

    fn render(
        &self,
        book: &Book,
        downloads: &Downloads,
        template: &str,
        page: PageData,
        current: Option<usize>,
    ) -> Result<OutFile, Vec<Diagnostic>> {
        let path = format!("{}.html", page.slug).into();
        let config = &book.config;
        let version = |version: &Version| {
            context! { name => version.name, url => version.url.replace("{slug}", &page.slug) }
        };
        let versions: Vec<_> = config.site.versions.iter().map(version).collect();
        let data = context! {
            page => page,
            navigation => navigation(book, self.has_index, current),
            book => context! {
                title => config.title,
                subtitle => config.subtitle,
                description => config.description,
                authors => config.authors,
                language => config.language,
                date => config.date,
                url => config.site.url,
                versions => versions,
            },
            downloads => context! {
                pdf => downloads.pdf, epub => downloads.epub, zip => downloads.zip,
            },
        };
        let rendered =
            self.environment.get_template(template).and_then(|t| t.render(data));
        match rendered {
            Ok(html) => Ok(OutFile { path, bytes: html.into_bytes() }),
            Err(error) => Err(vec![*wrong(&error)]),
        }
    }
}

/// A mistake in a template of the book's own theme.
fn wrong(error: &minijinja::Error) -> Box<Diagnostic> {
    let name = error.name().unwrap_or("page.html");
    let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
    Box::new(Diagnostic::file(format!("theme/html/{name}"), format!("{error}{line}")))
}

#[cfg(test)]
mod tests;
