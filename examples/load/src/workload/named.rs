//! Workloads with a name: YCSB's, and one for each plain or conditional verb.
//!
//! ```text
//!   A  get 50  put 50                       zipfian       D  get 95  insert 5                 latest
//!   B  get 95  put  5                       zipfian       F  get 50  read-modify-write 50     zipfian
//!   C  get 100                              zipfian       E  scans, which do not exist yet: refused
//! ```
//!
//! Source: YCSB's `workloads/workload[a-f]`.

use std::str::FromStr;

use super::keys::Distribution;
use super::mix::{Mix, Verb};

/// A workload with a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its verbs.
    pub(crate) mix: Mix,
    /// Which keys it uses, unless something else is asked for.
    pub(crate) distribution: Distribution,
}

const fn named(name: &'static str, mix: Mix, distribution: Distribution) -> Named {
    Named {
        name,
        mix,
        distribution,
    }
}

const ALL: [Named; 10] = {
    use Distribution::{Latest, Uniform, Zipfian};
    use Verb::{Cas, Delete, Get, Insert, Put, ReadModifyWrite, Update};
    [
        named("ycsb-a", Mix::two((Get, 50), (Put, 50)), Zipfian),
        named("ycsb-b", Mix::two((Get, 95), (Put, 5)), Zipfian),
        named("ycsb-c", Mix::only(Get), Zipfian),
        named("ycsb-d", Mix::two((Get, 95), (Insert, 5)), Latest),
        named(
            "ycsb-f",
            Mix::two((Get, 50), (ReadModifyWrite, 50)),
            Zipfian,
        ),
        named("get", Mix::only(Get), Uniform),
        named("put", Mix::only(Put), Uniform),
        named("delete", Mix::only(Delete), Uniform),
        named("cas", Mix::only(Cas), Uniform),
        named("update", Mix::only(Update), Uniform),
    ]
};

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "ycsb-e" {
            return Err("workload E is mostly scans, and scans do not exist yet".to_owned());
        }
        ALL.into_iter()
            .find(|workload| workload.name == text)
            .ok_or_else(|| {
                let names = ALL.map(|workload| workload.name).join(", ");
                format!("`{text}` is no workload: {names}, or --mix")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_found_by_its_name() {
        for workload in ALL {
            assert_eq!(workload.name.parse(), Ok(workload));
        }
        assert!("ycsb-a ".parse::<Named>().is_err());
    }

    #[test]
    fn workload_d_reads_what_was_inserted_last() {
        let d: Named = "ycsb-d".parse().unwrap();
        assert_eq!(d.mix.to_string(), "get=95,insert=5");
        assert_eq!(d.distribution, Distribution::Latest);
    }
}
