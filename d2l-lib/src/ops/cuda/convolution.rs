//! Convolutions: by the GPU's library, if it has one, else as products of matrices of what the
//! window sees.

use std::sync::Arc;

use super::{
    copy, done,
    layers::{Sliding, in_rows},
    place, place_of_any, product, write, zip_in_place,
};
use crate::{
    autograd::record,
    device::cuda::{
        Array, Convolution, Gpu, Pass, SIDE_ALIGNMENT, Sides, is_tf32_allowed,
    },
    dtype::DType,
    ops::{rounded, widened},
    shape::Shape,
    tensor::Tensor,
};

/// The elements of `x` row after row where a library can read them, and where the first one is.
pub(super) fn aligned(x: &Tensor) -> Option<(Arc<Array>, u64)> {
    let found = in_rows(x)?;
    if found.1 % SIDE_ALIGNMENT == 0 { Some(found) } else { in_rows(&copy(x)?) }
}

/// One gradient for each input that needs one.
fn gradients(
    needs: &[bool],
    gradient: impl Fn(usize) -> Option<Tensor>,
) -> Vec<Option<Tensor>> {
    let each = |(input, &needed): (usize, &bool)| {
        needed.then(|| gradient(input).expect("all are on one GPU"))
    };
    needs.iter().enumerate().map(each).collect()
}

/// Adds a number to each channel of `x`.
#[track_caller]
fn add(x: &Tensor, bias: Option<&Tensor>) {
    if let Some(bias) = bias {
        let each = Shape::new(&[bias.numel(), 1, 1]);
        zip_in_place("add", x, &bias.detach().reshape_to(each));
    }
}

