//! Programs that only the distribution has: unpacked beside the peers, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a package's program is, once it was unpacked into `folder`.
fn unpacked(package: &str, folder: &Path) -> PathBuf {
    folder.join(package).join("usr/sbin").join(package)
}

/// The program of a package: unpacked, else the machine's own.
fn program(package: &str, folder: &Path) -> PathBuf {
    let unpacked = unpacked(package, folder);
    if unpacked.exists() { unpacked } else { package.into() }
}

/// What a package's program calls itself and its version; "not here" when it is not.
pub(super) fn version(package: &str, folder: &Path) -> String {
    let output = Command::new(program(package, folder)).arg("--version").output();
    output.ok().filter(|output| output.status.success()).map_or_else(
        || "not here".into(),
        |output| String::from_utf8_lossy(&output.stdout).replace([':', '\n'], "").trim().to_owned(),
    )
}

/// Unpacks a package into `folder`, unless that was done or the machine has its program.
///
/// # Errors
/// What failed, in a sentence.
pub(super) fn bring(package: &str, folder: &Path) -> Result<(), String> {
    if Command::new(program(package, folder)).arg("--version").output().is_ok() {
        return Ok(());
    }
    let into = folder.join(package);
    fs::create_dir_all(&into).map_err(|error| format!("{}: {error}", into.display()))?;
    run(Command::new("apt-get").args(["download", package]).current_dir(&into))?;
    let archives = fs::read_dir(&into).map_err(|error| error.to_string())?;
    let archive = archives
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let archive = archive.ok_or("apt-get downloaded nothing")?;
    run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&into))?;
    let path = unpacked(package, folder);
    if path.exists() { Ok(()) } else { Err(format!("{} is not in the package", path.display())) }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", text.lines().next_back().unwrap_or("it failed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_distribution_has_is_said_not_to_be_here() {
        let folder = std::env::temp_dir().join(format!("syncom-debian-{}", std::process::id()));
        assert_eq!(version("no-such-program", &folder), "not here");
        assert!(bring("no-such-program", &folder).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
