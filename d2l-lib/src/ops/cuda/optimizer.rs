//! The rules of optimizers, one pass over parameter, gradient and memories each.

use super::{done, grid, place};
use crate::{
    device::cuda::{Arguments, Array, CudaError, Kernel, OPTIMIZER, recording},
    dtype::DType,
    tensor::Tensor,
};

/// The numbers of a rule; `Rule` in `optimizer.cu` says what they mean to which.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) lr: f64,
    pub(crate) decay: f64,
    pub(crate) rest: [f64; 5],
}

impl Rule {
    fn bytes(self) -> Vec<u8> {
        let Rule { lr, decay, rest } = self;
        [lr, decay].into_iter().chain(rest).flat_map(f64::to_ne_bytes).collect()
    }
}

/// The rules of later steps, one after the other, where they differ.
pub(crate) type Later = Box<dyn FnMut() -> Rule + Send>;

/// Changes `value` and `memories` (at most two) by the kernel `name`; whether that could be done:
/// all are rows in storage of their own on one GPU.
#[track_caller]
pub(crate) fn update(
    name: &'static str,
    rule: Rule,
    later: Option<Later>,
    value: &Tensor,
    gradient: &Tensor,
    memories: &[Tensor],
) -> bool {
    if value.storage.is_host() {
        return false;
    }
    let all = [value, gradient].into_iter().chain(memories);
    let Some(gpu) = place(name, &all.clone().collect::<Vec<_>>()) else { return false };
    let dtype = value.dtype();
    let fits =
        |x: &Tensor| x.is_contiguous() && x.dtype() == dtype && x.layout.offset == 0;
    if !all.clone().all(fits) || !matches!(dtype, DType::F32 | DType::F64) {
        return false;
    }
    let count = value.numel();
    let Some(gradients) = gradient.storage.on_gpu() else { return false };
    if count == 0 {
        return true;
    }
    // Where a kernel that is replayed finds the rule of its step.
    let cell = later.filter(|_| recording::is_active()).map(|mut later| {
        done(gpu.cell(name, &rule.bytes(), Box::new(move || later().bytes())))
    });
    let rule =
        if cell.is_some() { Rule { lr: 0.0, decay: 0.0, rest: [0.0; 5] } } else { rule };
    let cell = cell.unwrap_or(0);
    let launch = |places: [u64; 4]| {
        let number = count as i64;
        let arguments = Arguments::new().with(&rule).with(&cell).with(&number);
        let arguments = arguments.with_all(&places);
        // SAFETY: these are the arguments of `RULE`, for so many elements each.
        unsafe {
            gpu.launch(OPTIMIZER, Kernel::of(name, dtype), grid(gpu, count), arguments)
        }
    };
    let g = gradients.address();
    type Write<'a> = &'a mut dyn FnMut(&Array) -> Result<(), CudaError>;
    let written = |x: &Tensor, write: Write| x.storage.write_on_gpu(write);
    done(written(value, &mut |w| match memories {
        [] => launch([w.address(), g, 0, 0]),
        [first] => {
            written(first, &mut |m| launch([w.address(), g, m.address(), 0])).map(drop)
        }
        [first, second, ..] => written(first, &mut |m| {
            let last =
                &mut |s: &Array| launch([w.address(), g, m.address(), s.address()]);
            written(second, last).map(drop)
        })
        .map(drop),
    }))
}
