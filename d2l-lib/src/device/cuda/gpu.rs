//! One GPU: its driver, its memory, its kernels.

use std::{
    collections::HashMap,
    ffi::c_void,
    marker::PhantomData,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
};

use super::{
    allocator::{Allocator, Figures, Region},
    array::Array,
    blas::{Operands, Product},
    dnn::{Convolution, Sides},
    driver::{
        Address, Capacity, Driver, Failure, Function, Graph, Grid, Module, Program,
    },
    error::CudaError,
    recording::{self, Cells, Operation, Packed},
    recurrence::{Needs, Recurrence, Scene, Way},
};
use crate::dtype::DType;

/// What errors of recordings are told of.
const REPLAY: &str = "replay";

pub(crate) struct Gpu {
    index: usize,
    pub(super) driver: Arc<dyn Driver>,
    allocator: Allocator,
    /// Whether every launch is waited for, so that an error is that of the operation it names.
    waits: bool,
    modules: Mutex<HashMap<&'static str, Module>>,
    kernels: RwLock<HashMap<Kernel, Function>>,
    /// The room in which the library for products works, if there is one.
    room: OnceLock<Option<Region>>,
    /// See [`room_for_columns`](Gpu::room_for_columns).
    columns: OnceLock<usize>,
}

impl Packed {
    /// The arguments, which live elsewhere, as they are now.
    fn of(arguments: &Arguments) -> Packed {
        let mut packed = Packed::default();
        for (&place, &size) in
            arguments.places[..arguments.count].iter().zip(&arguments.sizes)
        {
            // SAFETY: `with` was given a reference to so many bytes, all of them initialised.
            packed.push(unsafe { std::slice::from_raw_parts(place.cast(), size) });
        }
        packed
    }

    /// Where each argument is.
    fn places(&mut self) -> Vec<*mut c_void> {
        let bytes = self.bytes.as_mut_ptr();
        // SAFETY: every start is inside.
        self.starts.iter().map(|&start| unsafe { bytes.add(start) }.cast()).collect()
    }
}

/// A kernel by name: `add`, `F32` is `add_f32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) types: (Option<DType>, Option<DType>),
}

impl Kernel {
    pub(crate) fn of(name: &'static str, dtype: DType) -> Kernel {
        Kernel { name, types: (Some(dtype), None) }
    }

    fn full_name(&self) -> String {
        let types = [self.types.0, self.types.1];
        let types = types.into_iter().flatten().map(|dtype| format!("_{dtype}"));
        self.name.to_owned() + &types.collect::<String>()
    }
}

/// What a kernel is called with: plain numbers and structures, laid out as in C.
pub(crate) struct Arguments<'a> {
    places: [*mut c_void; MOST_ARGUMENTS],
    /// How many bytes each has.
    sizes: [usize; MOST_ARGUMENTS],
    count: usize,
    values: PhantomData<&'a ()>,
}

/// No kernel has more.
const MOST_ARGUMENTS: usize = 12;

