//! The engine's lock-free code by itself, compiled from the engine's own files.
//!
//! Model checkers rebuild everything with other flags, and the engine with its ciphers takes
//! minutes where this takes seconds:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p syncom-models --lib
//! cargo +nightly miri test -p syncom-models --lib
//! ```

#[path = "../../src/queue/mod.rs"]
pub mod queue;
#[path = "../../src/sync.rs"]
mod sync;
