//! Lines of equal height, by marching squares.

use std::collections::{HashMap, HashSet};

use super::canvas::Point;

/// Heights at the nodes of a grid, and where on the paper the nodes lie.
pub(super) struct Grid {
    columns: usize,
    points: Vec<Point>,
    heights: Vec<f64>,
}

/// An edge: its first node, and whether it leads to the next column or to the next row.
type Edge = (usize, Way);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Across,
    Along,
}

impl Grid {
    /// A grid from its nodes, row after row.
    pub(super) fn new(columns: usize, points: Vec<Point>, heights: Vec<f64>) -> Grid {
        Grid { columns, points, heights }
    }

    /// The same grid in a ring of nodes at the places of the outermost, below every level:
    /// all its lines are closed. Missing heights are below every level, too.
    pub(super) fn enclosed(&self) -> Grid {
        let rows = self.points.len() / self.columns;
        let (mut points, mut heights) = (Vec::new(), Vec::new());
        for row in 0..rows + 2 {
            for column in 0..self.columns + 2 {
                let inside =
                    (1..=rows).contains(&row) && (1..=self.columns).contains(&column);
                let nearest = (row.clamp(1, rows) - 1) * self.columns
                    + (column.clamp(1, self.columns) - 1);
                let height = self.heights[nearest];
                points.push(self.points[nearest]);
                heights.push(if inside && !height.is_nan() {
                    height
                } else {
                    f64::NEG_INFINITY
                });
            }
        }
        Grid::new(self.columns + 2, points, heights)
    }

    /// The lines along which the height is `level`; a closed line ends where it begins.
    ///
    /// Along every line, what is at least as high as the level lies on the same side.
    pub(super) fn lines(&self, level: f64) -> Vec<Vec<Point>> {
        let next: HashMap<Edge, Edge> = self.pieces(level).into_iter().collect();
        let ends: HashSet<Edge> = next.values().copied().collect();
        let mut starts: Vec<Edge> = next.keys().copied().collect();
        // Open lines first, from their ends; hash maps have no order of their own.
        starts.sort_by_key(|edge| (ends.contains(edge), edge.0, edge.1 == Way::Along));
        let mut passed = HashSet::new();
        let mut lines = Vec::new();
        for start in starts {
            if passed.contains(&start) {
                continue;
            }
            let mut line = vec![self.crossing(start, level)];
            let mut edge = start;
            while let Some(&end) = next.get(&edge).filter(|_| passed.insert(edge)) {
                line.push(self.crossing(end, level));
                edge = end;
            }
            lines.push(line);
        }
        lines
    }

    /// The pieces of lines within single cells, from the edge where each begins to that where
    /// it ends.
    fn pieces(&self, level: f64) -> Vec<(Edge, Edge)> {
        let mut pieces = Vec::new();
        let n = self.columns;
        for a in 0..self.points.len() - n {
            if a % n == n - 1 {
                continue;
            }
            let corners = [a, a + 1, a + n + 1, a + n];
            let edges = [
                (a, Way::Across),
                (a + 1, Way::Along),
                (a + n, Way::Across),
                (a, Way::Along),
            ];
            let heights = corners.map(|node| self.heights[node]);
            if heights.iter().any(|h| h.is_nan()) {
                continue;
            }
            let above = heights.map(|h| h >= level);
            let climbs = |i: usize| !above[i] && above[(i + 1) % 4];
            let falls = |i: usize| above[i] && !above[(i + 1) % 4];
            let is_saddle = (0..4).filter(|&i| climbs(i)).count() == 2;
            let ridge = heights.iter().sum::<f64>() / 4.0 >= level;
            for i in (0..4).filter(|&i| climbs(i)) {
                // In a saddle, the height in the middle says which corners are connected.
                let end = match (is_saddle, ridge) {
                    (true, true) => Some((i + 3) % 4),
                    (true, false) => Some((i + 1) % 4),
                    (false, _) => (0..4).find(|&j| falls(j)),
                };
                pieces.extend(end.map(|end| (edges[i], edges[end])));
            }
        }
        pieces
    }

    /// Where on an edge the level is reached.
    fn crossing(&self, (node, way): Edge, level: f64) -> Point {
        let other = match way {
            Way::Across => node + 1,
            Way::Along => node + self.columns,
        };
        let (low, high) = (self.heights[node], self.heights[other]);
        let ((ax, ay), (bx, by)) = (self.points[node], self.points[other]);
        if low == f64::NEG_INFINITY {
            return (bx, by);
        } else if high == f64::NEG_INFINITY {
            return (ax, ay);
        }
        let t = (level - low) / (high - low);
        (ax + t * (bx - ax), ay + t * (by - ay))
    }
}

