//! Contours: lines of equal height, and the bands between them.

use super::axes::{Scale, power_of_ten, round_step, warp};
use super::canvas::{Canvas, Point, Rect};
use super::clip::{clipped, clipped_region};
use super::color::{Colormap, Rgb};
use super::isoline::{Grid, simplified};
use super::panel::{self, Look};
use super::series::{LineStyle, Shape};
use super::tag::{self, Tag};
use super::values::{Heights, Matrix, Values};
use super::{Figure, finite_range, short};

/// Contours.
impl Figure {
    /// Draws lines of equal height, each with its height written into it: `z` has a row for
    /// each of `y` and a column for each of `x`.
    ///
    /// The lines are in the colour of the text, below zero in dashes;
    /// [`colormap`](Figure::colormap) colours them by height. Over a heat map or filled
    /// contours, whose colours have a scale beside, no heights are written.
    ///
    /// # Panics
    /// If `z` has not a row for each of `y` and a column for each of `x`, two at least.
    ///
    /// ```
    /// # use d2l::prelude::*;
    /// let x = Tensor::linspace(-2.0, 2.0, 41);
    /// let bowl = x.pow(2.0) + x.pow(2.0).reshape([41, 1]);
    /// let svg = Figure::new().contour(&x, &x, &bowl).levels([1.5, 2.5]).to_svg();
    /// assert!(svg.contains(">1.5<") && svg.contains(">2.5<"));
    /// ```
    #[track_caller]
    pub fn contour(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        z: impl Into<Matrix>,
    ) -> Figure {
        let heights = Heights::new("contour", x.into(), y.into(), z.into());
        let levels = Levels::default();
        self.with("contour", Shape::Contour { heights, levels, colors: None })
    }

    /// Fills the bands between lines of equal height, with a scale of colours beside: `z` as in
    /// [`contour`](Figure::contour). Where heights are missing (NaN) nothing is filled.
    ///
    /// # Panics
    /// If `z` has not a row for each of `y` and a column for each of `x`, two at least.
    ///
    /// ```
    /// # use d2l::prelude::*;
    /// let x = Tensor::linspace(1.0, 10.0, 30);
    /// let powers = x.pow(3.0) * x.pow(3.0).reshape([30, 1]);
    /// let figure = Figure::new().contour_filled(&x, &x, &powers).log_z().z_label("loss");
    /// let svg = figure.to_svg();
    /// assert!(svg.contains(">loss<") && svg.contains(">10<tspan"));
    /// ```
    #[track_caller]
    pub fn contour_filled(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        z: impl Into<Matrix>,
    ) -> Figure {
        let heights = Heights::new("contour_filled", x.into(), y.into(), z.into());
        let (levels, colors) = (Levels::default(), Colormap::default());
        self.with("contour_filled", Shape::Bands { heights, levels, colors })
    }

    /// Sets the heights of contours.
    ///
    /// # Panics
    /// If the levels do not rise, or if what was added last is no contour.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let plane = Figure::new().contour([0, 1], [0, 1], [[0.0, 1.0], [1.0, 2.0]]);
    /// assert!(plane.levels([0.25, 1.5]).to_svg().contains(">0.25<"));
    /// ```
    #[track_caller]
    pub fn levels(self, levels: impl Into<Values>) -> Figure {
        self.chosen_levels(levels.into().0)
    }

    #[track_caller]
    fn chosen_levels(mut self, chosen: Vec<f64>) -> Figure {
        let rise = chosen.windows(2).all(|pair| pair[0] < pair[1]);
        let fine = rise && !chosen.is_empty() && chosen.iter().all(|l| l.is_finite());
        assert!(fine, "Figure::levels: {chosen:?} do not rise");
        *self.last_levels("levels") = Levels::Chosen(chosen);
        self
    }

    /// Has about so many contours, at round heights; 8 unless set.
    ///
    /// # Panics
    /// If `count` is 0, or if what was added last is no contour.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let plane = Figure::new().contour([0, 9], [0, 9], [[0, 9], [9, 18]]);
    /// assert!(plane.level_count(2).to_svg().contains(">10<"));
    /// ```
    #[track_caller]
    pub fn level_count(mut self, count: usize) -> Figure {
        assert!(count > 0, "Figure::level_count: no levels");
        *self.last_levels("level_count") = Levels::About(count);
        self
    }

    #[track_caller]
    fn last_levels(&mut self, method: &str) -> &mut Levels {
        match &mut self.last(method).shape {
            Shape::Contour { levels, .. } | Shape::Bands { levels, .. } => levels,
            other => panic!("Figure::{method}: a {} has no levels", other.name()),
        }
    }
}

/// At which heights contours lie.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Levels {
    Chosen(Vec<f64>),
    About(usize),
}

