//! Configuring automated builds: source, rules with their preview, variables, triggers, delivery mode.
//!
//! The page itself waits for no provider: repositories and the preview are loaded into it afterwards, and
//! without script by its buttons.

mod form;
mod page;
mod preview;
mod sources;

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use slipway_types::{
    SlugName, TriggerId,
    forge::LinkState,
    rights::{Level, Role},
};

use self::{
    form::{Entered, fresh_rule},
    page::page,
    sources::results,
};
use super::{
    Again, Done, Page, act, frame,
    linked_accounts::address,
    repositories::{crumbs, tabs},
    to,
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        RuleProblem, ServiceError, configuring::ConfigurationView, links::LinkedForge, queue::TriggerWhat,
        repositories::Named,
    },
    web::{
        headers::FormTargets,
        session::SignedIn,
        view::{
            Act, Alert, CopyLine, Place,
            configure::{ConfigureUnlinkedPage, SourceResults},
        },
    },
};

pub use self::sources::sources;

type At = Path<(SlugName, SlugName)>;

/// Everything that the page is made from.
struct Context {
    named: Named,
    saved: Option<ConfigurationView>,
    links: Vec<LinkedForge>,
    owner: bool,
}

async fn context(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    name: &SlugName,
) -> Result<Context, Failure> {
    let named = app
        .repositories
        .find(&who.caller, namespace, name, Level::Admin)
        .await?;
    let saved = app.configuring.view(&who.caller, namespace, name).await?;
    let (_, role) = match app.access.namespace(&who.caller, namespace).await {
        Ok((namespace, role)) => (Some(namespace), Some(role)),
        // Somebody with rights on the repository alone.
        Err(ServiceError::NotFound { .. }) => (None, None),
        Err(error) => return Err(error.into()),
    };
    let links = match role {
        Some(_) => app.links.overview(&who.caller, namespace).await?,
        None => Vec::new(),
    };
    Ok(Context {
        named,
        saved,
        links,
        owner: role == Some(Role::Owner),
    })
}

impl Context {
    fn in_use(&self) -> impl Iterator<Item = &LinkedForge> {
        let linked = |forge: &&LinkedForge| forge.link.as_ref().is_some_and(|l| l.state == LinkState::Linked);
        self.links.iter().filter(linked)
    }

    fn base(&self) -> String {
        format!(
            "/{}/{}/builds/configure",
            self.named.namespace, self.named.repository.name
        )
    }
}

/// What else the page says: what went wrong, or what was just made.
#[derive(Default)]
struct Said {
    alerts: Vec<Alert>,
    problems: Vec<RuleProblem>,
    trigger: Option<CopyLine>,
    results: Option<SourceResults>,
    preview: bool,
}

/// `GET /{namespace}/{repository}/builds/configure`
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): At,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let context = context(&app, &who, &namespace, &name).await?;
    if context.saved.is_none() && context.in_use().next().is_none() {
        return Ok(unlinked(&app, &who, &context));
    }
    let entered = match &context.saved {
        Some(saved) => Entered::saved(saved),
        None => Entered::default(),
    };
    let page = page(&app, &who, &context, &entered, Said::default(), &done).await?;
    Ok(Page(page).into_response())
}

fn unlinked(app: &App, who: &SignedIn, context: &Context) -> Response {
    let (namespace, name) = (&context.named.namespace, &context.named.repository.name);
    let can_link = context.links.iter().filter(|forge| forge.can_link());
    let acts = can_link.clone().map(|forge| Act {
        fields: vec![("namespace", namespace.to_string())],
        ..act(
            who,
            format!("/settings/linked-accounts/{}/link", forge.forge.fields.name),
            ("primary", "link", "Link provider"),
            &*forge.forge.fields.display_name,
        )
    });
    let page = ConfigureUnlinkedPage {
        frame: frame(
            app,
            who,
            "Configure automated builds",
            Place::Hub,
            &Done::default(),
        ),
        crumbs: crumbs(namespace, name.as_str()),
        tabs: tabs(namespace, name, "builds"),
        links: address(namespace),
        // With several providers, their own page tells them apart.
        acts: acts.take(1).filter(|_| context.links.len() == 1).collect(),
        namespace: namespace.to_string(),
        may_link: context.owner,
    };
    let targets = can_link.map(|forge| forge.forge.fields.web_url.origin().ascii_serialization());
    let targets = FormTargets(targets.collect());
    let mut response = Page(page).into_response();
    response.extensions_mut().insert(targets);
    response
}

