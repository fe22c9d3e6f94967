//! Convolution with stride 1 straight from the image, for few output channels, where copying
//! what the kernel sees would take longer than the sums.
//!
//! With the image padded, element `(c, ky, kx)` of all windows is the image itself, shifted:
//! pixel `p` of the result is a sum over shifts of `weight × image[shift + p]`, if results
//! count with the image's row length (and those between rows are dropped). So everything is
//! sums of multiples of long runs. AVX-512 only: elsewhere columns are copied.

use std::arch::x86_64::*;

use super::{
    convolve::{Sizes, Turned},
    vector::{Level, level},
};
use crate::device::threads;

/// Output channels, and runs of pixels, whose sums are kept in registers.
const CHANNELS: usize = 12;
const RUN: usize = 32;

/// Kernel gradients whose sums are kept in registers: output channels by shifts.
const ROWS: usize = 4;
const SHIFTS: usize = 6;

impl Sizes {
    /// Whether this is possible, and faster than copying columns.
    pub(super) fn suits_direct(&self, stride: [usize; 2]) -> bool {
        level() == Level::Avx512
            && stride == [1, 1]
            && self.kernel[0] * self.kernel[1] > 1
            && self.channels[1] <= 32
            && self.places()[1] >= 4
    }

    /// Height and row length of the padded image.
    fn padded(&self) -> [usize; 2] {
        std::array::from_fn(|i| self.image[i] + 2 * self.padding[i])
    }

    /// From the first pixel of the result to the last, with the padded row length.
    fn span(&self) -> usize {
        (self.places()[0] - 1) * self.padded()[1] + self.places()[1]
    }

    /// Where in the padded image the elements of the first window are.
    fn shifts(&self) -> Vec<usize> {
        let ([kh, kw], [high, wide]) = (self.kernel, self.padded());
        let window = self.channels[0] * kh * kw;
        let shift = |k| k / (kh * kw) * high * wide + k / kw % kh * wide + k % kw;
        (0..window).map(shift).collect()
    }

    /// Room for a padded image, and for runs that reach beyond its end.
    fn room(&self) -> Vec<f32> {
        let [high, wide] = self.padded();
        vec![0.0; self.channels[0] * high * wide + RUN]
    }

    /// Copies an image into the middle of `room`, whose borders stay 0.
    fn pad(&self, image: &[f32], room: &mut [f32]) {
        let ([h, w], [high, wide]) = (self.image, self.padded());
        for (row, from) in image.chunks_exact(w).enumerate() {
            let line = row / h * high + row % h + self.padding[0];
            room[line * wide + self.padding[1]..][..w].copy_from_slice(from);
        }
    }
}

/// `out = x ⋆ weight + bias`, image by image; `bias` may be empty.
pub(crate) fn convolve(
    sizes: Sizes,
    x: &[f32],
    weight: &[f32],
    turned: Turned,
    bias: &[f32],
    out: &mut [f32],
) {
    assert!(level() == Level::Avx512, "`suits` was asked");
    let ([ci, co], area) = (sizes.channels, sizes.kernel[0] * sizes.kernel[1]);
    let shifts = sizes.shifts();
    // Panels of 12 output channels, for each shift side by side.
    let mut panels = vec![0.0; co.next_multiple_of(CHANNELS) * shifts.len()];
    for o in 0..co {
        for (k, _) in shifts.iter().enumerate() {
            let (i, at) = (k / area, k % area);
            let from = match turned {
                Turned::No => (o * ci + i) * area + at,
                Turned::Yes => (i * co + o) * area + (area - 1 - at),
            };
            let panel = o / CHANNELS * CHANNELS * shifts.len();
            panels[panel + k * CHANNELS + o % CHANNELS] = weight[from];
        }
    }
    let (input, output) = (sizes.input(), sizes.output());
    threads::rows_mut(out, output, 1, &|first, out| {
        let mut room = sizes.room();
        for (i, out) in (first..).zip(out.chunks_exact_mut(output)) {
            sizes.pad(&x[i * input..(i + 1) * input], &mut room);
            // SAFETY: `level` found AVX-512.
            unsafe { image(&sizes, &room, &shifts, &panels, bias, out) };
        }
    });
}

/// One image. The sums of up to 12 channels by 32 pixels at once.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn image(
    sizes: &Sizes,
    room: &[f32],
    shifts: &[usize],
    panels: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    let ([oh, ow], wide, span) = (sizes.places(), sizes.padded()[1], sizes.span());
    for run in (0..span).step_by(RUN) {
        let end = (run + RUN).min(span);
        let blocks = panels.chunks_exact(CHANNELS * shifts.len());
        for (block, panel) in blocks.enumerate() {
            let first = block * CHANNELS;
            let channels = CHANNELS.min(sizes.channels[1] - first);
            let mut sums = [[0.0_f32; RUN]; CHANNELS];
            match channels {
                1 => sum_shifts::<1>(room, shifts, panel, run, &mut sums),
                2 => sum_shifts::<2>(room, shifts, panel, run, &mut sums),
                3 => sum_shifts::<3>(room, shifts, panel, run, &mut sums),
                4 => sum_shifts::<4>(room, shifts, panel, run, &mut sums),
                5 | 6 => sum_shifts::<6>(room, shifts, panel, run, &mut sums),
                7 | 8 => sum_shifts::<8>(room, shifts, panel, run, &mut sums),
                _ => sum_shifts::<CHANNELS>(room, shifts, panel, run, &mut sums),
            }
            for (channel, sums) in (first..).zip(&sums[..channels]) {
                let shift = bias.get(channel).copied().unwrap_or(0.0);
                let out = &mut out[channel * oh * ow..(channel + 1) * oh * ow];
                // The parts of this run that are results, not between two rows.
                let mut at = run;
                while at < end {
                    let (row, column) = (at / wide, at % wide);
                    if column >= ow {
                        at += wide - column;
                        continue;
                    }
                    let length = (ow - column).min(end - at);
                    let to = &mut out[row * ow + column..][..length];
                    let from = &sums[at - run..][..length];
                    to.iter_mut().zip(from).for_each(|(to, sum)| *to = sum + shift);
                    at += length;
                }
            }
        }
    }
}

