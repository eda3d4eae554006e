//! See [`syncom_fuzz::station`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::station(data));
