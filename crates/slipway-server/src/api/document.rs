//! The OpenAPI document: what stands around the routes, and its own route.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem,
        Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::problem::{MEDIA_TYPE, Problem};
use crate::app::App;

const SECURITY: &str = "access_token";
const PROBLEM: &str = "Problem";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What stands before the routes.
pub(super) fn head() -> OpenApi {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "An access token (Settings, Access tokens), of scope `read`, `build` or `admin`. A signed-in browser may also \
         read with its session’s cookie."
            .to_owned(),
    );
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    let problem = ResponseBuilder::new()
        .description("It failed: problem details (RFC 9457).")
        .content(
            MEDIA_TYPE,
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(Problem::name())))
                .build(),
        )
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(SECURITY, SecurityScheme::Http(bearer))
        .schemas_from_iter(schemas)
        .response(PROBLEM, problem)
        .build();
    let info = InfoBuilder::new()
        .title("Slipway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ));
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(
            SECURITY,
            std::iter::empty::<String>(),
        )]))
        .build()
}

const DESCRIPTION: &str = "Automated builds. Lists come in pages: `items`, and in `next` and the `Link` header the \
    address of the next page. A GET carries an `ETag`; sent back as `If-None-Match`, it gets a 304 when nothing \
    changed. A POST with an `Idempotency-Key` happens once: the same key with the same body gets the first answer \
    again, marked `Idempotency-Replayed`. Failures are problem details (RFC 9457).";

/// Says of every operation how it fails.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let problem = RefOr::Ref(Ref::from_response_name(PROBLEM));
            operation
                .responses
                .responses
                .insert("default".to_owned(), problem);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "document", operation_id = "openapi", security(()),
    responses((status = 200, content_type = "application/json", body = Object)))]
async fn show() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| super::document().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
