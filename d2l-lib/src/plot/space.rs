//! Axes in space: surfaces, wireframes, curves and points in a box seen from outside.

use plotters::style::text_anchor::{HPos, VPos};

use super::axes::{Axis, Scale, Ticks};
use super::canvas::{Canvas, Point, Rect};
use super::clip::clip;
use super::color::INK;
use super::panel::{self, LABEL, Look, TICK};
use super::series::{Marker, Shape};
use super::surface::{self, Facet};
use super::svg::text_width;
use super::values::{Heights, Matrix, Values};
use super::{Figure, legend};

/// A place in the box: 0 to 1 along each axis.
pub(super) type Place = [f64; 3];

/// Height of the box, as part of its sides.
const HEIGHT: f64 = 0.75;
/// Where the reader stands unless told: degrees around and above.
const VIEW: (f64, f64) = (-60.0, 30.0);

/// Plots in space.
impl Figure {
    /// Draws a surface over the plane, coloured by height: `z` has a row for each of `y` and a
    /// column for each of `x`.
    ///
    /// [`colormap`](Figure::colormap) sets the colours, [`color`](Figure::color) a single one.
    ///
    /// # Panics
    /// If `z` has not a row for each of `y` and a column for each of `x`, two at least; or if
    /// the figure has flat plots.
    ///
    /// ```
    /// # use d2l::prelude::*;
    /// let x = Tensor::linspace(-1.0, 1.0, 21);
    /// let saddle = x.pow(2.0) - x.pow(2.0).reshape([21, 1]);
    /// let figure = Figure::new().surface(&x, &x, &saddle).z_label("height");
    /// assert!(figure.to_svg().contains(">height<"));
    /// ```
    #[track_caller]
    pub fn surface(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        z: impl Into<Matrix>,
    ) -> Figure {
        let heights = Heights::new("surface", x.into(), y.into(), z.into());
        self.with("surface", Shape::Surface { heights, colors: Default::default() })
    }

    /// Draws a surface as a net of lines that one can see through, paler towards the back.
    ///
    /// # Panics
    /// As [`surface`](Figure::surface).
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let roof = Figure::new().wireframe([0, 1], [0, 1, 2], [[0, 0], [1, 1], [0, 0]]);
    /// assert!(roof.to_string().contains("wireframe, 3 × 2 heights from 0 to 1"));
    /// ```
    #[track_caller]
    pub fn wireframe(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        z: impl Into<Matrix>,
    ) -> Figure {
        let heights = Heights::new("wireframe", x.into(), y.into(), z.into());
        self.with("wireframe", Shape::Wireframe { heights })
    }

    /// Draws a line through points in space; where a surface hides it, it is pale.
    ///
    /// # Panics
    /// If the lengths differ, or if the figure has flat plots.
    ///
    /// ```
    /// # use d2l::prelude::*;
    /// let t = Tensor::linspace(0.0, 20.0, 200);
    /// let helix = Figure::new().line_3d(t.cos(), t.sin(), &t).label("helix");
    /// assert!(helix.to_svg().contains(">helix<"));
    /// ```
    #[track_caller]
    pub fn line_3d(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        z: impl Into<Values>,
    ) -> Figure {
        let [x, y, z] = coordinates("line_3d", [x.into(), y.into(), z.into()]);
        self.with("line_3d", Shape::Curve { x, y, z })
    }

    /// Draws separate points in space; those behind a surface are pale.
    ///
    /// # Panics
    /// If the lengths differ, or if the figure has flat plots.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let points = Figure::new().scatter_3d([0, 1], [0, 1], [0, 1]);
    /// assert_eq!(points.to_svg().matches("<circle").count(), 2);
    /// ```
    #[track_caller]
    pub fn scatter_3d(
        self,
        x: impl Into<Values>,
        y: impl Into<Values>,
        z: impl Into<Values>,
    ) -> Figure {
        let [x, y, z] = coordinates("scatter_3d", [x.into(), y.into(), z.into()]);
        self.with("scatter_3d", Shape::Cloud { x, y, z })
    }

