//! What a poll of a subscription gets, when, and what a node keeps for that.

use quoit_ring::wire::MAX_WATCH_KEYS;

use super::*;

const CLOCK: u64 = 5_000;

fn ms(ms: u64) -> Moment {
    Moment(ms * 1_000)
}

fn request(id: u64, key: &'static str, is_prefix: bool) -> WatchRequest {
    WatchRequest {
        id,
        incarnation: 0,
        after: 0,
        is_prefix,
        key: Bytes::from_static(key.as_bytes()),
    }
}

/// Subscribes, and gives back the request that goes on.
fn begun(table: &mut Table<u8>, mut request: WatchRequest, now: Moment) -> WatchRequest {
    match table.poll(&request, 0, (now, CLOCK)) {
        (Polled::Answer(answer), None) => {
            assert_eq!(answer.changes, WatchChanges::Begun);
            request.incarnation = answer.incarnation;
            request
        }
        other => panic!("{other:?}"),
    }
}

fn note(table: &mut Table<u8>, keys: &[&'static str]) -> Vec<(u8, Vec<Bytes>)> {
    let keys: Vec<Bytes> = keys.iter().map(|&key| Bytes::from(key)).collect();
    let deliveries = table.note(keys.iter());
    deliveries
        .into_iter()
        .map(|delivery| match delivery.answer.changes {
            WatchChanges::Keys(keys) => (delivery.waiter, keys),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_poll_waits_for_its_key_and_a_prefix_for_all_that_begin_with_it() {
    let mut table = Table::default();
    let watches = [
        request(1, "ab", false),
        request(2, "a", true),
        request(3, "", true),
        request(4, "abc", true),
    ];
    for watch in watches {
        let waiter = u8::try_from(watch.id).unwrap();
        let watch = begun(&mut table, watch, ms(0));
        let polled = table.poll(&watch, waiter, (ms(0), CLOCK));
        assert_eq!(polled, (Polled::Waits, None));
    }
    assert!(note(&mut table, &[]).is_empty());
    let ab = || vec![Bytes::from("ab")];
    assert_eq!(note(&mut table, &["ab"]), [(1, ab()), (2, ab()), (3, ab())]);
    assert!(
        note(&mut table, &["ab", "b"]).is_empty(),
        "nobody waits any more"
    );
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_one_that_was_heard_is_not() {
    let mut table = Table::default();
    let mut watch = begun(&mut table, request(1, "k", false), ms(0));
    assert!(note(&mut table, &["k"]).is_empty());
    for _ in 0..2 {
        let (polled, _) = table.poll(&watch, 1, (ms(1), CLOCK));
        let Polled::Answer(answer) = polled else {
            panic!("{polled:?}");
        };
        assert_eq!((answer.through, answer.incarnation), (1, watch.incarnation));
    }
    watch.after = 1;
    assert_eq!(table.poll(&watch, 1, (ms(2), CLOCK)).0, Polled::Waits);
    let (polled, before) = table.poll(&watch, 2, (ms(3), CLOCK));
    let displaced = before.map(|it| (it.waiter, it.answer.changes));
    assert_eq!(displaced, Some((1, WatchChanges::Keys(vec![]))));
    assert_eq!(polled, Polled::Waits);
}

#[test]
fn what_is_not_known_begins_again_and_says_so() {
    let mut table = Table::default();
    let watch = begun(&mut table, request(1, "k", false), ms(0));
    let stranger = WatchRequest {
        incarnation: watch.incarnation + 1,
        ..watch.clone()
    };
    let later = begun(&mut table, stranger, ms(1));
    assert!(later.incarnation > watch.incarnation);
    let ahead = WatchRequest {
        after: 9,
        ..later.clone()
    };
    let later = begun(&mut table, ahead, ms(2));
    let other = WatchRequest {
        key: "other".into(),
        ..later
    };
    begun(&mut table, other, ms(3));
    assert_eq!((table.len(), table.keys.len()), (1, 1));

    // A run of its own, whose clock goes on.
    let mut restarted = Table::default();
    let answer = restarted.poll(&watch, 0, (ms(0), CLOCK + 9)).0;
    assert!(matches!(answer, Polled::Answer(it) if it.incarnation == CLOCK + 9));
}

#[test]
fn a_poll_is_answered_after_a_second_and_a_silent_reader_forgotten_after_ten() {
    let mut table = Table::default();
    let watch = begun(&mut table, request(1, "k", true), ms(0));
    assert_eq!(table.poll(&watch, 1, (ms(500), CLOCK)).0, Polled::Waits);
    assert!(table.tend(ms(1_400)).is_empty());
    let deliveries = table.tend(ms(1_500));
    assert_eq!(deliveries.len(), 1);
    assert!(table.tend(ms(10_399)).is_empty());
    assert_eq!(table.len(), 1);
    table.tend(ms(10_500));
    assert_eq!((table.len(), table.bytes), (0, 0));
    assert!(table.prefixes.is_empty() && table.lengths.is_empty());
    begun(&mut table, watch, ms(10_600));
}

#[test]
fn subscriptions_and_their_bytes_are_bounded() {
    let mut table = Table::<u8>::default();
    for id in 0..u64::try_from(WATCHES).unwrap() {
        begun(&mut table, request(id, "", true), ms(0));
    }
    let refused = table.poll(&request(u64::MAX, "k", false), 0, (ms(0), CLOCK));
    assert_eq!(refused, (Polled::Refused(1_024), None));

    // All of them hear of long keys: some overflow before all do.
    let keys: Vec<Bytes> = (0..100_u8).map(|it| vec![it; 1_000].into()).collect();
    for key in &keys {
        table.note([key].into_iter());
        assert!(table.bytes <= BYTES, "{}", table.bytes);
    }
    let bytes: usize = table.watches.values().map(Subscription::bytes).sum();
    assert_eq!(table.bytes, bytes);
    table.tend(ms(60_000));
    assert_eq!(table.bytes, 0);

    let long = WatchRequest {
        key: vec![b'k'; 32 << 10].into(),
        ..request(0, "", true)
    };
    let taken = (0..WATCHES as u64).filter(|&id| {
        let watch = WatchRequest { id, ..long.clone() };
        matches!(table.poll(&watch, 0, (ms(0), CLOCK)).0, Polled::Answer(_))
    });
    assert!((200..256).contains(&taken.count()), "by bytes");
}

#[test]
fn who_waits_learns_of_an_overflow() {
    let mut table = Table::default();
    let watch = begun(&mut table, request(1, "", true), ms(0));
    table.poll(&watch, 1, (ms(0), CLOCK));
    let keys: Vec<Bytes> = (0..=MAX_WATCH_KEYS)
        .map(|it| it.to_be_bytes().to_vec().into())
        .collect();
    let deliveries = table.note(keys.iter());
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].answer.changes, WatchChanges::Overflow);
}
