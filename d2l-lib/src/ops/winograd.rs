//! Convolution with kernels of 3 by 3 by Winograd's algorithm F(4×4, 3×3): a tile of 6 by 6
//! pixels and the kernel are transformed so that 36 products give 16 results, where the
//! definition takes 144 (Lavin and Gray, 2016).
//!
//! Across channels these products are 36 products of matrices. Inside, channels come last,
//! padded to whole vectors.

use super::{
    matmul::{Factor, Matrix},
    vector::vectorised,
};
use crate::device::threads;

/// Channels are transformed in runs of this many.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// A tile is so wide, its results, and its pixels after the transform.
const TILE: usize = 6;
const STEP: usize = 4;
const POINTS: usize = TILE * TILE;

/// So many tiles at least make a product of matrices that is worth its packing.
const TILES: usize = 48;

/// The sizes of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Channels of the input and of the output.
    pub(crate) channels: [usize; 2],
    /// Height and width of the input.
    pub(crate) image: [usize; 2],
    /// The zeros around it.
    pub(crate) padding: [usize; 2],
}

impl Sizes {
    /// Whether the algorithm is faster than the definition here.
    pub(crate) fn suits(&self, kernel: [usize; 2], stride: [usize; 2]) -> bool {
        kernel == [3, 3]
            && stride == [1, 1]
            && self.padding.iter().all(|&padding| padding <= 2)
            && self.channels.iter().all(|&channels| channels >= LANES)
            && self.places().iter().all(|&places| places >= 4)
    }

    fn places(&self) -> [usize; 2] {
        std::array::from_fn(|i| (self.image[i] + 2 * self.padding[i]).saturating_sub(2))
    }

    /// How many tiles cover the results.
    fn tiles(&self) -> [usize; 2] {
        self.places().map(|places| places.div_ceil(STEP))
    }
}

/// Whether the kernels are turned by half a circle, and their channels exchanged.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Turned {
    No,
    Yes,
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
    let kernel = |o: usize, i: usize| -> [f32; 9] {
        let at = match turned {
            Turned::No => o * sizes.channels[0] + i,
            Turned::Yes => i * sizes.channels[1] + o,
        };
        let mut kernel = std::array::from_fn(|k| weight[at * 9 + k]);
        if turned == Turned::Yes {
            kernel.reverse();
        }
        kernel
    };
    let [ci, co] = sizes.channels;
    let [inner, outer] = [ci, co].map(|channels| channels.next_multiple_of(LANES));
    let ([h, w], [oh, ow], [th, tw]) = (sizes.image, sizes.places(), sizes.tiles());
    let (wide, tiles) = (STEP * tw + 2, th * tw);
    let kernels = transformed(sizes, &kernel);
    let mut biases = vec![0.0; outer];
    biases[..bias.len()].copy_from_slice(bias);
    let group = TILES.div_ceil(tiles);
    let (input, output) = (ci * h * w, co * oh * ow);

    let images = out.len() / output;
    let groups = images.div_ceil(group);
    let grain = if groups < threads::num_threads() { 1 } else { group };
    threads::rows_mut(out, output, grain, &|first, out| {
        let mut pixels = vec![0.0; (STEP * th + 2) * wide * inner];
        let mut results = vec![0.0; STEP * th * STEP * tw * outer];
        let mut points = vec![0.0; POINTS * group * tiles * inner];
        let mut products = vec![0.0; POINTS * group * tiles * outer];
        for (i, out) in out.chunks_mut(group * output).enumerate() {
            let first = first + i * group;
            let count = out.len() / output;
            let rows = count * tiles;
            for image in 0..count {
                let x = &x[(first + image) * input..][..input];
                let offset = sizes.padding[0] * wide + sizes.padding[1];
                channels_last(x, [ci, h, w], &mut pixels[offset * inner..], wide, inner);
                let points = &mut points[image * tiles * inner..];
                let far = group * tiles * inner;
                tiles_in(&pixels, [th, tw], wide, inner, points, far);
            }
            for (point, kernels) in kernels.chunks_exact(inner * outer).enumerate() {
                let points = &points[point * group * tiles * inner..][..rows * inner];
                let products =
                    &mut products[point * group * tiles * outer..][..rows * outer];
                let points = Matrix::rows(points, [rows, inner]);
                let kernels = Matrix::rows(kernels, [inner, outer]);
                f32::product(points, kernels, products, outer, false);
            }
            for (image, out) in out.chunks_exact_mut(output).enumerate() {
                let products = &products[image * tiles * outer..];
                let far = group * tiles * outer;
                tiles_out(products, far, [th, tw], &biases, &mut results);
                channels_first(&results, STEP * tw, outer, [co, oh, ow], out);
            }
        }
    });
}

