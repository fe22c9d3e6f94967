//! Times of one call, one a line: `name <tab> microseconds`, as `examples/bench.rs` prints them.

use std::time::Instant;

/// The least time of one call of `f` in microseconds, over about half a second.
fn time(mut f: impl FnMut()) -> f64 {
    (0..3).for_each(|_| f());
    let start = Instant::now();
    f();
    // Rounds of at least 2 ms, so that the clock does not count.
    let calls = (2e-3 / start.elapsed().as_secs_f64().max(1e-9)).ceil().max(1.0) as u32;
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.6 {
        let round = Instant::now();
        (0..calls).for_each(|_| f());
        best = best.min(round.elapsed().as_secs_f64() / f64::from(calls));
    }
    best * 1e6
}

/// Whether the row is asked for: its name holds the first argument.
pub fn is_wanted(name: &str) -> bool {
    let only = std::env::args().nth(1).unwrap_or_default();
    name.contains(&only)
}

/// Times `f` and prints the row.
pub fn row(name: &str, f: impl FnMut()) {
    if is_wanted(name) {
        println!("{name}\t{:.3}", time(f));
    }
}
