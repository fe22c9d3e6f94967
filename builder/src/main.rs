//! The binary `d2l`: reads arguments, dispatches, shows errors, sets the exit code.

use builder::book::{Book, Parsed};
use builder::commands::{
    self, build::BuildOptions, fmt, tangle::Mode, test::TestOptions,
};
use builder::diagnostic::{self, Diagnostic, Style};
use builder::run::pool::Slots;
use builder::weave::html::Memo;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes books from markdown chapters with Rust cells.
#[derive(Parser)]
#[command(name = "d2l", version)]
struct Arguments {
    /// The book's folder, or its `book.toml`; else the nearest one at or above this folder.
    #[arg(long, global = true)]
    book: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every cell and make the site, the PDF, the e-book and the notebooks, under `_build`.
    Build {
        /// Make no PDF.
        #[arg(long)]
        no_pdf: bool,
        /// Make no e-book.
        #[arg(long)]
        no_epub: bool,
        /// Run every cell, even those that have not changed.
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        machine: Machine,
    },
    /// Build, show the book in the browser, and build again after each edit.
    Serve {
        /// The port of the local web server.
        #[arg(long, default_value_t = 8000)]
        port: u16,
    },
    /// Start a book in a new folder.
    New {
        /// The folder.
        folder: PathBuf,
    },
    /// Use this program as a kernel of Jupyter.
    Kernel {
        #[command(subcommand)]
        command: Kernel,
    },
    /// Check types, labels, links, formulas, files and citations; run nothing.
    Check {
        /// Print each mistake as a line of JSON, for editors.
        #[arg(long)]
        json: bool,
    },
    /// Run every cell, each a test, and compare its outputs with the recorded ones.
    Test {
        /// Only sections whose path contains one of these.
        sections: Vec<String>,
        /// Only tests whose name, `chapter/section::cell`, contains this.
        #[arg(long)]
        filter: Option<String>,
        /// Only what has changed since it last ran.
        #[arg(long)]
        changed: bool,
        /// Go on with a section after a cell of it has failed.
        #[arg(long)]
        keep_going: bool,
        /// Record the outputs as the right ones.
        #[arg(long)]
        bless: bool,
        /// Write a JUnit report to this file.
        #[arg(long)]
        junit: Option<PathBuf>,
        #[command(flatten)]
        machine: Machine,
    },
    /// Format the code of cells with rustfmt, in the chapters.
    Fmt {
        /// Write nothing; name the chapters that would change, and fail if there are any.
        #[arg(long)]
        check: bool,
    },
    /// Make a chapter from a notebook.
    Import {
        /// The `.ipynb` file.
        notebook: PathBuf,
        /// The chapter; else a file of the same name beside the notebook.
        chapter: Option<PathBuf>,
    },
    /// Write a workflow that publishes the book on GitHub Pages.
    Deploy,
    /// Write the cells marked `//#@save` into the crate.
    Tangle {
        /// Write nothing; fail if the crate is not what the chapters say.
        #[arg(long)]
        check: bool,
    },
}

/// What cells may run on.
#[derive(clap::Args)]
struct Machine {
    /// How many sections run at once; else one a core.
    #[arg(long)]
    jobs: Option<usize>,
    /// The GPUs for cells that say `gpu`, as in `0,1`; else all that CUDA_VISIBLE_DEVICES allows.
    #[arg(long, value_delimiter = ',')]
    gpus: Option<Vec<String>>,
}

impl Machine {
    fn slots(&self) -> Slots {
        let here = Slots::of_this_machine();
        let named = self
            .gpus
            .as_ref()
            .map(|names| names.iter().filter(|name| !name.is_empty()).cloned().collect());
        Slots {
            jobs: self.jobs.unwrap_or(here.jobs),
            gpus: named.unwrap_or(here.gpus),
            ..here
        }
    }
}

#[derive(Subcommand)]
enum Kernel {
    /// Let Jupyter offer the kernel “Rust (d2l)”.
    Install {
        /// An environment, such as a virtualenv; else for this user.
        #[arg(long)]
        prefix: Option<PathBuf>,
    },
    /// Undo `install`.
    Uninstall {
        /// As given to `install`.
        #[arg(long)]
        prefix: Option<PathBuf>,
    },
    /// Serve a notebook; Jupyter calls this.
    Run {
        /// Where the ports and the key are.
        connection_file: PathBuf,
    },
}

