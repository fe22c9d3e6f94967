//! What a figure draws: shapes with their styles.

use super::color::{Colormap, Rgb};
use super::contour::Levels;
use super::short;
use super::values::{Heights, Matrix};

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
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) shape: Shape,
    pub(super) label: Option<String>,
    pub(super) color: Option<Rgb>,
    pub(super) line: Option<LineStyle>,
    pub(super) marker: Option<Marker>,
    pub(super) width: f64,
    pub(super) opacity: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Line { x: Vec<f64>, y: Vec<f64> },
    Scatter { x: Vec<f64>, y: Vec<f64> },
    Band { x: Vec<f64>, low: Vec<f64>, high: Vec<f64> },
    Bars { heights: Vec<f64> },
    Histogram { values: Vec<f64>, bins: usize },
    Heatmap { matrix: Matrix, colors: Colormap },
    Picture { rows: usize, columns: usize, pixels: Vec<Rgb> },
    Contour { heights: Heights, levels: Levels, colors: Option<Colormap> },
    Bands { heights: Heights, levels: Levels, colors: Colormap },
    Arrows { x: Vec<f64>, y: Vec<f64>, u: Vec<f64>, v: Vec<f64>, scale: Option<f64> },
    Surface { heights: Heights, colors: Colormap },
    Wireframe { heights: Heights },
    Curve { x: Vec<f64>, y: Vec<f64>, z: Vec<f64> },
    Cloud { x: Vec<f64>, y: Vec<f64>, z: Vec<f64> },
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
            Shape::Contour { .. } => "contour lines",
            Shape::Bands { .. } => "filled contours",
            Shape::Arrows { .. } => "arrows",
            Shape::Surface { .. } => "surface",
            Shape::Wireframe { .. } => "wireframe",
            Shape::Curve { .. } => "line in space",
            Shape::Cloud { .. } => "points in space",
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
            Shape::Contour { heights, .. }
            | Shape::Bands { heights, .. }
            | Shape::Surface { heights, .. }
            | Shape::Wireframe { heights } => extremes(heights),
            Shape::Arrows { u, v, .. } => {
                let lengths = u.iter().zip(v).map(|(u, v)| u.hypot(*v));
                let longest = lengths.filter(|l| l.is_finite()).fold(0.0, f64::max);
                format!("{} arrows, the longest {}", u.len(), short(longest))
            }
            Shape::Curve { x, .. } | Shape::Cloud { x, .. } => {
                format!("{} points", x.len())
            }
        }
    }

    /// Whether it stands in a box in space rather than on flat axes.
    pub(super) fn is_spatial(&self) -> bool {
        matches!(
            self,
            Shape::Surface { .. }
                | Shape::Wireframe { .. }
                | Shape::Curve { .. }
                | Shape::Cloud { .. }
        )
    }

    /// Whether it is a ground that others are drawn on, which takes no colour from the cycle.
    pub(super) fn is_ground(&self) -> bool {
        matches!(
            self,
            Shape::Contour { .. }
                | Shape::Bands { .. }
                | Shape::Surface { .. }
                | Shape::Wireframe { .. }
        )
    }
}

/// `3 × 2 heights from 0 to 1, lowest at (0, 0), highest at (1, 0)`
fn extremes(heights: &Heights) -> String {
    let size = format!("{} × {} heights", heights.y.len(), heights.x.len());
    let nodes = heights.nodes().into_iter().filter(|node| node[2].is_finite());
    let by_height = |a: &[f64; 3], b: &[f64; 3]| a[2].total_cmp(&b[2]);
    let (Some(low), Some(high)) =
        (nodes.clone().min_by(by_height), nodes.max_by(by_height))
    else {
        return size;
    };
    let place = |[x, y, _]: [f64; 3]| format!("({}, {})", short(x), short(y));
    format!(
        "{size} from {} to {}, lowest at {}, highest at {}",
        short(low[2]),
        short(high[2]),
        place(low),
        place(high)
    )
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
