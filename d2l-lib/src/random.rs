//! Seeded random numbers that any device can reproduce.
//!
//! The generator is Philox4x32-10 (Salmon et al., 2011): a function from a key (the seed)
//! and a counter to four 32-bit words. Every call takes the next counters, so a thousand
//! threads can compute the words of one call independently and agree.

use std::sync::{Mutex, PoisonError};

use crate::device::cuda::recording::{hinder, outdate};

/// The state between calls: which key, and how many blocks are used up.
struct Generator {
    seed: u64,
    blocks: u64,
}

static GENERATOR: Mutex<Generator> = Mutex::new(Generator { seed: 0, blocks: 0 });

/// Starts the random numbers over: after the same seed the same operations give the same
/// numbers, on every machine. A program that never calls it starts from seed 0.
///
/// ```
/// use d2l::prelude::*;
///
/// seed(42);
/// let x = Tensor::randn([2, 3]);
/// seed(42);
/// assert!(x.equal(&Tensor::randn([2, 3])));
/// ```
pub fn seed(seed: u64) {
    outdate();
    *lock() = Generator { seed, blocks: 0 };
}

fn lock() -> std::sync::MutexGuard<'static, Generator> {
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The seed, and the first of the next `blocks` blocks, which nobody else gets.
pub(crate) fn take_blocks(blocks: usize) -> (u64, u64) {
    let mut generator = lock();
    let first = generator.blocks;
    generator.blocks += blocks as u64;
    (generator.seed, first)
}

/// What `make` makes; the numbers that it draws will be drawn again.
pub(crate) fn undisturbed<R>(make: impl FnOnce() -> R) -> R {
    let (seed, blocks) = take_blocks(0);
    let made = make();
    *lock() = Generator { seed, blocks };
    made
}

/// `count` numbers, each made by `make` from words of its own: `per_block` numbers share
/// the four words of a block.
fn generate<T>(
    count: usize,
    make: impl Fn([u32; 4], &mut Vec<T>),
    per_block: usize,
) -> Vec<T> {
    hinder("it draws random numbers on the processor");
    let blocks = count.div_ceil(per_block);
    let (seed, first) = take_blocks(blocks);
    let mut values = Vec::with_capacity(blocks * per_block);
    for block in first..first + blocks as u64 {
        make(philox(seed, block, 0), &mut values);
    }
    values.truncate(count);
    values
}

/// Numbers evenly spread over `[0, 1)`: the multiples of 2⁻²⁴, which `f32` holds exactly.
pub(crate) fn uniform(count: usize) -> Vec<f32> {
    let make = |words: [u32; 4], out: &mut Vec<f32>| {
        out.extend(words.map(|word| (word >> 8) as f32 / (1 << 24) as f32));
    };
    generate(count, make, 4)
}

/// Numbers of mean 0 and variance 1 (Box-Muller).
pub(crate) fn normal(count: usize) -> Vec<f64> {
    let pair = |a: u32, b: u32| {
        // In (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - unit(a)).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * unit(b)).sin_cos();
        [radius * cos, radius * sin]
    };
    let make = |[a, b, c, d]: [u32; 4], out: &mut Vec<f64>| {
        out.extend(pair(a, b));
        out.extend(pair(c, d));
    };
    generate(count, make, 4)
}

/// Whole numbers evenly spread over `low..high`, from 64 random bits each.
pub(crate) fn integers(count: usize, low: i64, high: i64) -> Vec<i64> {
    let range = high.wrapping_sub(low) as u64;
    let scale = |high_word: u32, low_word: u32| {
        let bits = (u64::from(high_word) << 32) | u64::from(low_word);
        low.wrapping_add(((u128::from(bits) * u128::from(range)) >> 64) as i64)
    };
    let make = |[a, b, c, d]: [u32; 4], out: &mut Vec<i64>| {
        out.extend([scale(a, b), scale(c, d)]);
    };
    generate(count, make, 2)
}

