//! Plots to be looked at.
//!
//! One of each kind, as a page: `cargo run -p d2l --example plots > plots.html`.
//!
//! Plots of the book, each as SVG, and the data of all of them as JSON, for
//! `tests/plots/pairs.py` to draw again: `cargo run -p d2l --example plots -- FOLDER`.

use std::f64::consts::PI;
use std::path::Path;

use d2l::plot::Animation;
use d2l::prelude::*;
use serde_json::{Map, Value, json};

fn main() -> std::io::Result<()> {
    match std::env::args().nth(1) {
        None => gallery(),
        Some(folder) => save(Path::new(&folder))?,
    }
    Ok(())
}

/// A plot of the book, or one of a kind that the book has none of yet.
struct Plot {
    name: &'static str,
    figure: Figure,
    data: Value,
}

fn save(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut all = Map::new();
    for Plot { name, figure, data } in [book(), fields(), spaces()].into_iter().flatten()
    {
        std::fs::write(folder.join(name).with_extension("svg"), figure.to_svg())?;
        all.insert(name.to_string(), data);
    }
    std::fs::write(folder.join("data.json"), Value::Object(all).to_string())
}

/// The data of a tensor, row after row.
fn list(tensor: &Tensor) -> Value {
    tensor.to_vec_f64().into()
}

/// The heights `f(x, y)`, with a row for each of `y` and a column for each of `x`.
fn heights(x: &Tensor, y: &Tensor, f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
    let (columns, rows) = (x.numel(), y.numel());
    f(
        &x.reshape([1, columns]).expand([rows, columns]),
        &y.reshape([rows, 1]).expand([rows, columns]),
    )
}

