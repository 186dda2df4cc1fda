//! Asks the seeds for what a node needs before it can be one.
//!
//! ```text
//!   seed 1, 2, ...  all at once  --Join--> Welcome: Merkle key, newest epoch     the newest of them counts
//! ```
//!
//! All are asked, since one alone may be behind: it might not know yet that the node is a member, or was removed.

use std::time::Duration;

use quinn::ClientConfig;
use quoit_ring::MerkleKey;
use quoit_ring::change::Configuration;
use quoit_ring::role::SEED_SERVER_NAME;
use quoit_ring::wire::configuration::decode_answer;
use quoit_ring::wire::{
    ConfigurationAnswer, MembershipAnswer, MembershipRequest, Request, Response,
};
use quoit_transport::dial::Dialer;

use super::JoinError;
use crate::provision::Bundle;
use crate::question::{Answer, Asked, ask_all, block_on};

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
    let seeds = bundle.seeds.iter().take(MAX_SEEDS);
    let asked = seeds.map(|seed| Asked {
        address: seed.clone(),
        server_name: SEED_SERVER_NAME.to_owned(),
    });
    let question = (Request::Membership(MembershipRequest::Join), DEADLINE);

    let (mut newest, mut tried) = (None::<Welcome>, Vec::new());
    let is_enough = |answer: Answer| {
        let known = newest.as_ref().map(|it| it.configuration.epoch);
        match answer
            .map_err(|unanswered| unanswered.why)
            .and_then(welcome)
        {
            Ok(welcome) if known < Some(welcome.configuration.epoch) => newest = Some(welcome),
            Ok(_older) => {}
            Err(why) => tried.push(why),
        }
        false
    };
    let work = async { ask_all(Dialer::new(config), asked.collect(), question, is_enough).await };
    block_on(work).map_err(JoinError::System)?;
    tried.sort();
    newest.ok_or(JoinError::NoSeed { tried })
}

fn welcome(answer: Response) -> Result<Welcome, String> {
    let other = || "it answered something else".to_owned();
    let Response::Membership(answer) = answer else {
        return Err(other());
    };
    let MembershipAnswer::Welcome {
        merkle_key,
        configuration,
    } = *answer
    else {
        return Err(other());
    };
    match decode_answer(&configuration) {
        Ok(ConfigurationAnswer::Whole(configuration)) => {
            configuration.check().map_err(|error| error.to_string())?;
            Ok(Welcome {
                merkle_key,
                configuration: *configuration,
            })
        }
        Ok(ConfigurationAnswer::Update(_)) => Err(other()),
        Err(error) => Err(error.to_string()),
    }
}
