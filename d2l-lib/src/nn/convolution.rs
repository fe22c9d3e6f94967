//! Layers that slide a window over images.

use super::{Parameter, init, module::module};
use crate::Tensor;

/// One length for height and width, or `[height, width]`.
///
/// ```
/// use d2l::nn::Pair;
///
/// assert_eq!(Pair::from(3), Pair::from([3, 3]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair([usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Pair {
        Pair([both, both])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Pair {
        Pair(pair)
    }
}

/// Cross-correlation of images with learned kernels: [`Tensor::conv2d`].
///
/// `(n, in, h, w) → (n, out, h', w')` with `h' = (h + 2·padding - kernel) / stride + 1`, rounded
/// down, `w'` likewise. Both parameters start evenly spread over
/// ±1/√(in · kernel height · kernel width).
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::Conv2d::lazy(6, 5).padding(2).stride([1, 2]);
/// assert_eq!(layer.forward(&Tensor::rand([4, 1, 28, 28])).shape(), [4, 6, 28, 14]);
/// ```
#[derive(Debug)]
pub struct Conv2d {
    /// `(out, in, kernel height, kernel width)`.
    pub weight: Parameter,
    /// `(out)`, unless the layer was made [`without_bias`](Conv2d::without_bias).
    pub bias: Option<Parameter>,
    num_outputs: usize,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
}

impl Conv2d {
    /// A layer from `num_inputs` to `num_outputs` channels.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::Conv2d::new(2, 4, 3);
    /// assert_eq!(layer.weight.shape(), [4, 2, 3, 3]);
    /// ```
    #[track_caller]
    pub fn new(num_inputs: usize, num_outputs: usize, kernel: impl Into<Pair>) -> Conv2d {
        let layer = Conv2d::lazy(num_outputs, kernel);
        layer.meet(num_inputs);
        layer
    }

    /// A layer that finds the number of its input channels when it meets the first input.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// let layer = nn::Conv2d::lazy(4, 3);
    /// assert!(layer.weight.is_lazy());
    /// layer.forward(&x);
    /// assert_eq!(layer.weight.shape(), [4, 2, 3, 3]);
    /// ```
    pub fn lazy(num_outputs: usize, kernel: impl Into<Pair>) -> Conv2d {
        Conv2d::of(num_outputs, kernel.into())
    }

    fn of(num_outputs: usize, kernel: Pair) -> Conv2d {
        Conv2d {
            weight: Parameter::lazy(),
            bias: Some(Parameter::lazy()),
            num_outputs,
            kernel,
            stride: Pair([1, 1]),
            padding: Pair([0, 0]),
        }
    }

    /// Moves the kernel by this much at a time; 1 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// assert_eq!(nn::Conv2d::new(2, 4, 3).stride(2).forward(&x).shape(), [1, 4, 3, 3]);
    /// ```
    pub fn stride(mut self, stride: impl Into<Pair>) -> Conv2d {
        self.stride = stride.into();
        self
    }

    /// Surrounds the image with this many zeros on each side; 0 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// assert_eq!(nn::Conv2d::new(2, 4, 3).padding(1).forward(&x).shape(), [1, 4, 8, 8]);
    /// ```
    pub fn padding(mut self, padding: impl Into<Pair>) -> Conv2d {
        self.padding = padding.into();
        self
    }

    /// The layer without a bias.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(nn::Conv2d::new(2, 4, 3).without_bias().bias.is_none());
    /// ```
    pub fn without_bias(mut self) -> Conv2d {
        self.bias = None;
        self
    }

    #[track_caller]
    fn meet(&self, num_inputs: usize) {
        let Pair([height, width]) = self.kernel;
        let fan = num_inputs * height * width;
        let shape = [self.num_outputs, num_inputs, height, width];
        init::affine(&self.weight, self.bias.as_ref(), fan, shape, self.num_outputs);
    }

    /// The images that the layer makes of images: `(n, in, h, w) → (n, out, h', w')`.
    ///
    /// # Panics
    /// If the input is no batch of images with as many channels as the kernels have, or they
    /// are smaller than the kernels, or a stride is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// assert_eq!(nn::Conv2d::new(2, 4, 3).forward(&x).shape(), [1, 4, 6, 6]);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(
            x.ndim() == 4,
            "Conv2d: an input of shape {:?} is no batch of images (n, channels, height, width)",
            x.shape()
        );
        self.meet(x.len_of(1));
        let bias = self.bias.as_ref().map(Parameter::tensor);
        x.conv2d(&self.weight, bias, self.stride.0, self.padding.0)
    }
}

