//! cuDNN, and how it makes convolutions; [`recurrence`](super::recurrence) has the rest of it.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    allocator::Region,
    driver::{Address, Failure},
    library::{self, functions},
    recurrence::Recurrent,
};
use crate::dtype::DType;

/// A convolution of images with kernels, or one of its gradients; all lie row after row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Convolution {
    pub(crate) pass: Pass,
    pub(crate) dtype: DType,
    /// Whether factors of `f32` may be rounded to TF32.
    pub(crate) tf32: bool,
    /// Images, channels, rows, columns.
    pub(crate) images: [usize; 4],
    /// Channels of the results, channels of the images, rows, columns.
    pub(crate) kernels: [usize; 4],
    /// Rows and columns of the results.
    pub(crate) places: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
}

/// What is made of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// The results.
    Forward,
    /// The gradient of the images, of that of the results.
    ToImages,
    /// The gradient of the kernels, of that of the results.
    ToKernels,
}

/// Where images, kernels and results, or their gradients, are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sides {
    pub(crate) images: Address,
    pub(crate) kernels: Address,
    pub(crate) results: Address,
}

impl Convolution {
    /// The shape of the results.
    pub(crate) fn results(&self) -> [usize; 4] {
        [self.images[0], self.kernels[0], self.places[0], self.places[1]]
    }
}

pub(super) type Handle = *mut c_void;
pub(super) type Status = c_int;
pub(super) type Values = *const c_void;

functions!(Functions {
    cudnnGetVersion: fn() -> usize;
    cudnnGetErrorString: fn(Status) -> *const c_char;
    cudnnCreate: fn(*mut Handle) -> Status;
    cudnnSetStream: fn(Handle, *mut c_void) -> Status;
    cudnnCreateTensorDescriptor: fn(*mut Handle) -> Status;
    cudnnSetTensor4dDescriptor: fn(Handle, c_int, c_int, c_int, c_int, c_int, c_int) -> Status;
    cudnnDestroyTensorDescriptor: fn(Handle) -> Status;
    cudnnCreateFilterDescriptor: fn(*mut Handle) -> Status;
    cudnnSetFilter4dDescriptor: fn(Handle, c_int, c_int, c_int, c_int, c_int, c_int) -> Status;
    cudnnDestroyFilterDescriptor: fn(Handle) -> Status;
    cudnnCreateConvolutionDescriptor: fn(*mut Handle) -> Status;
    cudnnSetConvolution2dDescriptor:
        fn(Handle, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int) -> Status;
    cudnnSetConvolutionMathType: fn(Handle, c_int) -> Status;
    cudnnDestroyConvolutionDescriptor: fn(Handle) -> Status;
    cudnnGetConvolutionForwardAlgorithm_v7:
        fn(Handle, Handle, Handle, Handle, Handle, c_int, *mut c_int, *mut Advice) -> Status;
    cudnnGetConvolutionBackwardDataAlgorithm_v7:
        fn(Handle, Handle, Handle, Handle, Handle, c_int, *mut c_int, *mut Advice) -> Status;
    cudnnGetConvolutionBackwardFilterAlgorithm_v7:
        fn(Handle, Handle, Handle, Handle, Handle, c_int, *mut c_int, *mut Advice) -> Status;
    cudnnGetConvolutionForwardWorkspaceSize:
        fn(Handle, Handle, Handle, Handle, Handle, c_int, *mut usize) -> Status;
    cudnnGetConvolutionBackwardDataWorkspaceSize:
        fn(Handle, Handle, Handle, Handle, Handle, c_int, *mut usize) -> Status;
    cudnnGetConvolutionBackwardFilterWorkspaceSize:
        fn(Handle, Handle, Handle, Handle, Handle, c_int, *mut usize) -> Status;
    cudnnConvolutionForward:
        fn(
            Handle, Values, Handle, Values, Handle, Values, Handle, c_int, *mut c_void, usize,
            Values, Handle, *mut c_void
        ) -> Status;
    cudnnConvolutionBackwardData:
        fn(
            Handle, Values, Handle, Values, Handle, Values, Handle, c_int, *mut c_void, usize,
            Values, Handle, *mut c_void
        ) -> Status;
    cudnnConvolutionBackwardFilter:
        fn(
            Handle, Values, Handle, Values, Handle, Values, Handle, c_int, *mut c_void, usize,
            Values, Handle, *mut c_void
        ) -> Status;
});

