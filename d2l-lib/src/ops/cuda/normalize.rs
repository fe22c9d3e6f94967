//! Channels with mean 0 and variance 1, scaled and shifted.

use super::{Fold, done, fold, grid_of_rows, layers::in_rows, place_of_any, shared_for};
use crate::{
    autograd::record,
    device::cuda::{Arguments, CudaError, Gpu, Kernel, NORMALIZE, chain},
    dtype::DType,
    shape::Shape,
    tensor::Tensor,
};

/// Where weights lie.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Weights {
    /// One for each channel.
    OfChannels,
    /// One for each element of a channel, which is a row.
    OfElements,
}

/// `Channels` in `normalize.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Channels {
    lengths: [i64; 3],
    parts: i64,
    kept: i64,
    eps: f64,
    x: u64,
    g: u64,
    weight: u64,
    bias: u64,
    out: u64,
    moments: u64,
    sums: u64,
    kind: u32,
    weight_kind: u32,
    stage: u32,
    along: u32,
}

/// What a launch does; as `Stage` in `normalize.cu`.
#[derive(Clone, Copy)]
enum Stage {
    Whole,
    Sums,
    Rest,
    Known,
}

/// Elements of a channel that a part of it should have at least.
const PART: usize = 8192;

/// So many elements in columns are worth being turned.
const MANY: usize = 1 << 20;

/// What was normalized, for its gradients.
#[derive(Clone)]
struct Normalized {
    gpu: &'static Gpu,
    op: &'static str,
    x: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    /// Mean and variance of each channel, in `f64`.
    moments: Tensor,
    lengths: [usize; 3],
    weights: Weights,
    eps: f64,
}

/// Every channel of `x`, which counts as `lengths`, with mean 0 and variance 1, multiplied by
/// `weight` and shifted by `bias`; and the mean and variance of each, as `f64`. Nothing where
/// weights have a type of their own.
#[track_caller]
pub(crate) fn normalize(
    op: &'static str,
    x: &Tensor,
    [weight, bias]: [Option<&Tensor>; 2],
    weights: Weights,
    lengths: [usize; 3],
    eps: f64,
) -> Option<(Tensor, Tensor)> {
    if x.storage.is_host() {
        return None;
    }
    let [outer, channels, inner] = lengths;
    if inner == 1 && outer > 1 && outer * channels >= MANY {
        // Columns are turned to rows, for threads should read what lies side by side.
        let rows = x.reshape([outer, channels]).t().contiguous();
        let (y, moments) =
            normalize(op, &rows, [weight, bias], weights, [1, channels, outer], eps)?;
        return Some((y.t().contiguous().reshape_to(x.layout.shape), moments));
    }
    let parts = [weight, bias];
    let all: Vec<&Tensor> = [x].into_iter().chain(parts.into_iter().flatten()).collect();
    let gpu = place_of_any(op, &all)?;
    if !all.iter().all(|part| part.dtype() == x.dtype()) {
        return None;
    }
    let own = |x: &Tensor| x.contiguous().saved();
    let moments = done(gpu.array(op, DType::F64, 2 * channels));
    if x.numel() == 0 {
        done(moments.zero(op));
    }
    let moments = Tensor::of_array(moments, Shape::new(&[channels, 2]));
    let [own_weight, own_bias] = parts.map(|part| part.map(own));
    let normalized = Normalized {
        gpu,
        op,
        x: own(x),
        weight: own_weight,
        bias: own_bias,
        // Whoever has the results may write there.
        moments: moments.saved(),
        lengths,
        weights,
        eps,
    };
    let out = done(normalized.forward());
    let out = record(op, out, &all, |tape, _| {
        tape.edge(x, || {
            let normalized = normalized.clone();
            move |g: &Tensor| done(normalized.back(g))
        });
        if let Some(weight) = weight {
            tape.edge(weight, || {
                let normalized = normalized.clone();
                move |g: &Tensor| {
                    let products = done(normalized.products(g));
                    normalized.for_each_weight(&products)
                }
            });
        }
        if let Some(bias) = bias {
            tape.edge(bias, || {
                let normalized = normalized.clone();
                move |g: &Tensor| normalized.for_each_weight(g)
            });
        }
    });
    Some((out, moments))
}

impl Normalized {
    fn channels(&self, x: u64) -> Channels {
        // They are rows, which stay as long as `self` does.
        let at = |x: &Tensor| in_rows(x).map_or(0, |(_, at)| at);
        let of = |x: &Option<Tensor>| x.as_ref().map_or(0, at);
        Channels {
            lengths: self.lengths.map(|length| length as i64),
            parts: 1,
            kept: 0,
            eps: self.eps,
            x,
            g: 0,
            weight: of(&self.weight),
            bias: of(&self.bias),
            out: 0,
            moments: at(&self.moments),
            sums: 0,
            kind: chain::kind(self.x.dtype()),
            weight_kind: chain::kind(self.x.dtype()),
            stage: Stage::Whole as u32,
            along: (self.weights == Weights::OfElements).into(),
        }
    }

