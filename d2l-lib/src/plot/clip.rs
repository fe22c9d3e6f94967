//! The parts of lines and regions that lie within limits.

use super::canvas::{Point, Rect};

/// The parts of a line that lie inside `plot`; points that are nowhere leave gaps.
pub(super) fn clipped(points: &[Point], plot: Rect) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let (low, high) = ([plot.left, plot.top], [plot.right, plot.bottom]);
    for pair in points.windows(2) {
        let [a, b] = [pair[0], pair[1]].map(<[f64; 2]>::from);
        let Some((a, b)) = clip(a, b, low, high) else { continue };
        let (a, b) = (a.into(), b.into());
        match pieces.last_mut().filter(|piece| piece.last() == Some(&a)) {
            Some(piece) => piece.push(b),
            None => pieces.push(vec![a, b]),
        }
    }
    pieces
}

/// The part of a closed region inside `plot`.
pub(super) fn clipped_region(corners: &[Point], plot: Rect) -> Vec<Point> {
    if corners.iter().all(|&corner| plot.contains(corner)) {
        return corners.to_vec();
    }
    let corners = corners.iter().copied().map(<[f64; 2]>::from).collect();
    let (low, high) = ([plot.left, plot.top], [plot.right, plot.bottom]);
    clip_polygon(corners, low, high).into_iter().map(Point::from).collect()
}

/// The part of a segment between `low` and `high` (Liang and Barsky, 1984).
pub(super) fn clip<const N: usize>(
    a: [f64; N],
    b: [f64; N],
    low: [f64; N],
    high: [f64; N],
) -> Option<([f64; N], [f64; N])> {
    if !a.iter().chain(&b).all(|v| v.is_finite()) {
        return None;
    }
    let (mut from, mut to) = (0.0_f64, 1.0_f64);
    for i in 0..N {
        let step = b[i] - a[i];
        for (direction, distance) in [(-step, a[i] - low[i]), (step, high[i] - a[i])] {
            if direction == 0.0 {
                if distance < 0.0 {
                    return None;
                }
            } else if direction < 0.0 {
                from = from.max(distance / direction);
            } else {
                to = to.min(distance / direction);
            }
        }
    }
    let at = |t: f64| match t {
        0.0 => a,
        1.0 => b,
        t => std::array::from_fn(|i| a[i] + t * (b[i] - a[i])),
    };
    (from <= to).then(|| (at(from), at(to)))
}

/// The part of a polygon between `low` and `high` (Sutherland and Hodgman, 1974).
pub(super) fn clip_polygon<const N: usize>(
    mut corners: Vec<[f64; N]>,
    low: [f64; N],
    high: [f64; N],
) -> Vec<[f64; N]> {
    for i in 0..N {
        for (sign, limit) in [(1.0, low[i]), (-1.0, high[i])] {
            let inside = |corner: &[f64; N]| sign * (corner[i] - limit);
            if corners.iter().all(|corner| inside(corner) >= 0.0) {
                continue;
            }
            let mut kept = Vec::new();
            for (index, b) in corners.iter().enumerate() {
                let a = &corners[(index + corners.len() - 1) % corners.len()];
                let (from, to) = (inside(a), inside(b));
                if (from < 0.0) != (to < 0.0) {
                    let t = from / (from - to);
                    kept.push(std::array::from_fn(|j| a[j] + t * (b[j] - a[j])));
                }
                if to >= 0.0 {
                    kept.push(*b);
                }
            }
            corners = kept;
        }
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Rect = Rect { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };

    #[test]
    fn lines_end_at_the_frame_and_go_on_inside() {
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (20.0, 15.0), (8.0, 3.0)];
        assert_eq!(
            clipped(&line, PLOT),
            [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(10.0, 5.0), (8.0, 3.0)],]
        );
    }

    #[test]
    fn a_missing_point_leaves_a_gap() {
        let line = [(0.0, 1.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 1.0)];
        assert_eq!(clipped(&line, PLOT).len(), 2);
    }

    #[test]
    fn a_region_that_sticks_out_is_cut_off_at_the_frame() {
        let corner = [(5.0, 5.0), (15.0, 5.0), (15.0, 15.0), (5.0, 15.0)];
        let kept = clipped_region(&corner, PLOT);
        for expected in [(5.0, 5.0), (10.0, 5.0), (10.0, 10.0), (5.0, 10.0)] {
            assert!(kept.contains(&expected), "{kept:?}");
        }
        assert_eq!(kept.len(), 4);
        assert!(
            clipped_region(&[(20.0, 0.0), (30.0, 0.0), (30.0, 9.0)], PLOT).is_empty()
        );
    }
}