/// Ten plots of the book's chapters, with their data.
fn book() -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut plot = |name, figure, data| plots.push(Plot { name, figure, data });

    let x = Tensor::linspace(0.0, 3.0, 100);
    let curve = x.pow(2.0) * 2.0 - &x * 3.0;
    let tangent = &x - 2.0;
    plot(
        "tangent-plot",
        Figure::new()
            .line(&x, &curve)
            .label("f(x)")
            .line(&x, &tangent)
            .label("tangent at x = 1")
            .x_label("x")
            .y_label("f(x)"),
        json!({ "x": list(&x), "curve": list(&curve), "tangent": list(&tangent) }),
    );

    let h: Vec<f64> =
        (0..=56).map(|i| 10.0_f64.powf(-14.0 + f64::from(i) / 4.0)).collect();
    let error = |slope: f64| (slope - 1.0_f64.cos()).abs();
    let forward: Vec<f64> =
        h.iter().map(|h| error(((1.0 + h).sin() - 1.0_f64.sin()) / h)).collect();
    let central: Vec<f64> = h
        .iter()
        .map(|h| error(((1.0 + h).sin() - (1.0 - h).sin()) / (2.0 * h)))
        .collect();
    plot(
        "difference-errors",
        Figure::new()
            .line(&h, &central)
            .label("central")
            .line(&h, &forward)
            .label("forward")
            .log_x()
            .log_y()
            .x_label("h")
            .y_label("error"),
        json!({ "h": h, "central": central, "forward": forward }),
    );

    d2l::seed(1);
    let n = Tensor::arange(1.0..1001.0);
    let heads = Tensor::rand([6, 1000]).lt(0.5).to_dtype(DType::F32).cumsum(1);
    let frequency = heads / &n;
    let half = 1.0 / n.sqrt();
    let mut figure = Figure::new().band(&n, 0.5 - &half, 0.5 + &half).opacity(0.15);
    for player in 0..6 {
        figure = figure.line(&n, frequency.i(player)).solid().width(1.2);
    }
    let figure = figure.log_x().y_limits(0.0, 1.0);
    plot(
        "coin-frequencies",
        figure.x_label("tosses n").y_label("frequency of heads"),
        json!({ "n": list(&n), "frequency": list(&frequency), "half": list(&half) }),
    );

    let joint = Tensor::zeros([11, 11]).to_dtype(DType::F64);
    for (first, second) in (1..=6).flat_map(|a| (1..=6).map(move |b| (a, b))) {
        joint.set((first + second - 2, first - second + 5), 1.0 / 36.0);
    }
    plot(
        "dice-joint",
        Figure::new()
            .heatmap(&joint)
            .x_label("difference D, plus 5")
            .y_label("sum S, minus 2"),
        json!({ "joint": list(&joint) }),
    );

    d2l::seed(7);
    let draws = -(1.0 - Tensor::rand([20_000, 30])).ln();
    let single = draws.i((.., 0)) - 1.0;
    let averages = (draws.mean_axis(1) - 1.0) * 30.0_f64.sqrt();
    let panels = [("single draws", &single), ("averages", &averages)];
    plot(
        "central-limit",
        Figure::grid(
            1,
            2,
            panels.map(|(title, v)| Figure::new().histogram(v, 40).title(title)),
        ),
        json!({ "single": list(&single), "averages": list(&averages) }),
    );

    d2l::seed(1);
    let x = Tensor::randn([1000, 2]);
    let y = x.mv(&tensor([2.0, -3.4])) + 4.2 + Tensor::randn([1000]) * 0.01;
    let second = x.i((.., 1));
    plot(
        "synthetic-data",
        Figure::new()
            .scatter(&second, &y)
            .opacity(0.4)
            .x_label("second feature")
            .y_label("label"),
        json!({ "x": list(&second), "y": list(&y) }),
    );

    let z = Tensor::linspace(-7.0, 7.0, 200);
    let normal = |mu: f64, sigma: f64| {
        (-0.5 * ((&z - mu) / sigma).pow(2.0)).exp() / (2.0 * PI * sigma * sigma).sqrt()
    };
    let bells = [normal(0.0, 1.0), normal(0.0, 2.0), normal(3.0, 1.0)];
    let mut figure = Figure::new().x_label("x").y_label("p(x)");
    for (bell, label) in
        bells.iter().zip(["μ = 0, σ = 1", "μ = 0, σ = 2", "μ = 3, σ = 1"])
    {
        figure = figure.line(&z, bell).label(label);
    }
    let bells: Vec<Value> = bells.iter().map(list).collect();
    plot("normal-densities", figure, json!({ "z": list(&z), "bells": bells }));

    let q = Tensor::linspace(0.01, 0.99, 99);
    let cross = -(q.ln() * 0.7 + (1.0 - &q).ln() * 0.3);
    let entropy = -(0.7 * 0.7_f64.ln() + 0.3 * 0.3_f64.ln());
    plot(
        "cross-entropy",
        Figure::new()
            .line(&q, &cross)
            .label("cross-entropy")
            .line([0.0, 1.0], [entropy, entropy])
            .label("entropy")
            .dotted()
            .color("gray")
            .x_label("q")
            .y_label("nats")
            .y_limits(0.0, 3.0),
        json!({ "q": list(&q), "cross": list(&cross), "entropy": entropy }),
    );

    d2l::seed(4);
    let names = ["0.05", "√(2/n) = 0.1", "0.15"];
    let mut figure = Figure::new().log_y().x_label("layer").y_label("size of the values");
    let mut curves = Vec::new();
    for (name, deviation) in names.into_iter().zip([0.05, 0.1, 0.15]) {
        let mut h = Tensor::randn([32, 200]);
        let sizes: Vec<f64> = (0..50)
            .map(|_| {
                h = h.matmul(&Tensor::normal(0.0, deviation, [200, 200])).relu();
                h.pow(2.0).mean().item().sqrt()
            })
            .collect();
        figure = figure.line(Tensor::arange(1.0..51.0), &sizes).label(name);
        curves.push(sizes);
    }
    plot("init-scales", figure, json!({ "sizes": curves }));

    let sample = data::fashion_mnist(data::Split::Test).expect("it is in the crate");
    let images = sample.images.reshape([-1, 28 * 28]);
    let members = sample.labels.one_hot(10).t();
    let means = members.matmul(&images) / members.sum_keepdim(1);
    let means = means.reshape([10, 28, 28]);
    let names = data::FASHION_LABELS;
    let panels = (0..10).map(|i| Figure::new().image(means.i(i as i64)).title(names[i]));
    plot(
        "class-means",
        Figure::grid(2, 5, panels).size(4.75, 2.2),
        json!({ "means": list(&means), "names": names }),
    );
    plots
}

/// A bent valley, whose ground is at (1, 1).
fn valley(x: &Tensor, y: &Tensor) -> Tensor {
    (1.0 - x).pow(2.0) + (y - x.pow(2.0)).pow(2.0) * 100.0
}

/// Where gradient descent with a step of 0.4 goes on `0.1 x² + 2 y²`, from (-5, -2).
fn descent() -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut y) = (-5.0, -2.0);
    let step = |_| {
        let at = (x, y);
        (x, y) = (x - 0.4 * 0.2 * x, y - 0.4 * 4.0 * y);
        at
    };
    (0..20).map(step).unzip()
}

