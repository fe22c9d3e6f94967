//! What the first cell of every chapter has in scope: `use d2l::prelude::*;`.

#[doc(no_inline)]
pub use crate::{
    DType, Device, Tensor,
    autograd::no_grad,
    display::display,
    plot::{Colormap, Figure, LineStyle, Marker, Matrix, Scale, Values},
    random::seed,
    tensor::tensor,
    tensor::tensor_f64,
};