impl Sliding {
    /// The convolution of images with the kernels `weight`, `(o, c, kh, kw)`, all of one type of
    /// floats; `bias` is added.
    #[track_caller]
    pub(crate) fn convolve(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Option<Tensor> {
        const NAME: &str = "conv2d";
        place_of_any(NAME, &[x, weight, bias.unwrap_or(x)])?;
        let out = self.results(NAME, x, weight, bias)?;
        let inputs = [Some(x), Some(weight), bias];
        let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
        Some(record(NAME, out, &inputs, |tape, _| {
            // Each gradient needs the other factor.
            let kernels = x.needs_grad().then(|| weight.saved());
            let images = weight.needs_grad().then(|| x.saved());
            let shape = weight.layout.shape;
            tape.joint(&inputs, move |g, needs| {
                let g = g.contiguous();
                gradients(needs, |input| match input {
                    0 => self.to_images(NAME, &g, kernels.as_ref()?, None),
                    1 => self.to_kernels(NAME, images.as_ref()?, &g, shape),
                    _ => Some(g.sum_axis([0, 2, 3])),
                })
            });
        }))
    }

    /// The convolution that goes the other way: from results `x` to images; `bias` is added.
    #[track_caller]
    pub(crate) fn convolve_back(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Option<Tensor> {
        const NAME: &str = "conv2d_transposed";
        place_of_any(NAME, &[x, weight, bias.unwrap_or(x)])?;
        let out = self.to_images(NAME, x, weight, bias)?;
        let inputs = [Some(x), Some(weight), bias];
        let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
        Some(record(NAME, out, &inputs, |tape, _| {
            let kernels = x.needs_grad().then(|| weight.saved());
            let results = weight.needs_grad().then(|| x.saved());
            let shape = weight.layout.shape;
            tape.joint(&inputs, move |g, needs| {
                let g = g.contiguous();
                gradients(needs, |input| match input {
                    0 => self.results(NAME, &g, kernels.as_ref()?, None),
                    1 => self.to_kernels(NAME, &g, results.as_ref()?, shape),
                    _ => Some(g.sum_axis([0, 2, 3])),
                })
            });
        }))
    }

    /// The results `(n, o, oh, ow)` of images and kernels, with the bias.
    #[track_caller]
    fn results(
        self,
        op: &'static str,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Option<Tensor> {
        let (kernels, dtype) = (weight.layout.shape, x.dtype());
        let shape =
            Shape::new(&[self.images[0], kernels[0], self.places[0], self.places[1]]);
        let out = match self.by_library(op, Pass::Forward, [x, weight], kernels, shape) {
            Some(out) => out,
            None if dtype.is_half() => {
                let bias = bias.map(widened);
                let [x, weight] = [x, weight].map(widened);
                return Some(rounded(
                    self.results(op, &x, &weight, bias.as_deref())?,
                    dtype,
                ));
            }
            None => self.results_by_kernels(op, x, weight, shape)?,
        };
        add(&out, bias);
        Some(out)
    }

    #[track_caller]
    fn results_by_kernels(
        self,
        op: &'static str,
        x: &Tensor,
        weight: &Tensor,
        shape: Shape,
    ) -> Option<Tensor> {
        let gpu = place(op, &[x, weight])?;
        let out = Tensor::of_array(done(gpu.array(op, x.dtype(), shape.numel())), shape);
        let kernels = self.as_rows(weight);
        for (part, from) in self.parts(gpu, x.dtype()) {
            let count = part.images[0];
            let columns = part.unfold(op, gpu, &x.detach().narrow(0, from, count))?;
            let made = product(&kernels, &columns, &[])?;
            let apart = [shape[1], count, shape[2], shape[3]];
            let made = made.reshape_to(Shape::new(&apart)).transpose(0, 1);
            write(op, &out.narrow(0, from, count), &made);
        }
        Some(out)
    }

    /// The gradient of the images from that of the results, `g`, with a bias.
    #[track_caller]
    fn to_images(
        self,
        op: &'static str,
        g: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Option<Tensor> {
        let (kernels, dtype) = (weight.layout.shape, g.dtype());
        let shape = Shape::new(&self.images);
        let out = match self.by_library(op, Pass::ToImages, [weight, g], kernels, shape) {
            Some(out) => out,
            None if dtype.is_half() => {
                let bias = bias.map(widened);
                let [g, weight] = [g, weight].map(widened);
                return Some(rounded(
                    self.to_images(op, &g, &weight, bias.as_deref())?,
                    dtype,
                ));
            }
            None => self.to_images_by_kernels(op, g, weight, shape)?,
        };
        add(&out, bias);
        Some(out)
    }

    #[track_caller]
    fn to_images_by_kernels(
        self,
        op: &'static str,
        g: &Tensor,
        weight: &Tensor,
        shape: Shape,
    ) -> Option<Tensor> {
        let gpu = place(op, &[g, weight])?;
        let out = done(gpu.array(op, g.dtype(), shape.numel()));
        let kernels = self.as_rows(weight).transpose(0, 1);
        for (part, from) in self.parts(gpu, g.dtype()) {
            let columns = product(&kernels, &part.side_by_side(g, from), &[])?;
            let (_columns, columns_at) = in_rows(&columns)?;
            let image: usize = shape[1..].iter().product();
            let places = [columns_at, out.address_of(from * image)];
            part.run(gpu, "fold", g.dtype(), &places, part.images[0] * image);
        }
        Some(Tensor::of_array(out, shape))
    }

    /// The gradient of the kernels from that of the results, `g`.
    #[track_caller]
    fn to_kernels(
        self,
        op: &'static str,
        x: &Tensor,
        g: &Tensor,
        shape: Shape,
    ) -> Option<Tensor> {
        if let Some(out) = self.by_library(op, Pass::ToKernels, [x, g], shape, shape) {
            return Some(out);
        }
        if g.dtype().is_half() {
            let out = self.to_kernels(op, &widened(x), &widened(g), shape)?;
            return Some(rounded(out, g.dtype()));
        }
        let gpu = place(op, &[x, g])?;
        let mut total: Option<Tensor> = None;
        for (part, from) in self.parts(gpu, g.dtype()) {
            let images = x.detach().narrow(0, from, part.images[0]);
            let columns = part.unfold(op, gpu, &images)?;
            let more =
                product(&part.side_by_side(g, from), &columns.transpose(0, 1), &[])?;
            match &total {
                Some(total) => drop(zip_in_place("add", total, &more)),
                None => total = Some(more),
            }
        }
        total.map(|total| total.reshape_to(shape))
    }

    /// What the GPU's library makes of two sides of the convolution, if it has one that does this.
    #[track_caller]
    fn by_library(
        &self,
        op: &'static str,
        pass: Pass,
        factors: [&Tensor; 2],
        kernels: Shape,
        shape: Shape,
    ) -> Option<Tensor> {
        let gpu = place_of_any(op, &factors)?;
        let dtype = factors[0].dtype();
        if shape.numel() == 0 || factors.iter().any(|factor| factor.numel() == 0) {
            return None;
        }
        let convolution = Convolution {
            pass,
            dtype,
            tf32: dtype == DType::F32 && is_tf32_allowed(),
            images: self.images,
            kernels: std::array::from_fn(|axis| kernels[axis]),
            places: self.places,
            stride: self.stride,
            padding: self.padding,
        };
        let ((_first, first), (_second, second)) =
            (aligned(factors[0])?, aligned(factors[1])?);
        let out = done(gpu.array(op, dtype, shape.numel()));
        let made = out.address();
        let at = match pass {
            Pass::Forward => Sides { images: first, kernels: second, results: made },
            Pass::ToImages => Sides { images: made, kernels: first, results: second },
            Pass::ToKernels => Sides { images: first, kernels: made, results: second },
        };
        // SAFETY: all sides have so many elements, and live until all is queued.
        let done = done(unsafe { gpu.convolve(op, &convolution, &at) });
        done.then(|| Tensor::of_array(out, shape))
    }

    /// The elements under the window.
    fn seen(&self) -> usize {
        self.images[1] * self.kernel[0] * self.kernel[1]
    }

    /// The kernels as rows `(o, c·kh·kw)`.
    #[track_caller]
    fn as_rows(&self, weight: &Tensor) -> Tensor {
        weight.detach().reshape_to(Shape::new(&[weight.shape()[0], self.seen()]))
    }

    /// The images in parts whose columns find room; the first image of each.
    fn parts(self, gpu: &Gpu, dtype: DType) -> impl Iterator<Item = (Sliding, usize)> {
        let columns = self.seen() * self.places[0] * self.places[1] * dtype.size();
        let [all, c, h, w] = self.images;
        let most = (gpu.room_for_columns() / columns.max(1)).max(1);
        // Of no images there is one part, so that there is a result.
        (0..all.max(1)).step_by(most).map(move |from| {
            (Sliding { images: [most.min(all - from), c, h, w], ..self }, from)
        })
    }

    /// The results that belong to these images, `from` on in `g`, as one matrix
    /// `(o, n·oh·ow)`.
    #[track_caller]
    fn side_by_side(&self, g: &Tensor, from: usize) -> Tensor {
        let count = self.images[0];
        let part = g.detach().narrow(0, from, count).transpose(0, 1);
        let shape = [g.shape()[1], count * self.places[0] * self.places[1]];
        part.reshape_to(Shape::new(&shape))
    }

    /// What the window sees: columns `(c·kh·kw, n·oh·ow)` of the images `x`.
    #[track_caller]
    fn unfold(self, op: &'static str, gpu: &'static Gpu, x: &Tensor) -> Option<Tensor> {
        let (_elements, from) = in_rows(x)?;
        let places = self.images[0] * self.places[0] * self.places[1];
        let shape = Shape::new(&[self.seen(), places]);
        let out = done(gpu.array(op, x.dtype(), shape.numel()));
        self.run(gpu, "unfold", x.dtype(), &[from, out.address()], shape.numel());
        Some(Tensor::of_array(out, shape))
    }
}
