//! See [`syncom_fuzz::channel`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::channel(data));
