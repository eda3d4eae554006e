//! From a thousand reports to one record: evidence about silent nodes, combined reports of
//! everybody else, and the batches in which both go to the station.
//!
//! Start reading at [`verdict`], which says what evidence amounts to, and [`suspects`], which
//! holds it.

pub(crate) mod asks;
pub(crate) mod batch;
pub(crate) mod combine;
pub(crate) mod evidence;
pub(crate) mod hold;
pub(crate) mod known;
pub(crate) mod reach;
pub(crate) mod refusal;
pub(crate) mod second;
pub(crate) mod suspects;
pub(crate) mod suspicion;
pub(crate) mod tally;
pub(crate) mod verdict;
pub(crate) mod veto;
