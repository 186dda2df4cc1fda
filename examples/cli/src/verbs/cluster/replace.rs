//! `quoit cluster replace`: a new node takes the place of one whose disk or machine is gone. One change, so no key is
//! ever on fewer nodes than it has to be. A node that still answers is refused: it should leave, and hand over what it has.

use quoit_client::Client;

use super::add::join;
use super::issue::NewNode;
use crate::args::{ClusterArgs, Operator};
use crate::change::WaitArgs;
use crate::change::edits::{Edits, member};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `cluster replace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The member that is dead
    dead: String,

    /// The name of the new node
    name: String,

    #[command(flatten)]
    node: NewNode,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let Args {
        dead,
        name,
        mut node,
        wait,
        cluster,
    } = args;
    let work = async |client: &Client, operator: &Operator| {
        let now = client.configuration().await?;
        let is_gone = now.map.members.iter().all(|it| it.name != dead);
        // After the change, a repeated call finds the new one as a member.
        if !(is_gone && node.out.exists()) {
            let old = member(&now.map, &dead)?;
            refuse_alive(client, &dead).await?;
            node.zone.get_or_insert_with(|| old.zone.clone());
            node.weight.get_or_insert(old.weight);
        }
        let edits = Edits {
            leaves: vec![dead],
            ..Edits::default()
        };
        join(client, operator, (&name, &node), (edits, wait), out).await
    };
    cluster.with_operator(work).await
}

async fn refuse_alive(client: &Client, dead: &str) -> Result<(), Failure> {
    let reports = client.status().await;
    let found = reports.iter().find(|report| report.member.name == dead);
    if found.is_none_or(|report| report.status.is_err()) {
        return Ok(());
    }
    let hint = format!(
        "let it leave: `quoit cluster add ..`, then `quoit cluster leave {dead}`; or stop it first"
    );
    Err(Failure::new(Exit::Usage, format!("{dead} is not dead: it answers")).hint(hint))
}
