//! What crosses crates: the rules of this repository. The tests of the whole pipeline join with the
//! commands that they run.

mod tidy;
