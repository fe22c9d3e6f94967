//! One set of axes: frame, ticks, labels, series and legend.

use std::borrow::Cow;
use std::ops::Range;

use plotters::style::RGBAColor;
use plotters::style::text_anchor::{HPos, VPos};

use super::axes::{Axis, Scale, Tick, Ticks};
use super::canvas::{Canvas, Point, Rect};
use super::clip::clipped;
use super::color::{CYCLE, Colormap, INK, Rgb};
use super::contour::{self, Levels};
use super::series::{LineStyle, Marker, Series, Shape};
use super::svg::text_width;
use super::{Figure, finite_range, legend, picture, quiver, space};

const TITLE: f64 = 9.5;
pub(super) const LABEL: f64 = 9.0;
pub(super) const TICK: f64 = 8.0;

/// How a series looks, with every default filled in.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) color: Rgb,
    pub(super) opacity: f64,
    pub(super) line: LineStyle,
    pub(super) width: f64,
    pub(super) marker: Option<Marker>,
    pub(super) diameter: f64,
}

impl Look {
    fn of(series: &Series, index: usize) -> Look {
        const STYLES: [LineStyle; 4] =
            [LineStyle::Solid, LineStyle::Dashed, LineStyle::DashDot, LineStyle::Dotted];
        let points = matches!(series.shape, Shape::Scatter { .. } | Shape::Cloud { .. });
        let opacity = match series.shape {
            Shape::Band { .. } => 0.25,
            Shape::Histogram { .. } => 0.75,
            Shape::Contour { .. } => 0.6,
            _ => 1.0,
        };
        let (color, line, width) = match series.shape {
            Shape::Contour { .. } => (INK, LineStyle::Solid, 0.8),
            Shape::Wireframe { .. } => (CYCLE[0], LineStyle::Solid, 0.6),
            Shape::Arrows { .. } => (CYCLE[index % CYCLE.len()], LineStyle::Solid, 0.9),
            _ => (CYCLE[index % CYCLE.len()], STYLES[index % STYLES.len()], 1.5),
        };
        let set = series.width > 0.0;
        Look {
            color: series.color.unwrap_or(color),
            opacity: series.opacity.unwrap_or(opacity),
            line: series.line.unwrap_or(line),
            width: if set && !points { series.width } else { width },
            marker: series.marker,
            diameter: if set && points { series.width } else { 4.5 },
        }
    }

    /// The colour with its opacity.
    pub(super) fn paint(&self) -> RGBAColor {
        self.color.with_opacity(self.opacity)
    }
}

/// Strokes a line in the look's style.
pub(super) fn stroke(canvas: &Canvas, points: &[Point], look: &Look) {
    if look.line == LineStyle::Hidden || points.len() < 2 {
        return;
    }
    let dashes: Vec<f64> = look.line.dashes().iter().map(|d| d * look.width).collect();
    canvas.line(points, look.paint(), look.width, &dashes);
}

/// Draws a marker.
pub(super) fn mark(
    canvas: &Canvas,
    marker: Marker,
    (x, y): Point,
    size: f64,
    color: RGBAColor,
) {
    let r = size / 2.0;
    match marker {
        Marker::Cross => {
            canvas.line(&[(x - r, y - r), (x + r, y + r)], color, 1.2, &[]);
            canvas.line(&[(x - r, y + r), (x + r, y - r)], color, 1.2, &[]);
        }
        Marker::Circle => canvas.disc((x, y), r, color),
        Marker::Square => {
            canvas.fill(
                Rect { left: x - r, top: y - r, right: x + r, bottom: y + r },
                color,
            );
        }
        Marker::Triangle => {
            canvas.polygon(&[(x, y - r), (x + r, y + r), (x - r, y + r)], color)
        }
    }
}

/// How the series of a figure look.
pub(super) fn looks(figure: &Figure) -> Vec<Look> {
    let mut index = 0;
    let look = |series: &Series| {
        let look = Look::of(series, index);
        index += usize::from(!series.shape.is_ground());
        look
    };
    figure.series.iter().map(look).collect()
}

