//! Plots as SVG: lines, points, bars, histograms, bands, heat maps, pictures, contours, arrows,
//! surfaces in space, and animations of them.
//!
//! ```
//! use d2l::plot::{Figure, Values};
//!
//! let x: Vec<f64> = (0..100).map(|i| 0.03 * i as f64).collect();
//! let f: Vec<f64> = x.iter().map(|x| 3.0 * x * x - 4.0 * x).collect();
//! let tangent: Vec<f64> = x.iter().map(|x| 2.0 * x - 3.0).collect();
//! let figure = Figure::new()
//!     .x_label("x")
//!     .y_label("f(x)")
//!     .line(&x, &f)
//!     .label("f(x)")
//!     .line(&x, &tangent)
//!     .label("Tangent line (x = 1)");
//! assert!(figure.to_svg().starts_with("<svg"));
//! ```
//!
//! Functions of two variables are shown by contours, arrows, or a surface in space, and what
//! changes by an [`Animation`]:
//!
//! ```
//! use d2l::plot::{Animation, Figure};
//! use d2l::prelude::*;
//!
//! let x = Tensor::linspace(-2.0, 2.0, 41);
//! let bowl = x.pow(2.0) + x.pow(2.0).reshape([41, 1]) * 4.0;
//! let mut path = vec![(1.8, 1.5)];
//! for step in 0..10 {
//!     let (x, y) = path[step];
//!     path.push((x - 0.2 * 2.0 * x, y - 0.2 * 8.0 * y));
//! }
//! let (px, py): (Vec<f64>, Vec<f64>) = path.iter().copied().unzip();
//!
//! let ground = || Figure::new().contour(&x, &x, &bowl).equal_axes();
//! let frames = (1..=11).map(|n| ground().line(&px[..n], &py[..n]).marker(Marker::Circle));
//! assert!(Animation::new(frames).to_svg().contains("@keyframes"));
//!
//! let pz: Vec<f64> = path.iter().map(|(x, y)| x * x + 4.0 * y * y).collect();
//! let space = Figure::new().surface(&x, &x, &bowl).line_3d(&px, &py, pz);
//! assert!(space.to_string().contains("surface, 41 × 41 heights"));
//! ```
//!
//! A figure holds its own copy of the numbers and draws when asked, so a training loop may
//! add to it and show it again as often as it likes. Colours, line styles, ticks and the
//! place of the legend have defaults that a printed book would choose; text and axes take
//! the colour and the font of the page around them.

mod animation;
mod axes;
mod canvas;
mod clip;
mod color;
mod contour;
mod isoline;
mod legend;
mod panel;
mod picture;
mod quiver;
mod series;
mod space;
mod surface;
mod svg;
mod tag;
mod values;

use std::fmt;

pub use animation::Animation;
pub use axes::Scale;
pub use color::Colormap;
pub use series::{LineStyle, Marker};
pub use values::{Matrix, Values};

use canvas::{Canvas, Rect};
use color::Rgb;
use series::{Series, Shape};
use svg::Timing;

use crate::display::{self, Show};

/// Width and height of a figure in inches, unless set: one column of a book.
const SIZE: (f64, f64) = (3.5, 2.5);
const POINTS_PER_INCH: f64 = 72.0;

/// A plot, or a grid of plots.
///
/// Methods that add something to draw ([`line`](Figure::line), [`bar`](Figure::bar), …) are
/// followed by those that style it: [`label`](Figure::label), [`color`](Figure::color), ….
#[derive(Clone, Default)]
pub struct Figure {
    title: String,
    x_label: String,
    y_label: String,
    z_label: String,
    x_limits: Option<(f64, f64)>,
    y_limits: Option<(f64, f64)>,
    z_limits: Option<(f64, f64)>,
    x_scale: Scale,
    y_scale: Scale,
    z_scale: Scale,
    equal: bool,
    view: Option<(f64, f64)>,
    size: Option<(f64, f64)>,
    categories: Option<Vec<String>>,
    series: Vec<Series>,
    panels: Option<Panels>,
}

/// The figures of a grid, row after row.
#[derive(Clone)]
struct Panels {
    rows: usize,
    columns: usize,
    figures: Vec<Figure>,
}

/// Axes, labels and size.
impl Figure {
    /// Empty axes, 3.5 × 2.5 inches.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().to_svg().contains("<text"), "ticks from 0 to 1");
    /// ```
    pub fn new() -> Figure {
        Figure::default()
    }