    /// Looks at a plot in space from `azimuth` degrees around, counted from the direction of x
    /// to that of y, and `elevation` degrees above; from −60 and 30 unless set.
    ///
    /// # Panics
    /// If the elevation is not between 0 and 90 degrees.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let from = |azimuth| Figure::new().scatter_3d([0], [0], [0]).view(azimuth, 20.0);
    /// assert_ne!(from(30.0).to_svg(), from(120.0).to_svg());
    /// ```
    #[track_caller]
    pub fn view(mut self, azimuth: f64, elevation: f64) -> Figure {
        let fine = azimuth.is_finite() && (0.0..=90.0).contains(&elevation);
        assert!(fine, "Figure::view: no view from {azimuth}° around and {elevation}° up");
        self.view = Some((azimuth, elevation));
        self
    }
}

/// The coordinates of points, as many of each.
#[track_caller]
fn coordinates(op: &str, axes: [Values; 3]) -> [Vec<f64>; 3] {
    let [x, y, z] = axes.map(|values| values.0);
    super::check_lengths(op, &x, &y);
    super::check_lengths(op, &x, &z);
    [x, y, z]
}

/// The box of the data on paper.
pub(super) struct Space {
    axes: [Axis; 3],
    ticks: [Ticks; 3],
    /// Directions of the reader's right hand, of what is up on paper, and towards the reader.
    right: Place,
    up: Place,
    toward: Place,
    /// Where the middle of the box is, and how long a side of it.
    middle: Point,
    side: f64,
}

impl Space {
    /// Finds room for the box and its labels in `area`.
    pub(super) fn new(figure: &Figure, area: Rect) -> Space {
        let (azimuth, elevation) = figure.view.unwrap_or(VIEW);
        let ((sa, ca), (se, ce)) =
            (azimuth.to_radians().sin_cos(), elevation.to_radians().sin_cos());
        let places: Vec<Place> =
            figure.series.iter().flat_map(|s| places(&s.shape)).collect();
        let surfaces =
            |s: &Shape| matches!(s, Shape::Surface { .. } | Shape::Wireframe { .. });
        let margin =
            if figure.series.iter().any(|s| surfaces(&s.shape)) { 0.02 } else { 0.04 };
        let axis = |i: usize, scale: Scale, limits| {
            Axis::new(scale, limits, places.iter().map(|place| place[i]), margin)
        };
        let axes = [
            axis(0, figure.x_scale, figure.x_limits),
            axis(1, figure.y_scale, figure.y_limits),
            axis(2, figure.z_scale, figure.z_limits),
        ];
        let mut space = Space {
            axes,
            ticks: axes.map(|axis| axis.ticks(5)),
            right: [-sa, ca, 0.0],
            up: [-se * ca, -se * sa, ce],
            toward: [ce * ca, ce * sa, se],
            middle: (0.0, 0.0),
            side: 1.0,
        };
        // The size of the box follows from the room that labels leave, and the number of ticks
        // from the size of the box.
        for _ in 0..2 {
            let around = space.room_for_labels(figure);
            let corners = space.corners();
            let span = |pick: fn(&Point) -> f64| {
                let all = corners.iter().map(pick);
                let low = all.clone().fold(f64::INFINITY, f64::min);
                (low, all.fold(f64::NEG_INFINITY, f64::max))
            };
            let ((left, right), (top, bottom)) = (span(|p| p.0), span(|p| p.1));
            let width = area.width() - around.left - around.right;
            let height = area.height() - around.top - around.bottom;
            let factor = (width / (right - left)).min(height / (bottom - top)).max(1e-3);
            space.side *= factor;
            let center = |low: f64, high: f64| (low + high) / 2.0;
            let free = (
                center(area.left + around.left, area.right - around.right),
                center(area.top + around.top, area.bottom - around.bottom),
            );
            space.middle = (
                free.0 - factor * (center(left, right) - space.middle.0),
                free.1 - factor * (center(top, bottom) - space.middle.1),
            );
            for i in 0..3 {
                space.ticks[i] = space.roomy_ticks(i);
            }
        }
        space
    }

    /// As many ticks of an axis as their labels have room along the edge.
    fn roomy_ticks(&self, axis: usize) -> Ticks {
        const MOST: usize = 7;
        let (from, to) = self.edge(axis);
        let (dx, dy) = ((to.0 - from.0).abs(), (to.1 - from.1).abs());
        let fits = |ticks: &Ticks| {
            ticks.ticks.windows(2).all(|pair| {
                let part = pair[1].at - pair[0].at;
                let width = text_width(&pair[0].label).max(text_width(&pair[1].label));
                part * dx >= width * TICK + 4.0 || part * dy >= TICK + 4.0
            })
        };
        let counts = (2..=MOST).rev().map(|count| self.axes[axis].ticks(count));
        counts.into_iter().find(fits).unwrap_or_else(|| self.axes[axis].ticks(1))
    }

