//! Builds that look for other processes.

use std::process::Command;

use super::{Live, builder, contained, mark, outside, processes_with};
use crate::machines::{driver, run};

#[tokio::test]
async fn a_build_cannot_see_or_signal_the_hosts_processes() {
    let word = mark("host-process");
    let mut victim = Command::new("/bin/bash")
        .args(["-c", "read", &word])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let own = std::process::id();
    let script = format!(
        r#"
for pid in {victim} {own}; do
    for file in cmdline environ root/etc/shadow maps; do
        try "$pid $file" bash -c "head -c 1 /proc/$pid/$file | grep ."
    done
done
try "names" bash -c 'cat /proc/[0-9]*/cmdline | tr "\0" "\n" | grep -x "[s]{rest}"'
# All numbers there are, itself and what it runs under left out.
python3 -c "$PY"'
reached = []
for pid in range(2, 4194304):
    if pid in (os.getpid(), os.getppid()): continue
    try:
        os.kill(pid, 9); reached.append(pid)
    except ProcessLookupError: pass
print("signalled", len(reached))
'
kill -KILL -1; echo "and then all but this shell is dead"
"#,
        rest = &word[1..],
        victim = victim.id()
    );
    contained(2 * 4 + 1, &script).await;
    assert!(victim.try_wait().unwrap().is_none(), "it is dead");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[tokio::test]
async fn a_build_cannot_signal_the_stages_it_was_started_by() {
    // Signals to a process group do not stop at a process namespace.
    for signal in ["KILL", "STOP", "TERM"] {
        // Somebody who is not in the group ends the shell that is.
        let script = format!(
            r#"setsid bash -c "trap '' TERM; echo apart; sleep 1; kill -KILL $$" & sleep 0.5; kill -{signal} 0; sleep 1000"#
        );
        let mut live = Live::start(&driver(&[]), &script).await;
        live.hear("apart").await;
        let exit = live.machine.wait().await.unwrap();
        // The launcher has lived to say so. 143 where the shell died of the first.
        let code = if signal == "TERM" { "143" } else { "137" };
        assert_eq!(exit.how, format!("exit status: {code}"), "{signal}");
        live.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_build_cannot_see_or_signal_another_machines_processes() {
    let driver = driver(&[]);
    let word = mark("neighbour");
    let mut neighbour = Live::start(
        &driver,
        &format!("echo {word} > /tmp/{word}; exec -a {word} bash -c 'trap \"echo hit\" TERM; echo up; while read -t 1000 line; do :; done < <(sleep 1000); echo over'"),
    )
    .await;
    neighbour.hear("up").await;
    assert_eq!(processes_with(&word).len(), 1, "it cannot be seen from here");
    let script = format!(
        r#"
for n in 1 2 3 4 5 6 7 8 9; do try "memory $n" bash -c "grep -q {word} /proc/$n/root/tmp/{word}"; done
try "names" bash -c 'cat /proc/[0-9]*/comm /proc/[0-9]*/cmdline | tr "\0" "\n" | grep -x "[s]{rest}"'
try "files" bash -c 'find / -name "{word}" | grep .'
kill -TERM -1; kill -KILL -1; echo "and then all but this shell is dead"
"#,
        rest = &word[1..],
    );
    contained(11, &script).await;
    assert_eq!(processes_with(&word).len(), 1, "it is dead");
    neighbour.kill().await.unwrap();
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_build_cannot_enter_a_namespace_outside() {
    let script = r#"
python3 -c "$PY"'
import fcntl
kinds = "user", "mnt", "net", "pid", "ipc", "uts", "cgroup"
# NS_GET_USERNS, and NS_GET_PARENT of the kinds that have one (ioctl_nsfs(2)); up as far as it goes, then in.
def up(kind, how):
    fd = os.open("/proc/self/ns/" + kind, os.O_RDONLY)
    fd = fcntl.ioctl(fd, how)
    if how == 0xb701 and os.stat(fd).st_ino == os.stat("/proc/self/ns/user").st_ino:
        raise OSError("it is its own")
    return syscall(308, fd, 0)
for kind in kinds:
    attempt("owner of " + kind, lambda: up(kind, 0xb701))
for kind in "user", "pid":
    attempt("parent of " + kind, lambda: up(kind, 0xb702))
# Numbers of the first namespaces, which are fixed (proc_ns.h), as files of nsfs.
for number in 0xEFFFFFFF, 0xEFFFFFFE, 0xEFFFFFFD, 0xEFFFFFFC, 0xEFFFFFFB:
    def first():
        place = os.open("/proc/self/ns/net", os.O_RDONLY)
        handle = struct.pack("IiQII", 16, 0xf1, 0, 0, number)
        return syscall(304, place, ctypes.create_string_buffer(handle), os.O_RDONLY)
    attempt("first %x" % number, first)
'
for kind in user mnt net pid ipc uts cgroup; do
    [ "$(readlink /proc/1/ns/$kind)" = "$(readlink /proc/self/ns/$kind)" ] && echo "held process 1 has the same $kind"
done
"#;
    contained(7 + 2 + 5 + 7, script).await;
}

#[tokio::test]
async fn a_build_cannot_type_into_its_builders_terminal() {
    let shell = r#"export SHELL=/bin/bash; script -qec 'echo "controlled by $(tty)"; exec "$BUILD" build "$MACHINES" /bin/bash -c "$SCRIPT"' /dev/null < /dev/null"#;
    let output = builder(
        shell,
        r#"
try "open" bash -c 'exec 3<>/dev/tty'
python3 -c "$PY"'
import fcntl
attempt("type", lambda: [fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x")])
attempt("take", lambda: [fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x540E, 1)])
for fd in 0, 1, 2:
    attempt("type %d" % fd, lambda: [fcntl.ioctl(fd, 0x5412, b"x")])
'
"#,
    );
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(said.contains("controlled by /dev/"), "{said}");
    super::refused(6, &said);
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_build_cannot_read_its_builders_keys() {
    // keyctl(2): join a session keyring, and put a key into it.
    let word = mark("key");
    let shell = format!(
        r#"exec perl -e '
syscall(250, 1, 0) >= 0 or die "join: $!";
my ($kind, $name, $secret) = ("user", "{word}", "{word}");
my $key = syscall(248, $kind, $name, $secret, length $secret, -3);
$key > 0 or die "add: $!";
my $ring = syscall(250, 0, -3, 0);
$ENV{{SCRIPT}} =~ s/RING/$ring/g; $ENV{{SCRIPT}} =~ s/KEY/$key/g;
my $read = " " x 100; syscall(250, 11, $key, $read, 100) == length $secret or die "read: $!";
exec $ENV{{BUILD}}, "build", $ENV{{MACHINES}}, "/bin/bash", "-c", $ENV{{SCRIPT}};'"#
    );
    let script = r#"
python3 -c "$PY"'
def read(key):
    text = ctypes.create_string_buffer(100)
    syscall(250, 11, key, text, 100)
    return text.value
attempt("read", lambda: read(KEY))
attempt("list", lambda: read(RING))
attempt("search", lambda: syscall(250, 10, -3, b"user", b"WORD", 0))
attempt("search", lambda: syscall(250, 10, RING, b"user", b"WORD", 0))
attempt("own", lambda: syscall(250, 4, KEY, 0, 0))
attempt("link", lambda: syscall(250, 8, KEY, -3))
'
"#
    .replace("WORD", &word);
    let output = builder(&shell, &script);
    super::refused(6, &String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn a_builders_environment_is_not_its_machines() {
    let word = mark("environment");
    let mut command = Command::new("/bin/bash");
    let output = command
        .args(["-c", r#"exec "$BUILD" build "$MACHINES" /bin/bash -c "$SCRIPT""#])
        .envs(outside("cat /proc/[0-9]*/environ | tr '\\0' '\\n'; env"))
        .env("SLIPWAY_SECRET", &word)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("DOCKER_HOST=") && !said.contains(&word), "{said}");
    let (ok, _) = run(&driver(&[]), "true").await;
    assert!(ok);
}
