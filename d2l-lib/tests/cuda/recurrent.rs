//! Recurrent layers, by a library and by our own kernels.

use d2l::{Replay, nn::Module, prelude::*};

use super::{agree_on, alone, close, libraries::gpus, numbers};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Rnn,
    Gru,
    Lstm,
}

/// The sizes of some layers.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    layers: usize,
    ways: usize,
    times: usize,
    count: usize,
}

const FEATURES: usize = 5;
const HIDDENS: usize = 4;

impl Kind {
    const ALL: [Kind; 3] = [Kind::Rnn, Kind::Gru, Kind::Lstm];

    fn states(self) -> usize {
        if matches!(self, Kind::Lstm) { 2 } else { 1 }
    }

    /// The sequences, all parameters, and the first states.
    fn inputs(self, sizes: Sizes, dtype: DType) -> Vec<Tensor> {
        let rows = HIDDENS
            * match self {
                Kind::Rnn => 1,
                Kind::Gru => 3,
                Kind::Lstm => 4,
            };
        let mut shapes = vec![vec![sizes.times, sizes.count, FEATURES]];
        for cell in 0..sizes.layers * sizes.ways {
            let features =
                if cell < sizes.ways { FEATURES } else { sizes.ways * HIDDENS };
            shapes.extend([
                vec![rows, features],
                vec![rows, HIDDENS],
                vec![rows],
                vec![rows],
            ]);
        }
        let state = vec![sizes.layers * sizes.ways, sizes.count, HIDDENS];
        shapes.extend(vec![state; self.states()]);
        let one = |(i, shape): (usize, &Vec<usize>)| {
            (numbers(shape, i as f64) * 0.4).to_dtype(dtype)
        };
        shapes.iter().enumerate().map(one).collect()
    }

    /// The outputs and the last states of layers with these [`inputs`](Kind::inputs).
    fn run(self, sizes: Sizes, inputs: &[Tensor]) -> Vec<Tensor> {
        macro_rules! run {
            ($Layer:ident) => {{
                let mut layer = nn::$Layer::lazy(HIDDENS).stacked(sizes.layers);
                if sizes.ways == 2 {
                    layer = layer.bidirectional();
                }
                let (parameters, state) =
                    inputs[1..].split_at(inputs.len() - 1 - self.states());
                for ((_, parameter), value) in layer.state().iter().zip(parameters) {
                    parameter.get_or_init(|| value.clone());
                }
                let (y, last) = layer.forward_from(&inputs[0], state);
                [y].into_iter().chain(last).collect()
            }};
        }
        match self {
            Kind::Rnn => run!(Rnn),
            Kind::Gru => run!(Gru),
            Kind::Lstm => run!(Lstm),
        }
    }
}

/// All elements, one behind the other.
fn flat(all: &[Tensor]) -> Tensor {
    let parts: Vec<Tensor> = all.iter().map(Tensor::flatten).collect();
    Tensor::cat(&Vec::from_iter(&parts), 0)
}

/// Sizes of layers; with so many times as the last ones have the emulated library refuses them.
const CASES: [Sizes; 6] = [
    Sizes { layers: 1, ways: 1, times: 5, count: 3 },
    Sizes { layers: 1, ways: 1, times: 1, count: 2 },
    Sizes { layers: 3, ways: 1, times: 4, count: 2 },
    Sizes { layers: 1, ways: 2, times: 3, count: 1 },
    Sizes { layers: 2, ways: 2, times: 6, count: 3 },
    Sizes { layers: 2, ways: 2, times: 41, count: 1 },
];

#[test]
fn outputs_last_states_and_all_gradients_of_recurrent_layers() {
    for gpu in gpus() {
        for (kind, sizes) in
            Kind::ALL.into_iter().flat_map(|kind| CASES.map(|sizes| (kind, sizes)))
        {
            for dtype in [DType::F32, DType::F64] {
                let inputs = kind.inputs(sizes, dtype);
                let name = format!("{kind:?} of {dtype} on {gpu}, {sizes:?}");
                agree_on(gpu, &name, &Vec::from_iter(&inputs), |x| {
                    flat(&kind.run(sizes, x))
                });
            }
        }
    }
}

#[test]
fn a_part_of_the_gradients_and_of_the_results() {
    let sizes = Sizes { layers: 2, ways: 2, times: 4, count: 2 };
    for gpu in gpus() {
        for kind in Kind::ALL {
            let inputs = kind.inputs(sizes, DType::F32);
            let inputs = Vec::from_iter(&inputs);
            let agree = |what: &str, f: &dyn Fn(&[Tensor]) -> Tensor| {
                agree_on(gpu, &format!("{kind:?} on {gpu}: {what}"), &inputs, f);
            };
            agree("outputs alone", &|x| kind.run(sizes, x)[0].copy());
            agree("the last state alone", &|x| kind.run(sizes, x)[kind.states()].copy());
            let without = |x: &[Tensor], skipped: &dyn Fn(usize) -> bool| {
                let all = x.iter().enumerate();
                let all =
                    all.map(|(i, x)| if skipped(i) { x.detach() } else { x.clone() });
                flat(&kind.run(sizes, &all.collect::<Vec<_>>()))
            };
            agree("sequences alone", &|x| without(x, &|i| i > 0));
            agree("weights alone", &|x| without(x, &|i| i == 0 || i > 16));
            agree("every third", &|x| without(x, &|i| i % 3 != 0));
            agree("none", &|x| no_grad(|| flat(&kind.run(sizes, x))));
            agree("turned sequences", &|x| {
                let mut x = x.to_vec();
                x[0] = x[0].transpose(0, 1).contiguous().transpose(0, 1).narrow(1, 0, 2);
                flat(&kind.run(sizes, &x))
            });
        }
    }
}

