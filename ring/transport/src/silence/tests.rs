//! The silence rule on counters made by hand, at every phase between an exchange and the looks, and on real connections
//! that fall idle.

use bytes::Bytes;
use tokio::task::JoinSet;

use super::*;
use crate::lane::Lane;
use crate::loopback::{Pair, run};

/// From one look to the next, in milliseconds.
const LOOK: u64 = 500;
/// How long an acknowledgement may be delayed, in milliseconds.
const ACK_DELAY: u64 = 25;
/// The first guess at how long an answer takes, after which the question is asked again, in milliseconds.
const PROBE: u64 = 30;

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
enum Event {
    Heard,
    Asked,
    Pinged,
    Acknowledged,
}

impl Event {
    fn count(self, stats: &mut ConnectionStats) {
        let sent = &mut stats.frame_tx;
        match self {
            Self::Heard => stats.udp_rx.datagrams += 1,
            Self::Asked => sent.stream += 1,
            Self::Pinged => sent.ping += 1,
            Self::Acknowledged => sent.acks += 1,
        }
        if !matches!(self, Self::Heard) {
            stats.udp_tx.datagrams += 1;
        }
    }
}

/// When a look finds the peer silent, within 20 s of these events; times are in milliseconds.
fn silent_at(looks: u32, round_trip: u64, mut events: Vec<(u64, Event)>) -> Option<u64> {
    events.sort_by_key(|(at, _)| *at);
    let mut events = events.into_iter().peekable();
    let mut silence = Silence::new(looks);
    let mut stats = ConnectionStats::default();
    stats.path.rtt = Duration::from_millis(round_trip);

    (1..=40).map(|look| look * LOOK).find(|&now| {
        while let Some((_, event)) = events.next_if(|(at, _)| *at <= now) {
            event.count(&mut stats);
        }
        silence.look(&stats)
    })
}

/// A request, its answer, and the acknowledgement of that.
fn exchange(at: u64) -> [(u64, Event); 3] {
    [
        (at, Event::Asked),
        (at + 1, Event::Heard),
        (at + 1 + ACK_DELAY, Event::Acknowledged),
    ]
}

/// A request that nobody answers: it is followed by probes, each after twice the time of the one before.
fn unanswered(at: u64) -> Vec<(u64, Event)> {
    let probes = (1..10).map(|n| (at + PROBE * ((1 << n) - 1), Event::Pinged));
    std::iter::once((at, Event::Asked)).chain(probes).collect()
}

#[test]
fn a_peer_that_was_asked_nothing_owes_no_answer() {
    assert_eq!(silent_at(CLIENT_LOOKS, 1, vec![]), None);
}

#[test]
fn an_idle_connection_is_never_silent_whatever_its_phase() {
    for phase in 0..LOOK {
        let events = exchange(phase).into_iter().chain(exchange(phase + 3_100));
        let found = silent_at(CLIENT_LOOKS, 1, events.collect());
        assert_eq!(found, None, "exchange at {phase} ms");
    }
}

#[test]
fn a_peer_that_vanishes_is_silent_within_two_seconds_of_a_question_whatever_its_phase() {
    for (looks, within) in [(CLIENT_LOOKS, 2_000), (PEER_LOOKS, 3_500)] {
        for (phase, pause) in (0..LOOK).flat_map(|phase| [(phase, 2), (phase, 40), (phase, 4_900)])
        {
            let asked = phase + pause;
            let events = exchange(phase).into_iter().chain(unanswered(asked));
            let found = silent_at(looks, 1, events.collect()).unwrap_or(u64::MAX);
            let took = found - asked;
            let enough = u64::from(looks - 1) * LOOK;
            assert!(
                (enough..=within).contains(&took),
                "asked at {asked}, found at {found}"
            );
        }
    }
}

#[test]
fn any_datagram_restarts_the_count() {
    let talk = (1..20).flat_map(|n| [(n * 1_400, Event::Heard), (n * 400, Event::Asked)]);
    assert_eq!(silent_at(CLIENT_LOOKS, 1, talk.collect()), None);
}

#[test]
fn a_long_path_is_given_longer() {
    let found = silent_at(CLIENT_LOOKS, 1_000, unanswered(400));
    assert_eq!(found, Some(4_000));
}

#[test]
fn every_kind_of_frame_is_known_to_be_a_question_or_not() {
    // Another version of quinn may count more kinds: then decide about them in `questions`.
    let counted = format!("{:?}", FrameStats::default());
    let mut stats = FrameStats::default();
    (stats.acks, stats.connection_close) = (1, 1);
    assert_eq!(questions(&stats), 0);
    assert_eq!(counted.matches(": ").count(), 22 + 2, "{counted}");
}

#[test]
fn real_connections_that_fall_idle_at_any_phase_are_not_silent() {
    const CONNECTIONS: u32 = 40;
    run(async {
        let mut pairs = Vec::new();
        for _ in 0..CONNECTIONS {
            let pair = Pair::connect().await;
            let (dialled, accepted) =
                tokio::join!(Lane::open(&pair.dialled), Lane::accept(&pair.accepted));
            pairs.push((pair, dialled.unwrap(), accepted.unwrap()));
        }

        let mut idle = JoinSet::new();
        for (n, (pair, mut dialled, mut accepted)) in (0..).zip(pairs) {
            idle.spawn_local(async move {
                let after = PAUSE / CONNECTIONS * n;
                let exchange = async {
                    sleep(PAUSE + after).await;
                    dialled.send.write_all(b"question").await.unwrap();
                    accepted.receive.read_exact(&mut [0; 8]).await.unwrap();
                    let answer = Bytes::from_static(b"answer");
                    accepted.send.write_chunk(answer).await.unwrap();
                    dialled.receive.read_exact(&mut [0; 6]).await.unwrap();
                    sleep(Duration::from_secs(3)).await;
                };
                tokio::select! {
                    () = silent(&pair.dialled, CLIENT_LOOKS) => Some(after),
                    () = exchange => None,
                }
            });
        }
        let silent = idle.join_all().await;
        let silent: Vec<Duration> = silent.into_iter().flatten().collect();
        assert!(silent.is_empty(), "exchanges after {silent:?}");
    });
}
