//! Whether each status says of which generation it is.

use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

use super::{all_of_kind, ensure};
use crate::world::{Result, World};

/// Checks that the status of each object of the kinds that have conditions, and each condition, is of the object's
/// generation; gives how many objects were read. At rest only.
///
/// # Errors
/// [`crate::world::Error::Finding`] with the object.
pub async fn are_of_their_generation(world: &World) -> Result<usize> {
    let mut count = 0;
    for kind in ["ProviderOffer", "CapacityUnit", "Deal"] {
        for object in all_of_kind(&world.client(), kind).await? {
            let name = object.name_any();
            let behind = behind(&object);
            ensure(behind.is_empty(), || {
                format!("{kind} {name}: {behind:?} is of another generation")
            })?;
            count += 1;
        }
    }
    Ok(count)
}

/// What of a status is not of the object's generation.
fn behind(object: &DynamicObject) -> Vec<String> {
    let generation = object.metadata.generation;
    let status = &object.data["status"];
    let is_behind = |value: &Value| value["observedGeneration"].as_i64() != generation;
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions = conditions.filter(|condition| is_behind(condition));
    let names = conditions.filter_map(|condition| condition["type"].as_str()).map(str::to_owned);
    is_behind(status).then(|| "status".to_owned()).into_iter().chain(names).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DynamicObject, behind};

    fn of(status: &serde_json::Value) -> Vec<String> {
        let object = json!({
            "apiVersion": "coreward.dev/v1alpha1", "kind": "Deal",
            "metadata": { "name": "it", "generation": 2 }, "status": status,
        });
        behind(&serde_json::from_value::<DynamicObject>(object).unwrap())
    }

    #[test]
    fn a_status_or_a_condition_of_before_is_found() {
        let ready = |seen: i64| json!([{ "type": "Ready", "observedGeneration": seen }]);
        assert_eq!(of(&json!({ "observedGeneration": 2, "conditions": ready(2) })), [""; 0]);
        assert_eq!(of(&json!({ "observedGeneration": 1, "conditions": ready(2) })), ["status"]);
        assert_eq!(of(&json!({ "observedGeneration": 2, "conditions": ready(1) })), ["Ready"]);
        assert_eq!(of(&json!({ "conditions": [] })), ["status"]);
    }
}
