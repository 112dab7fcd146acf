//! A GitHub App as itself: what it asks for in its own name, and how it comes to be.
//!
//! An App has no rights of its own but to ask for tokens of its installations: one hour long, and here always narrowed to
//! one repository and to what is to be done there. Invariant kept here: no token is ever asked for that reaches more
//! than the one repository it is for.
//!
//! The JSON Web Token (RFC 7519) that an App signs is three fields and one RS256 signature. It is written here over
//! `ring`, which TLS brings already, and is never read: a library for JWTs would bring parsers, claims checks and a
//! second set of algorithms for these lines.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use slipway_types::{Timestamp, forge::ForgeKind};
use url::Url;

use crate::{
    AppConfig, FailedDelivery, ForgeConfig, ForgeError, RemoteInstallationId, RemoteRepositoryId,
    github::deliveries,
    http::{Auth, Body, HttpClient, join},
    rest::Rest,
};

/// "Generating a JSON Web Token for a GitHub App": at most ten minutes ahead, and issued 60 seconds in the past against
/// clocks that differ. Nine minutes keep the whole within ten.
const JWT_LIFE: Duration = Duration::from_mins(9);
const JWT_BACKDATED: Duration = Duration::from_mins(1);

/// What an installation token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppReach {
    /// Cloning: reads contents.
    Clone,
    /// Building: reads contents and pull requests, sets commit statuses.
    Build,
}

impl AppReach {
    /// GitHub's names ("Permissions required for GitHub Apps"). Metadata comes with everything.
    fn permissions(self) -> serde_json::Value {
        match self {
            Self::Clone => json!({ "metadata": "read", "contents": "read" }),
            Self::Build => json!({
                "metadata": "read", "contents": "read", "pull_requests": "read", "statuses": "write",
            }),
        }
    }
}

/// A token that reaches one repository, for about an hour.
#[derive(Debug, Clone)]
pub struct InstallationToken {
    /// The token. Of any length.
    pub token: SecretString,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// An App could not ask.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The private key is none.
    #[error(
        "the GitHub App's private key cannot be used: it has to be the RSA key in PEM that GitHub generated for the App"
    )]
    Key,
    /// GitHub does not know the App, or not this key of it.
    #[error("{forge} does not accept the GitHub App's key; an administrator has to generate a new one there")]
    Rejected {
        /// The forge's name for people.
        forge: String,
    },
    /// The installation is suspended: it reaches nothing.
    #[error("the GitHub App's installation is suspended")]
    Suspended,
    /// The installation was removed, or never was.
    #[error("the GitHub App is not installed there any more")]
    NotInstalled,
    /// The installation does not reach the repository (any more).
    #[error(
        "the GitHub App's installation does not reach this repository; choose it under Configure at GitHub"
    )]
    NotSelected,
    /// The forge could not be asked, or did not answer as documented.
    #[error(transparent)]
    Forge(#[from] ForgeError),
}

impl AppError {
    /// Stable word for the database, the API and the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key => "app_key_unusable",
            Self::Rejected { .. } => "app_rejected",
            Self::Suspended => "installation_suspended",
            Self::NotInstalled => "installation_removed",
            Self::NotSelected => "repository_not_selected",
            Self::Forge(error) => error.kind(),
        }
    }
}

/// A GitHub App, able to ask in its own name.
#[derive(Debug)]
pub struct GithubApp {
    config: AppConfig,
    api: Rest,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: Timestamp,
}

impl GithubApp {
    pub(crate) const fn new(config: AppConfig, api: Rest) -> Self {
        Self { config, api }
    }

    /// Where a person chooses an account, and repositories of it, for the App. GitHub hands `state` back to the set-up
    /// address ("About the setup URL"): it is carried, never trusted.
    pub fn install_url(&self, state: &str) -> Url {
        let mut url = join(&self.config.page, &["installations", "new"]);
        url.query_pairs_mut().append_pair("state", state);
        url
    }

    /// Tells whether GitHub accepts the App's key. For the administrator's *Test*.
    ///
    /// # Errors
    /// [`AppError::Key`], [`AppError::Rejected`], or what kept the forge from saying.
    pub async fn check(&self) -> Result<(), AppError> {
        let url = self.api.url(&["app"]);
        self.ask(Method::GET, url, Body::none(), "GitHub App")
            .await
            .map(drop)
    }

