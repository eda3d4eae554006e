//! Small pieces of output that several commands share.

use std::io::Write as _;

/// Tells a person something on stderr. One that takes nothing (closed, on a full disk) is no reason
/// to stop.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "syncom: {line}");
}

/// The numbers of the bits that are set.
#[must_use]
pub fn bits(mask: u64) -> Vec<u32> {
    (0..64).filter(|bit| mask >> bit & 1 == 1).collect()
}

/// The name of a severity.
#[must_use]
pub const fn severity(number: u8) -> &'static str {
    match number {
        0 => "notice",
        1 => "warning",
        2 => "error",
        _ => "critical",
    }
}

/// The number of a severity.
#[must_use]
pub fn severity_number(name: &str) -> u8 {
    (0..3).find(|number| severity(*number) == name).unwrap_or(3)
}

/// A wall-clock moment as UTC time of day with ms.
#[must_use]
pub fn clock(ns: u64) -> String {
    let ms = ns / 1_000_000;
    let second = ms / 1_000;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        second / 3_600 % 24,
        second / 60 % 60,
        second % 60,
        ms % 1_000
    )
}

/// A span in the unit that reads best.
#[must_use]
pub fn span_us(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// Output of a command, made safe for a terminal: control characters but for line ends and tabs are
/// replaced.
#[must_use]
pub fn safe(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{FFFD}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_one_number_each() {
        for number in 0..4 {
            assert_eq!(severity_number(severity(number)), number);
        }
    }

    #[test]
    fn output_cannot_drive_the_terminal() {
        assert_eq!(safe(b"a\x1b[31mb\n"), "a\u{FFFD}[31mb\n");
    }
}
