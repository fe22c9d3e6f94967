//! Products of matrices, and how cuBLASLt makes them.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::{Mutex, PoisonError},
};

use super::{
    allocator::Region,
    driver::{Address, Failure},
    library::{self, functions},
};
use crate::dtype::DType;

/// A product of matrices, `(m, k) × (k, n) → (m, n)`, or many of the same sizes; the results lie
/// row after row, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Product {
    pub(crate) dtype: DType,
    /// Whether factors of `f32` may be rounded to TF32.
    pub(crate) tf32: bool,
    /// m, n and k.
    pub(crate) sizes: [usize; 3],
    /// How many products.
    pub(crate) count: usize,
    pub(crate) factors: [Factor; 2],
    /// Whether a row of `n` elements is added to every row of the results.
    pub(crate) bias: bool,
}

/// How the elements of a factor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Factor {
    /// Which elements lie one behind the other.
    pub(crate) along: Along,
    /// Elements from one row, or column, to the next.
    pub(crate) lead: usize,
    /// Elements from one matrix to the next; 0 if there is one for all.
    pub(crate) step: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Along {
    Rows,
    Columns,
}

/// Where the operands of a product are; a bias that there is not is at 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operands {
    pub(crate) factors: [Address; 2],
    pub(crate) bias: Address,
    pub(crate) out: Address,
}

impl Factor {
    /// A factor with these steps from row to row and from column to column, if its rows or its
    /// columns lie in one piece and apart from each other.
    pub(crate) fn new(
        shape: [usize; 2],
        steps: [usize; 2],
        step: usize,
    ) -> Option<Factor> {
        let lead = |length: usize, count: usize, within: usize, across: usize| {
            let lead = if count == 1 { length } else { across };
            ((length == 1 || within == 1) && lead >= length).then_some(lead)
        };
        let ([rows, columns], [down, right]) = (shape, steps);
        if let Some(lead) = lead(columns, rows, right, down) {
            return Some(Factor { along: Along::Rows, lead, step });
        }
        let lead = lead(rows, columns, down, right)?;
        Some(Factor { along: Along::Columns, lead, step })
    }

    /// Whether the rows of the next matrix follow those of one with so many rows.
    pub(crate) fn is_followed_by_the_next(&self, rows: usize) -> bool {
        self.along == Along::Rows && self.step == rows * self.lead
    }
}

/// A bias must begin at a multiple of so many bytes.
pub(crate) const BIAS_ALIGNMENT: u64 = 16;

type Handle = *mut c_void;
type Status = c_int;

functions!(Functions {
    cublasLtGetVersion: fn() -> usize;
    cublasLtGetStatusName: fn(Status) -> *const c_char;
    cublasLtCreate: fn(*mut Handle) -> Status;
    cublasLtMatmulDescCreate: fn(*mut Handle, c_int, c_int) -> Status;
    cublasLtMatmulDescSetAttribute: fn(Handle, c_int, *const c_void, usize) -> Status;
    cublasLtMatmulDescDestroy: fn(Handle) -> Status;
    cublasLtMatrixLayoutCreate: fn(*mut Handle, c_int, u64, u64, i64) -> Status;
    cublasLtMatrixLayoutSetAttribute: fn(Handle, c_int, *const c_void, usize) -> Status;
    cublasLtMatrixLayoutDestroy: fn(Handle) -> Status;
    cublasLtMatmulPreferenceCreate: fn(*mut Handle) -> Status;
    cublasLtMatmulPreferenceSetAttribute: fn(Handle, c_int, *const c_void, usize) -> Status;
    cublasLtMatmulPreferenceDestroy: fn(Handle) -> Status;
    cublasLtMatmulAlgoGetHeuristic:
        fn(Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Advice, *mut c_int) -> Status;
    cublasLtMatmul:
        fn(
            Handle, Handle, *const c_void, *const c_void, Handle, *const c_void, Handle,
            *const c_void, *const c_void, Handle, *mut c_void, Handle, *const Algorithm,
            *mut c_void, usize, *mut c_void
        ) -> Status;
});

