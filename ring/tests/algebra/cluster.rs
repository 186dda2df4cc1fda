//! Writers and replicas of one key, and random scripts over it, step by step.
//!
//! Scripts read subsets of the replicas and keep the contexts, write over any of them (fresh, stale, empty),
//! write blindly, delete, lose, delay and duplicate deltas, sync, re-mint with the original `prev`, forget
//! it, restart as another actor, and let clones mint one dot twice. Clocks are skewed and tie across actors, or agree.
//!
//! What it leaves out: clones that go on apart after minting one dot. Their intervals then cover each
//! other's later dots unseen; one incarnation must have one table of last dots.

use bytes::Bytes;
use quoit_ring::{Actor, Delta, Dot, Seen, Time};

use crate::oracle::{History, MAX_WRITES, Oracle, State};
use crate::support::Rng;

/// Replicas of the key.
pub(crate) const REPLICAS: usize = 3;
/// Most messages under way.
const MAX_FLIGHT: usize = 16;

/// Each write's value is its number.
static NUMBERS: [u8; MAX_WRITES] = {
    let mut numbers = [0; MAX_WRITES];
    let mut i = 1;
    while i < MAX_WRITES {
        numbers[i] = numbers[i - 1] + 1;
        i += 1;
    }
    numbers
};

/// What a client keeps of a read.
#[derive(Debug, Clone, Default)]
struct Context {
    seen: Seen,
    known: History,
}

impl Context {
    fn and(mut self, other: &Self) -> Self {
        self.seen.union(&other.seen);
        self.known = self.known.and(other.known);
        self
    }
}

/// A write as a client would make it once more.
#[derive(Debug, Clone)]
struct Attempt {
    id: usize,
    prev: Time,
    /// Its earlier attempts: they lie in `(prev, time]`.
    before: u64,
    /// `None` is a blind write.
    context: Option<Context>,
    deletes: bool,
}

/// One client incarnation.
#[derive(Debug, Default)]
struct Writer {
    actor: u64,
    /// Its last dot's time, or a later one that it may have been at; the key's `prev`.
    last: Time,
    /// How far its clock is ahead.
    skew: u64,
    latest: Option<Attempt>,
}

/// What a script has come across.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reached {
    pub(crate) siblings: bool,
    pub(crate) stale: bool,
    pub(crate) delete: bool,
    pub(crate) blind: bool,
    pub(crate) minted_anew: bool,
    pub(crate) tie: bool,
    pub(crate) collision: bool,
}

/// Writers, replicas, messages under way, and every write so far.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) replicas: [State; REPLICAS],
    /// Each write's own delta.
    pub(crate) deltas: Vec<State>,
    pub(crate) reached: Reached,
    oracle: Oracle,
    writers: Vec<Writer>,
    contexts: Vec<Context>,
    flight: Vec<(usize, State)>,
    actors: u64,
    now: u64,
    /// How many steps share one tick of the clocks; 0 makes all times distinct.
    steps_per_tick: u64,
    clones: bool,
}

impl Cluster {
    /// Nothing written yet; with `clones`, dots are minted twice.
    pub(crate) fn new(rng: &mut Rng, clones: bool) -> Self {
        let distinct = rng.percent(40);
        let writer = |actor: u64, rng: &mut Rng| Writer {
            actor,
            skew: if distinct { 0 } else { rng.below(8) },
            ..Writer::default()
        };
        Self {
            replicas: Default::default(),
            deltas: Vec::new(),
            reached: Reached::default(),
            oracle: Oracle::default(),
            writers: (0..3 + rng.below(2))
                .map(|actor| writer(actor, rng))
                .collect(),
            contexts: vec![Context::default()],
            flight: Vec::new(),
            actors: 4,
            now: 1,
            steps_per_tick: if distinct { 0 } else { 1 + rng.below(4) },
            clones,
        }
    }

    /// One random step.
    pub(crate) fn step(&mut self, rng: &mut Rng) {
        self.now += 1;
        let writer = rng.index(self.writers.len());
        match rng.below(100) {
            0..20 => self.read(rng),
            20..52 => self.write_causal(rng, writer),
            52..62 => self.write_blind(rng, writer),
            62..74 => self.deliver_late(rng),
            74..86 => self.sync(rng),
            86..91 => self.mint_anew(rng, writer),
            91..98 if self.clones => self.mint_twice(rng, writer),
            91..98 => self.sync(rng),
            98 => self.restart(rng, writer),
            _ => self.forget(rng, writer),
        }
    }

