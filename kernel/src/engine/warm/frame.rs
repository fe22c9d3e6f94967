//! What the runner says on the display channel.

use crate::engine::MimeBundle;
use serde_json::Value;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// A process waits for cells.
    Ready { pid: i32 },
    /// No process can be started.
    Fatal(String),
    /// What is shown from here on belongs to the cell's value.
    BeginValue,
    /// See `BeginValue`.
    EndValue,
    /// Something to show, or to replace what was shown under its name.
    Display { data: MimeBundle, display_id: Option<String>, update: bool },
    /// The cell's outputs are to be removed.
    Clear { wait: bool },
    /// How many bytes were printed before the next frame: standard output, standard error.
    At([u64; 2]),
    /// The cell waits for a line.
    Input { id: u32 },
    /// The active process died while this cell ran (0: none did); which one goes on, and with what.
    Died { status: i32, kept: bool, pid: i32, cell: u64 },
    /// A cell ended, in a process with so many threads.
    End { id: u64, threads: u64, how: Ended },
}

/// How a cell that ended did so.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    Done,
    Returned(String),
    Panic { message: String, file: String, line: usize, column: usize },
}

impl Frame {
    /// Reads a frame's JSON; none if it is no frame.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(json).ok()?;
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| json[key].as_u64().unwrap_or(0);
        let flag = |key: &str| json[key].as_bool().unwrap_or(false);
        let signed = |key: &str| {
            json[key].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0)
        };
        Some(match json["op"].as_str()? {
            "ready" => Self::Ready { pid: signed("pid") },
            "fatal" => Self::Fatal(text("message")),
            "begin_value" => Self::BeginValue,
            "end_value" => Self::EndValue,
            op @ ("display" | "update") => Self::Display {
                data: bundle(&json["data"]),
                display_id: json["display_id"].as_str().map(str::to_owned),
                update: op == "update",
            },
            "clear" => Self::Clear { wait: flag("wait") },
            "at" => Self::At([number("out"), number("err")]),
            "input" => Self::Input { id: u32::try_from(number("id")).ok()? },
            "died" => Self::Died {
                status: signed("status"),
                kept: flag("kept"),
                pid: signed("pid"),
                cell: number("cell"),
            },
            "end" => Self::End {
                id: number("id"),
                threads: number("threads"),
                how: match json["status"].as_str()? {
                    "ok" => Ended::Done,
                    "returned" => Ended::Returned(text("message")),
                    _ => Ended::Panic {
                        message: text("message"),
                        file: text("file"),
                        line: usize::try_from(number("line")).ok()?,
                        column: usize::try_from(number("column")).ok()?,
                    },
                },
            },
            _ => return None,
        })
    }
}

fn bundle(data: &Value) -> MimeBundle {
    let pairs = data.as_object().into_iter().flatten();
    pairs
        .filter_map(|(mime, text)| Some((mime.clone(), text.as_str()?.to_owned())))
        .collect()
}
