//! Source providers: where source code is, and as what Slipway is known there.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use slipway_types::forge::ForgeKind;
use url::Url;

use super::{Again, Done, Page, Told, act, administration, frame, to};
use crate::{
    app::App,
    failure::Failure,
    services::{
        ServiceError,
        source_providers::{Provider, ProviderForm},
    },
    web::{
        entered,
        session::SignedIn,
        view::{
            Alert, CopyLine, Crumbs, Field, Pill, Place,
            admin::{AppCard, ProviderRow, SourceProviderPage, SourceProvidersPage},
        },
    },
};

async fn overview(
    app: &App,
    who: &SignedIn,
    done: &Done,
    alert: Option<Alert>,
) -> Result<SourceProvidersPage, Failure> {
    app.access.administrator(&who.caller)?;
    let providers = app.providers.list().await?;
    Ok(SourceProvidersPage {
        frame: frame(app, who, "Source providers", Place::Admin, done),
        side: administration("Source providers"),
        alert,
        providers: providers.iter().map(|provider| row(who, provider)).collect(),
    })
}

fn row(who: &SignedIn, provider: &Provider) -> ProviderRow {
    let fields = &provider.record.fields;
    let here = format!("/admin/source-providers/{}", fields.name);
    ProviderRow {
        title: fields.display_name.clone(),
        host: fields.web_url.authority().to_owned(),
        about: match (&provider.app, &provider.client) {
            (Some(_), Some(client)) => format!("GitHub App, and OAuth client {}", client.client_id),
            (Some(_), None) => "GitHub App".to_owned(),
            (None, Some(client)) => format!("OAuth client {}", client.client_id),
            (None, None) => "no client yet".to_owned(),
        },
        state: if provider.app.is_some() || provider.client.is_some() {
            Pill::new("ok", "check-circle", "Ready")
        } else {
            Pill::new("warn", "alert", "Not usable yet")
        },
        test: act(
            who,
            format!("{here}/test"),
            ("sm", "refresh", "Test"),
            &*fields.display_name,
        ),
        edit: Some(here),
    }
}

/// `GET /admin/source-providers`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(overview(&app, &who, &done, None).await?).into_response())
}

/// Which kind shall be added.
#[derive(Debug, Deserialize)]
pub struct Kind {
    kind: ForgeKind,
}

/// A source provider, as it is entered.
#[derive(Debug, Deserialize)]
pub struct Entered {
    kind: ForgeKind,
    name: String,
    #[serde(default)]
    display_name: String,
    client_id: String,
    #[serde(default, deserialize_with = "entered::secret")]
    client_secret: SecretString,
    web_url: String,
    api_url: String,
    #[serde(default)]
    known_hosts: String,
    #[serde(default)]
    then: String,
}

impl Entered {
    fn usual(kind: ForgeKind) -> Self {
        let (name, display_name, web_url, api_url) = match kind {
            ForgeKind::Github => ("github", "GitHub", "https://github.com", "https://api.github.com"),
            ForgeKind::Bitbucket => (
                "bitbucket",
                "Bitbucket",
                "https://bitbucket.org",
                "https://api.bitbucket.org/2.0",
            ),
        };
        Self {
            kind,
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            client_id: String::new(),
            client_secret: SecretString::default(),
            web_url: web_url.to_owned(),
            api_url: api_url.to_owned(),
            known_hosts: String::new(),
            then: String::new(),
        }
    }

    fn of(provider: &Provider) -> Self {
        let fields = &provider.record.fields;
        Self {
            kind: fields.kind,
            name: fields.name.clone(),
            display_name: fields.display_name.clone(),
            client_id: provider
                .client
                .as_ref()
                .map(|c| c.client_id.clone())
                .unwrap_or_default(),
            client_secret: SecretString::default(),
            web_url: fields.web_url.to_string(),
            api_url: fields.api_url.to_string(),
            known_hosts: fields.known_hosts.join("\n"),
            then: String::new(),
        }
    }

    fn parse(&self) -> Result<ProviderForm, ServiceError> {
        let url = |field: &'static str, text: &str| {
            text.trim()
                .parse::<Url>()
                .map_err(|error| ServiceError::invalid(field, format!("this is no address: {error}")))
        };
        Ok(ProviderForm {
            kind: self.kind,
            name: self.name.trim().to_owned(),
            display_name: self.display_name.trim().to_owned(),
            web_url: url("web_url", &self.web_url)?,
            api_url: url("api_url", &self.api_url)?,
            known_hosts: self.known_hosts.lines().map(str::to_owned).collect(),
            client_id: self.client_id.trim().to_owned(),
            client_secret: Some(self.client_secret.clone()).filter(|s| !s.expose_secret().is_empty()),
            app: None,
        })
    }
}

