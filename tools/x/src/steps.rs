//! Steps of a run: each is announced, timed, and remembered when it fails; all of them run.

use crate::finding::Finding;
use crate::tree::{Tree, root};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// The steps of a run so far.
#[derive(Debug)]
pub(crate) struct Steps {
    began: Instant,
    done: usize,
    failed: Vec<String>,
}

impl Steps {
    /// No step yet.
    pub(crate) fn new() -> Self {
        Self { began: now(), done: 0, failed: Vec::new() }
    }

    /// Runs a command at the root and expects it to succeed.
    pub(crate) fn run(&mut self, name: &str, program: &str, args: &[&str]) {
        self.run_with(name, program, args, &[]);
    }

    /// The same with variables of the environment.
    pub(crate) fn run_with(
        &mut self,
        name: &str,
        program: &str,
        args: &[&str],
        variables: &[(&str, &str)],
    ) {
        self.step(name, || {
            println!("    {program} {}", args.join(" "));
            let mut command = Command::new(program);
            command.args(args).envs(variables.iter().copied()).current_dir(root());
            match command.status() {
                Ok(status) => status.success(),
                Err(error) => {
                    println!("    cannot run {program}: {error}");
                    false
                }
            }
        });
    }

    /// Runs a check over the tree and expects no finding.
    pub(crate) fn check(&mut self, name: &str, check: fn(&Tree) -> Vec<Finding>) {
        self.step(name, || {
            let findings = match Tree::of_the_project() {
                Ok(tree) => check(&tree),
                Err(error) => vec![Finding::file(".", error)],
            };
            findings.iter().for_each(|finding| println!("    {finding}"));
            findings.is_empty()
        });
    }

    /// Runs anything that says whether it succeeded.
    pub(crate) fn step(&mut self, name: &str, body: impl FnOnce() -> bool) {
        println!("--> {name}");
        let began = now();
        let passed = body();
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("<-- {name}: {verdict}, {:.1} s", began.elapsed().as_secs_f64());
        self.done += 1;
        if !passed {
            self.failed.push(name.into());
        }
    }

    /// Prints the closing line; the code is 1 when a step failed.
    pub(crate) fn summary(&self) -> ExitCode {
        let seconds = self.began.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            println!("ok: {} steps in {seconds:.0} s", self.done);
            return ExitCode::SUCCESS;
        }
        let failed = self.failed.join(", ");
        println!(
            "FAILED: {} of {} steps in {seconds:.0} s: {failed}",
            self.failed.len(),
            self.done
        );
        ExitCode::FAILURE
    }
}

#[expect(clippy::disallowed_methods, reason = "times a step for people; no protocol sees it")]
fn now() -> Instant {
    Instant::now()
}
