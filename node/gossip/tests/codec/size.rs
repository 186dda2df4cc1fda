//! The longest messages there are: 1,024 members, every field as long as it can be.

use std::collections::BTreeSet;

use quoit_gossip::{
    Body, Build, Facts, Gossip, Incarnation, MAX_BUILD, MAX_MESSAGE, Mark, Message, Options, Pulse,
    Step,
};
use quoit_ring::cluster::{MAX_ADDRESS, MAX_MEMBERS};
use quoit_ring::wire::DiskLevel;
use quoit_ring::{Epoch, Moment, NodeId};

const fn id(node: usize) -> NodeId {
    NodeId(u64::MAX - node as u64)
}

const fn pulse(facts: u32) -> Pulse {
    Pulse {
        incarnation: Incarnation(u64::MAX),
        heartbeat: u32::MAX,
        facts,
    }
}

fn said(pulse: Pulse, body: Body) -> Message {
    Message {
        epoch: Epoch(0),
        pulse,
        body,
    }
}

/// Node 0 of a cluster that is as large as it can be, and what it sent.
struct Largest {
    gossip: Gossip,
    now: Moment,
}

impl Largest {
    fn new() -> Self {
        let (facts, now) = (Facts::default(), Moment(0));
        let mut gossip =
            Gossip::new(id(0), Incarnation(1), facts, Options::default(), now).unwrap();
        gossip.handle_members((0..MAX_MEMBERS).map(id), now);
        Self { gossip, now }
    }

    /// Node 1 says something; gives back what is answered.
    fn hear(&mut self, body: Body) -> Option<Body> {
        self.gossip
            .handle_message(id(1), said(Pulse::default(), body), self.now);
        self.sent()
    }

    fn sent(&mut self) -> Option<Body> {
        let mut last = None;
        while let Some(step) = self.gossip.poll_step() {
            if let Step::Send { message, .. } = step {
                let bytes = message.encode();
                assert!(bytes.len() <= MAX_MESSAGE, "{}", bytes.len());
                assert_eq!(Message::decode(&bytes).as_ref(), Ok(&message));
                last = Some(message.body);
            }
        }
        last
    }
}

fn facts() -> Facts {
    Facts {
        build: Build::new(&"b".repeat(MAX_BUILD)),
        epoch: Epoch(u64::MAX),
        disk: DiskLevel::Ample,
        free_bytes: u64::MAX,
        oldest_hint_s: Some(u32::MAX),
        address: Some("a".repeat(MAX_ADDRESS).into()),
    }
}

fn marks(facts: u32) -> impl Iterator<Item = Mark> {
    (1..MAX_MEMBERS).map(move |node| Mark {
        node: id(node),
        pulse: pulse(facts),
    })
}

#[test]
fn the_longest_digest_has_27_kib_and_is_whole() {
    let mut largest = Largest::new();
    largest.hear(Body::Reply {
        marks: marks(0).collect(),
        facts: vec![],
        wants: vec![],
    });
    largest.gossip.handle_time(largest.now, 1);
    let Some(Body::Digest(marks)) = largest.sent() else {
        panic!("a round sends a digest");
    };
    assert_eq!(marks.len(), MAX_MEMBERS - 1);
    let bytes = said(Pulse::default(), Body::Digest(marks)).encode();
    assert!(bytes.len() <= 27 << 10, "{}", bytes.len());
}

#[test]
fn facts_that_do_not_fit_come_with_the_next_replies_in_turn() {
    let mut largest = Largest::new();
    for mark in marks(1) {
        largest.hear(Body::Facts(vec![(mark, facts())]));
    }

    // Node 1 knows nothing, and forgets what it hears: only the turns can bring it all.
    let nothing = || {
        marks(0).map(|mark| Mark {
            pulse: Pulse::default(),
            ..mark
        })
    };
    let mut heard = BTreeSet::new();
    for reply in 1..=6 {
        let Some(Body::Reply { facts, .. }) = largest.hear(Body::Digest(nothing().collect()))
        else {
            panic!("a digest has its reply");
        };
        assert!(facts.len() > 150, "reply {reply}: {}", facts.len());
        heard.extend(facts.into_iter().map(|(mark, _)| mark.node));
    }
    assert_eq!(heard.len(), MAX_MEMBERS - 1);

    let mut heard = BTreeSet::new();
    for _ in 0..6 {
        let wants = marks(0).map(|mark| mark.node).collect();
        let (marks, facts) = (vec![], vec![]);
        let Some(Body::Facts(facts)) = largest.hear(Body::Reply {
            marks,
            facts,
            wants,
        }) else {
            panic!("what is wanted is heard");
        };
        heard.extend(facts.into_iter().map(|(mark, _)| mark.node));
    }
    assert_eq!(heard.len(), MAX_MEMBERS - 1);
}
