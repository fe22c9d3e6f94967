//! A GPU of NVIDIA's, through `cudarc`, whose libraries are looked for when they are needed.

use std::{
    ffi::{CString, c_int, c_void},
    fs,
    sync::{Mutex, OnceLock, PoisonError},
};

use cudarc::{
    driver::{result, sys},
    nvrtc,
};

use super::{
    allocator::Region,
    blas::{Blas, Operands, Product},
    dnn::{Convolution, Dnn, Sides},
    driver::{
        Address, Capacity, Driver, Failure, Function, Graph, Grid, Mark, Module, Peer,
        Program,
    },
    error::CudaError,
    library, program,
    recurrence::{Needs, Recurrence, Scene},
    transfer::Transfers,
};

/// The oldest driver that we use: that of CUDA 12.0, with memory in the order of the stream.
const OLDEST: c_int = 12_000;

pub(super) struct Nvidia {
    context: sys::CUcontext,
    stream: sys::CUstream,
    transfers: Transfers,
    name: String,
    multiprocessors: u32,
    /// The name of its architecture: `sm_90`.
    architecture: String,
    /// Whether its architecture is that of an H100 (`sm_90`) or a later one.
    is_hopper: bool,
    /// Libraries, each looked for when it is first needed.
    blas: OnceLock<Option<Blas>>,
    dnn: OnceLock<Option<Dnn>>,
    /// The contexts whose memory it was asked to reach without a detour.
    peers: Mutex<Vec<Peer>>,
}

// SAFETY: contexts and streams may be used from every thread; a thread that does makes the
// context its own first.
unsafe impl Send for Nvidia {}
// SAFETY: as above.
unsafe impl Sync for Nvidia {}

/// How many GPUs there are.
pub(super) fn count() -> Result<usize, CudaError> {
    // SAFETY: it only looks for the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    let cannot = |error: result::DriverError| CudaError::Driver { reason: reason(error) };
    let mut version = 0;
    // SAFETY: the driver writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(cannot)?;
    if let Some(reason) = too_old(version) {
        return Err(CudaError::Driver { reason });
    }
    result::init().map_err(cannot)?;
    Ok(result::device::get_count().map_err(cannot)? as usize)
}

/// Why a driver for this version of CUDA cannot be used, if it cannot.
fn too_old(version: c_int) -> Option<String> {
    let name = |v: c_int| format!("{}.{}", v / 1000, v % 1000 / 10);
    let (own, oldest) = (name(version), name(OLDEST));
    (version < OLDEST)
        .then(|| format!("it is for CUDA {own}, and {oldest} or later is needed"))
}

fn reason(error: result::DriverError) -> String {
    let text = |found: &std::ffi::CStr| found.to_string_lossy().into_owned();
    match (error.error_name().map(text), error.error_string().map(text)) {
        (Ok(name), Ok(what)) => format!("{name}: {what}"),
        _ => format!("error {}", error.0 as u32),
    }
}

pub(super) fn failure(error: result::DriverError) -> Failure {
    match error.0 {
        sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY => Failure::OutOfMemory,
        _ => Failure::Other(reason(error)),
    }
}

impl Nvidia {
    pub(super) fn open(index: usize) -> Result<Nvidia, Failure> {
        use sys::CUdevice_attribute_enum as Attribute;
        let device = result::device::get(index as c_int).map_err(failure)?;
        // SAFETY: the device exists; its context is never given back.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(failure)?;
        // SAFETY: the context was retained just now.
        unsafe { result::ctx::set_current(context) }.map_err(failure)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(failure)?;
        let name = result::device::get_name(device).map_err(failure)?;
        let number = |attribute| {
            // SAFETY: the device exists.
            unsafe { result::device::get_attribute(device, attribute) }.map_err(failure)
        };
        let major = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let multiprocessors =
            number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(Nvidia {
            context,
            stream,
            transfers: Transfers::new(stream)?,
            name,
            multiprocessors: multiprocessors as u32,
            architecture: format!("sm_{major}{minor}"),
            is_hopper: major >= 9,
            blas: OnceLock::new(),
            dnn: OnceLock::new(),
            peers: Mutex::default(),
        })
    }

    /// The library for products, if it is here. The context must be that of this thread.
    fn blas(&self) -> Option<&Blas> {
        let open = || if library::are_wanted() { Blas::open() } else { None };
        self.blas.get_or_init(open).as_ref()
    }

