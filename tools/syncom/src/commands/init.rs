//! `syncom init`: the files of a new cluster.

use super::replace::number;
use crate::args;
use crate::config::{Layout, write_cluster, write_replica};
use crate::exit::{Failure, Outcome};
use crate::nodeset::{NoGroups, NodeSet};
use std::net::SocketAddr;

/// Runs the command.
///
/// # Errors
/// Bad node sets or addresses; files that exist already.
pub fn run(args: &args::Init) -> Outcome {
    if let Some(replica) = &args.replica {
        return add_replica(args, replica);
    }
    if !matches!(args.replicas.len(), 1 | 3 | 5) {
        return Err(Failure::usage(format!(
            "--replicas lists {} addresses; a station has 1, 3 or 5",
            args.replicas.len()
        )));
    }
    let nodes = NodeSet::parse(&args.nodes, &NoGroups)
        .map_err(|error| Failure::usage(format!("--nodes {:?}: {error}", args.nodes)))?;
    let layout = Layout {
        name: args.name.clone(),
        replicas: args.replicas.clone(),
        satellites: args.satellites.clone(),
        nodes: nodes.into_iter().collect(),
        port: args.port,
        profile: "default".into(),
        seal: true,
    };
    let files = write_cluster(&args.dir, &layout)?;
    let dir = args.dir.display();
    println!("wrote {} files to {dir}", files.len());
    println!(
        "copy the directory to every machine and keep {dir}/secret.key secret; then, each where it belongs:"
    );
    println!("  syncom station   --config {dir}/station1.toml");
    println!("  syncom satellite --config {dir}/sat1.toml");
    if let Some(node) = layout.nodes.first() {
        println!("  syncom agent     --config {dir}/{node}.toml");
    }
    println!("and from anywhere:  syncom --cluster {dir} status");
    Ok(())
}

/// Writes the file of one more replica, and says what to do with it.
fn add_replica(args: &args::Init, replica: &str) -> Outcome {
    let expected =
        || Failure::usage(format!("{replica:?} is no new replica; write station4@10.0.0.4:7401"));
    let (name, addr) = replica.split_once('@').ok_or_else(expected)?;
    let number = number(name)?;
    let listen: SocketAddr = addr.parse().map_err(|_| expected())?;
    let path = write_replica(&args.dir, number, listen)?;
    let (path, dir) = (path.display(), args.dir.display());
    println!("wrote {path}; copy it and {dir}/secret.key to the new machine; there:");
    println!("  syncom station --config {path}");
    println!("and from anywhere, for the replica that is dead:");
    // Where it listens on every address, only its operator knows how others reach it.
    let ip = Some(listen.ip()).filter(|ip| !ip.is_unspecified());
    let reached = ip.map_or_else(|| format!("IP:{}", listen.port()), |_| listen.to_string());
    println!("  syncom --cluster {dir} station replace OLD station{number}@{reached}");
    Ok(())
}
