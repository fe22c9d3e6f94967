//! `d2l deploy`: a workflow that tests the book and publishes its site on GitHub Pages.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// Writes `.github/workflows/book.yml` into the book's repository; gives its path.
///
/// # Errors
/// If there is another workflow of that name, or the folder cannot be written.
pub fn deploy(book_root: &Path) -> anyhow::Result<PathBuf> {
    let root = std::path::absolute(book_root)?;
    let repository = root.ancestors().find(|folder| folder.join(".git").exists());
    let repository =
        repository.context("the book is in no git repository: run `git init`")?;
    let book = root.strip_prefix(repository).expect("found above it");
    let home =
        book.parent().unwrap_or(Path::new("")).to_string_lossy().replace('\\', "/");
    let text = workflow(&home);
    let path = repository.join(".github/workflows/book.yml");
    let is_other = std::fs::read_to_string(&path).is_ok_and(|old| old != text);
    anyhow::ensure!(!is_other, "{} is there already; remove it first", path.display());
    crate::files::write(&path, text.as_bytes())?;
    Ok(path)
}

/// `home` is the folder beside which the book is built, relative to the repository.
fn workflow(home: &str) -> String {
    let home = if home.is_empty() { "." } else { home };
    WORKFLOW.replace("{home}", home).replace("{source}", env!("CARGO_PKG_REPOSITORY"))
}

const WORKFLOW: &str = "\
# Made by `d2l deploy`. In the repository's settings, under Pages, choose “GitHub Actions” as source.
name: Book
on:
  push:
    branches: [main]
  pull_request:
concurrency:
  group: book-${{ github.ref }}
  cancel-in-progress: true
jobs:
  build:
    runs-on: ubuntu-latest
    defaults:
      run:
        working-directory: {home}
    steps:
      - uses: actions/checkout@v4
      - run: rustup toolchain install stable --profile minimal --component rustfmt
      - uses: actions/cache@v4
        with:
          path: |
            ~/.cargo
            ~/.cache/d2l
            {home}/_build/cache
          key: book-${{ runner.os }}-${{ hashFiles('**/Cargo.lock', '**/*.md') }}
          restore-keys: book-${{ runner.os }}-
      - run: command -v d2l || cargo install --locked --git {source} d2l-builder
      - run: d2l check
      - run: d2l test --changed --junit _build/junit.xml
      - run: d2l build
      - uses: actions/upload-pages-artifact@v3
        with:
          path: {home}/_build/html
  publish:
    if: github.ref == 'refs/heads/main'
    needs: build
    runs-on: ubuntu-latest
    permissions:
      pages: write
      id-token: write
    environment:
      name: github-pages
      url: ${{ steps.pages.outputs.page_url }}
    steps:
      - id: pages
        uses: actions/deploy-pages@v4
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workflow_stands_in_the_repository_and_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let book = home.path().join("sub/book");
        std::fs::create_dir_all(&book).unwrap();
        assert!(deploy(&book).is_err(), "no repository");
        std::fs::create_dir(home.path().join(".git")).unwrap();
        let path = deploy(&book).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("path: sub/_build/html\n") && !text.contains("{home}"),
            "{text}"
        );
        assert!(text.contains("working-directory: sub\n"));
        deploy(&book).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(deploy(&book).is_err());
    }
}
