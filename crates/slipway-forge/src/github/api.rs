//! GitHub's REST API: what every call needs, what its refusals mean, and the accounts behind a token.

use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    Account, Forbidden, ForgeConfig, ForgeError, HttpClient, Owner, OwnerAccess, OwnerKind, OwnerRole,
    Scopes,
    http::{Answer, excerpt},
    names::is_part,
    remembered::Remembered,
    rest::{Page, Rest, judge_common, wait_until},
};

/// The API below the configured address. The version is the one that its documentation is read in.
pub(super) fn api(config: &ForgeConfig, http: HttpClient) -> Rest {
    Rest {
        http,
        base: config.api_url.clone(),
        forge: config.display_name.clone(),
        headers: &[
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
        ],
        remembered: Remembered::default(),
        judge,
    }
}

/// The OAuth pages, which are not of the API but speak JSON when asked to.
pub(super) fn web(config: &ForgeConfig, http: HttpClient) -> Rest {
    Rest {
        http,
        base: config.web_url.clone(),
        forge: config.display_name.clone(),
        headers: &[("accept", "application/json")],
        remembered: Remembered::default(),
        judge,
    }
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

impl Refusal {
    /// "Validation Failed: key is already in use".
    fn words(&self) -> String {
        let details = self.errors.iter().filter_map(|error| {
            let message = error.get("message").unwrap_or(error).as_str();
            message.or_else(|| error.get("code")?.as_str())
        });
        let details: Vec<&str> = details.collect();
        if details.is_empty() {
            return excerpt(&self.message);
        }
        excerpt(&format!("{}: {}", self.message, details.join(", ")))
    }
}

fn judge(forge: &str, answer: &Answer, what: &str) -> ForgeError {
    let words = answer.json::<Refusal>().unwrap_or_default().words();
    let words = if words.is_empty() { answer.text() } else { words };
    let lower = words.to_lowercase();
    let forbidden = |why| ForgeError::Forbidden {
        forge: forge.to_owned(),
        why,
    };
    if answer.status == StatusCode::NOT_FOUND
        && let Some(scopes) = scopes_lacking(answer)
    {
        return forbidden(Forbidden::NeedsScope {
            message: format!("one of: {scopes}"),
        });
    }
    match answer.status {
        StatusCode::FORBIDDEN if is_rate_limit(answer, &lower) => ForgeError::RateLimited {
            forge: forge.to_owned(),
            until: wait_until(answer),
        },
        StatusCode::FORBIDDEN => forbidden(why_forbidden(answer, words, &lower)),
        StatusCode::UNPROCESSABLE_ENTITY if lower.contains("already") => ForgeError::AlreadyInUse {
            forge: forge.to_owned(),
            message: words,
        },
        StatusCode::UNPROCESSABLE_ENTITY if lower.contains("no commit found") => ForgeError::NotFound {
            forge: forge.to_owned(),
            what: what.to_owned(),
        },
        _ => judge_common(forge, answer, what, words),
    }
}

/// Primary limits leave 0 remaining, secondary ones say `Retry-After` or only tell it in words ("Rate limits for the
/// REST API").
fn is_rate_limit(answer: &Answer, lower: &str) -> bool {
    answer.header("x-ratelimit-remaining") == Some("0")
        || answer.header("retry-after").is_some()
        || lower.contains("rate limit")
}

fn why_forbidden(answer: &Answer, message: String, lower: &str) -> Forbidden {
    if let Some(sso) = answer.header("x-github-sso") {
        return Forbidden::SsoRequired { url: sso_url(sso) };
    }
    if lower.contains("oauth app access restrictions") {
        return Forbidden::OrgRestricted { message };
    }
    if lower.contains("suspended") {
        return Forbidden::Suspended { message };
    }
    if scopes_lacking(answer).is_some() || lower.contains(" scope") {
        return Forbidden::NeedsScope { message };
    }
    if lower.contains("admin") {
        return Forbidden::NeedsAdmin { message };
    }
    Forbidden::Other { message }
}

/// `required; url=https://…`
fn sso_url(header: &str) -> Option<Url> {
    let url = header
        .split(';')
        .find_map(|part| part.trim().strip_prefix("url="))?;
    Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http"))
}

/// Which scopes would do, if the token has none of them (`X-Accepted-OAuth-Scopes`). GitHub answers 404 as well as 403
/// then.
fn scopes_lacking(answer: &Answer) -> Option<Scopes> {
    let accepted = Scopes::parse(answer.header("x-accepted-oauth-scopes")?);
    let granted = Scopes::parse(answer.header("x-oauth-scopes")?);
    let has_one = accepted.iter().any(|scope| super::oauth::covers(&granted, scope));
    (!accepted.is_empty() && !has_one).then_some(accepted)
}

/// One page: a list, and the `Link` header's `rel="next"` (RFC 8288).
pub(super) fn page<T: DeserializeOwned>(answer: &Answer) -> Result<Page<T>, ForgeError> {
    let next = answer.header("link").and_then(next_link);
    Ok((answer.json()?, next))
}

pub(super) fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (url, after) = after.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        if after[..end].contains("rel=\"next\"") {
            return Some(url.to_owned());
        }
        rest = &after[end..];
    }
    None
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    avatar_url: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct Membership {
    state: String,
    role: String,
    organization: User,
}

