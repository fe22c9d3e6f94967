//! Tiles of a product of `f32` matrices, whose sums stay in registers, and how factors are laid
//! out for them. AVX-512 only.

use std::{
    arch::{asm, x86_64::*},
    ptr,
};

use super::matmul::{Matrix, Onto};

/// Columns of a tile: four vectors.
pub(super) const WIDTH: usize = 64;

/// The most rows of a tile with so many columns: their sums, the columns' vectors and one factor
/// are in registers at once.
pub(super) fn most_rows(columns: usize) -> usize {
    if columns > 2 * LANES { 6 } else { 12 }
}

const LANES: usize = 16;

/// Columns that are asked for before they are needed.
const AHEAD: usize = 16;

/// Rows of the left factor: element `(i, p)` is at `at + i * row + p * inner`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) at: *const f32,
    pub(super) row: usize,
    pub(super) inner: usize,
}

/// Columns of the right factor, side by side: element `(p, j)` is at `at + p * inner + j`.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub(super) at: *const f32,
    pub(super) inner: usize,
    /// Whether there are elements, whatever they are, up to [`WIDTH`].
    pub(super) is_padded: bool,
}

/// Where a tile is written: element `(i, j)` at `at + i * row + j`.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) at: *mut f32,
    pub(super) row: usize,
}

/// What the sums are added to: element `(i, j)` at `at + i * row + j`; nothing if `at` is null.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) at: *const f32,
    pub(super) row: usize,
}

impl Out {
    pub(super) fn moved(self, rows: usize, columns: usize) -> Out {
        Out { at: self.at.wrapping_add(rows * self.row + columns), ..self }
    }
}

impl Start {
    pub(super) fn of(onto: Onto<f32>, out: Out) -> Start {
        match onto {
            Onto::Nothing => Start { at: ptr::null(), row: 0 },
            Onto::Itself => Start { at: out.at, row: out.row },
            Onto::Row(row) => Start { at: row.as_ptr(), row: 0 },
        }
    }

    pub(super) fn moved(self, rows: usize, columns: usize) -> Start {
        if self.at.is_null() {
            return self;
        }
        Start { at: self.at.wrapping_add(rows * self.row + columns), ..self }
    }
}

/// Computes a tile: `out = start + left × right`, with `depth` factors a sum, for so many
/// columns.
///
/// # Safety
/// All those elements must be valid, and those of `out` used by nobody else. The processor must
/// have AVX-512.
pub(super) type Kernel = unsafe fn(usize, usize, Left, Right, Start, Out);

/// The kernel for tiles of so many rows and columns.
pub(super) fn kernel(rows: usize, columns: usize, right: Right) -> Kernel {
    let whole = right.is_padded || columns.is_multiple_of(LANES);
    macro_rules! choose {
        ($([$vectors:literal: $($rows:literal)*])*) => {
            match (columns.div_ceil(LANES), rows, whole) {
                $($(
                    ($vectors, $rows, true) => sums::<$rows, $vectors, true>,
                    ($vectors, $rows, false) => sums::<$rows, $vectors, false>,
                )*)*
                _ => unreachable!("no tile has {rows} rows and {columns} columns"),
            }
        };
    }
    choose!(
        [1: 1 2 3 4 5 6 7 8 9 10 11 12]
        [2: 1 2 3 4 5 6 7 8 9 10 11 12]
        [3: 1 2 3 4 5 6]
        [4: 1 2 3 4 5 6]
    )
}

