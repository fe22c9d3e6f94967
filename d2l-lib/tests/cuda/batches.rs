//! Batches that a loader brings to a GPU.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use d2l::{
    data::{Batch, DataLoader},
    prelude::*,
};

use super::{alone, gpu, numbers};

/// A GPU that no other test uses without being `alone`, if there is one: what memory is in use is asked below.
fn quiet_gpu() -> Option<Device> {
    let gpu = gpu()?;
    Some(if Device::cuda_count() > 1 { Device::Cuda(1) } else { gpu })
}

/// The bytes of that GPU that are in use; as if none were, where other tests use it too.
fn in_use(gpu: Device) -> usize {
    if Device::cuda_count() > 1 { gpu.memory().expect("figures").in_use } else { 0 }
}

/// The threads of this process that collect batches; nothing is known where there is no `/proc`.
/// One that has ended may be listed for a moment: its flags (see `proc(5)`) say that it exits.
fn collectors() -> usize {
    const EXITING: u64 = 4;
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return 0 };
    let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat"));
    let stats = threads.filter_map(|thread| stat(thread.ok()?).ok());
    let works = |stat: &String| {
        let Some((_, rest)) = stat.split_once("(d2l-batches) ") else { return false };
        let flags = rest.split(' ').nth(6).expect("flags").parse::<u64>();
        flags.expect("a number") & EXITING == 0
    };
    stats.filter(works).count()
}

/// Inputs of some axes and labels.
fn examples() -> (Tensor, Tensor) {
    (numbers(&[23, 3, 2], 0.4), Tensor::arange(0..23))
}

fn elements(
    batches: impl Iterator<Item = Batch>,
) -> Vec<(Vec<usize>, Vec<f32>, Vec<i64>)> {
    let pairs = batches.map(Batch::pair);
    pairs.map(|(x, y)| (x.shape().to_vec(), x.to_vec(), y.to_vec_i64())).collect()
}

#[test]
fn batches_brought_ahead_are_those_that_one_brings_oneself() {
    let Some(gpu) = quiet_gpu() else { return };
    let _alone = alone();
    let (x, y) = examples();
    // A view that begins inside of its storage, too.
    let later = numbers(&[30, 4], 0.8).narrow(0, 7, 23);
    for tensors in [[&x, &y], [&later, &y]] {
        let plain = DataLoader::new(tensors, 4);
        let loaders = [
            plain.clone(),
            plain.clone().shuffle(),
            plain.clone().drop_last(),
            DataLoader::new(tensors, 100).shuffle(),
            DataLoader::new(tensors, 1),
        ];
        for loader in loaders {
            seed(5);
            let own: Vec<_> = (0..2).map(|_| elements(loader.iter())).collect();
            let next = Tensor::rand([3]).to_vec();
            seed(5);
            let ahead = loader.to_device(gpu);
            let its: Vec<_> = (0..2)
                .map(|_| {
                    elements(ahead.iter().inspect(|b| assert_eq!(b[0].device(), gpu)))
                })
                .collect();
            assert_eq!(own, its);
            assert_eq!(next, Tensor::rand([3]).to_vec(), "as many random numbers");
        }
    }
    assert_eq!((collectors(), in_use(gpu)), (0, 0));
}

#[test]
fn a_loop_that_is_left_leaves_no_thread_and_no_memory() {
    let Some(gpu) = quiet_gpu() else { return };
    let _alone = alone();
    let (x, y) = examples();
    let loader = DataLoader::new([&x, &y], 4).shuffle().to_device(gpu);
    for taken in 0..4 {
        let mut batches = loader.iter();
        let kept: Vec<Batch> = batches.by_ref().take(taken).collect();
        assert_eq!(batches.len(), 6 - taken);
        drop(batches);
        assert_eq!(collectors(), 0);
        assert_eq!(kept.iter().map(Batch::len).sum::<usize>(), 4 * taken);
        drop(kept);
        assert_eq!(in_use(gpu), 0);
    }
}

#[test]
fn a_batch_without_memory_is_told_where_it_is_asked_for() {
    let Some(gpu) = quiet_gpu() else { return };
    if std::env::var_os("D2L_TEST_GPU").is_some() {
        // A real GPU's memory belongs to others, too.
        return;
    }
    let _alone = alone();
    let (x, y) = (Tensor::zeros([12, 1 << 18]), Tensor::arange(0..12));
    let loader = DataLoader::new([&x, &y], 4).to_device(gpu);
    // Of what is left there is room for one batch of 4 MB, and for what is small.
    let (free, _) = gpu.free_memory().expect("figures");
    let most = Tensor::zeros([free - (7 << 20)]).to_dtype(DType::U8).to_device(gpu);
    let firsts: Vec<i64> = loader.iter().map(|batch| batch[1].to_vec_i64()[0]).collect();
    assert_eq!(firsts, [0, 4, 8], "one after the other they fit");
    let mut batches = loader.iter();
    let kept = batches.next().expect("the first fits");
    let panic = catch_unwind(AssertUnwindSafe(|| batches.next()));
    let panic = panic.expect_err("the second does not fit");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("to_device: out of memory on cuda:1"), "{text}");
    drop(kept);
    assert_eq!(batches.next().expect("now it fits")[1].to_vec_i64(), [4, 5, 6, 7]);
    drop((batches, most));
    gpu.release_kept_memory();
    assert_eq!((collectors(), in_use(gpu)), (0, 0));
}

#[test]
fn examples_that_need_a_gradient_get_it() {
    let Some(gpu) = quiet_gpu() else { return };
    let _alone = alone();
    let x = numbers(&[6, 2], 0.1).requires_grad();
    for batch in &DataLoader::new([&x], 4).to_device(gpu) {
        (&batch[0] * 3.0).sum().backward();
    }
    assert_eq!(x.grad().expect("a gradient").to_vec(), [3.0; 12]);
    assert_eq!(in_use(gpu), 0);
}

#[test]
fn examples_on_a_gpu_stay_there() {
    let Some(gpu) = quiet_gpu() else { return };
    let _alone = alone();
    let (x, y) = examples();
    let there = DataLoader::new([&x.to_device(gpu), &y.to_device(gpu)], 4);
    let here = there.clone().to_device(Device::Cpu);
    let expected = elements(DataLoader::new([&x, &y], 4).iter());
    assert_eq!(elements(there.to_device(gpu).iter()), expected);
    assert!(here.iter().all(|batch| batch[0].device() == Device::Cpu));
    assert_eq!(elements(here.iter()), expected);
}

#[test]
fn a_view_takes_only_its_own_elements_along() {
    let Some(gpu) = quiet_gpu() else { return };
    let _alone = alone();
    let x = numbers(&[1000, 100], 0.2);
    for view in [x.i(7), x.i((5..7, 3)), x.narrow(0, 9, 2).t(), x.narrow(0, 3, 0)] {
        let there = view.to_device(gpu);
        assert!(in_use(gpu) <= 1024, "{} bytes", in_use(gpu));
        assert_eq!(there.shape(), view.shape());
        assert_eq!(there.to_device(Device::Cpu).to_vec(), view.to_vec());
        let back = there.to_device(Device::Cpu);
        assert_eq!((&back + 1.0).to_vec(), (&view + 1.0).to_vec());
    }
}
