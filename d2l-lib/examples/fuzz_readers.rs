//! Makes and damages files at random and reads them: whatever the bytes, a reader gives a
//! tensor, a table or an error. It never panics, and holds no more memory than a file could
//! fill.
//!
//! ```sh
//! cargo build -p d2l --example fuzz_readers
//! (ulimit -v 4000000; TMPDIR=/dev/shm target/debug/examples/fuzz_readers 600 [READER] [SEED])
//! ```
//!
//! runs each reader for 600 seconds, or only one (`npy`, `safetensors`, `model`, `idx`,
//! `fashion`, `csv`). What makes a reader fail is left in `fuzz-READER-SEED-ROUND` in the
//! directory for temporary files, and the exit code is 1. Should the process be ended
//! instead, its last file is in `fuzz-readers-PROCESS` there.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

use d2l::{data, prelude::*};

/// The system's allocator, which counts what is held, and remembers the most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn more(size: usize) {
        MOST.fetch_max(HELD.fetch_add(size, Relaxed).wrapping_add(size), Relaxed);
    }

    fn less(size: usize) {
        HELD.fetch_sub(size, Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::more(layout.size());
        // SAFETY: the caller promises what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Counting::less(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::more(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there while one is copied to the other.
        Counting::more(size);
        Counting::less(layout.size());
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

    /// Whether something happens that does so once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
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
                let number = random.pick(&HOSTILE);
                let width = random.pick(&[1, 2, 4, 8]);
                let number = match random.below(2) {
                    0 => number.to_le_bytes()[..width].to_vec(),
                    _ => number.to_be_bytes()[8 - width..].to_vec(),
                };
                bytes.splice(at..bytes.len().min(at + width), number);
            }
            6 => {
                let number = random.pick(&HOSTILE).to_string();
                bytes.splice(at..at, number.into_bytes());
            }
            7 => {
                let word = random.pick(&WORDS);
                bytes.splice(at..end, word.bytes());
            }
            8 => bytes.extend((0..random.below(64)).map(|_| random.next() as u8)),
            _ => bytes[at..end].reverse(),
        }
    }
}

/// Lengths of axes, mostly few and small, and the bytes that so many elements of `size` need;
/// at times a byte more or less.
fn shape(random: &mut Random, size: usize) -> (Vec<u64>, Vec<u8>) {
    let ndim = if random.once_in(16) { random.below(300) } else { random.below(5) };
    let length = |_| match random.below(32) {
        0 => random.pick(&HOSTILE),
        _ => random.below(5) as u64,
    };
    let lengths: Vec<u64> = (0..ndim).map(length).collect();
    let bytes = lengths.iter().try_fold(size as u64, |all, &n| all.checked_mul(n));
    let bytes = bytes.filter(|&bytes| bytes < 1 << 16).unwrap_or(64) as usize;
    let bytes = match random.below(16) {
        0 => bytes + 1,
        1 => bytes.saturating_sub(1),
        _ => bytes,
    };
    (lengths, (0..bytes).map(|_| random.next() as u8).collect())
}

/// The header of a file, damaged at times, before its length is written down.
fn header(text: String, random: &mut Random) -> Vec<u8> {
    let mut header = text.into_bytes();
    if random.once_in(3) {
        damage(&mut header, random);
    }
    header
}

