//! Products of `f32` matrices with AVX-512: factors are laid out once for all threads, which
//! then share the tiles of the result. How sums are cut depends on the sizes alone, so the
//! result is the same to the last bit with any number of threads.

use std::ops::Range;

use super::{
    matmul::{Matrix, Onto, SHARED},
    tile::{self, Left, Out, Right, Start, WIDTH, most_rows},
};
use crate::device::{Buffer, threads};

/// Factors of a sum that are added up in registers.
const DEPTH: usize = 384;

/// Columns and rows that are laid out at once.
const MOST_COLUMNS: usize = 2048;
const MOST_ROWS: usize = 3072;

/// Rows of the left factor that stay in the second cache while columns go by.
const KEPT_ROWS: usize = 240;

/// A right factor that at most so many rows meet, or that is as small as this many elements, is
/// read where it is.
const FEW_ROWS: usize = 300;
const FEW_ELEMENTS: usize = 16 * 1024;

/// Elements of a page.
const PAGE: usize = 1024;

/// So many multiplications are worth a part.
const PART: usize = 64 * 1024;

/// Writes `onto + a × b` to rows that start at `out` and are `step` apart.
///
/// # Safety
/// The processor must have AVX-512, the factors at least one element each, and the rows must be
/// valid and used by nobody else.
pub(super) unsafe fn product(
    a: Matrix<f32>,
    b: Matrix<f32>,
    onto: Onto<f32>,
    out: *mut f32,
    step: usize,
) {
    let ([m, k], [_, n]) = (a.shape, b.shape);
    let depth = k.div_ceil(k.div_ceil(DEPTH));
    // Rows that are whole pages apart would drive each other out of the cache.
    let is_spread = b.steps[0].is_multiple_of(PAGE);
    let in_place_b = b.steps[1] == 1
        && (m <= FEW_ROWS && !is_spread
            || m <= 4 * most_rows(n)
            || k * n <= FEW_ELEMENTS);
    let in_place_a =
        a.steps[1] == 1 || a.steps[0] == 1 && (n <= 2 * WIDTH || m * k <= FEW_ELEMENTS);
    let room = |is_needed, size| Buffer::new(if is_needed { size } else { 0 });
    let columns = n.min(MOST_COLUMNS).next_multiple_of(WIDTH);
    let mut b_room = room(!in_place_b, depth * columns);
    let mut a_room = room(!in_place_a, depth * (m.min(MOST_ROWS) + most_rows(n)));
    for column in (0..n).step_by(MOST_COLUMNS) {
        let columns = column..n.min(column + MOST_COLUMNS);
        for first in (0..k).step_by(depth) {
            let inner = first..k.min(first + depth);
            let b = b.part(inner.clone(), columns.clone());
            let right = Rights::new(b, in_place_b, &mut b_room);
            for row in (0..m).step_by(MOST_ROWS) {
                let rows = row..m.min(row + MOST_ROWS);
                let a = a.part(rows.clone(), inner.clone());
                let out = Out { at: out, row: step }.moved(row, column);
                let onto = match onto {
                    _ if first > 0 => Onto::Itself,
                    onto => onto.columns(columns.clone()),
                };
                let block = Block {
                    left: Lefts::new(a, most_rows(n), in_place_a, &mut a_room),
                    right,
                    sizes: [rows.len(), inner.len(), columns.len()],
                    start: Start::of(onto, out),
                    out,
                };
                // SAFETY: the caller's promise; the block is inside of the result.
                unsafe { block.compute() };
            }
        }
    }
}

/// A right factor as panels, for [`product_with`]; empty if it has no elements.
///
/// # Safety
/// The processor must have AVX-512.
pub(super) unsafe fn laid_out(b: Matrix<f32>) -> Vec<f32> {
    let [k, n] = b.shape;
    let mut panels = vec![0.0; n.next_multiple_of(WIDTH) * k];
    if k > 0 {
        lay_out(b.t(), WIDTH, &mut panels);
    }
    panels
}

