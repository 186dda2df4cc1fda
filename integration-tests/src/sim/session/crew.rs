//! A crew: where the tasks of one client are collected before they run.
//!
//! ```text
//!   world --Crew--> workload 1 adds 2 tasks, workload 2 adds 1, ...   --tasks--> world
//! ```
//!
//! Each task gets a session and randomness of its own, so what one of them draws does not change another.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use quoit_client::Client;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::{Session, Site};
use crate::history::ClientId;

/// A task.
pub type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Where the tasks of one client are collected before they run.
pub struct Crew {
    site: Rc<Site>,
    client: Client,
    id: ClientId,
    rng: SmallRng,
    tasks: Vec<Work>,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Crew {
    /// An empty crew for a client.
    #[must_use]
    pub const fn new(site: Rc<Site>, client: Client, id: ClientId, rng: SmallRng) -> Self {
        Self {
            site,
            client,
            id,
            rng,
            tasks: Vec::new(),
        }
    }

    /// Whose crew it is.
    #[must_use]
    pub const fn id(&self) -> ClientId {
        self.id
    }

    /// Adds a task.
    pub fn spawn<F: Future<Output = ()> + 'static>(&mut self, task: impl FnOnce(Session) -> F) {
        let session = Session {
            site: Rc::clone(&self.site),
            client: self.client.clone(),
            id: self.id,
            task: u16::try_from(self.tasks.len()).unwrap_or(u16::MAX),
            rng: SmallRng::seed_from_u64(self.rng.random()),
        };
        self.tasks.push(Box::pin(task(session)));
    }

    /// The tasks.
    #[must_use]
    pub fn into_tasks(self) -> Vec<Work> {
        self.tasks
    }
}
