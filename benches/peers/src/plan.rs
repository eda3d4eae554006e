//! What a peer is asked to do.

use crate::Failure;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Which end of which case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends one way as fast as the system takes it.
    Sender,
    /// Counts what the sender sends.
    Receiver,
    /// Sends a message and waits for its echo, again and again.
    Ping,
    /// Echoes.
    Pong,
}

/// One end of a case.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Which end.
    pub role: Role,
    /// Core that the process is pinned to; none where the system does better without.
    pub core: Option<usize>,
    /// Bytes of a message, at least 8.
    pub size_b: usize,
    /// Bytes of the largest datagram, its header included where the system has one.
    pub mtu_b: usize,
    /// How long the sender sends, in ms.
    pub duration_ms: u64,
    /// How many round trips are counted.
    pub trips: u64,
    /// First port on the loopback that both ends have agreed on; the next one is free too.
    pub port: u16,
    /// So many receivers of one multicast stream; 0 when the stream has one receiver.
    pub receivers: usize,
}

impl Plan {
    /// Understands `ROLE key=value...`.
    ///
    /// # Errors
    /// When a word is unknown, a number is none, or messages are too small to be numbered.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let role = match words.next().as_deref() {
            Some("sender") => Role::Sender,
            Some("receiver") => Role::Receiver,
            Some("ping") => Role::Ping,
            Some("pong") => Role::Pong,
            _ => return Err("usage: PEER sender|receiver|ping|pong [key=value...]".into()),
        };
        let mut plan = Self {
            role,
            core: None,
            size_b: 64,
            mtu_b: 1408,
            duration_ms: 500,
            trips: 20_000,
            port: 47_100,
            receivers: 0,
        };
        for word in words {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("{word}: not key=value"))?;
            match key {
                "core" => plan.core = Some(value.parse()?),
                "size" => plan.size_b = value.parse()?,
                "mtu" => plan.mtu_b = value.parse()?,
                "ms" => plan.duration_ms = value.parse()?,
                "trips" => plan.trips = value.parse()?,
                "port" => plan.port = value.parse()?,
                "receivers" => plan.receivers = value.parse()?,
                _ => return Err(format!("{key}: no such key").into()),
            }
        }
        if plan.size_b < 8 || plan.size_b > plan.mtu_b {
            return Err(format!("messages of {} bytes do not fit this case", plan.size_b).into());
        }
        Ok(plan)
    }

    /// Keeps this thread, and those that it starts, on the core of the plan.
    ///
    /// # Errors
    /// When the core cannot be had.
    pub fn pin(&self) -> Result<(), Failure> {
        let Some(core) = self.core else { return Ok(()) };
        let mut set = CpuSet::new();
        set.set(core)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Plan, Failure> {
        Plan::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_plan_is_a_role_and_pairs() {
        let plan = parse("ping core=1 size=32 mtu=8192 port=5000").unwrap();
        assert_eq!((plan.role, plan.core, plan.size_b, plan.port), (Role::Ping, Some(1), 32, 5000));
        assert_eq!((plan.receivers, parse("sender receivers=3").unwrap().receivers), (0, 3));
        assert!(parse("pang").is_err() && parse("ping core").is_err());
        assert!(parse("ping colour=1").is_err() && parse("ping size=x").is_err());
        assert!(parse("sender size=7").is_err() && parse("sender size=2000").is_err());
    }
}
