//! `syncom cancel`: stops an order that is under way.

use crate::args;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use serde_json::json;
use syncom_wire::control::{OrderState, Reply, Verb};

/// Runs the command.
///
/// # Errors
/// No such order; no quorum.
pub fn run(place: Place, args: &args::Cancel) -> Outcome {
    let mut client = Client::open(place)?;
    let state = cancel(&mut client, args.order)?;
    let is_stopped = state.state == OrderState::CANCELLED;
    if args.json {
        println!(
            "{}",
            json!({"order": format!("{:016x}", state.id.0), "cancelled": is_stopped,
                   "destinations": state.destinations, "done": state.done,
                   "failed": state.failed, "missing": state.missing})
        );
    } else {
        let how = if is_stopped { "cancelled" } else { "had ended before" };
        println!(
            "order {:016x} {how}: {} of {} done, {} failed, {} not answered",
            state.id.0, state.done, state.destinations, state.failed, state.missing
        );
    }
    Ok(())
}

/// Has the station stop an order; how far it came.
///
/// # Errors
/// No such order; no quorum.
pub fn cancel(client: &mut Client, order: u64) -> Result<OrderState, Failure> {
    let answer = client.ask(Verb::Cancel, order, &[])?;
    if answer.head.status == Reply::NOT_FOUND {
        return Err(Failure::failed(format!(
            "no order {order:016x} is known; the oldest that ended make room for new ones"
        )));
    }
    super::run::state_of(answer.frames())
}
