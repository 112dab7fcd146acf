//! Builds that look for what listens on the host and around it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr as UnixAddr, UnixListener},
        },
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{contained, mark};
use crate::machines::{ENGINE, listener};

/// In a script: `tcp HOST PORT` and `udp HOST PORT` end well when somebody answers.
const REACH: &str = r#"
cat > /tmp/reach.py <<'END'
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
for family, _, _, _, address in socket.getaddrinfo(sys.argv[2], int(sys.argv[3]), type=kind)[:1]:
    s = socket.socket(family, kind)
    s.settimeout(1.5)
    s.connect(address)
    s.send(b"knock")
    print("from", address, s.recv(100))
END
tcp() { timeout 5 python3 /tmp/reach.py tcp "$@"; }
udp() { timeout 5 python3 /tmp/reach.py udp "$@"; }
# Every filter that can be seen from here, and the engine's.
flush() {
    for table in filter nat mangle raw; do for t in iptables ip6tables; do $t -t $table -F; $t -t $table -X; done; done
    for chain in INPUT OUTPUT FORWARD; do iptables -P $chain ACCEPT; ip6tables -P $chain ACCEPT; done
    echo 0 | tee /proc/sys/net/ipv4/conf/*/rp_filter; echo 1 | tee /proc/sys/net/ipv4/conf/*/{route_localnet,accept_local}
    echo 1 > /proc/sys/net/ipv4/ip_forward
} &> /dev/null
flush
"#;

/// Listens on loopback for datagrams, answers, and counts.
async fn datagrams() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&came);
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = socket.send_to(b"welcome", from).await;
        }
    });
    (address, came)
}

fn own_addresses() -> Vec<Ipv4Addr> {
    let all = nix::ifaddrs::getifaddrs().unwrap();
    let all = all.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    all.filter(|address| !address.is_loopback()).collect()
}

fn words(addresses: &[Ipv4Addr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn a_build_cannot_reach_the_hosts_loopback_by_tcp_or_udp_or_names() {
    let ((tcp, streams), (udp, packets)) = (listener().await, datagrams().await);
    let own = own_addresses();
    let script = format!(
        r#"{REACH}
n=0
for host in 127.0.0.1 127.1.2.3 0.0.0.0 10.0.2.2 10.0.2.100 10.0.3.1 {own}; do
    n=$((n + 1)); echo "$host service$n.example" >> /etc/hosts
    for at in $host service$n.example; do try "tcp $at" tcp $at {tcp} & try "udp $at" udp $at {udp} & done
done
wait
"#,
        own = words(&own),
        tcp = tcp.port(),
        udp = udp.port(),
    );
    contained((6 + own.len()) * 4, &script).await;
    assert_eq!(
        (streams.load(Ordering::SeqCst), packets.load(Ordering::SeqCst)),
        (0, 0)
    );
}

#[tokio::test]
async fn a_build_cannot_reach_private_or_metadata_addresses_by_routes_of_its_own() {
    let own = own_addresses();
    let script = format!(
        r#"{REACH}
reached() {{ case "$(timeout 5 python3 /tmp/reach.py "$@" 2>&1)" in *"No route to host"* | *unreachable* | *"timed out"*) return 1 ;; *) return 0 ;; esac; }}
for host in 10.0.0.1 10.0.2.2 172.16.0.1 192.168.0.1 169.254.169.254 169.254.170.2 100.100.100.200 100.64.0.1 192.0.0.192 198.18.0.1 {own}; do
    ip route replace $host/32 via 10.0.3.1
    try "tcp $host" reached tcp $host 80 &
    try "udp $host" reached udp $host 53 &
done
wait
# As if it were at home there.
ip address add 10.0.2.50/24 dev eth0; ip address add 192.168.0.50/24 dev eth0; ip route replace default dev eth0
arp() {{ ip neigh replace $1 lladdr "$(ip neigh show 10.0.3.1 | grep -o '..:..:..:..:..:..')" dev eth0; }}
for host in 10.0.2.2 192.168.0.1 169.254.169.254; do
    arp $host
    try "at home $host" reached tcp $host 80
done
"#,
        own = words(&own),
    );
    contained((10 + own.len()) * 2 + 3, &script).await;
}

