//! A module on several devices at once.

use std::{fmt, sync::Arc};

use super::{Collective, by_nccl, scatter, sum_on_first};
use crate::{
    Device, Tensor,
    autograd::{After, Pause},
    nn::{Module, Parameter, Parameters, Parts},
    random,
};

/// A module of which each of several devices has a replica and computes a part of the batch.
///
/// It is used as the module itself. `forward` brings the parameters of the first replica to the
/// others, and a part of the batch to each, and the results to the first device; `backward` sums
/// the gradients of all replicas in the parameters of the first, and those are
/// [`parameters`](Module::parameters). So training gives what it gives on one device, but for
/// rounding, as long as the module treats each example by itself: batch normalisation takes the
/// statistics of a part (those of the first device's are kept), and dropout draws for each.
///
/// ```
/// use d2l::{parallel::DataParallel, prelude::*};
///
/// let (x, y) = (Tensor::rand([8, 4]), Tensor::rand([8, 1]));
/// let train = |net: &dyn nn::Module| {
///     let mut sgd = optim::Sgd::new(net.parameters(), 0.1);
///     for _ in 0..3 {
///         sgd.zero_grad();
///         nn::mse_loss(&net.forward(&x), &y).backward();
///         sgd.step();
///     }
///     net.parameters()["weight"].copy()
/// };
/// seed(1);
/// let alone = train(&nn::Linear::new(4, 1));
/// seed(1);
/// let together = train(&DataParallel::new(&[x.device(); 2], || nn::Linear::new(4, 1)));
/// assert!(together.allclose(&alone));
/// ```
pub struct DataParallel {
    devices: Vec<Device>,
    replicas: Vec<Box<dyn Module>>,
    /// Sums the gradients of all replicas; their parameters know it.
    sum: Arc<After>,
}

impl DataParallel {
    /// The module that `make` makes, on each device, the first of which gets the batches' results.
    /// The parameters are those that the first call makes, and the further calls draw no random
    /// numbers that others would draw.
    ///
    /// # Panics
    /// If there is no device, or another call makes other parameters; and where
    /// [`Module::to_device`] does.
    ///
    /// ```
    /// use d2l::{parallel::DataParallel, prelude::*};
    ///
    /// let net = DataParallel::new(&d2l::try_all_gpus(), || nn::Linear::new(3, 2));
    /// assert_eq!(net.parameters().names(), ["weight", "bias"]);
    /// ```
    #[track_caller]
    pub fn new<M: Module>(
        devices: &[Device],
        mut make: impl FnMut() -> M,
    ) -> DataParallel {
        DataParallel::of(devices, &mut || Box::new(make()))
    }

    #[track_caller]
    fn of(devices: &[Device], make: &mut dyn FnMut() -> Box<dyn Module>) -> DataParallel {
        assert!(!devices.is_empty(), "DataParallel: there is no device");
        let mut replicas = vec![make()];
        random::undisturbed(|| replicas.extend(devices[1..].iter().map(|_| make())));
        let names = |module: &dyn Module| format!("{:?}", module.state().names());
        for (replica, &device) in replicas.iter().zip(devices) {
            let (first, own) = (names(&*replicas[0]), names(&**replica));
            assert!(first == own, "DataParallel: parameters are {first}, then {own}");
            replica.to_device(device);
        }
        let all: Vec<Parameters> = replicas.iter().map(|r| r.parameters()).collect();
        let places = devices.to_vec();
        let sum = Arc::new(move || sum_gradients(&places, &all));
        DataParallel { devices: devices.to_vec(), replicas, sum }
    }

    /// The devices, in the order of the parts of a batch.
    ///
    /// ```
    /// use d2l::{parallel::DataParallel, prelude::*};
    ///
    /// let net = DataParallel::new(&[Device::Cpu], || nn::Linear::new(3, 2));
    /// assert_eq!(net.devices(), [Device::Cpu]);
    /// ```
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The replicas, one for each device; the parameters of the first count.
    ///
    /// ```
    /// use d2l::{parallel::DataParallel, prelude::*};
    ///
    /// let net = DataParallel::new(&[Device::Cpu; 2], || nn::Linear::new(3, 2));
    /// assert_eq!(net.replicas().len(), 2);
    /// ```
    pub fn replicas(&self) -> &[Box<dyn Module>] {
        &self.replicas
    }

