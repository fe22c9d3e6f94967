//! Functions of single floats, as every operation computes them.
//!
//! Those of `f32` are polynomials without branches, so that loops over them become vector
//! instructions. The distance of two neighbouring `f32` is between 6·10⁻⁸ and 1.2·10⁻⁷ of
//! them; so relative to the true value `exp` and `ln` are within 10⁻⁷, `tanh` and `sigmoid`
//! within 2·10⁻⁷, and the normal distribution within 10⁻⁶ above -5, within 3·10⁻⁶ above -8.
//! Those of `f64` are the standard library's.

use std::f64::consts::FRAC_1_SQRT_2;

use super::number::Number;

/// A float with the functions that networks need.
pub(crate) trait Float: Number + std::ops::AddAssign + Default {
    fn of(value: f64) -> Self;
    fn over(self, other: Self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn sigmoid(self) -> Self;
    fn sqrt(self) -> Self;
    /// The distribution function of the standard normal distribution.
    fn normal_below(self) -> Self;

    /// The same elements, if they are `f32`.
    fn as_f32(_values: &[Self]) -> Option<&[f32]> {
        None
    }

    /// The same elements, if they are `f32`.
    fn as_f32_mut(_values: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Float for f64 {
    #[inline(always)]
    fn of(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn over(self, other: f64) -> f64 {
        self / other
    }
    #[inline(always)]
    fn exp(self) -> f64 {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> f64 {
        f64::ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> f64 {
        f64::tanh(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> f64 {
        let e = (-self.abs()).exp();
        if self >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    fn normal_below(self) -> f64 {
        0.5 * libm::erfc(-self * FRAC_1_SQRT_2)
    }
}

impl Float for f32 {
    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
    fn as_f32_mut(values: &mut [f32]) -> Option<&mut [f32]> {
        Some(values)
    }
    #[inline(always)]
    fn of(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn over(self, other: f32) -> f32 {
        self / other
    }
    #[inline(always)]
    fn exp(self) -> f32 {
        exp(self)
    }
    #[inline(always)]
    fn ln(self) -> f32 {
        ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> f32 {
        tanh(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> f32 {
        sigmoid(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn normal_below(self) -> f32 {
        normal_below(self)
    }
}

/// Adding and taking away this number rounds to a whole one, which then, with the bias of
/// exponents, also stands in the lowest bits.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// `x` less the multiple `n` of ln 2 that is nearest; and bits of which the lowest nine are
/// `n + 127`.
#[inline(always)]
fn reduced(x: f32) -> (f32, u32) {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_HIGH, x);
    (n.mul_add(-LN_2_LOW, r), shifted.to_bits())
}

/// `2ⁿ` from the bits of [`reduced`], for `n` from -126 to 127.
#[inline(always)]
fn power(bits: u32) -> f32 {
    f32::from_bits(bits << 23)
}

/// `(exp(r) - 1 - r) / r²` for `|r| ≤ ln 2 / 2` (Cephes).
#[inline(always)]
fn polynomial(r: f32) -> f32 {
    let mut p = 1.987_569_2e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = r.mul_add(p, c);
    }
    p
}

/// `exp r` with the nearest multiple of ln 2 taken away, times `2ⁿ` by its bits.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Beyond these the result is infinity or 0; comparisons leave NaN as it is.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let (r, bits) = reduced(x);
    let y = (polynomial(r) * r).mul_add(r, r) + 1.0;
    // In two factors, so that neither leaves the range of exponents.
    let both = bits.wrapping_add(127);
    let half = both >> 1;
    y * power(half) * power(both.wrapping_sub(half))
}

/// [`exp`] for `|x| ≤ 87`, where one factor is enough.
#[inline(always)]
fn exp_near(x: f32) -> f32 {
    let (r, bits) = reduced(x);
    ((polynomial(r) * r).mul_add(r, r) + 1.0) * power(bits)
}

/// `x = m·2ᵉ` with `m` between √½ and √2, and a polynomial for `ln m` (Cephes).
#[inline(always)]
fn ln(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let bits = scaled.to_bits() as i32;
    // The exponent of the power of 2 next below `x·√2`.
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let e = bits.wrapping_sub(SQRT_HALF) >> 23;
    let m = f32::from_bits(bits.wrapping_sub(e << 23) as u32) - 1.0;
    let e = e as f32 - if tiny { 23.0 } else { 0.0 };
    let mut p = 7.037_683_6e-2;
    for c in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1_f32,
    ] {
        p = m.mul_add(p, c);
    }
    let square = m * m;
    let y = p * m * square;
    let y = e.mul_add(-2.121_944_4e-4, y);
    let y = (-0.5_f32).mul_add(square, y);
    let y = e.mul_add(0.693_359_4, m + y);
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x < 0.0 { f32::NAN } else { y };
    // Infinity and NaN are their own logarithms.
    if x < f32::INFINITY { y } else { x }
}

/// `exp(x) - 1` for `|x| ≤ 87`, also where that is near 0.
#[inline(always)]
fn exp_less_1(x: f32) -> f32 {
    let (r, bits) = reduced(x);
    let less_1 = (polynomial(r) * r).mul_add(r, r);
    let power = power(bits);
    power.mul_add(less_1, power - 1.0)
}

/// `(e²ˣ - 1) / (e²ˣ + 1)`.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    // Beyond 10 it is 1; comparisons leave NaN as it is.
    let size = x.abs();
    let size = if size > 10.0 { 10.0 } else { size };
    let above = exp_less_1(size + size);
    (above / (above + 2.0)).copysign(x)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    const END: f32 = 87.0;
    let end = if x < -END { -END } else { x };
    let end = if end > END { END } else { end };
    let ratio = 1.0 / (1.0 + exp_near(-end));
    if x < -END { 0.0 } else { ratio }
}

/// The distribution function of the standard normal distribution.
///
/// With `z = |x|/√2` and `t = 1 / (1 + z/2)` half of `erfc z` is `t/2 · exp(-z² + P(t))`, as in
/// Numerical Recipes, 6.2.
#[inline(always)]
fn normal_below(x: f32) -> f32 {
    // Beyond 13 it is 0 or 1; comparisons leave NaN as it is.
    let size = x.abs();
    let size = if size > 13.0 { 13.0 } else { size };
    let t = 2.0 / size.mul_add(FRAC_1_SQRT_2 as f32, 2.0);
    let mut p = 0.170_872_77_f32;
    for c in [
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ] {
        p = t.mul_add(p, c);
    }
    let tail = 0.5 * t * exp_near((-0.5 * size).mul_add(size, p));
    let tail = if x < -13.0 { 0.0 } else { tail };
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest relative error over `from..to`, and where.
    fn worst(
        range: std::ops::Range<f32>,
        found: fn(f32) -> f32,
        exact: fn(f64) -> f64,
    ) -> (f64, f32) {
        const STEPS: u32 = 1_000_000;
        let at =
            |i: u32| range.start + (range.end - range.start) * (i as f32 / STEPS as f32);
        (0..STEPS)
            .map(at)
            .map(|x| (((f64::from(found(x)) / exact(x.into())) - 1.0).abs(), x))
            .filter(|(error, _)| error.is_finite())
            .fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
    }

    #[test]
    fn single_precision_is_as_near_to_the_truth_as_it_says() {
        for (name, bound, (error, x)) in [
            ("exp", 1e-7, worst(-87.0..88.7, Float::exp, f64::exp)),
            ("exp", 1e-7, worst(-1.0..1.0, Float::exp, f64::exp)),
            ("ln", 1e-7, worst(1e-30..10.0, Float::ln, f64::ln)),
            ("ln", 1e-7, worst(0.5..0.999, Float::ln, f64::ln)),
            ("ln", 1e-7, worst(1.001..3.0, Float::ln, f64::ln)),
            ("ln", 1e-7, worst(1.0..1e30, Float::ln, f64::ln)),
            ("tanh", 2e-7, worst(0.001..10.0, Float::tanh, f64::tanh)),
            ("tanh", 2e-7, worst(-1.0..-0.001, Float::tanh, f64::tanh)),
            ("sigmoid", 2e-7, worst(-80.0..80.0, Float::sigmoid, Float::sigmoid)),
        ] {
            assert!(error <= bound, "{name}: {error:e} at {x}");
        }
        for (range, bound) in [(-5.0..6.0, 1e-6), (-8.0..-5.0, 3e-6)] {
            let (error, x) = worst(range, Float::normal_below, Float::normal_below);
            assert!(error <= bound, "normal_below: {error:e} at {x}");
        }
    }

    #[test]
    fn extremes_are_those_of_the_standard_library() {
        let ends = [
            0.0_f32,
            -0.0,
            1e-45,
            -1e-45,
            1e-38,
            1e-20,
            -1e-20,
            88.8,
            89.5,
            -88.0,
            -103.0,
            -104.5,
            1e30,
            -1e30,
            3.4e38,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        for x in ends {
            let same = |found: f32, exact: f32| {
                found == exact
                    || (found.is_nan() && exact.is_nan())
                    || (found / exact - 1.0).abs() < 2e-7
                    // Two roundings among the numbers without leading 1.
                    || (exact.abs() < f32::MIN_POSITIVE && (found - exact).abs() < 3e-45)
            };
            assert!(same(exp(x), x.exp()), "exp({x}) = {}", exp(x));
            assert!(same(ln(x), x.ln()), "ln({x}) = {}", ln(x));
            assert!(same(tanh(x), x.tanh()), "tanh({x}) = {}", tanh(x));
        }
        assert_eq!(Float::sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(Float::sigmoid(f32::INFINITY), 1.0);
        assert_eq!(Float::normal_below(40.0_f32), 1.0);
        assert_eq!(Float::normal_below(-40.0_f32), 0.0);
        assert!(Float::normal_below(f32::NAN).is_nan());
    }
}
