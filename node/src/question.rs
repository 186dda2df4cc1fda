//! One question to other members, by a node that does not serve yet.
//!
//! ```text
//!   address 1, 2, ...   each: a connection, the question, its answer, closed      in the order in which they answer
//! ```
//!
//! Left out: what is asked, and what the answers mean.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{Connection, ConnectionError, RecvStream};
use quoit_ring::Epoch;
use quoit_ring::wire::{MAX_FRAME, Request, RequestFrame, Response, ResponseFrame};
use quoit_transport::dial::{DialError, Dialer};
use quoit_transport::lane::{Lane, LaneReader};
use quoit_transport::large::{self, Large};
use quoit_transport::session::Ended;
use quoit_transport::{CloseCode, StreamError};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

/// A member to ask.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) address: String,
    /// Who must answer there.
    pub(crate) server_name: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Whether the one who was asked is there: it has proved who it is, and would not answer.
    pub(crate) is_there: bool,
    /// At which address, and what went wrong.
    pub(crate) why: String,
}

/// What became of a question.
pub(crate) type Answer = Result<Response, Unanswered>;

/// Does `work` on a runtime of its own. Blocks; must not be called from an async runtime.
///
/// # Errors
/// The system gave no runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = LocalSet::new().block_on(&runtime, work);
    // Does not wait for a name that is still being resolved.
    runtime.shutdown_background();
    Ok(done)
}

/// Asks all at once, and takes their answers as they come, or why one gave none, until `is_enough` says so.
pub(crate) async fn ask_all(
    dialer: Dialer,
    asked: Vec<Asked>,
    (request, deadline): (Request, Duration),
    mut is_enough: impl FnMut(Answer) -> bool,
) {
    let dialer = Rc::new(dialer);
    let mut questions = JoinSet::new();
    for member in asked {
        let (dialer, request) = (Rc::clone(&dialer), request.clone());
        questions.spawn_local(async move {
            let is_there = Cell::new(false);
            let asking = ask(&dialer, &member, (request, deadline), &is_there);
            let answered = timeout(deadline, asking).await;
            let answer = answered.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()));
            answer.map_err(|why| Unanswered {
                is_there: is_there.get(),
                why: format!("{}: {why}", member.address),
            })
        });
    }
    while let Some(answer) = questions.join_next().await {
        let answer = answer.unwrap_or_else(|_lost| {
            let (is_there, why) = (false, "not asked".to_owned());
            Err(Unanswered { is_there, why })
        });
        if is_enough(answer) {
            return;
        }
    }
}

async fn ask(
    dialer: &Dialer,
    member: &Asked,
    (request, deadline): (Request, Duration),
    is_there: &Cell<bool>,
) -> Result<Response, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let connection = match dialer.dial(&member.address, &member.server_name).await {
        Ok(connection) => connection,
        Err(error) => {
            // It may close the connection as soon as it knows who calls.
            is_there.set(matches!(
                error,
                DialError::Lost(ConnectionError::ApplicationClosed(_))
            ));
            return Err(text(&error));
        }
    };
    is_there.set(true);
    let answer = question(&connection, request, deadline).await;
    connection.close(CloseCode::Done.code(), b"");

    match answer.map_err(|error| text(&error))? {
        Response::Refused(refusal) => Err(text(&refusal)),
        answer => Ok(answer),
    }
}

async fn question(
    connection: &Connection,
    request: Request,
    deadline: Duration,
) -> Result<Response, Ended> {
    let Lane { mut send, receive } = Lane::open(connection).await?;
    let mut frame = BytesMut::new();
    let request = RequestFrame {
        id: 0,
        epoch: Epoch(0),
        budget_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        request,
    };
    request.encode(&mut frame);
    send.write_chunk(frame.freeze())
        .await
        .map_err(StreamError::from)?;

    // What many members agree on is a large frame.
    tokio::select! {
        biased;
        answer = on_lane(receive) => answer,
        answer = on_stream(connection) => answer,
    }
}

async fn on_lane(stream: RecvStream) -> Result<Response, Ended> {
    let mut lane = LaneReader::new(stream, None);
    while lane.read().await? {
        if let Some(frame) = lane.frames().next()? {
            return Ok(ResponseFrame::decode(frame)?.response);
        }
    }
    Err(Ended::Leaving)
}

async fn on_stream(connection: &Connection) -> Result<Response, Ended> {
    let mut stream = connection.accept_uni().await?;
    match large::read(&mut stream, MAX_FRAME, None).await? {
        Large::Frame(frame) => Ok(ResponseFrame::decode(frame)?.response),
        Large::TooLong { bytes, .. } => Err(StreamError::TooLong { bytes }.into()),
    }
}