fn list(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn make_npy(random: &mut Random) -> Vec<u8> {
    let kinds = [("|b1", 1), ("|u1", 1), ("|i1", 1), ("<i2", 2), ("<i4", 4), ("<i8", 8)];
    let more = [("<f2", 2), ("<f4", 4), ("<f8", 8), (">f8", 8), ("<c8", 8), ("|O", 8)];
    let (kind, size) = random.pick(&[kinds, more].concat());
    let (lengths, data) = shape(random, size);
    let order = random.pick(&["True", "False"]);
    let text = format!(
        "{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({}), }}\n",
        list(&lengths)
    );
    let header = header(text, random);
    let version = random.below(4) as u8;
    let length = (header.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length[..] };
    [b"\x93NUMPY", &[version, 0][..], length, &header, &data].concat()
}

fn make_safetensors(random: &mut Random) -> Vec<u8> {
    let kinds = [("BOOL", 1), ("U8", 1), ("I8", 1), ("I16", 2), ("I32", 4), ("I64", 8)];
    let more = [("F16", 2), ("BF16", 2), ("F32", 4), ("F64", 8), ("F8_E4M3", 1), ("", 0)];
    let names =
        ["x", "0.weight", "0.bias", "2.weight", "2.bias", "__metadata__", "\\u0000"];
    let (mut entries, mut all) = (Vec::new(), Vec::new());
    for _ in 0..random.below(5) {
        let (kind, size) = random.pick(&[kinds, more].concat());
        let (lengths, data) = shape(random, size);
        let name = random.pick(&names);
        let mut offsets = [all.len() as u64, (all.len() + data.len()) as u64];
        if random.once_in(8) {
            offsets[random.below(2)] = random.pick(&HOSTILE);
        }
        entries.push(format!(
            r#""{name}":{{"dtype":"{kind}","shape":[{}],"data_offsets":[{}]}}"#,
            list(&lengths),
            list(&offsets)
        ));
        all.extend(data);
    }
    let header = header(format!("{{{}}}", entries.join(",")), random);
    [&(header.len() as u64).to_le_bytes(), &header[..], &all].concat()
}

fn make_idx(random: &mut Random) -> Vec<u8> {
    let (kind, size) = random.pick(&[
        (8, 1),
        (9, 1),
        (11, 2),
        (12, 4),
        (13, 4),
        (14, 8),
        (7, 1),
        (0, 1),
    ]);
    let (lengths, data) = shape(random, size);
    let lengths: Vec<u8> =
        lengths.iter().flat_map(|&n| (n as u32).to_be_bytes()).collect();
    [&[0, 0, kind, (lengths.len() / 4) as u8], &lengths[..], &data].concat()
}

fn make_csv(random: &mut Random) -> Vec<u8> {
    const FIELDS: [&str; 22] = [
        "",
        "NA",
        "NaN",
        "nan",
        "0",
        "-1",
        "1.5",
        "1e308",
        "-1e308",
        "1e999",
        "inf",
        "5e-324",
        "Pave",
        "\"a, \"\"b\"\"\"",
        "\"two\nlines\"",
        "\"open",
        "x\"y",
        " spaces ",
        "\u{feff}",
        "ä",
        "\0",
        "<b>",
    ];
    let columns = if random.once_in(32) { random.below(300) } else { random.below(6) };
    let mut text = String::new();
    for _ in 0..random.below(20) {
        let fields = columns + usize::from(random.once_in(64));
        let fields: Vec<&str> = (0..fields).map(|_| random.pick(&FIELDS)).collect();
        text += &fields.join(",");
        text += random.pick(&["\n", "\n", "\n", "\r\n", "\r", "\n\n"]);
    }
    text.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut out, bytes).expect("memory");
    out.finish().expect("memory")
}

struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    /// A file whose parts belong together, or nearly so.
    make: fn(&mut Random) -> Vec<u8>,
    /// Whether the reader takes compressed files too.
    gzipped: bool,
    /// Whether the file was read as something.
    read: fn(&Path) -> bool,
    /// How many times the length of a file may be held.
    room: usize,
}

impl Target {
    /// The file of a round.
    fn bytes(&self, random: &mut Random) -> Vec<u8> {
        let is_made = random.once_in(2);
        let mut bytes = match is_made {
            true => (self.make)(random),
            false => self.seeds[random.below(self.seeds.len())].clone(),
        };
        if !is_made || random.once_in(4) {
            damage(&mut bytes, random);
        }
        if self.gzipped && random.once_in(8) {
            bytes = gzip(&bytes);
            if random.once_in(2) {
                damage(&mut bytes, random);
            }
        }
        bytes
    }
}

/// What follows the reading of a tensor: every element is there.
fn is_whole(x: &Tensor) -> bool {
    assert!(x.to_vec_f64().len() == x.numel(), "every element is there");
    true
}

/// A small model, of which one layer waits for its shape.
fn model() -> nn::Sequential {
    sequential![nn::Linear::new(3, 4), nn::Relu, nn::Linear::lazy(2)]
}

/// The folder in which `fashion_mnist` looks for files of the whole set.
fn fashion_folder() -> PathBuf {
    std::env::temp_dir().join(format!("fuzz-fashion-{}", std::process::id()))
}