    /// How much room tick labels and names take on each side.
    fn room_for_labels(&self, figure: &Figure) -> Rect {
        let named = |label: &str| if label.is_empty() { 0.0 } else { 13.0 };
        let beside = self.widest(2) + 10.0 + named(&figure.z_label);
        let below = named(&figure.x_label).max(named(&figure.y_label)) + 17.0;
        let widest = self.widest(0).max(self.widest(1));
        Rect {
            left: beside.max(widest),
            top: 8.0,
            right: widest.max(8.0) + 4.0,
            bottom: below,
        }
    }

    fn widest(&self, axis: usize) -> f64 {
        let labels = self.ticks[axis].ticks.iter().map(|tick| text_width(&tick.label));
        labels.fold(0.0, f64::max) * TICK
    }

    /// Where in the box numbers lie; NaN if nowhere.
    pub(super) fn place(&self, [x, y, z]: [f64; 3]) -> Place {
        [self.axes[0].place(x), self.axes[1].place(y), self.axes[2].place(z)]
    }

    /// Where on paper a place is, and how near to the reader.
    pub(super) fn project(&self, [x, y, z]: Place) -> (Point, f64) {
        let from_middle = [x - 0.5, y - 0.5, HEIGHT * (z - 0.5)];
        let along = |direction: Place| -> f64 {
            from_middle.iter().zip(direction).map(|(a, b)| a * b).sum()
        };
        let at = (
            self.middle.0 + self.side * along(self.right),
            self.middle.1 - self.side * along(self.up),
        );
        (at, along(self.toward))
    }

    /// The direction towards the reader, in the box.
    pub(super) fn toward(&self) -> Place {
        self.toward
    }

    fn corners(&self) -> [Point; 8] {
        std::array::from_fn(|i| {
            self.project([i & 1, i >> 1 & 1, i >> 2].map(|bit| bit as f64)).0
        })
    }

    /// The side of the box next to the reader along x and y: 0 or 1.
    fn near(&self) -> (f64, f64) {
        (f64::from(self.toward[0] > 1e-9), f64::from(self.toward[1] > 1e-9))
    }

    /// The ends of the edge in the box that bears the ticks of an axis.
    fn edge_places(&self, axis: usize) -> (Place, Place) {
        let (x, y) = self.near();
        match axis {
            0 => ([0.0, y, 0.0], [1.0, y, 0.0]),
            1 => ([x, 0.0, 0.0], [x, 1.0, 0.0]),
            _ => {
                // Of the two upright edges at the sides, the left one.
                let sides = [[x, 1.0 - y, 0.0], [1.0 - x, y, 0.0]];
                let left = |place: &Place| self.project(*place).0.0;
                let [a, b] = sides;
                let [x, y, _] = if left(&a) <= left(&b) { a } else { b };
                ([x, y, 0.0], [x, y, 1.0])
            }
        }
    }

    fn edge(&self, axis: usize) -> (Point, Point) {
        let (from, to) = self.edge_places(axis);
        (self.project(from).0, self.project(to).0)
    }

    /// Draws the three walls behind the data, with ticks and names.
    pub(super) fn draw_axes(&self, figure: &Figure, canvas: &Canvas) {
        let (x, y) = self.near();
        let (back_x, back_y) = (1.0 - x, 1.0 - y);
        let line = |places: &[Place], opacity: f64, width: f64| {
            let points: Vec<Point> = places.iter().map(|&p| self.project(p).0).collect();
            canvas.line(&points, INK.with_opacity(opacity), width, &[]);
        };
        for (axis, ticks) in self.ticks.iter().enumerate() {
            for t in ticks.ticks.iter().map(|tick| tick.at) {
                let wall = match axis {
                    0 => [[t, y, 0.0], [t, back_y, 0.0], [t, back_y, 1.0]],
                    1 => [[x, t, 0.0], [back_x, t, 0.0], [back_x, t, 1.0]],
                    _ => [[x, back_y, t], [back_x, back_y, t], [back_x, y, t]],
                };
                line(&wall, 0.12, 0.5);
            }
        }
        line(&[[x, back_y, 0.0], [back_x, back_y, 0.0], [back_x, y, 0.0]], 0.25, 0.5);
        let top = [[x, back_y, 1.0], [back_x, back_y, 1.0], [back_x, y, 1.0]];
        line(&top, 0.25, 0.5);
        for [a, b] in [[x, back_y], [back_x, back_y], [back_x, y]] {
            line(&[[a, b, 0.0], [a, b, 1.0]], 0.25, 0.5);
        }
        let names = [&figure.x_label, &figure.y_label, &figure.z_label];
        let mut taken = Vec::new();
        for (axis, name) in names.into_iter().enumerate() {
            self.draw_axis(canvas, axis, name, &mut taken);
        }
    }

