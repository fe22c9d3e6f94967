//! Axes: scales, limits and ticks.

/// How an axis maps numbers to places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps for equal differences.
    #[default]
    Linear,
    /// Equal steps for equal ratios, in powers of ten; shows positive numbers only.
    Log,
}

/// An axis with its limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    scale: Scale,
    /// Limits after the scale's warp: numbers as they are, or their logarithms.
    low: f64,
    high: f64,
}

/// A tick: where on the axis (a fraction of its length), and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

/// The ticks of an axis, and a power of ten that all their labels leave out.
pub(super) struct Ticks {
    pub(super) ticks: Vec<Tick>,
    /// Places of small ticks without labels.
    pub(super) minor: Vec<f64>,
    pub(super) factor: Option<String>,
}

impl Axis {
    /// An axis with room for all finite `data`, or exactly from limit to limit.
    ///
    /// `margin` is the part of the length left free at both ends.
    pub(super) fn new(
        scale: Scale,
        limits: Option<(f64, f64)>,
        data: impl Iterator<Item = f64>,
        margin: f64,
    ) -> Axis {
        let warped = |v: &f64| warp(scale, *v);
        if let Some((low, high)) = limits {
            return Axis { scale, low: warped(&low), high: warped(&high) };
        }
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in data.map(|v| warped(&v)).filter(|v| v.is_finite()) {
            (low, high) = (low.min(v), high.max(v));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        } else if high - low <= 1e-12 * low.abs().max(high.abs()) {
            let half = if low == 0.0 { 0.5 } else { low.abs() * 0.05 };
            (low, high) = (low - half, high + half);
        } else {
            let room = (high - low) * margin;
            (low, high) = (low - room, high + room);
        }
        Axis { scale, low, high }
    }

    /// Where a number lies, 0 at the low end and 1 at the high one; NaN if nowhere.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = (warp(self.scale, value) - self.low) / (self.high - self.low);
        if place.is_finite() { place } else { f64::NAN }
    }

    /// From the low end to the high one, as the scale counts.
    pub(super) fn length(&self) -> f64 {
        (self.high - self.low).abs()
    }

    /// About `count` ticks at round numbers, in order.
    pub(super) fn ticks(&self, count: usize) -> Ticks {
        match self.scale {
            Scale::Log if (self.high - self.low).abs() >= 1.0 => self.decades(count),
            Scale::Log => {
                self.round_numbers(10f64.powf(self.low), 10f64.powf(self.high), count)
            }
            Scale::Linear => self.round_numbers(self.low, self.high, count),
        }
    }

    fn round_numbers(&self, a: f64, b: f64, count: usize) -> Ticks {
        let (low, high) = (a.min(b), a.max(b));
        let step = round_step((high - low) / count.max(1) as f64);
        let slack = 1e-9 * (high - low);
        let first = ((low - slack) / step).ceil() as i64;
        let last = ((high + slack) / step).floor() as i64;
        // Rounding hides `0.30000000000000004`; the factor keeps labels short.
        let size = low.abs().max(high.abs());
        let exponent = size.log10().floor() as i32;
        let shift = if (-4..6).contains(&exponent) { 0 } else { exponent };
        let digits = (shift - (step.log10() + 1e-9).floor() as i32).max(0) as usize;
        let ticks = (first..=last)
            .map(|i| {
                let value = i as f64 * step;
                let shown = value / 10f64.powi(shift);
                let label = format!("{shown:.digits$}").replace('-', "−");
                Tick { at: self.place(value), label }
            })
            .collect();
        Ticks {
            ticks,
            minor: Vec::new(),
            factor: (shift != 0).then(|| format!("×{}", power_of_ten(shift))),
        }
    }

    /// Ticks at powers of ten, and at 2 and 5 times these if there are few.
    fn decades(&self, count: usize) -> Ticks {
        let (low, high) = (self.low.min(self.high), self.low.max(self.high));
        let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
        let every = ((last - first) as usize / count.max(1) + 1) as i32;
        let few = last - first < 2;
        let short = low >= -3.0 && high <= 4.0;
        let (mut ticks, mut minor) = (Vec::new(), Vec::new());
        for (exponent, digit) in
            (first - 1..=last).flat_map(|e| (1..10).map(move |d| (e, d)))
        {
            let value = f64::from(exponent) + f64::from(digit).log10();
            if !(low - 1e-9..=high + 1e-9).contains(&value) {
                continue;
            }
            let at = (value - self.low) / (self.high - self.low);
            let label = match digit {
                1 if few && short => plain(exponent, 1),
                1 if exponent % every == 0 => power_of_ten(exponent),
                2 | 5 if few && short => plain(exponent, digit),
                2 | 5 if few => format!("{digit}×{}", power_of_ten(exponent)),
                _ => {
                    // Between labels several decades apart, decades are the small ticks.
                    if every == 1 || digit == 1 {
                        minor.push(at);
                    }
                    continue;
                }
            };
            ticks.push(Tick { at, label });
        }
        Ticks { ticks, minor, factor: None }
    }
}

/// `0.02`: a digit times a power of ten.
fn plain(exponent: i32, digit: u8) -> String {
    let decimals = (-exponent).max(0) as usize;
    format!("{:.decimals$}", f64::from(digit) * 10f64.powi(exponent))
}

/// A number as the scale counts it: itself, or its logarithm.
pub(super) fn warp(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log if value > 0.0 => value.log10(),
        Scale::Log => f64::NAN,
    }
}

/// The smallest of 1, 2, 5, 10, … (times a power of ten) that is at least `step`.
pub(super) fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// `10⁻³`
pub(super) fn power_of_ten(exponent: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| RAISED[digit as usize]);
    format!("10{}", exponent.to_string().chars().map(raise).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(scale: Scale, low: f64, high: f64, count: usize) -> Vec<String> {
        let axis = Axis::new(scale, Some((low, high)), [].into_iter(), 0.0);
        axis.ticks(count).ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_at_round_numbers() {
        assert_eq!(
            labels(Scale::Linear, 0.0, 3.0, 6),
            ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]
        );
        assert_eq!(labels(Scale::Linear, -5.0, 10.0, 4), ["−5", "0", "5", "10"]);
        assert_eq!(labels(Scale::Log, 1e-3, 1.0, 5), ["10⁻³", "10⁻²", "10⁻¹", "10⁰"]);
    }

    #[test]
    fn large_numbers_share_a_factor() {
        let axis = Axis::new(Scale::Linear, Some((0.0, 2e6)), [].into_iter(), 0.0);
        let ticks = axis.ticks(2);
        assert_eq!(ticks.factor.as_deref(), Some("×10⁶"));
        assert_eq!(ticks.ticks[1].label, "1");
    }

    #[test]
    fn no_data_and_equal_data_still_give_an_axis() {
        assert_eq!(Axis::new(Scale::Linear, None, [].into_iter(), 0.05).place(0.5), 0.5);
        let same = Axis::new(Scale::Linear, None, [7.0, 7.0].into_iter(), 0.05);
        assert!((same.place(7.0) - 0.5).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn ticks_rise_within_the_axis(low in -1e9..1e9f64, length in 1e-3..1e9f64, count in 1..12usize) {
            let axis = Axis::new(Scale::Linear, Some((low, low + length)), [].into_iter(), 0.0);
            let ticks = axis.ticks(count).ticks;
            prop_assert!(ticks.len() <= count + 1);
            prop_assert!(ticks.iter().all(|t| (-1e-6..=1.0 + 1e-6).contains(&t.at)));
            prop_assert!(ticks.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }
}
