//! The cluster map from the first seed that answers.
//!
//! ```text
//!   seed 1  |--dial, ask for the map------ ...
//!   seed 2       |--dial, ask ---- map! -> the other attempts are dropped
//!   seed 3            |--dial ...
//!           0   200   400 ms
//! ```
//!
//! Seeds are started one behind the other and then run side by side, so a silent one costs a
//! fraction of a second. A seed is only an address: any node of the cluster may answer there. One that begins no
//! handshakes just now, because many are under way, is asked again until the time is over.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{Connection, RecvStream};
use quoit_ring::change::{Known, NextError};
use quoit_ring::role::{SEED_SERVER_NAME, server_name};
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{
    ConfigurationAnswer, LANE_FRAME, NodeStatus, Request, RequestFrame, Response, ResponseFrame,
};
use quoit_ring::{Epoch, NodeId};
use quoit_transport::dial::{DialError, Dialer, NO_ANSWER};
use quoit_transport::lane::{Lane, LaneReader};
use quoit_transport::large::{self, Large};
use quoit_transport::session::Ended;
use quoit_transport::{CloseCode, StreamError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long after one seed the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(200);
/// How long after it refused to begin a handshake a seed is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// Seeds that are tried; more would not help to find a cluster.
const MAX_SEEDS: usize = 64;

/// Why a seed gave no map.
#[derive(Debug, thiserror::Error)]
enum SeedError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error("the node refused: {0}")]
    Refused(quoit_ring::wire::Refusal),
    #[error("the node answered something else than it was asked for")]
    OtherAnswer,
    #[error("its map cannot be used: {0}")]
    Unusable(#[from] NextError),
}

/// Requests the cluster map from `seeds`, within `time` in all.
///
/// # Errors
/// Each seed with a sentence that says why it gave no map.
pub(crate) async fn fetch_known(
    dialer: &Rc<Dialer>,
    seeds: &[String],
    time: Duration,
    max_frame: usize,
) -> Result<Known, Vec<(String, String)>> {
    let said = Rc::new(RefCell::new(vec![None; seeds.len()]));
    let mut attempts = JoinSet::new();
    for (index, seed) in seeds.iter().take(MAX_SEEDS).enumerate() {
        let (dialer, seed, said) = (Rc::clone(dialer), seed.clone(), Rc::clone(&said));
        let delay = STAGGER.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
        attempts.spawn_local(async move {
            sleep(delay).await;
            loop {
                let error = match ask(&dialer, &seed, time, max_frame).await {
                    Ok(ring) => return Some(ring),
                    Err(error) => error,
                };
                said.borrow_mut()[index] = Some(error.to_string());
                if !matches!(error, SeedError::Dial(error) if error.is_refused()) {
                    return None;
                }
                sleep(AGAIN).await;
            }
        });
    }
    let answered = timeout(time, async {
        while let Some(Ok(ring)) = attempts.join_next().await {
            if ring.is_some() {
                return ring;
            }
        }
        None
    });
    if let Ok(Some(ring)) = answered.await {
        return Ok(ring);
    }
    let sentence = |why: Option<String>| why.unwrap_or_else(|| NO_ANSWER.to_owned());
    let said = said.take();
    Err(seeds
        .iter()
        .cloned()
        .zip(said.into_iter().map(sentence))
        .collect())
}

async fn ask(
    dialer: &Dialer,
    seed: &str,
    time: Duration,
    max_frame: usize,
) -> Result<Known, SeedError> {
    let connection = dialer.dial(seed, SEED_SERVER_NAME).await?;
    let answer = question(&connection, Request::Map, time, max_frame).await?;
    connection.close(CloseCode::Done.code(), b"");
    match answer {
        Response::Map(map) => match decode_answer(&map).map_err(Ended::from)? {
            ConfigurationAnswer::Whole(configuration) => Ok(Known::new(*configuration)?),
            ConfigurationAnswer::Update(_) => Err(SeedError::OtherAnswer),
        },
        Response::Refused(refusal) => Err(SeedError::Refused(refusal)),
        _other => Err(SeedError::OtherAnswer),
    }
}

/// The status of the node `node`, which must be the one at `address`, within `time`.
///
/// # Errors
/// A sentence that says why there is none.
pub(crate) async fn fetch_status(
    dialer: &Dialer,
    (address, node): (&str, NodeId),
    time: Duration,
) -> Result<NodeStatus, String> {
    let asked = async {
        let connection = dialer.dial(address, &server_name(node)).await?;
        let answer = question(&connection, Request::Status, time, LANE_FRAME).await?;
        connection.close(CloseCode::Done.code(), b"");
        match answer {
            Response::Status(status) => Ok(*status),
            Response::Refused(refusal) => Err(SeedError::Refused(refusal)),
            _other => Err(SeedError::OtherAnswer),
        }
    };
    match timeout(time, asked).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(NO_ANSWER.to_owned()),
    }
}

async fn question(
    connection: &Connection,
    request: Request,
    time: Duration,
    max_frame: usize,
) -> Result<Response, Ended> {
    let Lane { mut send, receive } = Lane::open(connection).await?;
    let mut frame = BytesMut::new();
    let request = RequestFrame {
        id: 0,
        epoch: Epoch(0),
        budget_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
        request,
    };
    request.encode(&mut frame);
    send.write_chunk(frame.freeze())
        .await
        .map_err(StreamError::from)?;

    // A map of many members is a large frame.
    tokio::select! {
        biased;
        answer = on_lane(receive) => answer,
        answer = on_stream(connection, max_frame) => answer,
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

async fn on_stream(connection: &Connection, max_frame: usize) -> Result<Response, Ended> {
    let mut stream = connection.accept_uni().await?;
    match large::read(&mut stream, max_frame, None).await? {
        Large::Frame(frame) => Ok(ResponseFrame::decode(frame)?.response),
        Large::TooLong { bytes, .. } => Err(StreamError::TooLong { bytes }.into()),
    }
}
