//! However commits and chunks interleave, what is added up is what is stored.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

use super::*;

/// One step of a walk or of a commit beside it. A commit of several keys begins, is visible, and is over.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, u64)>),
    Open,
    Close(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let commit = vec((0..12_u8, any::<u64>()), 1..4);
    vec(
        prop_oneof![
            6 => commit.prop_map(Step::Commit),
            2 => any::<bool>().prop_map(|_| Step::Open),
            2 => (1..6_usize).prop_map(Step::Close),
        ],
        0..60,
    )
}

type Rows = BTreeMap<Bytes, u64>;

/// A key, its old value, its new one.
type ValueChange = (Bytes, u64, u64);

fn sum(value: u64) -> Sum {
    Sum(u128::from(value))
}

/// A store, a walk over it, and what was added up.
struct World {
    stored: Rows,
    cursor: Cursor,
    total: Sum,
    /// The snapshot of the chunk that is open.
    chunk: Option<Rows>,
    /// The commit under way: its old and new values, and whether it is visible.
    commit: Option<(Vec<ValueChange>, bool)>,
}

impl World {
    fn new() -> Self {
        Self {
            stored: (0..8)
                .map(|key| (Bytes::from(vec![key]), 1 << key))
                .collect(),
            cursor: Cursor::new(),
            total: Sum::default(),
            chunk: None,
            commit: None,
        }
    }

    /// Lets the commit under way take its next step.
    fn go_on(&mut self) {
        match self.commit.take() {
            Some((changes, false)) => {
                for (key, _, after) in &changes {
                    self.stored.insert(key.clone(), *after);
                }
                self.commit = Some((changes, true));
            }
            Some((changes, true)) => {
                for (key, before, after) in changes {
                    if self.cursor.committed(&key, Leaf(0), sum(after)) {
                        self.total = self.total.plus(sum(after).minus(sum(before)));
                    }
                }
                self.cursor.end();
            }
            None => {}
        }
    }

    fn begin(&mut self, keys: Vec<(u8, u64)>) {
        while self.commit.is_some() {
            self.go_on();
        }
        let keys: BTreeMap<u8, u64> = keys.into_iter().collect();
        let change = |(key, after): (u8, u64)| {
            let key = Bytes::from(vec![key]);
            let before = self.stored.get(&key).copied().unwrap_or_default();
            self.cursor.begin(&key, sum(before));
            (key, before, after)
        };
        self.commit = Some((keys.into_iter().map(change).collect(), false));
    }

    fn open(&mut self) {
        if self.chunk.is_none() {
            self.cursor.open();
            self.go_on(); // a commit may become visible between the two
            self.chunk = Some(self.stored.clone());
        }
    }

    fn close(&mut self, most: usize) {
        let Some(chunk) = self.chunk.take() else {
            return;
        };
        let Position::Before(first) = self.cursor.position().clone() else {
            return;
        };
        let mut left = chunk.range(first..);
        let rows: Vec<SummedRow> = (left.by_ref().take(most))
            .map(|(key, &value)| (key.clone(), Leaf(0), sum(value)))
            .collect();
        let next = left.next().map(|(key, _)| Position::Before(key.clone()));
        let added = self
            .cursor
            .close(rows, next.unwrap_or(Position::End))
            .unwrap();
        self.total = added
            .iter()
            .fold(self.total, |all, &(_, sum)| all.plus(sum));
    }
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    #[test]
    fn however_commits_and_chunks_interleave_the_sum_is_that_of_what_is_stored(
        steps in steps(), chunk in 1..6_usize, eager: bool,
    ) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Commit(keys) => world.begin(keys),
                Step::Open => world.open(),
                Step::Close(most) => world.close(most),
            }
            if eager {
                world.go_on();
            }
        }
        while *world.cursor.position() != Position::End {
            world.open();
            world.close(chunk);
        }
        while world.commit.is_some() {
            world.go_on();
        }
        let stored = world.stored.values().fold(Sum::default(), |all, &value| all.plus(sum(value)));
        assert_eq!(world.total, stored);
    }
}

#[test]
fn a_chunk_beside_more_changes_than_are_noted_is_read_again() {
    let mut cursor = Cursor::new();
    cursor.open();
    for n in 0..=u32::try_from(MOST_NOTED).unwrap() {
        let key = Bytes::copy_from_slice(&n.to_be_bytes());
        assert!(!cursor.committed(&key, Leaf(0), Sum(1)));
    }
    assert_eq!(cursor.close(Vec::new(), Position::End), None);
    assert_eq!(*cursor.position(), Position::Before(Bytes::new()));
    cursor.open();
    assert_eq!(cursor.close(Vec::new(), Position::End), Some(Vec::new()));
    assert!(cursor.committed(&Bytes::from_static(b"k"), Leaf(0), Sum(1)));
}
