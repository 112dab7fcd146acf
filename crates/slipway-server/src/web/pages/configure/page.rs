//! The form, drawn from what is saved or was entered.

use secrecy::ExposeSecret as _;
use slipway_store::Rotation;
use slipway_types::{
    Timestamp,
    forge::{HealthReason, ResourceState},
    rights::Level,
    rule::{Autotest, ConfigurationState, DeliveryMode, Supersede},
};

use super::{
    Context, Said,
    form::{Entered, rows},
    preview,
};
use crate::{
    app::App,
    failure::Failure,
    services::{
        ServiceError,
        configuring::{ConfigurationView, default_fields},
    },
    web::{
        pages::{
            Done, act, frame,
            linked_accounts::address,
            repositories::{crumbs, tabs},
            troubles::boxes,
        },
        session::SignedIn,
        view::{
            CopyLine, Pill, Place,
            configure::{Choice, ConfigurePage, SourcePicker, SourceResults, TriggerRow, VariableRow},
        },
        words,
    },
};

pub(super) async fn page(
    app: &App,
    who: &SignedIn,
    context: &Context,
    entered: &Entered,
    said: Said,
    done: &Done,
) -> Result<ConfigurePage, Failure> {
    let (namespace, name) = (&context.named.namespace, &context.named.repository.name);
    let saved = context.saved.as_ref();
    let fields = entered.fields.clone().unwrap_or_else(default_fields);
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
        preview: if said.preview {
            Some(preview::draw(app, who, &context.named, entered).await?)
        } else {
            None
        },
        alerts: said.alerts,
        troubles: boxes(
            who,
            namespace,
            &saved.map(ConfigurationView::troubles).unwrap_or_default(),
        ),
        check: saved.and_then(|saved| saved.link.as_ref()).map(|_| {
            let action = format!("{}/check", context.base());
            act(who, action, ("", "refresh", "Check again"), "at the provider")
        }),
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
        auto_repair: fields.auto_repair,
        hook: saved.and_then(hook),
        rotation: saved.and_then(rotation),
        rotation_refused: saved.and_then(rotation_refused),
        poll_minutes: fields.poll_interval.as_secs() / 60,
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
        time_limit_min: fields.time_limit.map(|limit| limit.as_secs().div_ceil(60)),
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
    if saved.through_app {
        return Some(Pill::new(
            "ok",
            "check-circle",
            "Through the GitHub App’s webhook",
        ));
    }
    let wrong = saved.hook.as_ref().and_then(|hook| hook.reason);
    Some(match state {
        Some(ResourceState::Active) if wrong == Some(HealthReason::WebhookFailing) => {
            Pill::new("warn", "alert", "Deliveries fail")
        }
        Some(ResourceState::Active) if wrong == Some(HealthReason::WebhookDisabled) => {
            Pill::new("warn", "alert", "Webhook is switched off")
        }
        Some(ResourceState::Active) if wrong.is_some() => Pill::new("warn", "alert", "Webhook missing"),
        Some(ResourceState::Active) => Pill::new("ok", "check-circle", "Webhook is there"),
        Some(ResourceState::Creating) => Pill::new("run", "running", "Webhook is being made"),
        Some(ResourceState::Failed) => Pill::new("warn", "alert", "Webhook missing"),
        _ => Pill::new("", "todo", "No webhook yet"),
    })
}

fn rotation(saved: &ConfigurationView) -> Option<&'static str> {
    let hook = saved.hook.as_ref()?;
    (hook.state == ResourceState::Active).then_some(match &hook.rotation {
        Rotation::None => {
            "The provider gets a new secret. Until it has, and a while longer, deliveries signed with the old one are \
             taken as well: none is lost."
        }
        Rotation::UnderWay => {
            "The provider is being given the new secret. Until it has it, deliveries signed with either are taken."
        }
        Rotation::SettledUntil(_) => {
            "The provider has the new secret. For some minutes deliveries signed with the old one are still taken."
        }
        Rotation::Refused(_) => "Tries it once more. Deliveries signed with either secret are taken meanwhile.",
    })
}

/// Why the provider did not take the webhook's new secret.
fn rotation_refused(saved: &ConfigurationView) -> Option<String> {
    match &saved.hook.as_ref()?.rotation {
        Rotation::Refused(why) => Some(why.clone()),
        Rotation::None | Rotation::UnderWay | Rotation::SettledUntil(_) => None,
    }
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
