//! Every setting that shaped a run, in words, so that a result can be understood and repeated.
//!
//! ```text
//!   flags --> "pace": "open loop, 10000/s, Poisson arrivals, at most 4096 in flight"
//! ```
//!
//! Which store it was is no setting but the result's target: results of different stores are what is
//! compared, results of different settings are not comparable.

use std::collections::BTreeMap;

use crate::args::fault::Fault;
use crate::args::{RunArgs, Spread};
use crate::workload::{Distribution, Mix};

/// The workload's name, verbs and keys: what was asked for by name or by flag.
pub(crate) fn workload(args: &RunArgs) -> (String, Mix, Distribution) {
    let named = args.work.workload;
    let (name, mix, usual) = match args.work.mix {
        Some(mix) => (mix.to_string(), mix, Distribution::Uniform),
        None => (named.name.to_owned(), named.mix, named.distribution),
    };
    (name, mix, args.work.distribution.unwrap_or(usual))
}

/// The store in words, with its clients if there are several.
pub(crate) fn target(args: &RunArgs, store: &str) -> String {
    match args.store.clients {
        1 => store.to_owned(),
        clients => format!("{store}, {clients} clients"),
    }
}

/// The settings by name.
pub(crate) fn settings(
    args: &RunArgs,
    script: &[Fault],
    rate: Option<f64>,
) -> BTreeMap<String, String> {
    let (_, mix, distribution) = workload(args);
    let (work, pace) = (&args.work, &args.pace);
    let loaded = if work.no_load {
        "there before"
    } else {
        "loaded beforehand"
    };
    let warm_up = if pace.warm_up.is_zero() {
        ", no warm-up".to_owned()
    } else {
        format!(" after {:?} of warm-up", pace.warm_up)
    };
    let debug = cfg!(debug_assertions);

    let mut all = vec![
        ("mix", mix.to_string()),
        ("keys", format!("{}, {loaded}", work.keys)),
        ("distribution", distribution.to_string()),
        ("value", work.value.to_string()),
        ("seed", work.seed.to_string()),
        ("pace", pace_in_words(args, rate)),
        ("deadline", format!("{:?}", args.store.deadline)),
        ("seconds", format!("{:?}{warm_up}", pace.seconds)),
        ("cores", cores().to_string()),
        ("build", if debug { "debug" } else { "release" }.to_owned()),
    ];
    if let Some(core) = pace.pin {
        all.push(("pinned", format!("generator and own nodes to core {core}")));
    }
    if args.store.clients > 1 {
        let clients = format!("{}, each with own connections", args.store.clients);
        all.push(("clients", clients));
    }
    if !script.is_empty() {
        let acts = script
            .iter()
            .map(|fault| format!("{fault} at {:?}", fault.at));
        all.push(("faults", acts.collect::<Vec<_>>().join(", ")));
    }
    if args.script.verify {
        all.push(("verify", "every acknowledged write".to_owned()));
    }
    all.into_iter()
        .map(|(name, words)| (name.to_owned(), words))
        .collect()
}

fn pace_in_words(args: &RunArgs, rate: Option<f64>) -> String {
    let pace = &args.pace;
    if pace.closed {
        return format!("closed loop, {} in flight", pace.in_flight);
    }
    let spread = match pace.arrivals {
        Spread::Poisson => "Poisson",
        Spread::Uniform => "uniform",
    };
    let rate = match (pace.ramp, rate) {
        (Some(ramp), _) => format!("{:.0} to {:.0}/s", ramp.from, ramp.to),
        (None, rate) => format!("{:.0}/s", rate.unwrap_or(pace.rate)),
    };
    let found = if pace.find_rate {
        ", found by search"
    } else {
        ""
    };
    format!(
        "open loop, {rate}{found}, {spread} arrivals, at most {} in flight",
        pace.max_in_flight
    )
}

/// Cores that this program may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