/// `cublasLtMatmulAlgo_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Algorithm([u64; 8]);

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Advice {
    algorithm: Algorithm,
    room: usize,
    status: Status,
    waves: f32,
    reserved: [c_int; 4],
}

/// The names that the library has.
pub(super) const NAMES: [&str; 3] =
    ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"];

// Numbers of `cublasLt.h`, `cublas_api.h` and `library_types.h`.
const INVALID_VALUE: Status = 7;
const ARCH_MISMATCH: Status = 8;
const NOT_SUPPORTED: Status = 15;
const TRANSPOSE_A: c_int = 3;
const TRANSPOSE_B: c_int = 4;
const EPILOGUE: c_int = 7;
const BIAS_POINTER: c_int = 8;
const EPILOGUE_BIAS: c_int = 4;
const BATCH_COUNT: c_int = 5;
const BATCH_STRIDE: c_int = 6;
const MAX_WORKSPACE_BYTES: c_int = 1;
const REDUCTION_SCHEME_MASK: c_int = 3;
const MIN_ALIGNMENT: [c_int; 4] = [5, 6, 7, 8];
/// Partial sums are added in the type of the sums, never in that of the result.
const REDUCTION_IN_COMPUTE_TYPE: u32 = 2;

/// `cudaDataType` of elements.
fn data_type(dtype: DType) -> Option<c_int> {
    match dtype {
        DType::F32 => Some(0),
        DType::F64 => Some(1),
        DType::F16 => Some(2),
        DType::BF16 => Some(14),
        DType::Bool | DType::U8 | DType::I64 => None,
    }
}

/// `cublasComputeType_t` and the `cudaDataType` of its numbers.
fn compute_type(product: &Product) -> [c_int; 2] {
    match product.dtype {
        DType::F64 => [70, 1],
        DType::F32 if product.tf32 => [77, 0],
        _ => [68, 0],
    }
}

/// cuBLASLt on one GPU.
pub(super) struct Blas {
    functions: Functions,
    handle: Handle,
    /// What the library answered for products it was asked before: a plan, or that it has none.
    plans: Mutex<HashMap<Question, Option<Plan>>>,
}

/// So many plans are kept.
const KEPT: usize = 4096;

/// All that a plan depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    product: Product,
    /// How far the addresses of the right and the left factor, the result and the bias are
    /// aligned.
    alignments: [u32; 4],
    room: usize,
}

/// The library's objects for a product. It counts columns first: what it makes is the transposed
/// result, of the right factor and the left one.
struct Plan {
    operation: Handle,
    /// Of the right factor, the left one and the result.
    layouts: [Handle; 3],
    algorithm: Algorithm,
}

impl Blas {
    /// The library, if it is here and works. The GPU's context must be that of this thread.
    pub(super) fn open() -> Option<Blas> {
        NAMES.iter().find_map(|name| {
            // SAFETY: these are the types in `cublasLt.h`.
            let functions = unsafe { Functions::of(library::open(&[name])?) }?;
            let mut handle = ptr::null_mut();
            // SAFETY: the library writes one pointer.
            let status = unsafe { (functions.cublasLtCreate)(&mut handle) };
            if status != 0 {
                // One that has begun to look for GPUs is not unloaded.
                std::mem::forget(functions);
                return None;
            }
            Some(Blas { functions, handle, plans: Mutex::new(HashMap::new()) })
        })
    }

    /// The library's name and version: `cuBLASLt 13.1.0`.
    pub(super) fn version(&self) -> String {
        // SAFETY: it returns a number.
        let version = unsafe { (self.functions.cublasLtGetVersion)() };
        format!("cuBLASLt {}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }

    /// What a status says.
    fn told(&self, status: Status) -> Result<(), Failure> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: it returns a text that stays.
        let name = unsafe {
            let name = (self.functions.cublasLtGetStatusName)(status);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy())
        };
        let name = name.unwrap_or_else(|| status.to_string().into());
        Err(Failure::Other(format!("cuBLASLt: {name}")))
    }

