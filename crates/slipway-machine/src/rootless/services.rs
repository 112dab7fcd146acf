//! Services of the host, or of its network, that machines may reach although both are closed to them: named one by one,
//! as `HOST:PORT`. A machine gets no route to them. The builder holds a socket for each, and in the machine the same
//! address and port lead into it, so that image names and URLs stay what they are.

use std::{fmt, net::SocketAddr, str::FromStr};

use super::spec::Inside;

/// `HOST:PORT`; the host is a name or an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    host: String,
    port: u16,
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not HOST:PORT, as 127.0.0.1:5000 or registry.internal:443");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        match port.parse() {
            Ok(port) if is_name && port != 0 => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A service for one machine.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it is today.
    pub(super) address: SocketAddr,
    /// The socket's file name.
    pub(super) socket: String,
    name: Option<String>,
}

impl Place {
    pub(super) fn inside(&self) -> Inside {
        Inside {
            address: self.address,
            socket: self.socket.clone(),
            name: self.name.clone(),
        }
    }
}

/// Looks up where services are. One whose name is not known is left out: the machine is told so by its own look-up.
pub(super) async fn places(services: &[Service]) -> Vec<Place> {
    let mut places = Vec::new();
    for (number, service) in services.iter().enumerate() {
        let found = tokio::net::lookup_host((service.host.as_str(), service.port)).await;
        let address = found.ok().and_then(|mut all| all.find(SocketAddr::is_ipv4));
        let Some(address) = address else {
            tracing::warn!(%service, "a service that machines may reach has no IPv4 address here");
            continue;
        };
        places.push(Place {
            address,
            socket: number.to_string(),
            name: (service.host != address.ip().to_string()).then(|| service.host.clone()),
        });
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_host_and_a_port() {
        for right in ["127.0.0.1:5000", "registry.internal:443", "localhost:1"] {
            assert_eq!(right.parse::<Service>().unwrap().to_string(), right);
        }
        for wrong in [
            "",
            "127.0.0.1",
            ":5000",
            "host:",
            "host:0",
            "host:70000",
            "a b:1",
            "http://h:1",
            "h\n:1",
        ] {
            assert!(wrong.parse::<Service>().is_err(), "{wrong}");
        }
    }
}
