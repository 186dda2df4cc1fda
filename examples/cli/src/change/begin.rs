//! Has an epoch decided, and says who was first if it was somebody else.

use quoit_client::{Client, MembershipError, Proposed};
use quoit_ring::change::Configuration;

use super::edits::{other_change, same_members};
use crate::exit::Exit;
use crate::failure::Failure;

/// Has `next` decided after `now`; what the cluster is in then.
pub(crate) async fn begin(
    client: &Client,
    now: &Configuration,
    next: Configuration,
) -> Result<Configuration, Failure> {
    let wanted = next.clone();
    let proposed = client.propose(now, next).await?;
    judge(now, &wanted, proposed)
}

fn judge(
    now: &Configuration,
    wanted: &Configuration,
    proposed: Proposed,
) -> Result<Configuration, Failure> {
    match proposed {
        Proposed::Decided(decided) => Ok(*decided),
        // It was decided, and the nodes were quicker than the votes came back.
        Proposed::Overtaken(decided) if is_of(wanted, &decided) => Ok(*decided),
        Proposed::Another(decided) | Proposed::Overtaken(decided) => {
            let (epoch, other) = (decided.epoch.0, other_change(now, &decided));
            let what = format!("another change was first: {other} (epoch {epoch})");
            let hint = "nothing of yours was begun; wait for its end, then plan again";
            Err(Failure::new(Exit::Conflict, what).hint(hint))
        }
    }
}

/// Whether a later epoch is on the way of the change that was wanted.
fn is_of(wanted: &Configuration, later: &Configuration) -> bool {
    let is_removed = |id| later.removed.binary_search(id).is_ok();
    wanted.removed.iter().all(is_removed)
        && match (&wanted.change, &later.change) {
            (Some(wanted), Some(later)) => same_members(&wanted.target, &later.target),
            (Some(wanted), None) => same_members(&wanted.target, &later.map),
            (None, _) => false, // it is none
        }
}

impl From<MembershipError> for Failure {
    fn from(error: MembershipError) -> Self {
        let failure = |exit| Self::new(exit, error.to_string());
        match &error {
            MembershipError::NoAnswer { .. } => {
                failure(Exit::Unavailable).hint("look at `quoit status`; nothing has changed")
            }
            MembershipError::Forbidden => failure(Exit::Usage).hint(
                "use an operator's profile: `quoit certs issue DIR --admin NAME` makes the certificate",
            ),
            error if error.may_be_decided() => failure(Exit::Unknown).hint(
                "look at `quoit cluster history`; the same again does no harm",
            ),
            MembershipError::NoMajority { .. } => failure(Exit::Unavailable)
                .hint("a majority of the voters must answer: look at `quoit status`"),
            _ => failure(Exit::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::edits::Edits;
    use super::super::edits::tests::{first, newcomer};
    use super::*;

    #[test]
    fn the_second_operator_hears_who_was_first_and_the_first_does_not_mind_quick_nodes() {
        let now = first(3);
        let add = |id| Edits {
            adds: vec![newcomer(id)],
            ..Edits::default()
        };
        let [mine, other] = [4, 5].map(|id| add(id).apply(&now).unwrap());
        let boxed = |it: &Configuration| Box::new(it.clone());
        let failure = judge(&now, &mine, Proposed::Another(boxed(&other))).unwrap_err();
        assert_eq!(failure.exit, Exit::Conflict);
        let expected = "another change was first: +n5: arc 1 of 16 (epoch 2)";
        assert_eq!(failure.what, expected);

        let mut later = mine.clone();
        while let Some(next) = later.step() {
            later = next;
            let overtaken = Proposed::Overtaken(boxed(&later));
            assert_eq!(judge(&now, &mine, overtaken).unwrap(), later);
        }
        assert!(judge(&now, &other, Proposed::Overtaken(boxed(&later))).is_err());
    }

    #[test]
    fn an_error_has_the_code_of_what_may_have_happened() {
        let failed = |may_be_decided| MembershipError::NoMajority {
            needed: 2,
            attempts: vec![],
            may_be_decided,
        };
        let exits = [failed(true), failed(false), MembershipError::Forbidden]
            .map(|error| Failure::from(error).exit);
        assert_eq!(exits, [Exit::Unknown, Exit::Unavailable, Exit::Usage]);
    }
}
