//! A shopping cart whose copies merge by union, and whose removals last.
//!
//! ```text
//! + alice-1 bread      a thing was added, under an id that is never used again
//! - alice-1            what was added under this id was removed
//! ```
//!
//! Lines are only ever added, so the union of two carts has seen everything that either has: what was
//! added is there, and what was removed stays removed, whichever copies meet. This is the two-phase set.
//! The price: lines of removed things stay until the cart is bought or deleted as a whole.
//!
//! Source: `DeCandia` et al., *Dynamo* (2007), section 4.4; Shapiro et al., *A comprehensive study of
//! convergent and commutative replicated data types* (2011), section 3.3.2.

use std::collections::BTreeSet;

/// A cart's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cart {
    lines: BTreeSet<String>,
}

impl Cart {
    /// Reads a cart from a value.
    pub(crate) fn read(value: &[u8]) -> Self {
        let text = String::from_utf8_lossy(value);
        Self {
            lines: text
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// The cart as a value: its lines, sorted, as the union of siblings has them.
    pub(crate) fn write(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Adds a thing under an `id` that nobody has used before.
    pub(crate) fn add(&mut self, id: &str, thing: &str) {
        self.lines.insert(format!("+ {id} {thing}"));
    }

    /// Removes a thing, however often it was added. One that is added later, under a new id, stays.
    pub(crate) fn remove(&mut self, thing: &str) {
        let ids = self.added().filter(|(_, other)| *other == thing);
        let removals: Vec<String> = ids.map(|(id, _)| format!("- {id}")).collect();
        self.lines.extend(removals);
    }

    /// What is in the cart: added and not removed.
    pub(crate) fn things(&self) -> Vec<&str> {
        let there = self
            .added()
            .filter(|(id, _)| !self.lines.contains(&format!("- {id}")));
        let mut things: Vec<&str> = there.map(|(_, thing)| thing).collect();
        things.sort_unstable();
        things
    }

    /// Ids and things of all that was ever added.
    fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix("+ ")?.split_once(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn union(a: &Cart, b: &Cart) -> Cart {
        Cart {
            lines: a.lines.union(&b.lines).cloned().collect(),
        }
    }

    fn bread() -> Cart {
        let mut cart = Cart::default();
        cart.add("a-1", "bread");
        cart
    }

    #[test]
    fn a_removal_stays_whatever_copies_it_meets() {
        let (mut one, mut other) = (bread(), bread());
        one.remove("bread");
        other.add("b-1", "eggs");
        let merged = union(&one, &other);
        assert_eq!(merged.things(), ["eggs"]);
        assert_eq!(
            union(&merged, &bread()).things(),
            ["eggs"],
            "a copy from before the removal"
        );
    }

    #[test]
    fn a_thing_that_is_added_again_is_there_again() {
        let mut cart = bread();
        cart.remove("bread");
        cart.add("a-2", "bread");
        assert_eq!(cart.things(), ["bread"]);
        cart.remove("bread");
        assert_eq!(cart.things(), [""; 0]);
    }

    #[test]
    fn a_cart_comes_back_from_its_value() {
        let mut cart = bread();
        cart.add("b-7", "olive oil");
        cart.remove("bread");
        assert_eq!(cart.write(), "+ a-1 bread\n+ b-7 olive oil\n- a-1");
        assert_eq!(Cart::read(cart.write().as_bytes()), cart);
        assert_eq!(Cart::read(b""), Cart::default());
    }
}
