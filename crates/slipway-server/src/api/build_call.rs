//! A build trigger's call, at Docker Hub's own address, so that in an old line only the host changes. The token in
//! the address is the secret, and all that is needed; the log gets the route's pattern, never the address.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use secrecy::SecretString;
use serde::Deserialize;
use slipway_types::{RefKind, RefName};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    extract::{Of, parse, unread},
    triggered::{Triggered, render},
};
use crate::{app::App, failure::Failure, services::queue::TriggerWhat};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(call))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct TriggerAddress {
    /// Which configuration it builds.
    source: String,
    /// The secret.
    #[serde(with = "slipway_types::secret::in_clear")]
    #[param(value_type = String)]
    token: SecretString,
}

/// What to build. Without any field, or with `build`: all rules that name one branch or tag.
///
/// Fields that are not known are left alone, as Docker Hub does: other systems' webhooks are pointed at this address.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default)]
struct TriggerCall {
    /// True, or left out.
    build: Option<bool>,
    /// The rules that write this tag.
    docker_tag: Option<String>,
    /// `Branch` or `Tag`; together with `source_name`.
    #[schema(example = "Branch")]
    source_type: Option<String>,
    /// As if this branch or tag had been pushed.
    source_name: Option<String>,
}

/// Calls a build trigger. A body is JSON or a form, and may be left out.
#[utoipa::path(post, path = "/api/build/v1/source/{source}/trigger/{token}/call/", tag = "builds",
    operation_id = "call_trigger", params(TriggerAddress), request_body = Option<TriggerCall>, security(()),
    responses((status = 200, body = Triggered)))]
async fn call(
    State(app): State<App>,
    Of(trigger): Of<TriggerAddress>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Triggered>, Failure> {
    let body = body.map_err(|rejection| unread(&rejection))?;
    let what = read(&body)?.what()?;
    let called = app
        .build_acts
        .call(&trigger.source, &trigger.token, &what)
        .await?;
    Ok(Json(
        render(&app, &called.namespace, &called.repository, called.triggered).await?,
    ))
}

/// `curl -d '{…}'` says that it sends a form: what begins like JSON is JSON.
fn read(body: &[u8]) -> Result<TriggerCall, Failure> {
    if body.trim_ascii_start().starts_with(b"{") {
        return parse(body);
    }
    let mut call = TriggerCall::default();
    for (name, value) in url::form_urlencoded::parse(body.trim_ascii()) {
        let value = value.into_owned();
        match name.as_ref() {
            "build" => {
                let wrong = |_| Failure::invalid("build", "Send `true`, or leave it out.");
                call.build = Some(value.to_lowercase().parse().map_err(wrong)?);
            }
            "docker_tag" => call.docker_tag = Some(value),
            "source_type" => call.source_type = Some(value),
            "source_name" => call.source_name = Some(value),
            _ => {}
        }
    }
    Ok(call)
}

impl TriggerCall {
    fn what(self) -> Result<TriggerWhat, Failure> {
        if self.build == Some(false) {
            return Err(Failure::invalid("build", "Send `true`, or leave it out."));
        }
        if let Some(tag) = self.docker_tag {
            return Ok(TriggerWhat::DockerTag(tag));
        }
        match (self.source_type, self.source_name) {
            (None, None) => Ok(TriggerWhat::All),
            (Some(kind), Some(name)) => git_ref(&kind, &name).map(TriggerWhat::Ref),
            (None, Some(_)) => Err(Failure::invalid(
                "source_type",
                "Say whether it is a `Branch` or a `Tag`.",
            )),
            (Some(_), None) => Err(Failure::invalid("source_name", "Say which branch or tag.")),
        }
    }
}

fn git_ref(kind: &str, name: &str) -> Result<RefName, Failure> {
    let kind = match kind.to_ascii_lowercase().as_str() {
        "branch" => RefKind::Branch,
        "tag" => RefKind::Tag,
        _ => {
            return Err(Failure::invalid(
                "source_type",
                "A source is a `Branch` or a `Tag`.",
            ));
        }
    };
    RefName::new(kind, name).map_err(|error| Failure::invalid("source_name", format!("{error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(body: &str) -> TriggerWhat {
        read(body.as_bytes()).unwrap().what().unwrap()
    }

    #[test]
    fn docker_hubs_bodies_are_understood_as_json_and_as_a_form() {
        for all in [
            "",
            " \n",
            r#"{"build": true}"#,
            "build=true",
            "{}",
            r#"{"ref": "refs/heads/x"}"#,
        ] {
            assert_eq!(what(all), TriggerWhat::All, "{all:?}");
        }
        let tag = TriggerWhat::DockerTag("latest".to_owned());
        assert_eq!(what(r#"{"docker_tag": "latest"}"#), tag);
        assert_eq!(what("docker_tag=latest"), tag);
        let branch = TriggerWhat::Ref(RefName::branch("feature/x").unwrap());
        assert_eq!(
            what(r#"{"source_type": "Branch", "source_name": "feature/x"}"#),
            branch
        );
        assert_eq!(what("source_type=Branch&source_name=feature%2Fx"), branch);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_field_named() {
        for (body, field) in [
            (r#"{"source_name": "x"}"#, "source_type"),
            (r#"{"source_type": "Commit", "source_name": "x"}"#, "source_type"),
            (r#"{"source_type": "Tag", "source_name": "a b"}"#, "source_name"),
            ("build=perhaps", "build"),
            (r#"{"docker_tag": 7}"#, "docker_tag"),
        ] {
            let failure = read(body.as_bytes()).and_then(TriggerCall::what).unwrap_err();
            assert_eq!(failure.fields[0].field, field, "{body}");
        }
    }
}
