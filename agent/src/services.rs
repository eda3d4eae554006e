//! Managed services: commands that this agent keeps.
//!
//! The driver tells within the same moment when a child ends, so a dead service is known without
//! any heartbeat. An agent does not restart what died on its own: it reports the death, and the
//! recovery manager decides. What it does itself is what an order asks for.
//!
//! ```text
//!              start                  stop, restart
//!   Stopped ───────────▶ Running ───────────────────▶ Stopping
//!      ▲  ▲                 │ ends: a death              │ ends
//!      │  └─────────────────┘                            │
//!      └─────────────────────────────────────────────────┘ (and starts again after a restart)
//! ```

use crate::config::{ServiceConfig, is_service};
use crate::heartbeats::ServiceCounts;
use crate::node::Node;
use crate::reports::{Draft, Reports};
use crate::timers::TimerKind;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use syncom_seam::limits::SERVICES_MAX;
use syncom_seam::{Counter, Exit, Now, Outbox, SECOND, Spawn, Time};
use syncom_wire::order::{Receipt, Verb};
use syncom_wire::report::EventKind;
use syncom_wire::{Incarnation, OrderId, Subject};

/// Bytes of a service's output kept for the report of its death.
const SERVICE_OUTPUT_MAX: usize = 1_024;
/// How long a service may take to end when asked to, in ns; then it is killed.
const STOP_GRACE_NS: u64 = 5 * SECOND;
/// How long a service that is down when a new life of the node begins may wait for its restart, in
/// ns: as long as an order to restart it may take.
const REMINDER_NS: u64 = 10 * SECOND;
/// Severity of a service's death: error.
const SEVERITY: u8 = 2;
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// Status code of a service that does not run (Linux Standard Base, init scripts).
const NOT_RUNNING: i32 = 3;

/// What a service is seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Observed {
    Stopped,
    Running { token: u64 },
    Stopping { token: u64, kill_at: Time },
}

#[derive(Clone, Debug)]
struct Service {
    config: ServiceConfig,
    /// `node/service`: what its events are about.
    title: String,
    /// Whether it should run.
    wanted: bool,
    observed: Observed,
    /// The order that waits for it to have stopped.
    waiting: Option<OrderId>,
    /// How often it was started after the first time.
    restarts: u32,
    /// Deaths that are not reported yet, and what is known of the last one.
    deaths: u32,
    last_words: String,
    /// When to report a death again, because the station may have taken it for one on a dead node.
    remind_at: Time,
}

/// What became of an order about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Performed {
    /// It is done: exit code and output.
    Done(i32, String),
    /// It will be done when the service has stopped; [`Services::on_exit`] says so.
    Waits,
    /// It will not be done, for a reason of [`Receipt`].
    Refused(i32),
}

/// All services of this node.
#[derive(Debug)]
pub(crate) struct Services {
    services: Vec<Service>,
}

impl Services {
    pub(crate) fn new(node: &str, configs: &[ServiceConfig]) -> Self {
        let mut services = Vec::with_capacity(SERVICES_MAX);
        let configs = configs.iter().filter(|config| is_service(node, config));
        services
            .extend(configs.take(SERVICES_MAX).map(|config| Service::new(node, config.clone())));
        Self { services }
    }

    /// Starts everything that was configured.
    pub(crate) fn start<O: Outbox>(&mut self, node: &mut Node, out: &mut O) {
        for service in &mut self.services {
            service.start(node, out);
        }
    }

    /// How many run, and how many should and do not.
    pub(crate) fn counts(&self) -> ServiceCounts {
        let mut counts = ServiceCounts::default();
        for service in &self.services {
            match service.observed {
                Observed::Running { .. } => counts.up += 1,
                Observed::Stopped | Observed::Stopping { .. } if service.wanted => counts.down += 1,
                Observed::Stopped | Observed::Stopping { .. } => {}
            }
        }
        counts
    }

