//! Why a node is not dead, as its homes say: the last part of `syncom explain NODE`.
//!
//! All satellites are asked at once, since a home that has just handed a node over holds its case for a
//! while still. Who holds none has nothing to say.

use crate::client::Client;
use crate::commands::nodes::{Node, Roll};
use crate::commands::status;
use crate::exit::Failure;
use crate::nodeset;
use crate::show;
use serde_json::{Value, json};
use syncom_wire::case::Case;
use syncom_wire::control::Verb;
use syncom_wire::member::MemberState;
use syncom_wire::{Frame, Slot};

/// Asks the satellites for their cases against a node. Besides, since when it is gray, and whether it
/// gets no work because it keeps coming back from the dead.
///
/// # Errors
/// When no replica knows the satellites, or the socket breaks.
pub fn ask(client: &mut Client, roll: &Roll, node: &Node) -> Result<Value, Failure> {
    let mut satellites = status::ask(client)?.satellites;
    let present = [MemberState::Alive as u8, MemberState::Gray as u8];
    satellites.retain(|satellite| present.contains(&satellite.state));
    let addrs: Vec<_> = satellites.iter().map(|satellite| satellite.addr).collect();
    let answers = client.ask_each(&addrs, (Verb::Judged, u64::from(node.slot().0)))?;
    let (mut cases, mut silent) = (Vec::new(), Vec::new());
    for (satellite, answer) in satellites.iter().zip(answers) {
        let name = format!("sat{}", satellite.peer.number());
        let Some(answer) = answer else {
            silent.push(name);
            continue;
        };
        cases.extend(answer.frames().find_map(|frame| match frame {
            Frame::Case(case) if case.subject == node.slot() => Some(to_json(&name, &case, roll)),
            _ => None,
        }));
    }
    let is_gray = node.state() == MemberState::Gray;
    Ok(json!({
        "cases": cases, "no_answer": nodeset::fold(silent.iter().map(String::as_str)),
        "gray_since_ns": is_gray.then_some(node.head.since_ns), "damped": node.damped,
    }))
}

fn to_json(home: &str, case: &Case, roll: &Roll) -> Value {
    let lived_ago_us = (case.lived_ago_us != Case::NEVER).then_some(case.lived_ago_us);
    let told = roll.fold([case.witness].into_iter().filter(|slot| *slot != Slot::NONE));
    let sign = match case.sign {
        Case::SAID => format!("{told} heard it"),
        Case::HEARTBEAT => format!("{home} heard it"),
        Case::ANSWER => format!("it answered {home}"),
        Case::OTHER_HOME => "its other home knows that it lived".into(),
        _ => "nobody ever heard it".into(),
    };
    json!({
        "home": home, "incarnation": case.incarnation.0, "refusal": name(case.refusal),
        "since_ago_us": case.since_ago_us, "lived_ago_us": lived_ago_us, "sign": sign,
        "score": f64::from(case.score_x16) / 16.0, "needed": f64::from(case.needed_x16) / 16.0,
        "accusers": case.accusers, "accusers_needed": case.accusers_needed,
        "domains": case.domains, "domains_needed": case.domains_needed,
        "probes_unanswered": case.probes, "homes_silent": case.homes_silent,
        "why": why(case, &sign),
    })
}

/// The word of a refusal, for scripts.
const fn name(refusal: u8) -> &'static str {
    match refusal {
        Case::FOUND => "found",
        Case::FEW_ACCUSERS => "few_accusers",
        Case::VETOED => "vetoed",
        Case::UNASKED => "unasked",
        Case::ASKING => "asking",
        Case::DOUBTED => "doubted",
        Case::ONE_DOMAIN => "one_domain",
        Case::FEW_VOTES => "few_votes",
        Case::AWAITED => "other_home_awaited",
        Case::ASKED_ONCE => "asked_once",
        Case::UNBORN => "never_heard",
        Case::CUT_OFF => "cut_off",
        _ => "held",
    }
}

