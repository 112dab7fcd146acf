//! Rootless machines: what is in them, what they reach, and what is left of them.

use std::{sync::atomic::Ordering, time::Duration};

use slipway_machine::{Driver as _, MachineSpec};
use slipway_types::BuildId;
use tokio::io::AsyncReadExt as _;

use crate::machines::{ENGINE, driver, listener, run, run_spec, scratches, script};

#[tokio::test]
async fn a_machine_has_an_engine_that_builds_and_runs_and_composes() {
    let script = r#"
mkdir /tmp/base && cd /tmp/base && cp --parents /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*') .
printf 'FROM scratch\nCOPY . /\nRUN ["/bin/bash", "-c", "echo gooseberry > /word"]\n' > Dockerfile
docker build --quiet --tag tried . >/dev/null
docker run --rm tried /bin/bash -c 'echo "run: $(< /word)"'
printf 'services:\n  sut:\n    image: tried\n    command: ["/bin/bash", "-c", "echo composed"]\n' > docker-compose.yml
docker compose up 2>&1 | grep -o composed
"#;
    let (ok, said) = run(&driver(&[]), &format!("{ENGINE}{script}")).await;
    assert!(ok, "{said}");
    assert!(
        said.contains("run: gooseberry") && said.contains("composed"),
        "{said}"
    );
}

#[tokio::test]
async fn root_in_a_machine_is_nobody_outside() {
    let script = "id -u; hostname; pwd; cat /proc/self/uid_map; touch /usr/local/bin/x; ls -a /; ls /build /tmp; ls /proc";
    let (ok, said) = run(&driver(&[]), script).await;
    assert!(ok, "{said}");
    assert!(said.starts_with("0\nmachine\n/build\n"), "{said}");
    let host = std::fs::read_dir("/proc").unwrap().flatten();
    let host = host
        .filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok())
        .count();
    let inside = said.lines().filter(|line| line.parse::<u32>().is_ok()).count();
    assert!(
        inside < 12 && host > inside,
        "the host's processes are seen: {said}"
    );
}

#[tokio::test]
async fn the_hosts_loopback_is_closed_and_an_allowed_service_is_open_at_the_same_address() {
    let (closed, strangers) = listener().await;
    let (open, guests) = listener().await;
    let script = format!(
        "iptables -F; iptables -t nat -F; iptables -P FORWARD ACCEPT
         for host in 127.0.0.1 10.0.2.2 10.0.3.1; do
             timeout 5 bash -c \"exec 3<>/dev/tcp/$host/{closed}\" && echo reached $host; done
         timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{open}; head -n 1 <&3'",
        closed = closed.port(),
        open = open.port(),
    );
    let (ok, said) = run(&driver(&[open.to_string()]), &format!("set +e\n{script}")).await;
    assert!(ok && said.contains("welcome"), "{said}");
    assert!(!said.contains("reached"), "{said}");
    assert_eq!(
        (strangers.load(Ordering::SeqCst), guests.load(Ordering::SeqCst)),
        (0, 1),
        "{said}"
    );
}

