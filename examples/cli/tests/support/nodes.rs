//! Nodes as processes of their own, which a test kills and starts again.

use std::time::Instant;

use quoit_local::{ClusterSettings, NodeProgram, ProcessCluster};
use quoit_node::provision::LocalOptions;

use super::{Home, SOON};

/// Three nodes with three copies of every key. They keep no hints: a node that was away stays behind until it is
/// repaired.
#[derive(Debug)]
pub(crate) struct Nodes(ProcessCluster);

impl Nodes {
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_some(home, 3)
    }

    /// The same with so many.
    pub(crate) fn start_some(home: &Home, count: usize) -> Self {
        let settings = ClusterSettings {
            local: LocalOptions {
                nodes: count,
                ..ClusterSettings::default().local
            },
            folder: Some(home.path("nodes")),
            node_settings:
                "max_hint_bytes = 0\nmax_hint_bytes_per_node = 0\nsync_interval_ms = 0\n".to_owned(),
            ..ClusterSettings::default()
        };
        let program = NodeProgram {
            variables: vec![("QUOIT_LOG".into(), "off".into())],
            ..NodeProgram::of_quoit(env!("CARGO_BIN_EXE_quoit"))
        };
        let mut nodes = Self(ProcessCluster::new(program, &settings).unwrap());
        for index in 0..count {
            nodes.start_again(index);
        }
        nodes
    }

    /// The profile of a client.
    pub(crate) fn profile(&self) -> String {
        self.0.client_profile().display().to_string()
    }

    /// The profile of an operator.
    pub(crate) fn admin_profile(&self) -> String {
        self.0.local().admin_profile().display().to_string()
    }

    /// The configuration of a node.
    pub(crate) fn config(&self, index: usize) -> String {
        self.0.local().nodes()[index].config.display().to_string()
    }

    pub(crate) fn name(&self, index: usize) -> &str {
        &self.0.local().nodes()[index].name
    }

    /// Starts a node that does not run.
    pub(crate) fn start_again(&mut self, index: usize) {
        self.0.start_node(index).unwrap();
    }

    /// Kills a node with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self, index: usize) {
        assert!(self.0.kill(index).unwrap());
    }

    /// Waits until so many nodes answer.
    pub(crate) fn wait_for(&self, home: &Home, up: usize) {
        let begun = Instant::now();
        let profile = self.profile();
        while begun.elapsed() < SOON {
            let status = home.run(&["--profile", &profile, "--output", "json", "status"]);
            let text = String::from_utf8_lossy(&status.out);
            if text.matches(r#""state":"up""#).count() == up {
                return;
            }
        }
        panic!("{up} nodes never answered");
    }
}
