//! A watch in a small world: three owners that join writes one by one, lose subscriptions, restart, and are away; answers and
//! reads that come late, or not at all.
//!
//! ```text
//!   drawn     writes joined by one owner after the other, polls answered or lost, reads begun and ended in any order
//!   then      all is joined, all owners answer, time passes
//!   always    what was yielded last of each key is what it holds; no key ever went back
//! ```

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KEYS: [&str; 3] = ["a", "b", "c"];
/// Keys that a node's subscription holds.
const CAP: usize = 2;

/// One owner, and its subscription: as the node's own, in small.
#[derive(Debug, Default)]
struct Owner {
    /// Of each key the latest write, numbered; 0 is none.
    rows: BTreeMap<Bytes, u64>,
    is_away: bool,
    incarnation: u64,
    last: u64,
    lost: Option<u64>,
    changed: BTreeMap<u64, Bytes>,
}

impl Owner {
    fn join(&mut self, key: &Bytes, write: u64) {
        let row = self.rows.entry(key.clone()).or_default();
        if write <= *row {
            return;
        }
        *row = write;
        self.last += 1;
        self.changed.retain(|_, changed| changed != key);
        self.changed.insert(self.last, key.clone());
        if self.changed.len() > CAP {
            self.changed.clear();
            self.lost = Some(self.last);
        }
    }

    fn forget(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        (self.last, self.lost) = (0, None);
        self.changed.clear();
    }