    /// A token for one repository of an installation, and no more than it is for.
    ///
    /// # Errors
    /// [`AppError::Suspended`], [`AppError::NotInstalled`], [`AppError::NotSelected`]; what kept the forge from saying.
    pub async fn installation_token(
        &self,
        installation: &RemoteInstallationId,
        repository: &RemoteRepositoryId,
        reach: AppReach,
    ) -> Result<InstallationToken, AppError> {
        let numbers = (number(installation.as_str()), number(repository.as_str()));
        let (Some(installation), Some(repository)) = numbers else {
            return Err(AppError::NotInstalled);
        };
        let url = self
            .api
            .url(&["app", "installations", &installation.to_string(), "access_tokens"]);
        let body = json!({ "repository_ids": [repository], "permissions": reach.permissions() });
        let answer = match self
            .ask(Method::POST, url, Body::json(body), "installation")
            .await
        {
            Err(AppError::Forge(error)) => return Err(refused(error)),
            other => other?,
        };
        let minted: Minted = answer.secret_json()?;
        Ok(InstallationToken {
            token: minted.token.into(),
            expires_at: minted.expires_at,
        })
    }

    /// Deliveries of the App's one webhook since then that were never answered well, the oldest first. GitHub keeps its
    /// log for three days, and never sends anything again by itself. It is read anew each time: an answer that has not
    /// changed is told by GitHub to whoever asks with the same token, and an App signs another one each time.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn failed_deliveries(&self, since: Timestamp) -> Result<Vec<FailedDelivery>, AppError> {
        let url = self.api.url(&["app", "hook", "deliveries"]);
        let read = |url| self.ask(Method::GET, url, Body::none(), "GitHub App's webhook");
        deliveries::failed_in(&self.api, url, since, read).await
    }

    /// Has a delivery of [`Self::failed_deliveries`] made once more, under the identity that it had.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn redeliver(&self, id: &str) -> Result<(), AppError> {
        let url = self.api.url(&["app", "hook", "deliveries", id, "attempts"]);
        self.ask(Method::POST, url, Body::none(), "delivery")
            .await
            .map(drop)
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Body,
        what: &str,
    ) -> Result<crate::http::Answer, AppError> {
        let jwt = jwt(&self.config, Timestamp::now())?;
        match self.api.call(Auth::Bearer(&jwt), method, url, body, what).await {
            Err(ForgeError::Unauthorized { forge }) => Err(AppError::Rejected { forge }),
            other => Ok(other?),
        }
    }
}

/// What refusing a token means. GitHub documents 403, 404 and 422 for it, and tells suspension in words.
fn refused(error: ForgeError) -> AppError {
    match error {
        ForgeError::Forbidden {
            why: crate::Forbidden::Suspended { .. },
            ..
        } => AppError::Suspended,
        ForgeError::NotFound { .. } => AppError::NotInstalled,
        ForgeError::Invalid { .. } => AppError::NotSelected,
        other => other.into(),
    }
}

/// GitHub numbers its things; another text cannot be one of them.
fn number(id: &str) -> Option<u64> {
    id.parse().ok()
}

/// What the App says of itself, signed: RS256 (RFC 7518, section 3.3).
fn jwt(config: &AppConfig, now: Timestamp) -> Result<SecretString, AppError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iat: i64,
        exp: i64,
        iss: &'a str,
    }
    let seconds = |at: Timestamp| at.millis().div_euclid(1000);
    let claims = Claims {
        iat: seconds(now) - JWT_BACKDATED.as_secs().cast_signed(),
        exp: seconds(now.plus(JWT_LIFE)),
        iss: &config.app_id,
    };
    let claims = serde_json::to_vec(&claims).map_err(|_| AppError::Key)?;
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", part(br#"{"alg":"RS256","typ":"JWT"}"#), part(&claims));
    let key = key(&config.private_key)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(|_| AppError::Key)?;
    Ok(format!("{signed}.{}", part(&signature)).into())
}

fn key(pem: &SecretString) -> Result<RsaKeyPair, AppError> {
    let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| AppError::Key)?;
    let key = match &der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(AppError::Key),
    };
    key.map_err(|_| AppError::Key)
}

// ---- Coming to be -------------------------------------------------------------------------------

/// What an App shall be ("Registering a GitHub App from a manifest").
#[derive(Debug, Clone)]
pub struct AppManifest {
    /// Its name for people; GitHub allows each once.
    pub name: String,
    /// Slipway's own address.
    pub homepage: Url,
    /// Where people come back to after they granted access.
    pub callback: Url,
    /// Where people come back to after they installed it, or chose other repositories.
    pub setup: Url,
    /// Where the administrator comes back to, with the code.
    pub created: Url,
    /// Where its one webhook goes.
    pub webhook: Url,
}

