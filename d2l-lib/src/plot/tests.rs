use super::*;
use crate::{Tensor, tensor};

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

fn wave() -> Figure {
    let x = Tensor::linspace(0.0, 6.0, 50);
    Figure::new()
        .line(&x, x.sin())
        .label("sine")
        .line(&x, x.cos())
        .label("cosine")
        .x_label("x")
}

#[test]
fn a_figure_is_one_drawing_that_takes_the_colour_of_the_page() {
    let svg = wave().to_svg();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("currentColor"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    for text in ["sine", "cosine", ">x<"] {
        assert!(svg.contains(text), "{text}");
    }
    assert_eq!(svg, wave().to_svg(), "the same figure gives the same bytes");
}

#[test]
fn a_legend_stands_only_where_something_is_named() {
    let x = [0.0, 1.0];
    let plain = Figure::new().line(x, x).to_svg();
    let named = Figure::new().line(x, x).label("identity").to_svg();
    assert!(!plain.contains("identity") && named.contains("identity"));
    assert_eq!(
        count(&named, "<path") - count(&plain, "<path"),
        1,
        "the sample of the line"
    );
}

#[test]
fn pictures_and_heat_maps_are_embedded_once_each() {
    let matrix = [[0.0, 1.0], [2.0, 3.0]];
    assert_eq!(count(&Figure::new().image(matrix).to_svg(), "<image"), 1);
    // The second is the scale of colours.
    assert_eq!(count(&Figure::new().heatmap(matrix).to_svg(), "<image"), 2);
}

#[test]
fn bars_have_names_and_stand_on_zero() {
    let svg = Figure::new().bar(&["cat", "dog"], [3.0, 5.0]).to_svg();
    assert!(svg.contains("cat") && svg.contains("dog") && svg.contains(">0<"), "{svg}");
}

#[test]
fn nothing_finite_still_gives_axes() {
    for figure in [
        Figure::new(),
        Figure::new().line([f64::NAN, 1.0], [1.0, f64::INFINITY]),
        Figure::new().line([0.0; 0], [0.0; 0]),
        Figure::new().log_y().line([1.0, 2.0], [-1.0, 0.0]),
        Figure::new().histogram([2.0, 2.0], 3),
    ] {
        let svg = figure.to_svg();
        assert!(!svg.contains("NaN") && svg.contains("<text"), "{svg}");
    }
}

#[test]
fn a_grid_holds_every_panel() {
    let svg =
        Figure::grid(2, 2, [wave().title("one"), wave().title("two"), wave()]).to_svg();
    assert!(svg.contains("one") && svg.contains("two"));
    assert_eq!(count(&svg, ">sine<"), 3);
}

#[test]
fn words_replace_the_drawing_where_only_text_is_shown() {
    assert_eq!(
        wave().to_string(),
        "Figure(line \"sine\", 50 points; line \"cosine\", 50 points)"
    );
}

#[test]
#[should_panic(expected = "Figure::line: lengths differ: 2 and 3")]
fn lengths_must_agree() {
    let _ = Figure::new().line([1.0, 2.0], tensor([1.0, 2.0, 3.0]));
}

fn heights(n: usize, f: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Matrix) {
    let x: Vec<f64> = (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect();
    let z: Vec<f64> = x
        .iter()
        .flat_map(|&y| x.iter().map(move |&x| (x, y)))
        .map(|(x, y)| f(x, y))
        .collect();
    (x, Matrix::new(n, n, z))
}

#[test]
fn every_kind_is_well_formed_and_drawn_in_full() {
    let (x, bowl) = heights(9, |x, y| x * x + y * y);
    let ones = [1.0; 81];
    let figures = [
        Figure::new().contour(&x, &x, bowl.clone()),
        Figure::new().contour_filled(&x, &x, bowl.clone()).log_z().z_label("a < b"),
        Figure::new().quiver(&x, &x, ones, ones).equal_axes(),
        Figure::new().surface(&x, &x, bowl.clone()).line_3d(&x, &x, &x).label("&"),
        Figure::new().wireframe(&x, &x, bowl.clone()).view(200.0, 90.0),
        Figure::new().scatter_3d(&x, &x, &x).z_limits(0.0, 2.0),
    ];
    for figure in figures {
        let svg = figure.to_svg();
        let drawing = roxmltree::Document::parse(&svg).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{figure}");
        let words = drawing.descendants().find(|n| n.has_tag_name("desc")).unwrap();
        assert!(words.text().unwrap().contains("axis from -1 to 1"), "{words:?}");
    }
}

#[test]
fn missing_heights_and_equal_heights_still_give_axes() {
    let (x, holes) = heights(4, |x, y| if x * y > 0.5 { f64::NAN } else { x });
    let flat = heights(4, |_, _| 3.0).1;
    let nowhere = heights(4, |_, _| f64::NAN).1;
    for z in [holes, flat, nowhere] {
        for figure in [
            Figure::new().contour(&x, &x, z.clone()),
            Figure::new().contour_filled(&x, &x, z.clone()),
            Figure::new().contour_filled(&x, &x, z.clone()).log_z().log_x(),
            Figure::new().surface(&x, &x, z.clone()),
            Figure::new().wireframe(&x, &x, z.clone()).log_z(),
        ] {
            let svg = figure.to_svg();
            assert!(!svg.contains("NaN") && svg.contains("<text"), "{figure}");
        }
    }
    let none_positive = Figure::new().heatmap([[0.0, -1.0]]).log_z().to_svg();
    assert!(!none_positive.contains(">NaN<") && none_positive.contains(">10"));
}

#[test]
fn words_say_where_heights_are_lowest() {
    let (x, bowl) = heights(5, |x, y| (x - 0.5).powi(2) + y * y);
    assert_eq!(
        Figure::new().contour(&x, &x, bowl).to_string(),
        "Figure(contour lines, 5 × 5 heights from 0 to 3.25, \
         lowest at (0.5, 0), highest at (-1, 1))"
    );
}

/// The texts of the groups that are seen when an animation is not played, and of those that are
/// not.
fn texts_at_rest(svg: &str) -> [Vec<String>; 2] {
    let drawing = roxmltree::Document::parse(svg).unwrap();
    let texts = drawing.descendants().filter(|n| n.has_tag_name("text"));
    let (hidden, seen): (Vec<_>, Vec<_>) = texts.partition(|t| {
        t.ancestors().any(|a| a.attribute("visibility") == Some("hidden"))
    });
    [seen, hidden].map(|all| all.iter().filter_map(|t| Some(t.text()?.into())).collect())
}

#[test]
fn an_animation_at_rest_shows_its_last_frame() {
    let frame = |n: usize| {
        let line: Vec<f64> = (0..=n).map(|i| i as f64).collect();
        let still = Figure::new().line([0.0, 3.0], [3.0, 0.0]).label("still");
        still.line(&line, &line).title(&format!("frame {n}"))
    };
    let svg = Animation::new((1..=3).map(frame)).to_svg();
    let [seen, hidden] = texts_at_rest(&svg);
    assert_eq!(hidden, ["frame 1", "frame 2"]);
    // The axes are those of the widest frame, and drawn once, as is what stays the same.
    assert_eq!(seen, texts_at_rest(&frame(3).to_svg())[0]);
    let drawing = roxmltree::Document::parse(&svg).unwrap();
    let moving = drawing.descendants().filter(|n| n.attribute("class").is_some());
    let paths: Vec<usize> = moving
        .map(|g| g.descendants().filter(|n| n.has_tag_name("path")).count())
        .collect();
    assert_eq!(paths, [0, 0, 0, 1, 1, 1], "titles, then one line a frame");
}

#[test]
fn frames_come_in_turn_and_the_last_one_stays_longest() {
    let frames = [1.0, 2.0, 3.0, 4.0].map(|x| Figure::new().scatter([x], [x]));
    let svg = Animation::new(frames).frame_seconds(0.5).to_svg();
    let drawing = roxmltree::Document::parse(&svg).unwrap();
    let total: f64 = 4.0 * 0.5 + 1.5;
    // How far into its turn each frame is at the start; it is seen first when the turn is over.
    let waits: Vec<f64> = (drawing.descendants())
        .filter_map(|n| n.attribute("style"))
        .map(|style| style.trim_start_matches("animation-delay:-").trim_end_matches('s'))
        .map(|ahead| (total - ahead.parse::<f64>().unwrap()) % total)
        .collect();
    assert_eq!(waits, [0.0, 0.5, 1.0, 1.5]);
    let style = drawing.descendants().find(|n| n.has_tag_name("style")).unwrap();
    let style = style.text().unwrap();
    assert!(style.contains("prefers-reduced-motion:no-preference"));
    for share in [0.5 / total, 2.0 / total] {
        let shown = format!("{:.4}%{{visibility:hidden}}", 100.0 * share);
        assert!(style.contains(&shown), "{shown} in {style}");
    }
}

#[test]
fn panels_and_views_can_change_from_frame_to_frame() {
    let (x, bowl) = heights(5, |x, y| x * x + y * y);
    let panels = |i: f64| {
        let left = Figure::new().line([0.0, i], [0.0, 1.0]);
        Figure::grid(1, 2, [left, Figure::new().image([[0.0, i]])])
    };
    let turned = |i: f64| Figure::new().surface(&x, &x, bowl.clone()).view(i, 30.0);
    for frames in [[1.0, 2.0].map(panels), [10.0, 20.0].map(turned)] {
        let svg = Animation::new(frames).to_svg();
        roxmltree::Document::parse(&svg).unwrap();
        assert!(svg.contains("visibility=\"hidden\""));
    }
}

#[test]
#[should_panic(expected = "frames of different kinds: flat, space")]
fn flat_and_spatial_frames_do_not_mix() {
    let flat = Figure::new().line([0.0], [0.0]);
    let _ = Animation::new([flat, Figure::new().line_3d([0.0], [0.0], [0.0])]);
}

#[test]
#[should_panic(expected = "Figure::surface: one figure cannot have flat plots and")]
fn flat_and_spatial_plots_do_not_mix() {
    let flat = Figure::new().line([0.0], [0.0]);
    let _ = flat.surface([0, 1], [0, 1], [[0, 1], [1, 2]]);
}

#[test]
#[should_panic(expected = "Figure::contour: 2 × 3 heights over 2 values of x and 3 of y")]
fn heights_must_fit_their_grid() {
    let _ = Figure::new().contour([0, 1], [0, 1, 2], [[0, 1, 2], [1, 2, 3]]);
}