/// Writes `onto + a × b` to rows of `n` one behind the other, `b` as [`laid_out`] gave it.
///
/// # Safety
/// The processor must have AVX-512.
pub(super) unsafe fn product_with(
    a: Matrix<f32>,
    panels: &[f32],
    n: usize,
    onto: Onto<f32>,
    out: &mut [f32],
) {
    let [m, k] = a.shape;
    assert!(out.len() == m * n && panels.len() == n.next_multiple_of(WIDTH) * k);
    let out = Out { at: out.as_mut_ptr(), row: n };
    let right = Rights::laid_out(panels, k);
    let left = Lefts::new(a, most_rows(n), true, &mut []);
    let start = Start::of(onto.columns(0..n), out);
    let block = Block { left, right, sizes: [m, k, n], start, out };
    // SAFETY: the caller's promise; the assertion says that all elements are there.
    unsafe { block.tiles(0..m.div_ceil(block.left.height), 0..n.div_ceil(WIDTH)) };
}

/// Rows of the left factor, in runs of `height`.
#[derive(Clone, Copy)]
struct Lefts {
    height: usize,
    first: Left,
    /// From the start of one run to that of the next.
    step: usize,
}

impl Lefts {
    fn new(a: Matrix<f32>, most: usize, in_place: bool, room: &mut [f32]) -> Lefts {
        let [m, k] = a.shape;
        // As even as possible: a last run of one row would wait for every sum.
        let height = m.div_ceil(m.div_ceil(most));
        if in_place {
            let [row, inner] = a.steps;
            let first = Left { at: a.values.as_ptr(), row, inner };
            return Lefts { height, first, step: height * row };
        }
        lay_out(a, height, room);
        let first = Left { at: room.as_ptr(), row: 1, inner: height };
        Lefts { height, first, step: height * k }
    }

    fn run(&self, i: usize) -> Left {
        Left { at: self.first.at.wrapping_add(i * self.step), ..self.first }
    }
}

/// Columns of the right factor, in panels of [`WIDTH`].
#[derive(Clone, Copy)]
struct Rights {
    first: Right,
    /// From the start of one panel to that of the next.
    step: usize,
}

impl Rights {
    fn new(b: Matrix<f32>, in_place: bool, room: &mut [f32]) -> Rights {
        if in_place {
            let first =
                Right { at: b.values.as_ptr(), inner: b.steps[0], is_padded: false };
            return Rights { first, step: WIDTH };
        }
        lay_out(b.t(), WIDTH, room);
        Rights::laid_out(room, b.shape[0])
    }

    /// As [`lay_out`] left them, with `depth` factors a sum.
    fn laid_out(panels: &[f32], depth: usize) -> Rights {
        let first = Right { at: panels.as_ptr(), inner: WIDTH, is_padded: true };
        Rights { first, step: WIDTH * depth }
    }

    fn panel(&self, i: usize) -> Right {
        Right { at: self.first.at.wrapping_add(i * self.step), ..self.first }
    }
}

/// Lays out a matrix as panels of `width` rows, shared among threads.
fn lay_out(matrix: Matrix<f32>, width: usize, room: &mut [f32]) {
    let [rows, columns] = matrix.shape;
    let panels = rows.div_ceil(width);
    let grain = (PART / 4).div_ceil(width * columns);
    let room = &mut room[..panels * width * columns];
    threads::rows_mut(room, width * columns, grain, &|first, room| {
        for (i, panel) in (first..).zip(room.chunks_exact_mut(width * columns)) {
            let rows = i * width..rows.min((i + 1) * width);
            // SAFETY: who calls `product` knows that there is AVX-512.
            unsafe { tile::pack(matrix.part(rows, 0..columns), width, panel) };
        }
    });
}

/// Some rows and columns of the result, for some factors of each sum.
struct Block {
    left: Lefts,
    right: Rights,
    /// Rows, factors, columns.
    sizes: [usize; 3],
    start: Start,
    out: Out,
}

// SAFETY: threads read the factors and write disjoint tiles; see `compute`.
unsafe impl Sync for Block {}

