//! The builders of this installation, for its administrators.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use slipway_store::{Builder, BuilderPlace, BuilderState};
use slipway_types::{BuilderId, Timestamp};

use super::{Again, Done, Page, Told, act, administration, frame, to};
use crate::{
    app::App,
    failure::Failure,
    services::{
        ServiceError,
        builders::{AWAY_AFTER, Listed, TermsForm},
    },
    web::{
        session::SignedIn,
        view::{
            CopyLine, Crumbs, Field, Pill, Place,
            admin::{BuilderPage, BuilderRow, BuildersPage},
        },
        words,
    },
};

/// A builder to be made.
#[derive(Debug, Default, Deserialize)]
pub struct NewForm {
    name: String,
    #[serde(flatten)]
    terms: Terms,
}

/// Which builds a builder gets.
#[derive(Debug, Default, Deserialize)]
pub struct Terms {
    #[serde(default)]
    labels: String,
    #[serde(default)]
    namespaces: String,
    #[serde(default)]
    only_labelled: Option<String>,
}

impl Terms {
    fn of(listed: &Listed) -> Self {
        let names: Vec<String> = listed.namespaces.iter().map(ToString::to_string).collect();
        Self {
            labels: listed.builder.terms.labels.join(" "),
            namespaces: names.join(" "),
            only_labelled: listed.builder.terms.only_labelled.then(|| "on".to_owned()),
        }
    }

    fn form(&self) -> TermsForm {
        let words = |text: &str| {
            text.split([' ', ','])
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        TermsForm {
            labels: words(&self.labels),
            namespaces: words(&self.namespaces),
            only_labelled: self.only_labelled.is_some(),
        }
    }

    fn fields(&self, told: Option<&Told>) -> Vec<Field> {
        let fields = [
            Field::mono("namespaces", "Namespaces")
                .value(&*self.namespaces)
                .optional()
                .help("It gets their builds alone; empty for everybody’s. A builder sees the secrets of what it builds"),
            Field::mono("labels", "Labels")
                .value(&*self.labels)
                .optional()
                .help("What configurations can ask for, as gpu or arm"),
        ];
        fields.into_iter().map(|field| marked(field, told)).collect()
    }
}

fn marked(field: Field, told: Option<&Told>) -> Field {
    match told {
        Some(told) => told.mark(field),
        None => field,
    }
}

/// Whether a builder does what it is for.
pub(super) fn state(builder: &Builder, now: Timestamp) -> Pill {
    let is_away = builder.last_seen_at.is_none_or(|at| now.since(at) > AWAY_AFTER);
    let (tone, icon, word) = match (builder.state, builder.place) {
        (_, BuilderPlace::Expected(until)) if until < now => ("warn", "alert", "token has ended"),
        (_, BuilderPlace::Expected(_)) => ("todo", "clock", "expected"),
        (BuilderState::Removed, _) => ("", "ban", "removed"),
        (BuilderState::Paused, _) => ("", "ban", "paused"),
        (BuilderState::Draining, _) if is_away => ("", "ban", "stopped"),
        (BuilderState::Draining, _) => ("warn", "alert", "draining"),
        (BuilderState::Active, _) if is_away => ("warn", "alert", "not heard of lately"),
        (BuilderState::Active, _) => ("ok", "check-circle", "takes work"),
    };
    Pill::new(tone, icon, word)
}

fn row(listed: &Listed, now: Timestamp) -> BuilderRow {
    let builder = &listed.builder;
    let names: Vec<String> = listed.namespaces.iter().map(ToString::to_string).collect();
    let whose = match (builder.terms.namespaces.is_empty(), names.is_empty()) {
        (true, _) => "everybody".to_owned(),
        (false, true) => "nobody who is still here".to_owned(),
        (false, false) => names.join(", "),
    };
    let labels = builder.terms.labels.join(", ");
    let came = builder.last_seen_at.is_some();
    BuilderRow {
        name: builder.name.clone(),
        href: format!("/admin/builders/{}", builder.id),
        state: state(builder, now),
        machines: came.then(|| format!("{}, {}", builder.facts.driver, builder.facts.platforms.join(", "))),
        host: builder.facts.host.clone(),
        load: came.then(|| format!("{} of {}", listed.running, builder.facts.slots)),
        gets: match (labels.as_str(), builder.terms.only_labelled) {
            ("", _) => whose,
            (labels, true) => format!("{whose}; labelled {labels} alone"),
            (labels, false) => format!("{whose}; labelled {labels}"),
        },
        version: builder.facts.version.clone(),
        is_other_version: came && builder.facts.version != env!("CARGO_PKG_VERSION"),
        seen: builder.last_seen_at.map(|at| words::when(at, now)),
    }
}

/// How the token is used: once, on the other host.
fn command(app: &App, token: &SecretString) -> CopyLine {
    CopyLine {
        text: format!(
            "SLIPWAY_TOKEN={} slipway builder --server {}",
            token.expose_secret(),
            app.config.public_url.as_str().trim_end_matches('/')
        ),
        what: "command".to_owned(),
    }
}

async fn all(
    app: &App,
    who: &SignedIn,
    done: &Done,
    entered: &NewForm,
    told: Option<&Told>,
) -> Result<BuildersPage, Failure> {
    let now = Timestamp::now();
    let builders = app.builders.all(&who.caller).await?;
    let name = Field::mono("name", "Name")
        .value(&*entered.name)
        .autocomplete("off")
        .placeholder("rack-2")
        .help("Lower-case letters and digits, with single . _ or - between them");
    let mut fields = vec![marked(name, told)];
    fields.extend(entered.terms.fields(told));
    Ok(BuildersPage {
        frame: frame(app, who, "Builders", Place::Admin, done),
        side: administration("Builders"),
        alert: told.map(Told::alert),
        builders: builders.iter().map(|listed| row(listed, now)).collect(),
        fields,
        only_labelled: entered.terms.only_labelled.is_some(),
    })
}

/// `GET /admin/builders`
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(all(&app, &who, &done, &NewForm::default(), None).await?).into_response())
}

