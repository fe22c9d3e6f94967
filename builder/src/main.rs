//! The binary `d2l`.

fn main() {}
