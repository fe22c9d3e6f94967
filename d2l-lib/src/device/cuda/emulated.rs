//! A device made of the processor: the machine's C++ compiler makes the same kernels for it, and
//! `emulate.h` runs their threads. It is slow, and there to test everything above the driver
//! where no GPU is: `D2L_CUDA=emulated` in the environment gives two such devices, the first one
//! with libraries (but not with `D2L_CUDA_LIBRARIES=none`), the
//! second one without.

use std::{
    collections::HashMap,
    ffi::c_void,
    fs,
    process::Command,
    sync::{Mutex, PoisonError},
};

use libloading::Library;

use super::{
    allocator::Region,
    blas::{BIAS_ALIGNMENT, Operands, Product},
    dnn::{Convolution, SIDE_ALIGNMENT, Sides},
    driver::{
        Address, Capacity, Driver, Failure, Function, Graph, Grid, Module, Peer, Program,
    },
    program,
    recurrence::{Needs, Recurrence, Scene, Way},
    reference,
};

const HEADER: &str = include_str!("kernels/emulate.h");

/// What the device pretends to have.
const MEMORY: usize = 1 << 30;

/// Bytes around every block that no kernel may touch.
const GUARD: usize = 64;
const GUARD_BYTE: u8 = 0xA5;

/// Layers that go through more times than this are refused when they are to be made.
const MOST_TIMES: usize = 40;

#[derive(Default)]
pub(super) struct Emulated {
    blocks: Mutex<HashMap<Address, Vec<u8>>>,
    modules: Mutex<Vec<Library>>,
    /// Whether products, convolutions and recurrent layers are made as if by libraries.
    libraries: bool,
}

impl Emulated {
    pub(super) fn with_libraries() -> Emulated {
        Emulated { libraries: true, ..Emulated::default() }
    }

    /// Checks all blocks.
    fn check(&self) {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.values().for_each(|block| check_guards(block));
    }
}

/// A kernel as the compiler made it: sizes of the grid and of its blocks, bytes of shared memory,
/// arguments; whether all threads came to their end.
type Kernel = unsafe extern "C" fn(*const u32, usize, *mut *mut c_void) -> bool;

/// One kernel runs at a time, for the emulation keeps its state in variables of the library.
static RUNNING: Mutex<()> = Mutex::new(());

/// The machine's C++ compiler, if there is one.
pub(super) fn compiler() -> Option<&'static str> {
    let answers = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success())
    };
    ["c++", "g++", "clang++"].into_iter().find(answers)
}

fn other(what: impl std::fmt::Display) -> Failure {
    Failure::Other(what.to_string())
}

/// Checks that nothing was written around a block.
fn check_guards(block: &[u8]) {
    let untouched = |bytes: &[u8]| bytes.iter().all(|&byte| byte == GUARD_BYTE);
    assert!(
        untouched(&block[..GUARD]) && untouched(&block[block.len() - GUARD..]),
        "a kernel wrote outside of a block of {} bytes",
        block.len() - 2 * GUARD
    );
}

impl Driver for Emulated {
    fn name(&self) -> String {
        "emulated".to_owned()
    }

    fn blocks(&self) -> u32 {
        // More would only be loops in other places.
        2
    }

