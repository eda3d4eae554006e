//! What monitoring systems and people read over HTTP: health, counters, status.
//!
//! The console is a guest in the process: one thread of its own, away from the pinned cores, which
//! asks a [`Source`] when somebody asks it and holds nothing itself. It answers `GET` and `HEAD` on
//! three paths and changes nothing. Whoever can connect may read, so it listens on the loopback
//! address unless told otherwise.
//!
//! Every connection has a deadline and there is a bound on connections, so a visitor who stalls or
//! comes in crowds takes time from other visitors only.
//!
//! ```
//! use syncom_console::{Console, Source};
//!
//! struct Nothing;
//! impl Source for Nothing {
//!     fn counters(&self) -> Vec<(String, Vec<u64>)> {
//!         Vec::new()
//!     }
//!     fn status(&self) -> String {
//!         "{}".into()
//!     }
//!     fn health(&self) -> Result<(), String> {
//!         Ok(())
//!     }
//! }
//!
//! let console = Console::start("127.0.0.1:0".parse()?, Box::new(Nothing))?;
//! println!("http://{}/metrics", console.local_addr());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod door;
mod metrics;
mod server;

pub use server::Console;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where the console listens unless told otherwise: reachable from this host only.
pub const ADDR_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7480));

/// What the console shows. Asked on the console's thread, once per request; it may block for a
/// moment, and must not wait for the console.
pub trait Source: Send + Sync + 'static {
    /// Every member of this process by name, with its counters by [`syncom_seam::Counter`] index.
    /// Values that are missing are left out.
    fn counters(&self) -> Vec<(String, Vec<u64>)>;

    /// The state of the cluster as this process knows it, as JSON.
    fn status(&self) -> String;

    /// Whether this process does its work.
    ///
    /// # Errors
    /// One sentence: what is wrong.
    fn health(&self) -> Result<(), String>;
}

#[cfg(test)]
mod tests;
