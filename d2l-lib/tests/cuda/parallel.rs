//! Several devices at once: the two that an emulation has, or as many as the machine.

use d2l::{
    data::DataLoader,
    parallel::{self, DataParallel},
    prelude::*,
};

use super::{alone, close, gpu, numbers};

/// Lists of devices to work on together.
fn groups() -> Vec<Vec<Device>> {
    let Some(gpu) = gpu() else { return Vec::new() };
    let all = d2l::try_all_gpus();
    let mut groups = vec![vec![gpu], vec![gpu, Device::Cpu], vec![Device::Cpu; 2]];
    if all.len() > 1 {
        groups.extend([all[..2].to_vec(), vec![all[1], all[0]], all]);
    }
    groups
}

#[test]
fn sums_are_the_same_on_all_devices() {
    let _alone = alone();
    for devices in groups() {
        for dtype in [DType::F32, DType::F64, DType::I64, DType::F16] {
            // Whole numbers, whose sums are exact in any order.
            let own =
                |i: usize| (numbers(&[40, 7], i as f64) * 8.0).floor().to_dtype(dtype);
            let sum = (1..devices.len()).fold(own(0), |sum, i| sum + own(i));
            let tensors: Vec<Tensor> = (0..)
                .zip(&devices)
                .map(|(i, &device)| own(i).to_device(device).copy())
                .collect();
            let column = |x: &Tensor| x.i((.., 3));
            parallel::all_reduce(&tensors);
            for (x, &device) in tensors.iter().zip(&devices) {
                assert_eq!(x.device(), device);
                let found = x.to_device(Device::Cpu);
                close(&format!("{devices:?}"), "the sum", &sum, &found);
                assert!(
                    found.equal(&tensors[0].to_device(Device::Cpu)),
                    "to the last bit"
                );
            }
            // Of views, only what they show.
            let columns: Vec<Tensor> = tensors.iter().map(column).collect();
            parallel::all_reduce(&columns);
            let expected =
                (1..devices.len()).fold(column(&sum), |all, _| all + column(&sum));
            for x in &tensors {
                let found = x.to_device(Device::Cpu);
                close("a view", "the sum", &expected, &column(&found));
                assert!(found.i((.., ..3)).allclose(&sum.i((.., ..3))));
            }
        }
    }
}

#[test]
fn copies_and_parts_are_on_their_devices() {
    let _alone = alone();
    for devices in groups() {
        let x = numbers(&[9, 2], 0.3).to_device(devices[0]).requires_grad();
        for copy in parallel::broadcast(&x, &devices) {
            assert!(!copy.same_storage(&x) && copy.equal(&x.to_device(copy.device())));
            (&copy * &copy).sum().backward();
        }
        for copy in parallel::broadcast(&x.detach(), &devices) {
            assert!(!copy.same_storage(&x) && copy.equal(&x.to_device(copy.device())));
        }
        let expected = x.detach() * (2 * devices.len());
        assert!(x.grad().expect("a gradient").allclose(&expected));
        let parts = parallel::scatter(&x, &devices);
        let places: Vec<Device> = parts.iter().map(Tensor::device).collect();
        assert_eq!(places, devices);
        let rows: Vec<f32> = parts.iter().flat_map(Tensor::to_vec).collect();
        assert_eq!(rows, x.to_vec());
    }
}

#[test]
fn two_devices_train_as_one_does() {
    let _alone = alone();
    let x = numbers(&[30, 1, 8, 8], 0.2);
    let y = tensor((0..30).map(|i| i * 7 % 3).collect::<Vec<i64>>());
    let make = || {
        sequential![
            nn::Conv2d::lazy(4, 3),
            nn::Relu,
            nn::MaxPool2d::new(2),
            nn::Flatten,
            nn::Linear::lazy(16),
            nn::Tanh,
            nn::Linear::lazy(3)
        ]
    };
    let train = |net: &dyn nn::Module, device: Device| {
        let loader = DataLoader::new([&x, &y], 8).shuffle().to_device(device);
        no_grad(|| net.forward(&x.narrow(0, 0, 8).to_device(device)));
        let mut adam = optim::Adam::new(net.parameters(), 0.01);
        let mut losses = Vec::new();
        for _ in 0..3 {
            for (x, y) in loader.iter().map(data::Batch::pair) {
                adam.zero_grad();
                let loss = nn::cross_entropy(&net.forward(&x), &y);
                loss.backward();
                adam.step();
                losses.push(loss.item());
            }
        }
        let parameters = net.parameters();
        let parameters =
            parameters.iter().map(|(_, p)| p.detach().to_device(Device::Cpu));
        (losses, parameters.collect::<Vec<_>>())
    };
    seed(4);
    let (losses, parameters) = train(&make(), Device::Cpu);
    assert!(losses[losses.len() - 1] < 0.8 * losses[0], "it learns: {losses:?}");
    for devices in groups() {
        seed(4);
        let net = DataParallel::new(&devices, make);
        let (own, its) = train(&net, devices[0]);
        for (a, b) in losses.iter().zip(&own) {
            assert!((a - b).abs() < 1e-4, "{devices:?}: {losses:?} {own:?}");
        }
        for (a, b) in parameters.iter().zip(&its) {
            // Adam divides by the size of the gradient, so rounding shows where it is small.
            let apart = (a - b).abs().max().item();
            assert!(apart < 1e-3, "{devices:?}: {apart}");
        }
        for (replica, &device) in net.replicas().iter().zip(&devices) {
            assert!(replica.state().iter().all(|(_, p)| p.device() == device));
        }
    }
}

#[test]
fn nccl_is_used_where_it_was_promised() {
    let Some(gpu) = gpu() else { return };
    let promised = std::env::var_os("D2L_NCCL").is_some_and(|value| value == "always");
    if std::env::var_os("D2L_TEST_GPU").is_some() && promised {
        assert!(parallel::uses_nccl(&[gpu]), "NCCL works on one GPU");
        assert!(parallel::uses_nccl(&d2l::try_all_gpus()));
    } else {
        assert!(!parallel::uses_nccl(&[gpu]));
    }
    assert!(!parallel::uses_nccl(&[gpu, Device::Cpu]));
    assert!(!parallel::uses_nccl(&[gpu, gpu]));
}
