//! Runs cells given on standard input, separated by lines `---`, and shows what each gave;
//! with `CELLS_EVCXR=1` on evcxr, if it is built in (feature `evcxr`).

use kernel::engine::{Backend, CellSource, Engine, EngineConfig, Outcome, PreludeCrate};
use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    kernel::runtime_hook();
    let evcxr = std::env::var_os("CELLS_EVCXR").is_some();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let prelude = std::env::args().nth(1).map(|source| PreludeCrate {
        name: "d2l".into(),
        source: source.into(),
        import: "use d2l::prelude::*;".into(),
    });
    let config = EngineConfig {
        prelude,
        cache_dir: std::env::temp_dir().join("d2l-example-cache"),
        work_dir: std::env::current_dir()?,
        env: Default::default(),
        backend: if evcxr { Backend::Evcxr } else { Backend::Auto },
    };
    let mut engine = Engine::start(config, &mut |step| eprintln!("{step}"))?;
    for (number, code) in text.split("\n---\n").enumerate() {
        let cell =
            CellSource { name: format!("In [{}]", number + 1), code: code.to_owned() };
        let ran = engine.execute(&cell, &mut |event| println!("  {event:?}"));
        match ran.outcome {
            Outcome::Done(value) => {
                println!("In [{}] {:?} {value:?}", number + 1, ran.elapsed)
            }
            Outcome::Failed(error) => println!(
                "In [{}] {:?} {:?}\n{}",
                number + 1,
                ran.elapsed,
                error.kind,
                error.plain
            ),
        }
    }
    Ok(())
}
