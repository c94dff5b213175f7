//! One thing that can be said of an object: true, false or unknown, since when, and why.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Whether what a condition says holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not, on positive evidence.
    False,
    /// Not known.
    Unknown,
}

/// A condition as Kubernetes knows them; bounded, with the generation that it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, in CamelCase; one of each in a list.
    #[serde(rename = "type")]
    #[schemars(schema_with = "crate::schema::reason")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Generation of the object that was looked at.
    #[schemars(schema_with = "crate::schema::generation")]
    pub observed_generation: i64,
    /// When `status` changed last, RFC 3339.
    #[schemars(schema_with = "time")]
    pub last_transition_time: String,
    /// Why, as a word that programs can match.
    #[schemars(schema_with = "crate::schema::reason")]
    pub reason: String,
    /// Why, as a sentence with the field, the epoch or the transaction.
    #[schemars(schema_with = "crate::schema::text")]
    pub message: String,
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 40 })
}

/// A list of conditions, one of each type.
pub(crate) fn list(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 32,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": Condition::json_schema(generator),
    })
}
