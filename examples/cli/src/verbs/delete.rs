//! `quoit delete KEY`: deletes a key, or with `--prefix` all that begin with something.
//!
//! Without `--context` it deletes whatever is there, and that there was nothing is no error. With a
//! context it deletes exactly what was seen, and what was written beside it stays.

mod prefix;

use std::ffi::OsString;

use quoit_client::{Client, Context};

use super::{argument, written};
use crate::args::{ClusterArgs, WriteArgs};
use crate::encoding::parse_context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    key: Option<OsString>,

    /// Every key that begins with this, in place of one key
    #[arg(long, conflicts_with_all = ["context", "show_context"])]
    prefix: Option<OsString>,

    /// Delete all that begin with the prefix without asking
    #[arg(long, requires = "prefix")]
    yes: bool,

    /// Delete exactly what this context has seen
    #[arg(long, value_name = "BASE64", value_parser = parse_context)]
    context: Option<Context>,

    /// Show the context to go on with, on standard error
    #[arg(long)]
    show_context: bool,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    if let Some(prefix) = args.prefix {
        let prefix = argument(prefix);
        prefix::confirm(&prefix, args.yes, out)?;
        let work = async |client: &Client| prefix::delete(client, prefix.clone(), out).await;
        (args.cluster)
            .with_client(|builder| args.write.apply(builder), work)
            .await?;
        return Ok(Exit::Ok);
    }
    let key = argument(args.key.unwrap_or_default());
    let receipt = args
        .cluster
        .with_client(
            |builder| args.write.apply(builder),
            async |client| {
                let mut delete = client.delete(key.clone());
                if let Some(context) = &args.context {
                    delete = delete.context(context);
                }
                Ok(delete.await?)
            },
        )
        .await?;
    written(out, &key, &receipt, args.show_context);
    Ok(Exit::Ok)
}
