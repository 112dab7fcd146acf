//! Builds that take all they can get.

use std::process::Command;

use super::{Live, contained, mark, on_disk, processes_with};
use crate::machines::{driver, limited, run};

#[tokio::test]
async fn a_build_that_forks_without_end_is_held_and_ends_when_killed() {
    let driver = driver(&[]);
    let word = mark("forks");
    let script = format!(
        r#"exec -a {word} perl -e '$| = 1; my $n = 0;
while (1) {{ my $pid = fork; if (!defined $pid) {{ print "held at $n: $!\n"; last }} if (!$pid) {{ sleep 1000; exit }} $n++ }}
fork while 1'"#
    );
    let mut flood = Live::start(&driver, &script).await;
    let line = flood.hear("held at").await;
    let forks: usize = line.split([' ', ':']).nth(2).unwrap().parse().unwrap();
    assert!((4000..8192).contains(&forks), "{line}");

    // Nobody else is.
    assert!(Command::new("/bin/true").status().unwrap().success());
    let (ok, said) = run(&driver, "for i in $(seq 50); do /bin/true; done; echo well").await;
    assert!(ok && said.contains("well"), "{said}");

    flood.kill().await.unwrap();
    assert!(processes_with(&word).is_empty());
}

#[tokio::test]
async fn a_build_cannot_use_up_namespaces_or_inotify() {
    let driver = driver(&[]);
    let script = r#"
python3 -c "$PY"'
# Beside each other: a parent takes a namespace for a child each, until there are no more.
made = 0
while True:
    ready, say = os.pipe()
    if os.fork() == 0:
        os.write(say, b"y" if libc.unshare(0x10000000) == 0 else b"n")
        os.read(os.pipe()[0], 1)
    good = os.read(ready, 1) == b"y"
    os.close(ready); os.close(say)
    if not good: break
    made += 1
watches = 0
while libc.inotify_init() >= 0: watches += 1
print("namespaces", made, "inotify", watches, flush=True)
os.read(os.pipe()[0], 1)
'
"#;
    let mut flood = Live::start(&driver, script).await;
    let line = flood.hear("namespaces").await;
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|word| word.trim().parse().ok())
        .collect();
    let host: u64 = std::fs::read_to_string("/proc/sys/user/max_inotify_instances")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!((100..=1000).contains(&numbers[0]), "{line}");
    assert!((1..=(host / 8).max(16)).contains(&numbers[1]), "{line}");
    let (ok, said) = run(&driver, "unshare --user --map-root-user --net true && python3 -c 'import ctypes; print(ctypes.CDLL(None).inotify_init())'").await;
    assert!(ok && said.trim().parse::<u32>().is_ok(), "{said}");
    flood.kill().await.unwrap();
}

#[tokio::test]
async fn a_build_cannot_fill_what_is_kept_in_memory() {
    let script = r#"
try "/tmp" fallocate -l 2100m /tmp/full
for at in /run /dev/shm; do try $at dd if=/dev/zero of=$at/full bs=1M count=300; rm -f $at/full; done
try "/dev" dd if=/dev/zero of=/dev/full.file bs=1k count=100
"#;
    let said = contained(4, script).await;
    assert_eq!(
        said.matches("No space left").count() + said.matches("copied").count(),
        4,
        "{said}"
    );
}

#[tokio::test]
async fn a_build_that_fills_the_disk_is_ended_and_told_why() {
    let name = mark("full");
    let driver = limited(&[], 200_000_000);
    let script = format!(
        "touch /{name}; for i in $(seq 100); do dd if=/dev/zero of=/build/$i bs=1M count=20 status=none; sleep 0.2; done; echo ESCAPED; sleep 1000"
    );
    let (ok, said) = run(&driver, &script).await;
    assert!(!ok && !said.contains("ESCAPED"), "{said}");
    assert!(
        said.contains("the machine was ended: it took more than 200000000 bytes of disk"),
        "{said}"
    );
    assert!(!on_disk(&name));
}

#[tokio::test]
async fn a_build_that_fills_the_disk_with_nameless_or_empty_files_is_ended() {
    let nameless = r#"python3 -c "$PY"'
files = []
for n in range(100):
    f = open("/build/hidden", "wb"); os.unlink("/build/hidden"); files.append(f); f.write(bytes(20_000_000)); f.flush()
print("ESCAPED", flush=True)
while True: os.read(os.pipe()[0], 1)
'"#;
    let empty = r#"python3 -c "$PY"'
os.makedirs("/build/many")
n = 0
while True:
    if n % 1000 == 0: os.makedirs("/build/many/%d" % (n // 1000))
    open("/build/many/%d/%d" % (n // 1000, n), "wb").close(); n += 1
    if n > 2000000: print("ESCAPED", flush=True)
'"#;
    for (limit, script) in [(200_000_000, nameless), (20_000_000, empty)] {
        let driver = limited(&[], limit);
        let (ok, said) = run(&driver, &format!("{}\n{script}", super::TRY)).await;
        assert!(!ok && !said.contains("ESCAPED"), "{said}");
        assert!(
            said.contains("the machine was ended: it took more than"),
            "{said}"
        );
    }
}
