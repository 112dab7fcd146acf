//! The pages where a person registers an App, installs it, and changes or ends an installation.
//!
//! | page | form |
//! | --- | --- |
//! | `POST /settings/apps/new?state=`, `/organizations/{org}/settings/apps/new?state=` with `manifest` | `form#create-app`: press it, and the browser goes to the manifest's `redirect_url` with `code` and `state` |
//! | `GET /apps/{slug}/installations/new?state=` | one `form.install` per account: `repository_selection=all`, or `selected` with `repository_ids`; the browser goes to the set-up URL with `installation_id`, `setup_action` and `state` |
//! | `GET /settings/installations/{id}`, `/organizations/{org}/settings/installations/{id}` | `form#repositories` as above, `form#suspend`, `form#uninstall` |

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Form, OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};

use super::{Installation, Manifest, install, register, suspend, uninstall};
use crate::forge::Shared;
use crate::oauth::pages::{escape, frame, hidden, message};
use crate::oauth::{Visitor, found, visitor, with_cookie, with_query};
use crate::people::{Kind, Role};

const KIND: Kind = Kind::GitHub;

type Pairs = HashMap<String, String>;

pub(crate) fn routes(forge: Shared) -> Router {
    Router::new()
        .route("/settings/apps/new", post(ask_own))
        .route("/organizations/{org}/settings/apps/new", post(ask_organization))
        .route("/settings/apps/manifest", post(create))
        .route("/apps/{slug}/installations/new", get(choose))
        .route("/apps/{slug}/installations", post(installed))
        .route("/settings/installations/{id}", get(settings).post(change))
        .route(
            "/organizations/{org}/settings/installations/{id}",
            get(settings_of_organization).post(change_of_organization),
        )
        .with_state(forge)
}

fn field<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.get(name).map(String::as_str).unwrap_or_default()
}

fn not_there() -> Response {
    message(
        KIND,
        StatusCode::NOT_FOUND,
        "404",
        "This is not the page you are looking for.",
    )
}

/// The visitor, if somebody is signed in; else the way to the sign-in page and back.
fn signed_in(forge: &Shared, headers: &HeaderMap, back: &str) -> Result<(Visitor, u64), Box<Response>> {
    let visitor = visitor(forge, KIND, headers);
    let Some(user) = visitor.user else {
        let to = found(&with_query("/login", &[("return_to", back)]));
        return Err(Box::new(with_cookie(&visitor, to)));
    };
    Ok((visitor, user))
}

/// As [`signed_in`], for a form: what it posts must come from a page of this visitor's.
fn posting(forge: &Shared, headers: &HeaderMap, form: &Pairs) -> Result<u64, Box<Response>> {
    let (visitor, user) = signed_in(forge, headers, "/")?;
    if field(form, "authenticity_token") != visitor.form_token {
        let text = "Your browser did something unexpected. Please try again.";
        return Err(Box::new(message(
            KIND,
            StatusCode::UNPROCESSABLE_ENTITY,
            "422",
            text,
        )));
    }
    Ok(user)
}

async fn ask_own(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Pairs>,
    Form(form): Form<Pairs>,
) -> Response {
    ask(
        &forge,
        &headers,
        None,
        field(&query, "state"),
        field(&form, "manifest"),
    )
}

async fn ask_organization(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(org): Path<String>,
    Query(query): Query<Pairs>,
    Form(form): Form<Pairs>,
) -> Response {
    ask(
        &forge,
        &headers,
        Some(&org),
        field(&query, "state"),
        field(&form, "manifest"),
    )
}

/// GitHub shows the name for confirmation; everything else stands in the manifest.
fn ask(forge: &Shared, headers: &HeaderMap, org: Option<&str>, state: &str, text: &str) -> Response {
    let (visitor, user) = match signed_in(forge, headers, "/") {
        Ok(known) => known,
        Err(response) => return *response,
    };
    if owner(forge, user, org).is_none() {
        return not_there();
    }
    let manifest: Manifest = match serde_json::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) => {
            let why = format!("Error: {error}");
            return message(KIND, StatusCode::UNPROCESSABLE_ENTITY, "Invalid manifest", &why);
        }
    };
    let body = format!(
        "<form id=\"create-app\" method=\"post\" action=\"/settings/apps/manifest\">{}{}{}{}\
         <label>GitHub App name <input name=\"name\" value=\"{}\"></label>\
         <button>Create GitHub App</button></form>",
        hidden("authenticity_token", &visitor.form_token),
        hidden("manifest", text),
        hidden("state", state),
        hidden("organization", org.unwrap_or_default()),
        escape(&manifest.name),
    );
    with_cookie(&visitor, frame(KIND, "Create GitHub App", &body))
}

