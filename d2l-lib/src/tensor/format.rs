//! Tensors as text, the way PyTorch writes them.
//!
//! All elements share a width and a format, chosen by the least and the greatest; above a
//! thousand elements only three at each end of an axis are shown, and then the shape too.
//! The dtype is shown where the elements do not tell it.

use std::fmt;

use super::Tensor;
use crate::dtype::DType;

const LINE_WIDTH: usize = 80;
const EDGE_ITEMS: usize = 3;
const THRESHOLD: usize = 1000;
const PRECISION: usize = 4;
const START: &str = "tensor(";

impl fmt::Display for Tensor {
    /// Writes the tensor as PyTorch does; `{:.2}` sets the digits after the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elided = self.numel() > THRESHOLD;
        let shown = self.detach();
        let precision = f.precision().unwrap_or(PRECISION);
        let body = if self.numel() == 0 {
            "[]".to_owned()
        } else {
            let style = Style::of(&shown, elided, precision);
            nested(&shown, &style, elided, START.len())
        };
        f.write_str(START)?;
        f.write_str(&body)?;

        let mut column = match body.rfind('\n') {
            Some(newline) => body.len() - newline,
            None => body.len() + 1,
        };
        for suffix in suffixes(self, elided) {
            if column + suffix.len() + 2 > LINE_WIDTH {
                write!(f, ",\n{}{suffix}", " ".repeat(START.len()))?;
                column = START.len() + suffix.len();
            } else {
                write!(f, ", {suffix}")?;
                column += suffix.len() + 2;
            }
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Tensor {
    /// The same as `{}`: a cell's last expression and a failed `assert_eq!` read alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the elements alone do not say.
fn suffixes(x: &Tensor, elided: bool) -> Vec<String> {
    let mut suffixes = Vec::new();
    let empty = x.numel() == 0;
    if elided || (empty && x.ndim() != 1) {
        suffixes.push(format!("shape={:?}", x.shape()));
    }
    let obvious = match x.dtype() {
        DType::F32 => true,
        DType::I64 | DType::Bool => !empty,
        DType::F64 | DType::F16 | DType::BF16 | DType::U8 => false,
    };
    if !obvious {
        suffixes.push(format!("dtype={}", x.dtype()));
    }
    match x.node.as_ref().map(|node| node.op()) {
        Some(None) => suffixes.push("requires_grad".to_owned()),
        Some(Some(op)) => suffixes.push(format!("grad_fn={op}")),
        None => {}
    }
    suffixes
}

/// How every element of one tensor is written.
struct Style {
    kind: Kind,
    width: usize,
}

enum Kind {
    Bool,
    Integer,
    /// Floats that are all whole: `3.`
    Whole,
    Fixed(usize),
    Scientific(usize),
}

impl Style {
    fn of(x: &Tensor, elided: bool, precision: usize) -> Style {
        let mut values = Vec::new();
        collect_shown(x, elided, &mut values);
        let is_bool = x.dtype() == DType::Bool;
        if !x.dtype().is_float() {
            let kind = if is_bool { Kind::Bool } else { Kind::Integer };
            let style = Style { kind, width: 0 };
            let width = values.iter().map(|v| style.text(v).len()).max().unwrap_or(0);
            return Style { width, ..style };
        }

        let mut ordinary: Vec<Scalar> = Vec::new();
        let (mut least, mut greatest, mut whole) = (f64::INFINITY, 0.0_f64, true);
        for value in values {
            let Scalar::Float(number) = value else { continue };
            if number.is_finite() && number != 0.0 {
                (least, greatest) = (least.min(number.abs()), greatest.max(number.abs()));
                whole &= number.fract() == 0.0;
                ordinary.push(value);
            }
        }
        let scientific = !ordinary.is_empty()
            && (greatest / least > 1e3 || greatest > 1e8 || least < 1e-4);
        let kind = match (scientific, whole) {
            (true, _) => Kind::Scientific(precision),
            (false, true) => Kind::Whole,
            (false, false) => Kind::Fixed(precision),
        };
        let style = Style { kind, width: 0 };
        // As in PyTorch, zeros and what is not finite do not widen the columns.
        let width = ordinary.iter().map(|v| style.text(v).len()).max().unwrap_or(1);
        Style { width, ..style }
    }

    fn text(&self, value: &Scalar) -> String {
        match (value, &self.kind) {
            (Scalar::Int(value), Kind::Bool) => (*value != 0).to_string(),
            (Scalar::Int(value), _) => value.to_string(),
            (Scalar::Float(value), _) if value.is_nan() => "nan".to_owned(),
            (Scalar::Float(value), Kind::Fixed(precision)) => {
                format!("{value:.precision$}")
            }
            (Scalar::Float(value), Kind::Scientific(precision)) => {
                scientific(*value, *precision)
            }
            (Scalar::Float(value), _) if value.is_infinite() => value.to_string(),
            (Scalar::Float(value), _) => format!("{value:.0}."),
        }
    }
}

/// `1.2000e+03`, as C writes it.
fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

#[derive(Clone, Copy)]
enum Scalar {
    Int(i64),
    Float(f64),
}

/// The elements of a tensor without or with one axis.
fn scalars(x: &Tensor) -> Vec<Scalar> {
    if x.dtype().is_float() {
        x.to_vec_f64().into_iter().map(Scalar::Float).collect()
    } else {
        x.to_vec_i64().into_iter().map(Scalar::Int).collect()
    }
}

/// The positions shown of an axis: all, or both ends with nothing between.
fn ends(length: usize, elided: bool) -> (Vec<usize>, Option<usize>) {
    if elided && length > 2 * EDGE_ITEMS {
        let positions = (0..EDGE_ITEMS).chain(length - EDGE_ITEMS..length);
        (positions.collect(), Some(EDGE_ITEMS))
    } else {
        ((0..length).collect(), None)
    }
}

fn collect_shown(x: &Tensor, elided: bool, values: &mut Vec<Scalar>) {
    if x.ndim() == 0 || !elided {
        return values.extend(scalars(x));
    }
    for position in ends(x.shape()[0], elided).0 {
        collect_shown(&x.i(position), elided, values);
    }
}

fn nested(x: &Tensor, style: &Style, elided: bool, indent: usize) -> String {
    let pad =
        |value: &Scalar| format!("{:>width$}", style.text(value), width = style.width);
    if x.ndim() == 0 {
        return style.text(&scalars(x)[0]);
    }
    let (positions, gap) = ends(x.shape()[0], elided);
    if x.ndim() > 1 {
        let mut parts: Vec<String> = (positions.into_iter())
            .map(|position| nested(&x.i(position), style, elided, indent + 1))
            .collect();
        if let Some(gap) = gap {
            parts.insert(gap, "...".to_owned());
        }
        let between = format!(",{}{}", "\n".repeat(x.ndim() - 1), " ".repeat(indent + 1));
        return format!("[{}]", parts.join(&between));
    }
    let shown = scalars(x);
    let mut parts: Vec<String> = positions.iter().map(|&i| pad(&shown[i])).collect();
    if let Some(gap) = gap {
        parts.insert(gap, " ...".to_owned());
    }
    let in_line = (LINE_WIDTH.saturating_sub(indent) / (style.width + 2)).max(1);
    let lines: Vec<String> = parts.chunks(in_line).map(|line| line.join(", ")).collect();
    format!("[{}]", lines.join(&format!(",\n{}", " ".repeat(indent + 1))))
}