    /// What the module makes of a batch `(n, …)`, on the first device: each replica of its part. A
    /// batch in main memory goes from there to every device; one on a GPU waits for it first.
    ///
    /// # Panics
    /// If the batch has no axis, or a result has none to join it with the others; and where the
    /// module does.
    ///
    /// ```
    /// use d2l::{parallel::DataParallel, prelude::*};
    ///
    /// let x = Tensor::rand([5, 3]);
    /// let net = DataParallel::new(&[x.device(); 2], || nn::Linear::new(3, 2));
    /// assert!(net.forward(&x).allclose(&net.replicas()[0].forward(&x)));
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let home = self.devices[0];
        if self.devices.len() == 1 {
            return self.replicas[0].forward(&x.to_device(home));
        }
        let parts = scatter(x, &self.devices);
        let work = self.replicas.iter().zip(parts).filter(|(_, part)| part.len_of(0) > 0);
        let work: Vec<(&Box<dyn Module>, Tensor)> = work.collect();
        if work.len() < 2 {
            return self.replicas[0].forward(&x.to_device(home));
        }
        let mut results = Vec::with_capacity(work.len());
        if self.replicas[0].state().iter().any(|(_, parameter)| parameter.is_lazy()) {
            // It makes the parameters that the others get.
            results.push(work[0].0.forward(&work[0].1));
        }
        self.share();
        for (replica, part) in &work[results.len()..] {
            results.push(replica.forward(part));
        }
        // All devices are at work before somebody waits for one of them.
        for result in &mut results {
            *result = result.to_device(home);
        }
        Tensor::cat(&results.iter().collect::<Vec<_>>(), 0)
    }

    /// Gives all replicas the parameters and buffers of the first.
    #[track_caller]
    fn share(&self) {
        let _pause = Pause::begin();
        let states: Vec<Parameters> = self.replicas.iter().map(|r| r.state()).collect();
        let sets = sets(&states);
        let sets = sets.iter().filter(|set| !set[0].is_lazy());
        let known: Vec<&Vec<&Parameter>> = sets.collect();
        for set in &known {
            for (parameter, &device) in set.iter().zip(&self.devices).skip(1) {
                parameter.get_or_init(|| set[0].detach().copy().to_device(device));
                if let Some(node) = &parameter.node {
                    node.set_after(Arc::downgrade(&self.sum));
                    // There is one only if the walk that made it was interrupted.
                    node.set_grad(None);
                }
            }
        }
        let firsts: Vec<Vec<Tensor>> =
            known.iter().map(|set| vec![set[0].detach()]).collect();
        let copies = by_nccl(&self.devices, &firsts, Collective::Copy);
        for (i, set) in known.iter().enumerate() {
            for (k, replica) in set.iter().enumerate().skip(1) {
                match &copies {
                    Some(copies) => replica.assign(&copies[i][k]),
                    None => replica.assign(firsts[i][0].to_device(replica.device())),
                }
            }
        }
    }
}

/// The parameters of all replicas that belong together.
fn sets(replicas: &[Parameters]) -> Vec<Vec<&Parameter>> {
    let mut sets = vec![Vec::new(); replicas[0].len()];
    for parameters in replicas {
        for (set, (_, parameter)) in sets.iter_mut().zip(parameters.iter()) {
            set.push(parameter);
        }
    }
    sets
}

/// Brings the gradients of all replicas together in the first; the others have none then, so that
/// the next add to nothing.
#[track_caller]
fn sum_gradients(devices: &[Device], replicas: &[Parameters]) {
    let sets = sets(replicas);
    let mut with_gradients = Vec::new();
    for set in sets.iter().filter(|set| set.iter().all(|p| !p.is_lazy())) {
        if set[1..].iter().any(|parameter| parameter.grad().is_some()) {
            let gradient = |p: &&Parameter| p.grad().unwrap_or_else(|| p.detach() * 0.0);
            with_gradients.push((set, set.iter().map(gradient).collect::<Vec<Tensor>>()));
        }
    }
    let gradients: Vec<Vec<Tensor>> =
        with_gradients.iter().map(|(_, gradients)| gradients.clone()).collect();
    let sums = match by_nccl(devices, &gradients, Collective::Sum) {
        Some(sums) => sums.into_iter().map(|mut all| all.swap_remove(0)).collect(),
        None => gradients.iter().map(|all| sum_on_first(all)).collect::<Vec<Tensor>>(),
    };
    for ((set, _), sum) in with_gradients.iter().zip(sums) {
        set[1..].iter().for_each(|parameter| parameter.zero_grad());
        if let Some(node) = &set[0].node {
            node.set_grad(Some(sum));
        }
    }
}

impl Module for DataParallel {
    fn forward(&self, x: &Tensor) -> Tensor {
        DataParallel::forward(self, x)
    }

    /// Those of the first replica, under their own names.
    fn parts(&self) -> Parts<'_> {
        self.replicas[0].parts()
    }

    fn train(&self) {
        self.replicas.iter().for_each(|replica| replica.train());
    }

    fn eval(&self) {
        self.replicas.iter().for_each(|replica| replica.eval());
    }

    /// Nothing, for its first device.
    ///
    /// # Panics
    /// For any other device: the replicas stay where they were made.
    #[track_caller]
    fn to_device(&self, device: Device) {
        assert!(
            device == self.devices[0],
            "to_device: the replicas of a DataParallel stay on {:?}",
            self.devices
        );
    }
}

