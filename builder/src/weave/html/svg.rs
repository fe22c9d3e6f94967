//! Drawings inside a page, where they take its colours.

/// The `<svg>` element of a file, with its ids made unique by `prefix`.
pub(super) fn inlined(file: &str, prefix: &str) -> Option<String> {
    let start = file.find("<svg")?;
    let end = file.rfind("</svg>")? + "</svg>".len();
    let mut svg = file.get(start..end)?.to_owned();
    for id in ids(&svg) {
        for (before, after) in [("id=\"", "\""), ("url(#", ")"), ("href=\"#", "\"")] {
            let from = format!("{before}{id}{after}");
            svg = svg.replace(&from, &format!("{before}{prefix}-{id}{after}"));
        }
    }
    Some(svg)
}

/// The drawing without what it says of itself to those who do not see it.
pub(super) fn without_words(svg: &str) -> String {
    let (opening, rest) = svg.split_at(svg.find('>').unwrap_or(svg.len()));
    without(opening, &["role", "aria-label"]).1 + rest
}

/// The attributes of a tag that have these names, and the tag without them.
pub(in crate::weave) fn without(tag: &str, names: &[&str]) -> (String, String) {
    let (mut taken, mut tag) = (String::new(), tag.to_owned());
    for name in names {
        let Some(start) = tag.find(&format!(" {name}=\"")) else { continue };
        let value = start + name.len() + 3;
        let end = tag[value..].find('"').map_or(tag.len(), |at| value + at + 1);
        taken.push_str(&tag[start..end]);
        tag.replace_range(start..end, "");
    }
    (taken, tag)
}

fn ids(svg: &str) -> Vec<String> {
    let mut ids: Vec<String> = (svg.match_indices(" id=\""))
        .filter_map(|(at, mark)| svg[at + mark.len()..].split('"').next())
        .map(str::to_owned)
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_drawings_do_not_meet() {
        let file = "<?xml version=\"1.0\"?>\n<svg><marker id=\"a\"/><path marker-end=\"url(#a)\"/>\
                    <use href=\"#a\"/></svg>\n";
        assert_eq!(
            inlined(file, "f1").unwrap(),
            "<svg><marker id=\"f1-a\"/><path marker-end=\"url(#f1-a)\"/><use href=\"#f1-a\"/></svg>"
        );
        assert_eq!(inlined("GIF89a", "f1"), None);
    }

    #[test]
    fn an_author_describes_a_drawing_anew() {
        let svg = "<svg width=\"1\" role=\"img\" aria-label=\"line\" x=\"2\"><g role=\"a\"/></svg>";
        let rest = "<svg width=\"1\" x=\"2\"><g role=\"a\"/></svg>";
        assert_eq!(without_words(svg), rest);
        assert_eq!(without_words(rest), rest);
    }
}
