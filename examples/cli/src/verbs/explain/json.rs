//! The story for programs: one JSON object. Times are in microseconds, moments in milliseconds since 1970.

use std::time::Duration;

use quoit_client::{Consistency, Entry, NodeHealth, ReadRepair, ReplicaReport, RequestReport};
use serde_json::{Map, Value, json};

use super::{Repair, Story};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::verbs::keyed;

pub(super) fn story(story: &Story) -> Map<String, Value> {
    let (leaf, leaves) = story.leaf();
    let mut object = keyed(&story.key);
    let parts = [
        ("token", json!(format!("{:016x}", story.location.token.0))),
        ("leaf", json!(leaf)),
        ("leaves", json!(leaves)),
        ("epoch", json!(story.map.epoch.0)),
        ("needs", quorum_sizes(story)),
        ("replicas", replicas(story)),
        ("read", read(story)),
        ("repaired", json!(story.repaired(Repair::Done))),
        ("repair_sent", json!(story.repaired(Repair::Sent))),
        ("repair_failed", json!(story.repaired(Repair::Failed))),
        ("still_stale", json!(story.still_stale())),
    ];
    object.extend(parts.map(|(name, value)| (name.to_owned(), value)));
    object
}

fn quorum_sizes(story: &Story) -> Value {
    let needs = &story.needs;
    let consistency = match needs.consistency {
        Consistency::One => "one",
        Consistency::Quorum => "quorum",
        Consistency::Linearizable => "linearizable",
        _ => "other",
    };
    let repair = match needs.repair {
        ReadRepair::BeforeAnswer => "before_answer",
        ReadRepair::Background => "background",
        ReadRepair::Off => "off",
        _ => "other",
    };
    json!({
        "consistency": consistency, "n": needs.n, "r": needs.r, "hold": needs.hold, "w": needs.w,
        "read_repair": repair,
    })
}

fn replicas(story: &Story) -> Value {
    let replica = |report: &ReplicaReport| {
        let member = &report.member;
        let health = story.health_of(member.id).map(health);
        let mut object = json!({
            "node": member.name, "id": member.id.to_string(), "zone": member.zone,
            "address": member.address, "role": if report.owner { "owner" } else { "fallback" },
            "elapsed_us": micros(report.elapsed), "stale": report.stale, "health": health,
        });
        match &report.answer {
            Ok(entry) => {
                object["siblings"] = siblings(entry);
                object["deleted"] = json!(entry.is_tombstone());
            }
            Err(error) => object["error"] = error.to_string().into(),
        }
        object
    };
    story.replicas.iter().map(replica).collect()
}

fn siblings(entry: &Entry) -> Value {
    let sibling = |value: &quoit_client::Value| {
        json!({
            "dot": value.dot.to_string(), "written_ms": value.dot.time.millis().0,
            "bytes": value.bytes.len(), "expires_ms": value.expiry.map(|expiry| expiry.0),
        })
    };
    entry.siblings().iter().map(sibling).collect()
}

fn health(node: &NodeHealth) -> Value {
    json!({
        "reachable": node.reachable, "ejected": node.ejected, "in_flight": node.in_flight,
        "read_mean_us": node.read_mean.map(micros), "read_p95_us": node.read_p95.map(micros),
    })
}

fn read(story: &Story) -> Value {
    let requests = story.read.requests.iter().map(request);
    let mut object = json!({
        "answered_after_us": story.read.answered_after.map(micros),
        "requests": requests.collect::<Vec<_>>(),
    });
    let result = match &story.read.result {
        Ok(entry) if entry.is_absent() => Exit::NotFound,
        Ok(entry) if entry.is_conflict() => Exit::Conflict,
        Ok(_one) => Exit::Ok,
        Err(error) => {
            let failure = Failure::from(error.clone());
            object["error"] = failure.what.into();
            failure.exit
        }
    };
    object["result"] = result.name().into();
    object
}

fn request(request: &RequestReport) -> Value {
    json!({
        "node": request.name, "kind": request.kind.name(), "after_us": micros(request.after),
        "elapsed_us": request.elapsed.map(micros),
        "outcome": request.outcome.as_ref().map(ToString::to_string),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
