//! What we need of a GPU, and no more: the boundary behind which a real one, an emulated one, or
//! one that fails on request can be.

use std::{
    ffi::c_void,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    allocator::Region,
    blas::{Operands, Product},
    dnn::{Convolution, Sides},
    recurrence::{Needs, Recurrence, Scene},
};

/// A place in a device's memory.
pub(crate) type Address = u64;

/// A loaded program, as its driver knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Module(pub(crate) usize);

/// A kernel of a loaded program, as its driver knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Function(pub(crate) usize);

/// Work that is queued at once, as its driver knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Graph(pub(crate) usize);

/// How a kernel is launched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: [u32; 3],
    /// Bytes of shared memory beyond those that the kernel declares.
    pub(crate) shared: u32,
}

/// How much memory a device has, for all processes together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Capacity {
    pub(crate) free: usize,
    pub(crate) total: usize,
}

/// A point in one of a device's queues, for which another can wait.
pub(crate) struct Mark {
    pub(super) event: usize,
    /// Where the event goes when the mark is not needed any more, to be that of another.
    pub(super) spare: Option<Arc<Mutex<Vec<usize>>>>,
}

impl Mark {
    /// A mark that is no more than a number.
    pub(super) fn numbered(event: usize) -> Mark {
        Mark { event, spare: None }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(spare) = &self.spare {
            spare.lock().unwrap_or_else(PoisonError::into_inner).push(self.event);
        }
    }
}

/// What a device is known by to others of its kind, which may copy from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peer(pub(crate) usize);

/// Some kernels in one source file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
}

/// What a driver says when it cannot do something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    OutOfMemory,
    /// A library that is loaded at its first use is missing.
    Library(&'static str),
    Compile {
        program: &'static str,
        log: String,
    },
    Other(String),
}

/// One device. Everything but `allocate`, `release`, `load` and `synchronize` is only queued, in
/// order, and may fail later; what `download` gives is there when it returns. Beside this queue
/// there is one for uploads alone; a device without one does them at once.
pub(crate) trait Driver: Send + Sync {
    /// The name of the device.
    fn name(&self) -> String;

    /// How many blocks of threads the device works on at once, about.
    fn blocks(&self) -> u32;

    fn capacity(&self) -> Result<Capacity, Failure>;

    fn allocate(&self, bytes: usize) -> Result<Address, Failure>;

    /// Gives back what `allocate` gave, after all that was queued before.
    fn release(&self, at: Address);

    /// Copies bytes, which may be changed once this returns.
    fn upload(&self, from: &[u8], to: Address) -> Result<(), Failure>;

    /// A mark after all that was queued.
    fn mark(&self) -> Result<Mark, Failure> {
        Ok(Mark::numbered(0))
    }

    /// Queues an upload beside all else, to begin when the main queue has come to `after`, and
    /// gives a mark behind it. An upload that fails writes nothing any more.
    fn upload_beside(
        &self,
        from: &[u8],
        to: Address,
        _after: &Mark,
    ) -> Result<Mark, Failure> {
        self.upload(from, to)?;
        self.mark()
    }

    /// Lets the main queue wait for a mark; the caller does not wait.
    fn wait_for(&self, _mark: &Mark) -> Result<(), Failure> {
        Ok(())
    }

    /// The queue by the name that NVIDIA's libraries know it by, if it is one of theirs.
    fn stream(&self) -> Option<*mut c_void> {
        None
    }

    fn download(&self, from: Address, to: &mut [u8]) -> Result<(), Failure>;

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), Failure>;

    /// What others copy from it by, if they can.
    fn peer(&self) -> Option<Peer> {
        None
    }

    /// Queues a copy from another device's memory; whether that can be. It is not in the order of
    /// the other one's queue.
    fn copy_from(
        &self,
        _other: Peer,
        _from: Address,
        _to: Address,
        _bytes: usize,
    ) -> Result<bool, Failure> {
        Ok(false)
    }

    fn zero(&self, at: Address, bytes: usize) -> Result<(), Failure>;

    /// Compiles a program, if it was not before, and loads it.
    fn load(&self, program: Program) -> Result<Module, Failure>;

    /// The kernel of this name.
    fn function(&self, module: Module, name: &str) -> Result<Function, Failure>;

    /// # Safety
    /// The arguments must be those of the kernel, and the addresses in them those of memory that
    /// was allocated here and is large enough.
    unsafe fn launch(
        &self,
        kernel: Function,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<(), Failure>;

    /// The libraries that it computes with, and their versions.
    fn libraries(&self) -> Vec<String>;

    /// How many bytes of room the library for products works best with, if there is one.
    fn room_for_products(&self) -> Option<usize>;

    /// A product of matrices by a library; whether there is one that does this.
    ///
    /// # Safety
    /// The operands must be in memory that was allocated here and is large enough, and so must
    /// the room.
    unsafe fn multiply(
        &self,
        product: &Product,
        at: &Operands,
        room: Region,
    ) -> Result<bool, Failure>;

    /// How many bytes of room a convolution by a library needs, if there is one that does this.
    fn room_for(&self, convolution: &Convolution) -> Result<Option<usize>, Failure>;

    /// A convolution by a library; whether there is one that does this.
    ///
    /// # Safety
    /// All sides must be in memory that was allocated here and is large enough, and so must the
    /// room.
    unsafe fn convolve(
        &self,
        convolution: &Convolution,
        at: &Sides,
        room: Region,
    ) -> Result<bool, Failure>;

    /// What a library needs for recurrent layers, if there is one that makes these.
    fn needs(&self, recurrence: &Recurrence) -> Result<Option<Needs>, Failure>;

    /// Recurrent layers by a library, on one of their ways; whether there is one that does this.
    ///
    /// # Safety
    /// All that the scene names must be in memory that was allocated here and is large enough,
    /// and so must the room.
    unsafe fn recur(
        &self,
        recurrence: &Recurrence,
        at: &Scene,
        room: Region,
    ) -> Result<bool, Failure>;

    /// What `queue` asks of this device, which is not done now, as one piece of work; nothing if
    /// there is no such thing here.
    fn capture(
        &self,
        queue: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Graph>, Failure>;

    /// Queues what was captured.
    fn replay(&self, graph: Graph) -> Result<(), Failure>;

    /// Gives back what `capture` gave, once it was done as often as it was queued.
    fn forget(&self, graph: Graph);

    fn synchronize(&self) -> Result<(), Failure>;
}