    /// Several figures in rows and columns, filled row after row.
    ///
    /// Unless [`size`](Figure::size) is set, each has the room of a figure of its own.
    ///
    /// # Panics
    /// If there are no cells, or more figures than cells.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let panels = ["left", "right"].map(|name| Figure::new().title(name));
    /// assert!(Figure::grid(1, 2, panels).to_svg().contains(">right<"));
    /// ```
    #[track_caller]
    pub fn grid(
        rows: usize,
        columns: usize,
        figures: impl IntoIterator<Item = Figure>,
    ) -> Figure {
        Figure::of_panels(rows, columns, figures.into_iter().collect())
    }

    #[track_caller]
    fn of_panels(rows: usize, columns: usize, figures: Vec<Figure>) -> Figure {
        assert!(
            rows * columns > 0 && figures.len() <= rows * columns,
            "Figure::grid: {} figures do not fit into {rows} × {columns}",
            figures.len()
        );
        Figure { panels: Some(Panels { rows, columns, figures }), ..Figure::default() }
    }

    /// Writes a title above.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().title("Loss").to_svg().contains(">Loss<"));
    /// ```
    pub fn title(mut self, title: &str) -> Figure {
        self.title = title.to_string();
        self
    }

    /// Names the horizontal axis.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().x_label("epoch").to_svg().contains(">epoch<"));
    /// ```
    pub fn x_label(mut self, label: &str) -> Figure {
        self.x_label = label.to_string();
        self
    }

    /// Names the vertical axis.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().y_label("loss").to_svg().contains(">loss<"));
    /// ```
    pub fn y_label(mut self, label: &str) -> Figure {
        self.y_label = label.to_string();
        self
    }

    /// Names the heights: the upright axis in space, or the scale of colours beside a flat plot.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().heatmap([[0, 1], [2, 3]]).z_label("weight");
    /// assert!(figure.to_svg().contains(">weight<"));
    /// ```
    pub fn z_label(mut self, label: &str) -> Figure {
        self.z_label = label.to_string();
        self
    }

    /// Shows the horizontal axis from `low` to `high`.
    ///
    /// # Panics
    /// If the limits are equal or not finite.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().x_limits(0.0, 50.0).to_svg().contains(">50<"));
    /// ```
    #[track_caller]
    pub fn x_limits(mut self, low: f64, high: f64) -> Figure {
        check_limits("x_limits", low, high);
        self.x_limits = Some((low, high));
        self
    }

    /// Shows the vertical axis from `low` to `high`.
    ///
    /// # Panics
    /// If the limits are equal or not finite.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().y_limits(0.0, 50.0).to_svg().contains(">50<"));
    /// ```
    #[track_caller]
    pub fn y_limits(mut self, low: f64, high: f64) -> Figure {
        check_limits("y_limits", low, high);
        self.y_limits = Some((low, high));
        self
    }

    /// Shows heights, or the colours for them, from `low` to `high`.
    ///
    /// # Panics
    /// If the limits are equal or not finite.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let map = || Figure::new().heatmap([[0.0, 1.0], [2.0, 3.0]]);
    /// assert!(map().z_limits(-20.0, 20.0).to_svg().contains(">−20<"));
    /// ```
    #[track_caller]
    pub fn z_limits(mut self, low: f64, high: f64) -> Figure {
        check_limits("z_limits", low, high);
        self.z_limits = Some((low, high));
        self
    }

    /// Sets the scale of the horizontal axis.
    ///
    /// ```
    /// # use d2l::plot::{Figure, Scale};
    /// let figure = Figure::new().x_scale(Scale::Log).x_limits(1.0, 1e6);
    /// assert_eq!(figure.to_svg(), Figure::new().log_x().x_limits(1.0, 1e6).to_svg());
    /// ```
    pub fn x_scale(mut self, scale: Scale) -> Figure {
        self.x_scale = scale;
        self
    }

    /// Sets the scale of the vertical axis.
    ///
    /// ```
    /// # use d2l::plot::{Figure, Scale};
    /// let figure = Figure::new().y_scale(Scale::Log).y_limits(1.0, 1e6);
    /// assert_eq!(figure.to_svg(), Figure::new().log_y().y_limits(1.0, 1e6).to_svg());
    /// ```
    pub fn y_scale(mut self, scale: Scale) -> Figure {
        self.y_scale = scale;
        self
    }

