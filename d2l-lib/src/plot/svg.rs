//! A `plotters` backend that writes compact, theme-aware SVG.
//!
//! It differs from the stock SVG backend in what a page needs: coordinates are hundredths
//! of a point instead of whole pixels, text stays text in the page's font, pure black is
//! written as `currentColor` (so that dark pages show it light), neighbours with the same
//! style share one `<g>`, and nothing has an id, so any number of plots live on one page.
//! Only presentation attributes are used: usvg, and with it Typst, reads all of it.

use std::convert::Infallible;
use std::fmt::Write;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend,
    DrawingErrorKind, FontTransform,
};

/// Backend units in one point (1/72 inch).
pub(super) const UNITS_PER_POINT: f64 = 100.0;

/// What drawing returns: writing to a string cannot fail.
type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// An SVG document while it is being written.
pub(super) struct Svg {
    size: (u32, u32),
    body: String,
    /// Attributes of the `<g>` that is open, or nothing.
    group: String,
    /// `stroke-dasharray` of the strokes to come, or nothing.
    dashes: String,
    /// By how many degrees the text to come is turned clockwise.
    turn: f64,
    timing: Option<Timing>,
}

/// When the frames of an animation are seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) frames: usize,
    /// How long each frame is seen.
    pub(super) seconds: f64,
    /// How much longer the last one.
    pub(super) rest: f64,
}

impl Svg {
    /// An empty document of this size in points.
    pub(super) fn new(width: f64, height: f64) -> Svg {
        let size = (units(width) as u32, units(height) as u32);
        Svg {
            size,
            body: String::new(),
            group: String::new(),
            dashes: String::new(),
            turn: 0.0,
            timing: None,
        }
    }

    /// Sets the dash pattern, in points, of the strokes to come; empty for solid ones.
    pub(super) fn set_dashes(&mut self, pattern: &[f64]) {
        let lengths: Vec<String> = pattern.iter().map(|&x| number(units(x))).collect();
        self.dashes = lengths.join(" ");
    }

    /// Turns the text to come clockwise.
    pub(super) fn set_turn(&mut self, degrees: f64) {
        self.turn = degrees;
    }

    /// Has frames shown one after another.
    pub(super) fn animate(&mut self, timing: Timing) {
        self.timing = Some(timing);
    }

    /// What is drawn until [`end_frame`](Svg::end_frame) is seen in this frame only.
    pub(super) fn begin_frame(&mut self, index: usize) {
        self.close_group();
        let timing = self.timing.expect("frames are drawn into animations only");
        let _ = writeln!(self.body, "<g {}>", timing.attributes(index));
    }

    pub(super) fn end_frame(&mut self) {
        self.close_group();
        self.body.push_str("</g>\n");
    }

    /// Fills what an odd number of closed lines surrounds.
    pub(super) fn region<S: BackendStyle>(
        &mut self,
        lines: &[Vec<BackendCoord>],
        style: &S,
    ) {
        let data: String =
            lines.iter().map(|line| path_data(line.iter().copied()) + "z").collect();
        let attributes = paint("fill", style.color()) + " fill-rule=\"evenodd\"";
        self.element(attributes, &format!("<path d=\"{data}\"/>"));
    }

    /// Fills a polygon and traces its edges finely, which also closes the gap to its neighbours.
    pub(super) fn facet<S: BackendStyle>(
        &mut self,
        corners: Vec<BackendCoord>,
        style: &S,
    ) {
        let attributes =
            "stroke=\"currentColor\" stroke-opacity=\".3\" stroke-width=\".3\"";
        let fill = paint("fill", style.color());
        let element = format!("<path {fill} d=\"{}z\"/>", path_data(corners));
        self.element(attributes.to_string(), &element);
    }

    /// Places a PNG picture; every pixel stays a sharp square however large it is drawn.
    pub(super) fn picture(&mut self, x: f64, y: f64, w: f64, h: f64, png_base64: &str) {
        let [x, y, w, h] = [x, y, w, h].map(|v| number(units(v)));
        let element = format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" \
             href=\"data:image/png;base64,{png_base64}\"/>"
        );
        let attributes = "image-rendering=\"pixelated\" preserveAspectRatio=\"none\"";
        // `preserveAspectRatio` is no presentation attribute: it belongs to the element.
        let (rendering, aspect) = attributes.split_once(' ').expect("two attributes");
        let element = element.replacen("<image ", &format!("<image {aspect} "), 1);
        self.element(rendering.to_string(), &element);
    }

    /// The whole document. `title` and `description` are its alternative text.
    pub(super) fn finish(mut self, title: &str, description: &str) -> String {
        self.close_group();
        let (width, height) = (number(self.size.0 as i32), number(self.size.1 as i32));
        // Readers without a pointer stop an animation by giving it the keyboard's focus.
        let (focus, style) = match self.timing {
            None => ("", String::new()),
            Some(timing) => (" tabindex=\"0\"", timing.style()),
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"{focus} \
             width=\"{width}pt\" height=\"{height}pt\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" stroke-linejoin=\"round\">\n\
             <title>{}</title>\n<desc>{}</desc>\n{style}{}</svg>\n",
            escape(title),
            escape(description),
            self.body
        )
    }

    fn element(&mut self, attributes: String, element: &str) {
        if attributes != self.group {
            self.close_group();
            let _ = writeln!(self.body, "<g {attributes}>");
            self.group = attributes;
        }
        self.body.push_str(element);
        self.body.push('\n');
    }

    fn close_group(&mut self) {
        if !self.group.is_empty() {
            self.body.push_str("</g>\n");
            self.group.clear();
        }
    }

    fn stroke<S: BackendStyle>(&self, style: &S) -> String {
        let width = number(style.stroke_width() as i32);
        let mut text = String::from("fill=\"none\" ");
        text += &paint("stroke", style.color());
        let _ = write!(text, " stroke-width=\"{width}\"");
        if !self.dashes.is_empty() {
            let _ = write!(text, " stroke-dasharray=\"{}\"", self.dashes);
        }
        text
    }

    fn shape<S: BackendStyle>(&mut self, style: &S, fill: bool, element: &str) {
        let attributes =
            if fill { paint("fill", style.color()) } else { self.stroke(style) };
        self.element(attributes, element);
    }
}

