//! What the commands do, apart from reading their arguments.

pub mod build;
pub mod check;
pub mod deploy;
pub mod fmt;
pub mod import;
pub mod kernel;
pub mod new;
pub mod serve;
pub mod tangle;
pub mod test;

use crate::book::Book;
use crate::config::{Config, Library};
use crate::prelude;
use crate::run::cache::{Cache, CrateFolders};
use crate::run::pool::Slots;
use crate::run::report::Terminal;
use crate::run::{self, Fresh, KeepGoing, RunOptions, RunResult};
use ::kernel::engine::{Backend, EngineConfig, PreludeCrate};
use std::path::{Path, PathBuf};

/// The engine for a book's cells.
///
/// # Errors
/// If the bundled crate must be unpacked and cannot be.
pub fn engine_config(config: &Config, root: &Path) -> anyhow::Result<EngineConfig> {
    let cache_dir = prelude::cache_dir();
    let library = config
        .library
        .clone()
        .unwrap_or_else(|| Library { name: "d2l".into(), ..Library::default() });
    let source = match library.path.as_os_str().is_empty() {
        false => std::path::absolute(root.join(&library.path))?,
        true => prelude::unpack_bundled(&cache_dir)?,
    };
    let import =
        library.prelude.unwrap_or_else(|| format!("use {}::prelude::*;", library.name));
    Ok(EngineConfig {
        prelude: Some(PreludeCrate { name: library.name, source, import }),
        cache_dir,
        work_dir: root.to_owned(),
        env: Default::default(),
        backend: Backend::Auto,
    })
}

/// Where a book's output goes: `_build` beside the book's folder.
pub fn build_dir(book_root: &Path) -> PathBuf {
    book_root.parent().unwrap_or(book_root).join("_build")
}

fn run_options(
    book: &Book,
    fresh: Fresh,
    keep_going: KeepGoing,
    slots: &Slots,
) -> anyhow::Result<RunOptions> {
    Ok(RunOptions {
        engine: engine_config(&book.config, &book.root)?,
        slots: slots.clone(),
        fresh,
        keep_going,
    })
}

/// Runs the sections at `wanted` through the book's cache.
fn execute(
    book: &Book,
    wanted: &[usize],
    fresh: Fresh,
    keep_going: KeepGoing,
    slots: &Slots,
    terminal: &Terminal,
) -> anyhow::Result<RunResult> {
    let options = run_options(book, fresh, keep_going, slots)?;
    let generated = match &book.config.library {
        Some(library) => library.generated.as_path(),
        None => Path::new("src/book"),
    };
    let library = (options.engine.prelude.as_ref()).map(|prelude| CrateFolders {
        root: &prelude.source,
        generated,
        import: &prelude.import,
    });
    let cache = Cache::open(&build_dir(&book.root).join("cache"), &book.root, library)?;
    run::run(book, wanted, &cache, &options, terminal)
}

/// Indices of the sections whose slug contains one of `filters`; all if there is none.
fn select(book: &Book, filters: &[String]) -> Vec<usize> {
    let wanted = |slug: &str| {
        filters.is_empty() || filters.iter().any(|f| slug.contains(f.as_str()))
    };
    (0..book.sections.len()).filter(|&i| wanted(&book.sections[i].slug)).collect()
}
