//! Our own turns: `syncom bench` runs both ends by itself and tells the result as JSON.

use super::options::{Case, Options};
use super::turn::Turn;
use std::path::Path;
use std::process::{Command, Stdio};

/// The most bytes that our datagrams have.
const MTU_MAX: usize = 65_472;

/// Runs both ends of a case once.
///
/// # Errors
/// What the program complained about.
pub(super) fn take(
    options: &Options,
    program: &Path,
    (seal, is_datagram): (&str, bool),
    size_b: usize,
    mtu_b: usize,
) -> Result<Turn, String> {
    let seconds = options.duration_ms.div_ceil(1_000).max(1);
    let mut command = Command::new(program);
    let case = match options.case {
        Case::Fanout => Case::Stream,
        case => case,
    };
    command.args(["bench", case.name(), "--json", "--seal", seal]);
    if options.case == Case::Fanout {
        command.args(["--multicast", &options.receivers.to_string()]);
    }
    command.args(is_datagram.then_some("--datagram"));
    command.args(["--size", &size_b.to_string(), "--mtu", &mtu_b.min(MTU_MAX).to_string()]);
    command.args(["--seconds", &seconds.to_string()]).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot be started: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().next_back().unwrap_or("it said nothing").into());
    }
    Ok(turn(options.case, seconds, &String::from_utf8_lossy(&output.stdout)))
}

fn turn(case: Case, seconds: u64, json: &str) -> Turn {
    let number = |key| number(json, key);
    let trips_ns = match case {
        Case::Stream | Case::Fanout => [0; 4],
        Case::Rtt => ["p50_ns", "p99_ns", "p999_ns", "max_ns"].map(|key| whole(number(key))),
    };
    let msgs_per_s = match case {
        Case::Stream | Case::Fanout => number("msgs_per_s"),
        Case::Rtt => number("round_trips") / seconds as f64,
    };
    let lost = match case {
        Case::Stream | Case::Fanout => number("lost"),
        Case::Rtt => number("wrong"),
    };
    Turn {
        seconds: seconds as f64,
        msgs_per_s,
        cpu_ns_per_op: number("cpu_ns_per_op"),
        lost: whole(lost),
        hash: text(json, "hash").into(),
        trips_ns,
    }
}

/// What stands behind a key, up to the end of the value.
fn text<'j>(json: &'j str, key: &str) -> &'j str {
    let value = json.split_once(&format!("\"{key}\":")).map_or("", |(_, rest)| rest);
    value.split([',', '}']).next().unwrap_or("").trim_matches(['"', ' '])
}

pub(super) fn number(json: &str, key: &str) -> f64 {
    text(json, key).parse().unwrap_or(0.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and times of a turn are far below 2^53"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_by_its_keys() {
        let json =
            "{\"cpu_ns_per_op\":49.5,\"hash\":\"af28\",\"lost\":2,\"msgs_per_s\":40432566.0}";
        let turn = turn(Case::Stream, 1, json);
        assert_eq!((turn.msgs_per_s, turn.lost), (40_432_566.0, 2));
        assert_eq!((turn.cpu_ns_per_op, turn.hash.as_str()), (49.5, "af28"));
    }
}
