//! Kernels one by one, against the processor's operations.

use super::{
    ATTENTION, Arguments, Array, GATHER, Gpu, Grid, Kernel, RANDOM, RECURRENT, WINDOW,
    driver::Program, emulated,
};
use crate::{DType, Tensor, dtype::Element, prelude::tensor, random};
use std::sync::Arc;

/// How far results in `f32` may differ, as a share of their size (at least 1).
const TOLERANCE: f64 = 3e-6;

/// Threads of a block.
const THREADS: [u32; 3] = [64, 1, 1];

/// A GPU made of the processor, if there is a C++ compiler.
fn gpu() -> Option<&'static Gpu> {
    if emulated::compiler().is_none() {
        super::skipped("no C++ compiler to emulate a GPU with");
        return None;
    }
    Some(Box::leak(Box::new(Gpu::new(0, Arc::new(emulated::Emulated::default())))))
}

fn send<T: Element>(gpu: &'static Gpu, values: &[T]) -> Array {
    // SAFETY: all bytes of numbers are initialised.
    let bytes = unsafe {
        std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
    };
    gpu.upload("send", T::DTYPE, bytes).unwrap()
}

fn fetch(array: &Array) -> Vec<f32> {
    let mut bytes = vec![0; array.bytes()];
    array.download("fetch", &mut bytes).unwrap();
    bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn launch(
    gpu: &Gpu,
    program: Program,
    kernel: &'static str,
    grid: Grid,
    arguments: Arguments,
) {
    // SAFETY: the tests below pass what the kernels take.
    unsafe { gpu.launch(program, Kernel::of(kernel, DType::F32), grid, arguments) }
        .unwrap();
}

const GRID: Grid = Grid { blocks: [3, 1, 1], threads: THREADS, shared: 0 };

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        let apart = f64::from((a - b).abs());
        assert!(
            apart <= TOLERANCE * f64::from(b.abs()).max(1.0),
            "element {i}: {a} on the GPU, {b} on the processor"
        );
    }
}

fn numbers(shape: &[usize], seed: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i as f64 * 1.7 + seed).sin() as f32).collect();
    tensor(values).reshape(shape)
}

