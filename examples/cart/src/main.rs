//! The shopping cart of the Dynamo paper: two shoppers change one cart at the same time.
//!
//! ```text
//!                 bread
//!                /     \                both shoppers read the same cart
//!   Alice: -bread +milk  Bob: +eggs     and both write, neither having seen the other
//!                \     /
//!              union of lines           milk, eggs: nothing is lost, and the bread stays out
//!              union of things          bread, milk, eggs: the bread is back
//! ```
//!
//! "Add to cart" must never be refused and never be lost, so both writes are taken and kept as siblings;
//! the application decides what they mean together. In the paper's cart removed things could come
//! back; in a cart of added lines they cannot. See [`cart`].
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), sections 2.1, 4.4 and 6.1.

#![expect(
    clippy::print_stdout,
    reason = "the program shows its steps on the terminal"
)]

mod cart;

use std::future::IntoFuture as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use quoit_client::{Client, SetUnion};

use crate::cart::Cart;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let profile = std::env::args_os()
        .nth(1)
        .or_else(|| std::env::var_os("QUOIT_PROFILE"))
        .context("name the profile of a cluster: `cart client.toml`, or set QUOIT_PROFILE")?;
    let shopper = async || Client::builder().profile(&profile).connect().await;
    let (alice, bob) = (shopper().await?, shopper().await?);

    // A key of its own for every run; the tag in braces keeps both carts on the same replicas.
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let result = shop(&alice, &bob, &format!("cart/{{{run}}}")).await;
    alice.close().await;
    bob.close().await;
    result
}

async fn shop(alice: &Client, bob: &Client, key: &str) -> anyhow::Result<()> {
    let (lines, things) = (format!("{key}/lines"), format!("{key}/things"));
    let kept = cart_of_lines(alice, bob, &lines).await?;
    let naive = cart_of_things(alice, bob, &things).await?;
    alice.delete(lines).await?;
    alice.delete(things).await?;

    println!("\nunion of lines:  {kept}\nunion of things: {naive}");
    ensure!(
        kept == "eggs, jam, milk",
        "the removal did not last: {kept}"
    );
    ensure!(naive == "bread, eggs, milk", "the naive cart holds {naive}");
    Ok(())
}

/// The right way: things are added and removed by lines.
async fn cart_of_lines(alice: &Client, bob: &Client, key: &str) -> anyhow::Result<String> {
    println!("A cart of lines");
    let mut cart = Cart::default();
    cart.add("alice-1", "bread");
    alice.put(key.to_owned(), cart.write()).await?;
    println!("  Alice begins a cart with bread.");

    // A third device read the cart now and will only write when all is over.
    let old = bob.get(key.to_owned()).await?;

    let (hers, his) = at_once(alice, bob, key, |cart| {
        let (mut hers, mut his) = (Cart::read(cart), Cart::read(cart));
        hers.remove("bread");
        hers.add("alice-2", "milk");
        his.add("bob-1", "eggs");
        (hers.write(), his.write())
    })
    .await?;
    println!("  At once, Alice takes the bread out and puts milk in, and Bob adds eggs:");
    print!("{}{}", boxed("Alice", &hers), boxed("Bob", &his));

    let merged = Cart::read(settle(alice, key).await?.as_bytes());
    println!("  Merged: {}.", merged.things().join(", "));

    let mut late = Cart::read(old.value().context("the old cart is empty")?);
    late.add("phone-1", "jam");
    bob.put(key.to_owned(), late.write())
        .context(old.context())
        .await?;
    println!("  Bob's phone, which still shows the bread, adds jam to the cart it knows.");

    let merged = Cart::read(settle(bob, key).await?.as_bytes());
    let things = merged.things().join(", ");
    println!("  Merged: {things}. The bread stays out.");
    Ok(things)
}

/// The wrong way: the things themselves, united.
async fn cart_of_things(alice: &Client, bob: &Client, key: &str) -> anyhow::Result<String> {
    println!("\nThe same with a cart of things");
    alice.put(key.to_owned(), "bread").await?;
    at_once(alice, bob, key, |_bread| {
        ("milk".to_owned(), "bread\neggs".to_owned())
    })
    .await?;
    let things = settle(alice, key).await?.replace('\n', ", ");
    println!("  Merged: {things}. Bob's copy brought the bread back.");
    Ok(things)
}

/// Both read a cart, then each writes what the change makes of it, neither having seen the other.
async fn at_once(
    alice: &Client,
    bob: &Client,
    key: &str,
    change: impl FnOnce(&[u8]) -> (String, String),
) -> anyhow::Result<(String, String)> {
    let (for_alice, for_bob) = (
        alice.get(key.to_owned()).await?,
        bob.get(key.to_owned()).await?,
    );
    let (hers, his) = change(for_alice.value().context("the cart is empty")?);
    let (put, other) = tokio::join!(
        alice
            .put(key.to_owned(), hers.clone())
            .context(for_alice.context())
            .into_future(),
        bob.put(key.to_owned(), his.clone())
            .context(for_bob.context())
            .into_future(),
    );
    put?;
    other?;
    Ok((hers, his))
}

/// Reads a cart, its siblings merged by union, and writes what came out for everyone to see.
async fn settle(client: &Client, key: &str) -> anyhow::Result<String> {
    let entry = client.get(key.to_owned()).merge(SetUnion::lines()).await?;
    ensure!(
        entry.siblings().len() == 2,
        "two writes that did not see each other make two siblings"
    );
    let merged = entry.value().context("the cart is gone")?.clone();
    client
        .put(key.to_owned(), merged.clone())
        .context(entry.context())
        .await?;
    Ok(String::from_utf8_lossy(&merged).into_owned())
}

/// A shopper's lines, indented below the name.
fn boxed(name: &str, lines: &str) -> String {
    lines
        .lines()
        .map(|line| format!("    {name:<6} {line}\n"))
        .collect()
}
