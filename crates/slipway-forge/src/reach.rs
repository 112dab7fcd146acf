//! Which addresses a forge may have.
//!
//! A forge's URL is entered by people, and what stands behind it is asked with Slipway's own network: so a URL
//! that leads to the machine itself, to a cloud's metadata service or into the house's network is refused,
//! unless the administrator of the machine allows its host. What counts is the address that a connection is made
//! to: a name is resolved once, its addresses are checked, and the connection goes to those and no others.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Hosts that may have private addresses, as they stand in URLs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    private: Arc<BTreeSet<String>>,
}

/// A host has only addresses that nobody has allowed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host} is at a private address")]
pub(crate) struct PrivateAddress {
    pub(crate) host: String,
}

impl Reach {
    pub(crate) fn with(private: impl IntoIterator<Item = String>) -> Self {
        let plain = |host: String| host.trim().trim_matches(['[', ']']).to_lowercase();
        Self {
            private: Arc::new(private.into_iter().map(plain).collect()),
        }
    }

    /// Checks a URL whose host is an address: no resolver sees it.
    pub(crate) fn check(&self, url: &Url) -> Result<(), PrivateAddress> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if is_public(address) || self.allows(&address.to_string()) {
            return Ok(());
        }
        Err(PrivateAddress {
            host: address.to_string(),
        })
    }

    fn allows(&self, host: &str) -> bool {
        self.private.contains(&host.trim_end_matches('.').to_lowercase())
    }

    /// Of a name's addresses, those that a connection may be made to.
    fn keep(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, PrivateAddress> {
        if self.allows(host) {
            return Ok(found);
        }
        let public: Vec<_> = found
            .into_iter()
            .filter(|address| is_public(address.ip()))
            .collect();
        if public.is_empty() {
            return Err(PrivateAddress {
                host: host.to_owned(),
            });
        }
        Ok(public)
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?.collect();
            let addresses: Addrs = Box::new(reach.keep(host, found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is one of the public internet: in none of the blocks that IANA lists as not globally reachable
/// (RFC 6890 and its registries), and no multicast.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let this_network = a == 0;
    let shared = a == 100 && (64..128).contains(&b); // RFC 6598
    let protocols = (a, b, c) == (192, 0, 0); // RFC 6890
    let benchmarks = a == 198 && (b == 18 || b == 19); // RFC 2544
    let reserved = a >= 240; // RFC 1112, and broadcast
    !(this_network
        || shared
        || protocols
        || benchmarks
        || reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded(address) {
        return is_public_v4(inner);
    }
    let documentation = address.segments()[..2] == [0x2001, 0xdb8]; // RFC 3849
    // Global unicast is 2000::/3 so far (RFC 4291, IANA's registry).
    address.segments()[0] & 0xe000 == 0x2000 && !documentation
}

/// The IPv4 address that an IPv6 address leads to: mapped (RFC 4291), translated (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for address in [
            "140.82.121.4",
            "1.1.1.1",
            "2606:50c0:8000::64",
            "64:ff9b::8c52:7904",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_host_is_allowed_by_its_own_name_only() {
        let reach = Reach::with([
            "GHE.example".to_owned(),
            "127.0.0.1".to_owned(),
            "[::1]".to_owned(),
        ]);
        let allowed = |url: &str| reach.check(&url.parse().unwrap()).is_ok();
        assert!(allowed("http://127.0.0.1:9/") && allowed("http://[::1]/") && allowed("http://1.1.1.1/"));
        assert!(!allowed("http://127.0.0.2/") && !allowed("http://[::ffff:127.0.0.1]/"));
        // Other spellings of the same address are the same host (URL standard, "IPv4 parser").
        assert!(allowed("http://2130706433/") && !allowed("http://0x7f.2/"));

        let private = vec!["10.0.0.1:0".parse().unwrap()];
        assert_eq!(reach.keep("ghe.example", private.clone()).unwrap(), private);
        assert_eq!(
            reach.keep("other.example", private).unwrap_err().host,
            "other.example"
        );
    }

    #[test]
    fn of_a_name_with_addresses_of_both_kinds_the_public_ones_are_used() {
        let (public, private) = ("1.1.1.1:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap());
        let kept = Reach::default().keep("both.example", vec![private, public]);
        assert_eq!(kept.unwrap(), [public]);
    }
}
