//! The written definitions are current and keep the conventions that every user of Kubernetes expects.

#![expect(
    clippy::disallowed_methods,
    reason = "BLESS is a switch of the test run, not configuration"
)]
#![expect(clippy::unwrap_used, reason = "a test ends where a definition is not as it must be")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use coreward_crds::{definitions, to_yaml};
use serde_json::Value;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn all() -> Vec<(String, Value)> {
    let value = |crd| serde_json::to_value(crd).unwrap();
    definitions().into_iter().map(|crd| (crd.spec.names.kind.clone(), value(crd))).collect()
}

/// Calls `visit` with the path and the value of every object in `value`.
fn walk(path: &str, value: &Value, visit: &mut dyn FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(path, object);
            for (key, inner) in object {
                walk(&format!("{path}/{key}"), inner, visit);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                walk(&format!("{path}/{index}"), inner, visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schemas of all four kinds, without what is not a schema.
fn schemas() -> Vec<(String, Value)> {
    let schema = |crd: &Value| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    all().iter().map(|(kind, crd)| (kind.clone(), schema(crd))).collect()
}

/// Paths of the schemas for which `is_bad` holds.
fn offenders(is_bad: &dyn Fn(&str, &serde_json::Map<String, Value>) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, object| {
            if !path.ends_with("/properties") && !path.contains("/default") && is_bad(path, object)
            {
                found.push(path.to_owned());
            }
        });
    }
    found
}

fn has_type(object: &serde_json::Map<String, Value>, name: &str) -> bool {
    object.get("type").and_then(Value::as_str) == Some(name)
}

/// Names of all fields with their schemas.
fn fields() -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for (kind, schema) in schemas() {
        walk(&kind, &schema, &mut |path, object| {
            if path.ends_with("/properties") {
                fields.extend(
                    object.iter().map(|(name, schema)| (format!("{path}/{name}"), schema.clone())),
                );
            }
        });
    }
    fields
}

#[test]
fn the_written_definitions_are_those_of_the_types() {
    for crd in definitions() {
        let path = here().join(format!("{}.{}.yaml", crd.spec.names.plural, crd.spec.group));
        let yaml = to_yaml(&crd).unwrap();
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &yaml).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == yaml,
            "{} is not current; BLESS=1 cargo test -p coreward-crds writes it",
            path.display()
        );
    }
}

#[test]
fn c01_status_is_a_subresource() {
    for (kind, crd) in all() {
        assert!(crd["spec"]["versions"][0]["subresources"]["status"].is_object(), "{kind}");
    }
}

#[test]
fn c02_short_names_and_a_category() {
    for (kind, crd) in all() {
        assert!(!crd["spec"]["names"]["shortNames"].as_array().unwrap().is_empty(), "{kind}");
        assert_eq!(crd["spec"]["names"]["categories"], serde_json::json!(["market"]), "{kind}");
    }
}

#[test]
fn c03_at_least_five_columns() {
    for (kind, crd) in all() {
        let columns =
            crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap().clone();
        let shown =
            columns.iter().filter(|column| column["priority"].as_i64().unwrap_or(0) == 0).count();
        assert!(shown >= 5, "{kind} shows {shown}");
    }
}

#[test]
fn c04_every_field_is_documented() {
    let undocumented: Vec<_> = fields()
        .into_iter()
        .filter(|(path, schema)| {
            let top = path.matches("/properties/").count() == 1;
            let kubernetes =
                ["/apiVersion", "/kind", "/metadata"].iter().any(|end| top && path.ends_with(end));
            !kubernetes && schema["description"].as_str().unwrap_or_default().is_empty()
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(undocumented, Vec::<String>::new());
}

#[test]
fn c05_rules_are_in_the_schema() {
    for (kind, least) in
        [("ProviderOffer", 8), ("CapacityUnit", 3), ("Deal", 2), ("ChainTransaction", 1)]
    {
        let schema = schemas().into_iter().find(|(name, _)| name == kind).unwrap().1;
        let mut rules = 0;
        walk(kind, &schema, &mut |_, object| {
            rules += usize::from(object.contains_key("x-kubernetes-validations"));
        });
        assert!(rules >= least, "{kind} has {rules}");
    }
}

#[test]
fn c08_conditions_are_a_map_by_type() {
    for (path, schema) in fields().into_iter().filter(|(path, _)| path.ends_with("/conditions")) {
        assert_eq!(schema["x-kubernetes-list-type"], "map", "{path}");
        assert_eq!(schema["x-kubernetes-list-map-keys"], serde_json::json!(["type"]), "{path}");
    }
}

#[test]
fn c09_no_floats_and_no_unsigned_formats() {
    let bad = offenders(&|_, object| {
        let format = object.get("format").and_then(Value::as_str).unwrap_or_default();
        has_type(object, "number")
            || ["uint", "double", "float"].iter().any(|word| format.contains(word))
    });
    assert_eq!(bad, Vec::<String>::new());
    let unbounded =
        offenders(&|_, object| has_type(object, "integer") && !object.contains_key("minimum"));
    assert_eq!(unbounded, Vec::<String>::new());
}

#[test]
fn c10_amounts_are_texts_with_a_pattern() {
    let money = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        ["amount", "price", "collateral", "total", "fee", "unclaimed", "claimable"]
            .iter()
            .any(|word| name.contains(word))
            && name != "prices"
    };
    let bad: Vec<_> = fields()
        .into_iter()
        .filter(|(path, schema)| {
            let patterned = schema["pattern"].is_string() || schema["enum"].is_array();
            money(path) && !patterned && !path.ends_with("/units/properties/total")
        })
        .map(|(path, _)| path)
        .collect();
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn c11_every_list_map_and_text_is_bounded() {
    let bad = offenders(&|path, object| {
        let list = has_type(object, "array") && !object.contains_key("maxItems");
        let map =
            object.contains_key("additionalProperties") && !object.contains_key("maxProperties");
        let text = has_type(object, "string")
            && !object.contains_key("maxLength")
            && !object.contains_key("enum");
        list || map || (text && path.contains('/'))
    });
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn c12_no_phase_and_enums_in_camel_case() {
    assert!(!fields().iter().any(|(path, _)| path.ends_with("/phase")));
    for (path, schema) in fields() {
        for word in schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(
                word.starts_with(char::is_uppercase) && !word.contains(['_', '-']),
                "{path}: {word}"
            );
        }
    }
}

#[test]
fn c13_booleans_are_those_of_the_list() {
    let found: BTreeSet<_> = fields()
        .into_iter()
        .filter(|(_, schema)| schema["type"] == "boolean")
        .map(|f| f.0)
        .collect();
    let list = fs::read_to_string(here().join("tests/booleans.txt")).unwrap();
    assert_eq!(found, list.lines().map(str::to_owned).collect());
}

#[test]
fn c14_no_secret_has_a_field() {
    for (path, _) in fields() {
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        let symbol = name == "paymenttoken" || name == "token";
        let secret =
            ["password", "key", "token", "mnemonic", "seed"].iter().any(|word| name.contains(word));
        assert!(symbol || !secret, "{path}");
    }
}

#[test]
fn status_starts_unobserved() {
    for (kind, schema) in schemas() {
        assert_eq!(schema["properties"]["status"]["default"]["observedGeneration"], -1, "{kind}");
    }
}
