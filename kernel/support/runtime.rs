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
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

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

static END: Mutex<Option<String>> = Mutex::new(None);

/// How the cell ended, for the runner to send; taken once.
pub fn end() -> Option<String> {
    END.lock().unwrap_or_else(|e| e.into_inner()).take()
}

/// Every cell's last call: notes how it ended.
#[inline(never)]
pub fn finish(id: u64, outcome: std::thread::Result<Result<(), String>>) {
    flush();
    let mut json = format!("{{\"op\":\"end\",\"id\":{id},\"threads\":{}", threads());
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
    *END.lock().unwrap_or_else(|e| e.into_inner()) = Some(json);
}

/// How many threads this process has.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count())
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

/// What this session has printed, in bytes: standard output, standard error.
pub type Printed = [AtomicU64; 2];

static PRINTED: AtomicPtr<Printed> = AtomicPtr::new(std::ptr::null_mut());
static MARKED: Printed = [AtomicU64::new(0), AtomicU64::new(0)];
static INPUTS: AtomicI32 = AtomicI32::new(0);
static LINE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Where the engine's answers to `input` frames come from: number, length, text.
pub const INPUT_FD: i32 = 196;

#[cfg(target_arch = "x86_64")]
const READ_WRITE_LINK: [i64; 3] = [0, 1, 267];
#[cfg(not(target_arch = "x86_64"))]
const READ_WRITE_LINK: [i64; 3] = [63, 64, 78];

unsafe extern "C" {
    fn syscall(number: i64, ...) -> isize;
}

/// Begins to count what is printed, and to ask the engine for what is read; the counters outlive
/// this process.
pub fn connect(counters: &'static Printed) {
    PRINTED.store(std::ptr::from_ref(counters).cast_mut(), Ordering::SeqCst);
}

/// Stands before libc's own: counts what is printed, and tells the display channel how far it is
/// before a frame, so that text and displays keep their order although they use two pipes.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: i32, bytes: *const u8, length: usize) -> isize {
    let counters = PRINTED.load(Ordering::Relaxed);
    if fd > 2 && !counters.is_null() && (fd == DISPLAY_FD || is_display(fd)) {
        // SAFETY: set by `connect` to what is never freed.
        mark(unsafe { &*counters });
    }
    // SAFETY: the caller's promise.
    let done = unsafe { syscall(READ_WRITE_LINK[1], fd, bytes, length) };
    if (fd == 1 || fd == 2) && done > 0 && !counters.is_null() {
        // SAFETY: as above.
        unsafe { (*counters)[fd as usize - 1].fetch_add(done as u64, Ordering::SeqCst) };
    }
    done
}

/// Stands before libc's own: a cell that reads standard input asks whoever uses the session.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: i32, into: *mut u8, length: usize) -> isize {
    if fd != 0 || length == 0 || PRINTED.load(Ordering::Relaxed).is_null() {
        // SAFETY: the caller's promise.
        return unsafe { syscall(READ_WRITE_LINK[0], fd, into, length) };
    }
    let mut line = LINE.lock().unwrap_or_else(|e| e.into_inner());
    if line.is_empty() {
        *line = ask();
    }
    let n = line.len().min(length);
    // SAFETY: `into` has room for `length` bytes.
    unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), into, n) };
    line.drain(..n);
    n as isize
}

/// A line from whoever uses the session; empty if there is nobody.
fn ask() -> Vec<u8> {
    flush();
    let number = INPUTS.fetch_add(1, Ordering::Relaxed) as u32 ^ std::process::id() << 12;
    frame(&format!("{{\"op\":\"input\",\"id\":{number}}}"));
    loop {
        let Some(head) = receive(8) else { return Vec::new() };
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let Some(text) = receive(word(4) as usize) else { return Vec::new() };
        // An answer to somebody who was interrupted is not ours.
        if word(0) == number {
            return text;
        }
    }
}

fn receive(length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut have = 0;
    while have < length {
        let (into, room) = (bytes[have..].as_mut_ptr(), length - have);
        // SAFETY: room for that many bytes.
        let n = unsafe { syscall(READ_WRITE_LINK[0], INPUT_FD, into, room) };
        let interrupted = std::io::ErrorKind::Interrupted;
        match n {
            0 => return None,
            n if n > 0 => have += n as usize,
            _ if std::io::Error::last_os_error().kind() == interrupted => {}
            _ => return None,
        }
    }
    Some(bytes)
}

/// Whether a descriptor leads to the display channel.
fn is_display(fd: i32) -> bool {
    let link = |fd: i32| {
        let mut path = [0_u8; 32];
        let _ = std::io::Write::write_fmt(&mut &mut path[..31], format_args!("/proc/self/fd/{fd}"));
        let mut target = [0_u8; 64];
        // SAFETY: a C string, and room for 64 bytes. -100 is the working directory.
        let n = unsafe {
            syscall(READ_WRITE_LINK[2], -100, path.as_ptr(), target.as_mut_ptr(), target.len())
        };
        (n, target)
    };
    let this = link(fd);
    this.0 > 0 && this.1.starts_with(b"pipe:") && this == link(DISPLAY_FD)
}

/// Tells how much was printed so far, if that is news.
fn mark(printed: &Printed) {
    let now = [printed[0].load(Ordering::SeqCst), printed[1].load(Ordering::SeqCst)];
    let before = [0, 1].map(|i| MARKED[i].swap(now[i], Ordering::SeqCst));
    if now == before {
        return;
    }
    let mut bytes = [0_u8; 96];
    let mut rest = &mut bytes[4..];
    let _ = std::io::Write::write_fmt(
        &mut rest,
        format_args!("{{\"op\":\"at\",\"out\":{},\"err\":{}}}", now[0], now[1]),
    );
    let length = 92 - rest.len();
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    // SAFETY: `bytes` holds that many. Shorter than a pipe's atomic write.
    unsafe { syscall(READ_WRITE_LINK[1], DISPLAY_FD, bytes.as_ptr(), length + 4) };
}

/// `print!` that is seen at once, also without a newline.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => {{
        ::std::print!($($arg)*);
        let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
    }};
}