/// The [`Kernel`] for `M` rows and `V` vectors of columns, all lanes of which exist if `WHOLE`.
#[expect(clippy::needless_range_loop, reason = "several arrays go side by side")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn sums<const M: usize, const V: usize, const WHOLE: bool>(
    depth: usize,
    columns: usize,
    left: Left,
    right: Right,
    start: Start,
    out: Out,
) {
    let masks: [u16; V] =
        std::array::from_fn(|v| lanes(columns.saturating_sub(v * LANES)));
    let mut sums = [[_mm512_setzero_ps(); V]; M];
    for i in 0..M {
        for v in 0..V {
            // They are needed when the sums are done.
            let at = out.at.wrapping_add(i * out.row + v * LANES);
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
    // SAFETY: the caller promises that the elements of all factors are valid: rows below `M`,
    // columns below `columns` or, if they are padded, below `V` vectors. Pointers that are
    // only moved may be outside.
    unsafe {
        // Four rows are reached from one pointer and two distances, which are hidden from the
        // compiler: it would add up one row after the other, each waiting for the last.
        let (mut row, mut three, mut weights) = (left.row, 3 * left.row, right.at);
        let mut factors: [*const f32; 3] =
            std::array::from_fn(|i| left.at.wrapping_add(4 * i * row));
        asm!("/* {} {} */", inout(reg) row, inout(reg) three, options(nostack));
        for at in &mut factors {
            asm!("/* {} */", inout(reg) * at, options(nostack));
        }
        for _ in 0..depth {
            let mut vectors = [_mm512_setzero_ps(); V];
            for v in 0..V {
                let at = weights.wrapping_add(v * LANES);
                vectors[v] = if WHOLE {
                    _mm512_loadu_ps(at)
                } else {
                    _mm512_maskz_loadu_ps(masks[v], at)
                };
            }
            for i in 0..M {
                let factor = match i % 4 {
                    3 => factors[i / 4].add(three),
                    more => factors[i / 4].add(more * row),
                };
                let factor = _mm512_set1_ps(*factor);
                for v in 0..V {
                    sums[i][v] = _mm512_fmadd_ps(factor, vectors[v], sums[i][v]);
                }
            }
            factors = factors.map(|at| at.wrapping_add(left.inner));
            weights = weights.wrapping_add(right.inner);
        }
        // All is read before anything is written: rows may be a page apart, and then a load
        // would wait for the store before.
        if !start.at.is_null() {
            for i in 0..M {
                for v in 0..V {
                    let at = start.at.wrapping_add(i * start.row + v * LANES);
                    let before = _mm512_maskz_loadu_ps(masks[v], at);
                    sums[i][v] = _mm512_add_ps(sums[i][v], before);
                }
            }
        }
        for i in 0..M {
            for v in 0..V {
                let at = out.at.wrapping_add(i * out.row + v * LANES);
                _mm512_mask_storeu_ps(at, masks[v], sums[i][v]);
            }
        }
    }
}

/// The first `count` lanes.
fn lanes(count: usize) -> u16 {
    ((1_u32 << count.min(LANES)) - 1) as u16
}

/// Lays out rows of a matrix as a panel: for each column, `width` elements of its rows, zeros
/// where the matrix ends.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) fn pack(matrix: Matrix<f32>, width: usize, panel: &mut [f32]) {
    let ([rows, columns], [row_step, column_step]) = (matrix.shape, matrix.steps);
    assert!(rows <= width && panel.len() == width * columns);
    let from = matrix.values.as_ptr();
    let vectors = width.div_ceil(LANES);
    // Of vector `v` of a column: the lanes in the matrix, and those in the panel.
    let there = |v: usize| lanes(rows.saturating_sub(v * LANES));
    let wanted = |v: usize| lanes(width - v * LANES);
    if row_step == 1 {
        for (p, panel) in panel.chunks_exact_mut(width).enumerate() {
            let at = from.wrapping_add(p * column_step);
            for v in 0..vectors {
                let (at, to) = (
                    at.wrapping_add(v * LANES),
                    panel.as_mut_ptr().wrapping_add(v * LANES),
                );
                // Often each column is on another page, where nobody else would look ahead.
                let ahead = at.wrapping_add(AHEAD * column_step);
                _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
                // SAFETY: the masks leave rows of column `p` that are in the matrix, and
                // elements of `panel`.
                unsafe {
                    let vector = _mm512_maskz_loadu_ps(there(v), at);
                    _mm512_mask_storeu_ps(to, wanted(v), vector);
                }
            }
        }
        return;
    }
    for v in 0..vectors {
        let first = v * LANES;
        let from = from.wrapping_add(first * row_step);
        let to = panel[first..].as_mut_ptr();
        let count = rows.saturating_sub(first).min(LANES);
        for p in (0..columns).step_by(LANES) {
            let some = LANES.min(columns - p);
            let mut square = [_mm512_setzero_ps(); LANES];
            if column_step == 1 {
                for (i, vector) in square.iter_mut().enumerate().take(count) {
                    // SAFETY: `some` columns of row `first + i` from `p` on.
                    *vector = unsafe {
                        let at = from.wrapping_add(i * row_step + p);
                        _mm512_maskz_loadu_ps(lanes(some), at)
                    };
                }
                square = transposed(square);
            } else {
                for (j, vector) in square.iter_mut().enumerate().take(some) {
                    let mut column = [0.0; LANES];
                    for (i, element) in column.iter_mut().enumerate().take(count) {
                        let row = first + i;
                        *element = matrix.values[row * row_step + (p + j) * column_step];
                    }
                    // SAFETY: an array is a vector.
                    *vector = unsafe { _mm512_loadu_ps(column.as_ptr()) };
                }
            }
            for (j, &vector) in square.iter().enumerate().take(some) {
                // SAFETY: as above.
                unsafe {
                    _mm512_mask_storeu_ps(to.add((p + j) * width), wanted(v), vector);
                }
            }
        }
    }
}

/// Writes rows of `columns` elements: columns of `values`, whose elements are `step` apart.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) fn transpose(values: &[f32], step: usize, columns: usize, out: &mut [f32]) {
    let rows = out.len() / columns;
    assert!(rows * columns == 0 || (columns - 1) * step + rows <= values.len());
    for row in (0..rows).step_by(LANES) {
        let high = LANES.min(rows - row);
        for column in (0..columns).step_by(LANES) {
            let wide = LANES.min(columns - column);
            let mut square = [_mm512_setzero_ps(); LANES];
            for (j, vector) in square.iter_mut().enumerate().take(wide) {
                // SAFETY: `high` elements of column `row`, which are there as was asserted.
                *vector = unsafe {
                    let at = values.as_ptr().add((column + j) * step + row);
                    _mm512_maskz_loadu_ps(lanes(high), at)
                };
            }
            for (i, &vector) in transposed(square).iter().enumerate().take(high) {
                // SAFETY: `wide` elements of row `row + i`.
                unsafe {
                    let at = out.as_mut_ptr().add((row + i) * columns + column);
                    _mm512_mask_storeu_ps(at, lanes(wide), vector);
                }
            }
        }
    }
}

/// Sixteen rows as sixteen columns.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
#[inline]
fn transposed(rows: [__m512; LANES]) -> [__m512; LANES] {
    // Pairs of elements, then fours, change places inside of each quarter of the vectors…
    let mut pairs = rows;
    for i in (0..LANES).step_by(2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    let mut fours = pairs;
    for i in (0..LANES).step_by(4) {
        let as_pairs = |v| _mm512_castps_pd(v);
        for half in 0..2 {
            let (a, b) = (as_pairs(pairs[i + half]), as_pairs(pairs[i + half + 2]));
            fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    // … then the quarters themselves.
    let mut out = fours;
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let (low_even, low_odd) =
            (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
        let (high_even, high_odd) =
            (_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d));
        out[j] = _mm512_shuffle_f32x4::<0x88>(low_even, high_even);
        out[8 + j] = _mm512_shuffle_f32x4::<0xDD>(low_even, high_even);
        out[4 + j] = _mm512_shuffle_f32x4::<0x88>(low_odd, high_odd);
        out[12 + j] = _mm512_shuffle_f32x4::<0xDD>(low_odd, high_odd);
    }
    out
}