fn page(
    app: &App,
    who: &SignedIn,
    entered: &Entered,
    there: Option<&Provider>,
    told: Option<&Told>,
) -> SourceProviderPage {
    let title = match there {
        Some(there) => format!("Change {}", there.record.fields.display_name),
        None => format!("Add {}", kind_name(entered.kind)),
    };
    let mark = |field: Field| match told {
        Some(told) => told.mark(field),
        None => field,
    };
    let has_secret = there.is_some_and(|there| there.client.is_some());
    let secret = Field::password("client_secret", "Client secret", "off");
    let client_id = Field::mono("client_id", client_id_label(entered.kind)).value(&*entered.client_id);
    // A GitHub App does as well; it is created once the provider is there.
    let may_go_without = entered.kind == ForgeKind::Github && !has_secret;
    let client_id = if may_go_without {
        client_id
            .optional()
            .help("Both empty: through a GitHub App only, created after saving")
    } else {
        client_id
    };
    let (homepage, callback) = addresses(app, &entered.name);
    SourceProviderPage {
        frame: frame(app, who, &*title, Place::Admin, &Done::default()),
        side: administration("Source providers"),
        crumbs: Crumbs {
            up: vec![(
                "Source providers".to_owned(),
                "/admin/source-providers".to_owned(),
            )],
            here: title.clone(),
        },
        title,
        alert: told.map(Told::alert),
        steps: steps(entered.kind),
        homepage,
        callback,
        action: match there {
            Some(there) => format!("/admin/source-providers/{}", there.record.fields.name),
            None => format!("/admin/source-providers/new?kind={}", entered.kind),
        },
        kind: entered.kind.as_str(),
        fields: vec![
            mark(client_id),
            mark(if has_secret || may_go_without {
                secret.optional()
            } else {
                secret
            }),
            mark(Field::text("display_name", "Name for people").value(&*entered.display_name)),
            mark(
                Field::mono("name", "Name in addresses")
                    .value(&*entered.name)
                    .help("Part of the callback address: change both together"),
            ),
        ],
        addresses: vec![
            mark(Field::mono("web_url", "Web address").value(&*entered.web_url)),
            mark(
                Field::mono("api_url", "API address")
                    .value(&*entered.api_url)
                    .help("GitHub Enterprise Server: its address and /api/v3"),
            ),
            mark(
                Field::mono("known_hosts", "SSH host key, as a known_hosts line")
                    .value(&*entered.known_hosts)
                    .optional()
                    .help("Empty: the provider is asked"),
            ),
        ],
        has_secret,
        app: there
            .filter(|there| there.record.fields.kind == ForgeKind::Github)
            .map(|there| app_card(who, there)),
    }
}

fn app_card(who: &SignedIn, provider: &Provider) -> AppCard {
    let fields = &provider.record.fields;
    let here = format!("/admin/source-providers/{}/app", fields.name);
    let facts = provider.app.as_ref().and_then(|client| client.app.as_ref());
    match (facts, &provider.app_hook_url) {
        (Some(app), Some(hook)) => AppCard::There {
            page: app.page.to_string(),
            id: app.app_id.clone(),
            hook: CopyLine {
                text: hook.to_string(),
                what: "webhook address".to_owned(),
            },
            test: act(
                who,
                format!("{here}/test"),
                ("sm", "refresh", "Test GitHub App"),
                &*fields.display_name,
            ),
        },
        _ => AppCard::Create {
            action: here,
            fields: vec![
                Field::text("app_name", "GitHub App name")
                    .value("Slipway")
                    .help("At most 34 characters; no other GitHub App may have it"),
                Field::mono("organization", "Organization")
                    .optional()
                    .help("Empty: under your own account at GitHub"),
            ],
        },
    }
}

/// The page of a provider, with what came of something done there.
pub(super) async fn with_alert(
    app: &App,
    who: &SignedIn,
    name: &str,
    alert: Alert,
) -> Result<Response, Failure> {
    let there = find(app, who, name).await?;
    let mut page = page(app, who, &Entered::of(&there), Some(&there), None);
    page.alert = Some(alert);
    Ok(Page(page).into_response())
}

/// What to paste at a provider: homepage and callback address.
pub(super) fn addresses(app: &App, name: &str) -> (CopyLine, CopyLine) {
    let homepage = app.config.public_url.as_str().trim_end_matches('/').to_owned();
    let callback = app.config.callback_url(name).to_string();
    let line = |text, what: &str| CopyLine {
        text,
        what: what.to_owned(),
    };
    (line(homepage, "homepage"), line(callback, "callback address"))
}

