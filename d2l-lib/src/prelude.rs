//! What the first cell of every chapter has in scope: `use d2l::prelude::*;`.

#[doc(no_inline)]
pub use crate::{
    DType, Device, Tensor,
    autograd::no_grad,
    data,
    display::display,
    nn,
    nn::Module as _,
    optim,
    optim::Optimizer as _,
    plot::{Animation, Colormap, Figure, LineStyle, Marker, Matrix, Scale, Values},
    progress::progress,
    random::seed,
    sequential,
    tensor::tensor,
    tensor::tensor_f64,
};
