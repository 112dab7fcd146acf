//! Whole builds: images built, tested and pushed for real.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::IntoResponse,
};
use slipway_parts::{Engine, Registry};
use slipway_registry::http_client;
use slipway_types::{
    build::{FailureKind, Phase, Purpose},
    protocol::{FromPipeline, Outcome},
};

use crate::world::{Pipeline, dockerfile, git::Source, run, spec, tag, variable};

fn local(image: &str) -> bool {
    let mut inspect = Engine::shared().docker();
    inspect
        .args(["image", "inspect", image])
        .output()
        .unwrap()
        .status
        .success()
}

/// What `docker` lists with this build's compose project.
fn left_of_project(code: &str) -> String {
    let filter = format!("label=com.docker.compose.project={code}");
    let list = |arguments: &[&str]| {
        let output = Engine::shared()
            .docker()
            .args(arguments)
            .args(["--filter", &filter])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    [
        list(&["ps", "-aq"]),
        list(&["network", "ls", "-q"]),
        list(&["volume", "ls", "-q"]),
    ]
    .concat()
}

#[tokio::test]
async fn a_dockerfile_is_built_and_every_tag_is_pushed() {
    let (source, registry) = (Source::open().await, Registry::shared());
    source.file(
        "Dockerfile",
        &dockerfile(
            &registry,
            "COPY . /src\nRUN echo stamped-$((6 * 7)) > /stamp && cat /stamp",
        ),
    );
    source.commit("First");
    let mut spec = spec(&source, &registry);
    spec.image.tags = vec![tag("1.0"), tag("latest")];
    spec.image.tags_as_written = "1.0,latest".into();

    let said = run(&spec).await;
    said.succeeded();

    assert_eq!(
        said.phases(),
        [
            Phase::Checkout,
            Phase::Resolve,
            Phase::RegistryLogin,
            Phase::Build,
            Phase::Test,
            Phase::Push
        ]
    );
    let path = spec.image.path.as_str();
    let held = registry.digest(path, "latest").unwrap().unwrap();
    assert_eq!(
        said.pushed(),
        [("1.0".to_owned(), held.clone()), ("latest".to_owned(), held)]
    );
    let sized = said
        .lines
        .iter()
        .any(|l| matches!(l, FromPipeline::Pushed { size: Some(1..), .. }));
    assert!(sized, "the size is not known");
    assert_eq!(registry.tags(path).unwrap(), ["1.0", "latest"]);
    assert!(local(&format!("{}:this", spec.image.docker_repo())));
    assert!(said.log().contains("stamped-42"), "{}", said.log());
    let run_step = said
        .steps()
        .into_iter()
        .rfind(|s| s.name.contains("RUN echo stamped"))
        .unwrap();
    assert!(
        run_step.ended_ms.is_some() && run_step.error.is_none(),
        "{run_step:?}"
    );
    let facts = said.facts();
    assert!(facts.iter().any(
        |f| f.message.as_deref() == Some("First") && f.author.as_deref() == Some("Ada <ada@example.org>")
    ));
    assert!(
        facts
            .iter()
            .any(|f| f.versions.iter().any(|v| v.starts_with("Docker Engine ")))
    );
    let password = secrecy::ExposeSecret::expose_secret(&registry.login.unwrap().password).to_owned();
    assert!(!format!("{:?}", said.lines).contains(&password));
}

#[tokio::test]
async fn the_default_build_finds_dockerfile_and_context_in_a_sub_folder() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("docker/Dockerfile", "FROM scratch\nCOPY inner /\n")
        .file("docker/inner", "x");
    source.file("top/Dockerfile", "FROM scratch\nCOPY docker/inner /\n");
    source.commit("x");
    for (location, context) in [
        ("Dockerfile", "/docker/"),
        ("docker/Dockerfile", ""),
        ("top/Dockerfile", "/"),
    ] {
        let mut spec = spec(&source, &registry);
        spec.purpose = Purpose::Test;
        spec.rule.dockerfile_location = location.into();
        spec.rule.build_context = context.into();
        run(&spec).await.succeeded();
    }
}

#[tokio::test]
async fn the_legacy_builder_is_used_where_it_is_configured() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.variables = vec![variable("DOCKER_BUILDKIT", "0")];
    let said = run(&spec).await;
    said.succeeded();
    assert!(said.log().contains("Step 1/2 : FROM scratch"), "{}", said.log());
    let ended: Vec<&str> = said
        .steps()
        .iter()
        .filter(|s| s.ended_ms.is_some())
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(ended, ["FROM scratch", "COPY . /"]);
}

