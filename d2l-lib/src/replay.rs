//! Work that a GPU does again without the program that asked for it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{
    autograd::{Gradients, gradients_left},
    device::{
        Device,
        cuda::{
            self, CudaError, Gpu, Graph,
            recording::{self, Cells, Operation, Recording},
        },
    },
    ops::cuda::done,
    tensor::Tensor,
};

/// Work that is done over and over on the same tensors, such as the step of a training loop; on a
/// GPU it is replayed as one piece (a CUDA graph), which for small models is several times as fast
/// as to ask for each operation.
///
/// The work runs as it is until it has asked the GPU twice for the very same; from then on that
/// is repeated, and **the program of the work runs no more**: it reads the tensors it has seen,
/// whose elements may be changed in place between two runs ([`copy_`](Tensor::copy_) brings the
/// next batch), and writes the ones it has written, gradients included. What it did besides,
/// counting and printing say, is not done again.
///
/// If what it depends on changes (an optimizer's learning rate, the seed of random numbers,
/// whether layers train, a tensor's place in memory), it is recorded anew. Work that cannot be
/// replayed, for it draws random numbers on the processor, looks at elements, or does something
/// else each time, runs as it is; [`obstacle`](Replay::obstacle) says why. On the processor it
/// always does.
///
/// ```
/// use d2l::{nn::mse_loss, optim::{Optimizer, Sgd}, prelude::*, Replay};
///
/// let device = d2l::try_gpu(0);
/// let (x, y) = (Tensor::zeros([4, 2]).to_device(device), Tensor::zeros([4, 1]).to_device(device));
/// let net = nn::Linear::new(2, 1);
/// net.to_device(device);
/// let mut optimizer = Sgd::new(net.parameters(), 0.1);
/// let mut step = Replay::new(device, || {
///     let loss = mse_loss(&net.forward(&x), &y);
///     optimizer.zero_grad();
///     loss.backward();
///     optimizer.step();
///     loss
/// });
/// let data = Tensor::randn([4, 2]).to_device(device);
/// let losses: Vec<f64> = (0..20)
///     .map(|_| {
///         x.copy_(&data);
///         y.copy_(&data.sum_axis(1).reshape([4, 1]));
///         step.run().item()
///     })
///     .collect();
/// assert!(losses[19] < 0.5 * losses[0]);
/// ```
pub struct Replay<'a> {
    device: Device,
    work: Box<dyn FnMut() -> Tensor + 'a>,
    state: State,
    /// Where the results of all runs are.
    result: Option<Tensor>,
    /// The memory of its own.
    pool: usize,
    /// The changes that it has seen.
    changes: usize,
}

enum State {
    /// What was asked for in the last run, and how many were not as the one before.
    Watching(Vec<Operation>, usize),
    Ready(Ready),
    /// It runs as it is.
    Stopped(String),
}

/// What is repeated.
struct Ready {
    gpu: &'static Gpu,
    operations: Vec<Operation>,
    graph: Option<Graph>,
    cells: Cells,
    /// What was uploaded.
    _uploads: Vec<cuda::Array>,
    gradients: Gradients,
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(graph) = self.graph {
            self.gpu.forget(graph);
        }
    }
}

/// So many runs may differ from the one before.
const PATIENCE: usize = 8;

