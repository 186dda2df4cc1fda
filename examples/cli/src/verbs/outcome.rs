//! `quoit outcome OPERATION`: finds out what became of a conditional write, and bars it if it has not happened.

use quoit_client::{ConditionalOp, InvalidRequest, Settled};
use serde_json::json;

use super::cas::show_applied;
use super::keyed;
use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Arguments of `outcome`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The operation, as the error of the write showed it
    #[arg(value_parser = parse)]
    operation: ConditionalOp,

    #[command(flatten)]
    cluster: ClusterArgs,
}

fn parse(text: &str) -> Result<ConditionalOp, InvalidRequest> {
    text.parse()
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let key = args.operation.key().clone();
    let settled = args
        .cluster
        .with_client(
            |builder| builder,
            async |client| Ok(client.outcome(&args.operation).await?),
        )
        .await?;
    let (word, exit) = match settled {
        Settled::Applied(applied) => {
            show_applied(out, &key, &applied);
            return Ok(Exit::Ok);
        }
        Settled::NotApplied => ("not applied, and it will not be", Exit::Conflict),
        Settled::Forgotten => (
            "nobody can tell: it may have happened and been replaced since; it will not happen from now on",
            Exit::Unknown,
        ),
    };
    if out.is_json() {
        let mut object = keyed(&key);
        object.insert(
            "applied".into(),
            json!((exit == Exit::Conflict).then_some(false)),
        );
        out.outcome_json(&object.into());
    } else {
        out.note(word);
    }
    Ok(exit)
}
