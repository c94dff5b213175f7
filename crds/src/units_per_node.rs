//! How many units a node gives: as many as fit, or a number.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How many units each node gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnitsPerNode {
    /// One for each whole core that the node can give exclusively.
    #[default]
    Auto,
    /// Exactly this many.
    Exactly(u16),
}

impl Serialize for UnitsPerNode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("Auto"),
            Self::Exactly(units) => serializer.serialize_u16(*units),
        }
    }
}

impl<'de> Deserialize<'de> for UnitsPerNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u16),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(0) => Err(de::Error::custom("0 units; a node gives at least one")),
            Raw::Number(units) => Ok(Self::Exactly(units)),
            Raw::Text(text) if text == "Auto" => Ok(Self::Auto),
            Raw::Text(text) => {
                Err(de::Error::custom(format!("`{text}` is neither Auto nor a number")))
            }
        }
    }
}

impl JsonSchema for UnitsPerNode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UnitsPerNode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 4,
            "x-kubernetes-validations": [{
                "rule": "type(self) == string ? self == 'Auto' : int(self) >= 1 && int(self) <= 1024",
                "message": "unitsPerNode is Auto or a number from 1 to 1024",
            }],
        })
    }
}