/// For `N` channels, the sums of 32 pixels from `run` on.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn sum_shifts<const N: usize>(
    room: &[f32],
    shifts: &[usize],
    panel: &[f32],
    run: usize,
    out: &mut [[f32; RUN]; CHANNELS],
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for (&shift, weights) in shifts.iter().zip(panel.chunks_exact(CHANNELS)) {
        let pixels = &room[shift + run..][..RUN];
        // SAFETY: `pixels` has 32 elements.
        let pixels = unsafe {
            [_mm512_loadu_ps(pixels.as_ptr()), _mm512_loadu_ps(pixels.as_ptr().add(16))]
        };
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = _mm512_set1_ps(weight);
            sums[0] = _mm512_fmadd_ps(weight, pixels[0], sums[0]);
            sums[1] = _mm512_fmadd_ps(weight, pixels[1], sums[1]);
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        // SAFETY: `out` has 32 elements.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(out.as_mut_ptr().add(16), sums[1]);
        }
    }
}

/// Adds to `sum` the gradient with respect to the kernels, of some images.
pub(crate) fn to_weight(sizes: Sizes, x: &[f32], g: &[f32], sum: &mut [f32]) {
    assert!(level() == Level::Avx512, "`suits` was asked");
    let ([oh, ow], wide) = (sizes.places(), sizes.padded()[1]);
    let shifts = sizes.shifts();
    let mut room = sizes.room();
    // The gradient with the padded row length, zeros between.
    let length = sizes.span().next_multiple_of(16);
    let mut spread = vec![0.0; sizes.channels[1] * length];
    let images = x.chunks_exact(sizes.input()).zip(g.chunks_exact(sizes.output()));
    for (x, g) in images {
        sizes.pad(x, &mut room);
        for (row, from) in g.chunks_exact(ow).enumerate() {
            let at = row / oh * length + row % oh * wide;
            spread[at..at + ow].copy_from_slice(from);
        }
        // SAFETY: `level` found AVX-512.
        unsafe { products(&room, &spread, length, &shifts, sum) };
    }
}

/// `sum[o][k] += Σ g[o][p] · x[shift[k] + p]`.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn products(room: &[f32], g: &[f32], length: usize, shifts: &[usize], sum: &mut [f32]) {
    for (block, g) in g.chunks(ROWS * length).enumerate() {
        let sum = &mut sum[block * ROWS * shifts.len()..];
        let mut done = 0;
        while done < shifts.len() {
            let left = &shifts[done..];
            macro_rules! tile {
                ($rows:literal, $shifts:expr) => {
                    dots::<$rows, { $shifts }>(
                        room,
                        g,
                        length,
                        left,
                        sum,
                        done,
                        shifts.len(),
                    )
                };
            }
            let whole = left.len() >= SHIFTS;
            match (g.len() / length, whole) {
                (1, true) => tile!(1, SHIFTS),
                (2, true) => tile!(2, SHIFTS),
                (3, true) => tile!(3, SHIFTS),
                (_, true) => tile!(4, SHIFTS),
                (1, false) => tile!(1, 1),
                (2, false) => tile!(2, 1),
                (3, false) => tile!(3, 1),
                (_, false) => tile!(4, 1),
            }
            done += if whole { SHIFTS } else { 1 };
        }
    }
}

/// One tile of the sums: the dot products of `R` gradients and `S` shifted images.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn dots<const R: usize, const S: usize>(
    room: &[f32],
    g: &[f32],
    length: usize,
    shifts: &[usize],
    sum: &mut [f32],
    first: usize,
    width: usize,
) {
    // No closures: they would be compiled without these instructions, or not inlined.
    let (mut rows, mut seen) = ([&g[..0]; R], [&room[..0]; S]);
    for r in 0..R {
        rows[r] = &g[r * length..(r + 1) * length];
    }
    for s in 0..S {
        seen[s] = &room[shifts[s]..][..length];
    }
    let mut sums = [[_mm512_setzero_ps(); S]; R];
    for at in (0..length).step_by(16) {
        let mut gradients = [_mm512_setzero_ps(); R];
        for r in 0..R {
            // SAFETY: all these slices have `length` elements, a multiple of 16.
            gradients[r] = unsafe { _mm512_loadu_ps(rows[r].as_ptr().add(at)) };
        }
        for s in 0..S {
            // SAFETY: as above.
            let pixels = unsafe { _mm512_loadu_ps(seen[s].as_ptr().add(at)) };
            for r in 0..R {
                sums[r][s] = _mm512_fmadd_ps(gradients[r], pixels, sums[r][s]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (s, &lanes) in sums.iter().enumerate() {
            sum[r * width + first + s] += _mm512_reduce_add_ps(lanes);
        }
    }
}
