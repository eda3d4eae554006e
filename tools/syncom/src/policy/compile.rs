//! From text to frame.

use super::file::{File, Rule, Step, Threshold};
use super::selector;
use crate::args;
use crate::client::pack;
use crate::show;
use std::collections::BTreeSet;
use std::ops::Range;
use syncom_wire::bytes::is_text;
use syncom_wire::limits::{
    COMMAND_MAX, GUARD_NODES_MAX, KIND_MAX, NAME_MAX, POLICY_MAX, RULES_MAX, STEPS_MAX,
    THRESHOLDS_MAX,
};
use syncom_wire::policy::{self as wire, Action, PolicyHead, RuleHead, StepHead, ThresholdHead};
use syncom_wire::selector::Selector;
use toml::Spanned;

/// A mistake, and where it is: bytes from the beginning.
struct Mistake(usize, String);

type Checked<T> = Result<T, Mistake>;

fn at<T>(value: &Spanned<T>, key: &str, why: impl std::fmt::Display) -> Mistake {
    Mistake(value.span().start, format!("`{key}`: {why}"))
}

/// The bytes of the Policy frame, header included, that a text means.
///
/// # Errors
/// One sentence with the line, the key, and what to type.
pub fn compile(text: &str) -> Result<Vec<u8>, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = line_of(text, error.span().unwrap_or(Range { start: 0, end: 0 }).start);
        format!("line {line}: {}", error.message())
    })?;
    policy(&file).map_err(|Mistake(start, why)| format!("line {}: {why}", line_of(text, start)))
}

fn line_of(text: &str, start: usize) -> usize {
    text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
}

fn policy(file: &File) -> Checked<Vec<u8>> {
    let (thresholds, rules) = (file.threshold.len(), file.rule.len());
    if thresholds > THRESHOLDS_MAX || rules > RULES_MAX {
        let why = format!(
            "{thresholds} thresholds and {rules} rules; at most {THRESHOLDS_MAX} and {RULES_MAX} \
             fit: join some by selectors"
        );
        return Err(Mistake(0, why));
    }
    let mut parts = Vec::new();
    let mut names = BTreeSet::new();
    for spanned in &file.threshold {
        let one = spanned.get_ref();
        if !names.insert(one.kind.get_ref()) {
            return Err(at(&one.kind, "kind", "has a threshold already; remove one"));
        }
        parts.extend(threshold(one)?);
    }
    names.clear();
    for spanned in &file.rule {
        let one = spanned.get_ref();
        if !names.insert(one.name.get_ref()) {
            return Err(at(&one.name, "name", "is another rule's; choose another name"));
        }
        parts.extend(rule(one)?);
    }
    let guard_nodes = match &file.guard.nodes {
        Some(nodes) if *nodes.get_ref() > GUARD_NODES_MAX => {
            return Err(at(nodes, "nodes", format!("write 0 to {GUARD_NODES_MAX}")));
        }
        nodes => nodes.as_ref().map_or(3, |nodes| *nodes.get_ref()),
    };
    let head = PolicyHead {
        version: 0,
        guard_nodes,
        guard_window_ms: span(file.guard.window.as_ref(), "window", 600_000)?,
        guard_permille: permille(file.guard.percent.as_ref(), 10)?,
        guard_last: u8::from(file.guard.last_instance.unwrap_or(true)),
        brake_domains: file.brake.domains.unwrap_or(2),
        brake_deaths: file.brake.deaths.unwrap_or(2),
        brake_permille: permille(file.brake.percent.as_ref(), 5)?,
        thresholds: u16::try_from(thresholds).unwrap_or(u16::MAX),
        brake_window_ms: span(file.brake.window.as_ref(), "window", 10_000)?,
        brake_calm_ms: span(file.brake.calm.as_ref(), "calm", 30_000)?,
        rules: u16::try_from(rules).unwrap_or(u16::MAX),
        reserved: [0; 10],
    };
    let frame = pack(&wire::Policy { head, parts: &parts }).map_err(|f| Mistake(0, f.message))?;
    if frame.len() > POLICY_MAX {
        let why = format!("the policy takes {} bytes; at most {POLICY_MAX} fit", frame.len());
        return Err(Mistake(0, format!("{why}: put commands into scripts")));
    }
    Ok(frame)
}

