//! Two processes, each on a core of its own.

use crate::args::{BenchPair, LinkName, OnOff};
use crate::exit::Failure;
use crate::show;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use syncom_engine::channel::{Builder, Channel};
use syncom_engine::host_info::HostInfo;
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_engine::{clock, pin};
use syncom_wire::{Boot, PeerId};

/// The secret of a bench: both processes are ours, and nothing leaves the machine.
const SECRET: [u8; 32] = [7; 32];

/// The other process, and what it says.
#[derive(Debug)]
pub(super) struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    /// Starts this program again as the other end of `case`, with `arguments`; it is told where we
    /// are by `--other`.
    pub(super) fn start(
        case: &str,
        arguments: &[String],
        here: SocketAddr,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
        let mut child = Command::new(program)
            .args(["bench", case, "--other", &here.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::failed(format!("cannot start a second process: {error}")))?;
        let Some(out) = child.stdout.take() else {
            return Err(Failure::failed("the second process has no output"));
        };
        Ok(Self { child, lines: BufReader::new(out).lines() })
    }

    /// The next line that it prints, as JSON.
    pub(super) fn line(&mut self) -> Result<Value, Failure> {
        let line = self.lines.next().and_then(Result::ok);
        let value = line.and_then(|line| serde_json::from_str(&line).ok());
        value.ok_or_else(|| Failure::failed("the second process ended without a result"))
    }

    /// Where it listens: the first thing that it prints.
    pub(super) fn address(&mut self) -> Result<SocketAddr, Failure> {
        let line = self.line()?;
        let address = line["address"].as_str().and_then(|text| text.parse().ok());
        address.ok_or_else(|| Failure::failed("the second process does not say where it listens"))
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(super) fn join(mut self) -> Result<(), Failure> {
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::failed(format!("the second process failed: {status}"))),
            Err(error) => Err(Failure::failed(format!("the second process is lost: {error}"))),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arguments that both processes must agree on.
pub(super) fn arguments(pair: &BenchPair) -> Vec<String> {
    let words = [
        ("--size", pair.size.to_string()),
        ("--mtu", pair.mtu.to_string()),
        ("--seal", if pair.seal == OnOff::On { "on" } else { "off" }.into()),
        ("--seconds", pair.seconds.to_string()),
        ("--link", pair.link.name().into()),
        ("--window", pair.window.clone()),
        ("--cc", pair.cc.clone()),
    ];
    words.into_iter().flat_map(|(key, value)| [key.into(), value]).collect()
}

/// A channel as the command line describes it.
pub(super) fn channel(pair: &BenchPair, address: SocketAddr) -> Result<Builder, Failure> {
    channel_with(pair, address, "")
}

/// The same with more to say, as `&key=value`.
pub(super) fn channel_with(
    pair: &BenchPair,
    address: SocketAddr,
    more: &str,
) -> Result<Builder, Failure> {
    let seal = if pair.seal == OnOff::On { "on" } else { "off" };
    let BenchPair { mtu, window, cc, .. } = pair;
    let link = pair.link.name();
    let interface = if address.ip().is_multicast() { "&interface=127.0.0.1" } else { "" };
    let uri = format!(
        "udp://{address}?mtu={mtu}&seal={seal}&window={window}&cc={cc}&link={link}\
         {interface}{more}"
    );
    let builder = Channel::builder(&uri).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(keys(builder))
}

/// The link that moves datagrams, which is not the one that was asked for where a socket stands in:
/// a person is told why.
pub(super) fn link_of(pair: &BenchPair, channel: &Channel) -> &'static str {
    match channel.stand_in() {
        Some(why) => {
            show::tell(why);
            LinkName::Mmsg.name()
        }
        None => pair.link.name(),
    }
}

/// Gives a channel the secret of the bench.
pub(super) fn keys(builder: Builder) -> Builder {
    builder.secret("bench", &SECRET)
}

/// A sealer for single datagrams.
pub(super) fn sealer(pair: &BenchPair) -> Result<Sealer, Failure> {
    let boot = clock::read().wall.0;
    sealer_as(PeerId::client(boot ^ u64::from(std::process::id()).rotate_right(24)), pair.seal)
}

/// A sealer of one of several members of this process.
pub(super) fn sealer_of(seal: OnOff, number: u16) -> Result<Sealer, Failure> {
    sealer_as(PeerId::satellite(number), seal)
}

fn sealer_as(me: PeerId, seal: OnOff) -> Result<Sealer, Failure> {
    let keys = ClusterKeys::new("bench", &SECRET, ClusterKeys::FIRST_EPOCH);
    let boot = Boot(clock::read().wall.0);
    match seal {
        OnOff::On => Sealer::new(keys, me, boot, 0, 4).map_err(|e| Failure::failed(e.to_string())),
        OnOff::Off => Ok(Sealer::off(keys, me, boot, 0, 4)),
    }
}

/// Keeps this process on the first or the last core that it may use.
pub(super) fn pin_to(is_first: bool) {
    let cores = pin::cores().unwrap_or_default();
    let core = if is_first { cores.first() } else { cores.last() };
    if let Some(core) = core {
        // A machine that forbids pinning measures unpinned.
        let _ = pin::pin(*core);
    }
}

/// Keeps this process, one of many receivers, on a core of its own as long as there are enough: from
/// the last one down, so that the sender's comes last. What a sender does for many it does once.
pub(super) fn pin_at(place: usize) {
    let cores = pin::cores().unwrap_or_default();
    if let Some(core) = cores.iter().rev().cycle().nth(place) {
        let _ = pin::pin(*core);
    }
}

/// What every result carries of the machine.
pub(super) fn host() -> Value {
    let HostInfo { kernel, cpu, cores, isolated } = HostInfo::probe();
    json!({
        "cpu": cpu,
        "kernel": kernel,
        "cores": cores,
        "isolated": isolated,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// A count as a floating point number, for rates.
#[expect(clippy::cast_precision_loss, reason = "rates need no more than 52 bits")]
pub(super) const fn float(n: u64) -> f64 {
    n as f64
}
