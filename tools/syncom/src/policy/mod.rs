//! `policy.toml`: what operators write, and the frame that the station holds.
//!
//! Text belongs here: it is read, checked and turned into a
//! [`Policy`](syncom_wire::policy::Policy) frame before anything is sent, and a frame is turned back
//! into text for `policy show`. Mistakes are named with their line, the key, and what to type.

mod compile;
mod file;
mod render;
mod selector;
#[cfg(test)]
mod tests;

pub use compile::compile;
pub use render::{render, rules};

use crate::exit::{Failure, file_failure};
use std::path::Path;

/// Reads a file and gives the bytes of its Policy frame, header included.
///
/// # Errors
/// Names the file, the line, the key and what is expected.
pub fn load(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| file_failure("read the policy", path, &error))?;
    compile(&text).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))
}
