//! Parameters: the tensors that training changes, with their names.

use std::{
    fmt,
    ops::{Deref, Index},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use crate::{Device, Tensor, Value, autograd::Pause};

/// A tensor that belongs to a layer: a weight, a bias, or (a *buffer*) a running statistic,
/// which is saved with the model but not trained.
///
/// It is a handle: a clone is the same parameter, so two layers that hold clones are tied.
/// It can be used wherever a tensor can. A lazy one has no shape before its layer meets the
/// first input.
///
/// ```
/// use d2l::{nn::Parameter, prelude::*};
///
/// let w = Parameter::new(tensor([1.0, 2.0]));
/// (&w * 3.0).sum().backward();
/// assert_eq!(w.grad().unwrap().to_vec(), [3.0, 3.0]);
/// w.assign(0.5);
/// assert_eq!(w.to_vec(), [0.5, 0.5]);
/// ```
#[derive(Clone)]
pub struct Parameter(Arc<Inner>);

struct Inner {
    value: OnceLock<Tensor>,
    is_trained: bool,
    /// Where a value that is not there yet is wanted.
    wanted: Mutex<Device>,
}

impl Parameter {
    /// A parameter with the shape and the first values of this tensor. A leaf that already needs
    /// a gradient is taken as it is.
    ///
    /// # Panics
    /// If the elements are not floats.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let w = Parameter::new(tensor([1.0, 2.0]));
    /// assert!(w.needs_grad() && w.is_trained());
    /// ```
    #[track_caller]
    pub fn new(value: Tensor) -> Parameter {
        let parameter = Parameter::lazy();
        parameter.get_or_init(|| value);
        parameter
    }

    /// A tensor of any shape and type that is saved with the model but not trained.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let mean = Parameter::buffer(tensor([0.0]));
    /// assert!(!mean.needs_grad() && !mean.is_trained());
    /// ```
    pub fn buffer(value: Tensor) -> Parameter {
        let buffer = Parameter::lazy_buffer();
        buffer.get_or_init(|| value);
        buffer
    }

    /// A parameter whose shape and values [`get_or_init`](Parameter::get_or_init) will find.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let w = Parameter::lazy();
    /// assert!(w.is_lazy());
    /// w.get_or_init(|| Tensor::zeros([2, 3]));
    /// assert_eq!(w.shape(), [2, 3]);
    /// ```
    pub fn lazy() -> Parameter {
        Parameter::empty(true)
    }

    /// A buffer whose shape and values [`get_or_init`](Parameter::get_or_init) will find.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let mean = Parameter::lazy_buffer();
    /// assert!(mean.is_lazy() && !mean.is_trained());
    /// ```
    pub fn lazy_buffer() -> Parameter {
        Parameter::empty(false)
    }

    fn empty(is_trained: bool) -> Parameter {
        let wanted = Mutex::new(Device::home());
        Parameter(Arc::new(Inner { value: OnceLock::new(), is_trained, wanted }))
    }

    /// Takes the elements and the gradient to `device`, and with them all tensors that share
    /// them; those of a lazy parameter will be made there.
    ///
    /// # Panics
    /// Where [`Tensor::to_device`] does.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let (w, gpu) = (Parameter::new(tensor([1.0, 2.0])), d2l::try_gpu(0));
    /// w.to_device(gpu);
    /// assert_eq!(w.device(), gpu);
    /// ```
    #[track_caller]
    pub fn to_device(&self, device: Device) {
        *self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner) = device;
        let Some(value) = self.0.value.get() else { return };
        for tensor in [Some(value.clone()), value.grad()].into_iter().flatten() {
            tensor.move_to(device);
        }
    }

    /// The tensor; of a lazy parameter without one, the tensor that `make` gives, of any shape,
    /// for good.
    ///
    /// # Panics
    /// If a tensor is made whose elements are not floats.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let w = Parameter::lazy();
    /// w.get_or_init(|| Tensor::ones(2));
    /// assert_eq!(w.get_or_init(|| Tensor::zeros(5)).to_vec(), [1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn get_or_init(&self, make: impl FnOnce() -> Tensor) -> &Tensor {
        // Not inside `get_or_init` of the cell, which would hide the caller of a panic.
        if let Some(value) = self.0.value.get() {
            return value;
        }
        self.init(make())
    }

    #[track_caller]
    fn init(&self, value: Tensor) -> &Tensor {
        let wanted = *self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        // A leaf stays the leaf that the caller knows.
        let keeps = value.device() == wanted || wanted == Device::home();
        let value = if keeps { value } else { value.detach().to_device(wanted) };
        let value = match (self.0.is_trained, value.needs_grad() && value.is_leaf()) {
            (true, true) => value,
            (true, false) => value.detach().contiguous().requires_grad(),
            (false, _) => value.detach().contiguous(),
        };
        self.0.value.get_or_init(|| value)
    }

    /// The tensor with the parameter's shape and elements.
    ///
    /// # Panics
    /// If the parameter is lazy and its layer has met no input yet.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let w = Parameter::new(tensor([1.0, 2.0]));
    /// assert_eq!(w.tensor().to_vec(), [1.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn tensor(&self) -> &Tensor {
        match self.0.value.get() {
            Some(value) => value,
            None => panic!(
                "this parameter has no shape yet: let the model see an input first, \
                 `model.forward(&x)`"
            ),
        }
    }

    /// Whether this is a lazy parameter whose layer has met no input yet.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// assert!(Parameter::lazy().is_lazy() && !Parameter::new(tensor(1.0)).is_lazy());
    /// ```
    pub fn is_lazy(&self) -> bool {
        self.0.value.get().is_none()
    }

    /// Whether training changes it; else it is a buffer.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// assert!(Parameter::lazy().is_trained() && !Parameter::lazy_buffer().is_trained());
    /// ```
    pub fn is_trained(&self) -> bool {
        self.0.is_trained
    }

    /// Whether both are handles of one parameter.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let w = Parameter::new(tensor(1.0));
    /// assert!(w.is(&w.clone()) && !w.is(&Parameter::new(tensor(1.0))));
    /// ```
    pub fn is(&self, other: &Parameter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes over `value`, a number or a tensor that broadcasts and is converted, in place and
    /// unrecorded.
    ///
    /// # Panics
    /// If the parameter is lazy, or the value does not broadcast into its shape.
    ///
    /// ```
    /// use d2l::{nn::Parameter, prelude::*};
    ///
    /// let w = Parameter::new(Tensor::zeros([2, 2]));
    /// w.assign(tensor([1.0, 2.0]));
    /// assert_eq!(w.to_vec(), [1.0, 2.0, 1.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn assign<'a>(&self, value: impl Into<Value<'a>>) {
        let _pause = Pause::begin();
        self.tensor().fill_(value);
    }
}

