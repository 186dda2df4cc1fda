//! A node that falls silent: everything between it and the client goes through a relay that can be cut.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::*;

/// Passes datagrams between one client and one node, unless it is cut.
struct Relay {
    address: SocketAddr,
    cut: Rc<Cell<bool>>,
}

impl Relay {
    async fn start(node: SocketAddr) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (address, cut) = (near.local_addr().unwrap(), Rc::new(Cell::new(false)));
        tokio::task::spawn_local(pass(near, far, node, Rc::clone(&cut)));
        Self { address, cut }
    }
}

async fn pass(near: UdpSocket, far: UdpSocket, node: SocketAddr, cut: Rc<Cell<bool>>) {
    let (mut there, mut back) = ([0; 65_535], [0; 65_535]);
    let mut client = node;
    loop {
        let (bytes, socket, to) = tokio::select! {
            biased;
            got = near.recv_from(&mut there) => {
                let (length, from) = got.unwrap();
                client = from;
                (&there[..length], &far, node)
            }
            got = far.recv_from(&mut back) => (&back[..got.unwrap().0], &near, client),
        };
        if !cut.get() {
            socket.send_to(bytes, to).await.unwrap();
        }
    }
}

#[test]
fn a_node_that_falls_silent_is_given_up_long_before_quic_would_and_found_again() {
    run(async {
        let mut bench = Bench::new();
        let node = bench.node(|_| Act::Answer(Response::Joined));
        let relay = Relay::start(node.address).await;
        let link = bench.link(&relay.address.to_string());
        link.send(&get(1));
        bench.recorder.heard(3).await;
        relay.cut.set(true);
        link.send(&get(2));
        let down = [Link::Opening, Link::Up, Link::Down];
        bench.recorder.links(&down).await;
        relay.cut.set(false);
        bench
            .recorder
            .links(&[down[0], down[1], down[2], Link::Up])
            .await;
        link.send(&get(3));
        bench.recorder.heard(6).await;
        let said = bench.recorder.0.borrow();
        assert_eq!(said[5], Said::Response(3, Response::Joined));
    });
}
