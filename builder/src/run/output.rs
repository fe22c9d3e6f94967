//! What a cell gave: shaped as in a notebook file, so that weaving to `.ipynb` is a copy.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// MIME type → text; binary forms are base64.
pub type MimeBundle = BTreeMap<String, String>;

/// One output of a cell, in the order it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Output {
    /// Text written to stdout or stderr (`name`).
    Stream {
        /// `stdout` or `stderr`.
        name: String,
        /// What was written.
        text: String,
    },
    /// Something displayed while the cell ran.
    Display {
        /// Its forms.
        data: MimeBundle,
    },
    /// The value of the last expression.
    Result {
        /// Its forms.
        data: MimeBundle,
    },
    /// The failure that ended the cell.
    Error {
        /// The kind: `E0308`, `panic`, …
        name: String,
        /// The first line.
        message: String,
        /// As a terminal shows it, without colours.
        text: String,
    },
    /// The cell was not run, and nobody has recorded what it gives.
    NotRun {
        /// What there was not: `a GPU`.
        needs: String,
    },
}

/// What readers see in place of a cell's outputs.
pub(crate) fn not_run(needs: &str) -> String {
    format!("not run: this cell needs {needs}")
}

/// The outputs of one section: one list per cell of its document, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SectionOutputs {
    /// One entry for each cell.
    pub cells: Vec<Vec<Output>>,
}