/// The line with as few of its points as show it, to a fraction of a printer's dot.
pub(super) fn simplified(line: &[Point]) -> Vec<Point> {
    const TOLERANCE: f64 = 0.03;
    let mut kept: Vec<Point> = line.first().copied().into_iter().collect();
    let mut from = 0;
    for to in 2..line.len() {
        let skipped = &line[from + 1..to];
        if skipped.iter().any(|&p| distance(p, line[from], line[to]) > TOLERANCE) {
            kept.push(line[to - 1]);
            from = to - 1;
        }
    }
    kept.extend(line.last().filter(|_| line.len() > 1));
    kept
}

/// How far a point is from a segment.
pub(super) fn distance((x, y): Point, (ax, ay): Point, (bx, by): Point) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let square = dx * dx + dy * dy;
    let t = if square == 0.0 { 0.0 } else { ((x - ax) * dx + (y - ay) * dy) / square };
    let t = t.clamp(0.0, 1.0);
    (x - ax - t * dx).hypot(y - ay - t * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f` at the nodes of an `n` × `n` grid over the square from −1 to 1.
    fn grid(n: usize, f: impl Fn(f64, f64) -> f64) -> Grid {
        let place = |i: usize| 2.0 * i as f64 / (n - 1) as f64 - 1.0;
        let points: Vec<Point> =
            (0..n * n).map(|i| (place(i % n), place(i / n))).collect();
        let heights = points.iter().map(|&(x, y)| f(x, y)).collect();
        Grid::new(n, points, heights)
    }

    fn area(line: &[Point]) -> f64 {
        line.windows(2).map(|p| (p[0].0 * p[1].1 - p[1].0 * p[0].1) / 2.0).sum()
    }

    #[test]
    fn the_level_of_a_bowl_is_one_circle() {
        let lines = grid(41, |x, y| x * x + y * y).lines(0.49);
        let [circle] = lines.as_slice() else { panic!("{} lines", lines.len()) };
        assert_eq!(circle.first(), circle.last(), "it is closed");
        // Between the nodes a parabola is taken for a line: off by (step / 2)² / (2 · 0.7).
        for (x, y) in circle {
            assert!((x.hypot(*y) - 0.7).abs() < 5e-4, "{x} {y}");
        }
        let area = area(circle).abs();
        assert!((area - std::f64::consts::PI * 0.49).abs() < 4e-3, "{area}");
        let few = simplified(circle);
        assert!(few.len() < circle.len() / 3 && few.first() == few.last());
    }

    #[test]
    fn lines_that_leave_the_grid_are_open_until_it_is_enclosed() {
        let plane = grid(5, |x, _| x);
        let lines = plane.lines(0.25);
        let [line] = lines.as_slice() else { panic!("{} lines", lines.len()) };
        assert!(line.len() == 5 && line.iter().all(|p| p.0 == 0.25), "{line:?}");
        // All that is at least so high: a rectangle of 0.75 × 2.
        let region = plane.enclosed().lines(0.25);
        let [edge] = region.as_slice() else { panic!("{} lines", region.len()) };
        assert_eq!(edge.first(), edge.last());
        assert_eq!(area(edge).abs(), 1.5);
    }

    #[test]
    fn saddles_are_decided_by_their_middle() {
        let saddle = grid(2, |x, y| x * y);
        let both = |level| -> Vec<f64> {
            let lines = saddle.lines(level);
            assert_eq!(lines.len(), 2);
            lines.iter().map(|l| (l[0].0 - l[1].0) * (l[0].1 - l[1].1)).collect()
        };
        // Above zero the two high corners (x = y) are cut off, below it the two low ones.
        assert!(both(0.5).iter().all(|&slope| slope < 0.0));
        assert!(both(-0.5).iter().all(|&slope| slope > 0.0));
    }

    #[test]
    fn missing_heights_leave_a_hole() {
        let mut holed = grid(5, |_, y| y);
        holed.heights[12] = f64::NAN;
        assert_eq!(holed.lines(0.1).len(), 2);
        let lines = holed.enclosed().lines(-1.0);
        let areas: f64 = lines.iter().map(|line| area(line)).sum();
        // Of sixteen cells, those at the missing node keep one triangle each.
        assert_eq!((lines.len(), areas.abs()), (2, 4.0 - 4.0 * 0.125));
    }
}
