//! How full the fullest node is, above its fair share: our positions next to random ones.
//!
//! ```text
//! cargo run --release -p quoit-ring --example balance          3 to 100 nodes, a few seconds
//! cargo run --release -p quoit-ring --example balance 1000     and 1,000 nodes, some minutes
//! ```
//!
//! Nodes join one by one, three copies, 150 vnodes per node of weight 100. Each cell says `ours / random`
//! in percent; random is the mean of five draws of as many vnodes. The last two columns are the longest
//! of the searches for the last node's places, and of the mean times to look a random token up.

#![expect(clippy::print_stdout, reason = "it prints a table")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures time and reads its argument"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use quoit_ring::placement::{Newcomer, Ring, fullest_excess, join};
use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, NodeId, Token, TokenKey};

const SIZES: [u64; 5] = [3, 5, 10, 100, 1000];
const DRAWS: u64 = 5;
const LOOKUPS: u32 = 1_000_000;

/// Zones of 40, 30, 15, 10 and 5 % of the nodes, mixed.
const UNEVEN: [&str; 20] = [
    "a", "a", "c", "a", "b", "c", "a", "b", "c", "a", "b", "d", "a", "b", "d", "a", "b", "e", "a",
    "b",
];

/// Zone and weight of the i-th node to join.
type Shape = fn(u64) -> (&'static str, u32);

const SHAPES: [(&str, Shape); 4] = [
    ("one zone", |_| ("", 100)),
    ("3 zones", |i| (["a", "b", "c"][place(i, 3)], 100)),
    ("5 uneven zones", |i| (UNEVEN[place(i, 20)], 100)),
    ("weights 50 to 200", |i| ("", [100, 200, 50][place(i, 3)])),
];

fn place(i: u64, len: u64) -> usize {
    usize::try_from(i % len).unwrap_or(0)
}

/// What is known of a cluster when it has reached one of [`SIZES`].
struct Cell {
    ours: f64,
    random: f64,
    search: Duration,
    lookup: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let most = std::env::args()
        .nth(1)
        .map_or(Ok(100), |most| most.parse::<u64>())?;
    let sizes: Vec<u64> = SIZES.into_iter().filter(|&size| size <= most).collect();
    let columns = SHAPES.map(|(_, shape)| column(shape, &sizes));
    let columns = columns.into_iter().collect::<Result<Vec<_>, _>>()?;
    let heads = SHAPES.map(|(name, _)| format!(" {name:>17} |"));
    println!("| nodes |{} search | lookup |", heads.concat());
    println!("| ---: |{} ---: | ---: |", " ---: |".repeat(SHAPES.len()));
    for (row, size) in sizes.iter().enumerate() {
        print_row(*size, columns.iter().map(|column| &column[row]));
    }
    Ok(())
}

fn print_row<'a>(size: u64, cells: impl Iterator<Item = &'a Cell> + Clone) {
    let excess = |cell: &Cell| format!("{:.2} / {:.1}", cell.ours * 100.0, cell.random * 100.0);
    let excesses: String = cells
        .clone()
        .map(|cell| format!(" {:>17} |", excess(cell)))
        .collect();
    let search = cells
        .clone()
        .map(|cell| cell.search)
        .max()
        .unwrap_or_default()
        .as_millis();
    let lookup = cells
        .map(|cell| cell.lookup)
        .max()
        .unwrap_or_default()
        .as_nanos();
    println!("| {size:>5} |{excesses} {search:>3} ms | {lookup:>3} ns |");
}

/// Grows one cluster and looks at it at each of `sizes`.
fn column(shape: Shape, sizes: &[u64]) -> Result<Vec<Cell>, Box<dyn Error>> {
    let mut map = ClusterMap {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_key: TokenKey([0; 16]),
        leaf_bits: LeafBits::FULL,
        replication: 3,
        members: Vec::new(),
    };
    let mut cells = Vec::new();
    for i in 0..sizes.last().copied().unwrap_or(0) {
        let (zone, weight) = shape(i);
        let (name, address) = (format!("node-{i}"), format!("node-{i}:7000"));
        let newcomer = Newcomer {
            id: NodeId(i),
            name,
            address,
            zone: zone.into(),
            weight,
        };
        let start = Instant::now();
        join(&mut map, newcomer, i)?;
        let search = start.elapsed();
        if sizes.contains(&(i + 1)) {
            let ring = Ring::new(&map)?;
            let (ours, random) = (fullest_excess(&ring), random_excess(&map)?);
            cells.push(Cell {
                ours,
                random,
                search,
                lookup: lookup_time(&ring),
            });
        }
    }
    Ok(cells)
}

/// The mean time to find the owners of a random token.
fn lookup_time(ring: &Ring) -> Duration {
    let (mut token, start) = (1, Instant::now());
    for _ in 0..LOOKUPS {
        token = next_random(token);
        black_box(ring.preference_list(Token(token)).owners().next());
    }
    start.elapsed() / LOOKUPS
}

/// The mean excess of [`DRAWS`] maps with as many vnodes at random.
fn random_excess(map: &ClusterMap) -> Result<f64, Box<dyn Error>> {
    let mut sum = 0.0;
    for draw in 0..DRAWS {
        sum += fullest_excess(&Ring::new(&scattered(map, draw))?);
    }
    Ok(sum / f64::from(u32::try_from(DRAWS)?))
}

/// `map` with every vnode on a random leaf.
fn scattered(map: &ClusterMap, seed: u64) -> ClusterMap {
    let (mut state, mut taken) = (seed, BTreeSet::new());
    let mut draw = || loop {
        state = next_random(state);
        let leaf = map.leaf_bits.leaf_of(Token(state));
        if taken.insert(leaf) {
            return leaf;
        }
    };
    let mut map_at_random = map.clone();
    for member in &mut map_at_random.members {
        member.vnodes = member.vnodes.iter().map(|_| draw()).collect::<Vec<Leaf>>();
        member.vnodes.sort_unstable();
    }
    map_at_random
}

/// A linear congruential step; its top bits, which are what a leaf is, look random enough.
const fn next_random(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}
