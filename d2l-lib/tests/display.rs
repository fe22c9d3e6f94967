//! Rich display, in a process of its own for each way it can go.
#![cfg(unix)]

use std::{env, fs, path::Path, process::Command};

use d2l::{
    display::{self, Bundle, Clear},
    prelude::*,
};

/// What the child process shows.
fn show_everything() {
    println!("before");
    display(&tensor([1.0, 2.0]));
    Bundle::new().with("text/html", "<b>1</b>").with("text/plain", "1").show_as("loss");
    Bundle::new().with("text/plain", "2").update("loss");
    display::clear(Clear::WithNextOutput);
}

#[test]
fn child() {
    if env::var_os("D2L_TEST_CHILD").is_some() {
        show_everything();
    }
}

/// What the child prints, run by the shell command `command` (`$0` is the child).
fn stdout_of_child(command: &str, argument: &Path) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .arg(env::current_exe().unwrap())
        .arg(argument)
        .env("D2L_TEST_CHILD", "1")
        .env_remove("D2L_DISPLAY_FD")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn displays_are_frames_on_the_channel_if_there_is_one() {
    let path = env::temp_dir().join(format!("d2l-display-{}", std::process::id()));
    let command = r#"D2L_DISPLAY_FD=7 exec "$0" child --exact --nocapture 7>"$1""#;
    assert!(!stdout_of_child(command, &path).contains("EVCXR"));

    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        frames.push(serde_json::from_slice::<serde_json::Value>(body).unwrap());
        rest = after;
    }
    let expected = serde_json::json!([
        {"op": "display", "data": {"text/plain": "tensor([1., 2.])"},
         "display_id": null, "wait": false},
        {"op": "display", "data": {"text/html": "<b>1</b>", "text/plain": "1"},
         "display_id": "loss", "wait": false},
        {"op": "update", "data": {"text/plain": "2"}, "display_id": "loss", "wait": false},
        {"op": "clear", "data": {}, "display_id": null, "wait": true},
    ]);
    assert_eq!(serde_json::Value::Array(frames), expected);
}

#[test]
fn displays_are_evcxrs_markers_otherwise() {
    let stdout = stdout_of_child(r#"exec "$0" child --exact --nocapture"#, Path::new(""));
    let shown = stdout.split_once("before\n").expect("the child printed").1;
    assert!(
        shown.starts_with(
            "EVCXR_BEGIN_CONTENT text/plain\ntensor([1., 2.])\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/html\n<b>1</b>\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/plain\n1\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/plain\n2\nEVCXR_END_CONTENT\n"
        ),
        "{shown}"
    );
}
