//! The graph of recorded operations, and the walk back through it.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{ops, tensor::Tensor};

/// The place of one tensor in the graph.
pub(crate) struct Node {
    /// The operation that made the tensor; of a leaf, nothing.
    op: Option<&'static str>,
    state: Mutex<State>,
}

enum State {
    /// A tensor the user made, with the gradient collected so far, and what is to be done once
    /// after a walk that added to it.
    Leaf { grad: Option<Box<Tensor>>, after: Option<Weak<After>> },
    /// The result of an operation: one edge for each input that needs a gradient.
    Recorded(Edges),
    /// The result of an operation that was differentiated and forgotten.
    Spent,
}

/// What is done after a walk back, once for all leaves that ask for it.
pub(crate) type After = dyn Fn() + Send + Sync;

/// From a result back to one input: turns the result's gradient into the input's.
struct Edge {
    input: Arc<Node>,
    pull: Pull,
}

type Pull = Box<dyn FnOnce(&Tensor) -> Tensor + Send + Sync>;

/// The edges of one operation; hardly any has more than two, which need no allocation.
#[derive(Default)]
struct Edges {
    first: Option<Edge>,
    second: Option<Edge>,
    more: Vec<Edge>,
}

impl Edges {
    fn push(&mut self, edge: Edge) {
        match (&self.first, &self.second) {
            (None, _) => self.first = Some(edge),
            (_, None) => self.second = Some(edge),
            _ => self.more.push(edge),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Edge> {
        self.first.iter().chain(&self.second).chain(&self.more)
    }

    fn into_iter(self) -> impl Iterator<Item = Edge> {
        self.first.into_iter().chain(self.second).chain(self.more)
    }
}

/// Collects the edges of one operation; see [`record`].
pub(crate) struct Tape(Edges);

impl Tape {
    /// How the gradient flows to `input`. `make` is called only if it does flow there, so
    /// what it saves for later costs nothing otherwise.
    pub(crate) fn edge<F>(&mut self, input: &Tensor, make: impl FnOnce() -> F)
    where
        F: FnOnce(&Tensor) -> Tensor + Send + Sync + 'static,
    {
        if let Some(node) = &input.node {
            self.0.push(Edge { input: Arc::clone(node), pull: Box::new(make()) });
        }
    }
}

impl Tape {
    /// How the gradient flows to several inputs that share most of the work: `pull` gets the
    /// result's gradient, and which inputs need theirs, and gives one gradient for each.
    pub(crate) fn joint<F>(&mut self, inputs: &[&Tensor], pull: F)
    where
        F: FnOnce(&Tensor, &[bool]) -> Vec<Option<Tensor>> + Send + 'static,
    {
        let needs: Vec<bool> = inputs.iter().map(|input| input.needs_grad()).collect();
        let all = {
            let needs = needs.clone();
            move |g: &Tensor| pull(g, &needs)
        };
        // All edges of an operation are followed one after the other, with one gradient.
        let joint = Arc::new(Mutex::new(Joint::Waiting(Box::new(all))));
        for (i, input) in inputs.iter().enumerate().filter(|(i, _)| needs[*i]) {
            let joint = Arc::clone(&joint);
            self.edge(input, || {
                move |g: &Tensor| {
                    let mut joint = joint.lock().unwrap_or_else(PoisonError::into_inner);
                    joint.gradients(g)[i]
                        .take()
                        .expect("a gradient for each that needs it")
                }
            });
        }
    }
}

/// From the gradient of a result to those of all inputs that need one.
type JointPull = Box<dyn FnOnce(&Tensor) -> Vec<Option<Tensor>> + Send>;

/// Gradients of several inputs, before and after they were computed.
enum Joint {
    Waiting(JointPull),
    Ready(Vec<Option<Tensor>>),
}

impl Joint {
    fn gradients(&mut self, g: &Tensor) -> &mut Vec<Option<Tensor>> {
        if let Joint::Waiting(_) = self {
            let waiting = mem::replace(self, Joint::Ready(Vec::new()));
            if let Joint::Waiting(pull) = waiting {
                *self = Joint::Ready(pull(g));
            }
        }
        match self {
            Joint::Ready(gradients) => gradients,
            Joint::Waiting(_) => unreachable!("it was pulled just now"),
        }
    }
}

/// Puts `output` in the graph if a gradient flows to one of `inputs`.
///
/// What the closures keep must be outside the graph ([`Tensor::saved`]), else a result that
/// keeps itself would never be freed.
#[inline]
#[track_caller]
pub(crate) fn record(
    op: &'static str,
    output: Tensor,
    inputs: &[&Tensor],
    edges: impl FnOnce(&mut Tape, &Tensor),
) -> Tensor {
    // By far the most frequent case outside of training, and nothing is to be done.
    if inputs.iter().all(|input| input.node.is_none() && input.storage.is_host()) {
        return output;
    }
    record_or_settle(op, output, inputs, edges)
}

#[track_caller]
fn record_or_settle(
    op: &'static str,
    output: Tensor,
    inputs: &[&Tensor],
    edges: impl FnOnce(&mut Tape, &Tensor),
) -> Tensor {
    let is_host = inputs.iter().all(|input| input.storage.is_host());
    let output = if is_host { output } else { ops::cuda::settle(op, output, inputs) };
    record_here(op, output, inputs, edges)
}

/// The operation whose gradient goes to another device.
const ACROSS: &str = "to_device";

/// Puts a copy of `input` on another device in the graph.
pub(crate) fn record_across(output: Tensor, input: &Tensor) -> Tensor {
    let from = input.device();
    record_here(ACROSS, output, &[input], |tape, _| {
        tape.edge(input, || move |g: &Tensor| g.to_device(from));
    })
}

fn record_here(
    op: &'static str,
    mut output: Tensor,
    inputs: &[&Tensor],
    edges: impl FnOnce(&mut Tape, &Tensor),
) -> Tensor {
    let flows = super::is_recording()
        && output.dtype().is_float()
        && inputs.iter().any(|input| input.needs_grad());
    if flows {
        let mut tape = Tape(Edges::default());
        edges(&mut tape, &output);
        let state = Mutex::new(State::Recorded(tape.0));
        output.node = Some(Arc::new(Node { op: Some(op), state }));
    }
    output
}

impl Node {
    pub(crate) fn leaf() -> Node {
        Node { op: None, state: Mutex::new(State::Leaf { grad: None, after: None }) }
    }

    /// The operation that made the tensor, unless it is a leaf.
    pub(crate) fn op(&self) -> Option<&'static str> {
        self.op
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.op.is_none()
    }

    pub(crate) fn grad(&self) -> Option<Tensor> {
        match &*self.lock() {
            State::Leaf { grad, .. } => grad.as_deref().cloned(),
            _ => None,
        }
    }

    pub(crate) fn set_grad(&self, new: Option<Tensor>) {
        if let State::Leaf { grad, .. } = &mut *self.lock() {
            *grad = new.map(Box::new);
        }
    }

    /// Has something done after each walk that leaves a gradient in this leaf, as long as
    /// somebody keeps it.
    pub(crate) fn set_after(&self, new: Weak<After>) {
        if let State::Leaf { after, .. } = &mut *self.lock() {
            *after = Some(new);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes nodes by where they are, which nobody chooses to collide.
type ByAddress = BuildHasherDefault<AddressHasher>;

#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    fn write_usize(&mut self, address: usize) {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0 ^ address as u64).wrapping_mul(GOLDEN).rotate_left(26);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Tensor {
    /// This gradient in memory that no other tensor shows, so that writing it (to clip it,
    /// say) changes nothing else.
    #[track_caller]
    fn owned(mut self) -> Tensor {
        if self.is_contiguous() && self.storage.is_unshared() {
            return self;
        }
        crate::ops::elementwise::copy(&self)
    }

    /// The sum of two gradients of one tensor; in place if nobody would notice.
    #[track_caller]
    fn plus(mut self, more: Tensor) -> Tensor {
        let own = self.dtype() == more.dtype()
            && self.shape() == more.shape()
            && self.is_contiguous()
            && self.storage.is_unshared();
        if own {
            self.add_(&more);
            return self;
        }
        &self + &more
    }
}

/// Carries `gradient` from `root` to every leaf.
///
/// Every node is visited after all results that used it. Its edges, with the values they
/// saved, are dropped as soon as they were followed.
#[track_caller]
pub(super) fn backward(root: &Arc<Node>, gradient: Tensor) {
    let mut order = inputs_first(root);
    let mut gradients: HashMap<*const Node, Tensor, ByAddress> = HashMap::default();
    gradients.insert(Arc::as_ptr(root), gradient);
    let mut afterwards: Vec<Weak<After>> = Vec::new();
    while let Some(node) = order.pop() {
        let Some(gradient) = gradients.remove(&Arc::as_ptr(&node)) else { continue };
        let edges = {
            let mut state = node.lock();
            match &mut *state {
                State::Leaf { grad, after } => {
                    touch(&node);
                    if let Some(after) = after
                        && !afterwards.iter().any(|other| other.ptr_eq(after))
                    {
                        afterwards.push(after.clone());
                    }
                    *grad = Some(match grad.take() {
                        Some(before) => Box::new(before.plus(gradient)),
                        None => Box::new(gradient.owned()),
                    });
                    continue;
                }
                State::Recorded(edges) => {
                    let edges = mem::take(edges);
                    *state = State::Spent;
                    edges
                }
                State::Spent => unreachable!("`inputs_first` refused the spent ones"),
            }
        };
        for Edge { input, pull } in edges.into_iter() {
            let flowing = pull(&gradient);
            // What the processor made of a GPU's gradient goes back there.
            let strays = flowing.storage.is_host() && !gradient.storage.is_host();
            let flowing = match node.op {
                Some(op) if strays && op != ACROSS => {
                    ops::cuda::settle(op, flowing, &[&gradient])
                }
                _ => flowing,
            };
            let key = Arc::as_ptr(&input);
            match gradients.entry(key) {
                Entry::Occupied(total) => {
                    let (key, before) = total.remove_entry();
                    gradients.insert(key, before.plus(flowing));
                }
                Entry::Vacant(total) => {
                    total.insert(flowing);
                }
            }
        }
    }
    for after in afterwards.iter().filter_map(Weak::upgrade) {
        after();
    }
}

thread_local! {
    /// The leaves whose gradients change on this thread, if somebody wants to know.
    static TOUCHED: RefCell<Option<Vec<Arc<Node>>>> = const { RefCell::new(None) };
}

/// Notes that the gradient of a leaf changes.
pub(super) fn touch(leaf: &Arc<Node>) {
    TOUCHED.with_borrow_mut(|touched| {
        if let Some(touched) = touched
            && !touched.iter().any(|other| Arc::ptr_eq(other, leaf))
        {
            touched.push(Arc::clone(leaf));
        }
    });
}

/// The gradients that `f` leaves in the leaves whose gradients it changes.
pub(crate) fn gradients_left<R>(f: impl FnOnce() -> R) -> (R, Gradients) {
    /// Ends the watch, after a panic too.
    struct Watch;
    impl Drop for Watch {
        fn drop(&mut self) {
            TOUCHED.set(None);
        }
    }
    let watch = Watch;
    TOUCHED.set(Some(Vec::new()));
    let result = f();
    let touched = TOUCHED.take().unwrap_or_default();
    drop(watch);
    let gradients = touched.into_iter().map(|leaf| (leaf.grad(), leaf));
    (result, Gradients(gradients.collect()))
}

/// Gradients of leaves, as they were once.
pub(crate) struct Gradients(Vec<(Option<Tensor>, Arc<Node>)>);

impl Gradients {
    /// Lets the leaves have them again.
    pub(crate) fn restore(&self) {
        for (gradient, leaf) in &self.0 {
            leaf.set_grad(gradient.clone());
        }
    }
}

/// The nodes that `root` depends on, inputs before results, `root` last.
///
/// A depth-first search with a stack of its own: graphs are deeper than thread stacks.
#[track_caller]
fn inputs_first(root: &Arc<Node>) -> Vec<Arc<Node>> {
    let mut order = Vec::new();
    let mut seen: HashSet<*const Node, ByAddress> = HashSet::default();
    seen.insert(Arc::as_ptr(root));
    let mut path = vec![(Arc::clone(root), inputs_of(root))];
    while let Some((_, inputs)) = path.last_mut() {
        match inputs.pop() {
            Some(input) if seen.insert(Arc::as_ptr(&input)) => {
                let inputs = inputs_of(&input);
                path.push((input, inputs));
            }
            Some(_) => {}
            None => order.extend(path.pop().map(|(node, _)| node)),
        }
    }
    order
}

#[track_caller]
fn inputs_of(node: &Node) -> Vec<Arc<Node>> {
    match &*node.lock() {
        State::Leaf { .. } => Vec::new(),
        State::Recorded(edges) => {
            edges.iter().map(|edge| Arc::clone(&edge.input)).collect()
        }
        State::Spent => panic!(
            "backward: `{}` was differentiated before and its memory is freed; \
             compute the value again",
            node.op.unwrap_or("leaf")
        ),
    }
}

impl Drop for Node {
    /// Takes long chains apart link by link; dropping them recursively would overflow the
    /// stack.
    fn drop(&mut self) {
        let mut waiting = Vec::new();
        let release = |edge: Edge, waiting: &mut Vec<Edge>| {
            if let Some(mut input) = Arc::into_inner(edge.input) {
                waiting.extend(take_edges(&mut input).into_iter());
            }
        };
        for edge in take_edges(self).into_iter() {
            release(edge, &mut waiting);
        }
        while let Some(edge) = waiting.pop() {
            release(edge, &mut waiting);
        }
    }
}

fn take_edges(node: &mut Node) -> Edges {
    match node.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
        State::Recorded(edges) => mem::take(edges),
        _ => Edges::default(),
    }
}
