//! The tour's nodes: child processes of this program, running this program.
//!
//! ```text
//! quoit demo --spawns--> quoit node --config DIR/node-1/node.toml   its output: DIR/node-1/log.txt
//!       |                        |
//!       '------- stdin ----------'   ends with the parent, even if that is killed
//! ```
//!
//! A child is killed when it is dropped, so an error, a panic and Ctrl-C all leave nothing behind; the
//! open standard input covers what no destructor can. Children have a process group of their own, so
//! that Ctrl-C on the terminal reaches the parent alone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quoit_node::provision::{LocalCluster, LocalNode};

use crate::exit::Exit;
use crate::failure::Failure;

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of a dead node's log that are shown.
const LOG_TAIL: usize = 5;

/// The nodes of the tour.
#[derive(Debug)]
pub(super) struct Processes {
    program: PathBuf,
    nodes: Vec<Process>,
}

/// A node and its process, if it runs.
#[derive(Debug)]
struct Process {
    node: LocalNode,
    child: Option<Running>,
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, which is all that is wanted.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

impl Processes {
    /// Starts every node of `cluster`.
    pub(super) fn start(cluster: &LocalCluster) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::caused(&error))?;
        let nodes = cluster.nodes().iter().map(|node| Process {
            node: node.clone(),
            child: None,
        });
        let mut processes = Self {
            program,
            nodes: nodes.collect(),
        };
        for index in 0..processes.nodes.len() {
            processes.restart(index)?;
        }
        Ok(processes)
    }

    /// Starts a node that does not run.
    pub(super) fn restart(&mut self, index: usize) -> Result<(), Failure> {
        let process = &mut self.nodes[index];
        let child = spawn(&self.program, &process.node).map_err(|error| {
            Failure::new(
                Exit::Error,
                format!("cannot start {}: {error}", process.node.name),
            )
        })?;
        process.child = Some(Running(child));
        Ok(())
    }

    /// Kills a node with SIGKILL, or what comes closest to it, and waits until it is gone.
    pub(super) fn kill(&mut self, index: usize) -> Result<(), Failure> {
        let Some(mut running) = self.nodes[index].child.take() else {
            return Ok(());
        };
        let killed = running.0.kill().and_then(|()| running.0.wait());
        killed.map(drop).map_err(|error| Failure::caused(&error))
    }

    /// Fails if a node that should run has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for process in &mut self.nodes {
            let Some(running) = &mut process.child else {
                continue;
            };
            if let Ok(Some(status)) = running.0.try_wait() {
                let what = format!("{} ended with {status}", process.node.name);
                return Err(Failure::new(Exit::Error, what).hint(log_tail(&process.node)));
            }
        }
        Ok(())
    }

    /// Waits until a node that should run has ended by itself.
    pub(super) async fn one_ended(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.check() {
                return failure;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `node-1 at 127.0.0.1:7440, process 4711`
    pub(super) fn describe(&self, index: usize) -> String {
        let process = &self.nodes[index];
        let pid = process
            .child
            .as_ref()
            .map_or_else(|| "none".to_owned(), |running| running.0.id().to_string());
        format!(
            "{} at {}, process {pid}",
            process.node.name, process.node.address
        )
    }
}

fn spawn(program: &Path, node: &LocalNode) -> io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_file(node))?;
    let mut command = Command::new(program);
    command
        .args(["node", "--while-stdin-is-open", "--config"])
        .arg(&node.config)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
    }
    command.spawn()
}

fn log_file(node: &LocalNode) -> PathBuf {
    node.config.with_file_name("log.txt")
}

/// The last lines that a node wrote.
fn log_tail(node: &LocalNode) -> String {
    let file = log_file(node);
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
    format!("its log ends with: {}", tail.join(" | "))
}
