//! Colours that work on white and on dark pages and for colour-blind readers.

use plotters::style::RGBAColor;

/// Colours of the first, second, … series.
///
/// Each has a contrast of at least 3 : 1 against white and against a dark page (tested).
pub(super) const CYCLE: [Rgb; 6] = [
    Rgb(0x2b, 0x7b, 0xba),
    Rgb(0xd9, 0x5f, 0x02),
    Rgb(0x1a, 0x93, 0x6f),
    BERRY,
    GOLD,
    GREY,
];

const BERRY: Rgb = Rgb(0xb8, 0x5f, 0xa8);
const GOLD: Rgb = Rgb(0xa6, 0x7c, 0x00);
const GREY: Rgb = Rgb(0x80, 0x80, 0x80);

/// The colour of text and axes: written as `currentColor`.
pub(super) const INK: Rgb = Rgb(0, 0, 0);

/// A colour; black means the colour of the page's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

impl Rgb {
    /// `C0` … `C5`, a name, matplotlib's letter for it, or `#rrggbb`.
    pub(super) fn parse(name: &str) -> Option<Rgb> {
        if let Some(hex) = name.strip_prefix('#').filter(|hex| hex.len() == 6) {
            let value = u32::from_str_radix(hex, 16).ok()?;
            return Some(Rgb((value >> 16) as u8, (value >> 8) as u8, value as u8));
        }
        if let Some(index) = name.strip_prefix('C').and_then(|n| n.parse().ok()) {
            return CYCLE.get::<usize>(index).copied();
        }
        Some(match name {
            "b" | "blue" => CYCLE[0],
            "orange" => CYCLE[1],
            "g" | "green" => CYCLE[2],
            "m" | "purple" | "magenta" => BERRY,
            "y" | "gold" | "yellow" => GOLD,
            "gray" | "grey" => GREY,
            "r" | "red" => Rgb(0xd6, 0x3b, 0x3b),
            "c" | "cyan" => Rgb(0x15, 0x8f, 0xa6),
            "k" | "black" => INK,
            _ => return None,
        })
    }

    /// The colour itself, also where black would be the page's ink.
    pub(super) fn fixed(self) -> Rgb {
        if self == INK { Rgb(1, 1, 1) } else { self }
    }

    pub(super) fn with_opacity(self, opacity: f64) -> RGBAColor {
        RGBAColor(self.0, self.1, self.2, opacity)
    }
}

/// How numbers become colours in heat maps, contours, surfaces and pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colormap {
    /// Dark violet over green to yellow, even to the eye and for colour-blind readers.
    #[default]
    Viridis,
    /// Black to white.
    Grays,
    /// White to dark red.
    Reds,
    /// White to dark blue.
    Blues,
    /// Blue over light grey to red, for values around zero.
    CoolWarm,
}

impl Colormap {
    /// The colour at `t` between 0 and 1.
    pub(super) fn at(self, t: f64) -> Rgb {
        let stops: &[u32] = match self {
            Colormap::Viridis => &[
                0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779,
                0x6ece58, 0xfde725,
            ],
            Colormap::Grays => &[0x000000, 0xffffff],
            Colormap::Reds => &[0xfff5f0, 0xfcbba1, 0xfb6a4a, 0xcb181d, 0x67000d],
            Colormap::Blues => &[0xf7fbff, 0xc6dbef, 0x6baed6, 0x2171b5, 0x08306b],
            Colormap::CoolWarm => &[0x3b4cc0, 0x8db0fe, 0xdddddd, 0xf49a7b, 0xb40426],
        };
        let place = t.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
        let below = (place as usize).min(stops.len() - 2);
        let mix = |shift: u32| {
            let channel = |stop: u32| f64::from((stop >> shift) & 255);
            let (a, b) = (channel(stops[below]), channel(stops[below + 1]));
            (a + (b - a) * (place - below as f64)).round() as u8
        };
        Rgb(mix(16), mix(8), mix(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(Rgb(r, g, b): Rgb) -> f64 {
        let linear = |c: u8| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn series_stand_out_on_white_and_on_dark_pages() {
        let dark_page = luminance(Rgb(0x1a, 0x1a, 0x1a));
        let named = ["red", "cyan"].map(|name| Rgb::parse(name).unwrap());
        for color in CYCLE.into_iter().chain(named) {
            let y = luminance(color);
            let on_white = 1.05 / (y + 0.05);
            let on_dark = (y + 0.05) / (dark_page + 0.05);
            assert!(on_white >= 3.0 && on_dark >= 3.0, "{color:?} {on_white} {on_dark}");
        }
    }

    #[test]
    fn colormaps_end_at_their_last_stop() {
        assert_eq!(Colormap::Grays.at(1.0), Rgb(255, 255, 255));
        assert_eq!(Colormap::Viridis.at(0.0), Rgb(0x44, 0x01, 0x54));
    }
}
