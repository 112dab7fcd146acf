use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const NONE: &str = "0000000000000000000000000000000000000000";

fn headers(event: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-github-event", event.parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    headers
}

fn read(event: &str, payload: &Value) -> Result<Event, Malformed> {
    parse(&headers(event), payload.to_string().as_bytes())
}

fn push_of(r#ref: &str, before: &str, after: &str) -> Value {
    let commit = json!({
        "id": B, "message": "Fix it", "author": { "name": "Ada" },
        "added": ["new"], "removed": [], "modified": ["old", "new"],
    });
    json!({
        "ref": r#ref, "before": before, "after": after, "forced": false,
        "head_commit": if after == NONE { Value::Null } else { commit.clone() },
        "commits": if after == NONE { json!([]) } else { json!([commit]) },
        "repository": { "id": 7, "full_name": "octocat/hello" },
    })
}

fn ref_of(payload: &Value) -> RefHint {
    match read("push", payload).unwrap() {
        Event::Push { mut refs, repository } => {
            assert_eq!(repository.id.as_str(), "7");
            assert_eq!(repository.path.unwrap().to_string(), "octocat/hello");
            assert_eq!(refs.len(), 1);
            refs.remove(0)
        }
        other => panic!("not a push: {other:?}"),
    }
}

#[test]
fn a_push_tells_where_the_branch_is_and_what_it_touched() {
    let hint = ref_of(&push_of("refs/heads/feature/x", A, B));
    assert_eq!(hint.name, RefName::branch("feature/x").unwrap());
    assert_eq!(hint.before.unwrap().as_str(), A);
    assert_eq!(hint.after, HeadHint::At(B.parse().unwrap()));
    assert_eq!(hint.head_commit.unwrap().message, "Fix it");
    assert_eq!(
        hint.changed,
        ChangedPaths::Complete(vec!["new".to_owned(), "old".to_owned()])
    );
}

#[test]
fn a_zero_commit_means_new_or_deleted() {
    let new = ref_of(&push_of("refs/heads/main", NONE, B));
    assert_eq!((new.before, new.changed), (None, ChangedPaths::Unknown));
    let deleted = ref_of(&push_of("refs/heads/main", B, NONE));
    assert_eq!((deleted.after, deleted.head_commit), (HeadHint::Deleted, None));
}

#[test]
fn an_annotated_tag_is_at_its_commit_not_at_the_tag_object() {
    let hint = ref_of(&push_of("refs/tags/v1", NONE, A));
    assert_eq!(hint.after, HeadHint::At(B.parse().unwrap()));
    let mut bare = push_of("refs/tags/v1", NONE, A);
    bare["head_commit"] = Value::Null;
    assert_eq!(ref_of(&bare).after, HeadHint::Unknown);
}

#[test]
fn a_force_push_does_not_claim_to_know_what_was_touched() {
    let mut payload = push_of("refs/heads/main", A, B);
    payload["forced"] = json!(true);
    let hint = ref_of(&payload);
    assert!(hint.forced);
    assert_eq!(hint.changed, ChangedPaths::Unknown);
}

#[test]
fn a_list_of_commits_at_its_limit_is_called_truncated() {
    let mut payload = push_of("refs/heads/main", A, B);
    let commit = payload["commits"][0].clone();
    payload["commits"] = json!(vec![commit; MOST_COMMITS]);
    assert!(matches!(ref_of(&payload).changed, ChangedPaths::Truncated(paths) if paths.len() == 2));
}

#[test]
fn a_form_holds_the_payload_in_a_field() {
    let mut headers = headers("push");
    headers.insert(
        "content-type",
        "application/x-www-form-urlencoded".parse().unwrap(),
    );
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &push_of("refs/heads/main", A, B).to_string())
        .finish();
    assert!(matches!(parse(&headers, body.as_bytes()), Ok(Event::Push { .. })));
    let error = parse(&headers, b"other=1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the push delivery is not of a shape that GitHub documents: the form has no payload"
    );
}

#[test]
fn a_ref_that_git_would_refuse_is_malformed() {
    for bad in ["refs/heads/", "refs/heads/-x", "refs/heads/a..b", "refs/tags/a b"] {
        let error = read("push", &push_of(bad, A, B)).unwrap_err();
        assert!(error.why.contains("none that git allows"), "{bad}: {error}");
    }
    let notes = read("push", &push_of("refs/notes/commits", A, B)).unwrap();
    assert!(matches!(notes, Event::Ignored { event, .. } if event == "push.refs/notes/commits"));
}

#[test]
fn a_commit_that_is_none_is_malformed() {
    for bad in ["", "HEAD", "--upload-pack=x", &A[..39]] {
        assert!(
            read("push", &push_of("refs/heads/main", bad, B)).is_err(),
            "{bad}"
        );
        assert!(
            read("push", &push_of("refs/heads/main", A, bad)).is_err(),
            "{bad}"
        );
    }
}

fn pull_request_of(action: &str, head_repository: &Value) -> Value {
    json!({
        "action": action,
        "number": 5,
        "pull_request": {
            "number": 5, "title": "Improve", "user": { "login": "eve" }, "state": "open", "merged_at": null,
            "head": { "ref": "patch", "sha": B, "repo": head_repository },
            "base": { "ref": "main", "sha": A, "repo": { "id": 7, "full_name": "octocat/hello" } },
        },
        "repository": { "id": 7, "full_name": "octocat/hello" },
    })
}