    /// Sets the scale of heights and of the colours for them.
    ///
    /// ```
    /// # use d2l::plot::{Figure, Scale};
    /// let map = || Figure::new().heatmap([[1.0, 1e6]]);
    /// assert_eq!(map().z_scale(Scale::Log).to_svg(), map().log_z().to_svg());
    /// ```
    pub fn z_scale(mut self, scale: Scale) -> Figure {
        self.z_scale = scale;
        self
    }

    /// Makes the horizontal axis logarithmic.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let svg = Figure::new().line([1e-6, 1.0], [0.0, 1.0]).log_x().to_svg();
    /// assert!(svg.contains(">10<tspan"), "powers of ten");
    /// ```
    pub fn log_x(self) -> Figure {
        self.x_scale(Scale::Log)
    }

    /// Makes the vertical axis logarithmic.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let svg = Figure::new().line([0.0, 1.0], [1e-6, 1.0]).log_y().to_svg();
    /// assert!(svg.contains(">10<tspan"), "powers of ten");
    /// ```
    pub fn log_y(self) -> Figure {
        self.y_scale(Scale::Log)
    }

    /// Makes heights and the colours for them logarithmic.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let losses = Figure::new().heatmap([[1.0, 1e2], [1e4, 1e6]]).log_z();
    /// assert!(losses.to_svg().contains(">10<tspan"), "powers of ten");
    /// ```
    pub fn log_z(self) -> Figure {
        self.z_scale(Scale::Log)
    }

    /// Makes a unit as long upwards as across, so that circles are round.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let square = Figure::new().line([0, 1, 1, 0], [0, 0, 1, 1]);
    /// assert_ne!(square.clone().equal_axes().to_svg(), square.to_svg());
    /// ```
    pub fn equal_axes(mut self) -> Figure {
        self.equal = true;
        self
    }

    /// Sets width and height in inches.
    ///
    /// # Panics
    /// If one is under 0.2 or over 100 inches.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let svg = Figure::new().size(5.0, 2.0).to_svg();
    /// assert!(svg.contains("width=\"360pt\" height=\"144pt\""));
    /// ```
    #[track_caller]
    pub fn size(mut self, width: f64, height: f64) -> Figure {
        let fits = |inches: f64| (0.2..=100.0).contains(&inches);
        assert!(fits(width) && fits(height), "Figure::size: {width} × {height} inches");
        self.size = Some((width, height));
        self
    }
}

/// Things to draw.
impl Figure {
    /// Draws a line through points; a NaN leaves a gap.
    ///
    /// Later lines differ in colour and in dashes, so that they differ in grey print too.
    ///
    /// # Panics
    /// If `x` and `y` differ in length.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().line([0, 1, 2], [0, 1, 4]);
    /// assert_eq!(figure.to_string(), "Figure(line, 3 points)");
    /// ```
    #[track_caller]
    pub fn line(self, x: impl Into<Values>, y: impl Into<Values>) -> Figure {
        let (x, y) = (x.into().0, y.into().0);
        check_lengths("line", &x, &y);
        self.with("line", Shape::Line { x, y })
    }

    /// Draws separate points.
    ///
    /// # Panics
    /// If `x` and `y` differ in length.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().scatter([0, 1, 2], [0, 1, 4]);
    /// assert_eq!(figure.to_svg().matches("<circle").count(), 3);
    /// ```
    #[track_caller]
    pub fn scatter(self, x: impl Into<Values>, y: impl Into<Values>) -> Figure {
        let (x, y) = (x.into().0, y.into().0);
        check_lengths("scatter", &x, &y);
        self.with("scatter", Shape::Scatter { x, y })
    }

    /// Fills the band between `low` and `high`, for instance a range of errors.
    ///
    /// # Panics
    /// If the three differ in length.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().band([0, 1, 2], [0, 1, 2], [1, 3, 5]);
    /// assert!(figure.to_svg().contains("fill-opacity"));
    /// ```
    #[track_caller]
    pub fn band(
        self,
        x: impl Into<Values>,
        low: impl Into<Values>,
        high: impl Into<Values>,
    ) -> Figure {
        let (x, low, high) = (x.into().0, low.into().0, high.into().0);
        check_lengths("band", &x, &low);
        check_lengths("band", &x, &high);
        self.with("band", Shape::Band { x, low, high })
    }