#[tokio::test]
async fn a_step_that_fails_is_named_and_nothing_is_pushed() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", &dockerfile(&registry, "RUN echo broken && false"));
    source.commit("x");
    let spec = spec(&source, &registry);
    let said = run(&spec).await;

    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::BUILD);
    assert!(message.contains("RUN echo broken && false"), "{message}");
    assert!(said.steps().iter().any(|s| s.error.is_some()));
    assert_eq!(
        registry.tags(spec.image.path.as_str()).unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn build_arguments_take_configured_variables_and_are_in_no_argument() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file(
        "Dockerfile",
        &dockerfile(
            &registry,
            "ARG SECRET\nARG VERSION\nRUN echo \"have ${#SECRET} $VERSION\"",
        ),
    );
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.variables = vec![variable("KEY", "hunter2-canary")];
    spec.rule.build_args = vec![
        ("SECRET".into(), "<${KEY}>".into()),
        ("VERSION".into(), "7".into()),
    ];
    spec.rule.build_caching = false;
    let said = run(&spec).await;
    said.succeeded();
    assert!(said.log().contains("have 16 7"), "{}", said.log());
    assert!(!format!("{:?}", said.lines).contains("canary"));
    let command = said.log_lines("docker build ");
    assert!(
        command[0].contains("--no-cache") && !command[0].contains("cache-from"),
        "{command:?}"
    );
}

#[tokio::test]
async fn configured_variables_can_be_mounted_as_secrets() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    let mount = "RUN --mount=type=secret,id=KEY echo \"have $(cat /run/secrets/KEY | wc -c)\"";
    source.file("Dockerfile", &dockerfile(&registry, mount));
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.variables = vec![variable("KEY", "hunter2-canary")];
    spec.rule.build_caching = false;
    let said = run(&spec).await;
    said.succeeded();
    assert!(said.log().contains("have 14"), "{}", said.log());
}

#[tokio::test]
async fn an_image_beyond_the_plan_s_size_fails() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\nCOPY big /\n")
        .file("big", &"x".repeat(3000));
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.limits.image_bytes = 2000;
    let said = run(&spec).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::BUILD);
    assert!(
        message.contains("3000 bytes, and the plan allows 2000"),
        "{message}"
    );
}

const SUT: &str = "version: '2'\nservices:\n  sut:\n    build: .\n    command: COMMAND\n    depends_on: [helper]\n    \
                   volumes: ['./data:/data', 'keep:/keep']\n  helper:\n    build: .\n    command: sleep 1000\nvolumes:\n  keep:\n";

#[tokio::test]
async fn compose_tests_decide_by_the_exit_code_of_sut_and_leave_nothing() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", &dockerfile(&registry, "RUN true"));
    source.file("data/answer", "mounted-42");
    source.file(
        "docker-compose.test.yml",
        &SUT.replace("COMMAND", "cat /data/answer"),
    );
    source.commit("Passing");
    let passing = spec(&source, &registry);
    let said = run(&passing).await;
    said.succeeded();
    assert!(said.log().contains("mounted-42"), "{}", said.log());
    assert_eq!(left_of_project(&passing.code), "");

    source.file(
        "second.test.yml",
        &SUT.replace("COMMAND", "sh -c 'echo broken; exit 4'"),
    );
    source.commit("Failing");
    let failing = spec(&source, &registry);
    let said = run(&failing).await;
    assert_eq!(
        said.failed(),
        (FailureKind::TEST, "second.test.yml: sut ended with code 4")
    );
    let log = said.log();
    assert!(
        log.find("mounted-42").unwrap() < log.find("broken").unwrap(),
        "files run in the order of their names"
    );
    assert_eq!(
        registry.tags(failing.image.path.as_str()).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(left_of_project(&failing.code), "");
}

#[tokio::test]
async fn a_test_file_without_sut_fails_by_name() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.file(
        "docker-compose.test.yml",
        "version: '2'\nservices:\n  web:\n    build: .\n",
    );
    source.commit("x");
    let said = run(&spec(&source, &registry)).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::TEST);
    assert!(
        message.starts_with("docker-compose.test.yml: has no service named sut"),
        "{message}"
    );
}

/// Passes requests on to a registry, but answers the first `refusals` manifests with 503. Returns its host, and how
/// many manifests were put.
async fn hesitant(registry: &Registry, refusals: usize) -> (String, Arc<AtomicUsize>) {
    let put = Arc::new(AtomicUsize::new(0));
    let (client, registry, count) = (http_client().unwrap(), registry.host.clone(), Arc::clone(&put));
    let app = Router::new().fallback(
        async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let is_manifest = method == Method::PUT && uri.path().contains("/manifests/");
            if is_manifest && count.fetch_add(1, Ordering::SeqCst) < refusals {
                return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response();
            }
            let url = format!("http://{registry}{uri}");
            // The host stays the proxy's, so that the registry names it in the addresses that it gives.
            let answer = client
                .request(method, url)
                .headers(headers)
                .body(body)
                .send()
                .await
                .unwrap();
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = (status, answer.bytes().await.unwrap()).into_response();
            response.headers_mut().extend(headers);
            response
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app.layer(DefaultBodyLimit::disable())).await });
    (host, put)
}

#[tokio::test]
async fn a_push_is_tried_again_while_the_registry_is_in_distress() {
    let (source, real) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let (host, put) = hesitant(&real, 2).await;
    let mut spec = spec(&source, &real);
    spec.image.registry = host;

    let said = run(&spec).await;
    said.succeeded();
    assert_eq!(put.load(Ordering::SeqCst), 3);
    assert!(said.log().contains("(attempt 3 of 5)"), "{}", said.log());
    assert_eq!(registry_tags(&real, &spec), ["latest"]);
}

