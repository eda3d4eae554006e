//! What the observers of a node make of it at this moment: the second half of `syncom explain NODE`.
//!
//! The station knows who observes whom, not what they expect. So the observers are asked themselves,
//! all at once; who does not answer soon, or answers that it does not watch the node, is named, too.

use crate::client::Client;
use crate::commands::nodes::{Node, Roll};
use crate::exit::Failure;
use crate::show;
use serde_json::{Value, json};
use syncom_wire::control::Verb;
use syncom_wire::watch::Watch;
use syncom_wire::{Frame, Slot};

/// Why an observer accuses nobody, or is hardly believed.
const DOUBTS: [(u16, &str); 4] = [
    (Watch::MUTE, "was stopped or lost datagrams a moment ago: accuses nobody"),
    (Watch::ISOLATED, "is answered by no home: accuses nobody"),
    (Watch::IN_DOUBT, "hears nobody of the group: accuses nobody"),
    (Watch::SELF_SUSPECT, "misses half of its subjects: its word weighs a quarter"),
];

/// Asks the observers of a node: what each expects, who does not watch it (its set was lost, or is on
/// its way), and who gave no answer.
///
/// # Errors
/// When the socket breaks.
pub fn ask(client: &mut Client, roll: &Roll, node: &Node) -> Result<Value, Failure> {
    let observers: Vec<&Node> = node.observers.iter().filter_map(|slot| roll.0.get(slot)).collect();
    let addrs: Vec<_> = observers.iter().map(|observer| observer.head.addr).collect();
    let answers = client.ask_each(&addrs, (Verb::Watched, 0))?;
    let mut watches = Vec::new();
    let (mut strangers, mut silent): (Vec<Slot>, Vec<Slot>) = Default::default();
    for (observer, answer) in observers.iter().zip(answers) {
        let Some(answer) = answer else {
            silent.push(observer.slot());
            continue;
        };
        match watch_of(node.slot(), answer.frames()) {
            Some(watch) => watches.push(to_json(&observer.name, &watch)),
            None => strangers.push(observer.slot()),
        }
    }
    let [strangers, silent] = [strangers, silent].map(|slots| roll.fold(slots.into_iter()));
    Ok(json!({"watches": watches, "not_watching": strangers, "no_answer": silent}))
}

/// What an answer says of one subject.
fn watch_of<'a>(subject: Slot, mut frames: impl Iterator<Item = Frame<'a>>) -> Option<Watch> {
    frames.find_map(|frame| match frame {
        Frame::Watch(watch) if watch.subject == subject => Some(watch),
        _ => None,
    })
}

fn to_json(name: &str, watch: &Watch) -> Value {
    let doubts = DOUBTS.iter().filter(|(flag, _)| watch.flags & flag != 0);
    let doubts: Vec<&str> = doubts.map(|(_, words)| *words).collect();
    let heard_ago_us = (watch.heard_ago_us != Watch::NEVER).then_some(watch.heard_ago_us);
    json!({
        "observer": name, "incarnation": watch.incarnation.0, "seq": watch.seq,
        "heard_ago_us": heard_ago_us, "interval_us": watch.interval_us,
        "timeout_us": watch.timeout_us, "margin_us": watch.margin_us,
        "error_us": watch.error_us, "srtt_us": watch.srtt_us, "still_us": watch.still_us,
        "services_up": watch.services_up, "services_down": watch.services_down,
        "claim": claim(watch.claim), "health": watch.health, "doubts": doubts,
    })
}

const fn claim(number: u8) -> &'static str {
    match number {
        Watch::ACCUSED => "silent",
        Watch::RETRACTING => "heard again",
        Watch::SETTLED => "over",
        _ => "well",
    }
}

/// Prints for people what [`ask`] has found.
pub fn print(live: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let span = |value: &Value| show::span_us(value.as_u64().unwrap_or(0));
    for watch in live["watches"].as_array().into_iter().flatten() {
        let heard = match watch["heard_ago_us"].as_u64() {
            Some(us) => format!("heard {} ago", show::span_us(us)),
            None => "never heard".into(),
        };
        println!(
            "{:<11} {}: {heard}, speaks every {}, late after {} (margin {}, error {}); own round \
             trip {}",
            text(&watch["observer"]),
            text(&watch["claim"]),
            span(&watch["interval_us"]),
            span(&watch["timeout_us"]),
            span(&watch["margin_us"]),
            span(&watch["error_us"]),
            span(&watch["srtt_us"]),
        );
        if watch["still_us"].as_u64() > watch["interval_us"].as_u64() {
            println!("            its progress stands still for {}", span(&watch["still_us"]));
        }
        if watch["services_down"].as_u64() > Some(0) {
            println!(
                "            {} of its services run, {} do not",
                watch["services_up"], watch["services_down"]
            );
        }
        if watch["health"].as_u64() > Some(0) {
            println!("            trusts itself little: health {} of 0 to 7", watch["health"]);
        }
        for doubt in watch["doubts"].as_array().into_iter().flatten() {
            println!("            {}", text(doubt));
        }
    }
    for (who, words) in [("not_watching", "no watch"), ("no_answer", "no answer")] {
        if !text(&live[who]).is_empty() {
            println!("{words:<11} {}", text(&live[who]));
        }
    }
}
