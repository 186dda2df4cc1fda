//! A gateway: its ports bound, served and stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quoit_client::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::auth::Tokens;
use crate::http::Http;
use crate::listener::{Port, Protocol, Stop};
use crate::metrics::Scrapes;
use crate::rate::RateLimiter;
use crate::resp::Resp;
use crate::settings::{Limits, Settings};
use crate::store::Store;

/// What the ports share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) rate: Option<RateLimiter>,
    pub(crate) limits: Limits,
    /// Whether HTTP is for programs on this machine only, whoever they are.
    pub(crate) local_only: bool,
    pub(crate) stop: Stop,
}

/// A gateway that serves.
///
/// ```
/// use quoit_client::Client;
/// use quoit_gateway::{Gateway, Settings};
/// use quoit_local::{ClusterSettings, InProcessCluster};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = InProcessCluster::start(&ClusterSettings::for_tests(3)).await?;
/// let settings = Settings {
///     http: Some(([127, 0, 0, 1], 0).into()), // any free port
///     ..Settings::default()
/// };
/// let builder = settings.limits.client(Client::builder());
/// let client = builder.profile(cluster.client_profile()).connect().await?;
/// let gateway = Gateway::start(client.clone(), settings).await?;
/// println!("curl http://{}/healthz", gateway.http_address().unwrap());
/// gateway.shut_down().await;
/// client.close().await;
/// cluster.shut_down().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gateway {
    http: Option<SocketAddr>,
    resp: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    ports: JoinSet<()>,
}

/// Why a gateway could not be started. It serves no port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No port was asked for.
    #[error("nothing to serve: give an address for HTTP, for RESP, or both")]
    NoPort,
    /// A limit is out of range.
    #[error("{name} is out of range: {allowed}")]
    Limit {
        /// Which limit.
        name: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An address cannot be served.
    #[error("cannot serve {what} at {address}: {source}")]
    Bind {
        /// `HTTP`, `RESP` or `metrics`.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Gateway {
    /// Binds the ports and serves them on the runtime of the caller, until it is stopped or dropped. The client stays the
    /// caller's; [`Limits::client`] makes one that fits.
    ///
    /// # Errors
    /// [`StartError`]; nothing is served.
    pub async fn start(client: Client, settings: Settings) -> Result<Self, StartError> {
        let limits = settings.limits;
        limits
            .check()
            .map_err(|(name, allowed)| StartError::Limit { name, allowed })?;
        let http = bind("HTTP", settings.http).await?;
        let resp = bind("RESP", settings.resp).await?;
        if http.is_none() && resp.is_none() {
            return Err(StartError::NoPort);
        }
        let scrapes = bind("metrics", settings.metrics.as_ref().map(|it| it.address)).await?;

        let (stop, asked) = watch::channel(false);
        let is_loopback = http
            .as_ref()
            .is_some_and(|bound| bound.address.ip().is_loopback());
        let shared = Arc::new(Shared {
            store: Store::new(client, &limits),
            local_only: is_loopback && settings.tokens.is_none(),
            tokens: settings.tokens,
            rate: limits.rate.map(RateLimiter::new),
            limits,
            stop: asked,
        });
        let mut gateway = Self {
            http: http.as_ref().map(|bound| bound.address),
            resp: resp.as_ref().map(|bound| bound.address),
            metrics: scrapes.as_ref().map(|bound| bound.address),
            stop,
            ports: JoinSet::new(),
        };
        if let Some(bound) = http {
            let tls = settings.tls.as_ref().map(|identity| identity.http());
            let http = Http::new(Arc::clone(&shared));
            gateway.serve(bound, tls, limits.http_idle, http, &shared);
        }
        if let Some(bound) = resp {
            let tls = settings.tls.as_ref().map(|identity| identity.resp());
            let resp = Resp::new(Arc::clone(&shared));
            gateway.serve(bound, tls, limits.resp_idle, resp, &shared);
        }
        if let Some((bound, port)) = scrapes.zip(settings.metrics) {
            let upkeep = port.clone().keep_up(shared.stop.clone());
            gateway.ports.spawn(upkeep);
            gateway.serve(bound, None, limits.transfer, Scrapes(port), &shared);
        }
        Ok(gateway)
    }

    fn serve<P: Protocol>(
        &mut self,
        bound: Bound,
        tls: Option<TlsAcceptor>,
        idle: Duration,
        protocol: P,
        shared: &Shared,
    ) {
        let port = Port {
            listener: bound.listener,
            tls,
            max_connections: shared.limits.max_connections.min(P::MAX_CONNECTIONS),
            idle,
            write: shared.limits.transfer,
            drain: shared.limits.drain,
        };
        let stop = shared.stop.clone();
        self.ports.spawn(port.serve(Arc::new(protocol), stop));
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where RESP is served.
    #[must_use]
    pub const fn resp_address(&self) -> Option<SocketAddr> {
        self.resp
    }

    /// Where metrics are read.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Stops in order: no new connections, an answer to every request and command under way, at most for
    /// [`Limits::drain`]. Then what is left is ended. A command that had arrived and was not begun is not carried out.
    /// Client and cluster go on.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while self.ports.join_next().await.is_some() {}
    }
}

/// A bound port.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

async fn bind(
    what: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<Bound>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let failed = |source| StartError::Bind {
        what,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Some(Bound { listener, address }))
}