    /// Holds every replica against the oracle.
    pub(crate) fn check(&mut self) {
        for i in 0..REPLICAS {
            let state = core::mem::take(&mut self.replicas[i]);
            self.check_state(&state);
            self.replicas[i] = state;
        }
    }

    /// Holds a record against the oracle.
    pub(crate) fn check_state(&mut self, state: &State) {
        let live = self.oracle.check(state);
        self.reached.siblings |= live.count_ones() > 1;
        self.reached.collision |= self.clones && self.oracle.has_twins(live);
    }

    fn read(&mut self, rng: &mut Rng) {
        let asked = 1 + rng.below((1 << REPLICAS) - 1);
        let mut merged = State::default();
        for i in (0..REPLICAS).filter(|i| asked >> i & 1 == 1) {
            merged.join(&self.replicas[i]);
        }
        self.check_state(&merged);
        self.contexts.push(Context {
            seen: merged.record.seen().clone(),
            known: merged.known(),
        });
        let repairs = rng.percent(25);
        trace(rng, || format!("read {asked:#b}, repairing: {repairs}"));
        if repairs {
            for i in (0..REPLICAS).filter(|i| asked >> i & 1 == 1) {
                self.replicas[i].join(&merged);
            }
        }
    }

    /// The dot of a write's own delta.
    pub(crate) fn dot_of(&self, delta: &State) -> Dot {
        self.oracle.dot(delta.got().trailing_zeros() as usize)
    }

    /// A write over any context that somebody still holds.
    pub(crate) fn write_causal(&mut self, rng: &mut Rng, writer: usize) {
        let context = self.any_context(rng, Time(u64::MAX));
        self.write_with(rng, writer, context);
    }

    /// A write over the newest contexts, one or two of them, by any writer but the first.
    pub(crate) fn write_over(&mut self, rng: &mut Rng) {
        let newest = self.contexts.iter().rev().take(1 + rng.index(2));
        let context = newest.fold(Context::default(), |all, one| all.and(one));
        let writer = 1 + rng.index(self.writers.len() - 1);
        self.write_with(rng, writer, context);
    }

    fn write_with(&mut self, rng: &mut Rng, writer: usize, context: Context) {
        self.reached.stale |= self.is_stale(&context);
        let attempt = Attempt {
            id: self.oracle.next(),
            prev: self.writers[writer].last,
            before: 0,
            context: Some(context),
            deletes: rng.percent(15),
        };
        self.mint(rng, writer, attempt);
    }

    pub(crate) fn write_blind(&mut self, rng: &mut Rng, writer: usize) {
        self.reached.blind = true;
        let attempt = Attempt {
            id: self.oracle.next(),
            prev: self.writers[writer].last,
            before: 0,
            context: None,
            deletes: rng.percent(15),
        };
        self.mint(rng, writer, attempt);
    }

    /// A writer makes its last write once more under a new dot, with the original `prev`.
    fn mint_anew(&mut self, rng: &mut Rng, writer: usize) {
        let Some(first) = self.writers[writer].latest.clone() else {
            return;
        };
        self.reached.minted_anew = true;
        let attempt = Attempt {
            id: self.oracle.next(),
            before: first.before | 1 << first.id,
            ..first
        };
        self.mint(rng, writer, attempt);
    }

    /// A clone of a writer mints the writer's last dot, with a content and a context of its own.
    pub(crate) fn mint_twice(&mut self, rng: &mut Rng, writer: usize) {
        let Some(first) = self.writers[writer].latest.clone() else {
            return;
        };
        let dot = self.oracle.dot(first.id);
        let attempt = Attempt {
            id: self.oracle.next(),
            context: rng.percent(80).then(|| self.any_context(rng, dot.time)),
            deletes: rng.percent(10),
            ..first
        };
        self.issue(rng, dot, &attempt);
    }

    /// A client loses its table and its clock, and goes on as another actor.
    fn restart(&mut self, rng: &Rng, writer: usize) {
        self.actors += 1;
        let actor = self.actors;
        trace(rng, || format!("writer {writer} becomes actor {actor}"));
        self.writers[writer] = Writer {
            actor,
            skew: self.writers[writer].skew,
            ..Writer::default()
        };
    }

    /// A client forgets its last write of the key, but not that it wrote nothing of the key since that time or later.
    fn forget(&mut self, rng: &Rng, writer: usize) {
        let latest = self.oracle.dots().map(|dot| dot.time).max();
        let last = &mut self.writers[writer].last;
        *last = latest.map_or(*last, |time| time.max(*last));
        trace(rng, || format!("writer {writer} forgets its key"));
    }

