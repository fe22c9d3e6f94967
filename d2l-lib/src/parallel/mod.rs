//! Training on several devices at once.
//!
//! A batch is [scattered](scatter) over the devices, each computes the gradients of its part with
//! parameters of its own, and [`all_reduce`] sums them, so that all change their parameters in the
//! same way:
//!
//! ```
//! use d2l::{parallel, prelude::*};
//!
//! let (x, w) = (Tensor::rand([6, 3]), Tensor::rand([3]));
//! // One device can stand for two.
//! let devices = [x.device(), x.device()];
//! let replicas = parallel::broadcast(&w, &devices);
//! let replicas: Vec<Tensor> = replicas.into_iter().map(Tensor::requires_grad).collect();
//! for (part, w) in parallel::scatter(&x, &devices).iter().zip(&replicas) {
//!     part.mv(w).sum().backward();
//! }
//! let gradients: Vec<Tensor> = replicas.iter().filter_map(Tensor::grad).collect();
//! parallel::all_reduce(&gradients);
//! assert!(gradients[0].allclose(&x.sum_axis(0)) && gradients[1].equal(&gradients[0]));
//! ```
//!
//! [`DataParallel`] does this for a module. Between GPUs sums and copies go through NVIDIA's
//! library for it, NCCL, if [it can be used](uses_nccl); else through main memory.

mod replicas;

pub use replicas::DataParallel;

use std::sync::Arc;

use crate::{
    DType, Device, Tensor,
    autograd::Pause,
    device::cuda::{self, Array, Gpu, Places, has_nccl},
    ops::cuda::done,
};

/// A batch `(n, …)` cut along its first axis into a part for each device, in this order, as equal
/// as can be, the first the largest: copies there. If there are more devices than examples, some
/// parts are empty. Gradients flow back.
///
/// # Panics
/// If there is no device or no axis, and where [`Tensor::to_device`] does.
///
/// ```
/// use d2l::{parallel, prelude::*};
///
/// let parts = parallel::scatter(&Tensor::arange(0..5), &[Device::Cpu, Device::Cpu]);
/// assert_eq!([parts[0].to_vec_i64(), parts[1].to_vec_i64()], [vec![0, 1, 2], vec![3, 4]]);
/// ```
#[track_caller]
pub fn scatter(batch: &Tensor, devices: &[Device]) -> Vec<Tensor> {
    assert!(!devices.is_empty(), "scatter: there is no device");
    assert!(batch.ndim() > 0, "scatter: one number cannot be cut");
    let (n, count) = (batch.len_of(0), devices.len());
    let mut parts = Vec::with_capacity(count);
    for (i, &device) in devices.iter().enumerate() {
        let [start, end] = [i, i + 1].map(|i| (n * i).div_ceil(count));
        parts.push(batch.narrow(0, start, end - start).to_device(device));
    }
    parts
}

/// A copy of a tensor on each device, in the tensor's shape and type, none of which shares
/// memory with another. Gradients flow back, and are summed.
///
/// # Panics
/// Where [`Tensor::to_device`] does.
///
/// ```
/// use d2l::{parallel, prelude::*};
///
/// let x = tensor([1.0, 2.0]);
/// let copies = parallel::broadcast(&x, &[Device::Cpu, d2l::try_gpu(0)]);
/// copies[0].fill_(0.0);
/// assert_eq!(copies[1].to_vec(), x.to_vec());
/// ```
#[track_caller]
pub fn broadcast(x: &Tensor, devices: &[Device]) -> Vec<Tensor> {
    if !x.needs_grad()
        && let Some(copies) = by_nccl(devices, &[vec![x.clone()]], Collective::Copy)
    {
        return copies.into_iter().flatten().collect();
    }
    let mut copies = Vec::with_capacity(devices.len());
    for &device in devices {
        copies.push(if x.device() == device { x.copy() } else { x.to_device(device) });
    }
    copies
}

