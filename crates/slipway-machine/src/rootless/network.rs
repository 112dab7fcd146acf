//! A machine's network: closed by default, from the outside.
//!
//! `eth0` of the machine is one end of a veth; the other is in the outer namespace, behind which slirp4netns(1) makes the
//! host's connections. In between, nftables lets new connections go to public IPv4 addresses, and questions to the
//! resolver. There is no IPv6 at all: slirp4netns is not told to make any, and nothing of it is forwarded. Root in the
//! machine may do what it wants to the filters that it sees; this one is in a namespace over which it has no right.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStdin},
};

use super::{launch::StageError, spec::Inside};
use crate::error::MachineError;

/// The resolver that slirp4netns makes, within its usual network (slirp4netns(1), `--cidr`).
pub(super) const RESOLVER: &str = "10.0.2.3";
/// slirp4netns's device in the outer namespace.
const WAY_OUT: &str = "tap0";
/// The outer end of the machine's line.
const LINE: &str = "machine";
/// The ends' addresses.
const OUTER: &str = "10.0.3.1/30";
const INNER: &str = "10.0.3.2/30";
const GATEWAY: &str = "10.0.3.1";
/// How long slirp4netns may take.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What is never reached: everything that is not the public internet (IANA's IPv4 Special-Purpose Address Registry, RFC
/// 6890), with multicast (RFC 5771). 169.254.0.0/16 holds the clouds' metadata services.
const CLOSED: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Alibaba Cloud's metadata service, the one that lies in public space.
    "100.100.100.200/32",
];

/// The host's own addresses: a public one would lead to services that only listen there.
pub(super) fn own_addresses() -> Vec<Ipv4Addr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let mut found: Vec<Ipv4Addr> = all
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// slirp4netns for one machine. It ends with this: its standard input is what it watches.
#[derive(Debug)]
pub(super) struct Slirp {
    child: Child,
    _exit: ChildStdin,
}

impl Slirp {
    /// Starts it for the namespaces of a process, which this user must be allowed to trace, and waits until it carries what
    /// is sent.
    pub(super) async fn start(pid: u32) -> Result<Self, MachineError> {
        let mut child = tokio::process::Command::new("slirp4netns")
            .args(["--configure", "--mtu=65520", "--disable-host-loopback"])
            .args(["--enable-sandbox", "--enable-seccomp"])
            // It says that it is ready on its output, and ends when its input does.
            .args(["--ready-fd=1", "--exit-fd=0"])
            .args([&pid.to_string(), WAY_OUT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| MachineError::Start {
                program: "slirp4netns".into(),
                source,
            })?;
        let (Some(exit), Some(stdout)) = (child.stdin.take(), child.stdout.as_mut()) else {
            unreachable!("both were asked for as pipes");
        };
        // `1` says so; a warning may come before it.
        let ready = async {
            while stdout.read_u8().await? != b'1' {}
            std::io::Result::Ok(())
        };
        let ready = tokio::time::timeout(READY_WITHIN, ready).await;
        if matches!(ready, Ok(Ok(()))) {
            return Ok(Self { child, _exit: exit });
        }
        Err(MachineError::Refused {
            what: "slirp4netns",
            why: super::control::complaint(&mut child).await,
        })
    }
}

impl Slirp {
    /// Ends it. It has become root of the outer namespace, and so counts among those with the lane's ids.
    pub(super) async fn end(mut self) {
        // Its death is looked for with theirs.
        let _ = self.child.kill().await;
    }
}

/// In the outer namespace: the filter.
pub(super) fn close(own: &[Ipv4Addr]) -> Result<(), StageError> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
        .map_err(|error| StageError::of("forwarding", error))?;
    ip(&["link set lo up"])?;
    feed("nft", &["-f", "-"], &rules(own))
}

fn rules(own: &[Ipv4Addr]) -> String {
    let mut closed = CLOSED.map(str::to_owned).to_vec();
    closed.extend(own.iter().map(ToString::to_string));
    format!(
        "table inet slipway {{
  set closed {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {closed} }}; }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname != \"{LINE}\" drop
    meta nfproto ipv6 reject with icmpv6 type admin-prohibited
    ip daddr {RESOLVER} udp dport 53 accept
    ip daddr {RESOLVER} tcp dport 53 accept
    ip daddr @closed reject with icmp type admin-prohibited
    oifname \"{WAY_OUT}\" meta nfproto ipv4 accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname \"{WAY_OUT}\" masquerade
  }}
}}
",
        closed = closed.join(", ")
    )
}

/// In the outer namespace: the line to the machine whose namespaces a process has.
pub(super) fn lay_line(pid: u32) -> Result<(), StageError> {
    ip(&[
        &format!("link add name {LINE} type veth peer name eth0 netns {pid}"),
        &format!("address add {OUTER} dev {LINE}"),
        &format!("link set {LINE} up"),
    ])
}

/// In the machine's namespace, with the host's programs still in reach.
pub(super) fn connect(services: &[Inside]) -> Result<(), StageError> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("address add {INNER} dev eth0"),
        "link set eth0 up".to_owned(),
        format!("route add default via {GATEWAY}"),
    ];
    let mut own: Vec<_> = services.iter().filter_map(Inside::own_address).collect();
    own.sort_unstable();
    own.dedup();
    lines.extend(
        own.iter()
            .map(|address| format!("address add {address}/32 dev lo")),
    );
    ip(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn ip(lines: &[&str]) -> Result<(), StageError> {
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    feed("ip", &["-batch", "-"], &text)
}

fn feed(program: &'static str, arguments: &[&str], text: &str) -> Result<(), StageError> {
    let failed = |error| StageError::of(program, error);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // What it does not read it complains about.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(StageError::of(program, std::io::Error::other(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_addresses_are_closed_too() {
        let rules = rules(&[Ipv4Addr::new(192, 0, 43, 8)]);
        assert!(rules.contains("100.100.100.200/32, 192.0.43.8 }"), "{rules}");
        assert!(own_addresses().contains(&Ipv4Addr::LOCALHOST));
    }
}