    /// Draws a bar for each category; several sets of bars stand side by side.
    ///
    /// # Panics
    /// If there are not as many heights as categories.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().bar(&["cat", "dog"], [3, 5]).bar(&["cat", "dog"], [2, 4]);
    /// assert_eq!(figure.to_svg().matches("<rect").count(), 4);
    /// ```
    #[track_caller]
    pub fn bar<S: AsRef<str>>(
        self,
        categories: &[S],
        heights: impl Into<Values>,
    ) -> Figure {
        let categories = categories.iter().map(|c| c.as_ref().to_string()).collect();
        self.bars(categories, heights.into().0)
    }

    #[track_caller]
    fn bars(mut self, categories: Vec<String>, heights: Vec<f64>) -> Figure {
        assert!(
            categories.len() == heights.len(),
            "Figure::bar: {} categories but {} heights",
            categories.len(),
            heights.len()
        );
        self.categories = Some(categories);
        self.with("bar", Shape::Bars { heights })
    }

    /// Counts values in bins of equal width; several histograms share the bins.
    ///
    /// # Panics
    /// If `bins` is 0.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().histogram([1, 2, 2, 3, 3, 3], 3);
    /// assert_eq!(figure.to_svg().matches("<rect").count(), 3);
    /// ```
    #[track_caller]
    pub fn histogram(self, values: impl Into<Values>, bins: usize) -> Figure {
        assert!(bins > 0, "Figure::histogram: no bins");
        self.with("histogram", Shape::Histogram { values: values.into().0, bins })
    }

    /// Colours the cells of a matrix, first row on top, with a scale of colours beside.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().heatmap([[0, 1, 2], [3, 4, 5]]);
    /// assert_eq!(figure.to_string(), "Figure(heat map, 2 × 3)");
    /// ```
    pub fn heatmap(self, matrix: impl Into<Matrix>) -> Figure {
        let matrix = matrix.into();
        self.with("heatmap", Shape::Heatmap { matrix, colors: Colormap::default() })
    }

    /// Shows a matrix as a picture, from black (the least value) to white, without axes.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().image([[0, 1, 2], [3, 4, 5]]);
    /// assert_eq!(figure.to_string(), "Figure(picture, 2 × 3 pixels)");
    /// ```
    pub fn image(self, matrix: impl Into<Matrix>) -> Figure {
        self.gray(matrix.into())
    }

    fn gray(self, Matrix { rows, columns, values }: Matrix) -> Figure {
        let [low, high] = finite_range(&values);
        let gray = |v: &f64| Colormap::Grays.at((v - low) / (high - low));
        let pixels = values.iter().map(gray).collect();
        self.with("image", Shape::Picture { rows, columns, pixels })
    }

    /// Shows a picture of red, green and blue values between 0 and 1, pixel after pixel.
    ///
    /// # Panics
    /// If there are not `rows × columns × 3` values.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let red_and_blue = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    /// let figure = Figure::new().image_rgb(1, 2, red_and_blue);
    /// assert_eq!(figure.to_string(), "Figure(picture, 1 × 2 pixels)");
    /// ```
    #[track_caller]
    pub fn image_rgb(
        self,
        rows: usize,
        columns: usize,
        values: impl Into<Values>,
    ) -> Figure {
        self.colored(rows, columns, &values.into().0)
    }

    #[track_caller]
    fn colored(self, rows: usize, columns: usize, values: &[f64]) -> Figure {
        assert!(
            values.len() == rows * columns * 3,
            "Figure::image_rgb: {} values do not fill {rows} × {columns} × 3",
            values.len()
        );
        let byte = |v: f64| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
        let pixels = (values.chunks_exact(3))
            .map(|p| Rgb(byte(p[0]), byte(p[1]), byte(p[2])))
            .collect();
        self.with("image_rgb", Shape::Picture { rows, columns, pixels })
    }
}

/// The style of what was added last.
impl Figure {
    /// Names it in the legend.
    ///
    /// # Panics
    /// As all methods here, if nothing was added yet.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().line([0, 1], [0, 1]).label("loss");
    /// assert!(figure.to_svg().contains(">loss<"));
    /// ```
    #[track_caller]
    pub fn label(mut self, label: &str) -> Figure {
        self.last("label").label = Some(label.to_string());
        self
    }

