//! `cargo x ci`, `cargo x fix`, `cargo x sim`.

use crate::golden;
use crate::instructions;
use crate::steps::Steps;
use crate::tidy;
use crate::tree::root;
use std::fs;
use std::process::Command;

/// Seeds of the simulator that every change must survive.
pub(crate) const SEEDS: &str = "20";

/// Crates that must build without the standard library, each alone.
const PURE: &[&str] = &[
    "syncom-wire",
    "syncom-seam",
    "syncom-group",
    "syncom-stream",
    "syncom-agent",
    "syncom-transponder",
];

/// A target that has no standard library: what builds for it needs none.
const BARE_TARGET: &str = "x86_64-unknown-none";

/// The fuzz targets: a workspace of its own, which builds here without instrumentation.
const FUZZ: &str = "fuzz/Cargo.toml";

/// Everything that must hold before a change is taken. Writes nothing outside `target`.
pub(crate) fn check(steps: &mut Steps, seeds: &str) {
    steps.run("format", "cargo", &["fmt", "--all", "--check"]);
    steps.check("tidy", tidy::check);
    golden::check(steps);
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.run("clippy", "cargo", &clippy);
    let rustdoc = ["doc", "--workspace", "--no-deps", "--quiet"];
    steps.run_with("documentation", "cargo", &rustdoc, &[("RUSTDOCFLAGS", "-D warnings")]);
    pure_builds(steps);
    models(steps);
    readme_tests(steps);
    fuzz_replay(steps);
    steps.run(
        "release build",
        "cargo",
        &["build", "--release", "-p", "syncom", "-p", "syncom-benches"],
    );
    steps.run(
        "bench smoke",
        "cargo",
        &["run", "--release", "-q", "-p", "syncom-benches", "--", "smoke"],
    );
    instructions::check(steps);
    simulate(steps, &["--seeds", seeds]);
    hours(steps);
}

/// The only command that writes sources.
pub(crate) fn fix(steps: &mut Steps) {
    steps.run("format", "cargo", &["fmt", "--all"]);
    steps.run("format of fuzz", "cargo", &["fmt", "--manifest-path", FUZZ]);
    steps.run("lock file of fuzz", "cargo", &["update", "--workspace", "--manifest-path", FUZZ]);
    golden::write(steps);
}

/// Runs the simulator; the arguments are its own, but for `--seeds`, which soaks.
pub(crate) fn simulate(steps: &mut Steps, args: &[&str]) {
    let mut line = vec!["run", "--release", "--quiet", "--package", "syncom", "--", "sim"];
    line.extend(simulator_args(args));
    steps.run("simulator", "cargo", &line);
}

/// A slice of the years of node life of `docs/detection.md`: lived through, and with the calm skipped.
fn hours(steps: &mut Steps) {
    let sim = ["run", "--release", "--quiet", "--package", "syncom", "--", "sim", "hours"];
    let whole = ["--nodes", "100", "--hours", "50"];
    steps.run("node-hours in trouble", "cargo", &[&sim[..], &whole].concat());
    let removed = ["--nodes", "300", "--hours", "1", "--first", "1012"];
    steps.run("a life that once removed a node", "cargo", &[&sim[..], &removed].concat());
    let skipped = ["--skip", "--nodes", "100", "--hours", "9000"];
    steps.run("node-hours, calm skipped", "cargo", &[&sim[..], &skipped].concat());
}

fn simulator_args<'a>(args: &[&'a str]) -> Vec<&'a str> {
    match args {
        [] => vec!["soak", "--seeds", "300"],
        args if args.contains(&"--seeds") && !args.contains(&"soak") => {
            std::iter::once("soak").chain(args.iter().copied()).collect()
        }
        args => args.to_vec(),
    }
}

/// Builds every pure crate alone: for a target without a standard library when it is installed,
/// otherwise for this machine, where `#![no_std]` (which tidy insists on) is the proof.
fn pure_builds(steps: &mut Steps) {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).output();
    let bare = installed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line == BARE_TARGET)
    });
    for name in PURE {
        let mut args = vec!["build", "--quiet", "--no-default-features", "--package", name];
        if bare {
            args.extend(["--target", BARE_TARGET]);
        }
        steps.run(&format!("{name} alone"), "cargo", &args);
    }
}

/// Explores the lock-free code under loom. Apart from the rest, since everything below it is built
/// with other flags.
fn models(steps: &mut Steps) {
    let args = ["test", "--release", "--quiet", "--package", "syncom-models", "--lib"];
    let args = [&args[..], &["--target-dir", "target/loom"]].concat();
    steps.run_with("models of the queues", "cargo", &args, &[("RUSTFLAGS", "--cfg loom")]);
}

/// Replays everything that fuzzing ever found, and a few mutations of it.
fn fuzz_replay(steps: &mut Steps) {
    steps.run("format of fuzz", "cargo", &["fmt", "--manifest-path", FUZZ, "--check"]);
    let shared = ["--locked", "--manifest-path", FUZZ, "--target-dir", "target"];
    let clippy = [&["clippy", "--all-targets"], &shared[..], &["--", "-D", "warnings"]].concat();
    steps.run("clippy of fuzz", "cargo", &clippy);
    steps.run("fuzz corpora", "cargo", &[&["test", "--quiet"], &shared[..]].concat());
}

/// Runs the test command that the README tells people, as it stands there.
fn readme_tests(steps: &mut Steps) {
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    match readme_test_command(&readme) {
        Some(command) => steps.run("tests, as the README says", "sh", &["-c", command]),
        None => steps.step("tests, as the README says", || {
            println!("    README.md has no line `cargo test …` in a code block");
            false
        }),
    }
}

fn readme_test_command(readme: &str) -> Option<&str> {
    let mut in_code = false;
    readme.lines().find_map(|line| {
        in_code ^= line.starts_with("```");
        let command = line.trim_start_matches("$ ");
        (in_code && command.starts_with("cargo test")).then_some(command)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_command_is_taken_from_a_code_block_of_the_readme() {
        let readme = "cargo test is fine\n```\n$ cargo build\n$ cargo test --workspace\n```\n";
        assert_eq!(readme_test_command(readme), Some("cargo test --workspace"));
        assert_eq!(readme_test_command("cargo test --workspace"), None);
    }

    #[test]
    fn arguments_of_the_simulator_pass_through() {
        assert_eq!(simulator_args(&["42", "--nodes", "9"]), ["42", "--nodes", "9"]);
        assert_eq!(simulator_args(&["--seeds", "7"]), ["soak", "--seeds", "7"]);
        assert_eq!(simulator_args(&[]), ["soak", "--seeds", "300"]);
    }
}