impl fmt::Debug for DataParallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataParallel({} on {:?})", self.replicas[0].name(), self.devices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{optim::Sgd, prelude::*};

    /// How far parameters may differ that were summed in another order.
    const TOLERANCE: f64 = 1e-5;

    fn close(a: &Parameters, b: &Parameters) {
        assert_eq!(a.names(), b.names());
        for ((name, a), (_, b)) in a.iter().zip(b.iter()) {
            let apart = (a.detach() - b.detach()).abs().max().item();
            assert!(apart < TOLERANCE, "{name}: {apart}");
        }
    }

    fn numbers(shape: [usize; 2], seed: f64) -> Tensor {
        let n = (shape[0] * shape[1]) as f64;
        (Tensor::arange(0.0..n) * 1.7 + seed).sin().reshape(shape)
    }

    fn lazy() -> nn::Sequential {
        sequential![nn::Linear::lazy(7), nn::Tanh, nn::Linear::lazy(2)]
    }

    /// Steps with momentum, decay and clipped gradients, some from two batches.
    fn train(net: &dyn Module) {
        net.forward(&numbers([3, 4], 0.0));
        let mut sgd = Sgd::new(net.parameters(), 0.3).momentum(0.9).weight_decay(0.01);
        for step in 0..6 {
            sgd.zero_grad();
            for n in 0..1 + step % 2 {
                let x = numbers([5 + step, 4], 0.3 * (step + n) as f64);
                let y = numbers([5 + step, 2], 0.9);
                nn::mse_loss(&net.forward(&x), &y).backward();
            }
            optim::clip_grad_norm(sgd.parameters().clone(), 0.5);
            sgd.step();
        }
    }

    #[test]
    fn several_devices_train_as_one_does() {
        let alone = lazy();
        alone.forward(&numbers([3, 4], 0.0));
        let first = alone.parameters();
        let first: Vec<Tensor> = first.iter().map(|(_, p)| p.detach().copy()).collect();
        train(&alone);
        for count in [1, 2, 3] {
            let net = DataParallel::new(&vec![Device::Cpu; count], lazy);
            net.forward(&numbers([3, 4], 0.0));
            for ((_, parameter), value) in net.parameters().iter().zip(&first) {
                parameter.assign(value);
            }
            train(&net);
            close(&net.parameters(), &alone.parameters());
        }
    }

    #[test]
    fn replicas_have_no_gradients_of_their_own() {
        let net = DataParallel::new(&[Device::Cpu; 2], || nn::Linear::new(3, 1));
        net.forward(&numbers([4, 3], 0.1)).sum().backward();
        assert!(net.replicas()[1].parameters()["weight"].grad().is_none());
        let expected = numbers([4, 3], 0.1).sum_axis(0);
        let found = net.parameters()["weight"].grad().unwrap();
        assert!(found.flatten().allclose(&expected));
    }

    #[test]
    fn results_and_gradients_of_inputs_are_those_of_the_module() {
        let net = DataParallel::new(&[Device::Cpu; 3], lazy);
        for n in [1, 2, 3, 7] {
            let [x, same] = [0, 1].map(|_| numbers([n, 4], 0.2).requires_grad());
            let (y, expected) = (net.forward(&x), net.replicas()[0].forward(&same));
            assert!(y.allclose(&expected));
            (&y * &y).sum().backward();
            (&expected * &expected).sum().backward();
            assert!(x.grad().unwrap().allclose(&same.grad().unwrap()));
        }
    }

    #[test]
    fn all_replicas_are_trained_or_used() {
        let make = || sequential![nn::BatchNorm::new(2), nn::Dropout::new(0.5)];
        let net = DataParallel::new(&[Device::Cpu; 2], make);
        net.forward(&numbers([8, 2], 0.3));
        net.eval();
        let x = numbers([4, 2], 0.1);
        let y = net.forward(&x);
        assert!(y.equal(&net.forward(&x)), "nothing is dropped");
        assert!(y.allclose(&net.replicas()[0].forward(&x)), "by the statistics of one");
        net.train();
        assert!(!net.forward(&x).equal(&net.forward(&x)), "each time others are dropped");
    }

    #[test]
    fn a_module_that_is_dropped_is_freed() {
        let net = DataParallel::new(&[Device::Cpu; 2], || nn::Linear::new(3, 1));
        net.forward(&numbers([4, 3], 0.1)).sum().backward();
        let sum = Arc::downgrade(&net.sum);
        drop(net);
        assert_eq!(sum.strong_count(), 0);
    }

    #[test]
    #[should_panic(
        expected = "DataParallel: parameters are [\"weight\", \"bias\"], then"
    )]
    fn replicas_must_be_alike() {
        let mut made = 0;
        DataParallel::new(&[Device::Cpu; 2], || {
            made += 1;
            let layer = nn::Linear::new(3, 1);
            if made == 1 { layer } else { layer.without_bias() }
        });
    }
}
