//! Views and broadcasting against definitions by index, for shapes and views at random.

use d2l::{AxisIndex, prelude::*};
use proptest::prelude::*;

/// A tensor, and what it must contain: the same made step by step on plain vectors.
#[derive(Clone, Debug)]
struct Model {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Model {
    fn new(shape: &[usize]) -> Model {
        let numel: usize = shape.iter().product();
        Model { shape: shape.to_vec(), values: (0..numel).map(|i| i as f32).collect() }
    }

    fn tensor(&self) -> Tensor {
        tensor(&self.values).reshape(&self.shape[..])
    }

    fn at(&self, index: &[usize]) -> f32 {
        let place = index.iter().zip(&self.shape).fold(0, |place, (i, n)| place * n + i);
        self.values[place]
    }

    /// The model whose element at `index` is this one's at `source(index)`.
    fn map(&self, shape: Vec<usize>, source: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let values = indices(&shape).map(|index| self.at(&source(&index))).collect();
        Model { shape, values }
    }
}

fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let shape = shape.to_vec();
    (0..shape.iter().product()).map(move |mut n: usize| {
        let mut index = vec![0; shape.len()];
        for (i, &length) in index.iter_mut().zip(&shape).rev() {
            *i = n % length;
            n /= length;
        }
        index
    })
}

/// One view of a tensor; the numbers are taken modulo what is possible.
#[derive(Clone, Debug)]
enum View {
    Transpose(usize, usize),
    Select(usize, usize),
    Slice(usize, usize, usize, usize),
    Unsqueeze(usize),
    Merge(usize),
    Flatten,
    Expand(usize),
}

fn view() -> impl Strategy<Value = View> {
    let n = 0..12_usize;
    prop_oneof![
        (n.clone(), n.clone()).prop_map(|(a, b)| View::Transpose(a, b)),
        (n.clone(), n.clone()).prop_map(|(a, b)| View::Select(a, b)),
        (n.clone(), n.clone(), n.clone(), 1..4_usize)
            .prop_map(|(a, s, e, t)| View::Slice(a, s, e, t)),
        n.clone().prop_map(View::Unsqueeze),
        n.clone().prop_map(View::Merge),
        Just(View::Flatten),
        (2..4_usize).prop_map(View::Expand),
    ]
}

/// Applies a view to both, if the shape has room for it.
fn apply(view: &View, x: Tensor, model: Model) -> (Tensor, Model) {
    let shape = model.shape.clone();
    let ndim = shape.len();
    match *view {
        View::Unsqueeze(axis) if ndim < 5 => {
            let axis = axis % (ndim + 1);
            let mut new = shape;
            new.insert(axis, 1);
            let model = model.map(new, |index| {
                let mut index = index.to_vec();
                index.remove(axis);
                index
            });
            (x.unsqueeze(axis as i64), model)
        }
        View::Expand(n) if ndim < 5 => {
            let new = [&[n][..], &shape].concat();
            let y = x.expand(new.clone());
            (y, model.map(new, |index| index[1..].to_vec()))
        }
        View::Flatten => {
            let shape = vec![model.values.len()];
            (x.flatten(), Model { shape, ..model })
        }
        _ if ndim == 0 => (x, model),
        View::Transpose(a, b) => {
            let (a, b) = (a % ndim, b % ndim);
            let mut new = shape;
            new.swap(a, b);
            let y = x.transpose(a as i64, b as i64);
            let model = model.map(new, |index| {
                let mut index = index.to_vec();
                index.swap(a, b);
                index
            });
            (y, model)
        }
        View::Select(axis, at) => {
            let axis = axis % ndim;
            if shape[axis] == 0 {
                return (x, model);
            }
            let at = at % shape[axis];
            let mut new = shape.clone();
            new.remove(axis);
            // Half of the time from the end.
            let signed = if at.is_multiple_of(2) {
                at as i64
            } else {
                at as i64 - shape[axis] as i64
            };
            let model = model.map(new, |index| {
                let mut index = index.to_vec();
                index.insert(axis, at);
                index
            });
            (on_axis(&x, axis, signed.into()), model)
        }
        View::Slice(axis, start, end, step) => {
            let axis = axis % ndim;
            let start = start % (shape[axis] + 1);
            let end = start + end % (shape[axis] + 1 - start);
            let mut new = shape;
            new[axis] = (end - start).div_ceil(step);
            let y = on_axis(&x, axis, AxisIndex::from(start..end).step_by(step));
            let model = model.map(new, |index| {
                let mut index = index.to_vec();
                index[axis] = start + index[axis] * step;
                index
            });
            (y, model)
        }
        View::Merge(axis) if ndim > 1 => {
            let axis = axis % (ndim - 1);
            let mut new = shape;
            new[axis] *= new.remove(axis + 1);
            (x.reshape(&new[..]), Model { shape: new, ..model })
        }
        _ => (x, model),
    }
}