impl Membership {
    fn into_owner(self) -> Owner {
        let role = if self.role == "admin" {
            OwnerRole::Admin
        } else {
            OwnerRole::Member
        };
        owner(self.organization, OwnerKind::Organization, role)
    }
}

pub(super) fn owner(user: User, kind: OwnerKind, role: OwnerRole) -> Owner {
    Owner {
        id: user.id.into(),
        avatar_url: read_url(user.avatar_url.as_deref()),
        login: user.login,
        name: user.name,
        kind,
        role,
        installation: None,
    }
}

/// An address of a page or picture. GitHub leaves some empty.
fn read_url(text: Option<&str>) -> Option<Url> {
    Url::parse(text?)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http"))
}

pub(super) async fn account(api: &Rest, token: &SecretString) -> Result<Account, ForgeError> {
    let answer = api.get(token, api.url(&["user"]), "account").await?;
    let scopes = answer.header("x-oauth-scopes").map(Scopes::parse);
    let user: User = answer.json()?;
    Ok(Account {
        id: user.id.into(),
        avatar_url: read_url(user.avatar_url.as_deref()),
        web_url: read_url(user.html_url.as_deref()),
        login: user.login,
        name: user.name,
        scopes,
    })
}

pub(super) async fn owners(api: &Rest, token: &SecretString) -> Result<Vec<Owner>, ForgeError> {
    let user: User = api.get(token, api.url(&["user"]), "account").await?.json()?;
    let mut url = api.url(&["user", "memberships", "orgs"]);
    url.query_pairs_mut()
        .append_pair("state", "active")
        .append_pair("per_page", "100");
    let memberships: Vec<Membership> = api.all(token, url, "organizations", page).await?;
    let mut owners = vec![owner(user, OwnerKind::User, OwnerRole::Admin)];
    owners.extend(memberships.into_iter().map(Membership::into_owner));
    Ok(owners)
}

/// "Get an organization membership for the authenticated user" answers 403 when the organization blocks the app.
pub(super) async fn owner_access(
    api: &Rest,
    token: &SecretString,
    login: &str,
) -> Result<OwnerAccess, ForgeError> {
    if !is_part(login) {
        return Ok(OwnerAccess::NotAMember);
    }
    let url = api.url(&["user", "memberships", "orgs", login]);
    match api.find::<Membership>(token, url, "organization").await {
        Ok(Some(membership)) if membership.state == "active" => {
            Ok(OwnerAccess::Granted(membership.into_owner()))
        }
        Ok(_) => Ok(OwnerAccess::NotAMember),
        Err(ForgeError::Forbidden {
            why: Forbidden::OrgRestricted { message },
            ..
        }) => Ok(OwnerAccess::Restricted { message }),
        Err(ForgeError::Forbidden {
            why: Forbidden::SsoRequired { url },
            ..
        }) => Ok(OwnerAccess::SsoRequired { url }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_in_a_link_header() {
        let header = r#"<https://api.github.com/x?page=1>; rel="prev", <https://api.github.com/x?a=1,2&page=3>; rel="next""#;
        assert_eq!(
            next_link(header).as_deref(),
            Some("https://api.github.com/x?a=1,2&page=3")
        );
        assert_eq!(next_link(r#"<https://api.github.com/x>; rel="last""#), None);
        assert_eq!(next_link("<broken"), None);
    }

    #[test]
    fn the_single_sign_on_address_is_read_and_held_to_http() {
        let url = sso_url("required; url=https://github.com/orgs/o/sso?authorization_request=A").unwrap();
        assert_eq!(url.path(), "/orgs/o/sso");
        assert_eq!(sso_url("required; url=javascript:alert(1)"), None);
        assert_eq!(sso_url("partial-results; organizations=1,2"), None);
    }
}
