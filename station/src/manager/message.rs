//! What a command of a rule is told: variables of its environment, and no word of its own changed.
//!
//! Reports come from anywhere, so nothing of them is ever put into the words of a command; a script
//! reads what it wants from the environment.

use super::thought::Spot;
use std::fmt::Write as _;
use syncom_wire::ids::{hash, mix};
use syncom_wire::{OrderId, Term};

/// What sets the environment of a command, on every node.
const ENV: &str = "env";

/// Number of what a step does for an event: the same for every try.
pub(super) fn number_of(spot: &Spot<'_>) -> u64 {
    let cause = [spot.event.head.seq, u64::from(spot.event.head.count), u64::from(spot.index)];
    mix(hash(cause.map(u64::to_le_bytes).as_flattened()) ^ hash(spot.rule.name.as_bytes()))
}

/// The payload of an order that runs the command of a step.
pub(super) fn payload(spot: &Spot<'_>, node: &str, order: OrderId, term: Term) -> Vec<u8> {
    let (event, rule) = (spot.event, spot.rule.name);
    let (subject, kind) = (event.subject.as_str(), event.kind.as_str());
    let json = format!(
        "{{\"event\":{},\"kind\":{},\"subject\":{},\"node\":{},\"detail\":{},\"rule\":{},\
         \"count\":{},\"severity\":{},\"time_ns\":{}}}",
        event.head.seq,
        quoted(kind),
        quoted(subject),
        quoted(node),
        quoted(&event.detail),
        quoted(rule),
        event.head.count,
        event.head.severity,
        event.head.time_ns
    );
    let mut out = format!("{ENV}\0");
    for (name, value) in [
        ("ACTION", spot.step.action().name()),
        ("ATTEMPT", &(u16::from(spot.attempt) + 1).to_string()),
        ("EVENT", &event.head.seq.to_string()),
        ("ID", &format!("{:016x}", number_of(spot))),
        ("JSON", &json),
        ("KIND", kind),
        ("NODE", node),
        ("ORDER", &format!("{:016x}", order.0)),
        ("RULE", rule),
        ("SUBJECT", subject),
        ("TERM", &term.0.to_string()),
    ] {
        let _ = write!(out, "SYNCOM_{name}={value}\0");
    }
    let mut out = out.into_bytes();
    out.extend_from_slice(spot.step.command);
    out
}

/// A text as JSON writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A command for people: its first words.
pub(super) fn command_name(command: &[u8]) -> String {
    let text = String::from_utf8_lossy(command);
    let words: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    let mut name: String = words.join(" ").chars().take(80).collect();
    if words.join(" ").chars().count() > 80 {
        name.push('…');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000ad\"");
        assert_eq!(command_name(b"sh\0-c\0true\0"), "sh -c true");
    }
}
