//! The network before a node: a proxy where the map says that it is, and the node elsewhere.
//!
//! ```text
//!   node.toml   listen = "127.0.0.1:7001"   -->   listen = "127.0.0.1:9313", where only the proxy sends to
//!   map         127.0.0.1:7001                    as it was: callers find the proxy
//! ```
//!
//! Only nodes that a fault script names get one, before they are started for the first time: a proxy costs
//! processor time, on a machine that has other things to do.

use anyhow::{Context as _, bail};

use super::Cluster;
use super::proxy::{self, Proxy, Way};

impl Cluster {
    /// Changes what happens to datagrams.
    ///
    /// # Errors
    /// If there is no proxy before the node.
    pub(super) fn network(
        &self,
        index: usize,
        change: impl FnOnce(&mut Way),
    ) -> anyhow::Result<()> {
        let proxy = self.nodes[index].proxy.as_ref();
        let proxy = proxy.with_context(|| format!("there is no proxy before n{}", index + 1))?;
        proxy.change(change);
        Ok(())
    }

    /// Lets a node that does not run yet listen elsewhere, and a proxy where the map says that it is.
    pub(super) fn put_behind_a_proxy(&mut self, index: usize, seed: u64) -> anyhow::Result<()> {
        let node = &mut self.nodes[index];
        let behind = proxy::free_address().context("no free port behind a proxy")?;
        let (config, before) = (&node.local.config, node.local.address);
        let text = std::fs::read_to_string(config).with_context(|| config.display().to_string())?;
        let listens = format!("listen = \"{before}\"");
        if !text.contains(&listens) {
            bail!("{} does not say {listens}", config.display());
        }
        let text = text.replace(&listens, &format!("listen = \"{behind}\""));
        std::fs::write(config, text).with_context(|| config.display().to_string())?;
        let name = format!("n{}", index + 1);
        // Far apart, so that flows of two proxies draw from different seeds.
        let seed = seed.wrapping_add(u64::try_from(index)? << 32);
        let proxy = Proxy::start(&name, before, behind, seed)
            .with_context(|| format!("no proxy before {name}"))?;
        node.proxy = Some(proxy);
        Ok(())
    }

    /// What the proxies did to datagrams that nobody had asked for, in a sentence each.
    pub(crate) fn dropped(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let tally = node.proxy.as_ref().map(Proxy::tally).unwrap_or_default();
            if tally.dropped > 0 {
                sentences.push(format!(
                    "The proxy before n{} had no room for {} datagrams and dropped them; it passed {} on.",
                    index + 1,
                    tally.dropped,
                    tally.passed
                ));
            }
        }
        sentences
    }
}
