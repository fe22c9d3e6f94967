//! The widest vectors that the processor at hand has, chosen when the program runs.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A set of vector instructions.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Level {
    /// What every processor of this architecture has.
    Plain = 1,
    /// x86-64 with AVX2 and FMA: 8 `f32` at once.
    Avx2 = 2,
    /// x86-64 with AVX-512: 16 `f32` at once.
    Avx512 = 3,
}

/// The best level of this processor.
#[inline]
pub(crate) fn level() -> Level {
    static LEVEL: AtomicU8 = AtomicU8::new(0);
    match LEVEL.load(Relaxed) {
        1 => Level::Plain,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => {
            let found = detect();
            LEVEL.store(found as u8, Relaxed);
            found
        }
    }
}

#[cold]
fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let wide = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw");
        match (fma, wide) {
            (true, true) => return Level::Avx512,
            (true, false) => return Level::Avx2,
            _ => {}
        }
    }
    Level::Plain
}

/// Defines a function that is compiled once for each [`Level`]; a call takes the version for
/// this processor. Its loops must be plain, so that the compiler vectorises them.
///
/// The type parameters stand in brackets, first with bounds, then without.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident [$($bounds:tt)*] [$($param:ident),*]
        ($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name<$($bounds)*>($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn plain<$($bounds)*>($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn avx512<$($bounds)*>($($arg: $type),*) $(-> $out)? {
                    plain::<$($param),*>($($arg),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn avx2<$($bounds)*>($($arg: $type),*) $(-> $out)? {
                    plain::<$($param),*>($($arg),*)
                }

                match $crate::ops::vector::level() {
                    // SAFETY: `level` found these features on this processor.
                    $crate::ops::vector::Level::Avx512 => {
                        return unsafe { avx512::<$($param),*>($($arg),*) };
                    }
                    // SAFETY: as above.
                    $crate::ops::vector::Level::Avx2 => {
                        return unsafe { avx2::<$($param),*>($($arg),*) };
                    }
                    $crate::ops::vector::Level::Plain => {}
                }
            }
            plain::<$($param),*>($($arg),*)
        }
    };
}

pub(crate) use vectorised;
