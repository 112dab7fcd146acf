//! The pages.
//!
//! A handler does four things: it parses, lets a service authorise, calls one service, renders. What a page
//! shows is a type in [`view`], filled in [`pages`], drawn by the template of the same name. Nothing here
//! reads the database or decides who may do what: that is done once, in `services`, for pages and API alike.
//!
//! Layers, from the outside: request id and log line (`request`), security headers (`headers`), error pages
//! (`errors`), who is asking and where a form came from (`session`), the handler.

pub mod ansi;
pub mod assets;
pub mod chart;
mod entered;
pub(crate) mod errors;
pub mod headers;
pub mod limit;
mod next;
pub mod pages;
pub mod request;
pub mod session;
pub mod view;
pub mod words;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    response::IntoResponse,
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::App,
    failure::{self, Failure},
};
use pages::{
    access_tokens, audit, build_acts, builders, builds, configure, github_app, hub, ledger, linked_accounts,
    live, log, organizations, registries, report, repositories, security, setup, sign_in, source_providers,
    timeline, troubles, unlink, users,
};

/// What pages keep between requests.
#[derive(Debug, Default)]
pub struct Shared {
    /// Tries of signing in.
    pub sign_in: sign_in::SignInLimits,
}

/// All pages.
pub fn routes(app: App) -> Router {
    Router::new()
        .merge(people())
        .merge(administration())
        .merge(linking())
        .merge(of_a_repository())
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn_with_state(app.clone(), session::guard))
        .layer(from_fn_with_state(app.clone(), session::recognise))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), errors::draw))
        .layer(DefaultBodyLimit::max(1 << 20))
        .route("/assets/{fingerprint}/{name}", get(assets::asset))
        .route("/healthz", get(healthz))
        .with_state(app)
}

/// What everything gets, pages, API and webhooks alike. The outermost.
pub fn outer(all: Router, app: &App) -> Router {
    all.layer(from_fn_with_state(
        headers::Https(app.is_https()),
        headers::secure,
    ))
    .layer(from_fn(request::identify_request))
}

fn people() -> Router<App> {
    Router::new()
        .route("/", get(hub::show))
        .route("/events", get(live::hub))
        .route("/setup", get(setup::show).post(setup::create))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/settings/audit", get(audit::of_namespace))
        .route("/settings/security", get(security::show))
        .route("/settings/security/password", post(security::change_password))
        .route(
            "/settings/security/sessions/{session}/end",
            post(security::end_session),
        )
        .route(
            "/settings/access-tokens",
            get(access_tokens::show).post(access_tokens::create),
        )
        .route(
            "/settings/access-tokens/{token}/revoke",
            post(access_tokens::revoke),
        )
        .route(
            "/organizations",
            get(organizations::show).post(organizations::create),
        )
        .route(
            "/organizations/{name}/members",
            get(organizations::members).post(organizations::set_member),
        )
        .route(
            "/organizations/{name}/members/{user}/remove",
            post(organizations::remove_member),
        )
}

fn administration() -> Router<App> {
    Router::new()
        .route("/admin/source-providers", get(source_providers::show))
        .route(
            "/admin/source-providers/new",
            get(source_providers::new).post(source_providers::add),
        )
        .route(
            "/admin/source-providers/{forge}",
            get(source_providers::edit).post(source_providers::change),
        )
        .route(
            "/admin/source-providers/{forge}/test",
            post(source_providers::test),
        )
        .route("/admin/source-providers/{forge}/app", post(github_app::create))
        .route(
            "/admin/source-providers/{forge}/app/created",
            get(github_app::created),
        )
        .route("/admin/source-providers/{forge}/app/test", post(github_app::test))
        .route(
            "/admin/source-providers/{forge}/app/secrets",
            post(github_app::replace_secrets),
        )
        .route("/admin/audit", get(audit::of_everything))
        .route("/admin/registries", get(registries::show).post(registries::add))
        .route("/admin/builders", get(builders::show).post(builders::create))
        .route(
            "/admin/builders/{builder}",
            get(builders::builder).post(builders::change),
        )
        .route("/admin/builders/{builder}/pause", post(builders::pause))
        .route("/admin/builders/{builder}/resume", post(builders::resume))
        .route("/admin/builders/{builder}/token", post(builders::new_token))
        .route("/admin/builders/{builder}/remove", post(builders::remove))
        .route("/admin/users", get(users::show).post(users::create))
        .route("/admin/users/{user}", get(users::user))
        .route("/admin/users/{user}/password", post(users::set_password))
        .route("/admin/users/{user}/disable", post(users::disable))
        .route("/admin/users/{user}/enable", post(users::enable))
}

