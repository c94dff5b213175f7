//! The definitions as the API server takes them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{CapacityUnit, ChainTransaction, Deal, ProviderOffer};

/// The definitions of the four kinds, in alphabetical order.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    [CapacityUnit::crd(), ChainTransaction::crd(), Deal::crd(), ProviderOffer::crd()]
        .map(with_fresh_status)
        .to_vec()
}

/// The definition as a YAML document, the same to readers of YAML 1.1 and 1.2.
///
/// # Errors
///
/// None in practice: every part of a definition can be written as YAML.
pub fn to_yaml(definition: &CustomResourceDefinition) -> serde_yaml::Result<String> {
    let text = serde_yaml::to_string(definition)?;
    Ok(text.lines().map(|line| quoted(line) + "\n").collect())
}

/// Quotes a list's item that YAML 1.1, which Helm reads, takes for a boolean: `Off` would become `false`.
fn quoted(line: &str) -> String {
    const BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    match line.split_once("- ") {
        Some((indent, word)) if BOOLEANS.contains(&word.to_lowercase().as_str()) => {
            format!("{indent}- '{word}'")
        }
        Some(_) | None => line.to_owned(),
    }
}

/// Lets `status` start as `{observedGeneration: -1}`, so that no tool takes an object that nobody looked at for settled.
fn with_fresh_status(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = definition.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for properties in
        schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()?.properties.as_mut())
    {
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
            status.nullable = None;
        }
    }
    definition
}
