//! What several verbs share: how the cluster is found and called.
//!
//! ```text
//! --profile FILE | QUOIT_PROFILE | the last `quoit dev`  ->  seeds, certificates  ->  Client
//! --consistency --r --w --timeout                        ->  its defaults
//! ```

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use quoit_client::{Client, ClientBuilder, ConnectError, Consistency};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::pairs::MAX_VALUE;
use crate::profile::{self, Found};
use crate::units::parse_duration;

/// Which cluster, and what its operations promise.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Profile of the cluster; without one, the last `quoit dev` cluster is used
    #[arg(long, env = "QUOIT_PROFILE", value_name = "FILE")]
    profile: Option<PathBuf>,

    /// What operations promise [default: quorum]
    #[arg(long, value_enum, value_name = "MODE")]
    consistency: Option<Mode>,

    /// How long connecting may take, and then an operation, 1ms to 30s [default: 5s each]
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    timeout: Option<Duration>,
}

/// How many replicas a read needs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReadArgs {
    /// Replicas that must answer, 1 to N [default: what the consistency needs]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) r: Option<u8>,
}

/// How many replicas a write needs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WriteArgs {
    /// Replicas that must have stored it, 1 to N [default: what the consistency needs]
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) w: Option<u8>,

    /// Count nodes that keep the write for one that is away: it succeeds while any W nodes of the key's list live, and
    /// reads may miss it until its owners are back
    #[arg(long)]
    pub(crate) sloppy: bool,
}

/// What an operator has besides a client.
#[derive(Debug)]
pub(crate) struct Operator {
    args: ClusterArgs,
    found: Found,
    /// The folder of the authority's certificate, where its key may be, too.
    pub(crate) certs: PathBuf,
    /// The seeds of the profile.
    pub(crate) seeds: Vec<String>,
}

impl Operator {
    /// For asking a node that is no member.
    pub(crate) fn builder(&self) -> ClientBuilder {
        self.args.builder(&self.found)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One replica is enough: answers while one lives
    One,
    /// A majority: reads see every acknowledged write
    Quorum,
    /// Reads and writes of a key happen one after the other, with conditional writes
    Linearizable,
}

impl From<Mode> for Consistency {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::One => Self::One,
            Mode::Quorum => Self::Quorum,
            Mode::Linearizable => Self::Linearizable,
        }
    }
}

impl ClusterArgs {
    /// The cluster of a profile, whatever the environment names.
    pub(crate) const fn of_profile(file: PathBuf) -> Self {
        Self {
            profile: Some(file),
            consistency: None,
            timeout: None,
        }
    }

    /// The profile.
    pub(crate) fn found(&self) -> Result<Found, Failure> {
        profile::find(self.profile.as_deref())
    }

    /// Calls the cluster, lets `work` use it, and closes the client whatever became of that.
    pub(crate) async fn with_client<T>(
        &self,
        counts: impl FnOnce(ClientBuilder) -> ClientBuilder,
        work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let found = profile::find(self.profile.as_deref())?;
        let client = counts(self.builder(&found))
            .connect()
            .await
            .map_err(|error| not_connected(error, &found))?;
        let result = work(&client).await;
        client.close().await;
        result
    }

    /// The same as an operator: of the last dev cluster by its operator's profile.
    pub(crate) async fn with_operator<T>(
        &self,
        work: impl AsyncFnOnce(&Client, &Operator) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let found = profile::find(self.profile.as_deref())?.of_operator();
        let client = self.builder(&found).connect().await;
        let client = client.map_err(|error| not_connected(error, &found))?;
        let operator = Operator {
            args: self.clone(),
            certs: found.certificates()?,
            seeds: found.profile()?.seeds,
            found,
        };
        let result = work(&client, &operator).await;
        client.close().await;
        result
    }

    fn builder(&self, found: &Found) -> ClientBuilder {
        let mut builder = Client::builder()
            .profile(&found.file)
            .max_value_bytes(MAX_VALUE);
        if let Some(mode) = self.consistency {
            builder = builder.consistency(mode.into());
        }
        if let Some(timeout) = self.timeout {
            builder = builder.deadline(timeout).connect_timeout(timeout);
        }
        builder
    }
}

impl ReadArgs {
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        self.r.into_iter().fold(builder, ClientBuilder::r)
    }
}

impl WriteArgs {
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = self.w.into_iter().fold(builder, ClientBuilder::w);
        builder.sloppy(self.sloppy)
    }
}

fn not_connected(error: ConnectError, found: &Found) -> Failure {
    let no_answer = matches!(error, ConnectError::NoSeedAnswered { .. });
    let failure = Failure::from(error);
    let file = found.file.display().to_string();
    match found.dev_folder() {
        Some(folder) if no_answer => failure.hint(format!(
            "the last dev cluster is not running; start it again: quoit dev --data {}",
            folder.display()
        )),
        None if no_answer => {
            failure.hint("are the nodes running, and are their addresses right in the profile?")
        }
        _ if failure.exit == Exit::Usage || failure.what.contains(&file) => failure,
        _ => failure.hint(format!("the profile is {file}")),
    }
}