impl Timing {
    /// Names of all that is the same for the same timing, so that any number of animations can
    /// be on one page: of the frames, and of the last one.
    fn names(&self) -> [String; 2] {
        let name = format!("d2l-frame-{}-{:.0}", self.frames, self.seconds * 1000.0);
        [name.clone(), name + "-last"]
    }

    fn total(&self) -> f64 {
        self.frames as f64 * self.seconds + self.rest
    }

    /// The attributes of a frame. Where the style is not obeyed, only the last one is visible.
    fn attributes(&self, index: usize) -> String {
        let is_last = index + 1 == self.frames;
        let [name, last] = self.names();
        let (name, hidden) = match is_last {
            true => (last, ""),
            false => (name, " visibility=\"hidden\""),
        };
        // It starts as if it had long been running, so that every frame comes in its turn.
        let delay = index as f64 * self.seconds - self.total();
        format!("class=\"{name}\"{hidden} style=\"animation-delay:{delay:.3}s\"")
    }

    fn style(&self) -> String {
        let [name, last] = self.names();
        let total = self.total();
        let part = 100.0 * self.seconds / total;
        let rest = 100.0 * (self.seconds + self.rest) / total;
        let turns = |name: &str, percent: f64| {
            format!(
                "@keyframes {name}{{0%{{visibility:visible}}{percent:.4}%{{visibility:hidden}}}}\n\
                 .{name}{{animation:{name} {total:.3}s step-end infinite}}\n\
                 svg:hover .{name},svg:focus .{name}{{animation-play-state:paused}}\n"
            )
        };
        format!(
            "<style>@media screen and (prefers-reduced-motion:no-preference){{\n{}{}}}</style>\n",
            turns(&name, part),
            turns(&last, rest)
        )
    }
}

