//! What becomes of datagrams between a client and a node.

use std::net::{Ipv4Addr, UdpSocket as Socket};
use std::time::{Duration, Instant};

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn socket() -> Socket {
    let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// A node, and a proxy before it. An address that was free may be another test's by now.
fn scene() -> (Socket, Proxy, SocketAddr) {
    let node = socket();
    let address = node.local_addr().unwrap();
    let start = || {
        let front = crate::ports::free_address().unwrap();
        Proxy::start("t", front, address, 1).map(|proxy| (proxy, front))
    };
    let (proxy, front) = (0..100).find_map(|_| start().ok()).unwrap();
    (node, proxy, front)
}

/// Sends one datagram to and one back; what came, and how long both took.
fn round(caller: &Socket, front: SocketAddr, node: &Socket, text: &[u8]) -> (Vec<u8>, Duration) {
    let (mut buffer, begin) = ([0; 100], Instant::now());
    caller.send_to(text, front).unwrap();
    let (length, flow) = node.recv_from(&mut buffer).unwrap();
    node.send_to(&buffer[..length], flow).unwrap();
    let (length, from) = caller.recv_from(&mut buffer).unwrap();
    assert_eq!(from, front, "answers come from where the question went");
    (buffer[..length].to_vec(), begin.elapsed())
}

#[test]
fn callers_are_kept_apart_and_nothing_happens_to_their_datagrams() {
    let (node, proxy, front) = scene();
    let (a, b) = (socket(), socket());
    for (caller, text) in [(&a, &b"one"[..]), (&b, b"two"), (&a, b"three")] {
        assert_eq!(round(caller, front, &node, text).0, text);
    }
    drop(proxy);
    a.send_to(b"nobody is there any more", front).unwrap();
    node.set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(node.recv(&mut [0; 100]).is_err());
}

#[test]
fn a_slow_network_is_slow_until_it_is_healed() {
    let (node, proxy, front) = scene();
    let (caller, delay) = (socket(), Duration::from_millis(60));
    proxy.change(|faults| faults.from_node.delay = delay);
    assert!(round(&caller, front, &node, b"slow").1 >= delay);
    proxy.change(|faults| *faults = NetworkFaults::default());
    let quickest = (0..20)
        .map(|_| round(&caller, front, &node, b"quick").1)
        .min();
    assert!(quickest.unwrap() < delay, "{quickest:?}");
    assert_eq!(proxy.counts().lost, 0);
}

#[test]
fn a_network_that_loses_everything_lets_nothing_through() {
    let (node, proxy, front) = scene();
    let caller = socket();
    proxy.change(|faults| faults.to_node.loss = LOSS_SCALE);
    caller.send_to(b"lost", front).unwrap();
    let begin = Instant::now();
    while proxy.counts().lost < 1 {
        assert!(begin.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(1));
    }
    proxy.change(|faults| faults.to_node.loss = 0);
    assert_eq!(round(&caller, front, &node, b"through").0, b"through");
}

#[test]
fn a_node_that_starts_later_is_found() {
    let (node, _proxy, front) = scene();
    let (caller, address) = (socket(), node.local_addr().unwrap());
    drop(node);
    for _ in 0..3 {
        caller.send_to(b"nobody hears this", front).unwrap();
    }
    // What its absence sends back, errors of its sockets, has to be over.
    std::thread::sleep(Duration::from_millis(50));
    let node = Socket::bind(address).unwrap();
    node.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(round(&caller, front, &node, b"now").0, b"now");
}

#[test]
fn any_number_of_callers_one_after_the_other_is_served() {
    let (node, _proxy, front) = scene();
    let lasting = socket();
    for number in 0..200_u8 {
        assert_eq!(round(&socket(), front, &node, &[number]).0, [number]);
        assert_eq!(
            round(&lasting, front, &node, b"still here").0,
            b"still here"
        );
    }
}
