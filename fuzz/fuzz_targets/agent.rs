//! See [`syncom_fuzz::agent`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::agent(data));
