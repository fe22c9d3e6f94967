//! Pictures, made ready for paper.

/// How many points a CSS pixel takes: drawings are made for text of 17 pixels, the page has 10 points.
const POINTS_PER_PIXEL: f64 = 0.6;

/// A drawing in black where the screen would use the colour of the text.
pub(super) fn printed(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut rest = svg;
    let lower = svg.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find("currentcolor") {
        out.push_str(&rest[..found]);
        out.push_str("black");
        rest = &rest[found + "currentcolor".len()..];
        from += found + "currentcolor".len();
    }
    out.push_str(rest);
    out
}

/// What a drawing says of itself to those who do not see it.
pub(super) fn words(svg: &str) -> Option<String> {
    let start = svg.find("<svg")?;
    let tag = &svg[start..start + svg[start..].find('>')?];
    let words = attribute(tag, "aria-label")?;
    let words = words.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    Some(words.replace("&amp;", "&"))
}

/// The width of a drawing on paper in points, from its own `width` or its view box.
pub(super) fn width(svg: &str) -> Option<f64> {
    let start = svg.find("<svg")?;
    let tag = &svg[start..start + svg[start..].find('>')?];
    let own = attribute(tag, "width").and_then(points);
    own.or_else(|| {
        let view = attribute(tag, "viewBox")?;
        let width = view.split([' ', ',']).filter(|part| !part.is_empty()).nth(2)?;
        width.parse().ok().map(|width: f64| width * POINTS_PER_PIXEL)
    })
    .filter(|width| width.is_finite() && *width > 0.0)
}

/// A length as CSS writes it, in points; none if it is relative to something.
fn points(length: &str) -> Option<f64> {
    let length = length.trim();
    let number = length.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let factor = match &length[number.len()..] {
        "" | "px" => POINTS_PER_PIXEL,
        "pt" => 1.0,
        "in" => 72.0,
        "cm" => 72.0 / 2.54,
        "mm" => 72.0 / 25.4,
        "em" | "rem" => 10.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// The `:width:` or `:height:` of an image, in typst; none if it is not a length.
pub(super) fn length(written: &str) -> Option<String> {
    if let Some(percent) = written.trim().strip_suffix('%') {
        return percent.parse::<f64>().ok().map(|percent| format!("{percent}%"));
    }
    points(written).map(|points| format!("{points}pt"))
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.match_indices(name).find_map(|(at, _)| {
        let is_word = tag[..at].ends_with(char::is_whitespace);
        let value = tag[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
        let quote =
            value.chars().next().filter(|c| is_word && matches!(c, '"' | '\''))?;
        value[1..].split(quote).next()
    })
}

/// Text of a program as paper shows it: without colours, lines as they stood in the end.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.trim_end_matches('\n').split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = line.rsplit('\r').next().unwrap_or(line);
        if index > 0 {
            out.push('\n');
        }
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '\u{1b}' => {
                    // `ESC [ … letter`
                    if chars.next() == Some('[') {
                        let _ = chars.find(|c| c.is_ascii_alphabetic());
                    }
                }
                '\t' => out.push_str("    "),
                c if c.is_control() => {}
                c => out.push(c),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colour_of_the_text_is_black() {
        let svg =
            "<svg fill=\"currentColor\"><path stroke=\"currentcolor\" d=\"M0\"/></svg>";
        let expected = "<svg fill=\"black\"><path stroke=\"black\" d=\"M0\"/></svg>";
        assert_eq!(printed(svg), expected);
    }

    #[test]
    fn drawings_have_the_width_they_say() {
        let of = |attributes: &str| width(&format!("<svg {attributes}></svg>"));
        assert_eq!(of("width=\"252pt\""), Some(252.0));
        assert_eq!(of("stroke-width=\"2\" width='100'"), Some(60.0));
        assert_eq!(of("width=\"100%\" viewBox=\"0 0 200 100\""), Some(120.0));
        assert_eq!(of("height=\"3\""), None);
    }

    #[test]
    fn lengths_of_images_are_understood() {
        assert_eq!(length("400px").as_deref(), Some("240pt"));
        assert_eq!(length("60%").as_deref(), Some("60%"));
        assert_eq!(length("wide"), None);
    }

    #[test]
    fn terminals_leave_no_traces() {
        assert_eq!(plain("10%\r100%\n\u{1b}[31mred\u{1b}[0m\tx\n"), "100%\nred    x");
        assert_eq!(plain("\na\n\nb"), "\na\n\nb");
        assert_eq!(plain(""), "");
    }
}
