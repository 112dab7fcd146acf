use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn headers(event: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-event-key", event.parse().unwrap());
    headers
}

fn read(event: &str, payload: &Value) -> Result<Event, Malformed> {
    parse(&headers(event), payload.to_string().as_bytes())
}

fn end(kind: &str, name: &str, hash: &str) -> Value {
    json!({
        "type": kind, "name": name,
        "target": { "type": "commit", "hash": hash, "message": "Fix it\n", "author": { "raw": "Ada <ada@example.com>" } },
    })
}

fn push_of(changes: &Value) -> Value {
    json!({
        "push": { "changes": changes },
        "repository": { "uuid": "{r}", "full_name": "team/app" },
        "actor": { "nickname": "ada" },
    })
}

fn refs_of(changes: &Value) -> Vec<RefHint> {
    match read("repo:push", &push_of(changes)).unwrap() {
        Event::Push { refs, repository } => {
            assert_eq!(repository.id.as_str(), "{r}");
            assert_eq!(repository.path.unwrap().to_string(), "team/app");
            refs
        }
        other => panic!("not a push: {other:?}"),
    }
}

#[test]
fn every_change_of_one_delivery_is_told() {
    let refs = refs_of(&json!([
        { "old": end("branch", "main", A), "new": end("branch", "main", B), "forced": true, "truncated": true },
        { "old": null, "new": end("annotated_tag", "v1", B), "created": true },
        { "old": end("branch", "gone", A), "new": null, "closed": true },
        { "old": null, "new": end("bookmark", "hg", B) },
    ]));
    let names: Vec<&str> = refs.iter().map(|hint| hint.name.full()).collect();
    assert_eq!(names, ["refs/heads/main", "refs/tags/v1", "refs/heads/gone"]);
    assert_eq!(refs[0].before.as_ref().unwrap().as_str(), A);
    assert_eq!(refs[0].after, HeadHint::At(B.parse().unwrap()));
    assert!(refs[0].forced && !refs[1].forced);
    let commit = refs[0].head_commit.as_ref().unwrap();
    assert_eq!(
        (commit.message.as_str(), commit.author.as_str()),
        ("Fix it\n", "Ada")
    );
    assert_eq!(
        (refs[1].before.as_ref(), refs[1].after.commit().is_some()),
        (None, true)
    );
    assert_eq!(refs[2].after, HeadHint::Deleted);
    assert!(refs.iter().all(|hint| hint.changed == ChangedPaths::Unknown));
}

#[test]
fn an_abbreviated_commit_is_left_to_be_asked_for() {
    let refs = refs_of(&json!([{ "old": null, "new": end("branch", "main", &B[..12]) }]));
    assert_eq!(
        (refs[0].after.clone(), refs[0].head_commit.clone()),
        (HeadHint::Unknown, None)
    );
}

#[test]
fn a_change_without_ends_or_with_a_name_that_git_refuses_is_malformed() {
    for change in [
        json!({ "old": null, "new": null }),
        json!({ "old": null, "new": end("branch", "-x", B) }),
    ] {
        assert!(read("repo:push", &push_of(&json!([change]))).is_err());
    }
}

#[test]
fn a_pull_request_tells_both_repositories() {
    let of = |source: Value| {
        json!({
            "pullrequest": {
                "id": 5, "title": "Improve", "state": "OPEN", "author": { "nickname": "eve" },
                "source": { "branch": { "name": "patch" }, "commit": { "hash": &B[..12] }, "repository": source },
                "destination": {
                    "branch": { "name": "main" }, "commit": { "hash": &A[..12] },
                    "repository": { "uuid": "{r}", "full_name": "team/app" },
                },
            },
            "repository": { "uuid": "{r}", "full_name": "team/app" },
        })
    };
    let payload = of(json!({ "uuid": "{fork}", "full_name": "eve/app" }));
    let Event::PullRequest { hint, .. } = read("pullrequest:created", &payload).unwrap() else {
        panic!("not a pull request");
    };
    assert_eq!(hint.action, PullRequestAction::Opened);
    assert!(hint.pull_request.is_external());
    assert_eq!(hint.pull_request.author, "eve");
    assert_eq!(hint.pull_request.head.sha, None);

    let payload = of(Value::Null);
    let Event::PullRequest { hint, .. } = read("pullrequest:rejected", &payload).unwrap() else {
        panic!("not a pull request");
    };
    assert_eq!(hint.action, PullRequestAction::Closed);
    assert!(hint.pull_request.is_external());
}

#[test]
fn a_repository_that_was_renamed_transferred_or_deleted_is_told() {
    let change = |event: &str, changes: Value| {
        let payload = json!({ "repository": { "uuid": "{r}", "full_name": "o/new" }, "changes": changes });
        match read(event, &payload).unwrap() {
            Event::Repository { change, .. } => change,
            other => panic!("not about the repository: {other:?}"),
        }
    };
    let renamed = json!({ "name": { "old": "old", "new": "new" } });
    assert_eq!(change("repo:updated", renamed), RepositoryChange::Renamed);
    assert_eq!(
        change("repo:updated", json!({ "description": {} })),
        RepositoryChange::Updated
    );
    assert_eq!(change("repo:transfer", json!({})), RepositoryChange::Transferred);
    assert_eq!(change("repo:deleted", json!({})), RepositoryChange::Deleted);
}

#[test]
fn an_unknown_event_is_ignored_and_another_shape_is_malformed() {
    let fork = read("repo:fork", &json!({ "repository": { "uuid": "{r}" } }));
    assert!(matches!(fork, Ok(Event::Ignored { event, .. }) if event == "repo:fork"));
    assert!(read("repo:push", &json!({})).is_err());
    assert!(parse(&headers("repo:push"), b"").is_err());
    assert!(parse(&HeaderMap::new(), b"{}").is_err());
}

#[test]
fn the_headers_name_event_delivery_hook_and_attempt() {
    let mut headers = headers("repo:push");
    headers.insert("x-request-uuid", "d-1".parse().unwrap());
    headers.insert("x-hook-uuid", "{h}".parse().unwrap());
    headers.insert("x-attempt-number", "2".parse().unwrap());
    let head = delivery_head(&headers);
    assert_eq!((head.event.as_str(), head.attempt), ("repo:push", 2));
    assert_eq!(head.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(head.hook_id, Some("{h}".into()));
    headers.insert("x-hook-uuid", "h".parse().unwrap());
    assert_eq!(delivery_head(&headers).hook_id, Some("{h}".into()));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(event in "[a-z:]{0,12}|repo:push|pullrequest:created|repo:updated", body: Vec<u8>) {
        let _ = parse(&headers(&event), &body);
    }

    #[test]
    fn no_text_in_a_push_makes_it_panic(kind in "branch|tag|.{0,8}", name in ".{0,40}", hash in ".{0,50}") {
        let payload = push_of(&json!([{ "old": null, "new": end(&kind, &name, &hash) }]));
        if let Ok(Event::Push { refs, .. }) = read("repo:push", &payload) {
            prop_assert!(refs.iter().all(|hint| hint.name.name() == name));
        }
    }
}
