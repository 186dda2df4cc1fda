//! The ports of a dev cluster for other languages: a gateway in the same process.
//!
//! It is the gateway that `quoit-gateway` runs, over a client of its own. Without tokens, so on loopback addresses only.

use std::net::SocketAddr;
use std::path::Path;

use quoit_client::Client;
use quoit_gateway::{Gateway, Settings, StartError};
use serde_json::{Map, Value};

use crate::exit::Exit;
use crate::failure::Failure;

/// Where the gateway serves.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct PortArgs {
    /// Serve HTTP for other languages at this loopback address, such as 127.0.0.1:8080
    #[arg(long, value_name = "IP:PORT", value_parser = parse_loopback)]
    http: Option<SocketAddr>,

    /// Serve RESP, the protocol of Redis, at this loopback address, such as 127.0.0.1:6379
    #[arg(long, value_name = "IP:PORT", value_parser = parse_loopback)]
    resp: Option<SocketAddr>,
}

/// A gateway, if one was asked for.
#[derive(Debug)]
pub(super) struct Ports(Option<(Gateway, Client)>);

impl Ports {
    /// Serves the cluster of a profile.
    pub(super) async fn open(args: PortArgs, profile: &Path) -> Result<Self, Failure> {
        if args.http.is_none() && args.resp.is_none() {
            return Ok(Self(None));
        }
        let settings = Settings {
            http: args.http,
            resp: args.resp,
            ..Settings::default()
        };
        let builder = settings.limits.client(Client::builder());
        let client = builder.profile(profile).connect().await?;
        match Gateway::start(client.clone(), settings).await {
            Ok(gateway) => Ok(Self(Some((gateway, client)))),
            Err(error) => {
                client.close().await;
                Err(error.into())
            }
        }
    }

    /// What is served where, by name.
    pub(super) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let gateway = self.0.as_ref().map(|(gateway, _)| gateway);
        let named = |gateway: &Gateway| {
            [
                ("http", gateway.http_address()),
                ("resp", gateway.resp_address()),
            ]
        };
        let all = gateway.into_iter().flat_map(named);
        all.filter_map(|(name, address)| Some((name, address?)))
            .collect()
    }

    /// The same as fields of JSON.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let all = self.addresses().into_iter();
        all.map(|(name, address)| (name.into(), address.to_string().into()))
            .collect()
    }

    /// Lets requests under way finish.
    pub(super) async fn close(self) {
        if let Some((gateway, client)) = self.0 {
            gateway.shut_down().await;
            client.close().await;
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let taken = matches!(&error, StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse);
        Self {
            exit: if taken { Exit::TryLater } else { Exit::Usage },
            ..Self::caused(&error)
        }
    }
}

fn parse_loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_reason| format!("`{text}` is no address: write 127.0.0.1:8080"))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        let what = format!("{address} is no loopback address: run quoit-gateway with tokens there");
        Err(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served() {
        assert!(parse_loopback("127.0.0.1:8080").is_ok() && parse_loopback("[::1]:0").is_ok());
        for text in ["0.0.0.0:8080", "localhost:8080", "8080", ""] {
            assert!(parse_loopback(text).is_err(), "{text}");
        }
    }
}