/// `cudnnConvolutionFwdAlgoPerf_t`, and the two others, which are laid out like it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Advice {
    algorithm: c_int,
    status: Status,
    time: f32,
    room: usize,
    determinism: c_int,
    math: c_int,
    reserved: [c_int; 3],
}

/// The names that the library has.
pub(super) const NAMES: [&str; 2] = ["libcudnn.so.9", "libcudnn.so"];

/// Libraries without which it ends the process.
const PARTS: [&str; 3] =
    ["libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9"];

// Numbers of `cudnn_ops.h`, `cudnn_cnn.h` and `cudnn_graph.h`.
const NCHW: c_int = 0;
const CROSS_CORRELATION: c_int = 1;
const DATA_FLOAT: c_int = 0;
const DATA_DOUBLE: c_int = 1;
const DEFAULT_MATH: c_int = 0;
const TENSOR_OP_MATH: c_int = 1;
const FMA_MATH: c_int = 3;
const DETERMINISTIC: c_int = 1;
const NOT_SUPPORTED: Status = 3000;
/// From here on a status is a failure; below it says what the library cannot do.
pub(super) const FAILURES: Status = 4000;
/// More ways than there are for any pass.
const WAYS: usize = 16;

/// Every side must begin at a multiple of so many bytes.
pub(crate) const SIDE_ALIGNMENT: u64 = 16;

/// So many bytes of room are worth a way that needs them.
const ROOM: usize = 4 << 30;

/// So many plans are kept.
pub(super) const KEPT: usize = 1024;

/// `cudnnDataType_t` of elements, and of the sums.
pub(super) fn data_types(dtype: DType) -> Option<[c_int; 2]> {
    match dtype {
        DType::F32 => Some([DATA_FLOAT, DATA_FLOAT]),
        DType::F64 => Some([DATA_DOUBLE, DATA_DOUBLE]),
        DType::F16 => Some([2, DATA_FLOAT]),
        DType::BF16 => Some([9, DATA_FLOAT]),
        DType::Bool | DType::U8 | DType::I64 => None,
    }
}

/// What the library may compute with.
pub(super) fn math(dtype: DType, tf32: bool) -> c_int {
    match dtype {
        DType::F32 if !tf32 => FMA_MATH,
        DType::F16 | DType::BF16 => TENSOR_OP_MATH,
        _ => DEFAULT_MATH,
    }
}

/// cuDNN on one GPU.
pub(super) struct Dnn {
    functions: Functions,
    state: Mutex<State>,
}

/// What one thread uses at a time.
pub(super) struct State {
    pub(super) handle: Handle,
    /// What the library answered for convolutions it was asked before.
    plans: HashMap<Convolution, Option<Plan>>,
    /// Nothing where its part for recurrent layers is missing.
    pub(super) recurrent: Option<Recurrent>,
}

/// The library's objects for a convolution, and the way it makes it.
#[derive(Clone, Copy)]
struct Plan {
    images: Handle,
    kernels: Handle,
    results: Handle,
    window: Handle,
    algorithm: c_int,
    room: usize,
}

impl Dnn {
    /// The library, if it is here and works. The GPU's context must be that of this thread; all
    /// is queued in this stream.
    pub(super) fn open(stream: *mut c_void) -> Option<Dnn> {
        for part in PARTS {
            // It stays, for the library opens it again.
            std::mem::forget(library::open(&[part])?);
        }
        // SAFETY: these are the types in `cudnn.h`.
        let functions = unsafe { Functions::of(library::open(&NAMES)?) }?;
        // SAFETY: it returns a number.
        if unsafe { (functions.cudnnGetVersion)() } < 90_000 {
            return None;
        }
        let mut handle = ptr::null_mut();
        // SAFETY: the library writes one pointer, and gets it back.
        let works = unsafe {
            (functions.cudnnCreate)(&mut handle) == 0
                && (functions.cudnnSetStream)(handle, stream) == 0
        };
        works.then(|| {
            let recurrent = Recurrent::open(handle);
            let state = State { handle, plans: HashMap::new(), recurrent };
            Dnn { functions, state: Mutex::new(state) }
        })
    }

