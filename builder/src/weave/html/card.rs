//! The cards of pages: pictures that other sites show beside a link to one.
//!
//! A card's name is the digest of what it shows, so a card of an earlier build is the same one, and a
//! service that has kept a page's old card asks for the new.

use super::Memo;
use crate::book::{Book, Role, Section};
use crate::diagnostic::Diagnostic;
use crate::digest::part;
use crate::document::inline::plain_text;
use crate::weave::{OutFile, Theme, pdf};
use resvg::{tiny_skia, usvg};
use std::fmt::Write as _;
use typst_layout::Page;
use typst_svg::SvgOptions;

/// What cards are made of, below the theme.
pub(super) const FILES: [&str; 2] = ["html/card.typ", "html/static/icon.svg"];

/// Pixels.
pub(super) const SIZE: (u32, u32) = (1200, 630);

/// What one card says, as the theme's function is called for it.
pub(super) struct Card {
    call: String,
    /// Its file, from the site's root.
    pub(super) path: String,
}

/// The card of the section at `index`, or that of the book.
pub(super) fn plan(book: &Book, theme: &Theme, index: Option<usize>) -> Card {
    let config = &book.config;
    let section = index.map(|index| &book.sections[index]);
    let title = section.map_or(config.title.clone(), title_of);
    let above = match index {
        Some(index) if book.sections[index].role == Role::Section => {
            let before = book.sections[..index].iter().rev();
            let chapter = before.into_iter().find(|s| s.role == Role::Chapter);
            chapter.map(|chapter| match &chapter.number {
                Some(number) => format!("Chapter {number} · {}", title_of(chapter)),
                None => title_of(chapter),
            })
        }
        _ => None,
    };
    let url = config.site.url.as_deref().unwrap_or_default();
    let site = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let mut call = format!("#card(book: {}, ", pdf::quoted(&config.title));
    let _ = write!(call, "title: {}, site: {}, ", pdf::quoted(&title), pdf::quoted(site));
    let number = section.and_then(|section| section.number.clone());
    let below = if section.is_none() { config.subtitle.clone() } else { None };
    for (name, value) in [("number", number), ("above", above), ("below", below)] {
        let value = value.map_or("none".into(), |value| pdf::quoted(&value));
        let _ = write!(call, "{name}: {value}, ");
    }
    let authors: String =
        config.authors.iter().map(|name| format!("{}, ", pdf::quoted(name))).collect();
    let _ = write!(call, "authors: ({authors}))");
    let mut digest = blake3::Hasher::new();
    part(&mut digest, env!("CARGO_PKG_VERSION").as_bytes());
    part(&mut digest, call.as_bytes());
    for file in FILES {
        part(&mut digest, &theme.file(file).unwrap_or_default());
    }
    let path = format!("cards/{}.png", &digest.finalize().to_hex()[..16]);
    Card { call, path }
}

fn title_of(section: &Section) -> String {
    plain_text(&section.document.title)
}

/// The pictures of these cards, new ones only where `memo` knows none.
///
/// # Errors
/// Mistakes in the theme.
pub(super) fn draw(
    cards: &[Card],
    theme: &Theme,
    memo: &mut Memo,
) -> Result<Vec<OutFile>, Vec<Diagnostic>> {
    let known = std::mem::take(&mut memo.cards);
    let mut sheet = format!("#import \"/theme/{}\": card\n", FILES[0]);
    let mut new = Vec::new();
    for Card { call, path } in cards {
        match known.get(path) {
            Some(bytes) => memo.keep_card(path.clone(), bytes.clone()),
            None if new.contains(path) => {}
            None => {
                let _ = writeln!(sheet, "{call}");
                new.push(path.clone());
            }
        }
    }
    if !new.is_empty() {
        let document = pdf::lay_out(sheet, theme)?;
        let pages = document.pages();
        if pages.len() != new.len() {
            let problem = format!("{} cards take {} pages", new.len(), pages.len());
            return Err(vec![Diagnostic::file(format!("theme/{}", FILES[0]), problem)]);
        }
        for (path, page) in new.into_iter().zip(pages) {
            memo.keep_card(path, png(page));
        }
    }
    let files = memo.cards.iter();
    let mut files: Vec<OutFile> = files
        .map(|(path, bytes)| OutFile { path: path.into(), bytes: bytes.clone() })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The page as a picture of [`SIZE`].
fn png(page: &Page) -> Vec<u8> {
    let svg = typst_svg::svg(page, &SvgOptions::default());
    let tree = usvg::Tree::from_str(&svg, &usvg::Options::default())
        .expect("typst draws what is SVG");
    let (width, height) = SIZE;
    let mut picture = tiny_skia::Pixmap::new(width, height).expect("it has a size");
    let scale = tiny_skia::Transform::from_scale(
        width as f32 / tree.size().width(),
        height as f32 / tree.size().height(),
    );
    resvg::render(&tree, scale, &mut picture.as_mut());
    picture.encode_png().expect("writing to memory")
}