impl Default for Levels {
    fn default() -> Levels {
        Levels::About(8)
    }
}

impl Levels {
    /// The levels of lines over heights of this range: strictly inside.
    pub(super) fn of_lines(&self, scale: Scale, [low, high]: [f64; 2]) -> Vec<f64> {
        match self {
            Levels::Chosen(levels) => levels.clone(),
            Levels::About(count) => {
                let round = round_levels(scale, [low, high], *count);
                round.into_iter().filter(|&level| level > low && level < high).collect()
            }
        }
    }

    /// The borders of bands over heights of this range, which they cover unless chosen.
    pub(super) fn of_bands(&self, scale: Scale, range: [f64; 2]) -> Vec<f64> {
        match self {
            Levels::Chosen(levels) => levels.clone(),
            Levels::About(count) => round_levels(scale, range, *count),
        }
    }
}

/// Round numbers from at or below the low end to at or above the high one.
fn round_levels(scale: Scale, [low, high]: [f64; 2], count: usize) -> Vec<f64> {
    let decades = (high / low).log10();
    if scale == Scale::Linear || decades < 1.0 {
        let step = nearest_step((high - low) / count as f64);
        let first = (low / step + 1e-9).floor() as i64;
        let last = (high / step - 1e-9).ceil() as i64;
        return (first..=last).map(|i| i as f64 * step).collect();
    }
    let every = (decades / count as f64).ceil() as i32;
    let digits: &[f64] = match decades * 3.0 <= count as f64 * 1.5 {
        true => &[1.0, 2.0, 5.0],
        false => &[1.0],
    };
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let all: Vec<f64> = (first..=last + every)
        .filter(|exponent| (exponent - first) % every == 0)
        .flat_map(|exponent| digits.iter().map(move |digit| digit * 10f64.powi(exponent)))
        .collect();
    let from = all.iter().rposition(|&level| level <= low * (1.0 + 1e-9)).unwrap_or(0);
    let to = all.iter().position(|&level| level >= high * (1.0 - 1e-9));
    all[from..=to.unwrap_or(all.len() - 1)].to_vec()
}

/// Of 1, 2, 5, 10, … (times a power of ten) the one in the nearest ratio to `step`.
fn nearest_step(step: f64) -> f64 {
    // From 2 to 5 the ratio is largest.
    round_step(step / 2.5_f64.sqrt())
}

/// A level as it is written beside the scale of colours and into lines.
pub(super) fn level_name(level: f64) -> String {
    let exponent = level.abs().log10().round() as i32;
    let is_power = level > 0.0 && (level / 10f64.powi(exponent) - 1.0).abs() < 1e-9;
    match is_power && !(-3..4).contains(&exponent) {
        true => power_of_ten(exponent),
        false => short(level).replace('-', "−"),
    }
}

/// The colours of the bands between `levels`: even steps, however far the levels lie apart.
pub(super) fn band_color(colors: Colormap, band: usize, bands: usize) -> Rgb {
    colors.at((band as f64 + 0.5) / bands as f64)
}

/// Heights on paper, as the axes place them.
fn grid(heights: &Heights, scale: Scale, place: impl Fn(f64, f64) -> Point) -> Grid {
    let nodes = heights.nodes();
    let points: Vec<Point> = nodes.iter().map(|&[x, y, _]| place(x, y)).collect();
    // What has no place on the axes counts as missing.
    let height = |(&[_, _, z], (x, y)): (&[f64; 3], &Point)| match (x + y).is_finite() {
        true => warp(scale, z),
        false => f64::NAN,
    };
    let warped = nodes.iter().zip(&points).map(height).collect();
    Grid::new(heights.x.len(), points, warped)
}

/// Fills the bands between levels.
pub(super) fn draw_bands(
    canvas: &Canvas,
    heights: &Heights,
    scale: Scale,
    levels: &[f64],
    colors: Colormap,
    place: impl Fn(f64, f64) -> Point,
    plot: Rect,
) {
    let grid = grid(heights, scale, place).enclosed();
    let regions: Vec<Vec<Vec<Point>>> = (levels.iter())
        .map(|&level| {
            let lines = grid.lines(warp(scale, level)).into_iter();
            lines.map(|l| simplified(&clipped_region(&l, plot))).collect()
        })
        .collect();
    // Each region is painted over the one below it, so that no gap shows between bands; what
    // is above the last level stays free.
    let Some((above, regions)) = regions.split_last() else { return };
    for (band, region) in regions.iter().enumerate() {
        let holes = region.iter().chain(above).filter(|line| line.len() > 3);
        let color = band_color(colors, band, regions.len()).fixed().with_opacity(1.0);
        canvas.region(&holes.map(Vec::as_slice).collect::<Vec<_>>(), color);
    }
}