fn threshold(one: &Threshold) -> Checked<Vec<u8>> {
    let number = |given: Option<&Spanned<u32>>, key, default| match given {
        Some(value) if *value.get_ref() == 0 => Err(at(value, key, "write 1 or more")),
        value => Ok(value.map_or(default, |value| *value.get_ref())),
    };
    let head = ThresholdHead {
        min_distinct: number(one.reporters.as_ref(), "reporters", 1)?,
        window_ms: span(one.window.as_ref(), "window", 1_000)?,
        max_rate: number(one.rate.as_ref(), "rate", 100)?,
        min_permille: permille(one.percent.as_ref(), 0)?,
        min_domains: one.domains.unwrap_or(1),
        reserved: [0; 8],
    };
    let kind = name(&one.kind, "kind", KIND_MAX)?;
    pack(&wire::Threshold { head, kind }).map_err(|failure| at(&one.kind, "kind", failure.message))
}

fn rule(one: &Rule) -> Checked<Vec<u8>> {
    let steps = one.steps.get_ref();
    if steps.is_empty() || steps.len() > STEPS_MAX {
        let why = format!("write 1 to {STEPS_MAX} steps, such as [{{ action = \"nothing\" }}]");
        return Err(at(&one.steps, "do", why));
    }
    let mut bytes = Vec::new();
    for spanned in steps {
        bytes.extend(step(spanned)?);
    }
    let (subject_limit, subject_window_ms) = limit(one.limit_subject.as_ref(), "limit_subject")?;
    let (rule_limit, rule_window_ms) = limit(one.limit.as_ref(), "limit")?;
    let pause_ms = span_or_zero(one.pause.as_ref(), "pause")?;
    if let Some(pause) = one.pause.as_ref().filter(|_| subject_limit == 0) {
        return Err(at(pause, "pause", "needs a `limit_subject`, whose window it counts in"));
    }
    let severity = match &one.severity {
        None => 0,
        Some(word) => match (0..=3).find(|number| show::severity(*number) == word.get_ref()) {
            Some(number) => number,
            None => {
                let why = "write notice, warning, error or critical";
                return Err(at(word, "severity", why));
            }
        },
    };
    let head = RuleHead {
        subject_limit,
        subject_window_ms,
        rule_limit,
        rule_window_ms,
        pause_ms,
        severity,
        steps: u8::try_from(steps.len()).unwrap_or(u8::MAX),
        reserved: [0; 10],
    };
    let image = selected(one.subject.as_ref(), "subject")?;
    let subject = image.as_deref().map_or(Ok(Selector::ALL), Selector::parse);
    let subject = subject.map_err(|why| at(&one.name, "subject", why))?;
    let (kind, title) = (name(&one.on, "on", KIND_MAX)?, name(&one.name, "name", NAME_MAX)?);
    pack(&wire::Rule { head, name: title, kind, subject, steps: &bytes })
        .map_err(|failure| at(&one.name, "name", failure.message))
}

fn step(spanned: &Spanned<Step>) -> Checked<Vec<u8>> {
    let one = spanned.get_ref();
    let named = Action::NAMES.iter().find(|(name, _)| name == one.action.get_ref());
    let Some((word, action)) = named else {
        let names: Vec<&str> = Action::NAMES.iter().map(|(name, _)| *name).collect();
        return Err(at(&one.action, "action", format!("write one of {}", names.join(", "))));
    };
    let command = command(one, *action, word)?;
    let selects = action.takes_command() || *action == Action::Move;
    if let Some(on) = one.on.as_ref().filter(|_| !selects) {
        return Err(at(on, "on", format!("{word} acts on what the event is about; remove it")));
    }
    let image = selected(one.on.as_ref(), "on")?;
    let default = if selects { Selector::ALL } else { Selector::EMPTY };
    let on = image.as_deref().map_or(Ok(default), Selector::parse);
    let on = on.map_err(|why| at(&one.action, "on", why))?;
    let text = match (&one.service, &one.note) {
        (Some(service), None) if *action == Action::Move => name(service, "service", NAME_MAX)?,
        (Some(service), _) => return Err(at(service, "service", "only move takes a service")),
        (None, Some(note)) if *action == Action::Move => {
            return Err(at(note, "note", "move takes a service instead"));
        }
        (None, Some(note)) => name(note, "note", NAME_MAX)?,
        (None, None) => "",
    };
    let head = StepHead {
        action: *action as u8,
        retries: one.retries.unwrap_or(0),
        reserved: 0,
        backoff_ms: span(one.backoff.as_ref(), "backoff", 1_000)?,
        timeout_ms: span(one.timeout.as_ref(), "timeout", 10_000)?,
        spare: 0,
    };
    pack(&wire::Step { head, on, text, command: &command })
        .map_err(|failure| at(&one.action, "action", failure.message))
}

