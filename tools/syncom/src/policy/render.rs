//! From frame to text: what `policy show` prints can be applied again.

use super::selector;
use crate::show;
use serde_json::{Value, json};
use std::fmt::Write as _;
use syncom_wire::policy::{Action, Policy, Rule, Step};
use syncom_wire::selector::Selector;

/// A policy as `policy.toml`.
#[must_use]
pub fn render(policy: &Policy<'_>) -> String {
    let head = &policy.head;
    let mut out = format!(
        "[guard]\nnodes = {}\npercent = {}\nwindow = {}\nlast_instance = {}\n\n\
         [brake]\ndeaths = {}\npercent = {}\ndomains = {}\nwindow = {}\ncalm = {}\n",
        head.guard_nodes,
        head.guard_permille / 10,
        span(head.guard_window_ms),
        head.guard_last == 1,
        head.brake_deaths,
        head.brake_permille / 10,
        head.brake_domains,
        span(head.brake_window_ms),
        span(head.brake_calm_ms),
    );
    for threshold in policy.thresholds() {
        let head = &threshold.head;
        let _ = write!(
            out,
            "\n[[threshold]]\nkind = {}\nreporters = {}\npercent = {}\ndomains = {}\nwindow = {}\n\
             rate = {}\n",
            quoted(threshold.kind),
            head.min_distinct,
            head.min_permille / 10,
            head.min_domains,
            span(head.window_ms),
            head.max_rate,
        );
    }
    for rule in policy.rules() {
        write_rule(&mut out, &rule);
    }
    out
}

fn write_rule(out: &mut String, rule: &Rule<'_>) {
    let head = &rule.head;
    let _ = write!(
        out,
        "\n[[rule]]\nname = {}\non = {}\nsubject = {}\n",
        quoted(rule.name),
        quoted(rule.kind),
        quoted(&selector::render(rule.subject))
    );
    if head.severity > 0 {
        let _ = writeln!(out, "severity = {}", quoted(show::severity(head.severity)));
    }
    for (key, count, window_ms) in [
        ("limit_subject", head.subject_limit, head.subject_window_ms),
        ("limit", head.rule_limit, head.rule_window_ms),
    ] {
        if count > 0 {
            let window = span(window_ms);
            let _ = writeln!(out, "{key} = \"{count}/{}\"", window.trim_matches('"'));
        }
    }
    if head.pause_ms > 0 {
        let _ = writeln!(out, "pause = {}", span(head.pause_ms));
    }
    out.push_str("do = [\n");
    for step in rule.steps() {
        let _ = writeln!(out, "    {},", step_text(&step));
    }
    out.push_str("]\n");
}

fn step_text(step: &Step<'_>) -> String {
    let action = step.action();
    let mut out = format!("{{ action = {}", quoted(action.name()));
    if step.on != Selector::EMPTY {
        let _ = write!(out, ", on = {}", quoted(&selector::render(step.on)));
    }
    if !step.command.is_empty() {
        let words: Vec<String> = words(step).iter().map(|word| quoted(word)).collect();
        let _ = write!(out, ", command = [{}]", words.join(", "));
    }
    if !step.text.is_empty() {
        let key = if action == Action::Move { "service" } else { "note" };
        let _ = write!(out, ", {key} = {}", quoted(step.text));
    }
    if step.head.retries > 0 {
        let _ = write!(out, ", retries = {}", step.head.retries);
        if step.head.backoff_ms > 0 {
            let _ = write!(out, ", backoff = {}", span(step.head.backoff_ms));
        }
    }
    let _ = write!(out, ", timeout = {} }}", span(step.head.timeout_ms));
    out
}

/// The rules as scripts see them.
pub fn rules<'a>(policy: &Policy<'a>) -> impl Iterator<Item = Value> + use<'a> {
    policy.rules().map(|rule| {
        let steps: Vec<Value> = rule
            .steps()
            .map(|step| {
                json!({"action": step.action().name(), "on": selector::render(step.on),
                       "command": words(&step), "text": step.text,
                       "retries": step.head.retries, "backoff_ms": step.head.backoff_ms,
                       "timeout_ms": step.head.timeout_ms})
            })
            .collect();
        json!({"name": rule.name, "on": rule.kind, "subject": selector::render(rule.subject),
               "severity": show::severity(rule.head.severity), "do": steps})
    })
}

fn words(step: &Step<'_>) -> Vec<String> {
    let words = step.command.strip_suffix(&[0]).unwrap_or(step.command);
    if words.is_empty() {
        return Vec::new();
    }
    words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

/// A duration as it is written, quoted.
fn span(ms: u32) -> String {
    match ms {
        0 => "\"0ms\"".into(),
        ms if ms % 60_000 == 0 => format!("\"{}m\"", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("\"{}s\"", ms / 1_000),
        ms => format!("\"{ms}ms\""),
    }
}