/// The kernels after the transform: 36 matrices `(ci, co)`, padded with zeros.
fn transformed(sizes: Sizes, kernel: &dyn Fn(usize, usize) -> [f32; 9]) -> Vec<f32> {
    const G: [[f32; 3]; TILE] = [
        [0.25, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    let [ci, co] = sizes.channels;
    let [inner, outer] = [ci, co].map(|channels| channels.next_multiple_of(LANES));
    let mut out = vec![0.0; POINTS * inner * outer];
    for i in 0..ci {
        for o in 0..co {
            let k = kernel(o, i);
            let mut half = [[0.0; 3]; TILE];
            for (half, g) in half.iter_mut().zip(&G) {
                for (column, sum) in half.iter_mut().enumerate() {
                    *sum = g[0] * k[column] + g[1] * k[3 + column] + g[2] * k[6 + column];
                }
            }
            for (row, half) in half.iter().enumerate() {
                for (column, g) in G.iter().enumerate() {
                    out[((row * TILE + column) * inner + i) * outer + o] =
                        g[0] * half[0] + g[1] * half[1] + g[2] * half[2];
                }
            }
        }
    }
    out
}

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> Lanes {
    let mut out = [0.0; LANES];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

/// `Bᵀ d`: six pixels of a line as the values of a polynomial at six points.
#[inline(always)]
fn line_in(d: &[Lanes; TILE]) -> [Lanes; TILE] {
    [
        each(|i| 4.0 * d[0][i] - 5.0 * d[2][i] + d[4][i]),
        each(|i| d[4][i] - 4.0 * d[2][i] + (d[3][i] - 4.0 * d[1][i])),
        each(|i| d[4][i] - 4.0 * d[2][i] - (d[3][i] - 4.0 * d[1][i])),
        each(|i| d[4][i] - d[2][i] + 2.0 * (d[3][i] - d[1][i])),
        each(|i| d[4][i] - d[2][i] - 2.0 * (d[3][i] - d[1][i])),
        each(|i| 4.0 * d[1][i] - 5.0 * d[3][i] + d[5][i]),
    ]
}

/// `Aᵀ m`: back from six points to four results.
#[inline(always)]
fn line_out(m: &[Lanes; TILE]) -> [Lanes; STEP] {
    [
        each(|i| m[0][i] + (m[1][i] + m[2][i]) + (m[3][i] + m[4][i])),
        each(|i| (m[1][i] - m[2][i]) + 2.0 * (m[3][i] - m[4][i])),
        each(|i| (m[1][i] + m[2][i]) + 4.0 * (m[3][i] + m[4][i])),
        each(|i| (m[1][i] - m[2][i]) + 8.0 * (m[3][i] - m[4][i]) + m[5][i]),
    ]
}

#[inline(always)]
fn lanes(values: &[f32], at: usize) -> Lanes {
    values[at..at + LANES].try_into().expect("so many were asked for")
}

vectorised! {
    /// The tiles of one image, transformed: point `p` of tile `t` goes to `p * far + t * channels`.
    fn tiles_in[][](
        pixels: &[f32], tiles: [usize; 2], wide: usize, channels: usize, out: &mut [f32], far: usize,
    ) {
        let [th, tw] = tiles;
        for tile in 0..th * tw {
            let corner = (tile / tw * STEP * wide + tile % tw * STEP) * channels;
            for channel in (0..channels).step_by(LANES) {
                let mut half = [[[0.0; LANES]; TILE]; TILE];
                for column in 0..TILE {
                    let at = corner + column * channels + channel;
                    let d = std::array::from_fn(|row| lanes(pixels, at + row * wide * channels));
                    let points = line_in(&d);
                    for row in 0..TILE {
                        half[row][column] = points[row];
                    }
                }
                for (row, half) in half.iter().enumerate() {
                    for (column, points) in line_in(half).iter().enumerate() {
                        let at = (row * TILE + column) * far + tile * channels + channel;
                        out[at..at + LANES].copy_from_slice(points);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// The results of one image from the products of its tiles, channels last.
    fn tiles_out[][](
        products: &[f32], far: usize, tiles: [usize; 2], biases: &[f32], out: &mut [f32],
    ) {
        let ([th, tw], channels) = (tiles, biases.len());
        for tile in 0..th * tw {
            let corner = (tile / tw * STEP * STEP * tw + tile % tw * STEP) * channels;
            for channel in (0..channels).step_by(LANES) {
                let at = tile * channels + channel;
                let bias = lanes(biases, channel);
                let mut half = [[[0.0; LANES]; TILE]; STEP];
                for column in 0..TILE {
                    let m = std::array::from_fn(|row| lanes(products, (row * TILE + column) * far + at));
                    let results = line_out(&m);
                    for row in 0..STEP {
                        half[row][column] = results[row];
                    }
                }
                for (row, half) in half.iter().enumerate() {
                    for (column, results) in line_out(half).iter().enumerate() {
                        let at = corner + (row * STEP * tw + column) * channels + channel;
                        let results = each(|i| results[i] + bias[i]);
                        out[at..at + LANES].copy_from_slice(&results);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// `(c, h, w)` to `(h, wide, channels)`, the first of them.
    fn channels_last[][](
        x: &[f32], shape: [usize; 3], out: &mut [f32], wide: usize, channels: usize,
    ) {
        let [c, h, w] = shape;
        for first in (0..c).step_by(LANES) {
            let count = LANES.min(c - first);
            for y in 0..h {
                for (column, out) in
                    out[y * wide * channels + first..].chunks_mut(channels).take(w).enumerate()
                {
                    let at = y * w + column;
                    for (i, out) in out[..count].iter_mut().enumerate() {
                        *out = x[(first + i) * h * w + at];
                    }
                }
            }
        }
    }
}

vectorised! {
    /// `(…, wide, channels)` to `(c, h, w)`, the first of each.
    fn channels_first[][](
        results: &[f32], wide: usize, channels: usize, shape: [usize; 3], out: &mut [f32],
    ) {
        let [c, h, w] = shape;
        for first in (0..c).step_by(LANES) {
            let count = LANES.min(c - first);
            for y in 0..h {
                for column in 0..w {
                    let at = (y * wide + column) * channels + first;
                    for (i, &value) in results[at..at + count].iter().enumerate() {
                        out[((first + i) * h + y) * w + column] = value;
                    }
                }
            }
        }
    }
}
