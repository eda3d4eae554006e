//! See [`syncom_fuzz::xdp_frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::xdp_frame(data));
