//! Getting, checking and giving up a token: the parts of OAuth 2 (RFC 6749) that both providers share.

use std::{collections::BTreeSet, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRngCore as _, rngs::OsRng};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::ForgeError;

/// What goes into the authorize page's URL.
#[derive(Debug, Clone)]
pub struct AuthorizeRequest {
    /// Where the provider sends the person back to.
    pub redirect_uri: Url,
    /// [`fresh_state`]: single use, bound to who asked.
    pub state: String,
    /// [`Pkce::challenge`], where [`crate::Forge::supports_pkce`].
    pub pkce_challenge: Option<String>,
    /// Make the provider ask which account (GitHub: `prompt=select_account`).
    pub select_account: bool,
}

/// What a code or a refresh token was exchanged for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The token. Of any length.
    pub access_token: SecretString,
    /// What a new one is had for. Where there is one it is single use: persist it before using the access token.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives, from now.
    pub expires_in: Option<Duration>,
    /// What was granted, if the answer says.
    pub scopes: Option<Scopes>,
}

/// A set of OAuth scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Reads scopes separated by spaces (RFC 6749, section 3.3) or commas (GitHub's answers).
    pub fn parse(text: &str) -> Self {
        text.split([' ', ',']).filter(|scope| !scope.is_empty()).collect()
    }

    /// Whether this very scope is among them; implication is the forge's to know.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Each scope, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: Into<String>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl From<String> for Scopes {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> String {
        scopes.to_string()
    }
}

/// What a forge says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCheck {
    /// It works; with these scopes, if told.
    Valid {
        /// What it may do.
        scopes: Option<Scopes>,
    },
    /// It was revoked, or has expired.
    Invalid,
}

/// What came of giving up a token or a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked now.
    Revoked,
    /// It was gone already.
    AlreadyGone,
    /// The provider has no call for it: the person has to do it on [`crate::Forge::authorizations_url`].
    NotOffered,
}

/// Linking did not work, and why.
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// The person pressed cancel on the provider's page (`access_denied`).
    #[error("access was not granted at {forge}; nothing has changed")]
    AccessDenied {
        /// The forge's name for people.
        forge: String,
    },
    /// The callback address is not the one registered at the provider (`redirect_uri_mismatch`).
    #[error(
        "{forge} does not know Slipway's callback address; an administrator has to register it with the OAuth app"
    )]
    RedirectMismatch {
        /// The forge's name for people.
        forge: String,
    },
    /// The OAuth app is suspended (`application_suspended`).
    #[error("{forge} has suspended Slipway's OAuth app; an administrator has to ask {forge} why")]
    ApplicationSuspended {
        /// The forge's name for people.
        forge: String,
    },
    /// The scopes were refused (`invalid_scope`).
    #[error("{forge} refused the permissions that Slipway asked for")]
    ScopesRefused {
        /// The forge's name for people.
        forge: String,
    },
    /// The code was used before, or is older than ten minutes (`bad_verification_code`, `invalid_grant`).
    #[error("the answer from {forge} has expired or was used before; link again")]
    CodeExpired {
        /// The forge's name for people.
        forge: String,
    },
    /// Client id or secret is wrong (`incorrect_client_credentials`, `invalid_client`).
    #[error("{forge} does not accept Slipway's client id and secret; an administrator has to correct them")]
    ClientRejected {
        /// The forge's name for people.
        forge: String,
    },
    /// The person has not confirmed their address at the provider (`unverified_user_email`).
    #[error("{forge} asks you to verify your e-mail address there first")]
    UnverifiedEmail {
        /// The forge's name for people.
        forge: String,
    },
    /// The refresh token is not good any more (`bad_refresh_token`, `invalid_grant`).
    #[error("{forge} does not renew the access any more; link the account again")]
    RefreshRefused {
        /// The forge's name for people.
        forge: String,
    },
    /// Another documented or undocumented error word.
    #[error("{forge} refused with `{error}`: {description}")]
    Refused {
        /// The forge's name for people.
        forge: String,
        /// The provider's word.
        error: String,
        /// In the provider's words.
        description: String,
    },
    /// The forge could not be asked, or did not answer as documented.
    #[error(transparent)]
    Forge(#[from] ForgeError),
}

