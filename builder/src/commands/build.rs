//! `d2l build`: from chapters to a site, a PDF, an e-book and notebooks, all or nothing.

use super::tangle::{self, Mode};
use super::{build_dir, execute, select};
use crate::book::Book;
use crate::diagnostic::{Diagnostic, Severity};
use crate::files;
use crate::run::output::SectionOutputs;
use crate::run::pool::Slots;
use crate::run::report::Terminal;
use crate::run::{Fresh, KeepGoing};
use crate::weave::html::{Downloads, Memo};
use crate::weave::{self, OutFile, Theme};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What `d2l build` was asked for.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Weave no PDF.
    pub no_pdf: bool,
    /// Weave no e-book.
    pub no_epub: bool,
    /// Run every cell, whatever the cache knows.
    pub fresh: bool,
    /// What there is to run them on.
    pub slots: Slots,
}

/// Where the four outputs ended.
#[derive(Debug, Clone)]
pub struct Built {
    /// The site's folder.
    pub html: PathBuf,
    /// The PDF, if it was asked for.
    pub pdf: Option<PathBuf>,
    /// The e-book, if it was asked for.
    pub epub: Option<PathBuf>,
    /// The folder of notebooks, which also holds their zip.
    pub notebooks: PathBuf,
}

/// One line for each.
impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "site       {}", self.html.join("index.html").display())?;
        if let Some(pdf) = &self.pdf {
            write!(f, "\nPDF        {}", pdf.display())?;
        }
        if let Some(epub) = &self.epub {
            write!(f, "\ne-book     {}", epub.display())?;
        }
        write!(f, "\nnotebooks  {}", self.notebooks.display())
    }
}

/// Runs and weaves a book that parsed without errors. Output is replaced only if all of it was made.
///
/// `memo` holds the pages of the last build by this process.
///
/// # Errors
/// The outer error is the outside world's (engine, disk); the inner one is the author's.
pub fn build(
    book: &Book,
    options: &BuildOptions,
    memo: &mut Memo,
) -> anyhow::Result<Result<Built, Vec<Diagnostic>>> {
    let terminal = Terminal::new();
    let started = Instant::now();
    let drift = tangle::tangle(book, Mode::Check)?;
    if !drift.is_empty() {
        return Ok(Err(drift));
    }
    let fresh = if options.fresh { Fresh::All } else { Fresh::Changed };
    let ran = execute(
        book,
        &select(book, &[]),
        fresh,
        KeepGoing::No,
        &options.slots,
        &terminal,
    )?;
    if !ran.is_ok() {
        return Ok(Err(ran.diagnostics));
    }

    let theme = Theme::load(&book.root)?;
    let weaving = Instant::now();
    let mut problems = Vec::new();
    let pdf_name = format!("{}.pdf", book.config.slug());
    let epub_name = format!("{}.epub", book.config.slug());
    let downloads = Downloads {
        pdf: (!options.no_pdf).then(|| pdf_name.clone()),
        epub: (!options.no_epub).then(|| epub_name.clone()),
        zip: Some("notebooks/notebooks.zip".into()),
        notebooks: Some("notebooks".into()),
    };
    let out = build_dir(&book.root);
    if memo.has_no_cards() {
        know_cards(&out.join("html"), memo);
    }
    let html = weave::html::weave(book, &ran.outputs, &theme, &downloads, memo);
    let html = kept(html, &mut problems);
    let notebooks = notebooks(book, &ran.outputs);
    let epub = match options.no_epub {
        true => None,
        false => kept(weave::epub::weave(book, &ran.outputs, &theme), &mut problems),
    };
    terminal.line(&format!(
        "wove the site, notebooks and e-book, {:.1} s",
        weaving.elapsed().as_secs_f64()
    ));
    let typesetting = Instant::now();
    let pdf = match options.no_pdf {
        true => None,
        false => {
            terminal.line("typesetting the PDF");
            kept(weave::pdf::weave(book, &ran.outputs, &theme), &mut problems)
        }
    };
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    let mut html = html.expect("no problems");
    // The site is complete without what lies beside it.
    html.extend(notebooks.iter().map(|file| OutFile {
        path: Path::new("notebooks").join(&file.path),
        bytes: file.bytes.clone(),
    }));
    for (name, bytes) in [(&pdf_name, &pdf), (&epub_name, &epub)] {
        let file = |bytes: &Vec<u8>| OutFile { path: name.into(), bytes: bytes.clone() };
        html.extend(bytes.as_ref().map(file));
    }

    let _alone = files::Lock::new(&out)?;
    let built = Built {
        html: out.join("html"),
        pdf: pdf.as_ref().map(|_| out.join(&pdf_name)),
        epub: epub.as_ref().map(|_| out.join(&epub_name)),
        notebooks: out.join("notebooks"),
    };
    let mut staged = files::Staged::new(&out)?;
    if let Some(bytes) = &pdf {
        staged.file(Path::new(&pdf_name), bytes)?;
        let seconds = typesetting.elapsed().as_secs_f64();
        terminal.line(&format!("typeset the PDF, {seconds:.1} s"));
    }
    if let Some(bytes) = &epub {
        staged.file(Path::new(&epub_name), bytes)?;
    }
    staged.folder(Path::new("notebooks"), pairs(&notebooks))?;
    staged.folder(Path::new("html"), pairs(&html))?;
    staged.publish()?;
    terminal.line(&format!("built in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(Ok(built))
}

/// The cards that the last build drew need not be drawn again.
fn know_cards(site: &Path, memo: &mut Memo) {
    let cards = std::fs::read_dir(site.join("cards")).into_iter().flatten().flatten();
    for card in cards {
        if let Ok(picture) = std::fs::read(card.path()) {
            let name = card.file_name().to_string_lossy().into_owned();
            memo.keep_card(format!("cards/{name}"), picture);
        }
    }
}

/// One notebook for each section, and a zip of them.
fn notebooks(book: &Book, outputs: &[SectionOutputs]) -> Vec<OutFile> {
    let mut made = Vec::new();
    for (index, section) in book.sections.iter().enumerate() {
        if !weave::html::has_notebook(section) {
            continue;
        }
        made.push(OutFile {
            path: format!("{}.ipynb", section.slug).into(),
            bytes: weave::notebook::weave(book, outputs, index),
        });
    }
    let zip = weave::notebook::zip(&made);
    made.push(OutFile { path: "notebooks.zip".into(), bytes: zip });
    made
}

fn kept<T>(
    result: Result<T, Vec<Diagnostic>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            problems.extend(found.into_iter().filter(|d| d.severity == Severity::Error));
            None
        }
    }
}

fn pairs(files: &[OutFile]) -> impl Iterator<Item = (&std::path::Path, &[u8])> {
    files.iter().map(|file| (file.path.as_path(), file.bytes.as_slice()))
}
