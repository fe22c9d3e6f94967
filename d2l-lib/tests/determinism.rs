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

// One test, since threads and seed are those of the whole process.
#[test]
fn training_and_operations_give_the_same_bits_twice() {
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
        let first = operations();
        assert!(operations() == first, "operations with {threads} threads");
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

/// Values and gradients of operations alone, large enough to be shared among threads.
fn operations() -> Vec<Vec<f32>> {
    seed(5);
    let leaf = |shape: &[usize]| Tensor::randn(shape).requires_grad();
    let (a, b) = (leaf(&[257, 300]), leaf(&[300, 129]));
    let (images, kernels) = (leaf(&[8, 16, 33, 31]), leaf(&[24, 16, 3, 3]));
    let strided = leaf(&[24, 16, 5, 4]);
    let long = leaf(&[300_001]);
    let results = [
        a.matmul(&b),
        images.conv2d(&kernels, None, [1, 1], [1, 1]),
        images.conv2d(&strided, None, [2, 1], [0, 2]),
        images.max_pool2d([2, 2], [2, 2], [0, 0]),
        long.sum(),
        long.mean(),
        long.var(),
        long.norm(),
        images.sum_axis([0, 2]),
        images.mean_axis(1),
        a.softmax(1),
        a.log_softmax(0),
        a.cumsum(0),
        nn::Dropout::new(0.4).forward(&images),
        a.sort(1),
        b.embedding(&Tensor::randint(0..300, 5000)),
    ];
    let mut seen: Vec<Vec<f32>> = results.iter().map(Tensor::to_vec).collect();
    for result in &results {
        result.backward_with(&Tensor::randn(result.shape()));
    }
    for input in [&a, &b, &images, &kernels, &strided, &long] {
        seen.push(input.grad().expect("it was used").to_vec());
    }
    seen
}
