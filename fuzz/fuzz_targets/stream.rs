//! See [`syncom_fuzz::stream`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::stream(data));
