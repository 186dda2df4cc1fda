//! `quoit certs`: the certificates of a cluster of real machines.
//!
//! ```text
//! certs init DIR --node n1 --node n2    DIR/ca.pem ca.key   n1.pem n1.key   client.pem ...   admin.pem ...
//! certs issue DIR --client app          DIR/app.pem app.key
//! ```
//!
//! Nothing is overwritten. `ca.key` can make anyone a member: keep it off the nodes. A node needs
//! `ca.pem` and its own two files, a client the same.

use std::path::PathBuf;

use quoit_node::provision::{Authority, AuthorityError};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// What to do with certificates.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Make a cluster's authority, and certificates for its nodes, a client and an operator
    Init(InitArgs),
    /// Issue more certificates from an authority that is there
    Issue(IssueArgs),
}

/// Arguments of `certs init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The folder to make them in
    dir: PathBuf,

    /// Name of a node; give one for each
    #[arg(long = "node", value_name = "NAME", required = true)]
    nodes: Vec<String>,

    /// Name of a client's certificate; give one for each application
    #[arg(long = "client", value_name = "NAME", default_value = "client")]
    clients: Vec<String>,

    /// Name of an operator's certificate
    #[arg(long = "admin", value_name = "NAME", default_value = "admin")]
    admins: Vec<String>,
}

/// Arguments of `certs issue`.
#[derive(Debug, clap::Args)]
#[group(id = "names", required = true, multiple = true, args = ["nodes", "clients", "admins"])]
pub(crate) struct IssueArgs {
    /// The authority's folder
    dir: PathBuf,

    /// Name of a node
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,

    /// Name of a client's certificate
    #[arg(long = "client", value_name = "NAME")]
    clients: Vec<String>,

    /// Name of an operator's certificate
    #[arg(long = "admin", value_name = "NAME")]
    admins: Vec<String>,
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        let usage = matches!(error, AuthorityError::BadName { .. });
        let failure = Self::caused(&error);
        if usage {
            Self {
                exit: Exit::Usage,
                ..failure
            }
        } else {
            failure
        }
    }
}

pub(crate) fn run(verb: Verb, out: Output) -> Result<Exit, Failure> {
    let (authority, args) = match verb {
        Verb::Init(InitArgs {
            dir,
            nodes,
            clients,
            admins,
        }) => (
            Authority::create(&dir)?,
            IssueArgs {
                dir,
                nodes,
                clients,
                admins,
            },
        ),
        Verb::Issue(args) => (Authority::open(&args.dir)?, args),
    };
    let mut rows = Vec::new();
    for name in &args.nodes {
        let (id, files) = authority.issue_node(name)?;
        rows.push((name, "node", Some(id), files));
    }
    for name in &args.clients {
        rows.push((name, "client", None, authority.issue_client(name)?));
    }
    for name in &args.admins {
        rows.push((name, "admin", None, authority.issue_admin(name)?));
    }
    for (name, role, id, files) in rows {
        let certificate = files.certificate.display();
        if out.is_json() {
            let (certificate, key) = (certificate.to_string(), files.key.display().to_string());
            let id = id.map(|id| id.to_string());
            out.json(&json!({
                "name": name, "role": role, "id": id, "certificate": certificate, "key": key,
            }))?;
        } else {
            let id = id.map(|id| format!(" {id}")).unwrap_or_default();
            out.line(format!("{role} {name}{id}: {certificate}"))?;
        }
    }
    out.note("ca.key can make anyone a member: keep it where no node can read it");
    Ok(Exit::Ok)
}
