//! Convolutions of images, as the book means them: cross-correlations.

use super::{Tensor, pooling::sliding};
use crate::{
    autograd::record,
    dtype::{DType, with_float},
    ops::{
        convolve::Convolution,
        cuda::Sliding,
        window::{Window, lengths},
    },
    shape::Shape,
};

impl Tensor {
    /// Slides the kernels `weight` over the images.
    ///
    /// `(n, c, h, w) ⋆ (o, c, kh, kw) → (n, o, oh, ow)` with
    /// `oh = (h + 2·padding[0] - kh) / stride[0] + 1`, rounded down, `ow` likewise, and `bias`
    /// of shape `(o)` added. Outside the image there are zeros. Integers count as `f32`. Where cuDNN
    /// convolves halves on a GPU, the bias is added to the rounded result.
    ///
    /// # Panics
    /// If the shapes do not fit, a stride is 0, or the kernel is empty or larger than the
    /// padded image.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..9.0).reshape([1, 1, 3, 3]);
    /// let w = Tensor::ones([1, 1, 2, 2]);
    /// let y = x.conv2d(&w, None, [1, 1], [0, 0]);
    /// assert_eq!(y.to_vec(), [8.0, 12.0, 20.0, 24.0]);
    /// ```
    #[track_caller]
    pub fn conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Tensor {
        let result = expect_images("conv2d", self, weight, bias, &stride, 0);
        let (x, weight) = (self.to_dtype(result), weight.to_dtype(result));
        let bias = bias.map(|bias| bias.to_dtype(result));
        let [n, _, h, w] = lengths(&x);
        let [o, c, kh, kw] = lengths(&weight);
        let window = Window { kernel: [kh, kw], stride, padding };
        let Some(places) = window.places([h, w]) else {
            panic!(
                "conv2d: a kernel of shape {:?} is larger than images of shape {:?} padded by \
                 {padding:?}",
                weight.shape(),
                x.shape()
            )
        };
        let on_gpu = sliding(&window, &x, places);
        if let Some(out) = on_gpu.convolve(&x, &weight, bias.as_ref()) {
            return out;
        }
        let sizes =
            Convolution { window, images: n, channels: [c, o], image: [h, w], places };
        let wide = |x: &Tensor| x.to_dtype(result.wide()).contiguous();
        let (x, weight, bias) = (wide(&x), wide(&weight), bias.as_ref().map(wide));
        let out = forward(&sizes, &x, &weight, bias.as_ref());
        let inputs = [Some(&x), Some(&weight), bias.as_ref()];
        let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
        let out = record("conv2d", out, &inputs, |tape, _| {
            tape.edge(&x, || {
                let weight = weight.saved();
                move |g: &Tensor| input_gradient(&sizes, &g.contiguous(), &weight)
            });
            tape.edge(&weight, || {
                let x = x.saved();
                move |g: &Tensor| weight_gradient(&sizes, &x, &g.contiguous())
            });
            if let Some(bias) = &bias {
                tape.edge(bias, || |g: &Tensor| g.sum_axis([0, 2, 3]));
            }
        });
        out.rounded_to("conv2d", result)
    }

    /// Slides the kernels `weight` over the sequences.
    ///
    /// `(n, c, t) ⋆ (o, c, k) → (n, o, (t + 2·padding - k) / stride + 1)`, rounded down, and
    /// `bias` of shape `(o)` added. Before and after the sequence there are zeros. Integers
    /// count as `f32`.
    ///
    /// # Panics
    /// If the shapes do not fit, the stride is 0, or the kernel is empty or longer than the
    /// padded sequence.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..4.0).reshape([1, 1, 4]);
    /// let y = x.conv1d(&tensor([[[1.0, 10.0]]]), None, 1, 0);
    /// assert_eq!(y.to_vec(), [10.0, 21.0, 32.0]);
    /// ```
    #[track_caller]
    pub fn conv1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: usize,
        padding: usize,
    ) -> Tensor {
        expect_images("conv1d", self, weight, bias, &[stride], 0);
        assert!(
            weight.shape()[2] <= self.shape()[2] + 2 * padding,
            "conv1d: a kernel of shape {:?} is larger than sequences of shape {:?} padded by \
             {padding}",
            weight.shape(),
            self.shape()
        );
        // Sequences are images of one row.
        let (x, weight) = (self.unsqueeze(2), weight.unsqueeze(2));
        x.conv2d(&weight, bias, [1, stride], [0, padding]).squeeze(2)
    }

    /// The convolution that undoes the shapes of [`conv2d`](Tensor::conv2d): every element of
    /// the image adds a multiple of the kernel to the result.
    ///
    /// `(n, c, h, w) ⋆ (c, o, kh, kw) → (n, o, oh, ow)` with
    /// `oh = (h - 1)·stride[0] - 2·padding[0] + kh`, `ow` likewise, and `bias` of shape `(o)`
    /// added. Integers count as `f32`.
    ///
    /// # Panics
    /// If the shapes do not fit, a stride is 0, the kernel or the images are empty, or the
    /// padding takes more than there is.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]).reshape([1, 1, 1, 2]);
    /// let w = tensor([1.0, 10.0]).reshape([1, 1, 1, 2]);
    /// let y = x.conv2d_transposed(&w, None, [1, 2], [0, 0]);
    /// assert_eq!(y.to_vec(), [1.0, 10.0, 2.0, 20.0]);
    /// ```
    #[track_caller]
    pub fn conv2d_transposed(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Tensor {
        let result = expect_images("conv2d_transposed", self, weight, bias, &stride, 1);
        let (x, weight) = (self.to_dtype(result), weight.to_dtype(result));
        let [n, c, h, w] = lengths(&x);
        let [_, o, kh, kw] = lengths(&weight);
        let window = Window { kernel: [kh, kw], stride, padding };
        let along = |i: usize, length: usize| {
            let whole = length.checked_sub(1)? * stride[i] + window.kernel[i];
            whole.checked_sub(2 * padding[i])
        };
        let (Some(oh), Some(ow)) = (along(0, h), along(1, w)) else {
            panic!(
                "conv2d_transposed: a padding of {padding:?} leaves nothing of images of shape \
                 {:?}",
                x.shape()
            )
        };
        // The convolution that goes the other way; what it does to gradients is done here to
        // the images.
        let on_gpu = Sliding {
            images: [n, o, oh, ow],
            places: [h, w],
            kernel: window.kernel,
            stride,
            padding,
        };
        let bias = bias.map(|bias| bias.to_dtype(result));
        if let Some(out) = on_gpu.convolve_back(&x, &weight, bias.as_ref()) {
            return out;
        }
        let dtype = result.wide();
        let (x, weight) = (x.to_dtype(dtype), weight.to_dtype(dtype));
        let sizes = Convolution {
            window,
            images: n,
            channels: [o, c],
            image: [oh, ow],
            places: [h, w],
        };
        let (x, weight) = (x.contiguous(), weight.contiguous());
        let out = input_gradient(&sizes, &x, &weight);
        let out = record("conv2d_transposed", out, &[&x, &weight], |tape, _| {
            tape.edge(&x, || {
                let weight = weight.saved();
                move |g: &Tensor| forward(&sizes, &g.contiguous(), &weight, None)
            });
            tape.edge(&weight, || {
                let x = x.saved();
                move |g: &Tensor| weight_gradient(&sizes, &g.contiguous(), &x)
            });
        });
        let out = match bias {
            Some(bias) => out + bias.to_dtype(dtype).reshape([-1, 1, 1]),
            None => out,
        };
        out.rounded_to("conv2d_transposed", result)
    }
}

