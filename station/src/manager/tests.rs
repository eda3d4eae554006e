//! The manager's decisions in virtual time: events and outcomes in, decisions and orders out.

mod actions;
mod bounds;
mod fixture;
