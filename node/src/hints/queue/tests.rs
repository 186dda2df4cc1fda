//! What a queue sends, when it rests, and that no hint holds up the others.

use super::*;

const PACE: Duration = Duration::from_millis(1);

fn hints(count: usize, bytes: usize) -> Vec<Hint> {
    let hint = |n: usize| Hint {
        key: n.to_string().into(),
        record: vec![0; bytes].into(),
    };
    (0..count).map(hint).collect()
}

/// Any hint with a record of so many bytes.
fn hint(bytes: usize) -> Hint {
    hints(1, bytes).remove(0)
}

fn page(count: usize, bytes: usize, is_last: bool) -> Page {
    Page {
        target: quoit_ring::NodeId(7),
        hints: hints(count, bytes),
        is_last,
        unreadable: 0,
    }
}

/// A queue with a page in hand, long after anything else.
fn queue(count: usize, bytes: usize) -> (TargetQueue, Moment) {
    let (mut queue, now) = (TargetQueue::new(MAX_WINDOW), Moment(100_000_000));
    assert_eq!(queue.step(PACE, now), Some(QueueStep::Load(None)));
    assert_eq!(queue.step(PACE, now), None, "one page at a time");
    queue.loaded(page(count, bytes, true), now);
    (queue, now)
}

fn sends(queue: &mut TargetQueue, now: Moment) -> u32 {
    let mut sent = 0;
    while let Some(QueueStep::Send(_)) = queue.step(PACE, now) {
        sent += 1;
    }
    sent
}

#[test]
fn the_window_grows_with_success_and_falls_with_a_failure() {
    let (mut queue, mut now) = queue(1_000, 0);
    let mut widest = 0;
    for _round in 0..12 {
        now += Duration::from_secs(1);
        let sent = sends(&mut queue, now);
        assert!(sent <= widest + 1);
        widest = sent;
        (0..sent).for_each(|_| queue.delivered(&hint(0)));
    }
    assert_eq!(widest, 12);
    assert_eq!(sends(&mut queue, now + BURST), 13);
    queue.failed(&hint(0), Duration::ZERO, now);
    assert_eq!(queue.window, 1);
}

#[test]
fn the_rate_bounds_what_is_sent_and_long_records_count_as_several() {
    for (bytes, expected) in [(0, 1_050), (PORTION, 525)] {
        let (mut queue, began) = queue(5_000, bytes);
        queue.window = MAX_WINDOW;
        let mut sent = 0;
        for ms in 0..1_000 {
            let round = sends(&mut queue, began + Duration::from_millis(ms));
            (0..round).for_each(|_| queue.delivered(&hint(bytes)));
            sent += round;
        }
        assert!(
            (expected - 50..=expected + 55).contains(&sent),
            "{sent} of {bytes} bytes in a second"
        );
    }
}

#[test]
fn long_records_are_few_at_a_time_and_one_goes_however_long_it_is() {
    for (bytes, expected) in [(300 << 10, 3), (2 << 20, 1)] {
        let (mut queue, began) = queue(9, bytes);
        queue.window = MAX_WINDOW;
        let fast = Duration::from_nanos(1);
        let mut sent = 0;
        while let Some(QueueStep::Send(_)) = queue.step(fast, began) {
            sent += 1;
        }
        assert_eq!(sent, expected);
        queue.delivered(&hint(bytes));
        assert!(queue.step(fast, began).is_some());
    }
}

#[test]
fn hints_come_in_gusts() {
    let (mut queue, began) = queue(5_000, 0);
    queue.window = MAX_WINDOW;
    let mut gusts = 0;
    for ms in 0..1_000 {
        let round = sends(&mut queue, began + Duration::from_millis(ms));
        (0..round).for_each(|_| queue.delivered(&hint(0)));
        gusts += u32::from(round > 0);
    }
    assert!((8..30).contains(&gusts), "{gusts} in a second");
}

