//! Shows what happens in a running cluster, until it is told to stop.

use super::usage::usage;
use super::{Plan, Running};
use crate::client::Client;
use crate::commands::events;
use crate::commands::status::{self, Snapshot};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use serde_json::json;
use std::io::Write as _;
use std::time::Duration;
use syncom_engine::clock;
use syncom_engine::signal::StopSignals;
use syncom_wire::Frame;
use syncom_wire::control::Verb;

/// How often news are asked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long news may take: Ctrl-C waits for them.
const PATIENCE: Duration = Duration::from_millis(500);

/// Watches until `--for` is over or a signal comes, then prints the totals.
///
/// # Errors
/// When the cluster never came up, or its last replica has stopped.
pub(super) fn watch(plan: &Plan<'_>, place: Place, running: &mut dyn Running) -> Outcome {
    let signals = StopSignals::install()
        .map_err(|error| Failure::failed(format!("cannot watch for signals: {error}")))?;
    let mut client = Client::open(place)?;
    client.hurry(PATIENCE);
    let mut show = Show::new(plan, client);
    show.say(&format!(
        "{} nodes, {} satellites, {} replicas starting in {}",
        plan.args.nodes,
        plan.args.satellites,
        plan.args.replicas,
        plan.dir.display()
    ));
    let until = plan
        .args
        .for_
        .map(|span| plan.began.after(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)));
    while !signals.wait(LOOK) && until.is_none_or(|until| clock::now() < until) && !show.is_unread {
        let troubles = running.troubles();
        troubles.iter().for_each(|trouble| show.say(trouble));
        if running.replicas() == 0 {
            let last = troubles.last().map_or("", String::as_str);
            return Err(Failure::failed(format!(
                "no replica of the station runs any more; {last}"
            )));
        }
        show.look();
    }
    show.look();
    show.conclude(running)
}

struct Show<'a> {
    plan: &'a Plan<'a>,
    client: Client,
    /// The next event to show.
    from: u64,
    last: Option<Snapshot>,
    /// From process start until all nodes were alive.
    start_ms: Option<u64>,
    shown_alive: u32,
    /// Whoever read stdout has gone.
    is_unread: bool,
}

impl<'a> Show<'a> {
    const fn new(plan: &'a Plan<'a>, client: Client) -> Self {
        Self { plan, client, from: 1, last: None, start_ms: None, shown_alive: 0, is_unread: false }
    }

    /// A line for a person: on stderr when stdout is for scripts.
    fn say(&mut self, line: &str) {
        if self.plan.args.json {
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            self.print(line);
        }
    }

    /// A line on stdout. When its reader has gone, so has the reason to run; a full disk under it
    /// is none to stop.
    fn print(&mut self, line: &str) {
        if let Err(error) = writeln!(std::io::stdout(), "{line}") {
            self.is_unread |= error.kind() == std::io::ErrorKind::BrokenPipe;
        }
    }

    fn look(&mut self) {
        if let Ok(snapshot) = status::ask(&mut self.client) {
            self.progress(&snapshot);
            self.last = Some(snapshot);
        }
        if self.start_ms.is_some() {
            self.news();
        }
    }

    fn progress(&mut self, snapshot: &Snapshot) {
        let alive = snapshot.head.alive;
        let total = self.plan.args.nodes;
        if self.start_ms.is_some() {
            return;
        }
        let since_ms = clock::now().since(self.plan.began) / 1_000_000;
        if alive >= total {
            self.start_ms = Some(since_ms);
            self.from = snapshot.head.events + 1;
            self.say(&format!("{alive} nodes alive after {since_ms} ms; Ctrl-C stops everything"));
            self.say("in another terminal: syncom status, nodes, events --follow, run -w @all -- hostname");
        } else if alive > self.shown_alive {
            self.say(&format!("{alive} of {total} nodes alive after {since_ms} ms"));
        }
        self.shown_alive = alive;
    }

    fn news(&mut self) {
        let mut lines = Vec::new();
        let mut from = self.from;
        let json = self.plan.args.json;
        let _ = self.client.pages(Verb::Events, from, &[], |frame| {
            if let Frame::Event(event) = frame {
                from = from.max(event.head.seq + 1);
                lines.push(if json {
                    events::to_json(&event).to_string()
                } else {
                    events::line(&event)
                });
            }
        });
        self.from = from;
        for line in lines {
            self.print(&line);
        }
    }

    fn conclude(mut self, running: &dyn Running) -> Outcome {
        let (cpu_s, rss_bytes) = usage(&running.pids());
        let Some(snapshot) = self.last.take() else {
            return Err(Failure::unreachable(
                "the station never had a leader; the members' .log files and `syncom doctor` may \
                 tell why",
            ));
        };
        let head = snapshot.head;
        let serving = snapshot.satellites.iter().filter(|satellite| satellite.state == 1).count();
        if self.plan.args.json {
            let totals = json!({"nodes_alive": head.alive, "nodes_gray": head.gray, "nodes_dead": head.dead,
                       "false_deaths": head.false_deaths, "satellites": serving,
                       "replicas": snapshot.replicas.len(), "view": head.view.0,
                       "term": head.term.0, "events": head.events, "start_ms": self.start_ms,
                       "cpu_s": cpu_s, "rss_bytes": rss_bytes});
            self.print(&totals.to_string());
        } else {
            self.say(&format!(
                "stopping: {} alive, {} gray, {} dead, {} events; {cpu_s:.1} s of CPU, {} MiB",
                head.alive,
                head.gray,
                head.dead,
                head.events,
                rss_bytes >> 20
            ));
        }
        if self.start_ms.is_none() {
            return Err(Failure::failed(format!(
                "only {} of {} nodes came alive in time",
                head.alive, self.plan.args.nodes
            )));
        }
        Ok(())
    }
}
