//! `syncom init`: a commented configuration for every member, and a secret.

use super::{Cluster, Config, Kind};
use crate::exit::{Failure, file_failure};
use crate::place;
use crate::secret::Secret;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a new cluster looks like.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Name of the cluster.
    pub name: String,
    /// Addresses of the replicas, in order.
    pub replicas: Vec<SocketAddr>,
    /// Addresses of the satellites, in order.
    pub satellites: Vec<SocketAddr>,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// UDP port of the agents.
    pub port: u16,
    /// How soon deaths are noticed.
    pub profile: String,
    /// Whether datagrams are sealed.
    pub seal: bool,
}

/// Writes the secret, `cluster.toml` and one file per member; returns the files.
///
/// # Errors
/// When members would not accept their files, with nothing written; when a file exists already or
/// cannot be written, and files written before stay.
pub fn write_cluster(dir: &Path, layout: &Layout) -> Result<Vec<PathBuf>, Failure> {
    let members = members(layout)?;
    for (kind, name, number, listen) in &members {
        Config::parse(&render(layout, *kind, name, *number, *listen), *kind)
            .map_err(Failure::usage)?;
    }
    std::fs::create_dir_all(dir).map_err(|error| file_failure("create", dir, &error))?;
    let secret = dir.join("secret.key");
    Secret::draw(&layout.name)?.write(&secret)?;
    let cluster = Cluster {
        name: layout.name.clone(),
        secret: "secret.key".into(),
        profile: layout.profile.clone(),
        replicas: layout.replicas.clone(),
        seal: layout.seal,
    };
    place::publish(dir, &cluster)?;
    let mut files = vec![secret, dir.join("cluster.toml")];
    for (kind, name, number, listen) in &members {
        let text = render(layout, *kind, name, *number, *listen);
        files.push(write(dir, name, &text)?);
    }
    Ok(files)
}

/// Writes the file of a replica that is to replace another; returns it.
///
/// # Errors
/// When the directory is no cluster's, the number is a founder's, or the file exists already.
pub fn write_replica(dir: &Path, number: u16, listen: SocketAddr) -> Result<PathBuf, Failure> {
    let Cluster { name, profile, replicas, seal, .. } = place::cluster(dir)?;
    if usize::from(number) <= replicas.len() {
        return Err(Failure::usage(format!(
            "station{number} founded the cluster: take a number that was never used"
        )));
    }
    let (satellites, nodes) = (Vec::new(), Vec::new());
    let layout = Layout { name, replicas, satellites, nodes, port: 0, profile, seal };
    let name = format!("station{number}");
    let path = dir.join(format!("{name}.toml"));
    if path.exists() {
        return Err(Failure::failed(format!(
            "{} exists already; take a number that was never used, or remove the file",
            path.display()
        )));
    }
    let text = render(&layout, Kind::Station, &name, Some(number.into()), listen);
    Config::parse(&text, Kind::Station).map_err(Failure::usage)?;
    write(dir, &name, &text)
}

/// One member: what it is, its name, its number if it has one, and where it listens.
type MemberLine = (Kind, String, Option<usize>, SocketAddr);

/// All members of the layout.
fn members(layout: &Layout) -> Result<Vec<MemberLine>, Failure> {
    let numbered = |kind, prefix: &str, addrs: &[SocketAddr]| -> Vec<MemberLine> {
        let addrs = addrs.iter().zip(1..);
        addrs.map(|(addr, n)| (kind, format!("{prefix}{n}"), Some(n), *addr)).collect()
    };
    let mut members = numbered(Kind::Station, "station", &layout.replicas);
    members.extend(numbered(Kind::Satellite, "sat", &layout.satellites));
    // Replicas on the loopback mean one machine: there the agents need a port each.
    let alone = layout.replicas.iter().all(|addr| addr.ip().is_loopback());
    let mut port = Some(layout.port);
    for name in &layout.nodes {
        let Some(this) = port else {
            return Err(Failure::usage("too few ports from --port on for one each; lower it"));
        };
        let ip = if alone { [127, 0, 0, 1] } else { [0, 0, 0, 0] };
        members.push((Kind::Agent, name.clone(), None, SocketAddr::from((ip, this))));
        port = if alone { this.checked_add(1) } else { port };
    }
    Ok(members)
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = dir.join(format!("{name}.toml"));
    if path.exists() {
        return Err(Failure::failed(format!(
            "{} exists already; choose an empty directory with --dir",
            path.display()
        )));
    }
    std::fs::write(&path, text).map_err(|error| file_failure("write", &path, &error))?;
    Ok(path)
}

fn render(
    layout: &Layout,
    kind: Kind,
    name: &str,
    number: Option<usize>,
    listen: SocketAddr,
) -> String {
    let kind = kind.name();
    let replicas: Vec<String> =
        layout.replicas.iter().map(|a| format!("{:?}", a.to_string())).collect();
    let number = number.map_or_else(String::new, |n| {
        format!(
            "# Its place among the replicas, or its number among the satellites. A replica that\n\
             # replaces another has a number that no other ever had.\nnumber = {n}\n"
        )
    });
    let service = if number.is_empty() {
        "\n# Commands that this node keeps running; the station restarts one that dies.\n\
         # [[service]]\n# name = \"web\"\n# command = [\"/usr/sbin/webd\", \"--foreground\"]\n"
    } else {
        ""
    };
    format!(
        "# Syncom, member {name}. Check it with: syncom {kind} --check --config FILE\n\n\
         # What every member's file must say alike.\n\
         [cluster]\n\
         name = {cluster:?}\n\
         # 32 secret bytes, readable by their owner only; relative to this file.\n\
         secret = \"secret.key\"\n\
         # fast: deaths known in 0.25 s, 17 KB/s per node; default: within 1 s, 4 KB/s;\n\
         # quiet: 3 s, 1 KB/s, for machines where every wake-up hurts.\n\
         profile = {profile:?}\n\
         # The station's replicas, in order: 1, 3 or 5.\n\
         replicas = [{replicas}]\n\
         # false is for laboratories: anyone on the network could then speak as anyone.\n\
         seal = {seal}\n\n\
         # What is this member's own.\n\
         [member]\n\
         name = {name:?}\n\
         {number}\
         # Where it listens (UDP).\n\
         listen = \"{listen}\"\n\
         # Rack, switch or power unit: deaths need witnesses from two of them where there are two.\n\
         domain = \"\"\n\
         # Where it keeps its state; relative to this file.\n\
         dir = \"state/{name}\"\n\
         # auto, mmsg or uring.\n\
         link = \"auto\"\n\
         {service}",
        cluster = layout.name,
        profile = layout.profile,
        seal = layout.seal,
        replicas = replicas.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_writes_is_what_members_accept() {
        let dir = std::env::temp_dir().join(format!("syncom-init-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let layout = Layout {
            name: "lab".into(),
            replicas: vec!["127.0.0.1:7401".parse().unwrap()],
            satellites: vec!["127.0.0.1:7411".parse().unwrap()],
            nodes: vec!["node1".into()],
            port: 7420,
            profile: "default".into(),
            seal: true,
        };
        write_cluster(&dir, &layout).unwrap();
        for (file, kind) in [
            ("station1.toml", Kind::Station),
            ("sat1.toml", Kind::Satellite),
            ("node1.toml", Kind::Agent),
        ] {
            Config::load(&dir.join(file), kind).unwrap();
        }
        assert_eq!(Secret::read(&dir.join("secret.key")).unwrap().cluster, "lab");
        assert!(write_cluster(&dir, &layout).unwrap_err().message.contains("exists"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
