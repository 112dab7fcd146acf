//! Repositories: creating one, what is in it, its settings.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use slipway_store::BuildTag;
use slipway_types::{
    RegistryId, SlugName, Timestamp,
    rights::{Level, Role},
};

use super::{Again, Done, Page, Told, builds, frame, to};
use crate::{
    app::App,
    failure::Failure,
    services::{
        builds_read::Filter,
        repositories::{Named, RepositoryForm},
    },
    web::{
        session::SignedIn,
        view::{
            Copy, CopyLine, Crumbs, Field, Place, Tabs, Tags,
            hub::NewRepositoryPage,
            repository::{RecentRow, RepositoryPage, RepositorySettingsPage, TagRow},
        },
        words,
    },
};

/// Where a repository's pages hang.
pub(super) fn crumbs(namespace: &SlugName, here: impl Into<String>) -> Crumbs {
    Crumbs {
        up: vec![
            ("My Hub".to_owned(), "/".to_owned()),
            (namespace.to_string(), format!("/?namespace={namespace}")),
        ],
        here: here.into(),
    }
}

/// The parts of a repository.
pub(super) fn tabs(namespace: &SlugName, name: &SlugName, here: &'static str) -> Tabs {
    Tabs {
        base: format!("/{namespace}/{name}"),
        here,
    }
}

/// A repository to be created.
#[derive(Debug, Deserialize)]
pub struct NewForm {
    namespace: SlugName,
    name: String,
    #[serde(default)]
    description: String,
    registry: Option<RegistryId>,
    #[serde(default)]
    image_path: String,
    visibility: Visibility,
}

/// Who sees a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Those who were given a right.
    Private,
    /// Every member of the namespace.
    Public,
}

async fn new_page(
    app: &App,
    who: &SignedIn,
    entered: Option<&NewForm>,
    told: Option<&Told>,
) -> Result<NewRepositoryPage, Failure> {
    let namespaces = app.organizations.namespaces(&who.caller).await?;
    let owned: Vec<_> = namespaces
        .into_iter()
        .filter(|(_, role)| *role == Role::Owner)
        .collect();
    let chosen = entered.map_or_else(|| who.name().clone(), |form| form.namespace.clone());
    let registries = app.registries.usable(&who.caller, &chosen).await?;
    let wanted = entered.and_then(|form| form.registry);
    let text = |of: fn(&NewForm) -> &String| entered.map(of).cloned().unwrap_or_default();
    let mark = |field: Field| match told {
        Some(told) => told.mark(field),
        None => field,
    };
    Ok(NewRepositoryPage {
        frame: frame(app, who, "Create repository", Place::Hub, &Done::default()),
        alert: told.map(Told::alert),
        namespaces: owned
            .into_iter()
            .map(|(namespace, _)| (namespace.name.to_string(), namespace.name == chosen))
            .collect(),
        name: mark(Field::mono("name", "Name").value(text(|f| &f.name))),
        registries: registries
            .into_iter()
            .map(|registry| {
                let label = match registry.path_prefix.as_str() {
                    "" => registry.host,
                    prefix => format!("{}/{prefix}", registry.host),
                };
                (registry.id.to_string(), label, wanted == Some(registry.id))
            })
            .collect(),
        path: mark(
            Field::mono("image_path", "Path at the registry")
                .value(text(|f| &f.image_path))
                .optional()
                .help("Empty for namespace/name, below the registry’s prefix"),
        ),
        description: mark(
            Field::text("description", "Description")
                .value(text(|f| &f.description))
                .optional(),
        ),
        private: entered.is_none_or(|form| form.visibility == Visibility::Private),
    })
}

/// `GET /repositories/new`
///
/// # Errors
/// What the store says.
pub async fn new(State(app): State<App>, who: SignedIn) -> Result<Response, Failure> {
    Ok(Page(new_page(&app, &who, None, None).await?).into_response())
}

/// `POST /repositories/new`
///
/// # Errors
/// Forbidden, for those who do not own the namespace.
pub async fn create(
    State(app): State<App>,
    who: SignedIn,
    Form(form): Form<NewForm>,
) -> Result<Response, Failure> {
    let entered = RepositoryForm {
        description: form.description.trim().to_owned(),
        private: form.visibility == Visibility::Private,
        registry: form.registry,
        image_path: form.image_path.trim().to_owned(),
    };
    let created = app
        .repositories
        .create(&who.caller, &form.namespace, form.name.trim(), &entered)
        .await;
    match created {
        Ok(_) => Ok(to(&format!(
            "/{}/{}/builds?done=created",
            form.namespace,
            form.name.trim()
        ))),
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(new_page(&app, &who, Some(&form), Some(&told)).await?).into_response())
        }
    }
}

