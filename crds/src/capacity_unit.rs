//! One physical core on the market, as the chain lists it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// Which unit of which offer.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "coreward.dev",
    version = "v1alpha1",
    kind = "CapacityUnit",
    plural = "capacityunits",
    namespaced,
    derive = "PartialEq",
    status = "CapacityUnitStatus",
    shortname = "cu",
    category = "market",
    doc = "A compute unit (one physical core) that the chain lists for an offer of this namespace. Made by the operator.",
    selectable = ".status.role",
    selectable = ".spec.offerRef.name",
    printcolumn(name = "Role", type_ = "string", json_path = ".status.role"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.placement.nodeName"),
    printcolumn(name = "Deal", type_ = "string", json_path = ".status.dealRef.name"),
    printcolumn(name = "Proofs", type_ = "integer", json_path = ".status.epoch.proofs"),
    printcolumn(name = "Need", type_ = "integer", json_path = ".status.epoch.required"),
    printcolumn(name = "Commit-End", type_ = "integer", json_path = ".status.commitment.endEpoch"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Cpus",
        type_ = "string",
        json_path = ".status.placement.cpus",
        priority = 1
    ),
    printcolumn(name = "Offer", type_ = "string", json_path = ".spec.offerRef.name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct CapacityUnitSpec {
    /// The offer, in the same namespace. Fixed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("offerRef cannot change"))]
    pub offer_ref: NameRef,
    /// The unit on chain. Fixed.
    #[serde(rename = "unitID")]
    #[schemars(schema_with = "crate::schema::word")]
    #[x_kube(validation = Rule::new("self.lowerAscii() == oldSelf.lowerAscii()").message("unitID cannot change"))]
    pub unit_id: String,
    /// The peer that holds it, base58. Fixed.
    #[serde(rename = "peerID")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("peerID cannot change"))]
    pub peer_id: String,
    /// Freezes the unit: its pod is neither made nor removed. Belongs to people.
    #[serde(default)]
    pub suspend: bool,
}

/// An object of the same namespace, by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Its name.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub name: String,
}

/// What a unit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum UnitRole {
    /// Proves its capacity.
    Prover,
    /// Serves a deal.
    Worker,
    /// Neither pledged nor in a deal.
    Spare,
    /// Nothing runs.
    #[default]
    None,
}

/// What is known of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityUnitStatus {
    /// Generation of the spec that this tells of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::generation")]
    pub observed_generation: Option<i64>,
    /// What runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<UnitRole>,
    /// What the chain asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_role: Option<UnitRole>,
    /// The deal that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deal_ref: Option<NameRef>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<UnitPlacement>,
    /// The pledge that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<UnitCommitment>,
    /// Its proofs in the last finished epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<UnitEpoch>,
    /// The last change of what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_role_change: Option<RoleChange>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::condition::list")]
    pub conditions: Vec<Condition>,
}

/// Where a unit runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitPlacement {
    /// The node of its peer.
    #[schemars(schema_with = "crate::schema::short_text")]
    pub node_name: String,
    /// Its pod; namespace and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub pod_name: Option<String>,
    /// CPUs as the pod itself sees them, in list form, e.g. `6,38`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::short_text")]
    pub cpus: Option<String>,
}

/// The pledge that a unit is part of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitCommitment {
    /// Its id.
    #[schemars(schema_with = "crate::schema::word")]
    pub id: String,
    /// Its state, the contract's word.
    #[schemars(schema_with = "crate::schema::reason")]
    pub state: String,
    /// First working epoch; 0 before the deposit.
    #[schemars(schema_with = "crate::schema::count")]
    pub start_epoch: i64,
    /// First epoch after the last working one.
    #[schemars(schema_with = "crate::schema::count")]
    pub end_epoch: i64,
}

/// A unit's proofs in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitEpoch {
    /// The epoch.
    #[schemars(schema_with = "crate::schema::count")]
    pub number: i64,
    /// Accepted.
    #[schemars(schema_with = "crate::schema::count")]
    pub proofs: i64,
    /// Needed.
    #[schemars(schema_with = "crate::schema::count")]
    pub required: i64,
    /// Whether proofs were required of it in that epoch.
    pub counts_for_proof: bool,
}

/// A change of what runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleChange {
    /// Before.
    pub from: UnitRole,
    /// After.
    pub to: UnitRole,
    /// From the block that asked for it being seen to the new pod being ready.
    #[schemars(schema_with = "crate::schema::count")]
    pub milliseconds: i64,
    /// The block that asked for it.
    #[schemars(schema_with = "crate::schema::count")]
    pub block: i64,
}
