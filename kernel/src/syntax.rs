//! Parsing what somebody typed, however deep it is nested.
//!
//! The parser calls itself for each bracket, sign and `else if`, so that a kilobyte of `(` would end
//! the whole kernel. Its thread gets a stack for the worst text of that length; memory that is not
//! touched costs nothing. A thread of its own also forgets the text: the parser keeps every text that
//! it has read, for the positions in it, as long as the thread lives.

/// Stack that any text gets.
const ROOM: usize = 1 << 20;

/// Stack for each byte: more than the parser needs for one bracket, in a build that is not optimized.
const PER_BYTE: usize = 32 << 10;

/// Longer texts get no more stack; of these, only such are parsed as nest no deeper than that.
const LONG: usize = 16 << 10;

/// Runs `parse` on a thread with enough stack for `code`; none if there cannot be enough, or if the
/// parser fails.
pub(crate) fn with_room<T: Send>(
    code: &str,
    parse: impl FnOnce() -> T + Send,
) -> Option<T> {
    if code.len() > LONG && depth(code) > LONG / 2 {
        return None;
    }
    let stack = ROOM + PER_BYTE * code.len().min(LONG);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack);
        thread.spawn_scoped(scope, parse).ok()?.join().ok()
    })
}

/// A bound on how deep the parser goes: the brackets that are open, and the signs and words since the
/// last `,` or `;`. Strings and comments are not told apart.
fn depth(code: &str) -> usize {
    let (mut open, mut since, mut most) = (0_usize, 0, 0);
    let mut word = false;
    for byte in code.bytes() {
        let in_word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            b',' | b';' => since = 0,
            _ if in_word => since += usize::from(!word),
            _ if byte.is_ascii_whitespace() => {}
            _ => since += 1,
        }
        word = in_word;
        most = most.max(open + since);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these ended the process on a thread of the usual size.
    #[test]
    fn deep_nesting_ends_nothing() {
        for unit in
            ["(", "[", "{", "!", "&", "a=", "|a|", "if a{}else ", "x::<", "-", "return "]
        {
            for length in [1_000, LONG - 10, 40 * LONG] {
                let code = unit.repeat(length / unit.len()) + "a";
                with_room(&code, || syn::parse_str::<syn::Expr>(&code).is_ok());
                with_room(&code, || syn::parse_str::<syn::Type>(&code).is_ok());
            }
        }
    }

    #[test]
    fn what_is_shallow_is_parsed_at_any_length() {
        let code = format!("[{}]", "(1, 2), ".repeat(50_000));
        let parsed = with_room(&code, || syn::parse_str::<syn::ExprArray>(&code).is_ok());
        assert_eq!(parsed, Some(true));
    }
}
