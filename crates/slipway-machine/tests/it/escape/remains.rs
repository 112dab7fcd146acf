//! Builds that want to stay, or to leave something for the next one; and machines whose builder or launcher is killed.

use std::{
    fs,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Live, eventually, mark, on_disk, outside, processes_with};
use crate::machines::{ENGINE, driver, machines, run};

#[tokio::test]
async fn a_build_cannot_keep_processes_after_its_end() {
    let driver = driver(&[]);
    for end in ["exit 0", "echo up; sleep 1000"] {
        let word = mark("stays");
        // Detached in every way, and deaf.
        let script = format!(
            r#"
deaf='trap "" HUP INT TERM QUIT; exec -a {word} sleep 10000'
(setsid bash -c "$deaf" & )
nohup bash -c "$deaf" &> /dev/null &
unshare --fork --pid --mount-proc bash -c "$deaf" &
unshare --user --map-root-user --net bash -c "$deaf" &
setpriv --reuid=1000 --regid=1000 --clear-groups bash -c "$deaf" &
python3 -c "$PY"'
for _ in range(5):
    if os.fork(): os._exit(0)
    os.setsid()
os.execlp("bash", "bash", "-c", sys.argv[1])' "$deaf"
disown -a; sleep 1; echo there
{end}
"#
        );
        let mut live = Live::start(&driver, &script).await;
        live.hear("there").await;
        if end == "exit 0" {
            live.machine.wait().await.unwrap();
        } else {
            assert!(processes_with(&word).len() >= 6, "they cannot be seen from here");
        }
        live.kill().await.unwrap();
        assert!(processes_with(&word).is_empty(), "{end}");
    }
}

