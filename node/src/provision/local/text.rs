//! The text of a local cluster's files. Nothing in them needs quoting: all names are fixed.

use super::{CERTS, LocalOptions, MAP};
use crate::config::Durability;
use crate::provision::NewMember;

/// The configuration of `member`.
pub(super) fn config(member: &NewMember, options: &LocalOptions) -> String {
    let NewMember { name, address, .. } = member;
    let memory = options.memory;
    let durability = match options.durability {
        Durability::Fsync => "fsync",
        Durability::Buffered => "buffered",
    };
    format!(
        r#"# {name} of a local cluster.
data = "data"
listen = "{address}"
map = "../{MAP}"
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
    let seeds: Vec<String> = members
        .iter()
        .map(|member| format!("{:?}", member.address))
        .collect();
    let seeds = seeds.join(", ");
    format!(
        r#"# Profile of the {name} of a local cluster.
seeds = [{seeds}]

[tls]
ca = "{CERTS}/ca.pem"
certificate = "{CERTS}/{name}.pem"
key = "{CERTS}/{name}.key"
"#
    )
}
