//! What every cell links to: the variables of the session, the display channel, the panic hook.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::sync::Mutex;

/// The descriptor of the display channel, also told to libraries by `D2L_DISPLAY_FD`.
pub const DISPLAY_FD: i32 = 198;

thread_local! {
    static VARIABLES: RefCell<HashMap<String, Box<dyn Any>>> = RefCell::default();
}

static PANIC: Mutex<Option<(String, String, u32, u32)>> = Mutex::new(None);

/// Takes a variable out of the session.
pub fn take<T: 'static>(name: &str) -> T {
    // Everything that does not depend on `T` is compiled here, once, and not in every cell.
    match remove(name).downcast() {
        Ok(value) => *value,
        Err(_) => changed(name),
    }
}

/// Puts a variable into the session.
pub fn put<T: 'static>(name: &str, value: T) {
    insert(name, Box::new(value));
}

/// See [`take`].
#[inline(never)]
pub fn remove(name: &str) -> Box<dyn Any> {
    let value = VARIABLES.with_borrow_mut(|all| all.remove(name));
    value.unwrap_or_else(|| panic!("the variable `{name}` is gone"))
}

/// See [`put`].
#[inline(never)]
pub fn insert(name: &str, value: Box<dyn Any>) {
    let old = VARIABLES.with_borrow_mut(|all| all.insert(name.to_owned(), value));
    // Dropped here, after the borrow: its destructor may run cells' code.
    drop(old);
}

#[inline(never)]
fn changed(name: &str) -> ! {
    panic!("the variable `{name}` changed its type")
}

/// Shows the value of a cell's last expression by its `Debug` form. A type's own method
/// `evcxr_display` is preferred, because inherent methods are.
pub trait Show {
    /// Shows the value.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> Show for T {
    fn evcxr_display(&self) {
        show_debug(std::any::type_name::<T>(), &|f| self.fmt(f));
    }
}

#[inline(never)]
fn show_debug(type_name: &str, write: &dyn Fn(&mut std::fmt::Formatter) -> std::fmt::Result) {
    if type_name != "()" {
        show_text(&std::fmt::from_fn(write).to_string());
    }
}

/// Shows a text as the cell's value.
#[inline(never)]
pub fn show_text(text: &str) {
    frame(&format!("{{\"op\":\"display\",\"data\":{{\"text/plain\":{}}}}}", quoted(text)));
}

/// What a macro `show` brackets belongs to the cell's value.
#[inline(never)]
pub fn begin_value() {
    flush();
    frame("{\"op\":\"begin_value\"}");
}

/// See [`begin_value`].
#[inline(never)]
pub fn end_value() {
    flush();
    frame("{\"op\":\"end_value\"}");
}

/// The runner's call around a cell.
#[inline(never)]
pub fn finish(id: u64, outcome: std::thread::Result<Result<(), String>>) {
    flush();
    let mut json = format!("{{\"op\":\"end\",\"id\":{id}");
    match outcome {
        Ok(Ok(())) => json.push_str(",\"status\":\"ok\""),
        Ok(Err(message)) => {
            let _ = write!(json, ",\"status\":\"returned\",\"message\":{}", quoted(&message));
        }
        Err(payload) => {
            let seen = PANIC.lock().unwrap_or_else(|e| e.into_inner()).take();
            let (message, file, line, column) = seen.unwrap_or_else(|| {
                (payload_text(&*payload), String::new(), 0, 0)
            });
            let (message, file) = (quoted(&message), quoted(&file));
            let _ = write!(
                json,
                ",\"status\":\"panic\",\"message\":{message},\"file\":{file},\"line\":{line},\"column\":{column}"
            );
        }
    }
    json.push('}');
    frame(&json);
}

fn flush() {
    let _ = std::io::stdout().flush();
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

/// Remembers where the main thread panicked instead of printing it; other threads print.
pub fn install_panic_hook() {
    let main = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        let message = payload_text(info.payload());
        let place = info.location();
        let (file, line, column) =
            place.map_or(("", 0, 0), |place| (place.file(), place.line(), place.column()));
        if std::thread::current().id() == main {
            let seen = (message, file.to_owned(), line, column);
            *PANIC.lock().unwrap_or_else(|e| e.into_inner()) = Some(seen);
        } else {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            eprintln!("thread '{name}' panicked: {message}");
        }
    }));
}

/// Writes one frame to the display channel: length, then JSON.
pub fn frame(json: &str) {
    // SAFETY: the runner opened this descriptor for its whole life; it is not closed here.
    let mut channel = ManuallyDrop::new(unsafe { File::from_raw_fd(DISPLAY_FD) });
    let mut bytes = Vec::with_capacity(json.len() + 4);
    bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
    bytes.extend_from_slice(json.as_bytes());
    let _ = channel.write_all(&bytes);
}

fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(json, "\\u{:04x}", c as u32);
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// `print!` that is seen at once, also without a newline.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => {{
        ::std::print!($($arg)*);
        let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
    }};
}
