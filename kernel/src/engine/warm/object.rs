//! One repair of a cell's object file before it is linked.
//!
//! Where a cell makes a function pointer of a `#[track_caller]` function of another crate, rustc 1.95
//! takes the function itself for one that is compiled here, and marks its symbol as hidden: the linker
//! then refuses to look for it in a library. A cell is one object, so what it does not define always
//! comes from a library.

use std::path::Path;

const SYMBOL_TABLE: u32 = 2;
const UNDEFINED: u16 = 0;
const VISIBILITY: u8 = 3;

/// Makes the symbols that an object file asks others for visible to the linker.
pub(super) fn show_undefined_symbols(object: &Path) -> std::io::Result<()> {
    let mut bytes = std::fs::read(object)?;
    if cfg!(target_os = "linux") && show_in(&mut bytes) == Some(true) {
        std::fs::write(object, bytes)?;
    }
    Ok(())
}

/// None if these are not the bytes of a 64-bit little-endian ELF file; true if something changed.
fn show_in(bytes: &mut [u8]) -> Option<bool> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let sections = usize::try_from(long(bytes, 0x28)?).ok()?;
    let (size, count) = (short(bytes, 0x3a)?, short(bytes, 0x3c)?);
    let mut changed = false;
    for section in 0..usize::from(count) {
        let header = sections.checked_add(section * usize::from(size))?;
        if word(bytes, header + 4)? != SYMBOL_TABLE {
            continue;
        }
        let start = usize::try_from(long(bytes, header + 0x18)?).ok()?;
        let length = usize::try_from(long(bytes, header + 0x20)?).ok()?;
        let symbols = bytes.get_mut(start..start.checked_add(length)?)?;
        for symbol in symbols.chunks_exact_mut(24) {
            let index = u16::from_le_bytes([symbol[6], symbol[7]]);
            if index == UNDEFINED && symbol[5] & VISIBILITY != 0 {
                symbol[5] &= !VISIBILITY;
                changed = true;
            }
        }
    }
    Some(changed)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
