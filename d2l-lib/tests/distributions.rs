//! Random numbers follow the distributions that they are named after: not only their moments
//! but their whole distribution function. A test binary of its own, because the generator is
//! that of the whole process; with a fixed seed nothing here depends on luck.

use d2l::{nn::init, prelude::*};

const DRAWS: usize = 20_000;

/// The distance between two distribution functions that a right sample exceeds once in 10,000
/// (Kolmogorov), times √n.
const KOLMOGOROV: f64 = 2.23;

/// Kolmogorov and Smirnov's test of draws against a continuous distribution function.
fn assert_continuous(what: &str, draws: &Tensor, cdf: impl Fn(f64) -> f64) {
    let sorted = draws.flatten().sort(0).to_vec_f64();
    let n = sorted.len() as f64;
    let distance = (sorted.iter().enumerate())
        .map(|(i, &x)| {
            (cdf(x) - i as f64 / n).abs().max(((i + 1) as f64 / n - cdf(x)).abs())
        })
        .fold(0.0, f64::max);
    assert!(distance * n.sqrt() < KOLMOGOROV, "{what}: {}", distance * n.sqrt());
}

/// Pearson's test of counts against probabilities, by the normal approximation of Wilson and
/// Hilferty: a right sample exceeds it once in 10,000.
fn assert_counts(what: &str, counts: &[i64], probabilities: &[f64]) {
    assert_eq!(counts.len(), probabilities.len(), "{what}");
    let n = counts.iter().sum::<i64>() as f64;
    let total: f64 = probabilities.iter().sum();
    assert!((total - 1.0).abs() < 1e-9, "{what}: probabilities add up to {total}");
    let square: f64 = (counts.iter().zip(probabilities))
        .map(|(&count, p)| (count as f64 - n * p).powi(2) / (n * p))
        .sum();
    let degrees = (counts.len() - 1) as f64;
    let spread = 2.0 / (9.0 * degrees);
    let normal = ((square / degrees).cbrt() - (1.0 - spread)) / spread.sqrt();
    assert!(normal < 3.72, "{what}: {normal} standard deviations, {counts:?}");
}

fn normal_cdf(x: f64) -> f64 {
    tensor_f64([x / 2.0_f64.sqrt()]).erf().item() * 0.5 + 0.5
}

/// Probabilities of 0, 1, … up to where less than a millionth is left, and of all beyond.
fn poisson(rate: f64) -> Vec<f64> {
    let mut probabilities = vec![(-rate).exp()];
    while probabilities.iter().sum::<f64>() < 0.999 {
        probabilities.push(
            probabilities[probabilities.len() - 1] * rate / probabilities.len() as f64,
        );
    }
    probabilities.push(1.0 - probabilities.iter().sum::<f64>());
    probabilities
}

#[test]
fn draws_follow_their_distributions() {
    seed(11);
    assert_continuous("rand", &Tensor::rand(DRAWS), |x| x);
    assert_continuous("randn", &Tensor::randn(DRAWS), normal_cdf);
    assert_continuous("normal", &Tensor::normal(-3.0, 0.5, DRAWS), |x| {
        normal_cdf((x + 3.0) / 0.5)
    });
    assert_continuous("exponential", &Tensor::exponential(2.0, DRAWS), |x| {
        1.0 - (-2.0 * x).exp()
    });

    let dice = Tensor::randint(-2..5, DRAWS) + 2;
    assert_counts("randint", &dice.bincount(7).to_vec_i64(), &[1.0 / 7.0; 7]);
    let coins = Tensor::full([DRAWS], 0.3).bernoulli().to_dtype(DType::I64);
    assert_counts("bernoulli", &coins.bincount(2).to_vec_i64(), &[0.7, 0.3]);
    let draws = tensor([1.0, 5.0, 0.5, 3.5]).multinomial(DRAWS);
    assert_counts(
        "multinomial",
        &draws.bincount(4).to_vec_i64(),
        &[0.1, 0.5, 0.05, 0.35],
    );
    // From 10 on by another algorithm.
    for rate in [0.1, 3.5, 10.0, 20.0, 700.0] {
        let counts = Tensor::full([DRAWS], rate).poisson().to_dtype(DType::I64);
        let expected = poisson(rate);
        let last = expected.len() - 1;
        // Cells with hardly any draws go together.
        let first =
            expected.iter().position(|p| *p > 1e-3).expect("some count is likely");
        let found = counts
            .clamp(first as f64, last as f64)
            .to_dtype(DType::I64)
            .bincount(last + 1)
            .to_vec_i64();
        let mut cells = expected[first..].to_vec();
        cells[0] += expected[..first].iter().sum::<f64>();
        assert_counts("poisson", &found[first..], &cells);
    }

    // All 24 orders of four things are equally likely; so are those of rows.
    let order =
        |x: Tensor| x.to_vec_i64().iter().fold(0, |code, i| code * 4 + *i as usize);
    let mut orders = [vec![0; 256], vec![0; 256]];
    for _ in 0..DRAWS / 4 {
        orders[0][order(Tensor::randperm(4))] += 1;
        orders[1][order(Tensor::arange(0..4).shuffle())] += 1;
    }
    for counts in orders {
        let counts: Vec<i64> = counts.into_iter().filter(|count| *count > 0).collect();
        assert_counts("orders", &counts, &[1.0 / 24.0; 24]);
    }

    let dropped = nn::Dropout::new(0.2).forward(&Tensor::ones(DRAWS)).eq(0.0);
    let zeros = dropped.to_dtype(DType::I64).sum().item() as i64;
    assert_counts("dropout", &[zeros, DRAWS as i64 - zeros], &[0.2, 0.8]);

    // (out, in) = (100, 200).
    let weight = Tensor::zeros([100, 200]);
    init::uniform(&weight, -1.0, 3.0);
    assert_continuous("uniform", &weight, |x| (x + 1.0) / 4.0);
    init::normal(&weight, 1.0, 2.0);
    assert_continuous("init::normal", &weight, |x| normal_cdf((x - 1.0) / 2.0));
    for (init, bound) in [
        (init::xavier_uniform as fn(&Tensor), (6.0_f64 / 300.0).sqrt()),
        (init::kaiming_uniform, (6.0_f64 / 200.0).sqrt()),
    ] {
        init(&weight);
        assert_continuous("uniform initialisers", &weight, |x| (x / bound + 1.0) / 2.0);
    }
    for (init, std) in [
        (init::xavier_normal as fn(&Tensor), (2.0_f64 / 300.0).sqrt()),
        (init::kaiming_normal, (2.0_f64 / 200.0).sqrt()),
    ] {
        init(&weight);
        assert_continuous("normal initialisers", &weight, |x| normal_cdf(x / std));
    }
    let layer = nn::Linear::new(200, 100);
    assert_continuous("Linear", &layer.weight, |x| (x * 200.0_f64.sqrt() + 1.0) / 2.0);
    let layer = nn::Embedding::new(100, 200);
    assert_continuous("Embedding", &layer.weight, normal_cdf);
}
