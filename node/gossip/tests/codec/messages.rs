//! Messages at random.

use quoit_gossip::{Body, Build, Facts, Incarnation, Mark, Message, Pulse};
use quoit_ring::wire::DiskLevel;
use quoit_ring::{Epoch, NodeId};

use crate::rng::Rng;

/// A number of any length.
fn number(rng: &mut Rng) -> u64 {
    let bits = rng.below(64);
    rng.next() >> bits
}

fn pulse(rng: &mut Rng) -> Pulse {
    let heartbeat = u32::try_from(number(rng) >> 32).unwrap();
    let facts = u32::try_from(rng.below(u64::from(heartbeat) + 1)).unwrap();
    Pulse {
        incarnation: Incarnation(number(rng)),
        heartbeat,
        facts,
    }
}

fn mark(rng: &mut Rng) -> Mark {
    Mark {
        node: NodeId(rng.next()),
        pulse: pulse(rng),
    }
}

fn facts(rng: &mut Rng) -> Facts {
    let disks = [
        DiskLevel::Full,
        DiskLevel::Reserve,
        DiskLevel::Low,
        DiskLevel::Ample,
    ];
    let text = |len| "é:7440".chars().cycle().take(len).collect::<String>();
    Facts {
        build: Build::new(&text(usize::try_from(rng.below(30)).unwrap())),
        epoch: Epoch(number(rng)),
        disk: disks[usize::try_from(rng.below(4)).unwrap()],
        free_bytes: number(rng),
        oldest_hint_s: rng
            .chance(5_000)
            .then(|| u32::try_from(number(rng) >> 32).unwrap()),
        address: (rng.chance(5_000))
            .then(|| text(1 + usize::try_from(rng.below(200)).unwrap()).into()),
    }
}

fn some<T>(rng: &mut Rng, element: impl Fn(&mut Rng) -> T) -> Vec<T> {
    (0..rng.below(12)).map(|_| element(rng)).collect()
}

pub(crate) fn any(rng: &mut Rng) -> Message {
    let id = |rng: &mut Rng| NodeId(rng.next());
    let with_mark = |rng: &mut Rng| (mark(rng), facts(rng));
    let origin = |rng: &mut Rng| rng.chance(5_000).then(|| NodeId(rng.next()));
    let body = match rng.below(6) {
        0 => Body::Digest(some(rng, mark)),
        1 => Body::Reply {
            marks: some(rng, mark),
            facts: some(rng, with_mark),
            wants: some(rng, id),
        },
        2 => Body::Facts(some(rng, with_mark)),
        3 => Body::Ping {
            origin: origin(rng),
        },
        4 => Body::PingFor(id(rng)),
        _ => Body::Ack {
            origin: origin(rng),
        },
    };
    Message {
        epoch: Epoch(number(rng)),
        pulse: pulse(rng),
        body,
    }
}