impl Deref for Parameter {
    type Target = Tensor;

    #[track_caller]
    fn deref(&self) -> &Tensor {
        self.tensor()
    }
}

impl<'a> From<&'a Parameter> for Value<'a> {
    #[track_caller]
    fn from(parameter: &'a Parameter) -> Self {
        Value::from(parameter.tensor())
    }
}

impl From<Tensor> for Parameter {
    #[track_caller]
    fn from(value: Tensor) -> Parameter {
        Parameter::new(value)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.value.get() {
            Some(value) => fmt::Debug::fmt(value, f),
            None => f.write_str("Parameter(lazy)"),
        }
    }
}

macro_rules! operator {
    ($($Trait:ident :: $method:ident),*) => {$(
        impl<'a, R: Into<Value<'a>>> std::ops::$Trait<R> for &Parameter {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, rhs: R) -> Tensor {
                std::ops::$Trait::$method(self.tensor(), rhs)
            }
        }
    )*};
}

operator!(Add::add, Sub::sub, Mul::mul, Div::div);

/// Parameters and their names, in the order of the layers: `net.parameters()`.
///
/// Made also from leaves, `Parameters::from([&w, &b])`, which panics if one is no leaf.
///
/// ```
/// use d2l::prelude::*;
///
/// let net = sequential![nn::Linear::new(4, 8), nn::Relu, nn::Linear::new(8, 1)];
/// let parameters = net.parameters();
/// assert_eq!(parameters["0.weight"].shape(), [8, 4]);
/// assert_eq!(parameters.numel(), 8 * 4 + 8 + 8 + 1);
/// ```
#[derive(Clone, Default)]
pub struct Parameters(Vec<(String, Parameter)>);

impl Parameters {
    /// No parameters.
    ///
    /// ```
    /// assert!(d2l::nn::Parameters::new().is_empty());
    /// ```
    pub fn new() -> Parameters {
        Parameters::default()
    }

    /// Adds a parameter; one that is there already (tied weights) keeps its first name.
    ///
    /// ```
    /// use d2l::{nn::{Parameter, Parameters}, prelude::*};
    ///
    /// let w = Parameter::new(tensor([1.0]));
    /// let mut parameters = Parameters::new();
    /// parameters.push("first", &w);
    /// parameters.push("tied", &w);
    /// assert_eq!(parameters.names(), ["first"]);
    /// ```
    pub fn push(&mut self, name: impl Into<String>, parameter: &Parameter) {
        if !self.0.iter().any(|(_, own)| own.is(parameter)) {
            self.0.push((name.into(), parameter.clone()));
        }
    }

