//! Counters as OpenMetrics text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::fmt::{self, Write as _};
use syncom_seam::Counter;

/// Media type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text for members by name with their counters by index: a family per counter, a sample per
/// member.
pub(crate) fn text(members: &[(String, Vec<u64>)]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = Counter::ALL.iter().try_for_each(|counter| family(&mut text, *counter, members));
    text.push_str("# EOF\n");
    text
}

fn family(text: &mut String, counter: Counter, members: &[(String, Vec<u64>)]) -> fmt::Result {
    let name = counter.name();
    let (kind, suffix) = if counter.is_gauge() { ("gauge", "") } else { ("counter", "_total") };
    writeln!(text, "# TYPE syncom_{name} {kind}")?;
    writeln!(text, "# HELP syncom_{name} {}", counter.help())?;
    for (member, values) in members {
        if let Some(value) = values.get(counter as usize) {
            writeln!(text, "syncom_{name}{suffix}{{member=\"{}\"}} {value}", Escaped(member))?;
        }
    }
    Ok(())
}

/// A label's value as the format wants it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_totals_and_gauges_are_not() {
        let text = text(&[("node1".into(), (0..Counter::COUNT as u64).collect())]);
        let (rx, live) = (Counter::RxBytes as usize, Counter::EvidenceLive as usize);
        assert!(text.contains("# TYPE syncom_rx_bytes counter\n"));
        assert!(text.contains(&format!("\nsyncom_rx_bytes_total{{member=\"node1\"}} {rx}\n")));
        assert!(text.contains(&format!("\nsyncom_evidence_live{{member=\"node1\"}} {live}\n")));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn names_cannot_break_out_of_their_label() {
        let text = text(&[("a\"} 1\n\\".into(), vec![7])]);
        assert!(text.contains(r#"{member="a\"} 1\n\\"} 7"#), "{text}");
    }
}