impl OauthError {
    /// Stable word for the API, the audit trail and the metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AccessDenied { .. } => "access_denied",
            Self::RedirectMismatch { .. } => "redirect_mismatch",
            Self::ApplicationSuspended { .. } => "application_suspended",
            Self::ScopesRefused { .. } => "scopes_refused",
            Self::CodeExpired { .. } => "code_expired",
            Self::ClientRejected { .. } => "client_rejected",
            Self::UnverifiedEmail { .. } => "unverified_email",
            Self::RefreshRefused { .. } => "refresh_refused",
            Self::Refused { .. } => "refused",
            Self::Forge(error) => error.kind(),
        }
    }
}

/// Reads the `error` of a callback's query (RFC 6749, section 4.1.2.1); `None` if it has none.
pub(crate) fn callback_error(forge: &str, query: &str) -> Option<OauthError> {
    let value = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| crate::http::excerpt(&value))
    };
    let error = value("error")?;
    let description = value("error_description").unwrap_or_default();
    Some(from_word(forge, &error, &description))
}

/// The documented error words of both providers, of callback and token endpoint alike.
pub(crate) fn from_word(forge: &str, error: &str, description: &str) -> OauthError {
    let forge = forge.to_owned();
    match error {
        "access_denied" => OauthError::AccessDenied { forge },
        "redirect_uri_mismatch" => OauthError::RedirectMismatch { forge },
        "application_suspended" => OauthError::ApplicationSuspended { forge },
        "invalid_scope" => OauthError::ScopesRefused { forge },
        "bad_verification_code" | "invalid_grant" => OauthError::CodeExpired { forge },
        "incorrect_client_credentials" | "invalid_client" | "unauthorized_client" => {
            OauthError::ClientRejected { forge }
        }
        "unverified_user_email" => OauthError::UnverifiedEmail { forge },
        "bad_refresh_token" => OauthError::RefreshRefused { forge },
        _ => OauthError::Refused {
            forge,
            error: error.to_owned(),
            description: description.to_owned(),
        },
    }
}

/// A fresh `state`: 256 random bits as text safe in URLs.
pub fn fresh_state() -> String {
    random_text()
}

/// A PKCE verifier (RFC 7636) to be kept server-side until the callback.
#[derive(Debug, Clone)]
pub struct Pkce {
    /// Sent with the code.
    pub verifier: SecretString,
}

impl Pkce {
    /// A fresh verifier: 256 random bits in 43 characters (RFC 7636, section 4.1).
    pub fn fresh() -> Self {
        Self {
            verifier: random_text().into(),
        }
    }

    /// The challenge for the authorize page, by method `S256` (RFC 7636, section 4.2).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose_secret()))
    }
}

fn random_text() -> String {
    let mut bytes = [0_u8; 32];
    OsRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system gives random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let pkce = Pkce {
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
        };
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn states_and_verifiers_hold_256_bits_and_differ() {
        assert_eq!(fresh_state().len(), 43);
        assert_ne!(fresh_state(), fresh_state());
        assert_eq!(Pkce::fresh().verifier.expose_secret().len(), 43);
    }

    #[test]
    fn scopes_are_read_with_commas_and_with_spaces() {
        assert_eq!(Scopes::parse("repo,read:org"), Scopes::parse(" read:org repo"));
        assert_eq!(Scopes::parse("repo, read:org").to_string(), "read:org repo");
        assert!(Scopes::parse("").is_empty());
    }

    #[test]
    fn a_cancelled_authorization_is_told_from_a_good_one() {
        let error = callback_error(
            "GitHub",
            "error=access_denied&error_description=The+user+has+denied&state=x",
        );
        assert_eq!(error.unwrap().kind(), "access_denied");
        assert!(callback_error("GitHub", "code=abc&state=x").is_none());
    }

    #[test]
    fn an_unknown_word_is_kept_for_the_reader() {
        let error = from_word("GitHub", "weird", "Something new");
        assert_eq!(error.to_string(), "GitHub refused with `weird`: Something new");
    }
}
