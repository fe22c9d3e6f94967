//! Convolution by Winograd's algorithm (Lavin and Gray, 2016): a tile of 6 by 6 pixels and the
//! kernel are transformed so that 36 products give the results that the tile holds. With
//! kernels of 3 by 3 these are 16, for which the definition takes 144 products; with kernels of
//! 5 by 5 they are 4, for which it takes 100.
//!
//! Along a line, pixels, kernels and results are polynomials, and the six points at which they
//! are multiplied are 0, 1, -1, 2, -2 and infinity, whatever the kernel's length.
//!
//! Across channels these products are 36 products of matrices. Inside, channels come last,
//! padded to whole vectors.

use super::{
    convolve::{Sizes, Turned},
    matmul::{Factor, Matrix, Onto},
    vector::vectorised,
};
use crate::device::{Buffer, threads};

/// Channels are transformed in runs of this many.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// A tile is so wide, before and after the transform.
const TILE: usize = 6;
const POINTS: usize = TILE * TILE;

/// So many tiles at least make a product of matrices that is worth its packing.
const TILES: usize = 48;

impl Sizes {
    /// Whether the algorithm is faster than the definition for so many images.
    pub(super) fn suits_winograd(&self, stride: [usize; 2], images: usize) -> bool {
        (self.kernel == [3, 3] || self.kernel == [5, 5])
            && stride == [1, 1]
            && self.padding.iter().all(|&padding| padding < self.kernel[0])
            && self.channels.iter().all(|&channels| channels >= LANES)
            && self.places().iter().all(|&places| places >= 4)
            && self.shares(images) > 0
    }

    /// Into how many parts with enough tiles so many images can be cut.
    pub(super) fn shares(&self, images: usize) -> usize {
        let [th, tw] = self.tiles();
        (images * th * tw / TILES).min(images)
    }

    /// How many results of a line a tile holds, which is also how far tiles are apart.
    fn step(&self) -> usize {
        TILE + 1 - self.kernel[0]
    }

    /// How many tiles cover the results.
    fn tiles(&self) -> [usize; 2] {
        self.places().map(|places| places.div_ceil(self.step()))
    }

    /// Height and width of the pixels under all tiles, and of their results.
    fn under_tiles(&self) -> [[usize; 2]; 2] {
        let results = self.tiles().map(|tiles| tiles * self.step());
        [results.map(|length| length + self.kernel[0] - 1), results]
    }

    /// Lays an image into the middle of `pixels`, channels last, and its tiles' values at the points
    /// into `points`, those of a point `far` from those of the one before.
    fn points(&self, x: &[f32], pixels: &mut [f32], points: &mut [f32], far: usize) {
        let ([[_, wide], _], [inner, _]) = (self.under_tiles(), self.lanes());
        let ([h, w], channels) = (self.image, self.channels[0]);
        let offset = self.padding[0] * wide + self.padding[1];
        channels_last(x, [channels, h, w], &mut pixels[offset * inner..], wide, inner);
        tiles_in(pixels, self.tiles(), self.step(), wide, inner, points, far);
    }

