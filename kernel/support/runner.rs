//! The process that holds the variables and runs compiled cells.
//!
//! Three roles of one program. The *keeper* loads the prelude crate, never runs a cell, and reports
//! deaths. The *active* process, its child, runs cells. After each cell the active one forks a
//! *snapshot* that sleeps; if the active one dies, the keeper wakes the snapshot, which then is the
//! active one, with the variables of after the last cell that ended. Without a snapshot the keeper forks anew.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn getpid() -> c_int;
    fn setpgid(pid: c_int, group: c_int) -> c_int;
    fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int;
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
    fn mmap(at: *mut c_void, n: usize, prot: c_int, flags: c_int, fd: c_int, o: i64) -> *mut c_void;
    fn signal(number: c_int, handler: usize) -> usize;
    fn sigemptyset(set: *mut [u64; 16]) -> c_int;
    fn sigaddset(set: *mut [u64; 16], number: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const [u64; 16], old: *mut [u64; 16]) -> c_int;
    fn sigtimedwait(set: *const [u64; 16], info: *mut c_void, limit: *const [i64; 2]) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn poll(fds: *mut PollFd, n: u64, timeout: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

const SIGINT: c_int = 2;
const SIGKILL: c_int = 9;
const SIGUSR1: c_int = 10;
const SIGCHLD: c_int = 17;
const F_SETFD: c_int = 2;
const FD_CLOEXEC: c_int = 1;
const PR_SET_PDEATHSIG: c_int = 1;
const PR_SET_CHILD_SUBREAPER: c_int = 36;
const RTLD_NOW_GLOBAL: c_int = 2 | 0x100;
const REQUEST_FD: c_int = 197;

/// The library's flag, if it has one: set to ask its operations to stop.
static STOP: AtomicPtr<AtomicBool> = AtomicPtr::new(std::ptr::null_mut());

/// Shared by the three roles.
struct Shared {
    active: AtomicI32,
    snapshot: AtomicI32,
    quit: AtomicBool,
    /// The number of the cell that runs, or 0.
    running: AtomicU64,
    keeper: AtomicI32,
    printed: runtime::Printed,
}

extern "C" fn on_interrupt(_: c_int) {
    let stop = STOP.load(Ordering::Relaxed);
    if !stop.is_null() {
        // SAFETY: points to a static of a library that is never unloaded.
        unsafe { (*stop).store(true, Ordering::Relaxed) };
    }
}

extern "C" fn on_child(_: c_int) {}

fn main() {
    let preludes: Vec<String> = std::env::args().skip(1).collect();
    // SAFETY: plain system calls on this process, before any thread or cell exists.
    unsafe {
        setpgid(0, 0);
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        // Programs that a cell starts must not hold our channels.
        for fd in [REQUEST_FD, runtime::INPUT_FD] {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        }
        signal(SIGINT, on_interrupt as *const () as usize);
        signal(SIGCHLD, on_child as *const () as usize);
    }
    for prelude in &preludes {
        if let Err(error) = open(prelude) {
            runtime::frame(&format!("{{\"op\":\"fatal\",\"message\":{error:?}}}"));
            return;
        }
    }
    // SAFETY: the name is a C string; the result is checked.
    let stop = unsafe { dlsym(std::ptr::null_mut(), c"D2L_INTERRUPT".as_ptr()) };
    STOP.store(stop.cast(), Ordering::Relaxed);
    // SAFETY: anonymous shared memory, zeroed: a valid `Shared`; never unmapped.
    let shared = unsafe { &*mmap(std::ptr::null_mut(), 4096, 3, 0x21, -1, 0).cast::<Shared>() };
    // SAFETY: reads our pid.
    shared.keeper.store(unsafe { getpid() }, Ordering::SeqCst);
    runtime::connect(&shared.printed);
    keep(shared);
}

fn open(path: &str) -> Result<*mut c_void, String> {
    let path = CString::new(path).map_err(|e| e.to_string())?;
    // SAFETY: a valid C string; loading a cell or a library we built.
    let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW_GLOBAL) };
    if library.is_null() {
        // SAFETY: after a failure `dlerror` gives a string that is valid until the next call.
        let error = unsafe { CStr::from_ptr(dlerror()) };
        return Err(error.to_string_lossy().into_owned());
    }
    Ok(library)
}

/// The keeper: forks the active process and reports deaths until nobody can send requests.
fn keep(shared: &'static Shared) {
    spawn(shared);
    loop {
        let mut status = 0;
        // SAFETY: `status` is valid; WNOHANG.
        let dead = unsafe { waitpid(-1, &mut status, 1) };
        if dead > 0 {
            if dead == shared.active.load(Ordering::SeqCst) {
                if shared.quit.load(Ordering::SeqCst) {
                    return;
                }
                let snapshot = shared.snapshot.swap(0, Ordering::SeqCst);
                let kept = snapshot > 0 && revive(shared, snapshot);
                if !kept {
                    spawn(shared);
                }
                let pid = shared.active.load(Ordering::SeqCst);
                let cell = shared.running.swap(0, Ordering::SeqCst);
                runtime::frame(&format!(
                    "{{\"op\":\"died\",\"status\":{status},\"kept\":{kept},\"pid\":{pid},\"cell\":{cell}}}"
                ));
            }
            continue;
        }
        let mut request = PollFd { fd: REQUEST_FD, events: 0, revents: 0 };
        // SAFETY: one valid descriptor; a child's death ends the wait.
        unsafe { poll(&mut request, 1, 200) };
        if request.revents & 0x18 != 0 {
            // The engine is gone.
            // SAFETY: our own group.
            unsafe { kill(0, SIGKILL) };
        }
    }
}