/// The lines at `levels` within `plot`, each with the number of its level.
pub(super) fn paths(
    heights: &Heights,
    scale: Scale,
    levels: &[f64],
    place: impl Fn(f64, f64) -> Point,
    plot: Rect,
) -> Vec<(usize, Vec<Point>)> {
    let grid = grid(heights, scale, place);
    let mut paths = Vec::new();
    for (index, &level) in levels.iter().enumerate() {
        for line in grid.lines(warp(scale, level)) {
            let pieces = clipped(&simplified(&line), plot);
            paths.extend(pieces.into_iter().map(|piece| (index, piece)));
        }
    }
    paths
}

/// How contour lines are drawn.
pub(super) struct Lines<'a> {
    pub(super) heights: &'a Heights,
    pub(super) scale: Scale,
    pub(super) levels: &'a [f64],
    pub(super) colors: Option<Colormap>,
    pub(super) look: Look,
    /// Whether the line's style was set.
    pub(super) styled: bool,
    /// What labels must not cover; none where no labels are wanted.
    pub(super) obstacles: Option<Vec<Point>>,
}

impl Lines<'_> {
    /// Draws the lines within `plot` with their labels.
    pub(super) fn draw(
        &self,
        canvas: &Canvas,
        place: impl Fn(f64, f64) -> Point,
        plot: Rect,
    ) {
        let lines = paths(self.heights, self.scale, self.levels, place, plot);
        let tags: Vec<Option<Tag>> = match &self.obstacles {
            None => lines.iter().map(|_| None).collect(),
            Some(obstacles) => {
                let names = lines.iter().map(|(i, _)| level_name(self.levels[*i]));
                let paths: Vec<&[Point]> =
                    lines.iter().map(|(_, line)| line.as_slice()).collect();
                tag::place(&paths, names.collect(), obstacles, plot)
            }
        };
        for ((index, line), tag) in lines.iter().zip(&tags) {
            let mut look = self.look;
            if let Some(colors) = self.colors {
                let t = *index as f64 / (self.levels.len() - 1).max(1) as f64;
                look.color = colors.at(t);
            }
            look.line = match self.levels[*index] {
                _ if self.styled => look.line,
                level if level < 0.0 && self.colors.is_none() => LineStyle::Dashed,
                _ => LineStyle::Solid,
            };
            match tag {
                None => panel::stroke(canvas, line, &look),
                Some(tag) => {
                    for part in tag.spare(line) {
                        panel::stroke(canvas, &part, &look);
                    }
                }
            }
        }
        for tag in tags.iter().flatten() {
            tag.draw(canvas);
        }
    }
}

/// The least and the greatest height that a scale can show, or the limits; all of it positive
/// on a logarithmic scale.
pub(super) fn height_range(figure: &Figure, z: &[f64]) -> [f64; 2] {
    let shown: Vec<f64> =
        z.iter().copied().filter(|&z| warp(figure.z_scale, z).is_finite()).collect();
    let [low, high] = match figure.z_limits {
        Some((low, high)) => [low.min(high), low.max(high)],
        None => finite_range(&shown),
    };
    match figure.z_scale {
        Scale::Log if high <= 0.0 => [1.0, 10.0],
        Scale::Log if low <= 0.0 => [high / 1000.0, high],
        _ => [low, high],
    }
}

/// Where a height is between the ends of a range, from 0 to 1; beyond them less or more.
pub(super) fn height_place(scale: Scale, [low, high]: [f64; 2], z: f64) -> f64 {
    let [low, high, z] = [low, high, z].map(|height| warp(scale, height));
    (z - low) / (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_round_and_cover_the_heights() {
        let about = Levels::default();
        let bands = about.of_bands(Scale::Linear, [0.3, 7.6]);
        assert_eq!(bands, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(about.of_lines(Scale::Linear, [0.0, 4.0])[0], 0.5);
        assert_eq!(about.of_lines(Scale::Linear, [0.0, 4.0]).len(), 7);
        assert_eq!(about.of_lines(Scale::Linear, [0.0, 21.0])[..2], [2.0, 4.0]);
    }

    #[test]
    fn logarithmic_levels_are_powers_of_ten_or_thirds_of_them() {
        let about = Levels::default();
        assert_eq!(
            about.of_bands(Scale::Log, [0.03, 4e3]),
            [0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4]
        );
        let few = about.of_lines(Scale::Log, [1.5, 300.0]);
        assert_eq!(few, [2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
        assert_eq!(about.of_lines(Scale::Log, [1e-12, 1e12]).len(), 7);
    }

    #[test]
    fn levels_are_written_shortly() {
        let names = [-0.5, 0.0, 100.0, 1e-6, 1e5].map(level_name);
        assert_eq!(names, ["−0.5", "0", "100", "10⁻⁶", "10⁵"]);
    }
}
