//! What Argo CD makes of our objects, by the script that ships with the chart, in the Lua that Argo CD speaks.

#![expect(clippy::unwrap_used, reason = "a test ends where a file is not as it must be")]

use mlua::{Lua, LuaSerdeExt};
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};

/// What Argo CD shows of an object.
#[derive(Debug, PartialEq, Deserialize)]
struct Health {
    status: String,
    message: String,
}

fn health(object: &Value) -> Health {
    let shipped: Value =
        serde_yaml::from_str(include_str!("../../charts/coreward/argocd.yaml")).unwrap();
    let customizations = shipped["data"]["resource.customizations"].as_str().unwrap();
    let customizations: Value = serde_yaml::from_str(customizations).unwrap();
    let script = customizations["coreward.dev/*"]["health.lua"].as_str().unwrap();
    let lua = Lua::new();
    // Argo CD gives an absent field as nil, and no null of any other kind.
    let options = mlua::SerializeOptions::new().serialize_none_to_null(false);
    lua.globals().set("obj", lua.to_value_with(object, options).unwrap()).unwrap();
    lua.from_value(lua.load(script).eval().unwrap()).unwrap()
}

/// An object of generation 2 with these conditions: type, status, reason, message.
fn told(conditions: &[(&str, &str, &str, &str)]) -> Value {
    let condition = |(kind, status, reason, message): &(&str, &str, &str, &str)| json!({ "type": kind, "status": status, "reason": reason, "message": message });
    let conditions: Vec<_> = conditions.iter().map(condition).collect();
    json!({
        "metadata": { "name": "fra1", "generation": 2 },
        "spec": { "suspend": false },
        "status": { "observedGeneration": 2, "conditions": conditions },
    })
}

const SETTLED: (&str, &str, &str, &str) = ("Reconciling", "False", "Settled", "");
const MOVING: (&str, &str, &str, &str) = ("Reconciling", "True", "Registering", "price of USDC");
const FREE: (&str, &str, &str, &str) = ("Stalled", "False", "NotStalled", "");
const STALLED: (&str, &str, &str, &str) = ("Stalled", "True", "Conflict", "a/b claims it");
const READY: (&str, &str, &str, &str) = ("Ready", "True", "Proving", "");
const NOT_READY: (&str, &str, &str, &str) = ("Ready", "False", "Degraded", "1 of 2 units proves");
const UNKNOWN: (&str, &str, &str, &str) = ("Ready", "Unknown", "ChainUnknown", "");

#[rstest]
#[case::well(told(&[READY, SETTLED, FREE]), "Healthy", "Proving")]
#[case::under_way(told(&[READY, MOVING, FREE]), "Progressing", "Registering: price of USDC")]
#[case::not_ready(told(&[NOT_READY, SETTLED, FREE]), "Degraded", "Degraded: 1 of 2 units proves")]
#[case::becoming_ready(told(&[NOT_READY, MOVING, FREE]), "Progressing", "Registering: price of USDC")]
#[case::stalled_though_it_earns(told(&[READY, SETTLED, STALLED]), "Degraded", "Conflict: a/b claims it")]
#[case::unknown_is_not_dead(told(&[UNKNOWN, SETTLED, FREE]), "Progressing", "ChainUnknown")]
#[case::nothing_said_yet(told(&[]), "Progressing", "")]
fn by_its_conditions_an_object_is(
    #[case] object: Value,
    #[case] status: &str,
    #[case] message: &str,
) {
    let expected = Health { status: status.to_owned(), message: message.to_owned() };
    assert_eq!(health(&object), expected);
}

#[rstest]
#[case::of_no_status("/status", json!(null), "Progressing")]
#[case::that_nobody_saw_yet("/status/observedGeneration", json!(-1), "Progressing")]
#[case::of_another_spec("/metadata/generation", json!(3), "Progressing")]
#[case::that_goes("/metadata/deletionTimestamp", json!("2026-11-26T00:00:00Z"), "Progressing")]
#[case::that_is_suspended("/spec/suspend", json!(true), "Suspended")]
#[case::of_a_kind_that_cannot_be("/spec", json!(null), "Healthy")]
fn though_its_conditions_say_ready_one(
    #[case] field: &str,
    #[case] value: Value,
    #[case] status: &str,
) {
    let mut object = told(&[READY, SETTLED, FREE]);
    let (parent, name) = field.rsplit_once('/').unwrap();
    let fields = object.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
    if value.is_null() {
        fields.remove(name)
    } else {
        fields.insert(name.to_owned(), value)
    };
    assert_eq!(health(&object).status, status);
}
