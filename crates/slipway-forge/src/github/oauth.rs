//! GitHub's OAuth ("Authorizing OAuth apps", "Scopes for OAuth apps", "REST API endpoints for OAuth authorizations").

use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{
    AuthorizeRequest, ForgeConfig, ForgeError, Grant, OauthError, Revocation, Scopes, TokenCheck,
    http::{Auth, Body, conceal, excerpt, join, malformed},
    oauth::from_word,
    rest::Rest,
};

/// Code, hooks, keys and statuses; and which organizations there are.
const WANTED: [&str; 2] = ["repo", "read:org"];

/// What a scope includes ("Available scopes"); GitHub folds the included ones away in its answers.
const IMPLIED: [(&str, &[&str]); 9] = [
    (
        "repo",
        &[
            "repo:status",
            "repo_deployment",
            "public_repo",
            "repo:invite",
            "security_events",
            "admin:repo_hook",
            "write:repo_hook",
            "read:repo_hook",
        ],
    ),
    ("public_repo", &["repo:status"]),
    ("admin:repo_hook", &["write:repo_hook", "read:repo_hook"]),
    ("write:repo_hook", &["read:repo_hook"]),
    ("admin:org", &["write:org", "read:org"]),
    ("write:org", &["read:org"]),
    ("user", &["read:user", "user:email", "user:follow"]),
    ("admin:public_key", &["write:public_key", "read:public_key"]),
    ("write:public_key", &["read:public_key"]),
];

pub(super) fn wanted_scopes() -> Scopes {
    WANTED.into_iter().collect()
}

pub(super) fn missing_scopes(granted: &Scopes) -> Scopes {
    WANTED
        .into_iter()
        .filter(|scope| !covers(granted, scope))
        .collect()
}

/// What these scopes are asked for ("Scopes for OAuth apps").
pub(super) fn without_scope(scope: &str) -> &'static str {
    match scope {
        "repo" => "no webhook and no deploy key can be made, no private code read, no commit status shown",
        "read:org" => "it is not seen which organizations there are, and which of them let Slipway in",
        _ => "something that Slipway needs will be refused",
    }
}

/// Whether `granted` holds or implies `scope`.
pub(super) fn covers(granted: &Scopes, scope: &str) -> bool {
    granted.contains(scope)
        || IMPLIED
            .iter()
            .any(|(wide, narrow)| granted.contains(wide) && narrow.contains(&scope))
}

pub(super) fn authorize_url(config: &ForgeConfig, request: &AuthorizeRequest) -> Url {
    let mut url = join(&config.web_url, &["login", "oauth", "authorize"]);
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", request.redirect_uri.as_str())
            .append_pair("state", &request.state);
        // "Generating a user access token for a GitHub App": an App has permissions in place of scopes.
        if config.app.is_none() {
            query.append_pair("scope", &wanted_scopes().to_string());
        }
        if let Some(challenge) = &request.pkce_challenge {
            query
                .append_pair("code_challenge", challenge)
                .append_pair("code_challenge_method", "S256");
        }
        if request.select_account {
            query.append_pair("prompt", "select_account");
        }
    }
    url
}

/// A token, or an error, with HTTP 200 in both cases.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
    scope: Option<String>,
    error: Option<String>,
    #[serde(default)]
    error_description: String,
}

pub(super) async fn exchange(
    config: &ForgeConfig,
    web: &Rest,
    code: &str,
    redirect_uri: &Url,
    verifier: Option<&SecretString>,
) -> Result<Grant, OauthError> {
    let mut fields = vec![
        ("code", code.to_owned()),
        ("redirect_uri", redirect_uri.to_string()),
    ];
    if let Some(verifier) = verifier {
        fields.push(("code_verifier", verifier.expose_secret().to_owned()));
    }
    ask_for_token(config, web, fields, &SecretString::from(code)).await
}

pub(super) async fn refresh(
    config: &ForgeConfig,
    web: &Rest,
    refresh_token: &SecretString,
) -> Result<Grant, OauthError> {
    let fields = vec![
        ("grant_type", "refresh_token".to_owned()),
        ("refresh_token", refresh_token.expose_secret().to_owned()),
    ];
    match ask_for_token(config, web, fields, refresh_token).await {
        Err(OauthError::CodeExpired { forge }) => Err(OauthError::RefreshRefused { forge }),
        other => other,
    }
}