impl Block {
    /// # Safety
    /// As for [`product`].
    unsafe fn compute(&self) {
        let [m, k, n] = self.sizes;
        let (runs, panels) = (m.div_ceil(self.left.height), n.div_ceil(WIDTH));
        let threads = threads::num_threads();
        if threads == 1 || m * k * n < SHARED {
            // SAFETY: the caller's promise.
            return unsafe { self.tiles(0..runs, 0..panels) };
        }
        let parts = (m * k * n / PART).min(4 * threads);
        let down = parts.min(runs);
        let across = parts.div_ceil(down).min(panels);
        threads::run(down * across, &|part| {
            let cut =
                |length: usize, i, pieces| length * i / pieces..length * (i + 1) / pieces;
            let (i, j) = (part / across, part % across);
            // SAFETY: the parts are disjoint.
            unsafe { self.tiles(cut(runs, i, down), cut(panels, j, across)) };
        });
    }

    /// # Safety
    /// As for [`product`]; nobody else may use these tiles of the result.
    unsafe fn tiles(&self, runs: Range<usize>, panels: Range<usize>) {
        let [m, k, n] = self.sizes;
        let Block { left, right, start, out, .. } = self;
        let kept = KEPT_ROWS.div_ceil(left.height);
        for first in runs.clone().step_by(kept) {
            for panel in panels.clone() {
                let column = panel * WIDTH;
                let (columns, right) = (WIDTH.min(n - column), right.panel(panel));
                let whole = tile::kernel(left.height, columns, right);
                for run in first..runs.end.min(first + kept) {
                    let row = run * left.height;
                    let kernel = match m - row {
                        rest if rest < left.height => tile::kernel(rest, columns, right),
                        _ => whole,
                    };
                    let (start, out) = (start.moved(row, column), out.moved(row, column));
                    // SAFETY: the tile is inside of the result and the factors; who calls
                    // `product` knows that there is AVX-512.
                    unsafe { kernel(k, columns, left.run(run), right, start, out) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        matmul::Factor,
        vector::{Level, level},
    };

    /// Small whole numbers, so that all sums are exact.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + i / 5 + seed) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_for_all_shapes_and_orders() {
        if level() != Level::Avx512 {
            return;
        }
        let shapes = [
            // Few rows, few columns, one run of each, and sums in two pieces.
            [1, 300, 70],
            [13, 33, 16],
            [50, 700, 1],
            [49, 321, 130],
            [100, 100, 129],
            [150, 400, 200],
            // More columns, or rows, than are laid out at once.
            [25, 3, 2100],
            [3100, 5, 33],
        ];
        for [m, k, n] in shapes {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (row, old) = (numbers(n, 3), numbers(m * (n + 3), 4));
            let sums: Vec<f64> = (0..m * n)
                .map(|at| {
                    let term = |l| a[at / n * k + l] * b[l * n + at % n];
                    (0..k).map(term).map(f64::from).sum()
                })
                .collect();
            // The transposes of both, in memory.
            let turned = |values: &[f32], [rows, columns]: [usize; 2]| -> Vec<f32> {
                (0..rows * columns)
                    .map(|at| values[at % rows * columns + at / rows])
                    .collect()
            };
            let (a_turned, b_turned) = (turned(&a, [m, k]), turned(&b, [k, n]));
            // Every second element only.
            let spread: Vec<f32> = a.iter().flat_map(|&value| [value, 9.0]).collect();
            let lefts = [
                Matrix::rows(&a, [m, k]),
                Matrix::rows(&a_turned, [k, m]).t(),
                Matrix::new(&spread, [m, k], [2 * k, 2]),
            ];
            let rights = [Matrix::rows(&b, [k, n]), Matrix::rows(&b_turned, [n, k]).t()];
            for (i, &left) in lefts.iter().enumerate() {
                for (j, &right) in rights.iter().enumerate() {
                    for onto in [Onto::Nothing, Onto::Itself, Onto::Row(&row)] {
                        let mut out = old.clone();
                        f32::product(left, right, onto, &mut out, n + 3);
                        for (at, out) in out[..m * (n + 3) - 3].iter().enumerate() {
                            let (y, x) = (at / (n + 3), at % (n + 3));
                            let before = match onto {
                                _ if x >= n => 0.0,
                                Onto::Nothing => 0.0,
                                Onto::Itself => old[at],
                                Onto::Row(row) => row[x],
                            };
                            let there = if x >= n {
                                old[at]
                            } else {
                                before + sums[y * n + x] as f32
                            };
                            assert_eq!(*out, there, "{m}×{k}×{n} {i} {j} at {y}, {x}");
                        }
                    }
                }
            }
        }
    }
}
