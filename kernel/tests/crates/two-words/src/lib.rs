//! A crate for the test of `:dep`: a name with a hyphen, a generic type.

pub struct Pair<T>(pub T, pub T);

impl<T: Clone> Pair<T> {
    pub fn of(value: T) -> Self {
        Self(value.clone(), value)
    }
}
