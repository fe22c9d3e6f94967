//! `d2l new`: a small book that builds.

use anyhow::Context;
use std::path::Path;

const BOOK: &str = r#"title = "A New Book"
authors = ["Your Name"]
language = "en"
bibliography = "references.bib"

[[chapter]]
path = "first"
sections = ["hello"]
"#;

const CHAPTER: &str = "\
# First Chapter
:label:`chap_first`

What this chapter is about. It begins with :numref:`sec_hello`.
";

const SECTION: &str = r#"# Hello
:label:`sec_hello`

Text with a formula, $e^{i\pi} = -1$, a citation :cite:`Turing.1950`, and cells. Every cell is run when
the book is built, and a cell that fails stops the build.

```rust
let x = Tensor::arange(0.0..6.0).reshape([2, 3]);
x.t().matmul(&x)
```

The value of the last line is shown. A cell may draw, too; with a caption it becomes a figure that
can be referred to, as :numref:`fig_wave`.

```rust,label=fig_wave,caption="A wave.",alt="One and a half periods of the sine."
let x = Tensor::linspace(0.0, 9.0, 100);
Figure::new().line(&x, x.sin()).x_label("x")
```
"#;

const REFERENCES: &str = "\
@article{Turing.1950,
  author = {Turing, A. M.},
  title = {Computing Machinery and Intelligence},
  journal = {Mind},
  volume = {59},
  year = {1950},
}
";

/// Writes a book into `folder`, which must be new or empty.
///
/// # Errors
/// If something is there already, or the folder cannot be written.
pub fn new(folder: &Path) -> anyhow::Result<()> {
    let is_taken =
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    anyhow::ensure!(!is_taken, "{} is not empty", folder.display());
    for (name, text) in [
        ("book/book.toml", BOOK),
        ("book/first/index.md", CHAPTER),
        ("book/first/hello.md", SECTION),
        ("book/references.bib", REFERENCES),
        (".gitignore", "/_build\n"),
    ] {
        let path = folder.join(name);
        let parent = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    println!("made {0}; next: cd {0} && d2l serve", folder.display());
    Ok(())
}