    /// Carries out an order about a service: its name, a zero byte, and arguments if there are any.
    pub(crate) fn perform<O: Outbox>(
        &mut self,
        now: Now,
        verb: Verb,
        payload: &[u8],
        order: OrderId,
        node: &mut Node,
        out: &mut O,
    ) -> Performed {
        let Some(mut words) = words(payload).filter(|words| !words.is_empty()) else {
            return Performed::Refused(Receipt::BAD_PAYLOAD);
        };
        let name = words.remove(0);
        let known = self.services.iter_mut().find(|service| service.config.name == name);
        let Some(service) = known else {
            return self.start_new(verb, ServiceConfig { name, argv: words }, node, out);
        };
        if verb == Verb::ServiceStatus {
            return service.status();
        }
        if service.waiting.is_some() {
            return Performed::Refused(Receipt::BUSY);
        }
        if verb == Verb::ServiceStart && !words.is_empty() {
            service.config.argv = words;
        }
        service.wanted = verb != Verb::ServiceStop;
        match service.observed {
            Observed::Running { .. } if verb == Verb::ServiceStart => service.status(),
            Observed::Running { token } => {
                service.stop(token, now, node, out);
                service.waiting = Some(order);
                Performed::Waits
            }
            Observed::Stopping { .. } => {
                service.waiting = Some(order);
                Performed::Waits
            }
            Observed::Stopped if service.wanted => {
                service.restarts = service.restarts.saturating_add(1);
                service.start(node, out);
                service.status()
            }
            Observed::Stopped => Performed::Done(0, "stopped".into()),
        }
    }

    /// A child ended: the order that waited for it, with its result; `None` when it is not a
    /// service's, `Some(None)` when nobody waited.
    pub(crate) fn on_exit<O: Outbox>(
        &mut self,
        token: u64,
        exit: &Exit,
        node: &mut Node,
        out: &mut O,
    ) -> Option<Option<(OrderId, i32, String)>> {
        let service = self.services.iter_mut().find(|service| service.token() == Some(token))?;
        let was = core::mem::replace(&mut service.observed, Observed::Stopped);
        if matches!(was, Observed::Running { .. }) && service.wanted {
            out.count(Counter::ServicesDied, 1);
            service.deaths = service.deaths.saturating_add(1);
            service.last_words = last_words(exit);
            return Some(None);
        }
        if service.wanted {
            service.restarts = service.restarts.saturating_add(1);
            service.start(node, out);
        }
        let done = if service.wanted { "restarted" } else { "stopped" };
        Some(service.waiting.take().map(|order| (order, 0, done.into())))
    }

    /// The node was taken for dead, and is a member anew. Whoever decided about its services
    /// meanwhile found nothing to restart: what stays down is reported once more.
    pub(crate) fn on_new_life(&mut self, now: Time) {
        for service in &mut self.services {
            if service.wanted && service.observed == Observed::Stopped {
                service.remind_at = now.after(REMINDER_NS);
            }
        }
    }

    /// Reports deaths. A service that died again before its last death was committed waits for
    /// that, and then says how often it died.
    pub(crate) fn report_deaths<O: Outbox>(
        &mut self,
        now: Now,
        reports: &mut Reports,
        node: &mut Node,
        out: &mut O,
    ) {
        let is_due = |one: &Service| one.deaths > 0 || (one.wanted && one.remind_at <= now.at);
        for service in self.services.iter_mut().filter(|service| is_due(service)) {
            let subject = Subject::named(&service.title);
            let draft = Draft {
                subject,
                incarnation: Incarnation(0),
                kind: EventKind::SERVICE,
                severity: SEVERITY,
                count: service.deaths.max(1),
                subject_name: &service.title,
                kind_name: "",
                detail: &service.last_words,
            };
            let waits = reports.is_pending(subject, EventKind::SERVICE);
            if !waits && reports.submit(now, &draft, None, node, out) {
                (service.deaths, service.remind_at) = (0, Time::NEVER);
            }
        }
    }

