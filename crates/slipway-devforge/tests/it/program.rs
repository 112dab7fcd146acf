//! The program: seed, addresses, control API, and its end on SIGTERM.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::{client, parameters, text};

const SEED: &str = r#"{
    "github": {
        "users": [{ "login": "ada", "name": "Ada", "password": "pw" }],
        "organizations": [{ "login": "acme", "members": { "ada": "owner" } }],
        "repositories": [{ "name": "acme/web", "private": true, "files": { "Dockerfile": "FROM scratch\n" } }],
        "clients": [{ "name": "Slipway", "redirect_uri": "http://127.0.0.1:1/oauth/callback",
                      "client_id": "slipway", "client_secret": "a-client-secret" }]
    },
    "bitbucket": { "users": [{ "login": "ada", "password": "pw" }] }
}"#;

#[tokio::test]
async fn the_program_plants_its_seed_and_says_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let seed = dir.path().join("seed.json");
    std::fs::write(&seed, SEED).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_slipway-devforge"))
        .arg("--seed")
        .arg(&seed)
        .arg("--data")
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    let addresses: Value = serde_json::from_str(&line).unwrap();
    assert!(text(&addresses["ssh_host_key"]).starts_with("ssh-ed25519 "));

    let control = format!("{}/_devforge", text(&addresses["github"]));
    let get = async |path: &str| -> Value {
        client()
            .get(format!("{control}{path}"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let post = async |path: &str, body: Value| {
        client()
            .post(format!("{control}{path}"))
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(
        get("/github/repositories/acme/web").await["full_name"],
        "acme/web"
    );
    let made = post(
        "/bitbucket/repositories",
        json!({ "name": "ada/site", "files": { "a": "b" } }),
    )
    .await;
    assert_eq!(made.status(), 201);
    let pushed = json!({ "branch": "main", "files": { "c": "d" }, "message": "More", "tag": "v1" });
    let sha: Value = post("/bitbucket/repositories/ada/site/push", pushed)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(text(&sha["sha"]).len(), 40);
    let url = format!(
        "{}/login/oauth/authorize?client_id=slipway&scope=repo&state=s",
        text(&addresses["github"])
    );
    let person = json!({ "login": "ada", "password": "pw", "url": url });
    let authorized: Value = post("/github/authorize", person).await.json().await.unwrap();
    assert_eq!(parameters(&text(&authorized["callback"]))["state"], "s");
    let secrets = get("/secrets").await;
    assert!(
        secrets
            .as_array()
            .unwrap()
            .iter()
            .any(|secret| secret["value"] == "a-client-secret")
    );

    let pid = program.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    assert!(program.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_seed_with_an_unknown_field_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let seed = dir.path().join("seed.json");
    std::fs::write(&seed, r#"{ "gitlab": {} }"#).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_slipway-devforge"))
        .arg("--seed")
        .arg(&seed)
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown field"));
}
