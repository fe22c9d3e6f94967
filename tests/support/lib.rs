//! What the suite's tests share: a small book in a temporary folder, and the real binary run on it.

pub mod pictures;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent")
}

/// The binary `d2l` that this build made.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.ancestors().nth(2).expect("target/debug/deps/suite");
    let binary = profile.join(format!("d2l{}", std::env::consts::EXE_SUFFIX));
    assert!(binary.is_file(), "{} is missing: run `cargo build` first", binary.display());
    binary
}

/// A book with one chapter, written anew for each test.
#[derive(Debug)]
pub struct TempBook {
    home: tempfile::TempDir,
}

impl TempBook {
    /// A book whose one section holds `section` and whose cells use the crate that `d2l` carries.
    pub fn new(section: &str) -> Self {
        Self::with_settings(section, "")
    }

    /// A book that saves cells into a crate of its own, `lib`, which is not run.
    pub fn with_own_crate(section: &str) -> Self {
        let settings = "\n[crate]\nname = \"lib\"\npath = \"../lib\"\n\n[topics]\nsums = \"Sums.\"\n";
        let book = Self::with_settings(section, settings);
        book.write("lib/src/lib.rs", "mod book;\npub mod core;\n");
        book
    }

    fn with_settings(section: &str, settings: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let book = Self { home };
        let chapters = "[[chapter]]\npath = \"one\"\nsections = [\"first\"]\n";
        book.write(
            "book/book.toml",
            &format!("title = \"Test\"\nauthors = [\"Nobody\"]\n\n{chapters}{settings}"),
        );
        book.write("book/one/index.md", "# One\n\nThe chapter.\n");
        book.write("book/one/first.md", section);
        book
    }

    /// Writes a file below the book's home.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder"))
            .expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A path below the book's home.
    pub fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// The text of a file below the book's home.
    pub fn read(&self, path: &str) -> String {
        let path = self.path(path);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Runs `d2l` with these arguments in the book's home.
    pub fn d2l(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(binary())
            .args(arguments)
            .current_dir(self.home.path())
            .env("NO_COLOR", "1")
            .output()
            .expect("d2l starts");
        Ran::new(output)
    }
}

/// What a run of `d2l` gave.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Self { code: output.status.code().unwrap_or(-1), text }
    }

    /// Fails the test unless the run exited with `code` and said every one of `parts`.
    #[track_caller]
    pub fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "`{part}` is not in:\n{}", self.text);
        }
        self
    }
}

/// The folder of this repository's own book, built once for all tests.
pub fn own_book() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let built =
            Command::new(binary()).arg("build").current_dir(repository()).status();
        assert!(built.expect("d2l starts").success(), "the book builds");
    });
    repository().join("_build")
}

/// Every file below a folder, in order.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        let entries = std::fs::read_dir(&inside)
            .unwrap_or_else(|e| panic!("{}: {e}", inside.display()));
        for entry in entries {
            let path = entry.expect("a readable entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// Python with Jupyter, as `tests/jupyter/setup.sh target/jupyter` makes it.
pub fn jupyter() -> Option<PathBuf> {
    let python = repository().join("target/jupyter/bin/python");
    let folder = std::env::var_os("D2L_TEST_JUPYTER").map(PathBuf::from);
    let python = folder.map_or(python, |folder| folder.join("bin/python"));
    if !python.is_file() {
        skip(&format!(
            "no {}; run tests/jupyter/setup.sh target/jupyter",
            python.display()
        ));
        return None;
    }
    Some(python)
}

/// The accessibility checker, as `tests/site/setup.sh target/axe` fetches it.
pub fn axe() -> Option<PathBuf> {
    let script = repository().join("target/axe/node_modules/axe-core/axe.min.js");
    if !script.is_file() {
        skip(&format!("no {}; run tests/site/setup.sh target/axe", script.display()));
        return None;
    }
    Some(script)
}

/// Says that a test was skipped, also where the output of tests is hidden. In CI that is a failure.
#[track_caller]
fn skip(why: &str) {
    use std::io::Write as _;
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
}

/// Whether an external tool is there. Without it a test is skipped.
pub fn has_tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").output().is_ok();
    if !found {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// The checker of e-books, ready for the name of a file.
pub fn epubcheck() -> Option<Command> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("epubcheck"));
    let Some(program) = found.into_iter().find(|path| path.is_file()) else {
        skip("epubcheck is not installed");
        return None;
    };
    // Debian's is an archive of Java, which runs by itself only where the kernel knows such files.
    let is_archive = std::fs::read(&program).is_ok_and(|bytes| bytes.starts_with(b"PK"));
    let mut command = Command::new(if is_archive { Path::new("java") } else { &program });
    if is_archive {
        command.arg("-jar").arg(&program);
    }
    Some(command)
}
