//! A master and the connections to it.
//!
//! ```text
//!   shared     one connection, used by all at once      commands that answer at once
//!   pool       N connections, each used by one          commands that block their connection
//! ```
//!
//! The pool is opened before anything is measured: a TLS handshake takes a server longer than a write, and
//! one caught in the middle of a run would be paid for by all others. A caller that finds all of the pool
//! in use waits its turn. Invariant: at most N connections of the pool are open, and one that failed is
//! dropped, to be replaced by the next operation that needs it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisResult, TlsCertificates,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::peer::Tls;
use super::conditional::SCRIPT;

/// How to reach a node.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) tls: Option<Tls>,
    /// After this, an operation or an attempt to connect counts as failed.
    pub(super) deadline: Duration,
    /// Connections in a master's pool.
    pub(super) pool: usize,
}

/// A connection of the pool that one caller has for itself. It is dropped unless it is kept.
pub(super) struct Held<'a> {
    master: &'a Master,
    connection: MultiplexedConnection,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Held<'_> {
    /// Sends commands and reads their answers.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> RedisResult<T> {
        pipeline.query_async(&mut self.connection).await
    }

    /// Puts it back into the pool: all of its answers were read without an error.
    pub(super) fn keep(self) {
        self.master.give_back(self.connection);
    }
}

/// A master; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Master(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    at: String,
    /// The name of the script of conditional writes, which it has.
    script: String,
    shared: MultiplexedConnection,
    unused: Mutex<Vec<MultiplexedConnection>>,
    permits: Semaphore,
}

impl Wire {
    /// How long a command may block, never 0, which would be for ever.
    pub(super) fn milliseconds(&self) -> u32 {
        u32::try_from(self.deadline.as_millis())
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// A new connection to the node at `HOST:PORT`.
    pub(super) async fn connect(&self, at: &str) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline));
        let client = self.client(at)?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    fn client(&self, at: &str) -> RedisResult<Client> {
        // Without this, the kernel holds small requests back.
        let tcp = TcpSettings::default().set_nodelay(true);
        let Some(tls) = &self.tls else {
            let info = format!("redis://{at}").into_connection_info()?;
            return Client::open(info.set_tcp_settings(tcp));
        };
        let info = format!("rediss://{at}").into_connection_info()?;
        let identity = tls.identity.clone();
        let certificates = TlsCertificates {
            client_tls: identity.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: Some(tls.ca.clone()),
        };
        Client::build_with_tls(info.set_tcp_settings(tcp), certificates)
    }
}

impl Master {
    /// Opens the shared connection; the pool is opened when it is needed, or by [`Self::fill`].
    pub(super) async fn connect(wire: &Wire, at: String) -> RedisResult<Self> {
        let mut shared = wire.connect(&at).await?;
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        Ok(Self(Arc::new(Connections {
            script: load.query_async(&mut shared).await?,
            shared,
            at,
            unused: Mutex::default(),
            permits: Semaphore::new(wire.pool),
        })))
    }

    /// Opens all of the pool.
    pub(super) async fn fill(&self, wire: &Wire) -> RedisResult<()> {
        for _ in 0..wire.pool {
            self.give_back(wire.connect(self.at()).await?);
        }
        Ok(())
    }

    /// `HOST:PORT`
    pub(super) fn at(&self) -> &str {
        &self.0.at
    }

    /// The connection that nothing may block.
    pub(super) fn shared(&self) -> MultiplexedConnection {
        self.0.shared.clone()
    }

    /// The name under which it knows the script of conditional writes.
    pub(super) fn script(&self) -> &str {
        &self.0.script
    }

    /// Sends commands that may block on a connection of the pool.
    pub(super) async fn alone<T: FromRedisValue>(
        &self,
        wire: &Wire,
        pipeline: &Pipeline,
    ) -> RedisResult<T> {
        let mut held = self.hold(wire).await?;
        let answer = held.ask(pipeline).await?;
        held.keep();
        Ok(answer)
    }

    /// Takes a connection of the pool, for several commands one after the other.
    pub(super) async fn hold(&self, wire: &Wire) -> RedisResult<Held<'_>> {
        // It is never closed, and if it were there would be one connection too many at worst.
        let permit = self.0.permits.acquire().await.ok();
        let connection = match self.take() {
            Some(connection) => connection,
            None => wire.connect(self.at()).await?,
        };
        Ok(Held {
            master: self,
            connection,
            _permit: permit,
        })
    }

    /// Whether it still answers.
    pub(super) async fn is_alive(&self) -> bool {
        let pong: RedisResult<String> = redis::cmd("PING").query_async(&mut self.shared()).await;
        pong.is_ok()
    }

    fn take(&self) -> Option<MultiplexedConnection> {
        let mut unused = self.0.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.pop()
    }

    fn give_back(&self, connection: MultiplexedConnection) {
        let mut unused = self.0.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.push(connection);
    }
}
