//! The same seed and the same number of threads give the same bits. A test binary of its own,
//! since the random numbers are those of the whole process.

use d2l::prelude::*;

/// Every parameter and loss of a short training, dropout and shuffling included.
fn train(
    model: &dyn Fn() -> d2l::nn::Sequential,
    x: &Tensor,
    y: &Tensor,
) -> Vec<Vec<f32>> {
    seed(7);
    let net = model();
    let loader = data::DataLoader::new([x, y], 16).shuffle();
    net.forward(&x.i(..2));
    let mut optimizer = optim::Adam::new(net.parameters(), 0.01);
    let mut seen = Vec::new();
    for batch in &loader {
        let (x, y) = batch.pair();
        optimizer.zero_grad();
        let loss = net.forward(&x).cross_entropy(&y);
        loss.backward();
        optimizer.step();
        seen.push(loss.to_vec());
    }
    seen.extend(net.parameters().iter().map(|(_, parameter)| parameter.to_vec()));
    seen
}

/// Sequences to one row of logits: the mean over all times.
struct MeanOverTimes;

impl nn::Module for MeanOverTimes {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.mean_axis(1)
    }
}

/// Time first, as recurrent layers want it, and back.
struct TimeFirst<M>(M);

impl<M: nn::Module> nn::Module for TimeFirst<M> {
    fn parts(&self) -> nn::Parts<'_> {
        nn::Parts::new().with("inner", &self.0)
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(&x.transpose(0, 1)).transpose(0, 1)
    }
}

#[test]
fn training_gives_the_same_bits_twice() {
    let images = || {
        sequential![
            nn::Conv2d::lazy(8, 5).padding(2),
            nn::BatchNorm::lazy(),
            nn::Relu,
            nn::MaxPool2d::new(3).stride(2),
            nn::Conv2d::lazy(40, 3).padding(1),
            nn::Sigmoid,
            nn::AvgPool2d::new(2),
            nn::Flatten,
            nn::Linear::lazy(64),
            nn::Gelu,
            nn::Dropout::new(0.3),
            nn::Linear::lazy(10)
        ]
    };
    let sequences = || {
        sequential![
            TimeFirst(nn::Lstm::lazy(24).stacked(2).bidirectional()),
            nn::MultiHeadAttention::lazy(48, 4).dropout(0.1),
            TimeFirst(nn::Gru::lazy(30)),
            nn::LayerNorm::new(30),
            MeanOverTimes,
            nn::Linear::lazy(10)
        ]
    };
    seed(1);
    let pictures = Tensor::randn([70, 1, 20, 20]);
    let signals = Tensor::randn([70, 12, 6]);
    let labels = Tensor::randint(0..10, 70);
    for threads in [1, 2, 3] {
        d2l::set_num_threads(threads);
        for (model, x) in
            [(&images as &dyn Fn() -> nn::Sequential, &pictures), (&sequences, &signals)]
        {
            let first = train(model, x, &labels);
            assert!(first.iter().flatten().all(|value| value.is_finite()));
            for _ in 0..3 {
                assert!(
                    train(model, x, &labels) == first,
                    "not the same with {threads} threads"
                );
            }
        }
    }
}
