//! Rich display in notebooks: the only file that knows them.
//!
//! A type with a method `evcxr_display(&self)` shows itself when it is the last expression
//! of a cell; [`display`] shows it at any other place. Such a method calls [`html`], [`svg`],
//! [`png()`] or [`text`], or builds a [`Bundle`] with several forms of the same thing.
//!
//! How a display reaches the reader depends on who runs the code:
//!
//! * If the environment variable `D2L_DISPLAY_FD` names the descriptor of a pipe or file,
//!   every display is one frame written there: the length of what follows as four bytes,
//!   little-endian, then JSON in UTF-8: `{"op":"display"|"update"|"clear",
//!   "data":{mime:content},"display_id":null|"…","wait":false|true}`. PNG is base64.
//! * Otherwise evcxr's markers go to stdout: `EVCXR_BEGIN_CONTENT mime`, the content, and
//!   `EVCXR_END_CONTENT`, each on its own line. Updates and clearing are not possible there:
//!   an update shows the thing again, a clear does nothing.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::atomic::{AtomicUsize, Ordering},
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::Tensor;

/// One thing to show, in one or more forms; the reader's front end takes the richest it knows.
///
/// ```
/// use d2l::display::Bundle;
///
/// let bundle = Bundle::new().with("text/plain", "two").with("text/html", "<b>2</b>");
/// assert_ne!(bundle, Bundle::new());
/// bundle.show();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is shown by `show`"]
pub struct Bundle(Vec<(String, String)>);

impl Bundle {
    /// A bundle without forms yet.
    ///
    /// ```
    /// use d2l::display::Bundle;
    ///
    /// assert_eq!(Bundle::new(), Bundle::default());
    /// ```
    pub fn new() -> Bundle {
        Bundle::default()
    }

    /// Adds a form: `content` of the MIME type `mime`.
    ///
    /// ```
    /// use d2l::display::Bundle;
    ///
    /// let bundle = Bundle::new().with("text/plain", "two").with("text/html", "<b>2</b>");
    /// bundle.show();
    /// ```
    pub fn with(mut self, mime: &str, content: impl Into<String>) -> Bundle {
        self.0.push((mime.to_owned(), content.into()));
        self
    }

    /// Shows it.
    ///
    /// ```
    /// use d2l::display::Bundle;
    ///
    /// let bundle = Bundle::new().with("text/plain", "two").with("text/html", "<b>2</b>");
    /// bundle.show();
    /// ```
    pub fn show(&self) {
        send("display", self, None, false);
    }

    /// Shows it under a name, by which [`update`](Bundle::update) can replace it later.
    ///
    /// ```
    /// use d2l::display::Bundle;
    ///
    /// let bundle = Bundle::new().with("text/plain", "two").with("text/html", "<b>2</b>");
    /// bundle.show_as(&d2l::display::new_id());
    /// ```
    pub fn show_as(&self, display_id: &str) {
        send("display", self, Some(display_id), false);
    }

    /// Replaces what was shown under this name.
    ///
    /// ```
    /// use d2l::display::Bundle;
    ///
    /// let bundle = Bundle::new().with("text/plain", "two").with("text/html", "<b>2</b>");
    /// let id = d2l::display::new_id();
    /// bundle.show_as(&id);
    /// Bundle::new().with("text/plain", "three").update(&id);
    /// ```
    pub fn update(&self, display_id: &str) {
        send("update", self, Some(display_id), false);
    }
}

/// A name for [`Bundle::show_as`] that no other display has, also not one of a process that died.
///
/// ```
/// assert_ne!(d2l::display::new_id(), d2l::display::new_id());
/// ```
pub fn new_id() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// When [`clear`] takes effect.
///
/// ```
/// use d2l::display::{Clear, clear};
///
/// clear(Clear::WithNextOutput);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// At once.
    Now,
    /// When the next output comes, so that nothing flickers.
    WithNextOutput,
}

/// Removes the outputs of the running cell.
///
/// ```
/// use d2l::display::{Clear, clear};
///
/// clear(Clear::Now);
/// ```
pub fn clear(when: Clear) {
    send("clear", &Bundle::new(), None, when == Clear::WithNextOutput);
}

/// Shows HTML.
///
/// ```
/// d2l::display::html("<b>bold</b>");
/// ```
pub fn html(content: impl Into<String>) {
    Bundle::new().with("text/html", content).show();
}

/// Shows an SVG drawing.
///
/// ```
/// d2l::display::svg("<svg xmlns='http://www.w3.org/2000/svg'/>");
/// ```
pub fn svg(content: impl Into<String>) {
    Bundle::new().with("image/svg+xml", content).show();
}

