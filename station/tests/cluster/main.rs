//! Three replicas and their satellites in virtual time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;
mod reads;
mod recovery;
mod replacing;
mod satellite;
mod scenarios;
mod snapshots;
mod watched;
