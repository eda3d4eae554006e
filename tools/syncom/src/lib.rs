//! The `syncom` program: its command line, its configuration, and clusters on one machine.
//!
//! The binary is a few lines around `main`; everything lives here so that it can be tested.

pub mod args;
pub mod client;
pub mod config;
pub mod exit;
pub mod nodeset;
pub mod place;
pub mod secret;
pub mod show;
