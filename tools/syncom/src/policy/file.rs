//! The file as typed; what it means is decided in `compile.rs`.

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) guard: Guard,
    #[serde(default)]
    pub(super) brake: Brake,
    #[serde(default)]
    pub(super) threshold: Vec<Spanned<Threshold>>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<Rule>>,
}

/// What rules may take away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    pub(super) nodes: Option<Spanned<u32>>,
    pub(super) percent: Option<Spanned<u16>>,
    pub(super) window: Option<Spanned<String>>,
    pub(super) last_instance: Option<bool>,
}

/// When too many deaths are a storm, and when it is over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brake {
    pub(super) deaths: Option<u32>,
    pub(super) percent: Option<Spanned<u16>>,
    pub(super) domains: Option<u8>,
    pub(super) window: Option<Spanned<String>>,
    pub(super) calm: Option<Spanned<String>>,
}

/// How many must say a thing before it becomes an event.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Threshold {
    pub(super) kind: Spanned<String>,
    pub(super) reporters: Option<Spanned<u32>>,
    pub(super) percent: Option<Spanned<u16>>,
    pub(super) domains: Option<u16>,
    pub(super) window: Option<Spanned<String>>,
    pub(super) rate: Option<Spanned<u32>>,
}

/// What is done about some events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Spanned<String>,
    pub(super) on: Spanned<String>,
    pub(super) subject: Option<Spanned<String>>,
    pub(super) severity: Option<Spanned<String>>,
    pub(super) limit_subject: Option<Spanned<String>>,
    pub(super) limit: Option<Spanned<String>>,
    pub(super) pause: Option<Spanned<String>>,
    #[serde(rename = "do")]
    pub(super) steps: Spanned<Vec<Spanned<Step>>>,
}

/// One step of a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) action: Spanned<String>,
    pub(super) on: Option<Spanned<String>>,
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) webhook: Option<Spanned<String>>,
    pub(super) service: Option<Spanned<String>>,
    pub(super) note: Option<Spanned<String>>,
    pub(super) retries: Option<u8>,
    pub(super) backoff: Option<Spanned<String>>,
    pub(super) timeout: Option<Spanned<String>>,
}