#[test]
fn random_numbers_are_those_of_the_processor() {
    let Some(gpu) = gpu() else { return };
    let (seed, first, count) = (0x1234_5678_9ABC_u64, (1_u64 << 33) + 5, 23_i64);
    let source = [seed, first, 0];
    let out = send(gpu, &[0.0_f32; 23]);
    let at = out.address();
    let plain = |name| Kernel { name, types: (None, None) };
    let words: Vec<u32> =
        (0..6).flat_map(|i| random::philox(seed, first + i, 0)).collect();

    let arguments = Arguments::new().with(&source).with(&count).with(&at);
    // SAFETY: these are the kernel's arguments.
    unsafe { gpu.launch(RANDOM, plain("uniform"), GRID, arguments) }.unwrap();
    let expected: Vec<f32> =
        words.iter().map(|w| (w >> 8) as f32 / (1 << 24) as f32).collect();
    assert_eq!(fetch(&out), expected[..23]);

    let (mean, std) = (3.0_f64, 2.0_f64);
    let arguments =
        Arguments::new().with(&source).with(&count).with(&mean).with(&std).with(&at);
    // SAFETY: as above.
    unsafe { gpu.launch(RANDOM, plain("normal"), GRID, arguments) }.unwrap();
    let unit = |word: u32| f64::from(word) / (1_u64 << 32) as f64;
    let pairs = words.chunks(2).flat_map(|pair| {
        let radius = (-2.0 * (1.0 - unit(pair[0])).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * unit(pair[1])).sin_cos();
        [radius * cos, radius * sin]
    });
    let expected: Vec<f32> = pairs.map(|z| (mean + std * z) as f32).collect();
    close(&fetch(&out), &expected[..23]);

    let rate = 0.7_f64;
    let arguments = Arguments::new().with(&source).with(&count).with(&rate).with(&at);
    // SAFETY: as above.
    unsafe { gpu.launch(RANDOM, plain("exponential"), GRID, arguments) }.unwrap();
    let small = words.iter().map(|w| f64::from(w >> 8) / f64::from(1 << 24));
    let expected: Vec<f32> = small.map(|u| (-(1.0 - u).ln() / rate) as f32).collect();
    assert_eq!(fetch(&out), expected[..23]);

    let (low, range, count) = (-5_i64, 1000_u64, 7_i64);
    let whole = send(gpu, &[0_i64; 7]);
    let at = whole.address();
    let arguments =
        Arguments::new().with(&source).with(&count).with(&low).with(&range).with(&at);
    // SAFETY: as above.
    unsafe { gpu.launch(RANDOM, plain("integers"), GRID, arguments) }.unwrap();
    let mut bytes = vec![0; 56];
    whole.download("fetch", &mut bytes).unwrap();
    let found = bytes.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
    let expected = words.chunks(2).map(|pair| {
        let bits = (u64::from(pair[0]) << 32) | u64::from(pair[1]);
        low + ((u128::from(bits) * u128::from(range)) >> 64) as i64
    });
    assert!(found.eq(expected.take(7)));
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Window {
    sizes: [i64; 12],
}

#[test]
fn columns_and_pools_are_those_of_the_processor() {
    let Some(gpu) = gpu() else { return };
    // images, channels, h, w; oh, ow; kernel, stride, padding.
    let (n, c, h, w, o) = (2, 3, 7, 6, 4);
    for (kernel, stride, padding) in [([3, 2], [2, 1], [1, 1]), ([2, 2], [2, 2], [0, 0])]
    {
        let along = |i: usize, length: usize| {
            (length + 2 * padding[i] - kernel[i]) / stride[i] + 1
        };
        let (oh, ow) = (along(0, h), along(1, w));
        let sizes = [
            n, c, h, w, oh, ow, kernel[0], kernel[1], stride[0], stride[1], padding[0],
            padding[1],
        ];
        let window = Window { sizes: sizes.map(|size| size as i64) };
        let x = numbers(&[n, c, h, w], 0.4);
        let image = send(gpu, &x.to_vec());
        let image_at = image.address();
        let run = |name, from: &[u64], to: &[u64]| {
            let arguments = Arguments::new().with(&window);
            let arguments = from.iter().chain(to).fold(arguments, |all, at| all.with(at));
            launch(gpu, WINDOW, name, GRID, arguments);
        };

        let [rows, places] = [c * kernel[0] * kernel[1], n * oh * ow];
        let columns = send(gpu, &vec![0.0_f32; rows * places]);
        run("unfold", &[image_at], &[columns.address()]);
        let weight = numbers(&[o, c, kernel[0], kernel[1]], 0.9);
        let found = tensor(fetch(&columns)).reshape([rows, places]);
        let product = weight.reshape([o, rows]).matmul(&found).reshape([o, n, oh, ow]);
        let expected = x.conv2d(&weight, None, stride, padding);
        close(&product.transpose(0, 1).to_vec(), &expected.to_vec());

        // `fold` is the transpose of `unfold`: ⟨unfold x, c⟩ = ⟨x, fold c⟩.
        let other = numbers(&[rows, places], 0.1);
        let back = send(gpu, &vec![0.0_f32; x.numel()]);
        let other_columns = send(gpu, &other.to_vec());
        run("fold", &[other_columns.address()], &[back.address()]);
        let left = found
            .flatten()
            .to_dtype(DType::F64)
            .dot(&other.flatten().to_dtype(DType::F64));
        let folded = tensor(fetch(&back)).to_dtype(DType::F64);
        let right = x.flatten().to_dtype(DType::F64).dot(&folded);
        assert!((left.item() - right.item()).abs() < 1e-5, "{left} {right}");

        let leaf = x.detach().copy().requires_grad();
        let pooled = leaf.max_pool2d(kernel, stride, padding);
        let g = numbers(pooled.shape(), 0.7);
        pooled.backward_with(&g);
        let out = send(gpu, &vec![0.0_f32; pooled.numel()]);
        let chosen = send(gpu, &vec![0_u8; 4 * pooled.numel()]);
        run("max_pool", &[image_at], &[out.address(), chosen.address()]);
        close(&fetch(&out), &pooled.to_vec());
        let gradient = send(gpu, &g.to_vec());
        run("max_pool_back", &[gradient.address(), chosen.address()], &[back.address()]);
        close(&fetch(&back), &leaf.grad().unwrap().to_vec());

        leaf.zero_grad();
        let pooled = leaf.avg_pool2d(kernel, stride, padding);
        pooled.backward_with(&g);
        run("mean_pool", &[image_at], &[out.address()]);
        close(&fetch(&out), &pooled.to_vec());
        run("mean_pool_back", &[gradient.address()], &[back.address()]);
        close(&fetch(&back), &leaf.grad().unwrap().to_vec());
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Attention {
    sizes: [i64; 6],
    mask_start: i64,
    mask_step: [i64; 4],
    scale: f64,
}

#[test]
fn attention_is_that_of_the_processor() {
    let Some(gpu) = gpu() else { return };
    let (batch, n, m, d, e) = (2, 5, 70, 4, 3);
    let leaf = |shape: &[usize], seed| numbers(shape, seed).requires_grad();
    let (q, k, v) =
        (leaf(&[batch, n, d], 0.1), leaf(&[batch, m, d], 0.5), leaf(&[batch, m, e], 0.8));
    // The last query sees nothing.
    let mask = (0..n * m).map(|i| i % 3 != 0 && i < (n - 1) * m).collect::<Vec<bool>>();
    let seen = tensor(mask.clone()).reshape([n, m]);
    let expected = q.attention(&k, &v, Some(&seen));
    let g = numbers(&[batch, n, e], 0.3);
    expected.backward_with(&g);

    let sizes = Attention {
        sizes: [batch, 1, n, m, d, e].map(|size| size as i64),
        mask_start: 0,
        mask_step: [0, 0, m as i64, 1],
        scale: 1.0 / (d as f64).sqrt(),
    };
    let [q_at, k_at, v_at, g_at] = [&q, &k, &v, &g].map(|x| send(gpu, &x.to_vec()));
    let mask = send(gpu, &mask);
    let [weights, slopes] = [0, 1].map(|_| send(gpu, &vec![0.0_f32; batch * n * m]));
    let out = send(gpu, &vec![0.0_f32; batch * n * e]);
    let at = [&q_at, &k_at, &v_at, &mask, &weights, &out].map(Array::address);
    let arguments = at.iter().fold(Arguments::new().with(&sizes), |all, at| all.with(at));
    let grid = Grid { shared: 4 * m as u32, ..GRID };
    launch(gpu, ATTENTION, "attention", grid, arguments);
    close(&fetch(&out), &expected.to_vec());

    let at = [&v_at, &weights, &g_at, &slopes].map(Array::address);
    let arguments = at.iter().fold(Arguments::new().with(&sizes), |all, at| all.with(at));
    launch(gpu, ATTENTION, "attention_back", GRID, arguments);
    let slopes = tensor(fetch(&slopes)).reshape([batch, n, m]);
    let weights = tensor(fetch(&weights)).reshape([batch, n, m]);
    close(&slopes.matmul(&k.detach()).to_vec(), &q.grad().unwrap().to_vec());
    close(
        &slopes.transpose(1, 2).matmul(&q.detach()).to_vec(),
        &k.grad().unwrap().to_vec(),
    );
    close(&weights.transpose(1, 2).matmul(&g).to_vec(), &v.grad().unwrap().to_vec());
}

#[test]
fn recurrent_cells_are_their_formulas() {
    let Some(gpu) = gpu() else { return };
    let (count, h) = (3, 5);
    let part = |x: &Tensor, i: usize| x.narrow(1, i * h, h);
    let (rows, width) = (count as i64, h as i64);

    let gates = numbers(&[count, 4 * h], 0.1).requires_grad();
    let before = numbers(&[count, h], 0.6).requires_grad();
    let [i, f, n, o] = [0, 1, 2, 3].map(|p| part(&gates, p));
    let cell = f.sigmoid() * &before + i.sigmoid() * n.tanh();
    let hidden = o.sigmoid() * cell.tanh();
    let (g, cell_g) = (numbers(&[count, h], 0.9), numbers(&[count, h], 1.9));
    ((&hidden * &g).sum() + (&cell * &cell_g).sum()).backward();
    let room = || send(gpu, &vec![0.0_f32; count * h]);
    let [gates_at, before_at] = [&gates, &before].map(|x| send(gpu, &x.to_vec()));
    let [cell_at, kept_at, hidden_at] = [(); 3].map(|()| room());
    let at = [&gates_at, &before_at, &cell_at, &kept_at, &hidden_at].map(Array::address);
    let sized = || Arguments::new().with(&rows).with(&width);
    launch(gpu, RECURRENT, "lstm", GRID, at.iter().fold(sized(), |all, at| all.with(at)));
    close(&fetch(&cell_at), &cell.to_vec());
    close(&fetch(&hidden_at), &hidden.to_vec());
    let [flowing, cell_flow] = [&g, &cell_g].map(|x| send(gpu, &x.to_vec()));
    let at = [&gates_at, &before_at, &kept_at, &flowing, &cell_flow].map(Array::address);
    launch(
        gpu,
        RECURRENT,
        "lstm_back",
        GRID,
        at.iter().fold(sized(), |all, at| all.with(at)),
    );
    close(&fetch(&gates_at), &gates.grad().unwrap().to_vec());
    close(&fetch(&cell_flow), &before.grad().unwrap().to_vec());

    let gates = numbers(&[count, 3 * h], 0.1).requires_grad();
    let share = numbers(&[count, 3 * h], 1.1).requires_grad();
    let bias = numbers(&[h], 0.7);
    let before = numbers(&[count, h], 0.6).requires_grad();
    let sum = |p| (part(&gates, p) + part(&share, p)).sigmoid();
    let (reset, update) = (sum(0), sum(1));
    let new = (part(&gates, 2) + reset * (part(&share, 2) + &bias)).tanh();
    let hidden = &new + update * (&before - &new);
    (&hidden * &g).sum().backward();
    let [gates_at, share_at, bias_at, before_at] =
        [&gates, &share, &bias, &before].map(|x| send(gpu, &x.to_vec()));
    let [kept_at, hidden_at] = [(); 2].map(|()| room());
    let at = [&gates_at, &share_at, &bias_at, &before_at, &kept_at, &hidden_at];
    let at = at.map(Array::address);
    launch(gpu, RECURRENT, "gru", GRID, at.iter().fold(sized(), |all, at| all.with(at)));
    close(&fetch(&hidden_at), &hidden.to_vec());
    let flowing = send(gpu, &g.to_vec());
    let at = [&gates_at, &before_at, &kept_at, &flowing].map(Array::address);
    launch(
        gpu,
        RECURRENT,
        "gru_back",
        GRID,
        at.iter().fold(sized(), |all, at| all.with(at)),
    );
    close(&fetch(&gates_at), &gates.grad().unwrap().to_vec());
    close(&fetch(&flowing), &before.grad().unwrap().to_vec());
    let of_share = share.grad().unwrap();
    close(&fetch(&kept_at), &part(&of_share, 2).to_vec());
}

#[test]
fn rows_are_picked_and_their_gradients_added() {
    let Some(gpu) = gpu() else { return };
    let (count, width) = (6_i64, 40_i64);
    let table = numbers(&[6, 40], 0.2).requires_grad();
    let index = [3, 0, 3, -1, 5, 3, 0];
    let y = table.embedding(&tensor(index.to_vec()));
    let g = numbers(&[7, 40], 0.4);
    y.backward_with(&g);
    let picked = 7_i64;
    let (table_at, index_at) =
        (send(gpu, &table.to_vec()), send(gpu, &index.map(i64::from)));
    let out = send(gpu, &vec![0.0_f32; 280]);
    let at = [table_at.address(), index_at.address(), out.address()];
    let arguments = at.iter().fold(Arguments::new(), |all, at| all.with(at));
    launch(gpu, GATHER, "rows", GRID, arguments.with(&picked).with(&count).with(&width));
    close(&fetch(&out), &y.to_vec());
    let (gradient, sums) = (send(gpu, &g.to_vec()), send(gpu, &vec![0.0_f32; 240]));
    let at = [gradient.address(), index_at.address(), sums.address()];
    let arguments = at.iter().fold(Arguments::new(), |all, at| all.with(at));
    launch(
        gpu,
        GATHER,
        "rows_back",
        GRID,
        arguments.with(&picked).with(&count).with(&width),
    );
    close(&fetch(&sums), &table.grad().unwrap().to_vec());
}

#[test]
fn a_barrier_that_some_threads_never_reach_is_a_failure() {
    let Some(gpu) = gpu() else { return };
    let stuck = Program {
        name: "stuck.cu",
        source: concat!(
            include_str!("kernels/common.cuh"),
            "extern \"C\" __global__ void stuck(int) { if (threadIdx.x < 5) __syncthreads(); }\n\
             EXPORT(stuck)\n"
        ),
    };
    let number = 1_i32;
    let arguments = Arguments::new().with(&number);
    // SAFETY: this is the kernel's argument.
    let launched = unsafe {
        gpu.launch(stuck, Kernel { name: "stuck", types: (None, None) }, GRID, arguments)
    };
    let text = launched.unwrap_err().to_string();
    assert!(
        text.contains("stuck failed on cuda:0") && text.contains("never reach"),
        "{text}"
    );
}