/// For every rate, not negative and finite, a count from the Poisson distribution with this mean,
/// from words that belong to it.
pub(crate) fn poisson(rates: &[f64]) -> Vec<f64> {
    hinder("it draws random numbers on the processor");
    let (seed, first) = take_blocks(rates.len());
    let words = |block| Words { seed, block, turn: 0, made: [0; 4], used: 4 };
    (first..).zip(rates).map(|(block, &rate)| arrivals(rate, words(block))).collect()
}

/// As `poisson` in `random.cu`.
fn arrivals(rate: f64, mut words: Words) -> f64 {
    if rate < 10.0 {
        // Arrivals before time `rate`.
        let (limit, mut product, mut count) = ((-rate).exp(), 1.0, -1.0);
        while product > limit || count < 0.0 {
            product *= 1.0 - words.unit();
            count += 1.0;
        }
        return count;
    }
    // Hörmann, "The transformed rejection method for generating Poisson random variables"
    // (1993), algorithm PTRS.
    let b = 0.931 + 2.53 * rate.sqrt();
    let a = 0.02483 * b - 0.059;
    let (steepness, sure) = (1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2.0));
    loop {
        let (u, v) = (words.unit() - 0.5, 1.0 - words.unit());
        let edge = 0.5 - u.abs();
        let count = ((2.0 * a / edge + b) * u + rate + 0.43).floor();
        if edge >= 0.07 && v <= sure {
            return count;
        }
        if count < 0.0 || (edge < 0.013 && v > edge) {
            continue;
        }
        let limit = count * rate.ln() - rate - log_factorial(count);
        if (v * steepness / (a / (edge * edge) + b)).ln() <= limit {
            return count;
        }
    }
}

/// The logarithm of `n!`, by Stirling's series from 9 on.
fn log_factorial(n: f64) -> f64 {
    let (mut x, mut product) = (n + 1.0, 1.0);
    while x < 9.0 {
        product *= x;
        x += 1.0;
    }
    let square = x * x;
    let rest = 1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / 1680.0 / square) / square) / square;
    const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;
    (x - 0.5) * x.ln() - x + HALF_LOG_TAU + rest / x - product.ln()
}

/// Words without end for one number: those of its block, turn after turn.
struct Words {
    seed: u64,
    block: u64,
    turn: u32,
    made: [u32; 4],
    used: usize,
}

impl Words {
    /// The next number in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        if self.used == self.made.len() {
            self.made = philox(self.seed, self.block, self.turn);
            (self.turn, self.used) = (self.turn + 1, 0);
        }
        self.used += 1;
        unit(self.made[self.used - 1])
    }
}

/// `0..count` in random order (Fisher-Yates).
pub(crate) fn permutation(count: usize) -> Vec<i64> {
    let words = integers(count, 0, i64::MAX);
    let mut order: Vec<i64> = (0..count as i64).collect();
    for i in (1..count).rev() {
        // The bias of the remainder is below count / 2⁶³.
        order.swap(i, (words[i] % (i as i64 + 1)) as usize);
    }
    order
}

/// A number in `[0, 1)` from 32 random bits.
fn unit(word: u32) -> f64 {
    f64::from(word) / (1_u64 << 32) as f64
}

/// Philox4x32-10 with the block number in the low half of the counter, and then the turn, of
/// which a block has more than one where nobody knows how many words a number will need.
pub(crate) fn philox(key: u64, block: u64, turn: u32) -> [u32; 4] {
    philox_rounds(
        [block as u32, (block >> 32) as u32, turn, 0],
        [key as u32, (key >> 32) as u32],
    )
}

fn philox_rounds(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_factorials() {
        let mut sum = 0.0;
        for n in 0..200 {
            sum += f64::from(n.max(1)).ln();
            let found = log_factorial(f64::from(n));
            assert!((found - sum).abs() <= 1e-11 * sum.max(1.0), "{n}! {found} {sum}");
        }
    }

    #[test]
    fn the_words_are_those_of_the_reference_implementation() {
        // The known answers that come with Random123.
        assert_eq!(
            philox_rounds([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox_rounds([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox_rounds(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
