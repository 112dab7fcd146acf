//! Configuring automated builds: source, rules with their preview, variables, triggers, delivery mode.
//!
//! The page itself waits for no provider: repositories and the preview are loaded into it afterwards, and
//! without script by its buttons.

mod form;
mod preview;

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use slipway_types::{
    SlugName, Timestamp, TriggerId,
    forge::{LinkState, ResourceState},
    rights::{Level, Role},
    rule::{Autotest, ConfigurationState, DeliveryMode, Supersede},
};

use self::form::{Entered, fresh_rule, rows};
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
            Act, Alert, CopyLine, Pill, Place,
            configure::{
                Choice, ConfigurePage, ConfigureUnlinkedPage, SourcePicker, SourceResults, TriggerRow,
                VariableRow,
            },
        },
        words,
    },
};

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
    let can_link = context.links.iter().filter(|forge| forge.can_link);
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

async fn page(
    app: &App,
    who: &SignedIn,
    context: &Context,
    entered: &Entered,
    said: Said,
    done: &Done,
) -> Result<ConfigurePage, Failure> {
    let (namespace, name) = (&context.named.namespace, &context.named.repository.name);
    let saved = context.saved.as_ref();
    let fields = entered
        .fields
        .clone()
        .unwrap_or_else(crate::services::configuring::default_fields);
    let warnings = saved.map(|saved| saved.warnings.as_slice()).unwrap_or_default();
    let by_hand = app.configuring.hook_by_hand(&who.caller, namespace, name).await?;
    Ok(ConfigurePage {
        frame: frame(
            app,
            who,
            format!("Configure {namespace}/{name}"),
            Place::Hub,
            done,
        ),
        crumbs: crumbs(namespace, name.as_str()),
        tabs: tabs(namespace, name, "builds"),
        base: context.base(),
        builds: format!("/{namespace}/{name}/builds"),
        name: format!("{namespace}/{name}"),
        image: context.named.image(),
        saved: saved.is_some(),
        version: entered
            .version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        preview: match said.preview {
            true => Some(preview::draw(app, who, &context.named, entered).await?),
            false => None,
        },
        alerts: said.alerts,
        connection: saved.map(connection),
        source: picker(app, who, context, entered, said.results).await?,
        autotest: autotest(fields.autotest),
        links: fields.repository_links,
        rules: rows(&entered.rules, warnings, &said.problems),
        variables: entered
            .variables
            .iter()
            .map(|name| VariableRow { name: name.clone() })
            .collect(),
        triggers: saved.map(triggers).unwrap_or_default(),
        new_trigger: said.trigger,
        delivery: delivery(fields.delivery_mode),
        hook: saved.and_then(hook),
        by_hand: by_hand.map(|hook| {
            let line = |text: String, what: &str| CopyLine {
                text,
                what: what.to_owned(),
            };
            (
                line(hook.url.to_string(), "webhook address"),
                line(hook.secret.expose_secret().to_owned(), "webhook secret"),
            )
        }),
        supersede: supersede(fields.supersede),
        destroys: saved.map(destroys).unwrap_or_default(),
        may_delete: context.named.level >= Level::Owner,
    })
}

