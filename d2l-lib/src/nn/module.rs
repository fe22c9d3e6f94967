//! What all layers and models have in common.

use std::{
    any::Any,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Parameter, Parameters};
use crate::{Device, Tensor, device::cuda::recording::outdate};

/// A layer or a model: a function of a tensor, with parameters.
///
/// Only [`forward`](Module::forward) must be written; a module with parameters also names
/// its parts, with [`parts!`](crate::parts) or by hand. See [`nn`](crate::nn) for an example.
///
/// ```
/// use d2l::prelude::*;
///
/// struct Double;
///
/// impl nn::Module for Double {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         x * 2.0
///     }
/// }
///
/// let net = sequential![Double, Double];
/// assert_eq!(net.forward(&tensor([1.0])).to_vec(), [4.0]);
/// ```
pub trait Module: Any + Send + Sync {
    /// What the module makes of an input; which shapes it takes and gives is its own matter.
    fn forward(&self, x: &Tensor) -> Tensor;

    /// The parameters and modules inside, with their names.
    fn parts(&self) -> Parts<'_> {
        Parts::new()
    }

    /// All parameters that training changes, here and in the modules inside, named by their
    /// path: `"hidden.weight"`. Tied ones are listed once.
    fn parameters(&self) -> Parameters {
        trained(self.parts())
    }

    /// What a file needs to hold to restore the module: parameters and buffers.
    fn state(&self) -> Parameters {
        all(self.parts())
    }

    /// From now on behaves as in training: dropout drops, batch norm uses the batch. New
    /// modules do.
    fn train(&self) {
        set_training(self.parts(), true);
    }

    /// From now on behaves as in use.
    fn eval(&self) {
        set_training(self.parts(), false);
    }

    /// Takes all parameters and buffers to `device`, with their gradients; those of layers that
    /// have met no input yet will be made there.
    ///
    /// # Panics
    /// Where [`Tensor::to_device`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (net, gpu) = (nn::Linear::lazy(3), d2l::try_gpu(0));
    /// net.to_device(gpu);
    /// let y = net.forward(&Tensor::ones([2, 4]).to_device(gpu));
    /// assert_eq!(y.device(), gpu);
    /// ```
    #[track_caller]
    fn to_device(&self, device: Device) {
        move_all(self.state(), device);
    }

    /// The name of the type, without path: `"Linear"`.
    fn name(&self) -> String {
        without_path(std::any::type_name::<Self>())
    }
}

// What every type of module has by default is compiled here, not anew for each type; so are its
// ends, as these functions take what they get.

fn trained(parts: Parts<'_>) -> Parameters {
    all(parts).filtered(Parameter::is_trained)
}

fn all(parts: Parts<'_>) -> Parameters {
    parts.collect()
}

fn set_training(parts: Parts<'_>, training: bool) {
    parts.set_training(training);
}

#[track_caller]
fn move_all(state: Parameters, device: Device) {
    for (_, parameter) in state.iter() {
        parameter.to_device(device);
    }
}