fn linking() -> Router<App> {
    Router::new()
        .route("/settings/linked-accounts", get(linked_accounts::show))
        .route(
            "/settings/linked-accounts/{forge}/link",
            post(linked_accounts::link),
        )
        .route(
            "/settings/linked-accounts/{forge}/check",
            post(linked_accounts::check),
        )
        .route(
            "/settings/linked-accounts/{forge}/owners",
            post(linked_accounts::owner),
        )
        .route(
            "/settings/linked-accounts/{forge}/callback",
            get(linked_accounts::callback),
        )
        .route(
            "/settings/linked-accounts/{forge}/installed",
            get(linked_accounts::installed),
        )
        .route(
            "/settings/linked-accounts/{forge}/answer",
            post(linked_accounts::answer),
        )
        .route(
            "/settings/linked-accounts/{forge}/unlink",
            get(unlink::show).post(unlink::unlink),
        )
        .route(
            "/settings/linked-accounts/{forge}/unlink/check",
            post(ledger::check),
        )
        .route(
            "/settings/linked-accounts/{forge}/unlink/forget",
            post(ledger::forget),
        )
        .route(
            "/settings/linked-accounts/{forge}/ledger/events",
            get(live::ledger),
        )
}

fn of_a_repository() -> Router<App> {
    Router::new()
        .route(
            "/repositories/new",
            get(repositories::new).post(repositories::create),
        )
        .route("/{namespace}/{repository}", get(repositories::show))
        .route("/{namespace}/{repository}/events", get(live::repository))
        .route(
            "/{namespace}/{repository}/settings",
            get(repositories::settings).post(repositories::change),
        )
        .route(
            "/{namespace}/{repository}/settings/delete",
            post(repositories::delete),
        )
        .route("/{namespace}/{repository}/timeline", get(timeline::show))
        .route(
            "/{namespace}/{repository}/timeline/{delivery}/replay",
            post(timeline::replay),
        )
        .route("/{namespace}/{repository}/builds", get(builds::show))
        .route(
            "/{namespace}/{repository}/builds/trigger",
            post(build_acts::trigger),
        )
        .route(
            "/{namespace}/{repository}/builds/configure",
            get(configure::show).post(configure::save),
        )
        .route(
            "/{namespace}/{repository}/builds/configure/sources",
            get(configure::sources),
        )
        .route(
            "/{namespace}/{repository}/builds/configure/preview",
            post(configure::show_preview),
        )
        .route(
            "/{namespace}/{repository}/builds/configure/check",
            post(troubles::check),
        )
        .route(
            "/{namespace}/{repository}/builds/configure/repair",
            post(troubles::repair),
        )
        .route(
            "/{namespace}/{repository}/builds/configure/delete",
            post(configure::delete),
        )
        .route("/{namespace}/{repository}/builds/{number}", get(report::show))
        .route(
            "/{namespace}/{repository}/builds/{number}/events",
            get(log::build_events),
        )
        .route(
            "/{namespace}/{repository}/builds/{number}/cancel",
            post(build_acts::cancel),
        )
        .route(
            "/{namespace}/{repository}/builds/{number}/retry",
            post(build_acts::retry),
        )
        .route("/{namespace}/{repository}/builds/{number}/log", get(log::raw))
        .route(
            "/{namespace}/{repository}/builds/{number}/log/lines",
            get(log::lines),
        )
        .route(
            "/{namespace}/{repository}/builds/{number}/log/stream",
            get(log::follow),
        )
}

async fn nothing() -> Failure {
    Failure::not_found()
}

async fn not_so() -> Failure {
    Failure::new(
        failure::METHOD_NOT_ALLOWED,
        "There is a page here, but it is asked for in another way.",
    )
}

/// `GET /healthz`: whether the database answers.
async fn healthz(State(app): State<App>) -> impl IntoResponse {
    match app.status.check().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(error) => {
            Failure::from(error).log();
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over so")]
pub(crate) fn panicked(what: Box<dyn std::any::Any + Send + 'static>) -> axum::response::Response {
    let said = what
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| what.downcast_ref::<String>().cloned());
    let mut failure = Failure::new(
        failure::INTERNAL,
        "It came upon something that was thought impossible.",
    );
    failure.causes = said;
    failure.into_response()
}
