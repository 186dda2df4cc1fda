//! Where another store is: the address that `--target` takes for it.
//!
//! ```text
//!   etcd://127.0.0.1:2379,127.0.0.1:2380?ca=ca.pem&cert=client.pem&key=client-key.pem&pids=71,72
//!          `------- endpoints -------'  `--------------- TLS ---------------'     `- for processor time
//! ```
//!
//! TLS is on when `ca` is there; `cert` and `key` come together and add the client's certificate. Paths are
//! taken literally: there is no percent-encoding, so they hold no `&`. Unknown options are errors, for a
//! misspelt one would measure something else. Left out: names and passwords, which the peers run without.

use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Connections of a pool by default: between 8 and 128, rates differed by less than their noise.
const POOL: usize = 32;

/// Another store's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// `127.0.0.1:2379`, at least one.
    pub(crate) endpoints: Vec<String>,
    /// Encryption, if it is on.
    pub(crate) tls: Option<Tls>,
    /// Processes of the servers; empty if the address does not name them.
    pub(crate) pids: Vec<u32>,
    /// Replicas besides the master that must have a write; Redis only.
    pub(crate) wait: u32,
    /// Whether a read has a connection for itself instead of sharing its master's; Redis only.
    pub(crate) alone: bool,
    /// Whether a conditional write watches its key instead of running a script; Redis only.
    pub(crate) watch: bool,
    /// Most connections to a master for what needs one for itself; Redis only.
    pub(crate) pool: usize,
}

/// Certificates in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tls {
    /// Who signed the servers' certificates.
    pub(crate) ca: Vec<u8>,
    /// The client's certificate and key.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Peer {
    /// Reads what follows the scheme, and the certificates that it names.
    ///
    /// # Errors
    ///
    /// Fails if there is no endpoint, an option is unknown or incomplete, or a file cannot be read.
    pub(crate) fn parse(address: &str) -> anyhow::Result<Self> {
        let (endpoints, options) = address.split_once('?').unwrap_or((address, ""));
        let endpoints = endpoints.trim_end_matches('/').split(',');
        let mut peer = Self {
            endpoints: endpoints.map(str::to_owned).collect(),
            wait: 1,
            pool: POOL,
            ..Self::default()
        };
        for endpoint in &peer.endpoints {
            ensure!(endpoint.contains(':'), "`{endpoint}` is no HOST:PORT");
        }
        let (mut ca, mut cert, mut key) = (None, None, None);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "ca" => ca = Some(read(value)?),
                "cert" => cert = Some(read(value)?),
                "key" => key = Some(read(value)?),
                "pids" => peer.pids = pids(value)?,
                "wait" => peer.wait = value.parse().context("`wait` takes a number")?,
                "pool" => peer.pool = pool(value)?,
                "reads" => peer.alone = alone(value)?,
                "cas" => peer.watch = watch(value)?,
                _ => bail!("unknown option `{name}` in the target's address"),
            }
        }
        peer.tls = tls(ca, cert, key)?;
        Ok(peer)
    }

    /// `, TLS` or nothing, for descriptions.
    pub(crate) fn encryption(&self) -> &'static str {
        if self.tls.is_some() { ", TLS" } else { "" }
    }
}

fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(Path::new(path)).with_context(|| format!("cannot read `{path}`"))
}

fn pids(list: &str) -> anyhow::Result<Vec<u32>> {
    let pids = list.split(',').map(str::parse);
    pids.collect::<Result<_, _>>()
        .context("`pids` takes numbers, separated by commas")
}

fn pool(number: &str) -> anyhow::Result<usize> {
    let pool = number.parse().context("`pool` takes a number")?;
    ensure!((1..=4096).contains(&pool), "`pool` takes 1 to 4096");
    Ok(pool)
}

fn alone(word: &str) -> anyhow::Result<bool> {
    match word {
        "alone" => Ok(true),
        "shared" => Ok(false),
        _ => bail!("`reads` takes `shared` or `alone`"),
    }
}

fn watch(word: &str) -> anyhow::Result<bool> {
    match word {
        "watch" => Ok(true),
        "script" => Ok(false),
        _ => bail!("`cas` takes `script` or `watch`"),
    }
}

fn tls(
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> anyhow::Result<Option<Tls>> {
    ensure!(
        cert.is_some() == key.is_some(),
        "`cert` and `key` come together"
    );
    let identity = cert.zip(key);
    ensure!(
        ca.is_some() || identity.is_none(),
        "a client's certificate needs `ca` beside it"
    );
    Ok(ca.map(|ca| Tls { ca, identity }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_options_is_plain() {
        let peer = Peer::parse("127.0.0.1:1,127.0.0.1:2").unwrap();
        assert_eq!(peer.endpoints, ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!((peer.tls, peer.wait, peer.alone), (None, 1, false));
    }

    #[test]
    fn options_are_read_with_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            path.display().to_string()
        };
        let options = format!("ca={}&cert={}&key={}", file("a"), file("b"), file("c"));
        let address =
            format!("127.0.0.1:1/?{options}&pids=7,8&wait=2&reads=alone&pool=3&cas=watch");
        let peer = Peer::parse(&address).unwrap();
        let tls = Tls {
            ca: b"a".to_vec(),
            identity: Some((b"b".to_vec(), b"c".to_vec())),
        };
        assert_eq!(peer.endpoints, ["127.0.0.1:1"]);
        assert_eq!((peer.wait, peer.alone, peer.pool), (2, true, 3));
        assert!(peer.watch);
        assert_eq!((peer.tls, peer.pids), (Some(tls), vec![7, 8]));
    }

    #[test]
    fn an_address_that_says_less_than_it_should_is_refused() {
        for bad in [
            "",
            "localhost",
            "h:1?cart=x",
            "h:1?pids=x",
            "h:1?ca=/nowhere/ca.pem",
            "h:1?reads=twice",
            "h:1?pool=0",
            "h:1?cas=lua",
        ] {
            assert!(Peer::parse(bad).is_err(), "{bad}");
        }
        assert!(tls(None, Some(vec![]), Some(vec![])).is_err());
        assert!(tls(Some(vec![]), Some(vec![]), None).is_err());
    }
}
