//! Batches that are on a GPU before somebody asks for them.
//!
//! A thread collects the elements of each batch and sends them beside what the GPU computes. Their
//! memory is asked for where batches are, so that all else of the GPU's work is queued by those
//! who queue it without this thread.

use std::{
    fmt,
    ops::Range,
    panic::resume_unwind,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    vec,
};

use super::loader::Source;
use crate::{
    Device, Tensor,
    device::cuda::{self, Arriving, CudaError, Gpu, Room},
    ops::cuda::done,
    shape::Shape,
};

/// How many batches are on their way at once: one to be there when it is asked for, and one to
/// be collected meanwhile.
const AHEAD: usize = 2;

/// The name of the thread, for those who look for it.
const NAME: &str = "d2l-batches";

/// What shall be collected, and where it shall go.
struct Order {
    rows: Range<usize>,
    rooms: Vec<Room>,
}

type Collected = Result<Vec<(Arriving, Shape)>, CudaError>;

pub(super) struct Ahead {
    gpu: &'static Gpu,
    /// The tensors of which each batch has a part.
    tensors: Vec<Tensor>,
    /// The batches that were not ordered yet.
    rows: vec::IntoIter<Range<usize>>,
    /// How many batches were ordered and not handed over.
    ordered: usize,
    orders: Option<Sender<Order>>,
    batches: Receiver<Collected>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts to bring batches, each of the examples at some `rows`, to a GPU; nothing if they
    /// are not in main memory, or belong to a graph.
    #[track_caller]
    pub(super) fn start(
        source: &Source,
        device: Device,
        rows: Vec<Range<usize>>,
    ) -> Option<Ahead> {
        let Device::Cuda(index) = device else { return None };
        let all = || source.tensors.iter().chain(&source.order);
        if rows.is_empty() || !all().all(|x| x.storage.is_host() && !x.needs_grad()) {
            return None;
        }
        // What the thread collects would go to that device.
        if Device::home() != Device::Cpu {
            return None;
        }
        Ahead::to(done(cuda::gpu(index)), source, rows)
    }

    fn to(gpu: &'static Gpu, source: &Source, rows: Vec<Range<usize>>) -> Option<Ahead> {
        let (orders, ordered) = channel::<Order>();
        let (finished, batches) = channel();
        let own = source.clone();
        let work = move || {
            for order in ordered {
                let collected = collect(&own, order);
                let failed = collected.is_err();
                if finished.send(collected).is_err() || failed {
                    return;
                }
            }
        };
        // Without a thread there is nothing ahead, and the batches are the same.
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(work).ok()?;
        let mut ahead = Ahead {
            gpu,
            tensors: source.tensors.clone(),
            rows: rows.into_iter(),
            ordered: 0,
            orders: Some(orders),
            batches,
            thread: Some(thread),
        };
        ahead.order_more();
        Some(ahead)
    }

    /// Orders batches as long as there is memory for them.
    fn order_more(&mut self) {
        while self.ordered < AHEAD && self.rows.len() > 0 && self.order().is_ok() {}
    }

    /// Orders one more batch, if there is memory for it.
    fn order(&mut self) -> Result<(), CudaError> {
        let Some(rows) = self.rows.as_slice().first().cloned() else { return Ok(()) };
        let room = |tensor: &Tensor| {
            let length = tensor.layout.shape.with(0, rows.len()).numel();
            self.gpu.room("to_device", tensor.dtype(), length)
        };
        let rooms = self.tensors.iter().map(room).collect::<Result<_, _>>()?;
        self.rows.next();
        self.ordered += 1;
        if let Some(orders) = &self.orders {
            // It fails if the thread ended, which is told when its batch is asked for.
            let _ = orders.send(Order { rows, rooms });
        }
        Ok(())
    }

    /// Tells why the thread ended before its work did.
    #[track_caller]
    fn fail(&mut self) -> ! {
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            resume_unwind(panic);
        }
        panic!("to_device: there is no further batch, since one before it failed");
    }
}

