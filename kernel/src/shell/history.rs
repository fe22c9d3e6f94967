//! What was run, in this and in earlier sessions: one file a session, one line of JSON a cell.

use jupyter_protocol::{HistoryEntry, HistoryRequest};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How many sessions are kept.
const SESSIONS: usize = 200;

/// The history of all sessions in a folder.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    session: usize,
    file: Option<File>,
    cells: Vec<Ran>,
}

/// A cell that ran.
#[derive(Debug, Clone)]
struct Ran {
    session: usize,
    line: usize,
    input: String,
    output: String,
}

impl History {
    /// Opens a new session. Without a folder that can be written, it lives in memory only.
    pub(super) fn open(folder: &Path) -> Self {
        let _ = std::fs::create_dir_all(folder);
        let sessions = sessions(folder);
        for old in sessions.iter().rev().skip(SESSIONS) {
            let _ = std::fs::remove_file(path(folder, *old));
        }
        let mut session = sessions.last().map_or(1, |last| last + 1);
        // Of two kernels that start at once, one gets the next number.
        let file = loop {
            match File::create_new(path(folder, session)) {
                Ok(file) => break Some(file),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => session += 1,
                Err(_) => break None,
            }
        };
        Self { folder: folder.to_owned(), session, file, cells: Vec::new() }
    }

    pub(super) fn add(&mut self, line: usize, input: &str, output: &str) {
        if let Some(file) = &mut self.file {
            let json = serde_json::json!([line, input, output]);
            let _ = writeln!(file, "{json}");
        }
        let (input, output) = (input.to_owned(), output.to_owned());
        self.cells.push(Ran { session: self.session, line, input, output });
    }

    /// The cells that a request asks for, the oldest first.
    pub(super) fn answer(&self, asked: &HistoryRequest) -> Vec<HistoryEntry> {
        let (found, output) = match asked {
            HistoryRequest::Tail { n, output, .. } => {
                (self.last(count(*n), |_| true, false), *output)
            }
            HistoryRequest::Search { pattern, unique, output, n, .. } => {
                let fits = |ran: &Ran| fits(pattern, &ran.input);
                (self.last(count(*n), fits, *unique), *output)
            }
            HistoryRequest::Range { session, start, stop, output, .. } => {
                let session = match session.unwrap_or(0) {
                    n if n > 0 => n as usize,
                    // The current one, or so many before it.
                    n => self.session.saturating_sub(n.unsigned_abs() as usize),
                };
                let mut cells = self.of(session);
                let stop = if *stop > 0 { *stop as usize } else { usize::MAX };
                cells.retain(|ran| (count(*start)..stop).contains(&ran.line));
                (cells, *output)
            }
        };
        let entry = |ran: Ran| match output {
            true => {
                HistoryEntry::InputOutput(ran.session, ran.line, (ran.input, ran.output))
            }
            false => HistoryEntry::Input(ran.session, ran.line, ran.input),
        };
        found.into_iter().map(entry).collect()
    }

    /// The last `n` cells that fit; of equal ones only the last, if `unique`.
    fn last(&self, n: usize, fits: impl Fn(&Ran) -> bool, unique: bool) -> Vec<Ran> {
        let mut found: Vec<Ran> = Vec::new();
        let mut all = sessions(&self.folder);
        all.retain(|session| *session != self.session);
        all.push(self.session);
        for session in all.into_iter().rev() {
            for ran in self.of(session).into_iter().rev().filter(&fits) {
                if found.len() == n {
                    break;
                }
                if !unique || found.iter().all(|other| other.input != ran.input) {
                    found.push(ran);
                }
            }
        }
        found.reverse();
        found
    }

    fn of(&self, session: usize) -> Vec<Ran> {
        if session == self.session {
            return self.cells.clone();
        }
        let text =
            std::fs::read_to_string(path(&self.folder, session)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.map(|(line, input, output)| Ran { session, line, input, output }).collect()
    }
}

fn count(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn path(folder: &Path, session: usize) -> PathBuf {
    folder.join(format!("{session:06}.jsonl"))
}

/// The numbers of the sessions in a folder, in order.
fn sessions(folder: &Path) -> Vec<usize> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<usize> = files
        .filter_map(|f| f.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok())
        .collect();
    all.sort_unstable();
    all
}

/// Whether a text fits a pattern of `*` (anything) and `?` (one character).
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // row[i]: whether the pattern so far fits the first i characters.
    let mut row: Vec<bool> = (0..=text.len()).map(|i| i == 0).collect();
    for p in pattern {
        let old = row.clone();
        for i in 0..row.len() {
            row[i] = match p {
                '*' => old[i] || (i > 0 && row[i - 1]),
                _ => i > 0 && old[i - 1] && (p == '?' || p == text[i - 1]),
            };
        }
    }
    row[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?b", "ab", true),
            ("?", "", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn cells_of_earlier_sessions_are_found() {
        let home = tempfile::tempdir().unwrap();
        let mut first = History::open(home.path());
        first.add(1, "let x = 1;", "");
        first.add(2, "x", "1");
        let mut second = History::open(home.path());
        second.add(1, "x", "2");
        let inputs = |asked: HistoryRequest| -> Vec<(usize, usize, String)> {
            let all = second.answer(&asked).into_iter();
            all.map(|entry| match entry {
                HistoryEntry::Input(session, line, input) => (session, line, input),
                HistoryEntry::InputOutput(session, line, (_, output)) => {
                    (session, line, output)
                }
            })
            .collect()
        };
        let tail = |n, output| HistoryRequest::Tail { n, output, raw: true };
        assert_eq!(inputs(tail(2, false)), [(1, 2, "x".into()), (2, 1, "x".into())]);
        assert_eq!(inputs(tail(2, true)), [(1, 2, "1".into()), (2, 1, "2".into())]);
        let search = |unique| HistoryRequest::Search {
            pattern: "x*".into(),
            unique,
            output: false,
            raw: true,
            n: 9,
        };
        assert_eq!(inputs(search(false)).len(), 2);
        assert_eq!(inputs(search(true)), [(2, 1, "x".into())]);
        let range = |session, start, stop| HistoryRequest::Range {
            session: Some(session),
            start,
            stop,
            output: false,
            raw: true,
        };
        assert_eq!(inputs(range(-1, 1, 2)), [(1, 1, "let x = 1;".into())]);
        assert_eq!(inputs(range(0, 0, 0)), [(2, 1, "x".into())]);
    }
}
