//! Registries: where images go.

use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Again, Done, Page, Told, administration, frame, to};
use crate::{
    app::App,
    failure::Failure,
    services::registries::RegistryForm as Entered,
    web::{
        entered, next,
        session::SignedIn,
        view::{
            Field, Place,
            admin::{RegistriesPage, RegistryRow},
            start::RegistryForm,
        },
    },
};

/// A registry to be added.
#[derive(Debug, Deserialize)]
pub struct AddForm {
    name: String,
    host: String,
    #[serde(default)]
    path_prefix: String,
    #[serde(default)]
    username: String,
    #[serde(default, deserialize_with = "entered::secret")]
    password: SecretString,
    #[serde(default)]
    next: String,
}

/// The form, with what was entered before.
pub(super) fn form(
    who: &SignedIn,
    next: &str,
    entered: Option<&AddForm>,
    told: Option<&Told>,
) -> RegistryForm {
    let text = |of: fn(&AddForm) -> &String| entered.map(of).cloned().unwrap_or_default();
    let fields = [
        Field::text("name", "Name")
            .value(text(|f| &f.name))
            .placeholder("main"),
        Field::mono("host", "Host")
            .value(text(|f| &f.host))
            .placeholder("registry.example.org")
            .help("As in image names, with the port if there is one"),
        Field::mono("path_prefix", "Path prefix")
            .value(text(|f| &f.path_prefix))
            .optional()
            .help("Before every image path there"),
        Field::mono("username", "User")
            .value(text(|f| &f.username))
            .optional()
            .help("Empty for a registry that asks nobody"),
        Field::password("password", "Password or token", "off").optional(),
    ];
    RegistryForm {
        csrf: who.csrf.clone(),
        alert: told.map(Told::alert),
        next: next.to_owned(),
        fields: fields
            .into_iter()
            .map(|field| match told {
                Some(told) => told.mark(field),
                None => field,
            })
            .collect(),
    }
}

async fn page(app: &App, who: &SignedIn, done: &Done, form: RegistryForm) -> Result<RegistriesPage, Failure> {
    let shared = app.registries.shared().await?;
    Ok(RegistriesPage {
        frame: frame(app, who, "Registries", Place::Admin, done),
        side: administration("Registries"),
        registries: shared
            .into_iter()
            .map(|registry| RegistryRow {
                place: match registry.path_prefix.as_str() {
                    "" => registry.host.clone(),
                    prefix => format!("{}/{prefix}", registry.host),
                },
                login: match registry.username.as_str() {
                    "" => "nobody".to_owned(),
                    user => user.to_owned(),
                },
                of: "everybody".to_owned(),
                name: registry.name,
            })
            .collect(),
        form,
    })
}

/// `GET /admin/registries`
///
/// # Errors
/// Not found, for those who do not administer.
pub async fn show(
    State(app): State<App>,
    who: SignedIn,
    Query(done): Query<Done>,
) -> Result<Response, Failure> {
    app.access.administrator(&who.caller)?;
    let form = form(&who, "/admin/registries", None, None);
    Ok(Page(page(&app, &who, &done, form).await?).into_response())
}

/// `POST /admin/registries`
///
/// # Errors
/// Not found, for those who do not administer.
pub async fn add(
    State(app): State<App>,
    who: SignedIn,
    Form(entered): Form<AddForm>,
) -> Result<Response, Failure> {
    let password = Some(entered.password.clone()).filter(|p| !p.expose_secret().is_empty());
    let new = Entered {
        name: entered.name.trim().to_owned(),
        host: entered.host.trim().to_owned(),
        path_prefix: entered.path_prefix.trim().trim_matches('/').to_owned(),
        username: entered.username.trim().to_owned(),
        password,
    };
    match app.registries.add(&who.caller, None, new).await {
        Ok(_) => Ok(to(&format!("{}?done=saved", next::safe(&entered.next)))),
        Err(error) => {
            let told = Told::of(error)?;
            let form = form(&who, next::safe(&entered.next), Some(&entered), Some(&told));
            Ok(Again(page(&app, &who, &Done::default(), form).await?).into_response())
        }
    }
}
