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
        make(philox(seed, block), &mut values);
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

/// Philox4x32-10 with the block number in the low half of the counter.
pub(crate) fn philox(key: u64, block: u64) -> [u32; 4] {
    philox_rounds(
        [block as u32, (block >> 32) as u32, 0, 0],
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