async fn ask_for_token(
    config: &ForgeConfig,
    web: &Rest,
    mut fields: Vec<(&'static str, String)>,
    given: &SecretString,
) -> Result<Grant, OauthError> {
    fields.push(("client_id", config.client_id.clone()));
    fields.push(("client_secret", config.client_secret.expose_secret().to_owned()));
    let body = Body::form(fields).holding(&config.client_secret).holding(given);
    let url = web.url(&["login", "oauth", "access_token"]);
    let answer = web
        .call(Auth::Nobody, Method::POST, url, body, "OAuth app")
        .await
        .map_err(|error| client_error(config, error))?;
    let token: TokenAnswer = answer.secret_json()?;
    if let Some(error) = token.error {
        let description = conceal(&token.error_description, config.client_secret.expose_secret());
        let description = conceal(&description, given.expose_secret());
        return Err(from_word(
            &config.display_name,
            &excerpt(&error),
            &excerpt(&description),
        ));
    }
    let access_token = token
        .access_token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| malformed(&answer.url, "there is neither a token nor an error in it"))?;
    Ok(Grant {
        access_token: access_token.into(),
        refresh_token: token
            .refresh_token
            .filter(|token| !token.is_empty())
            .map(Into::into),
        expires_in: token.expires_in.map(Duration::from_secs),
        // For an App's tokens `scope` is there, and always empty.
        scopes: (config.app.is_none())
            .then_some(token.scope.as_deref().map(Scopes::parse))
            .flatten(),
    })
}

/// GitHub answers 401 for a wrong secret, 404 for a client it does not know.
fn client_error(config: &ForgeConfig, error: ForgeError) -> OauthError {
    match error {
        ForgeError::Unauthorized { .. } | ForgeError::NotFound { .. } => OauthError::ClientRejected {
            forge: config.display_name.clone(),
        },
        other => other.into(),
    }
}

#[derive(Deserialize)]
struct Checked {
    scopes: Option<Vec<String>>,
}

/// 404 is how GitHub says that a token is not valid; 422 that it cannot be one.
pub(super) async fn check_token(
    config: &ForgeConfig,
    api: &Rest,
    token: &SecretString,
) -> Result<TokenCheck, OauthError> {
    match about_token(config, api, Method::POST, token, "token").await {
        Ok(answer) => {
            let checked: Checked = answer.secret_json()?;
            Ok(TokenCheck::Valid {
                scopes: checked.scopes.map(Scopes::from_iter),
            })
        }
        Err(ForgeError::NotFound { .. } | ForgeError::Invalid { .. }) => Ok(TokenCheck::Invalid),
        Err(error) => Err(client_error(config, error)),
    }
}

pub(super) async fn revoke(
    config: &ForgeConfig,
    api: &Rest,
    token: &SecretString,
    what: &str,
) -> Result<Revocation, OauthError> {
    match about_token(config, api, Method::DELETE, token, what).await {
        Ok(_) => Ok(Revocation::Revoked),
        Err(ForgeError::NotFound { .. } | ForgeError::Invalid { .. }) => Ok(Revocation::AlreadyGone),
        Err(error) => Err(client_error(config, error)),
    }
}

async fn about_token(
    config: &ForgeConfig,
    api: &Rest,
    method: Method,
    token: &SecretString,
    what: &str,
) -> Result<crate::http::Answer, ForgeError> {
    let auth = Auth::Basic {
        user: &config.client_id,
        password: &config.client_secret,
    };
    let body = Body::json(json!({ "access_token": token.expose_secret() })).holding(token);
    api.call(
        auth,
        method,
        api.url(&["applications", &config.client_id, what]),
        body,
        what,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_scope_covers_the_narrow_ones_it_includes() {
        assert!(missing_scopes(&Scopes::parse("repo,admin:org")).is_empty());
        assert_eq!(
            missing_scopes(&Scopes::parse("public_repo,write:org")),
            Scopes::parse("repo")
        );
        assert!(covers(&Scopes::parse("repo"), "admin:repo_hook"));
        assert!(!covers(&Scopes::parse("repo:status"), "repo"));
    }
}
