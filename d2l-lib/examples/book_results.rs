//! Results of chapters 4 and 5 over three seeds, beside which `tests/results/README.md` puts
//! those of PyTorch: `cargo run -p d2l --example book_results [softmax|mlp|…]`.

mod spread;

use std::error::Error;

use d2l::{
    classification::{Classifier, FashionMnist, SoftmaxRegressionScratch},
    data::DataLoader,
    houses::KaggleHouse,
    mlp::{DropoutMlp, MlpScratch},
    nn::{self, Linear, Module, Parameters, Relu, Sequential},
    optim::{Adam, AdamW, Optimizer, Sgd},
    prelude::*,
    train::{DataModule, Model, ProgressBoard, Trainer, evaluate, k_folds},
};
use spread::SEEDS;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let data = FashionMnist::new()?;
    println!("{}", data.train.source);
    let run = |name: &str, f: &dyn Fn() -> Vec<(&'static str, f64)>| {
        if name.contains(&wanted) {
            report(name, f);
        }
    };

    let train =
        |model: &dyn Model, epochs| Trainer::new(epochs).quiet().fit(model, &data);
    run("softmax scratch", &|| {
        accuracy(&train(&SoftmaxRegressionScratch::new(784, 10, 0.1), 20))
    });
    run("softmax concise", &|| accuracy(&train(&Classifier::new(linear(), 0.1), 20)));
    run("softmax long", &|| {
        let board = train(&Classifier::with(linear(), adam::<3>), 100);
        let losses = board.curve("validation loss").iter().map(|point| point.1);
        vec![
            ("lowest validation loss", losses.fold(f64::INFINITY, f64::min)),
            ("training loss", last(&board, "training loss")),
            ("validation accuracy", last(&board, "validation accuracy")),
        ]
    });
    run("mlp scratch", &|| {
        accuracy(&train(&Classifier::new(MlpScratch::new(784, 10, 256, 0.01), 0.1), 30))
    });
    run("mlp concise", &|| accuracy(&train(&Classifier::new(mlp(256), 0.1), 30)));
    run("mlp adam linear", &|| {
        accuracy(&train(&Classifier::with(linear(), adam::<1>), 30))
    });
    run("mlp adam", &|| accuracy(&train(&Classifier::with(mlp(256), adam::<1>), 30)));
    run("mlp init", &|| {
        let mut losses = Vec::new();
        for (name, he) in [("deviation 0.01", false), ("variance 2/n", true)] {
            let net = twelve_layers(he);
            let rule =
                |p| -> Box<dyn Optimizer> { Box::new(Sgd::new(p, 0.01).momentum(0.9)) };
            let board = train(&Classifier::with(net, rule), 10);
            losses.push((name, last(&board, "training loss")));
        }
        losses
    });
    run("mlp random labels", &|| {
        let mut results = Vec::new();
        for (names, noise) in [
            (["true: training", "true: new data"], 0.0),
            (["random: training", "random: new data"], 1.0),
        ] {
            let (set, model) =
                (relabelled(&data, 1000, noise), Classifier::with(mlp(512), adam::<1>));
            Trainer::new(60).quiet().fit(&model, &set);
            results.push((names[0], evaluate(&model, &set.train_loader())[1].1));
            results.push((names[1], evaluate(&model, &set.val)[1].1));
        }
        results
    });
    run("mlp early stopping", &|| {
        let (set, model) =
            (relabelled(&data, 2000, 0.4), Classifier::with(mlp(512), adam::<1>));
        let board = Trainer::new(40).quiet().fit(&model, &set);
        let accuracies = board.curve("validation accuracy");
        let best = accuracies.iter().map(|point| point.1).fold(0.0, f64::max);
        vec![("best accuracy", best), ("last accuracy", accuracies[39].1)]
    });
    for p in [0.0, 0.5] {
        run(&format!("mlp dropout {p}"), &|| {
            let net = DropoutMlp::new([256, 256], [p, p]);
            let board = train(&Classifier::with(net, adam::<1>), 30);
            ["training loss", "validation loss", "validation accuracy"]
                .map(|name| (name, last(&board, name)))
                .to_vec()
        });
    }
    run("houses", &|| {
        let folds = k_folds(2930, 5);
        let table = data::ames();
        let mut results = Vec::new();
        for (name, hidden, decay) in [
            ("linear", false, 0.0),
            ("linear, decay", false, 1.0),
            ("perceptron", true, 0.0),
            ("perceptron, decay", true, 1.0),
        ] {
            let mut squares = 0.0;
            for (train, val) in &folds {
                let data = KaggleHouse::new(&table, train, val);
                let net = if hidden {
                    sequential![Linear::lazy(64), Relu, Linear::lazy(1)]
                } else {
                    sequential![Linear::lazy(1)]
                };
                let model = Prices { net, decay };
                Trainer::new(60).quiet().fit(&model, &data);
                squares += evaluate(&model, &data.val_loader().unwrap())[0].1 / 5.0;
            }
            results.push((name, squares.sqrt()));
        }
        results
    });
    Ok(())
}