module!(Conv2d: weight, bias);

/// The convolution that undoes the shapes of [`Conv2d`], to make images larger:
/// [`Tensor::conv2d_transposed`].
///
/// `(n, in, h, w) → (n, out, h', w')` with `h' = (h - 1)·stride - 2·padding + kernel`, `w'`
/// likewise. Both parameters start evenly spread over ±1/√(out · kernel height · kernel width),
/// as PyTorch's.
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::ConvTranspose2d::lazy(3, 4).padding(1).stride(2);
/// assert_eq!(layer.forward(&Tensor::rand([2, 8, 10, 10])).shape(), [2, 3, 20, 20]);
/// ```
#[derive(Debug)]
pub struct ConvTranspose2d {
    /// `(in, out, kernel height, kernel width)`.
    pub weight: Parameter,
    /// `(out)`, unless the layer was made [`without_bias`](ConvTranspose2d::without_bias).
    pub bias: Option<Parameter>,
    num_outputs: usize,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
}

impl ConvTranspose2d {
    /// A layer from `num_inputs` to `num_outputs` channels.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::ConvTranspose2d::new(2, 4, 3);
    /// assert_eq!(layer.weight.shape(), [2, 4, 3, 3]);
    /// ```
    #[track_caller]
    pub fn new(
        num_inputs: usize,
        num_outputs: usize,
        kernel: impl Into<Pair>,
    ) -> ConvTranspose2d {
        let layer = ConvTranspose2d::lazy(num_outputs, kernel);
        layer.meet(num_inputs);
        layer
    }

    /// A layer that finds the number of its input channels when it meets the first input.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// let layer = nn::ConvTranspose2d::lazy(4, 3);
    /// assert!(layer.weight.is_lazy());
    /// layer.forward(&x);
    /// assert_eq!(layer.weight.shape(), [2, 4, 3, 3]);
    /// ```
    pub fn lazy(num_outputs: usize, kernel: impl Into<Pair>) -> ConvTranspose2d {
        ConvTranspose2d::of(num_outputs, kernel.into())
    }

    fn of(num_outputs: usize, kernel: Pair) -> ConvTranspose2d {
        ConvTranspose2d {
            weight: Parameter::lazy(),
            bias: Some(Parameter::lazy()),
            num_outputs,
            kernel,
            stride: Pair([1, 1]),
            padding: Pair([0, 0]),
        }
    }

    /// Puts the kernel's multiples this far apart; 1 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// assert_eq!(nn::ConvTranspose2d::new(2, 4, 3).stride(2).forward(&x).shape(), [1, 4, 17, 17]);
    /// ```
    pub fn stride(mut self, stride: impl Into<Pair>) -> ConvTranspose2d {
        self.stride = stride.into();
        self
    }

    /// Takes this much from each side of the result; 0 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// assert_eq!(nn::ConvTranspose2d::new(2, 4, 3).padding(1).forward(&x).shape(), [1, 4, 8, 8]);
    /// ```
    pub fn padding(mut self, padding: impl Into<Pair>) -> ConvTranspose2d {
        self.padding = padding.into();
        self
    }

    /// The layer without a bias.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(nn::ConvTranspose2d::new(2, 4, 3).without_bias().bias.is_none());
    /// ```
    pub fn without_bias(mut self) -> ConvTranspose2d {
        self.bias = None;
        self
    }

    #[track_caller]
    fn meet(&self, num_inputs: usize) {
        let Pair([height, width]) = self.kernel;
        let fan = self.num_outputs * height * width;
        let shape = [num_inputs, self.num_outputs, height, width];
        init::affine(&self.weight, self.bias.as_ref(), fan, shape, self.num_outputs);
    }

    /// The images that the layer makes of images: `(n, in, h, w) → (n, out, h', w')`.
    ///
    /// # Panics
    /// If the input is no batch of images with as many channels as the layer has inputs, the
    /// padding takes more than there is, or a stride is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8, 8]);
    /// assert_eq!(nn::ConvTranspose2d::new(2, 4, 3).forward(&x).shape(), [1, 4, 10, 10]);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(
            x.ndim() == 4,
            "ConvTranspose2d: an input of shape {:?} is no batch of images \
             (n, channels, height, width)",
            x.shape()
        );
        self.meet(x.len_of(1));
        let bias = self.bias.as_ref().map(Parameter::tensor);
        x.conv2d_transposed(&self.weight, bias, self.stride.0, self.padding.0)
    }
}

