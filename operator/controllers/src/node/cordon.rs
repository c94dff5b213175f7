//! What the people of a node say of it: its cordon, and from when on they accept losses.

use coreward_domain::unit::Cordon;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

/// Annotation of a node: the time, RFC 3339, from which a cordoned node is emptied whatever that costs.
pub const DRAIN_BY: &str = "coreward.dev/drain-by";

/// What a node is to be used for at this time.
#[must_use]
pub fn cordon(node: &Node, now: Timestamp) -> Cordon {
    if !is_cordoned(node) {
        return Cordon::Open;
    }
    match node.annotations().get(DRAIN_BY).map(|text| text.trim().parse::<Timestamp>()) {
        None => Cordon::Cordoned,
        Some(Err(_)) => Cordon::Misdated,
        Some(Ok(time)) if time <= now => Cordon::Overdue,
        Some(Ok(_)) => Cordon::Announced,
    }
}

/// Whether nothing new is to come to a node.
#[must_use]
pub fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::open(false, None, Cordon::Open)]
    #[case::open_again(false, Some("1970-01-01T00:00:00Z"), Cordon::Open)]
    #[case::cordoned(true, None, Cordon::Cordoned)]
    #[case::time_ahead(true, Some("1970-01-01T00:01:41Z"), Cordon::Announced)]
    #[case::in_another_zone(true, Some("1970-01-01T01:01:00+01:00"), Cordon::Overdue)]
    #[case::time_over(true, Some("1970-01-01T00:01:40Z"), Cordon::Overdue)]
    #[case::no_time(true, Some("tonight"), Cordon::Misdated)]
    fn a_node_is(#[case] unschedulable: bool, #[case] by: Option<&str>, #[case] expected: Cordon) {
        let annotations = by.map(|by| json!({ DRAIN_BY: by })).unwrap_or_default();
        let node = serde_json::from_value(json!({
            "metadata": { "name": "n1", "annotations": annotations },
            "spec": { "unschedulable": unschedulable },
        }))
        .unwrap();
        assert_eq!(cordon(&node, Timestamp::from_second(100).unwrap()), expected);
    }
}
