//! A plan that is kept in a file, for a look at it or a second pair of eyes before it is begun.
//!
//! ```text
//!   {"plan": 1, "cluster": .., "epoch": 3, "change": "+n4", "next": .., "digest": ..}
//! ```
//!
//! `next` is what leads from the epoch that the plan was made in to the one that begins it, so a plan holds for that
//! epoch alone: whoever comes second hears so. The digest finds an edit by hand. It is no signature: what counts is the
//! operator's certificate.

use core::hash::Hasher as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quoit_ring::change::Configuration;
use quoit_ring::wire::configuration::{decode_answer, encode_answer};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::edits::not_busy;
use crate::exit::Exit;
use crate::failure::Failure;

/// The version of the format.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    plan: u32,
    cluster: String,
    epoch: u64,
    change: String,
    next: String,
    digest: String,
}

impl File {
    fn digest(&self) -> String {
        let mut hasher = SipHasher13::new();
        let Self {
            plan,
            cluster,
            epoch,
            change,
            next,
            digest: _,
        } = self;
        hasher.write(format!("{plan}\n{cluster}\n{epoch}\n{change}\n{next}").as_bytes());
        format!("{:016x}", hasher.finish())
    }
}

/// Writes a plan to a file that must not exist.
pub(crate) fn save(
    path: &Path,
    now: &Configuration,
    next: &Configuration,
    change: String,
) -> Result<(), Failure> {
    let mut file = File {
        plan: VERSION,
        cluster: now.map.cluster.to_string(),
        epoch: now.epoch.0,
        change,
        next: STANDARD.encode(encode_answer(Some(now), next)),
        digest: String::new(),
    };
    file.digest = file.digest();
    let text = serde_json::to_string_pretty(&file).map_err(|error| Failure::caused(&error))?;
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let written = made.and_then(|mut made| writeln!(made, "{text}"));
    written.map_err(|error| {
        let what = format!("cannot write the plan {}: {error}", path.display());
        Failure::new(Exit::Error, what)
    })
}

/// Reads a plan, for the epoch that the cluster is in.
pub(crate) fn load(path: &Path, now: &Configuration) -> Result<Configuration, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Error, format!("cannot read the plan {name}: {error}"))
    })?;
    let usage = |what: String| Failure::new(Exit::Usage, what).hint("plan again");
    let file: File = serde_json::from_str(&text)
        .map_err(|error| usage(format!("{name} is no plan: {error}")))?;
    if file.plan != VERSION {
        return Err(usage(format!(
            "{name} is a plan of another version, {}",
            file.plan
        )));
    }
    if file.digest != file.digest() {
        return Err(usage(format!("{name} was edited since it was made")));
    }
    if file.cluster != now.map.cluster.to_string() {
        return Err(usage(format!(
            "{name} is for another cluster, {}",
            file.cluster
        )));
    }
    if file.epoch != now.epoch.0 {
        not_busy(now)?;
        let (planned, epoch) = (file.epoch, now.epoch.0);
        let what = format!("planned for epoch {planned}, the cluster is in epoch {epoch}");
        return Err(Failure::new(Exit::Conflict, what).hint("plan again"));
    }

    let damaged = || {
        usage(format!(
            "{name} is damaged, or for a cluster that was restored"
        ))
    };
    let bytes = STANDARD.decode(&file.next).map_err(|_junk| damaged())?;
    let answer = decode_answer(&bytes).map_err(|_junk| damaged())?;
    let next = answer.resolve(now).map_err(|_other| damaged())?;
    if next.check().is_ok() && now.is_followed_by(&next) {
        Ok(next)
    } else {
        Err(damaged())
    }
}

#[cfg(test)]
mod tests {
    use super::super::edits::Edits;
    use super::super::edits::tests::{first, newcomer};
    use super::*;

    #[test]
    fn a_plan_holds_for_its_epoch_and_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan");
        let now = first(3);
        let edits = |id| Edits {
            adds: vec![newcomer(id)],
            ..Edits::default()
        };
        let next = edits(4).apply(&now).unwrap();
        save(&path, &now, &next, "+n4".into()).unwrap();
        assert_eq!(load(&path, &now).unwrap(), next);
        assert!(
            save(&path, &now, &next, "+n4".into()).is_err(),
            "it is there"
        );

        let busy = load(&path, &next).unwrap_err();
        assert!(busy.what.contains("a change is under way"), "{}", busy.what);
        let mut later = next.clone();
        while let Some(next) = later.step() {
            later = next;
        }
        let stale = load(&path, &later).unwrap_err();
        assert_eq!(stale.exit, Exit::Conflict);
        assert_eq!(
            stale.what,
            "planned for epoch 1, the cluster is in epoch 18"
        );

        let text = fs::read_to_string(&path).unwrap();
        for (from, to, expected) in [
            ("\"+n4\"", "\"+n5\"", "was edited"),
            ("\"plan\": 1", "\"plan\": 2", "another version"),
            ("{", "[", "is no plan"),
        ] {
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let failure = load(&path, &now).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains(expected), "{}", failure.what);
        }
    }
}
