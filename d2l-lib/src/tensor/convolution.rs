//! Convolutions of images, as the book means them: cross-correlations.

use super::{Tensor, create::constant};
use crate::{
    autograd::record,
    dtype::{DType, with_float},
    ops::{
        convolve::Convolution,
        window::{Window, lengths},
    },
    shape::Shape,
    tensor::Value,
};

impl Tensor {
    /// Slides the kernels `weight` over the images.
    ///
    /// `(n, c, h, w) ⋆ (o, c, kh, kw) → (n, o, oh, ow)` with
    /// `oh = (h + 2·padding[0] - kh) / stride[0] + 1`, and `bias` of shape `(o)` added. Outside
    /// the image there are zeros.
    ///
    /// # Panics
    /// If the shapes do not fit, a stride is 0, or the kernel is larger than the padded image.
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
        let dtype = expect_images("conv2d", self, weight, bias, stride, 0);
        let (x, weight) = (self.to_dtype(dtype), weight.to_dtype(dtype));
        let [n, _, h, w] = lengths(&x);
        let [o, c, kh, kw] = lengths(&weight);
        let window = Window { kernel: [kh, kw], stride, padding };
        let Some([oh, ow]) = window.places([h, w]) else {
            panic!(
                "conv2d: a kernel of shape {:?} is larger than images of shape {:?} padded by \
                 {padding:?}",
                weight.shape(),
                x.shape()
            )
        };
        let sizes = Convolution {
            window,
            images: n,
            channels: [c, o],
            image: [h, w],
            places: [oh, ow],
        };
        let (x, weight) = (x.contiguous(), weight.contiguous());
        let bias = bias.map(|bias| bias.to_dtype(dtype).contiguous());
        let out = with_float!(dtype, T => {
            let bias = bias.as_ref().map(|bias| (bias.storage.read::<T>(), bias.layout.offset));
            let bias = bias.as_ref().map_or(&[][..], |(bias, at)| &bias[*at..][..o]);
            let (x_values, weights) = (x.storage.read::<T>(), weight.storage.read::<T>());
            let (x_values, weights) =
                (&x_values[x.layout.offset..], &weights[weight.layout.offset..]);
            let weights = &weights[..weight.numel()];
            Tensor::filled(Shape::new(&[n, o, oh, ow]), |out| {
                sizes.forward::<T>(x_values, weights, bias, out)
            })
        });
        let inputs = [Some(&x), Some(&weight), bias.as_ref()];
        let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
        record("conv2d", out, &inputs, |tape, _| {
            tape.edge(&x, || {
                let (weight, shape) = (weight.saved(), x.layout.shape);
                move |g: &Tensor| {
                    let g = g.contiguous();
                    with_float!(dtype, T => {
                        let (g_values, weights) = (g.storage.read::<T>(), weight.storage.read::<T>());
                        let weights = &weights[weight.layout.offset..][..weight.numel()];
                        Tensor::filled(shape, |out| {
                            sizes.to_input::<T>(&g_values[g.layout.offset..], weights, out)
                        })
                    })
                }
            });
            tape.edge(&weight, || {
                let (x, shape) = (x.saved(), weight.layout.shape);
                move |g: &Tensor| {
                    let g = g.contiguous();
                    with_float!(dtype, T => {
                        let (g_values, x_values) = (g.storage.read::<T>(), x.storage.read::<T>());
                        let x_values = &x_values[x.layout.offset..];
                        Tensor::filled(shape, |out| {
                            sizes.to_weight::<T>(x_values, &g_values[g.layout.offset..], out)
                        })
                    })
                }
            });
            if let Some(bias) = &bias {
                tape.edge(bias, || |g: &Tensor| g.sum_axis([0, 2, 3]));
            }
        })
    }

    /// The convolution that undoes the shapes of [`conv2d`](Tensor::conv2d): every element of
    /// the image adds a multiple of the kernel to the result.
    ///
    /// `(n, c, h, w) ⋆ (c, o, kh, kw) → (n, o, oh, ow)` with
    /// `oh = (h - 1)·stride[0] - 2·padding[0] + kh`, and `bias` of shape `(o)` added.
    ///
    /// # Panics
    /// If the shapes do not fit, a stride is 0, or the padding takes more than there is.
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
        let dtype = expect_images("conv2d_transposed", self, weight, bias, stride, 1);
        let (x, weight) = (self.to_dtype(dtype), weight.to_dtype(dtype));
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
        let kernels = weight.reshape([c, o * kh * kw]).t();
        let columns = kernels.matmul(&x.reshape([n, c, h * w]));
        with_bias(fold(&columns, window, [n, o, oh, ow], [h, w]), bias)
    }
}

