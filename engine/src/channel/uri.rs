//! Channels as URIs: where, and how.

use super::ChannelError;
use crate::link::mmsg::{Group, Interface};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use syncom_seam::{MS, SECOND};
use syncom_stream::{Control, Flow};
use syncom_wire::limits::{CHANNEL_DATAGRAM_MAX, MTU};

/// Where a channel leads and how it is to be, as in
/// `udp://10.0.0.7:9000?mtu=8192&window=4m&cc=static`.
///
/// | key | value | default |
/// |---|---|---|
/// | `mtu` | bytes of a datagram, 512 to 65,472; more than the path carries is fragmented or lost | 1408 |
/// | `seal` | `on`, or `off` for measuring; both ends alike | `on` |
/// | `window` | bytes under way at most, such as `512k` or `4m` | `2m` |
/// | `cc` | `cubic`, or `static` for a network of our own | `cubic` |
/// | `link` | `auto`, `mmsg`, `uring`, `xdp`, `mem` | `auto` |
/// | `stream` | which stream between two processes, 0 to 65,535 | 1 |
/// | `flow` | to many: wait for all (`min`), the fastest (`max`), or those of one group (`tagged:7`) | `min` |
/// | `linger` | to many: how long the others wait for one that is stopped or too slow | `5s` |
/// | `history` | to many: bytes kept for those who come late or fell behind, though all others have them | 0 |
/// | `group` | of a receiver: the group that it belongs to | 0 |
/// | `interface` | multicast: the interface to use, by its name, or by its address over IPv4 | the system's choice |
/// | `ttl` | multicast: how many networks far | 1 |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// Where receivers listen: an address of this host or another one, or a multicast group.
    pub address: SocketAddr,
    /// Bytes of a datagram, header and tag included.
    pub mtu: usize,
    /// Whether datagrams are sealed.
    pub is_sealed: bool,
    /// Bytes under way at most.
    pub window: usize,
    /// How the window is governed.
    pub control: Control,
    /// Which backend moves datagrams.
    pub link: LinkChoice,
    /// Which stream between two processes.
    pub stream: u16,
    /// Whom a sender to many waits for.
    pub flow: Flow,
    /// How long a sender to many waits for one of them, in ns.
    pub linger_ns: u64,
    /// Bytes that a sender to many keeps though all have them.
    pub history: usize,
    /// The group that a receiver belongs to.
    pub group: u16,
    /// The interface for multicast.
    pub interface: Option<Interface>,
    /// How many networks far multicast goes.
    pub ttl: u8,
}

/// Which backend moves the datagrams of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkChoice {
    /// The best that works here.
    #[default]
    Auto,
    /// A UDP socket.
    Mmsg,
    /// io_uring.
    Uring,
    /// AF_XDP.
    Xdp,
    /// In-process; the hub is given to the builder.
    Mem,
}

impl Uri {
    /// Bytes of the smallest datagrams that can be chosen.
    pub const MTU_MIN: usize = 512;
    /// Bytes of the largest window.
    pub const WINDOW_MAX: usize = 1 << 28;
    /// Bytes of the longest history.
    pub const HISTORY_MAX: usize = 1 << 30;

    /// A channel at `address` with everything at its default.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            mtu: MTU,
            is_sealed: true,
            window: 2 << 20,
            control: Control::Cubic,
            link: LinkChoice::Auto,
            stream: 1,
            flow: Flow::Min,
            linger_ns: 5 * SECOND,
            history: 0,
            group: 0,
            interface: None,
            ttl: 1,
        }
    }

    /// Reads a URI.
    ///
    /// # Errors
    /// [`ChannelError::Uri`] with the part that is wrong and what it may be.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        let wrong = |what: String| ChannelError::Uri(format!("{text:?}: {what}"));
        let rest = text
            .strip_prefix("udp://")
            .ok_or_else(|| wrong("begin with udp://, as in udp://127.0.0.1:9000".into()))?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bare, zone) = split_zone(address);
        let address = bare.parse().map_err(|_| {
            wrong(format!("{address:?} is not ADDRESS:PORT, such as 127.0.0.1:9000 or [::1]:9000"))
        })?;
        let mut uri = Self::new(address);
        if let Some(zone) = zone {
            uri.set("interface", &zone).map_err(wrong)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| wrong(format!("{pair:?} is not KEY=VALUE")))?;
            uri.set(key, value).map_err(wrong)?;
        }
        Ok(uri)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let expected = |what: &str| format!("{key}={value}: expected {what}");
        match key {
            "mtu" => {
                let range = Self::MTU_MIN..=CHANNEL_DATAGRAM_MAX;
                self.mtu = size(value)
                    .filter(|mtu| range.contains(mtu))
                    .ok_or_else(|| expected("512 to 65472 bytes"))?;
            }
            "window" => {
                self.window = size(value)
                    .filter(|window| (1 << 14..=Self::WINDOW_MAX).contains(window))
                    .ok_or_else(|| expected("16k to 256m bytes"))?;
            }
            "seal" => {
                self.is_sealed = choose(value, ON_OFF).ok_or_else(|| expected("on or off"))?
            }
            "cc" => {
                let choices = [("cubic", Control::Cubic), ("static", Control::Static)];
                self.control = choose(value, choices).ok_or_else(|| expected("cubic or static"))?;
            }
            "link" => {
                let what = "auto, mmsg, uring, xdp or mem";
                self.link = choose(value, LINKS).ok_or_else(|| expected(what))?;
            }
            "flow" => {
                let tagged = || value.strip_prefix("tagged:")?.parse().ok().map(Flow::Tagged);
                self.flow = choose(value, [("min", Flow::Min), ("max", Flow::Max)])
                    .or_else(tagged)
                    .ok_or_else(|| expected("min, max or tagged:GROUP"))?;
            }
            "stream" => self.stream = value.parse().map_err(|_| expected("0 to 65535"))?,
            "group" => self.group = value.parse().map_err(|_| expected("0 to 65535"))?,
            "ttl" => self.ttl = value.parse().map_err(|_| expected("0 to 255"))?,
            "linger" => self.linger_ns = span(value).ok_or_else(|| expected("10ms to 60s"))?,
            "history" => {
                self.history = size(value)
                    .filter(|history| *history <= Self::HISTORY_MAX)
                    .ok_or_else(|| expected("0 to 1024m bytes"))?;
            }
            "interface" => {
                let what = "the name or an IPv4 address of an interface of this host";
                self.interface = Some(Interface::named(value).ok_or_else(|| expected(what))?);
            }
            _ => {
                return Err(format!(
                    "no such key as {key:?}; there are mtu, window, seal, cc, link, stream, flow, \
                     linger, history, group, interface and ttl"
                ));
            }
        }
        Ok(())
    }

    /// The multicast group, if the address is that of one.
    #[must_use]
    pub fn group_address(&self) -> Option<Group> {
        let Self { address, interface, ttl, .. } = *self;
        self.is_multicast().then_some(Group { address: address.into(), interface, ttl })
    }

    /// Whether many may listen.
    #[must_use]
    pub const fn is_multicast(&self) -> bool {
        match self.address.ip() {
            IpAddr::V4(ip) => ip.is_multicast(),
            IpAddr::V6(ip) => ip.is_multicast(),
        }
    }
}

