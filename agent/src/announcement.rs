//! What a node says of its services when it joins.
//!
//! A join is one datagram, so there is room for so many bytes and no more: a service whose command
//! does not fit is announced by its name, and the last ones perhaps not at all. The station learns
//! those when something happens to them.

use crate::config::{ServiceConfig, is_service};
use alloc::vec::Vec;
use syncom_wire::announced::Announced;
use syncom_wire::limits::{ANNOUNCED_MAX, ANNOUNCEMENT_MAX};

/// Encoded once, when the agent is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement(Vec<u8>);

impl Announcement {
    /// Announces the services that an agent of this name manages.
    pub(crate) fn of(node: &str, services: &[ServiceConfig]) -> Self {
        let managed = services.iter().filter(|service| is_service(node, service));
        let managed: Vec<&ServiceConfig> = managed.take(ANNOUNCED_MAX).collect();
        // Names before commands: that something runs here matters more than how it is started.
        let names: usize = managed.iter().map(|service| 2 + service.name.len()).sum();
        let mut spare = ANNOUNCEMENT_MAX.saturating_sub(names);
        let mut bytes = Vec::with_capacity(ANNOUNCEMENT_MAX);
        for service in managed {
            let command: usize = 1 + service.argv.iter().map(|word| word.len() + 1).sum::<usize>();
            let told = if command <= spare { service.argv.as_slice() } else { &[] };
            let len = service.name.len() + if told.is_empty() { 0 } else { command };
            let Ok(prefix) = u16::try_from(len) else { continue };
            if bytes.len() + 2 + len > ANNOUNCEMENT_MAX {
                break;
            }
            spare -= if told.is_empty() { 0 } else { command };
            bytes.extend(prefix.to_le_bytes());
            bytes.extend(service.name.bytes());
            if !told.is_empty() {
                bytes.push(0);
            }
            for word in told {
                bytes.extend(word.bytes());
                bytes.push(0);
            }
        }
        Self(bytes)
    }

    /// As it goes into a join.
    pub(crate) fn as_announced(&self) -> Announced<'_> {
        Announced::parse(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use std::format;

    fn service(name: &str, argv: &[&str]) -> ServiceConfig {
        let argv = argv.iter().map(ToString::to_string).collect();
        ServiceConfig { name: name.into(), argv }
    }

    fn items(announcement: &Announcement) -> Vec<&[u8]> {
        announcement.as_announced().iter().collect()
    }

    #[test]
    fn a_service_is_announced_as_an_order_would_start_it() {
        let services = [service("web", &["nginx", "-g", "daemon off;"]), service("x", &["y"])];
        let announcement = Announcement::of("node1", &services);
        assert_eq!(items(&announcement), [&b"web\0nginx\0-g\0daemon off;\0"[..], b"x\0y\0"]);
        assert!(items(&Announcement::of("node1", &[])).is_empty());
    }

    #[test]
    fn names_come_before_commands_when_room_is_short() {
        let long = "a".repeat(700);
        let services = [service("big", &[&long]), service("web", &[&long]), service("x", &["y"])];
        let announcement = Announcement::of("node1", &services);
        let told = items(&announcement);
        assert_eq!(told[0].len(), 3 + 1 + 700 + 1);
        assert_eq!((told[1], told[2]), (&b"web"[..], &b"x\0y\0"[..]));
    }

    #[test]
    fn however_many_there_are_it_stays_within_its_bound_and_sound() {
        for count in 0..40 {
            let name = |at: usize| format!("service-with-a-long-name-{at}");
            let services: Vec<_> = (0..count).map(|at| service(&name(at), &["run"])).collect();
            let announcement = Announcement::of("node1", &services);
            assert!(announcement.0.len() <= ANNOUNCEMENT_MAX);
            assert!(Announced::parse(&announcement.0).is_ok(), "{count}");
            assert!(items(&announcement).len() >= count.min(24), "{count}");
        }
    }
}
