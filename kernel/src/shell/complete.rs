//! Whether a cell typed at a prompt is finished.

use jupyter_protocol::IsCompleteReply;

/// Complete, still open (the next line is indented), or wrong.
pub(super) fn is_complete(code: &str) -> IsCompleteReply {
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with([':', '#']) || line.contains("#["))
        .map(|line| format!("{line}\n"))
        .collect();
    let block = format!("{{{code}\n}}");
    let parse = || syn::parse_str::<syn::Block>(&block).map_err(|e| e.to_string()).err();
    match crate::syntax::with_room(&block, parse) {
        // What cannot be parsed here the compiler may still understand.
        None | Some(None) => IsCompleteReply::complete(),
        Some(Some(error)) => {
            let open = open_brackets(&code);
            if open > 0 || error.contains("unexpected end of input") {
                IsCompleteReply::incomplete("    ".repeat(open))
            } else {
                IsCompleteReply::invalid()
            }
        }
    }
}

/// How many brackets are still open, strings and comments apart.
fn open_brackets(code: &str) -> usize {
    let mut open = 0_usize;
    let mut rest = code.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '(' | '[' => open += 1,
            '}' | ')' | ']' => open = open.saturating_sub(1),
            '/' if rest.peek() == Some(&'/') => {
                while rest.next().is_some_and(|c| c != '\n') {}
            }
            '"' => {
                while let Some(c) = rest.next() {
                    match c {
                        '\\' => drop(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use jupyter_protocol::IsCompleteReplyStatus::{self, Complete, Incomplete, Invalid};

    #[test]
    fn cells_are_judged_as_a_reader_would() {
        let status = |code: &str| -> IsCompleteReplyStatus { is_complete(code).status };
        assert_eq!(status("let x = 1;\nx + 1"), Complete);
        assert_eq!(status(":dep rand\nuse rand::Rng;"), Complete);
        assert_eq!(status("//#@save\nfn f() {}"), Complete);
        assert_eq!(status("#[derive(Clone)]\nstruct A;"), Complete);
        assert_eq!(status("fn f() {"), Incomplete);
        assert_eq!(status("let x ="), Incomplete);
        assert_eq!(status("let s = \"{\";"), Complete);
        assert_eq!(status("let let;"), Invalid);
        assert_eq!(is_complete("for i in 0..3 {\n    if i > 1 {").indent, "        ");
    }
}