/// Contours and arrows.
fn fields() -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut plot = |name, figure, data| plots.push(Plot { name, figure, data });

    let (x, y) = (Tensor::linspace(-5.5, 1.0, 80), Tensor::linspace(-3.0, 2.0, 80));
    let bowl = heights(&x, &y, |x, y| x.pow(2.0) * 0.1 + y.pow(2.0) * 2.0);
    let (px, py) = descent();
    plot(
        "descent",
        Figure::new()
            .contour(&x, &y, &bowl)
            .line(&px, &py)
            .marker(Marker::Circle)
            .x_label("x₁")
            .y_label("x₂"),
        json!({ "x": list(&x), "y": list(&y), "z": list(&bowl), "px": px, "py": py }),
    );

    let x = Tensor::linspace(-3.0, 3.0, 80);
    let peaks = heights(&x, &x, |x, y| {
        let bump = |a: &Tensor, b: &Tensor| (-a.pow(2.0) - b.pow(2.0)).exp();
        (1.0 - x).pow(2.0) * 3.0 * bump(x, &(y + 1.0))
            - (x / 5.0 - x.pow(3.0) - y.pow(5.0)) * 10.0 * bump(x, y)
            - bump(&(x + 1.0), y) / 3.0
    });
    let data = json!({ "x": list(&x), "z": list(&peaks) });
    let figure = Figure::new().contour(&x, &x, &peaks).x_label("x").y_label("y");
    plot("contour", figure, data.clone());
    plot(
        "contour-filled",
        Figure::new()
            .contour_filled(&x, &x, &peaks)
            .contour(&x, &x, &peaks)
            .width(0.4)
            .x_label("x")
            .y_label("y")
            .z_label("height"),
        data,
    );

    let (x, y) = (Tensor::linspace(-1.5, 1.5, 100), Tensor::linspace(-0.5, 2.0, 100));
    let losses = heights(&x, &y, valley);
    plot(
        "contour-log",
        Figure::new()
            .contour_filled(&x, &y, &losses)
            .log_z()
            .scatter([1.0], [1.0])
            .marker(Marker::Cross)
            .color("black")
            .x_label("x")
            .y_label("y")
            .z_label("loss"),
        json!({ "x": list(&x), "y": list(&y), "z": list(&losses) }),
    );

    let x = Tensor::linspace(-2.0, 2.0, 60);
    let saddle = heights(&x, &x, |x, y| x.pow(2.0) - y.pow(2.0));
    let places = Tensor::linspace(-1.8, 1.8, 10);
    let u = heights(&places, &places, |x, _| x * 2.0);
    let v = heights(&places, &places, |_, y| y * -2.0);
    plot(
        "quiver",
        Figure::new()
            .contour(&x, &x, &saddle)
            .quiver(&places, &places, &u, &v)
            .equal_axes()
            .x_label("x")
            .y_label("y"),
        json!({
            "x": list(&x), "z": list(&saddle),
            "places": list(&places), "u": list(&u), "v": list(&v),
        }),
    );
    plots
}

/// Surfaces and nets.
fn spaces() -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut plot = |name, figure, data| plots.push(Plot { name, figure, data });

    let x = Tensor::linspace(-1.0, 1.0, 31);
    let saddle = heights(&x, &x, |x, y| x.pow(2.0) - y.pow(2.0));
    let along = (x.pow(2.0), x.pow(2.0) * -1.0);
    plot(
        "saddle",
        Figure::new()
            .surface(&x, &x, &saddle)
            .line_3d(&x, x.zeros_like(), &along.0)
            .color("red")
            .line_3d(x.zeros_like(), &x, &along.1)
            .color("orange")
            .x_label("x")
            .y_label("y")
            .z_label("x² − y²"),
        json!({ "x": list(&x), "z": list(&saddle) }),
    );

    let x = Tensor::linspace(-6.0, 6.0, 31);
    let ripple = heights(&x, &x, |x, y| {
        let r = (x.pow(2.0) + y.pow(2.0) + 1e-9).sqrt();
        r.sin() / &r
    });
    plot(
        "wireframe",
        Figure::new().wireframe(&x, &x, &ripple).x_label("x").y_label("y").z_label("z"),
        json!({ "x": list(&x), "z": list(&ripple) }),
    );

    let t = Tensor::linspace(0.0, 6.0 * PI, 300);
    plot(
        "helix",
        Figure::new()
            .line_3d(t.cos(), t.sin(), &t)
            .label("helix")
            .scatter_3d(t.cos() * 0.5, t.sin() * 0.5, &t)
            .label("points")
            .x_label("x")
            .y_label("y")
            .z_label("t"),
        json!({ "t": list(&t) }),
    );
    plots
}