#[tokio::test]
async fn private_addresses_are_refused_by_what_the_machine_cannot_change() {
    let own: Vec<String> = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .filter(|address| !address.is_loopback())
        .map(|address| address.to_string())
        .collect();
    let script = format!(
        "set +e; iptables -F; iptables -P OUTPUT ACCEPT
         for host in 10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.100.100.200 100.64.0.1 10.0.2.3 {}; do
             echo \"$host: $(timeout 5 bash -c \"exec 3<>/dev/tcp/$host/80\" 2>&1 | head -n 1)\"; done",
        own.join(" ")
    );
    let (_, said) = run(&driver(&[]), &script).await;
    let tried: Vec<&str> = said.lines().filter(|line| line.contains(": bash: ")).collect();
    assert_eq!(tried.len(), 7 + own.len(), "{said}");
    for line in tried {
        // "Prohibited" by the filter (RFC 1812, 5.2.7.1); a refusal would come from whoever was reached.
        assert!(line.contains("No route to host"), "{line}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_machine_that_is_killed() {
    let driver = driver(&[]);
    let mut started = driver
        .start(script(
            "setsid sleep 1000 & head -c 1m /dev/urandom > /root/left; touch /build/left; echo up; wait",
        ))
        .await
        .unwrap();
    let mut up = [0; 3];
    started.stdout.read_exact(&mut up).await.unwrap();
    assert!(scratches().iter().any(|s| s.join("build/left").exists()));

    started.machine.kill(Duration::ZERO).await.unwrap();

    assert!(
        !scratches().iter().any(|s| s.join("build/left").exists()),
        "what it wrote is left"
    );
    started.machine.kill(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn two_machines_at_once_do_not_see_each_other() {
    let driver = driver(&[]);
    let one = run(
        &driver,
        "touch /tmp/mark /build/mark; sleep 1; ls /tmp /build; awk '{print $2}' /proc/self/uid_map",
    );
    let two = run(&driver, "sleep 0.5; ls -d /tmp/mark /build/mark; true");
    let ((one_ok, one), (_, two)) = tokio::join!(one, two);
    assert!(one_ok && one.contains("mark"), "{one}");
    assert!(two.contains("cannot access '/tmp/mark'"), "{two}");
}

/// What a build does to have something of it come back: a forged name, a container that restarts, a volume.
const LEAVES: &str = r#"
mkdir /tmp/base && cd /tmp/base && cp --parents /bin/bash $(ldd /bin/bash | grep -o '/[^ ]*') .
printf 'FROM scratch\nCOPY . /\nRUN ["/bin/bash", "-c", "echo gooseberry > /word"]\n' > Dockerfile
docker build --progress=plain --tag forged:latest . 2>&1
docker run --detach --restart always --volume kept:/kept forged /bin/bash -c 'while true; do read -t 9 < /dev/zero; done' >/dev/null
"#;

#[tokio::test]
async fn layers_come_back_to_a_repositorys_next_machine_and_nothing_else_does() {
    let driver = driver(&[]);
    let key = format!("test-{}", BuildId::fresh().uuid().simple());
    let spec = |text: &str| MachineSpec {
        layers: Some(key.clone()),
        ..script(&format!("{ENGINE}{text}"))
    };
    let (ok, said) = run_spec(&driver, spec(LEAVES)).await;
    assert!(ok && !said.contains("CACHED"), "{said}");

    let look = "docker ps --all --quiet | wc -l; docker volume ls --quiet | wc -l; docker images --quiet forged | wc -l";
    let (ok, said) = run_spec(&driver, spec(look)).await;
    assert!(ok && said == "0\n0\n0\n", "{said}");

    let (ok, said) = run_spec(&driver, spec(LEAVES)).await;
    assert!(ok && said.contains("CACHED"), "{said}");

    let (ok, said) = run(&driver, &format!("{ENGINE}{LEAVES}")).await;
    assert!(
        ok && !said.contains("CACHED"),
        "somebody else's machine has them: {said}"
    );
}

#[tokio::test]
async fn a_data_root_that_a_machine_made_odd_is_thrown_away() {
    let driver = driver(&[]);
    let key = format!("test-{}", BuildId::fresh().uuid().simple());
    let spec = |text: &str| MachineSpec {
        layers: Some(key.clone()),
        ..script(text)
    };
    // Links where the clean-up would go, to what it must not touch.
    let odd = format!(
        "{ENGINE} kill $(cat /run/docker.pid); sleep 1; cd /var/lib/docker; rm -rf image
         ln -s /etc image; ln -s /etc buildkit2; mkdir -p overlay2/deep; chmod 000 overlay2/deep"
    );
    let (ok, said) = run_spec(&driver, spec(&odd)).await;
    assert!(ok, "{said}");
    let (ok, said) = run_spec(
        &driver,
        spec(&format!(
            "{ENGINE}test -e /etc/passwd; docker images --quiet; ls /var/lib/docker"
        )),
    )
    .await;
    assert!(ok && !said.contains("passwd"), "{said}");
}
