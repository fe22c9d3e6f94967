//! Labels inside contour lines.

use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{Canvas, Point, Rect};
use super::svg::text_width;

const SIZE: f64 = 7.0;
/// Free line before and after a label.
const AIR: f64 = 3.0;

/// A label, and the part of its line that makes room for it.
pub(super) struct Tag {
    text: String,
    middle: Point,
    degrees: f64,
    /// Lengths along the line.
    from: f64,
    to: f64,
}

/// Finds a place for the label of each line: where the line is straight and nothing else is
/// near. Lines that have no such place get no label.
pub(super) fn place(
    lines: &[&[Point]],
    names: Vec<String>,
    obstacles: &[Point],
    plot: Rect,
) -> Vec<Option<Tag>> {
    const STEP: f64 = 3.0;
    /// Farther away, nothing disturbs.
    const FAR: f64 = 14.0;
    /// Nearer, labels of lines would touch the next line.
    const NEAR: f64 = 4.0;
    let points: Vec<Vec<Point>> = lines.iter().map(|line| evenly(line, STEP)).collect();
    let mut tags: Vec<Option<Tag>> = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let line = lines[index];
        let width = text_width(&name) * SIZE;
        let (half, length) = (width / 2.0 + AIR, length(line));
        let others = || {
            let lines = points.iter().enumerate().filter(|(i, _)| *i != index);
            let lines = lines.flat_map(|(_, points)| points).chain(obstacles).copied();
            let tags = tags.iter().flatten();
            // Labels keep twice the distance from each other.
            lines
                .map(|p| (p, 1.0))
                .chain(tags.map(|tag: &Tag| (tag.middle, 0.4)))
                .collect::<Vec<_>>()
        };
        let others = others();
        let mut best: Option<(f64, Tag)> = None;
        let mut at = half + 2.0;
        while at + half + 2.0 <= length {
            let (from, to) = (at - half, at + half);
            let (a, b, middle) = (along(line, from), along(line, to), along(line, at));
            at += STEP;
            let straight = (b.0 - a.0).hypot(b.1 - a.1) / (to - from);
            let near = Rect {
                left: middle.0 - FAR - half,
                right: middle.0 + FAR + half,
                top: middle.1 - FAR - half,
                bottom: middle.1 + FAR + half,
            };
            let free = (others.iter())
                .filter(|(p, _)| near.contains(*p))
                .map(|(p, weight)| weight * super::isoline::distance(*p, a, b))
                .fold(FAR, f64::min)
                .min(edge_distance(a, plot) + 2.0)
                .min(edge_distance(b, plot) + 2.0);
            if straight < 0.97 || free < NEAR {
                continue;
            }
            // Readers keep their heads upright: level labels are better.
            let (dx, dy) =
                if a.0 <= b.0 { (b.0 - a.0, b.1 - a.1) } else { (a.0 - b.0, a.1 - b.1) };
            let degrees = dy.atan2(dx).to_degrees();
            let score = free + 60.0 * (straight - 1.0) - degrees.abs() / 30.0;
            if best.as_ref().is_none_or(|(s, _)| score > s + 1e-9) {
                best =
                    Some((score, Tag { text: name.clone(), middle, degrees, from, to }));
            }
        }
        tags.push(best.map(|(_, tag)| tag));
    }
    tags
}

impl Tag {
    /// The line before and behind the label.
    pub(super) fn spare(&self, line: &[Point]) -> [Vec<Point>; 2] {
        let (mut before, mut behind) = (Vec::new(), vec![along(line, self.to)]);
        let mut at = 0.0;
        for (i, &point) in line.iter().enumerate() {
            at += line[..i].last().map_or(0.0, |p| (point.0 - p.0).hypot(point.1 - p.1));
            if at < self.from {
                before.push(point);
            } else if at > self.to {
                behind.push(point);
            }
        }
        before.push(along(line, self.from));
        [before, behind]
    }

    pub(super) fn draw(&self, canvas: &Canvas) {
        canvas.text_turned(
            &self.text,
            self.middle,
            SIZE,
            (HPos::Center, VPos::Center),
            self.degrees,
        );
    }
}

fn length(line: &[Point]) -> f64 {
    line.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum()
}

/// The point so far along the line.
fn along(line: &[Point], mut distance: f64) -> Point {
    for pair in line.windows(2) {
        let [(ax, ay), (bx, by)] = [pair[0], pair[1]];
        let piece = (bx - ax).hypot(by - ay);
        if distance <= piece {
            let t = if piece == 0.0 { 0.0 } else { distance / piece };
            return (ax + t * (bx - ax), ay + t * (by - ay));
        }
        distance -= piece;
    }
    line[line.len() - 1]
}

/// Points along the line, one every `step`.
fn evenly(line: &[Point], step: f64) -> Vec<Point> {
    let count = (length(line) / step) as usize;
    (0..=count).map(|i| along(line, i as f64 * step)).collect()
}

/// How far inside `plot` a point is.
fn edge_distance((x, y): Point, plot: Rect) -> f64 {
    (x - plot.left).min(plot.right - x).min(y - plot.top).min(plot.bottom - y)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Rect = Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };

    #[test]
    fn a_label_takes_its_room_from_the_line() {
        let line = [(0.0, 50.0), (100.0, 50.0)];
        let tags = place(&[&line], vec!["10".into()], &[], PLOT);
        let tag = tags[0].as_ref().unwrap();
        let [before, behind] = tag.spare(&line);
        let gap = behind[0].0 - before[1].0;
        assert!((gap - (text_width("10") * SIZE + 2.0 * AIR)).abs() < 1e-9);
        assert_eq!((tag.degrees, behind[1]), (0.0, (100.0, 50.0)));
    }

    #[test]
    fn labels_keep_away_from_what_is_near() {
        let line = [(0.0, 50.0), (100.0, 50.0)];
        let near = [(20.0, 52.0), (40.0, 48.0), (60.0, 51.0)];
        let tags = place(&[&line], vec!["10".into()], &near, PLOT);
        assert!(tags[0].as_ref().unwrap().middle.0 > 70.0);
        let crowd: Vec<Point> = (0..50).map(|i| (2.0 * f64::from(i), 52.0)).collect();
        assert!(place(&[&line], vec!["10".into()], &crowd, PLOT)[0].is_none());
    }
}
