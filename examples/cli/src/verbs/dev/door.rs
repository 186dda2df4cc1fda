//! Lets other processes in: a connection, a question, an answer.
//!
//! A few at a time, each with a bounded time to say what it wants; whatever comes in, the cluster serves on.

use std::sync::Arc;
use std::time::Duration;

use quoit_client::Client;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::control::{Answer, LINE_WITHIN, Listener, MAX_LINE, Request, Socket, parse};
use super::keeper::{self, Task};
use crate::exit::Exit;
use crate::failure::Failure;

/// Most connections at a time; further ones wait.
const MAX_GUESTS: usize = 8;
/// How long it rests when the system gives no connection, as when there are too many open files.
const REST: Duration = Duration::from_millis(200);

/// What a connection needs to be answered.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) client: Arc<Client>,
    pub(super) tasks: mpsc::Sender<Task>,
    /// Held by whoever adds a node, until its change is over.
    pub(super) adding: Arc<Mutex<()>>,
}

/// Answers whoever connects, for ever.
pub(super) async fn serve(listener: &Listener, door: &Door) {
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = guests.join_next() => {}
            guest = listener.accept(), if guests.len() < MAX_GUESTS => match guest {
                Ok(guest) => {
                    guests.spawn(receive(guest, door.clone()));
                }
                Err(_refused) => tokio::time::sleep(REST).await,
            },
        }
    }
}

async fn receive(guest: Socket, door: Door) {
    let mut claim = None;
    let answer = match question(&guest).await {
        Ok(request) => door.answer(request, &mut claim).await,
        Err(failure) => Err(failure),
    };
    let answer = answer.unwrap_or_else(Answer::from);
    let text = serde_json::to_string(&answer).unwrap_or_default();
    let is_sent = guest.write_line(&text).await.is_ok();
    if is_sent && claim.is_some() && matches!(answer, Answer::Waits { .. }) {
        guest.closed().await;
    }
}

async fn question(guest: &Socket) -> Result<Request, Failure> {
    let bad = |what: String| {
        Failure::new(Exit::Usage, what).hint("one line of JSON is expected; nothing has changed")
    };
    match timeout(LINE_WITHIN, guest.read_line(MAX_LINE)).await {
        Ok(Ok(line)) => parse(&line),
        Ok(Err(error)) => Err(bad(format!("that is no request: {error}"))),
        Err(_late) => Err(bad("no request came in time".to_owned())),
    }
}

impl Door {
    async fn answer(
        &self,
        request: Request,
        claim: &mut Option<OwnedMutexGuard<()>>,
    ) -> Result<Answer, Failure> {
        if matches!(request, Request::Add { .. }) {
            let free = Arc::clone(&self.adding).try_lock_owned();
            let free = free.map_err(|_taken| {
                let what = "another `quoit dev add` is under way";
                Failure::new(Exit::Conflict, what).hint("wait for its end; nothing was begun")
            })?;
            *claim = Some(free);
        }
        keeper::answer(&self.client, &self.tasks, request).await
    }
}
