//! The legend: what it says and where it disturbs least.

use plotters::style::text_anchor::{HPos, VPos};

use super::Figure;
use super::canvas::{Canvas, Point, Rect};
use super::panel::{self, Look};
use super::quiver;
use super::series::{Marker, Shape};
use super::svg::text_width;

/// Font size, height of a line, and length of the sample before a label, in points.
const SIZE: f64 = 8.0;
const LINE: f64 = 11.5;
const SAMPLE: f64 = 20.0;
const GAP: f64 = 4.0;
/// Free room around the legend.
const PADDING: f64 = 5.0;

/// A label and how its series looks.
pub(super) struct Entry<'a> {
    pub(super) label: &'a str,
    pub(super) shape: &'a Shape,
    pub(super) look: Look,
}

impl Entry<'_> {
    fn width(&self) -> f64 {
        SAMPLE + GAP + text_width(self.label) * SIZE
    }

    fn draw(&self, canvas: &Canvas, left: f64, middle: f64) {
        let color = self.look.paint();
        let (right, center) = (left + SAMPLE, left + SAMPLE / 2.0);
        let patch =
            Rect { left, top: middle - 3.0, right: right - 4.0, bottom: middle + 3.0 };
        match self.shape {
            Shape::Line { .. }
            | Shape::Curve { .. }
            | Shape::Contour { .. }
            | Shape::Wireframe { .. } => {
                panel::stroke(canvas, &[(left, middle), (right, middle)], &self.look);
                if let Some(marker) = self.look.marker {
                    panel::mark(
                        canvas,
                        marker,
                        (center, middle),
                        self.look.diameter,
                        color,
                    );
                }
            }
            Shape::Arrows { .. } => {
                quiver::draw(canvas, (left, middle), (right, middle), &self.look);
            }
            Shape::Scatter { .. } | Shape::Cloud { .. } => {
                let marker = self.look.marker.unwrap_or(Marker::Circle);
                panel::mark(canvas, marker, (center, middle), self.look.diameter, color);
            }
            _ => canvas.fill(patch, color),
        }
        let at = (right + GAP, middle);
        canvas.text(self.label, at, SIZE, HPos::Left, VPos::Center);
    }
}

/// The legend's entries: whatever has a label.
pub(super) fn entries<'a>(figure: &'a Figure, looks: &[Look]) -> Vec<Entry<'a>> {
    (figure.series.iter().zip(looks))
        .filter_map(|(s, &look)| {
            Some(Entry { label: s.label.as_deref()?, shape: &s.shape, look })
        })
        .collect()
}

/// The free place inside `plot` where a legend as a column would cover none of `obstacles`.
pub(super) fn free_place(
    entries: &[Entry],
    plot: Rect,
    obstacles: &[Point],
) -> Option<Rect> {
    let width = entries.iter().map(Entry::width).fold(0.0, f64::max) + 2.0 * PADDING;
    let height = LINE * entries.len() as f64 + 2.0 * PADDING;
    if width > plot.width() || height > plot.height() {
        return None;
    }
    let (right, bottom) = (plot.right - width, plot.bottom - height);
    let (center, middle) = ((plot.left + right) / 2.0, (plot.top + bottom) / 2.0);
    [
        (right, plot.top),
        (plot.left, plot.top),
        (right, bottom),
        (plot.left, bottom),
        (right, middle),
        (plot.left, middle),
        (center, plot.top),
        (center, bottom),
    ]
    .into_iter()
    .map(|(left, top)| Rect { left, top, right: left + width, bottom: top + height })
    .find(|place| !obstacles.iter().any(|&point| place.contains(point)))
}

/// Draws the legend as a column at a place found by [`free_place`].
pub(super) fn draw_column(canvas: &Canvas, entries: &[Entry], place: Rect) {
    for (row, entry) in entries.iter().enumerate() {
        let middle = place.top + PADDING + LINE * (row as f64 + 0.5);
        entry.draw(canvas, place.left + PADDING, middle);
    }
}

/// The entries in rows, each with the place of its left end.
fn rows<'a>(entries: &'a [Entry<'a>], width: f64) -> Vec<Vec<(f64, &'a Entry<'a>)>> {
    const BETWEEN: f64 = 12.0;
    let mut rows: Vec<Vec<(f64, &Entry)>> = Vec::new();
    let mut end = f64::INFINITY;
    for entry in entries {
        if end + BETWEEN + entry.width() > width {
            rows.push(Vec::new());
            end = -BETWEEN;
        }
        if let Some(row) = rows.last_mut() {
            row.push((end + BETWEEN, entry));
        }
        end += BETWEEN + entry.width();
    }
    rows
}

/// How much room a legend above a plot of this width needs.
pub(super) fn height_above(entries: &[Entry], width: f64) -> f64 {
    LINE * rows(entries, width).len() as f64 + 3.0
}

/// Draws the legend in rows, from `top` down.
pub(super) fn draw_above(
    canvas: &Canvas,
    entries: &[Entry],
    left: f64,
    top: f64,
    width: f64,
) {
    for (index, row) in rows(entries, width).into_iter().enumerate() {
        for (start, entry) in row {
            entry.draw(canvas, left + start, top + LINE * (index as f64 + 0.5));
        }
    }
}
