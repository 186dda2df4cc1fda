//! Requests that have waited at the node before they are handled.

use std::time::Duration;

use super::*;

#[test]
fn a_request_that_waited_too_long_is_refused_before_it_costs_anything() {
    let (disk, sink) = (Disk::default(), Sink::default());
    disk.set_unreadable();
    let env = FakeEnv {
        capacity: 100,
        ..FakeEnv::default()
    };
    let replica = Arc::new(Replica::new(env, Arc::new(disk), &state(1)));
    let mut session = Session::new(Arc::clone(&replica), Role::Client, sink.clone());
    let (key, record) = (Bytes::from_static(b"k"), Bytes::from_static(b"junk"));
    let requests = [
        get("k"),
        Request::Put {
            key: key.clone(),
            dot: dot(1, WALL),
            record: record.clone(),
        },
        Request::Repair { key, record },
    ];
    let mut handle = |waited_ms, request: &Request| {
        let mut out = BytesMut::new();
        let frame = RequestFrame {
            id: 7,
            epoch: CURRENT,
            budget_ms: 1000,
            request: request.clone(),
        };
        frame.encode(&mut out);
        let waited = Duration::from_millis(waited_ms);
        session
            .handle_after(waited, out.split_off(4).freeze(), at(WALL))
            .unwrap();
        sink.answers().pop().map(|(_id, answer)| answer)
    };
    for request in &requests {
        let in_time = handle(999, request);
        assert!(
            !matches!(in_time, Some(Response::Refused(Refusal::Expired))),
            "{in_time:?}"
        );
        for waited in [1000, 60_000] {
            let late = handle(waited, request);
            assert_eq!(late, Some(Response::Refused(Refusal::Expired)));
        }
    }
    let delta = blind(dot(1, WALL), "v");
    assert_eq!(handle(700, &put("k", delta.dot(), &delta)), None);
    session.submit(at(WALL));
    let taken = replica.env.taken.lock().unwrap();
    let left = taken[0].deadline.saturating_since(at(WALL).mono);
    assert_eq!(
        left,
        Duration::from_millis(300),
        "what is left for the commit"
    );
}