    /// Draws an axis; tick labels keep away from those that have `taken` their room before.
    fn draw_axis(&self, canvas: &Canvas, axis: usize, name: &str, taken: &mut Vec<Rect>) {
        const TICK_LENGTH: f64 = 3.0;
        const SHORT: f64 = 14.0;
        let ink = INK.with_opacity(1.0);
        let (from, to) = self.edge(axis);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length < SHORT {
            return;
        }
        canvas.line(&[from, to], ink, 0.8, &[]);
        // Away from the middle of the box.
        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        let (mut ox, mut oy) = (-dy / length, dx / length);
        let away = (middle.0 - self.middle.0, middle.1 - self.middle.1);
        if ox * away.0 + oy * away.1 < 0.0 {
            (ox, oy) = (-ox, -oy);
        }
        let at =
            |t: f64, out: f64| (from.0 + t * dx + out * ox, from.1 + t * dy + out * oy);
        let ticks = &self.ticks[axis];
        for tick in &ticks.ticks {
            canvas.line(&[at(tick.at, 0.0), at(tick.at, TICK_LENGTH)], ink, 0.6, &[]);
            let half = (text_width(&tick.label) * TICK / 2.0, TICK / 2.0);
            let (x, y) = at(tick.at, 5.0 + ox.abs() * half.0 + oy.abs() * half.1);
            let label = Rect {
                left: x - half.0 - 1.0,
                right: x + half.0 + 1.0,
                top: y - half.1,
                bottom: y + half.1,
            };
            if !taken.iter().any(|other| label.meets(other)) {
                canvas.text(&tick.label, (x, y), TICK, HPos::Center, VPos::Center);
                taken.push(label);
            }
        }
        let name = match &ticks.factor {
            None => name.to_string(),
            Some(factor) => format!("{name} {factor}"),
        };
        if name.trim().is_empty() {
            return;
        }
        // Along the axis, with its head up; names as short as `x` stand upright.
        const SHORT_NAME: usize = 4;
        let (mut degrees, mut half) = (dy.atan2(dx).to_degrees(), LABEL / 2.0);
        if degrees >= 90.0 - 1e-9 {
            degrees -= 180.0;
        } else if degrees < -90.0 - 1e-9 {
            degrees += 180.0;
        }
        if name.trim().chars().count() <= SHORT_NAME {
            degrees = 0.0;
            half = half.max(ox.abs() * text_width(name.trim()) * LABEL / 2.0);
        }
        let out = 7.0 + ox.abs() * self.widest(axis) + oy.abs() * TICK + half;
        let anchor = (HPos::Center, VPos::Center);
        canvas.text_turned(name.trim(), at(0.5, out), LABEL, anchor, degrees);
    }

    /// Draws curves or points, with those parts pale that `facets` hide.
    pub(super) fn draw_series(
        &self,
        canvas: &Canvas,
        shape: &Shape,
        look: &Look,
        facets: &[Facet],
    ) {
        let mut pale = *look;
        pale.opacity *= 0.35;
        match shape {
            Shape::Wireframe { heights } => {
                for (line, opacity) in surface::net(self, heights) {
                    let color = look.color.with_opacity(look.opacity * opacity);
                    canvas.line(&line, color, look.width, &[]);
                }
            }
            Shape::Curve { x, y, z } => {
                for (line, hidden) in self.seen(&self.all(x, y, z), facets) {
                    panel::stroke(canvas, &line, if hidden { &pale } else { look });
                }
                if let Some(marker) = look.marker {
                    self.draw_points(canvas, marker, &self.all(x, y, z), look, facets);
                }
            }
            Shape::Cloud { x, y, z } => {
                let marker = look.marker.unwrap_or(Marker::Circle);
                self.draw_points(canvas, marker, &self.all(x, y, z), look, facets);
            }
            _ => {}
        }
    }

