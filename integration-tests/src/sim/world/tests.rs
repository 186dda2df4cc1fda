//! What each fault does to nodes and clients, one at a time.

use std::ops::Range;

use quoit_client::env::Link;
use quoit_node::admission::MAX_BATCH;
use quoit_node::engine::layout::{NAMESPACE, record_key};
use quoit_node::engine::{Keyspace, MemorySnapshot, Snapshot as _};
use quoit_ring::wire::decode_record;

use super::*;
use crate::history::{Basis, Outcome};
use crate::sim::faults::{Fault, Links};
use crate::sim::machine::RECORD_BYTES;
use crate::sim::plan::NODES;
use crate::sim::session::Phase;
use crate::sim::{FaultFilter, Options, run};

/// When the one fault begins, and how long it lasts.
const AT: u64 = 500_000;

/// A world in which nothing goes wrong but this.
fn world(seed: u64, lasts: u64, fault: Fault) -> World {
    let at = Moment(AT);
    let mut plan = Plan {
        faults: vec![Planned { at, lasts, fault }],
        twins: Vec::new(),
        ..Plan::of(seed)
    };
    plan.node_clocks.resize(NODES + plan.spares(), 0);
    World::new(plan, |_all| true, None)
}

fn pass(world: &mut World, until: u64) {
    world.run_until(Moment(until), |_| false);
}

fn link(world: &World, slot: usize, node: usize) -> Link {
    world.caller_at(slot).unwrap().wires[node].link
}

/// How many operations of a client returned in this time.
fn returned(world: &World, slot: u16, times: Range<u64>) -> usize {
    let recorder = world.site().recorder().borrow();
    let ops = recorder.history().ops.iter();
    let in_time = |at: &Moment| times.contains(&at.0);
    ops.filter(|op| {
        op.client.slot == slot && op.returned.as_ref().is_some_and(|(at, _)| in_time(at))
    })
    .count()
}

#[test]
fn without_faults_and_with_queues_that_hold_all_nothing_fails_but_by_a_refusal() {
    // A node that learns of an epoch late is away for as long, and one with a small limit is started again in the end.
    let calm = |seed: &u64| {
        let plan = Plan::of(*seed);
        let small = plan.settings.queue.requests <= 3
            || plan.short_frames.is_some()
            || plan.settings.small.batch < MAX_BATCH
            || plan.settings.limits.max_record_bytes < RECORD_BYTES;
        !small && plan.changes.is_empty()
    };
    for seed in (1..=20).filter(calm) {
        let options = Options {
            faults: FaultFilter::None,
            ..Options::default()
        };
        let history = run(seed, options).history;
        for (id, op) in history.iter() {
            if history.left.contains_key(&id) {
                continue; // its caller did not wait for the end
            }
            let returned = op.returned.as_ref().map(|(_, outcome)| outcome);
            let expected = match returned {
                Some(Outcome::Read { .. } | Outcome::Written { .. }) => true,
                // Refused by all replicas, or by too many of them.
                Some(Outcome::Refused(_) | Outcome::Unknown("under-replicated")) => true,
                // Overtaken at some owners while a commit of another one took long: a blind one is not minted again.
                Some(Outcome::Unknown("unknown")) => op.call.basis() == Some(&Basis::Blind),
                _ => false,
            };
            assert!(expected, "seed {seed}, #{}: {op:?}", id.0);
        }
    }
}

#[test]
fn what_a_killed_node_has_acknowledged_is_there_when_it_is_back() {
    let mut world = world(2, 100_000, Fault::Kill { nodes: 1 });
    pass(&mut world, AT - 1);
    let held = world.machines[0].disk().contents();
    pass(&mut world, AT + 50_000);
    assert!(!world.machines[0].is_up());
    pass(&mut world, AT + 150_000);
    assert!(world.machines[0].is_up());
    let store = world.machines[0].disk().contents();
    let recorder = world.site().recorder().borrow();
    let history = recorder.history();
    let mut survived = 0;

    for minted in &history.minted {
        let name = &history.key(history.op(minted.op).key).name;
        let key = record_key(NAMESPACE, name);
        let holds = |store: &MemorySnapshot| {
            let record = store.get(Keyspace::Records, &key).unwrap();
            record.is_some_and(|record| decode_record(&record).unwrap().seen().contains(minted.dot))
        };
        if holds(&held) {
            assert!(holds(&store), "{:?}", minted.dot);
            survived += 1;
        }
    }

    assert!(survived > 10, "{survived} dots");
    assert_eq!(world.faults()[0].1, 1);
}

