//! See [`syncom_fuzz::idset`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::idset(data));
