//! Which master a key belongs to.
//!
//! ```text
//!   key --CRC16 mod 16384--> slot --ranges of CLUSTER SLOTS--> master
//! ```
//!
//! Invariant: ranges are sorted and point into `masters`. A master that stays one keeps its connections when
//! the map is read again, so that a failover elsewhere does not cost them; a lost one is replaced.
//! Source: the cluster specification of Redis, "Key distribution model".

use anyhow::{Context, ensure};
use redis::{Value, from_redis_value};

use super::master::{Master, Wire};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Who is master of which slots.
#[derive(Debug)]
pub(super) struct Slots {
    masters: Vec<Master>,
    /// First slot, last slot, index into `masters`; sorted.
    ranges: Vec<(u16, u16, usize)>,
}

impl Slots {
    /// Asks `node` for the map and connects to masters that `old` does not know.
    ///
    /// # Errors
    ///
    /// Fails if the node or a master cannot be reached, or the answer makes no sense.
    pub(super) async fn ask(wire: &Wire, node: &str, old: Option<&Self>) -> anyhow::Result<Self> {
        let mut connection = wire.connect(node).await?;
        let answer: Value = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut connection)
            .await?;
        let mut slots = Self {
            masters: Vec::new(),
            ranges: Vec::new(),
        };
        for (first, last, at) in ranges(answer)? {
            let index = match slots.masters.iter().position(|master| master.at() == at) {
                Some(index) => index,
                None => slots.add(wire, at, old).await?,
            };
            slots.ranges.push((first, last, index));
        }
        slots.ranges.sort_unstable();
        ensure!(!slots.ranges.is_empty(), "{node} knows no masters");
        Ok(slots)
    }

    pub(super) fn masters(&self) -> &[Master] {
        &self.masters
    }

    /// The master of `slot`, if it has one.
    pub(super) fn master(&self, slot: u16) -> Option<&Master> {
        let after = self.ranges.partition_point(|(first, _, _)| *first <= slot);
        let (_, last, index) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then(|| self.masters.get(*index)).flatten()
    }

    async fn add(&mut self, wire: &Wire, at: String, old: Option<&Self>) -> anyhow::Result<usize> {
        let known = old.and_then(|old| old.masters.iter().find(|master| master.at() == at));
        let master = match known {
            Some(master) if master.is_alive().await => master.clone(),
            _ => Master::connect(wire, at).await?,
        };
        self.masters.push(master);
        Ok(self.masters.len() - 1)
    }
}

/// First slot, last slot, `HOST:PORT` of the master.
fn ranges(answer: Value) -> anyhow::Result<Vec<(u16, u16, String)>> {
    let rows: Vec<Vec<Value>> = from_redis_value(answer)?;
    let rows = rows.into_iter().map(|row| {
        let mut row = row.into_iter();
        let mut next = || row.next().context("a row of CLUSTER SLOTS is too short");
        let (first, last) = (from_redis_value(next()?)?, from_redis_value(next()?)?);
        ensure!(
            first <= last && last < SLOTS,
            "no such slots: {first}-{last}"
        );
        let master: Vec<Value> = from_redis_value(next()?)?;
        let mut master = master.into_iter();
        let mut next = || {
            master
                .next()
                .context("a node of CLUSTER SLOTS is too short")
        };
        let (host, port): (String, u16) = (from_redis_value(next()?)?, from_redis_value(next()?)?);
        Ok((first, last, format!("{host}:{port}")))
    });
    rows.collect()
}

/// The slot of `key`: of what stands in its first braces, or of all of it.
pub(super) fn slot(key: &[u8]) -> u16 {
    crc16(tag(key).unwrap_or(key)) % SLOTS
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let crc = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(crc, |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"somekey"), 11_058);
        assert_eq!(slot(b"a{somekey}b"), slot(b"somekey"));
        assert_eq!(slot(b"{}somekey"), crc16(b"{}somekey") % SLOTS);
        assert_eq!(slot(b"}{x"), crc16(b"}{x") % SLOTS);
    }

    #[test]
    fn a_map_is_read_from_the_answer() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |port| Value::Array(vec![text("127.0.0.1"), Value::Int(port), text("id")]);
        let row = |first, last, port| {
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                node(port),
                node(9),
            ])
        };
        let read = ranges(Value::Array(vec![row(0, 8000, 1), row(8001, 16383, 2)])).unwrap();
        assert_eq!(read[0], (0, 8000, "127.0.0.1:1".to_owned()));
        assert_eq!(read[1], (8001, 16383, "127.0.0.1:2".to_owned()));
        assert!(ranges(Value::Array(vec![row(5, 4, 1)])).is_err());
        assert!(ranges(Value::Array(vec![row(0, 16384, 1)])).is_err());
        assert!(ranges(Value::Array(vec![Value::Array(vec![])])).is_err());
    }
}