/// Shows a PNG picture, given as the bytes of its file.
///
/// ```
/// use d2l::display::png;
///
/// png(b"\x89PNG\r\n\x1a\n");
/// ```
pub fn png(bytes: &[u8]) {
    Bundle::new().with("image/png", base64(bytes)).show();
}

/// Shows plain text.
///
/// ```
/// d2l::display::text("plain");
/// ```
pub fn text(content: impl Into<String>) {
    Bundle::new().with("text/plain", content).show();
}

/// Shows Markdown, with formulas.
///
/// ```
/// d2l::display::markdown("$x^2$");
/// ```
pub fn markdown(content: impl Into<String>) {
    Bundle::new().with("text/markdown", content).show();
}

/// What [`display`] can show.
///
/// ```
/// use d2l::display::{Show, display, text};
///
/// struct Star;
///
/// impl Show for Star {
///     fn show(&self) {
///         text("*");
///     }
/// }
///
/// display(&Star);
/// ```
pub trait Show {
    /// Shows this where the cell's outputs go.
    fn show(&self);
}

impl Show for Tensor {
    fn show(&self) {
        text(self.to_string());
    }
}

impl Show for str {
    fn show(&self) {
        text(self);
    }
}

impl Show for String {
    fn show(&self) {
        text(self);
    }
}

/// Shows a value in the middle of a cell.
///
/// ```
/// use d2l::prelude::*;
///
/// display(&tensor([1.0, 2.0]));
/// display("a word");
/// ```
pub fn display<T: Show + ?Sized>(value: &T) {
    value.show();
}

fn send(op: &str, bundle: &Bundle, display_id: Option<&str>, wait: bool) {
    match channel() {
        Some(channel) => {
            // What was printed before is also to be read before.
            let _ = io::stdout().flush();
            let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
            // A reader that went away must not stop the program.
            let _ = channel.write_all(&frame(op, bundle, display_id, wait));
        }
        None => {
            // `print!` rather than the raw handle, so that tests can capture it.
            print!("{}", markers(op, bundle));
            let _ = io::stdout().flush();
        }
    }
}

/// Whether displays can be updated where this runs.
pub(crate) fn is_connected() -> bool {
    channel().is_some()
}

/// The display channel, if the process was given one.
fn channel() -> Option<&'static Mutex<File>> {
    static CHANNEL: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    CHANNEL
        .get_or_init(|| {
            let number: u32 = std::env::var("D2L_DISPLAY_FD").ok()?.parse().ok()?;
            // Opening through the file system needs no unsafe code; it gives a descriptor of
            // our own for the same pipe or file. (A socket cannot be opened so.)
            let path = format!("/dev/fd/{number}");
            File::options().append(true).open(path).ok().map(Mutex::new)
        })
        .as_ref()
}

fn frame(op: &str, bundle: &Bundle, display_id: Option<&str>, wait: bool) -> Vec<u8> {
    let data: Vec<String> = (bundle.0.iter())
        .map(|(mime, content)| format!("{}:{}", json(mime), json(content)))
        .collect();
    let id = display_id.map_or("null".to_owned(), json);
    let body = format!(
        r#"{{"op":{},"data":{{{}}},"display_id":{id},"wait":{wait}}}"#,
        json(op),
        data.join(",")
    );
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body.into_bytes());
    frame
}

fn markers(op: &str, bundle: &Bundle) -> String {
    if op == "clear" {
        return String::new();
    }
    let mark = |(mime, content): &(String, String)| {
        format!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n")
    };
    bundle.0.iter().map(mark).collect()
}

/// A string as JSON writes it.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_length_and_json() {
        let bundle = Bundle::new().with("text/plain", "a \"b\"\n\u{1}é");
        let frame = frame("update", &bundle, Some("loss"), true);
        let (length, body) = frame.split_at(4);
        assert_eq!(length, (body.len() as u32).to_le_bytes());
        assert_eq!(
            std::str::from_utf8(body),
            Ok(concat!(
                r#"{"op":"update","data":{"text/plain":"a \"b\"\n\u0001é"},"#,
                r#""display_id":"loss","wait":true}"#
            ))
        );
    }

    #[test]
    fn every_form_has_its_markers() {
        let bundle = Bundle::new().with("text/html", "<b>x</b>").with("text/plain", "x");
        assert_eq!(
            markers("display", &bundle),
            "EVCXR_BEGIN_CONTENT text/html\n<b>x</b>\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/plain\nx\nEVCXR_END_CONTENT\n"
        );
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
