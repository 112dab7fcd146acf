use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;
use slipway_devforge::Kind;
use slipway_forge::{
    ChangedPaths, Forbidden, Forge, ForgeError, HookSpec, OwnerAccess, RepositoryKey, RepositoryPath,
    TokenCheck,
};
use slipway_types::{Timestamp, forge::HealthReason};

use crate::{
    stub::{Say, Stub},
    world::BOTH,
};

const TOKEN: &str = "gho_a-token-that-must-not-be-told";

fn token() -> SecretString {
    TOKEN.into()
}

fn path() -> RepositoryPath {
    RepositoryPath::new("acme", "app").unwrap()
}

async fn refusal(forge: &Arc<dyn Forge>) -> ForgeError {
    forge
        .repository(&token(), RepositoryKey::Path(&path()))
        .await
        .unwrap_err()
}

async fn github_saying(status: u16, headers: &[(&'static str, &str)], message: &str) -> ForgeError {
    let body = json!({ "message": message }).to_string();
    let stub = Stub::saying(status, headers, &body).await;
    refusal(&stub.forge(Kind::GitHub)).await
}

#[tokio::test]
async fn single_sign_on_is_told_with_its_address() {
    let sso = "required; url=https://github.com/orgs/acme/sso?authorization_request=A1";
    let error = github_saying(
        403,
        &[("x-github-sso", sso)],
        "Resource protected by organization SAML enforcement.",
    )
    .await;
    assert_eq!(
        (error.kind(), error.health_reason()),
        ("sso_required", Some(HealthReason::SsoRequired))
    );
    let ForgeError::Forbidden {
        why: Forbidden::SsoRequired { url: Some(url) },
        ..
    } = error
    else {
        panic!("no address: {error:?}");
    };
    assert_eq!(
        url.as_str(),
        "https://github.com/orgs/acme/sso?authorization_request=A1"
    );
}

#[tokio::test]
async fn an_organization_that_restricts_apps_is_told_in_its_providers_words() {
    let message = "Although you appear to have the correct authorization credentials, the `acme` organization has \
                   enabled OAuth App access restrictions, meaning that data access to third-parties is limited.";
    let error = github_saying(403, &[], message).await;
    assert_eq!(error.kind(), "org_restricted");
    assert_eq!(error.health_reason(), Some(HealthReason::OrgAccessDenied));
    assert!(error.to_string().contains("the `acme` organization"));

    let stub = Stub::saying(403, &[], &json!({ "message": message }).to_string()).await;
    let access = stub
        .forge(Kind::GitHub)
        .owner_access(&token(), "acme")
        .await
        .unwrap();
    assert!(matches!(access, OwnerAccess::Restricted { message } if message.contains("`acme`")));
    assert_eq!(stub.seen(), ["GET /api/user/memberships/orgs/acme"]);
}

#[tokio::test]
async fn a_member_of_an_organization_has_access() {
    let membership =
        json!({ "state": "active", "role": "admin", "organization": { "id": 5, "login": "acme" } });
    let stub = Stub::saying(200, &[], &membership.to_string()).await;
    let access = stub
        .forge(Kind::GitHub)
        .owner_access(&token(), "acme")
        .await
        .unwrap();
    assert!(matches!(access, OwnerAccess::Granted(owner) if owner.id == 5_u64.into()));
}

#[tokio::test]
async fn a_limit_of_calls_says_until_when() {
    let reset = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1900000000"),
    ];
    let error = github_saying(403, &reset, "API rate limit exceeded for user ID 1.").await;
    let until = Timestamp::from_millis(1_900_000_000_000);
    assert!(
        matches!(error, ForgeError::RateLimited { until: Some(at), .. } if at == until),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "GitHub asks to wait until 2030-03-17T17:46:40Z"
    );

    let before = Timestamp::now();
    let error = github_saying(
        403,
        &[("retry-after", "60")],
        "You have exceeded a secondary rate limit.",
    )
    .await;
    let ForgeError::RateLimited {
        until: Some(until), ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(until.since(before).as_secs() >= 60);

    let stub = Stub::saying(429, &[], "Rate limit for this resource has been exceeded").await;
    let error = refusal(&stub.forge(Kind::Bitbucket)).await;
    assert!(matches!(error, ForgeError::RateLimited { until: None, .. }));
}

#[tokio::test]
async fn other_refusals_are_told_apart() {
    let kinds = [
        (401, "Bad credentials", "unauthorized"),
        (403, "Must have admin rights to Repository.", "needs_admin"),
        (403, "Sorry. Your account was suspended.", "suspended"),
        (
            403,
            "You need at least read:org scope to list your organizations.",
            "needs_scope",
        ),
        (403, "Something else", "forbidden"),
        (404, "Not Found", "not_found"),
        (410, "Repository access blocked", "gone"),
        (422, "Validation Failed", "invalid"),
        (451, "Repository access blocked", "malformed_answer"),
        (500, "Server Error", "unreachable"),
        (503, "Service unavailable", "unreachable"),
    ];
    for (status, message, kind) in kinds {
        assert_eq!(
            github_saying(status, &[], message).await.kind(),
            kind,
            "{status} {message}"
        );
    }
}

#[tokio::test]
async fn a_404_for_want_of_a_scope_is_not_taken_for_a_missing_repository() {
    let headers = [
        ("x-oauth-scopes", "read:org"),
        ("x-accepted-oauth-scopes", "repo"),
    ];
    let error = github_saying(404, &headers, "Not Found").await;
    assert_eq!(
        (error.kind(), error.health_reason()),
        ("needs_scope", Some(HealthReason::ScopesMissing))
    );
    let headers = [
        ("x-oauth-scopes", "repo"),
        ("x-accepted-oauth-scopes", "admin:repo_hook"),
    ];
    assert_eq!(
        github_saying(404, &headers, "Not Found").await.kind(),
        "not_found"
    );
}

#[tokio::test]
async fn a_call_that_bitbucket_has_ended_is_told_as_gone() {
    let message = "This API endpoint has been removed: CHANGE-2770";
    let body = json!({ "type": "error", "error": { "message": message } }).to_string();
    let stub = Stub::saying(410, &[], &body).await;
    let error = refusal(&stub.forge(Kind::Bitbucket)).await;
    assert_eq!((error.kind(), error.health_reason()), ("gone", None));
    assert!(error.to_string().contains("CHANGE-2770"));
}

#[tokio::test]
async fn bitbucket_names_the_scopes_that_are_missing() {
    let body = json!({ "type": "error", "error": {
        "message": "Your credentials lack one or more required privilege scopes.",
        "detail": { "required": ["webhook"], "granted": ["account"] },
    } });
    let stub = Stub::saying(403, &[], &body.to_string()).await;
    let error = refusal(&stub.forge(Kind::Bitbucket)).await;
    assert_eq!(
        error.to_string(),
        "Bitbucket does not allow this: the link lacks a permission for it (webhook)"
    );
}

#[tokio::test]
async fn a_comparison_that_took_bitbucket_too_long_is_unknown() {
    let stub = Stub::saying(555, &[], "").await;
    let (base, head) = ("a".repeat(40).parse().unwrap(), "b".repeat(40).parse().unwrap());
    let forge = stub.forge(Kind::Bitbucket);
    let changed = forge
        .changed_paths(&token(), &path(), &base, &head)
        .await
        .unwrap();
    assert_eq!(changed, ChangedPaths::Unknown);
}

#[tokio::test]
async fn nothing_that_listens_is_unreachable() {
    for kind in BOTH {
        let stub = Stub::absent();
        let error = refusal(&stub.forge(kind)).await;
        assert_eq!(error.health_reason(), Some(HealthReason::ForgeUnreachable));
        assert!(error.is_transient());
    }
}

fn repository() -> String {
    json!({
        "id": 7, "full_name": "acme/new", "private": true, "ssh_url": "git@github.com:acme/new.git",
        "clone_url": "https://github.com/acme/new.git", "html_url": "https://github.com/acme/new",
    })
    .to_string()
}

#[tokio::test]
async fn a_renamed_repository_is_followed_within_the_origin() {
    let stub = Stub::start(|path| match path {
        "/api/repos/acme/app" => Say(
            301,
            vec![("location", "/api/repositories/7".to_owned())],
            String::new(),
        ),
        "/api/repositories/7" => Say(200, Vec::new(), repository()),
        _ => Say(404, Vec::new(), "{}".to_owned()),
    })
    .await;
    let found = stub
        .forge(Kind::GitHub)
        .repository(&token(), RepositoryKey::Path(&path()))
        .await
        .unwrap();
    assert_eq!(found.path.to_string(), "acme/new");
}

#[tokio::test]
async fn a_token_follows_no_redirect_to_another_origin() {
    let elsewhere = Stub::saying(200, &[], &repository()).await;
    let there = format!("{}/api/repositories/7", elsewhere.url);
    let stub = Stub::saying(301, &[("location", &there)], "").await;
    assert_eq!(refusal(&stub.forge(Kind::GitHub)).await.kind(), "moved");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_write_follows_no_redirect() {
    let stub = Stub::saying(307, &[("location", "/api/repositories/7/hooks")], "").await;
    let (url, secret) = ("https://slipway.example/hook".parse().unwrap(), "secret".into());
    let spec = HookSpec {
        url: &url,
        secret: &secret,
    };
    let error = stub
        .forge(Kind::GitHub)
        .create_hook(&token(), &path(), spec)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "moved");
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
async fn redirects_in_circles_end() {
    let stub = Stub::saying(301, &[("location", "/api/repos/acme/app")], "").await;
    assert_eq!(
        refusal(&stub.forge(Kind::GitHub)).await.kind(),
        "malformed_answer"
    );
    assert_eq!(stub.seen().len(), 4);
}

#[tokio::test]
async fn a_token_follows_no_next_page_to_another_origin() {
    let elsewhere = Stub::saying(200, &[], "[]").await;
    let link = format!("<{}/api/x?page=2>; rel=\"next\"", elsewhere.url);
    let stub = Stub::saying(200, &[("link", &link)], "[]").await;
    let error = stub
        .forge(Kind::GitHub)
        .hooks(&token(), &path())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "malformed_answer");

    let body = json!({ "values": [], "next": format!("{}/api/x?page=2", elsewhere.url) }).to_string();
    let stub = Stub::saying(200, &[], &body).await;
    let error = stub
        .forge(Kind::Bitbucket)
        .hooks(&token(), &path())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "malformed_answer");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn pages_without_end_end() {
    let stub = Stub::saying(200, &[("link", "</api/x>; rel=\"next\"")], "[]").await;
    let error = stub
        .forge(Kind::GitHub)
        .hooks(&token(), &path())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("more than 200 pages"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let stub = Stub::saying(200, &[], &" ".repeat(9 * 1024 * 1024)).await;
    let error = refusal(&stub.forge(Kind::GitHub)).await;
    assert!(error.to_string().contains("longer than 8 MiB"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_malformed() {
    for kind in BOTH {
        let stub = Stub::saying(200, &[], "<!doctype html>").await;
        assert_eq!(refusal(&stub.forge(kind)).await.kind(), "malformed_answer");
    }
}

#[tokio::test]
async fn what_echoes_a_secret_is_not_repeated() {
    for kind in BOTH {
        for status in [400, 401, 403, 404, 409, 410, 422, 429, 500] {
            let said =
                format!("{{\"message\": \"bad: {TOKEN}\", \"error\": {{\"message\": \"bad: {TOKEN}\"}}}}");
            let stub = Stub::saying(status, &[], &said).await;
            let error = refusal(&stub.forge(kind)).await;
            assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
        }
        let said = "{\"error\":\"odd\",\"error_description\":\"client-s3cret and the-c0de\"}";
        let stub = Stub::saying(if kind == Kind::GitHub { 200 } else { 400 }, &[], said).await;
        let callback = "https://slipway.example/callback".parse().unwrap();
        let error = stub
            .forge(kind)
            .exchange("the-c0de", &callback, None)
            .await
            .unwrap_err();
        let shown = format!("{error} {error:?}");
        assert_eq!(error.kind(), "refused");
        assert!(
            !shown.contains("s3cret") && !shown.contains("the-c0de"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_token_answer_of_another_shape_does_not_tell_the_token() {
    for kind in BOTH {
        let stub = Stub::saying(200, &[], &format!("{{\"access_token\": [\"{TOKEN}\"]}}")).await;
        let callback = "https://slipway.example/callback".parse().unwrap();
        let error = stub
            .forge(kind)
            .exchange("code", &callback, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "malformed_answer");
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");

        let stub = Stub::saying(200, &[], "{}").await;
        let error = stub
            .forge(kind)
            .exchange("code", &callback, None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "malformed_answer");
    }
}

#[tokio::test]
async fn a_forge_that_is_down_says_nothing_of_a_token() {
    for kind in BOTH {
        let stub = Stub::saying(502, &[], "").await;
        let error = stub.forge(kind).check_token(&token()).await.unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        let stub = Stub::saying(if kind == Kind::GitHub { 404 } else { 401 }, &[], "{}").await;
        assert_eq!(
            stub.forge(kind).check_token(&token()).await.unwrap(),
            TokenCheck::Invalid
        );
    }
}

#[tokio::test]
async fn bitbuckets_host_keys_are_taken_from_its_own_list() {
    let key = slipway_forge::generate_deploy_key("").unwrap().public;
    let stub = Stub::saying(200, &[], &format!("bitbucket.org {key}\nnot a line\n")).await;
    let forge = stub.forge(Kind::Bitbucket);
    let lines = forge
        .known_hosts(&token(), "git@bitbucket.org:acme/app.git")
        .await
        .unwrap();
    assert_eq!(lines, [format!("bitbucket.org {}", key.trim())]);
    assert_eq!(stub.seen(), ["GET /site/ssh"]);

    let without = Stub::saying(404, &[], "").await;
    let lines = without
        .forge(Kind::Bitbucket)
        .known_hosts(&token(), "git@bitbucket.org:acme/app.git")
        .await;
    assert_eq!(lines.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hook_that_only_administrators_see_is_not_called_gone() {
    for (admin, told) in [(false, Err("needs_admin")), (true, Ok(false))] {
        let stub = Stub::start(move |path| match path {
            "/api/repos/acme/app" => {
                let mut found: serde_json::Value = serde_json::from_str(&repository()).unwrap();
                found["permissions"] = json!({ "admin": admin });
                Say(200, Vec::new(), found.to_string())
            }
            _ => Say(404, Vec::new(), json!({ "message": "Not Found" }).to_string()),
        })
        .await;
        let removed = stub
            .forge(Kind::GitHub)
            .delete_hook(&token(), &path(), &"1".into())
            .await;
        assert_eq!(
            removed.as_ref().map_err(ForgeError::kind),
            told.as_ref().map_err(|kind| *kind)
        );
    }
}
