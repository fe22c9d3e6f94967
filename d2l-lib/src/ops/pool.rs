//! Pooling of one channel: a row of results at a time.

use super::{float::Float, number::is_nan, vector::vectorised, window::Window};

vectorised! {
    /// The means under the window.
    pub(crate) fn means[T: Float][T](
        window: &Window, plane: &[T], image: [usize; 2], places: [usize; 2], out: &mut [T],
    ) {
        let share = T::of(1.0 / (window.kernel[0] * window.kernel[1]) as f64);
        let ([h, w], [_, ow]) = (image, places);
        for (oy, out) in out.chunks_exact_mut(ow).enumerate() {
            out.fill(T::default());
            for y in window.range(0, oy, h) {
                let line = &plane[y * w..(y + 1) * w];
                if window.in_pairs(1) {
                    for (out, pair) in out.iter_mut().zip(line.chunks_exact(2)) {
                        *out += pair[0].plus(pair[1]);
                    }
                    continue;
                }
                for kx in 0..window.kernel[1] {
                    let (left, right) = window.inside(1, kx, w, ow);
                    for (ox, out) in (left..).zip(&mut out[left..right]) {
                        *out += line[ox * window.stride[1] + kx - window.padding[1]];
                    }
                }
            }
            out.iter_mut().for_each(|out| *out = out.times(share));
        }
    }
}

vectorised! {
    /// Gives every element its share of the gradients of the means.
    pub(crate) fn means_gradient[T: Float][T](
        window: &Window, g: &[T], image: [usize; 2], places: [usize; 2], out: &mut [T],
    ) {
        let share = T::of(1.0 / (window.kernel[0] * window.kernel[1]) as f64);
        let ([h, w], [_, ow]) = (image, places);
        out.fill(T::default());
        for (oy, g) in g.chunks_exact(ow).enumerate() {
            for y in window.range(0, oy, h) {
                let line = &mut out[y * w..(y + 1) * w];
                if window.in_pairs(1) {
                    for (pair, g) in line.chunks_exact_mut(2).zip(g) {
                        let g = g.times(share);
                        pair[0] += g;
                        pair[1] += g;
                    }
                    continue;
                }
                for kx in 0..window.kernel[1] {
                    let (left, right) = window.inside(1, kx, w, ow);
                    for (ox, g) in (left..).zip(&g[left..right]) {
                        line[ox * window.stride[1] + kx - window.padding[1]] += g.times(share);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// The greatest elements under the window, and where in the channel they are.
    pub(crate) fn greatest[T: Float][T](
        window: &Window,
        plane: &[T],
        image: [usize; 2],
        places: [usize; 2],
        out: &mut [T],
        chosen: &mut [u32],
    ) {
        let ([h, w], [_, ow]) = (image, places);
        let (mut lines, mut line_at) = (vec![T::LOWEST; w], vec![0_u32; w]);
        let rows = out.chunks_exact_mut(ow).zip(chosen.chunks_exact_mut(ow));
        for (oy, (out, chosen)) in rows.enumerate() {
            let seen = window.range(0, oy, h);
            if window.in_pairs(0) && window.in_pairs(1) && seen.len() == 2 && 2 * ow <= w {
                let (first, second) = (seen.start * w, (seen.start + 1) * w);
                let pairs = plane[first..second].chunks_exact(2);
                let pairs = pairs.zip(plane[second..second + w].chunks_exact(2));
                let best = out.iter_mut().zip(chosen.iter_mut());
                for ((i, (a, b)), (out, chosen)) in (0_u32..).zip(pairs).zip(best) {
                    let at = first as u32 + 2 * i;
                    let better = |new: T, old: T| new > old || (is_nan(new) && !is_nan(old));
                    let (upper, upper_at) =
                        if better(a[1], a[0]) { (a[1], at + 1) } else { (a[0], at) };
                    let below = at + w as u32;
                    let (lower, lower_at) =
                        if better(b[1], b[0]) { (b[1], below + 1) } else { (b[0], below) };
                    let is_lower = better(lower, upper);
                    *out = if is_lower { lower } else { upper };
                    *chosen = if is_lower { lower_at } else { upper_at };
                }
                continue;
            }
            // Down every column first, which needs no steps; then along the row. Of equal
            // elements the first in memory counts.
            let first = seen.start * w;
            lines.copy_from_slice(&plane[first..first + w]);
            for (at, x) in line_at.iter_mut().zip(first as u32..) {
                *at = x;
            }
            for y in seen.skip(1) {
                let line = &plane[y * w..(y + 1) * w];
                let best = lines.iter_mut().zip(line_at.iter_mut());
                for (((best, at), &value), x) in best.zip(line).zip((y * w) as u32..) {
                    let better = value > *best || (is_nan(value) && !is_nan(*best));
                    *best = if better { value } else { *best };
                    *at = if better { x } else { *at };
                }
            }
            for (ox, (out, chosen)) in out.iter_mut().zip(&mut *chosen).enumerate() {
                let range = window.range(1, ox, w);
                (*out, *chosen) = (lines[range.start], line_at[range.start]);
                for x in range.skip(1) {
                    let (value, at) = (lines[x], line_at[x]);
                    let as_good = value == *out || (is_nan(value) && is_nan(*out));
                    let better = value > *out
                        || (is_nan(value) && !is_nan(*out))
                        || (as_good && at < *chosen);
                    *out = if better { value } else { *out };
                    *chosen = if better { at } else { *chosen };
                }
            }
        }
    }
}
