//! Git over HTTP with tokens, and over SSH with deploy keys and a pinned host key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use slipway_devforge::{Kind, Repository};
use tokio::process::Command;

use crate::support::World;

/// Git in `dir`, with everything that it might ask answered by `environment`.
async fn git(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(environment.iter().copied())
        .output()
        .await
        .unwrap()
}

/// A key pair on disk, and the ssh command line that uses it with the forge's pinned host key.
async fn key_pair(world: &World, dir: &Path) -> (String, String) {
    let key = dir.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(&key)
        .status()
        .await
        .unwrap();
    assert!(made.success());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let known_hosts = dir.join("known_hosts");
    std::fs::write(&known_hosts, world.forge.addresses().known_hosts_line() + "\n").unwrap();
    let command = format!(
        "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
         -o UserKnownHostsFile={}",
        key.display(),
        known_hosts.display(),
    );
    (std::fs::read_to_string(dir.join("key.pub")).unwrap(), command)
}

async fn add_key(world: &World, repo: &Repository, public: &str, read_only: bool) {
    let (api, name) = (world.api("ada").await, repo.full_name().unwrap());
    match world.provider.kind() {
        Kind::GitHub => {
            let body = json!({ "title": "Slipway", "key": public, "read_only": read_only });
            api.expect(201, "POST", &format!("/repos/{name}/keys"), Some(body))
                .await;
        }
        Kind::Bitbucket => {
            let body = json!({ "label": "Slipway", "key": public });
            api.expect(
                200,
                "POST",
                &format!("/repositories/{name}/deploy-keys"),
                Some(body),
            )
            .await;
        }
    }
}

async fn deploy_key_story(world: World) {
    let (web, other) = (world.repository("web").await, world.repository("other").await);
    let dir = tempfile::tempdir().unwrap();
    let (public, ssh) = key_pair(&world, dir.path()).await;
    let environment = [("GIT_SSH_COMMAND", ssh.as_str())];
    let url = web.ssh_url().unwrap();

    let stranger = git(dir.path(), &["ls-remote", &url], &environment).await;
    assert!(!stranger.status.success(), "an unknown key opens nothing");
    add_key(&world, &web, &public, true).await;
    let cloned = git(dir.path(), &["clone", "-q", &url, "clone"], &environment).await;
    assert!(
        cloned.status.success(),
        "{}",
        String::from_utf8_lossy(&cloned.stderr)
    );
    assert!(dir.path().join("clone/Dockerfile").is_file());

    let elsewhere = git(
        dir.path(),
        &["ls-remote", &other.ssh_url().unwrap()],
        &environment,
    )
    .await;
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("Repository not found"));
    let push = git(
        &dir.path().join("clone"),
        &["push", "-q", "origin", "HEAD:refs/heads/x"],
        &environment,
    )
    .await;
    assert!(!push.status.success(), "the key is read-only");

    let sha = web.head("main").await.unwrap();
    let clone = dir.path().join("clone");
    let exact = git(
        &clone,
        &["fetch", "-q", "--depth=1", "origin", &sha],
        &environment,
    )
    .await;
    assert!(
        exact.status.success(),
        "{}",
        String::from_utf8_lossy(&exact.stderr)
    );
}

#[tokio::test]
async fn a_github_deploy_key_clones_its_repository_and_nothing_else() {
    deploy_key_story(World::github().await).await;
}

#[tokio::test]
async fn a_bitbucket_deploy_key_clones_its_repository_and_nothing_else() {
    deploy_key_story(World::bitbucket().await).await;
}

#[tokio::test]
async fn a_deploy_key_with_write_access_pushes_and_hooks_hear_of_it() {
    let world = World::github().await;
    let web = world.repository("web").await;
    let dir = tempfile::tempdir().unwrap();
    let (public, ssh) = key_pair(&world, dir.path()).await;
    add_key(&world, &web, &public, false).await;
    let (api, receiver) = (world.api("ada").await, crate::support::Receiver::start().await);
    crate::support::github_hook(&api, "acme/web", &receiver, "s", &["push"]).await;
    let environment = [("GIT_SSH_COMMAND", ssh.as_str())];
    git(
        dir.path(),
        &["clone", "-q", &web.ssh_url().unwrap(), "clone"],
        &environment,
    )
    .await;
    let pushed = git(
        &dir.path().join("clone"),
        &["push", "-q", "origin", "HEAD:refs/heads/x"],
        &environment,
    )
    .await;
    assert!(
        pushed.status.success(),
        "{}",
        String::from_utf8_lossy(&pushed.stderr)
    );
    world.forge.deliveries().flush().await;
    assert_eq!(receiver.of("push")[0].json()["ref"], "refs/heads/x");
}

#[tokio::test]
async fn the_host_key_is_published_by_meta() {
    let world = World::github().await;
    let meta = world.api("ada").await.get("/meta").await;
    assert_eq!(meta["ssh_keys"][0], world.forge.addresses().ssh_host_key);
}

async fn clones_with(world: &World, user: &str, token: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let url = world.provider.repository("acme/web").unwrap().http_url().unwrap();
    let askpass = dir.path().join("askpass");
    std::fs::write(
        &askpass,
        "#!/bin/sh\ncase $1 in Username*) echo \"$NAME\";; *) echo \"$WORD\";; esac\n",
    )
    .unwrap();
    std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o700)).unwrap();
    let environment = [
        ("GIT_ASKPASS", askpass.to_str().unwrap()),
        ("NAME", user),
        ("WORD", token),
    ];
    git(dir.path(), &["clone", "-q", &url, "clone"], &environment)
        .await
        .status
        .success()
}

#[tokio::test]
async fn a_github_token_clones_under_any_name_and_only_with_the_scope_repo() {
    let world = World::github().await;
    world.repository("web").await;
    let token = world.token("ada").await;
    assert!(clones_with(&world, "x-access-token", &token).await);
    assert!(world.provider.tokens()[0].used_by_git);
    assert!(!clones_with(&world, "x-access-token", "gho_guess").await);
    world
        .provider
        .edit_scopes("ada", &world.client.client_id, &["read:org"])
        .unwrap();
    assert!(!clones_with(&world, "x-access-token", &token).await);
}

#[tokio::test]
async fn a_bitbucket_token_clones_as_x_token_auth_only() {
    let world = World::bitbucket().await;
    world.repository("web").await;
    let token = world.token("ada").await;
    assert!(clones_with(&world, "x-token-auth", &token).await);
    assert!(!clones_with(&world, "ada", &token).await);
}

#[tokio::test]
async fn members_read_and_do_not_push() {
    let world = World::github().await;
    let repo = world.repository("web").await;
    let refused = repo
        .acting_as("bob")
        .unwrap()
        .push("main", &[], "mine")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
}
