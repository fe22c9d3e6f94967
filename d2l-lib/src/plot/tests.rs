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
