//! Layers one behind the other.

use std::fmt;

use super::{Module, Parts};
use crate::Tensor;

/// Modules one behind the other: each gets what the one before gave.
///
/// Written with [`sequential!`](crate::sequential), or layer by layer:
///
/// ```
/// use d2l::prelude::*;
///
/// let mut net = nn::Sequential::new();
/// for width in [64, 32, 1] {
///     net = net.then(nn::Linear::lazy(width)).then(nn::Tanh);
/// }
/// assert_eq!(net.forward(&Tensor::rand([5, 3])).shape(), [5, 1]);
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Module>>);

impl Sequential {
    /// No layers: gives back its input.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, 2.0]);
    /// assert!(nn::Sequential::new().forward(&x).equal(&x));
    /// ```
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// These layers and one more.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = nn::Sequential::new().then(nn::Relu).then(nn::Flatten);
    /// assert_eq!(net.layers().len(), 2);
    /// ```
    pub fn then(self, layer: impl Module) -> Sequential {
        self.then_boxed(Box::new(layer))
    }

    fn then_boxed(mut self, layer: Box<dyn Module>) -> Sequential {
        self.0.push(layer);
        self
    }

    /// The layers.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Relu, nn::Flatten];
    /// let names: Vec<String> = net.layers().iter().map(|layer| layer.name()).collect();
    /// assert_eq!(names, ["Relu", "Flatten"]);
    /// ```
    pub fn layers(&self) -> &[Box<dyn Module>] {
        &self.0
    }

    /// One layer.
    ///
    /// # Panics
    /// If there are not so many.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Relu, nn::Flatten];
    /// assert_eq!(net.layer(1).name(), "Flatten");
    /// ```
    #[track_caller]
    pub fn layer(&self, i: usize) -> &dyn Module {
        match self.0.get(i) {
            Some(layer) => &**layer,
            None => panic!("layer: there is no layer {i} among {}", self.0.len()),
        }
    }
}

impl From<Vec<Box<dyn Module>>> for Sequential {
    fn from(layers: Vec<Box<dyn Module>>) -> Sequential {
        Sequential(layers)
    }
}

impl Module for Sequential {
    fn parts(&self) -> Parts<'_> {
        let numbered = self.0.iter().enumerate();
        numbered.fold(Parts::new(), |parts, (i, layer)| parts.with(i.to_string(), layer))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = x.clone();
        for layer in &self.0 {
            y = layer.forward(&y);
        }
        y
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|layer| layer.name()).collect();
        write!(f, "Sequential[{}]", names.join(", "))
    }
}

/// Modules one behind the other: `sequential![nn::Flatten, nn::Linear::lazy(10)]`.
///
/// ```
/// use d2l::prelude::*;
///
/// let net = sequential![nn::Linear::new(3, 2), nn::Relu];
/// assert_eq!(net.forward(&Tensor::rand([4, 3])).shape(), [4, 2]);
/// ```
#[macro_export]
macro_rules! sequential {
    ($($layer:expr),* $(,)?) => {
        $crate::nn::Sequential::new()$(.then($layer))*
    };
}
