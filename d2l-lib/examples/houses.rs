//! Predicts house prices from a CSV file: `cargo run -p d2l --example houses [FILE]`.
//! Without a file, the sales in Ames, Iowa, that the library carries.

use d2l::{
    data::{DataLoader, Table, ames},
    optim::Adam,
    prelude::*,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    seed(1);
    let houses = match std::env::args().nth(1) {
        Some(path) => Table::read_csv(path)?,
        None => ames(),
    };
    println!("{}", houses.columns(&["Neighborhood", "Gr_Liv_Area", "Sale_Price"]));

    // Prices by their logarithms, so that errors are relative.
    let y = houses.columns(&["Sale_Price"]).to_tensor().ln();
    let inputs = houses.without(&["Sale_Price"]).standardize().fill(0.0).one_hot();
    let x = inputs.to_tensor();
    let order = Tensor::randperm(houses.num_rows());
    let (x, y) = (x.index_select(0, &order), y.index_select(0, &order));
    let held_out = houses.num_rows() / 5;
    let (x_test, y_test) = (x.i(..held_out), y.i(..held_out));
    let (x, y) = (x.i(held_out..), y.i(held_out..));
    let mean = y.mean();

    let net = nn::Linear::new(x.len_of(1), 1);
    let mut optimizer = Adam::new(net.parameters(), 0.003).weight_decay(0.001);
    let rmse = |x: &Tensor, y: &Tensor| {
        no_grad(|| nn::mse_loss(&(net.forward(x) + &mean), y).sqrt()).item()
    };
    println!("{} features, {} houses", x.len_of(1), x.len_of(0));
    for epoch in 1..=60 {
        for (x, y) in
            DataLoader::new([&x, &y], 64).shuffle().iter().map(data::Batch::pair)
        {
            optimizer.zero_grad();
            nn::mse_loss(&(net.forward(&x) + &mean), &y).backward();
            optimizer.step();
        }
        if epoch % 10 == 0 {
            let (train, test) = (rmse(&x, &y), rmse(&x_test, &y_test));
            println!(
                "epoch {epoch}: error of the logarithm {train:.4}, held out {test:.4}"
            );
        }
    }
    Ok(())
}