    /// Names everything added so far in the legend, in order.
    ///
    /// # Panics
    /// If there are more names than things.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let curves = Figure::new().line([0, 1], [0, 1]).line([0, 1], [1, 0]);
    /// assert!(curves.legend(["up", "down"]).to_svg().contains(">down<"));
    /// ```
    #[track_caller]
    pub fn legend<S: AsRef<str>>(self, labels: impl IntoIterator<Item = S>) -> Figure {
        let labels = labels.into_iter().map(|label| label.as_ref().to_string());
        self.labelled(labels.collect())
    }

    #[track_caller]
    fn labelled(mut self, labels: Vec<String>) -> Figure {
        for (index, label) in labels.into_iter().enumerate() {
            assert!(
                index < self.series.len(),
                "Figure::legend: more than {} labels",
                self.series.len()
            );
            self.series[index].label = Some(label);
        }
        self
    }

    /// Sets the colour: `C0` … `C5` of the cycle, a name or matplotlib's letter for it
    /// (`blue`, `b`), or `#rrggbb`. Black is the colour of the page's text.
    ///
    /// # Panics
    /// If there is no such colour.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let figure = Figure::new().line([0, 1], [0, 1]).color("#123456");
    /// assert!(figure.to_svg().contains("stroke=\"#123456\""));
    /// ```
    #[track_caller]
    pub fn color(mut self, name: &str) -> Figure {
        let color = Rgb::parse(name);
        assert!(color.is_some(), "Figure::color: unknown colour {name:?}");
        self.last("color").color = color;
        self
    }

    /// Sets the style of the line.
    ///
    /// ```
    /// # use d2l::plot::{Figure, LineStyle};
    /// let line = Figure::new().line([0, 1], [0, 1]);
    /// assert!(line.style(LineStyle::Dotted).to_svg().contains("dasharray"));
    /// ```
    #[track_caller]
    pub fn style(mut self, style: LineStyle) -> Figure {
        self.last("style").line = Some(style);
        self
    }

    /// Draws the line without gaps.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let curves = Figure::new().line([0, 1], [0, 1]).line([0, 1], [1, 0]);
    /// assert!(!curves.solid().to_svg().contains("dasharray"), "the second was dashed");
    /// ```
    #[track_caller]
    pub fn solid(self) -> Figure {
        self.style(LineStyle::Solid)
    }

    /// Draws the line in dashes.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let line = Figure::new().line([0, 1], [0, 1]).dashed();
    /// assert!(line.to_svg().contains("dasharray"));
    /// ```
    #[track_caller]
    pub fn dashed(self) -> Figure {
        self.style(LineStyle::Dashed)
    }

    /// Draws the line in dashes and dots.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let line = Figure::new().line([0, 1], [0, 1]);
    /// assert_ne!(line.clone().dash_dot().to_svg(), line.dashed().to_svg());
    /// ```
    #[track_caller]
    pub fn dash_dot(self) -> Figure {
        self.style(LineStyle::DashDot)
    }

    /// Draws the line in dots.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let line = Figure::new().line([0, 1], [0, 1]);
    /// assert_ne!(line.clone().dotted().to_svg(), line.dashed().to_svg());
    /// ```
    #[track_caller]
    pub fn dotted(self) -> Figure {
        self.style(LineStyle::Dotted)
    }

    /// Marks each point.
    ///
    /// ```
    /// # use d2l::plot::{Figure, Marker};
    /// let line = Figure::new().line([0, 1], [0, 1]).marker(Marker::Circle);
    /// assert_eq!(line.to_svg().matches("<circle").count(), 2);
    /// ```
    #[track_caller]
    pub fn marker(mut self, marker: Marker) -> Figure {
        self.last("marker").marker = Some(marker);
        self
    }

    /// Sets colour, line and marker in matplotlib's notation: `-`, `m--`, `g-.`, `r:`, `bo`.
    ///
    /// # Panics
    /// If the notation is unknown.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let line = Figure::new().line([0, 1], [0, 1]);
    /// assert_eq!(line.clone().format("r:").to_svg(), line.color("red").dotted().to_svg());
    /// ```
    #[track_caller]
    pub fn format(mut self, format: &str) -> Figure {
        let Some((color, line, marker)) = series::parse_format(format) else {
            panic!("Figure::format: unknown format {format:?}");
        };
        let last = self.last("format");
        last.color = color.or(last.color);
        last.line = line.or(last.line);
        last.marker = marker.or(last.marker);
        self
    }

