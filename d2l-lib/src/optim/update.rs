//! What all rules share: parameters with a memory for each, changed in one pass.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
};

use crate::{
    DType, Tensor, Value,
    device::{cuda::recording::outdate, threads},
    dtype::{Element, with_dtype},
    nn::Parameters,
    ops::{
        cuda::{Later, Rule, Updates},
        elementwise::{GRAIN, zip_in_place},
        rounded,
        vector::vectorised,
        widened,
    },
    tensor::create::constant_by,
};

/// The parameters of an optimizer, and tensors of their shapes to remember.
pub(super) struct Memory {
    pub(super) parameters: Parameters,
    pub(super) lr: f64,
    pub(super) weight_decay: f64,
    decays: fn(&str) -> bool,
    /// What the memories hold at first.
    first: f64,
    states: HashMap<usize, State>,
}

/// How a GPU does a step.
pub(super) struct OnGpu {
    pub(super) kernel: &'static str,
    pub(super) rule: Rule,
    /// The rule of any step, where it is another one each time.
    pub(super) later: Option<Box<dyn Fn(i32) -> Rule + Send>>,
}

impl OnGpu {
    /// The same rule in all steps.
    pub(super) fn same(kernel: &'static str, rule: Rule) -> OnGpu {
        OnGpu { kernel, rule, later: None }
    }
}

#[derive(Default)]
struct State {
    /// Replays of a step count it too.
    steps: Arc<AtomicI32>,
    memories: Vec<Tensor>,
}

impl Memory {
    #[track_caller]
    pub(super) fn new(parameters: Parameters, lr: f64) -> Memory {
        assert!(lr >= 0.0, "an optimizer's learning rate must not be {lr}");
        Memory {
            parameters,
            lr,
            weight_decay: 0.0,
            decays: |_| true,
            first: 0.0,
            states: HashMap::new(),
        }
    }

    pub(super) fn set_lr(&mut self, lr: f64) {
        if lr != self.lr {
            // The rule's numbers are among the arguments of kernels.
            outdate();
            self.lr = lr;
        }
    }

    pub(super) fn filled(self, first: f64) -> Memory {
        Memory { first, ..self }
    }

    pub(super) fn decay_only(&mut self, decays: fn(&str) -> bool) {
        self.decays = decays;
    }

    /// For every parameter with a gradient, makes a rule for this step (told how many the
    /// parameter has had, this one included, and its weight decay) and applies it to every
    /// element: `rule(value, gradient, memories)`, in the parameter's type; on a GPU by a kernel
    /// with the numbers that `rule_gpu` gives, which takes many parameters at once. Halves are updated in `f32`, in which they also have
    /// their memories, and rounded once a step.
    #[track_caller]
    pub(super) fn step<R32, R64, const N: usize>(
        &mut self,
        rule_f32: impl Fn(i32, f64) -> R32,
        rule_f64: impl Fn(i32, f64) -> R64,
        rule_gpu: &dyn Fn(i32, f64) -> OnGpu,
    ) where
        R32: Fn(&mut f32, f32, &mut [f32; N]) + Sync,
        R64: Fn(&mut f64, f64, &mut [f64; N]) + Sync,
    {
        let mut waiting = Updates::default();
        for (i, (name, parameter)) in self.parameters.iter().enumerate() {
            if parameter.is_lazy() {
                continue;
            }
            let value = parameter.tensor();
            let Some(gradient) = value.grad() else { continue };
            let state = self.states.entry(i).or_default();
            state.memories.resize_with(N.max(state.memories.len()), || {
                let first = Value::Float(self.first);
                constant_by(value, value.layout.shape, value.dtype().wide(), first)
            });
            let steps = state.steps.fetch_add(1, Relaxed) + 1;
            let decay = if (self.decays)(name) { self.weight_decay } else { 0.0 };
            let memories = &state.memories[..N];
            let dtype = value.dtype();
            if !value.storage.is_host() {
                let OnGpu { kernel, rule, later } = rule_gpu(steps, decay);
                let later = later.map(|later| -> Later {
                    let steps = Arc::clone(&state.steps);
                    Box::new(move || later(steps.fetch_add(1, Relaxed) + 1))
                });
                if waiting.add(kernel, rule, later, value, Some(&gradient), memories) {
                    continue;
                }
            }
            if dtype.wide() == DType::F32 {
                let rule = rule_f32(steps, decay);
                let wide = widened(value);
                update::<f32, N>(&wide, &widened(&gradient), memories, &rule);
                if dtype.is_half() {
                    let new = rounded(wide.into_owned(), dtype);
                    with_dtype!(dtype, T => zip_in_place::<T>(value, &new, |_, new| new));
                }
            } else {
                let rule = rule_f64(steps, decay);
                update::<f64, N>(value, &gradient, memories, &rule);
            }
        }
        waiting.queue();
    }
}