impl<'a> Replay<'a> {
    /// `work` on `device`, not done yet; its result may be of any shape.
    ///
    /// ```
    /// use d2l::{Replay, prelude::*};
    ///
    /// let x = Tensor::ones([3]);
    /// let mut work = Replay::new(Device::Cpu, || &x * 2.0);
    /// assert_eq!(work.run().to_vec(), [2.0; 3]);
    /// ```
    pub fn new(device: Device, work: impl FnMut() -> Tensor + 'a) -> Replay<'a> {
        Replay::of(device, Box::new(work))
    }

    fn of(device: Device, work: Box<dyn FnMut() -> Tensor + 'a>) -> Replay<'a> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Replay {
            device,
            work,
            state: State::Watching(Vec::new(), 0),
            result: None,
            pool: NUMBER.fetch_add(1, Relaxed),
            changes: recording::changes(),
        }
    }

    /// Does the work, and gives its result outside of the graph: on a GPU a tensor whose elements
    /// the next run replaces, so copy what is to stay.
    ///
    /// # Panics
    /// If the work does, or the GPU cannot do it again.
    ///
    /// ```
    /// use d2l::{Replay, prelude::*};
    ///
    /// let device = d2l::try_gpu(0);
    /// let total = Tensor::zeros([1]).to_device(device);
    /// let mut count = Replay::new(device, || {
    ///     total.add_(1.0);
    ///     &total * 2.0
    /// });
    /// let counts: Vec<f64> = (0..5).map(|_| count.run().item()).collect();
    /// assert_eq!(counts, [2.0, 4.0, 6.0, 8.0, 10.0]);
    /// ```
    #[track_caller]
    pub fn run(&mut self) -> Tensor {
        let Device::Cuda(index) = self.device else { return (self.work)().detach() };
        // Work inside of other work is part of that.
        if recording::is_active() {
            return (self.work)().detach();
        }
        let gpu = done(cuda::gpu(index));
        if self.changes != recording::changes() {
            self.start_over(gpu);
        }
        if let (State::Ready(ready), Some(result)) = (&mut self.state, &self.result) {
            done(gpu.replay(&ready.operations, ready.graph, &mut ready.cells));
            ready.gradients.restore();
            return result.clone();
        }
        if let State::Stopped(_) = self.state {
            return (self.work)().detach();
        }
        done(self.record(gpu))
    }

    /// Whether the next run is a replay, if nothing changes before.
    ///
    /// ```
    /// use d2l::{Replay, prelude::*};
    ///
    /// let work = Replay::new(Device::Cpu, || Tensor::ones([3]));
    /// assert!(!work.is_replayed(), "on the processor no work is");
    /// ```
    pub fn is_replayed(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// Why the work runs as it is and is not replayed, once that is known.
    ///
    /// ```
    /// use d2l::{Replay, prelude::*};
    ///
    /// let work = Replay::new(Device::Cpu, || Tensor::ones([3]));
    /// assert_eq!(work.obstacle(), None);
    /// ```
    pub fn obstacle(&self) -> Option<&str> {
        match &self.state {
            State::Stopped(why) => Some(why),
            _ => None,
        }
    }

    fn start_over(&mut self, gpu: &Gpu) {
        self.state = State::Watching(Vec::new(), 0);
        gpu.dissolve(self.pool);
        self.changes = recording::changes();
    }

    /// Runs the work, and notes what it asks for.
    fn record(&mut self, gpu: &'static Gpu) -> Result<Tensor, CudaError> {
        /// Ends the recording after a panic.
        struct Guard;
        impl Drop for Guard {
            fn drop(&mut self) {
                recording::abandon();
            }
        }
        gpu.begin_recording(self.pool);
        let guard = Guard;
        let (recorded, gradients) = gradients_left(|| {
            let result = (self.work)().detach();
            // In a place of its own: who has the last result may still hold it.
            if result.device() != self.device {
                recording::hinder("its result is not on the GPU");
            }
            match &self.result {
                Some(own)
                    if own.layout.shape == result.layout.shape
                        && own.dtype() == result.dtype() =>
                {
                    own.copy_(&result);
                }
                _ => self.result = Some(result.copy()),
            }
            drop(result);
            recording::end()
        });
        drop(guard);
        let recording = recorded?;
        let result = self.result.clone().expect("it was made just now");
        self.changes = recording::changes();
        let State::Watching(before, unlike) = &self.state else { return Ok(result) };
        self.state = if let Some(why) = recording.obstacle {
            State::Stopped(why)
        } else if recording.operations == *before {
            State::Ready(Ready::new(gpu, recording, gradients)?)
        } else if *unlike < PATIENCE {
            State::Watching(recording.operations, unlike + 1)
        } else {
            State::Stopped("what it asks of the GPU differs from run to run".to_owned())
        };
        if let State::Stopped(_) = self.state {
            gpu.dissolve(self.pool);
        }
        Ok(result)
    }
}

impl Ready {
    fn new(
        gpu: &'static Gpu,
        recording: Recording,
        gradients: Gradients,
    ) -> Result<Ready, CudaError> {
        let Recording { mut operations, cells, .. } = recording;
        let mut uploads = Vec::new();
        for operation in &mut operations {
            if let Operation::Upload { bytes, to } = operation {
                let kept = gpu.upload("replay", crate::DType::U8, bytes)?;
                let (from, to, bytes) = (kept.address(), *to, bytes.len());
                *operation = Operation::Copy { from, to, bytes };
                uploads.push(kept);
            }
        }
        let graph = gpu.prepare(&operations)?;
        Ok(Ready { gpu, operations, graph, cells, _uploads: uploads, gradients })
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if let Device::Cuda(index) = self.device
            && let Ok(gpu) = cuda::gpu(index)
        {
            self.state = State::Stopped(String::new());
            gpu.dissolve(self.pool);
        }
    }
}