#[test]
fn a_state_that_nobody_asks_for_changes_no_output() {
    for gpu in gpus() {
        let _alone = alone();
        let lstm = nn::Lstm::new(FEATURES, HIDDENS).stacked(2);
        let x = numbers(&[6, 3, FEATURES], 0.3).to_device(gpu);
        lstm.forward(&x.to_device(Device::Cpu));
        lstm.to_device(gpu);
        let begin: Vec<Tensor> =
            lstm.begin(3).into_iter().map(|state| state.to_device(gpu)).collect();
        let (y, last) = lstm.forward_from(&x, &begin);
        assert!(lstm.forward(&x).equal(&y));
        assert!(last[0].i(1).equal(&y.i(-1)), "the last hidden state is the last output");
    }
}

/// The results and gradients of bidirectional layers of halves may be off by so much, as a share of
/// the largest (at least 1): a few of the steps between two halves about 1.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::BF16 { 1.0 / 32.0 } else { 1.0 / 256.0 }
}

#[test]
fn recurrent_layers_of_halves() {
    let sizes = Sizes { layers: 2, ways: 2, times: 5, count: 3 };
    let run = |kind: Kind, inputs: &[Tensor]| {
        let inputs: Vec<Tensor> =
            inputs.iter().map(|x| x.detach().requires_grad()).collect();
        let y = flat(&kind.run(sizes, &inputs));
        y.backward_with(&Tensor::ones_like(&y));
        let gradients = inputs.iter().map(|x| x.grad().expect("a gradient"));
        [y.detach()].into_iter().chain(gradients).collect::<Vec<_>>()
    };
    for (kind, dtype) in
        Kind::ALL.into_iter().flat_map(|kind| [(kind, DType::BF16), (kind, DType::F16)])
    {
        let inputs = kind.inputs(sizes, dtype);
        let wide: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F32)).collect();
        let expected = run(kind, &wide);
        for gpu in gpus() {
            let _alone = alone();
            let inputs: Vec<Tensor> = inputs.iter().map(|x| x.to_device(gpu)).collect();
            for (i, (its, own)) in run(kind, &inputs).iter().zip(&expected).enumerate() {
                assert_eq!((its.dtype(), its.device()), (dtype, gpu));
                let (its, own) = (its.to_vec_f64(), own.to_vec_f64());
                let scale = own.iter().fold(1.0, |scale, x| x.abs().max(scale));
                let apart = its.iter().zip(&own).map(|(a, b)| (a - b).abs());
                let apart = apart.fold(0.0, f64::max) / scale;
                let name = format!("{kind:?} of {dtype} on {gpu}, tensor {i}");
                assert!(apart <= tolerance(dtype), "{name}: {apart} apart");
            }
        }
    }
}

#[test]
fn a_library_rounds_the_states_of_halves_each_time() {
    let [with, without] = gpus()[..] else { return };
    let _alone = alone();
    let sizes = Sizes { layers: 1, ways: 1, times: 6, count: 3 };
    let inputs = Kind::Gru.inputs(sizes, DType::BF16);
    let on = |gpu: Device, dtype: DType| {
        let inputs: Vec<Tensor> =
            inputs.iter().map(|x| x.to_device(gpu).to_dtype(dtype)).collect();
        Kind::Gru.run(sizes, &inputs)[0].to_device(Device::Cpu)
    };
    let y = on(with, DType::BF16);
    assert!(!y.equal(&on(without, DType::BF16)), "our kernels round the results alone");
    close("f32", "outputs", &on(with, DType::F32), &on(without, DType::F32));
}

#[test]
fn recurrent_layers_are_replayed() {
    for (gpu, kind) in
        gpus().into_iter().flat_map(|gpu| Kind::ALL.map(|kind| (gpu, kind)))
    {
        let _alone = alone();
        let sizes = Sizes { layers: 2, ways: 2, times: 4, count: 2 };
        let inputs = kind.inputs(sizes, DType::F32);
        let inputs: Vec<Tensor> =
            inputs.iter().map(|x| x.to_device(gpu).requires_grad()).collect();
        let work = || {
            inputs.iter().for_each(Tensor::zero_grad);
            let loss = (flat(&kind.run(sizes, &inputs)) * 2.0).tanh().sum();
            loss.backward();
            loss
        };
        let mut step = Replay::new(gpu, work);
        for i in 0..6 {
            no_grad(|| inputs[0].copy_(&numbers(&[4, 2, FEATURES], f64::from(i))));
            let all = |loss: Tensor| {
                let gradients = inputs.iter().map(|x| x.grad().expect("one").to_vec());
                (loss.item(), gradients.collect::<Vec<_>>())
            };
            let replayed = all(step.run());
            assert_eq!(replayed, all(work()), "{kind:?} on {gpu}, run {i}");
        }
        assert!(step.is_replayed(), "{kind:?} on {gpu}: {:?}", step.obstacle());
    }
}
