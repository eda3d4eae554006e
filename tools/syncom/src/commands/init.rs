//! `syncom init`: the files of a new cluster.

use crate::args;
use crate::config::{Layout, write_cluster};
use crate::exit::{Failure, Outcome};
use crate::nodeset::{NoGroups, NodeSet};

/// Runs the command.
///
/// # Errors
/// Bad node sets or addresses; files that exist already.
pub fn run(args: &args::Init) -> Outcome {
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
