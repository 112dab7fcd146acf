//! What the builder tells the launcher, and the launcher the machine's first process: one line of JSON. No secrets: the
//! machine can read it.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// A machine that is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Launch {
    /// The lane's directory that holds the root file system.
    pub(super) root: String,
    /// Arguments of the first program, which is this one again.
    pub(super) arguments: Vec<OsString>,
    /// Its environment, besides [`super::init::ENVIRONMENT`].
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Whose layers the engine starts with.
    pub(super) layers: Option<String>,
    /// How many bytes of layers this lane keeps.
    pub(super) layers_budget: u64,
    /// The most processes and threads.
    pub(super) processes: u64,
    /// The most bytes on disk.
    pub(super) disk: u64,
    /// The host's own addresses, closed besides the ranges that always are.
    pub(super) closed: Vec<Ipv4Addr>,
    /// What the machine reaches all the same.
    pub(super) services: Vec<Inside>,
}

/// A service as a machine sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Inside {
    /// Where it listens in the machine: the same address and port as outside.
    pub(super) address: SocketAddr,
    /// The socket's file name among the lane's services.
    pub(super) socket: String,
    /// The name that stands for the address, where the service is known by one.
    pub(super) name: Option<String>,
}

impl Inside {
    /// The address, if the machine has to be given it.
    pub(super) fn own_address(&self) -> Option<IpAddr> {
        let ip = self.address.ip();
        (!ip.is_loopback()).then_some(ip)
    }
}