    /// Sets the width of the line, or the diameter of the points, in points (1/72 inch).
    ///
    /// # Panics
    /// If it is not between 0.1 and 100.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let line = Figure::new().line([0, 1], [0, 1]).width(3.25);
    /// assert!(line.to_svg().contains("stroke-width=\"3.25\""));
    /// ```
    #[track_caller]
    pub fn width(mut self, points: f64) -> Figure {
        assert!((0.1..=100.0).contains(&points), "Figure::width: {points}");
        self.last("width").width = points;
        self
    }

    /// Sets the opacity, from 0 to 1.
    ///
    /// # Panics
    /// If it is not between 0 and 1.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// let line = Figure::new().line([0, 1], [0, 1]).opacity(0.35);
    /// assert!(line.to_svg().contains("stroke-opacity=\".35\""));
    /// ```
    #[track_caller]
    pub fn opacity(mut self, opacity: f64) -> Figure {
        assert!((0.0..=1.0).contains(&opacity), "Figure::opacity: {opacity}");
        self.last("opacity").opacity = Some(opacity);
        self
    }

    /// Sets the colours of a heat map, of contours or of a surface.
    ///
    /// # Panics
    /// If what was added last is nothing of these.
    ///
    /// ```
    /// # use d2l::plot::{Colormap, Figure};
    /// let map = Figure::new().heatmap([[0, 1], [2, 3]]);
    /// assert_ne!(map.clone().colormap(Colormap::Reds).to_svg(), map.to_svg());
    /// ```
    #[track_caller]
    pub fn colormap(mut self, map: Colormap) -> Figure {
        match &mut self.last("colormap").shape {
            Shape::Heatmap { colors, .. }
            | Shape::Bands { colors, .. }
            | Shape::Surface { colors, .. } => *colors = map,
            Shape::Contour { colors, .. } => *colors = Some(map),
            other => panic!("Figure::colormap: a {} has no colour map", other.name()),
        }
        self
    }
}

/// Results.
impl Figure {
    /// The figure as an SVG document. The same figure always gives the same bytes.
    ///
    /// ```
    /// # use d2l::plot::Figure;
    /// assert!(Figure::new().to_svg().starts_with("<svg"));
    /// ```
    pub fn to_svg(&self) -> String {
        let (width, height) = self.points();
        let canvas = Canvas::new(width, height);
        draw(&[self], &canvas, page(width, height));
        let title = match self.title.as_str() {
            "" => self.to_string(),
            title => title.to_string(),
        };
        canvas.finish(&title, &self.describe())
    }

    /// Shows the figure in a notebook.
    pub fn evcxr_display(&self) {
        Show::show(self);
    }

    /// Width and height in points.
    fn points(&self) -> (f64, f64) {
        let default = match &self.panels {
            None => (SIZE.0 * POINTS_PER_INCH, SIZE.1 * POINTS_PER_INCH),
            Some(panels) => {
                let sizes = panels.figures.iter().map(Figure::points);
                let (w, h) = sizes.fold((72.0, 72.0), |(w, h): (f64, f64), size| {
                    (w.max(size.0), h.max(size.1))
                });
                (w * panels.columns as f64, h * panels.rows as f64)
            }
        };
        self.size.map_or(default, |(w, h)| (w * POINTS_PER_INCH, h * POINTS_PER_INCH))
    }

    /// What somebody who cannot see the figure should know.
    fn describe(&self) -> String {
        let mut text = String::new();
        if let Some(panels) = &self.panels {
            for (index, figure) in panels.figures.iter().enumerate() {
                text += &format!("Panel {}: {} ", index + 1, figure.describe());
            }
            return text.trim_end().to_string();
        }
        let names = match self.is_spatial() {
            true => ["x", "y", "z"],
            false => ["Horizontal", "Vertical", ""],
        };
        let axes = [
            (&self.x_label, panel::x_range(self)),
            (&self.y_label, panel::y_range(self)),
            (&self.z_label, panel::z_range(self)),
        ];
        for (name, (label, range)) in names.into_iter().zip(axes) {
            let Some((low, high)) = range else { continue };
            let label =
                if label.is_empty() { String::new() } else { format!(" {label}") };
            text +=
                &format!("{name} axis{label} from {} to {}. ", short(low), short(high));
        }
        let named: Vec<String> = (self.series.iter())
            .map(|s| match &s.label {
                Some(label) => {
                    format!("{label} ({}, {})", s.shape.name(), s.shape.extent())
                }
                None => format!("{} ({})", s.shape.name(), s.shape.extent()),
            })
            .collect();
        match named.as_slice() {
            [] => text + "No data.",
            named => text + &named.join("; ") + ".",
        }
    }

