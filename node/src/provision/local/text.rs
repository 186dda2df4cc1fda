//! The text of a local cluster's files. Nothing in them needs quoting: names and addresses are made here.

use super::{CERTS, LocalOptions, MAP};
use crate::config::Durability;
use crate::provision::{Bundle, NewMember};

/// How the line of a profile's seeds begins.
const SEEDS: &str = "seeds = ";

/// The configuration of `member`.
pub(super) fn config(member: &NewMember, options: &LocalOptions) -> String {
    let NewMember { name, address, .. } = member;
    node(name, address, &format!("map = \"../{MAP}\""), options)
}

/// The configuration of a node that was added: it has no first map, and asks its seeds.
pub(super) fn added(bundle: &Bundle, options: &LocalOptions) -> String {
    let seeds = seeds_line(&bundle.seeds);
    node(&bundle.name, &bundle.address, &seeds, options)
}

fn node(name: &str, address: &str, finds: &str, options: &LocalOptions) -> String {
    let memory = options.memory;
    let durability = match options.durability {
        Durability::Fsync => "fsync",
        Durability::Buffered => "buffered",
    };
    format!(
        r#"# {name} of a local cluster.
data = "data"
listen = "{address}"
{finds}
durability = "{durability}"
memory = {memory}

[tls]
ca = "../{CERTS}/ca.pem"
certificate = "../{CERTS}/{name}.pem"
key = "../{CERTS}/{name}.key"
"#
    )
}

/// A client's settings: the cluster's addresses and the certificate to use.
pub(super) fn profile(name: &str, members: &[NewMember]) -> String {
    let seeds: Vec<String> = members.iter().map(|it| it.address.clone()).collect();
    let seeds = seeds_line(&seeds);
    format!(
        r#"# Profile of the {name} of a local cluster.
{seeds}

[tls]
ca = "{CERTS}/ca.pem"
certificate = "{CERTS}/{name}.pem"
key = "{CERTS}/{name}.key"
"#
    )
}

/// A profile with other seeds, and all else as it was.
pub(super) fn with_seeds(profile: &str, seeds: &[String]) -> String {
    let line = |line: &str| {
        if line.starts_with(SEEDS) && line.ends_with(']') {
            seeds_line(seeds)
        } else {
            line.to_owned()
        }
    };
    let lines: Vec<String> = profile.split('\n').map(line).collect();
    lines.join("\n")
}

fn seeds_line(seeds: &[String]) -> String {
    let quoted: Vec<String> = seeds.iter().map(|seed| format!("{seed:?}")).collect();
    format!("{SEEDS}[{}]", quoted.join(", "))
}
