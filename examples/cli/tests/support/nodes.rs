//! Nodes as processes of their own, which a test kills and brings back.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use quoit_node::provision::{LocalCluster, LocalOptions};

use super::{Home, PATIENCE};

/// Three nodes with three copies of every key. They keep no hints: who was away stays behind until it is repaired.
#[derive(Debug)]
pub(crate) struct Nodes {
    cluster: LocalCluster,
    running: Vec<Option<Child>>,
}

impl Nodes {
    pub(crate) fn start(home: &Home) -> Self {
        let options = LocalOptions {
            nodes: 3,
            replication: 3,
            ..LocalOptions::default()
        };
        let cluster = LocalCluster::create_or_open(&home.path("nodes"), &options).unwrap();
        for node in cluster.nodes() {
            let text = std::fs::read_to_string(&node.config).unwrap();
            let no_hints = "max_hint_bytes = 0\nmax_hint_bytes_per_node = 0\n";
            std::fs::write(&node.config, format!("{no_hints}{text}")).unwrap();
        }
        let running = cluster.nodes().iter().map(|_| None).collect();
        let mut nodes = Self { cluster, running };
        for index in 0..3 {
            nodes.bring_back(index);
        }
        nodes
    }

    /// The profile of a client.
    pub(crate) fn profile(&self) -> String {
        self.cluster.client_profile().display().to_string()
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.cluster.nodes()[index].name
    }

    /// Starts a node that does not run. It ends with this process, however that ends.
    pub(crate) fn bring_back(&mut self, index: usize) {
        let config: &PathBuf = &self.cluster.nodes()[index].config;
        let child = Command::new(env!("CARGO_BIN_EXE_quoit"))
            .args(["node", "--while-stdin-is-open", "--config"])
            .arg(config)
            .env("QUOIT_LOG", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.running[index] = Some(child);
    }

    /// Kills a node with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut child = self.running[index].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until so many nodes answer.
    pub(crate) fn wait_for(&self, home: &Home, up: usize) {
        let begun = Instant::now();
        let profile = self.profile();
        while begun.elapsed() < PATIENCE {
            let status = home.run(&["--profile", &profile, "--output", "json", "status"]);
            let text = String::from_utf8_lossy(&status.out);
            if text.matches(r#""state":"up""#).count() == up {
                return;
            }
        }
        panic!("{up} nodes never answered");
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}
