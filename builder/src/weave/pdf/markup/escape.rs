//! Text that means nothing to typst but itself.

/// Text in typst's markup. Straight quotes stay, so that they become the language's own.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let is_special = match c {
            '\\' | '#' | '$' | '*' | '_' | '`' | '<' | '>' | '@' | '~' | '=' | '+'
            | '/' | '[' | ']' => true,
            // A hyphen inside a word is one; others would become dashes, minus signs or lists.
            '-' => !(before.is_alphabetic() && after.is_alphabetic()),
            // `...` and `1.` at the beginning of a line.
            '.' => after == '.' || before.is_numeric(),
            _ => false,
        };
        if is_special {
            out.push('\\');
        }
        if c == '\0' {
            continue;
        }
        out.push(c);
        before = c;
    }
    out
}

/// A string in typst's code, with its quotes.
pub(in crate::weave) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let cases = [
            ("a_b *c* #d $e$ `f`", "a\\_b \\*c\\* \\#d \\$e\\$ \\`f\\`"),
            ("- 1. = + /", "\\- 1\\. \\= \\+ \\/"),
            ("well-known -1 -- ...", "well-known \\-1 \\-\\- \\.\\.."),
            ("<a> @b ~ [c] \\", "\\<a\\> \\@b \\~ \\[c\\] \\\\"),
            ("https://x.org", "https:\\/\\/x.org"),
            ("she said \"it's\"", "she said \"it's\""),
        ];
        for (plain, escaped) in cases {
            assert_eq!(text(plain), escaped);
        }
    }

    #[test]
    fn strings_come_back_as_they_were() {
        assert_eq!(quoted("a \"b\"\\\n"), "\"a \\\"b\\\"\\\\\\n\"");
    }
}
