//! However a run ends, nothing of its parts is left.

use std::fs;
use std::path::Path;
use std::process::Command;

use slipway_parts::{Engine, Registry};

use crate::runner::{Runner, eventually};

/// Two processes of one run ask for `part`; then the runner is killed.
fn is_shared_and_goes_with_a_killed_runner(part: &str) {
    let mut runner = Runner::running(&format!("part {part}; part {part}; read _"));
    let (first, second) = (runner.line(), runner.line());
    assert_eq!(first, second, "two processes of one run have two parts");
    let directory = runner.directory();
    assert!(
        !processes_with(&directory).is_empty(),
        "no process of {part} runs, though it has an address"
    );

    runner.kill();

    nothing_is_left_of(&directory);
}

fn nothing_is_left_of(directory: &Path) {
    eventually("the parts' processes end", || {
        processes_with(directory).is_empty()
    });
    eventually("the run's directory is removed", || !directory.exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(directory.to_str().unwrap()),
        "mounts are left:\n{mounts}"
    );
}

/// The processes whose command line names something in `directory`: id and command line.
fn processes_with(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // Not every entry is a process, and a process may end while it is looked at.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(directory.to_str().unwrap()) {
            found.push((entry.file_name().into_string().unwrap(), line));
        }
    }
    found
}

#[test]
fn postgres_is_shared_by_a_run_and_goes_with_a_killed_runner() {
    is_shared_and_goes_with_a_killed_runner("postgres");
}

#[test]
fn the_registry_is_shared_by_a_run_and_goes_with_a_killed_runner() {
    is_shared_and_goes_with_a_killed_runner("registry");
}

#[test]
fn the_engine_is_shared_by_a_run_and_goes_with_a_killed_runner() {
    is_shared_and_goes_with_a_killed_runner("engine");
}

#[test]
fn an_engine_in_use_leaves_no_container_bridge_or_control_group() {
    let mut runner = Runner::running("part engine; read _");
    let host = runner.line();
    // Client and image come from the parts of this test's own run.
    let own_run = Engine::shared();
    let base = own_run.push_base(&Registry::shared_open(), "base:busybox");
    let docker = |arguments: &[&str]| {
        let output = Command::new(&own_run.cli)
            .env("DOCKER_HOST", &host)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let bridge = format!("br-{}", &docker(&["network", "create", "lasting"])[..12]);
    docker(&[
        "run",
        "--detach",
        "--restart=always",
        "--network=lasting",
        &base,
        "sleep",
        "4321",
    ]);
    let directory = runner.directory();
    let after = fs::read_to_string(directory.join("engine/after")).unwrap();
    let (_, own) = after.split_once("/sys/class/net/slipway").unwrap();
    let own = format!("slipway{}", &own[..8]);
    let device = |name: &str| Path::new("/sys/class/net").join(name).exists();
    assert!(
        device(&bridge) && device(&own),
        "the engine does not use its bridges {bridge} and {own}"
    );
    assert!(
        !control_groups(&own).is_empty(),
        "the container is in no control group of the engine's"
    );

    runner.kill();

    nothing_is_left_of(&directory);
    assert!(
        !device(&bridge) && !device(&own),
        "bridges are left: {bridge} or {own}"
    );
    assert_eq!(control_groups(&own), Vec::<String>::new());
}

fn control_groups(name: &str) -> Vec<String> {
    let output = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", name])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_runner_that_ends_by_itself_leaves_nothing_either() {
    let mut runner = Runner::running("part registry-open; read _; true");
    runner.line();
    let directory = runner.directory();
    drop(runner.shell.stdin.take());
    assert!(runner.shell.wait().unwrap().success());
    nothing_is_left_of(&directory);
}

#[test]
fn a_part_ends_even_when_its_guard_is_killed() {
    let mut runner = Runner::running("part postgres; part registry; read _; false");
    let (_postgres, _registry) = (runner.line(), runner.line());
    let directory = runner.directory();
    let processes = processes_with(&directory);
    let guards = processes
        .iter()
        .filter(|(_, line)| line.contains("slipway-parts-guard"));
    let guards: Vec<_> = guards.map(|(pid, _)| pid).collect();
    assert_eq!(guards.len(), 2, "{processes:?}");

    assert!(
        Command::new("kill")
            .arg("-KILL")
            .args(guards)
            .status()
            .unwrap()
            .success()
    );

    eventually("the parts end without their guards", || {
        processes_with(&directory).is_empty()
    });
    // With the guards went the cleaning up.
    fs::remove_dir_all(&directory).unwrap();
}
