//! Surfaces as facets, from back to front, and nets of lines.

use super::canvas::{Canvas, Point};
use super::clip::clip_polygon;
use super::color::Rgb;
use super::panel::Look;
use super::series::Shape;
use super::space::{Place, Space};
use super::values::Heights;

/// Lines of a net and rows of facets at most: finer ones cannot be told apart in print.
const CELLS: usize = 36;

/// A piece of a surface on paper.
#[derive(Clone, Debug)]
pub(super) struct Facet {
    /// Corners, and how near to the reader they are.
    corners: Vec<(Point, f64)>,
    color: Rgb,
    opacity: f64,
}

impl Facet {
    fn nearness(&self) -> f64 {
        self.corners.iter().map(|corner| corner.1).sum::<f64>()
            / self.corners.len() as f64
    }

    /// How near the facet is where it covers a point; none if it does not.
    fn nearness_at(&self, (x, y): Point) -> Option<f64> {
        let (first, rest) = self.corners.split_first()?;
        rest.windows(2).find_map(|pair| {
            let [((ax, ay), a), ((bx, by), b), ((cx, cy), c)] =
                [*first, pair[0], pair[1]];
            let area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay);
            let s = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area;
            let t = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area;
            let inside = s >= 0.0 && t >= 0.0 && s + t <= 1.0;
            inside.then_some(a + s * (b - a) + t * (c - a))
        })
    }
}

/// The facets of a surface, clipped to the box; no facets for other shapes.
pub(super) fn facets(
    space: &Space,
    shape: &Shape,
    look: &Look,
    color: Option<Rgb>,
) -> Vec<Facet> {
    let Shape::Surface { heights, colors } = shape else { return Vec::new() };
    let (rows, columns) = (chosen(heights.y.len()), chosen(heights.x.len()));
    let mut facets = Vec::new();
    for row in rows.windows(2) {
        for column in columns.windows(2) {
            let nodes = [(0, 0), (0, 1), (1, 1), (1, 0)];
            let places = nodes.map(|(r, c)| space.place(heights.node(row[r], column[c])));
            if !places.iter().flatten().all(|v| v.is_finite()) {
                continue;
            }
            let corners = clip_polygon(places.to_vec(), [0.0; 3], [1.0; 3]);
            if corners.len() < 3 {
                continue;
            }
            let height = corners.iter().map(|c| c[2]).sum::<f64>() / corners.len() as f64;
            facets.push(Facet {
                corners: corners.iter().map(|&place| space.project(place)).collect(),
                color: match color {
                    Some(color) => shaded(color, &places, space.toward()),
                    None => colors.at(height),
                },
                opacity: look.opacity,
            });
        }
    }
    facets
}

/// From the farthest to the nearest.
pub(super) fn sorted(mut facets: Vec<Facet>) -> Vec<Facet> {
    facets.sort_by(|a, b| a.nearness().total_cmp(&b.nearness()));
    facets
}

/// Draws facets in their order.
pub(super) fn draw(canvas: &Canvas, facets: &[Facet]) {
    for facet in facets {
        let corners: Vec<Point> = facet.corners.iter().map(|corner| corner.0).collect();
        canvas.facet(&corners, facet.color.fixed().with_opacity(facet.opacity));
    }
}

/// Whether a facet lies clearly before a point.
pub(super) fn hides(facets: &[Facet], (at, nearness): (Point, f64)) -> bool {
    // A curve on a surface leaves the flat facets by so much.
    const SLACK: f64 = 0.03;
    let covers =
        |facet: &Facet| facet.nearness_at(at).is_some_and(|n| n > nearness + SLACK);
    facets.iter().any(covers)
}

/// The lines of a net with their opacity, from back to front: the nearer, the stronger.
pub(super) fn net(space: &Space, heights: &Heights) -> Vec<(Vec<Point>, f64)> {
    const SHADES: usize = 5;
    let (rows, columns) = (chosen(heights.y.len()), chosen(heights.x.len()));
    let across =
        rows.iter().map(|&r| columns.iter().map(|&c| (r, c)).collect::<Vec<_>>());
    let along = columns.iter().map(|&c| rows.iter().map(|&r| (r, c)).collect::<Vec<_>>());
    let mut lines: Vec<(Vec<Point>, usize)> = Vec::new();
    for line in across.chain(along) {
        let places: Vec<Place> =
            line.into_iter().map(|(r, c)| space.place(heights.node(r, c))).collect();
        for pair in places.windows(2) {
            let clipped = super::clip::clip(pair[0], pair[1], [0.0; 3], [1.0; 3]);
            let Some((a, b)) = clipped else { continue };
            let ((from, near), (to, far)) = (space.project(a), space.project(b));
            // The diagonal of the box is about 1.6 long.
            let part = ((near + far) / 2.0 / 1.2 + 0.5).clamp(0.0, 0.999);
            let shade = (part * SHADES as f64) as usize;
            let joins = |(line, was): &&mut (Vec<Point>, usize)| {
                *was == shade && line.last() == Some(&from)
            };
            match lines.last_mut().filter(joins) {
                Some((line, _)) => line.push(to),
                None => lines.push((vec![from, to], shade)),
            }
        }
    }
    lines.sort_by_key(|(_, shade)| *shade);
    let opacity = |shade: usize| 0.3 + 0.7 * shade as f64 / (SHADES - 1) as f64;
    lines.into_iter().map(|(line, shade)| (line, opacity(shade))).collect()
}

