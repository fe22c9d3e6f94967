//! Floats of 16 bits: to `f32`, which holds them all, and back, to the nearest with ties to the
//! even one.
//!
//! Written without branches, so that loops over them become vector instructions.

use half::{bf16, f16};

/// The upper half of an `f32`.
#[inline(always)]
pub(crate) fn from_bf16(half: bf16) -> f32 {
    f32::from_bits(u32::from(half.to_bits()) << 16)
}

#[inline(always)]
pub(crate) fn to_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    // Carries into the upper half from its half on; exactly there, only to make it even.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // What says that it is NaN may all lie in the lower half.
    let nan = bits >> 16 | 0x40;
    bf16::from_bits(if value.is_nan() { nan } else { rounded } as u16)
}

/// How far the fraction of an `f32` reaches below that of an `f16`.
const SHIFT: u32 = 23 - 10;

/// The bits of an `f32` that is a power of two.
const fn power(exponent: i32) -> u32 {
    ((exponent + 127) as u32) << 23
}

/// 1 bit of sign, 5 of exponent, 10 of fraction.
#[inline(always)]
pub(crate) fn from_f16(half: f16) -> f32 {
    const EXPONENT: u32 = 0x7c00 << SHIFT;
    let bits = u32::from(half.to_bits());
    let shifted = (bits & 0x7fff) << SHIFT;
    let exponent = shifted & EXPONENT;
    // Exponents count from 127, no longer from 15; infinity and NaN keep the greatest.
    let moved = shifted + ((127 - 15) << 23);
    let greatest = (shifted + ((2 * (127 - 15)) << 23)) | 0x7f80_0000;
    let greatest = if shifted > EXPONENT { greatest | 0x0040_0000 } else { greatest };
    // Numbers without leading 1 get it, and it is taken away again.
    let small = f32::from_bits(moved + (1 << 23)) - f32::from_bits(power(-14));
    let size = if exponent == 0 { small.to_bits() } else { moved };
    let size = if exponent == EXPONENT { greatest } else { size };
    f32::from_bits(size | (bits & 0x8000) << 16)
}

#[inline(always)]
pub(crate) fn to_f16(value: f32) -> f16 {
    let sign = value.to_bits() & 0x8000_0000;
    let size = value.to_bits() ^ sign;
    // Adding this number rounds to a multiple of the least `f16`, which stands in the lowest bits.
    const ROUND: u32 = power(23 - 24);
    let small =
        (f32::from_bits(size) + f32::from_bits(ROUND)).to_bits().wrapping_sub(ROUND);
    let odd = size >> SHIFT & 1;
    let ordinary = size.wrapping_sub((127 - 15) << 23).wrapping_add(0xfff + odd) >> SHIFT;
    let nan = 0x7e00 | size >> SHIFT & 0x3ff;
    let half = if size < power(-14) { small } else { ordinary };
    let half = if size >= power(16) { 0x7c00 } else { half };
    let half = if value.is_nan() { nan } else { half };
    f16::from_bits((half | sign >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around every half: itself, the middle to the next one, and the neighbours of that.
    fn around(here: f32, next: f32) -> [f32; 4] {
        // Exact: the middle of two neighbouring halves has one more digit.
        let middle = (f64::from(here) + f64::from(next)) / 2.0;
        let middle = middle as f32;
        [here, middle, middle.next_down(), middle.next_up()]
    }

    #[test]
    fn all_halves_become_what_the_crate_half_makes_of_them() {
        for bits in 0..=u16::MAX {
            let (f, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert_eq!(from_f16(f).to_bits(), f.to_f32().to_bits(), "f16 {bits:#x}");
            let same = from_bf16(b).to_bits() == b.to_f32().to_bits();
            assert!(same || b.is_nan() && from_bf16(b).is_nan(), "bf16 {bits:#x}");
        }
    }

    #[test]
    fn all_halves_come_back_and_what_lies_between_goes_to_the_nearest() {
        for bits in 0..=u16::MAX {
            let next = bits.wrapping_add(1);
            let pairs =
                around(from_f16(f16::from_bits(bits)), from_f16(f16::from_bits(next)));
            for value in pairs {
                let (found, exact) = (to_f16(value), f16::from_f32(value));
                let same = found.to_bits() == exact.to_bits();
                assert!(
                    same || value.is_nan() && found.is_nan(),
                    "f16 {value:e}: {found:?}"
                );
            }
            let pairs = around(
                from_bf16(bf16::from_bits(bits)),
                from_bf16(bf16::from_bits(next)),
            );
            for value in pairs {
                let (found, exact) = (to_bf16(value), bf16::from_f32(value));
                let same = found.to_bits() == exact.to_bits();
                assert!(
                    same || value.is_nan() && found.is_nan(),
                    "bf16 {value:e}: {found:?}"
                );
            }
            let (f, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert!(f.is_nan() || to_f16(from_f16(f)).to_bits() == bits);
            assert!(b.is_nan() || to_bf16(from_bf16(b)).to_bits() == bits);
        }
    }

    #[test]
    fn ties_ends_and_the_smallest_are_rounded_as_ieee_754_says() {
        // 1 + 2⁻¹¹ lies between two f16, 1 + 2⁻⁸ between two bf16; the even one is 1.
        assert_eq!(from_f16(to_f16(1.0 + 2_f32.powi(-11))), 1.0);
        assert_eq!(from_f16(to_f16(1.0 + 3.0 * 2_f32.powi(-11))), 1.0 + 2_f32.powi(-9));
        assert_eq!(from_bf16(to_bf16(1.0 + 2_f32.powi(-8))), 1.0);
        assert_eq!(from_bf16(to_bf16(1.0 + 3.0 * 2_f32.powi(-8))), 1.0 + 2_f32.powi(-6));
        assert_eq!(from_f16(to_f16(65519.0)), 65504.0);
        assert_eq!(from_f16(to_f16(65520.0)), f32::INFINITY);
        assert_eq!(from_f16(to_f16(2_f32.powi(-25))), 0.0);
        assert_eq!(from_f16(to_f16(1.5 * 2_f32.powi(-25))), 2_f32.powi(-24));
        assert_eq!(to_f16(-1e-30).to_bits(), 0x8000);
        assert_eq!(from_bf16(to_bf16(f32::MAX)), f32::INFINITY);
        assert!(from_bf16(to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
        assert!(from_f16(to_f16(f32::from_bits(0x7f80_0001))).is_nan());
    }
}
