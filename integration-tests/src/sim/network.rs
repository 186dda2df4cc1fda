//! The network: what becomes of one message.
//!
//! ```text
//!   message --> cut? --> lost    lost, late, twice    clogged? waits --> arrives once, twice or never
//! ```
//!
//! Frames are simulated and not datagrams: QUIC is tested against real sockets. Frames of one connection may be lost
//! and reordered here though its streams never would: code that survives this survives more than can happen.
//! Conditions are those of the faults in force; without any, messages take their usual delay.

use rand::Rng as _;
use rand::rngs::SmallRng;

use quoit_ring::Moment;

use super::chance::{delay, happens};
use super::faults::{Fault, PEERS, Planned, Way};

/// How late a late message may be, in microseconds.
const LATE: u64 = 100_000;
/// In how short a time a clogged link lets go of all that waited.
const BURST: u64 = 500;

/// The conditions in force.
#[derive(Debug)]
pub struct Network {
    rng: SmallRng,
    /// Usual delay of a message, in microseconds.
    typical: u64,
    /// Faults that are about the network, by their number in the plan.
    active: Vec<(usize, Planned)>,
    /// How many messages felt each fault of the plan.
    felt: Vec<u64>,
}

/// When the copies of a message arrive: none, one or two.
pub type Arrivals = [Option<Moment>; 2];

impl Network {
    /// A network without faults yet, for a plan of so many faults.
    #[must_use]
    pub fn new(rng: SmallRng, typical: u64, faults: usize) -> Self {
        Self {
            rng,
            typical,
            active: Vec::new(),
            felt: vec![0; faults],
        }
    }

    /// A fault begins.
    pub fn begin(&mut self, number: usize, planned: &Planned) {
        self.active.push((number, planned.clone()));
    }

    /// A fault ends.
    pub fn end(&mut self, number: usize) {
        self.active.retain(|(other, _)| *other != number);
    }

    /// How many messages felt a fault.
    #[must_use]
    pub fn felt(&self, number: usize) -> u64 {
        self.felt.get(number).copied().unwrap_or_default()
    }

    /// What becomes of a message that is sent now.
    pub fn send(&mut self, (client, node): (usize, usize), way: Way, now: Moment) -> Arrivals {
        let mut arrives = now.after(delay(&mut self.rng, self.typical));
        let mut again = None;
        let Self {
            rng, active, felt, ..
        } = self;

        for (number, planned) in active.iter() {
            let mut feels = true;
            match &planned.fault {
                _ if cuts(planned, (client, node), way, now) => {
                    felt[*number] += 1;
                    return [None, None];
                }
                Fault::Noise { loss, twice, late } => {
                    if happens(rng, *loss) {
                        felt[*number] += 1;
                        return [None, None];
                    }
                    let (comes_twice, comes_late) = (happens(rng, *twice), happens(rng, *late));
                    if comes_late {
                        arrives = arrives.after(rng.random_range(0..LATE));
                    }
                    if comes_twice {
                        again = Some(arrives.after(rng.random_range(0..LATE)));
                    }
                    feels = comes_twice || comes_late;
                }
                Fault::Clog { links } if links.contains(client, node) => {
                    let opens = planned.at.after(planned.lasts);
                    arrives = arrives.max(opens.after(rng.random_range(0..BURST)));
                }
                Fault::Slow { links, micros } if links.contains(client, node) => {
                    arrives = arrives.after(delay(rng, *micros));
                }
                _ => feels = false,
            }
            felt[*number] += u64::from(feels);
        }

        [Some(arrives), again]
    }

    /// Whether nothing passes between the two, in one direction at least.
    #[must_use]
    pub fn is_cut(&self, link: (usize, usize), now: Moment) -> bool {
        let either = [Way::ToNode, Way::ToClient];
        let mut faults = self.active.iter();
        faults.any(|(_, planned)| either.iter().any(|&way| cuts(planned, link, way, now)))
    }
}

/// Whether a fault stops every message of a link in one direction.
fn cuts(planned: &Planned, (client, node): (usize, usize), way: Way, now: Moment) -> bool {
    match &planned.fault {
        Fault::Cut { links, only } => {
            links.contains(client, node) && only.is_none_or(|only| only == way)
        }
        Fault::Swizzle { nodes } => {
            let since = now.since(planned.at);
            let mut parts = nodes.iter();
            let ends = [Some(node), client.checked_sub(PEERS)];
            parts.any(|&(which, begin, end)| {
                ends.contains(&Some(which)) && (begin..end).contains(&since)
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::chance::Seed;
    use super::super::faults::Links;
    use super::*;

    fn network(fault: Fault) -> Network {
        let mut network = Network::new(Seed(1).stream("network", 0), 200, 1);
        let (at, lasts) = (Moment(0), 50_000);
        network.begin(0, &Planned { at, lasts, fault });
        network
    }

    fn arrivals(network: &mut Network, way: Way) -> Vec<usize> {
        let count = |_| {
            network
                .send((0, 0), way, Moment(10))
                .iter()
                .flatten()
                .count()
        };
        (0..1_000).map(count).collect()
    }

    #[test]
    fn a_one_way_cut_stops_one_way_only() {
        let only = Some(Way::ToNode);
        let links = Links::of_nodes(1);
        let mut network = network(Fault::Cut { links, only });
        assert!(arrivals(&mut network, Way::ToNode).iter().all(|&n| n == 0));
        assert!(
            arrivals(&mut network, Way::ToClient)
                .iter()
                .all(|&n| n == 1)
        );
        assert!(network.is_cut((0, 0), Moment(10)) && !network.is_cut((0, 1), Moment(10)));
        assert_eq!(network.felt(0), 1_000);
    }

    #[test]
    fn noise_loses_some_messages_and_doubles_some() {
        let noise = Fault::Noise {
            loss: 100,
            twice: 100,
            late: 100,
        };
        let counts = arrivals(&mut network(noise), Way::ToNode);
        for copies in [0, 2] {
            let share = counts.iter().filter(|&&n| n == copies).count();
            assert!(
                (50..200).contains(&share),
                "{share} of 1,000 came {copies} times"
            );
        }
    }

    #[test]
    fn a_clogged_link_holds_everything_until_it_opens() {
        let mut network = network(Fault::Clog {
            links: Links::of_nodes(1),
        });
        let [arrives, again] = network.send((3, 0), Way::ToClient, Moment(10));
        assert!(arrives.unwrap() >= Moment(50_000) && again.is_none());
        let [free, _] = network.send((3, 1), Way::ToClient, Moment(10));
        assert!(free.unwrap() < Moment(50_000));
    }
}
