//! What is in `_build` stays whole, whatever happens to a build.

use d2l_tests::{TempBook, binary, files_below, has_tool};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many builds are killed; `D2L_KILLS` asks for more.
const KILLS: u64 = 20;

fn book() -> TempBook {
    let book = TempBook::new("");
    edit(&book, 0);
    book
}

/// Puts a number into every page, and into a cell at each fifth edit.
fn edit(book: &TempBook, edit: u64) {
    let cell = format!("```rust\n1000 + {}\n```\n", edit / 5);
    book.write("book/one/index.md", &format!("# One\n\nEdit {edit}.\n"));
    book.write("book/one/first.md", &format!("# First\n\nEdit {edit}.\n\n{cell}"));
}

fn start(book: &TempBook) -> Child {
    Command::new(binary())
        .args(["build", "--no-pdf"])
        .current_dir(book.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("d2l starts")
}

/// Every file below a folder, by its name there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        (name, std::fs::read(path).unwrap())
    };
    files_below(folder).into_iter().map(file).collect()
}

/// The edit that each page of a site shows.
fn edits(site: &BTreeMap<String, Vec<u8>>) -> Vec<u64> {
    let pages = ["one/index.html", "one/first.html"];
    let edit = |page: &&str| {
        let text = String::from_utf8_lossy(&site[*page]).into_owned();
        let number = text.split("Edit ").nth(1).unwrap().split('.').next().unwrap();
        number.parse().unwrap()
    };
    pages.iter().map(edit).collect()
}

#[test]
fn a_killed_build_leaves_the_last_site_or_the_next() {
    let kills = std::env::var("D2L_KILLS").ok().and_then(|n| n.parse().ok());
    let book = book();
    // The first one also compiles what runs cells, which can take a minute.
    book.d2l(&["build", "--no-pdf"]).expect(0, &[]);
    edit(&book, 1);
    let started = Instant::now();
    book.d2l(&["build", "--no-pdf"]).expect(0, &[]);
    let names: Vec<String> = files(&book.path("_build/html")).into_keys().collect();
    let span = started.elapsed().as_millis() as u64;

    let kills = kills.unwrap_or(KILLS);
    // Steps of the golden ratio spread over the time that a build takes.
    let mut at = 0.5;
    for number in 2..kills + 2 {
        at = (at + 0.618_034) % 1.0;
        edit(&book, number);
        let mut build = start(&book);
        let until = Instant::now() + Duration::from_millis((at * span as f64) as u64);
        while Instant::now() < until && build.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = build.kill();
        build.wait().unwrap();
        let site = files(&book.path("_build/html"));
        assert_eq!(site.keys().cloned().collect::<Vec<_>>(), names, "kill {number}");
        let shown = edits(&site);
        assert!(shown[0] == shown[1] && shown[0] <= number, "kill {number}: {shown:?}");
    }

    // What the killed builds left in the cache and elsewhere does not show.
    book.d2l(&["build", "--no-pdf"]).expect(0, &[]);
    let clean = TempBook::new("");
    edit(&clean, kills + 1);
    clean.d2l(&["build", "--no-pdf"]).expect(0, &[]);
    for folder in ["_build/html", "_build/notebooks"] {
        assert!(files(&book.path(folder)) == files(&clean.path(folder)), "{folder}");
    }
    let left: Vec<String> = std::fs::read_dir(book.path("_build"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_builds_at_once_do_not_harm_each_other() {
    let book = book();
    for round in 1..4 {
        edit(&book, round * 5);
        let mut builds = [start(&book), start(&book)];
        let ended = builds.each_mut().map(|build| build.wait().unwrap().success());
        assert_eq!(ended, [true, true], "round {round}");
        assert_eq!(edits(&files(&book.path("_build/html"))), [round * 5; 2]);
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_the_last_site() {
    if !cfg!(target_os = "linux") || !has_tool("unshare") {
        return;
    }
    let book = book();
    // A disk of its own, seen by this script alone; the second build finds 200 kB free.
    let script = format!(
        "set -e
        mkdir _build
        mount -t tmpfs -o size=24m none _build || exit 99
        {d2l} build --no-pdf
        sum() {{ (cd _build; find html notebooks -type f | sort | xargs sha256sum | sha256sum); }}
        before=$(sum)
        free=$(df --output=avail -k _build | tail -1)
        head -c $(( (free - 200) * 1024 )) /dev/zero > _build/filler
        sed -i 's/Edit 0/Edit 1/' book/one/first.md
        {d2l} build --no-pdf && exit 98
        [ \"$before\" = \"$(sum)\" ] || exit 97
        rm _build/filler
        {d2l} build --no-pdf
        grep -q 'Edit 1' _build/html/one/first.html || exit 96",
        d2l = binary().display()
    );
    let ran = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir(book.path(""))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if ran.status.code() == Some(99) || said.contains("unshare failed") {
        eprintln!("SKIPPED: only an administrator may mount a small disk");
        return;
    }
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}