    /// Queues a product, if the library supports it.
    ///
    /// # Safety
    /// The operands must be in the GPU's memory and large enough, and so must the room; the
    /// stream must be of the GPU's context, which must be that of this thread.
    pub(super) unsafe fn multiply(
        &self,
        product: &Product,
        at: &Operands,
        room: Region,
        stream: *mut c_void,
    ) -> Result<bool, Failure> {
        let [left, right] = at.factors;
        let alignments = [right, left, at.out, at.bias].map(alignment);
        let question = Question { product: *product, alignments, room: room.bytes };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if !plans.contains_key(&question) {
            let plan = self.plan(&question, at.bias)?;
            if plans.len() >= KEPT {
                plans.drain().for_each(|(_, plan)| self.forget(plan));
            }
            plans.insert(question, plan);
        }
        let Some(Some(plan)) = plans.get(&question) else { return Ok(false) };
        // Numbers in the type of the sums.
        let ([one, zero], [one_f64, zero_f64]) = ([1.0_f32, 0.0], [1.0_f64, 0.0]);
        let is_double = product.dtype == DType::F64;
        let number = |single: &f32, double: &f64| -> *const c_void {
            if is_double {
                ptr::from_ref(double).cast()
            } else {
                ptr::from_ref(single).cast()
            }
        };
        let [right_layout, left_layout, out_layout] = plan.layouts;
        // SAFETY: the objects are those of the plan, which nobody else uses meanwhile; the caller
        // answers for the addresses.
        let status = unsafe {
            if product.bias {
                self.set_bias(plan.operation, at.bias)?;
            }
            (self.functions.cublasLtMatmul)(
                self.handle,
                plan.operation,
                number(&one, &one_f64),
                right as *const c_void,
                right_layout,
                left as *const c_void,
                left_layout,
                number(&zero, &zero_f64),
                at.out as *const c_void,
                out_layout,
                at.out as *mut c_void,
                out_layout,
                &plan.algorithm,
                room.at as *mut c_void,
                room.bytes,
                stream,
            )
        };
        if status == NOT_SUPPORTED {
            // It knows better now than when it was asked.
            let plan = plans.insert(question, None).flatten();
            self.forget(plan);
            return Ok(false);
        }
        self.told(status).map(|()| true)
    }

    /// # Safety
    /// The operation must be one of the library's.
    unsafe fn set_bias(&self, operation: Handle, bias: Address) -> Result<(), Failure> {
        // SAFETY: the library reads one pointer.
        self.told(unsafe {
            let bytes = size_of::<Address>();
            let set = self.functions.cublasLtMatmulDescSetAttribute;
            set(operation, BIAS_POINTER, ptr::from_ref(&bias).cast(), bytes)
        })
    }

    /// How the library makes a product, if it does.
    fn plan(&self, question: &Question, bias: Address) -> Result<Option<Plan>, Failure> {
        let product = &question.product;
        let Some(data_type) = data_type(product.dtype) else { return Ok(None) };
        if c_int::try_from(product.count).is_err() {
            return Ok(None);
        }
        let mut plan = Plan {
            operation: ptr::null_mut(),
            layouts: [ptr::null_mut(); 3],
            algorithm: Algorithm::default(),
        };
        let mut preference = ptr::null_mut();
        // SAFETY: all that `describe` and `choose` get are objects of the library's, made by it
        // before they are used.
        let status = unsafe {
            let described = self.describe(product, data_type, bias, &mut plan);
            let status = match described {
                0 => self.choose(question, &mut preference, &mut plan),
                failed => failed,
            };
            if !preference.is_null() {
                (self.functions.cublasLtMatmulPreferenceDestroy)(preference);
            }
            status
        };
        if status == 0 {
            return Ok(Some(plan));
        }
        self.forget(Some(plan));
        match status {
            INVALID_VALUE | ARCH_MISMATCH | NOT_SUPPORTED => Ok(None),
            failed => self.told(failed).map(|()| None),
        }
    }

