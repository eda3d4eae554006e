//! See [`syncom_fuzz::open`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::open(data));
