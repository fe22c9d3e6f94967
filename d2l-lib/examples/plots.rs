//! Draws one figure of each kind into a page, to be looked at:
//! `cargo run -p d2l --example plots > plots.html`.

use d2l::plot::{Colormap, Figure};
use d2l::prelude::*;

fn main() {
    let x = Tensor::linspace(0.0, 3.0, 100);
    let curve = x.pow(2.0) * 2.0 - &x * 3.0;
    let tangent = Figure::new()
        .line(&x, &curve)
        .label("f(x)")
        .line(&x, &x - 2.0)
        .label("tangent at x = 1")
        .x_label("x")
        .y_label("f(x)");

    let h: Vec<f64> =
        (0..=56).map(|i| 10.0_f64.powf(-14.0 + f64::from(i) / 4.0)).collect();
    let error = |slope: f64| (slope - 1.0_f64.cos()).abs();
    let forward: Vec<f64> =
        h.iter().map(|h| error(((1.0 + h).sin() - 1.0_f64.sin()) / h)).collect();
    let central: Vec<f64> = h
        .iter()
        .map(|h| error(((1.0 + h).sin() - (1.0 - h).sin()) / (2.0 * h)))
        .collect();
    let errors = Figure::new()
        .line(&h, central)
        .label("central")
        .line(&h, forward)
        .label("forward")
        .log_x()
        .log_y()
        .x_label("h")
        .y_label("error");

    let bars = Figure::new()
        .bar(&["ankle boot", "bag", "coat", "dress"], [3.0, 5.0, 2.0, 4.5])
        .label("train")
        .bar(&["ankle boot", "bag", "coat", "dress"], [2.5, 4.0, 2.2, 4.0])
        .label("test")
        .y_label("count");
    d2l::seed(1);
    let noise = Tensor::randn([500]);
    let histogram = Figure::new()
        .histogram(&noise, 20)
        .label("one")
        .histogram(noise * 0.5 + 1.0, 20)
        .label("two")
        .x_label("value");
    let points = Tensor::randn([200]);
    let scatter = Figure::new()
        .scatter(&points, &points * 2.0 + Tensor::randn([200]))
        .opacity(0.6)
        .x_label("x")
        .y_label("y");
    let band = Figure::new()
        .band(&x, &curve - 1.0, &curve + 1.0)
        .line(&x, &curve)
        .label("mean")
        .y_limits(-3.0, 6.0);
    let grid = Tensor::arange(0..100).reshape([10, 10]);
    let heatmap = Figure::new().heatmap(&grid).x_label("keys").y_label("queries");
    let reds = Figure::new().heatmap(&grid).colormap(Colormap::Reds).title("Reds");
    let pictures = Figure::grid(
        2,
        4,
        (0..8).map(|i| Figure::new().image(&grid).title(&format!("{i}"))),
    )
    .size(6.0, 3.2);

    println!("<body style='font-family: sans-serif; display: flex; flex-wrap: wrap'>");
    for figure in
        [tangent, errors, bars, histogram, scatter, band, heatmap, reds, pictures]
    {
        println!("<div style='margin: 12px'>{}</div>", figure.to_svg());
    }
}