fn on_axis(x: &Tensor, axis: usize, index: AxisIndex) -> Tensor {
    let all = || AxisIndex::from(..);
    match axis {
        0 => x.i(index),
        1 => x.i((all(), index)),
        2 => x.i((all(), all(), index)),
        3 => x.i((all(), all(), all(), index)),
        _ => x.i((all(), all(), all(), all(), index)),
    }
}

fn viewed() -> impl Strategy<Value = (Tensor, Model)> {
    let shape = prop::collection::vec(0..5_usize, 0..4);
    (shape, prop::collection::vec(view(), 0..5)).prop_map(|(shape, views)| {
        let model = Model::new(&shape);
        views
            .iter()
            .fold((model.tensor(), model.clone()), |(x, m), view| apply(view, x, m))
    })
}

/// Two shapes that broadcast, and the result's.
fn broadcastable() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
    let axis = (0..4_usize, 0..3_u8);
    (prop::collection::vec(axis, 0..4), 0..4_usize, any::<bool>()).prop_map(
        |(axes, missing, left)| {
            let full: Vec<usize> = axes.iter().map(|(n, _)| *n).collect();
            let stretched = |which: u8| -> Vec<usize> {
                axes.iter().map(|&(n, one)| if one == which { 1 } else { n }).collect()
            };
            let (mut a, mut b) = (stretched(1), stretched(2));
            let drop = |v: &mut Vec<usize>| drop(v.drain(..missing.min(v.len())));
            drop(if left { &mut a } else { &mut b });
            (a, b, full)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_show_what_the_definition_says((x, model) in viewed()) {
        prop_assert_eq!(x.shape(), &model.shape[..]);
        prop_assert_eq!(x.to_vec(), model.values.clone());
        prop_assert_eq!(x.copy().to_vec(), model.values.clone());
        prop_assert_eq!((&x + 1.0).to_vec(), model.values.iter().map(|v| v + 1.0).collect::<Vec<_>>());
        prop_assert_eq!(x.sum().item(), model.values.iter().map(|&v| f64::from(v)).sum::<f64>());
    }

    #[test]
    fn sums_over_an_axis_of_a_view((x, model) in viewed(), axis in 0..5_usize) {
        prop_assume!(!model.shape.is_empty());
        let axis = axis % model.shape.len();
        let mut shape = model.shape.clone();
        let length = shape.remove(axis);
        let expected: Vec<f32> = indices(&shape)
            .map(|index| (0..length).map(|i| {
                let mut index = index.clone();
                index.insert(axis, i);
                model.at(&index)
            }).sum())
            .collect();
        let sums = x.sum_axis(axis);
        prop_assert_eq!(sums.shape(), &shape[..]);
        prop_assert_eq!(sums.to_vec(), expected);
    }

    #[test]
    fn writes_to_a_view_reach_exactly_its_elements((x, _) in viewed()) {
        let repeats = x.numel() > 0 && x.to_vec().iter().any(|v| {
            x.to_vec().iter().filter(|w| *w == v).count() > 1
        });
        // In storage of its own an expanded tensor has distinct elements again.
        let x = if repeats { x.copy() } else { x };
        let before = x.to_vec();
        let alias = x.clone();
        x.mul_(2.0);
        prop_assert_eq!(alias.to_vec(), before.iter().map(|v| v * 2.0).collect::<Vec<_>>());
        x.copy_(&tensor(before.clone()).reshape(x.shape()));
        prop_assert_eq!(x.to_vec(), before);
    }

    #[test]
    fn broadcasting_repeats_axes_of_length_one((a, b, full) in broadcastable()) {
        let (a, b) = (Model::new(&a), Model::new(&b));
        // Axes of length 1 on both sides stay; so do axes that neither has.
        let ndim = a.shape.len().max(b.shape.len());
        let full = &full[full.len() - ndim..];
        let expected_shape: Vec<usize> = (0..ndim).map(|axis| {
            let of = |m: &Model| (axis + m.shape.len()).checked_sub(ndim).map_or(1, |i| m.shape[i]);
            if of(&a) == 1 { of(&b) } else { of(&a) }
        }).collect();
        prop_assert!(expected_shape.iter().zip(full).all(|(e, f)| e == f || *e == 1));
        let place = |m: &Model, index: &[usize]| {
            let index = &index[ndim - m.shape.len()..];
            let index: Vec<usize> =
                index.iter().zip(&m.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
            m.at(&index)
        };
        let sum = a.tensor() - b.tensor() * 100.0;
        prop_assert_eq!(sum.shape(), &expected_shape[..]);
        let expected: Vec<f32> =
            indices(&expected_shape).map(|i| place(&a, &i) - place(&b, &i) * 100.0).collect();
        prop_assert_eq!(sum.to_vec(), expected);

        // The gradient counts how often each element was used.
        let leaf = a.tensor().requires_grad();
        (&leaf + b.tensor()).sum().backward();
        let uses = expected_shape.iter().product::<usize>() as f32 / a.values.len().max(1) as f32;
        prop_assert!(leaf.grad().unwrap().to_vec().iter().all(|&g| g == uses));
    }
}
