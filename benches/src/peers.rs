//! The same case on every system, in one run: one turn of each after the other, again and again,
//! so that what the machine does meanwhile hits all alike. A row is the median of its turns.
//!
//! The systems other than ours live in `benches/peers`, a workspace of its own that is built when
//! it is wanted. One that cannot be built is a row that says why.

mod chart;
pub(crate) mod commit;
mod debian;
pub(crate) mod detect;
pub(crate) mod downlink;
mod options;
mod ours;
mod row;
mod serf;
pub(crate) mod suspect;
mod systems;
mod turn;

pub(crate) use options::Options;

use crate::host;
use options::Case;
use row::Row;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use systems::{SYSTEMS, System};

/// Bytes of a message, in a stream.
const STREAM_SIZES: &[usize] = &[32, 64, 256, 1024];
/// Bytes of a datagram: Ethernet's, jumbo, and the most that UDP takes in multiples of 32.
const STREAM_MTUS: &[usize] = &[1408, 8192, 65_472];
const FANOUT_MTUS: &[usize] = &[1408];
/// Bytes of a message that goes there and back.
const TRIP_SIZES: &[usize] = &[32, 256];
const TRIP_MTUS: &[usize] = &[1408];

/// Runs a case and prints what came out.
///
/// # Errors
/// When there are not two cores, or results cannot be written. A system that fails is a row.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let cores = host::two_cores()?;
    let mut rows = rows(options);
    for round in 0..options.rounds {
        for row in rows.iter_mut().filter(|row| row.unavailable.is_none()) {
            eprintln!("round {} of {}: {}", round + 1, options.rounds, row.title());
            match turn::take(options, row.system, row.size_b, row.mtu_b, cores) {
                Ok(turn) => row.turns.push(turn),
                Err(reason) => row.unavailable = Some(reason),
            }
        }
    }
    let lines = row::json(options.case, &rows);
    if options.json {
        lines.iter().for_each(|line| println!("{line}"));
    } else {
        row::print(options.case, &rows);
    }
    let Some(folder) = options.out.as_deref() else { return Ok(()) };
    keep(options.case, folder, &lines)?;
    chart::keep(options.case, &rows, Path::new(folder))
}

/// A row for each system, size and datagram, in the order in which they take turns.
fn rows(options: &Options) -> Vec<Row> {
    let (sizes, mtus) = match options.case {
        Case::Stream => (STREAM_SIZES, STREAM_MTUS),
        Case::Rtt => (TRIP_SIZES, TRIP_MTUS),
        Case::Fanout => (STREAM_SIZES, FANOUT_MTUS),
    };
    let chosen = |given: Option<usize>, usual: &[usize]| {
        given.map_or_else(|| usual.to_vec(), |given| vec![given])
    };
    let (sizes, mtus) = (chosen(options.size_b, sizes), chosen(options.mtu_b, mtus));
    let wanted = |system: &&System| {
        (options.case != Case::Fanout || system.has_groups)
            && options
                .only
                .as_deref()
                .is_none_or(|only| only.split(',').any(|name| name == system.name))
    };
    let mut rows = Vec::new();
    for system in SYSTEMS.iter().filter(|system| system.knows(options.case)).filter(wanted) {
        let unavailable = system.build().err();
        // A system that cuts its bytes itself knows no datagrams: once is enough.
        let mtus = if system.has_mtu { &mtus[..] } else { &mtus[..mtus.len().min(1)] };
        for mtu_b in mtus {
            for size_b in &sizes {
                rows.push(Row::new(system, *size_b, *mtu_b, unavailable.clone()));
            }
        }
    }
    rows.sort_by_key(|row| (row.mtu_b, row.size_b));
    rows
}

fn keep(case: Case, folder: &str, lines: &[String]) -> Result<(), String> {
    let path = format!("{folder}/peers-{}.jsonl", case.name());
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&path)?;
        lines.iter().try_for_each(|line| writeln!(file, "{line}"))
    };
    write().map_err(|error| format!("cannot write {path}: {error}"))
}