/// At most so many of `n` nodes as can be told apart, the first and the last among them.
fn chosen(n: usize) -> Vec<usize> {
    let cells = (n - 1).min(CELLS);
    (0..=cells).map(|i| i * (n - 1) / cells).collect()
}

/// A colour in light that comes from where the reader stands, and from above.
fn shaded(color: Rgb, corners: &[Place; 4], toward: Place) -> Rgb {
    let minus = |a: Place, b: Place| -> Place { std::array::from_fn(|i| a[i] - b[i]) };
    let (p, q) = (minus(corners[2], corners[0]), minus(corners[3], corners[1]));
    let normal =
        [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]];
    let light = [toward[0], toward[1], toward[2] + 1.0];
    let dot = |a: Place, b: Place| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let size = (dot(normal, normal) * dot(light, light)).sqrt();
    let bright = if size > 0.0 { dot(normal, light).abs() / size } else { 1.0 };
    let part = |c: u8| (f64::from(c) * (0.55 + 0.45 * bright)).round() as u8;
    Rgb(part(color.0), part(color.1), part(color.2))
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Rect;
    use super::super::{Figure, panel};
    use super::*;

    fn scene(figure: &Figure) -> (Space, Vec<Facet>) {
        let area = Rect { left: 0.0, top: 0.0, right: 250.0, bottom: 180.0 };
        let space = Space::new(figure, area);
        let looks = panel::looks(figure);
        let all = figure.series.iter().zip(&looks);
        let facets = all.flat_map(|(s, look)| facets(&space, &s.shape, look, s.color));
        let facets = sorted(facets.collect());
        (space, facets)
    }

    fn hill() -> Figure {
        let x: Vec<f64> = (0..21).map(|i| f64::from(i) / 10.0 - 1.0).collect();
        let heights =
            x.iter().flat_map(|y| x.iter().map(move |x| (-4.0 * (x * x + y * y)).exp()));
        let z = super::super::Matrix::new(21, 21, heights.collect::<Vec<f64>>());
        Figure::new().surface(&x, &x, z)
    }

    #[test]
    fn what_is_nearer_is_drawn_later() {
        // For every point of paper that several facets cover, the nearest comes last.
        let (_, facets) = scene(&hill().view(-60.0, 10.0));
        let mut covered = 0;
        for x in (0..250).step_by(3) {
            for y in (0..180).step_by(3) {
                let point = (f64::from(x) + 0.1, f64::from(y) + 0.1);
                let depths: Vec<f64> =
                    facets.iter().filter_map(|f| f.nearness_at(point)).collect();
                covered += usize::from(depths.len() > 1);
                assert!(depths.windows(2).all(|d| d[1] > d[0] - 1e-9), "{depths:?}");
            }
        }
        assert!(covered > 100, "the hill hides what is behind it: {covered}");
    }

    #[test]
    fn a_hill_hides_what_is_behind_it_and_not_what_lies_on_it() {
        let (space, facets) = scene(&hill().view(-90.0, 10.0));
        let at = |x, y, z| space.project(space.place([x, y, z]));
        assert!(hides(&facets, at(0.0, 0.9, 0.1)));
        assert!(!hides(&facets, at(0.0, -0.9, 0.1)));
        assert!(!hides(&facets, at(0.0, -0.2, (-4.0 * 0.04_f64).exp())));
    }

    #[test]
    fn surfaces_end_at_the_limits() {
        let (space, facets) = scene(&hill().z_limits(0.0, 0.5));
        let top = space.project([0.5, 0.5, 1.0]).0.1;
        let corners = facets.iter().flat_map(|f| &f.corners);
        assert!(corners.clone().count() > 400);
        let high = space.project([0.0, 1.0, 1.0]).0.1.min(top);
        assert!(corners.into_iter().all(|((_, y), _)| *y > high - 1e-6));
    }
}
