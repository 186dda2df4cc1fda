//! Conditional writes of etcd: transactions that compare the revision of a key.
//!
//! ```text
//!   compare  mod_revision(key) == expected        0 for a key that is not there
//!   success  put(key, value)                      the answer's revision is the key's from then on
//!   failure  range(key)                           what is there instead: one round trip, like the success
//! ```
//!
//! An update is the loop of etcd's own `concurrency.STM` in one key: read, commit under the condition that the
//! revision is the same, and where it is not go on with what the failed transaction has read.
//!
//! Source: etcd's `rpc.proto` and `client/v3/concurrency/stm.go`.

use bytes::Bytes;
use prost::{Message, Oneof};

use super::super::conditional::{MAX_ATTEMPTS, contended};
use super::super::{Mark, OpError, Swapped};
use super::{Etcd, PutRequest, RangeRequest, RangeResponse, failure};

const TXN: &str = "/etcdserverpb.KV/Txn";
/// `CompareTarget.MOD`; the result that is compared for is `EQUAL`, 0, the default.
const MOD: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
    #[prost(message, repeated, tag = "3")]
    failure: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
struct Compare {
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "bytes", tag = "3")]
    key: Bytes,
    /// One of several on the wire, so 0 is sent, too.
    #[prost(int64, optional, tag = "6")]
    mod_revision: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(oneof = "Ask", tags = "1, 2")]
    ask: Option<Ask>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Ask {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
}

#[derive(Clone, PartialEq, Message)]
struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(bool, tag = "2")]
    succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseOp {
    #[prost(message, optional, tag = "1")]
    range: Option<RangeResponse>,
}

impl Etcd {
    /// The revision of `key`; linearizable.
    pub(in super::super) async fn look(&self, key: &[u8]) -> Result<Mark, OpError> {
        Ok(Mark::Etcd(revision(&self.range(key).await?)))
    }

    /// Sets `key` to `value` if its revision is the one expected.
    pub(in super::super) async fn swap(
        &self,
        key: &[u8],
        expected: i64,
        value: Bytes,
    ) -> Result<Swapped, OpError> {
        let question = question(Bytes::copy_from_slice(key), expected, value);
        let answer: TxnResponse = self
            .call(TXN, question)
            .await
            .map_err(|status| failure(&status))?;
        Ok(answer.into())
    }

    /// Reads `key` and sets it to `value` in one step, as often as it takes.
    pub(in super::super) async fn update(&self, key: &[u8], value: Bytes) -> Result<u32, OpError> {
        let mut there = revision(&self.range(key).await?);
        for attempt in 1..=MAX_ATTEMPTS {
            match self.swap(key, there, value.clone()).await? {
                Swapped::Mismatch(Mark::Etcd(other)) => there = other,
                _applied => return Ok(attempt),
            }
        }
        Err(contended())
    }
}

fn question(key: Bytes, expected: i64, value: Bytes) -> TxnRequest {
    let put = Ask::Put(PutRequest {
        key: key.clone(),
        value,
    });
    let range = Ask::Range(RangeRequest { key: key.clone() });
    TxnRequest {
        compare: vec![Compare {
            target: MOD,
            key,
            mod_revision: Some(expected),
        }],
        success: vec![RequestOp { ask: Some(put) }],
        failure: vec![RequestOp { ask: Some(range) }],
    }
}

/// The revision of the key that was asked for, 0 if it is not there.
fn revision(found: &RangeResponse) -> i64 {
    found.pairs.first().map_or(0, |pair| pair.mod_revision)
}

impl From<TxnResponse> for Swapped {
    fn from(answer: TxnResponse) -> Self {
        if answer.succeeded {
            let revision = answer.header.map_or(0, |header| header.revision);
            return Self::Applied(Mark::Etcd(revision));
        }
        let found = answer.responses.into_iter().find_map(|op| op.range);
        Self::Mismatch(Mark::Etcd(found.as_ref().map_or(0, revision)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_has_the_bytes_of_the_protocol() {
        let sent = question(Bytes::from_static(b"k"), 7, Bytes::from_static(b"vv"));
        let expected = b"\x0a\x07\x10\x02\x1a\x01k\x30\x07\
                         \x12\x09\x12\x07\x0a\x01k\x12\x02vv\
                         \x1a\x05\x0a\x03\x0a\x01k";
        assert_eq!(sent.encode_to_vec(), expected);
    }

    #[test]
    fn a_key_that_is_not_there_is_compared_with_revision_0() {
        let sent = question(Bytes::from_static(b"k"), 0, Bytes::new()).encode_to_vec();
        assert_eq!(&sent[..9], b"\x0a\x07\x10\x02\x1a\x01k\x30\x00");
    }

    #[test]
    fn an_answer_says_which_revision_to_expect_next() {
        // header { revision: 9 }, succeeded, responses { response_put {} }
        let applied = b"\x0a\x02\x18\x09\x10\x01\x1a\x02\x12\x00".as_slice();
        let applied = TxnResponse::decode(applied).unwrap();
        assert_eq!(Swapped::from(applied), Swapped::Applied(Mark::Etcd(9)));
        // header { revision: 9 }, responses { response_range { kvs { key: "k", mod_revision: 8, value: "v" } } }
        let other =
            b"\x0a\x02\x18\x09\x1a\x0c\x0a\x0a\x12\x08\x0a\x01k\x18\x08\x2a\x01v".as_slice();
        let other = TxnResponse::decode(other).unwrap();
        assert_eq!(Swapped::from(other), Swapped::Mismatch(Mark::Etcd(8)));
        // header { revision: 9 }, responses { response_range {} }
        let gone = TxnResponse::decode(b"\x0a\x02\x18\x09\x1a\x02\x0a\x00".as_slice()).unwrap();
        assert_eq!(Swapped::from(gone), Swapped::Mismatch(Mark::Etcd(0)));
    }
}