fn without_path(path: &str) -> String {
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

impl dyn Module {
    /// This module as a layer of one type, if it is one:
    /// `net.layer(0).downcast::<nn::Linear>()`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Flatten, nn::Linear::new(3, 2)];
    /// assert!(net.layer(1).downcast::<nn::Linear>().is_some());
    /// assert!(net.layer(0).downcast::<nn::Linear>().is_none());
    /// ```
    pub fn downcast<M: Module>(&self) -> Option<&M> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Calls `f` with the module itself and all modules inside, outermost first: to initialise
/// some layers, or to look at all.
///
/// ```
/// use d2l::{nn::init, prelude::*};
///
/// let net = sequential![nn::Linear::new(4, 8), nn::Relu, nn::Linear::new(8, 1)];
/// nn::apply(&net, |layer| {
///     if let Some(linear) = layer.downcast::<nn::Linear>() {
///         init::constant(&linear.weight, 0.5);
///     }
/// });
/// assert_eq!(net.parameters()["2.weight"].to_vec(), [0.5; 8]);
/// ```
pub fn apply(module: &dyn Module, mut f: impl FnMut(&dyn Module)) {
    walk(module, &mut f);
}

fn walk(module: &dyn Module, f: &mut dyn FnMut(&dyn Module)) {
    f(module);
    walk_parts(&module.parts(), f);
}

fn walk_parts(parts: &Parts<'_>, f: &mut dyn FnMut(&dyn Module)) {
    for (_, content) in &parts.0 {
        match content {
            Content::Module(module) => walk(*module, f),
            Content::List(parts) => walk_parts(parts, f),
            Content::Parameter(_) | Content::Mode(_) => {}
        }
    }
}

/// Whether the layer that holds it is in training; it is at first.
///
/// ```
/// use d2l::prelude::*;
///
/// struct Noise {
///     mode: nn::Mode,
/// }
///
/// impl nn::Module for Noise {
///     nn::parts!(mode);
///
///     fn forward(&self, x: &Tensor) -> Tensor {
///         if self.mode.is_training() { x + Tensor::randn(x.shape()) } else { x.clone() }
///     }
/// }
///
/// let layer = Noise { mode: nn::Mode::new() };
/// layer.eval();
/// assert_eq!(layer.forward(&tensor([1.0])).to_vec(), [1.0]);
/// ```
#[derive(Debug)]
pub struct Mode(AtomicBool);

impl Mode {
    /// Training.
    ///
    /// ```
    /// assert!(d2l::nn::Mode::new().is_training());
    /// ```
    pub fn new() -> Mode {
        Mode(AtomicBool::new(true))
    }

    /// Whether this is training.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let mode = nn::Mode::new();
    /// assert!(mode.is_training());
    /// ```
    pub fn is_training(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, training: bool) {
        if self.0.swap(training, Ordering::Relaxed) != training {
            outdate();
        }
    }
}

impl Default for Mode {
    fn default() -> Mode {
        Mode::new()
    }
}

/// The named parts of a module; see [`Module::parts`].
///
/// ```
/// use d2l::{nn::{Module, Parameter, Parts}, prelude::*};
///
/// struct Scale(Parameter);
///
/// impl Module for Scale {
///     fn parts(&self) -> Parts<'_> {
///         Parts::new().with("scale", &self.0)
///     }
///
///     fn forward(&self, x: &Tensor) -> Tensor {
///         x * &self.0
///     }
/// }
///
/// let layer = Scale(Parameter::new(tensor([2.0])));
/// assert_eq!(layer.parameters().names(), ["scale"]);
/// ```
#[derive(Default)]
pub struct Parts<'a>(Vec<(String, Content<'a>)>);

