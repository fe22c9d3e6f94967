//! A drawing area of `plotters` measured in points.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::svg::{Svg, Timing, UNITS_PER_POINT, units};

type Drawn = Result<(), DrawingAreaErrorKind<Infallible>>;

/// A place in points, from the top left corner.
pub(super) type Point = (f64, f64);

/// A rectangle in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Rect {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// Whether the two have a point in common.
    pub(super) fn meets(&self, other: &Rect) -> bool {
        self.left <= other.right
            && other.left <= self.right
            && self.top <= other.bottom
            && other.top <= self.bottom
    }

    pub(super) fn contains(&self, (x, y): Point) -> bool {
        const SLACK: f64 = 1e-6;
        (self.left - SLACK..=self.right + SLACK).contains(&x)
            && (self.top - SLACK..=self.bottom + SLACK).contains(&y)
    }
}

/// The paper: draws `plotters` elements into an [`Svg`].
pub(super) struct Canvas {
    svg: Rc<RefCell<Svg>>,
    area: DrawingArea<Svg, Shift>,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Canvas {
        let svg = Rc::new(RefCell::new(Svg::new(width, height)));
        let area = DrawingArea::from(&svg);
        Canvas { svg, area }
    }

    /// A canvas whose [`frames`](Canvas::frames) are shown one after another.
    pub(super) fn animated(width: f64, height: f64, timing: Timing) -> Canvas {
        let canvas = Canvas::new(width, height);
        canvas.svg.borrow_mut().animate(timing);
        canvas
    }

    /// Draws frames by number; a single one is drawn as it is.
    pub(super) fn frames(&self, count: usize, draw: impl Fn(usize)) {
        if count == 1 {
            return draw(0);
        }
        for index in 0..count {
            self.svg.borrow_mut().begin_frame(index);
            draw(index);
            self.svg.borrow_mut().end_frame();
        }
    }

    pub(super) fn finish(self, title: &str, description: &str) -> String {
        let Canvas { svg, area } = self;
        drop(area);
        let svg = Rc::try_unwrap(svg).ok().expect("the area was the only other owner");
        svg.into_inner().finish(title, description)
    }

    /// Strokes a line through points; `dashes` are in points.
    pub(super) fn line(
        &self,
        points: &[Point],
        color: RGBAColor,
        width: f64,
        dashes: &[f64],
    ) {
        self.svg.borrow_mut().set_dashes(dashes);
        let style = color.stroke_width(units(width) as u32);
        done(self.area.draw(&PathElement::new(to_units(points), style)));
        self.svg.borrow_mut().set_dashes(&[]);
    }

    pub(super) fn polygon(&self, corners: &[Point], color: RGBAColor) {
        done(self.area.draw(&Polygon::new(to_units(corners), color.filled())));
    }

    /// Fills what an odd number of closed lines surrounds.
    pub(super) fn region(&self, lines: &[&[Point]], color: RGBAColor) {
        let lines: Vec<_> = lines.iter().map(|line| to_units(line)).collect();
        self.svg.borrow_mut().region(&lines, &color);
    }

    /// Fills a polygon and traces its edges finely.
    pub(super) fn facet(&self, corners: &[Point], color: RGBAColor) {
        self.svg.borrow_mut().facet(to_units(corners), &color);
    }

    pub(super) fn fill(&self, rect: Rect, color: RGBAColor) {
        let corners = to_units(&[(rect.left, rect.top), (rect.right, rect.bottom)]);
        done(self.area.draw(&Rectangle::new([corners[0], corners[1]], color.filled())));
    }

    pub(super) fn disc(&self, (x, y): Point, radius: f64, color: RGBAColor) {
        let radius = units(radius);
        done(self.area.draw(&Circle::new((units(x), units(y)), radius, color.filled())));
    }

    pub(super) fn picture(&self, rect: Rect, png_base64: &str) {
        let (w, h) = (rect.width(), rect.height());
        self.svg.borrow_mut().picture(rect.left, rect.top, w, h, png_base64);
    }

    /// Writes text, its anchor at a point; `size` is in points.
    pub(super) fn text(&self, text: &str, at: Point, size: f64, h: HPos, v: VPos) {
        self.write(text, at, size, Pos::new(h, v), FontTransform::None);
    }

    /// Writes text upwards, its middle at a point and its foot to the right.
    pub(super) fn text_upwards(&self, text: &str, at: Point, size: f64) {
        let anchor = Pos::new(HPos::Center, VPos::Center);
        self.write(text, at, size, anchor, FontTransform::Rotate270);
    }

    /// Writes text turned clockwise about its anchor.
    pub(super) fn text_turned(
        &self,
        text: &str,
        at: Point,
        size: f64,
        (h, v): (HPos, VPos),
        degrees: f64,
    ) {
        self.svg.borrow_mut().set_turn(degrees);
        self.text(text, at, size, h, v);
        self.svg.borrow_mut().set_turn(0.0);
    }

    fn write(&self, text: &str, (x, y): Point, size: f64, pos: Pos, turn: FontTransform) {
        let size = size * UNITS_PER_POINT;
        let font = FontDesc::new(FontFamily::SansSerif, size, FontStyle::Normal);
        let style = TextStyle::from(font.transform(turn)).pos(pos);
        done(self.area.draw_text(text, &style, (units(x), units(y))));
    }
}

fn to_units(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().map(|&(x, y)| (units(x), units(y))).collect()
}

fn done(drawn: Drawn) {
    drawn.expect("writing to a string cannot fail");
}
