//! See [`syncom_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::config(data));