fn targets(room: &Path) -> Vec<Target> {
    let file = |write: &dyn Fn(&Path)| {
        write(room);
        fs::read(room).expect("the file was written")
    };
    let x = Tensor::arange(0.0..24.0).reshape([2, 3, 4]);
    let (words, flags) = (tensor([[1, -2], [3, 4]]), tensor([true, false, true]));
    let npy = |x: &Tensor| file(&|path| x.save(path).expect("a file"));
    let idx = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 8]].concat();
    let floats =
        [&[0, 0, 13, 1, 0, 0, 0, 2][..], &1.5_f32.to_be_bytes(), &[0; 4]].concat();
    let fixture = |name: &str| {
        fs::read(
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name),
        )
        .expect("the fixtures are there")
    };
    // Bytes become eight-byte numbers, and are copied once or twice on the way.
    const NUMBERS: usize = 32;
    // Compression makes a thousandth of zeros.
    const COMPRESSED: usize = 1100;
    vec![
        Target {
            name: "npy",
            seeds: vec![npy(&x), npy(&words), npy(&flags), fixture("columns.npy")],
            make: make_npy,
            gzipped: false,
            read: |path| Tensor::load(path).is_ok_and(|x| is_whole(&x)),
            room: NUMBERS,
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
            make: make_safetensors,
            gzipped: false,
            read: |path| {
                Tensor::load_named(path).is_ok_and(|all| all.values().all(is_whole))
            },
            room: NUMBERS,
        },
        Target {
            name: "model",
            seeds: vec![file(&|path| {
                let net = model();
                net.forward(&Tensor::zeros([1, 3]));
                nn::save(&net, path).expect("a file");
            })],
            make: make_safetensors,
            gzipped: false,
            read: |path| nn::load(&model(), path).is_ok(),
            room: NUMBERS,
        },
        Target {
            name: "idx",
            seeds: vec![idx.clone(), floats, gzip(&idx)],
            make: make_idx,
            gzipped: true,
            read: |path| data::read_idx_file(path).is_ok_and(|x| is_whole(&x)),
            room: NUMBERS * COMPRESSED,
        },
        Target {
            name: "fashion",
            seeds: vec![idx.clone(), gzip(&idx)],
            make: make_idx,
            gzipped: true,
            read: |path| {
                let images = fashion_folder().join("t10k-images-idx3-ubyte");
                fs::rename(path, images).expect("room for temporary files");
                data::fashion_mnist(data::Split::Test).is_ok_and(|set| {
                    assert!(set.source.contains("whole set"), "{}", set.source);
                    is_whole(&set.images)
                })
            },
            room: NUMBERS * COMPRESSED,
        },
        Target {
            name: "csv",
            seeds: vec![
                b"rooms,alley,price\n,Pave,127500\n2,,106000\n4,NA,178100\n".to_vec(),
                b"a;b\n\"x, \"\"y\"\"\",1e3\n".to_vec(),
            ],
            make: make_csv,
            gzipped: true,
            read: |path| {
                let Ok(table) = data::Table::read_csv(path) else {
                    return false;
                };
                // What follows in the book, too.
                let numbers = table.numeric().fill_mean();
                if numbers.num_rows() > 0 && !numbers.names().is_empty() {
                    is_whole(&numbers.standardize().to_tensor());
                }
                assert!(table.head(3).one_hot().to_string().contains(" rows"));
                true
            },
            room: NUMBERS * COMPRESSED,
        },
    ]
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(10.0);
    let only = arguments.next().unwrap_or_default();
    let seed: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let path = std::env::temp_dir().join(format!("fuzz-readers-{}", std::process::id()));
    let folder = fashion_folder();
    fs::create_dir_all(&folder).expect("room for temporary files");
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 3, 9];
    fs::write(folder.join("t10k-labels-idx1-ubyte"), labels).expect("room for labels");
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("D2L_DATA", &folder) };

    let targets: Vec<Target> =
        targets(&path).into_iter().filter(|target| target.name.contains(&only)).collect();
    let mut failed = targets.is_empty();
    // The messages would be those of panics that are caught and reported below.
    std::panic::set_hook(Box::new(|_| {}));
    for target in &targets {
        let (start, mut rounds, mut readable) = (Instant::now(), 0_u64, 0_u64);
        let mut reported = HashSet::new();
        while start.elapsed().as_secs_f64() < seconds {
            let mut random = Random(seed.wrapping_mul(1 << 32) ^ rounds);
            let bytes = target.bytes(&mut random);
            fs::write(&path, &bytes).expect("room for temporary files");
            let before = HELD.load(Relaxed);
            MOST.store(before, Relaxed);
            let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&path)));
            let held = MOST.load(Relaxed) - before;
            let problem = match read {
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(|s| &s[..]);
                    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                    Some(format!("panicked: {}", text.unwrap_or("?")))
                }
                Ok(_) if held > target.room * bytes.len() + (1 << 17) => {
                    Some(format!("held {held} bytes to read {}", bytes.len()))
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
        println!(
            "{}: {rounds} files in {:.0} s, of which {readable} could be read, {} findings",
            target.name,
            start.elapsed().as_secs_f64(),
            reported.len()
        );
    }
    drop((fs::remove_file(&path), fs::remove_dir_all(&folder)));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
