//! Trains LeNet on Fashion-MNIST: `cargo run -p d2l --example lenet`.

use d2l::{
    data::{DataLoader, Split, fashion_mnist},
    nn::init,
    optim::Sgd,
    prelude::*,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    seed(1);
    let (train, test) = (fashion_mnist(Split::Train)?, fashion_mnist(Split::Test)?);
    println!("{}", train.source);

    let net = sequential![
        nn::Conv2d::lazy(6, 5).padding(2),
        nn::Tanh,
        nn::AvgPool2d::new(2),
        nn::Conv2d::lazy(16, 5),
        nn::Tanh,
        nn::AvgPool2d::new(2),
        nn::Flatten,
        nn::Linear::lazy(120),
        nn::Tanh,
        nn::Linear::lazy(84),
        nn::Tanh,
        nn::Linear::lazy(10),
    ];
    // One example gives the lazy layers their shapes.
    net.forward(&train.images.i(..1));
    for (name, parameter) in net.parameters() {
        if name.ends_with("weight") {
            init::xavier_uniform(&parameter);
        }
    }
    println!("{}", net.parameters());

    let mut optimizer = Sgd::new(net.parameters(), 0.02).momentum(0.9);
    let loader = DataLoader::new(&train, 64).shuffle();
    for epoch in 1..=10 {
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
        println!("epoch {epoch:2}: training loss {loss:.3}, test accuracy {right:.3}");
    }
    Ok(())
}
