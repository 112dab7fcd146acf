use std::{fs, path::PathBuf, time::Duration};

use slipway_machine::{Driver, Host, MachineSpec, Started, processes};
use slipway_types::{BuildId, LeaseNo};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Long enough for a busy machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(host: &Host, script: &str) -> Started {
    let spec = MachineSpec {
        build: BuildId::fresh(),
        lease: LeaseNo(1),
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        layers: None,
    };
    host.start(spec).await.unwrap()
}

fn alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn killing_ends_daemons_that_left_group_and_session() {
    let work = tempfile::tempdir().unwrap();
    let host = Host::new(work.path().to_owned());
    // A daemon by double fork in a session of its own, and one more that hides its environment but not its parent.
    let mut started = start(
        &host,
        "setsid sh -c 'sleep 1000 & echo $!' ; env -i setsid sleep 1001 & echo $!; wait",
    )
    .await;
    let mut lines = BufReader::new(started.stdout).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    let second = lines.next_line().await.unwrap().unwrap();
    assert!(alive(&first) && alive(&second));

    started.machine.kill(Duration::ZERO).await.unwrap();

    assert!(!alive(&first), "the daemon lives on");
    assert!(!alive(&second), "the one that hid lives on");
    assert_eq!(
        fs::read_dir(work.path()).unwrap().count(),
        0,
        "the work directory is left"
    );
}

#[tokio::test]
async fn what_outlives_the_first_process_is_found_by_its_marker() {
    let work = tempfile::tempdir().unwrap();
    let mut started = start(
        &Host::new(work.path().to_owned()),
        "sleep 1000 >/dev/null 2>&1 & echo $!",
    )
    .await;
    let mut left = String::new();
    started.stdout.read_to_string(&mut left).await.unwrap();
    assert!(started.machine.wait().await.unwrap().success);
    assert!(alive(&left));

    started.machine.kill(Duration::ZERO).await.unwrap();
    assert!(!alive(&left));
    started.machine.kill(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn grace_lets_the_first_process_end_by_itself() {
    let work = tempfile::tempdir().unwrap();
    let left = work.path().join("left");
    let script = format!("cat >/dev/null; echo ended > {}", left.display());
    let mut started = start(&Host::new(work.path().join("runs")), &script).await;

    drop(started.stdin);
    started.machine.kill(PATIENCE).await.unwrap();

    assert_eq!(fs::read_to_string(left).unwrap(), "ended\n");
}

#[tokio::test]
async fn a_run_has_a_private_directory_and_a_clean_environment() {
    let work = tempfile::tempdir().unwrap();
    let mut started = start(
        &Host::new(work.path().to_owned()),
        "pwd; stat -c %a .; env | cut -d= -f1 | sort | xargs",
    )
    .await;
    let mut said = String::new();
    started.stdout.read_to_string(&mut said).await.unwrap();
    let lines: Vec<&str> = said.lines().collect();

    assert!(PathBuf::from(lines[0]).starts_with(work.path().canonicalize().unwrap()));
    assert_eq!(lines[1], "700");
    let names: Vec<&str> = lines[2]
        .split(' ')
        .filter(|n| !["PWD", "_", "OLDPWD", "SHLVL"].contains(n))
        .collect();
    assert_eq!(names, ["PATH", processes::MARKER]);
    started.machine.kill(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let work = tempfile::tempdir().unwrap();
    let spec = MachineSpec {
        build: BuildId::fresh(),
        lease: LeaseNo(1),
        program: "/nowhere/slipway".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        layers: None,
    };
    let error = Host::new(work.path().to_owned()).start(spec).await.unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/slipway could not be started");
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}