/// Under whom it is registered: the person, or an organization that they own.
fn owner(forge: &Shared, user: u64, org: Option<&str>) -> Option<u64> {
    let Some(org) = org.filter(|org| !org.is_empty()) else {
        return Some(user);
    };
    let world = forge.world();
    let account = world.side(KIND).organization(org)?;
    (account.role_of(user) == Some(Role::Owner)).then_some(account.id)
}

/// `POST /settings/apps/manifest`: *Create GitHub App* was pressed.
async fn create(State(forge): State<Shared>, headers: HeaderMap, Form(form): Form<Pairs>) -> Response {
    let user = match posting(&forge, &headers, &form) {
        Ok(user) => user,
        Err(response) => return *response,
    };
    let Some(owner) = owner(&forge, user, form.get("organization").map(String::as_str)) else {
        return not_there();
    };
    let Ok(mut manifest) = serde_json::from_str::<Manifest>(field(&form, "manifest")) else {
        return not_there();
    };
    field(&form, "name").clone_into(&mut manifest.name);
    let back = manifest.redirect_url.clone();
    match register(&forge, owner, manifest).await {
        Ok(app) => {
            let code = app.conversion.unwrap_or_default();
            found(&with_query(
                &back,
                &[("code", &code), ("state", field(&form, "state"))],
            ))
        }
        Err(error) => {
            let why = error.to_string();
            message(KIND, StatusCode::UNPROCESSABLE_ENTITY, "Invalid GitHub App", &why)
        }
    }
}

/// `GET /apps/{slug}/installations/new`
async fn choose(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(slug): Path<String>,
    uri: OriginalUri,
    Query(query): Query<Pairs>,
) -> Response {
    let here = uri
        .path_and_query()
        .map_or("/", axum::http::uri::PathAndQuery::as_str);
    let (visitor, user) = match signed_in(&forge, &headers, here) {
        Ok(known) => known,
        Err(response) => return *response,
    };
    let world = forge.world();
    let side = world.side(KIND);
    let Some(app) = side.github_apps.iter().find(|app| app.slug == slug) else {
        return not_there();
    };
    let accounts = side
        .accounts
        .iter()
        .filter(|account| account.role_of(user) == Some(Role::Owner));
    let forms: Vec<String> = accounts
        .map(|account| {
            let repositories: Vec<(u64, String)> = side
                .repositories
                .iter()
                .filter(|repo| repo.owner == account.id)
                .map(|repo| (repo.id, side.full_name(repo)))
                .collect();
            format!(
                "<h2>{0}</h2><form class=\"install\" id=\"install-{0}\" method=\"post\" \
                 action=\"/apps/{1}/installations\">{2}{3}{4}{5}<button>Install</button></form>",
                escape(&account.login),
                app.slug,
                hidden("authenticity_token", &visitor.form_token),
                hidden("target_id", &account.id.to_string()),
                hidden("state", field(&query, "state")),
                selection(&repositories, None),
            )
        })
        .collect();
    let title = format!("Install {}", app.name);
    with_cookie(&visitor, frame(KIND, &title, &forms.concat()))
}

/// All, or chosen repositories.
fn selection(repositories: &[(u64, String)], there: Option<&Installation>) -> String {
    let chosen = there.and_then(|one| one.selected.as_ref());
    let tick = |yes: bool| if yes { " checked" } else { "" };
    let boxes: Vec<String> = repositories
        .iter()
        .map(|(id, name)| {
            format!(
                "<label><input type=\"checkbox\" name=\"repository_ids\" value=\"{id}\"{}> {}</label>",
                tick(chosen.is_some_and(|all| all.contains(id))),
                escape(name),
            )
        })
        .collect();
    format!(
        "<label><input type=\"radio\" name=\"repository_selection\" value=\"all\"{}> All repositories</label>\
         <label><input type=\"radio\" name=\"repository_selection\" value=\"selected\"{}> Only select \
         repositories</label>{}",
        tick(chosen.is_none()),
        tick(chosen.is_some()),
        boxes.concat(),
    )
}

/// What a form of [`selection`] says. `None`: all.
fn selected(form: &[(String, String)]) -> Option<Vec<u64>> {
    let chosen = form
        .iter()
        .any(|(name, value)| name == "repository_selection" && value == "selected");
    let ids = form
        .iter()
        .filter(|(name, _)| name == "repository_ids")
        .filter_map(|(_, id)| id.parse().ok());
    chosen.then(|| ids.collect())
}

