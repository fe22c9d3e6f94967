//! `d2l serve`: the book in the browser, rebuilt and reloaded after each edit.

use super::build::{BuildOptions, Built, build};
use crate::book::Book;
use crate::diagnostic::{self, Diagnostic, Style};
use crate::run::pool::Slots;
use crate::weave::html::Memo;
use notify::{RecursiveMode, Watcher};
use serde::Serialize;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// How long the files must be quiet before a rebuild: editors write in several steps.
const QUIET: Duration = Duration::from_millis(80);

/// How long a page's question "is there a newer build?" is held open.
const HOLD: Duration = Duration::from_secs(20);

/// Waits for the next build, then reloads the page or shows the mistakes over it; added to each page
/// that is served, never to the files.
const RELOAD: &str =
    concat!("<script>\n", include_str!("serve/reload.js"), "</script>\n");

/// Shown in place of a page that has not been made.
const MISSING: &str = "<!DOCTYPE html><html lang=\"en\"><title>Not made yet</title>\
    <meta name=\"viewport\" content=\"width=device-width\"><body style=\"font-family: system-ui; \
    margin: 3rem; color-scheme: light dark\"><h1>There is no such page yet</h1>\
    <p>It appears here when a build has made it.</p></body></html>";

/// What pages wait for.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Build {
    /// How many builds have ended.
    number: u64,
    /// The mistakes that the last one found, as the terminal shows them; empty if it made the pages.
    problems: String,
}

/// The last build and who waits for the next.
#[derive(Debug, Default)]
struct Builds {
    last: Mutex<Build>,
    ended: Condvar,
}

impl Builds {
    fn end(&self, problems: String) {
        let mut last = self.last.lock().expect("no panic under the lock");
        *last = Build { number: last.number + 1, problems };
        self.ended.notify_all();
    }

    /// The first build after number `seen`, or the last one if none ends while the question is held.
    fn after(&self, seen: Option<u64>) -> Build {
        let last = self.last.lock().expect("no panic under the lock");
        let wait = |build: &mut Build| seen == Some(build.number);
        let (last, _) =
            self.ended.wait_timeout_while(last, HOLD, wait).expect("as above");
        last.clone()
    }
}

/// Reads the book.
type Load<'a> = dyn FnMut() -> anyhow::Result<Result<Book, Vec<Diagnostic>>> + 'a;

/// Serves the book on `127.0.0.1:port` until the process is stopped. `load` parses it anew and
/// `report` shows diagnostics.
///
/// # Errors
/// If the port is taken or the files cannot be watched.
pub fn serve(
    book_root: &Path,
    port: u16,
    load: &mut Load<'_>,
    report: &dyn Fn(&[Diagnostic]),
) -> anyhow::Result<()> {
    let server = tiny_http::Server::http(("127.0.0.1", port))
        .map_err(|error| anyhow::anyhow!("cannot serve on port {port}: {error}"))?;
    let builds = Arc::new(Builds::default());
    let site = super::build_dir(book_root).join("html");
    let server = Arc::new(server);
    for _ in 0..8 {
        let (server, builds, site) = (server.clone(), builds.clone(), site.clone());
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                answer(request, &site, &builds);
            }
        });
    }

    let (changed, changes) = mpsc::channel();
    let mut watcher =
        notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let touched = |event: &notify::Event| !event.kind.is_access();
            if event.as_ref().is_ok_and(touched) {
                let _ = changed.send(());
            }
        })?;
    watcher.watch(book_root, RecursiveMode::Recursive)?;
    println!("serving http://127.0.0.1:{}/", port_of(&server, port));
    let mut memo = Memo::default();
    loop {
        let started = Instant::now();
        let problems = match rebuild(load, &mut memo) {
            Ok(Ok(_)) => {
                println!("ready in {:.2} s", started.elapsed().as_secs_f64());
                String::new()
            }
            Ok(Err(problems)) => {
                report(&problems);
                diagnostic::report(&problems, Style::Plain)
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                format!("error: {error:#}")
            }
        };
        builds.end(problems);
        changes.recv()?;
        while changes.recv_timeout(QUIET).is_ok() {}
    }
}

