//! Fields of arrows.

use super::Figure;
use super::canvas::{Canvas, Point};
use super::panel::Look;
use super::series::Shape;
use super::values::Values;

/// Arrows.
impl Figure {
    /// Draws an arrow `(u, v)` from each place `(x, y)`; or, if there are as many arrows as
    /// pairs of an `x` and a `y`, from the nodes of that grid, row after row of equal `y`.
    ///
    /// An arrow points where one gets by adding it to its place, whatever the scales of the
    /// axes; with [`equal_axes`](Figure::equal_axes) gradients stand at right angles to contours.
    /// Unless [`arrow_scale`](Figure::arrow_scale) is set, arrows are drawn so long that most of
    /// them do not reach the next one.
    ///
    /// # Panics
    /// If the lengths do not fit.
    ///
    /// ```
    /// # use d2l::prelude::*;
    /// let x = [-1.0, 0.0, 1.0];
    /// let (u, v) = ([[1, 0, -1], [1, 0, -1]], [[1, 1, 1], [-1, -1, -1]]);
    /// let field = Figure::new().quiver(x, [-1, 1], u.concat(), v.concat());
    /// assert_eq!(field.to_string(), "Figure(arrows, 6 arrows, the longest 1.414)");
    /// ```
    #[track_caller]
    pub fn quiver(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        u: impl Into<Values>,
        v: impl Into<Values>,
    ) -> Figure {
        self.arrows([x.into(), y.into(), u.into(), v.into()])
    }

    #[track_caller]
    fn arrows(self, [x, y, u, v]: [Values; 4]) -> Figure {
        let (x, y, u, v) = (x.0, y.0, u.0, v.0);
        let (x, y) = match u.len() {
            n if n == x.len() && n == y.len() => (x, y),
            n if n == x.len() * y.len() => {
                let rows = y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y)));
                rows.unzip()
            }
            n => panic!(
                "Figure::quiver: {n} arrows at {} values of x and {} of y",
                x.len(),
                y.len()
            ),
        };
        assert!(
            u.len() == v.len(),
            "Figure::quiver: lengths differ: {} and {}",
            u.len(),
            v.len()
        );
        self.with("quiver", Shape::Arrows { x, y, u, v, scale: None })
    }

    /// Draws arrows so many times as long as they are by the axes.
    ///
    /// # Panics
    /// If `scale` is not positive, or if what was added last are no arrows.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let arrow = |scale| Figure::new().quiver([0], [0], [1], [0]).arrow_scale(scale);
    /// let reach = |scale| arrow(scale).x_limits(0.0, 1.0).to_svg();
    /// assert_ne!(reach(0.5), reach(1.0));
    /// ```
    #[track_caller]
    pub fn arrow_scale(mut self, factor: f64) -> Figure {
        assert!(factor > 0.0 && factor.is_finite(), "Figure::arrow_scale: {factor}");
        match &mut self.last("arrow_scale").shape {
            Shape::Arrows { scale, .. } => *scale = Some(factor),
            other => panic!("Figure::arrow_scale: a {} has no arrows", other.name()),
        }
        self
    }
}

/// Tails and tips on paper: `place` says where numbers lie, `room` is the area of the plot.
pub(super) fn arrows(
    [x, y, u, v]: [&[f64]; 4],
    scale: Option<f64>,
    room: f64,
    place: impl Fn(f64, f64) -> Point,
) -> Vec<(Point, Point)> {
    // On a logarithmic axis directions change along the way: those at the tail count.
    const SMALL: f64 = 1e-6;
    let size = |a: &[f64]| {
        a.iter().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()))
    };
    let (far, long) = (size(x).max(size(y)), size(u).max(size(v)));
    let step = match (far > 0.0, long > 0.0) {
        (true, true) => SMALL * far / long,
        _ => SMALL,
    };
    let mut ways: Vec<(Point, Point)> = Vec::new();
    for i in 0..u.len() {
        let tail = place(x[i], y[i]);
        let near = place(x[i] + step * u[i], y[i] + step * v[i]);
        let way = ((near.0 - tail.0) / step, (near.1 - tail.1) / step);
        if [tail.0, tail.1, way.0, way.1].iter().all(|v| v.is_finite()) {
            ways.push((tail, way));
        }
    }
    let factor = scale.unwrap_or_else(|| {
        let lengths: Vec<f64> = ways.iter().map(|(_, way)| way.0.hypot(way.1)).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let mean = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
        let spacing = (room / lengths.len().max(1) as f64).sqrt().clamp(8.0, 40.0);
        let factor = (0.6 * spacing / mean).min(1.4 * spacing / longest);
        if factor.is_finite() { factor } else { 0.0 }
    });
    ways.into_iter()
        .map(|(tail, way)| (tail, (tail.0 + factor * way.0, tail.1 + factor * way.1)))
        .collect()
}

/// Draws an arrow; what is shorter than its head is all head.
pub(super) fn draw(canvas: &Canvas, tail: Point, tip: Point, look: &Look) {
    let (dx, dy) = (tip.0 - tail.0, tip.1 - tail.1);
    let length = dx.hypot(dy);
    if length < 0.25 {
        return canvas.disc(tail, look.width / 2.0, look.paint());
    }
    let head = 5.0 * look.width;
    let size = look.width * (length / head).min(1.0);
    let (along, across) = ((dx / length, dy / length), (-dy / length, dx / length));
    let at = |s: f64, t: f64| {
        (tail.0 + s * along.0 + t * across.0, tail.1 + s * along.1 + t * across.1)
    };
    let (neck, wings) = (length - 4.2 * size, length - 5.0 * size);
    canvas.polygon(
        &[
            at(0.0, size / 2.0),
            at(neck, size / 2.0),
            at(wings, 1.7 * size),
            tip,
            at(wings, -1.7 * size),
            at(neck, -size / 2.0),
            at(0.0, -size / 2.0),
        ],
        look.paint(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A paper on which x is stretched twice as much as y, which grows upwards.
    fn paper(x: f64, y: f64) -> Point {
        (20.0 * x, 100.0 - 10.0 * y)
    }

    #[test]
    fn arrows_lead_from_their_place_to_what_adding_them_gives() {
        let field = [&[1.0, 2.0][..], &[3.0, 4.0], &[0.5, -1.0], &[1.0, 2.0]];
        let found = arrows(field, Some(1.0), 1e4, paper);
        for (i, (tail, tip)) in found.into_iter().enumerate() {
            let [x, y, u, v] = field.map(|part| part[i]);
            assert_eq!(tail, paper(x, y));
            let expected = paper(x + u, y + v);
            assert!((tip.0 - expected.0).hypot(tip.1 - expected.1) < 1e-6, "{tip:?}");
        }
    }

    #[test]
    fn arrows_of_a_grid_keep_their_distance() {
        let n = 100;
        let x: Vec<f64> = (0..n).map(|i| f64::from(i % 10)).collect();
        let y: Vec<f64> = (0..n).map(|i| f64::from(i / 10)).collect();
        let ones = vec![1e3; 100];
        let found = arrows([&x, &y, &ones, &ones], None, 180.0 * 90.0, paper);
        let length = |(a, b): &(Point, Point)| (b.0 - a.0).hypot(b.1 - a.1);
        assert!(found.iter().all(|a| (5.0..15.0).contains(&length(a))));
    }

    #[test]
    fn a_missing_arrow_is_left_out() {
        let field = [&[1.0, 2.0][..], &[3.0, 4.0], &[f64::NAN, 1.0], &[1.0, 1.0]];
        assert_eq!(arrows(field, None, 1e4, paper).len(), 1);
    }
}