/// `POST /apps/{slug}/installations`: *Install* was pressed.
async fn installed(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let pairs: Pairs = form.iter().cloned().collect();
    let user = match posting(&forge, &headers, &pairs) {
        Ok(user) => user,
        Err(response) => return *response,
    };
    let target = field(&pairs, "target_id").parse::<u64>().unwrap_or_default();
    let app = {
        let world = forge.world();
        let side = world.side(KIND);
        let owns = side
            .account(target)
            .is_some_and(|account| account.role_of(user) == Some(Role::Owner));
        side.github_apps
            .iter()
            .find(|app| app.slug == slug && owns)
            .map(|app| (app.id, app.setup_url.clone()))
    };
    let Some((app, setup)) = app else {
        return not_there();
    };
    let Some(id) = install(&forge, app, target, selected(&form), user) else {
        return not_there();
    };
    set_up(setup.as_deref(), id, "install", field(&pairs, "state"))
}

/// Where a browser goes after an installation: what it carries can be made up by anybody.
fn set_up(setup: Option<&str>, id: u64, action: &str, state: &str) -> Response {
    let id = id.to_string();
    let mut carried = vec![("installation_id", id.as_str()), ("setup_action", action)];
    if !state.is_empty() {
        carried.push(("state", state));
    }
    match setup {
        Some(setup) => found(&with_query(setup, &carried)),
        None => found(&format!("/settings/installations/{id}")),
    }
}

async fn settings(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<u64>,
    uri: OriginalUri,
) -> Response {
    shown(&forge, &headers, id, uri.path())
}

async fn settings_of_organization(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path((_, id)): Path<(String, u64)>,
    uri: OriginalUri,
) -> Response {
    shown(&forge, &headers, id, uri.path())
}

fn shown(forge: &Shared, headers: &HeaderMap, id: u64, here: &str) -> Response {
    let (visitor, user) = match signed_in(forge, headers, here) {
        Ok(known) => known,
        Err(response) => return *response,
    };
    let world = forge.world();
    let side = world.side(KIND);
    let Some(one) = owned(side, id, user) else {
        return not_there();
    };
    let repositories: Vec<(u64, String)> = side
        .repositories
        .iter()
        .filter(|repo| repo.owner == one.account)
        .map(|repo| (repo.id, side.full_name(repo)))
        .collect();
    let form = |id: &str, inner: &str, button: &str, act: &str| {
        format!(
            "<form id=\"{id}\" method=\"post\" action=\"{}\">{}{}{inner}<button>{button}</button></form>",
            escape(here),
            hidden("authenticity_token", &visitor.form_token),
            hidden("act", act),
        )
    };
    let (button, act) = match one.suspended {
        Some(_) => ("Unsuspend", "unsuspend"),
        None => ("Suspend", "suspend"),
    };
    let body = [
        form(
            "repositories",
            &selection(&repositories, Some(one)),
            "Save",
            "select",
        ),
        form("suspend", "", button, act),
        form("uninstall", "", "Uninstall", "uninstall"),
    ]
    .concat();
    with_cookie(&visitor, frame(KIND, "Installation", &body))
}

/// An installation at an account that this person owns.
fn owned(side: &crate::state::Side, id: u64, user: u64) -> Option<&Installation> {
    let one = side.installation(id)?;
    let account = side.account(one.account)?;
    (account.role_of(user) == Some(Role::Owner)).then_some(one)
}

async fn change(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<u64>,
    uri: OriginalUri,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    changed(&forge, &headers, id, uri.path(), &form)
}

async fn change_of_organization(
    State(forge): State<Shared>,
    headers: HeaderMap,
    Path((_, id)): Path<(String, u64)>,
    uri: OriginalUri,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    changed(&forge, &headers, id, uri.path(), &form)
}

fn changed(forge: &Shared, headers: &HeaderMap, id: u64, here: &str, form: &[(String, String)]) -> Response {
    let pairs: Pairs = form.iter().cloned().collect();
    let user = match posting(forge, headers, &pairs) {
        Ok(user) => user,
        Err(response) => return *response,
    };
    let found_one = {
        let world = forge.world();
        let side = world.side(KIND);
        owned(side, id, user).map(|one| {
            let app = side.github_app(one.app);
            let setup = app
                .filter(|app| app.setup_on_update)
                .and_then(|app| app.setup_url.clone());
            (one.app, one.account, setup)
        })
    };
    let Some((app, account, setup)) = found_one else {
        return not_there();
    };
    match field(&pairs, "act") {
        "suspend" => suspend(forge, id, true, user),
        "unsuspend" => suspend(forge, id, false, user),
        "uninstall" => {
            uninstall(forge, id, user);
            return found("/");
        }
        _ => {
            install(forge, app, account, selected(form), user);
            if setup.is_some() {
                return set_up(setup.as_deref(), id, "update", "");
            }
        }
    }
    found(here)
}
