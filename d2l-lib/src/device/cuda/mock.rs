//! A device that computes nothing and fails on request.

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    allocator::Region,
    blas::{Operands, Product},
    dnn::{Convolution, Sides},
    driver::{
        Address, Capacity, Driver, Failure, Function, Graph, Grid, Mark, Module, Peer,
        Program,
    },
    recurrence::{Needs, Recurrence, Scene},
};

pub(crate) struct Mock {
    total: usize,
    blocks: Mutex<HashMap<Address, Vec<u8>>>,
    next: AtomicUsize,
    /// What the next calls answer instead of working, by the name of the call.
    failures: Mutex<HashMap<&'static str, Failure>>,
    /// Uploads beside the queue, by their marks: done when the queue waits for them, not before.
    beside: Mutex<HashMap<usize, (Vec<u8>, Address)>>,
    /// What was asked of this device and others that share it, in order, with their names.
    pub(crate) journal: Option<(&'static str, Journal)>,
    pub(crate) launches: AtomicUsize,
    pub(crate) synchronizations: AtomicUsize,
    /// How many bytes of room its libraries want, if it has libraries.
    pub(crate) room: Option<usize>,
    /// The room that each product, each convolution and each way of recurrent layers got.
    pub(crate) products: Mutex<Vec<Region>>,
    pub(crate) convolutions: Mutex<Vec<Region>>,
    pub(crate) recurrences: Mutex<Vec<Region>>,
}

pub(crate) type Journal = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

impl Mock {
    pub(crate) fn with_memory(total: usize) -> Mock {
        Mock {
            total,
            blocks: Mutex::new(HashMap::new()),
            next: AtomicUsize::new(1 << 20),
            failures: Mutex::new(HashMap::new()),
            beside: Mutex::new(HashMap::new()),
            journal: None,
            launches: AtomicUsize::new(0),
            synchronizations: AtomicUsize::new(0),
            room: None,
            products: Mutex::default(),
            convolutions: Mutex::default(),
            recurrences: Mutex::default(),
        }
    }

    /// One with libraries that want so many bytes of room.
    pub(crate) fn with_libraries(total: usize, room: usize) -> Mock {
        Mock { room: Some(room), ..Mock::with_memory(total) }
    }

    /// Lets the next call of this name fail.
    pub(crate) fn fail(&self, call: &'static str, failure: Failure) {
        self.failures.lock().unwrap().insert(call, failure);
    }

    /// How many bytes are allocated.
    pub(crate) fn used(&self) -> usize {
        self.blocks.lock().unwrap().values().map(Vec::len).sum()
    }

    /// How many uploads beside the queue are not done.
    pub(crate) fn on_their_way(&self) -> usize {
        self.beside.lock().unwrap().len()
    }

