//! The faces of the printed book, for the screen.

use crate::weave::OutFile;
use typst::foundations::Bytes;
use typst::text::{FontInfo, FontStyle, FontWeight};

/// Family, weight, style, and the file's name in `static/fonts`, which the style sheet knows.
const FACES: [(&str, FontWeight, FontStyle, &str); 4] = [
    ("Libertinus Serif", FontWeight::REGULAR, FontStyle::Normal, "serif-regular.otf"),
    ("Libertinus Serif", FontWeight::REGULAR, FontStyle::Italic, "serif-italic.otf"),
    ("Libertinus Serif", FontWeight::BOLD, FontStyle::Normal, "serif-bold.otf"),
    ("New Computer Modern Math", FontWeight::REGULAR, FontStyle::Normal, "math.otf"),
];

/// The font files that pages load.
pub(super) fn files() -> Vec<OutFile> {
    let mut files = Vec::new();
    for data in typst_assets::fonts() {
        let Some(info) = FontInfo::new(&Bytes::new(data), 0) else { continue };
        let face = FACES.iter().find(|(family, weight, style, _)| {
            info.family.as_str() == *family
                && info.variant.weight == *weight
                && info.variant.style == *style
        });
        if let Some((.., name)) = face {
            let path = format!("static/fonts/{name}").into();
            files.push(OutFile { path, bytes: data.to_vec() });
        }
    }
    files
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_face_is_found() {
        assert_eq!(super::files().len(), super::FACES.len());
    }
}
