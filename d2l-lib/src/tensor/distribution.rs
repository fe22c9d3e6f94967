//! Random draws from more distributions.

use super::Tensor;
use crate::{
    DType, Device,
    ops::cuda::{self, Draw},
    random,
    shape::Shape,
};

impl Tensor {
    /// For every element, a probability, 1 with this probability, else 0; the result has the
    /// type of this tensor, of integers `f32`.
    ///
    /// # Panics
    /// If an element is no probability, below 0, above 1 or NaN.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([0.0, 1.0]).bernoulli().to_vec(), [0.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn bernoulli(&self) -> Tensor {
        if let Some(drawn) = self.bernoulli_on_gpu() {
            return drawn;
        }
        let probabilities = self.to_vec_f64();
        if let Some(p) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            panic!("bernoulli: {p} is no probability");
        }
        let drawn = random::uniform(self.numel()).into_iter().zip(probabilities);
        let drawn = drawn.map(|(u, p)| if f64::from(u) < p { 1.0_f32 } else { 0.0 });
        let dtype = self.dtype().to_float();
        let drawn = Tensor::new(drawn.collect(), self.layout.shape).to_dtype(dtype);
        drawn.to_device(self.device())
    }

    /// [`bernoulli`](Tensor::bernoulli) where the probabilities are; nothing if that is in main
    /// memory, or they are none.
    #[track_caller]
    fn bernoulli_on_gpu(&self) -> Option<Tensor> {
        if self.storage.is_host() {
            return None;
        }
        let probabilities = self.detach().to_dtype(DType::F64);
        // Neither is so if one is not a number.
        let can_be = self.numel() == 0
            || probabilities.min().item() >= 0.0 && probabilities.max().item() <= 1.0;
        can_be.then(|| {
            let drawn = Tensor::rand_on(self.device(), self.layout.shape);
            drawn
                .to_dtype(DType::F64)
                .lt(&probabilities)
                .to_dtype(self.dtype().to_float())
        })
    }

    /// `count` draws, with replacement, of positions along the last axis, whose elements are
    /// weights: `(…, n) → (…, count)`, as `i64`.
    ///
    /// # Panics
    /// If there is no axis, a weight is negative or not finite, or all of a row are 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let draws = tensor([0.0, 3.0, 1.0]).multinomial(1000);
    /// let counts = draws.bincount(3).to_vec_i64();
    /// assert!(counts[0] == 0 && counts[1] > 600 && counts[2] > 150);
    /// ```
    #[track_caller]
    pub fn multinomial(&self, count: usize) -> Tensor {
        let n = self.length("multinomial", -1);
        assert!(n > 0 || count == 0, "multinomial: there is nothing to draw from");
        if count * self.numel() > 0
            && let Some(drawn) = cuda::draw_by_weight(self, count)
        {
            return drawn;
        }
        let weights = self.to_vec_f64();
        let mut draws: Vec<i64> = Vec::new();
        for row in weights.chunks_exact(n.max(1)) {
            let (mut total, mut up_to) = (0.0, Vec::with_capacity(n));
            for piece in row.chunks(cuda::PIECE) {
                let (before, mut own) = (total, 0.0);
                for &weight in piece {
                    assert!(
                        weight >= 0.0 && weight.is_finite(),
                        "multinomial: {weight} is no weight"
                    );
                    own += weight;
                    total = before + own;
                    up_to.push(total);
                }
            }
            assert!(total > 0.0, "multinomial: all weights are 0");
            for u in random::uniform(count) {
                let at = up_to.partition_point(|&sum| sum <= f64::from(u) * total);
                draws.push(at as i64);
            }
        }
        let shape = self.layout.shape.with(self.ndim() - 1, count);
        Tensor::new(draws, shape).to_device(self.device())
    }

    /// `f32` numbers from the exponential distribution with mean `1 / rate`, in this shape.
    ///
    /// # Panics
    /// If `rate` is not positive, and where [`Shape::new`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::exponential(2.0, 10_000);
    /// assert!(x.min().item() >= 0.0 && (x.mean().item() - 0.5).abs() < 0.1);
    /// ```
    #[track_caller]
    pub fn exponential(rate: f64, shape: impl Into<Shape>) -> Tensor {
        Tensor::exponential_in(rate, shape.into())
    }

    #[track_caller]
    fn exponential_in(rate: f64, shape: Shape) -> Tensor {
        assert!(rate > 0.0, "exponential: a rate of {rate} is not positive");
        if let Some(out) = cuda::draw(Device::home(), shape, Draw::Exponential(rate)) {
            return out;
        }
        let drawn = random::uniform(shape.numel()).into_iter();
        // 1 - u is above 0, so the logarithm is finite.
        let drawn = drawn.map(|u| (-(1.0 - f64::from(u)).ln() / rate) as f32);
        Tensor::new(drawn.collect(), shape)
    }

    /// For every element, a rate, a count from the Poisson distribution with this mean; the
    /// result has the type of this tensor, of integers `f32`.
    ///
    /// # Panics
    /// If an element is negative or not finite.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::full([10_000], 3.0).poisson();
    /// assert!(x.equal(&x.floor()) && (x.mean().item() - 3.0).abs() < 0.2);
    /// ```
    #[track_caller]
    pub fn poisson(&self) -> Tensor {
        if let Some(drawn) = cuda::draw_counts(self) {
            return drawn;
        }
        let rates = self.to_vec_f64();
        if let Some(rate) =
            rates.iter().find(|rate| !(0.0..f64::INFINITY).contains(*rate))
        {
            panic!("poisson: a rate cannot be {rate}");
        }
        let drawn = Tensor::new(random::poisson(&rates), self.layout.shape);
        drawn.to_dtype(self.dtype().to_float()).to_device(self.device())
    }

    /// The slices along the first axis in random order: a copy in the same shape.
    ///
    /// # Panics
    /// If there is no axis.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0..10);
    /// assert!(x.shuffle().sort(0).equal(&x));
    /// ```
    #[track_caller]
    pub fn shuffle(&self) -> Tensor {
        let length = self.length("shuffle", 0);
        self.index_select(0, &Tensor::randperm(length))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// Draws, and four standard errors of their mean.
    const DRAWS: usize = 20_000;

    #[track_caller]
    fn assert_moments(draws: &Tensor, mean: f64, variance: f64) {
        let error = (variance / DRAWS as f64).sqrt() * 4.0;
        let found = draws.mean().item();
        assert!((found - mean).abs() < error, "mean {found}, not {mean} ± {error}");
        let found = draws.var().item();
        assert!((found / variance - 1.0).abs() < 0.1, "variance {found}, not {variance}");
    }

    #[test]
    fn means_and_variances_are_those_of_the_distributions() {
        assert_moments(&Tensor::full([DRAWS], 0.3).bernoulli(), 0.3, 0.21);
        assert_moments(&Tensor::exponential(0.5, DRAWS), 2.0, 4.0);
        assert_moments(&Tensor::full([DRAWS], 3.5).poisson(), 3.5, 3.5);
        assert_moments(&Tensor::full([DRAWS], 1200.0).poisson(), 1200.0, 1200.0);
    }

    #[test]
    fn rows_draw_by_their_own_weights() {
        let weights = tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]);
        assert_eq!(weights.multinomial(2).to_vec_i64(), [0, 0, 2, 2]);
        let shares = tensor([1.0, 3.0]).multinomial(DRAWS).to_dtype(DType::F64);
        assert_moments(&shares, 0.75, 0.1875);
    }

    #[test]
    fn a_shuffled_tensor_has_the_same_rows() {
        let x = Tensor::arange(0..100).reshape([50, 2]);
        let shuffled = x.shuffle();
        assert!(!shuffled.equal(&x));
        assert!(shuffled.sort(0).equal(&x));
        assert!((shuffled.i((.., 1)) - shuffled.i((.., 0))).eq(1).all());
    }
}
