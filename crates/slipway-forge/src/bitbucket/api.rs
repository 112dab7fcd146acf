//! Bitbucket's REST API 2.0: what every call needs, what its refusals mean, and the accounts behind a token.

use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    Account, Forbidden, ForgeConfig, ForgeError, HttpClient, Owner, OwnerAccess, OwnerKind, OwnerRole,
    Scopes,
    http::{Answer, excerpt},
    remembered::Remembered,
    rest::{Page, Rest, judge_common},
};

/// The API below the configured address.
pub(super) fn api(config: &ForgeConfig, http: HttpClient) -> Rest {
    rest(config.api_url.clone(), config, http)
}

/// The OAuth endpoint and the host keys, which are not of the API.
pub(super) fn web(config: &ForgeConfig, http: HttpClient) -> Rest {
    rest(config.web_url.clone(), config, http)
}

fn rest(base: Url, config: &ForgeConfig, http: HttpClient) -> Rest {
    Rest {
        http,
        base,
        forge: config.display_name.clone(),
        headers: &[("accept", "application/json")],
        remembered: Remembered::default(),
        judge,
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalBody,
}

#[derive(Deserialize, Default)]
struct RefusalBody {
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: serde_json::Value,
    #[serde(default)]
    fields: serde_json::Map<String, serde_json::Value>,
}

impl RefusalBody {
    /// "Bad request: key: Someone has already registered that SSH key."
    fn words(&self) -> String {
        let mut words = vec![self.message.clone()];
        words.extend(self.detail.as_str().map(str::to_owned));
        for (field, problems) in &self.fields {
            let texts = problems.as_array().into_iter().flatten().chain(Some(problems));
            words.extend(
                texts
                    .filter_map(|text| text.as_str())
                    .map(|text| format!("{field}: {text}")),
            );
        }
        words.retain(|text| !text.is_empty());
        excerpt(&words.join(": "))
    }
}

/// Bitbucket answers 555 when a comparison took it too long: as good as none.
const TOO_LONG: u16 = 555;

fn judge(forge: &str, answer: &Answer, what: &str) -> ForgeError {
    let refusal = answer
        .json::<Refusal>()
        .map(|refusal| refusal.error)
        .unwrap_or_default();
    let words = refusal.words();
    let words = if words.is_empty() { answer.text() } else { words };
    let lower = words.to_lowercase();
    match answer.status {
        StatusCode::FORBIDDEN => {
            let why = why_forbidden(&refusal, words, &lower);
            ForgeError::Forbidden {
                forge: forge.to_owned(),
                why,
            }
        }
        StatusCode::BAD_REQUEST if lower.contains("already") => ForgeError::AlreadyInUse {
            forge: forge.to_owned(),
            message: words,
        },
        status if status.as_u16() == TOO_LONG => ForgeError::NotFound {
            forge: forge.to_owned(),
            what: what.to_owned(),
        },
        _ => judge_common(forge, answer, what, words),
    }
}

fn why_forbidden(refusal: &RefusalBody, message: String, lower: &str) -> Forbidden {
    if lower.contains("privilege scopes") {
        let required = refusal
            .detail
            .get("required")
            .and_then(|scopes| scopes.as_array());
        let required: Scopes = required
            .into_iter()
            .flatten()
            .filter_map(|scope| scope.as_str())
            .collect();
        let message = if required.is_empty() {
            message
        } else {
            required.to_string()
        };
        return Forbidden::NeedsScope { message };
    }
    if lower.contains("suspended") || lower.contains("deactivated") {
        return Forbidden::Suspended { message };
    }
    if lower.contains("admin") {
        return Forbidden::NeedsAdmin { message };
    }
    Forbidden::Other { message }
}

#[derive(Deserialize)]
struct Values<T> {
    values: Vec<T>,
    #[serde(default)]
    next: Option<String>,
}

/// One page: `values`, and the address of the `next`, to be followed as it is.
pub(super) fn page<T: DeserializeOwned>(answer: &Answer) -> Result<Page<T>, ForgeError> {
    let page: Values<T> = answer.json()?;
    Ok((page.values, page.next))
}

#[derive(Deserialize)]
pub(super) struct Links {
    #[serde(default)]
    pub(super) avatar: Option<Link>,
    #[serde(default)]
    pub(super) html: Option<Link>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) href: String,
}

impl Link {
    fn url(link: Option<&Self>) -> Option<Url> {
        Url::parse(&link?.href)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http"))
    }
}

#[derive(Deserialize)]
struct User {
    uuid: String,
    /// Absent where privacy settings hide it.
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    nickname: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    links: Option<Links>,
}

#[derive(Deserialize)]
struct WorkspaceAccess {
    #[serde(default)]
    administrator: bool,
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    uuid: String,
    slug: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    links: Option<Links>,
}

pub(super) async fn account(api: &Rest, token: &SecretString) -> Result<Account, ForgeError> {
    let answer = api.get(token, api.url(&["user"]), "account").await?;
    let scopes = answer.header("x-oauth-scopes").map(Scopes::parse);
    let user: User = answer.json()?;
    let links = user.links.as_ref();
    Ok(Account {
        avatar_url: links.and_then(|links| Link::url(links.avatar.as_ref())),
        web_url: links.and_then(|links| Link::url(links.html.as_ref())),
        login: user
            .username
            .or(user.nickname)
            .unwrap_or_else(|| user.uuid.clone()),
        id: user.uuid.into(),
        name: user.display_name,
        scopes,
    })
}

/// `GET /workspaces` is gone since 2026 (CHANGE-2770); this took its place.
pub(super) async fn owners(api: &Rest, token: &SecretString) -> Result<Vec<Owner>, ForgeError> {
    let mut url = api.url(&["user", "workspaces"]);
    url.query_pairs_mut().append_pair("pagelen", "100");
    let found: Vec<WorkspaceAccess> = api.all(token, url, "workspaces", page).await?;
    Ok(found.into_iter().map(owner).collect())
}

fn owner(access: WorkspaceAccess) -> Owner {
    let workspace = access.workspace;
    Owner {
        id: workspace.uuid.into(),
        login: workspace.slug,
        name: workspace.name,
        kind: OwnerKind::Organization,
        role: if access.administrator {
            OwnerRole::Admin
        } else {
            OwnerRole::Member
        },
        avatar_url: workspace
            .links
            .as_ref()
            .and_then(|links| Link::url(links.avatar.as_ref())),
        installation: None,
    }
}

/// Bitbucket keeps no workspace from an app that the account itself reaches.
pub(super) async fn owner_access(
    api: &Rest,
    token: &SecretString,
    login: &str,
) -> Result<OwnerAccess, ForgeError> {
    let found = owners(api, token)
        .await?
        .into_iter()
        .find(|owner| owner.login.eq_ignore_ascii_case(login));
    Ok(found.map_or(OwnerAccess::NotAMember, OwnerAccess::Granted))
}
