//! Policies as operators write them, and their mistakes.

use super::{compile, render};
use syncom_wire::policy::{Action, Policy};
use syncom_wire::{Frame, Frames};

/// The operator's guide, whose example must hold.
const GUIDE: &str = include_str!("../../../../docs/policy.md");

fn policy(bytes: &[u8]) -> Policy<'_> {
    match Frames::new(bytes).next() {
        Some(Ok(Frame::Policy(policy))) => policy,
        other => panic!("{other:?}"),
    }
}

fn refused(text: &str, words: &[&str]) {
    let error = compile(text).unwrap_err();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn the_example_of_the_guide_holds_and_shows_every_action() {
    let example = GUIDE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let bytes = compile(example).unwrap();
    let policy = policy(&bytes);
    let actions: Vec<Action> =
        policy.rules().flat_map(|rule| rule.steps().map(|step| step.action())).collect();
    for (name, action) in Action::NAMES {
        assert!(actions.contains(&action), "{name}");
    }
    assert!(policy.thresholds().count() > 0);
}

#[test]
fn what_is_shown_means_the_same() {
    let example = GUIDE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    for text in ["", example] {
        let bytes = compile(text).unwrap();
        let shown = render(&policy(&bytes));
        assert_eq!(compile(&shown).unwrap(), bytes, "{shown}");
    }
}

#[test]
fn mistakes_are_named_with_their_line_their_key_and_what_to_type() {
    let rule = |rest: &str| format!("[[rule]]\nname = \"a\"\non = \"disk\"\n{rest}\n");
    refused("[gard]\nnodes = 1", &["line 1", "gard", "guard"]);
    refused("[guard]\n\nnodes = 5000", &["line 3", "`nodes`", "0 to 1000"]);
    refused("[guard]\npercent = 101", &["line 2", "`percent`", "0 to 100"]);
    refused("[brake]\nwindow = \"soon\"", &["line 2", "`window`", "20s"]);
    refused(&rule("do = []"), &["line 4", "`do`", "nothing"]);
    refused(&rule("do = [{ action = \"explode\" }]"), &["line 4", "`action`", "restart, order"]);
    refused(&rule("do = [{ action = \"fence\" }]"), &["line 4", "`command`", "command = ["]);
    let with = |key: &str| rule(&format!("{key}\ndo = [{{ action = \"nothing\" }}]"));
    refused(&with("subject = \"n[3-1]\""), &["line 4", "`subject`", "column 3", "backwards"]);
    refused(&with("subject = \"@sick\""), &["line 4", "@sick", "@domain:", "@subject"]);
    refused(&with("limit = \"often\""), &["line 4", "`limit`", "5/60s"]);
    refused(&with("pause = \"1s\""), &["line 4", "`pause`", "limit_subject"]);
    refused(&with("severity = \"bad\""), &["line 4", "`severity`", "critical"]);
    refused(&[with(""), with("")].concat(), &["`name`", "another name"]);
    refused(&rule("do = [{ action = \"drain\", on = \"n1\" }]"), &["`on`", "remove it"]);
    let hook = "do = [{ action = \"notify\", webhook = \"ftp://x\" }]";
    refused(&rule(hook), &["`webhook`", "https://"]);
}

#[test]
fn a_policy_of_absurd_size_is_refused() {
    let rule = |n: usize, word: &str| {
        format!(
            "[[rule]]\nname = \"r{n}\"\non = \"disk\"\n\
             do = [{{ action = \"order\", command = [\"{word}\"] }}]\n"
        )
    };
    let many: String = (0..129).map(|n| rule(n, "true")).collect();
    refused(&many, &["129 rules", "at most"]);
    let long = "x".repeat(2_000);
    let large: String = (0..100).map(|n| rule(n, &long)).collect();
    refused(&large, &["bytes", "scripts"]);
    refused(&rule(1, &"x".repeat(3_000)), &["at most", "script"]);
}