#[tokio::test]
async fn a_build_cannot_reach_anything_by_ipv6() {
    let ((tcp, streams), (udp, packets)) = (listener().await, datagrams().await);
    let script = format!(
        r#"{REACH}
echo 0 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6 > /dev/null
ip -6 address add fd00::50/64 dev eth0 nodad; ip -6 route replace default dev eth0
mac=$(ping -c 1 -W 1 10.0.3.1 > /dev/null 2>&1; ip neigh show 10.0.3.1 | grep -o '..:..:..:..:..:..')
for host in fe80::2 fd00::2 fd00::3 fec0::2 fec0::3 2001:db8::1 64:ff9b::7f00:1 ff02::1; do
    [ -n "$mac" ] && ip -6 neigh replace $host lladdr $mac dev eth0 2>/dev/null
done
for host in ::1 ::ffff:127.0.0.1 ::ffff:10.0.2.2 ::ffff:10.0.3.1 ::ffff:169.254.169.254 fe80::2%eth0 fd00::2 fd00::3 fec0::2 fec0::3 2001:db8::1 64:ff9b::7f00:1; do
    try "tcp $host" tcp $host {tcp} &
    try "udp $host" udp $host {udp} &
done
wait
"#,
        tcp = tcp.port(),
        udp = udp.port(),
    );
    contained(24, &script).await;
    assert_eq!(
        (streams.load(Ordering::SeqCst), packets.load(Ordering::SeqCst)),
        (0, 0)
    );
}

#[tokio::test]
async fn a_build_cannot_reach_the_host_by_packets_of_its_own_making() {
    let (udp, packets) = datagrams().await;
    let script = format!(
        r#"{REACH}
timeout 2 bash -c 'exec 3<>/dev/tcp/10.0.3.1/9' 2>/dev/null
python3 -c "$PY"'
port = {port}
line = [l.split() for l in open("/proc/net/arp").readlines()[1:] if l.startswith("10.0.3.1 ")][0]
outer = bytes.fromhex(line[3].replace(":", ""))
own = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
def sum16(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def packet(source, to, options=b""):
    body = struct.pack("!HHHH", 4000, port, 8 + 6, 0) + b"knock!"
    head = lambda sum: struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), 1, 0, 64, 17, sum) + socket.inet_aton(source) + socket.inet_aton(to) + options
    return head(sum16(head(0))) + body
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("eth0", 0x0800))
sent = 0
for source in "10.0.3.2", "127.0.0.1", "10.0.2.100", "10.0.3.1", "8.8.8.8":
    for to in "127.0.0.1", "10.0.2.2", "10.0.2.100", "10.0.3.1", "0.0.0.0", "255.255.255.255", "224.0.0.1":
        # Plain, and by loose source routing (RFC 791) through the ends of the line.
        for options in b"", b"\x83\x0b\x04" + socket.inet_aton("127.0.0.1") + socket.inet_aton("10.0.2.2") + b"\0":
            for mac in outer, b"\xff" * 6:
                sent += raw.send(mac + own + b"\x08\x00" + packet(source, to, options)) > 0
raw.settimeout(2)
print("sent", sent)
try:
    while True:
        if b"welcome" in raw.recv(2000): print("ESCAPED it was answered")
except TimeoutError:
    print("held no answer")
