//! `syncom station replace`: a new replica in the place of one that is dead.

use crate::args;
use crate::client::{Client, pack};
use crate::commands::status;
use crate::config::{Config, Kind};
use crate::exit::{Failure, Outcome};
use crate::place::{self, Place};
use crate::show;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::Time;
use syncom_wire::control::Verb;
use syncom_wire::replica::Replace;
use syncom_wire::{Addr, Frame};

/// Pause between two questions how far it is.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// Code 1 when the station refuses, or it is not done in time; code 2 for names that are none; code
/// 3 without a quorum.
pub fn run(find: impl FnOnce() -> Result<Place, Failure>, args: &args::Replace) -> Outcome {
    // What cannot be meant is told apart from a cluster that is not there.
    let old = number(&args.old)?;
    number(args.new.split('@').next().unwrap_or_default())?;
    let place = find()?;
    let (new, addr) = newcomer(&args.new, place.dir.as_deref(), args.cancel)?;
    let flags = if args.cancel {
        Replace::CANCEL
    } else if args.force {
        Replace::FORCE
    } else {
        0
    };
    let order = pack(&Replace::order(old, new, addr, flags))?;
    let dir = place.dir.clone();
    let before = place.replicas.clone();
    let mut client = Client::open(place)?;
    let began = clock::now();
    let give_up = began.after(u64::try_from(args.timeout.as_nanos()).unwrap_or(u64::MAX));
    let mut told = None;
    let done = loop {
        let standing = ask(&mut client, &order)?;
        if told != Some(standing.state) {
            told = Some(standing.state);
            tell(&standing, args.json);
        }
        match standing.state {
            Replace::DONE | Replace::CANCELLED => break standing,
            _ if clock::now() >= give_up => return Err(late(&standing, args)),
            _ => client.wait(PAUSE),
        }
    };
    if args.json {
        println!("{}", to_json(&done, began));
    }
    if args.cancel == (done.state == Replace::CANCELLED) {
        if let (Some(dir), Replace::DONE) = (dir, done.state) {
            remember(&mut client, &dir, before, &done)?;
        }
        return Ok(());
    }
    let (is, was) = (name(new), name(old));
    Err(Failure::failed(match done.state {
        Replace::CANCELLED => format!("{is} was called off: choose a number that was never used"),
        _ => format!("too late: {is} has replaced {was}"),
    }))
}

/// A replica's name.
fn name(number: u16) -> String {
    format!("station{number}")
}

/// The number in a replica's name.
pub(super) fn number(text: &str) -> Result<u16, Failure> {
    let digits = text.strip_prefix("station").unwrap_or(text);
    let number = digits.parse::<u16>().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Failure::usage(format!("{text:?} is no replica; write station2")))
}

/// Number and address of the new replica; to call it off, the number is enough.
fn newcomer(text: &str, dir: Option<&Path>, cancel: bool) -> Result<(u16, Addr), Failure> {
    let Some((words, addr)) = text.split_once('@') else {
        let number = number(text)?;
        if cancel {
            return Ok((number, Addr::NONE));
        }
        let path = dir.map(|dir| dir.join(format!("{}.toml", name(number))));
        let Some(path) = path.filter(|path| path.exists()) else {
            return Err(Failure::usage(format!(
                "where does {text} listen? write {text}@IP:PORT, or make its file with: \
                 syncom init --dir DIR --replica {text}@IP:PORT"
            )));
        };
        let listen = Config::load(&path, Kind::Station)?.member.listen;
        return Ok((number, reachable(listen)?));
    };
    let addr: SocketAddr = addr.parse().map_err(|_| {
        Failure::usage(format!("{addr:?} is no address; write station4@10.0.0.4:7401"))
    })?;
    Ok((number(words)?, reachable(addr)?))
}

fn reachable(addr: SocketAddr) -> Result<Addr, Failure> {
    if addr.port() == 0 || addr.ip().is_unspecified() {
        return Err(Failure::usage(format!(
            "{addr} is no address that others can send to; write station4@IP:PORT"
        )));
    }
    Ok(addr.into())
}

fn ask(client: &mut Client, order: &[u8]) -> Result<Replace, Failure> {
    let answer = client.ask(Verb::Replace, 0, order)?;
    let standing = answer.frames().find_map(|frame| match frame {
        Frame::Replace(standing) => Some(standing),
        _ => None,
    });
    standing.ok_or_else(|| Failure::failed("the station's answer says nothing of replicas"))
}