/// `GET /{namespace}/{repository}`
///
/// # Errors
/// Not found, for those who may not see it.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let now = Timestamp::now();
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Read)
        .await?;
    let base = format!("/{namespace}/{name}");
    let (recent, _) = app
        .builds
        .list(&who.caller, named.repository.id, &Filter::default(), None, 10)
        .await?;
    let held = app.builds.tags_held(&who.caller, named.repository.id).await?;
    let configured = app
        .builds
        .configuration(&who.caller, named.repository.id)
        .await?
        .is_some();
    let image = named.image();
    let first = held.first().map_or("latest", |(tag, _)| tag.tag.as_str());
    let mut frame = frame(&app, &who, format!("{namespace}/{name}"), Place::Hub, &done);
    frame.live = format!("{base}/events");
    let page = RepositoryPage {
        crumbs: crumbs(&namespace, name.as_str()),
        tabs: tabs(&namespace, &name, "general"),
        name: format!("{namespace}/{name}"),
        description: named.repository.description.clone(),
        private: named.repository.private,
        pull: CopyLine {
            text: format!("docker pull {image}:{first}"),
            what: "pull command".to_owned(),
        },
        tags: held
            .iter()
            .map(|(tag, build)| TagRow {
                build: Some((
                    words::number(build.number as u64),
                    format!("{base}/builds/{}", build.number),
                )),
                commit: Some(builds::commit(build, None)),
                ..tag_row(tag, now)
            })
            .collect(),
        recent: recent
            .iter()
            .map(|build| RecentRow {
                number: words::number(build.number as u64),
                href: format!("{base}/builds/{}", build.number),
                state: words::build_state(build.state),
                cause: builds::cause_line(build),
                tags: builds::tags(build),
                when: words::when(build.ended_at.unwrap_or(build.queued_at), now),
            })
            .collect(),
        configure: (named.level >= Level::Admin).then(|| format!("{base}/builds/configure")),
        configured,
        frame,
    };
    Ok(Page(page).into_response())
}

fn tag_row(tag: &BuildTag, now: Timestamp) -> TagRow {
    TagRow {
        tag: tag.tag.to_string(),
        digest: tag
            .digest
            .as_ref()
            .map(|digest| digest_copy(digest.as_str(), tag.tag.as_str())),
        size: tag
            .size
            .and_then(|n| u64::try_from(n).ok())
            .map(words::bytes)
            .unwrap_or_default(),
        build: None,
        commit: None,
        when: tag.pushed_at.map(|at| words::when(at, now)),
    }
}

/// A digest, short, with the button that copies the whole.
pub(super) fn digest_copy(digest: &str, of: &str) -> (String, Copy) {
    let copy = Copy {
        text: digest.to_owned(),
        what: format!("digest of {of}"),
    };
    (words::short_digest(digest), copy)
}

/// A repository's settings.
#[derive(Debug, Deserialize)]
pub struct SettingsForm {
    #[serde(default)]
    description: String,
    visibility: Visibility,
}

/// Proof that somebody means it.
#[derive(Debug, Deserialize)]
pub struct DeleteForm {
    confirm: String,
}

fn settings_page(
    app: &App,
    who: &SignedIn,
    named: &Named,
    done: &Done,
    told: Option<&Told>,
) -> RepositorySettingsPage {
    let (namespace, name) = (&named.namespace, &named.repository.name);
    let description = Field::text("description", "Description")
        .value(&*named.repository.description)
        .optional();
    RepositorySettingsPage {
        frame: frame(
            app,
            who,
            format!("Settings of {namespace}/{name}"),
            Place::Hub,
            done,
        ),
        crumbs: crumbs(namespace, name.as_str()),
        tabs: tabs(namespace, name, "settings"),
        alert: told.map(Told::alert),
        action: format!("/{namespace}/{name}/settings"),
        name: format!("{namespace}/{name}"),
        description: match told {
            Some(told) => told.mark(description),
            None => description,
        },
        private: named.repository.private,
        image: named.image(),
        destroys:
            "Its builds and their logs are deleted. Images at the registry stay. A build configuration \
                   has to be deleted first: that removes the webhook and the deploy key."
                .to_owned(),
        may_delete: named.level >= Level::Owner,
    }
}

/// `GET /{namespace}/{repository}/settings`
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn settings(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Admin)
        .await?;
    Ok(Page(settings_page(&app, &who, &named, &done, None)).into_response())
}

/// `POST /{namespace}/{repository}/settings`
///
/// # Errors
/// Forbidden, for those without admin on it.
pub async fn change(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Form(form): Form<SettingsForm>,
) -> Result<Response, Failure> {
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Admin)
        .await?;
    let entered = RepositoryForm {
        description: form.description.trim().to_owned(),
        private: form.visibility == Visibility::Private,
        registry: Some(named.repository.registry),
        image_path: named.repository.image_path.to_string(),
    };
    match app
        .repositories
        .change(&who.caller, &namespace, &name, &entered)
        .await
    {
        Ok(()) => Ok(to(&format!("/{namespace}/{name}/settings?done=saved"))),
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(settings_page(&app, &who, &named, &Done::default(), Some(&told))).into_response())
        }
    }
}

/// `POST /{namespace}/{repository}/settings/delete`
///
/// # Errors
/// Forbidden, for those who do not own it.
pub async fn delete(
    State(app): State<App>,
    who: SignedIn,
    Path((namespace, name)): Path<(SlugName, SlugName)>,
    Form(form): Form<DeleteForm>,
) -> Result<Response, Failure> {
    let named = app
        .repositories
        .find(&who.caller, &namespace, &name, Level::Owner)
        .await?;
    if form.confirm.trim() != format!("{namespace}/{name}") {
        let error =
            crate::services::ServiceError::invalid("confirm", "the name that was typed is another one");
        let told = Told::of(error)?;
        return Ok(Again(settings_page(&app, &who, &named, &Done::default(), Some(&told))).into_response());
    }
    match app.repositories.delete(&who.caller, &namespace, &name).await {
        Ok(()) => Ok(to("/?done=deleted")),
        Err(error) => {
            let told = Told::of(error)?;
            Ok(Again(settings_page(&app, &who, &named, &Done::default(), Some(&told))).into_response())
        }
    }
}

/// Tags for a list.
pub(super) fn no_tags(none: &'static str) -> Tags {
    Tags {
        tags: Vec::new(),
        none,
    }
}