module!(ConvTranspose2d: weight, bias);

/// Cross-correlation of sequences with learned kernels: [`Tensor::conv1d`].
///
/// `(n, in, t) → (n, out, t')` with `t' = (t + 2·padding - kernel) / stride + 1`, rounded down.
/// Both parameters start evenly spread over ±1/√(in · kernel).
///
/// ```
/// use d2l::prelude::*;
///
/// let layer = nn::Conv1d::lazy(6, 3).padding(1);
/// assert_eq!(layer.forward(&Tensor::rand([4, 2, 10])).shape(), [4, 6, 10]);
/// ```
#[derive(Debug)]
pub struct Conv1d {
    /// `(out, in, kernel)`.
    pub weight: Parameter,
    /// `(out)`, unless the layer was made [`without_bias`](Conv1d::without_bias).
    pub bias: Option<Parameter>,
    num_outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Conv1d {
    /// A layer from `num_inputs` to `num_outputs` channels.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let layer = nn::Conv1d::new(2, 4, 3);
    /// assert_eq!(layer.weight.shape(), [4, 2, 3]);
    /// ```
    #[track_caller]
    pub fn new(num_inputs: usize, num_outputs: usize, kernel: usize) -> Conv1d {
        let layer = Conv1d::lazy(num_outputs, kernel);
        layer.meet(num_inputs);
        layer
    }

    /// A layer that finds the number of its input channels when it meets the first input.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8]);
    /// let layer = nn::Conv1d::lazy(4, 3);
    /// assert!(layer.weight.is_lazy());
    /// layer.forward(&x);
    /// assert_eq!(layer.weight.shape(), [4, 2, 3]);
    /// ```
    pub fn lazy(num_outputs: usize, kernel: usize) -> Conv1d {
        Conv1d {
            weight: Parameter::lazy(),
            bias: Some(Parameter::lazy()),
            num_outputs,
            kernel,
            stride: 1,
            padding: 0,
        }
    }

    /// Moves the kernel by this much at a time; 1 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8]);
    /// assert_eq!(nn::Conv1d::new(2, 4, 3).stride(2).forward(&x).shape(), [1, 4, 3]);
    /// ```
    pub fn stride(mut self, stride: usize) -> Conv1d {
        self.stride = stride;
        self
    }

    /// Puts this many zeros before and after the sequence; 0 at first.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8]);
    /// assert_eq!(nn::Conv1d::new(2, 4, 3).padding(1).forward(&x).shape(), [1, 4, 8]);
    /// ```
    pub fn padding(mut self, padding: usize) -> Conv1d {
        self.padding = padding;
        self
    }

    /// The layer without a bias.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert!(nn::Conv1d::new(2, 4, 3).without_bias().bias.is_none());
    /// ```
    pub fn without_bias(mut self) -> Conv1d {
        self.bias = None;
        self
    }

    #[track_caller]
    fn meet(&self, num_inputs: usize) {
        let fan = num_inputs * self.kernel;
        let shape = [self.num_outputs, num_inputs, self.kernel];
        init::affine(&self.weight, self.bias.as_ref(), fan, shape, self.num_outputs);
    }

    /// The sequences that the layer makes of sequences: `(n, in, t) → (n, out, t')`.
    ///
    /// # Panics
    /// If the input is no batch of sequences with as many channels as the kernels have, or they
    /// are shorter than the kernels, or the stride is 0.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::rand([1, 2, 8]);
    /// assert_eq!(nn::Conv1d::new(2, 4, 3).forward(&x).shape(), [1, 4, 6]);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        assert!(
            x.ndim() == 3,
            "Conv1d: an input of shape {:?} is no batch of sequences (n, channels, t)",
            x.shape()
        );
        self.meet(x.len_of(1));
        let bias = self.bias.as_ref().map(Parameter::tensor);
        x.conv1d(&self.weight, bias, self.stride, self.padding)
    }
}

module!(Conv1d: weight, bias);

