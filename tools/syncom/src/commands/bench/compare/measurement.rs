//! Results of one case, however often it was run.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What tells one measurement from another, in the order in which it is shown.
const IDENTITY: [&str; 13] = [
    "system",
    "config",
    "case",
    "link",
    "queue",
    "batch",
    "size_b",
    "mtu",
    "mtu_b",
    "seal",
    "datagram",
    "receivers",
    "claim",
];

/// A figure with its noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

/// All that is known of one measurement.
#[derive(Debug, Default)]
pub(super) struct Measurement {
    runs: Vec<Map<String, Value>>,
    host: Map<String, Value>,
}

impl Measurement {
    /// What was said about the machine, by the last run.
    pub(super) const fn host(&self) -> &Map<String, Value> {
        &self.host
    }

    /// Every figure, by its key.
    pub(super) fn figures(&self) -> impl Iterator<Item = (&str, Figure)> {
        let keys = self.runs.first().into_iter().flat_map(Map::keys);
        keys.filter_map(|key| Some((key.as_str(), self.figure(key)?)))
    }

    /// The figure at `key`, if it is one.
    pub(super) fn figure(&self, key: &str) -> Option<Figure> {
        if IDENTITY.contains(&key) {
            return None;
        }
        let all = |key: &str| -> Vec<f64> {
            let values = self.runs.iter().filter_map(|run| run.get(key)?.as_f64());
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let values = all(key);
        let median = *values.get(values.len() / 2)?;
        let told = (all(&format!("{key}_least")), all(&format!("{key}_most")));
        let (least, most) = match (told.0.first(), told.1.last()) {
            (Some(least), Some(most)) => (*least, *most),
            _ if values.len() >= 3 => (*values.first()?, *values.last()?),
            // A run or two tell nothing about noise.
            _ => (median - median.abs() / 10.0, median + median.abs() / 10.0),
        };
        Some(Figure { least, median, most })
    }
}

/// All measurements in a file's text, by what tells them apart.
///
/// # Errors
/// Why there are none.
pub(super) fn gather(text: &str) -> Result<BTreeMap<String, Measurement>, String> {
    let mut all: BTreeMap<String, Measurement> = BTreeMap::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.map_err(|error| error.to_string())?;
        let results = match value {
            Value::Array(results) => results,
            other => vec![other],
        };
        for result in results {
            let Value::Object(mut run) = result else { return Err("not an object".into()) };
            if !run.contains_key("case") {
                return Err("an object without \"case\"".into());
            }
            // A system that could not be had has no figures.
            if run.contains_key("unavailable") {
                continue;
            }
            let measurement = all.entry(title(&run)).or_default();
            if let Some(Value::Object(host)) = run.remove("host") {
                measurement.host = host;
            }
            measurement.runs.push(run);
        }
    }
    if all.is_empty() { Err("it is empty".into()) } else { Ok(all) }
}

fn title(run: &Map<String, Value>) -> String {
    let words = IDENTITY.iter().filter_map(|key| {
        let value = match run.get(*key)? {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_plain = matches!(*key, "system" | "config" | "case");
        Some(if is_plain { value } else { format!("{key}={value}") })
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_result_says_about_its_noise_is_believed() {
        let text = "[{\"case\":\"queue\",\"ops_per_s\":9,\"ops_per_s_least\":5,\
                    \"ops_per_s_most\":20}]";
        let all = gather(text).unwrap();
        let figure = all["queue"].figure("ops_per_s").unwrap();
        assert_eq!(figure, Figure { least: 5.0, median: 9.0, most: 20.0 });
    }

    #[test]
    fn files_without_results_say_why() {
        for (text, hint) in [
            ("", "empty"),
            ("nonsense", "expected"),
            ("[1]", "not an object"),
            ("{}", "without \"case\""),
            ("{\"case\":\"stream\",\"unavailable\":\"no cmake\"}", "empty"),
        ] {
            assert!(gather(text).unwrap_err().contains(hint), "{text}");
        }
    }
}