    fn is_spatial(&self) -> bool {
        self.series.first().is_some_and(|s| s.shape.is_spatial())
    }

    /// What the frames of an animation must have in common.
    fn kind(&self) -> String {
        match &self.panels {
            None if self.is_spatial() => "space".into(),
            None => "flat".into(),
            Some(panels) => {
                let kinds: Vec<String> =
                    panels.figures.iter().map(Figure::kind).collect();
                format!("{} × {} of {}", panels.rows, panels.columns, kinds.join(" and "))
            }
        }
    }

    #[track_caller]
    fn with(mut self, method: &str, shape: Shape) -> Figure {
        assert!(
            self.series.is_empty() || self.is_spatial() == shape.is_spatial(),
            "Figure::{method}: one figure cannot have flat plots and plots in space"
        );
        self.panels = None;
        self.series.push(Series {
            shape,
            label: None,
            color: None,
            line: None,
            marker: None,
            width: 0.0,
            opacity: None,
        });
        self
    }

    #[track_caller]
    fn last(&mut self, method: &str) -> &mut Series {
        match self.series.last_mut() {
            Some(series) => series,
            None => panic!("Figure::{method}: nothing to style yet; add a line first"),
        }
    }
}

/// As SVG, or in words where only text can be shown.
impl Show for Figure {
    fn show(&self) {
        display::Bundle::new()
            .with("image/svg+xml", self.to_svg())
            .with("text/plain", self.to_string())
            .show();
    }
}

/// A short description: `Figure(line "f(x)", 200 points)`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(panels) = &self.panels {
            return write!(f, "Figure({} × {} panels)", panels.rows, panels.columns);
        }
        let series: Vec<String> = (self.series.iter())
            .map(|s| match &s.label {
                Some(label) => {
                    format!("{} {label:?}, {}", s.shape.name(), s.shape.extent())
                }
                None => format!("{}, {}", s.shape.name(), s.shape.extent()),
            })
            .collect();
        write!(f, "Figure({})", series.join("; "))
    }
}

impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Draws figures, the frames of an animation or a single one, into `area`.
fn draw(frames: &[&Figure], canvas: &Canvas, mut area: Rect) {
    let last = frames[frames.len() - 1];
    let Some(panels) = &last.panels else {
        return panel::draw(frames, canvas, area);
    };
    area.top += panel::draw_titles(frames, canvas, area);
    let width = (area.right - area.left) / panels.columns as f64;
    let height = (area.bottom - area.top) / panels.rows as f64;
    for index in 0..panels.figures.len() {
        let left = area.left + width * (index % panels.columns) as f64;
        let top = area.top + height * (index / panels.columns) as f64;
        let cell = Rect { left, top, right: left + width, bottom: top + height };
        let panels = frames.iter().filter_map(|frame| frame.panels.as_ref());
        let cells: Vec<&Figure> = panels.map(|panels| &panels.figures[index]).collect();
        draw(&cells, canvas, cell);
    }
}

fn page(width: f64, height: f64) -> Rect {
    Rect { left: 0.0, top: 0.0, right: width, bottom: height }
}

#[track_caller]
fn check_lengths(method: &str, x: &[f64], y: &[f64]) {
    let (nx, ny) = (x.len(), y.len());
    assert!(nx == ny, "Figure::{method}: lengths differ: {nx} and {ny}");
}

#[track_caller]
fn check_limits(method: &str, low: f64, high: f64) {
    let fine = low.is_finite() && high.is_finite() && low != high;
    assert!(fine, "Figure::{method}: no axis from {low} to {high}");
}

/// The least and the greatest finite value, never equal.
fn finite_range(values: &[f64]) -> [f64; 2] {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    let [low, high] = finite
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| {
            [low.min(v), high.max(v)]
        });
    match low < high {
        true => [low, high],
        false if low.is_finite() => [low - 0.5, low + 0.5],
        false => [0.0, 1.0],
    }
}

/// About four digits.
fn short(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        let text = format!("{value:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_string();
    }
    format!("{value:.3e}")
}

#[cfg(test)]
mod tests;
