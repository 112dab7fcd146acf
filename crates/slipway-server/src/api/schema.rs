//! How stable words and moments are described in the OpenAPI document: each enumeration with all of its words, from
//! the one place that has them.

use serde::Serialize;
use slipway_types::{
    Timestamp,
    build::{BuildState, Cause, Hold, Phase, Purpose},
    decision::{ChangeResult, DeliveryOutcome},
    forge::{
        ForgeKind, Health, HealthReason, LinkState, OutboxKind, OutboxState, OwnerReach, ProofState,
        ResourceState,
    },
    rights::{Level, Role, TokenScope},
    rule::{Autotest, ConfigurationState, DeliveryMode, Supersede},
};
use utoipa::{
    ToSchema,
    openapi::schema::{ObjectBuilder, Schema, SchemaType, Type},
};

/// A moment, as RFC 3339 writes it.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime, example = "2026-11-22T10:15:30.123Z")]
pub(super) struct Time(pub(super) Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

fn of_words(words: impl Iterator<Item = &'static str>, nullable: bool) -> Schema {
    let null = nullable.then_some(serde_json::Value::Null);
    let kind = if nullable {
        SchemaType::Array(vec![Type::String, Type::Null])
    } else {
        SchemaType::Type(Type::String)
    };
    let values = words.map(serde_json::Value::from).chain(null);
    ObjectBuilder::new()
        .schema_type(kind)
        .enum_values(Some(values))
        .build()
        .into()
}

macro_rules! words {
    ($($name:ident = $kind:ty, $nullable:literal;)+) => {
        $(pub(super) fn $name() -> Schema {
            of_words(<$kind>::ALL.iter().map(|word| word.as_str()), $nullable)
        })+
    };
}

words! {
    autotest = Autotest, false;
    build_state = BuildState, false;
    cause = Cause, false;
    change_result = ChangeResult, false;
    configuration_state = ConfigurationState, false;
    delivery_mode = DeliveryMode, false;
    delivery_outcome = DeliveryOutcome, false;
    forge_kind = ForgeKind, false;
    health = Health, false;
    level = Level, false;
    link_state = LinkState, false;
    health_reason = HealthReason, false;
    maybe_health_reason = HealthReason, true;
    maybe_hold = Hold, true;
    maybe_token_scope = TokenScope, true;
    outbox_kind = OutboxKind, false;
    outbox_state = OutboxState, false;
    proof_state = ProofState, false;
    owner_reach = OwnerReach, false;
    phase = Phase, false;
    purpose = Purpose, false;
    resource_state = ResourceState, false;
    role = Role, false;
    supersede = Supersede, false;
    token_scope = TokenScope, false;
}