    /// The library for convolutions and recurrent layers, if it is here. The context must be that of this thread.
    fn dnn(&self) -> Option<&Dnn> {
        let open =
            || if library::are_wanted() { Dnn::open(self.stream.cast()) } else { None };
        self.dnn.get_or_init(open).as_ref()
    }

    /// Makes the context that of this thread, as every call needs it.
    fn enter(&self) -> Result<(), Failure> {
        // SAFETY: the context lives as long as the process.
        unsafe { result::ctx::set_current(self.context) }.map_err(failure)
    }
}

impl Driver for Nvidia {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn blocks(&self) -> u32 {
        // So many blocks of 256 threads as fit side by side.
        self.multiprocessors * 8
    }

    fn capacity(&self) -> Result<Capacity, Failure> {
        self.enter()?;
        let (free, total) = result::mem_get_info().map_err(failure)?;
        Ok(Capacity { free, total })
    }

    fn allocate(&self, bytes: usize) -> Result<Address, Failure> {
        self.enter()?;
        // SAFETY: the allocator gives it back at most once.
        unsafe { result::malloc_sync(bytes) }.map_err(failure)
    }

    fn release(&self, at: Address) {
        // A failure (of work before, say) cannot be told to anybody here: the next call meets it
        // again.
        if self.synchronize().is_ok() {
            // SAFETY: `allocate` gave it, and nothing that is queued uses it.
            let _ = unsafe { result::free_sync(at) };
        }
    }

    fn upload(&self, from: &[u8], to: Address) -> Result<(), Failure> {
        self.enter()?;
        self.transfers.upload(from, to)
    }

    fn mark(&self) -> Result<Mark, Failure> {
        self.enter()?;
        self.transfers.mark()
    }

    fn upload_beside(
        &self,
        from: &[u8],
        to: Address,
        after: &Mark,
    ) -> Result<Mark, Failure> {
        self.enter()?;
        self.transfers.upload_beside(from, to, after)
    }

    fn wait_for(&self, mark: &Mark) -> Result<(), Failure> {
        self.enter()?;
        self.transfers.wait_for(mark)
    }

    fn stream(&self) -> Option<*mut c_void> {
        Some(self.stream.cast())
    }

    fn download(&self, from: Address, to: &mut [u8]) -> Result<(), Failure> {
        self.enter()?;
        self.transfers.download(from, to)
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), Failure> {
        self.enter()?;
        // SAFETY: both are large enough.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream) }
            .map_err(failure)
    }

    fn peer(&self) -> Option<Peer> {
        Some(Peer(self.context as usize))
    }

    fn copy_from(
        &self,
        other: Peer,
        from: Address,
        to: Address,
        bytes: usize,
    ) -> Result<bool, Failure> {
        self.enter()?;
        let Peer(context) = other;
        let context = context as sys::CUcontext;
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if !peers.contains(&other) {
            peers.push(other);
            // Where it cannot, or another library had it do so, the copy is the same.
            // SAFETY: contexts live as long as the process.
            let _ = unsafe { sys::cuCtxEnablePeerAccess(context, 0) };
        }
        // SAFETY: both places are large enough, each in the memory of its context.
        unsafe {
            result::memcpy_peer_async(self.context, to, context, from, bytes, self.stream)
        }
        .map(|()| true)
        .map_err(failure)
    }

    fn zero(&self, at: Address, bytes: usize) -> Result<(), Failure> {
        self.enter()?;
        // SAFETY: the memory is large enough.
        unsafe { result::memset_d8_async(at, 0, bytes, self.stream) }.map_err(failure)
    }

    fn load(&self, program: Program) -> Result<Module, Failure> {
        self.enter()?;
        let image = image(program, &self.architecture)?;
        // SAFETY: the image is one that NVRTC made, whole, for this architecture.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) };
        Ok(Module(module.map_err(failure)? as usize))
    }

    fn function(&self, module: Module, name: &str) -> Result<Function, Failure> {
        self.enter()?;
        let name = CString::new(name).expect("names of kernels have no NUL");
        // SAFETY: `load` gave the module, and modules are never unloaded.
        let function = unsafe { result::module::get_function(module.0 as _, name) };
        Ok(Function(function.map_err(failure)? as usize))
    }

