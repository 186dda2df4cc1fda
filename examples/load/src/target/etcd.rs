//! etcd over its v3 gRPC interface: linearizable reads and writes, the default.
//!
//! ```text
//!   task --+                 .--> endpoint 1   one HTTP/2 connection each,
//!   task --+--> a balanced --+--> endpoint 2   shared by all tasks;
//!   task --+    channel      '--> endpoint 3   a dead one is left out
//! ```
//!
//! The four messages stand here as far as they are needed: field numbers are those of etcd's `rpc.proto` and
//! `kv.proto`, and a decoder skips fields that it does not know. A generated client would need the protobuf
//! compiler on every machine that builds this. Channel and codec are those that generated clients stand on.
//! Conditional writes are in `txn`. Left out: leases, watches, old revisions.

mod txn;

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::OpError;
use super::peer::{Peer, Tls};

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pairs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(int64, tag = "3")]
    mod_revision: i64,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(string, tag = "2")]
    version: String,
}

/// A message of which nothing is needed.
#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// An etcd cluster.
#[derive(Debug, Clone)]
pub(crate) struct Etcd {
    channel: Channel,
    pids: Vec<u32>,
    description: String,
}

impl Etcd {
    /// Connects to the cluster at `address`, which stands behind `etcd://`; an operation may take as
    /// long as `deadline`.
    ///
    /// # Errors
    ///
    /// Fails if the address cannot be read or no endpoint answers.
    pub(crate) async fn connect(address: &str, deadline: Duration) -> anyhow::Result<Self> {
        let peer = Peer::parse(address)?;
        let endpoints = peer.endpoints.iter();
        let endpoints = endpoints.map(|at| endpoint(at, peer.tls.as_ref(), deadline));
        let endpoints = endpoints.collect::<anyhow::Result<Vec<_>>>()?;
        let mut etcd = Self {
            channel: Channel::balance_list(endpoints.into_iter()),
            pids: peer.pids.clone(),
            description: String::new(),
        };
        let status: StatusResponse = etcd
            .call("/etcdserverpb.Maintenance/Status", Nothing {})
            .await
            .map_err(anyhow::Error::new)
            .context("etcd does not answer")?;
        let nodes = peer.endpoints.len();
        let encryption = peer.encryption();
        etcd.description = format!(
            "etcd {}, {nodes} nodes, fsync, linearizable{encryption}",
            status.version
        );
        Ok(etcd)
    }

    /// The value at `key`, or `None`; linearizable.
    pub(crate) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, OpError> {
        let mut found = self.range(key).await?;
        Ok(found.pairs.pop().map(|pair| pair.value))
    }

    async fn range(&self, key: &[u8]) -> Result<RangeResponse, OpError> {
        let key = Bytes::copy_from_slice(key);
        self.call("/etcdserverpb.KV/Range", RangeRequest { key })
            .await
            .map_err(|status| failure(&status))
    }

    /// Sets `key` to `value`.
    pub(crate) async fn put(&self, key: &[u8], value: Bytes) -> Result<(), OpError> {
        let key = Bytes::copy_from_slice(key);
        self.call("/etcdserverpb.KV/Put", PutRequest { key, value })
            .await
            .map(|Nothing {}| ())
            .map_err(|status| failure(&status))
    }

    /// Removes `key`.
    pub(crate) async fn delete(&self, key: &[u8]) -> Result<(), OpError> {
        // A `DeleteRangeRequest` of one key has the fields of a `RangeRequest`.
        let key = Bytes::copy_from_slice(key);
        self.call("/etcdserverpb.KV/DeleteRange", RangeRequest { key })
            .await
            .map(|Nothing {}| ())
            .map_err(|status| failure(&status))
    }

    /// The servers' processes, as far as the address names them.
    pub(crate) fn server_pids(&self) -> Vec<u32> {
        self.pids.clone()
    }

    /// `etcd 3.4.23, 3 nodes, fsync, linearizable, TLS`
    pub(crate) fn describe(&self) -> String {
        self.description.clone()
    }

    async fn call<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone());
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(Request::new(question), path, ProstCodec::<Q, A>::default());
        Ok(answer.await?.into_inner())
    }
}

fn endpoint(at: &str, tls: Option<&Tls>, deadline: Duration) -> anyhow::Result<Endpoint> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{at}"))?
        .connect_timeout(deadline)
        .timeout(deadline)
        .tcp_nodelay(true);
    let Some(tls) = tls else {
        return Ok(endpoint);
    };
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca));
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    Ok(endpoint.tls_config(config)?)
}

/// Only a server that refuses a request before it is proposed stored nothing for certain.
fn failure(status: &Status) -> OpError {
    let (kind, may_be_stored) = match status.code() {
        Code::InvalidArgument => ("refused", false),
        Code::ResourceExhausted => ("no room", false),
        Code::DeadlineExceeded | Code::Cancelled => ("no answer in time", true),
        Code::Unavailable => ("unavailable", true),
        _ => ("error", true),
    };
    OpError {
        kind: kind.to_owned(),
        may_be_stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_bytes_of_the_protocol() {
        let put = PutRequest {
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"vv"),
        };
        assert_eq!(put.encode_to_vec(), b"\x0a\x01k\x12\x02vv");
        // header { revision: 5 }, kvs { key: "k", version: 1, value: "vv" }, count: 1
        let answer = b"\x0a\x02\x18\x05\x12\x09\x0a\x01k\x20\x01\x2a\x02vv\x20\x01".as_slice();
        let found = RangeResponse::decode(answer).unwrap();
        assert_eq!(found.pairs.len(), 1);
        assert_eq!(found.pairs[0].value, b"vv".as_slice());
    }

    #[test]
    fn a_write_without_an_answer_may_be_stored() {
        assert!(failure(&Status::unavailable("gone")).may_be_stored);
        assert!(failure(&Status::unknown("?")).may_be_stored);
        assert!(!failure(&Status::invalid_argument("key is empty")).may_be_stored);
    }
}
