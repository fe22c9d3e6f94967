//! The kernels' sources, and where they are kept once they are compiled.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::driver::Program;

macro_rules! programs {
    ($all:ident: $($name:ident: $($file:literal),+;)*) => {
        $(
            pub(crate) const $name: Program = Program {
                name: last(&[$($file),+]),
                source: concat!(
                    include_str!("kernels/common.cuh"),
                    $(include_str!(concat!("kernels/", $file)),)+
                ),
            };
        )*

        #[cfg(test)]
        pub(crate) const $all: &[Program] = &[$($name),*];
    };
}

/// What a program is called after: its last file, before which those stand that it shares.
const fn last(files: &[&'static str]) -> &'static str {
    files[files.len() - 1]
}

programs! {
    ALL:
    CHAIN: "functions.cuh", "halves.cuh", "lanes.cuh", "chain.cuh", "map.cu", "slope.cu", "arithmetic.cu", "compare.cu", "chain.cu";
    MAP: "functions.cuh", "elementwise.cuh", "map.cu";
    ARITHMETIC: "functions.cuh", "elementwise.cuh", "arithmetic.cu";
    COMPARE: "elementwise.cuh", "compare.cu";
    SLOPE: "functions.cuh", "elementwise.cuh", "slope.cu";
    CONVERT: "elementwise.cuh", "convert.cu";
    REDUCE: "halves.cuh", "lanes.cuh", "reduce.cu";
    SOFTMAX: "halves.cuh", "lanes.cuh", "rows.cuh", "softmax.cu";
    TRANSPOSE: "transpose.cu";
    MATMUL: "matmul.cu";
    GATHER: "gather.cu";
    NORMALIZE: "halves.cuh", "lanes.cuh", "rows.cuh", "normalize.cu";
    OPTIMIZER: "halves.cuh", "lanes.cuh", "optimizer.cu";
    WINDOW: "window.cu";
    ATTENTION: "attention.cu";
    RECURRENT: "recurrent.cu";
    RANDOM: "random.cu";
}

/// What was compiled before for this program, by this compiler with these options; else what
/// `compile` gives, which is kept for the next time. Where nothing can be kept it is compiled
/// each time.
pub(super) fn compiled<E>(
    program: Program,
    compiler: &str,
    ending: &str,
    compile: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    compiled_in(&folder(), program, compiler, ending, compile)
}

fn compiled_in<E>(
    folder: &Path,
    program: Program,
    compiler: &str,
    ending: &str,
    compile: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let key = fingerprint(&[program.source.as_bytes(), compiler.as_bytes()]);
    let name = program.name.trim_end_matches(".cu");
    let path = folder.join(format!("{name}-{key:016x}{ending}"));
    if path.exists() {
        return Ok(path);
    }
    // Under another name first, for another process may look for it just now.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let _ = fs::create_dir_all(folder);
    let fresh = folder.join(format!("{name}-{}-{number}{ending}", process::id()));
    compile(&fresh)?;
    match fs::rename(&fresh, &path) {
        Ok(()) => Ok(path),
        Err(_) => Ok(fresh),
    }
}

/// Where compiled kernels are kept.
fn folder() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("D2L_CUDA_CACHE") {
        return folder.into();
    }
    let home = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    cache.unwrap_or_else(std::env::temp_dir).join("d2l").join("kernels")
}

/// A number that is another one for other texts (FNV-1a), the same on every machine.
fn fingerprint(texts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        for &byte in text.iter().chain(&[0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// Reads a file that `compiled` gave.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_compiled_once_for_each_compiler() {
        let folder = std::env::temp_dir().join(format!("d2l-kernels-{}", process::id()));
        let program = Program { name: "add.cu", source: "one" };
        let compile = |program, compiler, text: &'static str| {
            compiled_in(&folder, program, compiler, ".bin", |to| {
                fs::write(to, text).map_err(|_| "not written")
            })
        };
        let fails = |_: &Path| Err("does not compile");
        assert_eq!(
            compiled_in(&folder, program, "a", ".bin", fails),
            Err("does not compile")
        );
        let first = compile(program, "a", "made by a").unwrap();
        assert_eq!(read(&first).unwrap(), b"made by a");
        assert_eq!(compiled_in(&folder, program, "a", ".bin", fails), Ok(first.clone()));
        let other = compile(program, "b", "made by b").unwrap();
        assert_ne!(first, other);
        let changed = Program { source: "two", ..program };
        assert_ne!(compile(changed, "a", "changed").unwrap(), first);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "nothing else is left");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn where_nothing_can_be_kept_it_is_compiled_each_time() {
        let program = Program { name: "add.cu", source: "one" };
        let mut compiled = 0;
        for _ in 0..2 {
            let nowhere = Path::new("/dev/null/kernels");
            let made = compiled_in(nowhere, program, "a", ".bin", |_| {
                compiled += 1;
                Ok::<(), ()>(())
            });
            assert!(made.is_ok());
        }
        assert_eq!(compiled, 2);
    }
}
