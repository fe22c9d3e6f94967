//! Figures one after another.

use std::fmt;

use super::canvas::Canvas;
use super::{Figure, Timing};
use crate::display::{self, Show};

/// Seconds of each frame, unless set, and how much longer the last one stays.
const PACE: f64 = 0.25;
const REST: f64 = 1.5;

/// Figures one after another, in an endless loop.
///
/// The drawing plays by itself, without a script; it pauses while the pointer is on it or while
/// it has the keyboard's focus. Readers who asked their system for less motion, paper, and
/// whatever knows no animations see the last frame. So let the last frame be the one that
/// tells the story.
///
/// All frames share the axes of the last one, with room for the data of all of them. What they
/// have in common, such as contours at the beginning of each, is drawn once.
///
/// ```
/// use d2l::plot::{Animation, Figure};
///
/// let walk = [4.0, 2.0, 1.0, 0.5];
/// let frame = |n: usize| Figure::new().line(&walk[..n], &walk[..n]).title(&format!("{n}"));
/// let animation = Animation::new((1..=4).map(frame)).frame_seconds(0.5);
/// let svg = animation.to_svg();
/// assert_eq!(svg.matches("visibility=\"hidden\"").count(), 2 * 3, "titles and lines");
/// assert!(svg.contains("prefers-reduced-motion"));
/// ```
#[derive(Clone)]
pub struct Animation {
    frames: Vec<Figure>,
    seconds: f64,
}

impl Animation {
    /// Shows these figures one after another, each for a quarter of a second.
    ///
    /// # Panics
    /// If there are no frames, if some are grids and others not, or if flat plots and plots in
    /// space take turns.
    ///
    /// ```
    /// # use d2l::plot::{Animation, Figure};
    /// let frames = [[1.0], [2.0]].map(|x| Figure::new().scatter(x, x));
    /// let shown = Animation::new(frames).to_string();
    /// assert_eq!(shown, "Animation(2 frames; the last: Figure(scatter, 1 points))");
    /// ```
    #[track_caller]
    pub fn new(frames: impl IntoIterator<Item = Figure>) -> Animation {
        Animation::of(frames.into_iter().collect())
    }

    #[track_caller]
    fn of(frames: Vec<Figure>) -> Animation {
        assert!(!frames.is_empty(), "Animation::new: no frames");
        let kinds = frames.iter().map(Figure::kind).collect::<Vec<_>>();
        let same = kinds.windows(2).all(|pair| pair[0] == pair[1]);
        assert!(same, "Animation::new: frames of different kinds: {}", kinds.join(", "));
        Animation { frames, seconds: PACE }
    }

    /// Sets for how many seconds each frame is seen; the last one stays longer.
    ///
    /// # Panics
    /// If it is not between 0.02 and 60.
    ///
    /// ```
    /// # use d2l::plot::{Animation, Figure};
    /// let still = Animation::new([Figure::new(), Figure::new()]);
    /// assert_ne!(still.clone().frame_seconds(1.0).to_svg(), still.to_svg());
    /// ```
    #[track_caller]
    pub fn frame_seconds(mut self, seconds: f64) -> Animation {
        assert!(
            (0.02..=60.0).contains(&seconds),
            "Animation::frame_seconds: {seconds} seconds"
        );
        self.seconds = seconds;
        self
    }

    /// The animation as an SVG document. The same frames always give the same bytes.
    ///
    /// ```
    /// # use d2l::plot::{Animation, Figure};
    /// let one = Figure::new().line([0, 1], [0, 1]).title("only");
    /// let svg = Animation::new([one.clone()]).to_svg();
    /// assert_eq!(svg, one.to_svg(), "a single frame does not move");
    /// ```
    pub fn to_svg(&self) -> String {
        let frames: Vec<&Figure> = self.frames.iter().collect();
        let last = frames[frames.len() - 1];
        if frames.len() == 1 {
            return last.to_svg();
        }
        let (width, height) = last.points();
        let timing = Timing { frames: frames.len(), seconds: self.seconds, rest: REST };
        let canvas = Canvas::animated(width, height, timing);
        super::draw(&frames, &canvas, super::page(width, height));
        let title = match last.title.as_str() {
            "" => self.to_string(),
            title => title.to_string(),
        };
        let description = format!(
            "Animation of {} frames; the last one: {}",
            frames.len(),
            last.describe()
        );
        canvas.finish(&title, &description)
    }

    /// Shows the animation in a notebook.
    pub fn evcxr_display(&self) {
        Show::show(self);
    }
}

/// As SVG, or in words where only text can be shown.
impl Show for Animation {
    fn show(&self) {
        display::Bundle::new()
            .with("image/svg+xml", self.to_svg())
            .with("text/plain", self.to_string())
            .show();
    }
}

/// A short description: `Animation(12 frames; the last: Figure(line, 12 points))`.
impl fmt::Display for Animation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.frames.len();
        write!(f, "Animation({n} frames; the last: {})", self.frames[n - 1])
    }
}

impl fmt::Debug for Animation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
