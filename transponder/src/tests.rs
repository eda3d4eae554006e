//! The satellite as a whole, in virtual time, against replicas that speak real streams.

mod asked;
mod cut;
mod fellows;
mod fixture;
mod gray;
mod hostile;
mod joining;
mod lossy;
mod nodes;
mod orders;
mod refused;
mod replaced;
mod reports;
mod second;
mod seen;
mod silence;
mod telling;
