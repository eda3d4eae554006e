//! See [`syncom_fuzz::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::frames(data));