    /// Kills what did not end in time.
    pub(crate) fn on_timer<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        for service in &mut self.services {
            if let Observed::Stopping { token, kill_at } = &mut service.observed {
                if *kill_at <= now.at {
                    out.kill(*token, SIGKILL);
                    *kill_at = now.at.after(STOP_GRACE_NS);
                }
                node.timers.by(TimerKind::Services, *kill_at, out);
            }
        }
    }

    /// The agent goes: so do its services.
    pub(crate) fn stop_all<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        for service in &mut self.services {
            service.wanted = false;
            if let Observed::Running { token } = service.observed {
                service.stop(token, now, node, out);
            }
        }
    }

    fn start_new<O: Outbox>(
        &mut self,
        verb: Verb,
        config: ServiceConfig,
        node: &mut Node,
        out: &mut O,
    ) -> Performed {
        if verb != Verb::ServiceStart || config.argv.is_empty() {
            return Performed::Refused(Receipt::NO_SERVICE);
        }
        if !is_service(&node.config.name, &config) {
            return Performed::Refused(Receipt::BAD_PAYLOAD);
        }
        if self.services.len() == SERVICES_MAX {
            return Performed::Refused(Receipt::BUSY);
        }
        let mut service = Service::new(&node.config.name, config);
        service.start(node, out);
        let performed = service.status();
        self.services.push(service);
        performed
    }
}

impl Service {
    fn new(node: &str, config: ServiceConfig) -> Self {
        Self {
            title: format!("{node}/{}", config.name),
            config,
            wanted: true,
            observed: Observed::Stopped,
            waiting: None,
            restarts: 0,
            deaths: 0,
            last_words: String::new(),
            remind_at: Time::NEVER,
        }
    }

    fn start<O: Outbox>(&mut self, node: &mut Node, out: &mut O) {
        let token = node.token();
        let argv = self.config.argv.clone();
        out.spawn(Spawn { token, argv, output_max: SERVICE_OUTPUT_MAX, stdin: Vec::new() });
        self.observed = Observed::Running { token };
        self.remind_at = Time::NEVER;
    }

    fn stop<O: Outbox>(&mut self, token: u64, now: Now, node: &mut Node, out: &mut O) {
        out.kill(token, SIGTERM);
        let kill_at = now.at.after(STOP_GRACE_NS);
        self.observed = Observed::Stopping { token, kill_at };
        node.timers.by(TimerKind::Services, kill_at, out);
    }

    const fn token(&self) -> Option<u64> {
        match self.observed {
            Observed::Running { token } | Observed::Stopping { token, .. } => Some(token),
            Observed::Stopped => None,
        }
    }

    fn status(&self) -> Performed {
        let restarts = self.restarts;
        match self.observed {
            Observed::Running { .. } => Performed::Done(0, format!("running, restarts {restarts}")),
            Observed::Stopping { .. } => Performed::Done(NOT_RUNNING, "stopping".into()),
            Observed::Stopped if self.wanted => Performed::Done(
                NOT_RUNNING,
                format!("died: {}, restarts {restarts}", self.last_words),
            ),
            Observed::Stopped => Performed::Done(NOT_RUNNING, "stopped".into()),
        }
    }
}

/// How a service ended, in words, with the last line that it wrote.
fn last_words(exit: &Exit) -> String {
    let end = match exit.code {
        127 => String::from("could not be started"),
        code @ 129..=192 => format!("ended by signal {}", code - 128),
        code => format!("exited with code {code}"),
    };
    let text = String::from_utf8_lossy(&exit.output);
    let Some(line) = text.lines().rfind(|line| !line.trim().is_empty()) else { return end };
    let line: String = line.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    format!("{end}: {line}")
}

/// The words of a payload, each ended by a zero byte (the last one need not be); `None` when they
/// are not UTF-8.
pub(crate) fn words(payload: &[u8]) -> Option<Vec<String>> {
    let payload = payload.strip_suffix(&[0]).unwrap_or(payload);
    if payload.is_empty() {
        return Some(Vec::new());
    }
    let text = core::str::from_utf8(payload).ok()?;
    Some(text.split('\0').map(String::from).collect())
}