fn update<T: Element, const N: usize>(
    value: &Tensor,
    gradient: &Tensor,
    memories: &[Tensor],
    rule: &(impl Fn(&mut T, T, &mut [T; N]) + Sync),
) {
    let (n, start) = (value.numel(), value.layout.offset);
    let gradient = gradient.contiguous();
    let gradients = gradient.storage.read::<T>();
    let gradients = &gradients[gradient.layout.offset..][..n];
    let pass = |values: &mut [T]| {
        unlocked(memories, Vec::with_capacity(N), &mut |kept| {
            let values = threads::Shared::new(values);
            let kept = kept.each_mut().map(|memory| threads::Shared::new(memory));
            threads::ranges(n, GRAIN, &|range| {
                let (from, length) = (range.start, range.len());
                // SAFETY: the ranges are disjoint.
                let values = unsafe { values.part(from, length) };
                // SAFETY: as above.
                let kept = kept.each_ref().map(|kept| unsafe { kept.part(from, length) });
                each::<T, _, N>(values, &gradients[range], kept, rule);
            });
        });
    };
    if value.is_contiguous() {
        value.storage.write::<T>(|values| pass(&mut values[start..start + n]));
    } else {
        let mut changed = value.to_vec_of::<T>();
        pass(&mut changed);
        let changed = Tensor::new(changed, value.layout.shape);
        zip_in_place::<T>(value, &changed, |_, new| new);
    }
}

vectorised! {
    fn each[T: Element, R: Fn(&mut T, T, &mut [T; N]), const N: usize][T, R, N](
        values: &mut [T], gradients: &[T], memories: [&mut [T]; N], rule: &R,
    ) {
        // One length for all, so that the loop has no checks.
        let n = values.len();
        let gradients = &gradients[..n];
        let memories = memories.map(|memory| &mut memory[..n]);
        for i in 0..n {
            let mut own = std::array::from_fn(|k| memories[k][i]);
            let mut new = values[i];
            rule(&mut new, gradients[i], &mut own);
            for k in 0..N {
                memories[k][i] = own[k];
            }
            values[i] = new;
        }
    }
}

/// Calls `pass` with the elements of all `memories`, each of which has storage of its own.
fn unlocked<T: Element, const N: usize>(
    memories: &[Tensor],
    open: Vec<&mut [T]>,
    pass: &mut dyn FnMut(&mut [&mut [T]; N]),
) {
    let Some((memory, others)) = memories.split_first() else {
        let open = open.try_into();
        return pass(&mut open.unwrap_or_else(|_| unreachable!("there are N memories")));
    };
    memory.storage.write::<T>(|values| {
        // The same references, for no longer than this one.
        let mut open: Vec<&mut [T]> = open;
        open.push(values);
        unlocked(others, open, pass);
    });
}

/// What optimizers have in common, around the rule of one: options of weight decay, and the
/// trait. `$rule` makes, from the optimizer, the learning rate, the number of the step and
/// the weight decay, what is done to one element of type `$T`; `$plain` does so, with fewer
/// memories, where `$condition` holds. `$gpu` gives the kernel for a GPU, and its numbers.
macro_rules! optimizer {
    ($Name:ident, $T:ident, |$optimizer:ident, $lr:ident, $steps:ident, $decay:ident| gpu $gpu:block
     $(if $condition:expr => $plain:expr, else)? $rule:block) => {
        impl $Name {
            /// Pulls the parameters towards 0 in proportion to their size; 0 at first, of
            /// `AdamW` 0.01.
            ///
            /// ```
            #[doc = concat!("use d2l::{optim::", stringify!($Name), ", prelude::*};")]
            ///
            /// let w = tensor([1.0]).requires_grad();
            /// (&w * 0.0).sum().backward();
            #[doc = concat!(stringify!($Name), "::new([&w], 0.1).weight_decay(0.5).step();")]
            /// assert!(w.item() < 1.0);
            /// ```
            pub fn weight_decay(mut self, weight_decay: f64) -> $Name {
                self.memory.weight_decay = weight_decay;
                self
            }

            /// Only the parameters whose name `decays` accepts have the weight decay:
            /// `.weight_decay_only(|name| name.ends_with("weight"))`.
            ///
            /// ```
            #[doc = concat!("use d2l::{optim::", stringify!($Name), ", prelude::*};")]
            ///
            /// let w = tensor([1.0]).requires_grad();
            /// (&w * 0.0).sum().backward();
            #[doc = concat!("let rule = ", stringify!($Name), "::new([&w], 0.1).weight_decay(0.5);")]
            /// rule.weight_decay_only(|name| name.ends_with("weight")).step();
            /// assert!((w.item() - 1.0).abs() < 1e-3, "it is named 0");
            /// ```
            pub fn weight_decay_only(mut self, decays: fn(&str) -> bool) -> $Name {
                self.memory.decay_only(decays);
                self
            }
        }

        impl Optimizer for $Name {
            #[track_caller]
            fn step(&mut self) {
                let $lr = self.memory.lr;
                // The rule looks at the options while the memories change.
                let mut memory = std::mem::take(&mut self.memory);
                let $optimizer = &*self;
                let plain = false $(|| $condition)?;
                if plain {
                    $(memory.step(
                        |$steps, $decay| {
                            type $T = f32;
                            $plain
                        },
                        |$steps, $decay| {
                            type $T = f64;
                            $plain
                        },
                        &|$steps, $decay| $gpu,
                    );)?
                } else {
                    memory.step(
                        |$steps, $decay| {
                            type $T = f32;
                            $rule
                        },
                        |$steps, $decay| {
                            type $T = f64;
                            $rule
                        },
                        &|$steps, $decay| $gpu,
                    );
                }
                self.memory = memory;
            }

            fn parameters(&self) -> &Parameters {
                &self.memory.parameters
            }

            fn lr(&self) -> f64 {
                self.memory.lr
            }

            fn set_lr(&mut self, lr: f64) {
                self.memory.set_lr(lr);
            }
        }
    };
}

pub(super) use optimizer;

impl Default for Memory {
    fn default() -> Memory {
        Memory::new(Parameters::new(), 0.0)
    }
}