/// The dtype of a convolution whose shapes fit; `channels` is the axis of `weight` that
/// counts the channels of the result.
#[track_caller]
fn expect_images(
    op: &str,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: [usize; 2],
    channels: usize,
) -> DType {
    assert!(
        x.ndim() == 4
            && weight.ndim() == 4
            && x.shape()[1] == weight.shape()[1 - channels],
        "{op}: kernels of shape {:?} do not fit images of shape {:?}",
        weight.shape(),
        x.shape()
    );
    assert!(stride[0] > 0 && stride[1] > 0, "{op}: a stride of {stride:?} never ends");
    if let Some(bias) = bias {
        assert!(
            bias.shape() == &weight.shape()[channels..=channels],
            "{op}: a bias of shape {:?} for kernels of shape {:?}",
            bias.shape(),
            weight.shape()
        );
    }
    DType::promote((x.dtype(), 4), (weight.dtype(), 4)).to_float()
}

#[track_caller]
fn with_bias(out: Tensor, bias: Option<&Tensor>) -> Tensor {
    match bias {
        Some(bias) => out + bias.reshape([-1, 1, 1]),
        None => out,
    }
}

/// What the window sees: `(n, c, h, w) → (n, c·kh·kw, oh·ow)`.
#[track_caller]
fn unfold(x: &Tensor, window: Window, places: [usize; 2]) -> Tensor {
    let [n, c, h, w] = lengths(x);
    let rows = c * window.kernel[0] * window.kernel[1];
    let shape = Shape::new(&[n, rows, places[0] * places[1]]);
    let out = with_float!(x.dtype(), T => {
        let values = x.to_vec_of::<T>();
        let mut out = vec![T::default(); shape.numel()];
        let (image, size) = (c * h * w, rows * places[0] * places[1]);
        if image * size > 0 {
            for (image, out) in values.chunks_exact(image).zip(out.chunks_exact_mut(size)) {
                window.unfold(image, [h, w], places, out);
            }
        }
        Tensor::new(out, shape)
    });
    record("unfold", out, &[x], |tape, _| {
        tape.edge(x, || move |g: &Tensor| fold(g, window, [n, c, h, w], places));
    })
}

/// The sum of the columns where the window took them: the transpose of [`unfold`].
#[track_caller]
fn fold(
    columns: &Tensor,
    window: Window,
    [n, c, h, w]: [usize; 4],
    places: [usize; 2],
) -> Tensor {
    let size = c * window.kernel[0] * window.kernel[1] * places[0] * places[1];
    let shape = Shape::new(&[n, c, h, w]);
    if size * shape.numel() == 0 {
        return constant(shape, columns.dtype(), Value::Int(0));
    }
    let out = with_float!(columns.dtype(), T => {
        let values = columns.to_vec_of::<T>();
        let mut out = vec![T::default(); shape.numel()];
        for (columns, image) in values.chunks_exact(size).zip(out.chunks_exact_mut(c * h * w)) {
            window.fold(columns, [h, w], places, image);
        }
        Tensor::new(out, shape)
    });
    record("fold", out, &[columns], |tape, _| {
        tape.edge(columns, || move |g: &Tensor| unfold(g, window, places));
    })
}
