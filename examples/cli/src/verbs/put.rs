//! `quoit put KEY VALUE`: writes a key.
//!
//! Without `--context` it replaces whatever is there. With the context that a `get` or an earlier `put`
//! showed, it replaces exactly what was seen, and what was written beside it stays as a sibling.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::time::Duration;

use bytes::Bytes;
use quoit_client::Context;

use super::{argument, written};
use crate::args::{ClusterArgs, WriteArgs};
use crate::encoding::parse_context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::pairs::MAX_VALUE;
use crate::units::parse_duration;

/// Most bytes read from standard input: one more than any cluster takes, so that the error is the
/// client's, which says the limit.
const MAX_INPUT: u64 = MAX_VALUE as u64 + 1;

/// Arguments of `put`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    key: OsString,

    /// The value; `-` reads it from standard input. After `--` it may begin with a dash
    value: OsString,

    /// Replace exactly what this context has seen
    #[arg(long, value_name = "BASE64", value_parser = parse_context)]
    context: Option<Context>,

    /// How long the value lives, 1ms to 100 years, such as 10m or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,

    /// Show the context to go on with, on standard error
    #[arg(long)]
    show_context: bool,

    #[command(flatten)]
    write: WriteArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let key = argument(args.key);
    let value = value(args.value)?;
    let receipt = args
        .cluster
        .with_client(
            |builder| args.write.apply(builder),
            async |client| {
                let mut put = client.put(key.clone(), value);
                if let Some(context) = &args.context {
                    put = put.context(context);
                }
                if let Some(ttl) = args.ttl {
                    put = put.ttl(ttl);
                }
                Ok(put.await?)
            },
        )
        .await?;
    written(out, &key, &receipt, args.show_context);
    Ok(Exit::Ok)
}

fn value(argument: OsString) -> Result<Bytes, Failure> {
    if argument != "-" {
        return Ok(super::argument(argument));
    }
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_INPUT)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Failure::new(
                Exit::Error,
                format!("cannot read the value from standard input: {error}"),
            )
        })?;
    Ok(bytes.into())
}