fn revive(shared: &Shared, snapshot: c_int) -> bool {
    shared.active.store(snapshot, Ordering::SeqCst);
    // SAFETY: a signal to a process of ours.
    unsafe { kill(snapshot, SIGUSR1) == 0 }
}

fn spawn(shared: &'static Shared) {
    // SAFETY: the keeper has one thread.
    let child = unsafe { fork() };
    if child == 0 {
        serve(shared);
        shared.quit.store(true, Ordering::SeqCst);
        // SAFETY: leaves without running the keeper's destructors.
        unsafe { _exit(0) }
    }
    shared.active.store(child, Ordering::SeqCst);
}

/// The active process: runs what it is asked to.
fn serve(shared: &'static Shared) {
    // SAFETY: plain system calls; the keeper's death must not leave us behind.
    unsafe {
        prctl(PR_SET_PDEATHSIG, SIGKILL as usize, 0, 0, 0);
        signal(SIGCHLD, 0);
    }
    runtime::install_panic_hook();
    // SAFETY: no call; reads our pid.
    runtime::frame(&format!("{{\"op\":\"ready\",\"pid\":{}}}", unsafe { getpid() }));
    let mut before = Snapshot::None;
    loop {
        let end = runtime::end();
        let old = std::mem::replace(&mut before, Snapshot::None);
        before = snapshot_if_alone(shared);
        if let Snapshot::Woken = before {
            continue;
        }
        // Only now is the cell done: whatever happens from here on, its variables are safe.
        if let Some(end) = end {
            runtime::frame(&end);
            shared.running.store(0, Ordering::SeqCst);
        }
        old.forget(shared);
        let Some(line) = request() else { return };
        if let Snapshot::None = before {
            // The threads that were in the way may have ended.
            before = snapshot_if_alone(shared);
            if let Snapshot::Woken = before {
                continue;
            }
        }
        let mut parts = line.splitn(3, ' ');
        if let (Some(id), Some(entry), Some(path)) = (parts.next(), parts.next(), parts.next()) {
            let id = id.parse().unwrap_or(0);
            shared.running.store(id, Ordering::SeqCst);
            match open(path) {
                Ok(_) if entry == "-" => runtime::finish(id, Ok(Ok(()))),
                Ok(library) => run(library, entry, id),
                Err(error) => {
                    let failed = Ok(Err(format!("the cell could not be loaded: {error}")));
                    runtime::finish(id, failed);
                }
            }
        }
    }
}

/// A snapshot, unless there are other threads, which it would not have.
fn snapshot_if_alone(shared: &'static Shared) -> Snapshot {
    match runtime::threads() {
        1 => snapshot(shared),
        _ => Snapshot::None,
    }
}

fn run(library: *mut c_void, entry: &str, id: u64) {
    let Ok(name) = CString::new(entry) else { return };
    // SAFETY: a loaded library and a C string.
    let cell = unsafe { dlsym(library, name.as_ptr()) };
    if cell.is_null() {
        return runtime::finish(id, Ok(Err(format!("the cell has no entry {entry}"))));
    }
    // SAFETY: the engine compiled this entry with exactly this signature.
    let cell: extern "C" fn() = unsafe { std::mem::transmute(cell) };
    let stop = STOP.load(Ordering::Relaxed);
    if !stop.is_null() {
        // SAFETY: see `on_interrupt`. An old request must not stop a new cell.
        unsafe { (*stop).store(false, Ordering::Relaxed) };
    }
    cell();
}

enum Snapshot {
    /// This process has a sleeping copy.
    Sleeping(c_int),
    /// This process is the copy and has been woken.
    Woken,
    /// There is none.
    None,
}

impl Snapshot {
    /// Ends a copy that has been replaced, or that would lack what threads do.
    fn forget(self, shared: &Shared) {
        let Snapshot::Sleeping(pid) = self else { return };
        let order = Ordering::SeqCst;
        let _ = shared.snapshot.compare_exchange(pid, 0, order, order);
        // SAFETY: our own child.
        unsafe {
            kill(pid, SIGKILL);
            waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
}

fn snapshot(shared: &'static Shared) -> Snapshot {
    let mut set = [0; 16];
    let mut old = [0; 16];
    // SAFETY: valid sets; SIGUSR1 is blocked so that it waits for `sigwait`.
    unsafe {
        sigemptyset(&mut set);
        sigaddset(&mut set, SIGUSR1);
        sigprocmask(0, &set, &mut old);
    }
    // SAFETY: we have one thread.
    let child = unsafe { fork() };
    if child == 0 {
        // SAFETY: as above; if our parent is already dead the keeper is our parent now and wakes us.
        unsafe {
            prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
            while sigtimedwait(&set, std::ptr::null_mut(), &[2, 0]) < 0 {
                // Nobody is left who could wake us.
                if kill(shared.keeper.load(Ordering::SeqCst), 0) < 0 {
                    _exit(0);
                }
            }
            sigprocmask(2, &old, std::ptr::null_mut());
            prctl(PR_SET_PDEATHSIG, SIGKILL as usize, 0, 0, 0);
        }
        return Snapshot::Woken;
    }
    // SAFETY: restores the mask.
    unsafe { sigprocmask(2, &old, std::ptr::null_mut()) };
    if child < 0 {
        return Snapshot::None;
    }
    shared.snapshot.store(child, Ordering::SeqCst);
    Snapshot::Sleeping(child)
}

/// One line from the engine; none when it is gone. Read byte by byte: a snapshot must find the rest.
fn request() -> Option<String> {
    use std::os::fd::FromRawFd;
    // SAFETY: the engine opened it; it is not closed here.
    let mut input =
        std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(REQUEST_FD) });
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return None,
            Ok(_) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
