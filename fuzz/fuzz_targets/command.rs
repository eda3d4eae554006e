//! See [`syncom_fuzz::command`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::command(data));