/// Draws the titles of frames in the middle of the top; gives the height they take.
pub(super) fn draw_titles(frames: &[&Figure], canvas: &Canvas, area: Rect) -> f64 {
    let first = frames[0];
    if frames.iter().all(|figure| figure.title.is_empty()) {
        return 0.0;
    }
    let same = frames.iter().all(|figure| figure.title == first.title);
    let at = ((area.left + area.right) / 2.0, area.top + 8.0);
    canvas.frames(if same { 1 } else { frames.len() }, |index| {
        canvas.text(&frames[index].title, at, TITLE, HPos::Center, VPos::Center);
    });
    16.0
}

/// How many series all frames begin with.
pub(super) fn shared(frames: &[&Figure]) -> usize {
    let [first, rest @ ..] = frames else { return 0 };
    if rest.is_empty() {
        return 0;
    }
    let same = |i: &usize| rest.iter().all(|f| f.series.get(*i) == first.series.get(*i));
    (0..first.series.len()).take_while(same).count()
}

fn horizontal(shape: &Shape) -> Vec<f64> {
    match shape {
        Shape::Line { x, .. } | Shape::Scatter { x, .. } | Shape::Band { x, .. } => {
            x.clone()
        }
        Shape::Bars { heights } => vec![-0.5, heights.len() as f64 - 0.5],
        Shape::Histogram { values, .. } => values.clone(),
        Shape::Heatmap { matrix, .. } => vec![-0.5, matrix.columns as f64 - 0.5],
        Shape::Picture { .. } => Vec::new(),
        Shape::Contour { heights, .. } | Shape::Bands { heights, .. } => {
            heights.x.clone()
        }
        Shape::Arrows { x, u, scale, .. } => ends(x, u, *scale),
        _ => space::places(shape).iter().map(|place| place[0]).collect(),
    }
}

/// Tails of arrows, and their tips if their length is given.
fn ends(tails: &[f64], ways: &[f64], scale: Option<f64>) -> Vec<f64> {
    let tips = tails.iter().zip(ways).filter_map(|(x, u)| Some(x + u * scale?));
    tails.iter().copied().chain(tips).collect()
}

fn vertical(figure: &Figure, shape: &Shape) -> Vec<f64> {
    match shape {
        Shape::Line { y, .. } | Shape::Scatter { y, .. } => y.clone(),
        Shape::Band { low, high, .. } => low.iter().chain(high).copied().collect(),
        Shape::Bars { heights } => heights.iter().copied().chain([0.0]).collect(),
        Shape::Histogram { values, bins } => {
            let counts = counts(values, *bins, bins_range(figure));
            counts.into_iter().map(|n| n as f64).chain([0.0]).collect()
        }
        Shape::Heatmap { matrix, .. } => vec![matrix.rows as f64 - 0.5, -0.5],
        Shape::Picture { .. } => Vec::new(),
        Shape::Contour { heights, .. } | Shape::Bands { heights, .. } => {
            heights.y.clone()
        }
        Shape::Arrows { y, v, scale, .. } => ends(y, v, *scale),
        _ => space::places(shape).iter().map(|place| place[1]).collect(),
    }
}

fn bins_range(figure: &Figure) -> [f64; 2] {
    let all = figure.series.iter().filter_map(|s| match &s.shape {
        Shape::Histogram { values, .. } => Some(values.clone()),
        _ => None,
    });
    finite_range(&all.flatten().collect::<Vec<_>>())
}

