//! Hashes of several parts.

/// Adds a part; lengths keep `ab` + `c` apart from `a` + `bc`.
pub(crate) fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&bytes.len().to_le_bytes());
    hasher.update(bytes);
}