'
"#,
        port = udp.port(),
    );
    let said = contained(1, &script).await;
    assert!(said.contains("sent 140"), "{said}");
    assert_eq!(packets.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_build_cannot_reach_the_filters_namespace_or_the_resolvers_other_ports() {
    let script = format!(
        r#"{REACH}
python3 -c "$PY"'
import select
def scan(host, ports):
    poll, all = select.poll(), {{}}
    for port in ports:
        s = socket.socket(); s.setblocking(False)
        s.connect_ex((host, port)); all[s.fileno()] = (s, port); poll.register(s, select.POLLOUT)
    open = []
    for _ in range(6):
        for fd, _ in poll.poll(500):
            poll.unregister(fd)
            if all[fd][0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0: open.append(all[fd][1])
    if not open: raise OSError("nothing is open")
    return open
for host in "10.0.3.1", "10.0.2.100", "10.0.2.2":
    attempt(host, lambda: scan(host, range(1, 4096)))
attempt("10.0.2.3", lambda: scan("10.0.2.3", [port for port in range(1, 4096) if port != 53]))
'
for port in 67 69 123 161 5353; do for host in 10.0.2.2 10.0.2.3 10.0.3.1; do try "udp $host $port" udp $host $port & done; done; wait
"#
    );
    contained(4 + 15, &script).await;
}

#[tokio::test]
async fn a_build_cannot_reach_the_host_from_its_containers() {
    let (tcp, streams) = listener().await;
    let own = own_addresses();
    let script = format!(
        r#"{REACH}{ENGINE}
mkdir /tmp/base && cd /tmp/base && cp --parents /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*') . && tar c . | docker import - base > /dev/null
docker run --rm base /bin/bash -c 'echo containers run'
flush
# A bridge's containers would get no answer without.
iptables -t nat -A POSTROUTING -s 172.16.0.0/12 -j MASQUERADE
# All at once; who is not answered at all would wait for minutes.
knock='for host in 127.0.0.1 10.0.2.2 10.0.3.1 169.254.169.254 {own}; do (exec 3<>/dev/tcp/$host/{port}) 2>/dev/null && echo "reached $host" & done; wait'
for how in "--network bridge" "--network host" "--network host --privileged --pid host --ipc host"; do
    try "$how" bash -c "timeout -s KILL 10 docker run --rm $how base /bin/bash -c '$knock' | grep reached"
done
try "disk" docker run --rm --privileged -v /:/host base /bin/bash -c 'echo x > /host/proc/sysrq-trigger'
"#,
        own = words(&own),
        port = tcp.port(),
    );
    let said = contained(3 + 1, &script).await;
    assert!(said.contains("containers run"), "{said}");
    assert_eq!(streams.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_build_cannot_reach_the_hosts_unix_sockets_or_engine() {
    let name = mark("abstract");
    let _abstract_one = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name).unwrap()).unwrap();
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = place.path().join("docker.sock");
    let _by_path = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        r#"{ENGINE}
python3 -c "$PY"'
def connect(address):
    s = socket.socket(socket.AF_UNIX); s.connect(address); return "connected"
for address in b"\0{name}", "{path}", "/proc/1/root{path}", "/run/systemd/private", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket":
    attempt(repr(address), lambda: connect(address))
'
echo "engine of $(docker info --format '{{{{.Name}}}} with {{{{.Containers}}}} containers and {{{{.Images}}}} images')"
cut -d ' ' -f 8 /proc/net/unix | grep -c '{name}'
"#,
        path = path.display(),
    );
    let said = contained(6, &script).await;
    assert!(
        said.contains("engine of machine with 0 containers and 0 images\n0\n"),
        "{said}"
    );
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_build_cannot_make_sockets_that_no_namespace_divides() {
    // Only made, never connected: AF_VSOCK would lead out of a virtual machine.
    let script = r#"
python3 -c "$PY"'
def make(family, kind, protocol=0):
    fd = syscall(41, family, kind, protocol); os.close(fd); return fd
for name, family, kind in ("vsock", 40, 1), ("vsock", 40, 2), ("alg", 38, 5), ("bluetooth", 31, 3), ("qipcrtr", 42, 2), ("rds", 21, 5), ("tipc", 30, 5), ("can", 29, 3):
    attempt(name, lambda: make(family, kind))
# The upper half of the argument is not looked at by the kernel.
attempt("vsock with more bits", lambda: make(ctypes.c_ulong(0xffffffff00000028), 1))
attempt("vsock of x32", lambda: syscall(0x40000000 + 41, 40, 1, 0))
attempt("io_uring", lambda: syscall(425, 8, ctypes.create_string_buffer(120)))
for family, kind in (1, 1), (2, 1), (10, 1), (16, 3), (17, 3):
    make(family, kind)
print("others are made")
'
"#;
    let said = contained(11, script).await;
    assert!(said.contains("others are made"), "{said}");
}