/// `POST /{namespace}/{repository}/builds/configure`: what happens is in the pressed button, `then`.
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn save(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): At,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let context = context(&app, &who, &namespace, &name).await?;
    let mut entered = Entered::posted(pairs);
    entered.keep(context.saved.as_ref());
    let then = entered.then.clone();
    let mut said = Said::default();
    match then.as_str() {
        "add-rule" => entered.rules.push(fresh_rule()),
        "search" => said.results = Some(results(&app, &who, &context.named, &entered).await?),
        "preview" => said.preview = true,
        "rotate-secret" => {
            match app
                .configuring
                .rotate_hook_secret(&who.caller, &namespace, &name)
                .await
            {
                Ok(()) => return Ok(to(&format!("{}?done=rotating", context.base()))),
                Err(error) => tell(error, &mut said)?,
            }
        }
        "add-trigger" => {
            let made = app
                .configuring
                .create_trigger(&who.caller, &namespace, &name, &entered.trigger_name)
                .await;
            match made {
                Ok((_, address)) => {
                    said.trigger = Some(CopyLine {
                        text: address.expose_secret().to_owned(),
                        what: "trigger address".to_owned(),
                    });
                }
                Err(error) => tell(error, &mut said)?,
            }
        }
        then => {
            if let Some(index) = then
                .strip_prefix("remove-rule-")
                .and_then(|n| n.parse::<usize>().ok())
            {
                if index < entered.rules.len() {
                    entered.rules.remove(index);
                }
            } else if let Some(id) = then
                .strip_prefix("revoke-")
                .and_then(|id| id.parse::<TriggerId>().ok())
            {
                app.configuring
                    .revoke_trigger(&who.caller, &namespace, &name, id)
                    .await?;
                return Ok(to(&format!("{}?done=removed", context.base())));
            } else {
                if let Some(unset) = then.strip_prefix("unset-") {
                    entered.variables.retain(|variable| variable != unset);
                }
                match write(&app, &who, &context, &entered).await {
                    Ok(response) => return Ok(response),
                    Err(error) => tell(error, &mut said)?,
                }
            }
        }
    }
    let failed = !said.alerts.is_empty();
    // What was just made is shown with what is there now.
    let context = if said.trigger.is_some() {
        self::context(&app, &who, &namespace, &name).await?
    } else {
        context
    };
    let page = page(&app, &who, &context, &entered, said, &Done::default()).await?;
    Ok(if failed {
        Again(page).into_response()
    } else {
        Page(page).into_response()
    })
}

async fn write(
    app: &App,
    who: &SignedIn,
    context: &Context,
    entered: &Entered,
) -> Result<Response, ServiceError> {
    let (namespace, name) = (&context.named.namespace, &context.named.repository.name);
    let form = entered.form()?;
    app.configuring.save(&who.caller, namespace, name, &form).await?;
    if entered.then == "build" {
        app.build_acts
            .trigger(&who.caller, namespace, name, &TriggerWhat::All)
            .await?;
        return Ok(to(&format!("/{namespace}/{name}/builds?done=queued")));
    }
    Ok(to(&format!("{}?done=saved", context.base())))
}

/// Turns an error into what the page says, where the person can do something about it.
fn tell(error: ServiceError, said: &mut Said) -> Result<(), Failure> {
    match error {
        ServiceError::Rules(problems) => {
            let which: Vec<_> = problems
                .iter()
                .map(|problem| (problem.rule + 1).to_string())
                .collect();
            let what = match which.as_slice() {
                [one] => format!("Nothing was saved: rule {one} cannot be right."),
                many => format!("Nothing was saved: rules {} cannot be right.", many.join(", ")),
            };
            said.alerts
                .push(Alert::bad(what).line("The places are marked below."));
            said.problems = problems;
        }
        ServiceError::Invalid { message, .. } => {
            said.alerts
                .push(Alert::bad("Nothing was saved.").line(format!("{message}.")));
        }
        ServiceError::Stale
        | ServiceError::Conflict { .. }
        | ServiceError::Forge(_)
        | ServiceError::Oauth(_) => {
            let failure = Failure::from(error);
            failure.log();
            said.alerts.push(Alert::bad(failure.title).line(failure.why));
        }
        other => return Err(other.into()),
    }
    Ok(())
}

/// `POST /{namespace}/{repository}/builds/configure/preview`: a part of the page.
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn show_preview(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): At,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Admin)
        .await?;
    let entered = Entered::posted(pairs);
    Ok(Page(preview::draw(&app, &who, &named, &entered).await?).into_response())
}

/// `POST /{namespace}/{repository}/builds/configure/delete`
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn delete(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): At,
) -> Result<Response, Failure> {
    app.configuring.delete(&who.caller, &namespace, &name).await?;
    Ok(to(&format!("/{namespace}/{name}/builds?done=deleted")))
}
