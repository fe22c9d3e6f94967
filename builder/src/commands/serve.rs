//! `d2l serve`: the book in the browser, rebuilt and reloaded after each edit.

use super::build::{BuildOptions, Built, build};
use crate::book::Book;
use crate::diagnostic::Diagnostic;
use notify::{RecursiveMode, Watcher};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How long the files must be quiet before a rebuild: editors write in several steps.
const QUIET: Duration = Duration::from_millis(80);

/// How long a page's question "is there a newer build?" is held open.
const HOLD: Duration = Duration::from_secs(20);

/// Asks for the next build and reloads; added to each page that is served, never to the files.
const RELOAD: &str = "<script>(async()=>{let v=null;for(;;){try{const r=await fetch('/__build?'+\
(v??''));const n=await r.text();if(v!==null&&n!==v)location.reload();v=n}catch{await new \
Promise(r=>setTimeout(r,1000))}}})()</script>";

/// Serves the book on `127.0.0.1:port` until the process is stopped. `load` parses it anew and
/// `report` shows diagnostics.
///
/// # Errors
/// If the port is taken or the files cannot be watched.
pub fn serve(
    book_root: &Path,
    port: u16,
    load: &dyn Fn() -> anyhow::Result<Result<Book, Vec<Diagnostic>>>,
    report: &dyn Fn(&[Diagnostic]),
) -> anyhow::Result<()> {
    let server = tiny_http::Server::http(("127.0.0.1", port))
        .map_err(|error| anyhow::anyhow!("cannot serve on port {port}: {error}"))?;
    let version = Arc::new(AtomicU64::new(0));
    let site = super::build_dir(book_root).join("html");
    let server = Arc::new(server);
    for _ in 0..8 {
        let (server, version, site) = (server.clone(), version.clone(), site.clone());
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                answer(request, &site, &version);
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
    loop {
        let started = Instant::now();
        match rebuild(load) {
            Ok(Ok(_)) => {
                version.fetch_add(1, Ordering::SeqCst);
                println!("ready in {:.1} s", started.elapsed().as_secs_f64());
            }
            Ok(Err(problems)) => report(&problems),
            Err(error) => eprintln!("error: {error:#}"),
        }
        changes.recv()?;
        while changes.recv_timeout(QUIET).is_ok() {}
    }
}

fn rebuild(
    load: &dyn Fn() -> anyhow::Result<Result<Book, Vec<Diagnostic>>>,
) -> anyhow::Result<Result<Built, Vec<Diagnostic>>> {
    match load()? {
        // The PDF is for `d2l build`: an author who writes wants the page within a second.
        Ok(book) => build(&book, &BuildOptions { no_pdf: true, fresh: false }),
        Err(problems) => Ok(Err(problems)),
    }
}

fn port_of(server: &tiny_http::Server, asked: u16) -> u16 {
    server.server_addr().to_ip().map_or(asked, |address| address.port())
}

fn answer(request: tiny_http::Request, site: &Path, version: &AtomicU64) {
    let url = request.url().to_owned();
    let response = match url.strip_prefix("/__build") {
        Some(seen) => {
            let started = Instant::now();
            let seen = seen.trim_start_matches('?').parse::<u64>().ok();
            while seen == Some(version.load(Ordering::SeqCst)) && started.elapsed() < HOLD
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            tiny_http::Response::from_string(version.load(Ordering::SeqCst).to_string())
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
        return tiny_http::Response::from_string("not found").with_status_code(404);
    };
    let kind = content_type(&path);
    let bytes = match kind.starts_with("text/html") {
        true => with_reload(&String::from_utf8_lossy(&bytes)).into_bytes(),
        false => bytes,
    };
    let header = |name: &str, value: &str| {
        tiny_http::Header::from_bytes(name, value).expect("our headers are ASCII")
    };
    tiny_http::Response::from_data(bytes)
        .with_header(header("Content-Type", kind))
        .with_header(header("Cache-Control", "no-store"))
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
    fn pages_reload_and_files_do_not_know() {
        assert_eq!(with_reload("<body>x</body>"), format!("<body>x{RELOAD}</body>"));
    }
}
