//! A receiver that is stopped for a while and returns.

use crate::exit::{Failure, Outcome};
use std::process::Command;
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::Time;

/// Stops a process once, and lets it go on in the end whatever happens.
pub(super) struct Stop {
    process: u32,
    span_ns: u64,
    from: Time,
    until: Time,
    step: Step,
}

#[derive(PartialEq, Eq)]
enum Step {
    Before,
    Stopped,
    After,
}

impl Stop {
    pub(super) fn new(process: u32, span: Duration) -> Self {
        let span_ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let (from, until) = (Time::NEVER, Time::NEVER);
        Self { process, span_ns, from, until, step: Step::Before }
    }

    /// It is to be stopped a third into the run.
    pub(super) fn plan(&mut self, began: Time, over: Time) {
        self.from = began.after(over.since(began) / 3);
    }

    /// Does what is due.
    pub(super) fn look(&mut self, now: Time) -> Outcome {
        match self.step {
            Step::Before if now >= self.from => {
                self.signal("-STOP")?;
                self.step = Step::Stopped;
                self.until = clock::now().after(self.span_ns);
            }
            Step::Stopped if now >= self.until => {
                self.signal("-CONT")?;
                self.step = Step::After;
            }
            Step::Before | Step::Stopped | Step::After => {}
        }
        Ok(())
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.step == Step::Stopped
    }

    pub(super) fn is_over(&self) -> bool {
        self.step == Step::After
    }

    fn signal(&self, signal: &str) -> Outcome {
        let sent = Command::new("kill").args([signal, &self.process.to_string()]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::failed(format!("kill {signal} failed: {status}"))),
            Err(error) => Err(Failure::failed(format!("cannot run the command `kill`: {error}"))),
        }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if self.is_under_way() {
            let _ = self.signal("-CONT");
        }
    }
}