/// Replaces each tensor by the sum of all, which are usually on different devices: in place and
/// unrecorded, the same to the last bit on all.
///
/// # Panics
/// If shapes or types differ, tensors share memory, or they are bools; and where
/// [`Tensor::to_device`] does.
///
/// ```
/// use d2l::{parallel, prelude::*};
///
/// let (x, y) = (tensor([1.0, 2.0]), tensor([10.0, 20.0]).to_device(d2l::try_gpu(0)));
/// parallel::all_reduce(&[x.clone(), y.clone()]);
/// assert_eq!((x.to_vec(), y.to_vec()), (vec![11.0, 22.0], vec![11.0, 22.0]));
/// ```
#[track_caller]
pub fn all_reduce(tensors: &[Tensor]) {
    for (i, x) in tensors.iter().enumerate() {
        let first = &tensors[0];
        assert!(
            (x.shape(), x.dtype()) == (first.shape(), first.dtype()),
            "all_reduce: {} of shape {:?} and {} of shape {:?} have no sum",
            first.dtype(),
            first.shape(),
            x.dtype(),
            x.shape()
        );
        assert!(
            !tensors[..i].iter().any(|other| other.same_storage(x)),
            "all_reduce: two of the tensors share their memory"
        );
        assert!(x.dtype() != DType::Bool, "all_reduce: bools have no sum");
    }
    let _pause = Pause::begin();
    let devices: Vec<Device> = tensors.iter().map(Tensor::device).collect();
    let sums = match by_nccl(&devices, &[tensors.to_vec()], Collective::Sum) {
        Some(mut sets) => sets.pop().expect("one for the set"),
        None if tensors.is_empty() => return,
        None => {
            let sum = sum_on_first(tensors);
            let mut sums = Vec::with_capacity(tensors.len());
            for x in tensors {
                sums.push(sum.to_device(x.device()));
            }
            sums
        }
    };
    for (x, sum) in tensors.iter().zip(&sums) {
        x.copy_(sum);
    }
}

/// Whether sums and copies between these devices go through NCCL: if they are different GPUs, at
/// least two, and the library is there (`libnccl.so.2`) and works on them. With `D2L_NCCL=never`
/// in the environment it is not used.
///
/// ```
/// use d2l::{parallel, prelude::*};
///
/// assert!(!parallel::uses_nccl(&[Device::Cpu, Device::Cpu]));
/// ```
pub fn uses_nccl(devices: &[Device]) -> bool {
    gpus(devices.iter().copied()).is_some_and(|gpus| has_nccl(&gpus))
}

/// The sum of tensors, on the device of the first.
#[track_caller]
fn sum_on_first(tensors: &[Tensor]) -> Tensor {
    let sum = tensors[0].copy();
    for x in &tensors[1..] {
        sum.add_(x.to_device(sum.device()));
    }
    sum
}

/// What NCCL shall do.
#[derive(Clone, Copy)]
enum Collective {
    /// Everybody gets the sum of all.
    Sum,
    /// Everybody gets what the first has.
    Copy,
}

impl Collective {
    fn name(self) -> &'static str {
        match self {
            Collective::Sum => "all_reduce",
            Collective::Copy => "broadcast",
        }
    }
}

/// The GPUs of these devices, if all are GPUs.
fn gpus(devices: impl Iterator<Item = Device>) -> Option<Vec<&'static Gpu>> {
    let gpu = |device| match device {
        Device::Cuda(index) => cuda::gpu(index).ok(),
        _ => None,
    };
    devices.map(gpu).collect()
}