    fn draw_points(
        &self,
        canvas: &Canvas,
        marker: Marker,
        places: &[Place],
        look: &Look,
        facets: &[Facet],
    ) {
        let inside =
            |place: &&Place| place.iter().all(|v| (-1e-9..=1.0 + 1e-9).contains(v));
        let mut points: Vec<(Point, f64)> =
            places.iter().filter(inside).map(|&place| self.project(place)).collect();
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        for point in points {
            let seen = if surface::hides(facets, point) { 0.35 } else { 1.0 };
            let color = look.color.with_opacity(look.opacity * seen);
            panel::mark(canvas, marker, point.0, look.diameter, color);
        }
    }

    fn all(&self, x: &[f64], y: &[f64], z: &[f64]) -> Vec<Place> {
        (0..x.len()).map(|i| self.place([x[i], y[i], z[i]])).collect()
    }

    /// The parts of a line inside the box, cut where they go behind a facet or come out.
    fn seen(&self, places: &[Place], facets: &[Facet]) -> Vec<(Vec<Point>, bool)> {
        /// How far apart in points it is asked whether the line is hidden.
        const STEP: f64 = 1.5;
        let mut parts: Vec<(Vec<Point>, bool)> = Vec::new();
        for pair in places.windows(2) {
            let Some((a, b)) = clip(pair[0], pair[1], [0.0; 3], [1.0; 3]) else {
                continue;
            };
            let ((from, near), (to, far)) = (self.project(a), self.project(b));
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let steps = match facets {
                [] => 1,
                _ => (length / STEP).ceil().clamp(1.0, 500.0) as usize,
            };
            let at = |t: f64| {
                let point = (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1));
                (point, near + t * (far - near))
            };
            for step in 0..steps {
                let [start, middle, end] =
                    [0.0, 0.5, 1.0].map(|half| at((step as f64 + half) / steps as f64));
                let hidden = surface::hides(facets, middle);
                let joins = |(line, was): &&mut (Vec<Point>, bool)| {
                    *was == hidden
                        && line.last().is_some_and(|&p| {
                            (p.0 - start.0.0).hypot(p.1 - start.0.1) < 1e-9
                        })
                };
                match parts.last_mut().filter(joins) {
                    Some((line, _)) => line.push(end.0),
                    None => parts.push((vec![start.0, end.0], hidden)),
                }
            }
        }
        for (line, _) in &mut parts {
            *line = super::isoline::simplified(line);
        }
        parts
    }

    /// Places that a legend must not cover.
    pub(super) fn obstacles(&self, shape: &Shape) -> Vec<Point> {
        let points: Vec<Point> =
            places(shape).into_iter().map(|p| self.project(self.place(p)).0).collect();
        match shape {
            Shape::Curve { .. } => panel::dense(&points),
            _ => points,
        }
    }

    /// The outline of the box, which a legend should not cover either.
    pub(super) fn outline(&self) -> Vec<Point> {
        let ends = |axis| -> [Point; 2] { self.edge(axis).into() };
        (0..3).flat_map(|axis| panel::dense(&ends(axis))).collect()
    }
}

/// All places of a shape, in its own numbers.
pub(super) fn places(shape: &Shape) -> Vec<[f64; 3]> {
    match shape {
        Shape::Surface { heights, .. } | Shape::Wireframe { heights } => heights.nodes(),
        Shape::Curve { x, y, z } | Shape::Cloud { x, y, z } => {
            (0..x.len()).map(|i| [x[i], y[i], z[i]]).collect()
        }
        _ => Vec::new(),
    }
}

