//! Sums and copies over several GPUs, by NVIDIA's library for that (NCCL), which is looked for
//! when they are asked for. Where it is not, or cannot work here, there is another way above.
//!
//! `D2L_NCCL=never` in the environment does without it; `always` asks it also where one GPU is
//! alone, to see that it works.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use libloading::Library;

use super::{
    driver::{Address, Failure},
    error::CudaError,
    gpu::Gpu,
    recording,
};
use crate::dtype::DType;

/// The names of the library: that of NVIDIA's packages first.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];

/// `ncclSum` of `nccl.h`.
const SUM: c_int = 0;

/// The rank whose elements all get.
const ROOT: c_int = 0;

/// A member of a group of GPUs (`ncclComm_t`).
type Member = *mut c_void;

/// 0 if all is well (`ncclResult_t`).
type Code = c_int;

/// Elements on each GPU of a group, as many and of one type.
pub(crate) struct Places {
    pub(crate) dtype: DType,
    pub(crate) count: usize,
    /// Where they are, and where the result goes.
    pub(crate) of: Vec<(Address, Address)>,
}

/// What we need of the library, as `nccl.h` declares it.
struct Nccl {
    init_all: unsafe extern "C" fn(*mut Member, c_int, *const c_int) -> Code,
    start: unsafe extern "C" fn() -> Code,
    end: unsafe extern "C" fn() -> Code,
    all_reduce: AllReduce,
    broadcast: Broadcast,
    text: unsafe extern "C" fn(Code) -> *const c_char,
    /// The groups that were asked for, by the numbers of their GPUs; nothing for one that could
    /// not be made. Held while a group is used, which only one thread may do.
    groups: Mutex<HashMap<Vec<usize>, Option<Group>>>,
}

/// Elements, result, count, type, operation, member, stream.
type AllReduce = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    usize,
    c_int,
    c_int,
    Member,
    *mut c_void,
) -> Code;

/// Elements, result, count, type, root, member, stream.
type Broadcast = AllReduce;

type Groups<'a> = MutexGuard<'a, HashMap<Vec<usize>, Option<Group>>>;

/// One member for each GPU.
struct Group(Vec<Member>);

// SAFETY: members may be used from every thread, by one at a time.
unsafe impl Send for Group {}

/// The library, if it is here and wanted.
fn nccl() -> Option<&'static Nccl> {
    static NCCL: OnceLock<Option<Nccl>> = OnceLock::new();
    let load =
        || if asked("never") { None } else { NAMES.iter().find_map(|name| open(name)) };
    NCCL.get_or_init(load).as_ref()
}

fn asked(how: &str) -> bool {
    std::env::var_os("D2L_NCCL").is_some_and(|value| value == how)
}

fn open(name: &str) -> Option<Nccl> {
    // SAFETY: NCCL's initialisers do nothing but set up itself. It stays loaded, so its functions
    // do too; their types are those of `nccl.h` since version 2.2.
    unsafe {
        let library: &'static Library = Box::leak(Box::new(Library::new(name).ok()?));
        Some(Nccl {
            init_all: *library.get(b"ncclCommInitAll\0").ok()?,
            start: *library.get(b"ncclGroupStart\0").ok()?,
            end: *library.get(b"ncclGroupEnd\0").ok()?,
            all_reduce: *library.get(b"ncclAllReduce\0").ok()?,
            broadcast: *library.get(b"ncclBroadcast\0").ok()?,
            text: *library.get(b"ncclGetErrorString\0").ok()?,
            groups: Mutex::new(HashMap::new()),
        })
    }
}

/// The number of a type in `nccl.h`; of bools nobody wants a sum.
fn number(dtype: DType) -> Option<c_int> {
    Some(match dtype {
        DType::U8 => 1,
        DType::I64 => 4,
        DType::F16 => 6,
        DType::F32 => 7,
        DType::F64 => 8,
        DType::BF16 => 9,
        _ => return None,
    })
}

