//! Layers: embedding, windows over images.

use std::sync::Arc;

use super::{copy, done, grid, place};
use crate::{
    autograd::record,
    device::cuda::{Arguments, Array, GATHER, Gpu, Grid, Kernel, WINDOW},
    dtype::DType,
    shape::Shape,
    tensor::Tensor,
};

/// The elements of `x` row after row on its GPU, and where the first one is.
pub(super) fn in_rows(x: &Tensor) -> Option<(Arc<Array>, u64)> {
    let x = if x.is_contiguous() { x.detach() } else { copy(x)? };
    let elements = x.storage.on_gpu()?;
    let at = elements.address_of(x.layout.offset);
    Some((elements, at))
}

/// Rows of a table by the numbers in `index`, of `i64` on the same GPU. A number that is no row
/// gives NaN: to look for it would be to wait for the GPU.
#[track_caller]
pub(crate) fn rows_of(
    op: &'static str,
    table: &Tensor,
    index: &Tensor,
    shape: Shape,
) -> Option<Tensor> {
    let gpu = place(op, &[table, index])?;
    let ((_table, table_at), (_index, index_at)) = (in_rows(table)?, in_rows(index)?);
    let out = done(gpu.array(op, table.dtype(), shape.numel()));
    pick(gpu, "rows", table.dtype(), [table_at, index_at, out.address()], table, index);
    Some(Tensor::of_array(out, shape))
}

/// The gradient of [`rows_of`] with respect to a table like `table`.
#[track_caller]
pub(crate) fn rows_of_back(g: &Tensor, index: &Tensor, table: Shape) -> Option<Tensor> {
    const NAME: &str = "rows_back";
    let gpu = place(NAME, &[g, index])?;
    let ((_g, g_at), (_index, index_at)) = (in_rows(g)?, in_rows(index)?);
    let sums = done(gpu.array(NAME, g.dtype(), table.numel()));
    done(sums.zero(NAME));
    let at = sums.address();
    let sums = Tensor::of_array(sums, table);
    pick(gpu, NAME, g.dtype(), [g_at, index_at, at], &sums, index);
    Some(sums)
}

#[track_caller]
fn pick(
    gpu: &Gpu,
    kernel: &'static str,
    dtype: DType,
    places: [u64; 3],
    table: &Tensor,
    index: &Tensor,
) {
    let (picked, count) = (index.numel(), table.shape()[0]);
    let width: usize = table.shape()[1..].iter().product();
    if picked * width == 0 {
        return;
    }
    let sizes = [picked, count, width].map(|n| n as i64);
    let arguments = Arguments::new().with_all(&places);
    let arguments = arguments.with(&sizes[0]).with(&sizes[1]).with(&sizes[2]);
    let grid = match kernel {
        "rows" => grid(gpu, picked * width),
        // A block for each number.
        _ => Grid {
            blocks: [picked.min(4 * gpu.blocks() as usize) as u32, 1, 1],
            threads: [128, 1, 1],
            shared: 0,
        },
    };
    // SAFETY: these are the arguments of the kernels in `gather.cu`, which stay inside.
    done(unsafe { gpu.launch(GATHER, Kernel::of(kernel, dtype), grid, arguments) });
}

/// A window over images, and where it goes; `Window` in `window.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sliding {
    /// Images, channels, rows, columns.
    pub(crate) images: [usize; 4],
    pub(crate) places: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
}

impl Sliding {
    /// The shape of what a pool gives.
    fn pooled(&self) -> Shape {
        let [n, c, _, _] = self.images;
        Shape::new(&[n, c, self.places[0], self.places[1]])
    }

    /// A kernel with these sizes that makes `count` elements.
    #[track_caller]
    pub(super) fn run(
        &self,
        gpu: &Gpu,
        kernel: &'static str,
        dtype: DType,
        places: &[u64],
        count: usize,
    ) {
        if count == 0 {
            return;
        }
        let arguments = Arguments::new().with(self).with_all(places);
        let grid = grid(gpu, count);
        // SAFETY: these are the arguments of the kernels in `window.cu`, for so many elements.
        done(unsafe { gpu.launch(WINDOW, Kernel::of(kernel, dtype), grid, arguments) });
    }

    /// The means under the window.
    #[track_caller]
    pub(crate) fn means(self, x: &Tensor) -> Option<Tensor> {
        const NAME: &str = "avg_pool2d";
        let gpu = place(NAME, &[x])?;
        let (_elements, from) = in_rows(x)?;
        let shape = self.pooled();
        let out = done(gpu.array(NAME, x.dtype(), shape.numel()));
        self.run(gpu, "mean_pool", x.dtype(), &[from, out.address()], shape.numel());
        let out = Tensor::of_array(out, shape);
        Some(record(NAME, out, &[x], |tape, _| {
            tape.edge(x, || {
                move |g: &Tensor| {
                    self.back("mean_pool_back", g, None).expect("on the GPU of `x`")
                }
            });
        }))
    }

    /// The greatest elements under the window.
    #[track_caller]
    pub(crate) fn greatest(self, x: &Tensor) -> Option<Tensor> {
        const NAME: &str = "max_pool2d";
        let gpu = place(NAME, &[x])?;
        let (_elements, from) = in_rows(x)?;
        let shape = self.pooled();
        let out = done(gpu.array(NAME, x.dtype(), shape.numel()));
        // Places in a channel, as numbers of 32 bits, for which no tensor has a type.
        let chosen = Arc::new(done(gpu.array(NAME, DType::U8, 4 * shape.numel())));
        let places = [from, out.address(), chosen.address()];
        self.run(gpu, "max_pool", x.dtype(), &places, shape.numel());
        let out = Tensor::of_array(out, shape);
        Some(record(NAME, out, &[x], |tape, _| {
            tape.edge(x, || {
                move |g: &Tensor| {
                    self.back("max_pool_back", g, Some(&chosen))
                        .expect("on the GPU of `x`")
                }
            });
        }))
    }

    /// The gradient of a pool.
    #[track_caller]
    fn back(
        self,
        kernel: &'static str,
        g: &Tensor,
        chosen: Option<&Array>,
    ) -> Option<Tensor> {
        let gpu = place(kernel, &[g])?;
        let (_elements, from) = in_rows(g)?;
        let shape = Shape::new(&self.images);
        let out = done(gpu.array(kernel, g.dtype(), shape.numel()));
        let places = [Some(from), chosen.map(Array::address), Some(out.address())];
        let places: Vec<u64> = places.into_iter().flatten().collect();
        self.run(gpu, kernel, g.dtype(), &places, shape.numel());
        Some(Tensor::of_array(out, shape))
    }
}
