//! The agent as its cluster sees it, in virtual time.

mod calling;
mod entry;
mod gone;
mod hostile;
mod observing;
mod orders;
mod replaced;
mod reports;
mod telling;
mod turns;
mod watching;