/// The convolution of contiguous images, kernels and biases of one dtype.
#[track_caller]
fn forward(
    sizes: &Convolution,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Tensor {
    let [oh, ow] = sizes.places;
    let shape = Shape::new(&[sizes.images, sizes.channels[1], oh, ow]);
    with_float!(x.dtype(), T => {
        let bias = bias.map(|bias| (bias.storage.read::<T>(), bias.layout.offset));
        let bias = bias.as_ref().map_or(&[][..], |(bias, at)| &bias[*at..][..sizes.channels[1]]);
        let (x_values, weights) = (x.storage.read::<T>(), weight.storage.read::<T>());
        let weights = &weights[weight.layout.offset..][..weight.numel()];
        Tensor::filled(shape, |out| {
            sizes.forward::<T>(&x_values[x.layout.offset..], weights, bias, out)
        })
    })
}

/// The gradient of the images from that of the result.
#[track_caller]
fn input_gradient(sizes: &Convolution, g: &Tensor, weight: &Tensor) -> Tensor {
    let [h, w] = sizes.image;
    let shape = Shape::new(&[sizes.images, sizes.channels[0], h, w]);
    with_float!(g.dtype(), T => {
        let (values, weights) = (g.storage.read::<T>(), weight.storage.read::<T>());
        let weights = &weights[weight.layout.offset..][..weight.numel()];
        Tensor::filled(shape, |out| {
            sizes.input_gradient::<T>(&values[g.layout.offset..], weights, out)
        })
    })
}

/// The gradient of the kernels from that of the result.
#[track_caller]
fn weight_gradient(sizes: &Convolution, x: &Tensor, g: &Tensor) -> Tensor {
    let [kh, kw] = sizes.window.kernel;
    let shape = Shape::new(&[sizes.channels[1], sizes.channels[0], kh, kw]);
    with_float!(g.dtype(), T => {
        let (values, x_values) = (g.storage.read::<T>(), x.storage.read::<T>());
        let x_values = &x_values[x.layout.offset..];
        Tensor::filled(shape, |out| {
            sizes.weight_gradient::<T>(x_values, &values[g.layout.offset..], out)
        })
    })
}

/// The dtype of a convolution whose shapes fit; `channels` is the axis of `weight` that
/// counts the channels of the result.
#[track_caller]
fn expect_images(
    op: &str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[usize],
    channels: usize,
) -> DType {
    let ndim = 2 + stride.len();
    let images = if ndim == 3 { "sequences" } else { "images" };
    assert!(
        x.ndim() == ndim
            && weight.ndim() == ndim
            && x.shape()[1] == weight.shape()[1 - channels],
        "{op}: kernels of shape {:?} do not fit {images} of shape {:?}",
        weight.shape(),
        x.shape()
    );
    assert!(
        !weight.shape()[2..].contains(&0),
        "{op}: kernels of shape {:?} see nothing",
        weight.shape()
    );
    assert!(!stride.contains(&0), "{op}: a stride of {stride:?} never ends");
    if let Some(bias) = bias {
        assert!(
            bias.shape() == &weight.shape()[channels..=channels],
            "{op}: a bias of shape {:?} for kernels of shape {:?}",
            bias.shape(),
            weight.shape()
        );
    }
    DType::promote((x.dtype(), ndim), (weight.dtype(), ndim)).to_float()
}
