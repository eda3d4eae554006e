//! `syncom events`: what was committed, in the one order that everybody sees.

use crate::args;
use crate::client::Client;
use crate::exit::Outcome;
use crate::place::Place;
use crate::show;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;
use syncom_wire::Frame;
use syncom_wire::control::Verb;
use syncom_wire::event::EventEntry;

/// How long a follower waits before it asks for news.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command; with `--follow` until it is interrupted.
///
/// # Errors
/// When no replica answers.
pub fn run(place: Place, args: &args::Events) -> Outcome {
    let mut client = Client::open_for(place, args.stale)?;
    let mut from = args.since.max(1);
    loop {
        let mut lines = Vec::new();
        client.pages(Verb::Events, from, &[], |frame| {
            if let Frame::Event(event) = frame {
                from = from.max(event.head.seq + 1);
                if args.kind.as_deref().is_none_or(|kind| kind == event.kind) {
                    lines.push(if args.json { to_json(&event).to_string() } else { line(&event) });
                }
            }
        })?;
        let mut out = std::io::stdout().lock();
        for line in lines {
            if writeln!(out, "{line}").is_err() {
                return Ok(()); // The reader has seen enough.
            }
        }
        if !args.follow || out.flush().is_err() {
            return Ok(());
        }
        client.wait(PAUSE);
    }
}

/// An event as scripts see it.
#[must_use]
pub fn to_json(event: &EventEntry<'_>) -> Value {
    let head = &event.head;
    json!({
        "seq": head.seq, "time_ns": head.time_ns, "kind": event.kind, "subject": event.subject,
        "view": head.view.0, "reporters": head.reporters, "domains": show::bits(head.domains),
        "detail": event.detail, "count": head.count, "incarnation": head.incarnation.0,
        "severity": show::severity(head.severity), "settled": head.settled == 1,
    })
}

/// An event as people see it.
#[must_use]
pub fn line(event: &EventEntry<'_>) -> String {
    let head = &event.head;
    let detail =
        if event.detail.is_empty() { String::new() } else { format!("  {}", event.detail) };
    format!(
        "{:>6}  {}  {:<10} {:<20} view {:<6} reporters {}{detail}",
        head.seq,
        show::clock(head.time_ns),
        event.kind,
        event.subject,
        head.view,
        head.reporters,
    )
}