    /// The library's name and version: `cuDNN 9.28.1`.
    pub(super) fn version(&self) -> String {
        // SAFETY: it returns a number.
        let version = unsafe { (self.functions.cudnnGetVersion)() };
        format!("cuDNN {}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }

    /// What a status says.
    pub(super) fn told(&self, status: Status) -> Result<(), Failure> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: it returns a text that stays.
        let name = unsafe {
            let name = (self.functions.cudnnGetErrorString)(status);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy())
        };
        let name = name.unwrap_or_else(|| status.to_string().into());
        Err(Failure::Other(format!("cuDNN: {name}")))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of room a convolution needs, if the library supports it.
    pub(super) fn room(
        &self,
        convolution: &Convolution,
    ) -> Result<Option<usize>, Failure> {
        let mut state = self.lock();
        Ok(self.plan_in(&mut state, convolution)?.map(|plan| plan.room))
    }

    /// Queues a convolution, if the library supports it.
    ///
    /// # Safety
    /// All sides must be in the GPU's memory and large enough, and so must the room; the GPU's
    /// context must be that of this thread.
    pub(super) unsafe fn convolve(
        &self,
        convolution: &Convolution,
        at: &Sides,
        room: Region,
    ) -> Result<bool, Failure> {
        let mut state = self.lock();
        let Some(plan) = self.plan_in(&mut state, convolution)? else { return Ok(false) };
        let handle = state.handle;
        // Numbers in the type of the sums.
        let ([one, zero], [one_f64, zero_f64]) = ([1.0_f32, 0.0], [1.0_f64, 0.0]);
        let is_double = convolution.dtype == DType::F64;
        let number = |single: &f32, double: &f64| -> Values {
            if is_double {
                ptr::from_ref(double).cast()
            } else {
                ptr::from_ref(single).cast()
            }
        };
        let (one, zero) = (number(&one, &one_f64), number(&zero, &zero_f64));
        let functions = &self.functions;
        let (run, first, second, made) = match convolution.pass {
            Pass::Forward => (
                functions.cudnnConvolutionForward,
                (plan.images, at.images),
                (plan.kernels, at.kernels),
                (plan.results, at.results),
            ),
            Pass::ToImages => (
                functions.cudnnConvolutionBackwardData,
                (plan.kernels, at.kernels),
                (plan.results, at.results),
                (plan.images, at.images),
            ),
            Pass::ToKernels => (
                functions.cudnnConvolutionBackwardFilter,
                (plan.images, at.images),
                (plan.results, at.results),
                (plan.kernels, at.kernels),
            ),
        };
        // SAFETY: the objects are those of the plan; the caller answers for the addresses.
        let status = unsafe {
            run(
                handle,
                one,
                first.0,
                first.1 as Values,
                second.0,
                second.1 as Values,
                plan.window,
                plan.algorithm,
                room.at as *mut c_void,
                room.bytes,
                zero,
                made.0,
                made.1 as *mut c_void,
            )
        };
        if (NOT_SUPPORTED..FAILURES).contains(&status) {
            // It knows better now than when it was asked.
            state.plans.insert(*convolution, None);
            self.forget(plan);
            return Ok(false);
        }
        self.told(status).map(|()| true)
    }

    /// How the library makes a convolution, if it does.
    fn plan_in(
        &self,
        state: &mut State,
        convolution: &Convolution,
    ) -> Result<Option<Plan>, Failure> {
        if let Some(&plan) = state.plans.get(convolution) {
            return Ok(plan);
        }
        let plan = self.plan(state.handle, convolution)?;
        if state.plans.len() >= KEPT {
            state.plans.drain().filter_map(|(_, plan)| plan).for_each(|p| self.forget(p));
        }
        state.plans.insert(*convolution, plan);
        Ok(plan)
    }

    fn plan(
        &self,
        handle: Handle,
        convolution: &Convolution,
    ) -> Result<Option<Plan>, Failure> {
        let none = ptr::null_mut();
        let mut plan = Plan {
            images: none,
            kernels: none,
            results: none,
            window: none,
            algorithm: 0,
            room: 0,
        };
        let Some(sizes) = Sizes::of(convolution) else { return Ok(None) };
        // SAFETY: `choose` gets the objects that `describe` has made.
        let status = unsafe {
            match self.describe(convolution, &sizes, &mut plan) {
                0 => self.choose(handle, convolution, &mut plan),
                failed => failed,
            }
        };
        if status == 0 {
            return Ok(Some(plan));
        }
        self.forget(plan);
        if status < FAILURES { Ok(None) } else { self.told(status).map(|()| None) }
    }

    /// Makes the objects that say what is to be done.
    ///
    /// # Safety
    /// The plan's objects must not be made yet.
    unsafe fn describe(
        &self,
        convolution: &Convolution,
        sizes: &Sizes,
        plan: &mut Plan,
    ) -> Status {
        let functions = &self.functions;
        let [data, sums] = sizes.data_types;
        let tensor = |made: &mut Handle, [n, c, h, w]: [c_int; 4]| {
            // SAFETY: the library writes a pointer to an object, and gets it back.
            unsafe {
                match (functions.cudnnCreateTensorDescriptor)(made) {
                    0 => (functions.cudnnSetTensor4dDescriptor)(
                        *made, NCHW, data, n, c, h, w,
                    ),
                    failed => failed,
                }
            }
        };
        let [o, c, kh, kw] = sizes.kernels;
        let ([down, right], [top, left]) = (sizes.stride, sizes.padding);
        // SAFETY: as above.
        let statuses = [
            tensor(&mut plan.images, sizes.images),
            tensor(&mut plan.results, sizes.results),
            unsafe {
                match (functions.cudnnCreateFilterDescriptor)(&mut plan.kernels) {
                    0 => (functions.cudnnSetFilter4dDescriptor)(
                        plan.kernels,
                        data,
                        NCHW,
                        o,
                        c,
                        kh,
                        kw,
                    ),
                    failed => failed,
                }
            },
            unsafe {
                match (functions.cudnnCreateConvolutionDescriptor)(&mut plan.window) {
                    0 => (functions.cudnnSetConvolution2dDescriptor)(
                        plan.window,
                        top,
                        left,
                        down,
                        right,
                        1,
                        1,
                        CROSS_CORRELATION,
                        sums,
                    ),
                    failed => failed,
                }
            },
        ];
        match statuses.into_iter().find(|&status| status != 0) {
            Some(failed) => failed,
            // SAFETY: the object was made just now.
            None => unsafe {
                (functions.cudnnSetConvolutionMathType)(
                    plan.window,
                    math(convolution.dtype, convolution.tf32),
                )
            },
        }
    }

    /// Takes the first of the library's ways that gives the same results every time.
    ///
    /// # Safety
    /// The plan's objects must have been made.
    unsafe fn choose(
        &self,
        handle: Handle,
        convolution: &Convolution,
        plan: &mut Plan,
    ) -> Status {
        let functions = &self.functions;
        let (ask, size, first, second, made) = match convolution.pass {
            Pass::Forward => (
                functions.cudnnGetConvolutionForwardAlgorithm_v7,
                functions.cudnnGetConvolutionForwardWorkspaceSize,
                plan.images,
                plan.kernels,
                plan.results,
            ),
            Pass::ToImages => (
                functions.cudnnGetConvolutionBackwardDataAlgorithm_v7,
                functions.cudnnGetConvolutionBackwardDataWorkspaceSize,
                plan.kernels,
                plan.results,
                plan.images,
            ),
            Pass::ToKernels => (
                functions.cudnnGetConvolutionBackwardFilterAlgorithm_v7,
                functions.cudnnGetConvolutionBackwardFilterWorkspaceSize,
                plan.images,
                plan.results,
                plan.kernels,
            ),
        };
        let (mut ways, mut count) = ([Advice::default(); WAYS], 0);
        // SAFETY: the library writes at most so many.
        let status = unsafe {
            let asked = WAYS as c_int;
            let ways = ways.as_mut_ptr();
            ask(handle, first, second, plan.window, made, asked, &mut count, ways)
        };
        if status != 0 {
            return status;
        }
        let may = math(convolution.dtype, convolution.tf32);
        for way in &ways[..(count.max(0) as usize).min(WAYS)] {
            // Where only exact products are allowed a way is never asked to make others.
            let math = if may == FMA_MATH { FMA_MATH } else { way.math };
            if way.status != 0 || way.determinism != DETERMINISTIC {
                continue;
            }
            let mut room = 0;
            // SAFETY: the objects are those that the library was asked about.
            let usable = unsafe {
                let algorithm = way.algorithm;
                (functions.cudnnSetConvolutionMathType)(plan.window, math) == 0
                    && size(
                        handle,
                        first,
                        second,
                        plan.window,
                        made,
                        algorithm,
                        &mut room,
                    ) == 0
            };
            if usable && room <= ROOM {
                (plan.algorithm, plan.room) = (way.algorithm, room);
                return 0;
            }
        }
        NOT_SUPPORTED
    }

    /// Gives a plan's objects back.
    fn forget(&self, plan: Plan) {
        let functions = &self.functions;
        // SAFETY: the library made these objects, and nobody uses them any more.
        unsafe {
            for tensor in [plan.images, plan.results] {
                if !tensor.is_null() {
                    (functions.cudnnDestroyTensorDescriptor)(tensor);
                }
            }
            if !plan.kernels.is_null() {
                (functions.cudnnDestroyFilterDescriptor)(plan.kernels);
            }
            if !plan.window.is_null() {
                (functions.cudnnDestroyConvolutionDescriptor)(plan.window);
            }
        }
    }
}

/// The sizes of a convolution in the library's numbers.
struct Sizes {
    data_types: [c_int; 2],
    images: [c_int; 4],
    kernels: [c_int; 4],
    results: [c_int; 4],
    stride: [c_int; 2],
    padding: [c_int; 2],
}

impl Sizes {
    /// Nothing if a tensor has more elements than the library can count.
    fn of(convolution: &Convolution) -> Option<Sizes> {
        let fits = |shape: [usize; 4]| {
            let count = shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m))?;
            c_int::try_from(count).is_ok().then_some(shape.map(|length| length as c_int))
        };
        let short = |lengths: [usize; 2]| {
            let [a, b] = lengths.map(|length| c_int::try_from(length).ok());
            Some([a?, b?])
        };
        Some(Sizes {
            data_types: data_types(convolution.dtype)?,
            images: fits(convolution.images)?,
            kernels: fits(convolution.kernels)?,
            results: fits(convolution.results())?,
            stride: short(convolution.stride)?,
            padding: short(convolution.padding)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Convolution {
        Convolution {
            pass: Pass::Forward,
            dtype: DType::F32,
            tf32: false,
            images: [2, 3, 8, 8],
            kernels: [4, 3, 3, 3],
            places: [6, 6],
            stride: [1, 1],
            padding: [0, 0],
        }
    }

    #[test]
    fn the_library_takes_what_it_is_told_and_works_on_no_gpu_that_is_not_there() {
        let Some(library) = library::open(&NAMES) else { return };
        // SAFETY: these are the types in `cudnn.h`.
        let functions = unsafe { Functions::of(library) }.expect("all functions");
        let handle = ptr::null_mut();
        let state = State { handle, plans: HashMap::new(), recurrent: None };
        let dnn = Dnn { functions, state: Mutex::new(state) };
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let convolution = Convolution { dtype, ..small() };
            let sizes = Sizes::of(&convolution).unwrap();
            let none = ptr::null_mut();
            let mut plan = Plan {
                images: none,
                kernels: none,
                results: none,
                window: none,
                algorithm: 0,
                room: 0,
            };
            // SAFETY: nothing of the plan was made.
            assert_eq!(unsafe { dnn.describe(&convolution, &sizes, &mut plan) }, 0);
            dnn.forget(plan);
        }
        assert!(dnn.version().starts_with("cuDNN 9."), "{}", dnn.version());
        // SAFETY: it only looks for the library.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            assert!(Dnn::open(ptr::null_mut()).is_none());
        }
    }

    #[test]
    fn what_the_library_cannot_count_is_not_for_it() {
        let small = small();
        assert!(Sizes::of(&small).is_some_and(|sizes| sizes.results == [2, 4, 6, 6]));
        assert!(Sizes::of(&Convolution { dtype: DType::I64, ..small }).is_none());
        let large = Convolution { images: [1 << 20, 3, 1 << 10, 8], ..small };
        assert!(Sizes::of(&large).is_none());
        let endless = Convolution { images: [usize::MAX, 3, 8, 8], ..small };
        assert!(Sizes::of(&endless).is_none());
        assert_eq!(
            math(small.dtype, small.tf32),
            FMA_MATH,
            "exact unless it is allowed not to be"
        );
    }
}
