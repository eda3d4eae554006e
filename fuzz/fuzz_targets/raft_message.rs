//! See [`syncom_fuzz::raft_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncom_fuzz::raft_message(data));