/// The kind's own name.
pub(super) const fn kind_name(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => "GitHub",
        ForgeKind::Bitbucket => "Bitbucket",
    }
}

const fn client_id_label(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => "Client ID",
        ForgeKind::Bitbucket => "Key",
    }
}

/// What to do at the provider, in order.
pub(super) fn steps(kind: ForgeKind) -> Vec<String> {
    let steps: &[&str] = match kind {
        ForgeKind::Github => &[
            "At GitHub, open Settings, Developer settings, OAuth apps (for an organization: its settings), and press New OAuth app.",
            "Give it a name that people will recognise when they grant access, and paste homepage and callback address from here.",
            "Register it, press Generate a new client secret, and bring Client ID and secret back here.",
        ],
        ForgeKind::Bitbucket => &[
            "At Bitbucket, open the workspace’s settings, OAuth consumers, and press Add consumer.",
            "Paste homepage (URL) and callback address from here. Tick: Account read, Repositories read, admin and write, Webhooks read and write, Pull requests read.",
            "Save it, open it again, and bring Key and Secret back here.",
        ],
    };
    steps.iter().map(|&step| step.to_owned()).collect()
}

/// `GET /admin/source-providers/new?kind=github`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn new(
    State(app): State<App>,
    who: SignedIn,
    Query(kind): Query<Kind>,
) -> Result<Response, Failure> {
    app.access.administrator(&who.caller)?;
    Ok(Page(page(&app, &who, &Entered::usual(kind.kind), None, None)).into_response())
}

/// `POST /admin/source-providers/new`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn add(
    State(app): State<App>,
    who: SignedIn,
    Form(entered): Form<Entered>,
) -> Result<Response, Failure> {
    let added = match entered.parse() {
        Ok(form) => app.providers.add(&who.caller, &form).await.map(|_| form.name),
        Err(error) => Err(error),
    };
    match added {
        Ok(name) => saved(&app, &who, &name, &entered.then).await,
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(page(&app, &who, &entered, None, Some(&told))).into_response())
        }
    }
}

async fn find(app: &App, who: &SignedIn, name: &str) -> Result<Provider, Failure> {
    app.access.administrator(&who.caller)?;
    let all = app.providers.list().await?;
    let found = all
        .into_iter()
        .find(|provider| provider.record.fields.name == name);
    found.ok_or_else(Failure::not_found)
}

/// `GET /admin/source-providers/{forge}`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn edit(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let there = find(&app, &who, &name).await?;
    let mut page = page(&app, &who, &Entered::of(&there), Some(&there), None);
    page.frame = frame(&app, &who, &*page.title, Place::Admin, &done);
    Ok(Page(page).into_response())
}

/// `POST /admin/source-providers/{forge}`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn change(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<String>,
    Form(entered): Form<Entered>,
) -> Result<Response, Failure> {
    let there = find(&app, &who, &name).await?;
    let changed = match entered.parse() {
        Ok(form) => app
            .providers
            .change(&who.caller, there.record.id, &form)
            .await
            .map(|()| form.name),
        Err(error) => Err(error),
    };
    match changed {
        Ok(name) => saved(&app, &who, &name, &entered.then).await,
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(page(&app, &who, &entered, Some(&there), Some(&told))).into_response())
        }
    }
}

async fn saved(app: &App, who: &SignedIn, name: &str, then: &str) -> Result<Response, Failure> {
    if then == "test" {
        return tested(app, who, name).await;
    }
    Ok(to("/admin/source-providers?done=saved"))
}

/// `POST /admin/source-providers/{forge}/test`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn test(
    State(app): State<App>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    tested(&app, &who, &name).await
}

/// Tells a wrong secret from a host that is not reached.
async fn tested(app: &App, who: &SignedIn, name: &str) -> Result<Response, Failure> {
    let there = find(app, who, name).await?;
    let forge = &there.record.fields.display_name;
    if there.client.is_none() && there.app.is_some() {
        return super::github_app::test(State(app.clone()), who.clone(), Path(name.to_owned())).await;
    }
    let alert = match app.providers.test(&who.caller, Some(there.record.id), None).await {
        Ok(()) => Alert::ok(format!("{forge} knows this client, and the secret is right.")),
        Err(ServiceError::Invalid { message, .. }) => {
            Alert::bad(format!("{forge} was reached, but refused the client.")).line(message)
        }
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_))) => {
            Alert::bad(format!("{forge} could not be asked.")).line(Failure::from(error).why)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Page(overview(app, who, &Done::default(), Some(alert)).await?).into_response())
}