    fn works(&self, call: &'static str) -> Result<(), Failure> {
        if let Some((name, journal)) = &self.journal {
            journal.lock().unwrap().push((name, call));
        }
        match self.failures.lock().unwrap().remove(call) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl Driver for Mock {
    fn name(&self) -> String {
        "mock".to_owned()
    }

    fn blocks(&self) -> u32 {
        4
    }

    fn capacity(&self) -> Result<Capacity, Failure> {
        self.works("capacity")?;
        Ok(Capacity { free: self.total - self.used(), total: self.total })
    }

    fn allocate(&self, bytes: usize) -> Result<Address, Failure> {
        self.works("allocate")?;
        if bytes > self.total - self.used() {
            return Err(Failure::OutOfMemory);
        }
        let at = self.next.fetch_add(bytes, Relaxed) as Address;
        self.blocks.lock().unwrap().insert(at, vec![0; bytes]);
        Ok(at)
    }

    fn release(&self, at: Address) {
        self.blocks.lock().unwrap().remove(&at).expect("what was allocated");
    }

    fn upload(&self, from: &[u8], to: Address) -> Result<(), Failure> {
        self.works("upload")?;
        let mut blocks = self.blocks.lock().unwrap();
        let block = blocks.get_mut(&to).expect("what was allocated");
        block[..from.len()].copy_from_slice(from);
        Ok(())
    }

    fn mark(&self) -> Result<Mark, Failure> {
        self.works("mark")?;
        Ok(Mark::numbered(0))
    }

    fn upload_beside(&self, from: &[u8], to: Address, _: &Mark) -> Result<Mark, Failure> {
        self.works("upload_beside")?;
        let number = self.next.fetch_add(1, Relaxed);
        self.beside.lock().unwrap().insert(number, (from.to_vec(), to));
        Ok(Mark::numbered(number))
    }

    fn wait_for(&self, mark: &Mark) -> Result<(), Failure> {
        self.works("wait_for")?;
        match self.beside.lock().unwrap().remove(&mark.event) {
            Some((from, to)) => self.upload(&from, to),
            None => Ok(()),
        }
    }

    fn download(&self, from: Address, to: &mut [u8]) -> Result<(), Failure> {
        self.works("download")?;
        let blocks = self.blocks.lock().unwrap();
        to.copy_from_slice(&blocks[&from][..to.len()]);
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, bytes: usize) -> Result<(), Failure> {
        self.works("copy")?;
        let mut blocks = self.blocks.lock().unwrap();
        let values = blocks[&from][..bytes].to_vec();
        blocks.get_mut(&to).expect("what was allocated")[..bytes]
            .copy_from_slice(&values);
        Ok(())
    }

    fn peer(&self) -> Option<Peer> {
        self.journal.is_some().then_some(Peer(0))
    }

    fn copy_from(
        &self,
        _: Peer,
        _: Address,
        _: Address,
        _: usize,
    ) -> Result<bool, Failure> {
        self.works("copy_from").map(|()| true)
    }

    fn zero(&self, at: Address, bytes: usize) -> Result<(), Failure> {
        self.works("zero")?;
        self.blocks.lock().unwrap().get_mut(&at).expect("what was allocated")[..bytes]
            .fill(0);
        Ok(())
    }

    fn load(&self, _: Program) -> Result<Module, Failure> {
        self.works("load")?;
        Ok(Module(0))
    }

    fn function(&self, _: Module, _: &str) -> Result<Function, Failure> {
        self.works("function")?;
        Ok(Function(0))
    }

    unsafe fn launch(
        &self,
        _: Function,
        _: Grid,
        _: &mut [*mut c_void],
    ) -> Result<(), Failure> {
        self.works("launch")?;
        self.launches.fetch_add(1, Relaxed);
        Ok(())
    }

    fn libraries(&self) -> Vec<String> {
        Vec::from_iter(self.room.map(|_| "mock".to_owned()))
    }

    fn room_for_products(&self) -> Option<usize> {
        self.room
    }

    unsafe fn multiply(
        &self,
        _: &Product,
        _: &Operands,
        room: Region,
    ) -> Result<bool, Failure> {
        self.works("multiply")?;
        self.products.lock().unwrap().push(room);
        Ok(self.room.is_some())
    }

    fn room_for(&self, _: &Convolution) -> Result<Option<usize>, Failure> {
        self.works("room_for")?;
        Ok(self.room)
    }

    unsafe fn convolve(
        &self,
        _: &Convolution,
        _: &Sides,
        room: Region,
    ) -> Result<bool, Failure> {
        self.works("convolve")?;
        self.convolutions.lock().unwrap().push(room);
        Ok(self.room.is_some())
    }

    fn needs(&self, _: &Recurrence) -> Result<Option<Needs>, Failure> {
        self.works("needs")?;
        let needs =
            |room| Needs { weights: 0, blocks: Vec::new().into(), trace: 0, room };
        Ok(self.room.map(needs))
    }

    unsafe fn recur(
        &self,
        _: &Recurrence,
        _: &Scene,
        room: Region,
    ) -> Result<bool, Failure> {
        self.works("recur")?;
        self.recurrences.lock().unwrap().push(room);
        Ok(self.room.is_some())
    }

    fn capture(
        &self,
        queue: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Graph>, Failure> {
        self.works("capture")?;
        let before = self.launches.load(Relaxed);
        queue()?;
        // Nothing of it was done.
        let launches = self.launches.swap(before, Relaxed) - before;
        Ok(Some(Graph(launches)))
    }

    fn replay(&self, graph: Graph) -> Result<(), Failure> {
        self.works("replay")?;
        self.launches.fetch_add(graph.0, Relaxed);
        Ok(())
    }

    fn forget(&self, _: Graph) {}

    fn synchronize(&self) -> Result<(), Failure> {
        self.works("synchronize")?;
        self.synchronizations.fetch_add(1, Relaxed);
        Ok(())
    }
}
