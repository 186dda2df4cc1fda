//! One run, from seed to verdict.
//!
//! ```text
//!   fault phase     faults, tasks            until enough operations have succeeded and the last fault is over
//!   mending   all healed               until the fault phase's tasks have ended, connections are back, and nodes have what
//!                                      they lost with their power; who has lost its disk is a member no more
//!   recovery phase      tasks that must succeed  until they have ended, and no node keeps hints
//!   end       each key read from all   then nothing is under way, and the disks are examined
//! ```

use bytes::BytesMut;
use quoit_ring::change::Topology;
use quoit_ring::wire::encode_record;
use quoit_ring::{Held, Millis, Moment, NodeId, Time};

use super::machine::Machine;
use super::plan::{OPERATIONS, Plan};
use super::report::Report;
use super::session::{Ask, Name, Phase};
use super::trace::{Lines, digest};
use super::world::World;
use crate::history::{Final, KeyId, NodeFinal, OpId};
use crate::invariants::{self, Violation};

mod audit;

/// No fault phase lasts longer than this, in microseconds of virtual time.
const LONGEST_STORM: u64 = 300_000_000;
/// How long mending takes at least: connections are dialled again, clocks move on.
const MENDING: u64 = 3_000_000;
/// How long operations of the recovery phase may take altogether.
const LONGEST_CALM: u64 = 120_000_000;
/// How long the repairs of a last read have before the next one, in microseconds.
const SETTLING: u64 = 200_000;
/// Operations of a fault phase beyond those that a run must have.
const SPARE: u64 = 100;

/// Which of the planned faults happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FaultFilter {
    /// All.
    #[default]
    All,
    /// Those with these numbers.
    Only(Vec<usize>),
    /// None.
    None,
}

impl FaultFilter {
    fn keeps(&self, fault: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(kept) => kept.contains(&fault),
            Self::None => false,
        }
    }
}

/// How to run a seed.
#[derive(Default)]
pub struct Options {
    /// Which of the planned faults happen; default all.
    pub faults: FaultFilter,
    /// Where the lines of the trace go; default nowhere.
    pub lines: Option<Lines>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Runs a seed.
///
/// ```
/// use quoit_integration_tests::sim::{Options, run};
///
/// let report = run(7, Options::default());
/// assert_eq!(report.trace, run(7, Options::default()).trace, "a seed is one run");
/// assert!(report.violations.is_empty());
/// ```
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let plan = Plan::of(seed);
    let kept = options.faults;
    let world = World::new(plan, |fault| kept.keeps(fault), options.lines);
    let mut run = Run {
        world,
        violations: Vec::new(),
    };
    run.fault_phase(&kept);
    run.recovery_phase();
    run.finish()
}

struct Run {
    world: World,
    violations: Vec<Violation>,
}

impl Run {
    fn fault_phase(&mut self, kept: &FaultFilter) {
        let plan = self.world.plan();
        let faults = plan.faults.iter().enumerate();
        let ends = faults.filter(|(number, _)| kept.keeps(*number));
        let over = ends
            .map(|(_, planned)| planned.at.after(planned.lasts))
            .max();
        let over = over.unwrap_or_default();
        let enough = OPERATIONS + SPARE;
        self.world.run_until(Moment(LONGEST_STORM), |world| {
            world.site().succeeded() >= enough && world.site().now() > over
        });
        self.world.site().set_phase(Phase::Mending);
        self.world.heal();
        let mended = self.world.site().now().after(MENDING);
        let limit = mended.after(LONGEST_CALM);
        let ended = self.world.run_until(limit, |world| {
            world.site().now() >= mended
                && world.tasks_alive() == 0
                && world.is_quiet()
                && world.all_are_complete()
                && world.is_loss_seen_to()
        });
        self.expect(
            ended,
            "operations of the fault_phase were still under way two minutes after it, or a node had not got back what it lost, \
             or one with a lost disk was not left out",
        );
    }