macro_rules! pooling {
    ($($(#[$doc:meta])* $Name:ident: $method:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Name {
            kernel: Pair,
            stride: Pair,
            padding: Pair,
        }

        impl $Name {
            /// Windows of this size that do not overlap.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = Tensor::ones([1, 2, 8, 8]);
            /// assert_eq!(nn::MaxPool2d::new(2).forward(&x).shape(), [1, 2, 4, 4]);
            /// assert_eq!(nn::AvgPool2d::new([4, 8]).forward(&x).shape(), [1, 2, 2, 1]);
            /// ```
            pub fn new(kernel: impl Into<Pair>) -> $Name {
                let kernel = kernel.into();
                $Name { kernel, stride: kernel, padding: Pair([0, 0]) }
            }

            /// Moves the window by this much at a time; by its size at first.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = Tensor::ones([1, 2, 8, 8]);
            /// assert_eq!(nn::MaxPool2d::new(3).stride(1).forward(&x).shape(), [1, 2, 6, 6]);
            /// assert_eq!(nn::AvgPool2d::new(3).stride(2).forward(&x).shape(), [1, 2, 3, 3]);
            /// ```
            pub fn stride(mut self, stride: impl Into<Pair>) -> $Name {
                self.stride = stride.into();
                self
            }

            /// Surrounds the image by this much on each side; 0 at first.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = Tensor::ones([1, 2, 8, 8]);
            /// let (max, mean) = (nn::MaxPool2d::new(2).padding(1), nn::AvgPool2d::new(2).padding(1));
            /// assert_eq!(max.forward(&x).shape(), [1, 2, 5, 5]);
            /// assert_eq!(mean.forward(&x).i((0, 0, 0, 0)).item(), 0.25);
            /// ```
            pub fn padding(mut self, padding: impl Into<Pair>) -> $Name {
                self.padding = padding.into();
                self
            }

            /// One number for each window: `(n, c, h, w) → (n, c, h', w')`.
            ///
            /// # Panics
            /// If the input is no batch of images of floats, they are smaller than the window,
            /// the padding is more than half the window, or a stride is 0.
            ///
            /// ```
            /// use d2l::prelude::*;
            ///
            /// let x = Tensor::ones([1, 2, 8, 8]);
            /// assert!(nn::MaxPool2d::new(2).forward(&x).equal(&nn::AvgPool2d::new(2).forward(&x)));
            /// ```
            #[track_caller]
            pub fn forward(&self, x: &Tensor) -> Tensor {
                x.$method(self.kernel.0, self.stride.0, self.padding.0)
            }
        }

        module!($Name);
    )*};
}

pooling! {
    /// The greatest element of every window: [`Tensor::max_pool2d`].
///
/// `(n, c, h, w) → (n, c, h', w')` with `h' = (h + 2·padding - kernel) / stride + 1`, rounded
/// down, `w'` likewise.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::arange(0.0..4.0).reshape([1, 1, 2, 2]);
/// assert_eq!(nn::MaxPool2d::new(2).forward(&x).to_vec(), [3.0]);
/// ```
    MaxPool2d: max_pool2d;
    /// The mean of every window, zeros of the padding included: [`Tensor::avg_pool2d`].
///
/// `(n, c, h, w) → (n, c, h', w')` with `h' = (h + 2·padding - kernel) / stride + 1`, rounded
/// down, `w'` likewise.
///
/// ```
/// use d2l::prelude::*;
///
/// let x = Tensor::arange(0.0..4.0).reshape([1, 1, 2, 2]);
/// assert_eq!(nn::AvgPool2d::new(2).forward(&x).to_vec(), [1.5]);
/// ```
    AvgPool2d: avg_pool2d;
}

/// The mean of every channel, whatever the size of the image: `(n, c, h, w) → (n, c, 1, 1)`.
///
/// ```
/// use d2l::prelude::*;
///
/// let y = nn::GlobalAvgPool2d.forward(&Tensor::ones([2, 3, 5, 4]));
/// assert_eq!(y.shape(), [2, 3, 1, 1]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool2d;

impl GlobalAvgPool2d {
    /// The mean of every channel: `(n, c, h, w) → (n, c, 1, 1)`.
    ///
    /// # Panics
    /// If there are fewer than two axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::arange(0.0..4.0).reshape([1, 1, 2, 2]);
    /// assert_eq!(nn::GlobalAvgPool2d.forward(&x).to_vec(), [1.5]);
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.mean_keepdim([-2, -1])
    }
}

module!(GlobalAvgPool2d);
