//! See [`syncom_fuzz::header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::header(data));