impl AppManifest {
    /// As GitHub's page takes it, in the field `manifest`.
    pub fn to_json(&self) -> String {
        json!({
            "name": self.name,
            "url": self.homepage,
            "description": "Builds container images of the repositories that it is installed on.",
            "hook_attributes": { "url": self.webhook, "active": true },
            "redirect_url": self.created,
            "callback_urls": [self.callback],
            "setup_url": self.setup,
            "setup_on_update": true,
            "request_oauth_on_install": false,
            // Otherwise it could be installed at the one account that owns it only.
            "public": true,
            "default_permissions": {
                "contents": "read", "metadata": "read", "statuses": "write", "pull_requests": "read",
            },
            "default_events": ["push", "create", "delete", "pull_request", "repository"],
        })
        .to_string()
    }

    /// Where the manifest is posted to: the administrator's own account, or an organization.
    pub fn page(web_url: &Url, organization: Option<&str>, state: &str) -> Url {
        let mut url = match organization {
            Some(organization) => join(
                web_url,
                &["organizations", organization, "settings", "apps", "new"],
            ),
            None => join(web_url, &["settings", "apps", "new"]),
        };
        url.query_pairs_mut().append_pair("state", state);
        url
    }
}

/// An App that has just come to be.
#[derive(Debug)]
pub struct ConvertedApp {
    /// GitHub's number of it.
    pub app_id: String,
    /// What it is called.
    pub name: String,
    /// Its page.
    pub page: Url,
    /// Its OAuth client's id.
    pub client_id: String,
    /// That client's secret.
    pub client_secret: SecretString,
    /// What its webhook signs with.
    pub webhook_secret: SecretString,
    /// Its private key, as PEM.
    pub private_key: SecretString,
}

impl ConvertedApp {
    /// Turns the code that the administrator's browser brought back into the App. Works once, within an hour.
    ///
    /// # Errors
    /// [`ForgeError::NotFound`] when the code is unknown, used or too old; what kept the forge from saying.
    pub async fn of_code(config: &ForgeConfig, http: HttpClient, code: &str) -> Result<Self, ForgeError> {
        #[derive(Deserialize)]
        struct Converted {
            id: u64,
            name: String,
            html_url: Url,
            client_id: String,
            client_secret: String,
            webhook_secret: Option<String>,
            pem: String,
        }
        if config.kind != ForgeKind::Github || !crate::names::is_part(code) {
            return Err(ForgeError::NotFound {
                forge: config.display_name.clone(),
                what: "GitHub App for this code".to_owned(),
            });
        }
        let api = crate::github::rest(config, http);
        let url = api.url(&["app-manifests", code, "conversions"]);
        let body = Body::none().holding(&code.into());
        let answer = api
            .call(Auth::Nobody, Method::POST, url, body, "GitHub App for this code")
            .await?;
        let app: Converted = answer.secret_json()?;
        let webhook_secret = app.webhook_secret.filter(|secret| !secret.is_empty());
        let webhook_secret = webhook_secret
            .ok_or_else(|| crate::http::malformed(&answer.url, "the new App has no webhook secret"))?;
        Ok(Self {
            app_id: app.id.to_string(),
            name: app.name,
            page: app.html_url,
            client_id: app.client_id,
            client_secret: app.client_secret.into(),
            webhook_secret: webhook_secret.into(),
            private_key: app.pem.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_key_is_refused_without_repeating_it() {
        let config = AppConfig {
            app_id: "1".to_owned(),
            page: "https://github.com/apps/slipway".parse().unwrap(),
            private_key: "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----".into(),
        };
        let error = jwt(&config, Timestamp::now()).unwrap_err();
        assert_eq!(error.kind(), "app_key_unusable");
        assert!(!format!("{error:?} {error} {config:?}").contains("canary"));
    }

    #[test]
    fn the_manifest_goes_to_the_person_or_to_the_organization() {
        let web = "https://github.com".parse().unwrap();
        let own = AppManifest::page(&web, None, "s");
        assert_eq!(own.as_str(), "https://github.com/settings/apps/new?state=s");
        let organization = AppManifest::page(&web, Some("acme"), "s");
        assert_eq!(
            organization.as_str(),
            "https://github.com/organizations/acme/settings/apps/new?state=s"
        );
    }
}