    fn answer(&mut self, ask: &PollAsk) -> WatchAnswer {
        let (through, changes) = if ask.incarnation != self.incarnation {
            (0, WatchChanges::Begun)
        } else {
            self.changed.retain(|number, _| *number > ask.after);
            self.lost.take_if(|lost| *lost <= ask.after);
            match self.lost {
                Some(lost) => (lost, WatchChanges::Overflow),
                None => {
                    let through = self.changed.keys().last().copied().unwrap_or_default();
                    (
                        through,
                        WatchChanges::Keys(self.changed.values().cloned().collect()),
                    )
                }
            }
        };
        WatchAnswer {
            incarnation: self.incarnation,
            through,
            changes,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Draw {
    /// A write of a key, on its way to this owner first.
    Write {
        key: usize,
        first: usize,
    },
    /// Of the writes under way one is joined by its next owner.
    Join(usize),
    Poll {
        at: usize,
        is_lost: bool,
    },
    /// A read or row that is under way ends, as of when it began.
    End(usize),
    Restart(usize),
    Away(usize, bool),
    Time(u64),
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let index = || 0..64_usize;
    let draw = prop_oneof![
        6 => (0..KEYS.len(), 0..3_usize).prop_map(|(key, first)| Draw::Write { key, first }),
        9 => index().prop_map(Draw::Join),
        12 => (index(), prop::bool::weighted(0.1)).prop_map(|(at, is_lost)| Draw::Poll { at, is_lost }),
        12 => index().prop_map(Draw::End),
        1 => (0..3_usize).prop_map(Draw::Restart),
        1 => (0..3_usize, any::<bool>()).prop_map(|(node, is_away)| Draw::Away(node, is_away)),
        2 => (1..5_000_u64).prop_map(Draw::Time),
    ];
    vec(draw, 0..120)
}

#[derive(Debug)]
struct World {
    owners: [Owner; 3],
    machine: Machine,
    now: u64,
    writes: u64,
    /// Key, write, and who has not joined it yet.
    joining: Vec<(Bytes, u64, Vec<usize>)>,
    polls: Vec<PollAsk>,
    /// Reads under way, with what they will find.
    reads: Vec<(Bytes, Option<u64>)>,
    /// A scan under way: rows that it will find, or none if it fails.
    scan: Option<Vec<(Bytes, u64)>>,
    scan_fails: bool,
    yielded: BTreeMap<Bytes, u64>,
    notices: Vec<Notice>,
}

impl World {
    fn new(target: Target) -> Self {
        let mut owners: [Owner; 3] = Default::default();
        for (owner, incarnation) in owners.iter_mut().zip(1..) {
            owner.incarnation = incarnation;
        }
        Self {
            owners,
            machine: Machine::new(target, (NODES, 1), None),
            now: 1,
            writes: 0,
            joining: Vec::new(),
            polls: Vec::new(),
            reads: Vec::new(),
            scan: None,
            scan_fails: false,
            yielded: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// What a quorum read returns that asks the last two of those who answer; the others get it.
    fn quorum(&mut self, key: &Bytes) -> Option<u64> {
        let here: Vec<usize> = (0..3).filter(|&node| !self.owners[node].is_away).collect();
        let [.., one, other] = here[..] else {
            return None;
        };
        let row = |owner: &Owner| owner.rows.get(key).copied().unwrap_or_default();
        let found = row(&self.owners[one]).max(row(&self.owners[other]));
        for node in [one, other] {
            self.owners[node].join(key, found);
        }
        Some(found)
    }

    /// Does what the machine asks for, until it waits.
    fn settle(&mut self) {
        loop {
            match self.machine.poll() {
                Step::Wait => return,
                Step::Notify(notice) => self.notices.push(notice),
                Step::Poll(ask) => self.polls.push(ask),
                Step::Read(key) => {
                    assert!(
                        self.reads.iter().all(|(other, _)| *other != key),
                        "twice at a time"
                    );
                    let found = self.quorum(&key);
                    self.reads.push((key, found));
                }
                Step::Scan => {
                    assert!(
                        self.reads.is_empty(),
                        "its rows may be older than those reads"
                    );
                    let keys = KEYS.map(key);
                    let rows = keys.map(|key| (key.clone(), self.quorum(&key)));
                    self.scan_fails = rows.iter().any(|(_, found)| found.is_none());
                    let rows = rows.into_iter().filter_map(|(key, it)| Some((key, it?)));
                    self.scan = Some(rows.filter(|(_, it)| *it > 0).collect());
                }
            }
        }
    }

    fn note(&mut self, key: &Bytes, write: u64) {
        let before = self.yielded.insert(key.clone(), write);
        assert!(
            before.is_none_or(|before| before < write),
            "{before:?}, then {write}"
        );
    }

    fn end(&mut self, at: usize) {
        let scans = usize::from(self.scan.is_some());
        if self.reads.len() + scans == 0 {
            return;
        }
        let at = at % (self.reads.len() + scans);
        if at < self.reads.len() {
            let (key, write) = self.reads.remove(at);
            let found = write.map(found);
            if self.machine.read(&key, found.as_ref()) {
                self.note(&key, write.unwrap_or_default());
            }
        } else if let Some(rows) = &mut self.scan {
            match rows.pop() {
                Some((key, write)) => {
                    if self.machine.row(&key, &found(write)) {
                        self.note(&key, write);
                    }
                }
                None => {
                    self.scan = None;
                    self.machine.scanned(!self.scan_fails);
                }
            }
        }
    }

    fn poll(&mut self, at: usize, is_lost: bool) {
        if self.polls.is_empty() {
            return;
        }
        let ask = self.polls.remove(at % self.polls.len());
        let node = NODES.iter().position(|it| *it == ask.node).unwrap();
        let from = (ask.generation, ask.node);
        let owner = &mut self.owners[node];
        let answer = (!owner.is_away).then(|| owner.answer(&ask));
        match answer {
            Some(answer) if !is_lost => {
                let clock = Millis(self.now);
                self.machine.heard(from, (answer, clock), at_ms(self.now));
            }
            _ => self.machine.failed(from, false, at_ms(self.now)),
        }
    }

    fn join(&mut self, at: usize) {
        if self.joining.is_empty() {
            return;
        }
        let at = at % self.joining.len();
        let (key, write, left) = &mut self.joining[at];
        // One that is away gets it as a hint, later.
        let next = left.iter().position(|&node| !self.owners[node].is_away);
        if let Some(next) = next {
            let node = left.remove(next);
            self.owners[node].join(key, *write);
        }
        if left.is_empty() {
            self.joining.swap_remove(at);
        }
    }

    fn draw(&mut self, draw: Draw) {
        match draw {
            Draw::Write { key: name, first } => {
                self.writes += 1;
                let key = key(KEYS[name]);
                let order = (0..3).map(|step| (first + step) % 3).collect();
                self.joining.push((key, self.writes, order));
            }
            Draw::Join(at) => self.join(at),
            Draw::Poll { at, is_lost } => self.poll(at, is_lost),
            Draw::End(at) => self.end(at),
            Draw::Restart(node) => self.owners[node].forget(self.now + 100),
            Draw::Away(node, is_away) => self.owners[node].is_away = is_away,
            Draw::Time(ms) => {
                self.now += ms;
                self.machine.pass_time(at_ms(self.now));
            }
        }
        self.now += 1;
        self.settle();
    }
}

fn at_ms(ms: u64) -> Moment {
    Moment(ms * 1_000)
}

/// Everything that is under way ends, everybody answers, and a minute passes.
fn heal(world: &mut World) {
    for node in 0..3 {
        world.draw(Draw::Away(node, false));
    }
    for _ in 0..600 {
        world.draw(Draw::Join(0));
        world.draw(Draw::End(0));
        world.draw(Draw::Poll {
            at: 0,
            is_lost: false,
        });
        world.draw(Draw::Time(50));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn a_watch_never_misses_the_last_change_and_never_goes_back(
        is_prefix: bool, draws in draws(),
    ) {
        let target = if is_prefix { Target::Prefix(key("")) } else { Target::Key(key("a")) };
        let mut world = World::new(target);
        world.settle();
        for draw in draws {
            world.draw(draw);
        }
        heal(&mut world);
        prop_assert!(world.joining.is_empty());
        let last = |name| world.owners[0].rows.get(&key(name)).copied().unwrap_or_default();
        let watched = if is_prefix { &KEYS[..] } else { &KEYS[..1] };
        for name in watched {
            let yielded = world.yielded.get(&key(name)).copied().unwrap_or_default();
            prop_assert_eq!(yielded, last(name), "{}", name);
        }
        let last = world.notices.iter().rfind(|it| **it != Notice::Reset);
        prop_assert_eq!(last, Some(&Notice::Current));
    }
}
