//! The bibliography: BibTeX → references in the author-year style of the APA.

use crate::book::Reference;
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::inline::plain_text;
use crate::document::{Inline, InlineKind, Span};
use hayagriva::archive::{ArchivedStyle, locales};
use hayagriva::citationberg::{FontStyle, LocaleCode, Style};
use hayagriva::io::{BibLaTeXError, from_biblatex_str};
use hayagriva::{BibliographyDriver, BibliographyRequest, CitationItem, CitationRequest};
use hayagriva::{Elem, ElemChild, ElemChildren, Entry, Formatted, Library, Rendered};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The entries that a book can cite.
#[derive(Debug, Default)]
pub struct Bibliography(Library);

impl Bibliography {
    /// Reads BibTeX or BibLaTeX; `path` is what diagnostics call the file.
    ///
    /// # Errors
    /// All entries that cannot be read.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let at = |span, message| {
            Diagnostic::in_text(Severity::Error, path, text, span, message)
        };
        from_biblatex_str(text).map(Self).map_err(|errors| {
            let errors = errors.into_iter().map(|error| match error {
                BibLaTeXError::Parse(error) => at(
                    Span::new(error.span.clone()),
                    format!("not BibTeX: {}", error.kind),
                ),
                BibLaTeXError::Type(error) => at(
                    Span::new(error.span.clone()),
                    format!("not BibTeX: {}", error.kind),
                ),
            });
            errors.collect()
        })
    }

    /// Whether there is an entry of that name.
    pub fn contains(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys()
    }

    /// The entries with these keys, in the order of the list of references. Keys without an entry
    /// are left out. `language` is a BCP 47 tag.
    ///
    /// # Panics
    /// Never: the style and the locales are part of the program.
    pub fn references(&self, keys: &BTreeSet<String>, language: &str) -> Vec<Reference> {
        let Style::Independent(style) =
            ArchivedStyle::AmericanPsychologicalAssociation.get()
        else {
            unreachable!("the APA's style is independent")
        };
        let locales = locales();
        let locale = Some(LocaleCode(language.to_owned()));
        let render = |entries: &[&Entry]| {
            let mut driver = BibliographyDriver::new();
            for &entry in entries {
                let items = vec![CitationItem::with_entry(entry)];
                let locale = locale.clone();
                driver.citation(CitationRequest::new(
                    items, &style, locale, &locales, None,
                ));
            }
            driver.finish(BibliographyRequest::new(&style, locale.clone(), &locales))
        };
        let list = |rendered: Rendered| {
            rendered.bibliography.map(|b| b.items).unwrap_or_default()
        };
        let mut entries: Vec<_> = keys.iter().filter_map(|key| self.0.get(key)).collect();
        // The letters of 2006a, 2006b follow the order of citation: cite in the order of the list.
        let order: Vec<String> =
            list(render(&entries)).into_iter().map(|item| item.key).collect();
        entries.sort_by_key(|entry| order.iter().position(|key| key == entry.key()));
        let rendered = render(&entries);
        let citations: BTreeMap<&str, String> = entries
            .iter()
            .zip(&rendered.citations)
            .map(|(entry, citation)| {
                (entry.key(), plain_text(&inlines(&citation.citation)))
            })
            .collect();
        let references = list(rendered).into_iter().map(|item| {
            let citation = citations.get(item.key.as_str()).map_or("", String::as_str);
            let citation = citation.trim_start_matches('(').trim_end_matches(')');
            let (authors, year) = citation.rsplit_once(' ').unwrap_or((citation, ""));
            let mut entry = inlines(&item.content);
            tidy(&mut entry);
            let authors = authors.trim_end_matches(',').to_owned();
            Reference { key: item.key, authors, year: year.to_owned(), entry }
        });
        references.collect()
    }
}

/// Takes away what the style's rules leave where parts of an entry are missing or meet: a comma
/// after the year without a month, a full stop after a question, the title of a collection as the
/// title of its volume too.
fn tidy(entry: &mut Vec<Inline>) {
    let said = |inline: &Inline| plain_text(std::slice::from_ref(inline));
    let again = entry
        .windows(3)
        .position(|three| said(&three[1]) == ": " && said(&three[0]) == said(&three[2]));
    if let Some(at) = again {
        entry.drain(at + 1..at + 3);
    }
    let mut ends_in_question = false;
    for inline in entry {
        // Words are stressed as a whole (`push`).
        let words = match &mut inline.kind {
            InlineKind::Emph(inner) => inner.first_mut().map(|words| &mut words.kind),
            other => Some(other),
        };
        let Some(InlineKind::Text(text)) = words else {
            ends_in_question = false;
            continue;
        };
        if ends_in_question && text.starts_with('.') {
            text.remove(0);
        }
        *text = text.replace(",)", ")").replace("?.", "?").replace("!.", "!");
        ends_in_question = text.ends_with(['?', '!']);
    }
}

