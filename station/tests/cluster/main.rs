//! Three replicas and their satellites in virtual time.

mod harness;
mod satellite;
mod scenarios;