const ON_OFF: [(&str, bool); 2] = [("on", true), ("off", false)];
const LINKS: [(&str, LinkChoice); 5] = [
    ("auto", LinkChoice::Auto),
    ("mmsg", LinkChoice::Mmsg),
    ("uring", LinkChoice::Uring),
    ("xdp", LinkChoice::Xdp),
    ("mem", LinkChoice::Mem),
];

fn choose<T, const N: usize>(name: &str, choices: [(&str, T); N]) -> Option<T> {
    choices.into_iter().find(|(choice, _)| *choice == name).map(|(_, value)| value)
}

/// Cuts `%ZONE` out of `[ADDRESS%ZONE]:PORT`.
fn split_zone(address: &str) -> (Cow<'_, str>, Option<String>) {
    let parts = address.split_once('%').and_then(|(front, rest)| {
        let (zone, back) = rest.split_once(']')?;
        Some((Cow::Owned(format!("{front}]{back}")), Some(zone.to_owned())))
    });
    parts.unwrap_or((Cow::Borrowed(address), None))
}

/// Nanoseconds, as `500ms` or `5s`.
fn span(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, MS),
        None => (text.strip_suffix('s')?, SECOND),
    };
    let span_ns = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (10 * MS..=60 * SECOND).contains(&span_ns).then_some(span_ns)
}

/// Bytes, as `65536`, `64k` or `4m`.
fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn every_key_is_understood() {
        let text = "udp://127.0.0.1:9000?mtu=8192&seal=off&window=4m&cc=static&link=mmsg&stream=7\
                    &flow=tagged:3&group=9&interface=127.0.0.1&ttl=4&linger=250ms&history=1m";
        let uri = Uri::parse(text).unwrap();
        let expected = Uri {
            mtu: 8192,
            is_sealed: false,
            window: 4 << 20,
            control: Control::Static,
            link: LinkChoice::Mmsg,
            stream: 7,
            flow: Flow::Tagged(3),
            group: 9,
            linger_ns: 250 * MS,
            history: 1 << 20,
            interface: Some(Interface::Address(Ipv4Addr::LOCALHOST)),
            ttl: 4,
            ..Uri::new("127.0.0.1:9000".parse().unwrap())
        };
        assert_eq!(uri, expected);
        assert!(Uri::parse("udp://239.1.2.3:9000").unwrap().is_multicast());
        let zoned = Uri::parse("udp://[ff02::7%lo]:9000").unwrap();
        assert!(zoned.is_multicast() && zoned.address.port() == 9000);
        assert_eq!(zoned.interface, Interface::named("lo"));
        assert!(!uri.is_multicast());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_it_may_be() {
        for (text, hint) in [
            ("tcp://127.0.0.1:1", "udp://"),
            ("udp://localhost", "ADDRESS:PORT"),
            ("udp://127.0.0.1:1?mtu=9", "512 to 65472"),
            ("udp://127.0.0.1:1?window=1g", "16k to 256m"),
            ("udp://127.0.0.1:1?seal", "KEY=VALUE"),
            ("udp://127.0.0.1:1?cc=bbr", "cubic or static"),
            ("udp://127.0.0.1:1?colour=red", "no such key"),
            ("udp://127.0.0.1:1?linger=5", "10ms to 60s"),
            ("udp://127.0.0.1:1?linger=5m", "10ms to 60s"),
            ("udp://[ff02::7%no-such-if0]:1", "name or an IPv4 address"),
        ] {
            let error = Uri::parse(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