    fn recovery_phase(&mut self) {
        self.world.site().set_phase(Phase::RecoveryPhase);
        self.world.serve();
        self.wait_for_tasks("operations of the recovery_phase did not end within two minutes");
        self.hand_off();
        self.settle();
        self.hear();
        self.compare();
        self.sweep();
        let names = self.names();
        let copies = self.world.plan().cluster.first.map.replication;
        self.world.spawn(|crew| {
            crew.spawn(move |mut session| async move {
                let all = Ask {
                    count: Some(copies),
                    ..Ask::QUORUM
                };
                for name in names {
                    session.get(&name, all).await;
                    // Repair goes on behind the answer, and a small queue must hold it.
                    session.sleep(SETTLING).await;
                }
            });
        });
        self.wait_for_tasks("the last reads did not end within two minutes");
        let drained = self.world.site().now().after(MENDING);
        self.world.run_until(drained, |_| false);
        self.world.site().set_phase(Phase::Over);
    }

    /// Waits until no node keeps hints, and checks that they reached their owners.
    fn hand_off(&mut self) {
        let limit = self.world.site().now().after(LONGEST_CALM);
        let ended =
            (self.world).run_until(limit, |world| world.is_quiet() && world.keeps_no_hints());
        self.expect(
            ended,
            "hints were still kept two minutes after the last write",
        );
        self.world.note_all_hints();
    }

    /// Waits until the ring is that of one epoch, and every row is where it belongs.
    fn settle(&mut self) {
        let limit = self.world.site().now().after(LONGEST_CALM);
        let settled = (self.world).run_until(limit, World::is_settled);
        if !settled {
            self.violations.push(Violation {
                invariant: "settles",
                key: None,
                ops: Vec::new(),
                what: format!(
                    "a change of the ring had not ended two minutes after all was well: {}",
                    self.world.unsettled()
                ),
            });
        }
    }

    /// Waits until every member hears every other one: whoever was silent is forgiven.
    fn hear(&mut self) {
        let limit = self.world.site().now().after(LONGEST_CALM);
        if !(self.world).run_until(limit, World::all_are_heard) {
            self.violations.push(Violation {
                invariant: "members-heard",
                key: None,
                ops: Vec::new(),
                what: "a member was still suspect, or unheard, two minutes after all was well"
                    .to_owned(),
            });
        }
    }

    /// Waits until nodes that compare themselves with each other have found all that differs: before a read repairs it.
    fn compare(&mut self) {
        if !self.world.plan().syncs {
            return;
        }
        let limit = self.world.site().now().after(LONGEST_CALM);
        while let Some(differing) = self.world.differing_key() {
            let now = self.world.site().now();
            if now >= limit {
                let mut recorder = self.world.site().recorder().borrow_mut();
                recorder.history_mut().unrepaired = Some(differing);
                return;
            }
            (self.world).run_until(now.after(SETTLING), |_| false);
        }
    }

    /// Waits until nodes that sweep have removed what has expired by now, before a read kills it.
    fn sweep(&mut self) {
        if !self.world.plan().sweeps {
            return;
        }
        let began = self.world.site().now();
        let limit = began.after(LONGEST_CALM);
        let by = Millis(self.world.plan().settings.base.0 + began.0 / 1_000);
        while let Some(unswept) = self.world.unswept_key(by) {
            let now = self.world.site().now();
            if now >= limit {
                let mut recorder = self.world.site().recorder().borrow_mut();
                recorder.history_mut().unswept = Some(unswept);
                return;
            }
            (self.world).run_until(now.after(SETTLING), |_| false);
        }
    }

    fn wait_for_tasks(&mut self, otherwise: &str) {
        let limit = self.world.site().now().after(LONGEST_CALM);
        let ended = self
            .world
            .run_until(limit, |world| world.tasks_alive() == 0);
        self.expect(ended, otherwise);
    }

    fn expect(&mut self, held: bool, otherwise: &str) {
        if !held {
            self.violations.push(Violation {
                invariant: "everything-ends",
                key: None,
                ops: Vec::new(),
                what: otherwise.to_owned(),
            });
        }
    }

    fn names(&self) -> Vec<Name> {
        let recorder = self.world.site().recorder().borrow();
        let keys = recorder.history().keys.iter();
        keys.map(|key| Name {
            bytes: key.name.clone(),
            family: key.family,
        })
        .collect()
    }

