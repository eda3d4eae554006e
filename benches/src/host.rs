//! What a result must carry to be compared later: the machine and the program that made it.

use syncom_engine::{host_info::HostInfo, pin};

/// The host as a JSON object.
pub(crate) fn json() -> String {
    let HostInfo { kernel, cpu, cores, isolated } = HostInfo::probe();
    format!(
        "{{\"kernel\":\"{}\",\"cpu\":\"{}\",\"cores\":{cores},\"isolated\":\"{}\",\
         \"syncom\":\"{}\"}}",
        quotable(&kernel),
        quotable(&cpu),
        quotable(&isolated),
        env!("CARGO_PKG_VERSION")
    )
}

/// The host in a line for people.
pub(crate) fn line() -> String {
    let HostInfo { kernel, cpu, cores, isolated } = HostInfo::probe();
    let isolated = if isolated.is_empty() { "none isolated".into() } else { isolated };
    format!("{cores} cores ({isolated}) of {cpu}, Linux {kernel}")
}

/// Version of a crate that was built into this program.
pub(crate) fn version_of(package: &str) -> &'static str {
    version_in(include_str!("../../Cargo.lock"), package)
}

/// Version of a crate in a lock file.
pub(crate) fn version_in<'l>(lock: &'l str, package: &str) -> &'l str {
    let entry = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}

/// Two cores to pin two threads to.
///
/// # Errors
/// When there are not two.
pub(crate) fn two_cores() -> Result<[usize; 2], String> {
    let cores =
        pin::cores().map_err(|error| format!("cannot tell which cores there are: {error}"))?;
    match cores.as_slice() {
        [.., near, far] => Ok([*near, *far]),
        _ => Err("two cores are needed, one for each end".into()),
    }
}

/// Without what would have to be escaped in JSON.
pub(crate) fn quotable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect()
}

/// The row, begun with `head`, of something that cannot be had here, which says why.
pub(crate) fn unavailable(head: &str, why: &str) -> String {
    format!("{head},\"unavailable\":\"{}\",\"host\":{}}}", quotable(why), json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        assert_eq!(version_of("syncom-benches"), env!("CARGO_PKG_VERSION"));
        assert!(version_of("rtrb").starts_with(char::is_numeric));
        assert_eq!(version_of("no-such-crate"), "unknown");
    }
}
