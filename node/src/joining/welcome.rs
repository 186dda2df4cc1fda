//! Asks the seeds for what a node needs before it can be one.
//!
//! ```text
//!   seed 1, 2, ...  all at once  --Join--> Welcome: Merkle key, newest epoch     the newest of them counts
//! ```
//!
//! All are asked, since one alone may be behind: it might not know yet that the node is a member, or was removed.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use quinn::{ClientConfig, Connection, RecvStream};
use quoit_ring::change::Configuration;
use quoit_ring::role::SEED_SERVER_NAME;
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{
    ConfigurationAnswer, MAX_FRAME, MembershipAnswer, MembershipRequest, Request, RequestFrame,
    Response, ResponseFrame,
};
use quoit_ring::{Epoch, MerkleKey};
use quoit_transport::dial::Dialer;
use quoit_transport::lane::{Lane, LaneReader};
use quoit_transport::large::{self, Large};
use quoit_transport::session::Ended;
use quoit_transport::{CloseCode, StreamError};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::JoinError;
use crate::provision::Bundle;

/// How long a seed has.
const DEADLINE: Duration = Duration::from_secs(5);
/// Seeds that are asked.
const MAX_SEEDS: usize = 64;

/// What a member said.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) merkle_key: MerkleKey,
    pub(super) configuration: Configuration,
}

/// The newest that any seed knows.
pub(super) fn ask(bundle: &Bundle, config: ClientConfig) -> Result<Welcome, JoinError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(JoinError::System)?;
    let local = LocalSet::new();
    let answers = local.block_on(&runtime, ask_all(&bundle.seeds, config));
    // Does not wait for a name that is still being resolved.
    runtime.shutdown_background();

    let (mut newest, mut tried) = (None::<Welcome>, Vec::new());
    for answer in answers {
        let known = newest.as_ref().map(|it| it.configuration.epoch);
        match answer {
            Ok(welcome) if known < Some(welcome.configuration.epoch) => newest = Some(welcome),
            Ok(_older) => {}
            Err(why) => tried.push(why),
        }
    }
    tried.sort();
    newest.ok_or(JoinError::NoSeed { tried })
}

async fn ask_all(seeds: &[String], config: ClientConfig) -> Vec<Result<Welcome, String>> {
    let dialer = Rc::new(Dialer::new(config));
    let mut asked = JoinSet::new();
    for seed in seeds.iter().take(MAX_SEEDS) {
        let (dialer, seed) = (Rc::clone(&dialer), seed.clone());
        asked.spawn_local(async move {
            let answered = timeout(DEADLINE, ask_one(&dialer, &seed)).await;
            let answer = answered.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()));
            answer.map_err(|why| format!("{seed}: {why}"))
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asked.join_next().await {
        answers.extend(answer.ok());
    }
    answers
}

async fn ask_one(dialer: &Dialer, seed: &str) -> Result<Welcome, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let connection = dialer.dial(seed, SEED_SERVER_NAME).await;
    let connection = connection.map_err(|error| text(&error))?;
    let answer = question(&connection).await.map_err(|error| text(&error))?;
    connection.close(CloseCode::Done.code(), b"");

    let other = || "it answered something else".to_owned();
    let answer = match answer {
        Response::Membership(answer) => *answer,
        Response::Refused(refusal) => return Err(text(&refusal)),
        _ => return Err(other()),
    };
    let MembershipAnswer::Welcome {
        merkle_key,
        configuration,
    } = answer
    else {
        return Err(other());
    };
    match decode_answer(&configuration) {
        Ok(ConfigurationAnswer::Whole(configuration)) => {
            configuration.check().map_err(|error| text(&error))?;
            Ok(Welcome {
                merkle_key,
                configuration: *configuration,
            })
        }
        Ok(ConfigurationAnswer::Update(_)) => Err(other()),
        Err(error) => Err(text(&error)),
    }
}

async fn question(connection: &Connection) -> Result<Response, Ended> {
    let Lane { mut send, receive } = Lane::open(connection).await?;
    let mut frame = BytesMut::new();
    let request = RequestFrame {
        id: 0,
        epoch: Epoch(0),
        budget_ms: u32::try_from(DEADLINE.as_millis()).unwrap_or(u32::MAX),
        request: Request::Membership(MembershipRequest::Join),
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