    /// The names and parameters.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// let sizes: Vec<usize> = parameters.iter().map(|(_, parameter)| parameter.numel()).collect();
    /// assert_eq!(sizes, [32, 8, 8]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, parameter)| (&**name, parameter))
    }

    /// The names.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// assert_eq!(parameters.names(), ["0.weight", "0.bias", "1.weight"]);
    /// ```
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }

    /// The parameter with this name.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// assert!(parameters.named("1.weight").is_some() && parameters.named("1.bias").is_none());
    /// ```
    pub fn named(&self, name: &str) -> Option<&Parameter> {
        self.iter().find(|(own, _)| *own == name).map(|(_, parameter)| parameter)
    }

    /// Those whose name `keep` accepts.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// assert_eq!(parameters.filter(|name| name.ends_with("bias")).names(), ["0.bias"]);
    /// ```
    pub fn filter(mut self, keep: impl Fn(&str) -> bool) -> Parameters {
        self.0.retain(|(name, _)| keep(name));
        self
    }

    /// These and then `others`.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// let other = nn::Linear::new(2, 2);
    /// assert_eq!(parameters.and(other.parameters()).len(), 5);
    /// ```
    pub fn and(mut self, others: Parameters) -> Parameters {
        for (name, parameter) in others.iter() {
            self.push(name, parameter);
        }
        self
    }

    /// How many parameters there are.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// assert_eq!(parameters.len(), 3);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// assert!(!parameters.is_empty() && nn::Relu.parameters().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers they hold together; lazy ones count as none.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// assert_eq!(parameters.numel(), 4 * 8 + 8 + 8);
    /// ```
    pub fn numel(&self) -> usize {
        let known = self.iter().filter(|(_, parameter)| !parameter.is_lazy());
        known.map(|(_, parameter)| parameter.numel()).sum()
    }

    pub(super) fn filtered(mut self, keep: impl Fn(&Parameter) -> bool) -> Parameters {
        self.0.retain(|(_, parameter)| keep(parameter));
        self
    }

    /// Forgets all gradients.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let net = sequential![nn::Linear::new(4, 8), nn::Linear::new(8, 1).without_bias()];
    /// let parameters = net.parameters();
    /// net.forward(&Tensor::rand([2, 4])).sum().backward();
    /// parameters.zero_grad();
    /// assert!(parameters["0.weight"].grad().is_none());
    /// ```
    pub fn zero_grad(&self) {
        for (_, parameter) in self.iter().filter(|(_, parameter)| !parameter.is_lazy()) {
            parameter.zero_grad();
        }
    }
}

impl Index<&str> for Parameters {
    type Output = Parameter;

    #[track_caller]
    fn index(&self, name: &str) -> &Parameter {
        match self.named(name) {
            Some(parameter) => parameter,
            None => panic!("no parameter is named {name:?} among {:?}", self.names()),
        }
    }
}

impl IntoIterator for Parameters {
    type Item = (String, Parameter);
    type IntoIter = std::vec::IntoIter<(String, Parameter)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Vec<Tensor>> for Parameters {
    /// Leaves, named by their number.
    #[track_caller]
    fn from(leaves: Vec<Tensor>) -> Parameters {
        let mut parameters = Parameters::new();
        for (i, leaf) in leaves.into_iter().enumerate() {
            assert!(
                leaf.needs_grad() && leaf.is_leaf(),
                "parameter {i} of shape {:?} is no leaf: make it one with `requires_grad()`",
                leaf.shape()
            );
            parameters.push(i.to_string(), &Parameter::new(leaf));
        }
        parameters
    }
}

impl From<&[&Tensor]> for Parameters {
    #[track_caller]
    fn from(leaves: &[&Tensor]) -> Parameters {
        let leaves: Vec<Tensor> = leaves.iter().map(|&leaf| leaf.clone()).collect();
        leaves.into()
    }
}

impl<const N: usize> From<[&Tensor; N]> for Parameters {
    #[track_caller]
    fn from(leaves: [&Tensor; N]) -> Parameters {
        leaves[..].into()
    }
}

/// One line for each: name, shape, number of elements.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (i, (name, parameter)) in self.iter().enumerate() {
            let line_end = if i == 0 { "" } else { "\n" };
            if parameter.is_lazy() {
                write!(f, "{line_end}{name:width$}  lazy")?;
            } else {
                let shape = format!("{:?}", parameter.shape());
                write!(
                    f,
                    "{line_end}{name:width$}  {shape:<16} {:>9}",
                    parameter.numel()
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
