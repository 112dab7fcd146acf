//! From the host in an image name to the address of its registry's API.

use std::net::IpAddr;

use url::{Host, Url};

use crate::error::RegistryError;

/// Where a registry's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    name: String,
    base: Url,
}

impl RegistryAddress {
    /// Reads the host of an image name: `127.0.0.1:5000`, `registry.example.org`, `index.docker.io`.
    ///
    /// Loopback is spoken to over HTTP, all others over HTTPS, as every Docker Engine does
    /// (dockerd(8), "Insecure registries"). Docker Hub's images are named `docker.io` or
    /// `index.docker.io`, and served by `registry-1.docker.io`.
    ///
    /// # Errors
    /// [`RegistryError::BadHost`] for anything but a host with an optional port.
    pub fn of(host: &str) -> Result<Self, RegistryError> {
        let bad = || RegistryError::BadHost {
            host: host.to_owned(),
        };
        let served_by = match host {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        if served_by.is_empty() || served_by.contains(['/', '@', '?', '#', '\\']) {
            return Err(bad());
        }
        let secure = Url::parse(&format!("https://{served_by}/")).map_err(|_| bad())?;
        let base = if is_loopback(&secure) {
            Url::parse(&format!("http://{served_by}/")).map_err(|_| bad())?
        } else {
            secure
        };
        Ok(Self {
            name: host.to_owned(),
            base,
        })
    }

    /// The host as image names have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of this registry in a Docker client's `config.json`: the name, but for Docker Hub its old address.
    pub fn config_key(&self) -> &str {
        match self.name.as_str() {
            "docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
            name => name,
        }
    }

    /// Whether it is spoken to without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// An address below `/v2/`; `path` is made of checked names only.
    pub(crate) fn v2(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }

    /// Whether an address is one of this registry's own.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests(host: &str) -> String {
        RegistryAddress::of(host).unwrap().v2("").to_string()
    }

    #[test]
    fn loopback_is_plain_and_all_else_is_not() {
        assert_eq!(manifests("127.0.0.1:5000"), "http://127.0.0.1:5000/v2/");
        assert_eq!(manifests("localhost:5000"), "http://localhost:5000/v2/");
        assert_eq!(manifests("[::1]:5000"), "http://[::1]:5000/v2/");
        assert_eq!(manifests("10.0.0.1:5000"), "https://10.0.0.1:5000/v2/");
        assert_eq!(manifests("r.example.org"), "https://r.example.org/v2/");
    }

    #[test]
    fn docker_hub_is_served_elsewhere_than_it_is_named() {
        assert_eq!(manifests("docker.io"), "https://registry-1.docker.io/v2/");
        let hub = RegistryAddress::of("index.docker.io").unwrap();
        assert_eq!(hub.config_key(), "https://index.docker.io/v1/");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in ["", "a/b", "user@host", "a b", "host:port", "h?x", "h#x"] {
            assert!(RegistryAddress::of(bad).is_err(), "{bad:?}");
        }
    }
}
