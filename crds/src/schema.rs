//! Schemas of texts and numbers that several fields share; each bounded.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A 20-byte account or contract.
pub(crate) fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$", "maxLength": 42 })
}

/// A 32-byte id or hash.
pub(crate) fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^0x[0-9a-fA-F]{64}$", "maxLength": 66 })
}

/// A 32-byte id, or nothing.
pub(crate) fn word_or_empty(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^(0x[0-9a-fA-F]{64})?$", "maxLength": 66 })
}

/// A name as DNS labels are written.
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63 })
}

/// At least one name, and no more signers than a wallet can look after.
pub(crate) fn signer_names(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "maxItems": 16, "x-kubernetes-list-type": "set", "items": name(generator) })
}

/// Accounts, at most 256.
pub(crate) fn addresses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 256, "x-kubernetes-list-type": "set", "items": address(generator) })
}

/// Exact host names, at most 64; the last part of a name begins with a letter, so no address is one.
pub(crate) fn hosts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 64, "x-kubernetes-list-type": "set",
        "items": { "type": "string", "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])*[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 253 },
    })
}

/// A decimal number of tokens, at most 18 places.
pub(crate) fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{1,20}([.][0-9]{1,18})?$", "maxLength": 39 })
}

/// A whole number that may need 256 bits.
pub(crate) fn whole(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{1,78}$", "maxLength": 78 })
}

/// A counter on chain, in decimal.
pub(crate) fn counter(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[1-9][0-9]{0,17}$", "maxLength": 18 })
}

/// Labels of nodes, all of which must match.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 16,
        "additionalProperties": { "type": "string", "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", "maxLength": 63 },
    })
}

/// Free words about a resource.
pub(crate) fn details(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 128 },
    })
}

/// A short text for people.
pub(crate) fn short_text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 256 })
}

/// A text for people.
pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 4096 })
}

/// A CamelCase word from a list that may grow.
pub(crate) fn reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$", "maxLength": 64 })
}

/// A count or an epoch.
pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// A generation; -1 before the first look.
pub(crate) fn generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": -1 })
}