impl<'a> Arguments<'a> {
    pub(crate) fn new() -> Arguments<'a> {
        Arguments {
            places: [std::ptr::null_mut(); MOST_ARGUMENTS],
            sizes: [0; MOST_ARGUMENTS],
            count: 0,
            values: PhantomData,
        }
    }

    /// The next argument, a number or a structure without gaps.
    pub(crate) fn with<T: Copy>(mut self, value: &'a T) -> Arguments<'a> {
        self.places[self.count] = std::ptr::from_ref(value).cast_mut().cast();
        self.sizes[self.count] = size_of::<T>();
        self.count += 1;
        self
    }

    /// The next arguments: places in memory.
    pub(crate) fn with_all(self, places: &'a [u64]) -> Arguments<'a> {
        places.iter().fold(self, |all, place| all.with(place))
    }
}

impl Gpu {
    pub(crate) fn new(index: usize, driver: Arc<dyn Driver>) -> Gpu {
        Gpu {
            index,
            driver,
            allocator: Allocator::default(),
            waits: std::env::var_os("D2L_CUDA_SYNC").is_some_and(|value| value == "1"),
            modules: Mutex::new(HashMap::new()),
            kernels: RwLock::new(HashMap::new()),
            room: OnceLock::new(),
            columns: OnceLock::new(),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn name(&self) -> String {
        self.driver.name()
    }

    /// Blocks of threads that fill the device.
    pub(crate) fn blocks(&self) -> u32 {
        self.driver.blocks()
    }

    pub(crate) fn figures(&self) -> Figures {
        self.allocator.figures()
    }

    pub(crate) fn capacity(&self) -> Result<Capacity, CudaError> {
        self.told("memory", self.driver.capacity())
    }

    pub(crate) fn release_kept(&self) {
        self.allocator.clear(&*self.driver);
    }

    pub(super) fn told<T>(
        &self,
        operation: &'static str,
        result: Result<T, Failure>,
    ) -> Result<T, CudaError> {
        result.map_err(|failure| failure.of(operation, self.index))
    }

    /// Whether every launch is waited for.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Memory for so many bytes.
    pub(super) fn region(
        &self,
        operation: &'static str,
        bytes: usize,
    ) -> Result<Region, CudaError> {
        let pool = recording::pool(self.index);
        self.allocator.take(&*self.driver, self.index, operation, bytes, pool)
    }

    /// Takes memory back, once all is done that was queued.
    pub(super) fn give_back(&self, region: Region) {
        self.allocator.put(region);
    }

    pub(super) fn send(
        &self,
        operation: &'static str,
        bytes: &[u8],
        to: Address,
    ) -> Result<(), CudaError> {
        match bytes.len() {
            0 => Ok(()),
            _ => {
                recording::note(self.index, || Operation::Upload {
                    bytes: bytes.to_vec(),
                    to,
                });
                self.fill(operation, bytes, to)
            }
        }
    }

    /// Sends bytes that no recording has in it.
    pub(super) fn fill(
        &self,
        operation: &'static str,
        bytes: &[u8],
        to: Address,
    ) -> Result<(), CudaError> {
        self.told(operation, self.driver.upload(bytes, to))
    }

    pub(super) fn download(
        &self,
        operation: &'static str,
        from: Address,
        to: &mut [u8],
    ) -> Result<(), CudaError> {
        recording::hinder(format_args!("{operation}: elements come to main memory"));
        self.told(operation, self.driver.download(from, to))
    }

    pub(super) fn copy(
        &self,
        from: Address,
        to: Address,
        bytes: usize,
    ) -> Result<(), CudaError> {
        match bytes {
            0 => Ok(()),
            _ => {
                recording::note(self.index, || Operation::Copy { from, to, bytes });
                self.told("copy", self.driver.copy(from, to, bytes))
            }
        }
    }

    pub(super) fn zero(
        &self,
        operation: &'static str,
        at: Address,
        bytes: usize,
    ) -> Result<(), CudaError> {
        match bytes {
            0 => Ok(()),
            _ => {
                recording::note(self.index, || Operation::Zero { at, bytes });
                self.told(operation, self.driver.zero(at, bytes))
            }
        }
    }

    /// Queues a kernel; compiles its program at the first use.
    ///
    /// # Safety
    /// As for [`Driver::launch`].
    pub(crate) unsafe fn launch(
        &self,
        program: Program,
        kernel: Kernel,
        grid: Grid,
        mut arguments: Arguments,
    ) -> Result<(), CudaError> {
        let known = {
            let kernels = self.kernels.read().unwrap_or_else(PoisonError::into_inner);
            kernels.get(&kernel).copied()
        };
        let function = match known {
            Some(function) => function,
            None => self.find(program, kernel)?,
        };
        // SAFETY: the caller answers for the arguments.
        let launched = unsafe {
            let places = &mut arguments.places[..arguments.count];
            self.driver.launch(function, grid, places)
        };
        let note = || {
            let arguments = Packed::of(&arguments);
            Operation::Launch { function, grid, arguments }
        };
        self.queued(kernel.name, launched.map(|()| true), note).map(drop)
    }

    #[cold]
    fn find(&self, program: Program, kernel: Kernel) -> Result<Function, CudaError> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match modules.get(program.name) {
            Some(&module) => module,
            None => {
                let module = self.told(kernel.name, self.driver.load(program))?;
                modules.insert(program.name, module);
                module
            }
        };
        let function = self.driver.function(module, &kernel.full_name());
        let function = self.told(kernel.name, function)?;
        let mut kernels = self.kernels.write().unwrap_or_else(PoisonError::into_inner);
        kernels.insert(kernel, function);
        Ok(function)
    }

    /// The libraries that it computes with.
    pub(crate) fn libraries(&self) -> Vec<String> {
        self.driver.libraries()
    }

    /// The room in which the library for products works, if there is one: its own as long as the
    /// process lives. Where there is no memory for it the library must do without.
    fn room_for_products(&self, operation: &'static str) -> Option<Region> {
        let take = || {
            let nothing = Region { at: 0, bytes: 0 };
            match self.driver.room_for_products()? {
                0 => Some(nothing),
                // No recording's memory, for all share it.
                bytes => self
                    .allocator
                    .take(&*self.driver, self.index, operation, bytes, None)
                    .map_or(Some(nothing), Some),
            }
        };
        *self.room.get_or_init(take)
    }

    /// Whether a library makes products of matrices here.
    pub(crate) fn multiplies(&self) -> bool {
        self.room_for_products("matmul").is_some()
    }

    /// Queues a product of matrices by a library; whether there is one that does this.
    ///
    /// # Safety
    /// As for [`Driver::multiply`].
    pub(crate) unsafe fn multiply(
        &self,
        operation: &'static str,
        product: &Product,
        at: &Operands,
    ) -> Result<bool, CudaError> {
        let Some(room) = self.room_for_products(operation) else { return Ok(false) };
        // SAFETY: the caller answers for the operands; the room is nobody else's.
        let done = unsafe { self.driver.multiply(product, at, room) };
        self.queued(operation, done, || Operation::Multiply {
            product: *product,
            at: *at,
            room,
        })
    }

    /// Queues a convolution by a library; whether there is one that does this, and memory for the
    /// room that it needs.
    ///
    /// # Safety
    /// As for [`Driver::convolve`].
    pub(crate) unsafe fn convolve(
        &'static self,
        operation: &'static str,
        convolution: &Convolution,
        at: &Sides,
    ) -> Result<bool, CudaError> {
        let bytes = self.told(operation, self.driver.room_for(convolution))?;
        let Some(bytes) = bytes else { return Ok(false) };
        let Some(array) = self.spare(operation, DType::U8, bytes)? else {
            return Ok(false);
        };
        let room = array.region();
        // SAFETY: the caller answers for the sides; the room goes back when all is queued.
        let done = unsafe { self.driver.convolve(convolution, at, room) };
        self.queued(operation, done, || Operation::Convolve {
            convolution: *convolution,
            at: *at,
            room,
        })
    }

    /// What a library needs for recurrent layers, if there is one that makes these.
    pub(crate) fn needs(
        &self,
        operation: &'static str,
        recurrence: &Recurrence,
    ) -> Result<Option<Needs>, CudaError> {
        self.told(operation, self.driver.needs(recurrence))
    }

    /// Queues recurrent layers by a library; whether there is one that does this, and on the way
    /// there memory for so many bytes of room. On the way back nobody else can do it.
    ///
    /// # Safety
    /// As for [`Driver::recur`].
    pub(crate) unsafe fn recur(
        &'static self,
        operation: &'static str,
        recurrence: &Recurrence,
        at: &Scene,
        bytes: usize,
    ) -> Result<bool, CudaError> {
        let array = match at.way {
            Way::There { .. } => self.spare(operation, DType::U8, bytes)?,
            Way::Back { .. } => Some(self.array(operation, DType::U8, bytes)?),
        };
        let Some(array) = array else { return Ok(false) };
        let room = array.region();
        // SAFETY: the caller answers for the scene; the room goes back when all is queued.
        let done = unsafe { self.driver.recur(recurrence, at, room) };
        self.queued(operation, done, || Operation::Recur {
            recurrence: *recurrence,
            at: *at,
            room,
        })
    }

    /// Room for elements that a library needs, if there is memory for them: without the library
    /// less may do.
    pub(crate) fn spare(
        &'static self,
        operation: &'static str,
        dtype: DType,
        length: usize,
    ) -> Result<Option<Array>, CudaError> {
        match self.array(operation, dtype, length) {
            Ok(array) => Ok(Some(array)),
            Err(CudaError::OutOfMemory { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many bytes of columns a convolution by our own kernels has in memory at once: 256 MB,
    /// but at most a 64th of the memory.
    pub(crate) fn room_for_columns(&self) -> usize {
        const MOST: usize = 256 << 20;
        let room = || self.driver.capacity().map_or(MOST, |c| MOST.min(c.total / 64));
        *self.columns.get_or_init(room)
    }

    /// Whether something was queued, which is noted then; once it is done if that is to be waited for.
    fn queued(
        &self,
        operation: &'static str,
        done: Result<bool, Failure>,
        note: impl FnOnce() -> Operation,
    ) -> Result<bool, CudaError> {
        let done = self.told(operation, done)?;
        if done {
            recording::note(self.index, note);
        }
        if done && self.waits {
            self.told(operation, self.driver.synchronize())?;
        }
        Ok(done)
    }

    /// Begins to record what this thread asks of the GPU. Its memory is of `pool`, where the same
    /// requests get the same blocks.
    pub(crate) fn begin_recording(&self, pool: usize) {
        self.allocator.begin(pool);
        recording::begin(self.index, pool);
    }

    /// Gives a pool's memory to all.
    pub(crate) fn dissolve(&self, pool: usize) {
        self.allocator.dissolve(pool);
    }

    /// Makes what was recorded ready to be queued again, at once where the driver can do that.
    /// What was uploaded has to be in memory of the GPU by then.
    pub(crate) fn prepare(
        &self,
        operations: &[Operation],
    ) -> Result<Option<Graph>, CudaError> {
        let mut queue = || operations.iter().try_for_each(|one| self.again(one));
        self.told(REPLAY, self.driver.capture(&mut queue))
    }

    /// Queues what was recorded once more, with the next of the numbers that differ each time.
    pub(crate) fn replay(
        &self,
        operations: &[Operation],
        graph: Option<Graph>,
        cells: &mut Cells,
    ) -> Result<(), CudaError> {
        for (bytes, at) in cells.advance() {
            self.fill(REPLAY, bytes, at)?;
        }
        let done = match graph {
            Some(graph) => self.driver.replay(graph),
            None => operations.iter().try_for_each(|one| self.again(one)),
        };
        self.told(REPLAY, done)?;
        if self.waits {
            self.told(REPLAY, self.driver.synchronize())?;
        }
        Ok(())
    }

    pub(crate) fn forget(&self, graph: Graph) {
        self.driver.forget(graph);
    }

    fn again(&self, operation: &Operation) -> Result<(), Failure> {
        match operation {
            Operation::Launch { function, grid, arguments } => {
                let mut arguments = arguments.clone();
                let mut places = arguments.places();
                // SAFETY: so it was launched before, and the memory still belongs to the
                // recording.
                unsafe { self.driver.launch(*function, *grid, &mut places) }
            }
            Operation::Multiply { product, at, room } => {
                // SAFETY: as above.
                same(unsafe { self.driver.multiply(product, at, *room) })
            }
            Operation::Convolve { convolution, at, room } => {
                // SAFETY: as above.
                same(unsafe { self.driver.convolve(convolution, at, *room) })
            }
            Operation::Recur { recurrence, at, room } => {
                // SAFETY: as above.
                same(unsafe { self.driver.recur(recurrence, at, *room) })
            }
            Operation::Copy { from, to, bytes } => self.driver.copy(*from, *to, *bytes),
            Operation::Zero { at, bytes } => self.driver.zero(*at, *bytes),
            Operation::Upload { bytes, to } => self.driver.upload(bytes, *to),
        }
    }

    /// Waits until everything that was queued is done.
    pub(crate) fn synchronize(&self) -> Result<(), CudaError> {
        recording::hinder("it waits for the GPU");
        self.told("synchronize", self.driver.synchronize())
    }
}

/// What a library says that did the same before.
fn same(done: Result<bool, Failure>) -> Result<(), Failure> {
    match done? {
        true => Ok(()),
        false => {
            Err(Failure::Other("a library does not do again what it did".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::device::cuda::{Factor, Pass, mock::Mock, program};

    /// A GPU of which the test keeps the driver.
    fn mocked(total: usize) -> (&'static Gpu, Arc<Mock>) {
        let mock = Arc::new(Mock::with_memory(total));
        (Box::leak(Box::new(Gpu::new(3, mock.clone()))), mock)
    }

    fn launch(gpu: &Gpu) -> Result<(), CudaError> {
        let grid = Grid { blocks: [1; 3], threads: [32, 1, 1], shared: 0 };
        // SAFETY: the mock looks at no argument.
        unsafe {
            gpu.launch(
                program::ARITHMETIC,
                Kernel::of("add", DType::F32),
                grid,
                Arguments::new(),
            )
        }
    }

    #[test]
    fn out_of_memory_names_the_operation_and_leaves_arrays_usable() {
        let (gpu, _) = mocked(1 << 20);
        let array = gpu.upload("to_device", DType::U8, &[1, 2, 3]).unwrap();
        let error = gpu.array("matmul", DType::F32, 1 << 20).err().expect("too large");
        assert!(
            error.to_string().starts_with("matmul: out of memory on cuda:3"),
            "{error}"
        );
        let mut back = [0; 3];
        array.download("to_vec", &mut back).unwrap();
        assert_eq!(back, [1, 2, 3]);
        drop(array);
        assert!(
            gpu.array("add", DType::U8, 1 << 20).is_ok(),
            "what was freed can be had"
        );
    }

    #[test]
    fn a_failed_launch_is_told_by_the_call_that_made_it() {
        let (gpu, mock) = mocked(1 << 20);
        mock.fail("launch", Failure::Other("CUDA_ERROR_INVALID_VALUE".to_owned()));
        let error = launch(gpu).unwrap_err().to_string();
        assert_eq!(error, "add failed on cuda:3: CUDA_ERROR_INVALID_VALUE");
        assert!(launch(gpu).is_ok(), "the next one works");
        assert_eq!(mock.launches.load(Relaxed), 1);
    }

    #[test]
    fn launches_are_waited_for_only_if_asked() {
        let mock = Arc::new(Mock::with_memory(1 << 20));
        let mut gpu = Gpu::new(0, mock.clone());
        gpu.waits = false;
        launch(&gpu).unwrap();
        assert_eq!(mock.synchronizations.load(Relaxed), 0);
        gpu.waits = true;
        launch(&gpu).unwrap();
        assert_eq!(mock.synchronizations.load(Relaxed), 1);
        mock.fail("synchronize", Failure::Other("CUDA_ERROR_ILLEGAL_ADDRESS".to_owned()));
        let error = launch(&gpu).unwrap_err().to_string();
        assert_eq!(error, "add failed on cuda:0: CUDA_ERROR_ILLEGAL_ADDRESS");
    }

    #[test]
    fn a_missing_library_and_a_kernel_that_does_not_compile_are_said() {
        let (gpu, mock) = mocked(1 << 20);
        mock.fail("load", Failure::Library("libnvrtc.so"));
        let error = launch(gpu).unwrap_err().to_string();
        assert!(
            error.starts_with("add: the library libnvrtc.so was not found"),
            "{error}"
        );
        let log = "arithmetic.cu(3): error".to_owned();
        mock.fail("load", Failure::Compile { program: "arithmetic.cu", log });
        let error = launch(gpu).unwrap_err().to_string();
        assert!(error.contains("arithmetic.cu(3): error"), "{error}");
        assert!(launch(gpu).is_ok());
    }

    /// A product of two matrices of 2 rows and columns.
    fn multiply(gpu: &Gpu) -> Result<bool, CudaError> {
        let factor = Factor::new([2, 2], [2, 1], 0).unwrap();
        let product = Product {
            dtype: DType::F32,
            tf32: false,
            sizes: [2; 3],
            count: 1,
            factors: [factor; 2],
            bias: false,
        };
        let at = Operands { factors: [0; 2], bias: 0, out: 0 };
        // SAFETY: the mock looks at no operand.
        unsafe { gpu.multiply("matmul", &product, &at) }
    }

    /// A convolution of one image with one kernel.
    fn convolve(gpu: &'static Gpu) -> Result<bool, CudaError> {
        let convolution = Convolution {
            pass: Pass::Forward,
            dtype: DType::F32,
            tf32: false,
            images: [1, 1, 3, 3],
            kernels: [1, 1, 2, 2],
            places: [2, 2],
            stride: [1, 1],
            padding: [0, 0],
        };
        let at = Sides { images: 0, kernels: 0, results: 0 };
        // SAFETY: the mock looks at no side.
        unsafe { gpu.convolve("conv2d", &convolution, &at) }
    }

    /// The way there through a recurrent layer, if there is a library for it.
    fn recur(gpu: &'static Gpu) -> Result<bool, CudaError> {
        recur_by(gpu, Way::There { last: [0; 2] })
    }

    fn recur_by(gpu: &'static Gpu, way: Way) -> Result<bool, CudaError> {
        let recurrence = Recurrence::small();
        let scene = Scene {
            inputs: 0,
            outputs: 0,
            first: [0; 2],
            weights: 0,
            trace: Region { at: 0, bytes: 0 },
            way,
        };
        let Some(needs) = gpu.needs("lstm", &recurrence)? else { return Ok(false) };
        // SAFETY: the mock looks at nothing of the scene.
        unsafe { gpu.recur("lstm", &recurrence, &scene, needs.room) }
    }

    fn with_libraries(total: usize, room: usize) -> (&'static Gpu, Arc<Mock>) {
        let mock = Arc::new(Mock::with_libraries(total, room));
        (Box::leak(Box::new(Gpu::new(3, mock.clone()))), mock)
    }

    #[test]
    fn what_no_library_does_is_left_to_kernels() {
        let (gpu, mock) = mocked(1 << 20);
        assert!(!gpu.multiplies());
        assert_eq!((multiply(gpu), convolve(gpu)), (Ok(false), Ok(false)));
        assert_eq!(recur(gpu), Ok(false));
        assert_eq!(mock.used(), 0, "nobody needs room");
        assert!(gpu.libraries().is_empty());
    }

    #[test]
    fn libraries_get_room_products_always_the_same_one() {
        let (gpu, mock) = with_libraries(1 << 20, 3000);
        assert!(gpu.multiplies());
        assert_eq!((multiply(gpu), multiply(gpu)), (Ok(true), Ok(true)));
        let rooms = mock.products.lock().unwrap().clone();
        assert!(rooms[0].bytes >= 3000 && rooms[0] == rooms[1]);
        let in_use = gpu.figures().in_use;
        assert_eq!(convolve(gpu), Ok(true));
        let room = mock.convolutions.lock().unwrap()[0];
        assert!(room.bytes == 3000 && room.at != rooms[0].at && room.at != 0);
        assert_eq!(gpu.figures().in_use, in_use, "a convolution's room goes back");
        assert_eq!(recur(gpu), Ok(true));
        let room = mock.recurrences.lock().unwrap()[0];
        assert!(room.bytes == 3000 && room.at != rooms[0].at && room.at != 0);
        assert_eq!(gpu.figures().in_use, in_use, "and so does a recurrent layer's");
    }

    #[test]
    fn where_there_is_no_memory_for_room_products_do_without_and_kernels_do_the_rest() {
        let (gpu, mock) = with_libraries(1 << 20, 2 << 20);
        assert_eq!(multiply(gpu), Ok(true));
        assert_eq!(*mock.products.lock().unwrap(), [Region { at: 0, bytes: 0 }]);
        assert_eq!((convolve(gpu), recur(gpu)), (Ok(false), Ok(false)));
        assert!(mock.convolutions.lock().unwrap().is_empty());
        // No kernels take the way back.
        let back =
            Way::Back { outputs: 0, last: [0; 2], inputs: 0, first: [0; 2], weights: 0 };
        let error = recur_by(gpu, back).unwrap_err();
        assert!(matches!(error, CudaError::OutOfMemory { .. }), "{error}");
        assert!(mock.recurrences.lock().unwrap().is_empty());
        assert!(gpu.array("add", DType::U8, 1 << 20).is_ok(), "all of it can be had");
    }

    #[test]
    fn a_library_that_fails_is_told_by_the_operation() {
        let (gpu, mock) = with_libraries(1 << 20, 512);
        let failure = || Failure::Other("CUBLAS_STATUS_EXECUTION_FAILED".to_owned());
        let text = "failed on cuda:3: CUBLAS_STATUS_EXECUTION_FAILED";
        mock.fail("multiply", failure());
        assert_eq!(multiply(gpu).unwrap_err().to_string(), format!("matmul {text}"));
        for call in ["room_for", "convolve"] {
            mock.fail(call, failure());
            assert_eq!(convolve(gpu).unwrap_err().to_string(), format!("conv2d {text}"));
        }
        for call in ["needs", "recur"] {
            mock.fail(call, failure());
            assert_eq!(recur(gpu).unwrap_err().to_string(), format!("lstm {text}"));
        }
        let next = [multiply(gpu), convolve(gpu), recur(gpu)];
        assert_eq!(next, [Ok(true), Ok(true), Ok(true)], "the next ones work");
    }

    #[test]
    fn what_libraries_do_is_recorded_and_done_again() {
        let (gpu, mock) = with_libraries(1 << 20, 512);
        gpu.begin_recording(7);
        assert_eq!((multiply(gpu), convolve(gpu)), (Ok(true), Ok(true)));
        assert_eq!(recur(gpu), Ok(true));
        let recorded = recording::end().unwrap().operations;
        let kinds = matches!(
            recorded[..],
            [
                Operation::Multiply { .. },
                Operation::Convolve { .. },
                Operation::Recur { .. }
            ]
        );
        assert!(kinds, "{recorded:?}");
        let mut cells = Cells::default();
        gpu.replay(&recorded, None, &mut cells).unwrap();
        let (products, convolutions) = (
            mock.products.lock().unwrap().clone(),
            mock.convolutions.lock().unwrap().clone(),
        );
        assert!(products.len() == 2 && products[0] == products[1]);
        assert!(convolutions.len() == 2 && convolutions[0] == convolutions[1]);
        let recurrences = mock.recurrences.lock().unwrap().clone();
        assert!(recurrences.len() == 2 && recurrences[0] == recurrences[1]);
        mock.fail("multiply", Failure::Other("CUBLAS_STATUS_INTERNAL_ERROR".to_owned()));
        let error = gpu.replay(&recorded, None, &mut cells).unwrap_err().to_string();
        assert_eq!(error, "replay failed on cuda:3: CUBLAS_STATUS_INTERNAL_ERROR");
    }

    #[test]
    fn libraries_are_waited_for_only_if_asked() {
        let mock = Arc::new(Mock::with_libraries(1 << 20, 0));
        let gpu: &'static mut Gpu = Box::leak(Box::new(Gpu::new(0, mock.clone())));
        gpu.waits = false;
        multiply(gpu).unwrap();
        assert_eq!(mock.synchronizations.load(Relaxed), 0);
        gpu.waits = true;
        let gpu: &'static Gpu = gpu;
        multiply(gpu).unwrap();
        convolve(gpu).unwrap();
        recur(gpu).unwrap();
        assert_eq!(mock.synchronizations.load(Relaxed), 3);
    }

    #[test]
    fn copies_that_fail_say_so() {
        let (gpu, mock) = mocked(1 << 20);
        let lost = || Failure::Other("CUDA_ERROR_DEVICE_UNAVAILABLE".to_owned());
        mock.fail("upload", lost());
        assert!(gpu.upload("to_device", DType::U8, &[1]).is_err());
        assert_eq!(gpu.figures().in_use, 0, "nothing leaks");
        let array = gpu.upload("to_device", DType::U8, &[1]).unwrap();
        mock.fail("download", lost());
        assert!(array.download("item", &mut [0]).is_err());
        mock.fail("copy", lost());
        assert!(array.copied().is_err());
        assert_eq!(gpu.figures().in_use, 512);
    }
}
