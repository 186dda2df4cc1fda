//! `quoit cluster profile`: a client's profile with the members of today as seeds. A client needs one of its seeds to be a
//! member; after many changes an old profile may name none any more.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use quoit_client::{Client, Profile};
use quoit_ring::Member;
use quoit_ring::change::Configuration;
use serde_json::json;

use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Most seeds that are named: one that answers is enough, and few members go at a time.
const MAX_SEEDS: usize = 16;

/// Arguments of `cluster profile`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write; it must not exist [default: standard output]
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args, out: Output) -> Result<Exit, Failure> {
    let found = args.cluster.found()?;
    let tls = found.profile()?.tls;
    let work = async |client: &Client| Ok(client.configuration().await?);
    let now = args.cluster.with_client(|builder| builder, work).await?;
    let fresh = Profile {
        seeds: seeds(&now),
        tls,
    };

    let text = text(&fresh);
    if let Some(file) = &args.out {
        write(file, &text).map_err(|error| cannot_write(file, &error))?;
        out.note(format!("wrote {}", file.display()));
    } else if !out.is_json() {
        out.outcome(text.trim_end());
    }
    if out.is_json() {
        let Profile { seeds, tls } = &fresh;
        out.outcome_json(&json!({
            "epoch": now.epoch.0, "seeds": seeds,
            "tls": { "ca": tls.ca, "certificate": tls.certificate, "key": tls.key },
        }));
    }
    Ok(Exit::Ok)
}

/// The addresses of members that stay, from as many zones as there are.
fn seeds(now: &Configuration) -> Vec<String> {
    let stays = |member: &&Member| {
        let target = now.change.as_ref().map(|change| &change.target.members);
        let is_in = |members: &Vec<Member>| members.iter().any(|it| it.id == member.id);
        now.removed.binary_search(&member.id).is_err() && target.is_none_or(is_in)
    };
    let mut members: Vec<&Member> = now.map.members.iter().filter(stays).collect();
    members.sort_by_key(|member| &member.name);
    let nth_of_zone: Vec<usize> = (0..members.len())
        .map(|at| {
            let before = members[..at].iter();
            before.filter(|it| it.zone == members[at].zone).count()
        })
        .collect();
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&at| nth_of_zone[at]); // stable
    order.truncate(MAX_SEEDS);
    (order.into_iter())
        .map(|at| members[at].address.clone())
        .collect()
}

fn text(profile: &Profile) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string(); // as TOML's basic strings
    let seeds: Vec<String> = profile.seeds.iter().map(|seed| quoted(seed)).collect();
    let mut text = format!("seeds = [{}]\n\n[tls]\n", seeds.join(", "));
    let tls = &profile.tls;
    for (name, path) in [
        ("ca", &tls.ca),
        ("certificate", &tls.certificate),
        ("key", &tls.key),
    ] {
        // The file may be written, or copied, to any folder.
        let path = std::path::absolute(path).unwrap_or_else(|_empty| path.clone());
        let path = quoted(&path.to_string_lossy());
        let _written = writeln!(text, "{name} = {path}").is_ok();
    }
    text
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(file)?;
    file.write_all(text.as_bytes())
}

fn cannot_write(file: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot write {}: {error}", file.display());
    Failure::new(Exit::Error, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::edits::Edits;
    use crate::change::edits::tests::first;

    #[test]
    fn seeds_are_members_that_stay() {
        let now = first(5);
        assert_eq!(seeds(&now).len(), 5);
        let edits = Edits {
            leaves: vec!["n2".into()],
            ..Edits::default()
        };
        let begun = edits.apply(&now).unwrap();
        let gone = now.map.members.iter().find(|it| it.name == "n2").unwrap();
        let left = seeds(&begun);
        assert_eq!(left.len(), 4);
        assert!(!left.contains(&gone.address));
        let lost = now.without_copies_of(&[gone.id]).unwrap();
        assert_eq!(seeds(&lost), left);
    }

    #[test]
    fn what_is_written_is_a_profile_whatever_the_paths_are() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("an \"odd\" \\ place");
        let tls = quoit_client::TlsFiles {
            ca: odd.join("ca.pem"),
            certificate: odd.join("client.pem"),
            key: odd.join("client.key"),
        };
        let mut profile = Profile {
            seeds: vec!["h:1".into(), "[::1]:2".into()],
            tls,
        };
        let file = folder.path().join("client.toml");
        write(&file, &text(&profile)).unwrap();
        let read = Profile::load(&file).unwrap();
        assert_eq!(
            (&read.seeds, &read.tls.key),
            (&profile.seeds, &profile.tls.key)
        );
        assert!(write(&file, "again").is_err(), "it is not overwritten");

        profile.tls.ca = "certs/ca.pem".into();
        assert!(!text(&profile).contains("\"certs/ca.pem\""), "absolute");
    }
}