/// The sentence of a refusal, for people.
fn why(case: &Case, sign: &str) -> String {
    let lived = match case.lived_ago_us {
        Case::NEVER => sign.to_owned(),
        us => format!("{sign} {} ago", show::span_us(us.into())),
    };
    let (score, needed) = (f64::from(case.score_x16) / 16.0, f64::from(case.needed_x16) / 16.0);
    match case.refusal {
        Case::FOUND => "found dead: the station is told".into(),
        Case::FEW_ACCUSERS => {
            format!("{} accuse it now, {} must", case.accusers, case.accusers_needed)
        }
        Case::VETOED => format!("vetoed by a sign of life: {lived}"),
        Case::UNASKED => "it is to be asked, with an answer of the leader as proof".into(),
        Case::ASKING => "it was asked, and has time to answer still".into(),
        Case::DOUBTED => format!("in doubt, for it was accused wrongly a moment ago: {lived}"),
        Case::ONE_DOMAIN => format!(
            "its accusers are of {} failure domain, they must be of {}",
            case.domains, case.domains_needed
        ),
        Case::FEW_VOTES => format!("too few votes: {score} of {needed}"),
        Case::AWAITED => "its other home has not asked it in vain yet".into(),
        Case::ASKED_ONCE => {
            format!("asked in vain once, which must be twice (votes: {score} of {needed})")
        }
        Case::UNBORN => "nobody ever heard this life: it may be on its way in".into(),
        Case::CUT_OFF => "this home is cut off from the station, and concludes nothing".into(),
        _ => "found dead: waits for others of the same cause, or for room at the station".into(),
    }
}

/// Prints for people what [`ask`] has found.
pub fn print(judged: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    if let Some(since) = judged["gray_since_ns"].as_u64() {
        println!("gray        since {}: no fencing, no new work", show::clock(since));
    }
    if judged["damped"] == true {
        println!("damped      it came back from the dead too often: no new work for now");
    }
    for case in judged["cases"].as_array().into_iter().flatten() {
        let since = show::span_us(case["since_ago_us"].as_u64().unwrap_or(0));
        println!("{:<11} accused for {since}; {}", text(&case["home"]), text(&case["why"]));
    }
    if !text(&judged["no_answer"]).is_empty() {
        println!("no answer   {}", text(&judged["no_answer"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use syncom_wire::Incarnation;

    fn case(refusal: u8) -> Case {
        Case {
            subject: Slot(3),
            incarnation: Incarnation(1),
            since_ago_us: 900_000,
            lived_ago_us: 300_000,
            witness: Slot(7),
            score_x16: 72,
            needed_x16: 96,
            accusers: 2,
            accusers_needed: 3,
            domains: 1,
            domains_needed: 2,
            probes: 3,
            homes_silent: 1,
            refusal,
            sign: Case::SAID,
        }
    }

    #[test]
    fn every_refusal_has_a_word_and_a_sentence_of_its_own() {
        let all = || (Case::FOUND..=Case::HELD).map(case);
        assert_eq!(all().map(|case| name(case.refusal)).collect::<BTreeSet<_>>().len(), 13);
        assert_eq!(all().map(|case| why(&case, "")).collect::<BTreeSet<_>>().len(), 13);
    }

    #[test]
    fn a_veto_names_its_witness_and_its_age_and_a_lack_of_votes_how_many() {
        let json = |refusal| to_json("sat2", &case(refusal), &Roll::default());
        assert_eq!(
            json(Case::VETOED)["why"],
            "vetoed by a sign of life: slot7 heard it 300 ms ago"
        );
        assert_eq!(json(Case::FEW_VOTES)["why"], "too few votes: 4.5 of 6");
        assert_eq!(json(Case::FEW_ACCUSERS)["why"], "2 accuse it now, 3 must");
        let never = Case { lived_ago_us: Case::NEVER, sign: 0, ..case(Case::DOUBTED) };
        let never = to_json("sat2", &never, &Roll::default());
        assert_eq!((&never["lived_ago_us"], &never["refusal"]), (&Value::Null, &"doubted".into()));
    }
}