    /// Delivers a message that was under way; it may come again.
    fn deliver_late(&mut self, rng: &mut Rng) {
        if self.flight.is_empty() {
            return;
        }
        let at = rng.index(self.flight.len());
        let (to, state) = if rng.percent(30) {
            self.flight[at].clone()
        } else {
            self.flight.swap_remove(at)
        };
        trace(rng, || format!("{:#b} comes late to {to}", state.got()));
        self.replicas[to].join(&state);
    }

    /// One replica takes what another holds, now or late; mostly both ways.
    fn sync(&mut self, rng: &mut Rng) {
        let from = rng.index(REPLICAS);
        let to = (from + 1 + rng.index(REPLICAS - 1)) % REPLICAS;
        let state = self.replicas[from].clone();
        trace(rng, || format!("sync {from} -> {to}"));
        if rng.percent(20) && self.flight.len() < MAX_FLIGHT {
            self.flight.push((to, state));
            return;
        }
        self.replicas[to].join(&state);
        if rng.percent(70) {
            let back = self.replicas[to].clone();
            self.replicas[from].join(&back);
        }
    }

    /// A context that somebody still holds and that lies before `before`; often one long overtaken.
    fn any_context(&self, rng: &mut Rng, before: Time) -> Context {
        let mut context = rng.pick(&self.contexts).clone();
        if rng.percent(10) {
            context = context.and(rng.pick(&self.contexts));
        }
        if context.seen.max_time() < before {
            context
        } else {
            Context::default()
        }
    }

    fn is_stale(&self, context: &Context) -> bool {
        let unknown = |state: &State| self.oracle.live(state) & !context.known.ids;
        !context.seen.is_empty() && self.replicas.iter().any(|state| unknown(state) != 0)
    }

    fn mint(&mut self, rng: &mut Rng, writer: usize, attempt: Attempt) {
        let context_time = attempt
            .context
            .as_ref()
            .map_or(Time::ZERO, |c| c.seen.max_time());
        let Writer {
            actor, last, skew, ..
        } = self.writers[writer];
        let above = context_time.max(last).0 + 1;
        let time = match self.now.checked_div(self.steps_per_tick) {
            Some(ticks) => above.max(ticks + skew),
            None => self
                .oracle
                .dots()
                .map(|d| d.time.0 + 1)
                .fold(above, u64::max),
        };
        let dot = Dot {
            time: Time(time),
            actor: Actor(actor),
        };
        if self.issue(rng, dot, &attempt) {
            self.writers[writer].last = dot.time;
            self.writers[writer].latest = Some(attempt);
        }
    }

    /// Makes the write and sends it off; `false` once there are too many.
    fn issue(&mut self, rng: &mut Rng, dot: Dot, attempt: &Attempt) -> bool {
        let id = self.oracle.next();
        if id == MAX_WRITES {
            return false;
        }
        let value = (!attempt.deletes).then(|| (Bytes::from_static(&NUMBERS[id..=id]), None));
        let (delta, past) = match &attempt.context {
            Some(context) => (
                Delta::causal(dot, attempt.prev, &context.seen, value),
                context.known,
            ),
            None => (Delta::blind(dot, value), History::older_than(dot.time)),
        };
        assert_eq!(
            Delta::check(dot, delta.record().clone()).as_ref(),
            Ok(&delta)
        );
        trace(rng, || format!("write {id}: {delta:?}"));
        self.note(dot, attempt.deletes);
        let past = past.and(History::of(attempt.before));
        let state = State::of_write(id, delta.into_record(), past);
        self.send(rng, &state);
        self.contexts.push(Context {
            seen: state.record.seen().clone(),
            known: state.known(),
        });
        self.deltas.push(state);
        true
    }

    fn note(&mut self, dot: Dot, deletes: bool) {
        let tie = |other: Dot| other.time == dot.time && other.actor != dot.actor;
        self.reached.tie |= self.oracle.dots().any(tie);
        self.reached.delete |= deletes;
        self.oracle.add(dot, deletes);
    }

    /// To each replica a delta comes at once, late, both, or never.
    fn send(&mut self, rng: &mut Rng, state: &State) {
        for to in 0..REPLICAS {
            let way = rng.below(5);
            if way <= 2 {
                self.replicas[to].join(state);
            }
            if (way == 2 || way == 3) && self.flight.len() < MAX_FLIGHT {
                self.flight.push((to, state.clone()));
            }
        }
    }
}

fn trace(rng: &Rng, what: impl FnOnce() -> String) {
    if rng.traced {
        println!("  {}", what());
    }
}