/// Draws axes, series and legend of frames in space into `area`.
pub(super) fn draw(frames: &[&Figure], all: &Figure, canvas: &Canvas, area: Rect) {
    let last = frames[frames.len() - 1];
    let space = Space::new(all, area);
    let looks = panel::looks(last);
    let entries = legend::entries(last, &looks);
    let mut obstacles = space.outline();
    for figure in frames {
        obstacles.extend(figure.series.iter().flat_map(|s| space.obstacles(&s.shape)));
    }
    let room = Rect { left: area.left + 8.0, right: area.right - 8.0, ..area };
    let place = legend::free_place(&entries, room, &obstacles);
    let above = place.is_none() && !entries.is_empty();
    let rest = match above {
        true => {
            Rect { top: area.top + legend::height_above(&entries, room.width()), ..area }
        }
        false => area,
    };
    // Frames that are seen from elsewhere have axes of their own.
    let turns = frames.iter().any(|figure| figure.view != last.view);
    let space_of =
        |figure: &Figure| Space::new(&Figure { view: figure.view, ..all.clone() }, rest);
    let space = space_of(last);
    let is_surface = |shape: &Shape| matches!(shape, Shape::Surface { .. });
    let mut shared = if turns { 0 } else { panel::shared(frames) };
    if frames.iter().any(|f| f.series[shared..].iter().any(|s| is_surface(&s.shape))) {
        // Surfaces that meet are drawn together, from back to front.
        shared = 0;
    }
    if !turns {
        space.draw_axes(all, canvas);
    }
    let facets_of = |space: &Space, figure: &Figure, series: std::ops::Range<usize>| {
        let looks = panel::looks(figure);
        let surfaces = figure.series[series.clone()].iter().zip(&looks[series]);
        let facets = surfaces
            .flat_map(|(s, look)| surface::facets(space, &s.shape, look, s.color));
        surface::sorted(facets.collect())
    };
    let draw_series = |space: &Space,
                       figure: &Figure,
                       series: std::ops::Range<usize>,
                       facets: &[Facet]| {
        let looks = panel::looks(figure);
        for (s, look) in figure.series[series.clone()].iter().zip(&looks[series]) {
            space.draw_series(canvas, &s.shape, look, facets);
        }
    };
    let still = facets_of(&space, last, 0..shared);
    surface::draw(canvas, &still);
    draw_series(&space, last, 0..shared, &still);
    canvas.frames(frames.len(), |index| {
        let figure = frames[index];
        let own;
        let space = if turns {
            own = space_of(figure);
            own.draw_axes(all, canvas);
            &own
        } else {
            &space
        };
        let mut facets = facets_of(space, figure, shared..figure.series.len());
        surface::draw(canvas, &facets);
        facets.extend(still.iter().cloned());
        draw_series(space, figure, shared..figure.series.len(), &facets);
    });
    match place {
        Some(place) => legend::draw_column(canvas, &entries, place),
        None => {
            legend::draw_above(canvas, &entries, room.left, area.top + 2.0, room.width());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { left: 0.0, top: 0.0, right: 250.0, bottom: 180.0 };

    fn cube(azimuth: f64, elevation: f64) -> Space {
        let corners = Figure::new().scatter_3d([0, 1], [0, 1], [0, 1]);
        Space::new(&corners.view(azimuth, elevation), AREA)
    }

    #[test]
    fn the_reader_stands_where_the_view_says() {
        // Looking along −y from the front: x to the right, z up, small y near.
        let space = cube(-90.0, 0.0);
        let (middle, _) = space.project([0.5; 3]);
        let (at, _) = space.project([1.0, 0.5, 1.0]);
        assert!(at.0 > middle.0 + 1.0 && at.1 < middle.1 - 1.0);
        let depth = |place| space.project(place).1;
        assert!(depth([0.5, 0.0, 0.5]) > depth([0.5, 1.0, 0.5]));
        // From above, y is up on paper and z is depth.
        let space = cube(-90.0, 90.0);
        let (high, low) =
            (space.project([0.5, 0.5, 1.0]), space.project([0.5, 0.5, 0.0]));
        assert!((high.0.0 - low.0.0).abs() < 1e-9 && (high.0.1 - low.0.1).abs() < 1e-9);
        assert!(high.1 > low.1);
        assert!(space.project([0.5, 1.0, 0.5]).0.1 < middle.1);
    }

    #[test]
    fn the_box_fits_from_everywhere() {
        for azimuth in (-180..180).step_by(15) {
            for elevation in [0.0, 20.0, 45.0, 90.0] {
                let space = cube(f64::from(azimuth), elevation);
                for corner in space.corners() {
                    assert!(AREA.contains(corner), "{azimuth} {elevation} {corner:?}");
                }
            }
        }
    }
}