    /// The channels of the input and of the output, padded to whole vectors.
    fn lanes(&self) -> [usize; 2] {
        self.channels.map(|channels| channels.next_multiple_of(LANES))
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
    match sizes.kernel[0] {
        3 => convolve_by::<3, 4>(sizes, x, weight, turned, bias, out),
        _ => convolve_by::<5, 2>(sizes, x, weight, turned, bias, out),
    }
}

/// [`convolve`] with kernels of `K` by `K`, `STEP` by `STEP` results for each tile.
fn convolve_by<const K: usize, const STEP: usize>(
    sizes: Sizes,
    x: &[f32],
    weight: &[f32],
    turned: Turned,
    bias: &[f32],
    out: &mut [f32],
) {
    let ([ci, co], [inner, outer]) = (sizes.channels, sizes.lanes());
    let ([oh, ow], [th, tw]) = (sizes.places(), sizes.tiles());
    let ([[high, wide], [out_high, out_wide]], tiles) = (sizes.under_tiles(), th * tw);
    let mut kernels = Buffer::new(POINTS * inner * outer);
    transform_kernels::<K>(weight, [ci, co], turned, &mut kernels);
    let kernels = &kernels[..];
    let mut biases = vec![0.0; outer];
    biases[..bias.len()].copy_from_slice(bias);
    let group = TILES.div_ceil(tiles);
    let (input, output) = (sizes.input(), sizes.output());

    let images = out.len() / output;
    let groups = images.div_ceil(group);
    let grain = if groups < threads::num_threads() { 1 } else { group };
    threads::rows_mut(out, output, grain, &|first, out| {
        let mut pixels = vec![0.0; high * wide * inner];
        let mut results = vec![0.0; out_high * out_wide * outer];
        let mut points = Buffer::new(POINTS * group * tiles * inner);
        let mut products = Buffer::new(POINTS * group * tiles * outer);
        for (i, out) in out.chunks_mut(group * output).enumerate() {
            let first = first + i * group;
            let count = out.len() / output;
            let rows = count * tiles;
            for image in 0..count {
                let x = &x[(first + image) * input..][..input];
                let points = &mut points[image * tiles * inner..];
                sizes.points(x, &mut pixels, points, group * tiles * inner);
            }
            for (point, kernels) in kernels.chunks_exact(inner * outer).enumerate() {
                let points = &points[point * group * tiles * inner..][..rows * inner];
                let products =
                    &mut products[point * group * tiles * outer..][..rows * outer];
                let points = Matrix::rows(points, [rows, inner]);
                let kernels = Matrix::rows(kernels, [inner, outer]);
                f32::product(points, kernels, Onto::Nothing, products, outer);
            }
            for (image, out) in out.chunks_exact_mut(output).enumerate() {
                let products = &products[image * tiles * outer..];
                let far = group * tiles * outer;
                tiles_out::<STEP>(products, far, [th, tw], &biases, &mut results);
                channels_first(&results, out_wide, outer, [co, oh, ow], out);
            }
        }
    });
}

/// Adds to `sum` the gradient with respect to the kernels, of some images: the convolution of
/// tiles with the gradients of the results that they gave.
pub(crate) fn to_weight(sizes: Sizes, x: &[f32], g: &[f32], sum: &mut [f32]) {
    match sizes.kernel[0] {
        3 => to_weight_by::<3, 4>(sizes, x, g, sum),
        _ => to_weight_by::<5, 2>(sizes, x, g, sum),
    }
}

/// [`to_weight`] with kernels of `K` by `K`, `STEP` by `STEP` results for each tile.
fn to_weight_by<const K: usize, const STEP: usize>(
    sizes: Sizes,
    x: &[f32],
    g: &[f32],
    sum: &mut [f32],
) {
    let ([ci, co], [inner, outer]) = (sizes.channels, sizes.lanes());
    let ([oh, ow], [th, tw]) = (sizes.places(), sizes.tiles());
    let ([[high, wide], [out_high, out_wide]], tiles) = (sizes.under_tiles(), th * tw);
    let (input, output) = (sizes.input(), sizes.output());
    let images = x.len() / input;
    let group = GRADIENT_TILES.div_ceil(tiles).min(images);
    // Zeros around the image, and behind the results where tiles reach beyond them.
    let mut pixels = vec![0.0; high * wide * inner];
    let mut results = vec![0.0; out_high * out_wide * outer];
    let mut points = Buffer::new(POINTS * group * tiles * inner);
    let mut gradients = Buffer::new(POINTS * group * tiles * outer);
    let mut sums = Buffer::new(POINTS * inner * outer);
    for first in (0..images).step_by(group) {
        let count = group.min(images - first);
        let rows = count * tiles;
        for image in 0..count {
            let x = &x[(first + image) * input..][..input];
            let points = &mut points[image * tiles * inner..];
            sizes.points(x, &mut pixels, points, group * tiles * inner);
            let g = &g[(first + image) * output..][..output];
            channels_last(g, [co, oh, ow], &mut results, out_wide, outer);
            let gradients = &mut gradients[image * tiles * outer..];
            let far = group * tiles * outer;
            gradients_in::<STEP>(&results, [th, tw], outer, gradients, far);
        }
        for (point, sums) in sums.chunks_exact_mut(inner * outer).enumerate() {
            let points = &points[point * group * tiles * inner..][..rows * inner];
            let gradients = &gradients[point * group * tiles * outer..][..rows * outer];
            let points = Matrix::rows(points, [rows, inner]).t();
            let gradients = Matrix::rows(gradients, [rows, outer]);
            f32::product(
                points,
                gradients,
                if first > 0 { Onto::Itself } else { Onto::Nothing },
                sums,
                outer,
            );
        }
    }
    kernels_out::<K>(&sums, [ci, co], sum);
}

/// So many tiles share a product of the gradient: the longer its rows, the less often the sums
/// are read and written.
const GRADIENT_TILES: usize = 256;

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

/// `G k`: `N` numbers of a line at the six points, divided by the points' distances from each
/// other.
#[inline(always)]
fn line_at_points<const N: usize>(k: &[Lanes; N]) -> [Lanes; TILE] {
    // Even and odd powers of 1 and of 2; those of -1 and -2 differ only in the sign of the odd.
    let (mut even, mut odd) = ([[0.0; LANES]; 2], [[0.0; LANES]; 2]);
    for (power, k) in k.iter().enumerate() {
        let sums = if power % 2 == 0 { &mut even } else { &mut odd };
        let two = (1 << power) as f32;
        sums[0] = each(|i| sums[0][i] + k[i]);
        sums[1] = each(|i| sums[1][i] + two * k[i]);
    }
    [
        each(|i| 0.25 * k[0][i]),
        each(|i| (even[0][i] + odd[0][i]) * (-1.0 / 6.0)),
        each(|i| (even[0][i] - odd[0][i]) * (-1.0 / 6.0)),
        each(|i| (even[1][i] + odd[1][i]) * (1.0 / 24.0)),
        each(|i| (even[1][i] - odd[1][i]) * (1.0 / 24.0)),
        k[N - 1],
    ]
}

/// `Aᵀ m`: back from six points to a line of `N` results.
#[inline(always)]
fn line_out<const N: usize>(m: &[Lanes; TILE]) -> [Lanes; N] {
    let sums = [each(|i| m[1][i] + m[2][i]), each(|i| m[1][i] - m[2][i])];
    let twos = [each(|i| m[3][i] + m[4][i]), each(|i| m[3][i] - m[4][i])];
    let mut out = [[0.0; LANES]; N];
    for (power, out) in out.iter_mut().enumerate() {
        let (one, two, factor) = (sums[power % 2], twos[power % 2], (1 << power) as f32);
        *out = each(|i| one[i] + factor * two[i]);
    }
    out[0] = each(|i| out[0][i] + m[0][i]);
    out[N - 1] = each(|i| out[N - 1][i] + m[5][i]);
    out
}

#[inline(always)]
fn lanes(values: &[f32], at: usize) -> Lanes {
    values[at..at + LANES].try_into().expect("so many were asked for")
}

/// Which kernel leads from input channel `i` to output channel `o`.
#[inline(always)]
fn kernel_number(o: usize, i: usize, [ci, co]: [usize; 2], turned: Turned) -> usize {
    match turned {
        Turned::No => o * ci + i,
        Turned::Yes => i * co + o,
    }
}

vectorised! {
    /// The kernels after the transform: 36 matrices `(ci, co)`, padded with zeros.
    #[expect(clippy::needless_range_loop, reason = "rows and columns change places")]
    fn transform_kernels[const K: usize][K](
        weight: &[f32], channels: [usize; 2], turned: Turned, out: &mut [f32],
    ) {
        let [ci, co] = channels;
        let [inner, outer] = channels.map(|channels| channels.next_multiple_of(LANES));
        for i in 0..inner {
            for o in (0..outer).step_by(LANES) {
                let count = if i < ci { LANES.min(co - o) } else { 0 };
                let mut k = [[[0.0; LANES]; K]; K];
                for lane in 0..count {
                    let number = kernel_number(o + lane, i, channels, turned);
                    let kernel = &weight[number * K * K..][..K * K];
                    for (at, &value) in kernel.iter().enumerate() {
                        let at = if turned == Turned::Yes { K * K - 1 - at } else { at };
                        k[at % K][at / K][lane] = value;
                    }
                }
                let mut half = [[[0.0; LANES]; K]; TILE];
                for column in 0..K {
                    let line = line_at_points(&k[column]);
                    for row in 0..TILE {
                        half[row][column] = line[row];
                    }
                }
                for (row, half) in half.iter().enumerate() {
                    for (column, points) in line_at_points(half).iter().enumerate() {
                        let at = ((row * TILE + column) * inner + i) * outer + o;
                        out[at..at + LANES].copy_from_slice(points);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Adds the kernels' gradient, from what the sums over all tiles are at the points.
    #[expect(clippy::needless_range_loop, reason = "rows and columns change places")]
    fn kernels_out[const K: usize][K](sums: &[f32], channels: [usize; 2], out: &mut [f32]) {
        let [ci, co] = channels;
        let [inner, outer] = channels.map(|channels| channels.next_multiple_of(LANES));
        for i in 0..ci {
            for o in (0..co).step_by(LANES) {
                let mut half = [[[0.0; LANES]; TILE]; K];
                for column in 0..TILE {
                    let m = std::array::from_fn(|row| {
                        lanes(sums, ((row * TILE + column) * inner + i) * outer + o)
                    });
                    let line: [Lanes; K] = line_out(&m);
                    for row in 0..K {
                        half[row][column] = line[row];
                    }
                }
                for (row, half) in half.iter().enumerate() {
                    for (column, values) in line_out::<K>(half).iter().enumerate() {
                        for lane in 0..LANES.min(co - o) {
                            let number = kernel_number(o + lane, i, channels, Turned::No);
                            out[(number * K + row) * K + column] += values[lane];
                        }
                    }
                }
            }
        }
    }
}

vectorised! {
    /// The gradients of one image's results tile by tile, transformed, to where
    /// [`tiles_in`] puts the points.
    #[expect(clippy::needless_range_loop, reason = "rows and columns change places")]
    fn gradients_in[const STEP: usize][STEP](
        results: &[f32], tiles: [usize; 2], channels: usize, out: &mut [f32], far: usize,
    ) {
        let [th, tw] = tiles;
        let wide = STEP * tw;
        for tile in 0..th * tw {
            let corner = (tile / tw * STEP * wide + tile % tw * STEP) * channels;
            for channel in (0..channels).step_by(LANES) {
                let mut half = [[[0.0; LANES]; STEP]; TILE];
                for column in 0..STEP {
                    let at = corner + column * channels + channel;
                    let g = std::array::from_fn(|row| lanes(results, at + row * wide * channels));
                    let line = line_at_points::<STEP>(&g);
                    for row in 0..TILE {
                        half[row][column] = line[row];
                    }
                }
                for (row, half) in half.iter().enumerate() {
                    for (column, points) in line_at_points::<STEP>(half).iter().enumerate() {
                        let at = (row * TILE + column) * far + tile * channels + channel;
                        out[at..at + LANES].copy_from_slice(points);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// The tiles of one image, transformed: point `p` of tile `t` goes to `p * far + t * channels`.
    #[expect(clippy::needless_range_loop, reason = "rows and columns change places")]
    fn tiles_in[][](
        pixels: &[f32], tiles: [usize; 2], step: usize, wide: usize, channels: usize, out: &mut [f32], far: usize,
    ) {
        let [th, tw] = tiles;
        for tile in 0..th * tw {
            let corner = (tile / tw * step * wide + tile % tw * step) * channels;
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
    #[expect(clippy::needless_range_loop, reason = "rows and columns change places")]
    fn tiles_out[const STEP: usize][STEP](
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
                    let results: [Lanes; STEP] = line_out(&m);
                    for row in 0..STEP {
                        half[row][column] = results[row];
                    }
                }
                for (row, half) in half.iter().enumerate() {
                    for (column, results) in line_out::<STEP>(half).iter().enumerate() {
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
