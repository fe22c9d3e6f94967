//! Damages files at random and reads them: whatever the bytes, a reader gives a tensor or an
//! error. It never panics, and asks for no more memory than a file could fill.
//!
//! ```sh
//! cargo run -p d2l --example fuzz_readers -- 600 [READER] [SEED]
//! ```
//!
//! runs for 600 seconds; without a reader (`npy`, `safetensors`, `idx`, `csv`) all in turn. What
//! makes a reader fail is left in `fuzz-READER-SEED-ROUND` in the directory for temporary
//! files, and the exit code is 1.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use d2l::{data, prelude::*};

/// The system's allocator, which remembers the largest block it was asked for.
struct Counting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// SplitMix64: a failure is found again by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Numbers at which lengths and offsets go wrong.
const HOSTILE: [u64; 14] = [
    0,
    1,
    7,
    127,
    128,
    255,
    256,
    65_535,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Words of the headers.
const WORDS: [&str; 26] = [
    "descr",
    "fortran_order",
    "shape",
    "True",
    "False",
    "<f4",
    "|b1",
    ">f8",
    "<i2",
    "(",
    ")",
    ",",
    "dtype",
    "data_offsets",
    "F32",
    "BF16",
    "__metadata__",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "NA",
    "\n",
    "-1",
    "1e999",
];

/// Changes `bytes` in one to eight ways.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        // Headers are at the start, so that is where damage matters most.
        let at = if random.below(2) == 0 { at.min(random.below(128)) } else { at };
        let end = bytes.len().min(at + 1 + random.below(16));
        match random.below(10) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                let number = HOSTILE[random.below(HOSTILE.len())];
                let width = [1, 2, 4, 8][random.below(4)];
                let number = match random.below(2) {
                    0 => number.to_le_bytes()[..width].to_vec(),
                    _ => number.to_be_bytes()[8 - width..].to_vec(),
                };
                bytes.splice(at..bytes.len().min(at + width), number);
            }
            6 => {
                let number = HOSTILE[random.below(HOSTILE.len())].to_string();
                bytes.splice(at..at, number.into_bytes());
            }
            7 => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(at..end, word.bytes());
            }
            8 => bytes.extend((0..random.below(64)).map(|_| random.next() as u8)),
            _ => bytes[at..end].reverse(),
        }
    }
}

struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    /// Whether the bytes were read as something.
    read: fn(&[u8], &PathBuf) -> bool,
    /// How many bytes may be asked for at once, for a file of so many.
    room: fn(usize) -> usize,
}

fn targets(room: &PathBuf) -> Vec<Target> {
    let file = |write: &dyn Fn(&PathBuf)| {
        write(room);
        fs::read(room).expect("the file was written")
    };
    let x = Tensor::arange(0.0..24.0).reshape([2, 3, 4]);
    let (words, flags) = (tensor([[1, -2], [3, 4]]), tensor([true, false, true]));
    let npy = |x: &Tensor| file(&|path| x.save(path).expect("a file"));
    let gzip = |bytes: &[u8]| {
        let mut out =
            flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut out, bytes).expect("memory");
        out.finish().expect("memory")
    };
    let idx = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 8]].concat();
    let floats =
        [&[0, 0, 13, 1, 0, 0, 0, 2][..], &1.5_f32.to_be_bytes(), &[0; 4]].concat();
    let fixture = |name: &str| {
        fs::read(
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name),
        )
        .expect("the fixtures are there")
    };
    vec![
        Target {
            name: "npy",
            seeds: vec![npy(&x), npy(&words), npy(&flags), fixture("columns.npy")],
            read: |bytes, path| {
                fs::write(path, bytes).expect("room for temporary files");
                Tensor::load(path).is_ok()
            },
            // Bytes become eight-byte numbers.
            room: |bytes| 16 * bytes + (1 << 16),
        },
        Target {
            name: "safetensors",
            seeds: vec![
                file(&|path| {
                    Tensor::save_named(
                        path,
                        &[("x", &x), ("words", &words), ("f", &flags)],
                    )
                    .expect("a file");
                }),
                fixture("halves.safetensors"),
            ],
            read: |bytes, path| {
                fs::write(path, bytes).expect("room for temporary files");
                Tensor::load_named(path).is_ok()
            },
            room: |bytes| 16 * bytes + (1 << 16),
        },
        Target {
            name: "idx",
            seeds: vec![idx.clone(), floats, gzip(&idx)],
            read: |bytes, _| data::read_idx("fuzz", bytes).is_ok(),
            // Compression makes a thousandth of zeros.
            room: |bytes| 16 * 1100 * bytes + (1 << 20),
        },
        Target {
            name: "csv",
            seeds: vec![
                b"rooms,alley,price\n,Pave,127500\n2,,106000\n4,NA,178100\n".to_vec(),
                b"a;b\n\"x, \"\"y\"\"\",1e3\n".to_vec(),
            ],
            read: |bytes, _| {
                let Ok(table) = data::Table::parse(&String::from_utf8_lossy(bytes))
                else {
                    return false;
                };
                // What follows in the book, too.
                let numbers = table.numeric().fill_mean();
                if numbers.num_rows() > 0 && !numbers.names().is_empty() {
                    numbers.standardize().to_tensor();
                }
                table.head(3).one_hot();
                true
            },
            room: |bytes| 1024 * bytes + (1 << 20),
        },
    ]
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(10.0);
    let only = arguments.next().unwrap_or_default();
    let seed: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let path = std::env::temp_dir().join(format!("fuzz-readers-{}", std::process::id()));
    let targets: Vec<Target> =
        targets(&path).into_iter().filter(|target| target.name.contains(&only)).collect();
    let share = Duration::from_secs_f64(seconds / targets.len().max(1) as f64);
    let mut failed = false;
    // The messages would be those of panics that are caught and reported below.
    std::panic::set_hook(Box::new(|_| {}));
    for target in &targets {
        let (start, mut rounds, mut readable) = (Instant::now(), 0_u64, 0_u64);
        let mut reported = HashSet::new();
        while start.elapsed() < share {
            let mut random = Random(seed.wrapping_mul(1 << 32) ^ rounds);
            let mut bytes = target.seeds[random.below(target.seeds.len())].clone();
            damage(&mut bytes, &mut random);
            LARGEST.store(0, Relaxed);
            let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes, &path)));
            let largest = LARGEST.load(Relaxed);
            let problem = match read {
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(|s| &s[..]);
                    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                    Some(format!("panicked: {}", text.unwrap_or("?")))
                }
                Ok(_) if largest > (target.room)(bytes.len()) => {
                    Some(format!("asked for {largest} bytes to read {}", bytes.len()))
                }
                Ok(was_read) => {
                    readable += u64::from(was_read);
                    None
                }
            };
            // One of a kind is enough.
            let kind =
                |problem: &String| problem.replace(|c: char| c.is_ascii_digit(), "");
            if let Some(problem) =
                problem.filter(|problem| reported.insert(kind(problem)))
            {
                failed = true;
                let kept = format!("fuzz-{}-{seed}-{rounds}", target.name);
                let kept = std::env::temp_dir().join(kept);
                fs::write(&kept, &bytes).expect("room for temporary files");
                println!("{}: {problem}; see {}", target.name, kept.display());
            }
            rounds += 1;
        }
        println!("{}: {rounds} files, of which {readable} could be read", target.name);
    }
    drop(fs::remove_file(&path));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
