//! Machines for tests: made on one directory, whose root file systems are kept from run to run.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use slipway_machine::{
    Driver as _, MachineSpec, Started,
    rootless::{DISK, Options, Prepare, Rootless, prepared},
};
use slipway_types::{BuildId, LeaseNo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Root file systems and lanes of all tests: what is made and unpacked there stays, for the next run.
pub(crate) fn machines() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/machines/trixie");
    std::fs::create_dir_all(&directory).unwrap();
    directory.canonicalize().unwrap()
}

/// The same, with a root file system in it.
pub(crate) fn prepared_machines() -> PathBuf {
    let directory = machines();
    prepared(&Prepare {
        directory: directory.clone(),
        suite: "trixie".to_owned(),
        mirror: None,
    })
    .unwrap();
    directory
}

pub(crate) fn driver(services: &[String]) -> Rootless {
    limited(services, DISK)
}

/// A driver whose machines may take so much disk.
pub(crate) fn limited(services: &[String], disk: u64) -> Rootless {
    let options = Options {
        directory: prepared_machines(),
        launcher: env!("CARGO_BIN_EXE_slipway-machine").into(),
        services: services.iter().map(|s| s.parse().unwrap()).collect(),
        disk,
        layers_budget: 1 << 30,
    };
    Rootless::new(options).unwrap()
}

pub(crate) fn script(text: &str) -> MachineSpec {
    MachineSpec {
        build: BuildId::fresh(),
        lease: LeaseNo(1),
        program: "slipway-machine".into(),
        arguments: ["run", "/bin/bash", "-ec", text].map(Into::into).to_vec(),
        environment: Vec::new(),
        layers: None,
    }
}

/// Runs a script in a machine to its end. Returns whether it ended well, and what it said.
pub(crate) async fn run(driver: &Rootless, text: &str) -> (bool, String) {
    run_spec(driver, script(text)).await
}

pub(crate) async fn run_spec(driver: &Rootless, spec: MachineSpec) -> (bool, String) {
    let Started {
        stdin,
        mut stdout,
        mut stderr,
        mut machine,
    } = driver.start(spec).await.unwrap();
    let (mut said, mut complained) = (String::new(), String::new());
    let (a, b, exit) = tokio::join!(
        stdout.read_to_string(&mut said),
        stderr.read_to_string(&mut complained),
        machine.wait(),
    );
    a.unwrap();
    b.unwrap();
    drop(stdin);
    machine.kill(Duration::ZERO).await.unwrap();
    (exit.unwrap().success, said + &complained)
}

/// Waits in a script for the machine's engine.
pub(crate) const ENGINE: &str = "for i in $(seq 600); do [ -S /run/docker.sock ] && break; sleep 0.1; done\n";

/// Listens on loopback, and counts who comes.
pub(crate) async fn listener() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"welcome\n").await;
        }
    });
    (address, came)
}

/// What machines write, seen from outside.
pub(crate) fn scratches() -> Vec<PathBuf> {
    let lanes = std::fs::read_dir(machines().join("lanes")).unwrap().flatten();
    lanes.map(|lane| lane.path().join("scratch")).collect()
}
