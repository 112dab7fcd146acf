//! Bitbucket's OAuth ("Use OAuth on Bitbucket Cloud"): scopes are ticked on the consumer, the callback address is the
//! consumer's, refresh tokens rotate on every use, and there is nothing to revoke a token with.

use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::{
    AuthorizeRequest, ForgeConfig, ForgeError, Grant, OauthError, Scopes, TokenCheck,
    http::{Auth, Body, Request, conceal, excerpt, join, malformed},
    oauth::from_word,
    rest::Rest,
};

/// `repository` is implied by `repository:admin`, `account` is for who it is and which workspaces there are.
const WANTED: [&str; 5] = [
    "account",
    "repository",
    "repository:admin",
    "pullrequest",
    "webhook",
];

/// What a scope includes ("Bitbucket Cloud REST API scopes"). `repository:admin` famously includes nothing.
const IMPLIED: [(&str, &[&str]); 4] = [
    ("account:write", &["account"]),
    ("repository:write", &["repository"]),
    ("pullrequest", &["repository"]),
    (
        "pullrequest:write",
        &["pullrequest", "repository", "repository:write"],
    ),
];

pub(super) fn wanted_scopes() -> Scopes {
    WANTED.into_iter().collect()
}

pub(super) fn missing_scopes(granted: &Scopes) -> Scopes {
    let covers = |scope: &str| {
        granted.contains(scope)
            || IMPLIED
                .iter()
                .any(|(wide, narrow)| granted.contains(wide) && narrow.contains(&scope))
    };
    WANTED.into_iter().filter(|scope| !covers(scope)).collect()
}

/// What these scopes are asked for ("Bitbucket Cloud REST API scopes").
pub(super) fn without_scope(scope: &str) -> &'static str {
    match scope {
        "account" => "it is not seen who the account is, and which workspaces there are",
        "repository" => "no private code can be read, no commit status shown",
        "repository:admin" => "no deploy key can be made",
        "pullrequest" => "pull requests are not tested",
        "webhook" => "no webhook can be made: pushes are only found by polling",
        _ => "something that Slipway needs will be refused",
    }
}

pub(super) fn authorize_url(config: &ForgeConfig, request: &AuthorizeRequest) -> Url {
    let mut url = join(&config.web_url, &["site", "oauth2", "authorize"]);
    url.query_pairs_mut()
        .append_pair("client_id", &config.client_id)
        .append_pair("response_type", "code")
        .append_pair("state", &request.state);
    url
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
    /// RFC 6749's name, and Bitbucket's earlier one: both are met.
    #[serde(alias = "scopes")]
    scope: Option<String>,
    error: Option<String>,
    #[serde(default)]
    error_description: String,
}

pub(super) async fn exchange(config: &ForgeConfig, web: &Rest, code: &str) -> Result<Grant, OauthError> {
    let fields = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
    ];
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

/// Errors come as RFC 6749, section 5.2, has it: 400 or 401 with `error`. So the body is looked at before the status.
async fn ask_for_token(
    config: &ForgeConfig,
    web: &Rest,
    fields: Vec<(&'static str, String)>,
    given: &SecretString,
) -> Result<Grant, OauthError> {
    let request = Request {
        method: Method::POST,
        url: web.url(&["site", "oauth2", "access_token"]),
        auth: Auth::Basic {
            user: &config.client_id,
            password: &config.client_secret,
        },
        headers: web.headers,
        if_none_match: None,
        body: Body::form(fields).holding(given),
    };
    let answer = web.http.send(&request).await?;
    let refused = matches!(answer.status.as_u16(), 400 | 401);
    if !answer.status.is_success() && !refused {
        return Err(web.refusal(&answer, "OAuth consumer").into());
    }
    let token = match answer.secret_json::<TokenAnswer>() {
        Err(_) if answer.status == http::StatusCode::UNAUTHORIZED => {
            return Err(OauthError::ClientRejected {
                forge: config.display_name.clone(),
            });
        }
        other => other?,
    };
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
        .filter(|token| !refused && !token.is_empty())
        .ok_or_else(|| malformed(&answer.url, "there is neither a token nor an error in it"))?;
    Ok(Grant {
        access_token: access_token.into(),
        refresh_token: token
            .refresh_token
            .filter(|token| !token.is_empty())
            .map(Into::into),
        expires_in: token.expires_in.map(Duration::from_secs),
        scopes: token.scope.as_deref().map(Scopes::parse),
    })
}

/// There is no call for it: the token is tried.
pub(super) async fn check_token(api: &Rest, token: &SecretString) -> Result<TokenCheck, OauthError> {
    match super::api::account(api, token).await {
        Ok(account) => Ok(TokenCheck::Valid {
            scopes: account.scopes,
        }),
        Err(ForgeError::Unauthorized { .. }) => Ok(TokenCheck::Invalid),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_scope_covers_the_narrow_ones_it_includes() {
        let granted = Scopes::parse("account pullrequest repository:admin webhook");
        assert!(missing_scopes(&granted).is_empty());
        assert_eq!(
            missing_scopes(&Scopes::parse("account repository:admin webhook")),
            Scopes::parse("repository pullrequest")
        );
    }
}