/// One part of a module.
///
/// ```
/// use d2l::nn::{Content, Linear, Part};
///
/// assert!(matches!(Linear::new(3, 2).content(), Content::Module(_)));
/// assert!(matches!(Linear::new(3, 2).weight.content(), Content::Parameter(_)));
/// ```
#[non_exhaustive]
pub enum Content<'a> {
    /// A parameter or a buffer.
    Parameter(&'a Parameter),
    /// What [`Module::train`] and [`Module::eval`] set.
    Mode(&'a Mode),
    /// A module with parts of its own.
    Module(&'a dyn Module),
    /// Several parts, named by number; or none.
    List(Parts<'a>),
}

impl<'a> Parts<'a> {
    /// No parts.
    ///
    /// ```
    /// use d2l::{nn::{Module, Parameter, Parts}, prelude::*};
    ///
    /// struct Scale(Parameter);
    ///
    /// impl Module for Scale {
    ///     fn parts(&self) -> Parts<'_> {
    ///         Parts::new().with("scale", &self.0)
    ///     }
    ///
    ///     fn forward(&self, x: &Tensor) -> Tensor {
    ///         x * &self.0
    ///     }
    /// }
    ///
    /// let layer = Scale(Parameter::new(tensor([2.0])));
    /// assert_eq!(layer.parameters().names(), ["scale"]);
    /// ```
    pub fn new() -> Parts<'a> {
        Parts::default()
    }

    /// These and one more.
    ///
    /// ```
    /// use d2l::{nn::{Module, Parameter, Parts}, prelude::*};
    ///
    /// struct Scale(Parameter);
    ///
    /// impl Module for Scale {
    ///     fn parts(&self) -> Parts<'_> {
    ///         Parts::new().with("scale", &self.0)
    ///     }
    ///
    ///     fn forward(&self, x: &Tensor) -> Tensor {
    ///         x * &self.0
    ///     }
    /// }
    ///
    /// let layer = Scale(Parameter::new(tensor([2.0])));
    /// assert_eq!(layer.parameters().names(), ["scale"]);
    /// ```
    pub fn with(mut self, name: impl Into<String>, part: &'a dyn Part) -> Parts<'a> {
        self.0.push((name.into(), part.content()));
        self
    }

    /// The parameters and buffers in all parts.
    fn collect(&self) -> Parameters {
        let mut all = Parameters::new();
        self.collect_into("", &mut all);
        all
    }

    fn collect_into(&self, prefix: &str, all: &mut Parameters) {
        for (name, content) in &self.0 {
            let path = format!("{prefix}{name}");
            match content {
                Content::Parameter(parameter) => all.push(path, parameter),
                Content::Module(module) => {
                    module.parts().collect_into(&format!("{path}."), all);
                }
                Content::List(parts) => parts.collect_into(&format!("{path}."), all),
                Content::Mode(_) => {}
            }
        }
    }

    fn set_training(&self, training: bool) {
        for (_, content) in &self.0 {
            match content {
                Content::Mode(mode) => mode.set(training),
                Content::Module(module) => module.parts().set_training(training),
                Content::List(parts) => parts.set_training(training),
                Content::Parameter(_) => {}
            }
        }
    }
}

/// What a module can consist of: modules, parameters, modes, and vectors or options of them.
///
/// ```
/// use d2l::nn::{Content, Linear, Part};
///
/// let layers = vec![Linear::new(3, 2), Linear::new(2, 1)];
/// assert!(matches!(layers.content(), Content::List(_)));
/// ```
pub trait Part {
    /// The part by kind.
    fn content(&self) -> Content<'_>;
}

impl<M: Module> Part for M {
    fn content(&self) -> Content<'_> {
        Content::Module(self)
    }
}

impl Part for Parameter {
    fn content(&self) -> Content<'_> {
        Content::Parameter(self)
    }
}

impl Part for Mode {
    fn content(&self) -> Content<'_> {
        Content::Mode(self)
    }
}

impl Part for Box<dyn Module> {
    fn content(&self) -> Content<'_> {
        Content::Module(&**self)
    }
}

impl<P: Part> Part for Vec<P> {
    fn content(&self) -> Content<'_> {
        let parts = self.iter().enumerate();
        Content::List(Parts(parts.map(|(i, p)| (i.to_string(), p.content())).collect()))
    }
}

impl<P: Part> Part for Option<P> {
    fn content(&self) -> Content<'_> {
        match self {
            Some(part) => part.content(),
            None => Content::List(Parts::new()),
        }
    }
}

/// Inside `impl nn::Module for …`: the fields that hold modules, parameters or modes, or
/// vectors or options of them. See [`nn`](crate::nn).
///
/// ```
/// use d2l::prelude::*;
///
/// struct Pair {
///     first: nn::Linear,
///     second: Option<nn::Linear>,
/// }
///
/// impl nn::Module for Pair {
///     nn::parts!(first, second);
///
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.first.forward(x)
///     }
/// }
///
/// let pair = Pair { first: nn::Linear::new(2, 2), second: None };
/// assert_eq!(pair.parameters().names(), ["first.weight", "first.bias"]);
/// ```
#[macro_export]
macro_rules! parts {
    ($($field:ident),* $(,)?) => {
        fn parts(&self) -> $crate::nn::Parts<'_> {
            $crate::nn::Parts::new()$(.with(stringify!($field), &self.$field))*
        }
    };
}

/// `impl Module` for a layer with a `forward` of its own, which tells a mistake at its caller's
/// line. The trait's cannot: a method with `#[track_caller]` does not link as one of a
/// `dyn Module` from a cell.
macro_rules! module {
    ($Name:ident $(: $($part:ident),*)?) => {
        impl $crate::nn::Module for $Name {
            $($crate::parts!($($part),*);)?

            fn forward(&self, x: &Tensor) -> Tensor {
                $Name::forward(self, x)
            }
        }
    };
}
pub(super) use module;
