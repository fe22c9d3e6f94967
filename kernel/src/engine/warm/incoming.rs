//! Bytes that arrive in any pieces → text without cut characters, or frames.
//!
//! A frame is four bytes of length, little-endian, and JSON that begins with `{"op":` and holds no
//! control character. Whatever a cell writes into the channel, and wherever a process that was killed
//! has stopped writing, the next whole frame is found: its length has a control character in it.

use super::frame::Frame;

/// How every frame begins.
const START: &[u8] = b"{\"op\":";

/// A frame that claims to be longer is none; so the last byte of a length is a control character.
const LARGEST: usize = 1 << 28;

/// What has arrived and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pending: Vec<u8>,
    /// How many bytes were taken so far.
    taken: u64,
    /// How many bytes of the first frame are known to be good.
    checked: usize,
}

impl Incoming {
    /// Adds what has arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// How many bytes have arrived since the start.
    pub(super) fn total(&self) -> u64 {
        self.taken + self.pending.len() as u64
    }

    /// What waits, as text.
    pub(super) fn rest(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.pending)
    }

    /// The text up to byte `total` since the start, without a character whose end is yet to come.
    pub(super) fn take_text(&mut self, total: u64) -> Option<String> {
        let length =
            usize::try_from(total.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        let text = &self.pending[..length.min(self.pending.len())];
        let cut = text.utf8_chunks().last().map_or(0, |last| {
            let begun = last.invalid();
            let open = std::str::from_utf8(begun).is_err_and(|e| e.error_len().is_none());
            if open { begun.len() } else { 0 }
        });
        let whole = text.len() - cut;
        let rest = self.pending.split_off(whole);
        let bytes = std::mem::replace(&mut self.pending, rest);
        self.taken += bytes.len() as u64;
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next frame, if all of it is there; what is no frame is skipped.
    pub(super) fn take_frame(&mut self) -> Option<Frame> {
        loop {
            let head = self.pending.get(..4)?;
            let length = u32::from_le_bytes(head.try_into().ok()?) as usize;
            let body = &self.pending[4..self.pending.len().min(4 + length)];
            let begun = body.len().min(START.len());
            let unseen = &body[self.checked.min(body.len())..];
            if length > LARGEST
                || body[..begun] != START[..begun]
                || unseen.iter().any(|byte| *byte < b' ')
            {
                self.skip();
            } else if body.len() < length {
                self.checked = body.len();
                return None;
            } else {
                match Frame::parse(body) {
                    Some(frame) => {
                        self.drop_first(4 + length);
                        return Some(frame);
                    }
                    None => self.skip(),
                }
            }
        }
    }

    /// Goes on at the next place that looks like the start of a frame.
    fn skip(&mut self) {
        // The length stands before the start; this one's was no good.
        let from = 5.min(self.pending.len());
        let found = self.pending[from..].windows(START.len()).position(|w| w == START);
        let next = match found {
            Some(at) => from + at - 4,
            // The last bytes may be those before a start that is yet to come.
            None => (self.pending.len() + 1).saturating_sub(4 + START.len()).max(1),
        };
        self.drop_first(next);
    }

    fn drop_first(&mut self, count: usize) {
        self.taken += count as u64;
        self.pending.drain(..count);
        self.checked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(json: &str) -> Vec<u8> {
        let mut bytes = (json.len() as u32).to_le_bytes().to_vec();
        bytes.extend(json.bytes());
        bytes
    }

    #[track_caller]
    fn clears(incoming: &mut Incoming) {
        let taken = incoming.take_frame();
        assert!(matches!(taken, Some(Frame::Clear { wait: true })), "{taken:?}");
    }

    const CLEAR: &str = r#"{"op":"clear","wait":true}"#;

    #[test]
    fn frames_come_in_pieces() {
        let mut incoming = Incoming::default();
        for byte in frame(CLEAR) {
            assert!(incoming.take_frame().is_none());
            incoming.push(&[byte]);
        }
        clears(&mut incoming);
        assert!(incoming.take_frame().is_none());
    }

    #[test]
    fn a_frame_that_was_cut_costs_only_itself() {
        let display = frame(&format!(
            r#"{{"op":"display","data":{{"text/plain":"{}"}}}}"#,
            "x".repeat(5000)
        ));
        for cut in [0, 1, 3, 4, 7, 10, 40, 4096] {
            let mut incoming = Incoming::default();
            incoming.push(&display[..cut]);
            incoming.push(&frame(CLEAR));
            clears(&mut incoming);
        }
    }

    #[test]
    fn rubbish_is_skipped() {
        for rubbish in [
            &b"hello\n"[..],
            b"\x03\0\0\0{x}",
            b"\xff\xff\xff\xff",
            b"\x10\0\0\0{\"op\":\"nothing\"",
            b"{\"op\":{\"op\":{\"op\":",
            b"\x08\0\0\0{\"op\":1}",
        ] {
            let mut incoming = Incoming::default();
            incoming.push(rubbish);
            while incoming.take_frame().is_some() {}
            incoming.push(&frame(CLEAR));
            clears(&mut incoming);
        }
    }

    #[test]
    fn no_character_is_cut() {
        let mut incoming = Incoming::default();
        let mut text = String::new();
        for byte in "a\u{e9}€😀b".bytes() {
            incoming.push(&[byte]);
            text.extend(incoming.take_text(u64::MAX));
        }
        assert_eq!(text, "aé€😀b");
        // Also behind what is no character at all.
        incoming.push(b"\xff\xe2\x82");
        assert_eq!(incoming.take_text(u64::MAX).unwrap(), "\u{fffd}");
        incoming.push(b"\xac");
        assert_eq!(incoming.take_text(u64::MAX).unwrap(), "€");
    }
}
