#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| d2l_kernel_fuzz::cells(data));
