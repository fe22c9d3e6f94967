//! What must hold for every input. The modules under test are compiled from the kernel's own files,
//! so a nightly compiler with sanitizers need not compile the kernel's 600 dependencies.

#![allow(dead_code, unreachable_pub, reason = "a part of each module is used")]

/// As the kernel's.
pub mod engine {
    /// As the kernel's.
    pub type MimeBundle = std::collections::BTreeMap<String, String>;
}

#[path = "../../src/syntax.rs"]
pub(crate) mod syntax;

#[path = "../../src/wire/frames.rs"]
mod frames;

#[path = "../../src/engine/warm/cell.rs"]
mod cell;
#[path = "../../src/engine/warm/frame.rs"]
mod frame;
#[path = "../../src/engine/warm/incoming.rs"]
mod incoming;
#[path = "../../src/engine/warm/session.rs"]
mod session;

use bytes::Bytes;
use frame::Frame;
use frames::Signer;
use incoming::Incoming;
use session::{Plan, Session, Variable};

/// Jupyter's frames: nothing makes it panic, and what is a message comes back as the same message.
/// Pieces are separated by `\n`, as are the parts of a message.
pub fn jupyter(data: &[u8]) {
    let frames: Vec<Bytes> =
        data.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect();
    let signer = Signer::new("");
    let _ = Signer::new("key").decode(&frames);
    if let Ok(message) = signer.decode(&frames) {
        let again = signer.decode(&signer.encode(&message)).expect("what was decoded");
        let content = |m: &jupyter_protocol::JupyterMessage| {
            (serde_json::to_value(&m.content).ok(), m.buffers.clone())
        };
        assert_eq!(content(&again), content(&message));
        assert_eq!(again.header.msg_id, message.header.msg_id);
    }
}

/// The display channel: frames after rubbish are found, and do not depend on how the bytes are cut;
/// no character of the text is cut.
pub fn display(data: &[u8]) {
    let Some((&pace, data)) = data.split_first() else { return };
    let pieces = || data.chunks(usize::from(pace).max(1));
    let mut cut = Incoming::default();
    let mut seen = Vec::new();
    for piece in pieces() {
        cut.push(piece);
        seen.extend(std::iter::from_fn(|| cut.take_frame()));
    }
    let mut whole = Incoming::default();
    whole.push(data);
    let all: Vec<Frame> = std::iter::from_fn(|| whole.take_frame()).collect();
    assert_eq!(seen, all);
    let good = br#"{"op":"clear","wait":true}"#;
    let frame = [&(good.len() as u32).to_le_bytes()[..], good].concat();
    cut.push(&frame);
    let last = std::iter::from_fn(|| cut.take_frame()).last();
    assert_eq!(last, Some(Frame::Clear { wait: true }));

    let mut incoming = Incoming::default();
    let mut text = String::new();
    for piece in pieces() {
        incoming.push(piece);
        text.extend(incoming.take_text(u64::MAX));
    }
    text.push_str(&incoming.rest());
    assert_eq!(text, String::from_utf8_lossy(data));
    assert_eq!(incoming.total(), data.len() as u64);
}

/// The splitter: the pieces of a cell are in order, apart, and hold all of its tokens; the code that
/// is made of them says truly where each piece is from. Cells are separated by `\0`.
pub fn cells(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut session = Session::default();
    let all: Vec<&str> = text.split('\0').take(4).collect();
    for (number, text) in all.iter().enumerate() {
        let id = number as u64 + 1;
        let cell = cell::split(text);
        for all_items in [false, true] {
            let plan = Plan { all_items, ..Plan::default() };
            let code = session.generate(id, text, cell.as_ref(), "", &plan);
            for segment in &code.segments {
                let from = all[segment.cell as usize - 1];
                let copied = &code.code[segment.range.clone()];
                let at = segment.start..segment.start + copied.len();
                assert_eq!(copied, &from[at], "{:?}", segment);
            }
        }
        let Some(cell) = cell else { continue };
        let mut pieces: Vec<_> =
            cell.items.iter().map(|item| item.range.clone()).collect();
        pieces.extend(cell.statements.iter().cloned().chain(cell.last.clone()));
        pieces.sort_by_key(|piece| piece.start);
        let mut end = 0;
        for piece in pieces {
            let between = &text[end..piece.start];
            let tokens: proc_macro2::TokenStream = between.parse().expect("it parsed");
            // A `;` of its own is a statement that does nothing.
            let rest = tokens.to_string().replace([';', ' '], "");
            assert_eq!(rest, "", "left out of the cell");
            end = piece.end;
        }
        session.commit(id, text, &cell);
        for (name, mutable) in &cell.bindings {
            let variable = Variable { type_name: "u8".into(), mutable: *mutable };
            session.variables.insert(name.clone(), variable);
        }
    }
}