#[tokio::test]
async fn a_build_cannot_keep_a_container_that_is_always_restarted() {
    let driver = driver(&[]);
    let word = mark("restarted");
    let script = format!(
        r#"{ENGINE}
mkdir /tmp/base && cd /tmp/base && cp --parents /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*') . && tar c . | docker import - base > /dev/null
docker run --detach --restart always --name {word} base /bin/bash -c 'exec -a {word} bash -c "while :; do read -t 1000 < <(:) ; done"' && docker ps --format 'container {{{{.Names}}}}'
sleep 1000"#
    );
    let mut live = Live::start(&driver, &script).await;
    live.hear(&format!("container {word}")).await;
    live.kill().await.unwrap();
    assert!(processes_with(&word).is_empty());
    let (_, said) = run(&driver, &format!("{ENGINE} docker ps --all --quiet; docker images --quiet; docker volume ls --quiet; echo that is all")).await;
    assert_eq!(said, "that is all\n");
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_build_cannot_save_process_1_from_its_end() {
    let driver = driver(&[]);
    let word = mark("saved");
    // By ptrace(2): has process 1 call prctl(PR_SET_PDEATHSIG, 0), after which it does not die with its launcher.
    let script = format!(
        r#"
cat > /tmp/save.py <<'END'
{{PRELUDE}}
import ctypes
libc.ptrace.argtypes = [ctypes.c_long] * 4
checked(libc.ptrace(16, 1, 0, 0)); os.waitpid(1, 0x40000000)
registers = (ctypes.c_ulonglong * 27)()
checked(libc.ptrace(12, 1, 0, ctypes.addressof(registers)))
kept = list(registers)
# rip is after the `syscall` of the wait that it sleeps in.
registers[16] -= 2
registers[10], registers[14], registers[13] = 157, 1, 0
registers[15] = 2 ** 64 - 1
checked(libc.ptrace(13, 1, 0, ctypes.addressof(registers)))
checked(libc.ptrace(9, 1, 0, 0)); os.waitpid(1, 0x40000000)
checked(libc.ptrace(12, 1, 0, ctypes.addressof(registers)))
result = registers[10]
for n, value in enumerate(kept): registers[n] = value
checked(libc.ptrace(13, 1, 0, ctypes.addressof(registers)))
checked(libc.ptrace(17, 1, 0, 0))
print("saved", result, flush=True)
END
python3 /tmp/save.py
exec -a {word} sleep 10000
"#
    )
    .replace("{PRELUDE}", "import os, sys\nlibc = __import__('ctypes').CDLL(None, use_errno=True)\ndef checked(r):\n    assert r >= 0, __import__('ctypes').get_errno()\n    return r");
    let mut live = Live::start(&driver, &script).await;
    live.hear("saved 0").await;
    eventually("it does not run on", || !processes_with(&word).is_empty()).await;
    live.kill().await.unwrap();
    assert!(processes_with(&word).is_empty());

    // And without a launcher that could end it.
    let mut live = Live::start(&driver, &script).await;
    live.hear("saved 0").await;
    kill(launcher(), Signal::SIGKILL).unwrap();
    live.kill().await.unwrap();
    assert!(processes_with(&word).is_empty());
}

/// The launcher of this test's only machine.
fn launcher() -> Pid {
    let own = std::process::id();
    let found: Vec<u32> = processes_with("machine\0launch")
        .into_iter()
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .unwrap_or_default()
                .contains(&format!(") S {own} "))
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    Pid::from_raw(found[0].cast_signed())
}

#[tokio::test]
async fn what_a_build_leaves_is_removed_whatever_it_is() {
    let name = mark("left");
    let script = format!(
        r#"
touch /{name}
for at in /root /build /var/lib/docker; do
    cd $at
    python3 -c "$PY"'
os.makedirs("x" * 255 + "/" + "y" * 255)
for name in b"\n", b" ", b"-rf", b"\xff\xfe", b"*", b"..." : open(name, "w").close()
os.mkdir("deep"); os.chdir("deep")
for n in range(3000):
    os.mkdir("d" * 100); os.chdir("d" * 100)
'
    mkdir -p closed/within; touch closed/within/file; chmod 000 closed/within closed
    cp /bin/bash suid; chmod 6777 suid; chown 1000:1000 closed; mkdir owned; chown 65533:65533 owned; chmod 700 owned
    mkfifo fifo; ln -s / link; ln -s $at/link2 link2; mkdir mounted; mount -t tmpfs none mounted; touch mounted/file
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
    setfattr -n user.overlay.opaque -v y owned 2>/dev/null
done
cd /; mount -t tmpfs none /build; mount --bind / /mnt; mount -o remount,ro /
echo done; sleep 1000
"#
    );
    let driver = driver(&[]);
    let mut live = Live::start(&driver, &script).await;
    live.hear("done").await;
    assert!(on_disk(&name), "it cannot be seen from here");
    live.kill().await.unwrap();
    assert!(!on_disk(&name));
}

#[tokio::test]
async fn a_build_cannot_change_what_the_next_one_finds() {
    let name = mark("planted");
    let script = format!(
        r"
for at in / /usr/bin /usr/local/bin /etc /root /tmp /run /build /var/lib/docker /dev /dev/shm /run/docker /var/tmp /opt /etc/docker; do
    mkdir -p $at; echo planted > $at/{name}
done
echo '#!/bin/sh' > /usr/bin/git; echo 'eve::0:0::/root:/bin/bash' >> /etc/passwd
ls /{name}
"
    );
    let driver = driver(&[]);
    let (ok, said) = run(&driver, &script).await;
    assert!(ok && said.contains(&name), "{said}");
    let (_, said) = run(&driver, &format!("set +e; find / -name '{name}' -not -path '/proc/*'; grep ^eve: /etc/passwd; git --version; ls -A /build /tmp")).await;
    assert!(
        said.contains("git version") && !said.contains(&name) && !said.contains("eve:"),
        "{said}"
    );
    // Nor in any lane's root file system, whichever the next one has.
    for lane in fs::read_dir(machines().join("lanes")).unwrap().flatten() {
        for entry in fs::read_dir(lane.path()).unwrap().flatten() {
            for at in ["", "usr/bin", "usr/local/bin", "etc", "opt", "var/tmp"] {
                assert!(
                    !entry.path().join(at).join(&name).exists(),
                    "{}",
                    entry.path().display()
                );
            }
        }
    }
}

#[tokio::test]
async fn a_builder_that_is_killed_takes_its_machine_along() {
    let (word, name) = (mark("orphan"), mark("orphan-file"));
    let mut builder = Command::new(env!("CARGO_BIN_EXE_slipway-machine"))
        .arg("build")
        .arg(machines())
        .args(["/bin/bash", "-c", &format!("touch /{name}; (setsid bash -c 'trap \"\" HUP TERM; exec -a {word} sleep 10000' &); exec -a {word} sleep 10000")])
        .envs(outside(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the machine is not up", || {
        on_disk(&name) && processes_with(&word).len() >= 2
    })
    .await;
    builder.kill().unwrap();
    builder.wait().unwrap();
    eventually("processes are left", || processes_with(&word).is_empty()).await;
    eventually("files are left", || !on_disk(&name)).await;
    let (ok, said) = run(
        &driver(&[]),
        &format!("ls -A /build; find / -xdev -name '{name}'; echo clean"),
    )
    .await;
    assert!(ok && said == "clean\n", "{said}");
}

#[tokio::test]
async fn a_machine_whose_launcher_is_killed_is_gone_with_all_it_wrote() {
    let driver = driver(&[]);
    let (word, name) = (mark("launched"), mark("launched-file"));
    let mut live = Live::start(
        &driver,
        &format!(
            "touch /{name}; (setsid bash -c 'exec -a {word} sleep 10000' &); sleep 0.5; echo up; sleep 1000"
        ),
    )
    .await;
    live.hear("up").await;
    assert!(on_disk(&name) && !processes_with(&word).is_empty());
    kill(launcher(), Signal::SIGKILL).unwrap();
    let exit = live.machine.wait().await.unwrap();
    assert_eq!(exit.how, "signal: 9 (SIGKILL)");
    live.kill().await.unwrap();
    assert!(processes_with(&word).is_empty() && !on_disk(&name));
    assert!(run(&driver, "true").await.0);
}