/// Results on all devices for sets of tensors: to sum, one on each device; to copy, one on the
/// first. Nothing where NCCL does not do it.
#[track_caller]
fn by_nccl(
    devices: &[Device],
    sets: &[Vec<Tensor>],
    what: Collective,
) -> Option<Vec<Vec<Tensor>>> {
    let gpus = gpus(devices.iter().copied())?;
    if !has_nccl(&gpus) {
        return None;
    }
    // What is kept until the work is queued: the elements, row after row.
    let mut kept: Vec<Arc<Array>> = Vec::new();
    let (mut places, mut results) = (Vec::new(), Vec::new());
    for set in sets {
        let (dtype, shape) = (set[0].dtype(), set[0].layout.shape);
        let (mut of, mut outs) = (Vec::new(), Vec::new());
        for (i, &gpu) in gpus.iter().enumerate() {
            let out = done(gpu.array(what.name(), dtype, shape.numel()));
            // Where nothing is taken from, any place will do.
            let mut from = out.address();
            if let Some(x) = set.get(i) {
                let x = x.detach().contiguous();
                let elements = x.storage.on_gpu()?;
                if elements.gpu.index() != gpu.index() {
                    return None;
                }
                from = elements.address_of(x.layout.offset);
                kept.push(elements);
            }
            of.push((from, out.address()));
            outs.push(Tensor::of_array(out, shape));
        }
        places.push(Places { dtype, count: shape.numel(), of });
        results.push(outs);
    }
    // SAFETY: so many elements are at each address, on the GPU of this place in the order.
    let queued = unsafe {
        match what {
            Collective::Sum => Gpu::sum_over(&gpus, &places),
            Collective::Copy => Gpu::copy_over(&gpus, &places),
        }
    };
    done(queued?);
    drop(kept);
    Some(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn parts_are_all_of_the_batch_in_order() {
        let x = Tensor::arange(0..7);
        for count in 1..10 {
            let parts = scatter(&x, &vec![Device::Cpu; count]);
            assert_eq!(parts.len(), count);
            let lengths: Vec<usize> = parts.iter().map(Tensor::numel).collect();
            let (least, most) = (lengths.iter().min(), lengths.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{lengths:?}");
            assert_eq!(most, lengths.first());
            let all: Vec<i64> = parts.iter().flat_map(Tensor::to_vec_i64).collect();
            assert_eq!(all, x.to_vec_i64());
        }
    }

    #[test]
    fn gradients_come_back_from_copies_and_parts() {
        let x = Tensor::arange(0.0..5.0).requires_grad();
        for (i, part) in scatter(&x, &[Device::Cpu; 2]).iter().enumerate() {
            (part * (i + 1)).sum().backward();
        }
        assert_eq!(x.grad().unwrap().to_vec(), [1.0, 1.0, 1.0, 2.0, 2.0]);
        x.zero_grad();
        let [a, b] = <[Tensor; 2]>::try_from(broadcast(&x, &[Device::Cpu; 2])).unwrap();
        (a * 2.0 + b * 3.0).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [5.0; 5]);
    }

    #[test]
    fn sums_are_written_in_place_also_into_views() {
        let table = Tensor::arange(0.0..6.0).reshape([3, 2]);
        let column = table.i((.., 1));
        let leaf = tensor([1.0, 1.0, 1.0]).requires_grad();
        all_reduce(&[column, leaf.clone(), tensor([10.0, 20.0, 30.0])]);
        assert_eq!(table.to_vec(), [0.0, 12.0, 2.0, 24.0, 4.0, 36.0]);
        assert_eq!((leaf.to_vec(), leaf.is_leaf()), (vec![12.0, 24.0, 36.0], true));
        let alone = tensor([4]);
        all_reduce(std::slice::from_ref(&alone));
        assert_eq!(alone.to_vec_i64(), [4]);
        all_reduce(&[]);
    }

    #[test]
    #[should_panic(
        expected = "all_reduce: f32 of shape [2] and f32 of shape [3] have no sum"
    )]
    fn different_shapes_have_no_sum() {
        all_reduce(&[Tensor::zeros([2]), Tensor::zeros([3])]);
    }

    #[test]
    #[should_panic(expected = "all_reduce: two of the tensors share their memory")]
    fn one_tensor_is_not_two() {
        let x = Tensor::zeros([2, 2]);
        all_reduce(&[x.i(0), x.i(1)]);
    }
}
