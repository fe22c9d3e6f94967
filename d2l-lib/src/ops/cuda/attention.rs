//! Scaled dot-product attention.

use super::{done, place};
use crate::{
    autograd::record,
    device::cuda::{ATTENTION, Arguments, Grid, Kernel},
    dtype::DType,
    ops::attention::Attention,
    shape::Shape,
    tensor::Tensor,
};

/// `Attention` in `attention.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    value_width: usize,
    mask_start: usize,
    mask_step: [usize; 4],
    scale: f64,
}

/// The scores of a query, which a block has in shared memory, may need so many bytes: what every
/// GPU gives without being asked.
const SHARED: usize = 48 * 1024 - 512;

/// The results of attention, and the weights, which are constants; operands lie row after row, as
/// in [`Attention`].
#[track_caller]
pub(crate) fn attend(
    sizes: Attention,
    [q, k, v]: [&Tensor; 3],
    mask: Option<&Tensor>,
) -> Option<(Tensor, Tensor)> {
    const NAME: &str = "attention";
    let gpu = place(NAME, &[q, k, v, mask.unwrap_or(q)])?;
    let (dtype, Attention { batch, heads, queries, keys, width, value_width }) =
        (q.dtype(), sizes);
    let shared = keys * dtype.size();
    if !matches!(dtype, DType::F32 | DType::F64) || shared > SHARED {
        return None;
    }
    let weights_shape = Shape::new(&[batch, heads, queries, keys]);
    let seen = mask.map(|mask| mask.layout.broadcast_to(weights_shape));
    let mask_values = match mask {
        Some(mask) => Some(mask.storage.on_gpu()?),
        None => None,
    };
    let sizes = Sizes {
        batch,
        heads,
        queries,
        keys,
        width,
        value_width,
        mask_start: seen.map_or(0, |seen| seen.offset),
        mask_step: seen
            .map_or([0; 4], |seen| std::array::from_fn(|axis| seen.strides[axis])),
        scale: 1.0 / (width.max(1) as f64).sqrt(),
    };
    let all = batch * heads * queries;
    let grid = Grid {
        blocks: [all.min(8 * gpu.blocks() as usize) as u32, 1, 1],
        threads: [128, 1, 1],
        shared: shared as u32,
    };
    let shape = Shape::new(&[batch, queries, heads * value_width]);
    let weights = done(gpu.array(NAME, dtype, weights_shape.numel()));
    let out = done(gpu.array(NAME, dtype, shape.numel()));
    let operands = [q.storage.on_gpu()?, k.storage.on_gpu()?, v.storage.on_gpu()?];
    let start = |i: usize, x: &Tensor| operands[i].address_of(x.layout.offset);
    let places = [
        start(0, q),
        start(1, k),
        start(2, v),
        mask_values.as_ref().map_or(0, |mask| mask.address()),
        weights.address(),
        out.address(),
    ];
    let arguments = Arguments::new().with(&sizes).with_all(&places);
    // SAFETY: these are the kernel's arguments, for so many elements.
    done(unsafe { gpu.launch(ATTENTION, Kernel::of(NAME, dtype), grid, arguments) });
    let weights = Tensor::of_array(weights, weights_shape);
    let out = Tensor::of_array(out, shape);
    let out = record(NAME, out, &[q, k, v], |tape, _| {
        let kept = [q, k, v, &weights].map(Tensor::saved);
        tape.joint(&[q, k, v], move |g, needs| {
            let all = back(sizes, &kept, &g.contiguous()).expect("all on one GPU");
            all.into_iter().zip(needs).map(|(g, &needed)| needed.then_some(g)).collect()
        });
    });
    Some((out, weights))
}

/// The gradients of queries, keys and values.
#[track_caller]
fn back(
    sizes: Sizes,
    [q, k, v, weights]: &[Tensor; 4],
    g: &Tensor,
) -> Option<[Tensor; 3]> {
    const NAME: &str = "attention_back";
    let gpu = place(NAME, &[v, weights, g])?;
    let dtype = g.dtype();
    let slopes = done(gpu.array(NAME, dtype, weights.numel()));
    let operands = [v.storage.on_gpu()?, weights.storage.on_gpu()?, g.storage.on_gpu()?];
    let start = |i: usize, x: &Tensor| operands[i].address_of(x.layout.offset);
    let places = [start(0, v), start(1, weights), start(2, g), slopes.address()];
    let arguments = Arguments::new().with(&sizes).with_all(&places);
    let all = sizes.batch * sizes.heads * sizes.queries;
    let grid = Grid {
        blocks: [all.min(8 * gpu.blocks() as usize) as u32, 1, 1],
        threads: [128, 1, 1],
        shared: 0,
    };
    // SAFETY: these are the kernel's arguments, for so many elements.
    done(unsafe { gpu.launch(ATTENTION, Kernel::of(NAME, dtype), grid, arguments) });
    let slopes = Tensor::of_array(slopes, weights.layout.shape);
    // Each head as a matrix of its own, and back.
    let apart = |x: &Tensor| {
        let [b, rows, wide] = [x.shape()[0], x.shape()[1], x.shape()[2]];
        let split = Shape::new(&[b, rows, sizes.heads, wide / sizes.heads]);
        x.reshape_to(split).transpose(1, 2)
    };
    let joined =
        |x: Tensor, like: &Tensor| x.transpose(1, 2).reshape_to(like.layout.shape);
    Some([
        joined(slopes.matmul(&apart(k)), q),
        joined(slopes.transpose(2, 3).matmul(&apart(q)), k),
        joined(weights.transpose(2, 3).matmul(&apart(g)), v),
    ])
}