/// Runs it with three seeds and prints mean and range of what it measures.
fn report(name: &str, f: &dyn Fn() -> Vec<(&'static str, f64)>) {
    let runs = SEEDS.map(|start| {
        seed(start);
        f()
    });
    for (i, (quantity, _)) in runs[0].iter().enumerate() {
        let [mean, low, high] = spread::of(&runs.each_ref().map(|run| run[i].1));
        println!("{name}: {quantity} {mean:.3} ({low:.3} to {high:.3})");
    }
}

fn last(board: &ProgressBoard, curve: &str) -> f64 {
    board.last(curve).expect("the trainer adds this curve")
}

fn accuracy(board: &ProgressBoard) -> Vec<(&'static str, f64)> {
    vec![("validation accuracy", last(board, "validation accuracy"))]
}

/// Adam with so many thousandths as its learning rate.
fn adam<const THOUSANDTHS: usize>(parameters: Parameters) -> Box<dyn Optimizer> {
    Box::new(Adam::new(parameters, THOUSANDTHS as f64 / 1000.0))
}

fn linear() -> Sequential {
    sequential![nn::Flatten, Linear::lazy(10)]
}

fn mlp(num_hiddens: usize) -> Sequential {
    sequential![nn::Flatten, Linear::lazy(num_hiddens), Relu, Linear::lazy(10)]
}

fn twelve_layers(he: bool) -> Sequential {
    let mut net = sequential![nn::Flatten];
    for i in 0..11 {
        net = net.then(Linear::new(if i == 0 { 784 } else { 64 }, 64)).then(Relu);
    }
    let net = net.then(Linear::new(64, 10));
    for (name, parameter) in net.parameters() {
        match (name.ends_with("weight"), he) {
            (true, true) => nn::init::kaiming_normal(&parameter),
            (true, false) => nn::init::normal(&parameter, 0.0, 0.01),
            (false, _) => nn::init::zeros(&parameter),
        }
    }
    net
}

struct Relabelled {
    x: Tensor,
    y: Tensor,
    val: DataLoader,
}

impl DataModule for Relabelled {
    fn train_loader(&self) -> DataLoader {
        DataLoader::new([&self.x, &self.y], 64).shuffle()
    }

    fn val_loader(&self) -> Option<DataLoader> {
        Some(self.val.clone())
    }
}

fn relabelled(data: &FashionMnist, n: usize, noise: f64) -> Relabelled {
    let random = Tensor::randint(0..10, n);
    let y = Tensor::where_(
        &Tensor::rand(n).lt(noise),
        &random,
        data.train.labels.i(..n as i64),
    );
    let x = data.train.images.i(..n as i64);
    Relabelled { x, y, val: data.val_loader().expect("it has one") }
}

struct Prices {
    net: Sequential,
    decay: f64,
}

impl nn::Module for Prices {
    nn::parts!(net);

    fn forward(&self, x: &Tensor) -> Tensor {
        self.net.forward(x)
    }
}

impl Model for Prices {
    fn loss(&self, y_hat: &Tensor, y: &Tensor) -> Tensor {
        nn::mse_loss(y_hat, y)
    }

    fn optimizer(&self) -> Box<dyn Optimizer> {
        Box::new(AdamW::new(self.parameters(), 0.003).weight_decay(self.decay))
    }
}