    /// Makes the objects that say what is to be done.
    ///
    /// # Safety
    /// The plan's objects must not be made yet.
    unsafe fn describe(
        &self,
        product: &Product,
        data_type: c_int,
        bias: Address,
        plan: &mut Plan,
    ) -> Status {
        let functions = &self.functions;
        let [m, n, k] = product.sizes;
        let [left, right] = product.factors;
        let [compute, scale] = compute_type(product);
        let value = |value: &c_int| -> *const c_void { ptr::from_ref(value).cast() };
        // Rows that lie one behind the other are columns to the library.
        let turned = |factor: Factor| c_int::from(factor.along == Along::Columns);
        let by_columns = |factor: Factor, [rows, columns]: [usize; 2]| match factor.along
        {
            Along::Rows => [columns, rows, factor.lead, factor.step],
            Along::Columns => [rows, columns, factor.lead, factor.step],
        };
        let shapes =
            [by_columns(right, [k, n]), by_columns(left, [m, k]), [n, m, n, m * n]];
        let set = functions.cublasLtMatmulDescSetAttribute;
        let size = size_of::<c_int>();
        // SAFETY: the library writes pointers to objects, and reads numbers of these sizes.
        unsafe {
            let made =
                (functions.cublasLtMatmulDescCreate)(&mut plan.operation, compute, scale);
            if made != 0 {
                return made;
            }
            let mut statuses = vec![
                set(plan.operation, TRANSPOSE_A, value(&turned(right)), size),
                set(plan.operation, TRANSPOSE_B, value(&turned(left)), size),
            ];
            if product.bias {
                let bias = ptr::from_ref(&bias).cast();
                statuses.extend([
                    set(plan.operation, EPILOGUE, value(&EPILOGUE_BIAS), size),
                    set(plan.operation, BIAS_POINTER, bias, size_of::<Address>()),
                ]);
            }
            for (layout, [rows, columns, lead, step]) in
                plan.layouts.iter_mut().zip(shapes)
            {
                let [rows, columns] = [rows as u64, columns as u64];
                let create = functions.cublasLtMatrixLayoutCreate;
                let made = create(layout, data_type, rows, columns, lead as i64);
                if made != 0 {
                    return made;
                }
                let set = functions.cublasLtMatrixLayoutSetAttribute;
                let (count, step) = (product.count as c_int, step as i64);
                let stride = ptr::from_ref(&step).cast();
                statuses.extend([
                    set(*layout, BATCH_COUNT, value(&count), size),
                    set(*layout, BATCH_STRIDE, stride, size_of::<i64>()),
                ]);
            }
            statuses.into_iter().find(|&status| status != 0).unwrap_or(0)
        }
    }

    /// Asks the library for its way to do what the plan describes.
    ///
    /// # Safety
    /// The plan's objects must have been made; what becomes of `preference` is the caller's.
    unsafe fn choose(
        &self,
        question: &Question,
        preference: &mut Handle,
        plan: &mut Plan,
    ) -> Status {
        let functions = &self.functions;
        let [right_layout, left_layout, out_layout] = plan.layouts;
        let [right, left, out, _] = question.alignments;
        let room = question.room as u64;
        let number = |value: &u32| -> *const c_void { ptr::from_ref(value).cast() };
        let (mut advice, mut count) = (Advice::default(), 0);
        // SAFETY: the library reads numbers of these sizes, and writes at most one advice.
        unsafe {
            let made = (functions.cublasLtMatmulPreferenceCreate)(preference);
            if made != 0 {
                return made;
            }
            let set = functions.cublasLtMatmulPreferenceSetAttribute;
            let size = size_of::<u32>();
            let mut statuses = vec![
                set(
                    *preference,
                    MAX_WORKSPACE_BYTES,
                    ptr::from_ref(&room).cast(),
                    size_of::<u64>(),
                ),
                set(
                    *preference,
                    REDUCTION_SCHEME_MASK,
                    number(&REDUCTION_IN_COMPUTE_TYPE),
                    size,
                ),
            ];
            for (attribute, alignment) in
                MIN_ALIGNMENT.into_iter().zip([right, left, out, out])
            {
                statuses.push(set(*preference, attribute, number(&alignment), size));
            }
            if let Some(failed) = statuses.into_iter().find(|&status| status != 0) {
                return failed;
            }
            let status = (functions.cublasLtMatmulAlgoGetHeuristic)(
                self.handle,
                plan.operation,
                right_layout,
                left_layout,
                out_layout,
                out_layout,
                *preference,
                1,
                &mut advice,
                &mut count,
            );
            plan.algorithm = advice.algorithm;
            match (status, count) {
                (0, 0) => NOT_SUPPORTED,
                (0, _) => advice.status,
                (failed, _) => failed,
            }
        }
    }