fn inlines(children: &ElemChildren) -> Vec<Inline> {
    let mut out = Vec::new();
    for child in &children.0 {
        push(child, &mut out);
    }
    out
}

fn push(child: &ElemChild, out: &mut Vec<Inline>) {
    let inline = |kind| Inline { kind, span: Span::default() };
    let styled = |Formatted { text, formatting }: &Formatted| {
        let text = inline(InlineKind::Text(text.clone()));
        match formatting.font_style {
            FontStyle::Italic => inline(InlineKind::Emph(vec![text])),
            FontStyle::Normal => text,
        }
    };
    match child {
        ElemChild::Text(text) => {
            if let (
                Some(Inline { kind: InlineKind::Text(last), .. }),
                FontStyle::Normal,
            ) = (out.last_mut(), text.formatting.font_style)
            {
                last.push_str(&text.text);
            } else {
                out.push(styled(text));
            }
        }
        ElemChild::Elem(Elem { children, .. }) => {
            for child in &children.0 {
                push(child, out);
            }
        }
        ElemChild::Markup(text) => out.push(inline(InlineKind::Text(text.clone()))),
        ElemChild::Link { text, url } => {
            out.push(inline(InlineKind::Link {
                target: url.clone(),
                text: vec![styled(text)],
            }));
        }
        ElemChild::Transparent { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIB: &str = "
        @article{adam, author = {Kingma, Diederik P. and Ba, Jimmy},
          title = {Adam: A Method for Stochastic Optimization}, journal = {arXiv}, year = {2014},
          url = {https://arxiv.org/abs/1412.6980}}
        @article{attention, author = {Vaswani, Ashish and Shazeer, Noam and Parmar, Niki and
          Uszkoreit, Jakob}, title = {Attention Is All You Need}, journal = {NIPS}, year = 2017}
        @book{bishop, author = {Bishop, Christopher M.}, title = {Pattern Recognition},
          publisher = {Springer}, year = {2006}}
        @book{bishop2, author = {Bishop, Christopher M.}, title = {Another Book},
          publisher = {Springer}, year = {2006}}
        @inproceedings{encode, author = {Islam, Md Amirul}, title = {How Much Do They Encode?},
          booktitle = {International Conference on Learning Representations}, year = {2020}}
        @incollection{eddy, author = {Eddy, David M.}, title = {Reasoning in Medicine},
          booktitle = {Judgment: Heuristics and Biases}, editor = {Kahneman, Daniel},
          publisher = {Cambridge University Press}, year = {1982}}
        @book{asked, author = {Doe, Jane}, title = {Who Asks?}, publisher = {Springer},
          year = {2001}}";

    fn references(keys: &[&str]) -> Vec<Reference> {
        let bibliography = Bibliography::parse(Path::new("r.bib"), BIB).unwrap();
        bibliography.references(&keys.iter().map(|key| key.to_string()).collect(), "en")
    }

    #[test]
    fn authors_and_years_are_as_in_running_text() {
        let list = references(&["attention", "adam"]);
        let shown: Vec<_> =
            list.iter().map(|r| (r.authors.as_str(), r.year.as_str())).collect();
        assert_eq!(shown, [("Kingma & Ba", "2014"), ("Vaswani et al.", "2017")]);
    }

    #[test]
    fn equal_authors_and_years_get_letters() {
        let list = references(&["bishop", "bishop2"]);
        let shown: Vec<_> =
            list.iter().map(|r| (r.key.as_str(), r.year.as_str())).collect();
        assert_eq!(shown, [("bishop2", "2006a"), ("bishop", "2006b")]);
    }

    #[test]
    fn entries_keep_emphasis_and_links() {
        let list = references(&["adam"]);
        let text = plain_text(&list[0].entry);
        assert!(text.starts_with("Kingma, D. P., & Ba, J. (2014)."), "{text}");
        let kinds = || list[0].entry.iter().map(|inline| &inline.kind);
        assert!(kinds().any(|kind| matches!(kind, InlineKind::Emph(_))), "{list:?}");
        assert!(kinds().any(|kind| matches!(kind, InlineKind::Link { target, .. }
            if target == "https://arxiv.org/abs/1412.6980")));
    }

    #[test]
    fn parts_that_are_missing_or_meet_leave_no_marks() {
        let text = |key| plain_text(&references(&[key])[0].entry);
        let talk = text("encode");
        assert!(
            talk.starts_with("Islam, M. A. (2020). How Much Do They Encode? "),
            "{talk}"
        );
        let chapter = text("eddy");
        assert_eq!(chapter.matches("Heuristics and Biases").count(), 1, "{chapter}");
        let asked = text("asked");
        assert!(asked.contains("Who Asks? Springer"), "{asked}");
    }

    #[test]
    fn broken_files_are_pointed_at() {
        let errors =
            Bibliography::parse(Path::new("r.bib"), "@article{a,\n title = {x\n")
                .unwrap_err();
        assert_eq!(errors[0].path, Path::new("r.bib"));
        assert!(errors[0].line >= 1, "{errors:?}");
    }
}
