//! Trains a multilayer perceptron on Fashion-MNIST: `cargo run -p d2l --example mlp`.
//! With `D2L_DATA` naming a folder that has the whole set, on that.

use d2l::{
    data::{DataLoader, Split, fashion_mnist},
    optim::{Schedule, Sgd},
    prelude::*,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    seed(1);
    let (train, test) = (fashion_mnist(Split::Train)?, fashion_mnist(Split::Test)?);
    println!("{}", train.source);

    let net = sequential![
        nn::Flatten,
        nn::Linear::new(28 * 28, 256),
        nn::Relu,
        nn::Linear::new(256, 10),
    ];
    let mut optimizer = Sgd::new(net.parameters(), 0.1);
    let schedule = Schedule::cosine(0.1, 10, 0.0);
    let loader = DataLoader::new(&train, 64).shuffle();
    for epoch in 0..10 {
        optimizer.set_lr(schedule.lr(epoch));
        let mut total = 0.0;
        for (x, y) in loader.iter().map(data::Batch::pair) {
            optimizer.zero_grad();
            let loss = net.forward(&x).cross_entropy(&y);
            loss.backward();
            optimizer.step();
            total += loss.item();
        }
        let classes = no_grad(|| net.forward(&test.images)).argmax(1);
        let right = classes.eq(&test.labels).to_dtype(DType::F32).mean().item();
        let loss = total / loader.len() as f64;
        println!("epoch {epoch}: training loss {loss:.3}, test accuracy {right:.3}");
    }
    Ok(())
}
