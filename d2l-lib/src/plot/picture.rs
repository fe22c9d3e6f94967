//! Pixels as a PNG inside the SVG.

use super::color::Rgb;
use crate::display::base64;

/// Encodes pixels, row after row, as PNG in base64.
///
/// Every pixel becomes a block of pixels, since some PDF viewers smooth what they enlarge;
/// the blocks cost next to nothing once compressed.
pub(super) fn encode(rows: usize, columns: usize, pixels: &[Rgb]) -> String {
    const WANTED_SIDE: usize = 240;
    let zoom = (WANTED_SIDE / rows.max(columns)).clamp(1, 32);
    let mut bytes = Vec::with_capacity(rows * columns * zoom * zoom * 3);
    for row in pixels.chunks_exact(columns) {
        let line: Vec<u8> = (row.iter())
            .flat_map(|p| std::iter::repeat_n([p.0, p.1, p.2], zoom))
            .flatten()
            .collect();
        for _ in 0..zoom {
            bytes.extend_from_slice(&line);
        }
    }
    let mut file = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut file, (columns * zoom) as u32, (rows * zoom) as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header().expect("a picture has rows and columns");
    writer.write_image_data(&bytes).expect("writing to memory cannot fail");
    writer.finish().expect("writing to memory cannot fail");
    base64(&file)
}
