//! The results of the chapter on convolutional networks over three seeds, to be compared with
//! those of `tests/results/convolutional-networks.py`:
//! `cargo run -p d2l --example results_convolutional_networks`.

mod spread;

use d2l::{
    classification::{Classifier, FashionMnist, accuracy},
    cnn::{corr2d, lenet},
    optim::{Adam, Sgd},
    prelude::*,
    train::Trainer,
};
use spread::SEEDS;

fn report(section: &str, quantity: &str, values: &[f64]) {
    let [mean, low, high] = spread::of(values);
    println!("{section:12} {quantity:40} {mean:.4} ({low:.4} to {high:.4})");
}

fn learned_kernel() {
    let x = Tensor::ones([6, 8]);
    x.set((.., 2..6), 0.0);
    let y = corr2d(&x, &tensor([[1.0, -1.0]])).reshape([1, 1, 6, 7]);
    let x = x.reshape([1, 1, 6, 8]);
    let (mut losses, mut errors) = (vec![], vec![]);
    for number in SEEDS {
        seed(number);
        let conv = nn::Conv2d::new(1, 1, [1, 2]).without_bias();
        let mut sgd = Sgd::new(conv.parameters(), 0.03);
        let mut last = f64::NAN;
        for _ in 0..10 {
            sgd.zero_grad();
            let loss = (conv.forward(&x) - &y).pow(2.0).sum();
            loss.backward();
            sgd.step();
            last = loss.item();
        }
        losses.push(last);
        errors.push((conv.weight.flatten() - tensor([1.0, -1.0])).abs().max().item());
    }
    report("conv-layer", "loss at step 10", &losses);
    report("conv-layer", "largest error of the kernel", &errors);
}

fn dense() -> nn::Sequential {
    sequential![nn::Flatten, nn::Linear::new(784, 76), nn::Tanh, nn::Linear::new(76, 10)]
}

fn modern() -> nn::Sequential {
    sequential![
        nn::Conv2d::lazy(6, 5).padding(2),
        nn::Relu,
        nn::MaxPool2d::new(2),
        nn::Conv2d::lazy(16, 5),
        nn::Relu,
        nn::MaxPool2d::new(2),
        nn::Flatten,
        nn::Linear::lazy(120),
        nn::Relu,
        nn::Linear::lazy(84),
        nn::Relu,
        nn::Linear::lazy(10),
    ]
}

fn train(net: nn::Sequential, data: &FashionMnist) -> (Classifier, f64) {
    let model = Classifier::with(net, |parameters| Box::new(Adam::new(parameters, 1e-3)));
    let board = Trainer::new(12).quiet().fit(&model, data);
    let right = board.last("validation accuracy").expect("there are validation data");
    (model, right)
}

fn moved(x: &Tensor, right: i64) -> Tensor {
    let y = x.zeros_like();
    y.set((.., .., .., right..), x.i((.., .., .., ..28 - right)));
    y
}

fn main() -> Result<(), d2l::FileError> {
    learned_kernel();
    let data = FashionMnist::new()?.batch_size(32);
    println!("{}", data.train.source);
    let section = if data.train.len() == 5000 { "sample" } else { "whole set" };
    let mut found: Vec<(String, Vec<f64>)> = Vec::new();
    let mut note = |quantity: String, value: f64| match found
        .iter_mut()
        .find(|(own, _)| *own == quantity)
    {
        Some((_, values)) => values.push(value),
        None => found.push((quantity, vec![value])),
    };
    for number in SEEDS {
        seed(number);
        let order = Tensor::randperm(784);
        let shuffle = |x: &Tensor| {
            x.reshape([-1, 784])
                .index_select(1, &order)
                .contiguous()
                .reshape([-1, 1, 28, 28])
        };
        let mut shuffled = data.clone();
        shuffled.train.images = shuffle(&data.train.images);
        shuffled.val.images = shuffle(&data.val.images);
        for label in ["LeNet", "fully connected"] {
            let make = || if label == "LeNet" { lenet(10) } else { dense() };
            let (model, right) = train(make(), &data);
            note(format!("{label}, accuracy"), right);
            let scores = no_grad(|| model.forward(&moved(&data.val.images, 3)));
            note(
                format!("{label}, moved by 3 pixels"),
                accuracy(&scores, &data.val.labels),
            );
            note(format!("{label}, shuffled pixels"), train(make(), &shuffled).1);
        }
        note("ReLU and max pooling".to_owned(), train(modern(), &data).1);
    }
    for (quantity, values) in &found {
        report(section, quantity, values);
    }
    Ok(())
}