/// What the state of a replacement is called.
const fn state(number: u8) -> &'static str {
    match number {
        Replace::ORDERED => "ordered",
        Replace::ADDED => "catching-up",
        Replace::JOINT => "joint",
        Replace::SWAPPED => "swapped",
        Replace::DONE => "done",
        _ => "cancelled",
    }
}

fn tell(standing: &Replace, json: bool) {
    let (old, new) = (name(standing.old), name(standing.new));
    let Replace { addr, matched, last, index, .. } = standing;
    let line = match standing.state {
        Replace::ORDERED => format!("{new} at {addr} is to replace {old}"),
        Replace::ADDED => format!(
            "{new} learns: it has {matched} of {last} entries; does it run? \
             (syncom station --config {new}.toml, on its machine)"
        ),
        Replace::JOINT => format!("{new} votes beside {old}"),
        Replace::SWAPPED => format!("{new} votes, {old} no longer does"),
        Replace::DONE => format!("{old} was replaced by {new} at index {index}"),
        _ => format!("{new} was called off at index {index}"),
    };
    if json || standing.state < Replace::DONE {
        show::tell(&line);
    } else {
        println!("{line}");
    }
}

fn to_json(standing: &Replace, began: Time) -> Value {
    json!({
        "old": name(standing.old),
        "new": name(standing.new),
        "addr": standing.addr.to_string(),
        "state": state(standing.state),
        "index": standing.index,
        "took_ms": clock::now().since(began) / 1_000_000,
    })
}

fn late(standing: &Replace, args: &args::Replace) -> Failure {
    let (old, new) = (name(standing.old), name(standing.new));
    Failure::failed(format!(
        "{old} is not yet replaced by {new} ({}, {} of {} entries) after {} s: the station goes on; \
         type the same again to see how far it is, or --cancel to call it off",
        state(standing.state),
        standing.matched,
        standing.last,
        args.timeout.as_secs()
    ))
}

/// Commands find the cluster by the new replica from now on.
fn remember(
    client: &mut Client,
    dir: &Path,
    before: Vec<SocketAddr>,
    done: &Replace,
) -> Result<(), Failure> {
    let present = status::ask(client)?.replicas;
    let present: Vec<_> = present.iter().map(|one| SocketAddr::from(one.addr)).collect();
    match succeed(before, &present, done.addr.into()) {
        Some(replicas) => place::republish(dir, &replicas),
        None => Ok(()),
    }
}

/// The known addresses with that of the new replica, if it is not among them, in the place of one
/// that is no replica any more. Their number stays: it is that of the founders.
fn succeed(
    mut known: Vec<SocketAddr>,
    present: &[SocketAddr],
    fresh: SocketAddr,
) -> Option<Vec<SocketAddr>> {
    if known.contains(&fresh) || !present.contains(&fresh) {
        return None;
    }
    *known.iter_mut().find(|addr| !present.contains(addr))? = fresh;
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_named_as_people_write_them() {
        assert_eq!(number("station12"), Ok(12));
        assert_eq!(number("3"), Ok(3));
        for text in ["", "station", "station0", "sat1", "stationx"] {
            assert!(number(text).unwrap_err().message.contains("no replica"), "{text}");
        }
        let four = newcomer("station4@10.0.0.4:7401", None, false).unwrap();
        assert_eq!(four, (4, Addr::v4([10, 0, 0, 4], 7401)));
        assert_eq!(newcomer("station4", None, true).unwrap().0, 4);
        let why = newcomer("station4", None, false).unwrap_err();
        assert!(why.message.contains("station4@IP:PORT"), "{}", why.message);
        assert!(newcomer("station4@0.0.0.0:7401", None, false).is_err());
    }

    #[test]
    fn a_new_address_takes_the_place_of_one_that_is_gone_however_often() {
        let addr = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let of = |ports: [u16; 3]| ports.map(addr).to_vec();
        assert_eq!(succeed(of([1, 2, 3]), &of([1, 3, 4]), addr(4)), Some(of([1, 4, 3])));
        assert_eq!(succeed(of([1, 4, 3]), &of([1, 3, 5]), addr(5)), Some(of([1, 5, 3])));
        assert_eq!(succeed(of([1, 5, 3]), &of([1, 3, 5]), addr(5)), None, "known already");
        assert_eq!(succeed(of([1, 5, 3]), &of([1, 3, 5]), addr(4)), None, "replaced since");
    }
}
