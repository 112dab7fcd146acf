//! The parts do what tests need of them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use slipway_parts::{Engine, Postgres, Registry};

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn every_test_has_a_database_of_its_own() {
    let postgres = Postgres::shared();
    let (one, other) = (postgres.fresh_database(), postgres.fresh_database());
    assert_ne!(one, other);
    for address in [&one, &other] {
        succeeds(Command::new("psql").args([
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            "CREATE TABLE t (n int)",
            address,
        ]));
    }
}

#[test]
fn postgres_listens_on_no_network_address() {
    assert_eq!(Postgres::shared().execute("SHOW listen_addresses").unwrap(), "");
}

#[test]
fn the_engine_is_well_and_says_its_version() {
    let engine = Engine::shared();
    engine.ping().unwrap();
    assert!(
        engine.version.chars().next().unwrap().is_ascii_digit(),
        "version {}",
        engine.version
    );
    let api: Vec<u32> = engine
        .api_version
        .split('.')
        .map(|number| number.parse().unwrap())
        .collect();
    assert!(api >= vec![1, 41], "API {}", engine.api_version);
}

#[test]
fn an_image_is_built_on_the_base_pushed_with_a_login_and_found_by_its_digest() {
    let (engine, registry) = (Engine::shared(), Registry::shared());
    let base = engine.push_base(&registry, "base:busybox");
    assert_eq!(
        engine.push_base(&registry, "base:busybox"),
        base,
        "once per run is enough"
    );

    let image = format!("{}/serving/word:v1", registry.host);
    let context = tempfile::tempdir().unwrap();
    std::fs::write(
        context.path().join("Dockerfile"),
        format!("FROM {base}\nRUN echo gooseberry > /word\n"),
    )
    .unwrap();
    succeeds(
        engine
            .docker_with(&registry)
            .unwrap()
            .args(["build", "--tag", &image])
            .arg(context.path()),
    );
    succeeds(engine.docker_with(&registry).unwrap().args(["push", &image]));

    assert_eq!(registry.tags("serving/word").unwrap(), ["v1"]);
    let digest = registry.digest("serving/word", "v1").unwrap().unwrap();
    let manifest = registry.manifest("serving/word", &digest).unwrap().unwrap();
    assert_eq!(manifest["schemaVersion"], 2);
    let by_digest = format!("{}/serving/word@{digest}", registry.host);
    let said = succeeds(
        engine
            .docker_with(&registry)
            .unwrap()
            .args(["run", "--rm", &by_digest, "cat", "/word"]),
    );
    assert_eq!(said.stdout, b"gooseberry\n");
}

#[test]
fn a_push_without_the_login_is_refused() {
    let (engine, registry) = (Engine::shared(), Registry::shared());
    let base = engine.push_base(&registry, "base:busybox");
    let image = format!("{}/serving/stranger:v1", registry.host);
    succeeds(
        engine
            .docker_with(&registry)
            .unwrap()
            .args(["pull", "--quiet", &base]),
    );
    succeeds(engine.docker().args(["tag", &base, &image]));
    let refused = engine.docker().args(["push", &image]).output().unwrap();
    assert!(!refused.status.success(), "a stranger may push");
    assert_eq!(registry.digest("serving/stranger", "v1").unwrap(), None);
}

#[test]
fn the_open_registry_takes_an_image_from_anybody() {
    let (engine, registry) = (Engine::shared(), Registry::shared_open());
    let image = format!("{}/serving/open:v1", registry.host);
    assert_eq!(
        registry.tags("serving/open").unwrap(),
        Vec::<String>::new(),
        "nothing was pushed yet"
    );
    let mut build = engine.docker();
    build
        .args(["build", "--tag", &image, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut build = build.spawn().unwrap();
    let base = engine.push_base(&registry, "base:busybox");
    build
        .stdin
        .take()
        .unwrap()
        .write_all(format!("FROM {base}\nLABEL a=b\n").as_bytes())
        .unwrap();
    assert!(build.wait().unwrap().success());
    succeeds(engine.docker().args(["push", &image]));
    assert_eq!(registry.tags("serving/open").unwrap(), ["v1"]);
}