fn counts(values: &[f64], bins: usize, [low, high]: [f64; 2]) -> Vec<usize> {
    let mut counts = vec![0; bins];
    for v in values.iter().filter(|v| v.is_finite()) {
        let bin = ((v - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    counts
}

fn range(values: Vec<f64>, limits: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let some = values.iter().any(|v| v.is_finite());
    limits.or_else(|| some.then(|| finite_range(&values).into()))
}

/// From where to where the data, or the limits, reach horizontally.
pub(super) fn x_range(figure: &Figure) -> Option<(f64, f64)> {
    let values = figure.series.iter().flat_map(|s| horizontal(&s.shape)).collect();
    range(values, figure.x_limits)
}

/// The same vertically.
pub(super) fn y_range(figure: &Figure) -> Option<(f64, f64)> {
    let values = figure.series.iter().flat_map(|s| vertical(figure, &s.shape)).collect();
    range(values, figure.y_limits)
}

/// The same upright in space.
pub(super) fn z_range(figure: &Figure) -> Option<(f64, f64)> {
    let places = figure.series.iter().flat_map(|s| space::places(&s.shape));
    let values: Vec<f64> = places.map(|place| place[2]).collect();
    if values.is_empty() { None } else { range(values, figure.z_limits) }
}

/// Draws axes, series and legend of frames into `area`; the frames share the axes.
pub(super) fn draw(frames: &[&Figure], canvas: &Canvas, mut area: Rect) {
    area.top += draw_titles(frames, canvas, area);
    let last = frames[frames.len() - 1];
    let all = match frames {
        [one] => Cow::Borrowed(*one),
        _ => Cow::Owned(Figure {
            series: frames.iter().flat_map(|figure| figure.series.clone()).collect(),
            ..last.clone()
        }),
    };
    if all.is_spatial() {
        return space::draw(frames, &all, canvas, area);
    }
    if all.series.iter().any(|s| matches!(s.shape, Shape::Picture { .. })) {
        let same = shared(frames) == last.series.len();
        return canvas.frames(if same { 1 } else { frames.len() }, |index| {
            draw_picture(frames[index], canvas, area);
        });
    }

    let looks = looks(last);
    let entries = legend::entries(last, &looks);
    let frame = Frame::new(&all, area);
    let obstacles: Vec<Point> = (frames.iter())
        .flat_map(|figure| figure.series.iter().map(|s| (*figure, &s.shape)))
        .flat_map(|(figure, shape)| frame.obstacles(figure, shape))
        .collect();
    let place = legend::free_place(&entries, frame.plot, &obstacles);
    let frame = match place {
        None if !entries.is_empty() => {
            let width = frame.plot.width();
            let height = legend::height_above(&entries, width);
            legend::draw_above(canvas, &entries, frame.plot.left, area.top + 2.0, width);
            Frame::new(&all, Rect { top: area.top + height, ..area })
        }
        _ => frame,
    };
    frame.draw_axes(&all, canvas);
    let shared = shared(frames);
    frame.draw_series(last, canvas, 0..shared);
    canvas.frames(frames.len(), |index| {
        let figure = frames[index];
        frame.draw_series(figure, canvas, shared..figure.series.len());
    });
    if let Some(place) = place.filter(|_| !entries.is_empty()) {
        legend::draw_column(canvas, &entries, place);
    }
}

fn draw_picture(figure: &Figure, canvas: &Canvas, area: Rect) {
    for series in &figure.series {
        if let Shape::Picture { rows, columns, pixels } = &series.shape {
            let place = fitted(inset(area, 3.0), *rows, *columns);
            return canvas.picture(place, &picture::encode(*rows, *columns, pixels));
        }
    }
}

/// The scale of colours beside a plot.
enum Bar {
    /// From the least to the greatest number.
    Smooth([f64; 2], Colormap),
    /// A step from level to level.
    Bands(Vec<f64>, Colormap),
}

/// The rectangle of the data, and the two axes along it.
struct Frame {
    plot: Rect,
    x: Axis,
    y: Axis,
    x_ticks: Ticks,
    y_ticks: Ticks,
    bar: Option<Bar>,
    /// The numbers that histograms count in bins.
    bins: [f64; 2],
    /// The heights that contours without chosen levels go through.
    heights: [f64; 2],
}

impl Frame {
    /// Finds room for ticks and labels around the data.
    fn new(figure: &Figure, area: Rect) -> Frame {
        let has = |test: fn(&Shape) -> bool| figure.series.iter().any(|s| test(&s.shape));
        let stands = has(|s| matches!(s, Shape::Bars { .. } | Shape::Histogram { .. }));
        let heatmap = figure.series.iter().find_map(|s| match &s.shape {
            Shape::Heatmap { matrix, colors } => Some((matrix, *colors)),
            _ => None,
        });
        let ground = has(|s| matches!(s, Shape::Contour { .. } | Shape::Bands { .. }));
        let margin = match heatmap.is_some() || ground {
            true => 0.0,
            false if has(|s| matches!(s, Shape::Arrows { scale: None, .. })) => 0.08,
            false => 0.04,
        };

        let data = figure.series.iter().flat_map(|s| horizontal(&s.shape));
        let x = Axis::new(
            figure.x_scale,
            figure.x_limits,
            data,
            if stands { 0.02 } else { margin },
        );
        let y_values: Vec<f64> =
            figure.series.iter().flat_map(|s| vertical(figure, &s.shape)).collect();
        let [low, high] = finite_range(&y_values);
        let y_limits = match (figure.y_limits, &heatmap) {
            (Some(limits), _) => Some(limits),
            (None, Some((matrix, _))) => Some((matrix.rows as f64 - 0.5, -0.5)),
            // Bars stand on their zero.
            (None, None) if stands && figure.y_scale == Scale::Linear && low >= 0.0 => {
                Some((0.0, high * 1.05))
            }
            (None, None) => None,
        };
        let y = Axis::new(figure.y_scale, y_limits, y_values.into_iter(), margin);
        let heights = figure.series.iter().flat_map(|s| match &s.shape {
            Shape::Contour { heights, levels: Levels::About(_), .. }
            | Shape::Bands { heights, levels: Levels::About(_), .. } => &heights.z[..],
            _ => &[],
        });
        let heights =
            contour::height_range(figure, &heights.copied().collect::<Vec<_>>());
        let bar = figure.series.iter().find_map(|s| match &s.shape {
            Shape::Heatmap { colors, .. } => {
                let values = figure.series.iter().flat_map(|s| match &s.shape {
                    Shape::Heatmap { matrix, .. } => &matrix.values[..],
                    _ => &[],
                });
                let values: Vec<f64> = values.copied().collect();
                Some(Bar::Smooth(contour::height_range(figure, &values), *colors))
            }
            Shape::Bands { levels, colors, .. } => {
                Some(Bar::Bands(levels.of_bands(figure.z_scale, heights), *colors))
            }
            _ => None,
        });

        let below = if figure.x_label.is_empty() { 0.0 } else { 13.0 };
        let beside = if figure.y_label.is_empty() { 0.0 } else { 13.0 };
        let mut plot = Rect {
            left: area.left + beside + 8.0,
            top: area.top + 6.0,
            right: area.right - 8.0,
            bottom: area.bottom - below - 15.0,
        };
        let mut y_ticks = y.ticks(ticks_upwards(plot.height()));
        if y_ticks.factor.is_some() {
            plot.top += 8.0;
        }
        let widest =
            y_ticks.ticks.iter().map(|t| text_width(&t.label)).fold(0.0, f64::max);
        plot.left += widest * TICK + 2.0;
        if bar.is_some() {
            plot.right -= if figure.z_label.is_empty() { 40.0 } else { 51.0 };
        }
        if figure.equal {
            plot = proportioned(plot, y.length() / x.length());
            y_ticks = y.ticks(ticks_upwards(plot.height()));
        }
        // As many ticks as their labels, with some air, have room.
        let mut count = ((plot.width() / 26.0) as usize).clamp(2, 10);
        let mut x_ticks = x.ticks(count);
        while count > 2 && crowded(&x_ticks, plot.width()) {
            count -= 1;
            x_ticks = x.ticks(count);
        }
        if x_ticks.factor.is_some() {
            plot.right -= 4.0;
        }
        if let Some((matrix, _)) = heatmap {
            // Square cells, unless that would leave a thin line.
            let ratio = matrix.rows as f64 / matrix.columns as f64;
            if (0.2..=5.0).contains(&ratio) {
                plot = fitted(plot, matrix.rows, matrix.columns);
            }
        }
        let bins = bins_range(figure);
        Frame { plot, x, y, x_ticks, y_ticks, bar, bins, heights }
    }

    /// Where a pair of numbers lies; NaN if nowhere.
    fn point(&self, x: f64, y: f64) -> Point {
        (
            self.plot.left + self.x.place(x) * self.plot.width(),
            self.plot.bottom - self.y.place(y) * self.plot.height(),
        )
    }

    fn draw_axes(&self, figure: &Figure, canvas: &Canvas) {
        const TICK_LENGTH: f64 = 3.0;
        let Rect { left, top, right, bottom } = self.plot;
        let ink = INK.with_opacity(1.0);
        let grid = INK.with_opacity(0.12);
        let grounds = |s: &Series| matches!(s.shape, Shape::Contour { .. });
        let shows_grid = self.bar.is_none() && !figure.series.iter().any(grounds);

        if let Some(names) = &figure.categories {
            let step = self.plot.width() / names.len() as f64;
            let widest = names.iter().map(|n| text_width(n)).fold(0.0, f64::max) * TICK;
            let every = ((widest + 4.0) / step).ceil().max(1.0) as usize;
            for (index, name) in names.iter().enumerate().step_by(every) {
                let (x, _) = self.point(index as f64, 0.0);
                canvas.text(name, (x, bottom + 5.0), TICK, HPos::Center, VPos::Top);
            }
        } else {
            for tick in &self.x_ticks.ticks {
                let x = left + tick.at * (right - left);
                if shows_grid {
                    canvas.line(&[(x, top), (x, bottom)], grid, 0.5, &[]);
                }
                canvas.line(&[(x, bottom), (x, bottom + TICK_LENGTH)], ink, 0.6, &[]);
                canvas.text(
                    &tick.label,
                    (x, bottom + 5.0),
                    TICK,
                    HPos::Center,
                    VPos::Top,
                );
            }
            for at in &self.x_ticks.minor {
                let x = left + at * (right - left);
                canvas.line(&[(x, bottom), (x, bottom + 2.0)], ink, 0.4, &[]);
            }
            if let Some(factor) = &self.x_ticks.factor {
                canvas.text(factor, (right, bottom + 15.0), TICK, HPos::Right, VPos::Top);
            }
        }
        for tick in &self.y_ticks.ticks {
            let y = bottom - tick.at * (bottom - top);
            if shows_grid {
                canvas.line(&[(left, y), (right, y)], grid, 0.5, &[]);
            }
            canvas.line(&[(left - TICK_LENGTH, y), (left, y)], ink, 0.6, &[]);
            canvas.text(&tick.label, (left - 5.0, y), TICK, HPos::Right, VPos::Center);
        }
        for at in &self.y_ticks.minor {
            let y = bottom - at * (bottom - top);
            canvas.line(&[(left - 2.0, y), (left, y)], ink, 0.4, &[]);
        }
        if let Some(factor) = &self.y_ticks.factor {
            canvas.text(factor, (left, top - 4.0), TICK, HPos::Left, VPos::Bottom);
        }
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], ink, 0.8, &[]);

        let (center, middle) = ((left + right) / 2.0, (top + bottom) / 2.0);
        if !figure.x_label.is_empty() {
            let at = (center, bottom + 16.0);
            canvas.text(&figure.x_label, at, LABEL, HPos::Center, VPos::Top);
        }
        if !figure.y_label.is_empty() {
            let widest = self
                .y_ticks
                .ticks
                .iter()
                .map(|t| text_width(&t.label))
                .fold(0.0, f64::max);
            let at = (left - widest * TICK - 14.0, middle);
            canvas.text_upwards(&figure.y_label, at, LABEL);
        }
        if let Some(bar) = &self.bar {
            self.draw_color_bar(figure, canvas, bar);
        }
    }

    fn draw_color_bar(&self, figure: &Figure, canvas: &Canvas, bar: &Bar) {
        const STEPS: usize = 120;
        let Rect { top, right, bottom, .. } = self.plot;
        let place = Rect { left: right + 8.0, top, right: right + 16.0, bottom };
        let count = ticks_upwards(bottom - top);
        let ticks = match bar {
            Bar::Smooth([low, high], colors) => {
                let pixels = (0..STEPS).rev().map(|i| i as f64 / (STEPS - 1) as f64);
                let pixels: Vec<Rgb> = pixels.map(|t| colors.at(t)).collect();
                canvas.picture(place, &picture::encode(STEPS, 1, &pixels));
                let limits = Some((*low, *high));
                Axis::new(figure.z_scale, limits, [].into_iter(), 0.0).ticks(count)
            }
            Bar::Bands(levels, colors) => {
                let bands = levels.len() - 1;
                let height =
                    |step: usize| bottom - (bottom - top) * step as f64 / bands as f64;
                for band in 0..bands {
                    // Down to the foot, so that no gap shows between steps.
                    let step =
                        Rect { top: height(band + 1), bottom: height(band), ..place };
                    let below = if band == 0 { 0.0 } else { 0.5 };
                    let step = Rect { bottom: step.bottom + below, ..step };
                    let color = contour::band_color(*colors, band, bands);
                    canvas.fill(step, color.fixed().with_opacity(1.0));
                }
                let every = levels.len().div_ceil(((bottom - top) / 12.0) as usize + 1);
                let named = levels.iter().enumerate().step_by(every.max(1));
                let ticks = named.map(|(step, &level)| Tick {
                    at: step as f64 / bands as f64,
                    label: contour::level_name(level),
                });
                Ticks { ticks: ticks.collect(), minor: Vec::new(), factor: None }
            }
        };
        for tick in &ticks.ticks {
            let y = bottom - tick.at * (bottom - top);
            let ends = [(place.right, y), (place.right + 2.5, y)];
            canvas.line(&ends, INK.with_opacity(1.0), 0.6, &[]);
            let at = (place.right + 4.5, y);
            canvas.text(&tick.label, at, TICK, HPos::Left, VPos::Center);
        }
        if let Some(factor) = &ticks.factor {
            canvas.text(factor, (place.left, top - 2.0), TICK, HPos::Left, VPos::Bottom);
        }
        if !figure.z_label.is_empty() {
            let labels = ticks.ticks.iter().map(|t| text_width(&t.label));
            let widest = labels.fold(0.0, f64::max) * TICK;
            let at = (place.right + 4.5 + widest + 8.0, (top + bottom) / 2.0);
            canvas.text_upwards(&figure.z_label, at, LABEL);
        }
    }

    fn draw_series(&self, figure: &Figure, canvas: &Canvas, which: Range<usize>) {
        let looks = looks(figure);
        for (series, look) in figure.series[which.clone()].iter().zip(&looks[which]) {
            self.draw_one(figure, canvas, series, look);
        }
    }

    fn draw_one(&self, figure: &Figure, canvas: &Canvas, series: &Series, look: &Look) {
        let shape = &series.shape;
        match shape {
            Shape::Line { x, y } => {
                let points: Vec<Point> =
                    x.iter().zip(y).map(|(&x, &y)| self.point(x, y)).collect();
                for piece in clipped(&points, self.plot) {
                    stroke(canvas, &piece, look);
                }
                if let Some(marker) = look.marker {
                    self.draw_markers(canvas, marker, &points, look);
                }
            }
            Shape::Scatter { x, y } => {
                let points: Vec<Point> =
                    x.iter().zip(y).map(|(&x, &y)| self.point(x, y)).collect();
                self.draw_markers(
                    canvas,
                    look.marker.unwrap_or(Marker::Circle),
                    &points,
                    look,
                );
            }
            Shape::Band { x, low, high } => {
                let edge = |ys: &[f64]| -> Vec<Point> {
                    x.iter().zip(ys).map(|(&x, &y)| self.point(x, y)).collect()
                };
                let (low, high) = (edge(low), edge(high));
                for piece in (0..x.len()).collect::<Vec<_>>().chunk_by(|&a, &b| {
                    [low[a], high[a], low[b], high[b]].iter().all(|p| is_finite(*p))
                }) {
                    let there = piece.iter().map(|&i| low[i]);
                    let back = piece.iter().rev().map(|&i| high[i]);
                    let corners: Vec<Point> =
                        there.chain(back).map(|p| clamped(p, self.plot)).collect();
                    if piece.len() > 1 {
                        canvas.polygon(&corners, look.paint());
                    }
                }
            }
            Shape::Bars { .. } | Shape::Histogram { .. } => {
                for bar in self.bars(figure, shape) {
                    canvas.fill(bar, look.paint());
                }
            }
            Shape::Heatmap { matrix, colors } => {
                let Some(Bar::Smooth(range, _)) = self.bar else { return };
                let place = |v: &f64| contour::height_place(figure.z_scale, range, *v);
                let pixels: Vec<Rgb> =
                    matrix.values.iter().map(|v| colors.at(place(v))).collect();
                canvas.picture(
                    self.plot,
                    &picture::encode(matrix.rows, matrix.columns, &pixels),
                );
            }
            Shape::Contour { heights, levels, colors } => {
                let grounds = |s: &Series| !s.shape.is_ground();
                let others = figure.series.iter().filter(|s| grounds(s));
                let obstacles = others.flat_map(|s| self.obstacles(figure, &s.shape));
                let levels = levels.of_lines(figure.z_scale, self.heights);
                contour::Lines {
                    heights,
                    scale: figure.z_scale,
                    levels: &levels,
                    colors: *colors,
                    look: *look,
                    styled: series.line.is_some(),
                    obstacles: self.bar.is_none().then(|| obstacles.collect()),
                }
                .draw(canvas, |x, y| self.point(x, y), self.plot);
            }
            Shape::Bands { heights, levels, colors } => {
                let levels = levels.of_bands(figure.z_scale, self.heights);
                let place = |x, y| self.point(x, y);
                let scale = figure.z_scale;
                contour::draw_bands(
                    canvas, heights, scale, &levels, *colors, place, self.plot,
                );
            }
            Shape::Arrows { .. } => {
                for (tail, tip) in self.arrows(shape) {
                    if self.plot.contains(tail) {
                        quiver::draw(canvas, tail, tip, look);
                    }
                }
            }
            _ => {}
        }
    }

    /// Tails and tips of arrows; none for other shapes.
    fn arrows(&self, shape: &Shape) -> Vec<(Point, Point)> {
        let Shape::Arrows { x, y, u, v, scale } = shape else { return Vec::new() };
        let room = self.plot.width() * self.plot.height();
        quiver::arrows([x, y, u, v], *scale, room, |x, y| self.point(x, y))
    }

    fn draw_markers(
        &self,
        canvas: &Canvas,
        marker: Marker,
        points: &[Point],
        look: &Look,
    ) {
        for &point in points.iter().filter(|p| self.plot.contains(**p)) {
            mark(canvas, marker, point, look.diameter, look.paint());
        }
    }

    /// The rectangles of a set of bars or of a histogram; sets share the room of a category.
    fn bars(&self, figure: &Figure, shape: &Shape) -> Vec<Rect> {
        let is_same = |other: &Shape| {
            std::mem::discriminant(other) == std::mem::discriminant(shape)
        };
        let sets: Vec<&Shape> =
            figure.series.iter().map(|s| &s.shape).filter(|s| is_same(s)).collect();
        let set = sets.iter().position(|s| std::ptr::eq(*s, shape)).unwrap_or(0) as f64;
        let part = 1.0 / sets.len() as f64;
        let bar = |left: f64, right: f64, height: f64| {
            let width = right - left;
            let (from, to) =
                (left + width * part * set, left + width * part * (set + 1.0));
            let zero = match figure.y_scale {
                Scale::Linear => self.point(from, 0.0).1,
                Scale::Log => self.plot.bottom,
            };
            let (a, b) = ((self.point(from, height)), (self.point(to, height).0, zero));
            let (a, b) = (clamped(a, self.plot), clamped(b, self.plot));
            Rect { left: a.0, right: b.0, top: a.1.min(b.1), bottom: a.1.max(b.1) }
        };
        let all: Vec<Rect> = match shape {
            Shape::Bars { heights } => (heights.iter().enumerate())
                .map(|(i, &height)| bar(i as f64 - 0.4, i as f64 + 0.4, height))
                .collect(),
            Shape::Histogram { values, bins } => {
                let [low, high] = self.bins;
                let width = (high - low) / *bins as f64;
                (counts(values, *bins, [low, high]).into_iter().enumerate())
                    .map(|(i, count)| {
                        let left = low + width * i as f64;
                        bar(left + 0.04 * width, left + 0.96 * width, count as f64)
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        all.into_iter().filter(|r| r.height() > 0.0 && r.width() > 0.0).collect()
    }

    /// Places that a legend must not cover.
    fn obstacles(&self, figure: &Figure, shape: &Shape) -> Vec<Point> {
        let points = |x: &[f64], y: &[f64]| -> Vec<Point> {
            x.iter().zip(y).map(|(&x, &y)| self.point(x, y)).collect()
        };
        match shape {
            Shape::Line { x, y } => dense(&points(x, y)),
            Shape::Scatter { x, y } => points(x, y),
            Shape::Band { x, low, high } => {
                let mut all = dense(&points(x, low));
                all.extend(dense(&points(x, high)));
                all
            }
            Shape::Bars { .. } | Shape::Histogram { .. } => {
                let lines = self.bars(figure, shape).into_iter().flat_map(|r| {
                    let middle = (r.left + r.right) / 2.0;
                    [r.left, middle, r.right].map(|x| dense(&[(x, r.top), (x, r.bottom)]))
                });
                lines.flatten().collect()
            }
            Shape::Contour { heights, levels, .. } => {
                let levels = levels.of_lines(figure.z_scale, self.heights);
                let place = |x, y| self.point(x, y);
                let lines =
                    contour::paths(heights, figure.z_scale, &levels, place, self.plot);
                lines.iter().flat_map(|(_, line)| dense(line)).collect()
            }
            // Text on many colours cannot be read.
            Shape::Bands { .. } => {
                let Rect { left, top, right, bottom } = self.plot;
                let rows = (0..).map(|i| top + f64::from(i) * 8.0);
                let rows = rows.take_while(|&y| y <= bottom);
                rows.flat_map(|y| dense(&[(left, y), (right, y)])).collect()
            }
            Shape::Heatmap { .. } => {
                let Rect { left, top, right, bottom } = self.plot;
                dense(&[(left, top), (right, bottom), (left, bottom), (right, top)])
            }
            Shape::Arrows { .. } => {
                let arrows = self.arrows(shape).into_iter();
                arrows.flat_map(|(tail, tip)| dense(&[tail, tip])).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How many ticks stand one above the other, with more than a line's height between.
fn ticks_upwards(height: f64) -> usize {
    ((height / 18.0) as usize).clamp(2, 8)
}

fn crowded(ticks: &Ticks, width: f64) -> bool {
    let ends = |t: &Tick| {
        let half = text_width(&t.label) * TICK / 2.0;
        (t.at * width - half, t.at * width + half)
    };
    ticks.ticks.windows(2).any(|pair| {
        let (a, b) = (ends(&pair[0]), ends(&pair[1]));
        a.1.min(b.1) + 5.0 > a.0.max(b.0)
    })
}

fn inset(rect: Rect, by: f64) -> Rect {
    Rect {
        left: rect.left + by,
        top: rect.top + by,
        right: rect.right - by,
        bottom: rect.bottom - by,
    }
}

/// The largest rectangle of `rows` × `columns` squares in the middle of `room`.
fn fitted(room: Rect, rows: usize, columns: usize) -> Rect {
    proportioned(room, rows as f64 / columns as f64)
}

/// The largest rectangle in the middle of `room` that is so many times as high as wide.
fn proportioned(room: Rect, ratio: f64) -> Rect {
    let width = room.width().min(room.height() / ratio);
    let height = width * ratio;
    let left = room.left + (room.width() - width) / 2.0;
    let top = room.top + (room.height() - height) / 2.0;
    Rect { left, top, right: left + width, bottom: top + height }
}

fn is_finite((x, y): Point) -> bool {
    x.is_finite() && y.is_finite()
}

fn clamped((x, y): Point, plot: Rect) -> Point {
    (x.clamp(plot.left, plot.right), y.clamp(plot.top, plot.bottom))
}

/// The points with others between them, so that no gap is wider than a letter.
pub(super) fn dense(points: &[Point]) -> Vec<Point> {
    const STEP: f64 = 4.0;
    let mut all: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let [(ax, ay), (bx, by)] = [pair[0], pair[1]];
        let length = (bx - ax).hypot(by - ay);
        if !length.is_finite() {
            all.push(pair[1]);
            continue;
        }
        let steps = (length / STEP).ceil().clamp(1.0, 1000.0) as usize;
        all.extend((1..=steps).map(|i| {
            let t = i as f64 / steps as f64;
            (ax + (bx - ax) * t, ay + (by - ay) * t)
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Rect = Rect { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };

    #[test]
    fn the_last_bin_holds_the_greatest_value() {
        assert_eq!(counts(&[0.0, 0.5, 1.0, f64::NAN], 2, [0.0, 1.0]), [1, 2]);
    }

    #[test]
    fn squares_stay_square() {
        let place = fitted(Rect { right: 40.0, ..PLOT }, 2, 4);
        assert_eq!((place.width(), place.height(), place.left), (20.0, 10.0, 10.0));
    }
}
