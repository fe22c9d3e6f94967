//! How far results differ from seed to seed.

/// The seeds of the results in `tests/results/README.md`.
pub(crate) const SEEDS: [u64; 3] = [1, 2, 3];

/// Mean, least and greatest.
pub(crate) fn of(values: &[f64]) -> [f64; 3] {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    [mean, low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}