    unsafe fn launch(
        &self,
        kernel: Function,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<(), Failure> {
        self.enter()?;
        let Grid { blocks: [x, y, z], threads: [i, j, k], shared } = grid;
        // SAFETY: `function` gave the kernel; the caller answers for the arguments.
        unsafe {
            result::launch_kernel(
                kernel.0 as _,
                (x, y, z),
                (i, j, k),
                shared,
                self.stream,
                arguments,
            )
        }
        .map_err(failure)
    }

    fn libraries(&self) -> Vec<String> {
        if self.enter().is_err() {
            return Vec::new();
        }
        let found = [self.blas().map(Blas::version), self.dnn().map(Dnn::version)];
        found.into_iter().flatten().collect()
    }

    fn room_for_products(&self) -> Option<usize> {
        self.enter().ok()?;
        // What cuBLAS recommends.
        let megabytes = if self.is_hopper { 32 } else { 4 };
        self.blas().map(|_| megabytes << 20)
    }

    unsafe fn multiply(
        &self,
        product: &Product,
        at: &Operands,
        room: Region,
    ) -> Result<bool, Failure> {
        self.enter()?;
        let Some(blas) = self.blas() else { return Ok(false) };
        // SAFETY: the stream is this context's; the caller answers for the rest.
        unsafe { blas.multiply(product, at, room, self.stream.cast()) }
    }

    fn room_for(&self, convolution: &Convolution) -> Result<Option<usize>, Failure> {
        self.enter()?;
        self.dnn().map_or(Ok(None), |dnn| dnn.room(convolution))
    }

    unsafe fn convolve(
        &self,
        convolution: &Convolution,
        at: &Sides,
        room: Region,
    ) -> Result<bool, Failure> {
        self.enter()?;
        let Some(dnn) = self.dnn() else { return Ok(false) };
        // SAFETY: the caller answers for the sides and the room.
        unsafe { dnn.convolve(convolution, at, room) }
    }

    fn needs(&self, recurrence: &Recurrence) -> Result<Option<Needs>, Failure> {
        self.enter()?;
        self.dnn().map_or(Ok(None), |dnn| dnn.needs(recurrence))
    }

    unsafe fn recur(
        &self,
        recurrence: &Recurrence,
        at: &Scene,
        room: Region,
    ) -> Result<bool, Failure> {
        self.enter()?;
        let Some(dnn) = self.dnn() else { return Ok(false) };
        // SAFETY: the caller answers for the scene and the room.
        unsafe { dnn.recur(recurrence, at, room) }
    }

    fn capture(
        &self,
        queue: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Graph>, Failure> {
        use sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL as MODE;
        self.enter()?;
        // SAFETY: the stream lives as long as the process; what is queued is recorded only.
        unsafe { result::stream::begin_capture(self.stream, MODE) }.map_err(failure)?;
        let queued = queue();
        // SAFETY: as above; it ends what began, also after a failure.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        queued?;
        let graph = graph.map_err(failure)?;
        // SAFETY: the graph was made just now, and is not needed once it is instantiated.
        unsafe {
            let flags = sys::CUgraphInstantiate_flags_enum(0);
            let made = result::graph::instantiate(graph, flags).map_err(failure);
            let _ = result::graph::destroy(graph);
            made.map(|made| Some(Graph(made as usize)))
        }
    }

    fn replay(&self, graph: Graph) -> Result<(), Failure> {
        self.enter()?;
        // SAFETY: `capture` made it, and it was not given back.
        unsafe { result::graph::launch(graph.0 as _, self.stream) }.map_err(failure)
    }

    fn forget(&self, graph: Graph) {
        if self.synchronize().is_ok() {
            // SAFETY: `capture` made it, and it is given back once.
            let _ = unsafe { result::graph::exec_destroy(graph.0 as _) };
        }
    }

    fn synchronize(&self) -> Result<(), Failure> {
        self.enter()?;
        // SAFETY: the stream lives as long as the process.
        unsafe { result::stream::synchronize(self.stream) }.map_err(failure)
    }
}

/// The program as machine code for an architecture, compiled now or before.
fn image(program: Program, architecture: &str) -> Result<Vec<u8>, Failure> {
    let compiler = match version() {
        Ok(version) => format!("nvrtc {version} {architecture}"),
        Err(failure) => return Err(failure),
    };
    let path = program::compiled(program, &compiler, ".cubin", |to| {
        let image = compile(program, architecture)?;
        fs::write(to, image)
            .map_err(|error| Failure::Other(format!("{}: {error}", to.display())))
    })?;
    program::read(&path)
        .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}

/// The version of NVRTC, if it is here.
fn version() -> Result<String, Failure> {
    // SAFETY: it only looks for the library.
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return Err(Failure::Library("libnvrtc.so"));
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: NVRTC writes two numbers.
    let found = unsafe { nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
    found.result().map_err(|error| Failure::Other(format!("NVRTC: {error}")))?;
    Ok(format!("{major}.{minor}"))
}

/// Compiles a program to machine code.
pub(super) fn compile(program: Program, architecture: &str) -> Result<Vec<u8>, Failure> {
    use nvrtc::{result, sys};
    version()?;
    let failed = |error: result::NvrtcError| Failure::Other(format!("NVRTC: {error}"));
    let source = CString::new(program.source).expect("sources have no NUL");
    let name = CString::new(program.name).expect("names have no NUL");
    let compiling = result::create_program(&source, Some(&name)).map_err(failed)?;
    let options =
        [format!("--gpu-architecture={architecture}"), "--std=c++17".to_owned()];
    // SAFETY: the program was created just now, and is destroyed once, at the end.
    unsafe {
        let image = match result::compile_program(compiling, &options) {
            Ok(()) => {
                let mut size = 0;
                let sized = sys::nvrtcGetCUBINSize(compiling, &mut size).result();
                let mut image = vec![0_u8; size];
                let got =
                    sys::nvrtcGetCUBIN(compiling, image.as_mut_ptr().cast()).result();
                sized.and(got).map_err(failed).map(|()| image)
            }
            Err(_) => {
                let log = result::get_program_log(compiling).unwrap_or_default();
                let log: Vec<u8> = log.into_iter().map(|c| c as u8).collect();
                let log = String::from_utf8_lossy(&log).trim_matches('\0').to_owned();
                Err(Failure::Compile { program: program.name, log })
            }
        };
        let _ = result::destroy_program(compiling);
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The architectures of A100, H100 and B200.
    const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_100"];

    #[test]
    fn every_kernel_compiles_for_every_architecture() {
        // SAFETY: it only looks for the library.
        if !unsafe { nvrtc::sys::is_culib_present() } {
            return crate::device::cuda::skipped(
                "NVRTC is not here (pip's nvidia-cuda-nvrtc)",
            );
        }
        std::thread::scope(|scope| {
            for architecture in ARCHITECTURES {
                scope.spawn(move || {
                    for &program in program::ALL {
                        match compile(program, architecture) {
                            Ok(image) => {
                                assert!(image.starts_with(b"\x7fELF"), "{program:?}")
                            }
                            Err(why) => {
                                panic!("{} for {architecture}: {why:?}", program.name)
                            }
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn what_does_not_compile_says_where() {
        // SAFETY: as above.
        if !unsafe { nvrtc::sys::is_culib_present() } {
            return crate::device::cuda::skipped(
                "NVRTC is not here (pip's nvidia-cuda-nvrtc)",
            );
        }
        let wrong =
            Program { name: "wrong.cu", source: "__global__ void k() {\n  nothing;\n}" };
        let Err(Failure::Compile { program, log }) = compile(wrong, "sm_90") else {
            panic!("it must not compile")
        };
        assert_eq!(program, "wrong.cu");
        assert!(log.contains("wrong.cu(2)") && log.contains("nothing"), "{log}");
    }

    #[test]
    fn an_old_driver_is_named() {
        assert_eq!(too_old(13_050), None);
        assert_eq!(too_old(12_000), None);
        let why = too_old(11_080).unwrap();
        assert_eq!(why, "it is for CUDA 11.8, and 12.0 or later is needed");
    }

    #[test]
    fn a_machine_without_a_driver_says_so() {
        // SAFETY: it only looks for the library.
        let has_driver = unsafe { sys::is_culib_present() };
        match count() {
            Err(error) if !has_driver => assert_eq!(error, CudaError::NoDriver),
            Ok(count) => assert!(has_driver, "{count} GPUs without a driver"),
            Err(error) => assert!(matches!(error, CudaError::Driver { .. }), "{error}"),
        }
    }
}
