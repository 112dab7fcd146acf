//! First run: the administrator, then a check-list that stays until all is done.

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::forge::ForgeKind;

use super::{
    Again, Done, Page, Told, frame, outside, registries,
    security::{PASSWORD_HELP, same},
    sign_in::enter,
    source_providers::{addresses, kind_name, steps},
    to,
};
use crate::{
    app::App,
    failure::Failure,
    services::{ServiceError, accounts::Origin},
    web::{
        entered,
        session::{SignedIn, Visitor},
        view::{
            Check, Csrf, Field, Place,
            start::{CheckListPage, FirstRunPage, ProviderHelp},
        },
        words,
    },
};

/// The administrator to be created.
#[derive(Debug, Deserialize)]
pub struct FirstForm {
    name: String,
    #[serde(deserialize_with = "entered::secret")]
    password: SecretString,
    #[serde(deserialize_with = "entered::secret")]
    again: SecretString,
}

fn first_page(app: &App, csrf: Csrf, name: &str, told: Option<&Told>) -> FirstRunPage {
    let fields = [
        Field::mono("name", "User name")
            .value(name)
            .autocomplete("username"),
        Field::password("password", "Password", "new-password").help(PASSWORD_HELP),
        Field::password("again", "Password again", "new-password"),
    ];
    FirstRunPage {
        frame: outside(app, csrf, "Set up"),
        alert: told.map(Told::alert),
        fields: fields
            .into_iter()
            .map(|field| match told {
                Some(told) => told.mark(field),
                None => field,
            })
            .collect(),
    }
}

/// `GET /setup`
///
/// # Errors
/// What the store says.
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    who: Option<SignedIn>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    if app.accounts.is_empty().await? {
        return Ok(Page(first_page(&app, visitor.csrf, "", None)).into_response());
    }
    let Some(who) = who else {
        return Ok(to("/sign-in?next=%2Fsetup"));
    };
    app.access.administrator(&who.caller)?;
    let checks = checks(&app, &who).await?;
    let done_count = checks.iter().filter(|check| check.tone == "ok").count();
    let registry = app.registries.shared().await?.is_empty();
    let page = CheckListPage {
        frame: frame(&app, &who, "Set up", Place::Admin, &done),
        done: done_count,
        checks,
        registry: registry.then(|| registries::form(&who, "/setup", None, None)),
        providers: missing_providers(&app).await?,
    };
    Ok(Page(page).into_response())
}

async fn missing_providers(app: &App) -> Result<Vec<ProviderHelp>, Failure> {
    let there = app.providers.list().await?;
    let missing = ForgeKind::ALL
        .iter()
        .filter(|kind| !there.iter().any(|p| p.record.fields.kind == **kind));
    Ok(missing
        .map(|&kind| {
            let (homepage, callback) = addresses(app, kind.as_str());
            ProviderHelp {
                title: kind_name(kind).to_owned(),
                steps: steps(kind),
                homepage,
                callback,
                href: format!("/admin/source-providers/new?kind={kind}"),
            }
        })
        .collect())
}

/// The check-list: every step, done or not.
pub(super) async fn checks(app: &App, who: &SignedIn) -> Result<Vec<Check>, Failure> {
    let registries = app.registries.shared().await?;
    let providers = app.providers.list().await?;
    let builders = app.status.builders().await?;
    let has = |kind: ForgeKind| providers.iter().any(|p| p.record.fields.kind == kind);
    let linked = app
        .links
        .overview(&who.caller, who.name())
        .await?
        .iter()
        .any(|l| l.link.is_some());
    let (repositories, _) = app.repositories.visible(&who.caller, "", None, 1).await?;
    let mut checks = vec![Check::done(
        "Create the administrator",
        format!("{}, signed in here.", who.name()),
    )];
    let mut add = |done: bool, title: &str, good: String, todo: &str, href: &str| {
        checks.push(if done {
            Check::done(title, good)
        } else {
            Check::to_do(title, todo, Some(href.to_owned()))
        });
    };
    add(
        !registries.is_empty(),
        "Add the first registry",
        registries
            .first()
            .map(|r| format!("{}, login tested.", r.host))
            .unwrap_or_default(),
        "Where images go. The login is tested before it is saved.",
        "#registry",
    );
    add(
        !builders.is_empty(),
        "A builder takes work",
        builders
            .first()
            .map(|b| format!("{}: {} machines.", b.name, b.facts.driver))
            .unwrap_or_default(),
        "Start one: slipway serve brings its own unless told otherwise.",
        "#list",
    );
    for kind in [ForgeKind::Github, ForgeKind::Bitbucket] {
        let title = format!("Connect {}", kind_name(kind));
        let todo = format!(
            "Register Slipway at {}, and bring id and secret back.",
            kind_name(kind)
        );
        let href = format!("/admin/source-providers/new?kind={kind}");
        add(has(kind), &title, "Configured.".to_owned(), &todo, &href);
    }
    add(
        linked,
        "Link an account",
        "Linked.".to_owned(),
        "So that Slipway reaches your source repositories.",
        "/settings/linked-accounts",
    );
    add(
        !repositories.is_empty(),
        "Create the first repository",
        words::count(
            repositories.len(),
            "repository is there.",
            "repositories are there.",
        ),
        "Then choose its source, and push.",
        "/repositories/new",
    );
    if let Some(next) = checks.iter_mut().find(|check| check.tone == "idle") {
        (next.tone, next.icon) = ("run", "arrow-right");
        "Next".clone_into(&mut next.end);
    }
    Ok(checks)
}

/// `POST /setup`
///
/// # Errors
/// What the store says.
pub async fn create(
    State(app): State<App>,
    visitor: Visitor,
    origin: Origin,
    Form(form): Form<FirstForm>,
) -> Result<Response, Failure> {
    let created = if same(&form.password, &form.again) {
        app.accounts
            .first_administrator(form.name.trim(), &form.password, &origin)
            .await
    } else {
        Err(ServiceError::invalid("again", "the two passwords differ"))
    };
    match created {
        Ok(signed_in) => Ok(enter(&app, &signed_in.token, "/setup")),
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(first_page(&app, visitor.csrf, &form.name, Some(&told))).into_response())
        }
    }
}
