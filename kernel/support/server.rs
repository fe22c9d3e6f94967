//! The fork server inside a stock rustc: a procedural macro that waits for cells and forks for each.
//!
//! The warm compiler has loaded its crates when it expands this macro. Each request names a folder;
//! the child answers with `include!("<folder>/cell.rs")` as the expansion and so goes on compiling
//! from here, with its messages in `<folder>/messages.json` and its object file in `<folder>`.

use proc_macro::TokenStream;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd};

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn dup2(from: i32, to: i32) -> i32;
    fn _exit(code: i32) -> !;
}

fn inherited(name: &str) -> File {
    let fd = std::env::var(name).expect("set by the engine").parse().expect("a number");
    // SAFETY: the engine opened this descriptor for us and nobody else here uses it.
    unsafe { File::from_raw_fd(fd) }
}

/// Expands to the next cell, once for each forked child.
#[proc_macro]
pub fn cells(_: TokenStream) -> TokenStream {
    let mut requests = BufReader::new(inherited("CELL_REQUESTS"));
    let mut replies = inherited("CELL_REPLIES");
    let _ = writeln!(replies, "ready");
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).unwrap_or(0) == 0 {
            // SAFETY: leaves at once; the compiler behind us has nothing to finish.
            unsafe { _exit(0) }
        }
        let folder = line.trim_end();
        // SAFETY: the child only goes on with this thread's compilation.
        let child = unsafe { fork() };
        if child == 0 {
            if std::env::set_current_dir(folder).is_err() {
                // SAFETY: as above.
                unsafe { _exit(3) }
            }
            if let Ok(messages) = File::create("messages.json") {
                // SAFETY: both descriptors are open.
                unsafe { dup2(messages.as_raw_fd(), 2) };
            }
            let cell = format!("include!({:?});", format!("{folder}/cell.rs"));
            return cell.parse().expect("a macro call is Rust");
        }
        let mut status = 0;
        // SAFETY: `status` is a valid place to write to.
        unsafe { waitpid(child, &mut status, 0) };
        let _ = writeln!(replies, "done {child} {status}");
    }
}
