//! What each sub-command does.

pub mod bench;
pub mod cancel;
pub mod doctor;
pub mod drain;
pub mod events;
pub mod explain;
pub mod homes;
pub mod init;
pub mod listing;
pub mod nodes;
pub mod policy;
pub mod replace;
pub mod report;
pub mod run;
pub mod sim;
pub mod status;
pub mod watchers;
