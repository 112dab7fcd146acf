//! A person's access tokens for the API.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use slipway_types::{AccessTokenId, Timestamp, rights::TokenScope};

use super::{Again, Done, Page, Told, act, frame, own_settings, to};
use crate::{
    app::App,
    failure::Failure,
    web::{
        session::SignedIn,
        view::{
            CopyLine, Field, Place,
            settings::{AccessTokensPage, TokenRow},
        },
        words,
    },
};

/// A token to be made.
#[derive(Debug, Deserialize)]
pub struct TokenForm {
    name: String,
    scope: TokenScope,
}

async fn page(
    app: &App,
    who: &SignedIn,
    done: &Done,
    told: Option<&Told>,
    fresh: Option<CopyLine>,
) -> Result<AccessTokensPage, Failure> {
    let now = Timestamp::now();
    let tokens = app.accounts.access_tokens(&who.caller).await?;
    let name = Field::text("name", "What it is for");
    Ok(AccessTokensPage {
        frame: frame(app, who, "Access tokens", Place::Elsewhere, done),
        side: own_settings(who, "Access tokens"),
        alert: told.map(Told::alert),
        fresh,
        tokens: tokens
            .into_iter()
            .map(|token| TokenRow {
                scopes: token.scope.to_string(),
                made: words::when(token.created_at, now),
                used: token.last_used_at.map(|at| words::when(at, now)),
                expires: token.expires_at.map(|at| words::when(at, now)),
                revoke: act(
                    who,
                    format!("/settings/access-tokens/{}/revoke", token.id),
                    ("sm quiet danger", "", "Revoke"),
                    &*token.name,
                ),
                name: token.name,
            })
            .collect(),
        name: match told {
            Some(told) => told.mark(name),
            None => name,
        },
        scopes: vec![
            ("read", "See what you see", true),
            ("build", "And start, cancel and retry builds", false),
            ("admin", "And change what you may change", false),
        ],
    })
}

/// `GET /settings/access-tokens`
///
/// # Errors
/// What the store says.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(page(&app, &who, &done, None, None).await?).into_response())
}

/// `POST /settings/access-tokens`: the answer is the only place where the token ever stands.
///
/// # Errors
/// What the store says.
pub async fn create(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<TokenForm>,
) -> Result<Response, Failure> {
    let done = Done::default();
    let made = app
        .accounts
        .create_access_token(&who.caller, &form.name, form.scope, None)
        .await;
    match made {
        Ok((_, token)) => {
            let fresh = CopyLine {
                text: token.expose_secret().to_owned(),
                what: "access token".to_owned(),
            };
            Ok(Page(page(&app, &who, &done, None, Some(fresh)).await?).into_response())
        }
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(page(&app, &who, &done, Some(&told), None).await?).into_response())
        }
    }
}

/// `POST /settings/access-tokens/{token}/revoke`
///
/// # Errors
/// Not found, when it is not this person's.
pub async fn revoke(
    State(app): State<App>,
    who: SignedIn,
    Path(token): Path<AccessTokenId>,
) -> Result<Response, Failure> {
    app.accounts.revoke_access_token(&who.caller, token).await?;
    Ok(to("/settings/access-tokens?done=revoked"))
}