/// The words of a step's command, each ended by a zero byte.
fn command(one: &Step, action: Action, word: &str) -> Checked<Vec<u8>> {
    let words = match (&one.command, &one.webhook) {
        (Some(command), None) if action.takes_command() || action == Action::Move => {
            let program = command.get_ref().first();
            if program.is_none_or(|program| program.is_empty() || program.contains('=')) {
                return Err(at(command, "command", "write the program and its arguments"));
            }
            if command.get_ref().iter().any(|word| word.contains('\0')) {
                return Err(at(command, "command", "a word must not hold a zero byte"));
            }
            command.get_ref().clone()
        }
        (None, Some(url)) if action == Action::Notify => webhook(url)?,
        (None, Some(url)) => return Err(at(url, "webhook", "only notify takes one")),
        (Some(command), None) => {
            return Err(at(command, "command", format!("{word} takes none; remove it")));
        }
        (Some(command), Some(_)) => {
            return Err(at(command, "command", "there is a webhook, too; remove one"));
        }
        (None, None) if action.takes_command() => {
            let why = format!("{word} needs one, such as command = [\"/usr/local/sbin/{word}\"]");
            return Err(at(&one.action, "command", why));
        }
        (None, None) => Vec::new(),
    };
    let bytes: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    if bytes.len() > COMMAND_MAX {
        let why = format!("{} bytes; at most {COMMAND_MAX} fit: put it into a script", bytes.len());
        return Err(at(&one.action, "command", why));
    }
    Ok(bytes)
}

/// A webhook is a command that posts the event as JSON; the address is a word of its own, never a
/// part of a script.
fn webhook(url: &Spanned<String>) -> Checked<Vec<String>> {
    let text = url.get_ref();
    if !(text.starts_with("http://") || text.starts_with("https://")) || text.contains('\0') {
        return Err(at(url, "webhook", "write an address such as https://alerts.example/hook"));
    }
    let script = "exec curl --fail --silent --show-error --max-time 10 \
                  --header 'Content-Type: application/json' --data-raw \"$SYNCOM_JSON\" -- \"$1\"";
    Ok(["sh", "-c", script, "webhook", text].map(String::from).to_vec())
}

fn name<'a>(value: &'a Spanned<String>, key: &str, max: usize) -> Checked<&'a str> {
    let text = value.get_ref();
    if text.is_empty() || !is_text(text, max) {
        return Err(at(value, key, format!("write 1 to {max} printable bytes")));
    }
    Ok(text)
}

fn selected(value: Option<&Spanned<String>>, key: &str) -> Checked<Option<Vec<u8>>> {
    let Some(value) = value else { return Ok(None) };
    let image = selector::compile(value.get_ref());
    image.map(Some).map_err(|why| at(value, key, format!("{:?}: {why}", value.get_ref())))
}

/// A duration in ms, at least 1.
fn span(value: Option<&Spanned<String>>, key: &str, default_ms: u32) -> Checked<u32> {
    let Some(value) = value else { return Ok(default_ms) };
    let duration = args::duration(value.get_ref()).map_err(|why| at(value, key, why))?;
    u32::try_from(duration.as_millis()).map_err(|_| at(value, key, "write at most 49 days"))
}

fn span_or_zero(value: Option<&Spanned<String>>, key: &str) -> Checked<u32> {
    if value.is_none() { Ok(0) } else { span(value, key, 0) }
}

/// `5/60s`: so many within so long.
fn limit(value: Option<&Spanned<String>>, key: &str) -> Checked<(u32, u32)> {
    let Some(value) = value else { return Ok((0, 0)) };
    let expected = || at(value, key, "write a number and a time, such as \"5/60s\"");
    let (count, window) = value.get_ref().split_once('/').ok_or_else(expected)?;
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(expected)?;
    let window = args::duration(window.trim()).map_err(|_| expected())?;
    Ok((count, u32::try_from(window.as_millis()).map_err(|_| expected())?))
}

fn permille(value: Option<&Spanned<u16>>, default_percent: u16) -> Checked<u16> {
    match value {
        Some(value) if *value.get_ref() > 100 => Err(at(value, "percent", "write 0 to 100")),
        value => Ok(value.map_or(default_percent, |value| *value.get_ref()) * 10),
    }
}