fn registry_tags(registry: &Registry, spec: &slipway_types::protocol::BuildSpec) -> Vec<String> {
    registry.tags(spec.image.path.as_str()).unwrap()
}

#[tokio::test]
async fn a_refused_push_is_not_tried_again() {
    let (source, registry) = (Source::open().await, Registry::shared());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.registry_logins.clear();
    let said = run(&spec).await;
    assert_eq!(said.failed().0, FailureKind::REGISTRY_AUTH);
    assert!(!said.log().contains("attempt 2"), "{}", said.log());
}

#[tokio::test]
async fn a_wrong_registry_password_ends_the_build_before_it_is_built() {
    let (source, registry) = (Source::open().await, Registry::shared());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.registry_logins[0].password = "not it".into();
    let said = run(&spec).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::REGISTRY_AUTH);
    assert!(message.contains("refused the login"), "{message}");
    assert_eq!(said.phases().last(), Some(&Phase::RegistryLogin));
}

#[tokio::test]
async fn a_tag_that_a_newer_build_holds_is_left_out() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.image.tags = vec![tag("latest"), tag("v1")];
    let said = Pipeline::start(&spec, &Engine::shared().host)
        .await
        .finish(&["latest"])
        .await;

    assert_eq!(
        said.outcome(),
        &Outcome::Success {
            skipped: vec![tag("latest")]
        }
    );
    assert_eq!(registry_tags(&registry, &spec), ["v1"]);
}

#[tokio::test]
async fn hooks_push_for_themselves_and_what_they_pushed_is_recorded() {
    let (source, registry) = (Source::open().await, Registry::shared());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.hook(
        "build",
        "docker build -f $DOCKERFILE_PATH -t $IMAGE_NAME --cache-from $CACHE_TAG .",
    );
    source.hook(
        "push",
        "for t in $(echo $DOCKER_TAG | tr , ' '); do docker tag $IMAGE_NAME $DOCKER_REPO:$t; docker push $DOCKER_REPO:$t || exit 1; done",
    );
    source.hook(
        "post_push",
        "set -e; docker tag $IMAGE_NAME $DOCKER_REPO:extra; docker push $DOCKER_REPO:extra",
    );
    source.hook(
        "pre_push",
        "echo \"$DOCKERCFG\" | grep -q '\"auth\"' && echo said has-login",
    );
    source.commit("x");
    let mut spec = spec(&source, &registry);
    spec.image.tags = vec![tag("a"), tag("b")];
    spec.image.tags_as_written = "a,b".into();
    let said = run(&spec).await;
    said.succeeded();
    assert_eq!(registry_tags(&registry, &spec), ["a", "b", "extra"]);
    let tags: Vec<String> = said.pushed().into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags, ["a", "b"]);
    assert_eq!(said.log_lines("said "), ["has-login"]);
}

#[tokio::test]
async fn a_build_hook_that_builds_nothing_has_nothing_to_push_not_even_an_older_image() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source
        .file("Dockerfile", "FROM scratch\nCOPY . /\n")
        .hook("build", "true");
    source.commit("x");
    let spec = spec(&source, &registry);
    let image = format!("{}:latest", spec.image.docker_repo());
    let older = Engine::shared().push_base(&registry, "base:busybox");
    assert!(
        Engine::shared()
            .docker()
            .args(["tag", &older, &image])
            .status()
            .unwrap()
            .success()
    );

    let said = run(&spec).await;
    let (kind, message) = said.failed();
    assert_eq!(kind, FailureKind::PUSH);
    assert!(message.contains("there is no image"), "{message}");
    assert!(
        said.facts()
            .iter()
            .any(|f| f.warnings.iter().any(|w| w.contains("hooks/build did not build")))
    );
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_the_machine_s_failure() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", "FROM scratch\nCOPY . /\n");
    source.commit("x");
    let said = Pipeline::start(&spec(&source, &registry), "unix:///nowhere/docker.sock")
        .await
        .finish(&[])
        .await;
    let message = "Docker is not running at unix:///nowhere/docker.sock: start it or set --docker-host";
    assert_eq!(said.failed(), (FailureKind::MACHINE, message));
}

#[tokio::test]
async fn a_test_that_is_ended_leaves_no_containers() {
    let (source, registry) = (Source::open().await, Registry::shared_open());
    source.file("Dockerfile", &dockerfile(&registry, "RUN true"));
    source.file("data/x", "");
    source.file(
        "docker-compose.test.yml",
        &SUT.replace("COMMAND", "sh -c 'echo sut-is-up; sleep 1000'"),
    );
    source.commit("x");
    let spec = spec(&source, &registry);
    let mut pipeline = Pipeline::start(&spec, &Engine::shared().host).await;
    pipeline.until_log("sut-is-up").await;
    assert_ne!(left_of_project(&spec.code), "");
    drop(pipeline.stdin.take());
    pipeline.finish(&[]).await;
    assert_eq!(left_of_project(&spec.code), "");
}