    /// Gives a plan's objects back.
    fn forget(&self, plan: Option<Plan>) {
        let Some(Plan { operation, layouts, .. }) = plan else { return };
        // SAFETY: the library made these objects, and nobody uses them any more.
        unsafe {
            for layout in layouts.into_iter().filter(|layout| !layout.is_null()) {
                (self.functions.cublasLtMatrixLayoutDestroy)(layout);
            }
            if !operation.is_null() {
                (self.functions.cublasLtMatmulDescDestroy)(operation);
            }
        }
    }
}

/// The greatest power of two, up to 256, of which an address is a multiple.
fn alignment(at: Address) -> u32 {
    1 << at.trailing_zeros().min(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_lie_in_rows_or_in_columns_or_need_a_copy() {
        let factor = |shape, steps| {
            Factor::new(shape, steps, 7).map(|f| (f.along, f.lead)).ok_or("a copy")
        };
        assert_eq!(factor([3, 4], [4, 1]), Ok((Along::Rows, 4)));
        assert_eq!(factor([3, 4], [9, 1]), Ok((Along::Rows, 9)), "a part of each row");
        assert_eq!(factor([3, 4], [1, 3]), Ok((Along::Columns, 3)));
        assert_eq!(factor([3, 4], [8, 2]), Err("a copy"), "every second column");
        assert_eq!(factor([3, 4], [1, 1]), Err("a copy"), "rows overlap");
        assert_eq!(factor([3, 4], [0, 1]), Err("a copy"), "one row stretched");
        assert_eq!(factor([3, 1], [5, 0]), Ok((Along::Rows, 5)), "one column");
        assert_eq!(factor([1, 4], [0, 1]), Ok((Along::Rows, 4)), "one row");
        assert_eq!(factor([1, 4], [0, 3]), Ok((Along::Columns, 3)), "one row, far apart");
        assert_eq!(factor([1, 1], [0, 0]), Ok((Along::Rows, 1)));
    }

    #[test]
    fn the_library_takes_what_it_is_told_and_works_on_no_gpu_that_is_not_there() {
        let Some(library) = library::open(&NAMES) else { return };
        // SAFETY: these are the types in `cublasLt.h`.
        let functions = unsafe { Functions::of(library) }.expect("all functions");
        let handle = ptr::null_mut();
        let blas = Blas { functions, handle, plans: Mutex::new(HashMap::new()) };
        let types = [DType::F32, DType::F64, DType::F16, DType::BF16];
        for (dtype, tf32) in
            types.map(|dtype| (dtype, false)).into_iter().chain([(DType::F32, true)])
        {
            let product = Product {
                dtype,
                tf32,
                sizes: [3, 4, 5],
                count: 2,
                factors: [
                    Factor::new([3, 5], [5, 1], 15).unwrap(),
                    Factor::new([5, 4], [1, 5], 0).unwrap(),
                ],
                bias: true,
            };
            let data = data_type(dtype).unwrap();
            let mut plan = Plan {
                operation: ptr::null_mut(),
                layouts: [ptr::null_mut(); 3],
                algorithm: Algorithm::default(),
            };
            // SAFETY: nothing of the plan was made.
            assert_eq!(unsafe { blas.describe(&product, data, 256, &mut plan) }, 0);
            blas.forget(Some(plan));
        }
        assert!(blas.version().starts_with("cuBLASLt 1"), "{}", blas.version());
        assert_eq!(
            blas.told(NOT_SUPPORTED),
            Err(Failure::Other("cuBLASLt: CUBLAS_STATUS_NOT_SUPPORTED".to_owned()))
        );
        // SAFETY: it only looks for the library.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            assert!(Blas::open().is_none());
        }
    }

    #[test]
    fn addresses_are_aligned_up_to_256_bytes() {
        assert_eq!([512, 256, 48, 6, 1, 0].map(alignment), [256, 256, 16, 2, 1, 256]);
    }
}