#[test]
fn failures_in_a_row_rest_ever_longer_and_failures_at_once_count_once() {
    let (mut queue, mut now) = queue(9, 0);
    for expected in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        queue.window = 3;
        assert!(queue.step(PACE, now).is_some());
        (queue.in_flight, queue.loading) = (3, false);
        (0..3).for_each(|_| queue.failed(&hint(0), Duration::ZERO, now));
        let rest = Duration::from_millis(expected);
        assert_eq!(queue.rest_until, now + rest);
        assert_eq!(queue.step(PACE, (now + rest).saturating_sub(PACE)), None);
        now += rest;
    }
    queue.delivered(&hint(0));
    queue.failed(&hint(0), Duration::from_secs(2), now);
    assert_eq!(queue.rest_until, now + Duration::from_secs(2));
}

#[test]
fn a_walk_begins_again_when_the_last_one_is_over() {
    let (mut queue, now) = queue(1, 0);
    assert!(matches!(queue.step(PACE, now), Some(QueueStep::Send(_))));
    queue.delivered(&hint(0));
    assert_eq!(queue.step(PACE, now), None);
    let later = now + BETWEEN_WALKS;
    assert_eq!(queue.step(PACE, later), Some(QueueStep::Load(None)));
    queue.loaded(page(1, 0, true), later);
    assert!(matches!(queue.step(PACE, later), Some(QueueStep::Send(_))));
    assert!(queue.refused(&hint(0), Refusal::BadRecord, None, later));
    assert_eq!(queue.step(PACE, later), None);
    assert_eq!(queue.rest_until, later + LONGEST_REST, "nothing helped");
}

/// Sends one hint after the other and lets `fails` answer; how often each was sent, and the time in the end.
fn walk_for(
    seconds: u64,
    count: usize,
    mut fails: impl FnMut(&mut TargetQueue, &Hint, Moment) -> bool,
) -> (Vec<u32>, Moment) {
    let (mut queue, began) = (TargetQueue::new(MAX_WINDOW), Moment(100_000_000));
    let (mut left, mut sent) = (hints(count, 0), vec![0; count]);
    left.sort_by(|a, b| a.key.cmp(&b.key));
    let mut now = began;
    while now < began + Duration::from_secs(seconds) {
        match queue.step(PACE, now) {
            None => now += Duration::from_millis(20),
            Some(QueueStep::Load(after)) => {
                let behind = |hint: &&Hint| after.as_ref().is_none_or(|after| hint.key > after);
                let hints = left.iter().filter(behind).take(7).cloned().collect();
                let is_last = left.iter().filter(behind).count() <= 7;
                let target = quoit_ring::NodeId(7);
                let page = Page {
                    target,
                    hints,
                    is_last,
                    unreadable: 0,
                };
                queue.loaded(page, now);
            }
            Some(QueueStep::Send(hint)) => {
                let number: usize = std::str::from_utf8(&hint.key).unwrap().parse().unwrap();
                sent[number] += 1;
                if !fails(&mut queue, &hint, now) {
                    queue.delivered(&hint);
                    left.retain(|other| other.key != hint.key);
                }
            }
        }
    }
    (sent, now)
}

#[test]
fn a_hint_that_never_gets_through_does_not_hold_up_those_behind_it() {
    let breaks = |queue: &mut TargetQueue, hint: &Hint, now| {
        let is_poison = hint.key == b"13"[..];
        if is_poison {
            queue.failed(hint, Duration::ZERO, now);
        }
        is_poison
    };
    let (sent, _) = walk_for(120, 20, breaks);
    let others = (0..).zip(&sent).filter(|&(number, _)| number != 13);
    assert!(others.map(|(_, &times)| times).eq([1; 19]), "{sent:?}");
    assert!((20..40).contains(&sent[13]), "{sent:?}");
}

#[test]
fn refused_hints_are_tried_ever_less_often() {
    let refuses = |queue: &mut TargetQueue, hint: &Hint, now| {
        let is_refused = hint.key.starts_with(b"1");
        if is_refused {
            queue.refused(hint, Refusal::BadRecord, None, now);
        }
        is_refused
    };
    let (sent, _) = walk_for(600, 20, refuses);
    for (number, &times) in sent.iter().enumerate() {
        if number.to_string().starts_with('1') {
            assert!((8..20).contains(&times), "{sent:?}");
        } else {
            assert_eq!(times, 1, "{sent:?}");
        }
    }
}
