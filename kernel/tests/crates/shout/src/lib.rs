//! A crate for the test of `:dep`: a function and a static.

pub static N: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);

pub fn shout(text: &str) -> String {
    text.to_uppercase()
}
