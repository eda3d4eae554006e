//! `syncom drain` and `syncom undrain`: the administrative state of nodes, apart from what is seen
//! of them.

use crate::args;
use crate::client::{Client, pack};
use crate::commands::nodes::Roll;
use crate::commands::run::slot_image;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use serde_json::json;
use syncom_wire::bytes::is_text;
use syncom_wire::control::{Line, Verb};
use syncom_wire::idset::IdSet;
use syncom_wire::policy::Drain;
use syncom_wire::{Frame, Slot, limits};

/// Runs the command.
///
/// # Errors
/// Bad node sets or reasons; no quorum.
pub fn run(place: Place, args: &args::Drain, drained: bool) -> Outcome {
    if !is_text(&args.reason, limits::DETAIL_MAX / 2) {
        return Err(Failure::usage(
            "--reason may have at most 256 bytes, none of them unprintable",
        ));
    }
    let mut client = Client::open(place)?;
    let roll = Roll::ask(&mut client)?;
    let mut slots: Vec<Slot> = roll.select(&args.nodeset)?.iter().map(|node| node.slot()).collect();
    slots.sort_unstable();
    let image = slot_image(&slots)?;
    let nodes = IdSet::parse(&image).map_err(|fault| Failure::usage(fault.to_string()))?;
    let drain = Drain { drained: u8::from(drained), nodes, reason: &args.reason };
    let answer = client.ask(Verb::Drain, 0, &pack(&drain)?)?;
    let changed = answer.frames().find_map(|frame| match frame {
        Frame::Line(Line { text }) => text.parse::<u32>().ok(),
        _ => None,
    });
    let changed = changed.unwrap_or(0);
    let names = roll.fold(slots.into_iter());
    if args.json {
        println!("{}", json!({"nodes": names, "drained": drained, "changed": changed}));
    } else {
        let what = if drained { "drained" } else { "may work again" };
        println!("{names}: {what} ({changed} changed)");
    }
    Ok(())
}