#[test]
fn a_pull_request_from_another_repository_is_external() {
    let external = |head: Value| match read("pull_request", &pull_request_of("opened", &head)).unwrap() {
        Event::PullRequest { hint, .. } => hint.pull_request.is_external(),
        other => panic!("not a pull request: {other:?}"),
    };
    assert!(!external(json!({ "id": 7, "full_name": "octocat/hello" })));
    // The same name, as after a transfer, says nothing: the ids decide.
    assert!(external(json!({ "id": 8, "full_name": "octocat/hello" })));
    assert!(external(Value::Null));
}

#[test]
fn only_what_moves_a_pull_request_is_told() {
    let head = json!({ "id": 7, "full_name": "octocat/hello" });
    let action = |action: &str| match read("pull_request", &pull_request_of(action, &head)).unwrap() {
        Event::PullRequest { hint, .. } => Ok(hint.action),
        Event::Ignored { event, repository } => Err((event, repository.unwrap().id.to_string())),
        other => panic!("neither told nor ignored: {other:?}"),
    };
    assert_eq!(action("synchronize"), Ok(PullRequestAction::Updated));
    assert_eq!(action("reopened"), Ok(PullRequestAction::Reopened));
    assert_eq!(action("closed"), Ok(PullRequestAction::Closed));
    assert_eq!(
        action("labeled"),
        Err(("pull_request.labeled".to_owned(), "7".to_owned()))
    );
    assert_eq!(
        action("edited"),
        Err(("pull_request.edited".to_owned(), "7".to_owned()))
    );

    let mut retargeted = pull_request_of("edited", &head);
    retargeted["changes"] = json!({ "base": { "ref": { "from": "old" } } });
    assert!(matches!(
        read("pull_request", &retargeted),
        Ok(Event::PullRequest { .. })
    ));
}

#[test]
fn a_repository_that_was_renamed_transferred_or_deleted_is_told() {
    let change = |action: &str| {
        let payload = json!({ "action": action, "repository": { "id": 7, "full_name": "o/new" } });
        match read("repository", &payload).unwrap() {
            Event::Repository { change, .. } => Some(change),
            _ => None,
        }
    };
    assert_eq!(change("renamed"), Some(RepositoryChange::Renamed));
    assert_eq!(change("transferred"), Some(RepositoryChange::Transferred));
    assert_eq!(change("deleted"), Some(RepositoryChange::Deleted));
    assert_eq!(change("privatized"), Some(RepositoryChange::Updated));
    assert_eq!(change("created"), None);
}

#[test]
fn an_unknown_event_is_ignored_and_another_shape_is_malformed() {
    let star = read(
        "star",
        &json!({ "action": "created", "repository": { "id": 7, "full_name": "o/r" } }),
    );
    assert!(matches!(star, Ok(Event::Ignored { event, .. }) if event == "star.created"));
    assert!(read("push", &json!({ "ref": "refs/heads/main" })).is_err());
    assert!(read("push", &json!([])).is_err());
    assert!(parse(&headers("push"), b"{").is_err());
    assert!(parse(&HeaderMap::new(), b"{}").is_err());
}

#[test]
fn the_headers_name_event_delivery_and_hook() {
    let mut headers = headers("push");
    headers.insert("x-github-delivery", "72d3162e-cc78".parse().unwrap());
    headers.insert("x-github-hook-id", "292430182".parse().unwrap());
    let head = delivery_head(&headers);
    assert_eq!((head.event.as_str(), head.attempt), ("push", 1));
    assert_eq!(head.delivery_id.as_deref(), Some("72d3162e-cc78"));
    assert_eq!(head.hook_id, Some("292430182".into()));
}

/// GitHub's own example payloads, from npm's `@octokit/webhooks-examples`.
fn examples() -> Option<Vec<(String, Value)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.tools/node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no examples");
        return None;
    };
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let examples = events.iter().flat_map(|event| {
        let name = event["name"].as_str().unwrap().to_owned();
        event["examples"]
            .as_array()
            .unwrap()
            .iter()
            .map(move |example| (name.clone(), example.clone()))
    });
    Some(examples.collect())
}

#[test]
fn every_example_of_githubs_own_is_read() {
    let Some(examples) = examples() else { return };
    let mut told = std::collections::BTreeMap::<&str, usize>::new();
    for (name, example) in &examples {
        let event = read(name, example).unwrap_or_else(|error| panic!("{name}: {error}\n{example}"));
        let kind = match &event {
            Event::Ping { .. } => "ping",
            Event::Push { .. } => "push",
            Event::PullRequest { .. } => "pull_request",
            Event::Repository { .. } => "repository",
            Event::Installation { .. } if name == "installation_repositories" => "installation_repositories",
            Event::Installation { .. } => "installation",
            Event::AuthorizationRevoked { .. } => "github_app_authorization",
            Event::Ignored { .. } => "ignored",
        };
        assert!(kind == "ignored" || kind == name, "{name} was read as {kind}");
        *told.entry(kind).or_default() += 1;
        let id = example["repository"]["id"].as_u64().map(|id| id.to_string());
        assert_eq!(event.repository().map(|hint| hint.id.to_string()), id, "{name}");
    }
    assert!(
        [
            "ping",
            "push",
            "pull_request",
            "repository",
            "installation",
            "installation_repositories",
            "github_app_authorization",
        ]
        .iter()
        .all(|kind| told.contains_key(kind)),
        "{told:?}"
    );
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(event in "[a-z_]{0,12}|push|pull_request|repository|ping", body: Vec<u8>) {
        let _ = parse(&headers(&event), &body);
    }

    #[test]
    fn no_text_in_a_push_makes_it_panic(name in ".{0,40}", before in ".{0,50}", after in "[0-9a-f]{0,70}") {
        let payload = push_of(&name, &before, &after);
        if let Ok(Event::Push { refs, .. }) = read("push", &payload) {
            prop_assert_eq!(refs[0].name.full(), name);
        }
    }
}