/// Collects the elements of one batch, and sends them.
fn collect(source: &Source, order: Order) -> Collected {
    let send = |(tensor, room): (Tensor, Room)| {
        let tensor = tensor.contiguous();
        let shape = tensor.layout.shape;
        let start = tensor.layout.offset;
        let elements = start..start + tensor.numel();
        Ok((tensor.storage.send(tensor.dtype(), elements, room)?, shape))
    };
    source.take(order.rows).into_iter().zip(order.rooms).map(send).collect()
}

/// Batches on their way.
pub(super) trait Coming: fmt::Debug + Send {
    /// The next one; there must be one.
    #[track_caller]
    fn next(&mut self) -> Vec<Tensor>;
}

impl Coming for Ahead {
    #[track_caller]
    fn next(&mut self) -> Vec<Tensor> {
        if self.ordered == 0 {
            // There was no memory before; the batch that was last handed out may be gone now.
            done(self.order());
        }
        let Ok(collected) = self.batches.recv() else { self.fail() };
        let mut tensors = Vec::with_capacity(self.tensors.len());
        for (arriving, shape) in done(collected) {
            tensors.push(Tensor::of_array(done(arriving.arrive("to_device")), shape));
        }
        self.ordered -= 1;
        self.order_more();
        tensors
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Without orders the thread ends.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // What it could say nobody asks for any more.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.rows.len();
        write!(f, "Ahead {{ ordered: {}, left: {left} }}", self.ordered)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Arc,
    };

    use super::*;
    use crate::device::cuda::{Failure, mock::Mock};

    fn mocked() -> (&'static Gpu, Arc<Mock>) {
        let mock = Arc::new(Mock::with_memory(1 << 20));
        (Box::leak(Box::new(Gpu::new(3, mock.clone()))), mock)
    }

    /// Ten numbers in pairs, backwards.
    fn pairs(gpu: &'static Gpu) -> Ahead {
        let order = Some(9 - Tensor::arange(0..10));
        let source = Source { tensors: vec![Tensor::arange(0..10)], order };
        let rows = (0..5).map(|i| 2 * i..2 * i + 2).collect();
        Ahead::to(gpu, &source, rows).expect("a thread")
    }

    fn message(ahead: &mut Ahead) -> String {
        let panic = catch_unwind(AssertUnwindSafe(|| ahead.next()));
        let panic = panic.expect_err("it must panic");
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a text")
    }

    #[test]
    fn a_batch_is_whole_when_it_is_handed_over() {
        let (gpu, mock) = mocked();
        let mut ahead = pairs(gpu);
        for i in 0..5 {
            // The mock uploads no earlier than it must.
            let batch = ahead.next();
            assert_eq!(batch[0].to_vec_i64(), [9 - 2 * i, 8 - 2 * i]);
        }
        drop(ahead);
        assert_eq!((gpu.figures().in_use, mock.on_their_way()), (0, 0));
    }

    #[test]
    fn no_more_than_two_are_ahead() {
        let (gpu, _) = mocked();
        let mut ahead = pairs(gpu);
        assert_eq!(gpu.figures().in_use, 2 * 512);
        let first = ahead.next();
        assert_eq!(gpu.figures().in_use, 3 * 512);
        drop((first, ahead));
        assert_eq!(gpu.figures().in_use, 0);
    }

    #[test]
    fn a_failed_copy_is_told_when_its_batch_is_asked_for() {
        let (gpu, mock) = mocked();
        mock.fail("upload_beside", Failure::Other("CUDA_ERROR_UNKNOWN".to_owned()));
        let mut ahead = pairs(gpu);
        assert_eq!(message(&mut ahead), "to_device failed on cuda:3: CUDA_ERROR_UNKNOWN");
        assert!(message(&mut ahead).contains("one before it failed"));
        drop(ahead);
        assert_eq!((gpu.figures().in_use, mock.on_their_way()), (0, 0));
    }

    #[test]
    fn a_panic_of_the_thread_is_one_of_the_caller() {
        let (gpu, _) = mocked();
        let order = Some(crate::tensor(vec![99, 0]));
        let source = Source { tensors: vec![Tensor::arange(0..10)], order };
        let mut ahead =
            Ahead::to(gpu, &source, Vec::from([0..1, 1..2])).expect("a thread");
        let text = message(&mut ahead);
        assert!(text.contains("index_select"), "{text}");
        drop(ahead);
        assert_eq!(gpu.figures().in_use, 0);
    }
}