async fn picker(
    app: &App,
    who: &SignedIn,
    context: &Context,
    entered: &Entered,
    results: Option<SourceResults>,
) -> Result<SourcePicker, Failure> {
    let namespace = &context.named.namespace;
    let first = context
        .in_use()
        .next()
        .map(|forge| forge.forge.fields.name.clone());
    let forge = match entered.forge.as_str() {
        "" => first.unwrap_or_default(),
        entered => entered.to_owned(),
    };
    let owners = match app.sources.owners(&who.caller, namespace, &forge).await {
        Ok(owners) => owners,
        Err(ServiceError::Conflict { .. } | ServiceError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let title = |name: &str| {
        let found = context.links.iter().find(|forge| forge.forge.fields.name == name);
        found.map_or_else(
            || name.to_owned(),
            |forge| forge.forge.fields.display_name.clone(),
        )
    };
    Ok(SourcePicker {
        forges: context
            .in_use()
            .map(|linked| {
                let fields = &linked.forge.fields;
                let label = format!("{} ({})", fields.display_name, fields.web_url.authority());
                Choice::new(&*fields.name, label, "", fields.name == forge)
            })
            .collect(),
        links: address(namespace),
        owners: owners
            .iter()
            .map(|owner| Choice::new(&*owner.name, &*owner.name, "", owner.name == entered.owner))
            .collect(),
        query: entered.query.clone(),
        chosen: entered
            .chosen
            .as_ref()
            .map(|(forge, path)| (path.clone(), format!("{path} at {}", title(forge)))),
        chosen_forge: entered
            .chosen
            .as_ref()
            .map(|(forge, _)| forge.clone())
            .unwrap_or_default(),
        results,
        load: format!("{}/sources", context.base()),
    })
}

fn connection(saved: &ConfigurationView) -> Pill {
    match saved.configuration.state {
        ConfigurationState::Active => Pill::new("ok", "check-circle", "Connected"),
        ConfigurationState::Disconnected => Pill::new("warn", "unlink", "Disconnected"),
        ConfigurationState::Blocked => Pill::new("bad", "x-circle", "Blocked"),
    }
}

fn hook(saved: &ConfigurationView) -> Option<Pill> {
    if saved.configuration.fields.delivery_mode == DeliveryMode::Polling {
        return None;
    }
    let state = saved.hook.as_ref().map(|hook| hook.state);
    Some(match state {
        Some(ResourceState::Active) => Pill::new("ok", "check-circle", "Webhook is there"),
        Some(ResourceState::Creating) => Pill::new("run", "running", "Webhook is being made"),
        Some(ResourceState::Failed) => Pill::new("warn", "alert", "Webhook missing"),
        _ => Pill::new("", "todo", "No webhook yet"),
    })
}

fn autotest(chosen: Autotest) -> Vec<Choice> {
    [
        (Autotest::Off, "Off", "Pull requests are not tested"),
        (Autotest::Internal, "Internal pull requests", "From branches of this repository"),
        (
            Autotest::InternalAndExternal,
            "Internal and external",
            "External ones get no variables, no registry login and no cache, and need a builder that isolates",
        ),
    ]
    .map(|(value, label, help)| Choice::new(value.as_str(), label, help, value == chosen))
    .into()
}

fn delivery(chosen: DeliveryMode) -> Vec<Choice> {
    [
        (DeliveryMode::Webhook, "Webhook"),
        (DeliveryMode::WebhookAndPolling, "Webhook + polling"),
        (DeliveryMode::Polling, "Polling only"),
    ]
    .map(|(value, label)| Choice::new(value.as_str(), label, "", value == chosen))
    .into()
}

fn supersede(chosen: Supersede) -> Vec<Choice> {
    [
        (Supersede::Branches, "Pending, on branches"),
        (Supersede::All, "Pending, on branches and tags"),
        (Supersede::Never, "Never"),
    ]
    .map(|(value, label)| Choice::new(value.as_str(), label, "", value == chosen))
    .into()
}

fn triggers(saved: &ConfigurationView) -> Vec<TriggerRow> {
    let now = Timestamp::now();
    saved
        .triggers
        .iter()
        .map(|trigger| TriggerRow {
            id: trigger.id.to_string(),
            name: trigger.name.clone(),
            address: "…/trigger/••••/call/".to_owned(),
            used: trigger.last_used_at.map(|at| words::when(at, now)),
        })
        .collect()
}

fn destroys(saved: &ConfigurationView) -> String {
    let at_forge = match (&saved.hook, &saved.key) {
        (Some(_), Some(_)) => "removes the webhook and the deploy key at the provider",
        (Some(_), None) => "removes the webhook at the provider",
        (None, Some(_)) => "removes the deploy key at the provider",
        (None, None) => "removes nothing at the provider",
    };
    format!(
        "This deletes {}, {} and {} here, and {at_forge}, unless another repository builds from the same source. \
         Images, builds and logs stay.",
        words::count(saved.rules.len(), "build rule", "build rules"),
        words::count(saved.variables.len(), "variable", "variables"),
        words::count(saved.triggers.len(), "trigger", "triggers"),
    )
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
    let context = match said.trigger.is_some() {
        true => self::context(&app, &who, &namespace, &name).await?,
        false => context,
    };
    let page = page(&app, &who, &context, &entered, said, &Done::default()).await?;
    Ok(match failed {
        true => Again(page).into_response(),
        false => Page(page).into_response(),
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

/// What is searched for.
#[derive(Debug, Default, Deserialize)]
pub struct SourceQuery {
    #[serde(default)]
    forge: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    q: String,
}

/// `GET /{namespace}/{repository}/builds/configure/sources`: a part of the page.
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn sources(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): At,
    Query(query): Query<SourceQuery>,
) -> Result<Response, Failure> {
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Admin)
        .await?;
    let entered = Entered {
        forge: query.forge,
        owner: query.owner,
        query: query.q,
        ..Entered::default()
    };
    Ok(Page(results(&app, &who, &named, &entered).await?).into_response())
}

async fn results(
    app: &App,
    who: &SignedIn,
    named: &Named,
    entered: &Entered,
) -> Result<SourceResults, Failure> {
    let namespace = &named.namespace;
    match search(app, who, namespace, entered).await {
        Ok(results) => Ok(results),
        Err(error @ (ServiceError::Forge(_) | ServiceError::Oauth(_) | ServiceError::Conflict { .. })) => {
            let failure = Failure::from(error);
            failure.log();
            let alert = Alert::bad("The provider could not be asked.")
                .line(failure.why)
                .fix("Linked accounts", address(namespace));
            Ok(SourceResults {
                found: Vec::new(),
                about: String::new(),
                adjust: address(namespace),
                alert: Some(alert),
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn search(
    app: &App,
    who: &SignedIn,
    namespace: &SlugName,
    entered: &Entered,
) -> Result<SourceResults, ServiceError> {
    let links = app.links.overview(&who.caller, namespace).await?;
    let linked = links.iter().find(|linked| {
        let named = entered.forge.is_empty() || linked.forge.fields.name == entered.forge;
        named
            && linked
                .link
                .as_ref()
                .is_some_and(|link| link.state == LinkState::Linked)
    });
    let Some((linked, link)) = linked.and_then(|linked| Some((linked, linked.link.as_ref()?))) else {
        return Err(ServiceError::Conflict {
            kind: "not_linked",
            message: "no account is linked there; link one under Linked accounts".to_owned(),
        });
    };
    let forge = &linked.forge.fields;
    let owner = match (entered.owner.as_str(), linked.owners.first()) {
        ("", Some(first)) => first.name.clone(),
        ("", None) => link.login.clone(),
        (owner, _) => owner.to_owned(),
    };
    let wanted = Some(entered.query.trim()).filter(|text| !text.is_empty());
    let page = app
        .sources
        .repositories(&who.caller, namespace, &forge.name, &owner, wanted, None)
        .await?;
    let now = Timestamp::now();
    let found: Vec<_> = page
        .repositories
        .iter()
        .map(|repository| {
            let private = if repository.private { "private" } else { "public" };
            let branch = repository.default_branch.as_deref().unwrap_or("empty");
            let pushed = repository
                .pushed_at
                .map(|at| format!(", pushed {}", words::when(at, now).words));
            let path = repository.path.to_string();
            let picked = entered.picked.as_ref() == Some(&path);
            let help = format!("{private}, {branch}{}", pushed.unwrap_or_default());
            Choice::new(path, repository.path.name(), help, picked)
        })
        .collect();
    let more = if page.next.is_some() {
        " There are more: search by name."
    } else {
        ""
    };
    Ok(SourceResults {
        about: format!(
            "{} of {owner}, asked at {} just now.{more}",
            words::count(found.len(), "repository", "repositories"),
            forge.display_name
        ),
        found,
        adjust: address(namespace),
        alert: None,
    })
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
