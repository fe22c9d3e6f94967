//! The kernel under Jupyter's own client, and a notebook of the book in a real JupyterLab.

use d2l_tests::{binary, has_tool, jupyter, own_book, repository};
use std::path::Path;
use std::process::Command;

/// Runs a script of `tests/jupyter` with the kernel installed where its Python looks.
#[track_caller]
fn python(python: &Path, folder: &Path, script: &str, arguments: &[&Path]) {
    let prefix = python.ancestors().nth(2).expect("a virtual environment");
    let installed = Command::new(binary())
        .args(["kernel", "install", "--prefix"])
        .arg(prefix)
        .status();
    assert!(installed.unwrap().success());
    let ran = Command::new(python)
        .arg(repository().join("tests/jupyter").join(script))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    println!("{text}");
    assert!(ran.status.success(), "{text}");
}

/// Runs a script of `tests/jupyter` that needs no more than Jupyter.
#[track_caller]
fn client(script: &str) {
    let Some(jupyter) = jupyter() else { return };
    let folder = tempfile::tempdir().unwrap();
    python(&jupyter, folder.path(), script, &[]);
}

#[test]
fn the_kernel_answers_jupyters_client() {
    client("test_kernel.py");
}

/// Jupyter's own suite for kernels.
#[test]
fn the_kernel_passes_jupyters_suite() {
    client("conformance.py");
}

/// The rest of the protocol: what the two above do not reach.
#[test]
fn the_kernel_answers_while_a_cell_runs() {
    client("test_protocol.py");
}

/// `nbclient` and `jupyter console`.
#[test]
fn other_clients_run_cells() {
    client("test_clients.py");
}

/// A plot and a bar that move, interrupt, completion, tooltip, errors, restart.
#[test]
fn jupyterlab_shows_what_happens_while_it_happens() {
    let Some(jupyter) = jupyter() else { return };
    if !has_tool("chromium") || !has_tool("chromedriver") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    python(&jupyter, folder.path(), "lab_live.py", &[folder.path()]);
}

/// Every section's notebook gives in JupyterLab what the book shows.
#[test]
fn a_notebook_from_the_zip_runs_in_jupyterlab() {
    let Some(jupyter) = jupyter() else { return };
    if !has_tool("chromium") || !has_tool("chromedriver") {
        return;
    }
    let build = own_book();
    let folder = tempfile::tempdir().unwrap();
    let zip = std::fs::File::open(build.join("notebooks/notebooks.zip")).unwrap();
    zip::ZipArchive::new(zip).unwrap().extract(folder.path()).unwrap();
    for section in ["data-manipulation", "calculus", "autograd"] {
        let notebook = folder.path().join(format!("preliminaries/{section}.ipynb"));
        let picture = build.join(format!("lab-{section}.png"));
        python(&jupyter, folder.path(), "lab.py", &[&notebook, &picture]);
    }
}