    /// Looks at the disks and the history.
    fn finish(mut self) -> Report {
        let finals = self.finals();
        let nodes = self.node_finals();
        let site = std::rc::Rc::clone(self.world.site());
        let history = {
            let mut recorder = site.recorder().borrow_mut();
            let mut finished = std::mem::take(&mut *recorder);
            let history = finished.history_mut();
            history.base = self.world.plan().settings.base;
            let victim = self.world.plan().victim;
            history.victim = victim.map(|node| self.world.machines()[node].id());
            history.finals = finals;
            history.ended = self.world.site().now();
            history.nodes = nodes;
            finished.finish()
        };

        for invariant in invariants::ALL {
            if let Err(violation) = (invariant.check)(&history) {
                self.violations.push(violation);
            }
        }

        let collisions: u64 = history.nodes.iter().map(|node| node.collisions).sum();
        let swept: u64 = self.world.machines().iter().map(Machine::swept).sum();
        let mut coverage = site.coverage().borrow_mut();
        coverage.saw_times(super::coverage::CoverageEvent::Swept, swept);
        coverage.saw_times(super::coverage::CoverageEvent::Collision, collisions);
        let trace = self.world.trace();
        Report {
            seed: self.world.plan().seed.0,
            trace: trace.hash() ^ end_of(&history.finals),
            events: trace.events(),
            operations: site.succeeded(),
            clients: self.world.plan().clients,
            nodes: self.world.machines().len(),
            faults: self.world.faults(),
            coverage: coverage.clone(),
            violations: self.violations,
            history,
            simulated: site.now(),
        }
    }

    fn finals(&self) -> Vec<Final> {
        let recorder = self.world.site().recorder().borrow();
        let history = recorder.history();
        let machines = self.world.machines();
        let topology = self.topology();
        let mut reads = vec![None; history.keys.len()];

        for (id, op) in history.iter().filter(|(_, op)| !op.is_write()) {
            reads[op.key.0 as usize] = Some(id);
        }

        let held = |owner: NodeId, name: &[u8]| {
            let machine = machines.iter().find(|machine| machine.id() == owner)?;
            Some(machine.held(name))
        };
        let of_key = |(index, key): (u32, &crate::history::Key)| {
            let list = topology.lists(topology.token_of(&key.name));
            let read: Option<OpId> = reads[index as usize];
            let held: Vec<_> = list
                .owners()
                .map(|owner| (owner, held(owner, &key.name).unwrap_or_default()))
                .collect();
            // Floors differ from owner to owner, and say nothing of what is to be repaired.
            let floor = held.iter().map(|(_, held)| held.stable()).max();
            let floor = floor.unwrap_or_default();
            let above = |held: Held| {
                let is_known = held.has_row() || floor > Time::ZERO;
                is_known.then(|| {
                    let mut bytes = BytesMut::new();
                    let record = Held::new(Some(held.into_record()), floor);
                    encode_record(record.record(), &mut bytes);
                    bytes.freeze()
                })
            };
            let replicas = held.into_iter().map(|(owner, held)| (owner, above(held)));
            Some(Final {
                key: KeyId(index),
                replicas: replicas.collect(),
                floor,
                read: read?,
            })
        };
        (0..).zip(&history.keys).filter_map(of_key).collect()
    }

    /// Who owns what in the end.
    fn topology(&self) -> Topology {
        let first = &self.world.plan().cluster.ring;
        let newest = self.world.newest().map(|known| known.topology().clone());
        newest.unwrap_or_else(|| Topology::of(first.as_ref().clone()))
    }

    fn node_finals(&self) -> Vec<NodeFinal> {
        let topology = self.topology();
        let key = self.world.plan().cluster.first.merkle_key;
        let of_node = |machine: &Machine| NodeFinal {
            node: machine.id(),
            differences: audit::differences(machine, &topology, key),
            collisions: machine.collisions(),
        };
        let is_member = |machine: &&Machine| topology.member(machine.id()).is_some();
        let members = self.world.machines().iter().filter(is_member);
        members.map(of_node).collect()
    }
}

/// A hash of the contents of the disks in the end.
fn end_of(finals: &[Final]) -> u64 {
    let replicas = finals.iter().flat_map(|last| &last.replicas);
    replicas.fold(0, |hash: u64, (_, bytes)| {
        hash.rotate_left(5) ^ bytes.as_deref().map_or(1, digest)
    })
}