    fn capacity(&self) -> Result<Capacity, Failure> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let used: usize = blocks.values().map(|block| block.len() - 2 * GUARD).sum();
        Ok(Capacity { free: MEMORY.saturating_sub(used), total: MEMORY })
    }

    fn allocate(&self, bytes: usize) -> Result<Address, Failure> {
        if bytes > self.capacity()?.free {
            return Err(Failure::OutOfMemory);
        }
        let mut block = vec![GUARD_BYTE; bytes + 2 * GUARD];
        // What nobody has written must not look like a result.
        block[GUARD..GUARD + bytes].fill(0xFF);
        let at = block.as_ptr() as Address + GUARD as Address;
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).insert(at, block);
        Ok(at)
    }

    fn release(&self, at: Address) {
        let block =
            self.blocks.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
        check_guards(&block.expect("what `allocate` gave"));
    }

    fn upload(&self, from: &[u8], to: Address) -> Result<(), Failure> {
        // SAFETY: `to` is memory that `allocate` gave, large enough, and nobody else's.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len())
        };
        Ok(())
    }

    fn download(&self, from: Address, to: &mut [u8]) -> Result<(), Failure> {
        // SAFETY: as in `upload`.
        unsafe {
            std::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len())
        };
        Ok(())
    }

    fn peer(&self) -> Option<Peer> {
        // All of them have their memory in this process.
        Some(Peer(0))
    }

    fn copy_from(
        &self,
        _: Peer,
        from: Address,
        to: Address,
        bytes: usize,
    ) -> Result<bool, Failure> {
        self.copy(from, to, bytes).map(|()| true)
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), Failure> {
        // SAFETY: as in `upload`, for both.
        unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    fn zero(&self, at: Address, bytes: usize) -> Result<(), Failure> {
        // SAFETY: as in `upload`.
        unsafe { std::ptr::write_bytes(at as *mut u8, 0, bytes) };
        Ok(())
    }

    fn load(&self, program: Program) -> Result<Module, Failure> {
        let compiler = compiler().ok_or(Failure::Library("a C++ compiler"))?;
        let key = format!("{compiler} {HEADER} aligned");
        let path = program::compiled(program, &key, ".so", |to| {
            let source = to.with_extension("cpp");
            fs::write(&source, format!("{HEADER}\n{}", program.source)).map_err(other)?;
            let made = Command::new(compiler)
                .args(["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared"])
                // What is not aligned as it must be on a GPU ends the program here too.
                .args(["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"])
                .args(["-fvisibility=hidden", "-w", "-o"])
                .args([to, source.as_path()])
                .output();
            let _ = fs::remove_file(&source);
            let made = made.map_err(other)?;
            if made.status.success() {
                return Ok(());
            }
            let log = String::from_utf8_lossy(&made.stderr).into_owned();
            Err(Failure::Compile { program: program.name, log })
        })?;
        // SAFETY: we made the library; its only initialisers set variables to zero.
        let library = unsafe { Library::new(&path) }.map_err(other)?;
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.push(library);
        Ok(Module(modules.len() - 1))
    }

    fn function(&self, module: Module, name: &str) -> Result<Function, Failure> {
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("launch_{name}");
        // SAFETY: `EXPORT` makes functions of this type.
        let kernel = unsafe { modules[module.0].get::<Kernel>(name.as_bytes()) };
        Ok(Function(*kernel.map_err(other)? as usize))
    }

    unsafe fn launch(
        &self,
        kernel: Function,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<(), Failure> {
        let Grid { blocks: [x, y, z], threads: [i, j, k], shared } = grid;
        // SAFETY: `function` made the number of such a function; libraries are never unloaded.
        let kernel = unsafe { std::mem::transmute::<usize, Kernel>(kernel.0) };
        let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller answers for the arguments.
        let ended = unsafe {
            kernel([x, y, z, i, j, k].as_ptr(), shared as usize, arguments.as_mut_ptr())
        };
        self.check();
        if ended {
            return Ok(());
        }
        Err(other("threads of a block wait at barriers that the others never reach"))
    }

    fn libraries(&self) -> Vec<String> {
        Vec::from_iter(self.libraries.then(|| "plain loops".to_owned()))
    }

    fn room_for_products(&self) -> Option<usize> {
        self.libraries.then_some(0)
    }

    unsafe fn multiply(
        &self,
        product: &Product,
        at: &Operands,
        _: Region,
    ) -> Result<bool, Failure> {
        assert_eq!(at.bias % BIAS_ALIGNMENT, 0, "where cuBLASLt can read it");
        // SAFETY: the caller answers for the operands.
        let done = self.libraries && unsafe { reference::multiply(product, at) };
        self.check();
        Ok(done)
    }

    fn room_for(&self, convolution: &Convolution) -> Result<Option<usize>, Failure> {
        Ok((self.libraries && convolution.dtype.is_float()).then_some(0))
    }

    unsafe fn convolve(
        &self,
        convolution: &Convolution,
        at: &Sides,
        _: Region,
    ) -> Result<bool, Failure> {
        let sides = [at.images, at.kernels, at.results];
        assert_eq!(
            sides.map(|side| side % SIDE_ALIGNMENT),
            [0; 3],
            "where cuDNN can read it"
        );
        // SAFETY: the caller answers for the sides.
        let done = self.libraries && unsafe { reference::convolve(convolution, at) };
        self.check();
        Ok(done)
    }

    fn needs(&self, recurrence: &Recurrence) -> Result<Option<Needs>, Failure> {
        let is_for_it = self.libraries && recurrence.dtype.is_float();
        Ok(is_for_it.then(|| reference::recurrence::needs(recurrence)))
    }

    unsafe fn recur(
        &self,
        recurrence: &Recurrence,
        at: &Scene,
        _: Region,
    ) -> Result<bool, Failure> {
        // As cuDNN with more than 65,535, which take too long here.
        if !self.libraries || recurrence.times > MOST_TIMES {
            return Ok(false);
        }
        let all = [at.inputs, at.outputs, at.first[0], at.first[1], at.weights];
        let (Way::There { last } | Way::Back { last, .. }) = at.way;
        for place in all.into_iter().chain(last) {
            assert_eq!(place % SIDE_ALIGNMENT, 0, "where cuDNN can read it");
        }
        // SAFETY: the caller answers for the scene.
        let done = unsafe { reference::recurrence::recur(recurrence, at) };
        self.check();
        Ok(done)
    }

    fn capture(
        &self,
        _: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Graph>, Failure> {
        Ok(None)
    }

    fn replay(&self, _: Graph) -> Result<(), Failure> {
        unreachable!("nothing is captured")
    }

    fn forget(&self, _: Graph) {}

    fn synchronize(&self) -> Result<(), Failure> {
        Ok(())
    }
}
