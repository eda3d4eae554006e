//! `syncom report`: tells the cluster that something happened, through the local agent.

use crate::args;
use crate::client::Client;
use crate::commands::nodes::Roll;
use crate::exit::{Failure, Outcome};
use crate::place::{self, Place};
use crate::show;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use syncom_wire::bytes::is_text;
use syncom_wire::control::{Reply, Verb};
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Frame, Incarnation, Slot, Subject, limits};

/// How long a report may wait for its commit: longer than any fail-over of the station.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command.
///
/// # Errors
/// When no agent runs here, or the report was not committed in time.
pub fn run(place: Place, args: &args::Report) -> Outcome {
    for (what, text, most) in [
        ("the subject", &args.subject, limits::NAME_MAX),
        ("the kind", &args.kind, limits::KIND_MAX),
        ("--detail", &args.detail, limits::DETAIL_MAX),
    ] {
        if !is_text(text, most) {
            return Err(Failure::usage(format!(
                "{what} may have at most {most} bytes and no control characters"
            )));
        }
    }
    if EventKind::named(&args.kind).builtin_name().is_some() {
        return Err(Failure::usage(format!(
            "{:?} is a kind that Syncom itself reports; choose another name",
            args.kind
        )));
    }
    let agents = local_agents(&place)?;
    let mut client = Client::open(place)?;
    let roll = Roll::ask(&mut client).unwrap_or_default();
    let node = roll.0.values().find(|node| node.name == args.subject);
    let (subject, incarnation) = node.map_or_else(
        || (Subject::named(&args.subject), Incarnation(0)),
        |node| (Subject::node(node.slot()), node.head.incarnation),
    );
    let report = Report {
        head: ReportHead {
            id: ReportId { slot: Slot(0), incarnation: Incarnation(0), seq: 0 },
            subject,
            incarnation,
            kind: EventKind::named(&args.kind),
            heard_ago_us: 0,
            domain: 0,
            flags: 0,
            neighbours: 0,
            health: 0,
            severity: show::severity_number(&args.severity),
            reserved: 0,
            count: 1,
        },
        subject: &args.subject,
        kind: &args.kind,
        detail: &args.detail,
    };
    submit(&mut client, &agents, &report, args)
}

fn submit(
    client: &mut Client,
    agents: &[SocketAddr],
    report: &Report<'_>,
    args: &args::Report,
) -> Outcome {
    let argument = crate::client::pack(report)?;
    let began = client.now();
    let patience = if args.wait { PATIENCE } else { Duration::from_secs(2) };
    let answer = client.ask_agent(agents, Verb::Report, &argument, patience, args.wait)?;
    let committed_us = client.now().at.since(began.at) / 1_000;
    let item = answer.frames().find_map(|frame| match frame {
        Frame::ReportAck(ack) => ack.items.get(0).map(|item| (item.seq, item.event)),
        _ => None,
    });
    let (number, event) = item.unwrap_or((0, 0));
    if args.json {
        let event = (event > 0).then_some(event);
        let committed_us = event.is_some().then_some(committed_us);
        println!("{}", json!({"id": number, "seq": event, "committed_us": committed_us}));
    } else if event > 0 {
        println!("committed as event {event} after {}", show::span_us(committed_us));
    } else if answer.head.status == Reply::PENDING {
        println!("taken; the agent keeps it until it is committed (use --wait to wait for that)");
    } else {
        println!("known already");
    }
    Ok(())
}

/// Agents of this cluster that run on this machine.
fn local_agents(place: &Place) -> Result<Vec<SocketAddr>, Failure> {
    let dir = place.dir.as_deref().ok_or_else(|| {
        Failure::usage("a report goes through a local agent; name the cluster by its directory")
    })?;
    let agents: Vec<SocketAddr> = place::local_members(dir)
        .into_iter()
        .filter(|member| member.role == "agent")
        .map(|member| member.addr)
        .collect();
    if agents.is_empty() {
        return Err(Failure::unreachable(format!(
            "no agent of the cluster in {} runs on this machine; start one with `syncom agent`",
            dir.display()
        )));
    }
    Ok(agents)
}
