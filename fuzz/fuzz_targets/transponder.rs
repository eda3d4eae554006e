//! See [`syncom_fuzz::transponder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::transponder(data));
