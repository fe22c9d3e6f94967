//! Pictures of pages, compared as somebody would who stands a few steps away.

use image::imageops::FilterType;
use image::{GrayImage, imageops};
use std::path::Path;

/// How wide a reduced picture is: lines of text are grey bars, letters are not told apart, so that
/// another version of a browser or a font makes no difference.
const WIDTH: u32 = 240;

/// By how much of black to white a place may differ.
const SHADE: u8 = 56;

/// Which part of all places may differ by more.
const PART: f64 = 0.015;

/// The picture in grey, and small.
///
/// # Panics
/// If it cannot be read.
pub fn reduced(path: &Path) -> GrayImage {
    let picture = image::open(path).expect("a picture").into_luma8();
    let height = (picture.height() * WIDTH).div_ceil(picture.width());
    imageops::resize(&picture, WIDTH, height, FilterType::Triangle)
}

/// How the picture at `path` differs from the reduced one at `golden`; `None` if it does not.
pub fn difference(golden: &Path, path: &Path) -> Option<String> {
    let Ok(expected) = image::open(golden) else {
        return Some("no golden picture".into());
    };
    let (expected, found) = (expected.into_luma8(), reduced(path));
    let (high, higher) = (expected.height(), found.height());
    if high.abs_diff(higher) * 50 > high {
        return Some(format!("{higher} high, not {high}"));
    }
    let places = u64::from(WIDTH) * u64::from(high.min(higher));
    let different = expected
        .rows()
        .zip(found.rows())
        .flat_map(|(a, b)| a.zip(b))
        .filter(|(a, b)| a.0[0].abs_diff(b.0[0]) > SHADE)
        .count();
    let part = different as f64 / places as f64;
    (part > PART).then(|| format!("{:.1} % of it looks different", 100.0 * part))
}
