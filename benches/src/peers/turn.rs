//! One turn of one system: two processes, and what they say.

use super::options::{Case, Options};
use super::ours;
use super::systems::{Source, System};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long an end may be silent beyond what it was asked to do.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an end may take to clean up.
const LINGER: Duration = Duration::from_secs(3);
/// The first of the ports that a turn uses.
const PORT: u16 = 47_100;

/// What one turn gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    pub(super) seconds: f64,
    pub(super) msgs_per_s: f64,
    pub(super) cpu_ns_per_op: f64,
    pub(super) lost: u64,
    pub(super) hash: String,
    /// p50, p99, p99.9 and the longest; 0 in a stream.
    pub(super) trips_ns: [u64; 4],
}

/// Runs both ends of a case once.
///
/// # Errors
/// What an end complained about, or that it said nothing in time.
pub(super) fn take(
    options: &Options,
    system: &System,
    size_b: usize,
    mtu_b: usize,
    cores: [usize; 2],
) -> Result<Turn, String> {
    if let Source::Ours { seal, is_datagram } = system.source {
        return ours::take(options, &system.path(), (seal, is_datagram), size_b, mtu_b);
    }
    let (near, far) = match options.case {
        Case::Stream | Case::Fanout => ("sender", "receiver"),
        Case::Rtt => ("ping", "pong"),
    };
    let start = |role: &str, core: usize| {
        let mut command = Command::new(system.path());
        command.arg(role).arg(format!("size={size_b}")).arg(format!("mtu={mtu_b}"));
        command.arg(format!("port={PORT}")).arg(format!("ms={}", options.duration_ms));
        command.arg(format!("trips={}", options.trips));
        if options.case == Case::Fanout {
            command.arg(format!("receivers={}", options.receivers));
        }
        if system.is_pinned {
            command.arg(format!("core={core}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        End::new(role, child)
    };
    let receivers = if options.case == Case::Fanout { options.receivers } else { 1 };
    // Of many, all share the second core: what a sender gives to its own core, it lacks.
    let mut all = (0..receivers).map(|_| start(far, cores[1])).collect::<Result<Vec<_>, _>>()?;
    for far in &mut all {
        far.line("ready")?;
    }
    let mut near = start(near, cores[0])?;
    let near = near.line("result")?;
    let all: Vec<Pairs> = all.iter_mut().map(|far| far.line("result")).collect::<Result<_, _>>()?;
    let Some(far) = all.first() else { return Err("it has no receivers".into()) };
    Ok(match options.case {
        Case::Stream => stream(&near, far),
        Case::Rtt => round_trips(&near, far),
        Case::Fanout => fan_out(&near, &all),
    })
}

type Pairs = BTreeMap<String, String>;

fn number(pairs: &Pairs, key: &str) -> u64 {
    pairs.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn cpu_ns_per_op(near: &Pairs, far: &Pairs) -> f64 {
    let cpu_ns = number(near, "cpu_ns") + number(far, "cpu_ns");
    cpu_ns as f64 / number(near, "messages").max(1) as f64
}

fn stream(near: &Pairs, far: &Pairs) -> Turn {
    let seconds = number(far, "ns").max(1) as f64 / 1e9;
    let received = number(far, "messages");
    Turn {
        seconds,
        msgs_per_s: received as f64 / seconds,
        cpu_ns_per_op: cpu_ns_per_op(near, far),
        lost: number(near, "messages").saturating_sub(received),
        hash: far.get("hash").cloned().unwrap_or_default(),
        trips_ns: [0; 4],
    }
}

/// The slowest of all receivers counts, and what any of them lost or got otherwise than the first.
fn fan_out(near: &Pairs, all: &[Pairs]) -> Turn {
    let turns: Vec<Turn> = all.iter().map(|far| stream(near, far)).collect();
    let slowest = turns.iter().min_by(|a, b| a.msgs_per_s.total_cmp(&b.msgs_per_s));
    let Some(slowest) = slowest.cloned() else { return Turn::default() };
    let differing = turns.iter().filter(|turn| turn.hash != slowest.hash).count() as u64;
    let lost = turns.iter().map(|turn| turn.lost).sum::<u64>() + differing;
    let cpu_ns: u64 = all.iter().map(|far| number(far, "cpu_ns")).sum();
    let cpu_ns = cpu_ns + number(near, "cpu_ns");
    let cpu_ns_per_op = cpu_ns as f64 / number(near, "messages").max(1) as f64;
    Turn { lost, cpu_ns_per_op, ..slowest }
}

fn round_trips(near: &Pairs, far: &Pairs) -> Turn {
    let trips_ns = ["p50_ns", "p99_ns", "p999_ns", "max_ns"].map(|key| number(near, key));
    let seconds = number(far, "ns").max(1) as f64 / 1e9;
    Turn {
        seconds,
        msgs_per_s: number(far, "messages") as f64 / seconds,
        cpu_ns_per_op: cpu_ns_per_op(near, far),
        lost: number(far, "lost"),
        hash: far.get("hash").cloned().unwrap_or_default(),
        trips_ns,
    }
}

/// A process that says lines. It is ended with this value, if it has not ended itself.
struct End {
    role: String,
    child: Child,
    lines: Receiver<String>,
}

impl End {
    fn new(role: &str, mut child: Child) -> Result<Self, String> {
        let output = child.stdout.take().ok_or("its output cannot be read")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { role: role.into(), child, lines })
    }

    /// Waits for a line that begins with `word`; gives the pairs behind it.
    fn line(&mut self, word: &str) -> Result<Pairs, String> {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                let complaint = self.complaint();
                return Err(format!("its {} did not say `{word}`: {complaint}", self.role));
            };
            if let Some(rest) = line.strip_prefix(word) {
                let pairs = rest.split_whitespace().filter_map(|pair| pair.split_once('='));
                return Ok(pairs.map(|(key, value)| (key.into(), value.into())).collect());
            }
        }
    }

    /// Ends the process and gives the last line of what it wrote about failures.
    fn complaint(&mut self) -> String {
        self.end();
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut text);
        }
        text.lines().next_back().unwrap_or("it said nothing else").into()
    }

    /// Ends the process. That this fails means that it has ended itself.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Its output closes when it ends; until then it may have files to remove.
        while self.lines.recv_timeout(LINGER).is_ok() {}
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(script: &str) -> End {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        End::new("sender", command.spawn().unwrap()).unwrap()
    }

    #[test]
    fn results_are_pairs_behind_their_word() {
        let mut end = end("echo ready; echo chatter; echo result messages=7 ns=100 hash=ff");
        assert!(end.line("ready").unwrap().is_empty());
        let pairs = end.line("result").unwrap();
        assert_eq!((number(&pairs, "messages"), number(&pairs, "absent")), (7, 0));
        let near: Pairs = [("messages".into(), "9".into())].into();
        assert_eq!(stream(&near, &pairs).lost, 2);
    }

    #[test]
    fn of_many_receivers_the_slowest_counts_and_every_loss() {
        let far = |messages: &str, ns: &str, hash: &str| -> Pairs {
            [("messages", messages), ("ns", ns), ("hash", hash)]
                .map(|(key, value)| (key.into(), value.into()))
                .into()
        };
        let near: Pairs = [("messages".into(), "9".into())].into();
        let turn = fan_out(&near, &[far("9", "100", "a"), far("9", "300", "a")]);
        assert_eq!((turn.msgs_per_s, turn.lost), (3e7, 0));
        assert_eq!(fan_out(&near, &[far("9", "100", "a"), far("8", "100", "b")]).lost, 2);
    }

    #[test]
    fn an_end_that_fails_says_why() {
        let reason = end("echo no driver >&2; exit 1").line("ready").unwrap_err();
        assert_eq!(reason, "its sender did not say `ready`: no driver");
    }
}
