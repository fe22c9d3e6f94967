//! Libraries of NVIDIA's that are looked for when they are needed. What they answer is read as
//! plain numbers, for later versions have more of them.

use libloading::Library;

/// Whether libraries may be used: not with `D2L_CUDA_LIBRARIES=none` in the environment.
pub(super) fn are_wanted() -> bool {
    std::env::var_os("D2L_CUDA_LIBRARIES").is_none_or(|value| value != "none")
}

/// The first library of these names that is here.
pub(super) fn open(names: &[&str]) -> Option<Library> {
    // SAFETY: initialisers of NVIDIA's libraries may run at any time.
    names.iter().find_map(|&name| unsafe { Library::new(name) }.ok())
}

/// A structure of functions that a library has under the same names; `of` gives nothing if it
/// lacks one.
macro_rules! functions {
    ($name:ident { $($function:ident: fn($($type:ty),*) $(-> $result:ty)?;)* }) => {
        #[allow(non_snake_case, reason = "the library's own names")]
        struct $name {
            $($function: unsafe extern "C" fn($($type),*) $(-> $result)?,)*
            _library: libloading::Library,
        }

        impl $name {
            /// # Safety
            /// The functions of the library must have these types.
            unsafe fn of(library: libloading::Library) -> Option<$name> {
                Some($name {
                    $(
                        // SAFETY: the caller knows the types; the library stays loaded.
                        $function: unsafe {
                            *library.get(concat!(stringify!($function), "\0").as_bytes()).ok()?
                        },
                    )*
                    _library: library,
                })
            }
        }
    };
}

pub(super) use functions;