impl DrawingBackend for Svg {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect(point, (point.0 + 1, point.1 + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        a: BackendCoord,
        b: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (x, y) = (number(a.0.min(b.0)), number(a.1.min(b.1)));
        let (w, h) = (number((a.0 - b.0).abs()), number((a.1 - b.1).abs()));
        let element = format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>");
        self.shape(style, fill, &element);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let element = format!("<path d=\"{}\"/>", path_data(path));
        self.shape(style, false, &element);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let [x, y, r] = [x, y, radius as i32].map(number);
        self.shape(style, fill, &format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        self.shape(style, true, &format!("<path d=\"{}z\"/>", path_data(corners)));
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &T,
        (x, y): BackendCoord,
    ) -> Drawn {
        let size = style.size();
        let mut attributes = paint("fill", style.color());
        let _ = write!(attributes, " font-size=\"{}\"", number(size as i32));
        match style.anchor().h_pos {
            HPos::Left => {}
            HPos::Center => attributes += " text-anchor=\"middle\"",
            HPos::Right => attributes += " text-anchor=\"end\"",
        }
        // From the anchor down to the baseline, by the cap height of usual fonts.
        let drop = match style.anchor().v_pos {
            VPos::Top => 0.74,
            VPos::Center => 0.36,
            VPos::Bottom => -0.22,
        };
        let drop = (drop * size).round() as i32;
        let place = match style.transform() {
            FontTransform::None if self.turn != 0.0 => {
                let (x, y, drop) = (number(x), number(y), number(drop));
                let degrees = number(units(self.turn));
                format!("transform=\"translate({x} {y})rotate({degrees})\" y=\"{drop}\"")
            }
            FontTransform::None => {
                format!("x=\"{}\" y=\"{}\"", number(x), number(y + drop))
            }
            rotated => {
                let degrees = match rotated {
                    FontTransform::Rotate90 => 90,
                    FontTransform::Rotate180 => 180,
                    _ => -90,
                };
                let (x, y, drop) = (number(x), number(y), number(drop));
                format!("transform=\"translate({x} {y})rotate({degrees})\" y=\"{drop}\"")
            }
        };
        let text = raise_powers(&escape(text), size);
        self.element(attributes, &format!("<text {place}>{text}</text>"));
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok(((text_width(text) * style.size()) as u32, style.size() as u32))
    }
}

/// Rounds points to backend units; absurd values stop at about a hundred metres.
pub(super) fn units(points: f64) -> i32 {
    (points * UNITS_PER_POINT).round().clamp(-3e7, 3e7) as i32
}

/// Estimates the width of a text in ems, for a face like Helvetica (a bit generous).
pub(super) fn text_width(text: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '|' | '\'' => 0.24,
        ' ' | '.' | ',' | ':' | ';' | 'f' | 't' | 'I' | '!' | '/' => 0.29,
        '(' | ')' | '[' | ']' | 'r' | '-' => 0.34,
        '⁰'..='₎' | '¹' | '²' | '³' => 0.36,
        'm' | 'M' | 'W' | '@' | '%' => 0.88,
        'w' | 'A'..='Z' => 0.72,
        'c' | 'k' | 's' | 'v' | 'x' | 'y' | 'z' => 0.51,
        c if c as u32 >= 0x2e80 => 1.0,
        _ => 0.57,
    };
    text.chars().map(em).sum()
}

/// `stroke="…"` or `fill="…"`, with an opacity where it is not 1.
fn paint(property: &str, color: BackendColor) -> String {
    let mut text = match color.rgb {
        (0, 0, 0) => format!("{property}=\"currentColor\""),
        (r, g, b) => format!("{property}=\"#{r:02x}{g:02x}{b:02x}\""),
    };
    if color.alpha < 1.0 {
        let alpha = number(units(color.alpha));
        let _ = write!(text, " {property}-opacity=\"{alpha}\"");
    }
    text
}

/// `M` and relative `l` commands through the points.
fn path_data(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut data = String::new();
    let mut last: Option<BackendCoord> = None;
    for (x, y) in points {
        let (command, dx, dy) = match last {
            None => ("M", x, y),
            Some((x0, y0)) => ("l", x - x0, y - y0),
        };
        data += command;
        data += &number(dx);
        let dy = number(dy);
        if !dy.starts_with('-') {
            data.push(' ');
        }
        data += &dy;
        last = Some((x, y));
    }
    data
}

/// Backend units as a decimal number of points, as short as it can be: `-.5`, `12`, `3.25`.
fn number(units: i32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, cents) = (units.unsigned_abs() / 100, units.unsigned_abs() % 100);
    match (whole, cents) {
        (_, 0) => format!("{sign}{whole}"),
        (0, c) if c % 10 == 0 => format!("{sign}.{}", c / 10),
        (0, c) => format!("{sign}.{c:02}"),
        (w, c) if c % 10 == 0 => format!("{sign}{w}.{}", c / 10),
        (w, c) => format!("{sign}{w}.{c:02}"),
    }
}

/// Text that is safe between tags and in attributes; control characters are dropped.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\n' | '\t' => safe.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

/// Sets the exponent of `10⁻³` raised, so that all powers look alike in every font.
fn raise_powers(text: &str, size: f64) -> String {
    const RAISED: [char; 11] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹', '⁻'];
    let Some((head, rest)) = text.split_once("10").filter(|(_, r)| r.starts_with(RAISED))
    else {
        return text.to_string();
    };
    let end = rest.find(|c| !RAISED.contains(&c)).unwrap_or(rest.len());
    let exponent: String = (rest[..end].chars())
        .map(|c| match RAISED.iter().position(|&r| r == c) {
            Some(10) | None => '−',
            Some(digit) => char::from(b'0' + digit as u8),
        })
        .collect();
    let (dy, small) = (number((-0.38 * size) as i32), number((0.74 * size) as i32));
    let tail = &rest[end..];
    let tail = match tail {
        "" => String::new(),
        _ => format!("<tspan dy=\"{}\">{tail}</tspan>", number((0.38 * size) as i32)),
    };
    format!("{head}10<tspan dy=\"{dy}\" font-size=\"{small}\">{exponent}</tspan>{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        let cases = [(0, "0"), (-50, "-.5"), (5, ".05"), (1200, "12"), (325, "3.25")];
        for (units, text) in cases {
            assert_eq!(number(units), text);
        }
    }

    #[test]
    fn paths_are_relative() {
        assert_eq!(path_data([(100, 200), (150, 150), (250, 250)]), "M1 2l.5-.5l1 1");
    }

    #[test]
    fn text_cannot_break_the_markup() {
        assert_eq!(escape("a<b & \"c\"\u{7}"), "a&lt;b &amp; &quot;c&quot;");
    }

    #[test]
    fn exponents_are_raised() {
        let tspan = "10<tspan dy=\"-3.04\" font-size=\"5.92\">−3</tspan>";
        assert_eq!(raise_powers("10⁻³", 800.0), tspan);
        assert_eq!(raise_powers("x²", 800.0), "x²");
    }
}
