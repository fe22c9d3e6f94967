//! The site as its readers meet it: every link leads somewhere, and a walk through it in a browser.

use builder::weave::Theme;
use d2l_tests::{axe, files_below, has_tool, jupyter, own_book, repository};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

#[test]
fn a_reader_walks_through_the_site() {
    let (Some(python), Some(axe)) = (jupyter(), axe()) else { return };
    if !has_tool("chromium") || !has_tool("chromedriver") {
        return;
    }
    let fixture = tempfile::tempdir().unwrap();
    crate::dialect::write(&crate::dialect::site(&Theme::default()), fixture.path());
    let walk = Command::new(python)
        .arg(repository().join("tests/site/walk.py"))
        .arg(own_book().join("html"))
        .arg("preliminaries/calculus.html")
        .arg(axe)
        .arg(fixture.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[walk.stdout, walk.stderr].concat()).into_owned();
    println!("{text}");
    assert!(walk.status.success(), "{text}");
}

/// Links inside the book are typst's, which refuses those that lead nowhere; all others leave it.
#[test]
fn no_link_of_the_printed_book_is_dead() {
    if !has_tool("pdfinfo") {
        return;
    }
    let build = own_book();
    let pdf = files_below(&build).into_iter().find(|path| {
        path.extension().is_some_and(|e| e == "pdf")
            && path.parent() == Some(build.as_path())
    });
    let listed = Command::new("pdfinfo").arg("-url").arg(pdf.unwrap()).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let links: Vec<&str> = listed
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert!(links.len() > 50, "only {} links were found", links.len());
    let dead: Vec<_> =
        links.iter().filter(|link| !link.starts_with("https://")).collect();
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn no_link_of_the_site_is_dead() {
    let site = own_book().join("html");
    let files = files_below(&site);
    let pages: BTreeMap<PathBuf, String> = files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "html"))
        .map(|file| (file.clone(), std::fs::read_to_string(file).unwrap()))
        .collect();
    let anchors: BTreeMap<&Path, BTreeSet<&str>> = (pages.iter())
        .map(|(path, html)| (path.as_path(), attributes(html, "id").collect()))
        .collect();
    let mut dead = Vec::new();
    let mut links = 0;
    for (page, html) in &pages {
        let addresses = attributes(html, "href").chain(attributes(html, "src"));
        for address in addresses.filter(|a| !a.contains(':')) {
            links += 1;
            let (path, anchor) = address.split_once('#').unwrap_or((address, ""));
            let target = match path {
                "" => page.clone(),
                path => resolved(&page.parent().unwrap().join(path)),
            };
            let is_there = match anchors.get(target.as_path()) {
                Some(anchors) => anchor.is_empty() || anchors.contains(anchor),
                None => anchor.is_empty() && target.is_file(),
            };
            if !is_there {
                dead.push(format!("{}: {address}", page.display()));
            }
        }
    }
    assert!(links > 300, "only {links} links were found");
    assert!(dead.is_empty(), "{dead:#?}");
}

/// The values of an attribute, in the order of the text.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let open = format!(" {name}=\"");
    let mut rest = html;
    std::iter::from_fn(move || {
        rest = &rest[rest.find(&open)? + open.len()..];
        rest.split_once('"').map(|(value, _)| value)
    })
}

/// The path without `..`.
fn resolved(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
        path
    })
}
