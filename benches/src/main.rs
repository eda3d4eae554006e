//! What things cost: one operation at a time, and the floors under them.
//!
//! A bench runs a fixed number of operations in several rounds and shows the median of the rounds
//! and how far they spread; nothing is asserted about time. It also folds everything it computed
//! into a hash, which proves that the work was done and that two runs did the same.

mod floors;
mod group;
mod host;
mod instructions;
mod measure;
mod peers;
mod queue;
mod seal;
mod table;
mod wire;

use measure::{Bench, Scale};
use std::process::ExitCode;

const USAGE: &str = "\
usage: syncom-benches COMMAND [--json]

  smoke     every bench of `micro`, small: shows that they work
  micro     frames, sealing, tables, rings, arrivals: ns per operation
  floors    what the kernel takes: round trips and datagrams through the loopback
  one-way   the last part of `floors`: from core to core, links beside bare requests
  trip      there and back through connected sockets: the link `mmsg`, sealed and not, beside a
            bare loop
  xdp       the link `xdp` against a bare loop over AF_XDP, between namespaces (root)
  queue     our queues, crossbeam's and rtrb between two pinned threads
  instructions [N]
            the hot paths, or one: what `cargo x instructions` counts under callgrind
  peers stream|rtt|fanout [--only PEER,...] [--out DIR] [--rounds N] [--ms N] [--trips N] [--size B]
            [--mtu B] [--receivers N]
            the same case on other systems, turn by turn; see benches/peers/README.md
  peers commit [--clients N] [--rounds N] [--seconds N] [--out DIR]
            durable writes to three replicas, ours and etcd's
  peers detect [--nodes N] [--kills N] [--only SYSTEM|PROFILE,...] [--out DIR]
            how soon killed agents are known to be dead, ours and Serf's, and what that costs
  peers suspect [--how stop|starve] [--nodes N] [--tries N] [--seed N]
            how many nodes that run are declared dead under trouble, ours and Serf's
  peers downlink [--nodes N] [--rounds N]
            one order to a thousand targets on this machine, beside pdsh and clush";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["peers", "commit", rest @ ..] = args.as_slice() {
        return case(peers::commit::Options::parse(rest), peers::commit::run);
    }
    if let ["peers", "detect", rest @ ..] = args.as_slice() {
        return case(peers::detect::Options::parse(rest), peers::detect::run);
    }
    if let ["peers", "downlink", rest @ ..] = args.as_slice() {
        return case(peers::downlink::Options::parse(rest), peers::downlink::run);
    }
    if let ["peers", "suspect", rest @ ..] = args.as_slice() {
        return case(peers::suspect::Options::parse(rest), peers::suspect::run);
    }
    if let ["peers", rest @ ..] = args.as_slice() {
        return case(peers::Options::parse(rest), peers::run);
    }
    if let ["instructions", rest @ ..] = args.as_slice() {
        instructions::run(rest.first().and_then(|only| only.parse().ok()));
        return ExitCode::SUCCESS;
    }
    let (command, json) = match args.as_slice() {
        [command] => (*command, false),
        [command, "--json"] | ["--json", command] => (*command, true),
        _ => return usage(),
    };
    if command == "queue" {
        return queues(json);
    }
    let benches = match command {
        "smoke" => Ok(micro(Scale::SMOKE)),
        "micro" => Ok(micro(Scale::FULL)),
        "floors" => floors::run(Scale::FULL),
        "trip" => floors::there_and_back(Scale::FULL),
        "xdp" => floors::xdp::run(Scale::FULL),
        "one-way" => floors::one_way(Scale::FULL),
        _ => return usage(),
    };
    match benches {
        Ok(benches) if json => println!("{}", measure::json(command, &benches)),
        Ok(benches) => measure::print(&benches),
        Err(error) => {
            eprintln!("syncom-benches: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn micro(scale: Scale) -> Vec<Bench> {
    let mut benches = Vec::new();
    wire::run(scale, &mut benches);
    seal::run(scale, &mut benches);
    table::run(scale, &mut benches);
    group::run(scale, &mut benches);
    benches
}

/// Runs a case with what follows its name.
fn case<O>(options: Option<O>, run: impl FnOnce(&O) -> Result<(), String>) -> ExitCode {
    let Some(options) = options else { return usage() };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("syncom-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn queues(json: bool) -> ExitCode {
    match queue::run(queue::Plan::FULL) {
        Ok(rows) if json => queue::json(&rows).iter().for_each(|line| println!("{line}")),
        Ok(rows) => queue::print(&rows),
        Err(error) => {
            eprintln!("syncom-benches: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
