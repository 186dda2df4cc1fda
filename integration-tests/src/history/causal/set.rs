//! Sets of events: one bit an event, numbered in the order of their dots.
//!
//! ```text
//!   event    0 1 2 3 4 5 | 6 7 ...      "everything older than event 3" is a prefix: 1 1 1 0 0 0
//!            earlier dots ----> later
//! ```
//!
//! All sets of one key have the same number of words, so that uniting two is a pass over both and nothing is
//! ever resized. Left out: which event a number stands for.

/// Some events of one key, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    words: Vec<u64>,
}

impl Set {
    /// No event, of a key with `events` of them.
    #[must_use]
    pub fn none(events: usize) -> Self {
        Self {
            words: vec![0; events.div_ceil(64)],
        }
    }

    /// The events below `number`, of a key with `events` of them.
    #[must_use]
    pub fn below(number: usize, events: usize) -> Self {
        let mut set = Self::none(events);
        set.words[..number / 64].fill(u64::MAX);
        if !number.is_multiple_of(64) {
            set.words[number / 64] = (1 << (number % 64)) - 1;
        }
        set
    }

    /// Adds an event.
    pub fn insert(&mut self, number: usize) {
        self.words[number / 64] |= 1 << (number % 64);
    }

    /// Takes an event out.
    pub fn remove(&mut self, number: usize) {
        self.words[number / 64] &= !(1 << (number % 64));
    }

    /// Whether an event is in.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        self.words[number / 64] >> (number % 64) & 1 == 1
    }

    /// Adds all events of `other`.
    pub fn unite(&mut self, other: &Self) {
        for (ours, theirs) in self.words.iter_mut().zip(&other.words) {
            *ours |= theirs;
        }
    }

    /// The events that are in this set and in `other`.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.by_word(other, |ours, theirs| ours & theirs)
    }

    /// The events that are in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.by_word(other, |ours, theirs| ours & !theirs)
    }

    /// The earliest event that is in this set and not in `other`, `None` if this is a subset.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Option<usize> {
        let mut words = self.words.iter().zip(&other.words).zip(0_usize..);
        words.find_map(|((ours, theirs), at)| {
            let word = ours & !theirs;
            (word != 0).then(|| at * 64 + lowest(word))
        })
    }

    /// The events, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.words.iter().zip(0_usize..);
        words.flat_map(|(&word, at)| bits(word).map(move |bit| at * 64 + bit))
    }

    /// The events, latest first; what `skip` gets to hold meanwhile is left out.
    pub(super) fn for_each_down(&self, skip: &mut Self, mut visit: impl FnMut(usize, &mut Self)) {
        for at in (0..self.words.len()).rev() {
            let mut left = self.words[at] & !skip.words[at];
            while left != 0 {
                let bit = 63 - left.leading_zeros() as usize;
                visit(at * 64 + bit, skip);
                left &= !(1 << bit) & !skip.words[at];
            }
        }
    }

    fn by_word(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let pairs = self.words.iter().zip(&other.words);
        Self {
            words: pairs.map(|(&ours, &theirs)| of(ours, theirs)).collect(),
        }
    }
}

const fn lowest(word: u64) -> usize {
    word.trailing_zeros() as usize
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| lowest(word));
        word &= word.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: usize = 130;

    fn of(numbers: &[usize]) -> Set {
        let mut set = Set::none(EVENTS);
        for &number in numbers {
            set.insert(number);
        }
        set
    }

    #[test]
    fn a_prefix_holds_what_is_below_its_end_and_nothing_else() {
        for end in [0, 1, 63, 64, 65, 127, 128, EVENTS] {
            let numbers: Vec<_> = Set::below(end, EVENTS).iter().collect();
            assert_eq!(numbers, (0..end).collect::<Vec<_>>());
        }
        assert_eq!(Set::below(64, 64).iter().count(), 64);
        assert_eq!(Set::below(0, 0).iter().count(), 0);
    }

    #[test]
    fn sets_are_united_cut_and_taken_apart() {
        let (a, b) = (of(&[0, 64, 129]), of(&[1, 64]));
        let mut both = a.clone();
        both.unite(&b);
        assert_eq!(both, of(&[0, 1, 64, 129]));
        assert_eq!(a.and(&b), of(&[64]));
        assert_eq!(a.without(&b), of(&[0, 129]));
        assert_eq!((a.beyond(&b), b.beyond(&both)), (Some(0), None));
        both.remove(129);
        assert!(!both.has(129) && both.has(64));
    }

    #[test]
    fn the_way_down_skips_what_was_added_on_it() {
        let (set, mut skip) = (of(&[0, 5, 63, 64, 129]), of(&[129]));
        let mut visited = Vec::new();
        set.for_each_down(&mut skip, |number, skip| {
            visited.push(number);
            if number == 64 {
                skip.insert(63);
                skip.insert(0);
            }
        });
        assert_eq!(visited, [64, 5]);
    }
}
