//! What a figure draws: shapes with their styles.

use super::color::{Colormap, Rgb};
use super::values::Matrix;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStyle {
    /// `———`
    Solid,
    /// `– – –`
    Dashed,
    /// `– · –`
    DashDot,
    /// `· · ·`
    Dotted,
    /// No line: markers only.
    Hidden,
}

/// The sign at each point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle, point up.
    Triangle,
    /// A diagonal cross.
    Cross,
}

/// One thing drawn, with its style where the caller set one.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) shape: Shape,
    pub(super) label: Option<String>,
    pub(super) color: Option<Rgb>,
    pub(super) line: Option<LineStyle>,
    pub(super) marker: Option<Marker>,
    pub(super) width: f64,
    pub(super) opacity: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line { x: Vec<f64>, y: Vec<f64> },
    Scatter { x: Vec<f64>, y: Vec<f64> },
    Band { x: Vec<f64>, low: Vec<f64>, high: Vec<f64> },
    Bars { heights: Vec<f64> },
    Histogram { values: Vec<f64>, bins: usize },
    Heatmap { matrix: Matrix, colors: Colormap },
    Picture { rows: usize, columns: usize, pixels: Vec<Rgb> },
}

impl Shape {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Shape::Line { .. } => "line",
            Shape::Scatter { .. } => "scatter",
            Shape::Band { .. } => "band",
            Shape::Bars { .. } => "bars",
            Shape::Histogram { .. } => "histogram",
            Shape::Heatmap { .. } => "heat map",
            Shape::Picture { .. } => "picture",
        }
    }

    /// `200 points`
    pub(super) fn extent(&self) -> String {
        match self {
            Shape::Line { x, .. } | Shape::Scatter { x, .. } | Shape::Band { x, .. } => {
                format!("{} points", x.len())
            }
            Shape::Bars { heights } => format!("{} bars", heights.len()),
            Shape::Histogram { values, .. } => format!("{} values", values.len()),
            Shape::Heatmap { matrix, .. } => {
                format!("{} × {}", matrix.rows, matrix.columns)
            }
            Shape::Picture { rows, columns, .. } => format!("{rows} × {columns} pixels"),
        }
    }
}

impl LineStyle {
    /// Lengths of dashes and gaps, in line widths.
    pub(super) fn dashes(self) -> &'static [f64] {
        match self {
            LineStyle::Solid | LineStyle::Hidden => &[],
            LineStyle::Dashed => &[4.0, 2.0],
            LineStyle::DashDot => &[5.5, 1.8, 1.2, 1.8],
            LineStyle::Dotted => &[1.2, 1.6],
        }
    }
}

/// Reads matplotlib's short notation, such as `-`, `m--`, `g-.`, `r:`, `bo`, `k^-`.
pub(super) fn parse_format(
    format: &str,
) -> Option<(Option<Rgb>, Option<LineStyle>, Option<Marker>)> {
    let (mut color, mut line, mut marker) = (None, None, None);
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        let styles = [
            ("--", LineStyle::Dashed),
            ("-.", LineStyle::DashDot),
            ("-", LineStyle::Solid),
            (":", LineStyle::Dotted),
        ];
        if let Some((sign, style)) = styles.into_iter().find(|(s, _)| rest.starts_with(s))
        {
            line = Some(style);
            rest = &rest[sign.len()..];
            continue;
        }
        match c {
            'o' | '.' => marker = Some(Marker::Circle),
            's' => marker = Some(Marker::Square),
            '^' => marker = Some(Marker::Triangle),
            'x' => marker = Some(Marker::Cross),
            _ => color = Some(Rgb::parse(c.encode_utf8(&mut [0; 4]))?),
        }
        rest = &rest[c.len_utf8()..];
    }
    if line.is_none() && marker.is_some() {
        line = Some(LineStyle::Hidden);
    }
    Some((color, line, marker))
}