/// `POST /admin/builders`: the answer is the only place where the one-time token ever stands.
///
/// # Errors
/// Forbidden, for those who do not administer.
pub async fn create(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<NewForm>,
) -> Result<Response, Failure> {
    match app
        .builders
        .create(&who.caller, form.name.trim(), &form.terms.form())
        .await
    {
        Ok((id, token)) => {
            let fresh = command(&app, &token);
            Ok(Page(one(&app, &who, id, &Done::default(), None, Some(fresh)).await?).into_response())
        }
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(all(&app, &who, &Done::default(), &form, Some(&told)).await?).into_response())
        }
    }
}

async fn one(
    app: &App,
    who: &SignedIn,
    id: BuilderId,
    done: &Done,
    told: Option<(&Told, &Terms)>,
    fresh: Option<CopyLine>,
) -> Result<BuilderPage, Failure> {
    let listed = app.builders.get(&who.caller, id).await?;
    let builder = &listed.builder;
    let here = format!("/admin/builders/{id}");
    let saved = Terms::of(&listed);
    let (told, terms) = match told {
        Some((told, entered)) => (Some(told), entered),
        None => (None, &saved),
    };
    let is_embedded = builder.place == BuilderPlace::Embedded;
    let switch = if builder.state == BuilderState::Paused {
        ("resume", "Resume")
    } else {
        ("pause", "Pause")
    };
    let button = |what: &str, look| act(who, format!("{here}/{what}"), look, &*builder.name);
    Ok(BuilderPage {
        frame: frame(app, who, builder.name.clone(), Place::Admin, done),
        side: administration("Builders"),
        crumbs: Crumbs {
            up: vec![("Builders".to_owned(), "/admin/builders".to_owned())],
            here: builder.name.clone(),
        },
        alert: told.map(Told::alert),
        fresh,
        builder: row(&listed, Timestamp::now()),
        action: here.clone(),
        fields: terms.fields(told),
        only_labelled: terms.only_labelled.is_some(),
        is_paused: builder.state == BuilderState::Paused,
        is_embedded,
        switch: button(switch.0, ("", "", switch.1)),
        token: button("token", ("", "", "Make a new token")),
        remove: button("remove", ("danger", "", "Remove builder")),
    })
}

/// `GET /admin/builders/{builder}`
///
/// # Errors
/// Forbidden, for those who do not administer; not found, when it is gone.
pub async fn builder(
    State(app): State<App>,
    who: SignedIn,
    Path(id): Path<BuilderId>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    Ok(Page(one(&app, &who, id, &done, None, None).await?).into_response())
}

/// `POST /admin/builders/{builder}`
///
/// # Errors
/// As [`builder`].
pub async fn change(
    State(app): State<App>,
    who: SignedIn,
    Path(id): Path<BuilderId>,
    Form(terms): Form<Terms>,
) -> Result<Response, Failure> {
    let saved = app.builders.set_terms(&who.caller, id, &terms.form()).await;
    answered(&app, &who, id, &terms, saved).await
}

/// `POST /admin/builders/{builder}/pause`
///
/// # Errors
/// As [`builder`].
pub async fn pause(
    State(app): State<App>,
    who: SignedIn,
    Path(id): Path<BuilderId>,
) -> Result<Response, Failure> {
    app.builders.pause(&who.caller, id).await?;
    Ok(to(&format!("/admin/builders/{id}?done=saved")))
}

/// `POST /admin/builders/{builder}/resume`
///
/// # Errors
/// As [`builder`].
pub async fn resume(
    State(app): State<App>,
    who: SignedIn,
    Path(id): Path<BuilderId>,
) -> Result<Response, Failure> {
    app.builders.resume(&who.caller, id).await?;
    Ok(to(&format!("/admin/builders/{id}?done=saved")))
}

/// `POST /admin/builders/{builder}/token`: the answer is the only place where the token ever stands.
///
/// # Errors
/// As [`builder`].
pub async fn new_token(
    State(app): State<App>,
    who: SignedIn,
    Path(id): Path<BuilderId>,
) -> Result<Response, Failure> {
    let token = app.builders.new_token(&who.caller, id).await?;
    let fresh = command(&app, &token);
    Ok(Page(one(&app, &who, id, &Done::default(), None, Some(fresh)).await?).into_response())
}

/// `POST /admin/builders/{builder}/remove`
///
/// # Errors
/// As [`builder`].
pub async fn remove(
    State(app): State<App>,
    who: SignedIn,
    Path(id): Path<BuilderId>,
) -> Result<Response, Failure> {
    match app.builders.remove(&who.caller, id).await {
        Ok(()) => Ok(to("/admin/builders?done=removed")),
        Err(error) => {
            let listed = app.builders.get(&who.caller, id).await?;
            answered(&app, &who, id, &Terms::of(&listed), Err(error)).await
        }
    }
}

/// The builder's page again: as it is now, or with what was wrong.
async fn answered(
    app: &App,
    who: &SignedIn,
    id: BuilderId,
    entered: &Terms,
    came_of_it: Result<(), ServiceError>,
) -> Result<Response, Failure> {
    match came_of_it {
        Ok(()) => Ok(to(&format!("/admin/builders/{id}?done=saved"))),
        Err(error) => {
            let told = Told::of(error)?;
            let page = one(app, who, id, &Done::default(), Some((&told, entered)), None).await?;
            Ok(Again(page).into_response())
        }
    }
}