fn main() -> ExitCode {
    // The portable engine runs cells in a second process of this program.
    kernel::runtime_hook();
    let arguments = Arguments::parse();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Command::New { folder } = &arguments.command {
        commands::new::new(folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Import { notebook, chapter } = &arguments.command {
        let made = commands::import::import(notebook, chapter.as_deref())?;
        println!("made {}; list it in book.toml", made.display());
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Kernel { command } = &arguments.command {
        match command {
            Kernel::Install { prefix } => commands::kernel::install(prefix.as_deref())?,
            Kernel::Uninstall { prefix } => {
                commands::kernel::uninstall(prefix.as_deref())?
            }
            Kernel::Run { connection_file } => commands::kernel::run(connection_file)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let config = config_file(arguments.book.as_deref())?;
    if let Command::Serve { port } = &arguments.command {
        serve(&config, *port)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (book, mut diagnostics) = Book::load(&config);
    if let Command::Check { json } = &arguments.command {
        return check(&book, diagnostics, *json);
    }
    if !diagnostic::has_errors(&diagnostics) {
        match &arguments.command {
            Command::Check { .. }
            | Command::Import { .. }
            | Command::New { .. }
            | Command::Serve { .. }
            | Command::Kernel { .. } => {}
            Command::Build { no_pdf, no_epub, fresh, machine } => {
                let slots = machine.slots();
                let options = BuildOptions {
                    no_pdf: *no_pdf,
                    no_epub: *no_epub,
                    fresh: *fresh,
                    slots,
                };
                match commands::build::build(&book, &options, &mut Memo::default())? {
                    Ok(built) => println!("{built}"),
                    Err(problems) => diagnostics.extend(problems),
                }
            }
            Command::Test {
                sections,
                filter,
                changed,
                keep_going,
                bless,
                junit,
                machine,
            } => {
                let options = TestOptions {
                    sections: sections.clone(),
                    filter: filter.clone(),
                    changed: *changed,
                    keep_going: *keep_going,
                    bless: *bless,
                    junit: junit.clone(),
                    slots: machine.slots(),
                };
                diagnostics.extend(commands::test::test(&book, &options)?);
            }
            Command::Fmt { check } => {
                let mode = if *check { fmt::Mode::Check } else { fmt::Mode::Write };
                let changed = commands::fmt::fmt(&book, mode)?;
                for path in &changed {
                    println!(
                        "{} {}",
                        if *check { "not formatted:" } else { "formatted" },
                        path.display()
                    );
                }
                if *check && !changed.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Command::Deploy => {
                println!("made {}", commands::deploy::deploy(&book.root)?.display());
            }
            Command::Tangle { check } => {
                let mode = if *check { Mode::Check } else { Mode::Write };
                diagnostics.extend(commands::tangle::tangle(&book, mode)?);
            }
        }
    }
    show(&diagnostics);
    Ok(match diagnostic::has_errors(&diagnostics) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn check(book: &Book, parsed: Vec<Diagnostic>, json: bool) -> anyhow::Result<ExitCode> {
    let mut has_errors = false;
    let mut all = Vec::new();
    let mut found = |diagnostic: Diagnostic| {
        has_errors |= diagnostic::has_errors(std::slice::from_ref(&diagnostic));
        match json {
            true => println!("{}", builder::check::json(&diagnostic)),
            false => all.push(diagnostic),
        }
    };
    let is_readable = !book.sections.is_empty();
    parsed.into_iter().for_each(&mut found);
    if is_readable {
        commands::check::check(book, &mut found)?;
    }
    show(&all);
    Ok(if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn serve(config: &Path, port: u16) -> anyhow::Result<()> {
    let root = config.parent().unwrap_or(Path::new(""));
    let mut parsed = Parsed::empty();
    let mut load = || {
        let (book, diagnostics) = Book::load_with(config, &mut parsed);
        if diagnostic::has_errors(&diagnostics) {
            return Ok(Err(diagnostics));
        }
        show(&diagnostics);
        Ok(Ok(book))
    };
    commands::serve::serve(root, port, &mut load, &show)
}

fn show(diagnostics: &[Diagnostic]) {
    let report = diagnostic::report(diagnostics, Style::of_stderr());
    if !report.is_empty() {
        eprintln!("{report}");
    }
}

/// Where the book is described.
fn config_file(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    match asked {
        Some(path) if path.is_dir() => Ok(path.join("book.toml")),
        Some(path) => Ok(path.to_owned()),
        None => {
            let here = std::env::current_dir()?;
            let found = builder::config::find(&here).ok_or_else(|| {
                anyhow::anyhow!(
                    "no book.toml here or above; give one with --book, or `d2l new`"
                )
            })?;
            // Messages name files as the author would.
            Ok(found.strip_prefix(&here).map(Path::to_owned).unwrap_or(found))
        }
    }
}
