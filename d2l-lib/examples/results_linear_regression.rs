//! The results of the chapter on linear regression over three seeds, to be compared with those
//! of `tests/results/linear-regression.py`: `cargo run -p d2l --example results_linear_regression`.

mod spread;

use d2l::{
    linear::{LinearRegression, LinearRegressionScratch, SyntheticRegressionData},
    optim::Sgd,
    prelude::*,
    train::{DataModule, Model, Trainer, evaluate},
};
use spread::SEEDS;

fn report(section: &str, quantity: &str, values: &[f64]) {
    let [mean, low, high] = spread::of(values);
    println!("{section:15} {quantity:32} {mean:.4e} ({low:.4e} to {high:.4e})");
}

fn scratch_and_concise() {
    let true_w = tensor([2.0, -3.4]);
    for section in ["scratch", "concise"] {
        let (mut losses, mut errors) = (vec![], vec![]);
        for number in SEEDS {
            seed(number);
            let data = SyntheticRegressionData::new(&true_w, 4.2);
            let model: Box<dyn Model> = match section {
                "scratch" => Box::new(LinearRegressionScratch::new(2, 0.03)),
                _ => Box::new(LinearRegression::new(0.03)),
            };
            let board = Trainer::new(10).quiet().fit(&*model, &data);
            losses
                .push(board.last("validation loss").expect("there are validation data"));
            let (_, w) =
                model.parameters().into_iter().next().expect("there is a weight");
            errors.push((w.reshape(2) - &true_w).abs().max().item());
        }
        report(section, "validation loss", &losses);
        report(section, "largest error of w", &errors);
    }
}

fn weight_decay() {
    for decay in [0.0, 3.0] {
        let (mut training, mut validation, mut norms) = (vec![], vec![], vec![]);
        for number in SEEDS {
            seed(number);
            let w = Tensor::full([200], 0.01);
            let data =
                SyntheticRegressionData::with(&w, 0.05, 0.01, 20, 100).batch_size(5);
            let model = LinearRegressionScratch::new(200, 0.01);
            let mut sgd = Sgd::new(model.parameters(), 0.01)
                .weight_decay(decay)
                .weight_decay_only(|name| name == "w");
            for _ in 0..30 {
                for batch in &data.train_loader() {
                    sgd.zero_grad();
                    model.training_step(&batch).backward();
                    sgd.step();
                }
            }
            let loader = data.val_loader().expect("there are validation data");
            training.push(evaluate(&model, &data.train_loader())[0].1);
            validation.push(evaluate(&model, &loader)[0].1);
            norms.push(model.w.norm().item());
        }
        let section = format!("weight-decay {decay}");
        report(&section, "training error", &training);
        report(&section, "error on new data", &validation);
        report(&section, "norm of w", &norms);
    }
}

/// Legendre's polynomials of degree 0 to `degree`: `(n) → (n, degree + 1)`.
fn features(x: &Tensor, degree: usize) -> Tensor {
    let mut columns = vec![x.ones_like(), x.clone()];
    for k in 1..degree.max(1) {
        let (last, before) = (&columns[k], &columns[k - 1]);
        let k = k as f64;
        columns.push((x * last * (2.0 * k + 1.0) - before * k) / (k + 1.0));
    }
    Tensor::stack(&Vec::from_iter(columns.iter().take(degree + 1)), 1)
}

fn fit((x, y): &(Tensor, Tensor), degree: usize) -> Tensor {
    let a = features(x, degree);
    a.t().matmul(&a).solve(&a.t().mv(y))
}

fn mse(w: &Tensor, (x, y): &(Tensor, Tensor)) -> f64 {
    (features(x, w.numel() - 1).mv(w) - y).pow(2.0).mean().item()
}

fn sample(n: usize) -> (Tensor, Tensor) {
    let x = (Tensor::rand(n) * 2.0 - 1.0).to_dtype(DType::F64);
    let y = (&x * 4.0).sin() + Tensor::normal(0.0, 0.3, n).to_dtype(DType::F64);
    (x, y)
}

fn generalization() {
    let (mut least, mut at, mut straight, mut many) = (vec![], vec![], vec![], vec![]);
    for number in SEEDS {
        seed(number);
        let test = sample(2000);
        let mut errors = [0.0; 15];
        for _ in 0..30 {
            let set = sample(20);
            for (degree, error) in errors.iter_mut().enumerate() {
                *error += mse(&fit(&set, degree), &test) / 30.0;
            }
        }
        let best = (0..15).min_by(|&a, &b| errors[a].total_cmp(&errors[b]));
        let best = best.expect("there are fifteen degrees");
        least.push(errors[best]);
        at.push(best as f64);
        straight.push(errors[1]);
        let errors = (0..20).map(|_| mse(&fit(&sample(512), 10), &test));
        many.push(errors.sum::<f64>() / 20.0);
    }
    report("generalization", "least error on new data", &least);
    report("generalization", "degree of it", &at);
    report("generalization", "error of degree 1", &straight);
    report("generalization", "error, 512 examples, degree 10", &many);
}

fn main() {
    scratch_and_concise();
    weight_decay();
    generalization();
}
