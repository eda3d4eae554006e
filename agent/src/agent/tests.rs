//! The agent as its cluster sees it, in virtual time.

mod entry;
mod hostile;
mod observing;
mod orders;
mod reports;
mod watching;