fn rebuild(
    load: &mut Load<'_>,
    memo: &mut Memo,
) -> anyhow::Result<Result<Built, Vec<Diagnostic>>> {
    match load()? {
        // The PDF is for `d2l build`: an author who writes wants the page within a second.
        Ok(book) => {
            let slots = Slots::of_this_machine();
            build(
                &book,
                &BuildOptions { no_pdf: true, no_epub: true, fresh: false, slots },
                memo,
            )
        }
        Err(problems) => Ok(Err(problems)),
    }
}

fn port_of(server: &tiny_http::Server, asked: u16) -> u16 {
    server.server_addr().to_ip().map_or(asked, |address| address.port())
}

fn answer(request: tiny_http::Request, site: &Path, builds: &Builds) {
    let url = request.url().to_owned();
    let response = match url.strip_prefix("/__build") {
        Some(seen) => {
            let seen = seen.trim_start_matches('?').parse().ok();
            let build = serde_json::to_string(&builds.after(seen));
            tiny_http::Response::from_string(build.expect("a number and a string"))
        }
        None => page(site, &url),
    };
    // The browser may have gone; nobody is left to tell.
    let _ = request.respond(response);
}

fn page(site: &Path, url: &str) -> tiny_http::Response<std::io::Cursor<Vec<u8>>> {
    let Some((path, bytes)) =
        file_for(site, url).and_then(|p| Some((p.clone(), std::fs::read(p).ok()?)))
    else {
        let html = header("Content-Type", content_type(Path::new("x.html")));
        return tiny_http::Response::from_string(with_reload(MISSING))
            .with_header(html)
            .with_status_code(404);
    };
    let kind = content_type(&path);
    let bytes = match kind.starts_with("text/html") {
        true => with_reload(&String::from_utf8_lossy(&bytes)).into_bytes(),
        false => bytes,
    };
    tiny_http::Response::from_data(bytes)
        .with_header(header("Content-Type", kind))
        .with_header(header("Cache-Control", "no-store"))
}

fn header(name: &str, value: &str) -> tiny_http::Header {
    tiny_http::Header::from_bytes(name, value).expect("our headers are ASCII")
}

fn with_reload(html: &str) -> String {
    match html.rfind("</body>") {
        Some(at) => format!("{}{RELOAD}{}", &html[..at], &html[at..]),
        None => format!("{html}{RELOAD}"),
    }
}

/// The file that an address means; none outside the site.
fn file_for(site: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.trim_start_matches('/');
    let path = PathBuf::from(percent_decode(path)?);
    if !path.components().all(|c| matches!(c, Component::Normal(_))) {
        return None;
    }
    let file = site.join(path);
    let file = if file.is_dir() { file.join("index.html") } else { file };
    file.is_file().then_some(file)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()).unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" | "ipynb" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "woff2" => "font/woff2",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_never_leave_the_site() {
        let home = tempfile::tempdir().unwrap();
        let site = home.path().join("html");
        std::fs::create_dir_all(site.join("a b")).unwrap();
        std::fs::write(home.path().join("secret"), "x").unwrap();
        std::fs::write(site.join("a b/index.html"), "x").unwrap();
        assert_eq!(file_for(&site, "/a%20b/?q"), Some(site.join("a b/index.html")));
        for url in
            ["/../secret", "/%2e%2e/secret", "//../secret", "/a%20b/../../secret", "/%"]
        {
            assert_eq!(file_for(&site, url), None, "{url}");
        }
    }

    #[test]
    fn pages_hear_of_each_build_and_its_mistakes() {
        let builds = Builds::default();
        let first = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| builds.after(Some(0)));
            builds.end("error: x".into());
            waiting.join().unwrap()
        });
        assert_eq!(first, Build { number: 1, problems: "error: x".into() });
        builds.end(String::new());
        let second = Build { number: 2, problems: String::new() };
        assert_eq!((builds.after(None), builds.after(Some(1))), (second.clone(), second));
    }

    #[test]
    fn pages_reload_and_files_do_not_know() {
        assert_eq!(with_reload("<body>x</body>"), format!("<body>x{RELOAD}</body>"));
    }
}