#[test]
fn a_node_whose_disk_is_lost_stays_down_until_an_operator_has_left_it_out() {
    let mut world = world(2, 400_000, Fault::LostDisk { node: 0 });
    pass(&mut world, AT - 1);
    assert!(world.machines[0].is_up() && world.is_loss_seen_to());
    pass(&mut world, AT + 399_999);
    assert!(!world.machines[0].is_up() && !world.is_loss_seen_to());
    let lost = world.machines[0].id();
    let newest = |world: &World| world.newest().unwrap().configuration().clone();
    assert!(!newest(&world).is_written_off(lost), "nobody has looked");
    let is_written_off = |world: &World| newest(world).is_written_off(lost);
    assert!(world.run_until(Moment(AT + 5_000_000), is_written_off));
    assert!(world.run_until(Moment(AT + 60_000_000), World::is_loss_seen_to));
    assert!(!newest(&world).is_member(lost) && !world.machines[0].is_up());
    assert_eq!(world.faults()[0].1, 1);
}

#[test]
fn a_cut_link_breaks_after_silence_and_comes_back_after_the_cut() {
    let links = Links {
        clients: 1,
        nodes: 1,
    };
    let mut world = world(2, 3_000_000, Fault::Cut { links, only: None });
    pass(&mut world, AT + 800_000);
    assert_eq!(link(&world, 0, 0), Link::Up, "not noticed yet");
    pass(&mut world, AT + 1_500_000);
    assert_eq!(link(&world, 0, 0), Link::Down);
    assert_eq!(link(&world, 0, 1), Link::Up, "the others are not cut");
    assert_eq!(link(&world, 1, 0), Link::Up);
    pass(&mut world, AT + 2_999_999);
    assert_eq!(link(&world, 0, 0), Link::Down);
    pass(&mut world, AT + 5_000_000);
    assert_eq!(link(&world, 0, 0), Link::Up);
    assert!(world.faults()[0].1 > 0, "messages ran into it");
}

#[test]
fn a_paused_client_takes_in_what_its_tasks_asked_for_when_it_resumes() {
    let end = AT + 300_000;
    let mut world = world(2, 300_000, Fault::PauseClient { client: 0 });
    pass(&mut world, end - 1);
    assert_eq!(returned(&world, 0, AT + 1..end), 0, "it stands still");
    assert!(returned(&world, 1, AT + 1..end) > 0, "the others do not");
    let asked = |world: &World| world.caller_at(0).unwrap().has_submissions();
    assert!(asked(&world), "its tasks went on to ask");
    pass(&mut world, end + 1);
    assert!(!asked(&world));
    pass(&mut world, end + 200_000);
    assert!(returned(&world, 0, end..end + 200_000) > 0);
}

#[test]
fn healing_ends_every_fault_and_restarts_every_node_and_client() {
    for seed in 1..=5 {
        let mut world = World::new(Plan::of(seed), |_all| true, None);
        pass(&mut world, 2_700_000);
        assert!(!world.active.is_empty(), "seed {seed} has faults to end");
        world.site().set_phase(Phase::Mending);
        world.heal();
        assert!(world.active.is_empty());
        pass(&mut world, 6_000_000);
        assert!(world.active.is_empty(), "no fault begins any more");
        assert!(world.machines.iter().all(Machine::is_up));
        for slot in 0..world.plan.clients {
            assert_eq!(world.client_offset(slot), world.plan.client_clocks[slot]);
            let wires = &world.caller_at(slot).unwrap().wires;
            let members = (0..wires.len()).filter(|&node| wires[node].is_wanted);
            for node in members {
                assert_eq!(link(&world, slot, node), Link::Up, "c{slot} n{node}");
            }
        }
        for node in 0..world.machines.len() {
            assert_eq!(world.node_offset(node), world.plan.node_clocks[node]);
            assert!(
                world.machines[node]
                    .sums()
                    .is_some_and(|sums| sums.root().is_some())
            );
        }
    }
}
