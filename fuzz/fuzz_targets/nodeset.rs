//! See [`syncom_fuzz::nodeset`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::nodeset(data));