impl Nccl {
    fn told(&self, code: Code) -> Result<(), Failure> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: NCCL gives a text that lives as long as itself, whatever the number.
        let text = unsafe { CStr::from_ptr((self.text)(code)) };
        Err(Failure::Other(format!("NCCL: {}", text.to_string_lossy())))
    }

    /// The groups, among them one of these GPUs, if there can be one.
    fn group(&self, devices: &[usize]) -> Option<Groups<'_>> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let made = groups.entry(devices.to_vec()).or_insert_with(|| {
            let numbers: Vec<c_int> = devices.iter().map(|&i| i as c_int).collect();
            let mut members = vec![ptr::null_mut(); devices.len()];
            let count = numbers.len() as c_int;
            // SAFETY: there is room for as many members as numbers.
            let code =
                unsafe { (self.init_all)(members.as_mut_ptr(), count, numbers.as_ptr()) };
            (code == 0).then_some(Group(members))
        });
        made.is_some().then_some(groups)
    }

    /// Calls `queue` for every GPU's part of every set, as one operation.
    fn together(
        &self,
        sets: &[Places],
        members: &[Member],
        queue: impl Fn(&Places, usize) -> Code,
    ) -> Result<(), Failure> {
        // SAFETY: it has no arguments.
        self.told(unsafe { (self.start)() })?;
        let each = (0..members.len()).flat_map(|i| sets.iter().map(move |set| (set, i)));
        let queued = each.map(|(set, i)| queue(set, i)).find(|&code| code != 0);
        // SAFETY: as above; it is called also when something failed, as a start needs its end.
        let ended = self.told(unsafe { (self.end)() });
        queued.map_or(Ok(()), |code| self.told(code)).and(ended)
    }
}

/// Whether NCCL works on these GPUs.
pub(crate) fn has_nccl(gpus: &[&'static Gpu]) -> bool {
    group(gpus).is_some()
}

/// NCCL and the numbers of the GPUs, if it works on them.
fn group(gpus: &[&'static Gpu]) -> Option<(&'static Nccl, Vec<usize>)> {
    let fewest = if asked("always") { 1 } else { 2 };
    let devices: Vec<usize> = gpus.iter().map(|gpu| gpu.index()).collect();
    let differ = devices.iter().enumerate().all(|(i, d)| !devices[..i].contains(d));
    let are_real = gpus.iter().all(|gpu| gpu.driver.stream().is_some());
    if gpus.len() < fewest || !differ || !are_real {
        return None;
    }
    let nccl = nccl()?;
    nccl.group(&devices).map(|_| (nccl, devices))
}

impl Gpu {
    /// Queues on every GPU the sum of the elements of all, for several sets of them; nothing where
    /// NCCL does not do it.
    ///
    /// # Safety
    /// The addresses are those of so many elements on the GPUs, in the order of these.
    pub(crate) unsafe fn sum_over(
        gpus: &[&'static Gpu],
        sets: &[Places],
    ) -> Option<Result<(), CudaError>> {
        collective("all_reduce", gpus, sets, |nccl| (nccl.all_reduce, SUM))
    }

    /// Queues on every GPU a copy of the elements of the first, for several sets of them; nothing
    /// where NCCL does not do it.
    ///
    /// # Safety
    /// As for [`Gpu::sum_over`].
    pub(crate) unsafe fn copy_over(
        gpus: &[&'static Gpu],
        sets: &[Places],
    ) -> Option<Result<(), CudaError>> {
        collective("broadcast", gpus, sets, |nccl| (nccl.broadcast, ROOT))
    }
}

fn collective(
    operation: &'static str,
    gpus: &[&'static Gpu],
    sets: &[Places],
    what: impl Fn(&Nccl) -> (AllReduce, c_int),
) -> Option<Result<(), CudaError>> {
    if sets.iter().any(|set| number(set.dtype).is_none()) {
        return None;
    }
    let (nccl, devices) = group(gpus)?;
    recording::hinder("it works on several GPUs");
    let groups = nccl.group(&devices)?;
    let Group(members) = groups.get(&devices)?.as_ref()?;
    let (call, how) = what(nccl);
    let queue = |set: &Places, i: usize| {
        let dtype = number(set.dtype).expect("all types were looked at");
        let (from, to) = set.of[i];
        let stream = gpus[i].driver.stream().unwrap_or(ptr::null_mut());
        let (from, to) = (from as *const c_void, to as *mut c_void);
        // SAFETY: the caller answers for the addresses, and the member is that of this GPU.
        unsafe { call(from, to, set.count, dtype, how, members[i], stream) }
    };
    let queued = nccl.together(sets, members, queue);
    Some(gpus[0].told(operation, queued))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_the_functions_that_we_call() {
        // SAFETY: as in `open`.
        let is_here = NAMES.iter().any(|name| unsafe { Library::new(*name) }.is_ok());
        let Some(nccl) = NAMES.iter().find_map(|name| open(name)) else {
            assert!(!is_here, "NCCL is here and lacks a function");
            // It weighs 300 MB, so not even CI has it.
            return eprintln!("SKIPPED: NCCL is not here (pip's nvidia-nccl-cu13)");
        };
        assert_eq!(nccl.told(0), Ok(()));
        // `ncclInvalidArgument`.
        let Err(Failure::Other(text)) = nccl.told(4) else { panic!("4 is an error") };
        assert!(text.starts_with("NCCL: invalid argument"), "{text}");
        // SAFETY: a start and its end.
        unsafe { assert_eq!([(nccl.start)(), (nccl.end)()], [0, 0]) };
    }
}
