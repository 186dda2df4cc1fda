//! Two clients write one key, neither having seen the other: siblings, and their merge.
//!
//! ```text
//!           bread
//!          /     \            both read `bread`,
//!   bread+milk  bread+eggs    both put with what they read
//!          \     /
//!      bread+eggs+milk        a third put, with what both wrote seen
//! ```

use std::future::IntoFuture as _;

use quoit_client::{Client, SetUnion};
use quoit_local::ProcessCluster;

use super::connect;
use super::story::Story;
use crate::escape;
use crate::failure::Failure;
use crate::verbs::get::siblings_table;

const KEY: &str = "demo/shopping-list";

pub(super) async fn show(
    story: &mut Story,
    nodes: &ProcessCluster,
    alice: &Client,
) -> Result<(), Failure> {
    let bob = connect(nodes).await?;
    alice.put(KEY, "bread").await?;
    story.line("A shopping list holds `bread`. Alice and Bob read it, and each adds a thing:")?;

    let (for_alice, for_bob) = (alice.get(KEY).await?, bob.get(KEY).await?);
    let milk = alice.put(KEY, "bread\nmilk").context(for_alice.context());
    let eggs = bob.put(KEY, "bread\neggs").context(for_bob.context());
    let (milk, eggs) = tokio::join!(milk.into_future(), eggs.into_future());
    milk?;
    eggs?;

    let both = alice.get(KEY).await?;
    story.line(&siblings_table(both.siblings()))?;
    story.found(
        "concurrent writes kept as siblings",
        both.siblings().len().to_string(),
        both.siblings().len() == 2,
    );
    merge(story, alice, &bob).await?;
    bob.close().await;
    Ok(())
}

/// Settles the conflict, for everyone.
async fn merge(story: &mut Story, alice: &Client, bob: &Client) -> Result<(), Failure> {
    let entry = alice.get(KEY).merge(SetUnion::lines()).await?;
    let merged = entry.value().cloned().unwrap_or_default();
    alice
        .put(KEY, merged.clone())
        .context(entry.context())
        .await?;

    let settled = bob.get(KEY).await?;
    let seen = settled.value().cloned().unwrap_or_default();
    let text = escape::lines(&seen).replace('\n', ", ");
    story.line(&format!(
        "Neither is lost. Merged by union and put with what was read, Bob now reads: {text}."
    ))?;
    story.found(
        "after the merge",
        text,
        seen == "bread\neggs\nmilk" && !settled.is_conflict(),
    );
    Ok(())
}
