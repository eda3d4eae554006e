//! Runs a program on a frame, without any interface.

use super::{Program, address, call, number};
use std::io;

const PROGRAM_TEST_RUN: libc::c_int = 10;

#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    answer: u32,
    data_in_bytes: u32,
    data_out_bytes: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

impl Program {
    /// What the program answers to `frame`, as if the first queue of the loopback had received it.
    pub(in super::super) fn answer(&self, frame: &[u8]) -> io::Result<u32> {
        let mut run = TestRun {
            program: number(&self.0),
            data_in_bytes: u32::try_from(frame.len()).unwrap(),
            data_in: address(frame.as_ptr()),
            repeat: 1,
            ..TestRun::default()
        };
        // SAFETY: these are the attributes of TEST_RUN, without padding. The kernel reads
        // `data_in_bytes` bytes of the frame, which outlives the call, and returns no data.
        unsafe { call(PROGRAM_TEST_RUN, &mut run) }?;
        Ok(run.answer)
    }
}