    fn forward(&self) -> Result<Tensor, CudaError> {
        let (_x, x) = in_rows(&self.x).expect("it is on the GPU");
        let out = self.gpu.array(self.op, self.x.dtype(), self.x.numel())?;
        let channels = Channels { out: out.address(), ..self.channels(x) };
        self.run("standardize", channels, 1)?;
        Ok(Tensor::of_array(out, self.x.layout.shape))
    }

    /// The gradient of `x`.
    fn back(&self, g: &Tensor) -> Result<Tensor, CudaError> {
        let (_x, x) = in_rows(&self.x).expect("it is on the GPU");
        let (_g, g) = in_rows(g).expect("a gradient is where its tensor is");
        let out = self.gpu.array(self.op, self.x.dtype(), self.x.numel())?;
        let channels = Channels { g, out: out.address(), ..self.channels(x) };
        self.run("standardize_back", channels, 2)?;
        Ok(Tensor::of_array(out, self.x.layout.shape))
    }

    /// What was multiplied by the weight, times `g`; of halves in `f32`.
    fn products(&self, g: &Tensor) -> Result<Tensor, CudaError> {
        let wide = self.x.dtype().wide();
        let (_x, x) = in_rows(&self.x).expect("it is on the GPU");
        let (_g, g) = in_rows(g).expect("a gradient is where its tensor is");
        let out = self.gpu.array(self.op, wide, self.x.numel())?;
        let channels = Channels {
            g,
            out: out.address(),
            weight: 0,
            bias: 0,
            weight_kind: chain::kind(wide),
            stage: Stage::Known as u32,
            ..self.channels(x)
        };
        self.launch(
            "standardize",
            Channels { parts: self.parts() as i64, ..channels },
            0,
        )?;
        Ok(Tensor::of_array(out, self.x.layout.shape))
    }

    /// The sum of all elements of `x` that have the same weight.
    #[track_caller]
    fn for_each_weight(&self, x: &Tensor) -> Tensor {
        let [outer, channels, inner] = self.lengths;
        let weight =
            self.weight.as_ref().or(self.bias.as_ref()).expect("it has a gradient");
        let flags = [
            true,
            self.weights == Weights::OfElements,
            self.weights == Weights::OfChannels,
        ];
        let x = x.reshape_to(Shape::new(&[outer, channels, inner]));
        let sums = fold(self.op, &x, &flags, Fold::Sum(1.0)).expect("it is on the GPU");
        sums.reshape_to(weight.layout.shape).to_dtype(weight.dtype())
    }

    /// In how many parts each channel is worked on, so that all of the GPU has something to do.
    fn parts(&self) -> usize {
        let [outer, count, inner] = self.lengths;
        let blocks = self.gpu.blocks() as usize;
        (blocks / count.clamp(1, blocks)).min(outer * inner / PART).max(1)
    }

    /// Runs a kernel in one launch, or, where few channels are cut into parts, in two.
    fn run(
        &self,
        name: &'static str,
        channels: Channels,
        copies: usize,
    ) -> Result<(), CudaError> {
        let parts = self.parts();
        if parts == 1 {
            return self.launch(name, channels, copies);
        }
        let sums = self.gpu.array(self.op, DType::F64, 2 * parts * self.lengths[1])?;
        let parts = Channels { parts: parts as i64, sums: sums.address(), ..channels };
        for stage in [Stage::Sums, Stage::Rest] {
            self.launch(name, Channels { stage: stage as u32, ..parts }, 0)?;
        }
        Ok(())
    }

    /// One launch, which keeps so many copies of a channel in shared memory.
    fn launch(
        &self,
        name: &'static str,
        mut channels: Channels,
        copies: usize,
    ) -> Result<(), CudaError> {
        let [outer, count, inner] = self.lengths;
        if outer * count * inner == 0 {
            return Ok(());
        }
        let dtype = self.x.dtype();
        let pieces = outer * inner.div_ceil(4);
        let mut grid =
            grid_of_rows(self.gpu, count, 4 * pieces / channels.parts as usize);
        grid.blocks[1] = channels.parts as u32;
        channels.kept = shared_for(&mut grid, pieces, copies, dtype);
        let arguments = Arguments::new().with(&channels);
        // SAFETY: this is the kernels' argument, with places of so many elements.
        unsafe {
            self.gpu.launch(NORMALIZE, Kernel::of(name, dtype.wide()), grid, arguments)
        }
        .map_err(|error| error.by(self.op))
    }
}