/// Kinds and styles that the plots above do not show.
fn others() -> Vec<String> {
    let bars = Figure::new()
        .bar(&["ankle boot", "bag", "coat", "dress"], [3.0, 5.0, 2.0, 4.5])
        .label("train")
        .bar(&["ankle boot", "bag", "coat", "dress"], [2.5, 4.0, 2.2, 4.0])
        .label("test")
        .y_label("count");
    let x = Tensor::linspace(0.0, 3.0, 100);
    let curve = x.pow(2.0) * 2.0 - &x * 3.0;
    let band = Figure::new()
        .band(&x, &curve - 1.0, &curve + 1.0)
        .line(&x, &curve)
        .label("mean")
        .y_limits(-3.0, 6.0);
    let grid = Tensor::arange(0..100).reshape([10, 10]);
    let reds = Figure::new().heatmap(&grid).colormap(Colormap::Reds).title("Reds");
    let powers = heights(&x, &x, |x, y| (x * y * 2.0).exp());
    let log = Figure::new().heatmap(&powers).log_z().z_label("size");
    let wide = Figure::new()
        .contour(&x, &x, &powers)
        .colormap(Colormap::Viridis)
        .log_z()
        .log_x()
        .x_limits(0.1, 3.0)
        .title("coloured, on logarithmic axes");

    // A hill, a plane that touches it, and a ball that is half hidden.
    let x = Tensor::linspace(-2.0, 2.0, 31);
    let hill = heights(&x, &x, |x, y| (-x.pow(2.0) - y.pow(2.0)).exp());
    let side = tensor([-0.2, 1.2]);
    let plane = heights(&side, &side, |x, _| (1.5 - x) * (-0.25_f64).exp());
    let tangent = Figure::new()
        .surface(&x, &x, &hill)
        .colormap(Colormap::Blues)
        .surface(&side, &side, &plane)
        .color("orange")
        .opacity(0.8)
        .scatter_3d([0.5], [0.0], [(-0.25_f64).exp()])
        .color("black")
        .view(-40.0, 25.0)
        .z_limits(0.0, 1.5)
        .title("a tangent plane");
    let above = Figure::new()
        .surface(&x, &x, &hill)
        .line_3d([-2.0, 2.0], [2.0, -2.0], [0.1, 0.1])
        .label("through the hill")
        .view(30.0, 60.0)
        .x_label("x");
    let figures = [bars, band, reds, log, wide, tangent, above];
    figures.iter().map(Figure::to_svg).collect()
}

/// Gradient descent, a sharpening bell, and a surface that turns.
fn animations() -> Vec<String> {
    let (x, y) = (Tensor::linspace(-5.5, 1.0, 60), Tensor::linspace(-3.0, 2.0, 60));
    let bowl = heights(&x, &y, |x, y| x.pow(2.0) * 0.1 + y.pow(2.0) * 2.0);
    let (px, py) = descent();
    let steps = (1..=px.len()).map(|n| {
        Figure::new()
            .contour(&x, &y, &bowl)
            .line(&px[..n], &py[..n])
            .label("gradient descent")
            .marker(Marker::Circle)
            .title(&format!("step {}", n - 1))
            .x_label("x₁")
            .y_label("x₂")
    });
    let noise = Tensor::randn([400]);
    let bells = (1..=8).map(|i| {
        let sigma = 2.0 / f64::from(i);
        Figure::grid(
            1,
            2,
            [
                Figure::new().histogram(&noise * sigma, 30),
                Figure::new().image(Tensor::eye(9) * sigma).title(&format!("{sigma:.2}")),
            ],
        )
        .size(5.0, 2.2)
    });
    let x = Tensor::linspace(-1.0, 1.0, 13);
    let saddle = heights(&x, &x, |x, y| x.pow(2.0) - y.pow(2.0));
    let turns = (0..12).map(|i| {
        let around = -60.0 + 30.0 * f64::from(i);
        Figure::new()
            .surface(&x, &x, &saddle)
            .view(around, 30.0)
            .x_label("x")
            .y_label("y")
    });
    vec![
        Animation::new(steps).to_svg(),
        Animation::new(bells).frame_seconds(0.5).to_svg(),
        Animation::new(turns).to_svg(),
    ]
}

fn gallery() {
    println!("<body style='font-family: sans-serif; display: flex; flex-wrap: wrap'>");
    let plots = [book(), fields(), spaces()].into_iter().flatten();
    let figures = plots.map(|plot| plot.figure.to_svg());
    for svg in figures.chain(others()).chain(animations()) {
        println!("<div style='margin: 12px'>{svg}</div>");
    }
}
